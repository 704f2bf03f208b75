"""Exact dense counts of mappings with imperfect factors.

The indices of the loops of one rank run through a lexicographic prefix that ends at the last index of every loop
(bound n, residual r: index r - 1 when all outer loops of the rank stand at their last index). Ranks are independent, so
the existing steps of an instance are a product of such prefixes, and the steps at which a loop advances fall into
few kinds per rank.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from sparseloop.model import ops
from sparseloop.model.ops import Array
from sparseloop.model.plan import Link, Plan
from sparseloop.model.traffic.tiles import Tiles

Row = tuple[int, ...]


def instances_used(tiles: Tiles, level: int, residuals: Any = None) -> Array:
    """Instances of a level that are ever active."""
    plan = tiles.plan
    if residuals is None:
        return tiles.product(plan.spatial(level))

    def count(bounds: Row, last: Row) -> tuple[float, ...]:
        return (float(_Nest(plan, bounds, last).instances(plan.spatial(level))),)

    return _per_mapping(tiles, residuals, count)[0]


def existing_steps(tiles: Tiles, residuals: Any) -> Array:
    """Temporal steps of the busiest lane."""
    plan = tiles.plan

    def steps(bounds: Row, last: Row) -> tuple[float, ...]:
        nest = _Nest(plan, bounds, last)
        prefixes = [nest.prefix(rank, len(bounds), {}) for rank in plan.einsum.ranks]
        return (float(math.prod(p.count for p in prefixes if p is not None)),)

    return _per_mapping(tiles, residuals, steps)[0]


def imperfect_counts(tiles: Tiles, link: Link, residuals: Any) -> tuple[Array, Array, Array, Array]:
    """Words delivered to all children, accesses of all parents, and the first touches in both."""
    plan = tiles.plan

    def counts(bounds: Row, last: Row) -> tuple[float, ...]:
        return _LinkWalk(_Nest(plan, bounds, last), link).counts()

    columns = _per_mapping(tiles, residuals, counts)
    return columns[0], columns[1], columns[2], columns[3]


def _per_mapping(tiles: Tiles, residuals: Any, function: Any) -> tuple[Array, ...]:
    width = len(tiles.bounds)
    columns = [*tiles.bounds, *(residuals[i] for i in range(width))]
    traced = next((c for c in columns if hasattr(c, "call")), None)
    if traced is not None:

        def rows(*values: Array) -> Any:
            return _by_rows(values, width, function)

        whole = traced.call("imperfect", rows, columns)
        return tuple(whole.item(k) for k in range(len(whole.value)))
    return _by_rows(columns, width, function)


def _by_rows(columns: Any, width: int, function: Any) -> tuple[Array, ...]:
    arrays = np.broadcast_arrays(*columns)
    if not arrays or arrays[0].ndim == 0:
        row = tuple(int(a) for a in arrays)
        return function(row[:width], row[width:])
    rows, inverse = np.unique(np.stack([a.reshape(-1) for a in arrays]), axis=1, return_inverse=True)
    values = np.array([function(tuple(map(int, r[:width])), tuple(map(int, r[width:]))) for r in rows.T])
    return tuple(values[inverse.reshape(-1), k].reshape(arrays[0].shape) for k in range(values.shape[1]))


@dataclass(frozen=True, slots=True)
class Prefix:
    """Index tuples of some temporal loops of one rank, in order up to `last`."""

    slots: tuple[int, ...]
    last: tuple[int, ...]
    partial: bool
    """The tile at `last` ends where the rank ends (residual extents inside)."""
    bounds: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of existing tuples."""
        return _rank_of(self.last, self.bounds) + 1


def _rank_of(index: tuple[int, ...], bounds: tuple[int, ...]) -> int:
    value = 0
    for i, n in zip(index, bounds, strict=True):
        value = value * n + i
    return value


class _Nest:
    def __init__(self, plan: Plan, bounds: Row, residuals: Row) -> None:
        self.plan, self.n, self.r = plan, bounds, residuals
        self.stride = [1] * len(bounds)
        inner: dict[str, int] = {}
        for i in reversed(range(len(bounds))):
            rank = plan.loops[i].rank
            self.stride[i] = inner.get(rank, 1)
            inner[rank] = self.stride[i] * bounds[i]

    def of_rank(self, rank: str) -> list[int]:
        return [i for i, s in enumerate(self.plan.loops) if s.rank == rank]

    def prefix(self, rank: str, limit: int, place: dict[int, int]) -> Prefix | None:
        """Existing index tuples of the temporal slots before `limit`, at the spatial indices `place` (missing: 0).

        The last tuple is the largest with (temporal and spatial indices together) <= (residuals - 1); None if the
        instance never works.
        """
        slots = [i for i in self.of_rank(rank) if i < limit]
        last: dict[int, int] = {}
        tight = True
        for i in slots:
            end = self.r[i] - 1 if tight else self.n[i] - 1
            if not self.plan.loops[i].spatial:
                last[i] = end
                continue
            index = place.get(i, 0)
            if tight and index > end:
                lowered = next((j for j in reversed(last) if last[j] > 0), None)
                if lowered is None:
                    return None
                last = {j: x for j, x in last.items() if j <= lowered}
                last[lowered] -= 1
                last |= {j: self.n[j] - 1 for j in slots if lowered < j < i and not self.plan.loops[j].spatial}
                tight = False
            elif tight:
                tight = index == end
        return Prefix(tuple(last), tuple(last.values()), tight, tuple(self.n[i] for i in last))

    def instances(self, spatial: tuple[int, ...]) -> int:
        """Spatial index tuples at which some point exists at some time."""
        return math.prod(
            len(self.places(rank, [i for i in spatial if self.plan.loops[i].rank == rank])) for rank in self.plan.einsum.ranks
        )

    def places(self, rank: str, spatial: list[int]) -> list[dict[int, int]]:
        """Spatial indices of one rank at which some point exists."""
        limit = max(spatial, default=-1) + 1
        every = (dict(zip(spatial, x, strict=True)) for x in product(*(range(self.n[i]) for i in spatial)))
        return [place for place in every if self.prefix(rank, limit, place) is not None]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of transition of one rank: how many, displacement, and whether the tile is partial before and after."""

    count: int
    shift: int
    before: bool
    after: bool


class _LinkWalk:
    """Counts of one link for one mapping."""

    def __init__(self, nest: _Nest, link: Link) -> None:
        self.nest, self.link, self.plan = nest, link, nest.plan
        self.tensor = self.plan.einsum.tensors[link.tensor]
        self.temporal = list(reversed(link.temporal))
        self.shared = link.multicast

    def counts(self) -> tuple[float, float, float, float]:
        """Delivered words, accesses, first accesses, first fills; summed over instances."""
        delivered = accesses = 0.0
        for weight, classes, leads in self._children():
            share = self._share(classes)
            delivered += weight * share
            accesses += leads * share
        if not self.link.output:
            return delivered, accesses, 0.0, 0.0
        return delivered, accesses, *self._first_touches()

    def _children(self) -> list[tuple[int, dict[str, Prefix], int]]:
        """Classes of children with equal prefixes: (how many, prefixes, how many stand first in a multicast group)."""
        per_rank: list[list[tuple[str, Prefix, int, int]]] = []
        slots = self.plan.spatial(self.link.child)
        for rank in self.plan.einsum.ranks:
            mine = [i for i in slots if self.plan.loops[i].rank == rank]
            groups: Counter[Prefix] = Counter()
            leads: Counter[Prefix] = Counter()
            for place in self.nest.places(rank, mine):
                prefix = self.nest.prefix(rank, self.plan.starts[self.link.child], place)
                if prefix is None:
                    continue
                groups[prefix] += 1
                leads[prefix] += all(place.get(i, 0) == 0 for i in self.shared)
            per_rank.append([(rank, p, count, leads[p]) for p, count in groups.items()])
        result: list[tuple[int, dict[str, Prefix], int]] = []
        for combination in product(*per_rank):
            weight = math.prod(c[2] for c in combination)
            lead = math.prod(c[3] for c in combination)
            result.append((weight, {c[0]: c[1] for c in combination}, lead))
        return result

    def _share(self, prefixes: dict[str, Prefix]) -> float:
        """Words delivered to one child: over all steps the words that were not there one step before."""
        if self.link.to_compute:
            return float(math.prod(p.count for p in prefixes.values()))
        words = self._sum({rank: self._states(p) for rank, p in prefixes.items()})
        if self.link.no_reuse:
            return words
        for slot in self.temporal:
            kinds = {rank: self._kinds(p, slot) for rank, p in prefixes.items()}
            words -= self._sum(kinds)
        return words

    def _states(self, prefix: Prefix) -> list[_Kind]:
        count = prefix.count
        if not prefix.partial:
            return [_Kind(count, 0, False, False)]
        return [_Kind(count - 1, 0, False, False), _Kind(1, 0, True, True)]

    def _kinds(self, prefix: Prefix, slot: int) -> list[_Kind]:
        """Transitions at which the loop at `slot` is the outermost that advances, seen from one rank."""
        outer = [k for k, i in enumerate(prefix.slots) if i < slot]
        inner = [k for k, i in enumerate(prefix.slots) if i > slot]
        stride, bounds, last = self.nest.stride, prefix.bounds, prefix.last
        full = -sum((bounds[k] - 1) * stride[prefix.slots[k]] for k in inner)
        ending = -sum(last[k] * stride[prefix.slots[k]] for k in inner)
        before = _rank_of(tuple(last[k] for k in outer), tuple(bounds[k] for k in outer))
        start_is_last = prefix.partial and all(last[k] == 0 for k in inner)
        if slot not in prefix.slots:
            return [_Kind(before, full, False, False), _Kind(1, ending, prefix.partial, start_is_last)]
        mine = prefix.slots.index(slot)
        step = stride[slot]
        reached = last[mine]
        kinds = [_Kind(before * (bounds[mine] - 1) + max(0, reached - 1), step + full, False, False)]
        if reached >= 1:
            kinds.append(_Kind(1, step + full, False, start_is_last))
        return kinds

    def _sum(self, kinds: dict[str, list[_Kind]]) -> float:
        """Sum over all combinations of kinds of count * words common to the tile before and after."""
        relevant = [r for r in kinds if r in self.tensor.ranks]
        factor = math.prod(sum(k.count for k in kinds[r]) for r in kinds if r not in relevant)
        if not factor:
            return 0.0
        total = 0.0
        for combination in product(*(kinds[r] for r in relevant)):
            count = math.prod(k.count for k in combination)
            if count:
                total += count * self._common(dict(zip(relevant, combination, strict=True)))
        return factor * total

    def _extent(self, rank: str, partial: bool) -> int:
        start = self.plan.starts[self.link.child]
        inside = [i for i in self.nest.of_rank(rank) if i >= start]
        bound = self.nest.r if partial else self.nest.n
        return 1 + sum(self.nest.stride[i] * (bound[i] - 1) for i in inside)

    def _common(self, state: dict[str, _Kind]) -> float:
        words = 1
        for axis in self.tensor.axes:
            shift = sum(t.coefficient * state[t.rank].shift for t in axis.terms)
            sets: list[int] = []
            for when in ("before", "after"):
                flat: list[int] = []
                for t in axis.terms:
                    flat += [abs(t.coefficient), self._extent(t.rank, getattr(state[t.rank], when))]
                sets.append(ops.bit_set(tuple(flat)))
            low = [
                sum(min(0, t.coefficient) * (self._extent(t.rank, getattr(state[t.rank], w)) - 1) for t in axis.terms)
                for w in ("before", "after")
            ]
            moved = shift + low[1] - low[0]
            first, second = sets
            words *= (first & (second << moved) if moved >= 0 else (first << -moved) & second).bit_count()
            if not words:
                return 0.0
        return float(words)

    def _first_touches(self) -> tuple[float, float]:
        """Distinct words that instances of the parent, and of the child, ever touch (plain outputs: all of them once)."""
        nest, link, plan = self.nest, self.link, self.plan

        def touched(level: int) -> float:
            copies = [i for i in plan.spatial(level) if i not in link.relevant]
            return math.prod(plan.einsum.tensor_shape(self.tensor)) * float(nest.instances(tuple(copies)))

        return touched(link.parent), touched(link.child)
