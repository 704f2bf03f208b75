"""Who holds which word, from when to when, and which parent access put it there.

A *key* is what is held: a word, or an entry of a metadata rank. Found by watching the working set of every instance
from step to step; nothing here depends on the tensors' values.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from sparseloop.validation.walker.points import BoolArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class EventSet:
    """Countable events; every point uses exactly one of them."""

    of_point: IntArray
    """The event that serves each point."""
    point: IntArray
    """One point served by each event."""
    first: BoolArray
    """True where no earlier event of the same owner had the same key."""

    def any(self, holds: BoolArray) -> BoolArray:
        """Per event: does `holds` hold for at least one of its users?"""
        result = np.zeros(len(self.point), dtype=np.bool_)
        result[self.of_point[holds]] = True
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Per event the set of points a check looks at, equal sets stored once."""

    of_event: IntArray
    points: IntArray
    starts: IntArray

    def any(self, holds: BoolArray) -> BoolArray:
        """Per event: does `holds` hold at one point of its set?"""
        return np.logical_or.reduceat(holds[self.points], self.starts)[self.of_event]

    def sets(self) -> list[IntArray]:
        """The distinct sets."""
        return np.split(self.points, self.starts[1:])


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Every stay of every key at every instance of one level."""

    order: IntArray
    """Points by instance, then time; a stay is a slice of this order."""
    of_point: IntArray
    begin: list[int]
    end: list[int]

    def last_point(self) -> IntArray:
        """Per stay, a point of the step in which it ends."""
        return self.order[np.array(self.end, dtype=np.int64) - 1]

    def first_point(self) -> IntArray:
        """Per stay, a point of the step in which it begins."""
        return self.order[np.array(self.begin, dtype=np.int64)]


def trace(instance: IntArray, step: IntArray, key: IntArray, reuse: bool) -> Trace:
    """Watches the working set of every instance step by step; without reuse each step starts from nothing."""
    order = np.lexsort((step, instance))
    where, when, keys = instance[order].tolist(), step[order].tolist(), key[order].tolist()
    stay_of, begin, end = [0] * len(keys), list[int](), list[int]()
    held, now, start = dict[int, int](), dict[int, int](), 0
    for position, k in enumerate(keys):
        if position and (where[position] != where[start] or when[position] != when[start]):
            held = now if reuse and where[position] == where[start] else {}
            now, start = {}, position
        stay = now.get(k)
        if stay is None:
            stay = held.get(k)
            if stay is None:
                stay = len(begin)
                begin.append(start)
                end.append(start)
            now[k] = stay
        stay_of[position] = stay
        end[stay] = max(end[stay], position + 1)
    of_point = np.empty(len(keys), dtype=np.int64)
    of_point[order] = stay_of
    return Trace(order=order, of_point=of_point, begin=begin, end=_to_step_end(end, where, when))


def _to_step_end(end: list[int], where: list[int], when: list[int]) -> list[int]:
    """Lets every stay last until its last step is over, not just until its last user."""
    size = len(where)
    over = [0] * (size + 1)
    over[size] = size
    for p in range(size - 1, 0, -1):
        over[p] = p if where[p] != where[p - 1] or when[p] != when[p - 1] else over[p + 1]
    return [over[e] for e in end]


def first_of_key(owner: IntArray, key: IntArray, time: IntArray) -> BoolArray:
    """Marks, per pair (owner, key), its earliest event."""
    first = np.zeros(len(key), dtype=np.bool_)
    seen = set[tuple[int, int]]()
    for event in np.argsort(time, kind="stable"):
        pair = (int(owner[event]), int(key[event]))
        first[event] = pair not in seen
        seen.add(pair)
    return first


def events_of(of_point: IntArray, count: int, owner: IntArray, key: IntArray, time: IntArray) -> EventSet:
    """EventSet from their users; owner, key and time are given per point (time: of the event's beginning)."""
    point = np.empty(count, dtype=np.int64)
    point[of_point] = np.arange(len(of_point))
    return EventSet(of_point=of_point, point=point, first=first_of_key(owner[point], key[point], time[point]))


@dataclass(frozen=True, slots=True, eq=False)
class Deliveries:
    """The deliveries of one tensor (or metadata rank) from a level to the next inner one that keeps it."""

    copies: EventSet
    """One per word and stay at the child: fills."""
    accesses: EventSet
    """One per word and group of children that receive the same words at once: parent reads or updates."""
    access_of_copy: IntArray
    traced: Trace
    arrival: IntArray
    """Per copy: copies with one number arrive together at one child."""
    delivery: IntArray
    """Per access: those with one number are one delivery, what an instance of the parent sends in one step to all its children.

    Children that could share a word but do not get theirs by deliveries of their own.
    """
    departure: IntArray
    """Per access: those with one number return to an instance of the parent together, when their stays end."""

    def copy_regions(self) -> Regions:
        """Per copy: all points of its instance while it stays."""
        return self._regions([(c,) for c in range(len(self.traced.begin))])

    def access_regions(self) -> Regions:
        """Per access: all points of all instances it serves, each while its copy stays."""
        members: list[list[int]] = [[] for _ in range(len(self.accesses.point))]
        for copy, access in enumerate(self.access_of_copy):
            members[int(access)].append(copy)
        return self._regions(members)

    def _regions(self, members: Iterable[Iterable[int]]) -> Regions:
        number, of_event = dict[tuple[tuple[int, int], ...], int](), list[int]()
        for copies in members:
            slices = tuple((self.traced.begin[c], self.traced.end[c]) for c in copies)
            of_event.append(number.setdefault(slices, len(number)))
        order = self.traced.order
        sets = [np.concatenate([order[begin:end] for begin, end in slices]) for slices in number]
        sizes = np.array([len(s) for s in sets], dtype=np.int64)
        return Regions(np.array(of_event, dtype=np.int64), np.concatenate(sets), np.cumsum(sizes) - sizes)


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """The two ends of a link, one number per point."""

    parent: IntArray
    """Instance of the parent."""
    child: IntArray
    """Instance of the child."""
    step: IntArray
    """Step of the child."""
    apart: IntArray
    """Children with different numbers never share an access (no multicast)."""
    rounds: IntArray
    """Those of them that would be sent the same words and are sent them one after the other."""
    reuse: bool
    exists: BoolArray
    """False where there is no such key: padding, which is neither kept nor moved."""


def find_deliveries(ends: Ends, key: IntArray) -> Deliveries:
    """Finds all copies of all keys and the parent accesses that deliver them."""
    traced = trace(ends.child, ends.step, key, ends.reuse)
    start = traced.first_point()
    access_of_copy = _group(ends, key, traced)
    begin_time = ends.step[start]
    copies = events_of(traced.of_point, len(start), ends.child, key, begin_time[traced.of_point])
    count = int(access_of_copy.max()) + 1
    access_of_point = access_of_copy[traced.of_point]
    access_time = np.zeros(count, dtype=np.int64)
    access_time[access_of_copy] = begin_time
    accesses = events_of(access_of_point, count, ends.parent, key, access_time[access_of_point])
    return Deliveries(
        copies=copies,
        accesses=accesses,
        access_of_copy=access_of_copy,
        traced=traced,
        arrival=np.unique(traced.begin, return_inverse=True)[1],
        delivery=_together(ends, start, access_of_copy),
        departure=_together(ends, traced.last_point(), access_of_copy),
    )


def _together(ends: Ends, point: IntArray, access_of_copy: IntArray) -> IntArray:
    """Per access a number for its instance of the parent and the last step in which one of its copies has its `point`."""
    place = np.zeros((3, int(access_of_copy.max()) + 1), dtype=np.int64)
    place[0, access_of_copy], place[1, access_of_copy] = ends.parent[point], ends.rounds[point]
    np.maximum.at(place[2], access_of_copy, ends.step[point])
    return np.unique(place, axis=1, return_inverse=True)[1].reshape(-1)


def _group(ends: Ends, key: IntArray, traced: Trace) -> IntArray:
    """Per copy the parent access: children of one parent that receive identical words in one step share them."""
    deliveries: dict[int, list[int]] = {}
    for copy, begin in enumerate(traced.begin):
        deliveries.setdefault(begin, []).append(copy)
    sample = np.empty(len(traced.begin), dtype=np.int64)
    sample[traced.of_point] = np.arange(len(traced.of_point))
    keys: list[int] = key[sample].tolist()
    exists: list[bool] = ends.exists[sample].tolist()
    number, access_of_copy = dict[tuple[Hashable, int], int](), [0] * len(keys)
    for begin, copies in deliveries.items():
        point = traced.order[begin]
        place = (int(ends.step[point]), int(ends.parent[point]), int(ends.apart[point]))
        group = (place, frozenset(keys[c] for c in copies if exists[c]))
        for copy in copies:
            access_of_copy[copy] = number.setdefault((group, keys[copy]), len(number))
    return np.array(access_of_copy, dtype=np.int64)
