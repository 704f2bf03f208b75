"""The options of a search as one record, and budgets as users write them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from sparseloop.input.diagnostics import AtLeastZero, Diagnostic, Natural, Positive, SpecError, check_fields
from sparseloop.input.spec import Spec
from sparseloop.mapper.objectives import objective, objectives
from sparseloop.mapper.space.mapspace import mapspace
from sparseloop.mapper.task import Budget, Goal, Task

DEFAULT_MAPPINGS = 200_000
"""Budget of the methods that would never end by themselves."""
AUTO = Budget(seconds=20.0)
"""Budget of `auto`, unless another one is given."""
ENDING = ("exhaustive", "optimal")
"""Methods that end by themselves: without a budget they run until they are done."""

_SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_MAPPINGS = {"": 1, "k": 1000, "m": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What is looked for in a mapspace, and how: for one specification, the layers of a network, the designs of a study."""

    minimize: str = "edp"
    """An objective ('energy'), several in order ('energy,cycles') or a weighted sum ('0.7*energy + 2e3*cycles')."""
    pareto: str = ""
    """Objectives whose front is kept as well: 'energy,cycles'."""
    top: Positive = 1
    """How many of the best mappings are kept."""
    method: str = "auto"
    """One of `sparseloop.mapper.search.METHODS`."""
    budget: int | float | str | Budget | None = None
    """Mappings (100_000, '100k') or time ('10s', '2min'); None: 20 s with `auto`, else until the method is done, or 200 000
    mappings."""
    memory_gb: AtLeastZero = 1.0
    """About what a proof may take."""
    seed: Natural = 0
    padded: bool = False
    """Also sizes that fill the fanouts better (imperfect factors)."""
    workers: Positive = 1
    """Worker processes; the answer does not depend on their number."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def limits(self) -> Budget:
        """The budget understood; raises `SpecError`."""
        if not self.memory_gb > 0:
            raise SpecError([Diagnostic(message=f"a search needs memory, not {self.memory_gb} GB", hint="1.0")])
        return replace(parse_budget(self.budget, self.method), memory_bytes=int(self.memory_gb * 1e9))

    @property
    def goal(self) -> Goal:
        """The objectives understood; raises `SpecError`."""
        front = objectives(self.pareto) if self.pareto else ()
        return Goal(objective=objective(self.minimize), top=self.top, pareto=front)

    def task(self, spec: Spec) -> Task:
        """The search of one specification."""
        return Task(
            space=mapspace(spec, padded=self.padded),
            goal=self.goal,
            method=self.method,
            budget=self.limits,
            seed=self.seed,
            workers=self.workers,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """All that the outcome depends on beside the specification, as plain data (`pareto` and `top` where they are given)."""
        limits = self.limits
        common: dict[str, Any] = {
            "minimize": "".join(self.minimize.split()),
            "method": self.method,
            "mappings": limits.mappings,
            "seconds": limits.seconds,
            "seed": self.seed,
            "padded": self.padded,
        }
        if self.pareto:
            common["pareto"] = "".join(self.pareto.split())
        if self.memory_gb != 1.0:
            common["memory_gb"] = self.memory_gb
        return common | ({"top": self.top} if self.top > 1 else {})


def parse_budget(given: int | float | str | Budget | None, method: str) -> Budget:
    """'100k', 100_000: mappings; '10s', '2min': seconds; None: 20 s for `auto`, unlimited for methods that end, else 200 000
    mappings."""
    if isinstance(given, Budget):
        return given
    if given is None and method == "auto":
        return AUTO
    if given is None:
        return Budget() if method in ENDING else Budget(mappings=DEFAULT_MAPPINGS)
    text = str(given).strip().lower().replace("_", "").replace(" ", "")
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :]
    try:
        value = float(number) * (_SECONDS[unit] if unit in _SECONDS else _MAPPINGS[unit])
        if not math.isfinite(value):
            raise ValueError
    except (ValueError, KeyError):
        hint = "mappings: 100k; or time: 10s, 2min"
        raise SpecError([Diagnostic(message=f"cannot read the budget '{given}'", hint=hint)]) from None
    if value <= 0 or (unit in _MAPPINGS and value < 1):
        raise SpecError([Diagnostic(message=f"a budget of '{given}' allows no search", hint="at least one mapping, or 0.1s")])
    return Budget(seconds=value) if unit in _SECONDS else Budget(mappings=int(value))
