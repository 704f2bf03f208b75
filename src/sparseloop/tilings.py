"""Chains of tiles: all ways to factor every rank over the levels, walked from the inside out under a bound.

A step belongs to one storage level: first its spatial factors, then its temporal ones. States are (tile of the level, lanes so
far); for each the least energy and the least cycles of what lies inside are kept, together with every transition that may still
be part of a mapping better than the best one known. A second pass from the outside in gives the least of what lies outside, so
that the enumeration of complete chains meets only chains whose own bound is good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt

from .bounds import Bounds, Crossing, Floats, Ints
from .charges import Carry, Pending, Spread, StepCost

Prune = Callable[[Floats, Floats], npt.NDArray[np.bool_]]
"""(energy, cycles), both at least, to: such a mapping cannot be better than the best known one."""
EXPAND = 1 << 20
"""Transitions made at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a level may do to the tile."""

    level: int
    spread: Spread
    options: tuple[tuple[Ints, ...], ...]
    """Per rank and index of the tile before the temporal loops: admissible temporal factors."""
    outside: tuple[Floats, ...]
    """Per rank and index of the tile: ways to factor what is left over the levels outside."""


class Steps:
    """The factors that the mapspace admits, level by level."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.space, self.table = bounds.space, bounds.tiles
        self.index: list[dict[int, int]] = [{int(v): i for i, v in enumerate(d)} for d in self.table.divisors]
        outside = self._outside()
        self.steps = [self._step(level, outside[level]) for level in range(bounds.levels)]

    def _groups(self, rank: int, level: int) -> tuple[list[int], dict[int, list[tuple[int, ...]]]]:
        """Temporal factors, and spatial factors with their splits, of a rank at a level."""
        temporal, spatial = [1], {1: [()]}
        for group in self.space.ranks[rank].factors.groups:
            if group.level != level:
                continue
            values = [int(v) for v in self.table.divisors[rank] if group.allows(int(v))]
            if group.temporal:
                temporal = values
            else:
                spatial = {v: found for v in values if (found := list(group.splits(v)))}
        return temporal, spatial

    def _outside(self) -> list[tuple[Floats, ...]]:
        """Ways to complete a tile by the levels outside each level."""
        found: list[tuple[Floats, ...]] = []
        for rank, divisors in enumerate(self.table.divisors):
            ways = np.zeros(len(divisors))
            ways[-1] = 1.0
            mine = [ways]
            for level in range(self.bounds.levels - 1):
                temporal, spatial = self._groups(rank, level)
                before = np.zeros(len(divisors))
                for (t, (s, splits)), i in product(product(temporal, spatial.items()), range(len(divisors))):
                    target = self.index[rank].get(int(divisors[i]) * t * s)
                    before[i] += len(splits) * ways[target] if target is not None else 0.0
                ways = before
                mine.append(ways)
            found.append(tuple(mine))
        return [tuple(mine[level] for mine in found) for level in range(self.bounds.levels)]

    def _step(self, level: int, outside: tuple[Floats, ...]) -> Step:
        options: list[tuple[Ints, ...]] = []
        for rank, divisors in enumerate(self.table.divisors):
            temporal, _ = self._groups(rank, level)
            index = self.index[rank]
            fits = [[t for t in temporal if (at := index.get(int(v) * t)) is not None and outside[rank][at] > 0] for v in divisors]
            options.append(tuple(np.array(f, dtype=np.int64) for f in fits))
        return Step(level, self._spread(level), tuple(options), outside)

    def _spread(self, level: int) -> Spread:
        """Spatial factors of all ranks within the fanout (not where lanes are packed)."""
        x, y = self.bounds.design.arch.fanout(level)
        packed = any(s.kind == "spatial_skip" and s.level == level for s in self.bounds.design.sparse.safs)
        choices = [self._groups(rank, level)[1] for rank in range(len(self.table.divisors))]
        axes = [self._axes(rank, level) for rank in range(len(self.table.divisors))]
        found: dict[tuple[int, ...], list[tuple[tuple[int, ...], ...]]] = {}

        def extended(rank: int, factors: tuple[int, ...], split: tuple[tuple[int, ...], ...], used: tuple[int, int]) -> None:
            if rank == len(choices):
                found.setdefault(factors, []).append(split)
                return
            for factor, splits in choices[rank].items():
                for one in splits:
                    now = list(used)
                    for axis, n in zip(axes[rank], one, strict=True):
                        now[axis == "y"] *= n
                    if packed or (now[0] <= x and now[1] <= y):
                        extended(rank + 1, (*factors, factor), (*split, one), (now[0], now[1]))

        extended(0, (), (), (1, 1))
        return Spread(
            factors=np.array(list(found), dtype=np.int64).reshape(len(found), len(choices)),
            ways=np.array([len(v) for v in found.values()], dtype=np.float64),
            splits=tuple(tuple(v) for v in found.values()),
        )

    def _axes(self, rank: int, level: int) -> list[str]:
        return [str(loop.axis) for loop in self.space.ranks[rank].loops if loop.level == level and loop.spatial]


@dataclass(slots=True)
class Layer:
    """States at the boundary outside one level, and the transitions into them."""

    code: Ints
    lanes: Ints
    energy: Floats
    cycles: Floats
    ways: Floats
    """Chains inside that are still there."""
    mask: Ints
    """Which crossings are pending, as bits."""
    carried: dict[int, Carry]
    """Bit of a crossing to what it carries, by state."""
    source: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    target: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    spread: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    cost: Floats = field(default_factory=lambda: np.empty(0))
    time: Floats = field(default_factory=lambda: np.empty(0))
    out_energy: Floats = field(default_factory=lambda: np.empty(0))
    out_cycles: Floats = field(default_factory=lambda: np.empty(0))
    starts: Ints = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class Chain:
    """Complete chains of tiles: per level the choice of spatial factors and the temporal factors of every rank."""

    spread: tuple[Ints, ...]
    factors: tuple[Ints, ...]
    """Per level: rank by chain."""
    energy: Floats
    cycles: Floats

    def __len__(self) -> int:
        return len(self.energy)


class Chains:
    """All chains of tiles of one choice of bypasses that the bound admits."""

    def __init__(self, bounds: Bounds, steps: Steps, prune: Prune, spent: Callable[[], bool]) -> None:
        self.bounds, self.table, self.prune, self.spent = bounds, bounds.tiles, prune, spent
        self.steps = steps.steps
        self.costs = [StepCost(bounds, step.level, step.spread) for step in self.steps]
        self.numbered = [c for crossings in bounds.crossings for c in crossings if c.child < bounds.levels]
        self.pruned = {"capacity": 0.0, "bound": 0.0, "chain": 0.0}
        """Chains that fell away, by reason."""
        self.outer = self._compulsory()
        self.layers: list[Layer] = [None] * (bounds.levels + 1)  # type: ignore[list-item]

    def _compulsory(self) -> list[float]:
        """Per level: energy of what crosses the boundaries outside it even if everything is fetched once."""
        found = [0.0]
        for cost in self.costs[:-1]:
            least = 0.0
            for c in (*cost.free, *cost.starting):
                alive = float(cost.tables[c][1].min())
                if c.child == self.bounds.levels:
                    sent, arriving = float(self.bounds.design.einsum.computes) / (c.sharing * self.bounds.most_lanes(range(cost.level, cost.level + 1))), 0.0
                else:
                    sent, arriving = c.whole, c.whole
                sent = 0.0 if c.forwarded else sent
                least += alive * (c.updates * sent if c.output else c.reads * sent + c.fills * arriving)
            found.append(found[-1] + least)
        return found

    # --- from the inside out --------------------------------------------------------------------------------

    def forward(self) -> None:
        """Layers of states under the bound."""
        point = np.zeros(1, dtype=np.int64)
        zero = np.zeros(1)
        self.layers[-1] = Layer(point, np.ones(1, np.int64), zero, zero, np.ones(1), point, {})
        for step, cost in zip(reversed(self.steps), reversed(self.costs), strict=True):
            if self.spent():
                return
            self.layers[step.level] = self._layer(step, cost, self.layers[step.level + 1])

    def _ways_outside(self, step: Step, code: Ints) -> Floats:
        result = np.ones(len(code))
        for rank, radix in enumerate(self.table.radix):
            result = result * step.outside[rank][code // radix % len(self.table.divisors[rank])]
        return result

    def total_energy(self, energy: Floats, cycles: Floats) -> Floats:
        """With computes and leakage."""
        return energy + self.bounds.compute_energy + self.bounds.leak * (cycles + self.bounds.latency)

    def _hopeless(self, energy: Floats, cycles: Floats, lanes: Ints, level: int) -> npt.NDArray[np.bool_]:
        """Partial chains up to a level that cannot become good enough."""
        bounds = self.bounds
        most = np.minimum(lanes * bounds.most_lanes(range(level)), bounds.design.arch.compute.instances)
        cycles = np.maximum(cycles, bounds.design.einsum.computes * bounds.busy / most)
        return self.prune(self.total_energy(energy + self.outer[level], cycles), cycles + bounds.latency)

    def _layer(self, step: Step, cost: StepCost, inner: Layer) -> Layer:
        fits = self.bounds.fits(step.level)
        parts: list[tuple[Ints, ...]] = []
        for source, spread, middle in self._spreads(step, inner):
            for pick, target, factors in self._temporal(step, middle):
                src, chosen = source[pick], spread[pick]
                ok = fits[target]
                ways = inner.ways[src] * step.spread.ways[chosen] * self._ways_outside(step, target)
                self.pruned["capacity"] += float(ways[~ok].sum())
                src, chosen, target, factors, ways = src[ok], chosen[ok], target[ok], factors[:, ok], ways[ok]
                energy, cycles, mask = self._charged(cost, inner, src, chosen, factors)
                lanes = inner.lanes[src] * step.spread.factors[chosen].prod(axis=1)
                dead = self._hopeless(inner.energy[src] + energy, np.maximum(inner.cycles[src], cycles), lanes, step.level)
                self.pruned["bound"] += float(ways[dead].sum())
                alive = ~dead
                parts.append((src[alive], chosen[alive], target[alive], energy[alive], cycles[alive], lanes[alive], mask[alive]))  # type: ignore[arg-type]
        return self._merged(step, cost, inner, parts)

    def pending(self, cost: StepCost, inner: Layer, mask: int, states: Ints) -> Pending:
        """What waits, or begins, inside the level."""
        found = {self.numbered[b]: _picked(inner.carried[b], states) for b in range(len(self.numbered)) if mask >> b & 1}
        return found | cost.started(inner.code[states])

    def _charged(self, cost: StepCost, inner: Layer, src: Ints, spread: Ints, factors: Ints) -> tuple[Floats, Floats, Ints]:
        """Least energy and cycles of transitions, and which crossings wait after them; grouped by what makes them alike."""
        energy, cycles, after = np.zeros(len(src)), np.zeros(len(src)), np.zeros(len(src), dtype=np.int64)
        loops = ((factors > 1).astype(np.int64) << np.arange(len(factors))[:, None]).sum(axis=0)
        bits = len(factors)
        key = (inner.mask[src] << bits) | loops
        for group in np.unique(key):
            at = np.flatnonzero(key == group)
            mask, existing = int(group) >> bits, int(group) & ((1 << bits) - 1)
            pending = self.pending(cost, inner, mask, src[at])
            energy[at], cycles[at] = cost.least(inner.code[src[at]], spread[at], factors[:, at].astype(np.float64), existing, pending)
            after[at] = sum(1 << self.numbered.index(c) for c in pending if cost.open(c, existing))
        return energy, cycles, after

    def _spreads(self, step: Step, inner: Layer) -> Iterator[tuple[Ints, Ints, Ints]]:
        """(state, choice of spatial factors, code of the tile with them), in portions."""
        choices = len(step.spread.factors)
        portion = max(1, EXPAND // 64 // max(1, choices))
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
            grown = divisors[code // self.table.radix[rank] % len(divisors)] * factors[rank]
            at = np.minimum(np.searchsorted(divisors, grown), len(divisors) - 1)
            ok &= divisors[at] == grown
            result += at * self.table.radix[rank]
        return result, ok

    def _temporal(self, step: Step, code: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
        """(column of `code`, code of the tile with temporal factors, the factors), in portions."""
        counts = np.ones(len(code), dtype=np.int64)
        digits = [code // r % len(d) for r, d in zip(self.table.radix, self.table.divisors, strict=True)]
        sizes = [np.array([len(o) for o in options], dtype=np.int64) for options in step.options]
        flat = [np.concatenate(options) if options else np.empty(0, np.int64) for options in step.options]
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

    def _merged(self, step: Step, cost: StepCost, inner: Layer, parts: list[tuple[Ints, ...]]) -> Layer:
        """Transitions sorted by the state they lead to, and those states."""
        empty = [np.empty(0, t) for t in (np.int64, np.int64, np.int64, np.float64, np.float64, np.int64, np.int64)]
        source, spread, target, price, time, lanes, mask = (np.concatenate([e, *(p[i] for p in parts)]) for i, e in enumerate(empty))
        order = np.lexsort((mask, lanes, target))
        source, spread, target, price, time, lanes, mask = (v[order] for v in (source, spread, target, price, time, lanes, mask))
        fresh = np.concatenate([[True], (np.diff(target) != 0) | (np.diff(lanes) != 0) | (np.diff(mask) != 0)])[: len(target)]
        starts = np.flatnonzero(fresh)
        carried: dict[int, Carry] = {}
        for b, c in enumerate(self.numbered):
            at = np.flatnonzero(mask >> b & 1)
            if len(at):
                carried[b] = self._carried(cost, inner, (b, c), (source, spread, at), starts)
        reduce = (lambda f, v: f.reduceat(v, starts)) if len(starts) else (lambda f, v: v)
        return Layer(
            code=target[starts],
            lanes=lanes[starts],
            energy=reduce(np.minimum, inner.energy[source] + price),
            cycles=reduce(np.minimum, np.maximum(inner.cycles[source], time)),
            ways=reduce(np.add, inner.ways[source] * step.spread.ways[spread]),
            mask=mask[starts],
            carried=carried,
            source=source,
            target=np.cumsum(fresh) - 1,
            spread=spread,
            cost=price,
            time=time,
            starts=np.append(starts, len(target)),
        )

    def _carried(self, cost: StepCost, inner: Layer, crossing: tuple[int, Crossing], edges: tuple[Ints, Ints, Ints], starts: Ints) -> Carry:
        """What a crossing carries into the states, the least of all transitions into each."""
        bit, c = crossing
        source, spread, at = edges
        before = cost.started(inner.code[source[at]])[c] if c in cost.starting else _picked(inner.carried[bit], source[at])
        after = cost.waits(c, before, spread[at])

        def least(values: Floats) -> Floats:
            every = np.full(len(source), np.inf)
            every[at] = values
            return np.minimum.reduceat(every, starts)

        return Carry(least(after.weight), least(after.sent), least(after.alive), least(after.slots))

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

    def least(self) -> tuple[float, float]:
        """Energy and cycles that no chain undercuts (each on its own); infinite if there is no chain."""
        top = self.layers[0]
        cycles = np.maximum(top.cycles, top.out_cycles)
        if not len(cycles):
            return np.inf, np.inf
        return float(self.total_energy(top.energy, cycles).min()), float(cycles.min()) + self.bounds.latency

    def complete(self, portion: int) -> Iterator[Chain]:
        """Complete chains whose own bound is good enough, about the best first, in portions."""
        top = self.layers[0]
        many = len(top.code)
        blank = np.empty((0, many), dtype=np.int64)
        stack = [(0, np.arange(many), np.zeros(many), top.out_cycles, blank)]
        while stack:
            level, state, energy, cycles, path = stack.pop()
            layer = self.layers[level]
            time = np.maximum(cycles, layer.cycles[state])
            bound = self.total_energy(energy + layer.energy[state], time)
            alive = ~self.prune(bound, time + self.bounds.latency)
            self.pruned["chain"] += float(layer.ways[state[~alive]].sum())
            order = np.flatnonzero(alive)[np.argsort(bound[alive], kind="stable")]
            state, energy, cycles, path = state[order], energy[order], cycles[order], path[:, order]
            if not len(state):
                continue
            if level == self.bounds.levels:
                yield self._chain(path, energy, cycles)
                continue
            counts = layer.starts[state + 1] - layer.starts[state]
            take = max(1, int(np.searchsorted(np.cumsum(counts), portion, side="right")))
            if take < len(state):
                stack.append((level, state[take:], energy[take:], cycles[take:], path[:, take:]))
                state, energy, cycles, path, counts = state[:take], energy[:take], cycles[:take], path[:, :take], counts[:take]
            pick = np.repeat(np.arange(len(state)), counts)
            edge = layer.starts[state][pick] + np.arange(len(pick)) - (np.cumsum(counts) - counts)[pick]
            grown = np.concatenate([path[:, pick], edge[None]])
            stack.append((level + 1, layer.source[edge], energy[pick] + layer.cost[edge], np.maximum(cycles[pick], layer.time[edge]), grown))

    def _chain(self, path: Ints, energy: Floats, cycles: Floats) -> Chain:
        spread: list[Ints] = []
        factors: list[Ints] = []
        for step, layer, inner, edge in zip(self.steps, self.layers[:-1], self.layers[1:], path, strict=True):
            spread.append(layer.spread[edge])
            outer_tile = self.table.extents[:, layer.code[layer.target[edge]]]
            inner_tile = self.table.extents[:, inner.code[layer.source[edge]]]
            factors.append(outer_tile // inner_tile // step.spread.factors[layer.spread[edge]].T)
        return Chain(tuple(spread), tuple(factors), self.total_energy(energy, cycles), cycles + self.bounds.latency)


def _picked(carry: Carry, states: Ints) -> Carry:
    return Carry(carry.weight[states], carry.sent[states], carry.alive[states], carry.slots[states])
