"""Words that are moved and held together: accesses of blocks, what does not fit, what a level holds."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from sparseloop.validation.walker.points import BoolArray, IntArray, numbered
from sparseloop.validation.walker.records import Beyond
from sparseloop.validation.walker.residency import Ends, Trace


def block_accesses(delivery: IntArray, happens: BoolArray, words: int) -> float:
    """Accesses of blocks of `words` words: events of one delivery share blocks, every delivery starts a new one."""
    return float(np.ceil(np.bincount(delivery, weights=happens) / words).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """What moves of the words of visits, one entry per copy, or per word of a visit."""

    held: BoolArray
    """Stored by the level: filled, of a result returned in the end."""
    filled: BoolArray
    stored: BoolArray
    """Sent by the parent where they are used; the others are known to be zero."""

    def each(self) -> tuple[BoolArray, BoolArray, BoolArray]:
        """All three."""
        return self.held, self.filled, self.stored


def beyond(holder: IntArray, words: Moved, ends: tuple[BoolArray, BoolArray], room: float) -> Beyond:
    """Words of all holders beyond the room that each of them finds.

    One entry per holder and word that might be held; `ends`: is it the first visit of its stay, and the last one?
    """
    fresh, last = ends
    held = np.bincount(holder, weights=words.held)
    arriving, leaving = (np.bincount(holder, weights=words.held & part) for part in (words.filled & fresh, last))
    excess = np.maximum(held - room, 0.0)
    share = np.bincount(holder, weights=words.held & words.stored) / np.maximum(held, 1.0)
    return Beyond(
        held=float(held.sum()),
        excess=float((excess * share).sum()),
        arriving=float((np.minimum(arriving, excess) * share).sum()),
        departing=float((np.minimum(leaving, excess) * share).sum()),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """The words of a tensor in the working set of every instance of a level in every step, one entry per word."""

    visit: IntArray
    copy: IntArray
    """The stay of the word at the instance."""
    fresh: BoolArray
    """Does the stay begin in this visit?"""
    last: BoolArray
    """Does it end in this visit?"""
    shared: IntArray
    """Per entry: those with one number are one word of visits that instances of one parent make at once, with all words alike."""

    def of_children(self, copies: Moved, room: float) -> Beyond:
        """Beyond the room of every instance."""
        words = Moved(*(of_copy[self.copy] for of_copy in copies.each()))
        return beyond(self.visit, words, (self.fresh, self.last), room)

    def of_parent(self, copies: Moved, room: float) -> Beyond:
        """The same as the parent sends it, and gets it back."""
        count = int(self.shared.max()) + 1
        flags = [np.zeros(count, dtype=np.bool_) for _ in range(5)]
        words = [of_copy[self.copy] for of_copy in copies.each()]
        for flag, chosen in zip(flags, (*words, self.fresh, self.last), strict=True):
            flag[self.shared[chosen]] = True
        return beyond(self._groups(count), Moved(*flags[:3]), (flags[3], flags[4]), room)

    def _groups(self, count: int) -> IntArray:
        """Per shared word one visit that has it, the same for all words of visits that are alike."""
        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, self.shared, self.visit)
        return first


def visits_of(ends: Ends, key: IntArray, traced: Trace) -> Visits:
    """The visits of the child of a link."""
    visit = numbered(ends.child, ends.step)
    at = np.unique(np.stack([visit, traced.of_point]), axis=1, return_index=True)[1]
    visit_of, copy = visit[at], traced.of_point[at]
    begin, end = visit[traced.first_point()], visit[traced.last_point()]
    alike = dict[Hashable, int]()
    entries = [list[int]() for _ in range(int(visit.max()) + 1)]
    numbers: list[int] = visit_of.tolist()
    for entry, number in enumerate(numbers):
        entries[number].append(entry)
    shared = np.empty(len(at), dtype=np.int64)
    for members in entries:
        points = at[members]
        place = (int(ends.step[points[0]]), int(ends.parent[points[0]]), int(ends.apart[points[0]]))
        window = frozenset(key[points][ends.exists[points]].tolist())
        for entry, point in zip(members, points, strict=True):
            shared[entry] = alike.setdefault((place, window, int(key[point])), len(alike))
    return Visits(visit=visit_of, copy=copy, fresh=begin[copy] == visit_of, last=end[copy] == visit_of, shared=shared)


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """The working sets of a level: one entry per word of each instance's tile in each step."""

    visit: IntArray
    """The instance and step, numbered."""
    point: IntArray
    """A point that uses the word."""

    def held(self, stored: BoolArray) -> tuple[float, float]:
        """Mean and largest number of stored words; `stored` is per point."""
        words = np.bincount(self.visit, weights=stored[self.point])
        return float(words.mean()), float(words.max())


def tiles_of(instance: IntArray, step: IntArray, word: IntArray) -> Tiles:
    """The working sets from the instance, step and word of every point."""
    visit = numbered(instance, step)
    point = np.unique(np.stack([visit, word]), axis=1, return_index=True)[1]
    return Tiles(visit[point], point)
