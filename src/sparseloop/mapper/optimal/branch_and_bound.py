"""The best mapping of a mapspace with a proof: bounds over chains of tiles, the model on what they leave over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, final

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.batch_evaluator import BatchEvaluator, batch_evaluator
from sparseloop.mapper.optimal.completion import Completion
from sparseloop.mapper.optimal.cost_to_go import CostToGo
from sparseloop.mapper.optimal.level_choices import LevelChoices
from sparseloop.mapper.optimal.lower_bounds import LowerBounds, TileTable
from sparseloop.mapper.optimal.quantities import CostBound, Flags, Floats
from sparseloop.mapper.optimal.states import TileChains
from sparseloop.mapper.optimal.tile_chains import BEAM, ChainSearch
from sparseloop.mapper.searchers import Exhaustive, Genetic
from sparseloop.mapper.space.constraints import Keep
from sparseloop.mapper.space.factorizations import divisors
from sparseloop.mapper.task import CHUNK, Batch, Best, Certificate, SearchTally, Task, Watch, silent

SLACK = 1e-9
"""Relative difference below which two values of an objective are the same."""
FAR, WARM_UP = 2.0, 16
"""If the best dive costs more than FAR times the lower bound, WARM_UP batches of the genetic searcher look for a better
incumbent."""
DIVES, DIVERS, WIDTH = 8, 8, 2
"""Choices of bypasses to dive into, chains of each, and orders of a chain that a dive looks at."""
ORDERING = 0.25
"""Share of a budget of time after which choices of bypasses are no longer bounded before the search begins."""
LIMITS = (1.25, 2.0, 4.0, 10.0)
"""Multiples of the lowest bound of a choice of bypasses up to which mappings are looked for, one after the other."""
SMALL = 16384
"""Spaces of at most that many mappings are simply evaluated."""
PORTIONS = (16, 4096)
"""Chains completed at a time: few at first, so that the best known mapping soon is the best."""
EAGER = 4
"""Portions evaluated at once; later ones wait for more chains with the same orders."""


@dataclass(slots=True)
class BypassChoice:
    """A choice of bypasses with a lower bound of what it costs; a better bound once its turn has come."""

    keep: Keep
    least: float
    """The first part of the objective."""
    bound: CostBound
    """Arrays of one."""


@dataclass
class Incumbent:
    """The best known values, and which bounds cannot beat them."""

    tally: SearchTally
    monotone: bool
    """True if the objective never falls when energy and cycles rise."""
    timed: bool
    """True if the objective sees the cycles."""
    extra: dict[str, float] = field(default_factory=dict[str, float])
    """Columns that are equal for all mappings, or follow from the cycles."""
    limit: float = np.inf
    """Nothing above this first part of the objective is looked for at present."""
    below: float = np.inf
    """Nothing that is not below this is looked for at all."""

    @property
    def deciding(self) -> bool:
        """True if bounds can tell anything: not for fronts."""
        return self.monotone and not self.tally.goal.pareto

    @property
    def worst(self) -> tuple[float, ...] | None:
        """What a mapping must undercut to be among the wanted ones."""
        top = self.tally.top
        return top[-1].values if len(top) >= self.tally.goal.top else None

    def values(self, energy: Floats, cycles: Floats) -> Floats:
        """The objective of (energy, cycles) at least: shape (parts, columns), as in `Objective.values`."""
        columns: dict[str, npt.NDArray[Any]] = {
            "energy_pj": energy,
            "cycles": cycles,
            "area_um2": np.full(len(cycles), self.extra["area_um2"]),
            "utilization": self.extra["utilization"] / np.maximum(cycles, 1e-300),
        }
        with np.errstate(invalid="ignore"):  # nothing fits: infinite energy; what is not a number is never pruned
            return self.tally.goal.objective.values(columns)

    def score(self, energy: Floats, cycles: Floats) -> Floats:
        """The first part of the objective."""
        return self.values(energy, cycles)[0]

    def beats(self, energy: Floats, cycles: Floats) -> Flags:
        """True where nothing with at least this energy and these cycles is better than what is known, or below the limit."""
        if not self.deciding:
            return np.zeros(len(energy), dtype=bool)
        values = self.values(energy, cycles)
        dead, same = values[0] > self.limit * (1 + SLACK), np.ones(len(energy), dtype=bool)
        dead |= values[0] >= self.below * (1 - SLACK)
        if self.worst is None:
            return dead
        for row, best in zip(values, self.worst, strict=True):
            margin = SLACK * abs(best)
            dead |= same & (row > best + margin)
            same &= row >= best - margin
        return dead | same


def incumbent_of(task: Task, tally: SearchTally) -> Incumbent:
    """Of a search that begins: whether its objective is monotone and timed is found by trying it on a grid."""
    design = task.space.design
    area = float(sum(level.area_um2 * level.instances for level in design.arch.levels))
    extra = {"area_um2": area, "utilization": design.einsum.computes / design.arch.compute.instances}
    incumbent = Incumbent(tally, True, True, extra, below=task.below)
    energy, cycles = np.meshgrid(np.geomspace(1, 1e15, 31), np.geomspace(1, 1e12, 25))
    values = incumbent.values(energy.reshape(-1), cycles.reshape(-1)).reshape(-1, *energy.shape)
    by_cycles = np.diff(values, axis=1)
    incumbent.monotone = bool((by_cycles >= 0).all() and (np.diff(values, axis=2) >= 0).all())
    incumbent.timed = bool((by_cycles != 0).any())
    return incumbent


@final
class BranchAndBound:
    """One proof."""

    def __init__(self, task: Task, evaluator: BatchEvaluator, watch: Watch) -> None:
        self.task, self.space, self.evaluator, self.watch = task, task.space, evaluator, watch
        self.tally = SearchTally(task)
        self.incumbent = incumbent_of(task, self.tally)
        self.pruned = {"bypass": 0, "capacity": 0, "bound": 0, "chain": 0, "order": 0}
        """Mappings excluded under the present limit, as in `Certificate.pruned`."""
        self.open: list[BypassChoice] = []
        """Choices of bypasses about which nothing is proven yet."""
        self.finished = False

    @cached_property
    def table(self) -> TileTable:
        """All tiles of the shape; not for spaces that are simply evaluated."""
        ranks, sizes = [rank.rank for rank in self.space.ranks], [rank.size for rank in self.space.ranks]
        return TileTable(self.space.design, ranks, sizes, [divisors(size) for size in sizes])

    # --- evaluation -----------------------------------------------------------------------------------------

    def spent(self) -> bool:
        """True once the budget is, or enough is known."""
        budget = self.task.budget
        if self.tally.top and self.tally.top[0].values[0] < self.task.enough:
            return True
        late = budget.seconds is not None and self.tally.seconds >= budget.seconds
        return late or (budget.mappings is not None and self.tally.evaluated >= budget.mappings)

    def evaluate(self, batch: Batch) -> Floats:
        """The objective of a batch, taken into the tally; inf where it is not valid."""
        columns = self.evaluator.columns(batch, self.evaluator.begin(batch))
        self.tally.add(batch, columns)
        self.watch(self.tally)
        return np.where(columns["status"] == 0, self.task.goal.objective.scalars(columns), np.inf)

    def _evaluate_chains(self, completion: Completion, chains: TileChains) -> None:
        sample = completion.sample(chains)
        if sample is not None:
            self.evaluate(sample)

    def warm_up(self) -> None:
        """Incumbents by the genetic searcher."""
        searcher = Genetic(self.space, self.task.seed)
        for turn in range(WARM_UP):  # the first one whatever the budget: some answer is better than none
            batch = None if turn and self.spent() else searcher.ask(CHUNK // 8)
            if batch is None:
                return
            searcher.tell(batch, self.evaluate(batch))

    def _dive(self, search: ChainSearch) -> None:
        """Better incumbents: the mappings that the bounds think best, of few chains of tiles."""
        if not search.forward(BEAM):
            return
        completion = Completion(search, width=WIDTH)
        for chains in islice(search.complete(DIVERS, DIVERS), 1):
            self._evaluate_chains(completion, chains)

    def _climb(self) -> None:
        """To a better neighbour as long as there is one."""
        before = None
        while self.tally.top and not self.spent() and self.tally.top[0].values != before:
            before = self.tally.top[0].values
            neighbours = self.space.neighbours(self.tally.top[0].mapping)
            if len(neighbours):
                self.evaluate(neighbours)

    # --- the proof ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Goes through all choices of bypasses, the most promising first."""
        if self.space.padded or not self.space.ranks or self.space.size <= SMALL:
            self._exhaust()
            return
        choices = LevelChoices(self.space, self.table)
        self.open = self._bypass_choices(choices)
        least = min(bypass.least for bypass in self.open)
        if least < self.task.below:
            self._first_incumbents(choices, least)
        self._raise_lower_bound(least)
        self._deepen(choices)

    def _first_incumbents(self, choices: LevelChoices, least: float) -> None:
        for bypass in self.open[:DIVES]:
            self._dive(self._chain_search(choices, bypass))
        self._climb()
        best = min(self.task.below, self.incumbent.worst[0] if self.incumbent.worst else np.inf)
        if best > FAR * least:
            self.warm_up()
            self._climb()

    def _deepen(self, choices: LevelChoices) -> None:
        """Proofs under limits that rise until something is found below them: a poor incumbent excludes little."""
        every = self.open
        for limit in self._limits():
            self.incumbent.limit, self.pruned = limit, dict.fromkeys(self.pruned, 0)
            self.open = list(every)
            while self.open and not self.spent() and self._prove(choices, self.open[0]):
                del self.open[0]
            if self.open:
                self._raise_lower_bound(min(bypass.least for bypass in self.open))
                return
            worst = self.incumbent.worst
            if limit >= self.task.below or (worst is not None and worst[0] <= limit):
                self.finished = True
                return
            self._raise_lower_bound(limit)
            self.open = every
            every.sort(key=lambda bypass: bypass.least)

    def _raise_lower_bound(self, bound: float) -> None:
        """Nothing is better than this."""
        if self.incumbent.deciding and bound > 0:
            self.tally.lower_bound = max(bound, self.tally.lower_bound or 0.0)
            self.watch(self.tally)

    def _limits(self) -> Iterator[float]:
        """Up to the best known value; from then on it limits by itself."""
        least = min(bypass.least for bypass in self.open)
        if self.incumbent.deciding and least > 0:
            for limit in (factor * least for factor in LIMITS):
                worst = self.incumbent.worst
                if limit >= self.task.below or (worst is not None and worst[0] <= limit):
                    break
                yield limit
        yield self.task.below

    def _chain_search(self, choices: LevelChoices, bypass: BypassChoice) -> ChainSearch:
        return ChainSearch(self._bounds(bypass.keep), choices, self.incumbent, self.spent)

    def _bypass_choices(self, choices: LevelChoices) -> list[BypassChoice]:
        """All choices of bypasses, the most promising first; last those for whose bounds a budget of time leaves no room."""
        limit, nothing = self.task.budget.seconds, np.zeros(1)
        bounded: list[BypassChoice] = []
        unknown: list[BypassChoice] = []
        computes = CostBound(*self._bounds(next(self.space.bypass.every())).floor(nothing, nothing))
        for keep in self.space.bypass.every():
            if limit is None or not bounded or self.tally.seconds < ORDERING * limit:
                bounded.append(self._bypass_choice(keep, CostToGo(self._bounds(keep), choices).floor()))
            else:
                unknown.append(self._bypass_choice(keep, computes))
        return [*sorted(bounded, key=lambda bypass: bypass.least), *unknown]

    def _bypass_choice(self, keep: Keep, bound: CostBound) -> BypassChoice:
        return BypassChoice(keep, float(self.incumbent.score(*bound)[0]), bound)

    def _bounds(self, keep: Keep) -> LowerBounds:
        return LowerBounds(self.space, self.table, keep, timed=self.incumbent.timed)

    def _exhaust(self) -> None:
        """Small spaces, and padded ones, whose tiles the bounds do not describe."""
        searcher = Exhaustive(self.space, self.task.seed)
        while not self.spent() and (batch := searcher.ask(CHUNK)) is not None:
            self.evaluate(batch)
        self.finished = searcher.complete

    def _prove(self, choices: LevelChoices, bypass: BypassChoice) -> bool:
        """One choice of bypasses; False if the budget ended first."""
        orders = self.space.template_count // self.space.bypass.count
        search = None
        if not self.incumbent.beats(*bypass.bound)[0]:
            search = self._chain_search(choices, bypass)
            bypass.bound = search.cost_to_go.floor()
            bypass.least = float(self.incumbent.score(*bypass.bound)[0])
        if search is None or self.incumbent.beats(*bypass.bound)[0]:
            self.pruned["bypass"] += self.space.factor_count * orders
            return True
        if not search.forward():
            return False
        completion = Completion(search)
        if not self._evaluate_all(search, completion):
            return False
        for name, count in search.pruned.items():
            self.pruned[name] += int(count) * orders
        self.pruned["order"] += completion.pruned
        return True

    def _evaluate_all(self, search: ChainSearch, completion: Completion) -> bool:
        """Evaluates what the bounds leave over; False if the budget ended first."""
        waiting: list[TileChains] = []
        for i, chains in enumerate(search.complete(*PORTIONS)):
            waiting.append(chains)
            if i < EAGER or sum(map(len, waiting)) >= PORTIONS[1]:
                self._evaluate_chains(completion, TileChains.concatenated(waiting))
                waiting = []
            if self.spent():
                return False
        if waiting:
            self._evaluate_chains(completion, TileChains.concatenated(waiting))
        return True

    def best(self, stopped: str) -> Best:
        """The outcome."""
        best = self.tally.best(stopped, complete=self.finished)
        if self.finished and (best.value is None or best.value >= self.task.below):
            below = self.task.below if np.isfinite(self.task.below) else None
            best = replace(best, lower_bound=below, proven_optimal=False)
        if not self.finished and self.tally.lower_bound is not None:
            best = replace(best, lower_bound=min(self.tally.lower_bound, np.inf if best.value is None else best.value))
        left = 0 if self.finished else self.space.size // max(1, self.space.bypass.count) * max(1, len(self.open))
        proof = Certificate(covered=self.space.size - left, pruned=self.pruned, evaluated=self.tally.evaluated, left=left)
        return replace(best, certificate=proof)


def optimal(task: Task, watch: Watch = silent) -> Best:
    """The provably best mapping; when the budget ends first, the best one known and a lower bound."""
    with batch_evaluator(task) as evaluator:
        search = BranchAndBound(task, evaluator, watch)
        stopped = "done"
        try:
            if task.space.size:
                search.run()
        except KeyboardInterrupt:
            stopped = "interrupted"
    if stopped == "done" and not search.finished and task.space.size:
        stopped = "budget"
    return search.best(stopped)
