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

from .bounds import Bounds, Crossing, Floats, Ints, TileTable, element_alive

Prune = Callable[[Floats, Floats], npt.NDArray[np.bool_]]
"""(energy, cycles), both at least, to: such a mapping cannot be better than the best known one."""
Shared = dict[Crossing, Floats]
EXPAND = 1 << 20
"""Transitions made at once."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The spatial factors of one level: per choice the factor of every rank, and in how many ways the axes give it."""

    factors: Ints
    """Choice by rank."""
    ways: Floats
    splits: tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
    """Per choice the ways: per rank its factors along the axes."""


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
    source: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    target: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    spread: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    cost: Floats = field(default_factory=lambda: np.empty(0))
    time: Floats = field(default_factory=lambda: np.empty(0))
    out_energy: Floats = field(default_factory=lambda: np.empty(0))
    out_cycles: Floats = field(default_factory=lambda: np.empty(0))
    starts: Ints = field(default_factory=lambda: np.empty(0, np.int64))


class StepCost:
    """Energy and cycles, at least, of what is charged to one level."""

    def __init__(self, bounds: Bounds, level: int) -> None:
        self.bounds, self.level = bounds, level
        self.table: TileTable = bounds.tiles
        self.crossings = bounds.crossings[level]
        self.tensors = bounds.design.einsum.tensors
        self.delivered = {c: self.table.delivered(c.tensor) for c in self.crossings}
        self.alive = {c: self._alive(c, c.leaders) for c in self.crossings}
        self.slots = {c: self._alive(c, c.skippers) for c in self.crossings}
        inner = frozenset[str]().union(*bounds.keep[level + 1 :])
        self.waiting = {t: i for i, t in enumerate(t for t, x in enumerate(self.tensors) if x.name in inner)}
        arch = bounds.design.arch
        self.timed = any(
            lv.read_bandwidth is not None or lv.write_bandwidth is not None or lv.shared_bandwidth is not None for lv in arch.storage
        )

    @property
    def ordered(self) -> bool:
        """True if the order of the level's loops matters to the bound."""
        return any(c.child < self.bounds.levels for c in self.crossings)

    def _alive(self, crossing: Crossing, leaders: tuple[int, ...]) -> Floats:
        result = np.ones(self.table.count)
        for u in leaders:
            result = result * (element_alive(self.bounds.design, u) if crossing.child == self.bounds.levels else self.table.alive(u))
        return result

    def shared(self, spread: Spread) -> Shared:
        """Per crossing and choice the product of spatial factors along which children get the same words, and may share some."""
        found: Shared = {}
        for c in self.crossings:
            copies = [i for i, r in enumerate(self.table.ranks) if r not in self.tensors[c.tensor].ranks]
            some = [i for i, r in enumerate(self.table.ranks) if r not in self.bounds.plain_ranks[c.tensor]]
            real = spread.factors.astype(np.float64)
            found[c] = np.stack([real[:, copies].prod(axis=1), real[:, some].prod(axis=1)])
        return found

    def of(self, child: Ints, split: Floats, c: Crossing, run: Floats | None) -> tuple[Floats, ...]:
        """(energy, words read and updated at the parent, words filled into the child); `run` None: it reaches past the level."""
        arriving, sent = self._words(child, split, c, run)
        zero = 0.0 * sent
        energy_alive, slots_alive = self.alive[c][child], self.slots[c][child]
        if not c.output:
            energy = c.reads * sent + c.fills * arriving
            return energy * energy_alive, sent * slots_alive * c.read_slots, zero, arriving * slots_alive * c.fill_slots
        again, refills = zero, zero
        if c.plain:
            again = np.maximum(0.0, sent - c.whole * c.spread)
            if c.child < self.bounds.levels:
                inside = split[0] * self.bounds.most_shared(self.tensors[c.tensor], range(self.level))
                refills = np.maximum(0.0, arriving - c.whole * inside)
        energy = c.updates * sent + c.reads * again + c.fills * refills
        words = slots_alive * c.read_slots
        return energy * energy_alive, again * words, sent * words, refills * slots_alive * c.fill_slots

    def _words(self, child: Ints, split: Floats, c: Crossing, run: Floats | None) -> tuple[Floats, Floats]:
        """Dense words delivered to all children, and accesses of the parent, at least."""
        copies, some = split
        if c.child == self.bounds.levels:
            arriving = np.full(len(child), float(self.bounds.design.einsum.computes))
            return arriving, 0.0 * arriving if c.forwarded else arriving / (c.sharing * some)
        least = c.whole * copies
        arriving = least if run is None else np.maximum(least, self.delivered[c][child] / run)
        once = 0.0 if c.forwarded else c.whole
        sent = np.full(len(child), once) if run is None else np.maximum(once, arriving / (c.sharing * some))
        if run is None and c.plain:
            sent = np.maximum(sent, arriving / (c.sharing * some))
        return arriving, sent

    def total(self, child: Ints, shared: Shared, runs: dict[int, Floats | None]) -> tuple[Floats, Floats]:
        """Energy and cycles of all tensors."""
        energy, cycles = np.zeros(len(child)), np.zeros(len(child))
        arch = self.bounds.design.arch
        reads: dict[int, Floats] = {}
        writes: dict[int, Floats] = {}
        for c in self.crossings:
            part, read, update, fill = self.of(child, shared[c], c, runs.get(c.tensor))
            energy = energy + part
            if self.timed:
                reads[c.parent] = reads.get(c.parent, 0.0) + read
                writes[c.parent] = writes.get(c.parent, 0.0) + update
                if c.child < self.bounds.levels:
                    writes[c.child] = writes.get(c.child, 0.0) + fill
        for level in sorted({*reads, *writes}):
            spec, used = arch.levels[level], min(arch.levels[level].instances, self.bounds.most_lanes(range(level)))
            r, w = reads.get(level, 0.0), writes.get(level, 0.0)
            for words, rate in ((r, spec.read_bandwidth), (w, spec.write_bandwidth), (r + w, spec.shared_bandwidth)):
                if rate is not None:
                    cycles = np.maximum(cycles, words / used / rate)
        return energy, cycles

    def runs_of(self, signature: tuple[int, ...], factors: Floats) -> dict[int, Floats | None]:
        """Per tensor the innermost run of irrelevant loops under a class of orders; factors by rank."""
        found: dict[int, Floats | None] = {}
        for c in self.crossings:
            if c.child == self.bounds.levels:
                continue
            bits = signature[self.waiting[c.tensor]]
            rows = [i for i in range(len(self.table.ranks)) if bits >= 0 and bits >> i & 1]
            found[c.tensor] = None if bits < 0 else factors[rows].prod(axis=0)
        return found

    def least(self, child: Ints, shared: Shared, factors: Ints) -> tuple[Floats, Floats]:
        """Energy and cycles under the best order of the level's loops (each the best on its own); factors rank by column."""
        if not self.ordered:
            return self.total(child, shared, {})
        energy, cycles = np.full(len(child), np.inf), np.full(len(child), np.inf)
        loops = ((factors > 1).astype(np.int64) << np.arange(len(factors))[:, None]).sum(axis=0)
        real = factors.astype(np.float64)
        for existing in np.unique(loops):
            at = np.flatnonzero(loops == existing)
            mine = {c: v[:, at] for c, v in shared.items()}
            for signature in self.bounds.classes[self.level].known.get(int(existing), {}):
                e, c = self.total(child[at], mine, self.runs_of(signature, real[:, at]))
                energy[at], cycles[at] = np.minimum(energy[at], e), np.minimum(cycles[at], c)
        return energy, cycles


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
        self.costs = [StepCost(bounds, level) for level in range(bounds.levels)]
        self.pruned = {"capacity": 0.0, "bound": 0.0, "chain": 0.0}
        """Chains that fell away, by reason."""
        self.outer = self._compulsory()
        self.layers: list[Layer] = [None] * (bounds.levels + 1)  # type: ignore[list-item]

    def _compulsory(self) -> list[float]:
        """Per level: energy of what crosses the boundaries outside it even if everything is fetched once."""
        found = [0.0]
        for cost in self.costs[:-1]:
            least = 0.0
            for c in cost.crossings:
                alive = float(cost.alive[c].min())
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
        self.layers[-1] = Layer(point, np.ones(1, np.int64), zero, zero, np.ones(1))
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
        shared = cost.shared(step.spread)
        parts: list[tuple[Ints, ...]] = []
        for source, spread, middle in self._spreads(step, inner):
            for pick, target, factors in self._temporal(step, middle):
                src, chosen = source[pick], spread[pick]
                ok = fits[target]
                ways = inner.ways[src] * step.spread.ways[chosen] * self._ways_outside(step, target)
                self.pruned["capacity"] += float(ways[~ok].sum())
                src, chosen, target, factors, ways = src[ok], chosen[ok], target[ok], factors[:, ok], ways[ok]
                energy, cycles = cost.least(inner.code[src], {c: v[:, chosen] for c, v in shared.items()}, factors)
                lanes = inner.lanes[src] * step.spread.factors[chosen].prod(axis=1)
                dead = self._hopeless(inner.energy[src] + energy, np.maximum(inner.cycles[src], cycles), lanes, step.level)
                self.pruned["bound"] += float(ways[dead].sum())
                alive = ~dead
                parts.append((src[alive], chosen[alive], target[alive], energy[alive], cycles[alive], lanes[alive]))  # type: ignore[arg-type]
        return self._merged(step, inner, parts)

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

    def _merged(self, step: Step, inner: Layer, parts: list[tuple[Ints, ...]]) -> Layer:
        """Transitions sorted by the state they lead to, and those states."""
        empty = [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.int64)]
        source, spread, target, cost, time, lanes = (np.concatenate([e, *(p[i] for p in parts)]) for i, e in enumerate(empty))
        key = target * (int(lanes.max(initial=0)) + 1) + lanes
        order = np.argsort(key, kind="stable")
        source, spread, target, cost, time, lanes, key = (v[order] for v in (source, spread, target, cost, time, lanes, key))
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.empty(0, np.int64)
        state = np.cumsum(np.concatenate([[0], key[1:] != key[:-1]])) if len(key) else np.empty(0, np.int64)
        reduce = (lambda f, v: f.reduceat(v, starts)) if len(key) else (lambda f, v: v)
        return Layer(
            code=target[starts],
            lanes=lanes[starts],
            energy=reduce(np.minimum, inner.energy[source] + cost),
            cycles=reduce(np.minimum, np.maximum(inner.cycles[source], time)),
            ways=reduce(np.add, inner.ways[source] * step.spread.ways[spread]),
            source=source,
            target=state.astype(np.int64),
            spread=spread,
            cost=cost,
            time=time,
            starts=np.append(starts, len(key)),
        )

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
