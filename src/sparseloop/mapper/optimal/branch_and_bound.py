"""The best mapping of a mapspace with a proof: bounds over chains of tiles, the model on what they leave over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.batch_evaluator import BatchEvaluator, batch_evaluator
from sparseloop.mapper.optimal.completion import Completion
from sparseloop.mapper.optimal.cost_to_go import CostToGo
from sparseloop.mapper.optimal.level_choices import LevelChoices
from sparseloop.mapper.optimal.lower_bounds import Floats, LowerBounds, TileTable
from sparseloop.mapper.optimal.tile_chains import BEAM, ChainSearch, TileChains
from sparseloop.mapper.searchers import Exhaustive, Genetic
from sparseloop.mapper.space.constraints import Keep
from sparseloop.mapper.space.factorizations import divisors
from sparseloop.mapper.task import CHUNK, Batch, Best, Certificate, SearchTally, Task, Watch, silent

SLACK = 1e-9
"""Relative difference below which two values of an objective are the same."""
WARM_UP, FAR = 16, 2.0
"""Batches of the genetic searcher, where dives find nothing or nothing below so many times the lowest bound."""
DIVES, DIVERS, WIDTH = 8, 8, 2
"""Choices of bypasses to dive into, chains of each, and orders of a chain that a dive looks at."""
ORDERING = 0.25
"""Share of a budget of time after which choices of bypasses are no longer bounded before the search begins."""
LIMITS = (1.25, 2.0, 4.0, 10.0)
"""Multiples of the lowest bound of a choice of bypasses up to which mappings are looked for, one after the other."""
SMALL = 16384
"""Spaces of at most so many mappings are simply evaluated."""
PORTIONS = (16, 4096)
"""Chains completed at a time: few at first, so that the best known mapping soon is the best."""
EAGER = 4
"""Portions evaluated at once; later ones wait for more chains with the same orders."""


@dataclass(slots=True)
class BypassChoice:
    """A choice of bypasses, and what it costs at least; better known once its turn has come."""

    keep: Keep
    least: float
    """The first value of the objective."""
    energy: Floats
    cycles: Floats
    """Arrays of one."""


@dataclass
class Incumbent:
    """The best known values, and which bounds cannot beat them."""

    tally: SearchTally
    monotone: bool
    timed: bool
    """True if the objective sees the cycles."""
    extra: dict[str, float] = field(default_factory=dict[str, float])
    limit: float = np.inf
    """Nothing above this first value of the objective is looked for at present."""
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
        """The objective of (energy, cycles) at least: rows as in `Objective.values`."""
        columns: dict[str, npt.NDArray[Any]] = {
            "energy_pj": energy,
            "cycles": cycles,
            "area_um2": np.full(len(cycles), self.extra["area_um2"]),
            "utilization": self.extra["utilization"] / np.maximum(cycles, 1e-300),
        }
        with np.errstate(invalid="ignore"):  # nothing fits: infinite energy; what is not a number is never pruned
            return self.tally.goal.objective.values(columns)

    def score(self, energy: Floats, cycles: Floats) -> Floats:
        """The first value of the objective."""
        return self.values(energy, cycles)[0]

    def beats(self, energy: Floats, cycles: Floats) -> npt.NDArray[np.bool_]:
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


def _probed(incumbent: Incumbent) -> tuple[bool, bool]:
    """Whether the objective never falls with energy and cycles (a sum with negative weights does), and whether it sees cycles."""
    energy, cycles = np.meshgrid(np.geomspace(1, 1e15, 31), np.geomspace(1, 1e12, 25))
    values = incumbent.values(energy.reshape(-1), cycles.reshape(-1)).reshape(-1, *energy.shape)
    by_cycles = np.diff(values, axis=1)
    return bool((by_cycles >= 0).all() and (np.diff(values, axis=2) >= 0).all()), bool((by_cycles != 0).any())


class BranchAndBound:
    """One proof."""

    def __init__(self, task: Task, evaluator: BatchEvaluator, watch: Watch) -> None:
        self.task, self.space, self.evaluator, self.watch = task, task.space, evaluator, watch
        self.tally = SearchTally(task)
        arch = self.space.design.arch
        area = float(sum(level.area_um2 * level.instances for level in arch.levels))
        share = self.space.design.einsum.computes / arch.compute.instances
        extra = {"area_um2": area, "utilization": share}
        self.incumbent = Incumbent(self.tally, True, True, extra, below=task.below)
        self.incumbent.monotone, self.incumbent.timed = _probed(self.incumbent)
        self.pruned = {"bypass": 0, "capacity": 0, "bound": 0, "chain": 0, "order": 0}
        self.open: list[BypassChoice] = []
        self.finished = False

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

    def _evaluate_chains(self, leaves: Completion, chain: TileChains) -> None:
        sample = leaves.sample(chain)
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

    def _dive(self, chains: ChainSearch) -> None:
        """Better incumbents: the mappings that the bounds think best, of few chains of tiles."""
        if not chains.forward(BEAM):
            return
        chains.backward()
        leaves = Completion(chains, width=WIDTH)
        for chain in islice(chains.complete(DIVERS, DIVERS), 1):
            self._evaluate_chains(leaves, chain)

    def _climb(self) -> None:
        """To a better neighbour as long as there is one."""
        known = None
        while self.tally.top and not self.spent() and self.tally.top[0].values != known:
            known = self.tally.top[0].values
            around = self.space.neighbours(self.tally.top[0].mapping)
            if len(around):
                self.evaluate(around)

    # --- the proof ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Goes through all choices of bypasses, the most promising first."""
        if self.space.padded or not self.space.ranks or self.space.size <= SMALL:
            self._exhaust()
            return
        ranks = self.space.ranks
        sizes = [r.size for r in ranks]
        table = TileTable(self.space.design, [r.rank for r in ranks], sizes, [divisors(size) for size in sizes])
        steps = LevelChoices(self.space, table)
        self.open = self._choices(table, steps)
        least = min(one.least for one in self.open)
        if least < self.task.below:
            self._first_incumbents(table, steps, least)
        self._proven(least)
        self._deepen(table, steps)

    def _first_incumbents(self, table: TileTable, steps: LevelChoices, least: float) -> None:
        for choice in self.open[:DIVES]:
            self._dive(self._chains(table, steps, choice))
        self._climb()
        known = min(self.task.below, self.incumbent.worst[0] if self.incumbent.worst else np.inf)
        if known > FAR * least:
            self.warm_up()
            self._climb()

    def _deepen(self, table: TileTable, steps: LevelChoices) -> None:
        """Proofs under limits that rise until something is found below them: a poor incumbent excludes little."""
        every = self.open
        for limit in self._limits():
            self.incumbent.limit, self.pruned = limit, dict.fromkeys(self.pruned, 0)
            self.open = list(every)
            while self.open and not self.spent() and self._prove(table, steps, self.open[0]):
                del self.open[0]
            if self.open:
                self._proven(min(one.least for one in self.open))
                return
            worst = self.incumbent.worst
            if limit >= self.task.below or (worst is not None and worst[0] <= limit):
                self.finished = True
                return
            self._proven(limit)
            self.open = every
            every.sort(key=lambda one: one.least)

    def _proven(self, bound: float) -> None:
        """Nothing is better than this."""
        if self.incumbent.deciding and bound > 0:
            self.tally.lower_bound = max(bound, self.tally.lower_bound or 0.0)
            self.watch(self.tally)

    def _limits(self) -> Iterator[float]:
        """Up to the best known value; from then on it limits by itself."""
        least = min(one.least for one in self.open)
        if self.incumbent.deciding and least > 0:
            for limit in (factor * least for factor in LIMITS):
                worst = self.incumbent.worst
                if limit >= self.task.below or (worst is not None and worst[0] <= limit):
                    break
                yield limit
        yield self.task.below

    def _chains(self, table: TileTable, steps: LevelChoices, choice: BypassChoice) -> ChainSearch:
        return ChainSearch(self._bounds(table, choice.keep), steps, self.incumbent, self.spent)

    def _choices(self, table: TileTable, steps: LevelChoices) -> list[BypassChoice]:
        """All choices of bypasses, the most promising first; last those for whose bounds a budget of time leaves no room."""
        limit, nothing = self.task.budget.seconds, np.zeros(1)
        bounded: list[BypassChoice] = []
        unknown: list[BypassChoice] = []
        computes = self._bounds(table, next(self.space.bypass.every())).floor(nothing, nothing)
        for keep in self.space.bypass.every():
            if limit is None or not bounded or self.tally.seconds < ORDERING * limit:
                bounded.append(self._choice(keep, *CostToGo(self._bounds(table, keep), steps).floor()))
            else:
                unknown.append(self._choice(keep, *computes))
        return [*sorted(bounded, key=lambda one: one.least), *unknown]

    def _choice(self, keep: Keep, energy: Floats, cycles: Floats) -> BypassChoice:
        return BypassChoice(keep, float(self.incumbent.values(energy, cycles)[0, 0]), energy, cycles)

    def _bounds(self, table: TileTable, keep: Keep) -> LowerBounds:
        return LowerBounds(self.space, table, keep, timed=self.incumbent.timed)

    def _exhaust(self) -> None:
        """Small spaces, and padded ones, whose tiles the bounds do not describe."""
        searcher = Exhaustive(self.space, self.task.seed)
        while not self.spent() and (batch := searcher.ask(CHUNK)) is not None:
            self.evaluate(batch)
        self.finished = searcher.complete

    def _prove(self, table: TileTable, steps: LevelChoices, choice: BypassChoice) -> bool:
        """One choice of bypasses; False if the budget ended first."""
        orders = self.space.template_count // self.space.bypass.count
        chains = None
        if not self.incumbent.beats(choice.energy, choice.cycles)[0]:
            chains = self._chains(table, steps, choice)
            choice.energy, choice.cycles = chains.outside.floor()
            choice.least = float(self.incumbent.values(choice.energy, choice.cycles)[0, 0])
        if chains is None or self.incumbent.beats(choice.energy, choice.cycles)[0]:
            self.pruned["bypass"] += self.space.factor_count * orders
            return True
        if not chains.forward():
            return False
        chains.backward()
        leaves = Completion(chains)
        waiting: list[TileChains] = []
        for i, chain in enumerate(chains.complete(*PORTIONS)):
            waiting.append(chain)
            if i < EAGER or sum(map(len, waiting)) >= PORTIONS[1]:
                self._evaluate_chains(leaves, TileChains.concatenated(waiting))
                waiting = []
            if self.spent():
                return False
        if waiting:
            self._evaluate_chains(leaves, TileChains.concatenated(waiting))
        for name, count in chains.pruned.items():
            self.pruned[name] += int(count) * orders
        self.pruned["order"] += leaves.pruned
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
