"""Mapspaces by their members: coordinates and neighbours of a mapping, one representative of every class of orders."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.space.constraints import Template
from sparseloop.mapper.space.factorizations import Ints, primes
from sparseloop.model.design.mapping import Mapping, MappingBatch, Sample

if TYPE_CHECKING:
    from sparseloop.mapper.space.mapspace import Mapspace


class MemberCoordinates(NamedTuple):
    """Where a member stands in its mapspace."""

    template: Template
    factors: Ints
    """Of all loops, shape (loops,)."""


def coordinates(space: Mapspace, mapping: Mapping) -> MemberCoordinates | None:
    """Those of a member, else None; loops of bound 1 and the order of spatial loops do not matter."""
    row = {loop: i for i, loop in enumerate(space.loops)}
    factors = np.ones(len(space.loops), dtype=np.int64)
    orders: list[list[str]] = [[] for _ in space.orders]
    for loop, bound in zip(mapping.nest.loops, mapping.bounds, strict=True):
        if bound == 1:
            continue
        if loop not in row or factors[row[loop]] > 1:
            return None
        factors[row[loop]] = bound
        if not loop.spatial:
            orders[loop.level].append(loop.rank)
    column = factors[:, None]
    completed_orders = [completed(space, level, existing) for level, existing in enumerate(orders)]
    if None in completed_orders or not bool(space.legal(column).all()) or not space.bypass.allows(mapping.nest.keep):
        return None
    template = Template(tuple(order for order in completed_orders if order is not None), mapping.nest.keep)
    again, own = space.batch(template, column)[0], space.nest(template).nest
    same = (own.no_temporal_reuse, own.no_multicast, own.no_forwarding)
    if same != (mapping.nest.no_temporal_reuse, mapping.nest.no_multicast, mapping.nest.no_forwarding):
        return None
    return MemberCoordinates(template, factors) if _last_pass_bounds(again) == _last_pass_bounds(mapping) else None


def _last_pass_bounds(mapping: Mapping) -> dict[object, int]:
    """Last-pass bounds by loop."""
    last = mapping.residuals or mapping.bounds
    return {loop: r for loop, bound, r in zip(mapping.nest.loops, mapping.bounds, last, strict=True) if bound > 1}


def completed(space: Mapspace, level: int, ranks: list[str]) -> tuple[str, ...] | None:
    """An order of all loops of a level that has these in this order; None if the constraints forbid it."""
    order = space.orders[level]
    if not order.allows(ranks):
        return None
    free = iter([rank for rank in ranks if rank in order.free])
    return (*order.outer, *(next(free) if r in ranks else r for r in order.free), *order.inner)


def mapping_key(mapping: Mapping) -> object:
    """Equal for mappings that differ in loops of bound 1 only."""
    loops = zip(mapping.nest.loops, mapping.bounds, strict=True)
    return tuple((loop, bound) for loop, bound in loops if bound > 1), mapping.nest.keep


# --- neighbours ---------------------------------------------------------------------------------------------


def neighbours(space: Mapspace, mapping: Mapping) -> Sample:
    """All members one step away from a member."""
    member = coordinates(space, mapping)
    if member is None:
        raise ValueError("the mapping is no member of the mapspace")
    template, factors = member
    moved = _primes_moved(space, factors)
    near = [*_loops_swapped(space, template, factors), *_bypasses_changed(space, template)]
    columns = np.concatenate([moved, np.repeat(factors[:, None], len(near), axis=1)], axis=1)
    which = np.concatenate([np.zeros(moved.shape[1], dtype=np.int64), np.arange(1, len(near) + 1)])
    return space.gathered([template, *near], which, columns)


def _primes_moved(space: Mapspace, factors: Ints) -> Ints:
    """One prime factor moved to another slot of its rank."""
    columns: list[Ints] = []
    for rows in space.rows:
        slots = range(rows.start, rows.stop)
        for source, target in product(slots, slots):
            for prime in primes(int(factors[source])) if source != target else ():
                column = factors.copy()
                column[source] //= prime
                column[target] *= prime
                columns.append(column)
    every = np.array(columns, dtype=np.int64).reshape(len(columns), len(factors)).T
    return every[:, space.legal(every)]


def _loops_swapped(space: Mapspace, template: Template, factors: Ints) -> Iterator[Template]:
    """Two loops that follow each other, with nothing but loops of bound 1 between them, change places."""
    row = {(loop.level, loop.rank): i for i, loop in enumerate(space.loops) if not loop.spatial}
    for level, order in enumerate(template.orders):
        real = [rank for rank in order if factors[row[level, rank]] > 1]
        for i in range(len(real) - 1):
            changed = completed(space, level, [*real[:i], real[i + 1], real[i], *real[i + 2 :]])
            if changed is not None:
                yield Template((*template.orders[:level], changed, *template.orders[level + 1 :]), template.keep)


def _bypasses_changed(space: Mapspace, template: Template) -> Iterator[Template]:
    """One level more, or one less, holds one tensor."""
    for name in space.bypass.options:
        for level, kept in enumerate(template.keep):
            changed = kept ^ {name}
            keep = (*template.keep[:level], changed, *template.keep[level + 1 :])
            if space.bypass.allows(keep):
                yield Template(template.orders, keep)


# --- classes ------------------------------------------------------------------------------------------------


def distinct_chunks(space: Mapspace, size: int) -> Iterator[MappingBatch]:
    """Per bypass the orders that represent every class, each with the factors it stands for."""
    for keep in space.bypass.every():
        libraries = [c.library() for c in space.classes(keep)]
        for chosen in product(*libraries):
            template = Template(tuple(order for order, _ in chosen), keep)
            owned = [_mask(sets, len(space.ranks)) for _, sets in chosen]
            for start in range(0, space.factor_count, size):
                factors = space.numbered_factors(range(start, min(start + size, space.factor_count)))
                kept = np.ones(factors.shape[1], dtype=bool)
                for level, table in enumerate(owned):
                    kept &= table[_existing(space, level, factors)]
                if bool(kept.any()):
                    yield space.batch(template, factors[:, kept])


def _mask(sets: frozenset[int], ranks: int) -> npt.NDArray[np.bool_]:
    table = np.zeros(1 << ranks, dtype=bool)
    table[list(sets)] = True
    return table


def _existing(space: Mapspace, level: int, factors: Ints) -> Ints:
    """Per column the set of ranks with a temporal loop at a level, as bits."""
    ranks = np.zeros(factors.shape[1], dtype=np.int64)
    for bit, (space_of_rank, rows) in enumerate(zip(space.ranks, space.rows, strict=True)):
        for i, loop in enumerate(space_of_rank.loops):
            if loop.level == level and not loop.spatial:
                ranks |= (factors[rows.start + i] > 1).astype(np.int64) << bit
    return ranks
