"""How often words of a result pass a merger that takes a limited number of lists at once.

    fiber    words of one copy of the result at a level that differ along its last axis only
    list     what of a fiber arrives for the same indices of the loops outside the child that do not move the result
    passes   1 + the number of j >= 1 with c > radix^j, where c lists of a fiber have a non-zero contribution: ceil(log_radix c)

Known operands: counted, list by list. Else c is taken as binomial: a word lies in one of the lists, each of the others is there
with the same probability. Exact if all lists are there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from sparseloop.model.density import Passes
from sparseloop.model.density.base import ProducedResult
from sparseloop.model.density.given_result import GivenResult, Values
from sparseloop.model.density.slices import REACH, binomial
from sparseloop.model.plan import Link
from sparseloop.model.rows import asked_by_rows
from sparseloop.model.sparsity.emptiness import tile_condition
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.sparsity.nest_points import Nest, Row
from sparseloop.model.sparsity.partial_sums import contraction_positions
from sparseloop.model.traffic.tiles import Cover, join
from sparseloop.model.units import Count, Integers, Share


def mean_passes(safs: SafConditions, link: Link, radix: int) -> Count:
    """Mean over the words of the result that arrive at the parent of its link."""
    tiles, plan = safs.tiles, safs.plan
    one, staying = safs.stay[link.index], _staying(safs, link)
    model = plan.einsum.tensors[link.tensor].density.answering
    if isinstance(model, GivenResult) and plan.plain[link.tensor]:
        slots = range(len(plan.loops))
        residuals = tiles.bounds if tiles.residuals is None else tiles.residuals
        columns = [*tiles.bounds, *(residuals[s] for s in slots)]
        for cover in (one, staying):
            columns += [tiles.count(cover[s], s) for s in slots]

        def counted(*row: float) -> float:
            parts = [tuple(round(x) for x in row[at * len(slots) : (at + 1) * len(slots)]) for at in range(4)]
            return _Fibers(Nest(plan, parts[0], parts[1]), link, parts[2], parts[3]).passes(model, radix)

        return asked_by_rows("passes through a merger", columns, counted)
    most = contraction_positions(tiles, link, staying) / contraction_positions(tiles, link, one)

    def expected(lists: float, there: float) -> float:
        return binomial_passes(math.ceil(lists - 1e-9), there, radix)

    return asked_by_rows("passes through a merger", [most, _list_is_there(safs, link, one)], expected)


def _staying(safs: SafConditions, link: Link) -> Cover:
    """What a copy of the result at the link's parent serves while it stays; at the outermost level it stays for good."""
    outer = safs.plan.outer[link.index]
    if outer:
        return safs.copy_stay[outer[-1]]
    return safs.tiles.covering(set(range(len(safs.plan.loops))) - set(safs.plan.spatial(link.parent)))


def _list_is_there(safs: SafConditions, link: Link, one: Cover) -> Share:
    """P(a list has a word); by the operands' tiles alone where a given density says nothing of contributions."""
    tiles, einsum = safs.tiles, safs.plan.einsum
    last = {loop.slot for loop in safs.plan.axes[link.tensor][-1]} if safs.plan.axes[link.tensor] else set[int]()
    staying = _staying(safs, link)
    span = join(one, tuple(staying[s] if s in last else one[s] for s in range(len(one))))
    density = einsum.tensors[link.tensor].density
    if density.produced and not density.deterministic:
        none = (0.0,) * (len(einsum.tensors) - 1)
        passes = Passes((), (), (), contraction_positions(tiles, link, one), again=False)
        return 1.0 - cast("ProducedResult", density).mean_empty(tiles.extents(link.tensor, span), passes, none)
    operands = (tile_condition(tiles, t, span) for t, tensor in enumerate(einsum.tensors) if not tensor.output)
    return safs.emptiness.non_emptiness(frozenset(operands))


def binomial_passes(lists: int, there: float, radix: int) -> float:
    """Of a word of one of so many lists, each of the others there with the same probability."""
    passes, others = 1.0, lists - 1
    mean, deviation = others * there, math.sqrt(max(0.0, others * there * (1.0 - there)))
    for limit in _limits(lists, radix):
        if mean - REACH * deviation >= limit:
            passes += 1.0
        elif mean + REACH * deviation >= limit:
            more = binomial(others, there)
            passes += float(more.weights[np.rint(more.values) >= limit].sum())
    return passes


def _limits(lists: int, radix: int) -> Iterable[int]:
    limit = radix
    while limit < lists:
        yield limit
        limit *= radix


@dataclass(frozen=True)
class _Fibers:
    """The fibers of a result in one mapping; per slot: values that one list covers, and values covered while a copy stays."""

    nest: Nest
    link: Link
    one: Row
    staying: Row

    def passes(self, model: GivenResult, radix: int) -> float:
        """Mean passes of the words that arrive, each for as many lists as its fiber has."""
        found = self._lists(model)
        fiber, start, lists = np.unique(found.key // found.within, return_index=True, return_counts=True)
        if not len(fiber):
            return 1.0
        words = np.add.reduceat(found.words, start)
        most = self._alike(model)
        passes = 1.0 + np.sum([lists * most > limit for limit in _limits(int(lists.max()) * most, radix)], axis=0)
        return float((words * passes).sum() / words.sum())

    def _alike(self, model: GivenResult) -> int:
        """Lists that differ along loops on which no operand depends."""
        return math.prod(-(-self.staying[s] // self.one[s]) for s in self._told(model, self._list_slots(), told=False))

    def _list_slots(self) -> tuple[int, ...]:
        """Loops that tell the lists of a fiber apart."""
        return tuple(s for s in range(len(self.one)) if s not in self.link.relevant and self.one[s] < self.staying[s])

    def _told(self, model: GivenResult, slots: Iterable[int], *, told: bool = True) -> tuple[int, ...]:
        return tuple(s for s in slots if (self.nest.plan.loops[s].rank in model.told) == told)

    def _lists(self, model: GivenResult) -> _Lists:
        """All lists, ascending, fiber by fiber."""
        plan, bounds = self.nest.plan, self.nest.bounds
        inner = self._told(model, self._list_slots())
        last = {loop.slot for loop in plan.axes[self.link.tensor][-1]} if plan.axes[self.link.tensor] else set[int]()
        words = self._told(model, (s for s in self.link.relevant if s in last and self.staying[s] == bounds[s]))
        outer = (s for s in range(len(bounds)) if s not in words and (s in self.link.relevant or self.staying[s] < bounds[s]))
        fibers = self._told(model, outer)
        within = math.prod(-(-self.staying[s] // self.one[s]) for s in inner)
        of_word = math.prod(bounds[s] for s in words)
        unique = all(self.one[s] == 1 for s in range(len(bounds)) if s not in self.link.relevant)
        found = _Lists(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), within)
        reached = np.zeros(0, dtype=np.int64)
        for values in model.contributions():
            key = self._number(values, fibers, inner, words)
            if unique:
                found = found.with_more(key // of_word)
            else:
                reached = np.unique(np.concatenate([reached, key]))
        return found if unique else found.with_more(reached // of_word)

    def _number(self, values: Values, fibers: Iterable[int], inner: Iterable[int], words: Iterable[int]) -> Integers:
        """Of contributions: fiber, list and word as one number."""
        loops, strides = self.nest.plan.loops, self.nest.strides()
        number = np.zeros(max((len(v) for v in values.values()), default=1), dtype=np.int64)

        def digit(slot: int) -> Integers:
            return values[loops[slot].rank] // strides[slot] % self.nest.bounds[slot]

        for slot in fibers:
            whole = self.staying[slot] if slot not in self.link.relevant else 1
            number = number * -(-self.nest.bounds[slot] // whole) + digit(slot) // whole
        for slot in inner:
            number = number * -(-self.staying[slot] // self.one[slot]) + digit(slot) % self.staying[slot] // self.one[slot]
        for slot in words:
            number = number * self.nest.bounds[slot] + digit(slot)
        return number


class _Lists(NamedTuple):
    """Lists that have a word, ascending, with the number of their words; `within`: possible lists of a fiber."""

    key: Integers
    words: Integers
    within: int

    def with_more(self, key: Integers) -> _Lists:
        """With the lists of further words."""
        more, count = np.unique(key, return_counts=True)
        both, at = np.unique(np.concatenate([self.key, more]), return_inverse=True)
        words = np.bincount(at.reshape(-1), weights=np.concatenate([self.words, count])).astype(np.int64)
        return _Lists(both, words, self.within)
