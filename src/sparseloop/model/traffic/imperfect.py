"""Exact dense counts of mappings with imperfect factors.

The indices of the loops of one rank run through a lexicographic prefix that ends at the last index of every loop
(bound n, residual r: index r - 1 when all outer loops of the rank stand at their last index). Ranks are independent, so
the existing steps of an instance are a product of such prefixes, and the steps at which a loop advances fall into
few kinds per rank.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from sparseloop.model import ops
from sparseloop.model.axes import AxisGroup
from sparseloop.model.design.einsum import Term
from sparseloop.model.plan import Link, Plan
from sparseloop.model.traffic.tiles import Tiles
from sparseloop.model.units import Array, Count, Integers, LoopBounds, Words

Row = tuple[int, ...]
"""One number per loop of one mapping."""


class FirstTouches(NamedTuple):
    """Accesses of all parents and fills of all children at which a word is met for the first time (outputs)."""

    accesses: Words
    fills: Words


class LinkDeliveries(NamedTuple):
    """Words that cross a link."""

    delivered: Words
    """To all children."""
    accesses: Words
    """Of all parents."""
    first: FirstTouches


def instances_used(tiles: Tiles, level: int, residuals: LoopBounds | None = None) -> Count:
    """Instances of a level that are ever active."""
    plan = tiles.plan
    if residuals is None:
        return tiles.product(plan.spatial(level))

    def count(bounds: Row, last: Row) -> tuple[float, ...]:
        return (float(_Nest(plan, bounds, last).instances(plan.spatial(level))),)

    return _per_mapping(tiles, residuals, count)[0]


def existing_steps(tiles: Tiles, residuals: LoopBounds) -> Count:
    """Temporal steps of the busiest lane."""
    plan = tiles.plan

    def steps(bounds: Row, last: Row) -> tuple[float, ...]:
        nest = _Nest(plan, bounds, last)
        prefixes = [nest.prefix(rank, len(bounds), {}) for rank in plan.einsum.ranks]
        return (float(math.prod(p.count for p in prefixes if p is not None)),)

    return _per_mapping(tiles, residuals, steps)[0]


def imperfect_counts(tiles: Tiles, link: Link, residuals: LoopBounds) -> LinkDeliveries:
    """Words delivered to all children, accesses of all parents, and the first touches in both."""
    plan = tiles.plan

    def counts(bounds: Row, last: Row) -> tuple[float, ...]:
        return _LinkCounts(_Nest(plan, bounds, last), link).counts()

    delivered, accesses, first_accesses, first_fills = _per_mapping(tiles, residuals, counts)
    return LinkDeliveries(delivered, accesses, FirstTouches(first_accesses, first_fills))


def _per_mapping(tiles: Tiles, residuals: LoopBounds, function: Callable[[Row, Row], tuple[float, ...]]) -> tuple[Array, ...]:
    """The numbers that a function of the bounds and residuals of one mapping returns, one array each."""
    width = len(tiles.bounds)
    columns = [*tiles.bounds, *(residuals[i] for i in range(width))]
    traced = next((c for c in columns if hasattr(c, "call")), None)
    if traced is not None:

        def rows(*values: Array) -> Any:
            return _by_rows(values, width, function)

        whole = traced.call("imperfect", rows, columns)
        return tuple(whole.item(k) for k in range(len(whole.value)))
    return _by_rows(columns, width, function)


def _by_rows(columns: Sequence[Array], width: int, function: Callable[[Row, Row], tuple[float, ...]]) -> tuple[Array, ...]:
    arrays = np.broadcast_arrays(*columns)
    if not arrays or arrays[0].ndim == 0:
        row = tuple(int(a) for a in arrays)
        return function(row[:width], row[width:])
    rows, inverse = np.unique(np.stack([a.reshape(-1) for a in arrays]), axis=1, return_inverse=True)
    values = np.array([function(tuple(map(int, r[:width])), tuple(map(int, r[width:]))) for r in rows.T])
    return tuple(values[inverse.reshape(-1), k].reshape(arrays[0].shape) for k in range(values.shape[1]))


@dataclass(frozen=True, slots=True)
class Prefix:
    """The index tuples of some temporal loops of one rank that exist: all in lexicographic order up to `last`."""

    slots: tuple[int, ...]
    last: tuple[int, ...]
    partial: bool
    """The tile at `last` ends where the rank ends (residual extents inside)."""
    bounds: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of existing tuples."""
        return _position(self.last, self.bounds) + 1

    def before(self) -> Prefix | None:
        """Without the last one; None if there is no other."""
        place, last = self.count - 2, list[int]()
        for bound in reversed(self.bounds):
            place, index = divmod(place, bound)
            last.insert(0, index)
        return Prefix(self.slots, tuple(last), False, self.bounds) if self.count > 1 else None


_Prefixes = tuple[Prefix, ...]
"""Those of one child, one per rank."""


def _common_steps(one: _Prefixes, other: _Prefixes) -> _Prefixes | None:
    """The steps at which two children both work, with tiles of the same size; None if there are none."""
    found: list[Prefix] = []
    for a, b in zip(one, other, strict=True):
        least = min(a, b, key=lambda prefix: prefix.count)
        ends_earlier = least.partial if a.count != b.count else a.partial != b.partial
        common = least.before() if ends_earlier else least  # in the last step one of them has a smaller tile
        if common is None:
            return None
        found.append(common)
    return tuple(found)


def _position(index: tuple[int, ...], bounds: tuple[int, ...]) -> int:
    """Number of an index tuple in lexicographic order, from 0."""
    value = 0
    for i, n in zip(index, bounds, strict=True):
        value = value * n + i
    return value


class _Nest:
    """The loops of one mapping: bounds, residuals, and which index tuples exist."""

    def __init__(self, plan: Plan, bounds: Row, residuals: Row) -> None:
        self.plan, self.bounds, self.residuals = plan, bounds, residuals
        self.stride = [1] * len(bounds)
        inner: dict[str, int] = {}
        for i in reversed(range(len(bounds))):
            rank = plan.loops[i].rank
            self.stride[i] = inner.get(rank, 1)
            inner[rank] = self.stride[i] * bounds[i]

    def of_rank(self, rank: str) -> list[int]:
        """Slots of a rank, outermost first."""
        return [i for i, loop in enumerate(self.plan.loops) if loop.rank == rank]

    def prefix(self, rank: str, limit: int, position: dict[int, int]) -> Prefix | None:
        """Existing index tuples of the temporal slots before `limit`, at the spatial indices `position` (missing: 0).

        The last tuple is the largest with (temporal and spatial indices together) <= (residuals - 1); None if the
        instance never works.
        """
        slots = [i for i in self.of_rank(rank) if i < limit]
        last: dict[int, int] = {}
        tight = True
        for i in slots:
            end = self.residuals[i] - 1 if tight else self.bounds[i] - 1
            if not self.plan.loops[i].spatial:
                last[i] = end
                continue
            index = position.get(i, 0)
            if tight and index > end:
                lowered = next((j for j in reversed(last) if last[j] > 0), None)
                if lowered is None:
                    return None
                last = {j: x for j, x in last.items() if j <= lowered}
                last[lowered] -= 1
                last |= {j: self.bounds[j] - 1 for j in slots if lowered < j < i and not self.plan.loops[j].spatial}
                tight = False
            elif tight:
                tight = index == end
        return Prefix(tuple(last), tuple(last.values()), tight, tuple(self.bounds[i] for i in last))

    def instances(self, spatial: tuple[int, ...]) -> int:
        """Spatial index tuples at which some point exists at some time."""
        ranks = self.plan.einsum.ranks
        return math.prod(len(self.positions(rank, [i for i in spatial if self.plan.loops[i].rank == rank])) for rank in ranks)

    def positions(self, rank: str, spatial: list[int]) -> list[dict[int, int]]:
        """Spatial indices (by slot) of one rank at which some point exists."""
        limit = max(spatial, default=-1) + 1
        every = (dict(zip(spatial, x, strict=True)) for x in product(*(range(self.bounds[i]) for i in spatial)))
        return [position for position in every if self.prefix(rank, limit, position) is not None]


@dataclass(frozen=True, slots=True)
class _Advances:
    """Steps of one rank that move the tile alike, and whether the tile is partial before and after."""

    count: int
    shift: int
    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class _Alike:
    """Children for which the same index tuples exist."""

    count: int
    leaders: int
    """Those of them that stand first in a multicast group."""
    prefixes: dict[str, Prefix]
    """By rank."""


class _LinkCounts:
    """Counts of one link for one mapping."""

    def __init__(self, nest: _Nest, link: Link) -> None:
        self.nest, self.link, self.plan = nest, link, nest.plan
        self.tensor = self.plan.einsum.tensors[link.tensor]
        self.temporal = list(reversed(link.temporal))
        self.shared = link.multicast
        shared = [i for i in link.between if i not in link.unshared]
        moves = [[(i, c) for i, c in loops if i in shared] for loops in self.plan.moves[link.tensor]]
        self.diagonals = moves if any(len({nest.plan.loops[i].rank for i, _ in loops}) > 1 for loops in moves) else []
        """Per group of axes the spatial loops that move it, if several ranks do: children along a diagonal hold the same."""

    def counts(self) -> tuple[float, float, float, float]:
        """Delivered words, accesses, first accesses, first fills; summed over instances."""
        delivered = accesses = 0.0
        for alike in self._children():
            words = self._delivered(alike.prefixes)
            delivered += alike.count * words
            accesses += alike.leaders * words
        if self.diagonals:
            accesses = sum(self._accessed(prefixes) for prefixes in self._sharing())
        if not self.link.output:
            return delivered, accesses, 0.0, 0.0
        return delivered, accesses, *self._first_touches()

    def _children(self) -> list[_Alike]:
        """All children, those with equal prefixes together; ranks are independent."""
        slots = self.plan.spatial(self.link.child)
        per_rank = [self._along(rank, [i for i in slots if self.plan.loops[i].rank == rank]) for rank in self.plan.einsum.ranks]
        return [
            _Alike(
                count=math.prod(one.count for one in combination),
                leaders=math.prod(one.leaders for one in combination),
                prefixes={rank: prefix for one in combination for rank, prefix in one.prefixes.items()},
            )
            for combination in product(*per_rank)
        ]

    def _along(self, rank: str, spatial: list[int]) -> list[_Alike]:
        """The positions of one rank."""
        counts: Counter[Prefix] = Counter()
        leaders: Counter[Prefix] = Counter()
        for position in self.nest.positions(rank, spatial):
            prefix = self.nest.prefix(rank, self.plan.starts[self.link.child], position)
            if prefix is not None:
                counts[prefix] += 1
                leaders[prefix] += all(position.get(i, 0) == 0 for i in self.shared)
        return [_Alike(count, leaders[prefix], {rank: prefix}) for prefix, count in counts.items()]

    def _sharing(self) -> Iterable[list[_Prefixes]]:
        """The steps of the children that hold the same tiles, group by group; each multicast group by its first child."""
        slots, ranks = self.plan.spatial(self.link.child), self.plan.einsum.ranks
        every = [self.nest.positions(rank, [i for i in slots if self.plan.loops[i].rank == rank]) for rank in ranks]
        first = [[p for p in positions if all(p.get(i, 0) == 0 for i in self.shared)] for positions in every]
        moved, limit = {i for loops in self.diagonals for i, _ in loops}, self.plan.starts[self.link.child]
        groups: dict[Row, dict[_Prefixes, None]] = {}
        for child in product(*first):
            position = {i: x for one in child for i, x in one.items()}
            tile = (sum(c * self.nest.stride[i] * position[i] for i, c in loops) for loops in self.diagonals)
            prefixes = [self.nest.prefix(rank, limit, one) for rank, one in zip(ranks, child, strict=True)]
            place = (*tile, *(x for i, x in position.items() if i not in moved))
            steps = tuple(self._as_seen(p, rank) for p, rank in zip(prefixes, ranks, strict=True) if p)
            groups.setdefault(place, {})[steps] = None
        return map(list, groups.values())

    def _as_seen(self, prefix: Prefix, rank: str) -> Prefix:
        """A last tile that is as large as the others is none that ends early."""
        return replace(prefix, partial=prefix.partial and self._extent(rank, True) < self._extent(rank, False))

    def _accessed(self, children: list[_Prefixes]) -> float:
        """Words read for children with the same tiles, at the steps at which any of them works: inclusion and exclusion."""
        children = [a for a in children if not any(a != b and _common_steps(a, b) == a for b in children)]
        if not children:
            return 0.0
        first, others = children[0], children[1:]
        common = [steps for other in others if (steps := _common_steps(first, other)) is not None]
        shared = self._accessed(list(dict.fromkeys(common)))
        return self._delivered(dict(zip(self.plan.einsum.ranks, first, strict=True))) + self._accessed(others) - shared

    def _delivered(self, prefixes: dict[str, Prefix]) -> float:
        """Words delivered to one child: over all steps the words that were not there one step before."""
        if self.link.to_compute:
            return float(math.prod(p.count for p in prefixes.values()))
        words = self._sum({rank: self._steps(p) for rank, p in prefixes.items()})
        if self.link.no_reuse:
            return words
        for slot in self.temporal:
            words -= self._sum({rank: self._advances(p, slot) for rank, p in prefixes.items()})
        return words

    def _steps(self, prefix: Prefix) -> list[_Advances]:
        """All steps, without movement: only the last one may have a partial tile."""
        count = prefix.count
        if not prefix.partial:
            return [_Advances(count, 0, False, False)]
        return [_Advances(count - 1, 0, False, False), _Advances(1, 0, True, True)]

    def _advances(self, prefix: Prefix, slot: int) -> list[_Advances]:
        """The steps at which the loop at `slot` is the outermost that advances, seen from one rank."""
        outer = [k for k, i in enumerate(prefix.slots) if i < slot]
        inner = [k for k, i in enumerate(prefix.slots) if i > slot]
        stride, bounds, last = self.nest.stride, prefix.bounds, prefix.last
        full = -sum((bounds[k] - 1) * stride[prefix.slots[k]] for k in inner)
        ending = -sum(last[k] * stride[prefix.slots[k]] for k in inner)
        before = _position(tuple(last[k] for k in outer), tuple(bounds[k] for k in outer))
        start_is_last = prefix.partial and all(last[k] == 0 for k in inner)
        if slot not in prefix.slots:
            return [_Advances(before, full, False, False), _Advances(1, ending, prefix.partial, start_is_last)]
        mine = prefix.slots.index(slot)
        step = stride[slot]
        reached = last[mine]
        found = [_Advances(before * (bounds[mine] - 1) + max(0, reached - 1), step + full, False, False)]
        if reached >= 1:
            found.append(_Advances(1, step + full, False, start_is_last))
        return found

    def _sum(self, by_rank: dict[str, list[_Advances]]) -> float:
        """Sum over all combinations of the ranks' advances of count * words common to the tile before and after."""
        relevant = [r for r in by_rank if r in self.tensor.ranks]
        factor = math.prod(sum(one.count for one in by_rank[r]) for r in by_rank if r not in relevant)
        if not factor:
            return 0.0
        total = 0.0
        for combination in product(*(by_rank[r] for r in relevant)):
            count = math.prod(one.count for one in combination)
            if count:
                total += count * self._common(dict(zip(relevant, combination, strict=True)))
        return factor * total

    def _extent(self, rank: str, partial: bool) -> int:
        """Values of a rank inside the child's tile."""
        start = self.plan.starts[self.link.child]
        bound = self.nest.residuals if partial else self.nest.bounds
        return 1 + sum(self.nest.stride[i] * (bound[i] - 1) for i in self.nest.of_rank(rank) if i >= start)

    def _common(self, state: dict[str, _Advances]) -> float:
        """Words of the tile before the step that are in the tile after it."""
        words = 1
        for group in self.plan.groups[self.link.tensor]:
            words *= self._common_places(group, state)
            if not words:
                return 0.0
        return float(words)

    def _common_places(self, group: AxisGroup, state: dict[str, _Advances]) -> int:
        """The same along one group of axes."""
        before = [self._extent(t.rank, state[t.rank].before) for t in group.terms]
        after = [self._extent(t.rank, state[t.rank].after) for t in group.terms]
        if len(group.terms) == 1:
            shift = state[group.terms[0].rank].shift
            return max(0, min(before[0], after[0] + shift) - max(0, shift))
        sets = [
            ops.bit_set(tuple(x for t, e in zip(group.terms, extents, strict=True) for x in (abs(t.coefficient), e)))
            for extents in (before, after)
        ]
        lows = [
            sum(min(0, t.coefficient) * (e - 1) for t, e in zip(group.terms, extents, strict=True)) for extents in (before, after)
        ]
        moved = sum(t.coefficient * state[t.rank].shift for t in group.terms) + lows[1] - lows[0]
        first, second = sets
        return (first & (second << moved) if moved >= 0 else (first << -moved) & second).bit_count()

    def _first_touches(self) -> tuple[float, float]:
        """Distinct words that instances of the parent, and of the child, ever touch."""
        return self._touched(self.link.parent), self._touched(self.link.child)

    def _touched(self, level: int) -> float:
        """Words that each instance of a level ever touches, summed over the instances."""
        plan, spatial = self.plan, self.plan.spatial(level)
        copies = [i for i in spatial if i not in self.link.relevant]
        words = self.nest.instances(tuple(copies))
        for group in plan.groups[self.link.tensor]:
            if len(group.terms) == 1:
                words *= plan.einsum.extents[group.terms[0].rank]  # every value belongs to one instance
            else:
                words *= sum(map(_distinct_sums, product(*(self._parts(term, spatial) for term in group.terms))))
        return float(words)

    def _parts(self, term: Term, spatial: tuple[int, ...]) -> list[Integers]:
        """What the values of a rank add to a place, for every instance that has some of them."""
        values = np.arange(self.plan.einsum.extents[term.rank])
        owner = np.zeros_like(values)
        for slot in self.nest.of_rank(term.rank):
            if slot in spatial:
                owner = owner * self.nest.bounds[slot] + values // self.nest.stride[slot] % self.nest.bounds[slot]
        return [term.coefficient * values[owner == one] for one in np.unique(owner)]


def _distinct_sums(parts: Sequence[Integers]) -> int:
    """Number of different sums of one value of each part."""
    sums = np.zeros(1, dtype=np.int64)
    for part in parts:
        sums = np.unique(sums[:, None] + part)
    return len(sums)
