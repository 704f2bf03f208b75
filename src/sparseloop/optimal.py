"""The best mapping of a mapspace with a proof: bounds over chains of tiles, the model on what they leave over."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from .bounds import Bounds, Floats, TileTable
from .factors import divisors
from .freedom import Keep
from .leaves import Leaves
from .search import CHUNK, Best, Evaluator, Tally, Task, Watch, evaluator, silent
from .searchers import Batch, Exhaustive, Genetic
from .steps import Steps
from .tilings import Chains

SLACK = 1e-9
"""Relative difference below which two values of an objective are the same."""
WARM_UP = 12
"""Batches of the genetic searcher that give the first incumbent."""
SMALL = 16384
"""Spaces of at most so many mappings are simply evaluated."""
PORTIONS = (16, 4096)
"""Chains completed at a time: few at first, so that the best known mapping soon is the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the proof rests on; the rest of the covered mappings cost the same as evaluated ones, or exceed a fanout."""

    covered: int
    """Mappings about which the proof speaks: all with the choices of bypasses that were finished."""
    pruned: dict[str, int]
    """Those that fell away unseen: by capacity, by the bound of a partial chain of tiles, by that of a whole chain (all in
    mappings), by the bound of the orders of a whole chain (in mappings of different traffic)."""
    evaluated: int
    """Mappings evaluated by the model, those of the first incumbents included."""
    left: int = 0
    """Those not reached when the budget ended."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Certified(Best):
    """A best mapping with its certificate."""

    certificate: Certificate


@dataclass
class Incumbent:
    """The best known values, and which bounds cannot beat them."""

    tally: Tally
    monotone: bool
    extra: dict[str, float] = field(default_factory=dict[str, float])

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

    def beats(self, energy: Floats, cycles: Floats) -> npt.NDArray[np.bool_]:
        """True where nothing with at least this energy and these cycles is better than what is known."""
        goal = self.tally.goal
        if not self.monotone or goal.pareto or len(self.tally.top) < goal.top:
            return np.zeros(len(energy), dtype=bool)
        dead, same = np.zeros(len(energy), dtype=bool), np.ones(len(energy), dtype=bool)
        for row, best in zip(self.values(energy, cycles), self.tally.top[-1].values, strict=True):
            margin = SLACK * abs(best)
            dead |= same & (row > best + margin)
            same &= row >= best - margin
        return dead | same


def _monotone(incumbent: Incumbent) -> bool:
    """Probes that the objective grows with energy and with cycles (a sum with negative weights does not)."""
    energy, cycles = np.meshgrid(np.geomspace(1, 1e15, 31), np.geomspace(1, 1e12, 25))
    values = incumbent.values(energy.reshape(-1), cycles.reshape(-1)).reshape(-1, *energy.shape)
    return bool((np.diff(values, axis=1) >= 0).all() and (np.diff(values, axis=2) >= 0).all())


class Search:
    """One proof."""

    def __init__(self, task: Task, workers: Evaluator, watch: Watch) -> None:
        self.task, self.space, self.workers, self.watch = task, task.space, workers, watch
        self.tally = Tally(task.space, task.goal)
        arch = self.space.design.arch
        area = float(sum(level.area_um2 * level.instances for level in arch.levels))
        share = self.space.design.einsum.computes / arch.compute.instances
        self.incumbent = Incumbent(self.tally, True, {"area_um2": area, "utilization": share})
        self.incumbent.monotone = _monotone(self.incumbent)
        self.pruned = {"capacity": 0, "bound": 0, "chain": 0, "order": 0}
        self.bound = np.inf
        """Nothing that was not proven is better than this."""
        self.open: list[Keep] = []
        self.finished = False

    # --- evaluation -----------------------------------------------------------------------------------------

    def spent(self) -> bool:
        """True once the budget is."""
        budget = self.task.budget
        late = budget.seconds is not None and self.tally.seconds >= budget.seconds
        return late or (budget.mappings is not None and self.tally.evaluated >= budget.mappings)

    def evaluate(self, batch: Batch) -> Floats:
        """The objective of a batch, taken into the tally; inf where it is not valid."""
        columns = self.workers.finished(batch, self.workers.started(batch))
        self.tally.add(batch, columns)
        self.watch(self.tally, self.task.budget)
        return np.where(columns["status"] == 0, self.task.goal.objective.scalars(columns), np.inf)

    def warm_up(self) -> None:
        """First incumbents, by the genetic searcher."""
        searcher = Genetic(self.space, self.task.seed)
        for _ in range(WARM_UP):
            batch = None if self.spent() else searcher.ask(CHUNK // 4)
            if batch is None:
                return
            searcher.tell(batch, self.evaluate(batch))

    # --- the proof ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Goes through all choices of bypasses, the most promising first."""
        if self.space.padded or not self.space.ranks or self.space.size <= SMALL:
            self._exhaust()
            return
        self.warm_up()
        ranks = self.space.ranks
        sizes = [r.size for r in ranks]
        table = TileTable(self.space.design, [r.rank for r in ranks], sizes, [divisors(size) for size in sizes])
        self.open = self._keeps()
        while self.open and not self.spent() and self._prove(table, self.open[0]):
            del self.open[0]
        self.finished = not self.open
        if self.open:
            self._bound_open(table)

    def _bound_open(self, table: TileTable) -> None:
        """The lower bound of what was not proven: every choice of bypasses by its cheapest tiles."""
        for keep in self.open:
            bounds = Bounds(self.space, table, keep)
            energy, cycles = Chains(bounds, Steps(bounds), self.incumbent.beats, self.spent).floor()
            self.bound = min(self.bound, float(self.incumbent.values(np.array([energy]), np.array([cycles]))[0, 0]))

    def _keeps(self) -> list[Keep]:
        """All choices of bypasses, those of the best known mapping first."""
        known = self.tally.top[0].mapping.nest.keep if self.tally.top else ()
        return sorted(self.space.bypass.every(), key=lambda keep: sum(a != b for a, b in zip(keep, known, strict=False)))

    def _exhaust(self) -> None:
        """Small spaces, and padded ones, whose tiles the bounds do not describe."""
        searcher = Exhaustive(self.space, self.task.seed)
        while not self.spent() and (batch := searcher.ask(CHUNK)) is not None:
            self.evaluate(batch)
        self.finished = searcher.complete

    def _prove(self, table: TileTable, keep: Keep) -> bool:
        """One choice of bypasses; False if the budget ended first."""
        bounds = Bounds(self.space, table, keep)
        chains = Chains(bounds, Steps(bounds), self.incumbent.beats, self.spent)
        if not chains.forward():
            return False
        chains.backward()
        leaves = Leaves(chains)
        for chain in chains.complete(*PORTIONS):
            for sample in leaves.samples(chain):
                self.evaluate(sample)
            if self.spent():
                return False
        orders = self.space.template_count // self.space.bypass.count
        for name, count in chains.pruned.items():
            self.pruned[name] += int(count) * orders
        self.pruned["order"] += leaves.pruned
        return True

    def best(self, stopped: str) -> Certified:
        """The outcome."""
        plain = self.tally.best(self.task, stopped, complete=self.finished)
        values = {f.name: getattr(plain, f.name) for f in fields(plain)}
        if not self.finished and self.incumbent.monotone and np.isfinite(self.bound):
            values["lower_bound"] = min(self.bound, plain.value if plain.value is not None else np.inf)
        left = 0 if self.finished else self.space.size // max(1, self.space.bypass.count) * max(1, len(self.open))
        proof = Certificate(covered=self.space.size - left, pruned=self.pruned, evaluated=self.tally.evaluated, left=left)
        return Certified(**values, certificate=proof)


def optimal(task: Task, watch: Watch = silent) -> Certified:
    """The provably best mapping; when the budget ends first, the best one known and a lower bound."""
    with evaluator(task) as workers:
        search = Search(task, workers, watch)
        stopped = "done"
        try:
            if task.space.size:
                search.run()
        except KeyboardInterrupt:
            stopped = "interrupted"
    if stopped == "done" and not search.finished and task.space.size:
        stopped = "budget"
    return search.best(stopped)
