"""Covers of the loop nest and the sizes of the tiles they touch.

A cover says for every slot how many consecutive values its loop runs over: FIXED (one), FULL (all), or the larger
of some named partial covers whose numbers depend on the bounds. Covers are static and hashable, so equal tiles are
computed once per batch; their numbers are arrays.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from sparseloop.model import ops
from sparseloop.model.ops import Array
from sparseloop.model.plan import Link, Plan

Span = frozenset[str]
Cover = tuple[Span, ...]

FIXED: Span = frozenset()
FULL: Span = frozenset({"full"})


@lru_cache(maxsize=1 << 16)
def join(a: Cover, b: Cover) -> Cover:
    """The smallest cover that contains both."""
    return tuple(x if x == y else (FULL if "full" in x or "full" in y else x | y) for x, y in zip(a, b, strict=True))


@lru_cache(maxsize=1 << 16)
def within(a: Cover, b: Cover) -> bool:
    """True if a is contained in b whatever the bounds."""
    return all(y == FULL or x <= y for x, y in zip(a, b, strict=True))


@lru_cache(maxsize=1 << 16)
def _restrict(cover: Cover, relevant: frozenset[int]) -> Cover:
    return tuple(s if i in relevant else FIXED for i, s in enumerate(cover))


class Tiles:
    """Numbers of one batch: loop bounds, strides, covers and tile sizes, each computed once."""

    def __init__(self, plan: Plan, bounds: Any, clipped: bool = False) -> None:
        self.plan = plan
        self.clipped = clipped
        """Imperfect factors: the bounds of a rank may multiply to more than its shape; tiles end where the rank ends."""
        self.bounds: list[Array] = [bounds[i] for i in range(len(plan.loops))]
        self.stride = self._strides()
        self.partial: dict[tuple[str, int], Array] = {}
        """(name of a partial cover, slot) to the number of values it covers; missing = 1."""
        self.peaks: list[tuple[Array, int]] = []
        """Numbers whose largest one settled how far a Python loop went, and how far it went."""
        self._sizes: dict[tuple[int, Cover], Array] = {}
        self._extents: dict[tuple[int, Cover], tuple[Array, ...]] = {}
        self._products: dict[frozenset[int], Array] = {}
        self._repeats: dict[tuple[int, bool], Cover] = {}
        self._passes: dict[Cover, Array] = {}
        self._steps: dict[tuple[int, int, int], Array] = {}
        self._inside: dict[int, Cover] = {}
        self.point: Cover = (FIXED,) * len(plan.loops)

    def _strides(self) -> list[Array]:
        inner: dict[str, Array] = {}
        strides: list[Array] = [1] * len(self.bounds)
        for i in reversed(range(len(self.bounds))):
            rank = self.plan.loops[i].rank
            strides[i] = inner.get(rank, 1)
            inner[rank] = strides[i] * self.bounds[i]
        return strides

    def product(self, slots: Any) -> Array:
        """Product of the bounds of these slots."""
        key = frozenset(slots)
        if key not in self._products:
            self._products[key] = ops.product(self.bounds[i] for i in sorted(key))
        return self._products[key]

    # --- covers ---------------------------------------------------------------------------------------------

    def inside(self, level: int) -> Cover:
        """Everything inside level `level`: its own tile."""
        if level not in self._inside:
            start = self.plan.starts[level]
            self._inside[level] = (FIXED,) * start + (FULL,) * (len(self.bounds) - start)
        return self._inside[level]

    def covering(self, slots: Any) -> Cover:
        """All values of these slots, one of the others."""
        return tuple(FULL if i in slots else FIXED for i in range(len(self.bounds)))

    def named(self, name: str, counts: dict[int, Array]) -> Cover:
        """A partial cover: `counts[slot]` consecutive values, one elsewhere."""
        for slot, count in counts.items():
            self.partial[name, slot] = count
        mark = frozenset({name})
        return tuple(mark if i in counts else FIXED for i in range(len(self.bounds)))

    def restrict(self, cover: Cover, tensor: int) -> Cover:
        """The cover without the loops that are irrelevant to the tensor."""
        return _restrict(cover, self.plan.relevant[tensor])

    def count(self, span: Span, slot: int) -> Array:
        """Number of consecutive values that `span` covers at `slot`."""
        if span is FIXED or not span:
            return 1
        if "full" in span:
            return self.bounds[slot]
        counts = [self.partial.get((name, slot), 1) for name in sorted(span)]
        result = counts[0]
        for other in counts[1:]:
            result = ops.maximum(result, other)
        return result

    # --- sizes ----------------------------------------------------------------------------------------------

    def size(self, tensor: int, cover: Cover) -> Array:
        """|T(cover)|: number of distinct elements of the tensor touched under the cover."""
        key = (tensor, self.restrict(cover, tensor))
        if key not in self._sizes:
            self._sizes[key] = self._size(tensor, key[1])
        return self._sizes[key]

    def _size(self, tensor: int, cover: Cover) -> Array:
        if self.clipped:
            return self._clipped_size(tensor, cover)
        if self.plan.plain[tensor]:
            return ops.product(self.count(s, i) for i, s in enumerate(cover) if s)
        return ops.product(self._distinct(tensor, axis, cover) for axis in range(len(self.plan.axes[tensor])))

    def _clipped_size(self, tensor: int, cover: Cover) -> Array:
        size: Array = 1
        shape = self.plan.einsum.extents
        for axis in self.plan.einsum.tensors[tensor].axes:
            flat: list[Array] = []
            for term in axis.terms:
                slots = [i for i, s in enumerate(self.plan.loops) if s.rank == term.rank and cover[i]]
                length = ops.minimum(ops.product(self.count(cover[i], i) for i in slots), shape[term.rank])
                flat += [abs(term.coefficient), length]
            size = size * (flat[1] if len(flat) == 2 else ops.lattice("distinct", flat) if flat else 1)
        return size

    def shared(self, tensor: int, a: Cover, b: Cover) -> tuple[Array, tuple[Array, ...]]:
        """Size and extents of T(a) and T(b)'s common part, for covers with a common point: the elementwise smaller."""
        relevant = self.plan.relevant[tensor]
        counts = {i: ops.minimum(self.count(a[i], i), self.count(b[i], i)) for i in relevant if a[i] and b[i]}
        size: Array = ops.product(counts.values()) if self.plan.plain[tensor] else 1
        extents: list[Array] = []
        for axis in self.plan.axes[tensor]:
            terms = [(abs(c) * self.stride[i], counts[i]) for i, c in axis if i in counts]
            extents.append(1 + ops.total(step * (count - 1) for step, count in terms))
            if terms and not self.plan.plain[tensor]:
                size = size * ops.lattice("distinct", [x for term in terms for x in term])
        return size, tuple(extents)

    def extents(self, tensor: int, cover: Cover) -> tuple[Array, ...]:
        """Bounding extents of T(cover), one per axis."""
        key = (tensor, self.restrict(cover, tensor))
        if key not in self._extents:
            self._extents[key] = self._extents_of(tensor, key[1])
        return self._extents[key]

    def _extents_of(self, tensor: int, cover: Cover) -> tuple[Array, ...]:
        if self.clipped:
            return tuple(
                ops.minimum(self._extent(axis, cover), size)
                for axis, size in zip(
                    self.plan.axes[tensor], self.plan.einsum.tensor_shape(self.plan.einsum.tensors[tensor]), strict=True
                )
            )
        return tuple(self._extent(axis, cover) for axis in self.plan.axes[tensor])

    def _extent(self, axis: tuple[tuple[int, int], ...], cover: Cover) -> Array:
        return 1 + ops.total(abs(c) * self.stride[i] * (self.count(cover[i], i) - 1) for i, c in axis if cover[i])

    def _distinct(self, tensor: int, axis: int, cover: Cover) -> Array:
        terms = [(i, c) for i, c in self.plan.axes[tensor][axis] if cover[i]]
        if not terms:
            return 1
        ranks = {self.plan.loops[i].rank for i, _ in terms}
        if len(ranks) == 1:
            return ops.product(self.count(cover[i], i) for i, _ in terms)
        by_rank = [self._run(rank, terms, cover) for rank in sorted(ranks)]
        if len(by_rank) == 2 and all(run is not None for run in by_rank):
            return _two_term_distinct(*by_rank)  # type: ignore[arg-type]
        flat: list[Array] = []
        for i, c in terms:
            flat += [abs(c) * self.stride[i], self.count(cover[i], i)]
        return ops.lattice("distinct", flat)

    def _run(self, rank: str, terms: list[tuple[int, int]], cover: Cover) -> tuple[int, Array] | None:
        """(coefficient, length) if the values of `rank` under the cover are 0..length-1 whatever the bounds."""
        mine = [(i, c) for i, c in reversed(terms) if self.plan.loops[i].rank == rank]
        partial = False
        for (i, _), expected in zip(mine, self.plan.of_rank[rank], strict=False):
            if partial or i != expected:
                return None
            partial = cover[i] != FULL
        return abs(mine[0][1]), ops.product(self.count(cover[i], i) for i, _ in mine)

    def step(self, tensor: int, axis: int, slot: int) -> Array:
        """Displacement of the coordinate of `axis` by one step of the loop at `slot`."""
        key = (tensor, axis, slot)
        if key not in self._steps:
            self._steps[key] = ops.total(c * self.stride[i] for i, c in self.plan.axes[tensor][axis] if i == slot)
        return self._steps[key]

    def axis_overlap(self, tensor: int, axis: int, cover: Cover, shift: Array) -> Array:
        """Distinct coordinates of one axis under `cover` that remain when it is displaced by `shift`."""
        terms = [(i, c) for i, c in self.plan.axes[tensor][axis] if cover[i]]
        runs = [self._run(rank, terms, cover) for rank in sorted({self.plan.loops[i].rank for i, _ in terms})]
        shift = ops.absolute(shift)
        if not runs:
            return ops.zero_unless(shift == 0, 1)
        if len(runs) == 1 and runs[0] is not None and len(self.plan.einsum.tensors[tensor].axes[axis].terms) == 1:
            return ops.zero_unless(shift == 0, runs[0][1])  # one rank: a tile moves by at least its own length
        if len(runs) == 1 and runs[0] is not None:
            step, length = runs[0]
            if step == 1:
                return ops.maximum(0, length - shift)
            return ops.zero_unless(shift % step == 0, ops.maximum(0, length - shift // step))
        if len(runs) == 2 and runs[0] is not None and runs[1] is not None and min(runs[0][0], runs[1][0]) == 1:
            teeth, comb = sorted((runs[0], runs[1]), key=lambda r: r[0])
            return _comb_overlap(teeth, comb, shift)
        flat: list[Array] = [shift]
        for i, c in terms:
            flat += [abs(c) * self.stride[i], self.count(cover[i], i)]
        return ops.lattice("overlap", flat)

    # --- covers of a link -----------------------------------------------------------------------------------

    def stationary(self, link: Link) -> Cover:
        """`run`: the temporal loops over which the tile stays at the child, inside the innermost moving loop."""
        if link.to_compute or link.no_reuse:
            return self.point
        counts: dict[int, Array] = {}
        full: set[int] = set()
        moved: Array = False
        for slot in link.temporal:
            if slot in link.relevant:
                moved = ops.either(moved, self.bounds[slot] > 1)
            elif moved is False:
                full.add(slot)
            else:
                counts[slot] = ops.one_unless(ops.negate(moved), self.bounds[slot])
        return join(self.covering(full), self.named(f"run{link.index}", counts))

    def visits(self, link: Link) -> Array:
        """V: deliveries to one child = product of the temporal bounds from the innermost moving loop outwards."""
        if link.to_compute or link.no_reuse:
            return self.product(link.temporal)
        count: Array = 1
        moved: Array = False
        for slot in link.temporal:
            if slot in link.relevant:
                moved = ops.either(moved, self.bounds[slot] > 1)
            if moved is not False:
                count = count * ops.one_unless(moved, self.bounds[slot])
        return count

    def repeats(self, link: Link, of_parent: bool) -> Cover:
        """The irrelevant loops among those of `visits`: all at index 0 when a word is touched for the first time.

        At the parent also the lanes that are served one by one: only one of them is the first.
        """
        key = (link.index, of_parent)
        if key not in self._repeats:
            self._repeats[key] = self._repeats_of(link, of_parent)
        return self._repeats[key]

    def _repeats_of(self, link: Link, of_parent: bool) -> Cover:
        counts: dict[int, Array] = {}
        if of_parent:
            counts = {s: self.bounds[s] for s in link.unshared if s not in link.relevant}
        moved: Array = link.to_compute or link.no_reuse
        for slot in link.temporal:
            if slot in link.relevant:
                moved = ops.either(moved, self.bounds[slot] > 1)
            else:
                counts[slot] = ops.one_unless(moved, self.bounds[slot])
        return self.named(f"again{link.index}:{of_parent}", counts)

    def passes(self, repeats: Cover) -> Array:
        """How often the same words are visited: the product over a cover of repeated loops."""
        if repeats not in self._passes:
            self._passes[repeats] = ops.product(self.count(span, i) for i, span in enumerate(repeats) if span)
        return self._passes[repeats]


def _two_term_distinct(first: tuple[int, Array], second: tuple[int, Array]) -> Array:
    """Distinct values of a*i + b*j, i < e, j < f: e*f minus the pairs that repeat (i+b', j-a'); a' = a/gcd."""
    (a, e), (b, f) = first, second
    g = math.gcd(a, b)
    return e * f - ops.maximum(0, e - b // g) * ops.maximum(0, f - a // g)


def _comb_overlap(teeth: tuple[int, Array], comb: tuple[int, Array], shift: Array) -> Array:
    """Common values of {i + s*j : i < e, j < f} and the same set displaced by shift >= 0.

    One interval if e >= s or f = 1, else f blocks of e values at distance s.
    """
    (_, e), (s, f) = teeth, comb
    if s == 1:
        return ops.maximum(0, e + f - 1 - shift)
    whole = ops.maximum(0, s * (f - 1) + e - shift)
    q = shift // s
    rest = shift - s * q
    blocks = ops.maximum(0, f - q) * ops.maximum(0, e - rest) + ops.maximum(0, f - q - 1) * ops.maximum(0, e - s + rest)
    return ops.where(ops.either(e >= s, f == 1), whole, blocks)
