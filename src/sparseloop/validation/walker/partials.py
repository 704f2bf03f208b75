"""What a result's copies hold while they are made: a word is there from its first contribution on that has come that far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparseloop.model.design.sparse import Partials
from sparseloop.validation.walker.plan import EventPlan
from sparseloop.validation.walker.points import BoolArray, IntArray, numbered
from sparseloop.validation.walker.residency import Deliveries, EventSet
from sparseloop.validation.walker.tensor_path import any_alike

NEVER = np.iinfo(np.int64).max
BEGIN, READ, CONTRIBUTE, RETURN = range(4)
"""What happens within one step, in this order: copies arrive, computes read, computes add, copies return."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """When the events of a set read a copy and when they write to it: 4 * step + one of the four phases."""

    read: IntArray
    written: IntArray


class PartialSums:
    """The contents of every copy of the result over time, from the points that contribute to it.

    A word contributes nothing where an operand is zero. A level's copy has a word as soon as a child returned a contribution
    to it, or as soon as the copy was filled with one that was there. Where its parent adds what returns (`add`), every stay
    begins with an empty copy.
    """

    def __init__(self, plan: EventPlan, contributes: BoolArray) -> None:
        self.plan, self.contributes = plan, contributes
        self.path = plan.paths[plan.einsum.tensors[-1].name]
        self.step = plan.points.step(plan.compute)
        self.since = dict[int, IntArray]()
        for level in self.path.levels:
            self.since[level] = self._since(level)

    def mode(self, level: int | None) -> Partials:
        """What the children of a level do with partial sums."""
        if level is None or not self.plan.compressed(level, self.path.tensor.name):
            return "whole"
        return self.plan.sparse.partials.get(level, "whole")

    def _since(self, level: int) -> IntArray:
        """Per point: the moment from which the copy at the level that serves it holds the word used there."""
        link, parent = self.path.links[level], self.path.parent(level)
        copy = self._copies(level, self.path.word)
        since = np.full(int(copy.max()) + 1, NEVER)
        returned = link.accesses.any(self.contributes)
        np.minimum.at(since, copy[link.accesses.point[returned]], self.moments(level, link).written[returned])
        if parent is not None and self.mode(parent) != "add":
            outer = self.path.links[parent]
            there = self.before(parent)[outer.access_of_copy]
            arrival = self.moments(parent, outer).read[outer.access_of_copy]
            np.minimum.at(since, copy[outer.copies.point[there]], arrival[there])
        return since[copy]

    def comes_to_be(self, level: int) -> BoolArray:
        """Per point: does the copy at the level that serves it ever hold the word used there?"""
        return self.since[level] != NEVER

    def _copies(self, level: int, key: IntArray) -> IntArray:
        """Per point the number of the copy of its key (a word, an entry) at a level: as long as it goes on with what it had."""
        parent = self.path.parent(level)
        if parent is not None and any(self.mode(outer) == "add" for outer in self.path.levels if outer < level):
            return self.path.stays(parent, key)
        return numbered(self.plan.points.instance(level), key)

    def moments(self, level: int, link: Deliveries) -> Moments:
        """When the deliveries from a level to its child arrive and return."""
        child = self.path.child(level)
        if child == self.plan.compute:
            at = 4 * self.step[link.accesses.point]
            return Moments(at + READ, at + CONTRIBUTE)
        points = self.plan.points
        visit = numbered(points.instance(child), points.step(child))
        start, end = np.full(int(visit.max()) + 1, NEVER), np.zeros(int(visit.max()) + 1, dtype=np.int64)
        np.minimum.at(start, visit, self.step)
        np.maximum.at(end, visit, self.step)
        first, last = link.traced.first_point(), link.traced.last_point()
        read, written = np.full(len(link.accesses.point), NEVER), np.zeros(len(link.accesses.point), dtype=np.int64)
        np.minimum.at(read, link.access_of_copy, start[visit[first]])
        np.maximum.at(written, link.access_of_copy, end[visit[last]])
        return Moments(4 * read + BEGIN, 4 * written + RETURN)

    def uses(self, events: EventSet) -> Moments:
        """The same for events that last from their first use to their last."""
        first, last = np.full(len(events.point), NEVER), np.zeros(len(events.point), dtype=np.int64)
        np.minimum.at(first, events.of_point, self.step)
        np.maximum.at(last, events.of_point, self.step)
        return Moments(4 * first + BEGIN, 4 * last + RETURN)

    def before(self, level: int) -> BoolArray:
        """Per access of a level: is the word there when it is read? Where the level adds: is what returns there already?"""
        link = self.path.links[level]
        since, moments = self.since[level][link.accesses.point], self.moments(level, link)
        if self.mode(level) == "add":
            return (since < moments.written) & link.accesses.any(self.contributes)
        return since <= moments.read

    def after(self, level: int) -> BoolArray:
        """Per access of a level: is the word in what returns?"""
        added = self.path.links[level].accesses.any(self.contributes)
        return added | self.before(level) if self.mode(level) == "whole" else added

    def there(self, level: int, code: IntArray, moment: IntArray) -> BoolArray:
        """Per point: does the copy that serves it hold, at the point's moment, some word with the point's code?"""
        group = self._copies(level, code)
        since = np.full(int(group.max()) + 1, NEVER)
        np.minimum.at(since, group, self.since[level])
        return since[group] <= moment

    def comes(self, link: Deliveries | None, events: EventSet, code: IntArray) -> BoolArray:
        """Per point: does something with the point's code return with its event? All that returns with it, for deliveries."""
        if link is None:
            return events.any(self.contributes)[events.of_point]
        together = link.departure[link.accesses.of_point]
        group = numbered(together, code)
        return any_alike(group, self.contributes)
