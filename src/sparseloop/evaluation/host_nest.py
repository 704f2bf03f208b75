"""Mappings of many templates as one batch: a loop of bound 1 is no loop, so one longer nest hosts many orders.

A host has, per level, a sequence of ranks in which every order that occurs is contained; loops that a mapping does not have get
bound 1. The numbers are those of the templates themselves, where the model multiplies by nothing instead of by 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from sparseloop.model.design.mapping import Loop, LoopNest, MappingBatch

SMALL = 1 << 16
"""Templates with fewer mappings are hosted together: recording the model takes as long as evaluating about that many."""
PORTION = 1 << 16
"""Mappings hosted together at a time."""
KNOWN = 8
"""Hosts kept per frame."""
ROOMY, SPARE = 1.5, 8
"""A host is reused if its loop count is at most ROOMY * needed + SPARE."""

Ints = npt.NDArray[np.int64]
Order = tuple[str, ...]
"""Ranks of the temporal loops of a level, outermost first."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What templates must have in common to be hosted together."""

    nest: LoopNest
    """Without temporal loops."""
    temporal: tuple[int, ...]
    """Per level the number of temporal loops."""


class HostedBatch(NamedTuple):
    """Mappings under one template, with their positions among those that were asked for."""

    batch: MappingBatch
    places: Ints


def hosted_batches(parts: Sequence[MappingBatch]) -> Iterator[HostedBatch]:
    """The same mappings under fewer templates, each batch with the positions of its mappings in the concatenation of `parts`."""
    starts = [0, *accumulate(map(len, parts))]
    places: list[Ints] = [np.arange(a, b) for a, b in pairwise(starts)]
    alike: dict[Frame | None, list[int]] = {}
    for i, part in enumerate(parts):
        alike.setdefault(_frame(part.nest) if len(part) < SMALL and part.residuals is None else None, []).append(i)
    for frame, members in alike.items():
        for portion in _portions(parts, members):
            if frame is None:
                yield from (HostedBatch(parts[i], places[i]) for i in portion)
            else:
                yield HostedBatch(_hosted(frame, [parts[i] for i in portion]), np.concatenate([places[i] for i in portion]))


def _portions(parts: Sequence[MappingBatch], members: list[int]) -> Iterator[list[int]]:
    portion, count = list[int](), 0
    for i in members:
        if portion and count + len(parts[i]) > PORTION:
            yield portion
            portion, count = [], 0
        portion.append(i)
        count += len(parts[i])
    yield portion


def _frame(nest: LoopNest) -> Frame:
    levels = range(len(nest.keep))
    temporal = tuple(sum(not loop.spatial and loop.level == level for loop in nest.loops) for level in levels)
    return Frame(replace(nest, loops=tuple(loop for loop in nest.loops if loop.spatial)), temporal)


@dataclass(frozen=True, slots=True)
class LevelUse:
    """The temporal loops of one level that mappings use; mappings that use the same ones are of one kind."""

    loops: list[list[int]]
    """By kind of mapping: the loops with a bound above 1."""
    orders: list[Order]
    """By kind: their ranks."""
    kind: Ints
    """By mapping: its kind."""


def _hosted(frame: Frame, parts: list[MappingBatch]) -> MappingBatch:
    """One batch with the mappings of all parts, in their order."""
    bounds = np.concatenate([part.bounds for part in parts], axis=1)
    member = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    spatial = [sum(loop.level == level for loop in frame.nest.loops) for level in range(len(frame.temporal))]
    ends = list(accumulate(a + b for a, b in zip(frame.temporal, spatial, strict=True)))
    rows = [range(end - b - a, end - b) for end, a, b in zip(ends, frame.temporal, spatial, strict=True)]
    used = [_level_use(parts, member, bounds, level) for level in rows]
    hosts = _hosts(frame).fitting([level_use.orders for level_use in used])
    rows_of_level: list[Ints] = []
    for level_use, host, level, end in zip(used, hosts, rows, ends, strict=True):
        rows_of_level += [_laid_out(level_use, host, bounds[level.start : level.stop]), bounds[level.stop : end]]
    return MappingBatch(_nest(frame, hosts), np.concatenate(rows_of_level))


def _level_use(parts: list[MappingBatch], member: Ints, bounds: Ints, rows: range) -> LevelUse:
    numbers: dict[Order, int] = {}
    which = [numbers.setdefault(tuple(part.nest.loops[i].rank for i in rows), len(numbers)) for part in parts]
    count, orders = len(rows), list(numbers)
    exists = ((bounds[rows.start : rows.stop] > 1) << np.arange(count)[:, None]).sum(axis=0)
    keys, kind = np.unique((np.array(which)[member] << count) | exists, return_inverse=True)
    loops = [[i for i in range(count) if key >> i & 1] for key in map(int, keys)]
    return LevelUse(loops, [tuple(orders[int(key) >> count][i] for i in at) for key, at in zip(keys, loops, strict=True)], kind)


def _laid_out(used: LevelUse, host: Order, bounds: Ints) -> Ints:
    """Bounds of the loops of a host: those of the loops it hosts, else 1."""
    place = np.full((len(used.orders), len(bounds)), -1)
    for i, (at, order) in enumerate(zip(used.loops, used.orders, strict=True)):
        place[i, at] = _places_in(order, host)
    rows = np.ones((len(host), bounds.shape[1]), dtype=np.int64)
    for i, own in enumerate(bounds):
        target = place[used.kind, i]
        here = np.flatnonzero(target >= 0)
        rows[target[here], here] = own[here]
    return rows


def _nest(frame: Frame, hosts: tuple[Order, ...]) -> LoopNest:
    loops: list[Loop] = []
    for level, host in enumerate(hosts):
        loops += [Loop(rank=rank, level=level) for rank in host]
        loops += [loop for loop in frame.nest.loops if loop.level == level]
    return replace(frame.nest, loops=tuple(loops))


# --- hosts --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _hosts(frame: Frame) -> Hosts:
    return Hosts(len(frame.temporal))


@final
class Hosts:
    """The hosts of a frame; a batch that fits an earlier host needs no new plan and no new recording."""

    def __init__(self, levels: int) -> None:
        self.known: list[tuple[Order, ...]] = [((),) * levels]
        """The last used first."""

    def fitting(self, orders: Sequence[Collection[Order]]) -> tuple[Order, ...]:
        """Per level a sequence that contains all these orders."""
        fresh = tuple(extended_host((), mine) for mine in orders)
        most = ROOMY * sum(map(len, fresh)) + SPARE
        grown = ((host, tuple(extended_host(*both) for both in zip(host, orders, strict=True))) for host in self.known)
        fitting = [(host != more, more, host) for host, more in grown if sum(map(len, more)) <= most]
        changed, found, before = min(fitting, key=lambda one: one[0], default=(True, fresh, None))
        self.known = [found, *(host for host in self.known if host not in (found, before if changed else found))][:KNOWN]
        return found


def extended_host(host: Order, orders: Collection[Order]) -> Order:
    """The host made longer until it contains all orders; long ones first, for they contain many of the short ones."""
    for order in sorted(set(orders), key=lambda order: (-len(order), order)):
        if _places_in(order, host) is None:
            host = _common_supersequence(host, order)
    return host


def _places_in(order: Order, host: Order) -> list[int] | None:
    """Where the loops of an order stand in a host that contains it."""
    places, start = list[int](), 0
    for rank in order:
        if rank not in host[start:]:
            return None
        places.append(host.index(rank, start))
        start = places[-1] + 1
    return places


def _common_supersequence(first: Order, second: Order) -> Order:
    """The shortest common supersequence of two sequences, from a table of its lengths for their tails."""
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i in reversed(range(len(first) + 1)):
        for j in reversed(range(len(second) + 1)):
            if i == len(first) or j == len(second):
                lengths[i][j] = len(first) - i + len(second) - j
            elif first[i] == second[j]:
                lengths[i][j] = 1 + lengths[i + 1][j + 1]
            else:
                lengths[i][j] = 1 + min(lengths[i + 1][j], lengths[i][j + 1])
    common, i, j = list[str](), 0, 0
    while i < len(first) and j < len(second):
        same, ahead = first[i] == second[j], lengths[i + 1][j] <= lengths[i][j + 1]
        common.append(first[i] if same or ahead else second[j])
        i, j = i + (same or ahead), j + (same or not ahead)
    return (*common, *first[i:], *second[j:])
