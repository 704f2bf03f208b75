"""The entries of metadata ranks: which exist, who looks at them and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparseloop.model.design.sparse import COMPRESSED_KINDS, FormatKind, Sparse
from sparseloop.validation.walker.checks import LeaderCondition, Stages
from sparseloop.validation.walker.layout import LaidRank, rank_layout
from sparseloop.validation.walker.points import BoolArray, FloatArray, IntArray
from sparseloop.validation.walker.residency import Deliveries, EventSet, events_of, trace
from sparseloop.validation.walker.tensor_path import TensorPath, any_alike


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jumps:
    """The order in which entries are met, for units that jump ahead to the other list's next coordinate."""

    order: IntArray
    """Looks by fiber visit, then time."""
    start: IntArray
    """Per look in that order, where its fiber visit starts."""

    def reached(self, present: BoolArray, met: BoolArray) -> BoolArray:
        """Per look: has the leader had an entry since the follower's previous entry (this position included)?"""
        present, met = present[self.order], met[self.order]
        number = np.arange(len(present))
        latest = np.maximum.accumulate(np.where(present, number, -1))
        previous = np.maximum(np.concatenate([[-1], latest[:-1]]), self.start - 1)
        entries = np.concatenate([[0], np.cumsum(met)])
        result = np.empty(len(present), dtype=np.bool_)
        result[self.order] = entries[number + 1] > entries[previous + 1]
        return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looks:
    """Entries of one rank that the level looks at (inputs: reads; outputs: updates and later reads)."""

    events: EventSet
    stages: Stages
    link: Deliveries | None = None
    """The deliveries that they are; None: looks of their own, that last while the entry is in use."""
    together: bool = False
    """All entries of a fiber that are under way at once return together."""
    jumps: Jumps | None = None
    jumping: frozenset[int] = frozenset()
    """Conditions whose intersection unit jumps."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rank:
    """One format rank of a tensor at a level. Arrays are per point and tell of the entry the point uses."""

    kind: FormatKind
    payload_is_data: bool
    real: BoolArray
    """Does the entry stand for an existing word?"""
    below: IntArray
    """Entry: points with one number share it."""
    fiber: IntArray
    """Fiber of the entry."""
    length: FloatArray
    """Entries in that fiber."""
    looks: Looks
    fills: Deliveries | None
    """Entries that arrive from the parent level."""

    def units(self, below: BoolArray, fiber: BoolArray) -> tuple[tuple[FloatArray, BoolArray], tuple[FloatArray, BoolArray]]:
        """Per point (units when everything is stored, does it exist?): of metadata, then of payload.

        `below`, `fiber`: is some word under the entry, or in its fiber, stored?
        """
        one, always = np.ones(len(below)), np.ones(len(below), dtype=np.bool_)
        metadata, payload = {
            "CP": ((one, below), (one, below)),
            "RLE": ((one, below), (one, below)),
            "B": ((one, fiber), (one, below)),
            "UOP": ((0 * one, always), (1 + 1 / self.length, fiber)),
            "UB": ((one, always), (one, always)),
            "U": ((0 * one, always), (0 * one, always)),
        }[self.kind]
        return metadata, (0 * one, always) if self.payload_is_data else payload


class RankBuilder:
    """Builds the ranks of one tensor at one level."""

    def __init__(
        self, path: TensorPath, level: int, sparse: Sparse, conditions: Sequence[LeaderCondition], stages: Stages
    ) -> None:
        self.path, self.level, self.sparse, self.conditions, self.stages = path, level, sparse, conditions, stages

    def build(self, words: dict[str, IntArray]) -> list[Rank | None]:
        """The ranks, outermost first; None for a rank without entries. `words`: of every tensor, per point."""
        laid = rank_layout(self.path, self.sparse, self.level)
        if self.sparse.timeloop_reading:
            with_loops = [r for r, rank in enumerate(laid) if rank.loops]
            if not with_loops:
                return self._lone(laid)
            return [self._rank(laid, r, r == with_loops[-1], words) if r in with_loops else None for r in range(len(laid))]
        return [self._rank(laid, r, r == len(laid) - 1, words) for r in range(len(laid))]

    def _rank(self, laid: list[LaidRank], at: int, innermost: bool, words: dict[str, IntArray]) -> Rank:
        """One rank; without loops its fibers have one element."""
        below = [i for inner in laid[at + 1 :] for i in inner.loops]
        looks = self._delivered(below) if self._travels(laid, at) else self._walked(laid, at, innermost, words)
        return self._describe(laid[at], below, innermost, looks)

    def _travels(self, laid: list[LaidRank], at: int) -> bool:
        """Do the entries go with deliveries to the child?

        Those inside its tile do, and so do ranks that hold some of its loops, all ranks inside such a one, and ranks without
        loops that lead straight to what is delivered, be it by way of such ranks. With words for the compute level goes the
        last rank only.
        """
        child, loops = self.path.child(self.level), self.path.points.nest.loops
        held = any(loops[i].level >= child for rank in laid[: at + 1] for i in rank.loops)
        straight = not any(loops[i].level < child for rank in laid[at:] if not rank.of_child for i in rank.loops)
        return laid[at].of_child or held or (straight and (child < len(self.path.points.nest.keep) or at == len(laid) - 1))

    def _lone(self, laid: list[LaidRank]) -> list[Rank | None]:
        """A tile of one word keeps one entry in its lowest compressed rank, which goes where its word goes."""
        lowest = max((r for r, rank in enumerate(laid) if rank.kind in COMPRESSED_KINDS), default=-1)
        looks = self._of_link(self.path.links[self.level])
        ranks: list[Rank | None] = [None] * len(laid)
        if lowest >= 0:
            ranks[lowest] = self._describe(laid[lowest], [], True, looks)
        return ranks

    def _delivered(self, below: list[int]) -> Looks:
        """Entries of the child's tile travel with deliveries (and so do all ranks inside one that holds child's loops)."""
        return self._of_link(self.path.entry_link(self.level, frozenset(below)))

    def _of_link(self, link: Deliveries) -> Looks:
        return Looks(events=link.accesses, stages=self.stages, link=link, together=True)

    def _describe(self, rank: LaidRank, below: list[int], innermost: bool, looks: Looks) -> Rank:
        """Collects what the entries of a rank are."""
        points, relevant = self.path.points, self.path.relevant
        entry = _compact(points.code([i for i in relevant if i not in below]))
        fiber = _compact(points.code([i for i in relevant if i not in below and i not in rank.loops]))
        key = points.word(self.path.tensor, below)
        real = any_alike(entry, self.path.inside)
        members = np.unique(np.stack([fiber, key])[:, real], axis=1)[0]
        parent = self.path.parent(self.level)
        assert rank.kind is not None  # only ranks of a child without format have none, and those got the level's
        return Rank(
            kind=rank.kind,
            payload_is_data=innermost,
            real=real,
            below=entry,
            fiber=fiber,
            length=np.maximum(np.bincount(members, minlength=int(fiber.max()) + 1), 1)[fiber].astype(np.float64),
            looks=looks,
            fills=None if parent is None else self.path.entry_link(parent, frozenset(below)),
        )

    def _walked(self, laid: list[LaidRank], at: int, innermost: bool, words: dict[str, IntArray]) -> Looks:
        """Looks of an own rank: one whenever an entry becomes current at an instance of the level."""
        rank, below = laid[at], [i for inner in laid[at + 1 :] for i in inner.loops]
        points, level = self.path.points, self.level
        compute = len(points.nest.keep)
        instance, step, key = points.instance(level), points.step(compute), points.word(self.path.tensor, below)
        if innermost and self.path.child(level) == compute:
            # the compute level has no operand register: looked at again with every access
            link = self.path.links[level]
            events = link.accesses
        else:
            link, events = None, _current(instance, step, key)
        fiber = points.word(self.path.tensor, below + list(rank.loops))
        here = [n for n in self.stages.local + self.stages.gates if self.conditions[n].level == level]
        jumping = {n for n in here if self.conditions[n].intersection == "skip_ahead"}
        begin = self._begin(laid, at)
        unseen = {n for n in here if n not in jumping and not self._known(n, begin, words)}
        stages = Stages(
            outer=self.stages.outer,
            local=tuple(n for n in self.stages.local if n not in unseen),
            gates=tuple(n for n in self.stages.gates if n not in unseen),
        )
        jumps = _jumps(events, _current(instance, step, fiber), step, key) if jumping else None
        return Looks(events=events, stages=stages, link=link, jumps=jumps, jumping=frozenset(jumping))

    def _begin(self, laid: list[LaidRank], at: int) -> int:
        """The loop at which a fiber of the rank is entered; without loops of its own, that of the next rank inside, if any."""
        return min((i for rank in laid[at:] for i in rank.loops), default=len(self.path.points.nest.loops))

    def _known(self, number: int, begin: int, words: dict[str, IntArray]) -> bool:
        """Is the condition's leader known before the loop `begin` is entered (or looked up first anyway)?"""
        condition = self.conditions[number]
        if condition.intersection == "leader_follower":
            return True
        tiles = condition.leader_tiles(words[condition.leader])
        outside = self.path.points.code(range(begin))
        return np.unique(np.stack([outside, tiles]), axis=1).shape[1] == len(np.unique(outside))


def _current(instance: IntArray, step: IntArray, key: IntArray) -> EventSet:
    """One event whenever a key becomes current at an instance."""
    traced = trace(instance, step, key, reuse=True)
    begin = traced.first_point()
    return events_of(traced.of_point, len(begin), instance, key, step[begin][traced.of_point])


def _jumps(events: EventSet, fibers: EventSet, step: IntArray, key: IntArray) -> Jumps:
    """Sorts looks by fiber visit, time and coordinate."""
    begin = np.full(len(events.point), np.iinfo(np.int64).max)
    np.minimum.at(begin, events.of_point, step)
    visit = fibers.of_point[events.point]
    order = np.lexsort((key[events.point], begin, visit))
    visit = visit[order]
    start = np.searchsorted(visit, visit)
    return Jumps(order=order, start=start.astype(np.int64))


def _compact(code: IntArray) -> IntArray:
    """Renumbers codes from 0 without gaps."""
    return np.unique(code, return_inverse=True)[1]
