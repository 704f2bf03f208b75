"""An order of a tensor's words in which everything that is asked about is an interval, for evenly spread non-zeros."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparseloop.validation.walker.plan import EventPlan
from sparseloop.validation.walker.points import IntArray
from sparseloop.validation.walker.residency import EventSet

Mask = int
"""A set of words as the bits of a number."""


class Overlapping(ValueError):
    """Tiles overlap without containing one another: no order makes all of them intervals."""


def interval_order(plan: EventPlan, name: str) -> IntArray:
    """The used words of a tensor in such an order; `Overlapping` if there is none."""
    sets = sorted(set(_tiles(plan, name)), key=lambda mask: -mask.bit_count())
    for i, one in enumerate(sets):
        for other in sets[i + 1 :]:
            if one & other and other & ~one:
                raise Overlapping(f"tiles of {name} overlap")
    words = np.unique(plan.paths[name].word).tolist()
    keys = {word: tuple(i for i, mask in enumerate(sets) if mask >> word & 1) for word in words}
    return np.array(sorted(words, key=lambda word: keys[word]), dtype=np.int64)


def _tiles(plan: EventPlan, name: str) -> Iterator[Mask]:
    """Every set of words whose emptiness decides about some event."""
    path = plan.paths[name]
    for level in path.levels:
        yield from _grouped(path.word, np.stack([plan.points.instance(level), plan.points.step(level)]))
        for rank in plan.ranks[level, name]:
            if rank is not None:
                yield from _grouped(path.word, rank.below[None])
                yield from _grouped(path.word, rank.fiber[None])
    masks = {n: _masks(plan, n) for n, c in enumerate(plan.conditions) if c.leader == name}
    for (level, follower), stages in plan.stages.items():
        link = plan.paths[follower].links[level]
        ranks = [rank for rank in plan.ranks[level, follower] if rank is not None]
        events = [link.accesses, link.copies, *(rank.looks.events for rank in ranks)]
        events += [f for rank in ranks if rank.fills for f in (rank.fills.accesses, rank.fills.copies)]
        asked = {*stages.outer, *stages.local, *stages.inherited, *stages.gates}
        for number in asked & set(masks):
            for kind in events:
                yield from _unions(masks[number], kind)
    for number in masks:
        yield from set(masks[number])


def _grouped(word: IntArray, code: IntArray) -> Iterator[Mask]:
    """Words that occur together under one code."""
    found = dict[tuple[int, ...], Mask]()
    for key, one in zip(map(tuple, code.T.tolist()), word.tolist(), strict=True):
        found[key] = found.get(key, 0) | 1 << one
    yield from found.values()


def _masks(plan: EventPlan, number: int) -> list[Mask]:
    """Per point the words that the condition looks at."""
    condition = plan.conditions[number]
    word = plan.paths[condition.leader].word
    if condition.events is None or condition.regions is None:
        return [1 << one for one in word.tolist()]
    looked = list[Mask]()
    for region in condition.regions.sets():
        seen = region if condition.block is None else np.flatnonzero(np.isin(condition.block, condition.block[region]))
        looked.append(sum(1 << one for one in set(word[seen].tolist())))
    return [looked[i] for i in condition.regions.of_event[condition.events.of_point].tolist()]


def _unions(masks: list[Mask], events: EventSet) -> Iterator[Mask]:
    """Per event what is looked at for any of its users."""
    found = [0] * len(events.point)
    for event, mask in zip(events.of_point.tolist(), masks, strict=True):
        found[event] |= mask
    yield from found
