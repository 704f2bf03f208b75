"""What the loops of one level cost at least: the crossings that become known with them.

A crossing is a tensor across the boundary between a level (the parent) and the next inner one that keeps it (the child). It waits
while no loop has brought a new tile to its child: the innermost run of loops that do not index the tensor reaches past the level.
A crossing that waits carries the words of its child's tile times the spatial factors since; with the tile of the level where it
closes that gives the words delivered.

Data: every array has one entry per column, a column being a tile inside the level with a choice of spatial factors and temporal
factors of the level. Orders of the temporal loops come in classes (`OrderClasses`), each with a signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from sparseloop.mapper.optimal.crossings import (
    ClassCost,
    Columns,
    Crossing,
    CrossingCost,
    CrossingTables,
    Load,
    Runs,
    Sharing,
    SpatialChoices,
    Waiting,
    WaitingCrossing,
)
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.quantities import CostBound, Energy, Floats, Ints, Share, TileNumbers, Words
from sparseloop.mapper.optimal.tile_table import TileTable
from sparseloop.mapper.optimal.windows import Movement
from sparseloop.mapper.space.loop_orders import LevelOrder, OrderClasses, Signature, sliding_rank


class LevelBound:
    """Energy and cycles, at least, of what is charged to one level."""

    def __init__(self, bounds: LowerBounds, level: int, spatial: SpatialChoices, joined: bool = False) -> None:
        """`joined`: as if all loops outside the spatial ones were one loop per rank."""
        self.bounds, self.level, self.spatial = bounds, level, spatial
        self.joined = joined
        self.last = joined or level == 0
        """No loop lies further out: what still waits stays for good."""
        self.table: TileTable = bounds.tiles
        self.tensors = bounds.design.einsum.tensors
        own = bounds.crossings[level]
        self.free = [c for c in own if c.child == bounds.levels]
        """Crossings to the compute level: no loop changes them."""
        self.starting = [c for c in own if c.child < bounds.levels]
        self.whole_shape = float(np.prod([float(n) for n in self.table.shape]))
        self.volume = self.table.once("volume", lambda: self.table.extents.astype(np.float64).prod(axis=0))
        """Computes of a tile, by its number."""
        self.tables = {c: self._tables(c) for c in own}
        inner = frozenset[str]().union(*bounds.keep[level + 1 :])
        self.waiting_tensors = {t: i for i, t in enumerate(t for t, x in enumerate(self.tensors) if x.name in inner)}
        """Tensor to its place in a signature."""
        windows = [t for t in self.waiting_tensors if bounds.windows[t] is not None]
        self.window_tensors = {t: len(self.waiting_tensors) + i for i, t in enumerate(windows)}
        """Tensor with halos to its second place in a signature."""
        self.factors = spatial.factors.astype(np.float64)
        self.lanes = spatial.lanes
        products: dict[frozenset[str], Floats] = {}
        crossings = {c for of_level in bounds.crossings for c in of_level if c.child > level}
        self.copies = {c: self._product(self.tensors[c.tensor].ranks, products) for c in crossings}
        """Lanes with the same words of the tensor, by choice of spatial factors."""
        self.sharing = {c: self.copies[c] if c.plain else bounds.shared(c, level, self.factors) for c in crossings}
        """Lanes that may share a tile, by choice of spatial factors."""
        self.returned = self._returned({c: self.copies[c] for c in bounds.returning[level]})
        self.windows = {c: window for c in crossings if (window := bounds.windows[c.tensor]) is not None}
        """Of the crossings whose tile slides."""
        self.used = [min(lv.instances, bounds.most_lanes(range(i))) for i, lv in enumerate(bounds.design.arch.storage)]
        self.sharing_outside = {c: bounds.most_shared(self.tensors[c.tensor], range(level)) for c in crossings}
        """Most sharing at all levels further out."""
        self.sharing_in_parent = {c: bounds.most_shared(self.tensors[c.tensor], range(c.parent, level)) for c in crossings}
        """Most sharing at levels further out that lie inside the parent."""
        self.wires = {c: self._wires(c) for c in crossings if c.wired and level >= c.parent}
        """Energy on the level's network of every word from further inside, by choice of spatial factors."""
        self.wires_outside = {c: bounds.wires(c, range(c.parent, level)) for c in self.wires}
        """Of every word that leaves the level's network, on those further out."""
        self.order = self._orders()

    def _orders(self) -> OrderClasses:
        """Classes of orders of the temporal loops; any order if all loops outside are joined."""
        if not self.joined:
            return self.bounds.classes[self.level]
        free = LevelOrder(outer=(), free=self.table.ranks, inner=())
        return self.bounds.order_classes(free, [*self.waiting_tensors])

    def with_sharing(self, known: Sharing) -> LevelBound:
        """As if nothing else were known of the spatial factors."""
        for c in self.sharing:
            most = known.shares[:, c.tensor]
            self.sharing[c] = most if self.level >= c.parent else np.ones(len(most))
            self.sharing_outside[c] *= float(most.max())
        self.wires |= known.wires
        self.returned = self._returned({c: known.shares[:, c.tensor] for c in self.bounds.returning[self.level]})
        return self

    def _returned(self, copies: dict[Crossing, Floats]) -> Floats | None:
        """Energy of partial sums read again further inside since lanes hold so many copies, by choice of spatial factors."""
        parts = [c.reads * self._alive_at_compute(c) * self.bounds.returned(c, self.level, mine) for c, mine in copies.items()]
        return cast("Any", sum)(parts) if parts else None

    def _alive_at_compute(self, c: Crossing) -> float:
        return self.bounds.design.einsum.least_nonzero(c.leaders)

    def _wires(self, c: Crossing) -> Floats:
        word, shared = self.bounds.word_pj(c, self.level, self.spatial.hops[c.tensor]), self.sharing[c]
        return (word + self.bounds.sum_pj(c, self.level) * (self.copies[c] - 1)) / shared

    def with_loops_joined(self, tiles: TileNumbers, spatial: Ints) -> CostBound:
        """Energy and cycles at least, all loops outside the spatial ones joined rank by rank, in the best order.

        In any nest the ranks have an order by their innermost loops; with the loops of every rank joined in that order no run of
        irrelevant loops gets shorter. A loop of bound 1 does no harm: some order has it outermost. Only what neighbours pass on
        depends on which loops exist.
        """
        shape = np.array(self.table.shape, dtype=np.float64)[:, None]
        factors = shape / (self.table.extents[:, tiles] * self.spatial.factors[spatial].T)
        if not any(c.forwarded for c in self.starting):
            return self.least(tiles, spatial, factors, (1 << len(factors)) - 1, self.started(tiles))
        loops = ((factors > 1).astype(np.int64) << np.arange(len(factors))[:, None]).sum(axis=0)
        energy, cycles = np.zeros(len(tiles)), np.zeros(len(tiles))
        for existing in np.unique(loops):
            at = np.flatnonzero(loops == existing)
            waiting = self.started(tiles[at])
            energy[at], cycles[at] = self.least(tiles[at], spatial[at], factors[:, at], int(existing), waiting)
        return CostBound(energy, cycles)

    def _product(self, ranks: frozenset[str], products: dict[frozenset[str], Floats]) -> Floats:
        """Of the spatial factors of all other ranks, by choice."""
        if ranks not in products:
            products[ranks] = self.factors[:, [i for i, r in enumerate(self.table.ranks) if r not in ranks]].prod(axis=1)
        return products[ranks]

    def _tables(self, c: Crossing) -> CrossingTables:
        size = self.table.met(c.tensor)
        if c.child == self.bounds.levels:
            einsum, every = self.bounds.design.einsum, np.ones(self.table.count)
            alive, busy = (every * einsum.least_nonzero(some) for some in (c.leaders, c.timed_leaders))
            # with padding a fiber of a mask may be looked up for few true words, and empty where others are not
            own = self.tensors[c.tensor].density.least_nonzero if self.table.plan.padded[c.tensor] else 1.0
            return CrossingTables(size, alive, busy, alive * own if c.entries else alive)
        alive, busy = self.table.nonempty(c.leaders), self.table.nonempty(c.timed_leaders)
        return CrossingTables(size, alive, busy, self.table.nonempty((*c.leaders, c.tensor)) if c.entries else alive)

    # --- crossings that wait --------------------------------------------------------------------------------

    def started(self, tiles: TileNumbers) -> Waiting:
        """The crossings that begin at the boundary inside the level, by tile of the child."""
        waiting: Waiting = {}
        for c in self.starting:
            of = self.tables[c]
            size = of.size[tiles]
            waiting[c] = WaitingCrossing(size, size, of.alive[tiles], of.busy[tiles], of.nonempty[tiles], np.zeros(len(tiles)))
        return waiting

    def stays_open(self, c: Crossing, loops: int) -> bool:
        """True if loops over these ranks (bits) keep the child's tile where it is."""
        return not self.last and not loops & self.order.relevant[self.waiting_tensors[c.tensor]]

    def growth(self, c: Crossing, run: int, tiles: TileNumbers, spatial: Ints, factors: Floats) -> Floats | float:
        """Words that a crossing brings at least in every pass of the loops outside a run, as a multiple of its tile.

        A tile that does not slide stays in the run and is new afterwards: once. `run` as in a `Signature`.
        """
        window = self.windows.get(c)
        if window is None:
            return 1.0
        inner = self.table.extents[:, tiles].astype(np.float64)
        moved = Movement(inner, self.factors[spatial].T, factors, run, self.joined)
        if c.child > self.level + 1:
            return window.growth(moved)
        share = window.fresh(moved) / self.tables[c].size[tiles]
        return share if sliding_rank(run) >= 0 else np.maximum(1.0, share)

    def _true_growth(
        self, c: Crossing, run: int, tiles: TileNumbers, spatial: Ints, factors: Floats
    ) -> Floats | float:  # fmt: skip
        """The same without padding, for a crossing that closes."""
        growth = self.growth(c, run, tiles, spatial, factors)
        return growth * self.windows[c].true(sliding_rank(run)) if c in self.windows else growth

    def _steps(self, c: Crossing, run: int, columns: Columns) -> Floats:
        """New words while a window slides through the loops of the level, as a multiple of its tile."""
        inner = self.table.extents[:, columns.tiles].astype(np.float64)
        moved = Movement(inner, self.factors[columns.spatial].T, columns.factors, run, self.joined)
        return self.windows[c].slid(moved) / self.tables[c].size[columns.tiles]

    def past(
        self, c: Crossing, waiting: WaitingCrossing, spatial: Ints, growth: Floats | float = 1.0
    ) -> WaitingCrossing:  # fmt: skip
        """What a crossing carries past this level; `growth`: over all loops of the level."""
        lanes = self.lanes[spatial] * growth
        shared = self.sharing[c][spatial] if self.level >= c.parent else 1.0
        arriving, accesses, wires = waiting.arriving * lanes, waiting.accesses * lanes / shared, waiting.wires * lanes
        if c in self.wires:
            wires = wires / self._merged_halos(c, spatial) + waiting.accesses * lanes * self.wires[c][spatial]
        return WaitingCrossing(arriving, accesses, waiting.alive, waiting.busy, waiting.nonempty, wires)

    def _merged_halos(self, c: Crossing, spatial: Ints) -> Floats | float:
        """Most lanes that have words of a sliding window in common without having the same tile: such words are no copies."""
        return self.sharing[c][spatial] / self.copies[c][spatial] if c in self.windows else 1.0

    def _on_networks(self, c: Crossing, carried: WaitingCrossing, passes: Floats, spatial: Ints) -> Energy | float:
        """Energy on all networks of a crossing that closes here."""
        if not c.wired:
            return 0.0
        energy: Energy = carried.wires * passes
        if c in self.wires:
            here = self.wires[c][spatial] + self.wires_outside[c] / self.sharing[c][spatial]
            energy = energy / self._merged_halos(c, spatial) + carried.accesses * passes * here
        return energy / self.sharing_in_parent[c] if c in self.windows else energy

    # --- costs ----------------------------------------------------------------------------------------------

    def class_costs(
        self, tiles: TileNumbers, spatial: Ints, factors: Floats, loops: int, waiting: Waiting, *, best: bool = False
    ) -> list[ClassCost]:  # fmt: skip
        """Per class of orders what becomes known with this level; `factors` (ranks, columns), all with the same loops (bits).

        `best`: not of classes that cost no less than another one whatever the factors are.
        """
        closing = {c: carried for c, carried in waiting.items() if not self.stays_open(c, loops)}
        moving = [c for c in waiting if c not in closing and self._moves_inside(c)]
        fixed = self._fixed(spatial)
        signatures = self.order.tightest(loops) if best else list(self.order.representatives.get(loops, {}))
        if not closing and not moving:
            bound = self._bound([fixed])
            return [ClassCost(signature, *bound) for signature in signatures]
        columns = Columns(tiles, spatial, factors, self.whole_shape / self.volume[tiles])
        by_runs: dict[tuple[Runs, ...], CostBound] = {}
        """Runs of the crossings to their cost."""
        costs: dict[tuple[Crossing, Runs], CrossingCost] = {}
        passes: dict[tuple[Crossing | None, int], Floats] = {}
        """Run to the passes of the loops outside it; for a sliding window to as many times its tile."""
        found: list[ClassCost] = []
        for signature in signatures:
            runs = {c: self._runs(c, signature) for c in (*closing, *moving)}
            key = tuple(runs.values())
            if key not in by_runs:
                for c, mine in runs.items():
                    if (c, mine) in costs:
                        continue
                    if c in closing:
                        words = self._passes(c, mine, columns, passes)
                        costs[c, mine] = self._closed(c, closing[c], words, spatial, _passed_on(mine.settled))
                    else:
                        costs[c, mine] = self._moved_inside(c, waiting[c], mine.moved, columns)
                by_runs[key] = self._bound([fixed, self._load([costs[pair] for pair in runs.items()], len(tiles))])
            found.append(ClassCost(signature, *by_runs[key]))
        return found

    def _runs(self, c: Crossing, signature: Signature) -> Runs:
        settled = signature[self.waiting_tensors[c.tensor]]
        return Runs(settled, signature[self.window_tensors[c.tensor]] if c in self.windows else settled)

    def _passes(
        self, c: Crossing, runs: Runs, columns: Columns, known: dict[tuple[Crossing | None, int], Floats]
    ) -> Floats:  # fmt: skip
        """How often a crossing that closes brings its tile at least."""
        most: Floats | None = None
        for run in {runs.settled, runs.moved}:
            key = (c if c in self.windows else None, run)
            if key not in known:
                words = self._true_growth(c, run, columns.tiles, columns.spatial, columns.factors)
                known[key] = columns.left / self._run(run, columns.factors) * words
            most = known[key] if most is None else np.maximum(most, known[key])
        assert most is not None
        return most

    def _moves_inside(self, c: Crossing) -> bool:
        """True if the loops of the level may slide the window of a crossing back and forth while it waits."""
        return c in self.windows and c.child == self.level + 1 and not (c.output or c.forwarded)

    def _moved_inside(self, c: Crossing, carried: WaitingCrossing, run: int, columns: Columns) -> CrossingCost:
        """What a crossing that waits brings beyond what it carries on, at least.

        Its window slides in every pass of the level's loops outside the run, forwards or back; what it carries on counts the
        words of all positions once.
        """
        every, none = self._run(-1, columns.factors), np.zeros(len(columns.tiles))
        if sliding_rank(run) < 0:
            return CrossingCost(c, none, carried.busy)
        at = (columns.tiles, columns.spatial, columns.factors)
        passes = columns.left / every * np.maximum(0.0, self._steps(c, run, columns) - self.growth(c, -1, *at))
        arriving, shared = carried.arriving * passes, self.sharing[c][columns.spatial] if self.level >= c.parent else 1.0
        accesses = carried.accesses * passes / (self.sharing_in_parent[c] * shared)
        alive, checks = carried.alive if c.leaders else 1.0, c.comparisons + c.entries * carried.nonempty
        wires = self._on_networks(c, carried, passes, columns.spatial)
        energy = (c.reads * accesses + c.fills * arriving + wires) * alive + checks * accesses
        return CrossingCost(c, energy, carried.busy, accesses, 0.0, arriving)

    def _run(self, run: int, factors: Floats) -> Floats:
        """Product of the factors of the ranks in a run (bits; negative: of all)."""
        rows = [i for i in range(len(self.table.ranks)) if run < 0 or run >> i & 1]
        return factors[rows].prod(axis=0)

    def least(self, tiles: TileNumbers, spatial: Ints, factors: Floats, loops: int, waiting: Waiting) -> CostBound:
        """The least energy and the least cycles over all orders, each on its own."""
        energy, cycles = np.full(len(tiles), np.inf), np.full(len(tiles), np.inf)
        for cost in self.class_costs(tiles, spatial, factors, loops, waiting, best=True):
            energy, cycles = np.minimum(energy, cost.energy), np.minimum(cycles, cost.cycles)
        return CostBound(energy, cycles)

    def quick_energy(self, tiles: TileNumbers, spatial: Ints, factors: Floats, loops: int, waiting: Waiting) -> Energy:
        """Energy at least, every crossing in the order that is best for it: no more than `least`, in less time."""
        energy = self._fixed(spatial).energy
        left, signatures = self.whole_shape / self.volume[tiles], self.order.tightest(loops)
        shares: dict[int, Floats] = {}
        for c, carried in waiting.items():
            if not self.stays_open(c, loops):
                runs = {signature[self.waiting_tensors[c.tensor]] for signature in signatures}
                least = np.ones(len(tiles))
                for run in runs:
                    if run not in shares:
                        shares[run] = 1 / self._run(run, factors)
                    least = np.minimum(least, shares[run] * self._true_growth(c, run, tiles, spatial, factors))
                energy += self._closed(c, carried, left * least, spatial, any(map(_passed_on, runs))).energy
        return energy

    def _fixed(self, spatial: Ints) -> Load:
        """What no loop changes."""
        load = self._load([self._to_compute(c, spatial) for c in self.free], len(spatial))
        return load if self.returned is None else Load(load.energy + self.returned[spatial], load.reads, load.writes)

    def _to_compute(self, c: Crossing, spatial: Ints) -> CrossingCost:
        """Accesses of the parent by the compute level."""
        computes = self.bounds.design.einsum.computes * self.bounds.design.einsum.true_share(self.tensors[c.tensor])
        accesses: Words = computes / (c.sharing * self.sharing[c][spatial])
        accesses = 0.0 * accesses if c.forwarded else accesses
        of = self.tables[c]
        alive, busy, nonempty = float(of.alive[0]), float(of.busy[0]), float(of.nonempty[0])
        firsts = c.whole * c.spread * _per(c, alive)
        again = np.maximum(0.0, accesses - firsts) if c.output and c.plain and not c.uneven else 0.0
        checks, wires = c.entries * nonempty + c.comparisons, self._to_compute_on_networks(c, spatial)
        if not c.output:
            return CrossingCost(c, (c.reads * alive + checks) * accesses + wires * alive, busy, accesses)
        energy = (c.updates * accesses + c.reads * again + wires) * alive + checks * accesses
        return CrossingCost(c, energy, busy, again, accesses)

    def _to_compute_on_networks(self, c: Crossing, spatial: Ints) -> Energy | float:
        """Energy of the accesses by the compute level on all networks."""
        if c not in self.wires:
            return 0.0
        inner = range(self.level + 1, self.bounds.levels)
        einsum, tensor = self.bounds.design.einsum, self.tensors[c.tensor]
        words = einsum.computes * einsum.true_share(tensor) / self.bounds.most_shared(tensor, inner)
        here = words * (self.wires[c][spatial] + self.wires_outside[c] / self.sharing[c][spatial])
        return here / self.sharing_in_parent[c] if c in self.windows else here

    def _closed(self, c: Crossing, carried: WaitingCrossing, passes: Floats, spatial: Ints, lone: bool) -> CrossingCost:
        """The words of a crossing that closes here, or never; `passes`: tiles outside, those of the run not counted."""
        arriving = np.maximum(c.whole, carried.arriving * passes)
        shared = self.sharing_in_parent[c] * (self.sharing[c][spatial] if self.level >= c.parent else 1.0)
        accesses = carried.accesses * passes / shared
        accesses = np.maximum(0.0 if c.forwarded else c.whole, 0.0 * accesses if c.forwarded and lone else accesses)
        alive, checks = (
            carried.alive if c.leaders else 1.0,
            c.comparisons + c.entries * carried.nonempty if c.entries else c.comparisons,
        )
        wires = self._on_networks(c, carried, passes, spatial)
        if not c.output:
            energy = (c.reads * accesses + c.fills * arriving + wires) * alive + checks * accesses
            return CrossingCost(c, energy, carried.busy, accesses, 0.0, arriving)
        if not c.plain:
            return CrossingCost(c, (c.updates * accesses + wires) * alive + checks * accesses, carried.busy, 0.0, accesses)
        copies: Floats | float = self.bounds.most_shared(self.tensors[c.tensor], range(c.child))
        if self.level == c.child - 1:
            copies = self.copies[c][spatial] * self.sharing_outside[c]
        again = np.maximum(0.0, accesses - c.whole * c.spread * _per(c, alive))
        refills = np.maximum(0.0, arriving - c.whole * copies * _per(c, alive))
        again, refills = (0.0 * again, 0.0 * refills) if c.uneven else (again, refills)
        wires = wires * (1.0 + again / accesses) if c.both_ways else wires
        energy = (c.updates * accesses + c.reads * again + c.fills * refills + wires) * alive + checks * accesses
        return CrossingCost(c, energy, carried.busy, again, accesses, refills)

    def _load(self, costs: Sequence[CrossingCost], columns: int) -> Load:
        """The sum of the energy, and of the bandwidth words where cycles are bounded."""
        energy = np.zeros(columns)
        reads: dict[int, Words | float] = {}
        writes: dict[int, Words | float] = {}
        for cost in costs:
            c = cost.crossing
            energy += cost.energy
            if self.bounds.timed:
                reads[c.parent] = reads.get(c.parent, 0.0) + cost.read * (cost.busy * c.read_words)
                writes[c.parent] = writes.get(c.parent, 0.0) + cost.updated * (cost.busy * c.update_words)
                if c.child < self.bounds.levels:
                    writes[c.child] = writes.get(c.child, 0.0) + cost.filled * (cost.busy * c.fill_words)
        return Load(energy, reads, writes)

    def _bound(self, loads: list[Load]) -> CostBound:
        """Energy of one or two loads, and cycles of the slowest level under both."""
        energy = loads[0].energy + loads[1].energy if len(loads) > 1 else loads[0].energy
        cycles = np.zeros(len(energy))
        for level in sorted({lv for load in loads for words in (load.reads, load.writes) for lv in words}):
            spec = self.bounds.design.arch.levels[level]
            read: Words | float = sum(load.reads.get(level, 0.0) for load in loads)
            written: Words | float = sum(load.writes.get(level, 0.0) for load in loads)
            rates = ((read, spec.read_bandwidth), (written, spec.write_bandwidth), (read + written, spec.shared_bandwidth))
            for words, rate in rates:
                if rate is not None:
                    cycles = np.maximum(cycles, words / (self.used[level] * rate))
        return CostBound(energy, cycles)


def _per(c: Crossing, alive: Share | float) -> Share | float:
    """As many accesses are one that happens, if first touches happen more often than others: all of them may."""
    return 1.0 / np.maximum(alive, 1e-300) if c.known_leader else 1.0


def _passed_on(run: int) -> bool:
    """True if neighbours may pass on every word of a sliding window: nothing but its own steps moves it."""
    return run < 0 or sliding_rank(run) >= 0
