"""All chains of tiles under a bound: every way to factor the ranks over the levels, walked from the inside out.

The search passes one level after the other, first its spatial factors, then its temporal ones. Of every state it keeps the least
energy and the least cycles of what lies inside, with every transition that may still be part of a mapping better than the best
one known. Complete chains are then read off from the outside in; those whose own bound is not good enough are dropped on the way.
The records are those of `states`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from sparseloop.mapper.optimal.cost_to_go import CostToGo
from sparseloop.mapper.optimal.crossings import Crossing, Waiting, WaitingCrossing
from sparseloop.mapper.optimal.effort import Effort, TooManyChains
from sparseloop.mapper.optimal.level_choices import LevelChoice, LevelChoices, metadata_fits
from sparseloop.mapper.optimal.level_cost import LevelBound
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.quantities import CostBound, Energy, Factors, Flags, Floats, Ints, Lanes, TileNumbers
from sparseloop.mapper.optimal.states import (
    Edges,
    Frontier,
    Openings,
    PartialChains,
    PartialSteps,
    TemporalSteps,
    TileChains,
    Transitions,
    batched,
    factor_targets,
)

BEAM = 64
"""Transitions of a level that a dive keeps."""
WIDER_OPENINGS = 16
"""A dive computes the cost of so many times as many openings as it keeps."""
QUICK = 8
"""Openings whose cost is only looked up take as much time as one column that is computed."""
EXPAND = 1 << 18
"""Transitions made at once."""
KEPT = 3
"""Transitions that need as much memory, once they are sorted, as one does before."""


class Pruner(Protocol):
    """What is known about good mappings; energy and cycles are both lower bounds."""

    def beats(self, energy: Floats, cycles: Floats) -> Flags:
        """True where such a mapping cannot be better than the best known one."""
        ...

    def score(self, energy: Floats, cycles: Floats) -> Floats:
        """The (first) objective."""
        ...


@dataclass(frozen=True, slots=True)
class _Alike:
    """Transitions with the same crossings waiting inside and the same temporal loops."""

    at: Ints
    waiting: int
    """Bits of crossings."""
    loops: int
    """Bits of ranks."""


class ChainSearch:
    """All chains of tiles of one choice of bypasses that the bound admits."""

    def __init__(
        self, bounds: LowerBounds, choices: LevelChoices, pruner: Pruner, effort: Effort, cost_to_go: CostToGo | None = None
    ) -> None:  # fmt: skip
        self.bounds, self.table, self.pruner, self.effort = bounds, bounds.tiles, pruner, effort
        self.choices = choices.by_level
        self.costs: list[LevelBound] = []
        """Per level, once `forward` has begun."""
        self.numbered = [c for crossings in bounds.crossings for c in crossings if c.child < bounds.levels]
        """The crossings that may wait; a bit stands for each."""
        self.pruned = {"capacity": 0.0, "bound": 0.0, "chain": 0.0}
        """Chains that fell away, by reason."""
        self.cost_to_go = cost_to_go or CostToGo(bounds, choices, effort)
        self.room = effort.room
        """Transitions that may still be kept."""
        self.frontiers: list[Frontier] = []
        """Outermost first, once `forward` is done; the last one is the point inside everything."""

    # --- from the inside out --------------------------------------------------------------------------------

    def forward(self, beam: int = 0) -> None:
        """Frontiers under the bound, only the best `beam` transitions of each if given.

        Raises `BudgetSpent`, and `TooManyChains` where the transitions need more memory than there is room for.
        """
        self.costs = [LevelBound(self.bounds, choice.level, choice.spatial) for choice in self.choices]
        frontiers, self.room = [Frontier.point()], self.effort.room
        for choice, cost in zip(reversed(self.choices), reversed(self.costs), strict=True):
            frontiers.append(self._next_frontier(choice, cost, frontiers[-1], beam))
            self.room -= len(frontiers[-1].edges.tile) // KEPT
        self.frontiers = frontiers[::-1]

    def _next_frontier(self, choice: LevelChoice, cost: LevelBound, inner: Frontier, beam: int) -> Frontier:
        parts: list[Edges] = []
        for transitions in batched(self._transitions(choice, cost, inner, beam), EXPAND):
            self.effort.add(len(transitions.source))
            edges = self._charged(cost, inner, transitions)
            dead = self.pruner.beats(*self._totals(inner, edges, choice.level))
            self.pruned["bound"] += float(transitions.ways[dead].sum())
            parts.append(edges.rows(~dead))
            if sum(len(part.tile) for part in parts) > self.room and not beam:
                raise self._too_many(choice.level, inner, parts)
        edges = Edges.concatenated(parts)
        if beam:
            edges = edges.rows(self._best(self._totals(inner, edges, choice.level), beam))
        return self._merged(choice, cost, inner, edges)

    def _too_many(self, level: int, inner: Frontier, parts: list[Edges]) -> TooManyChains:
        """The tiles that are reached; those inside the outermost level, whose own tile is the whole shape."""
        reached = np.zeros(self.table.count, dtype=bool)
        for part in parts:
            reached[part.tile if level else inner.tile[part.source]] = True
        return TooManyChains(max(1, level), reached)

    def _transitions(self, choice: LevelChoice, cost: LevelBound, inner: Frontier, beam: int) -> Iterator[Transitions]:
        """Transitions that neither capacity nor quick bounds exclude."""
        fitting, admitted = self.bounds.fits(choice.level), self.bounds.admitted(choice.level)
        for openings in self._openings(choice, inner, beam):
            for steps in self._temporal(choice, inner, openings, beam):
                at = steps.opening
                source, spatial = openings.source[at], openings.spatial[at]
                ways = inner.ways[source] * choice.spatial.ways[spatial] * self._ways(choice.ways_outside, steps.tile)
                fits = admitted[steps.tile]
                room = metadata_fits(self.bounds, choice.level, inner.tile[source], steps.tile)
                self.pruned["capacity"] += float(ways[~fitting[steps.tile] | (fits & ~room)].sum())
                fits &= room
                lanes = inner.lanes[source] * choice.spatial.lanes[spatial]
                reached = CostBound(openings.energy[at], openings.cycles[at])
                totals = self._with_cost_to_go(reached, steps.tile, lanes, choice.level)
                dead = fits & self.pruner.beats(*totals)
                self.pruned["bound"] += float(ways[dead].sum())
                kept = np.flatnonzero(fits & ~dead)
                kept = kept[self._best(CostBound(totals.energy[kept], totals.cycles[kept]), 4 * beam)]
                found = Transitions(source[kept], spatial[kept], steps.tile[kept], ways[kept], steps.factors[:, kept])
                energy = inner.energy[found.source] + self._quick_energy(cost, inner, found)
                quick = CostBound(energy, reached.cycles[kept])
                dead = self.pruner.beats(*self._with_cost_to_go(quick, found.tile, lanes[kept], choice.level))
                self.pruned["bound"] += float(found.ways[dead].sum())
                yield found.rows(~dead)

    def _openings(self, choice: LevelChoice, inner: Frontier, beam: int) -> Iterator[Openings]:
        """States with spatial factors that may be part of something good."""
        joined = LevelBound(self.bounds, choice.level, choice.spatial, joined=True)
        found: list[Openings] = []
        scores: list[Floats] = []
        for every in self._all_openings(choice, inner):
            likely, _ = self._good_openings(choice, inner, every, WIDER_OPENINGS * beam)
            self.effort.add(len(likely.tile))
            own = joined.with_loops_joined(inner.tile[likely.source], likely.spatial)
            openings, score = self._good_openings(choice, inner, likely.with_costs(inner, own), 0)
            if beam:
                found.append(openings)
                scores.append(score)
            else:
                yield openings
        if found:
            best = np.argsort(np.concatenate(scores), kind="stable")[:beam]
            yield Openings.concatenated(found).rows(best)

    def _good_openings(self, choice: LevelChoice, inner: Frontier, openings: Openings, count: int) -> tuple[Openings, Floats]:
        """Those that may be part of something good (at most the best `count`; 0: all), and their score."""
        around = self.cost_to_go.around[choice.level]
        lanes = inner.lanes[openings.source] * choice.spatial.lanes[openings.spatial]
        energy = openings.energy + around.energy[openings.tile]
        cycles = np.maximum(openings.cycles, around.cycles[openings.tile])
        totals = self._with_overheads(CostBound(energy, cycles), lanes, choice.level)
        dead = self.pruner.beats(*totals)
        ways = inner.ways[openings.source] * choice.spatial.ways[openings.spatial]
        self.pruned["bound"] += float((ways * self._ways(choice.ways_from_here, openings.tile))[dead].sum())
        good = np.flatnonzero(~dead)
        good = good[self._best(CostBound(totals.energy[good], totals.cycles[good]), count)]
        return openings.rows(good), self.pruner.score(totals.energy[good], totals.cycles[good])

    def _all_openings(self, choice: LevelChoice, inner: Frontier) -> Iterator[Openings]:
        """All states with all spatial factors, in portions, with the least cost whatever the factors of the level are."""
        count, least = len(choice.spatial.factors), self.cost_to_go.own[choice.level]
        portion = max(1, EXPAND // 16 // max(1, count))
        for start in range(0, len(inner.tile), portion):
            states = np.arange(start, min(start + portion, len(inner.tile)))
            self.effort.add(len(states) * count // QUICK)
            source = np.repeat(states, count)
            spatial = np.tile(np.arange(count), len(states))
            tile, exists = self._enlarged(inner.tile[source], choice.spatial.factors[spatial].T)
            source, spatial, tile = source[exists], spatial[exists], tile[exists]
            own = CostBound(least.energy[inner.tile[source]], least.cycles[inner.tile[source]])
            empty = np.zeros(len(source))
            yield Openings(source, spatial, tile, empty, empty).with_costs(inner, own)

    def _temporal(self, choice: LevelChoice, inner: Frontier, openings: Openings, beam: int) -> Iterator[TemporalSteps]:
        """Openings with temporal factors, rank by rank: what no tile around it makes good enough is left at once."""
        options = [factor_targets(self.table, choice, rank) for rank in range(len(self.table.divisors))]
        order = sorted(range(len(options)), key=lambda rank: len(options[rank].digits))
        lanes = inner.lanes[openings.source] * choice.spatial.lanes[openings.spatial]
        start = PartialSteps(0, np.arange(len(openings.tile)), openings.tile)
        stack = [start.rows(slice(i, i + EXPAND)) for i in reversed(range(0, len(openings.tile), EXPAND))]
        while stack:
            steps = stack.pop()
            if steps.passed == len(order):
                extents = self.table.extents
                yield TemporalSteps(steps.opening, steps.tile, extents[:, steps.tile] // extents[:, openings.tile[steps.opening]])
                continue
            rank = order[steps.passed]
            count = int(options[rank].counts(self.table.digit(rank, steps.tile)).sum())
            if count > EXPAND and len(steps.tile) > 1:
                middle = len(steps.tile) // 2
                stack += [steps.rows(slice(middle, None)), steps.rows(slice(0, middle))]
                continue
            self.effort.add(count)
            grown = steps.with_rank(self.table, rank, options[rank])
            totals, exists = self._with_around(openings, grown, lanes, choice.level)
            good = exists & ~self.pruner.beats(*totals)
            if not beam:
                self._count_left(choice, inner, openings, (order[: steps.passed + 1], grown.rows(~good)), exists[~good])
            stack.append(grown.rows(good))

    def _with_around(self, openings: Openings, steps: PartialSteps, lanes: Lanes, level: int) -> tuple[CostBound, Flags]:
        """Totals at least of mappings with any tile of the level around these, and where there is one that fits."""
        around, at = self.cost_to_go.around[level], steps.opening
        energy = openings.energy[at] + around.energy[steps.tile]
        cycles = np.maximum(openings.cycles[at], around.cycles[steps.tile])
        return self._with_overheads(CostBound(energy, cycles), lanes[at], level), np.isfinite(around.energy[steps.tile])

    def _count_left(
        self, choice: LevelChoice, inner: Frontier, openings: Openings, left: tuple[list[int], PartialSteps], fitting: Flags
    ) -> None:  # fmt: skip
        """Counts the chains that go through steps that are left, whose ranks in the list have their factors."""
        done, steps = left
        source, spatial = openings.source[steps.opening], openings.spatial[steps.opening]
        ways = inner.ways[source] * choice.spatial.ways[spatial]
        for rank in range(len(self.table.divisors)):
            table = choice.ways_outside if rank in done else choice.ways_from_here
            ways = ways * table[rank][self.table.digit(rank, steps.tile)]
        self.pruned["bound"] += float(ways[fitting].sum())
        if choice.level not in self.bounds.only:
            self.pruned["capacity"] += float(ways[~fitting].sum())

    def _enlarged(self, tile: TileNumbers, factors: Factors) -> tuple[TileNumbers, Flags]:
        """Numbers of the tiles enlarged by factors, and which of these exist."""
        larger, exists = np.zeros(len(tile), dtype=np.int64), np.ones(len(tile), dtype=bool)
        for rank, divisors in enumerate(self.table.divisors):
            extent: Any = divisors[tile // self.table.radix[rank] % len(divisors)] * factors[rank]
            at: Ints = np.minimum(cast("Any", np.searchsorted)(divisors, extent), len(divisors) - 1)
            exists &= divisors[at] == extent
            larger += at * self.table.radix[rank]
        return larger, exists

    # --- bounds ---------------------------------------------------------------------------------------------

    def _ways(self, ways: tuple[Floats, ...], tile: TileNumbers) -> Floats:
        """Product over the ranks of numbers of ways by extent."""
        result = np.ones(len(tile))
        for rank, radix in enumerate(self.table.radix):
            result = result * ways[rank][tile // radix % len(self.table.divisors[rank])]
        return result

    def _with_overheads(self, storage: CostBound, lanes: Lanes, level: int) -> CostBound:
        """Totals at least of mappings whose storage costs that much, with that many lanes at and inside a level."""
        most = np.minimum(lanes * self.bounds.most_lanes(range(level)), self.bounds.design.arch.compute.instances)
        cycles = np.maximum(storage.cycles, self.bounds.design.einsum.computes * self.bounds.busy / most)
        return CostBound(self.bounds.total_energy(storage.energy, cycles), cycles + self.bounds.latency)

    def _with_cost_to_go(self, reached: CostBound, tile: TileNumbers, lanes: Lanes, level: int) -> CostBound:
        """Totals at least of mappings that cost that much at and inside a level, by what the tile costs further out."""
        outside = self.cost_to_go.outside[level]
        storage = CostBound(reached.energy + outside.energy[tile], np.maximum(reached.cycles, outside.cycles[tile]))
        return self._with_overheads(storage, lanes, level)

    def _totals(self, inner: Frontier, edges: Edges, level: int) -> CostBound:
        """Totals at least of mappings through these edges."""
        energy = inner.energy[edges.source] + edges.energy
        cycles = np.maximum(inner.cycles[edges.source], edges.cycles)
        return self._with_cost_to_go(CostBound(energy, cycles), edges.tile, edges.lanes, level)

    def _best(self, totals: CostBound, count: int) -> Ints:
        """Places of the best `count` (0: all), in their order."""
        if not count or len(totals.energy) <= count:
            return np.arange(len(totals.energy))
        return np.sort(np.argpartition(self.pruner.score(*totals), count)[:count])

    # --- costs ----------------------------------------------------------------------------------------------

    def waiting(self, cost: LevelBound, inner: Frontier, bits: int, states: Ints) -> Waiting:
        """The crossings that wait, or begin, inside the level, with what they carry."""
        numbers = [number for number in range(len(self.numbered)) if bits >> number & 1]
        return {self.numbered[n]: inner.carried[n].rows(states) for n in numbers} | cost.started(inner.tile[states])

    def _alike(self, inner: Frontier, transitions: Transitions) -> Iterator[_Alike]:
        """The transitions, those together that cost the same formula."""
        bits = len(transitions.factors)
        loops = ((transitions.factors > 1).astype(np.int64) << np.arange(bits)[:, None]).sum(axis=0)
        keys, group = np.unique((inner.waiting[transitions.source] << bits) | loops, return_inverse=True)
        order, ends = np.argsort(group, kind="stable"), np.cumsum(np.bincount(group, minlength=len(keys)))
        for key, at in zip(keys.tolist(), np.split(order, ends), strict=False):
            yield _Alike(at, key >> bits, key & ((1 << bits) - 1))

    def _quick_energy(self, cost: LevelBound, inner: Frontier, transitions: Transitions) -> Energy:
        """Energy charged to the level at least, every crossing in the order that is best for it."""
        energy, factors = np.zeros(len(transitions.source)), transitions.factors.astype(np.float64)
        for alike in self._alike(inner, transitions):
            source, spatial = transitions.source[alike.at], transitions.spatial[alike.at]
            waiting = self.waiting(cost, inner, alike.waiting, source)
            energy[alike.at] = cost.quick_energy(inner.tile[source], spatial, factors[:, alike.at], alike.loops, waiting)
        return energy

    def _charged(self, cost: LevelBound, inner: Frontier, transitions: Transitions) -> Edges:
        """Transitions with their least energy and cycles, and which crossings wait after them."""
        source, spatial, count = transitions.source, transitions.spatial, len(transitions.source)
        energy, cycles, after = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
        factors = transitions.factors.astype(np.float64)
        for alike in self._alike(inner, transitions):
            at, loops = alike.at, alike.loops
            waiting = self.waiting(cost, inner, alike.waiting, source[at])
            energy[at], cycles[at] = cost.least(inner.tile[source[at]], spatial[at], factors[:, at], loops, waiting)
            after[at] = sum(1 << self.numbered.index(c) for c in waiting if cost.stays_open(c, loops))
        lanes = inner.lanes[source] * cost.spatial.lanes[spatial]
        return Edges(source, spatial, transitions.tile, lanes, after, energy, cycles)

    def _merged(self, choice: LevelChoice, cost: LevelBound, inner: Frontier, edges: Edges) -> Frontier:
        """Edges sorted by the state they lead to, and those states."""
        e = edges.rows(np.lexsort((edges.waiting, edges.lanes, edges.tile)))
        changes = (np.diff(e.tile) != 0) | (np.diff(e.lanes) != 0) | (np.diff(e.waiting) != 0)
        fresh = np.concatenate([[True], changes])[: len(e.tile)]
        starts = np.flatnonzero(fresh)
        waiting = [n for n in range(len(self.numbered)) if bool((e.waiting >> n & 1).any())]
        ways = inner.ways[e.source] * choice.spatial.ways[e.spatial]
        return Frontier(
            tile=e.tile[starts],
            lanes=e.lanes[starts],
            energy=_least(inner.energy[e.source] + e.energy, starts),
            cycles=_least(np.maximum(inner.cycles[e.source], e.cycles), starts),
            ways=np.add.reduceat(ways, starts) if len(starts) else ways,
            waiting=e.waiting[starts],
            carried={n: self._carried(cost, inner, self.numbered[n], e, starts) for n in waiting},
            edges=e,
            starts=np.append(starts, len(e.tile)),
        )

    def _carried(
        self, cost: LevelBound, inner: Frontier, crossing: Crossing, edges: Edges, starts: Ints
    ) -> WaitingCrossing:  # fmt: skip
        """What a crossing carries into the states, the least of all edges into each."""
        number = self.numbered.index(crossing)
        at = np.flatnonzero(edges.waiting >> number & 1)
        source, spatial = edges.source[at], edges.spatial[at]
        begins = crossing in cost.starting
        before = cost.started(inner.tile[source])[crossing] if begins else inner.carried[number].rows(source)
        growth: Floats | float = 1.0
        if crossing in cost.windows:
            tiles, extents = inner.tile[source], self.table.extents
            factors = extents[:, edges.tile[at]] / (extents[:, tiles] * cost.spatial.factors[spatial].T)
            growth = cost.growth(crossing, -1, tiles, spatial, factors)
        after = cost.past(crossing, before, spatial, growth)

        def least(values: Floats) -> Floats:
            every = np.full(len(edges.source), np.inf)
            every[at] = values
            return _least(every, starts)

        shares = (least(after.alive), least(after.busy), least(after.nonempty))
        return WaitingCrossing(least(after.arriving), least(after.accesses), *shares, least(after.wires))

    # --- from the outside in --------------------------------------------------------------------------------

    def complete(self, first: int, last: int) -> Iterator[TileChains]:
        """Complete chains whose own bound is good enough, about the best first, in portions from `first` to `last` chains."""
        portion, stack = first, [self._whole_shape()]
        while stack:
            partial = self._good(stack.pop())
            if not len(partial.state):
                continue
            if partial.level == self.bounds.levels:
                yield self._chains(partial)
                portion = min(last, 2 * portion)
                continue
            frontier = self.frontiers[partial.level]
            counts = frontier.starts[partial.state + 1] - frontier.starts[partial.state]
            self.effort.add(min(portion, int(counts.sum())))
            take = max(1, int(np.searchsorted(np.cumsum(counts), portion, side="right")))
            if take < len(partial.state):
                stack.append(partial.rows(np.arange(take, len(partial.state))))
            stack.append(self._extended(partial.rows(np.arange(min(take, len(partial.state)))), frontier))

    def _whole_shape(self) -> PartialChains:
        """The chains before any level is passed: the states of the outermost frontier, with the cycles of the computes."""
        outermost = self.frontiers[0]
        count = len(outermost.tile)
        lanes = np.minimum(outermost.lanes, self.bounds.design.arch.compute.instances)
        cycles = self.bounds.design.einsum.computes * self.bounds.busy / np.maximum(lanes, 1)
        return PartialChains(0, np.arange(count), np.zeros(count), cycles, np.empty((0, count), dtype=np.int64))

    def _good(self, partial: PartialChains) -> PartialChains:
        """Those that may be part of something good, the best first."""
        frontier = self.frontiers[partial.level]
        cycles = np.maximum(partial.cycles, frontier.cycles[partial.state])
        energy = self.bounds.total_energy(partial.energy + frontier.energy[partial.state], cycles)
        alive = ~self.pruner.beats(energy, cycles + self.bounds.latency)
        self.pruned["chain"] += float(frontier.ways[partial.state[~alive]].sum())
        return partial.rows(np.flatnonzero(alive)[np.argsort(energy[alive], kind="stable")])

    def _extended(self, partial: PartialChains, frontier: Frontier) -> PartialChains:
        """By every edge of the next level inwards."""
        counts = frontier.starts[partial.state + 1] - frontier.starts[partial.state]
        at = np.repeat(np.arange(len(partial.state)), counts)
        edge = frontier.starts[partial.state][at] + np.arange(len(at)) - (np.cumsum(counts) - counts)[at]
        return PartialChains(
            partial.level + 1,
            frontier.edges.source[edge],
            partial.energy[at] + frontier.edges.energy[edge],
            np.maximum(partial.cycles[at], frontier.edges.cycles[edge]),
            np.concatenate([partial.path[:, at], edge[None]]),
        )

    def _chains(self, partial: PartialChains) -> TileChains:
        """The factors of complete chains."""
        spatial: list[Ints] = []
        factors: list[Ints] = []
        pairs = zip(self.frontiers, self.frontiers[1:], strict=False)
        for choice, (outer, inner), edge in zip(self.choices, pairs, partial.path, strict=True):
            chosen = outer.edges.spatial[edge]
            spatial.append(chosen)
            outer_tile = self.table.extents[:, outer.edges.tile[edge]]
            inner_tile = self.table.extents[:, inner.tile[outer.edges.source[edge]]]
            factors.append(outer_tile // inner_tile // choice.spatial.factors[chosen].T)
        energy, cycles = self.bounds.total_energy(partial.energy, partial.cycles), partial.cycles + self.bounds.latency
        return TileChains(tuple(spatial), tuple(factors), energy, cycles)


def _least(values: Floats, starts: Ints) -> Floats:
    """The least of every run of values."""
    return np.minimum.reduceat(values, starts) if len(starts) else values
