"""Entries of known patterns where covers do not say exactly which there are: windows, and passes that end early.

There every lookup is looked at, mapping by mapping, as `known_events` does with words: an entry is known by the coordinate of
its first word, so that overlapping windows share entries, and fibers of a last pass are as long as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from sparseloop.model.formats.ranks import FormatRanks, RankOnLoops, known_before
from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparsity.emptiness import Emptiness, tile_condition
from sparseloop.model.sparsity.events import EventPart, EventParts
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.sparsity.known_events import Decision, Looked, Stages, decided_ranks
from sparseloop.model.sparsity.nest_points import (
    MOST_PADDED,
    MOST_POINTS,
    ByMapping,
    Nest,
    NestPoints,
    Truths,
    copies,
    few_points,
    first_of_key,
    numbered,
    some_alike,
)
from sparseloop.model.traffic.tiles import Tiles
from sparseloop.model.units import Count, Floats, Integers

Action = Literal["reads", "fills", "updates"]
ACTIONS: tuple[Action, ...] = ("reads", "fills", "updates")
PARTS = ("entries", "payloads")
NUMBERS = len(EventPart._fields)


Exists = tuple[Truths, Truths]
"""Per point: are there its entry, and its payload?"""


@dataclass(frozen=True, slots=True, eq=False)
class LookupOrder:
    """How a unit that jumps ahead comes by the entries of a rank: fiber by fiber, each as often as it is gone through."""

    link: int
    """Where the unit is."""
    order: Integers
    """Lookups by pass, time and place."""
    begins: Truths
    """Per lookup in that order: does a pass begin with it, or has the list an entry just before?"""

    def looked_at(self, leader: Truths) -> Truths:
        """Per lookup: has the leader had an entry since the list's own last one, be it here? `leader`: has it one here?"""
        since = np.maximum.accumulate(np.where(self.begins, np.arange(len(self.begins)), 0))
        met = np.append(0, np.cumsum(leader[self.order]))
        looked = np.empty(len(leader), dtype=np.bool_)
        looked[self.order] = met[1:] > met[since]
        return looked


class Found(NamedTuple):
    """Lookups, or entries that arrive."""

    event: Integers
    """Per point, the one that serves it."""
    point: Integers
    """Per event, one point that it serves."""
    first: Truths
    """Per event: the first of its entry at its place."""
    passes: LookupOrder | None = None
    """Where a unit jumps: in which order entries are looked up by themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What a rank stores at each point, if everything is stored."""

    kind: str
    innermost: bool
    """Its payload is the data."""
    units: tuple[Any, Any]
    """Of entries and of payloads."""
    entry: Integers
    """Per point the number of its entry."""
    fiber: Integers
    """Per point the number of the fiber of its entry."""

    def exists(self, entry: Truths, fiber: Truths) -> Exists:
        """Are there entry and payload? `entry`, `fiber`: per point, is some word below the entry, in the fiber, not zero?"""
        always = np.ones(len(entry), dtype=np.bool_)
        entries, payloads = {
            "CP": (entry, entry),
            "RLE": (entry, entry),
            "B": (fiber, entry),
            "UOP": (always, fiber),
            "UB": (always, always),
            "U": (always, always),
        }[self.kind]
        return entries, always if self.innermost else payloads


class KnownEntries:
    """Entries of all tensors at all levels for one batch under one choice of features; every mapping is looked at once."""

    def __init__(self, safs: SafConditions) -> None:
        self.safs, self.tiles, self.plan = safs, safs.tiles, safs.plan
        self.decisions = safs.decisions()
        self._mappings = ByMapping(safs.tiles, "entries of known patterns", self._look)

    def tells(self, link: Link) -> bool:
        """True if pattern and leaders are known, covers are not enough, and the points are few enough."""
        asked = {link.tensor, *(d.leader for d in self._stages(link).all)}
        if link.compressed and comes_to_be(self.plan, link.tensor):
            asked |= set(range(len(self.plan.einsum.tensors)))  # what it holds depends on the operands
        jumps = any(d.jumps for d in self._stages(link).all if d.link == link.index)
        # what Timeloop says of such units follows from densities, and so does what is compared with it
        unseen = self.plan.sparse.timeloop_reading or (link.compressed and comes_to_be(self.plan, link.tensor))
        if not all(is_known(self.plan, t) for t in asked) or (jumps and unseen):
            return False
        enough = self.tiles.residuals is None and all(self.plan.plain[t] for t in asked) and not jumps
        most = MOST_PADDED if jumps or any(self.plan.padded[t] for t in asked) else MOST_POINTS
        return not enough and few_points(self.plan, self._ranks(link), most)

    def _stages(self, link: Link) -> Stages:
        return without_sure_leaders(self.plan, self.decisions.links[link.index])

    def _ranks(self, link: Link) -> frozenset[str]:
        outer = self.plan.outer[link.index]
        decisions = self._stages(link).all + (self._stages(self.plan.links[outer[-1]]).all if outer else ())
        if link.compressed and comes_to_be(self.plan, link.tensor):
            return frozenset(self.plan.einsum.ranks)
        return decided_ranks(self.plan, {link.tensor}, decisions)

    def events(self, link: Link, number: int, action: Action, part: int) -> EventParts:
        """Entries (part 0) or payloads (1) of a rank of the list at the link's parent."""
        start = ((number * len(ACTIONS) + ACTIONS.index(action)) * len(PARTS) + part) * NUMBERS
        return EventParts((EventPart(*(self._number(link, start + i) for i in range(NUMBERS))),))

    def _number(self, link: Link, at: int) -> Count:
        return self._mappings.number(lambda found: float(found[link.index][at]))

    def _look(self, nest: Nest) -> dict[int, Floats]:
        tiles = Tiles(self.plan, np.array(nest.bounds), None if nest.perfect else np.array(nest.residuals))
        mapping = _Mapping(SafConditions(tiles, Emptiness(tiles), self.safs.active), Looked(nest))
        links = [k for k in self.plan.links if k.parent_format is not None and self.tells(k)]
        return {k.index: mapping.numbers(k, self._stages, self._ranks(k)) for k in links}


class _Mapping:
    """One mapping, looked at point by point."""

    def __init__(self, safs: SafConditions, looked: Looked) -> None:
        self.safs, self.plan, self.tiles, self.looked = safs, safs.plan, safs.tiles, looked
        self.ranks = FormatRanks.of(safs.tiles)

    def numbers(self, link: Link, stages: Callable[[Link], Stages], ranks: frozenset[str]) -> Floats:
        """Events, and what survives each step, of every rank, action and part."""
        assert link.parent_format is not None
        shape = (len(link.parent_format.ranks), len(ACTIONS), len(PARTS), NUMBERS)
        sums = np.zeros(shape)
        points = self.looked.of_ranks(ranks)
        outer = self.plan.outer[link.index]
        for rank in self.ranks.at(link):
            if not rank.there:
                continue
            stored = self._stored(points, link, rank)
            found, steps = self._looks(points, link, rank, stored.entry), self._known(link, rank, stages(link))
            read, updated = self._held(points, link, rank, (found, stored))
            self._add(sums[rank.number, 0], points, (found, stored.units, read), steps, found.first if link.output else None)
            if link.output:
                self._add(sums[rank.number, 2], points, (found, stored.units, updated), steps, None)
            if outer:
                self._add_fills(sums[rank.number, 1], points, self.plan.links[outer[-1]], (rank, stored), stages)
        total = sums[..., :1]
        sums[..., 1:] = np.divide(sums[..., 1:], total, out=np.ones_like(sums[..., 1:]), where=total > 0)
        sums[..., :1] *= np.prod([self.tiles.bounds[s] for s in self.plan.spatial(link.parent) if points.passes[s] == 1])
        return sums.reshape(-1)

    def _nonzero(self, points: NestPoints, tensor: int) -> Truths:
        constant = constant_of(self.plan, tensor)
        return points.nonzero(tensor) if constant is None else np.full(len(points), constant)

    def _holds(self, points: NestPoints, decision: Decision) -> Truths:
        constant = constant_of(self.plan, decision.leader)
        return self.looked.holds(points, decision) if constant is None else np.full(len(points), constant)

    def _inside(self, rank: RankOnLoops) -> frozenset[int]:
        """Loops below an entry."""
        _, cover = rank.position
        return frozenset(s for s, span in enumerate(cover) if self.tiles.count(span, s) > 1)

    def _whole(self, rank: RankOnLoops) -> frozenset[int]:
        """Loops below a fiber."""
        _, cover = rank.fiber
        return frozenset(s for s, span in enumerate(cover) if self.tiles.count(span, s) > 1)

    def _stored(self, points: NestPoints, link: Link, rank: RankOnLoops) -> Stored:
        below, whole = self._inside(rank), self._whole(rank)
        relevant = sorted(link.relevant)
        entry = numbered(points.code([s for s in relevant if s not in below]))
        fiber = numbered(points.code([s for s in relevant if s not in whole]))
        real = some_alike(entry, points.inside(link.tensor))
        members = np.unique(np.stack([fiber, points.word(link.tensor, below)])[:, real], axis=1)[0]
        length, one = np.maximum(np.bincount(members, minlength=int(fiber.max()) + 1), 1)[fiber], np.ones(len(points)) * real
        kind = rank.format.kind
        entries = 0 * one if kind in ("UOP", "U") else one
        payloads = 0 * one if kind == "U" or rank.innermost else one * (1 + 1 / length) if kind == "UOP" else one
        return Stored(kind, bool(rank.innermost), (entries, payloads), entry, fiber)

    def _finished(self, points: NestPoints, link: Link, stored: Stored) -> Exists:
        """What exists of a tensor that does not change."""
        nonzero = self._nonzero(points, link.tensor)
        return stored.exists(some_alike(stored.entry, nonzero), some_alike(stored.fiber, nonzero))

    def _contents(self, link: Link, stored: Stored, moment: Integers) -> Exists:
        """What the parent of a link holds of a result that comes to be, at the moment of each point."""
        results = self.looked.results()
        return stored.exists(results.there(link, stored.entry, moment), results.there(link, stored.fiber, moment))

    def _held(self, points: NestPoints, link: Link, rank: RankOnLoops, what: tuple[Found, Stored]) -> tuple[Exists, Exists]:
        """What exists when it is read, and when it is updated."""
        found, stored = what
        if not (link.compressed and comes_to_be(self.plan, link.tensor)):  # uncompressed, it has the list of the finished one
            exists = self._finished(points, link, stored)
            return exists, exists
        results, travels = self.looked.results(), bool(rank.inner or rank.travels)
        if self._travels(link, rank):
            moments = results.moments(link, points.deliveries(link, self._inside(rank)))
        else:
            moments = results.uses(found.event)
        read, written = (self._contents(link, stored, moment[found.event]) for moment in moments)
        if link.partials == "whole":
            return read, written
        # all entries of a fiber return together; one that is looked at by itself is only touched where something comes for it
        fiber, event = stored.entry, found.event
        if travels:
            fiber = stored.fiber
            event = numbered(points.code(self.plan.spatial(link.parent)), moments.written[found.event])
        come = stored.exists(results.comes(found.event, stored.entry), results.comes(event, fiber))
        if link.partials == "changed":
            return read, come
        alone = stored if travels else replace(stored, fiber=stored.entry)
        there = self._contents(link, alone, moments.read[found.event])
        return (there[0] & come[0], there[1] & come[1]), come

    def _travels(self, link: Link, rank: RankOnLoops) -> bool:
        """Do entries go with deliveries to the child?"""
        return bool(rank.inner or rank.travels or (link.to_compute and rank.innermost))

    def _looks(self, points: NestPoints, link: Link, rank: RankOnLoops, entry: Integers) -> Found:
        """When the level looks at the entries of a rank, of which the points have these numbers."""
        below = self._inside(rank)
        if self._travels(link, rank):
            sent = points.deliveries(link, below)
            found = Found(sent.access_of_copy[sent.copy_of_point], sent.access_point, sent.first_accesses)
        else:
            instance, step, visit = self._visits(points, link)
            key = points.word(link.tensor, below)
            stays = copies(visit, instance, key, reuse=True)
            at = stays.first_point
            found = Found(stays.of_point, at, first_of_key(instance[at], key[at], step[at], instance[at]))
        if rank.inner or rank.travels or not any(saf.jumps for saf in self.safs.acting(link)):
            return found
        return found._replace(passes=self._passes(points, link, rank, (found.point, entry)))

    def _visits(self, points: NestPoints, link: Link) -> tuple[Integers, Integers, Integers]:
        """Per point the instance of the parent, the step, and a number for both in this order."""
        instance = points.code(self.plan.spatial(link.parent))
        step = points.code([s for s, loop in enumerate(self.plan.loops) if not loop.spatial])
        return instance, step, numbered(instance, step)

    def _passes(self, points: NestPoints, link: Link, rank: RankOnLoops, looks: tuple[Integers, Integers]) -> LookupOrder:
        """How a unit that jumps ahead comes by lookups at some points; second, per point the number of its entry."""
        (at, entry), (instance, _, visit) = looks, self._visits(points, link)
        fiber = copies(visit, instance, points.word(link.tensor, self._whole(rank)), reuse=True).of_point[at]
        order = np.lexsort((points.word(link.tensor, self._inside(rank))[at], visit[at], fiber))
        own = some_alike(entry, self._nonzero(points, link.tensor))[at][order]
        begins = np.diff(fiber[order], prepend=-1) > 0
        begins[1:] |= own[:-1]
        return LookupOrder(link.index, order, begins)

    def _known(self, link: Link, rank: RankOnLoops, stages: Stages) -> Sequence[tuple[Decision, ...]]:
        """What decides on looks, step by step: local conditions where they are known in time."""
        if rank.inner or rank.travels:
            return stages.outer, stages.local, stages.inherited if link.to_compute else (), stages.gates
        index, seen = self.plan.einsum.index, dict[tuple[bool, bool, bool, int], bool]()
        for saf in self.safs.acting(link):
            for leader in self.safs.leaders(saf):
                condition = tile_condition(self.tiles, index[leader], self.safs.granule(link, saf))
                early = saf.looks_up or saf.jumps or bool(known_before(self.tiles, rank.entered, condition))
                key = (saf.saves_time, saf.packs, saf.jumps, index[leader])
                seen[key] = seen.get(key, False) or early

        def timely(decisions: tuple[Decision, ...], *, skips: bool) -> tuple[Decision, ...]:
            return tuple(d for d in decisions if d.link != link.index or seen.get((skips, d.per_copy, d.jumps, d.leader), True))

        return stages.outer, timely(stages.local, skips=True), (), timely(stages.gates, skips=False)

    def _add(
        self,
        sums: Floats,
        points: NestPoints,
        what: tuple[Found, tuple[Any, Any], Exists],
        steps: Sequence[tuple[Decision, ...]],
        without: Truths | None,
    ) -> None:
        """Adds looks; `without`: those that are none (first touches)."""
        found, size = what[0], len(what[0].point)

        def holds_at(decision: Decision) -> Truths:
            met = _any_user(found.event, size, self._holds(points, decision))
            passes = found.passes if decision.jumps else None
            return met if passes is None or passes.link != decision.link else passes.looked_at(met)

        holds = [[holds_at(d) for d in step] for step in steps]
        self._count(sums, points, what, holds, without)

    def _add_fills(
        self,
        sums: Floats,
        points: NestPoints,
        source: Link,
        what: tuple[RankOnLoops, Stored],
        stages: Callable[[Link], Stages],
    ) -> None:
        """Adds entries that arrive over a link."""
        rank, stored = what
        found, decided = points.deliveries(source, self._inside(rank)), stages(source)

        def holds(decision: Decision) -> Truths:
            met = self._holds(points, decision)
            if decision.per_copy and decision.link == source.index:
                return found.any_user(met, of_copies=True)
            return found.any_user(met, of_copies=False)[found.access_of_copy]

        steps = [[holds(d) for d in step] for step in (decided.outer, decided.local, (), decided.gates)]
        arriving = Found(found.copy_of_point, found.copy_point, found.first_copies)
        if source.child_compressed and comes_to_be(self.plan, source.tensor):
            read = self.looked.results().moments(source, found).read
            exists = self._contents(source, stored, read[found.access_of_copy[found.copy_of_point]])
        else:
            exists = self._finished(points, source, stored)
        if source.partials == "add":  # copies start empty
            exists = (np.zeros_like(exists[0]), np.zeros_like(exists[1]))
        self._count(sums, points, (arriving, stored.units, exists), steps, found.first_copies if source.output else None)

    def _count(
        self,
        sums: Floats,
        points: NestPoints,
        what: tuple[Found, tuple[Any, Any], Exists],
        steps: Sequence[Sequence[Truths]],
        without: Truths | None,
    ) -> None:
        found, stored, existing = what
        loops, size = self.plan.loops, len(found.point)
        weight = points.weight([s for s in range(len(loops)) if not loops[s].spatial])[found.point]
        last = np.empty(size, dtype=np.int64)
        last[found.event] = np.arange(len(points))
        if without is not None:
            weight = weight * ~without
        for part, (units, exists) in enumerate(zip(stored, existing, strict=True)):
            left = weight * units[last]
            sums[part, 0] += left.sum()
            left = left * _any_user(found.event, size, exists)
            for number, step in enumerate(steps, start=1):
                for met in step:
                    left = left * met
                sums[part, number] += left.sum()


def without_sure_leaders(plan: Plan, stages: Stages) -> Stages:
    """What decides on a link's events, leaders without zeros left out."""
    return stages.without([d for d in stages.all if constant_of(plan, d.leader) is True])


def is_known(plan: Plan, tensor: int) -> bool:
    """Is every word of the tensor known?"""
    model = plan.einsum.tensors[tensor].density.answering
    return model.deterministic or constant_of(plan, tensor) is not None or (not model.produced and float(model.density) == 1)


def comes_to_be(plan: Plan, tensor: int) -> bool:
    """Is it a result of which all is known, that is stored as it is made?"""
    produced = plan.einsum.tensors[tensor].density.produced
    return produced and is_known(plan, tensor) and constant_of(plan, tensor) is not False


def constant_of(plan: Plan, tensor: int) -> bool | None:
    """True if no word is zero, False if all are, None if neither is sure."""
    model = plan.einsum.tensors[tensor].density.answering
    if model.deterministic and not model.produced:
        return None
    if model.produced:
        operands = [constant_of(plan, t) for t, one in enumerate(plan.einsum.tensors) if not one.output]
        return False if False in operands else True if all(operands) else None
    if plan.padded[tensor] and float(model.density) > 0:
        return None  # what is met outside is zero
    return {0.0: False, 1.0: True}.get(float(model.density))


def _any_user(event: Integers, size: int, holds: Truths) -> Truths:
    """Per event: does `holds` hold at some point that it serves?"""
    some = np.zeros(size, dtype=np.bool_)
    some[event[holds]] = True
    return some
