"""The points of a nest one by one, and what crosses a link at which of them: for known patterns where covers are not enough.

Imperfect factors cut tiles short, windows keep some of their words, blocks reach over tiles: which words a check sees then
differs from one event to the next. Here every event is looked at. Loops of ranks that nobody asks for do the same in every pass
but the first and the last, so they are cut to three passes, the middle one with the weight of all it stands for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from sparseloop.model.plan import Link, Plan
from sparseloop.model.rows import asked_by_rows
from sparseloop.model.traffic.tiles import Tiles
from sparseloop.model.units import Count, Floats, Integers

Truths = npt.NDArray[np.bool_]
Found = TypeVar("Found")
Row = tuple[int, ...]
"""One number per slot of one mapping."""
MOST_POINTS = 2**21
"""Points that are looked at one by one."""
MOST_PADDED = 2**14
"""The same where a tensor has padding, which covers say nearly as well."""
REMEMBERED = 4096
"""Mappings of which it is remembered what was found."""


def few_points(plan: Plan, ranks: frozenset[str], most: int = MOST_POINTS) -> bool:
    """True if no more than so many points tell values of these ranks apart."""
    extents = plan.einsum.extents
    others = sum(not loop.spatial and loop.rank not in ranks for loop in plan.loops)
    return math.prod(extents[rank] for rank in ranks) * 3**others <= most


@dataclass(frozen=True, slots=True)
class Nest:
    """The loops of one mapping."""

    plan: Plan
    bounds: Row
    residuals: Row

    @property
    def perfect(self) -> bool:
        """True if no pass is shorter than the others."""
        return self.bounds == self.residuals

    def strides(self) -> Row:
        """Per slot: values of its rank that one step of the loop passes."""
        inner, strides = dict[str, int](), [1] * len(self.bounds)
        for slot in reversed(range(len(self.bounds))):
            rank = self.plan.loops[slot].rank
            strides[slot] = inner.get(rank, 1)
            inner[rank] = strides[slot] * self.bounds[slot]
        return tuple(strides)

    def numbers(self, values: Mapping[str, Integers], order: Sequence[int]) -> Integers:
        """Row-major numbers of the indices that some loops have at points, of which the values of ranks are given."""
        loops, strides = self.plan.loops, self.strides()
        number = np.zeros(max((len(v) for v in values.values()), default=1), dtype=np.int64)
        for slot in order:
            number *= self.bounds[slot]
            digit = values[loops[slot].rank]
            digit = digit // strides[slot] if strides[slot] > 1 else digit
            outermost = slot == self.plan.of_rank[loops[slot].rank][-1]
            number += digit if outermost else digit % self.bounds[slot]
        return number

    def imperfect_ranks(self) -> frozenset[str]:
        """Ranks with a loop whose last pass is shorter."""
        slots = range(len(self.bounds))
        return frozenset(self.plan.loops[i].rank for i in slots if self.bounds[i] != self.residuals[i])

    def passes(self, ranks: frozenset[str]) -> Row:
        """Per slot: how many passes are looked at if only these ranks are asked for."""
        plan, kept = self.plan, ranks | self.imperfect_ranks()
        apart = frozenset(i for link in plan.links for i in link.unshared)
        return tuple(
            bound if loop.rank in kept or i in apart else 1 if loop.spatial else min(3, bound)
            for i, (loop, bound) in enumerate(zip(plan.loops, self.bounds, strict=True))
        )


class ByMapping(Generic[Found]):
    """What is found about the mappings of a batch, each of which is looked at once."""

    def __init__(self, tiles: Tiles, what: str, look: Callable[[Nest], Found]) -> None:
        residuals = tiles.bounds if tiles.residuals is None else tiles.residuals
        self._columns = [*tiles.bounds, *(residuals[i] for i in range(len(tiles.plan.loops)))]
        self._plan, self._what, self._look = tiles.plan, what, look
        self._found: dict[Row, Found] = {}

    def number(self, of: Callable[[Found], float]) -> Count:
        """One number of what is found, mapping by mapping."""
        return asked_by_rows(self._what, self._columns, lambda *row: of(self._of(tuple(map(int, row)))))

    def only(self) -> Nest:
        """The mapping of a batch of one."""
        return self._nest(tuple(int(n) for n in self._columns))

    def _nest(self, row: Row) -> Nest:
        return Nest(self._plan, row[: len(row) // 2], row[len(row) // 2 :])

    def _of(self, row: Row) -> Found:
        if row not in self._found:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[row] = self._look(self._nest(row))
        return self._found[row]


@dataclass(frozen=True, slots=True, eq=False)
class Deliveries:
    """What crosses a link, word by word: copies that enter a child, and the accesses of the parent that serve them."""

    visit: Integers
    """Per point: its child and step, numbered by child, then time."""
    copy_of_point: Integers
    begin: Integers
    """Per copy: the visit at which it enters the child."""
    end: Integers
    """Per copy: the last visit at which it is there."""
    access_of_copy: Integers
    copy_point: Integers
    """Per copy, a point of its first visit that uses it."""
    access_point: Integers
    """Per access, a point of its first visit that it serves."""
    first_copies: Truths
    """Per copy: the child never had the word before."""
    first_accesses: Truths
    """Per access: the parent was never asked for the word before."""

    def any_user(self, holds: Truths, *, of_copies: bool) -> Truths:
        """Per copy, or access: does `holds` hold at some point that uses it?"""
        event = self.copy_of_point if of_copies else self.access_of_copy[self.copy_of_point]
        found = np.zeros(len(self.copy_point if of_copies else self.access_point), dtype=np.bool_)
        found[event[holds]] = True
        return found

    def met(self, holds: Truths, *, per_copy: bool) -> Truths:
        """Per point: does `holds` hold somewhere at its child while the copy that serves it stays?

        Unless `per_copy`, at any of the children that its access serves, each while its own copy stays.
        """
        seen = np.zeros(int(self.visit.max()) + 2, dtype=np.int64)
        seen[self.visit[holds] + 1] = 1
        before = np.cumsum(seen)
        copies = before[self.end + 1] > before[self.begin]
        if per_copy:
            return copies[self.copy_of_point]
        accesses = np.zeros(len(self.access_point), dtype=np.bool_)
        accesses[self.access_of_copy[copies]] = True
        return accesses[self.access_of_copy[self.copy_of_point]]


class NestPoints:
    """The points of a nest that tell values of some ranks apart; arrays have one element per point."""

    def __init__(self, nest: Nest, ranks: frozenset[str]) -> None:
        self.nest, self.plan = nest, nest.plan
        self.passes = nest.passes(ranks)
        self._inner = [math.prod(self.passes[i + 1 :]) for i in range(len(self.passes))]
        self._numbers: Integers | None = None
        self._deliveries: dict[tuple[int, frozenset[int]], Deliveries] = {}
        for rank in sorted(nest.imperfect_ranks()):
            within = self.value(rank) < self.plan.einsum.extents[rank]
            self._numbers = self.numbers[within]

    @property
    def numbers(self) -> Integers:
        """Row-major number of every point among all combinations of passes."""
        return np.arange(math.prod(self.passes)) if self._numbers is None else self._numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def digit(self, slot: int) -> Any:
        """Index of one loop; of a loop cut short 0, 1 and 2 for its first, middle and last passes."""
        return self.numbers // self._inner[slot] % self.passes[slot] if self.passes[slot] > 1 else 0

    def code(self, slots: Iterable[int], width: Sequence[int] | None = None) -> Integers:
        """One number per point, equal where these loops stand alike, ordered as the loops run; `width`: at pieces so long."""
        code = np.zeros(len(self), dtype=np.int64)
        for slot in slots:
            code *= self.passes[slot]
            code += self.digit(slot) // (width[slot] if width else 1)
        return code

    def value(self, rank: str) -> Integers:
        """Value of a rank."""
        value, stride = np.zeros(len(self), dtype=np.int64), 1
        for slot in self.plan.of_rank.get(rank, ()):
            value += stride * self.digit(slot)
            stride *= self.nest.bounds[slot]
        return value

    def word(self, tensor: int, fixed: frozenset[int] = frozenset()) -> Integers:
        """Row-major place of the word of a tensor in its bounding box; loops of `fixed` stand at 0."""
        einsum = self.plan.einsum
        operand, flat = einsum.tensors[tensor], np.zeros(len(self), dtype=np.int64)
        for axis, moves, extent in zip(operand.axes, self.plan.axes[tensor], einsum.tensor_shape(operand), strict=True):
            flat *= extent
            flat -= sum(min(0, t.coefficient) * (einsum.extents[t.rank] - 1) for t in axis.terms)
            for slot, coefficient in moves:
                if slot not in fixed:
                    flat += coefficient * self.stride(slot) * self.digit(slot)
        return flat

    def inside(self, tensor: int) -> Truths:
        """Is the word of a tensor none of its padding? Ranks of padded axes must be told apart."""
        inside = np.ones(len(self), dtype=np.bool_)
        for border, moves in zip(self.plan.borders[tensor], self.plan.moves[tensor], strict=True):
            if border is not None:
                at = border.base + sum((c * self.stride(slot) * self.digit(slot) for slot, c in moves), np.int64(0))
                inside &= (at >= 0) & (at < border.size)
        return inside

    def stride(self, slot: int) -> int:
        """Values of its rank that one step of a loop passes."""
        loops, bounds = self.plan.loops, self.nest.bounds
        return math.prod(bounds[i] for i in range(slot + 1, len(bounds)) if loops[i].rank == loops[slot].rank)

    def nonzero(self, tensor: int) -> Truths:
        """Is the word of a known tensor non-zero? One that is dense has zeros in its padding alone."""
        density = self.plan.einsum.tensors[tensor].density
        if not density.deterministic:
            return self.inside(tensor)
        places, word = density.coordinates().flat, self.word(tensor)
        if not len(places):
            return np.zeros(len(word), dtype=np.bool_)
        return places[np.minimum(np.searchsorted(places, word), len(places) - 1)] == word

    def share_nonzero(self, tensor: int) -> Floats:
        """Share of non-zeros among the words of a known tensor that the point stands for, if loops of its ranks are cut short."""
        einsum, parts = self.plan.einsum, list[Any]()
        shares: Any = einsum.tensors[tensor].density.coordinates().pattern().astype(np.float64)
        for axis, moves in zip(einsum.tensors[tensor].axes, self.plan.axes[tensor], strict=True):
            at = len(parts)
            lowest = sum(min(0, t.coefficient) * (einsum.extents[t.rank] - 1) for t in axis.terms)
            if all(self.passes[slot] == self.nest.bounds[slot] for slot, _ in moves):
                parts.append(sum((c * self.stride(slot) * self.digit(slot) for slot, c in moves), np.int64(-lowest)))
                continue
            ((slots, coefficient),) = {(tuple(s for s, _ in moves), c) for _, c in moves}
            values = coefficient * np.arange(einsum.extents[axis.terms[0].rank]) - lowest
            shares = shares.take(values, axis=at)
            shares = shares.reshape(*shares.shape[:at], *(self.nest.bounds[s] for s in slots), *shares.shape[at + 1 :])
            for slot in slots:
                shares = _cut_short(shares, len(parts), self.passes[slot])
                parts.append(self.digit(slot))
        return np.broadcast_to(shares[tuple(parts)], (len(self),))

    def weight(self, slots: Iterable[int]) -> Floats:
        """How many points of the whole nest a point stands for, as far as these loops go."""
        weight = np.ones(len(self))
        for slot in slots:
            bound, passes = self.nest.bounds[slot], self.passes[slot]
            if passes < bound and passes > 1:
                weight *= np.array([1.0, bound - 2.0, 1.0])[self.digit(slot)]
        return weight

    @property
    def times(self) -> list[int]:
        """The loops that tell steps of the computes apart, outermost first."""
        return [slot for slot, loop in enumerate(self.plan.loops) if not loop.spatial]

    @cached_property
    def lane(self) -> Integers:
        """The compute instance of every point."""
        return self.code(self.plan.spatial(self.plan.compute))

    # --- links ----------------------------------------------------------------------------------------------

    def deliveries(self, link: Link, below: frozenset[int] = frozenset()) -> Deliveries:
        """What crosses a link: its words, or the metadata entries above the loops `below`."""
        if (link.index, below) not in self._deliveries:
            exists = self.inside(link.tensor)
            if below and not exists.all():
                exists = some_alike(numbered(self.code(s for s in sorted(link.relevant) if s not in below)), exists)
            self._deliveries[link.index, below] = self._found(link, self.word(link.tensor, below), exists)
        return self._deliveries[link.index, below]

    def stays(self, link: Link, key: Integers) -> Integers:
        """Per point the stay of its key (a word, an entry, a fiber) at the child of a link."""
        child = self.code(self.plan.spatial(link.child))
        visit = numbered(child, self.code(reversed(link.temporal)))
        return copies(visit, child, key, reuse=not (link.to_compute or link.no_reuse)).of_point

    def _found(self, link: Link, key: Integers, exists: Truths) -> Deliveries:
        child, step = self.code(self.plan.spatial(link.child)), self.code(reversed(link.temporal))
        visit = numbered(child, step)
        stays = copies(visit, child, key, reuse=not (link.to_compute or link.no_reuse))
        point = stays.first_point
        place = [self.code(self.plan.spatial(link.parent))[point], step[point], self.code(link.unshared)[point]]
        if math.prod(self.passes[i] for i in link.between) == 1:
            access_of_copy = np.arange(len(point))
        else:
            access_of_copy = numbered(*place, *_together(stays.begin, key[point], exists[point]), key[point])
        access_point = np.empty(int(access_of_copy.max()) + 1, dtype=np.int64)
        earliest = np.lexsort((child[point], step[point]))[::-1]
        access_point[access_of_copy[earliest]] = point[earliest]
        return Deliveries(
            visit=visit,
            copy_of_point=stays.of_point,
            begin=stays.begin,
            end=stays.end,
            access_of_copy=access_of_copy,
            copy_point=point,
            access_point=access_point,
            first_copies=first_of_key(child[point], key[point], step[point], child[point]),
            first_accesses=first_of_key(
                self.code(self.plan.spatial(link.parent))[access_point],
                key[access_point],
                step[access_point],
                child[access_point],
            ),
        )

    def block(self, link: Link, words: int) -> Integers | None:
        """Per point the piece of the nest whose words one access of `words` words reads; None if tiles are no smaller.

        Aligned pieces of the tensor's loops between child and parent, innermost first.
        """
        tile = 1
        if not link.to_compute:
            visit = self.deliveries(link).visit
            tile = len(np.unique(self.word(link.tensor)[visit == 0]))
        missing = -(-words // tile)
        if missing <= 1:
            return None
        width = [1] * len(self.passes)
        for slot in reversed(range(self.plan.starts[link.parent], self.plan.starts[link.child])):
            if slot in link.relevant:
                width[slot] = min(self.nest.bounds[slot], missing)
                missing = -(-missing // width[slot])
        return numbered(self.code(range(len(self.passes)), width))


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Stays of keys at instances: from one visit to a later one, without a visit between that has no use for them."""

    of_point: Integers
    begin: Integers
    end: Integers
    first_point: Integers


def copies(visit: Integers, instance: Integers, key: Integers, *, reuse: bool) -> Copies:
    """The stays, from visit (numbered by instance, then time), instance and key of every point; without reuse one visit long."""
    visits = int(visit.max()) + 1
    pairs, point, of_point = np.unique(key * visits + visit, return_index=True, return_inverse=True)
    when = pairs % visits
    starts = np.ones(len(pairs), dtype=np.bool_)
    if reuse:
        at = instance[point]
        starts[1:] = (pairs[1:] != pairs[:-1] + 1) | (when[1:] == 0) | (at[1:] != at[:-1])
    number = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(pairs)) - 1
    return Copies(number[of_point.reshape(-1)], when[first], when[last], point[first])


def numbered(*columns: Integers) -> Integers:
    """A number from 0 for every distinct row of some columns, in the order of the rows."""
    code, span = columns[0], int(columns[0].max()) + 1
    for column in columns[1:]:
        width = int(column.max()) + 1
        if span >= 2**62 // width:
            code = np.unique(code, return_inverse=True)[1].reshape(-1)
            span = int(code.max()) + 1
        code, span = code * width + column, span * width
    return np.unique(code, return_inverse=True)[1].reshape(-1)


def _together(begin: Integers, key: Integers, exists: Truths) -> list[Integers]:
    """Per copy two numbers for the set of keys that enter with it, padding left out; equal sets have equal numbers.

    Sums of hashes: two of 62 bits, so that different sets are taken for equal once in 10^37.
    """
    group = numbered(begin)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    found: list[Integers] = []
    for seed in (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03):
        mixed = key.astype(np.uint64) * np.uint64(seed) + np.uint64(seed >> 7)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
        mixed *= exists
        found.append(numbered((np.add.reduceat(mixed[order], starts)[group] >> np.uint64(2)).astype(np.int64)))
    return found


def some_alike(code: Integers, holds: Truths) -> Truths:
    """Per point: does `holds` hold at some point with the same code?"""
    some = np.zeros(int(code.max()) + 1, dtype=np.bool_)
    some[code[holds]] = True
    return some[code]


def first_of_key(owner: Integers, key: Integers, time: Integers, instance: Integers) -> Truths:
    """Marks the earliest event of each pair of owner and key; of several at once that of the lowest instance."""
    order = np.lexsort((instance, time, key, owner))
    first = np.zeros(len(order), dtype=np.bool_)
    mine = owner[order], key[order]
    first[order] = np.concatenate([[True], (mine[0][1:] != mine[0][:-1]) | (mine[1][1:] != mine[1][:-1])])
    return first


def _cut_short(shares: Any, axis: int, passes: int) -> Any:
    """Of all passes of a loop the mean; or the first one, the mean of the middle ones, and the last one."""
    bound = shares.shape[axis]
    if passes == bound:
        return shares
    if passes == 1:
        return shares.mean(axis=axis, keepdims=True)
    first, middle, last = np.split(shares, [1, bound - 1], axis=axis)
    return np.concatenate([first, middle.mean(axis=axis, keepdims=True), last], axis=axis)
