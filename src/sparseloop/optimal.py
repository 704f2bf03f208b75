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
from .tilings import Chains, Steps

SLACK = 1e-9
"""Relative difference below which two values of an objective are the same."""
WARM_UP = 12
"""Batches of the genetic searcher that give the first incumbent."""
SMALL = 16384
"""Spaces of at most so many mappings are simply evaluated."""
PORTION = 4096
"""Chains completed at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the proof rests on: every mapping of the space is in exactly one of these."""

    covered: int
    """Mappings of the space."""
    pruned: dict[str, int]
    """Those that fell away unseen: by capacity, by the bound of a partial chain, of a whole chain, of the bypasses or the orders."""
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
        self.pruned = {"capacity": 0, "bound": 0, "chain": 0, "bypass": 0, "order": 0}
        self.bound = -np.inf
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
        if self.space.padded or self.space.size <= SMALL:
            self._exhaust()
            return
        self.warm_up()
        ranks = self.space.ranks
        table = TileTable(self.space.design, [r.rank for r in ranks], [r.size for r in ranks], [divisors(r.size) for r in ranks])
        for keep in self.space.bypass.every():
            if self.spent():
                return
            self._prove(table, keep)
        self.finished = True

    def _exhaust(self) -> None:
        """Small spaces, and padded ones, whose tiles the bounds do not describe."""
        searcher = Exhaustive(self.space, self.task.seed)
        while not self.spent() and (batch := searcher.ask(CHUNK)) is not None:
            self.evaluate(batch)
        self.finished = searcher.complete

    def _prove(self, table: TileTable, keep: Keep) -> None:
        """One choice of bypasses."""
        bounds = Bounds(self.space, table, keep)
        chains = Chains(bounds, Steps(bounds), self.incumbent.beats, self.spent)
        chains.forward()
        if chains.layers[0] is None:
            return
        chains.backward()
        leaves = Leaves(chains)
        for chain in chains.complete(PORTION):
            for sample in leaves.samples(chain):
                self.evaluate(sample)
            if self.spent():
                return
        orders = self.space.template_count // self.space.bypass.count
        for name, count in chains.pruned.items():
            self.pruned[name] += int(count) * orders
        self.pruned["order"] += leaves.pruned

    def best(self, stopped: str) -> Certified:
        """The outcome."""
        plain = self.tally.best(self.task, stopped, complete=self.finished)
        values = {f.name: getattr(plain, f.name) for f in fields(plain)}
        proof = Certificate(covered=self.space.size if self.finished else 0, pruned=self.pruned, evaluated=self.tally.evaluated)
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
