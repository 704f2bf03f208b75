"""What a search is asked and what it answers: task, goal, budget, tally, best, certificate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.evaluate import design_of, evaluate_mapping
from sparseloop.evaluation.frames import pandas_frame, polars_frame
from sparseloop.evaluation.result import Result
from sparseloop.input.diagnostics import AtLeastZero, Natural, Positive, check_fields
from sparseloop.mapper.objectives import Columns, Objective, pareto
from sparseloop.mapper.space.mapspace import Mapspace
from sparseloop.mapper.space.members import mapping_key
from sparseloop.model.design.mapping import Mapping, MappingBatch, Sample
from sparseloop.model.status import Status

CHUNK = 16384
"""Mappings asked of a searcher at a time: the same for every number of workers."""

Batch = MappingBatch | Sample
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When a search ends: after a number of mappings, a number of seconds, or (both None) when the method is done."""

    mappings: Natural | None = None
    seconds: AtLeastZero | None = None
    memory_bytes: Natural = 1_000_000_000
    """About what `optimal` may take: with more chains to look at than fit it goes through them in parts."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is looked for: the best by `objective`, the `top` best, and the front over `pareto`."""

    objective: Objective
    top: Positive = 1
    pareto: tuple[Objective, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns to be evaluated."""
        wanted = ("status", *self.objective.needs, *(need for one in self.pareto for need in one.needs))
        return tuple(dict.fromkeys(name for name in wanted if name != "area_um2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One search."""

    space: Mapspace
    goal: Goal
    method: str = "auto"
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    workers: int = 1
    below: float = math.inf
    """Cutoff: look only for mappings with an objective (its first part) below this; `optimal` stops once it has proved that there
    are none."""
    enough: float = -math.inf
    """`optimal` stops at the first mapping with an objective below this."""
    clock: Callable[[], float] = time.monotonic
    """Seconds since any moment: what a budget of time is measured by."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A valid mapping with the values of what was minimized."""

    mapping: Mapping
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a proof of `optimal` rests on.

    Mappings that are covered, but neither pruned nor evaluated, cost the same as an evaluated one, or exceed a fanout.
    """

    covered: int
    """Mappings about which the proof speaks: all with the choices of bypasses that were finished."""
    pruned: dict[str, int]
    """Mappings that were excluded without being evaluated, by what excluded them: 'bypass' (the bound of a choice of bypasses),
    'capacity', 'bound' (that of a partial chain of tiles), 'chain' (of a whole chain), 'order' (of the loop orders of a whole
    chain; this one counts mappings of different traffic)."""
    evaluated: int
    """Mappings evaluated by the model, those of the first incumbents included."""
    left: int = 0
    """Mappings not reached when the budget ended."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Best:
    """What a search found; `mapping` and `result` are None where no valid mapping was met."""

    task: Task
    top: tuple[Candidate, ...]
    """The best mappings, best first."""
    front: tuple[Candidate, ...] = ()
    """The Pareto front of what was evaluated, by its first objective."""
    evaluated: int = 0
    """Mappings evaluated."""
    valid: int = 0
    """Of these, how many fit the machine."""
    failures: dict[Status, int] = field(default_factory=dict[Status, int])
    """How many mappings each status flag was raised for."""
    seconds: float = 0.0
    stopped: str = "budget"
    """'budget', 'memory', 'done' (the method has nothing left) or 'interrupted'."""
    lower_bound: float | None = None
    """No mapping has a lower objective (its first part); None: nothing is proven."""
    proven_optimal: bool = False
    certificate: Certificate | None = None
    """Of `optimal` only."""

    @property
    def mapping(self) -> Mapping | None:
        """The best mapping."""
        return self.top[0].mapping if self.top else None

    @property
    def value(self) -> float | None:
        """The objective of the best mapping."""
        return self.top[0].values[0] if self.top else None

    @property
    def gap(self) -> float | None:
        """By how much the best value may exceed the optimum, as a share of the lower bound; 0: proven, None: not bounded."""
        if self.proven_optimal:
            return 0.0
        if self.value is None or self.lower_bound is None:
            return None
        return self.value / self.lower_bound - 1 if self.lower_bound > 0 else math.inf

    @cached_property
    def result(self) -> Result | None:
        """The best mapping evaluated with its whole breakdown."""
        return self.evaluated_as(self.top[0]) if self.top else None

    def __repr__(self) -> str:
        from sparseloop.mapper.notebook_view import search_sentence

        return f"<Best {search_sentence(self)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: what was searched, what is proven, the best mapping evaluated."""
        from sparseloop.mapper.notebook_view import search_view

        return search_view(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per mapping of `top` and `front`: kind, rank, the objectives by name, energy_pj, cycles, edp, mapping."""
        from sparseloop.mapper.notebook_view import candidate_rows

        return candidate_rows(self)

    def to_pandas(self) -> Any:
        """The rows of `to_rows` as a `pandas.DataFrame` (extra `frames`)."""
        rows = self.to_rows()
        return pandas_frame(rows, list(rows[0]) if rows else ["kind", "rank"])

    def to_polars(self) -> Any:
        """The rows of `to_rows` as a `polars.DataFrame` (extra `frames`)."""
        rows = self.to_rows()
        return polars_frame(rows, list(rows[0]) if rows else ["kind", "rank"])

    def evaluated_as(self, candidate: Candidate) -> Result:
        """The whole breakdown of one of the mappings found."""
        design = design_of(self.task.space.spec)
        return evaluate_mapping(replace(design, mapping=candidate.mapping), candidate.mapping)


class SearchTally:
    """Folds batches in the order in which they were asked: counts, the best, the front."""

    def __init__(self, task: Task) -> None:
        self.task, self.goal = task, task.goal
        self.started = task.clock()
        self.evaluated = 0
        self.valid = 0
        self.failures: dict[Status, int] = {}
        self.top: list[Candidate] = []
        self.front: list[Candidate] = []
        self.lower_bound: float | None = None
        """Proven so far, where a method proves anything."""

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.task.clock() - self.started

    def add(self, batch: Batch, columns: Columns) -> None:
        """Counts one evaluated batch, and keeps its best mappings."""
        status = columns["status"]
        valid = np.flatnonzero(status == 0)
        self.evaluated += len(status)
        self.valid += len(valid)
        for flag in Status:
            if flag and (count := int(((status & int(flag)) != 0).sum())):
                self.failures[flag] = self.failures.get(flag, 0) + count
        if len(valid):
            columns = {name: column[valid] for name, column in columns.items()}
            self._merge_top(batch, valid, self.goal.objective.values(columns))
            if self.goal.pareto:
                self._merge_front(batch, valid, np.stack([one.scalars(columns) for one in self.goal.pareto]))

    def _merge_top(self, batch: Batch, valid: Ints, values: Floats) -> None:
        """Merges the best of a batch; of equal values the earlier mapping wins, equal mappings count once.

        `valid` are places in the batch, `values` of shape (parts of the objective, valid mappings).
        """
        full = len(self.top) >= self.goal.top
        if full:
            near = np.flatnonzero(values[0] <= self.top[-1].values[0])
            valid, values = valid[near], values[:, near]
        keys = {mapping_key(candidate.mapping) for candidate in self.top}
        merged = list(self.top)
        for i in np.lexsort((np.arange(len(valid)), *reversed(values))):
            candidate = Candidate(batch[int(valid[i])], tuple(float(v) for v in values[:, i]))
            if len(merged) >= 2 * self.goal.top or (full and candidate.values >= self.top[-1].values):
                break
            if (key := mapping_key(candidate.mapping)) not in keys:
                keys.add(key)
                merged.append(candidate)
        self.top = sorted(merged, key=lambda candidate: candidate.values)[: self.goal.top]

    def _merge_front(self, batch: Batch, valid: Ints, values: Floats) -> None:
        fresh = [Candidate(batch[int(valid[i])], tuple(float(v) for v in values[:, i])) for i in pareto(values)]
        merged = [*self.front, *fresh]
        self.front = [merged[i] for i in pareto(np.array([candidate.values for candidate in merged]).T)]

    def best(self, stopped: str, *, complete: bool) -> Best:
        """The outcome; `complete`: no mapping was left out, so the best one met is the best there is."""
        proven = complete and bool(self.top)
        return Best(
            task=self.task,
            top=tuple(self.top),
            front=tuple(self.front),
            evaluated=self.evaluated,
            valid=self.valid,
            failures=self.failures,
            seconds=self.seconds,
            stopped=stopped,
            lower_bound=self.top[0].values[0] if proven else None,
            proven_optimal=proven,
        )


Watch = Callable[[SearchTally], None]
"""Hears of a search after every batch."""


def silent(progress: object) -> None:
    """Shows nothing: the watch of a search that runs unseen."""
