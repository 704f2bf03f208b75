"""What the loops of one level cost at least: the crossings that become known with them.

A crossing waits (is pending) while no loop has brought a new tile to its child: the run reaches past the level. It carries
W * (spatial factors since its child): with the tile of the level it still tells the words delivered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparseloop.mapper.optimal.lower_bounds import Crossing, Floats, Ints, LowerBounds, TileTable
from sparseloop.mapper.space.loop_orders import LevelOrder, order_classes


@dataclass(frozen=True, slots=True)
class SpatialChoices:
    """The spatial factors of one level: per choice the factor of every rank, and in how many ways the axes give it."""

    factors: Ints
    """Choice by rank."""
    lanes: Ints
    """Their product."""
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
    there: Floats
    """Share of the tiles that are not empty and survive."""


@dataclass(frozen=True, slots=True)
class CrossingCost:
    """What a crossing costs: energy, and words, of which the share `slots` takes time."""

    crossing: Crossing
    energy: Floats
    slots: Floats | float
    read: Floats | float = 0.0
    """From the parent."""
    updated: Floats | float = 0.0
    """At the parent."""
    filled: Floats | float = 0.0
    """Into the child."""


Pending = dict[Crossing, Carry]
Charge = tuple[tuple[int, ...], Floats, Floats]
"""(class of orders, energy, cycles)."""
Sum = tuple[Floats, dict[int, Floats | float], dict[int, Floats | float]]
"""(energy, words read and words written by level)."""


class LevelCost:
    """Energy and cycles, at least, of what is charged to one level."""

    def __init__(self, bounds: LowerBounds, level: int, spread: SpatialChoices, lumped: bool = False) -> None:
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
        self.factors = spread.factors.astype(np.float64)
        self.lanes = spread.lanes
        products: dict[frozenset[str], Floats] = {}
        everything = {c for crossings in bounds.crossings for c in crossings if c.child > level}
        self.copies = {c: self._product(self.tensors[c.tensor].ranks, products) for c in everything}
        self.some = {c: self._product(bounds.plain_ranks[c.tensor], products) for c in everything}
        self.used = [min(lv.instances, bounds.most_lanes(range(i))) for i, lv in enumerate(bounds.design.arch.storage)]
        self.inside = {c: bounds.most_shared(self.tensors[c.tensor], range(level)) for c in everything}
        self.beyond = {c: bounds.most_shared(self.tensors[c.tensor], range(c.parent, level)) for c in everything}
        """Most sharing at levels further out that lie inside the parent."""
        self.order = bounds.classes[level]
        if lumped:
            free, relevant = LevelOrder(outer=(), free=self.table.ranks, inner=()), self._relevant()
            self.order = self.table.once(("classes", free, *relevant), lambda: order_classes(free, self.table.ranks, relevant))

    def sharing(self, shares: Floats) -> LevelCost:
        """As if nothing were known of the spatial factors but how many lanes share a word: by choice and tensor."""
        for c in self.some:
            most = shares[:, c.tensor]
            self.some[c] = most if self.level >= c.parent else np.ones(len(most))
            self.inside[c] *= float(most.max())
        return self

    def lumped(self, code: Ints, spread: Ints) -> tuple[Floats, Floats]:
        """Energy and cycles at least, all loops outside the spatial ones joined rank by rank, in the best order.

        In any nest the ranks have an order by their innermost loops; with the loops of every rank joined in that order no run of
        irrelevant loops gets shorter. A loop of bound 1 does no harm: some order has it outermost. Only what neighbours pass on
        depends on which loops exist.
        """
        shape = np.array(self.table.shape, dtype=np.float64)[:, None]
        factors = shape / (self.table.extents[:, code] * self.spread.factors[spread].T)
        if not any(c.forwarded for c in self.starting):
            return self.least(code, spread, factors, (1 << len(factors)) - 1, self.started(code))
        loops = ((factors > 1).astype(np.int64) << np.arange(len(factors))[:, None]).sum(axis=0)
        energy, cycles = np.zeros(len(code)), np.zeros(len(code))
        for existing in np.unique(loops):
            at = np.flatnonzero(loops == existing)
            energy[at], cycles[at] = self.least(code[at], spread[at], factors[:, at], int(existing), self.started(code[at]))
        return energy, cycles

    def _relevant(self) -> list[frozenset[str]]:
        return [self.bounds.plain_ranks[t] for t in self.waiting]

    def _product(self, ranks: frozenset[str], known: dict[frozenset[str], Floats]) -> Floats:
        """Of the spatial factors of all other ranks."""
        if ranks not in known:
            known[ranks] = self.factors[:, [i for i, r in enumerate(self.table.ranks) if r not in ranks]].prod(axis=1)
        return known[ranks]

    def _tables(self, c: Crossing) -> tuple[Floats, Floats, Floats, Floats]:
        """By tile of the child: |T(tile)| and the shares of accesses that happen, that take time, and of bits of a mask."""
        alive, slots = np.ones(self.table.count), np.ones(self.table.count)
        for u in c.leaders:
            one = self.table.nonzero(u) if c.child == self.bounds.levels else self.table.nonempty(u)
            alive = alive * one
            slots = slots * one if u in c.skippers else slots
        own = 1.0 if c.child == self.bounds.levels else self.table.nonempty(c.tensor)
        return self.table.size(c.tensor), alive, slots, alive * own if c.masks else alive

    # --- pending crossings ----------------------------------------------------------------------------------

    def started(self, code: Ints) -> Pending:
        """The crossings that begin at this boundary, by tile of the child."""
        found: Pending = {}
        for c in self.starting:
            size, alive, slots, there = (t[code] for t in self.tables[c])
            found[c] = Carry(size, size, alive, slots, there)
        return found

    def open(self, c: Crossing, loops: int) -> bool:
        """True if loops over these ranks (bits) keep the child's tile where it is."""
        return not self.last and not loops & self.order.relevant[self.waiting[c.tensor]]

    def waits(self, c: Crossing, carry: Carry, spread: Ints) -> Carry:
        """The crossing past this level."""
        lanes = self.lanes[spread]
        shared = self.some[c][spread] if self.level >= c.parent else 1.0
        return Carry(carry.weight * lanes, carry.sent * lanes / shared, carry.alive, carry.slots, carry.there)

    # --- costs ----------------------------------------------------------------------------------------------

    def charges(self, code: Ints, spread: Ints, factors: Floats, loops: int, pending: Pending) -> list[Charge]:
        """Per class of orders what is known with this level; `factors` rank by column, all with the same loops (bits)."""
        closing = {c: carry for c, carry in pending.items() if not self.open(c, loops)}
        fixed = self._sum([self._compute_words(c, spread) for c in self.free], len(code))
        if not closing:
            energy, cycles = self._timed([fixed])
            return [(signature, energy, cycles) for signature in self._signatures(loops)]
        known: dict[tuple[int, ...], tuple[Floats, Floats]] = {}
        words: dict[tuple[Crossing, int], CrossingCost] = {}
        passes: dict[int, Floats] = {}
        found: list[Charge] = []
        left = self.whole_shape / self.volume[code]
        for signature in self._signatures(loops):
            key = tuple(signature[self.waiting[c.tensor]] for c in closing)
            if key not in known:
                for c, bits in zip(closing, key, strict=True):
                    if bits not in passes:
                        passes[bits] = left / self._run(bits, factors)
                    if (c, bits) not in words:
                        words[c, bits] = self._words(c, closing[c], passes[bits], spread, bits < 0)
                parts = [words[one] for one in zip(closing, key, strict=True)]
                known[key] = self._timed([fixed, self._sum(parts, len(code))])
            found.append((signature, *known[key]))
        return found

    def _signatures(self, loops: int) -> list[tuple[int, ...]]:
        return list(self.order.representatives.get(loops, {}))

    def _run(self, bits: int, factors: Floats) -> Floats:
        rows = [i for i in range(len(self.table.ranks)) if bits < 0 or bits >> i & 1]
        return factors[rows].prod(axis=0)

    def least(self, code: Ints, spread: Ints, factors: Floats, loops: int, pending: Pending) -> tuple[Floats, Floats]:
        """The least energy and the least cycles over all orders, each on its own."""
        energy, cycles = np.full(len(code), np.inf), np.full(len(code), np.inf)
        for _, e, c in self.charges(code, spread, factors, loops, pending):
            energy, cycles = np.minimum(energy, e), np.minimum(cycles, c)
        return energy, cycles

    def quick(self, code: Ints, spread: Ints, factors: Floats, loops: int, pending: Pending) -> Floats:
        """Energy at least, every crossing in the order that is best for it: no more than `least`, in less time."""
        energy = self._sum([self._compute_words(c, spread) for c in self.free], len(code))[0]
        left, signatures = self.whole_shape / self.volume[code], self._signatures(loops)
        runs: dict[int, Floats] = {}
        for c, carry in pending.items():
            if not self.open(c, loops):
                ways = {signature[self.waiting[c.tensor]] for signature in signatures}
                longest = np.ones(len(code))
                for bits in ways:
                    if bits not in runs:
                        runs[bits] = self._run(bits, factors)
                    longest = np.maximum(longest, runs[bits])
                energy += self._words(c, carry, left / longest, spread, min(ways) < 0).energy
        return energy

    def _compute_words(self, c: Crossing, spread: Ints) -> CrossingCost:
        """Accesses of the parent by the compute level."""
        computes = float(self.bounds.design.einsum.computes)
        sent: Floats = computes / (c.sharing * self.some[c][spread])
        sent = 0.0 * sent if c.forwarded else sent
        _, alive, slots, there = (float(t[0]) for t in self.tables[c])
        again = np.maximum(0.0, sent - c.whole * c.spread) if c.output and c.plain else 0.0
        if not c.output:
            return CrossingCost(c, (c.reads * alive + c.masks * there + c.checks) * sent, slots, sent)
        energy = (c.updates * alive + c.masks * there + c.checks) * sent + c.reads * alive * again
        return CrossingCost(c, energy, slots, again, sent)

    def _words(self, c: Crossing, carry: Carry, passes: Floats, spread: Ints, lone: bool) -> CrossingCost:
        """The words of a crossing that closes here, or never; `passes`: tiles outside, those of the run not counted."""
        arriving = np.maximum(c.whole, carry.weight * passes)
        shared = self.beyond[c] * (self.some[c][spread] if self.level >= c.parent else 1.0)
        sent = carry.sent * passes / shared
        sent = np.maximum(0.0 if c.forwarded else c.whole, 0.0 * sent if c.forwarded and lone else sent)
        alive, checks = carry.alive if c.leaders else 1.0, c.checks + c.masks * carry.there if c.masks else c.checks
        if not c.output:
            energy = (c.reads * sent + c.fills * arriving) * alive + checks * sent
            return CrossingCost(c, energy, carry.slots, sent, 0.0, arriving)
        if not c.plain:
            return CrossingCost(c, (c.updates * alive + checks) * sent, carry.slots, 0.0, sent)
        copies: Floats | float = self.bounds.most_shared(self.tensors[c.tensor], range(c.child))
        if self.level == c.child - 1:
            copies = self.copies[c][spread] * self.inside[c]
        again = np.maximum(0.0, sent - c.whole * c.spread)
        refills = np.maximum(0.0, arriving - c.whole * copies)
        energy = (c.updates * sent + c.reads * again + c.fills * refills) * alive + checks * sent
        return CrossingCost(c, energy, carry.slots, again, sent, refills)

    def _sum(self, parts: list[CrossingCost], count: int) -> Sum:
        """Energy, and words read and written by level."""
        energy = np.zeros(count)
        reads: dict[int, Floats | float] = {}
        writes: dict[int, Floats | float] = {}
        for moved in parts:
            c = moved.crossing
            energy += moved.energy
            if self.bounds.timed:
                slots = moved.slots * c.read_words
                reads[c.parent] = reads.get(c.parent, 0.0) + moved.read * slots
                writes[c.parent] = writes.get(c.parent, 0.0) + moved.updated * slots
                if c.child < self.bounds.levels:
                    writes[c.child] = writes.get(c.child, 0.0) + moved.filled * (moved.slots * c.fill_words)
        return energy, reads, writes

    def _timed(self, sums: list[Sum]) -> tuple[Floats, Floats]:
        """Energy, and cycles of the slowest level."""
        energy = sums[0][0] + sums[1][0] if len(sums) > 1 else sums[0][0]
        cycles = np.zeros(len(energy))
        for level in sorted({lv for s in sums for words in s[1:] for lv in words}):
            spec = self.bounds.design.arch.levels[level]
            r: Floats | float = sum(s[1].get(level, 0.0) for s in sums)
            w: Floats | float = sum(s[2].get(level, 0.0) for s in sums)
            for words, rate in ((r, spec.read_bandwidth), (w, spec.write_bandwidth), (r + w, spec.shared_bandwidth)):
                if rate is not None:
                    cycles = np.maximum(cycles, words / (self.used[level] * rate))
        return energy, cycles
