"""The best combination of formats, features and mapping, with a proof: branch and bound over sets of strategies.

Each set is bounded by the optimal mapping of one machine that is no worse than any of its strategies (`relaxation`); sets that
cannot beat the best known strategy fall away, the others are cut by a parameter. Single strategies are mapped optimally.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any, NamedTuple

from sparseloop.evaluation.evaluate import design_of, evaluate_mapping
from sparseloop.evaluation.frames import pandas_frame, polars_frame
from sparseloop.evaluation.notebook_view import result_view
from sparseloop.evaluation.result import Result
from sparseloop.explore.codesign.bounding import BoundedSet, SetBounder, SetPool, bounding_pool
from sparseloop.explore.codesign.relaxation import ABSENT, Sets
from sparseloop.explore.conditions import Value
from sparseloop.explore.definition import StudyDefinition, read_study
from sparseloop.input.diagnostics import AtLeastZero, Diagnostic, Positive, SpecError, check_arguments, check_fields
from sparseloop.input.markup import heading, small_table
from sparseloop.input.spec import Spec
from sparseloop.mapper.task import Budget, silent
from sparseloop.model.design.mapping import Mapping

WAVE = 4
"""Sets that are cut at a time, for any number of workers: the answer must not depend on it."""
POLISH = 8
"""Rounds of changing one value of the best known strategy, at most."""
NEAR = 1.25
"""Keep a neighbouring strategy for re-mapping if, under the current mapping, it costs less than NEAR times the best."""
PAIRS = 64
"""Pairs of values of two parameters that are changed together, at most."""
CAREFUL = 12
"""Waves that begin with a careful dive."""
QUICK = 256
"""Mappings evaluated for one set on the way to a first answer, without a proof."""
LEAST_SECONDS = 0.1
"""What a set gets of a budget of time that is spent."""
SLACK = 1e-9
"""Relative difference below which two costs are the same."""
BOUNDED = ("energy", "cycles", "edp", "ed2p")
"""Objectives that the machine of a set bounds: they grow with every count and with time."""


COLUMNS = ("parameter", "value")
"""Of the tables that `to_pandas` and `to_polars` make."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CodesignResult:
    """The best strategy and mapping that were found."""

    values: dict[str, Value] | None
    """Of the parameters; None: no strategy has a valid mapping."""
    spec: Spec | None
    mapping: Mapping | None
    value: float | None
    lower_bound: float
    """No combination of strategy and mapping costs less."""
    proven: bool
    strategies: int
    """Combinations of values, those that conditions exclude not counted twice."""
    mappings: int
    """Of each of them."""
    bounded: int
    """Sets of strategies, and single ones, that were bounded."""
    evaluated: int
    """Mappings evaluated."""
    seconds: float
    stopped: str
    """'done', 'budget' or 'interrupted'."""

    @property
    def gap(self) -> float:
        """(value - lower bound) / value."""
        return math.inf if self.value is None else max(0.0, 1 - self.lower_bound / self.value) if self.value else 0.0

    def __repr__(self) -> str:
        if self.value is None:
            return f"<CodesignResult: no valid mapping among {self.strategies} strategies>"
        certain = "proven" if self.proven else f"gap {100 * self.gap:.3g} %"
        return f"<CodesignResult {self.value:.6g} ({certain}) of {self.strategies} strategies, {self.seconds:.1f} s>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the best values of the parameters, what is proven, the best design evaluated."""
        chosen = small_table(("parameter", "value"), [(k, v) for k, v in (self.values or {}).items() if v is not None], left=2)
        result = self.result
        return heading(repr(self).strip("<>")) + chosen + (result_view(result) if result is not None else "")

    def to_pandas(self) -> Any:
        """One row per parameter with its best value, as a `pandas.DataFrame` (extra `frames`)."""
        return pandas_frame(self._rows(), COLUMNS)

    def to_polars(self) -> Any:
        """As `to_pandas`, as a `polars.DataFrame` (extra `frames`)."""
        return polars_frame(self._rows(), COLUMNS)

    def _rows(self) -> list[dict[str, str | None]]:
        """Values are structures of any kind, so they are texts here; None: as the specification has it."""
        return [{"parameter": k, "value": None if v is None else str(v)} for k, v in (self.values or {}).items()]

    @property
    def result(self) -> Result | None:
        """The whole breakdown of the best design; None if there is none."""
        if self.spec is None or self.mapping is None:
            return None
        return evaluate_mapping(replace(design_of(self.spec), mapping=self.mapping), self.mapping)


@dataclass
class CodesignProgress:
    """How a search proceeds."""

    clock: Callable[[], float]
    started: float
    bounded: int = 0
    """Sets bounded."""
    evaluated: int = 0
    """Mappings evaluated."""
    open: int = 0
    """Sets that may still hold something better."""
    value: float = math.inf
    """Of the best strategy known."""
    lower_bound: float = 0.0
    """Of all strategies."""

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.clock() - self.started


Watch = Callable[[CodesignProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesignOptions:
    """How long and how exactly is searched."""

    seconds: AtLeastZero | None = None
    """None: until the answer is proven."""
    within: AtLeastZero = 0.0
    """Strategies that are better by no more than this share need not be found: 0.01 proves 1 %."""
    workers: Positive = 1
    """Worker processes; the answer does not depend on their number. A script then needs `if __name__ == "__main__":`."""
    watch: Watch = silent
    """Hears of every bounded set."""
    clock: Callable[[], float] = time.monotonic
    """Seconds since any moment: what `seconds` are measured by."""

    def __post_init__(self) -> None:
        check_fields(self)


# --- the search ---------------------------------------------------------------------------------------------


class OpenSet(NamedTuple):
    """A set that may hold something better, as it is ordered: by its value, equal ones by their age."""

    value: float
    number: int
    set: BoundedSet


class CutSet(NamedTuple):
    """A part of a set that was cut."""

    sets: Sets
    bound_of_whole: float


class CodesignSearch:
    """One branch and bound."""

    def __init__(self, bounder: SetBounder, workers: SetPool, options: CodesignOptions) -> None:
        self.bounder, self.strategies, self.workers, self.options = bounder, bounder.strategies, workers, options
        self.progress = CodesignProgress(options.clock, options.clock())
        self.best: BoundedSet | None = None
        self.order: list[int] = []
        """Parameters to cut by, in that order."""
        self.open: list[OpenSet] = []
        """A heap."""
        self.number = self.waves = 0
        self.done: set[Sets] = set()
        """Strategies that are settled: nothing better than the best known one is among their mappings."""
        self.stopped = "done"

    @property
    def below(self) -> float:
        """What is worth looking for."""
        return self.progress.value * (1 - self.options.within)

    def left(self) -> Budget:
        """What the budget leaves."""
        seconds = self.options.seconds
        return Budget(seconds=None if seconds is None else max(LEAST_SECONDS, seconds - self.progress.seconds))

    def spent(self) -> bool:
        """True once the budget is."""
        return self.options.seconds is not None and self.progress.seconds >= self.options.seconds

    def run(self) -> None:
        """Until the answer is proven, the budget is spent, or an interrupt comes."""
        try:
            self._run()
        except KeyboardInterrupt:
            self.stopped = "interrupted"

    def _run(self) -> None:
        (root,) = self._bounded([self.strategies.all])
        if root.mapping is None and root.finished:
            return
        self._push(root)
        self._dive(root, careful=True)
        self.order = self._by_impact()
        self._dive(root, careful=True)
        while self.open and not self.spent():
            self._wave()
        self.stopped = "budget" if self.open else "done"
        self._tell()

    def _tell(self) -> None:
        """What is proven now."""
        self.progress.open = len(self.open)
        least = min([self.below, *(waiting.set.bound for waiting in self.open)])
        self.progress.lower_bound = max(self.progress.lower_bound, least if math.isfinite(least) else 0.0)
        self.options.watch(self.progress)

    def _bounded(self, every: Sequence[Sets]) -> list[BoundedSet]:
        """Sets bounded; a single strategy is kept if it is the best."""
        bounded: list[BoundedSet] = []
        for one in self.workers.bounded(every, self.below, self.left):
            self.progress.bounded += 1
            self.done |= {one.sets} if one.single and one.finished else set()
            bounded.append(self._count(one))
        return bounded

    def _glanced(self, every: Sequence[Sets]) -> list[BoundedSet]:
        """Sets with good mappings, after QUICK mappings each."""
        quick = self.workers.bounded(every, self.below, lambda: replace(self.left(), mappings=QUICK))
        return [self._count(one) for one in quick]

    def _count(self, one: BoundedSet) -> BoundedSet:
        self.progress.evaluated += one.evaluated
        if one.single and one.mapping is not None:
            value = self.bounder.trial(one.sets, one.mapping)
            if value < self.progress.value:
                self.best, self.progress.value = one, value
        self.options.watch(self.progress)
        return one

    def _push(self, one: BoundedSet) -> None:
        if one.bound < self.below * (1 - SLACK) and not (one.single and one.finished):
            heapq.heappush(self.open, OpenSet(min(one.value, self.below), self.number, one))
            self.number += 1

    # --- first answers --------------------------------------------------------------------------------------

    def _by_impact(self) -> list[int]:
        """Parameters, first those that lower the bound of the best strategy most when they are opened."""
        if self.best is None or self.best.mapping is None:
            return []
        scores: list[tuple[float, int]] = []
        for i, numbers in enumerate(self.strategies.all):
            opened = (*self.best.sets[:i], numbers, *self.best.sets[i + 1 :])
            scores.append((self.bounder.trial(opened, self.best.mapping), i))
        return [i for _, i in sorted(scores)]

    def _dive(self, start: BoundedSet, *, careful: bool = False) -> None:
        """Settles value by value what suits the best mapping of a set, mapped anew each time if careful; then polishes."""
        sets, mapping = start.sets, start.mapping
        while mapping is not None and not self.strategies.single(sets):
            parts = list(self.strategies.parts(sets, self._next(sets)))
            sets = min(parts, key=lambda part, on=mapping: self.bounder.trial(part, on))
            if careful:
                mapping = self._glanced([sets])[0].mapping
        if mapping is None or (self.best is not None and self.bounder.trial(sets, mapping) >= self.below):
            return
        if sets not in self.done:
            self._bounded([sets])
            self._polish()

    def _changed(self, sets: Sets) -> Iterator[Sets]:
        """A strategy with one other value, or with two where their parameters have few."""
        every = self.strategies.all
        for i, j in combinations_with_replacement(range(len(every)), 2):
            if i == j or len(every[i]) * len(every[j]) <= PAIRS:
                for first, second in product(every[i], every[j] if i != j else (ABSENT,)):
                    other = self.strategies.changed(sets, i, first)
                    other = self.strategies.changed(other, j, second) if other is not None and i != j else other
                    if other is not None:
                        yield other

    def _polish(self) -> None:
        """Changes one or two values of the best strategy, as long as that helps."""
        tried: set[Sets] = set()
        for _ in range(POLISH):
            best = self.best
            if best is None or best.mapping is None or self.spent():
                return
            fresh = dict.fromkeys(other for other in self._changed(best.sets) if other not in tried)
            tried |= set(fresh)
            near = [other for other in fresh if self.bounder.trial(other, best.mapping) < NEAR * self.progress.value]
            ranked = sorted(self._glanced(near), key=lambda one: one.bound)
            if ranked and ranked[0].sets not in self.done:
                self._bounded([ranked[0].sets])
            if self.best is best:
                return

    # --- branch and bound -----------------------------------------------------------------------------------

    def _next(self, sets: Sets) -> int:
        """The parameter to cut by."""
        return next(i for i in [*self.order, *range(len(sets))] if len(sets[i]) > 1)

    def _wave(self) -> None:
        """Cuts the sets with the least values."""
        popped = [heapq.heappop(self.open).set for _ in range(min(WAVE, len(self.open)))]
        wave = [one for one in popped if one.bound < self.below * (1 - SLACK)]
        if wave and not wave[0].single:
            self._dive(wave[0], careful=self.waves < CAREFUL)
            self.waves += 1
        parts: list[CutSet] = []
        for whole in wave:
            cut = [whole.sets] if whole.single else self.strategies.parts(whole.sets, self._next(whole.sets))
            parts += [CutSet(part, whole.bound) for part in cut if part not in self.done]
        for bounded, part in zip(self._bounded([part.sets for part in parts]), parts, strict=True):
            self._push(replace(bounded, bound=max(bounded.bound, part.bound_of_whole)))
        self._tell()

    def outcome(self) -> CodesignResult:
        """What was found."""
        best, progress = self.best, self.progress
        proven = best is not None and not self.open and self.stopped == "done"
        return CodesignResult(
            values=None if best is None else self.strategies.values(best.sets),
            spec=None if best is None else self.strategies.exact(best.sets),
            mapping=None if best is None else best.mapping,
            value=None if best is None else progress.value,
            lower_bound=self.below if proven else progress.lower_bound,
            proven=proven,
            strategies=self.strategies.count(self.strategies.all),
            mappings=self.strategies.space.size,
            bounded=progress.bounded,
            evaluated=progress.evaluated,
            seconds=progress.seconds,
            stopped=self.stopped,
        )


def _mistakes(definition: StudyDefinition) -> Iterator[Diagnostic]:
    """What the study asks for that a joint search does not do."""
    spec = definition.spec
    if spec.pareto or definition.constraints:
        where = "pareto" if spec.pareto else "constraints"
        message = "strategies are searched for one objective and without constraints"
        yield Diagnostic(path=(where,), message=message, hint="minimize: edp")
    goal = spec.mapping.minimize or ",".join(one.name for one in definition.objectives)
    if not {name.strip() for name in goal.split(",")} <= set(BOUNDED):
        message = f"strategies are not searched for {goal}"
        yield Diagnostic(path=("minimize",), message=message, hint=f"minimize one of: {', '.join(BOUNDED)}")
    if definition.designs.mapper.method not in ("auto", "optimal"):
        message = "codesign searches the mapping together with the features, with a proof"
        yield Diagnostic(path=("mapping",), message=message, hint="mapping: optimal; sparseloop sweep takes any")
    for name in ("search", "combine", "cluster"):
        if name in spec.model_fields_set:
            yield Diagnostic(path=(name,), message=f"'{name}' is of use for sparseloop sweep only", hint="take it away")


def codesign(study: StudyDefinition | str | Path, options: CodesignOptions | None = None) -> CodesignResult:
    """The best strategy of a study, or of the file of one, with its best mapping: one workload, only sparse features vary."""
    check_arguments(codesign, locals())
    definition = study if isinstance(study, StudyDefinition) else read_study(study)
    options = options or CodesignOptions()
    if mistakes := list(_mistakes(definition)):
        raise SpecError(mistakes).located(definition.source)
    bounder = SetBounder(definition.designs)
    with bounding_pool(bounder, options.workers) as workers:
        search = CodesignSearch(bounder, workers, options)
        search.run()
        return search.outcome()
