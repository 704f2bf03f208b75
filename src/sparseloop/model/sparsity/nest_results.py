"""What copies of a result hold at which of the points of a nest, looked at one by one: where covers are not enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparseloop.model.plan import Link
from sparseloop.model.sparsity.nest_points import Deliveries, NestPoints, Truths, numbered
from sparseloop.model.units import Integers

NEVER = np.iinfo(np.int64).max
PHASES = 4
"""Moments of one step: copies arrive, computes read, computes add, copies return."""
ARRIVE, READ, ADD, RETURN = range(PHASES)


class Contents(NamedTuple):
    """Is the word there? One truth per access of a link."""

    before: Truths
    """When it is read."""
    after: Truths
    """When it returns."""


class Moments(NamedTuple):
    """When a copy is read and when it is written, per event: `PHASES` * step + phase."""

    read: Integers
    written: Integers


class NestResults:
    """The words of the result at all levels over time; a word is there from its first contribution on that has come that far."""

    def __init__(self, points: NestPoints) -> None:
        self.points, self.plan = points, points.plan
        self._step = points.code(points.times)
        """The step of the computes."""
        tensors = self.plan.einsum.tensors
        self._adds = np.ones(len(points), dtype=np.bool_)
        for at, tensor in enumerate(tensors):
            if tensor.density.deterministic and not tensor.output:
                self._adds &= points.nonzero(at)
            elif self.plan.padded[at]:
                self._adds &= points.inside(at)
        self._contents: dict[int, Contents] = {}
        self._held: dict[int, Integers] = {}

    def at(self, link: Link) -> Contents:
        """What the parent of a link holds at its accesses."""
        if link.index not in self._contents:
            found = self.points.deliveries(link)
            since = self._since(link)[found.access_point]
            before = since <= self.moments(link, found).read
            comes = found.any_user(self._adds, of_copies=False)
            after = before | comes if link.partials == "whole" else comes
            self._contents[link.index] = Contents(before & comes if link.partials == "add" else before, after)
        return self._contents[link.index]

    def there(self, link: Link, code: Integers, moment: Integers) -> Truths:
        """Per point: does the parent of the link hold, at the point's moment, some word whose point has the same code?"""
        group = self._copies(link, code)
        since = np.full(int(group.max()) + 1, NEVER)
        np.minimum.at(since, group, self._since(link))
        return since[group] <= moment

    def comes(self, event: Integers, code: Integers) -> Truths:
        """Per point: is something with the point's code added by its event?"""
        group = numbered(event, code)
        found = np.zeros(int(group.max()) + 1, dtype=np.bool_)
        found[group[self._adds]] = True
        return found[group]

    def _source(self, link: Link) -> Link | None:
        """The link over which the parent's copies are filled."""
        outer = self.plan.outer[link.index]
        return self.plan.links[outer[-1]] if outer else None

    def _copies(self, link: Link, key: Integers) -> Integers:
        """Per point the copy of its key (a word, an entry) at the link's parent: a new one at every stay that starts empty."""
        source = self._source(link)
        if source is not None and any(self.plan.links[at].partials == "add" for at in self.plan.outer[link.index]):
            return self.points.stays(source, key)
        return numbered(self.points.code(self.plan.spatial(link.parent)), key)

    def uses(self, event: Integers) -> Moments:
        """Moments of events that last from the first step they serve to the last; `event`: per point the one that serves it."""
        first, last = np.full(int(event.max()) + 1, NEVER), np.zeros(int(event.max()) + 1, dtype=np.int64)
        np.minimum.at(first, event, self._step)
        np.maximum.at(last, event, self._step)
        return Moments(PHASES * first + ARRIVE, PHASES * last + RETURN)

    def _since(self, link: Link) -> Integers:
        """Per point: the moment from which the parent's copy that serves it holds the word used there."""
        if link.index not in self._held:
            self._held[link.index] = self._first_held(link)
        return self._held[link.index]

    def _first_held(self, link: Link) -> Integers:
        points, found = self.points, self.points.deliveries(link)
        copy = self._copies(link, points.word(link.tensor))
        since = np.full(int(copy.max()) + 1, NEVER)
        returned = found.any_user(self._adds, of_copies=False)
        np.minimum.at(since, copy[found.access_point[returned]], self.moments(link, found).written[returned])
        source = self._source(link)
        if source is not None and source.partials != "add":
            arrives = points.deliveries(source)
            there = self.at(source).before[arrives.access_of_copy]
            moment = self.moments(source, arrives).read[arrives.access_of_copy]
            np.minimum.at(since, copy[arrives.copy_point[there]], moment[there])
        return since[copy]

    def moments(self, link: Link, found: Deliveries) -> Moments:
        """When words of the link's accesses are read at the parent, and when they are written back to it."""
        if link.to_compute:
            at = PHASES * self._step[found.access_point]
            return Moments(at + READ, at + ADD)
        start, end = np.full(int(found.visit.max()) + 1, NEVER), np.zeros(int(found.visit.max()) + 1, dtype=np.int64)
        np.minimum.at(start, found.visit, self._step)
        np.maximum.at(end, found.visit, self._step)
        accesses = len(found.access_point)
        read, written = np.full(accesses, NEVER), np.zeros(accesses, dtype=np.int64)
        np.minimum.at(read, found.access_of_copy, start[found.begin])
        np.maximum.at(written, found.access_of_copy, end[found.end])
        return Moments(PHASES * read + ARRIVE, PHASES * written + RETURN)
