"""What the loops of one level cost at least: the crossings that become known with them.

A crossing waits (is pending) while no loop has brought a new tile to its child: the run reaches past the level. It carries
W * (spatial factors since its child): with the tile of the level it still tells the words delivered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bounds import Bounds, Crossing, Floats, Ints, TileTable, element_alive
from .orders import LevelOrder, classes


@dataclass(frozen=True, slots=True)
class Spread:
    """The spatial factors of one level: per choice the factor of every rank, and in how many ways the axes give it."""

    factors: Ints
    """Choice by rank."""
    ways: Floats
    splits: tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
    """Per choice the ways: per rank its factors along the axes."""


@dataclass(frozen=True, slots=True)
class Carry:
    """A pending crossing: factors of the words delivered and of the accesses, and the shares of them that survive."""

    weight: Floats
    sent: Floats
    alive: Floats
    slots: Floats


Pending = dict[Crossing, Carry]
Charge = tuple[tuple[int, ...], Floats, Floats]
"""(class of orders, energy, cycles)."""
Moved = tuple[Crossing, Floats, Floats, Floats]
"""(crossing, energy, words read and written at the parent, words written into the child)."""
Sum = tuple[Floats, dict[int, Floats], dict[int, Floats]]
"""(energy, words read and words written by level)."""


class StepCost:
    """Energy and cycles, at least, of what is charged to one level."""

    def __init__(self, bounds: Bounds, level: int, spread: Spread, lumped: bool = False) -> None:
        self.bounds, self.level, self.spread = bounds, level, spread
        self.last = lumped or level == 0
        """No loop lies further out: what is still pending stays for good."""
        self.table: TileTable = bounds.tiles
        self.tensors = bounds.design.einsum.tensors
        mine = bounds.crossings[level]
        self.free = [c for c in mine if c.child == bounds.levels]
        """Crossings to the compute level: no loop changes them."""
        self.starting = [c for c in mine if c.child < bounds.levels]
        self.whole_shape = float(np.prod([float(n) for n in self.table.shape]))
        self.volume = self.table.extents.astype(np.float64).prod(axis=0)
        self.tables = {c: self._tables(c) for c in mine}
        inner = frozenset[str]().union(*bounds.keep[level + 1 :])
        self.waiting = {t: i for i, t in enumerate(t for t, x in enumerate(self.tensors) if x.name in inner)}
        real = spread.factors.astype(np.float64)
        self.lanes = real.prod(axis=1)
        everything = {c for crossings in bounds.crossings for c in crossings if c.child > level}
        self.copies = {c: self._product(real, self.tensors[c.tensor].ranks) for c in everything}
        self.some = {c: self._product(real, bounds.plain_ranks[c.tensor]) for c in everything}
        self.used = [min(lv.instances, bounds.most_lanes(range(i))) for i, lv in enumerate(bounds.design.arch.storage)]
        self.timed = any(
            lv.read_bandwidth is not None or lv.write_bandwidth is not None or lv.shared_bandwidth is not None
            for lv in bounds.design.arch.storage
        )
        self.inside = {c: bounds.most_shared(self.tensors[c.tensor], range(level)) for c in everything}
        self.beyond = {c: bounds.most_shared(self.tensors[c.tensor], range(c.parent, level)) for c in everything}
        """Most sharing at levels further out that lie inside the parent."""

        self.order = bounds.classes[level]
        if lumped:
            everything = LevelOrder(outer=(), free=self.table.ranks, inner=())
            self.order = classes(everything, self.table.ranks, self._relevant())

    def share_most(self) -> StepCost:
        """As if the spatial factors, which are not known, let every tensor share as much as it may."""
        here = range(self.level, self.level + 1)
        for c in self.some:
            most = self.bounds.most_shared(self.tensors[c.tensor], here)
            self.some[c] = np.full(1, most if self.level >= c.parent else 1.0)
            self.inside[c] *= most
        return self

    def lumped(self, code: Ints, spread: Ints) -> tuple[Floats, Floats]:
        """Energy and cycles at least, all loops outside the spatial ones joined rank by rank, in the best order.

        In any nest the ranks have an order by their innermost loops; with the loops of every rank joined in that order no run of
        irrelevant loops gets shorter.
        """
        shape = np.array(self.table.shape, dtype=np.float64)[:, None]
        factors = shape / (self.table.extents[:, code] * self.spread.factors[spread].T)
        loops = ((factors > 1).astype(np.int64) << np.arange(len(factors))[:, None]).sum(axis=0)
        energy, cycles = np.zeros(len(code)), np.zeros(len(code))
        for existing in np.unique(loops):
            at = np.flatnonzero(loops == existing)
            energy[at], cycles[at] = self.least(code[at], spread[at], factors[:, at], int(existing), self.started(code[at]))
        return energy, cycles

    def _relevant(self) -> list[frozenset[str]]:
        return [self.bounds.plain_ranks[t] for t in self.waiting]

    def _product(self, factors: Floats, ranks: frozenset[str]) -> Floats:
        columns = [i for i, r in enumerate(self.table.ranks) if r not in ranks]
        return factors[:, columns].prod(axis=1)

    def _tables(self, c: Crossing) -> tuple[Floats, Floats, Floats]:
        """By tile of the child: |T(tile)| and the shares of accesses that happen, and that take time."""
        alive, slots = np.ones(self.table.count), np.ones(self.table.count)
        for u in c.leaders:
            one = element_alive(self.bounds.design, u) if c.child == self.bounds.levels else self.table.alive(u)
            alive = alive * one
            slots = slots * one if u in c.skippers else slots
        return self.table.size(c.tensor), alive, slots

    # --- pending crossings ----------------------------------------------------------------------------------

    def started(self, code: Ints) -> Pending:
        """The crossings that begin at this boundary, by tile of the child."""
        found: Pending = {}
        for c in self.starting:
            size, alive, slots = (t[code] for t in self.tables[c])
            found[c] = Carry(size, size, alive, slots)
        return found

    def open(self, c: Crossing, loops: int) -> bool:
        """True if loops over these ranks (bits) keep the child's tile where it is."""
        return not self.last and not loops & self.order.relevant[self.waiting[c.tensor]]

    def waits(self, c: Crossing, carry: Carry, spread: Ints) -> Carry:
        """The crossing past this level."""
        lanes = self.lanes[spread]
        shared = self.some[c][spread] if self.level >= c.parent else 1.0
        return Carry(carry.weight * lanes, carry.sent * lanes / shared, carry.alive, carry.slots)

    # --- costs ----------------------------------------------------------------------------------------------

    def charges(self, code: Ints, spread: Ints, factors: Floats, loops: int, pending: Pending) -> list[Charge]:
        """Per class of orders what is known with this level; `factors` rank by column, all with the same loops (bits)."""
        closing = {c: carry for c, carry in pending.items() if not self.open(c, loops)}
        fixed = self._sum([self._compute_words(c, spread) for c in self.free], len(code))
        if not closing:
            energy, cycles = self._timed([fixed])
            return [(signature, energy, cycles) for signature in self._signatures(loops)]
        known: dict[tuple[int, ...], tuple[Floats, Floats]] = {}
        found: list[Charge] = []
        left = self.whole_shape / self.volume[code]
        for signature in self._signatures(loops):
            key = tuple(signature[self.waiting[c.tensor]] for c in closing)
            if key not in known:
                runs = [(self._run(bits, factors), bits) for bits in key]
                parts = [self._words(c, closing[c], left, spread, run) for c, run in zip(closing, runs, strict=True)]
                known[key] = self._timed([fixed, self._sum(parts, len(code))])
            found.append((signature, *known[key]))
        return found

    def _signatures(self, loops: int) -> list[tuple[int, ...]]:
        return list(self.order.known.get(loops, {}))

    def _run(self, bits: int, factors: Floats) -> Floats:
        rows = [i for i in range(len(self.table.ranks)) if bits < 0 or bits >> i & 1]
        return factors[rows].prod(axis=0)

    def least(self, code: Ints, spread: Ints, factors: Floats, loops: int, pending: Pending) -> tuple[Floats, Floats]:
        """The least energy and the least cycles over all orders, each on its own."""
        energy, cycles = np.full(len(code), np.inf), np.full(len(code), np.inf)
        for _, e, c in self.charges(code, spread, factors, loops, pending):
            energy, cycles = np.minimum(energy, e), np.minimum(cycles, c)
        return energy, cycles

    def _compute_words(self, c: Crossing, spread: Ints) -> Moved:
        """Accesses of the parent by the compute level: energy, and words read and updated."""
        computes = float(self.bounds.design.einsum.computes)
        sent = 0.0 * self.lanes[spread] if c.forwarded else computes / (c.sharing * self.some[c][spread])
        _, alive, slots = (t[0] for t in self.tables[c])
        again = np.maximum(0.0, sent - c.whole * c.spread) if c.output and c.plain else 0.0 * sent
        zero = 0.0 * sent
        if not c.output:
            return c, c.reads * sent * alive, np.stack([sent * slots * c.read_slots, zero]), zero
        return c, (c.updates * sent + c.reads * again) * alive, np.stack([again, sent]) * (slots * c.read_slots), zero

    def _words(self, c: Crossing, carry: Carry, left: Floats, spread: Ints, runs: tuple[Floats, int]) -> Moved:
        """The words of a crossing that closes here, or never."""
        run, bits = runs
        shared = self.beyond[c] * (self.some[c][spread] if self.level >= c.parent else 1.0)
        arriving = np.maximum(c.whole, carry.weight * left / run)
        sent = carry.sent * left / run / shared
        sent = np.maximum(0.0 if c.forwarded else c.whole, 0.0 * sent if c.forwarded and bits < 0 else sent)
        slots = carry.slots
        if not c.output:
            reads = np.stack([sent * slots * c.read_slots, 0.0 * sent])
            return c, (c.reads * sent + c.fills * arriving) * carry.alive, reads, arriving * slots * c.fill_slots
        again, refills = 0.0 * sent, 0.0 * sent
        if c.plain:
            again = np.maximum(0.0, sent - c.whole * c.spread)
            copies: Floats | float = self.bounds.most_shared(self.tensors[c.tensor], range(c.child))
            if self.level == c.child - 1:
                copies = self.copies[c][spread] * self.inside[c]
            refills = np.maximum(0.0, arriving - c.whole * copies)
        energy = (c.updates * sent + c.reads * again + c.fills * refills) * carry.alive
        return c, energy, np.stack([again, sent]) * (slots * c.read_slots), refills * slots * c.fill_slots

    def _sum(self, parts: list[Moved], count: int) -> Sum:
        """Energy, and words read and written by level."""
        energy = np.zeros(count)
        reads: dict[int, Floats] = {}
        writes: dict[int, Floats] = {}
        for c, part, moved, filled in parts:
            energy = energy + part
            if self.timed:
                reads[c.parent] = reads.get(c.parent, 0.0) + moved[0]
                writes[c.parent] = writes.get(c.parent, 0.0) + moved[1]
                if c.child < self.bounds.levels:
                    writes[c.child] = writes.get(c.child, 0.0) + filled
        return energy, reads, writes

    def _timed(self, sums: list[Sum]) -> tuple[Floats, Floats]:
        """Energy, and cycles of the slowest level."""
        energy = sum((s[0] for s in sums[1:]), sums[0][0])
        cycles = 0.0 * energy
        for level in sorted({lv for s in sums for words in s[1:] for lv in words}):
            spec = self.bounds.design.arch.levels[level]
            r = sum((s[1].get(level, 0.0) for s in sums), 0.0 * energy)
            w = sum((s[2].get(level, 0.0) for s in sums), 0.0 * energy)
            for words, rate in ((r, spec.read_bandwidth), (w, spec.write_bandwidth), (r + w, spec.shared_bandwidth)):
                if rate is not None:
                    cycles = np.maximum(cycles, words / self.used[level] / rate)
        return energy, cycles


def ahead(bounds: Bounds, level: int) -> tuple[Floats, Floats]:
    """By tile inside a level: energy and cycles of what is charged to the level, whatever it and the levels outside it do."""
    table = bounds.tiles
    unit = Spread(np.ones((1, len(table.ranks)), dtype=np.int64), np.ones(1), ((),))
    cost = StepCost(bounds, level, unit, lumped=True).share_most()
    return cost.lumped(np.arange(table.count), np.zeros(table.count, dtype=np.int64))
