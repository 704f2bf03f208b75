"""Chains of tiles: all ways to factor every rank over the levels, walked from the inside out under a bound.

A step belongs to one storage level: first its spatial factors, then its temporal ones. States are (tile of the level, lanes so
far); for each the least energy and the least cycles of what lies inside are kept, together with every transition that may still
be part of a mapping better than the best one known. A second pass from the outside in gives the least of what lies outside, so
that the enumeration of complete chains meets only chains whose own bound is good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.optimal.cost_to_go import CostToGo
from sparseloop.mapper.optimal.level_choices import LevelChoice, LevelChoices
from sparseloop.mapper.optimal.level_cost import Carry, LevelCost, Pending
from sparseloop.mapper.optimal.lower_bounds import Floats, Ints, LowerBounds
from sparseloop.mapper.optimal.states import Edges, Frontier, Transitions, batched

BEAM = 64
"""Transitions of a level that a dive keeps."""
EXPAND = 1 << 18
"""Transitions made at once."""


class Pruner(Protocol):
    """What is known about good mappings; energy and cycles are both at least."""

    def beats(self, energy: Floats, cycles: Floats) -> npt.NDArray[np.bool_]:
        """True where such a mapping cannot be better than the best known one."""
        ...

    def score(self, energy: Floats, cycles: Floats) -> Floats:
        """The (first) objective."""
        ...


@dataclass(frozen=True, slots=True)
class TileChains:
    """Complete chains of tiles: per level the choice of spatial factors and the temporal factors of every rank."""

    spread: tuple[Ints, ...]
    factors: tuple[Ints, ...]
    """Per level: rank by chain."""
    energy: Floats
    cycles: Floats

    def __len__(self) -> int:
        return len(self.energy)

    def rows(self, at: Ints) -> TileChains:
        """Some of them."""
        return TileChains(
            tuple(s[at] for s in self.spread), tuple(f[:, at] for f in self.factors), self.energy[at], self.cycles[at]
        )

    @classmethod
    def concatenated(cls, parts: list[TileChains]) -> TileChains:
        """All of them."""
        spread = tuple(np.concatenate(level) for level in zip(*(p.spread for p in parts), strict=True))
        factors = tuple(np.concatenate(level, axis=1) for level in zip(*(p.factors for p in parts), strict=True))
        return cls(spread, factors, np.concatenate([p.energy for p in parts]), np.concatenate([p.cycles for p in parts]))


@dataclass(frozen=True, slots=True)
class PartialChains:
    """Chains from the outside in to the states of one layer: the transitions taken, and what they cost."""

    level: int
    state: Ints
    energy: Floats
    cycles: Floats
    path: Ints

    def rows(self, at: Ints) -> PartialChains:
        """Some of them."""
        return PartialChains(self.level, self.state[at], self.energy[at], self.cycles[at], self.path[:, at])


class ChainSearch:
    """All chains of tiles of one choice of bypasses that the bound admits."""

    def __init__(self, bounds: LowerBounds, steps: LevelChoices, judge: Pruner, spent: Callable[[], bool]) -> None:
        self.bounds, self.table, self.judge, self.spent = bounds, bounds.tiles, judge, spent
        self.steps = steps.steps
        self.costs: list[LevelCost] = []
        self.numbered = [c for crossings in bounds.crossings for c in crossings if c.child < bounds.levels]
        self.pruned = {"capacity": 0.0, "bound": 0.0, "chain": 0.0}
        """Chains that fell away, by reason."""
        self.outside = CostToGo(bounds, steps)
        self.layers: list[Frontier] = []
        """Outermost first, once `forward` is done; the last one is the point inside everything."""

    # --- from the inside out --------------------------------------------------------------------------------

    def forward(self, beam: int = 0) -> bool:
        """Layers of states under the bound, only the best `beam` transitions of each if given; False if the budget ended."""
        self.costs = [LevelCost(self.bounds, step.level, step.spread) for step in self.steps]
        point, zero = np.zeros(1, dtype=np.int64), np.zeros(1)
        layers = [Frontier(point, np.ones(1, np.int64), zero, zero, np.ones(1), point, {})]
        for step, cost in zip(reversed(self.steps), reversed(self.costs), strict=True):
            if self.spent():
                return False
            layers.append(self._layer(step, cost, layers[-1], beam))
        self.layers = layers[::-1]
        return True

    def _ways(self, ways: tuple[Floats, ...], code: Ints) -> Floats:
        """Product over the ranks of numbers of ways by tile."""
        result = np.ones(len(code))
        for rank, radix in enumerate(self.table.radix):
            result = result * ways[rank][code // radix % len(self.table.divisors[rank])]
        return result

    def _whole(self, energy: Floats, cycles: Floats, lanes: Ints, level: int) -> tuple[Floats, Floats]:
        """Totals at least of a mapping with that much energy, cycles and lanes at and inside a level."""
        most = np.minimum(lanes * self.bounds.most_lanes(range(level)), self.bounds.design.arch.compute.instances)
        cycles = np.maximum(cycles, self.bounds.design.einsum.computes * self.bounds.busy / most)
        return self.bounds.total_energy(energy, cycles), cycles + self.bounds.latency

    def _outwards(self, at: tuple[Floats, Floats, Ints, Ints], level: int) -> tuple[Floats, Floats]:
        """Totals at least of (energy, cycles, tile, lanes), by what the tile costs further out."""
        energy, cycles, target, lanes = at
        outer, slowest = self.outside.outer[level]
        return self._whole(energy + outer[target], np.maximum(cycles, slowest[target]), lanes, level)

    def _best(self, totals: tuple[Floats, Floats], count: int) -> Ints:
        """Where the best of them are, in their order."""
        if not count or len(totals[0]) <= count:
            return np.arange(len(totals[0]))
        return np.sort(np.argpartition(self.judge.score(*totals), count)[:count])

    def _layer(self, step: LevelChoice, cost: LevelCost, inner: Frontier, beam: int) -> Frontier:
        parts: list[Edges] = []
        for some in batched(self._candidates(step, cost, inner, beam), EXPAND):
            found = self._charged(cost, inner, some)
            dead = self.judge.beats(*self._reached(inner, found, step.level))
            self.pruned["bound"] += float(some.ways[dead].sum())
            parts.append(found.rows(~dead))
        edges = Edges.concatenated(parts)
        if beam:
            edges = edges.rows(self._best(self._reached(inner, edges, step.level), beam))
        return self._merged(step, cost, inner, edges)

    def _candidates(self, step: LevelChoice, cost: LevelCost, inner: Frontier, beam: int) -> Iterator[Transitions]:
        """Transitions that neither capacity nor quick bounds exclude."""
        fits = self.bounds.fits(step.level)
        for src, chosen, middle, low, slow in self._openings(step, inner, beam):
            for pick, target, factors in self._temporal(step, middle):
                ways = inner.ways[src[pick]] * step.spread.ways[chosen[pick]] * self._ways(step.outside, target)
                fit = fits[target]
                self.pruned["capacity"] += float(ways[~fit].sum())
                lanes = inner.lanes[src[pick]] * step.spread.lanes[chosen[pick]]
                totals = self._outwards((low[pick], slow[pick], target, lanes), step.level)
                dead = fit & self.judge.beats(*totals)
                self.pruned["bound"] += float(ways[dead].sum())
                ok = np.flatnonzero(fit & ~dead)
                ok = ok[self._best((totals[0][ok], totals[1][ok]), 4 * beam)]
                pick, ways = pick[ok], ways[ok]
                some = Transitions(src[pick], chosen[pick], target[ok], ways, factors[:, ok])
                energy = inner.energy[some.source] + self._quick(cost, inner, some)
                dead = self.judge.beats(*self._outwards((energy, slow[pick], some.target, lanes[ok]), step.level))
                self.pruned["bound"] += float(ways[dead].sum())
                yield some.rows(~dead)

    def _reached(self, inner: Frontier, edges: Edges, level: int) -> tuple[Floats, Floats]:
        """Totals at least with these transitions."""
        energy = inner.energy[edges.source] + edges.cost
        cycles = np.maximum(inner.cycles[edges.source], edges.time)
        return self._outwards((energy, cycles, edges.target, edges.lanes), level)

    def _openings(self, step: LevelChoice, inner: Frontier, beam: int) -> Iterator[tuple[Ints, Ints, Ints, Floats, Floats]]:
        """States with spatial factors that may be good: (state, choice, tile, energy and cycles at and inside the level)."""
        lumped = LevelCost(self.bounds, step.level, step.spread, lumped=True)
        around, slowest = self.outside.around[step.level]
        found: list[tuple[Ints, Ints, Ints, Floats, Floats]] = []
        scores: list[Floats] = []
        for source, spread, middle in self._spreads(step, inner):
            low, slow = self._lowest(lumped, inner, source, spread)
            lanes = inner.lanes[source] * step.spread.lanes[spread]
            totals = self._whole(low + around[middle], np.maximum(slow, slowest[middle]), lanes, step.level)
            dead = self.judge.beats(*totals)
            ways = inner.ways[source] * step.spread.ways[spread] * self._ways(step.middle, middle)
            self.pruned["bound"] += float(ways[dead].sum())
            good = np.flatnonzero(~dead)
            some = (source[good], spread[good], middle[good], low[good], slow[good])
            if beam:
                found.append(some)
                scores.append(self.judge.score(*totals)[good])
            else:
                yield some
        if found:
            best = np.argsort(np.concatenate(scores), kind="stable")[:beam]
            whole: list[Any] = [np.concatenate(column)[best] for column in zip(*found, strict=True)]
            yield (whole[0], whole[1], whole[2], whole[3], whole[4])

    def _lowest(self, lumped: LevelCost, inner: Frontier, source: Ints, spread: Ints) -> tuple[Floats, Floats]:
        """Energy and cycles at and inside a level at least, whatever its temporal loops are."""
        energy, cycles = lumped.lumped(inner.code[source], spread)
        return inner.energy[source] + energy, np.maximum(inner.cycles[source], cycles)

    def pending(self, cost: LevelCost, inner: Frontier, mask: int, states: Ints) -> Pending:
        """What waits, or begins, inside the level."""
        found = {self.numbered[b]: _picked(inner.carried[b], states) for b in range(len(self.numbered)) if mask >> b & 1}
        return found | cost.started(inner.code[states])

    def _groups(self, inner: Frontier, some: Transitions) -> Iterator[tuple[Ints, int, int]]:
        """Transitions with the same crossings pending and the same loops: (where, mask, loops)."""
        bits = len(some.factors)
        loops = ((some.factors > 1).astype(np.int64) << np.arange(bits)[:, None]).sum(axis=0)
        keys, group = np.unique((inner.mask[some.source] << bits) | loops, return_inverse=True)
        order, ends = np.argsort(group, kind="stable"), np.cumsum(np.bincount(group, minlength=len(keys)))
        for key, mine in zip(keys.tolist(), np.split(order, ends), strict=False):
            yield mine, key >> bits, key & ((1 << bits) - 1)

    def _quick(self, cost: LevelCost, inner: Frontier, some: Transitions) -> Floats:
        """Energy of the transitions at least."""
        energy, real = np.zeros(len(some.source)), some.factors.astype(np.float64)
        for mine, mask, loops in self._groups(inner, some):
            pending = self.pending(cost, inner, mask, some.source[mine])
            energy[mine] = cost.quick(inner.code[some.source[mine]], some.spread[mine], real[:, mine], loops, pending)
        return energy

    def _charged(self, cost: LevelCost, inner: Frontier, some: Transitions) -> Edges:
        """Transitions with their least energy and cycles, and which crossings wait after them; alike ones together."""
        src, spread, count = some.source, some.spread, len(some.source)
        energy, cycles, after = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
        real = some.factors.astype(np.float64)
        for mine, mask, loops in self._groups(inner, some):
            pending = self.pending(cost, inner, mask, src[mine])
            energy[mine], cycles[mine] = cost.least(inner.code[src[mine]], spread[mine], real[:, mine], loops, pending)
            after[mine] = sum(1 << self.numbered.index(c) for c in pending if cost.open(c, loops))
        lanes = inner.lanes[src] * cost.spread.lanes[spread]
        return Edges(src, spread, some.target, lanes, after, energy, cycles)

    def _spreads(self, step: LevelChoice, inner: Frontier) -> Iterator[tuple[Ints, Ints, Ints]]:
        """(state, choice of spatial factors, code of the tile with them), in portions."""
        choices = len(step.spread.factors)
        portion = max(1, EXPAND // 16 // max(1, choices))
        for start in range(0, len(inner.code), portion):
            states = np.arange(start, min(start + portion, len(inner.code)))
            source = np.repeat(states, choices)
            spread = np.tile(np.arange(choices), len(states))
            code, ok = self._multiplied(inner.code[source], step.spread.factors[spread].T)
            yield source[ok], spread[ok], code[ok]

    def _multiplied(self, code: Ints, factors: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Codes of the tiles enlarged by factors (rank by column), and which exist."""
        result, ok = np.zeros(len(code), dtype=np.int64), np.ones(len(code), dtype=bool)
        for rank, divisors in enumerate(self.table.divisors):
            grown: Any = divisors[code // self.table.radix[rank] % len(divisors)] * factors[rank]
            at: Ints = np.minimum(cast("Any", np.searchsorted)(divisors, grown), len(divisors) - 1)
            ok &= divisors[at] == grown
            result += at * self.table.radix[rank]
        return result, ok

    def _temporal(self, step: LevelChoice, code: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
        """(column of `code`, code of the tile with temporal factors, the factors), in portions."""
        counts = np.ones(len(code), dtype=np.int64)
        digits = [code // r % len(d) for r, d in zip(self.table.radix, self.table.divisors, strict=True)]
        sizes = [np.array([len(o) for o in options], dtype=np.int64) for options in step.options]
        flat: list[Ints] = [np.concatenate([np.empty(0, dtype=np.int64), *options]) for options in step.options]
        begins = [np.concatenate([[0], np.cumsum(s)]) for s in sizes]
        for digit, size in zip(digits, sizes, strict=True):
            counts *= size[digit]
        ends = np.cumsum(counts)
        start = 0
        while start < len(code):
            done = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + EXPAND, side="right")))
            pick = np.repeat(np.arange(start, stop), counts[start:stop])
            local = np.arange(len(pick)) - (ends[pick] - counts[pick] - done)
            factors = np.empty((len(digits), len(pick)), dtype=np.int64)
            for rank, digit in enumerate(digits):
                mine = digit[pick]
                factors[rank] = flat[rank][begins[rank][mine] + local % sizes[rank][mine]] if len(pick) else 0
                local //= np.maximum(sizes[rank][mine], 1)
            target, _ = self._multiplied(code[pick], factors)
            if len(pick):
                yield pick, target, factors
            start = stop

    def _merged(self, step: LevelChoice, cost: LevelCost, inner: Frontier, edges: Edges) -> Frontier:
        """Transitions sorted by the state they lead to, and those states."""
        e = edges.rows(np.lexsort((edges.mask, edges.lanes, edges.target)))
        changes = (np.diff(e.target) != 0) | (np.diff(e.lanes) != 0) | (np.diff(e.mask) != 0)
        fresh = np.concatenate([[True], changes])[: len(e.target)]
        starts = np.flatnonzero(fresh)
        waiting = [b for b in range(len(self.numbered)) if bool((e.mask >> b & 1).any())]
        ways = inner.ways[e.source] * step.spread.ways[e.spread]
        return Frontier(
            code=e.target[starts],
            lanes=e.lanes[starts],
            energy=_least(inner.energy[e.source] + e.cost, starts),
            cycles=_least(np.maximum(inner.cycles[e.source], e.time), starts),
            ways=np.add.reduceat(ways, starts) if len(starts) else ways,
            mask=e.mask[starts],
            carried={b: self._carried(cost, inner, b, (e, starts)) for b in waiting},
            source=e.source,
            target=np.cumsum(fresh) - 1,
            spread=e.spread,
            cost=e.cost,
            time=e.time,
            starts=np.append(starts, len(e.target)),
        )

    def _carried(self, cost: LevelCost, inner: Frontier, bit: int, at: tuple[Edges, Ints]) -> Carry:
        """What a crossing carries into the states, the least of all transitions into each."""
        edges, starts = at
        crossing, waiting = self.numbered[bit], np.flatnonzero(edges.mask >> bit & 1)
        source, spread = edges.source[waiting], edges.spread[waiting]
        begins = crossing in cost.starting
        before = cost.started(inner.code[source])[crossing] if begins else _picked(inner.carried[bit], source)
        after = cost.waits(crossing, before, spread)

        def least(values: Floats) -> Floats:
            every = np.full(len(edges.source), np.inf)
            every[waiting] = values
            return _least(every, starts)

        return Carry(least(after.weight), least(after.sent), least(after.alive), least(after.slots), least(after.there))

    # --- from the outside in --------------------------------------------------------------------------------

    def backward(self) -> None:
        """Per state the least of what lies outside."""
        bounds, top = self.bounds, self.layers[0]
        lanes = np.minimum(top.lanes, bounds.design.arch.compute.instances)
        top.out_energy = np.zeros(len(top.code))
        top.out_cycles = bounds.design.einsum.computes * bounds.busy / np.maximum(lanes, 1)
        for outer, inner in zip(self.layers, self.layers[1:], strict=False):
            inner.out_energy = np.full(len(inner.code), np.inf)
            inner.out_cycles = np.full(len(inner.code), np.inf)
            np.minimum.at(inner.out_energy, outer.source, outer.out_energy[outer.target] + outer.cost)
            np.minimum.at(inner.out_cycles, outer.source, np.maximum(outer.out_cycles[outer.target], outer.time))

    def complete(self, first: int, last: int) -> Iterator[TileChains]:
        """Complete chains whose own bound is good enough, about the best first, in portions that grow."""
        top, portion = self.layers[0], first
        many = len(top.code)
        stack = [PartialChains(0, np.arange(many), np.zeros(many), top.out_cycles, np.empty((0, many), dtype=np.int64))]
        while stack:
            some = self._good(stack.pop())
            if not len(some.state):
                continue
            if some.level == self.bounds.levels:
                yield self._chain(some)
                portion = min(last, 2 * portion)
                continue
            layer = self.layers[some.level]
            counts = layer.starts[some.state + 1] - layer.starts[some.state]
            take = max(1, int(np.searchsorted(np.cumsum(counts), portion, side="right")))
            if take < len(some.state):
                stack.append(some.rows(np.arange(take, len(some.state))))
            stack.append(self._extended(some.rows(np.arange(min(take, len(some.state)))), layer))

    def _good(self, some: PartialChains) -> PartialChains:
        """Those that may be part of something good, the best first."""
        layer = self.layers[some.level]
        time = np.maximum(some.cycles, layer.cycles[some.state])
        bound = self.bounds.total_energy(some.energy + layer.energy[some.state], time)
        alive = ~self.judge.beats(bound, time + self.bounds.latency)
        self.pruned["chain"] += float(layer.ways[some.state[~alive]].sum())
        return some.rows(np.flatnonzero(alive)[np.argsort(bound[alive], kind="stable")])

    def _extended(self, some: PartialChains, layer: Frontier) -> PartialChains:
        """By every transition of the next level inwards."""
        counts = layer.starts[some.state + 1] - layer.starts[some.state]
        pick = np.repeat(np.arange(len(some.state)), counts)
        edge = layer.starts[some.state][pick] + np.arange(len(pick)) - (np.cumsum(counts) - counts)[pick]
        return PartialChains(
            some.level + 1,
            layer.source[edge],
            some.energy[pick] + layer.cost[edge],
            np.maximum(some.cycles[pick], layer.time[edge]),
            np.concatenate([some.path[:, pick], edge[None]]),
        )

    def _chain(self, some: PartialChains) -> TileChains:
        """The factors of complete chains."""
        spread: list[Ints] = []
        factors: list[Ints] = []
        for step, layer, inner, edge in zip(self.steps, self.layers[:-1], self.layers[1:], some.path, strict=True):
            spread.append(layer.spread[edge])
            outer_tile = self.table.extents[:, layer.code[layer.target[edge]]]
            inner_tile = self.table.extents[:, inner.code[layer.source[edge]]]
            factors.append(outer_tile // inner_tile // step.spread.factors[layer.spread[edge]].T)
        cycles = some.cycles + self.bounds.latency
        return TileChains(tuple(spread), tuple(factors), self.bounds.total_energy(some.energy, some.cycles), cycles)


def _picked(carry: Carry, states: Ints) -> Carry:
    every = (carry.weight, carry.sent, carry.alive, carry.slots, carry.there)
    return Carry(*(part[states] for part in every))


def _least(values: Floats, starts: Ints) -> Floats:
    """The least of every run of values."""
    return np.minimum.reduceat(values, starts) if len(starts) else values
