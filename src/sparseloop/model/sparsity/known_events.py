"""What is left of the events of a link where known patterns decide and covers do not say exactly what a check sees.

Covers are exact for perfect factors, tensors indexed by single ranks, and features that look at single tiles; `is_needed` says
where they are not. There every event is looked at (`nest_points`), mapping by mapping; conditions on random tensors are left to
covers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparsity.nest_points import ByMapping, Deliveries, Nest, NestPoints, Truths, few_points, numbered
from sparseloop.model.sparsity.nest_results import NestResults
from sparseloop.model.traffic.tiles import Tiles
from sparseloop.model.units import Floats, Integers, Share

MOST_WORDS = 2**24
"""Words of a tensor whose pattern is spread out, so that means of it can be taken."""


class Decision(NamedTuple):
    """One leader of one feature: an event of a link stays only where the leader is not all zero."""

    leader: int
    link: int | None = None
    """The link on which it is decided; None: at every compute by itself."""
    per_copy: bool = False
    """Every child is decided upon by itself."""
    block: int = 1
    """Words of the parent's accesses, whose whole blocks are looked at."""
    jumps: bool = False
    """Its unit passes entries over that lie between two of the leader's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The decisions on the events of a link, by what their failing makes of an event (F2)."""

    outer: tuple[Decision, ...] = ()
    local: tuple[Decision, ...] = ()
    inherited: tuple[Decision, ...] = ()
    gates: tuple[Decision, ...] = ()

    @property
    def all(self) -> tuple[Decision, ...]:
        """All of them."""
        return self.outer + self.local + self.inherited + self.gates

    def without(self, some: Collection[Decision]) -> Stages:
        """The others."""
        stages = (self.outer, self.local, self.inherited, self.gates)
        outer, local, inherited, gates = (tuple(d for d in stage if d not in some) for stage in stages)
        return Stages(outer=outer, local=local, inherited=inherited, gates=gates)


class Survival(NamedTuple):
    """Shares of some events that survive the growing sets of decisions O, O+K, O+K+I, O+K+I+G."""

    outer: Share = 1.0
    local: Share = 1.0
    inherited: Share = 1.0
    gates: Share = 1.0


class LinkSurvival(NamedTuple):
    """What is left of the events of a link, random tensors not asked."""

    accesses: Survival
    repeated: Survival
    """Accesses that are not the first of their word: partial sums that are read."""
    fills: Survival


class ComputeSurvival(NamedTuple):
    """What is left of the computes, random tensors not asked."""

    reached: Share
    """Left by the skips of operands' links."""
    kept: Share
    """And by the compute unit's own."""
    awake: Share
    """And by gates."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """All decisions of a design under one choice of features."""

    links: Mapping[int, Stages]
    """By link."""
    skips: tuple[Decision, ...]
    """Of computes, at the links of operands."""
    own: tuple[Decision, ...]
    """The compute unit's own skips."""
    gates: tuple[Decision, ...]

    @property
    def all(self) -> frozenset[Decision]:
        """All of them."""
        found = {d for stages in self.links.values() for d in stages.all}
        return frozenset(found.union(self.skips, self.own, self.gates))


def is_needed(tiles: Tiles, decisions: Decisions) -> bool:
    """True if a known tensor decides and factors are imperfect, indices are sums of ranks, or checks look at blocks."""
    plan = tiles.plan
    known = [t for t, looked_at in enumerate(plan.looked_at) if looked_at]
    stored = any(link.compressed or link.child_compressed for link in plan.links if link.tensor in known)
    if not stored and not any(d.leader in known for d in decisions.all):
        return False
    blocks = any(d.block > 1 for d in decisions.all if d.leader in known)
    return tiles.residuals is not None or blocks or not all(plan.plain)


class KnownEvents:
    """Exact shares for one batch under one choice of features; every mapping is looked at once."""

    def __init__(self, tiles: Tiles, decisions: Decisions) -> None:
        self.tiles, self.plan = tiles, tiles.plan
        self.decisions = decisions
        self._mappings = ByMapping(tiles, "share of events that known patterns leave", self._numbers)

    def tells(self, link: Link) -> bool:
        """True if the points that tell this link's events apart are few enough to be looked at."""
        if _is_made(self.plan, link.tensor):
            return few_points(self.plan, frozenset(self.plan.einsum.ranks))
        decisions = _of_known(self.plan, self.decisions.links[link.index].all)
        if not decisions:
            return few_points(self.plan, _word_ranks(self.plan, link.tensor, perfect=self.tiles.residuals is None))
        return self._few({link.tensor}, decisions)

    def tells_computes(self) -> bool:
        """The same of the computes."""
        return self._few(set(), (*self.decisions.skips, *self.decisions.own, *self.decisions.gates))

    def _few(self, tensors: set[int], decisions: tuple[Decision, ...]) -> bool:
        return few_points(self.plan, decided_ranks(self.plan, tensors, _of_known(self.plan, decisions)))

    def link(self, link: Link) -> LinkSurvival:
        """The shares of a link's events."""
        start = 12 * link.index
        numbers = [self._number(start + i) for i in range(12)]
        return LinkSurvival(Survival(*numbers[:4]), Survival(*numbers[4:8]), Survival(*numbers[8:]))

    def computes(self) -> ComputeSurvival:
        """The shares of the computes."""
        start = 12 * len(self.plan.links)
        return ComputeSurvival(*(self._number(start + i) for i in range(3)))

    def work(self, apart: frozenset[int]) -> Floats:
        """Of a single mapping: the computes that keep their time, per instance along these spatial loops."""
        return Looked(self._mappings.only()).work(self.decisions, apart)

    def _number(self, at: int) -> Share:
        return self._mappings.number(lambda numbers: numbers[at])

    def _numbers(self, nest: Nest) -> list[float]:
        looked, numbers = Looked(nest), list[float]()
        for link in self.plan.links:
            numbers += looked.link(link, self.decisions.links[link.index]) if self.tells(link) else [1.0] * 12
        return numbers + list(looked.computes(self.decisions) if self.tells_computes() else [1.0] * 3)


def _of_known(plan: Plan, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """Those whose leader is known."""
    return tuple(d for d in decisions if plan.looked_at[d.leader])


def _is_made(plan: Plan, tensor: int) -> bool:
    """Is it a result of known operands, that comes to be point by point?"""
    density = plan.einsum.tensors[tensor].density
    return density.produced and density.deterministic


def decided_ranks(plan: Plan, tensors: set[int], decisions: tuple[Decision, ...]) -> frozenset[str]:
    """Ranks that tell apart what these tensors and decisions see."""
    tensors = tensors | {d.leader for d in decisions}
    tensors |= {plan.links[d.link].tensor for d in decisions if d.link is not None}
    return frozenset(rank for t in tensors for rank in plan.einsum.tensors[t].ranks)


def _word_ranks(plan: Plan, tensor: int, *, perfect: bool) -> frozenset[str]:
    """Ranks whose every value must be told apart to follow the words of a tensor that nothing decides upon.

    Words along an axis of a single rank come and go alike, but in its first and last passes.
    """
    operand = plan.einsum.tensors[tensor]
    if not perfect or operand.density.total > MOST_WORDS:
        return operand.ranks
    every = [term.rank for axis in operand.axes for term in axis.terms]
    shared = {term.rank for axis in operand.axes for term in axis.terms if len(axis.terms) > 1 or axis.size is not None}
    return frozenset(rank for rank in every if rank in shared or every.count(rank) > 1)


class WordsCrossing(NamedTuple):
    """What is left of the words that cross a link: per event how many of the nest it stands for, or 0."""

    points: NestPoints
    found: Deliveries
    reads: Floats
    """Accesses, of a result those that are not the first of their word."""
    updates: Floats
    """Accesses, with what a result stores when it returns."""
    fills: Floats


class Packed(NamedTuple):
    """A fanout whose positions are packed onto fewer instances."""

    level: int
    width: int
    """Instances below one parent."""
    waves: bool
    active: tuple[Decision, ...]
    """A position is active where all of these leave one point."""


class Looked:
    """One mapping, looked at point by point."""

    def __init__(self, nest: Nest) -> None:
        self.nest, self.plan = nest, nest.plan
        self._points: dict[frozenset[str], NestPoints] = {}
        self._holds: dict[tuple[frozenset[str], Decision], Truths] = {}
        self._results: NestResults | None = None

    def _known(self, tensor: int) -> bool:
        return self.plan.einsum.tensors[tensor].density.deterministic

    def points(self, tensors: set[int], decisions: tuple[Decision, ...]) -> NestPoints:
        """The points that tell apart what these tensors and decisions see."""
        return self.of_ranks(decided_ranks(self.plan, tensors, decisions))

    def of_ranks(self, ranks: frozenset[str]) -> NestPoints:
        """The points that tell values of these ranks apart."""
        if ranks not in self._points:
            self._points[ranks] = NestPoints(self.nest, ranks)
        return self._points[ranks]

    def results(self) -> NestResults:
        """The contents of the result, over the points that tell values of all ranks apart."""
        if self._results is None:
            self._results = NestResults(self.of_ranks(frozenset(self.plan.einsum.ranks)))
        return self._results

    def holds(self, points: NestPoints, decision: Decision) -> Truths:
        """Per point: is there a non-zero in what the decision looks at?"""
        nonzero = points.nonzero(decision.leader)
        if decision.link is None:
            return nonzero
        link = self.plan.links[decision.link]
        block = points.block(link, decision.block) if decision.block > 1 else None
        if block is not None:
            touched = np.zeros(int(block.max()) + 1, dtype=np.bool_)
            touched[block[nonzero]] = True
            nonzero = touched[block]
        return points.deliveries(link).met(nonzero, per_copy=decision.per_copy)

    def link(self, link: Link, stages: Stages) -> Iterator[float]:
        """The twelve numbers of `LinkSurvival`."""
        steps = self._steps(stages)
        if not any(steps) and not (self._known(link.tensor) and (link.compressed or link.child_compressed)):
            yield from [1.0] * 12
            return
        for whole, after in self._survivals(link, steps, self._told(link, steps)):
            total = float(whole.sum())
            yield from (float(left.sum()) / total if total else 1.0 for left in after)

    def crossing(self, link: Link, stages: Stages) -> WordsCrossing:
        """What crosses a link word by word; all leaders must be known, or dense in their padding."""
        steps = [stages.outer, stages.local, stages.inherited, stages.gates]
        made = _is_made(self.plan, link.tensor)
        points = self.results().points if made else self.points({link.tensor}, tuple(d for step in steps for d in step))
        accesses, repeated, fills = (list(after)[-1] for _, after in self._survivals(link, steps, points))
        return WordsCrossing(points, points.deliveries(link), repeated if link.output else accesses, accesses, fills)

    def _steps(self, stages: Stages) -> list[tuple[Decision, ...]]:
        return [_of_known(self.plan, s) for s in (stages.outer, stages.local, stages.inherited, stages.gates)]

    def _told(self, link: Link, steps: list[tuple[Decision, ...]]) -> NestPoints:
        """The points that tell a link's events apart."""
        if _is_made(self.plan, link.tensor):
            return self.results().points
        if any(steps):
            return self.points({link.tensor}, tuple(d for step in steps for d in step))
        return self.of_ranks(_word_ranks(self.plan, link.tensor, perfect=self.nest.perfect))

    def _stored(self, link: Link, points: NestPoints) -> list[Any]:
        """Of accesses, repeated ones and fills: is the word stored (or its share of stored words)? None: all are."""
        found = points.deliveries(link)
        if _is_made(self.plan, link.tensor):  # it comes to be: what is there when it is returned, read and filled
            there = self.results().at(link)
            filled = there.before[found.access_of_copy] if link.child_compressed else None
            filled = np.zeros(len(found.copy_point)) if link.partials == "add" else filled
            return [there.after, there.before, filled] if link.compressed else [None, None, filled]
        if not self._known(link.tensor):
            return [None] * 3
        cut = any(points.passes[s] < self.nest.bounds[s] for s in link.relevant)
        word: Any = points.share_nonzero(link.tensor) if cut else points.nonzero(link.tensor)
        of_access = word[found.access_point] if link.compressed else None
        return [of_access, of_access, word[found.copy_point] if link.child_compressed else None]

    def _survivals(
        self, link: Link, steps: list[tuple[Decision, ...]], points: NestPoints
    ) -> Iterator[tuple[Floats, Iterator[Floats]]]:
        """Of all accesses, repeated ones, and fills: how many words of the nest each stands for, whole and after each step."""
        found, stored = points.deliveries(link), self._stored(link, points)
        cut = [s for s in link.relevant if points.passes[s] < self.nest.bounds[s]]
        weight = points.weight({*link.temporal, *cut}) * points.inside(link.tensor)
        holds = {d: self.holds(points, d) for step in steps for d in step}
        accesses = {d: found.any_user(holds[d], of_copies=False) for d in holds}

        def after(left: Floats, words: Any, decided: Callable[[Decision], Truths], asked: Sequence[int]) -> Iterator[Floats]:
            left = left if words is None else left * words
            for number, step in enumerate(steps):
                for decision in step if number in asked else ():
                    left = left * decided(decision)
                yield left

        def of_copy(decision: Decision) -> Truths:
            if decision.per_copy and decision.link == link.index:
                return found.any_user(holds[decision], of_copies=True)
            return accesses[decision][found.access_of_copy]

        sent, filled = weight[found.access_point], weight[found.copy_point]
        again = sent * (~found.first_accesses if link.output else 0)
        refilled = filled * ~found.first_copies if link.output else filled
        yield sent, after(sent, stored[0], accesses.__getitem__, range(4))
        yield again, after(again, stored[1], accesses.__getitem__, range(4))
        # what skips of operands remove at the compute level does not stop a fill
        yield refilled, after(refilled, stored[2], of_copy, (0, 1, 3))

    def computes(self, decisions: Decisions) -> Iterator[float]:
        """The three numbers of `ComputeSurvival`."""
        steps = [_of_known(self.plan, s) for s in (decisions.skips, decisions.own, decisions.gates)]
        if not any(steps):
            yield from [1.0] * 3
            return
        points = self.points(set(), tuple(d for step in steps for d in step))
        left = points.weight(points.times)
        total = float(left.sum())
        for step in steps:
            for decision in step:
                left = left * self.holds(points, decision)
            yield float(left.sum()) / total

    def work(self, decisions: Decisions, apart: frozenset[int]) -> Floats:
        """Computes that keep their time, per instance along some spatial loops."""
        asked = _of_known(self.plan, (*decisions.skips, *decisions.own))
        points = self.points(set(), asked)
        left = points.weight(points.times)
        for decision in asked:
            left = left * self.holds(points, decision)
        return np.bincount(numbered(points.code(sorted(apart))), weights=left).astype(np.float64)

    def packed_time(self, timed: tuple[Decision, ...], fanouts: Sequence[Packed]) -> float:
        """Time of the computes over their steps; `timed`: what a compute must pass to take time, `fanouts`: outermost first.

        A member is what one position does in one step outside its fanout, within a member of the next fanout further out.
        """
        points = self.of_ranks(frozenset(self.plan.einsum.ranks))
        steps, wanted = points.code(points.times), self._all_hold(points, timed)
        members, groups = [np.zeros(len(points), dtype=np.int64)], list[_Group]()
        for fanout in fanouts:
            step = points.code([i for i in points.times if self.plan.loops[i].level <= fanout.level])
            group = numbered(members[-1], step, points.code(self.plan.spatial(fanout.level)))
            groups.append(_Group(group, _different(step, members[-1])))
            here = [i for i, loop in enumerate(self.plan.loops) if loop.spatial and loop.level == fanout.level]
            members.append(numbered(group, points.code(here)))
        time = _different(steps, members[-1]) * _means(members[-1], wanted)
        for fanout, group, outer, member in reversed(list(zip(fanouts, groups, members, members[1:], strict=False))):
            active = np.bincount(member, weights=self._all_hold(points, fanout.active)) > 0
            time = group.steps * _means(
                _owner(group.of_point, outer), _turns(fanout, _owner(member, group.of_point), time, active)
            )
        return float(time[0]) / len(np.unique(steps))

    def _all_hold(self, points: NestPoints, decisions: tuple[Decision, ...]) -> Truths:
        found = np.ones(len(points), dtype=np.bool_)
        for decision in decisions:
            found &= self.holds(points, decision)
        return found


class _Group(NamedTuple):
    """The members of one parent in one step outside a fanout."""

    of_point: Integers
    steps: Integers
    """Per outer member, its steps outside the fanout."""


def _turns(fanout: Packed, group: Integers, time: Floats, active: Truths) -> Floats:
    """Time of groups of members: what active ones take in turns, or what all take that even out."""
    number = np.bincount(group)
    if not fanout.waves:
        return np.bincount(group, weights=time) / np.minimum(number, fanout.width)
    longest = np.zeros(len(number))
    np.maximum.at(longest, group[active], time[active])
    count = np.bincount(group, weights=active)
    return np.where(count > 0, np.maximum(1.0, np.ceil(count / fanout.width) * longest), 0.0)


def _owner(inner: Integers, outer: Integers) -> Integers:
    """By the numbers of `inner`, the number of `outer` at the same points."""
    found = np.empty(int(inner.max()) + 1, dtype=np.int64)
    found[inner] = outer
    return found


def _different(code: Integers, owner: Integers) -> Integers:
    """How many different codes each owner has."""
    return np.bincount(_owner(numbered(owner, code), owner))


def _means(owner: Integers, values: Any) -> Floats:
    """Mean value of each owner's."""
    return np.bincount(owner, weights=values) / np.bincount(owner)
