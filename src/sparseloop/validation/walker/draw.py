"""One draw of the tensors: every event judged and counted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sparseloop.validation.walker.checks import HoldsForSome, Verdict, judge
from sparseloop.validation.walker.entries import Looks, Rank
from sparseloop.validation.walker.partials import PartialSums
from sparseloop.validation.walker.plan import EventPlan
from sparseloop.validation.walker.points import BoolArray, FloatArray, IntArray
from sparseloop.validation.walker.records import Accesses, Beyond, Machine, RankUnits, WalkedCounts, WalkedTensor
from sparseloop.validation.walker.residency import Deliveries, EventSet
from sparseloop.validation.walker.tensor_path import any_alike
from sparseloop.validation.walker.tiles import Moved, block_accesses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filled:
    """Words written into a level, one entry per copy."""

    classes: WalkedCounts
    happens: BoolArray
    slots: BoolArray
    """Those that take time: gated ones do, too."""
    arrival: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accessed:
    """What becomes of the accesses of one tensor at one level, one entry per access."""

    read: Verdict
    written: Verdict
    again: BoolArray
    """Is it read? An output's first access finds nothing."""
    real: BoolArray
    """Is it no padding?"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draw:
    """One draw of the tensors, seen from the points, and the counts it leads to."""

    plan: EventPlan
    machine: Machine
    nonzero: dict[str, BoolArray]
    """Per tensor and point: is the word used there non-zero?"""
    holds: list[BoolArray]
    """Per condition and point."""
    sums: PartialSums | None = None
    """Contents of the result over time; None if its pattern is given."""

    def tensor(self, level: int, name: str) -> WalkedTensor:
        """Counts one tensor at one storage level."""
        plan, path = self.plan, self.plan.paths[name]
        child, parent = path.child(level), path.parent(level)
        access = self.accessed(level, name)
        ones = np.ones(len(access.real))
        updates = access.written.classes(ones, access.real) if path.tensor.output else WalkedCounts()
        reads = access.read.classes(ones, access.real & access.again)
        filled = None if parent is None else self.filled(path.links[parent], level, name)
        fills = filled.classes if filled else WalkedCounts()
        looked = [self._looked(level, name, rank) for rank in plan.ranks[level, name]]
        unpacks = parent is not None and plan.compressed(parent, name) and not plan.compressed(level, name)
        packs = child < plan.compute and plan.compressed(level, name) and not plan.compressed(child, name)
        return WalkedTensor(
            reads=reads,
            fills=fills,
            updates=updates,
            metadata_reads=tuple(read for read, _ in looked),
            metadata_fills=tuple(self._filled(level, name, rank) for rank in plan.ranks[level, name]),
            metadata_updates=tuple(update for _, update in looked),
            decompress=fills.actual if unpacks else 0.0,
            compress=updates.actual if packs else 0.0,
            accesses=self._accesses(level, name, access, filled),
            beyond=(Beyond(), Beyond()) if filled is None else self._beyond(level, name, filled),
            held=plan.tiles[level, name].held(self._held(level, name)),
        )

    def accessed(self, level: int, name: str) -> Accessed:
        """What becomes of the accesses of a tensor's words at a level."""
        plan, path = self.plan, self.plan.paths[name]
        events = path.links[level].accesses
        holds, stored = self._for_users(events), self._stored(level, name)[events.point]
        read = written = judge(plan.stages[level, name], holds, stored)
        if self._made(level, name):
            assert self.sums is not None
            read = judge(plan.stages[level, name], holds, self.sums.before(level))
            written = judge(plan.stages[level, name], holds, self.sums.after(level))
        # an output is read at all accesses but the first, an input at all
        again = ~events.first if path.tensor.output else np.ones(len(events.point), dtype=np.bool_)
        return Accessed(read=read, written=written, again=again, real=path.inside[events.point])

    def _made(self, level: int, name: str) -> bool:
        """Does the level store the words of a result that have contributions so far?"""
        return self.sums is not None and self.plan.paths[name].tensor.output and self.plan.compressed(level, name)

    def _accesses(self, level: int, name: str, access: Accessed, filled: Filled | None) -> Accesses:
        """Blocks read, filled and updated at a level."""
        plan, path = self.plan, self.plan.paths[name]
        link, words = path.links[level], plan.blocks[level]
        delivery, departure = link.delivery, link.departure
        if path.child(level) == plan.compute:
            delivery = departure = plan.points.instance(level)[link.accesses.point]
        writes = access.written.awake & access.real
        return Accesses(
            reads=block_accesses(delivery, access.read.awake & access.real & access.again, words),
            fills=0.0 if filled is None else block_accesses(filled.arrival, filled.happens, words),
            updates=block_accesses(departure, writes, words) if path.tensor.output else 0.0,
        )

    def _stored(self, level: int, name: str) -> BoolArray:
        """Per point: does the level store the word used there?"""
        return self.nonzero[name] if self.plan.compressed(level, name) else self.plan.paths[name].inside

    def _held(self, level: int, name: str) -> BoolArray:
        """Per point: is the word in the copy that serves it when that stay, or the last one of a copy that goes on, ends?"""
        if self._made(level, name):
            assert self.sums is not None
            return self.sums.comes_to_be(level)
        return self._stored(level, name)

    def _for_users(self, events: EventSet) -> HoldsForSome:
        """A condition holds for an event if it holds for one of its users."""
        return lambda number: events.any(self.holds[number])

    def _judge_fills(self, link: Deliveries, level: int, name: str, present: BoolArray) -> Verdict:
        """A delivery into `level` is all or nothing, except for conditions decided per instance."""
        parent = self.plan.paths[name].parent(level)
        assert parent is not None

        def holds(number: int) -> BoolArray:
            condition = self.plan.conditions[number]
            if condition.per_instance and condition.level == parent:
                return link.copies.any(self.holds[number])
            return link.accesses.any(self.holds[number])[link.access_of_copy]

        return judge(self.plan.stages[parent, name], holds, present)

    def filled(self, link: Deliveries, level: int, name: str) -> Filled:
        """Words written into `level` from its parent."""
        path = self.plan.paths[name]
        parent = path.parent(level)
        assert parent is not None
        present = self._stored(level, name)[link.copies.point]
        if self._made(level, name):
            assert self.sums is not None
            present = self.sums.before(parent)[link.access_of_copy]
        if self._starts_empty(level, name):
            present = np.zeros_like(present)
        verdict = self._judge_fills(link, level, name, present)
        chosen = path.inside[link.copies.point] & self._filled_again(link, name)
        happens = verdict.awake & chosen
        return Filled(
            classes=verdict.classes(1.0, chosen),
            happens=happens,
            slots=verdict.wanted & chosen,
            arrival=link.arrival,
        )

    def _beyond(self, level: int, name: str, filled: Filled) -> tuple[Beyond, Beyond]:
        """Words beyond the room of a level, as its parent reads them and as it is filled with them."""
        room, parent = self.machine.rooms.get((level, name), math.inf), self.plan.paths[name].parent(level)
        if parent is None or room == math.inf:
            return Beyond(), Beyond()
        visits, link = self.plan.visits(level, name), self.plan.paths[name].links[parent]
        stored = self._stored(parent, name)[link.copies.point]
        if not self.plan.paths[name].tensor.output:
            held = filled.happens
            ends = visits.of_parent(Moved(held, held, stored), room), visits.of_children(Moved(held, held, held), room)
            return replace(ends[0], departing=0.0), replace(ends[1], departing=0.0)
        held, stored = (returned[link.access_of_copy] for returned in self._returned(level, parent, name))
        held, stored = held | filled.happens, stored | filled.happens
        children = visits.of_children(Moved(held, filled.happens, held), room)
        return visits.of_parent(Moved(held, filled.happens, stored), room), children

    def _returned(self, level: int, parent: int, name: str) -> tuple[BoolArray, BoolArray]:
        """Accesses of a parent by which words of a result return that the child stores, and those that the parent stores."""
        access, plan = self.accessed(parent, name), self.plan
        stored = access.written.awake & access.real
        if plan.compressed(level, name):
            return stored, stored
        events = plan.paths[name].links[parent].accesses
        every = judge(plan.stages[parent, name], self._for_users(events), access.real)
        return every.awake, stored

    def _filled_again(self, link: Deliveries, name: str) -> BoolArray:
        """Per copy: is it filled? The first copy of a result starts from nothing."""
        if not self.plan.paths[name].tensor.output:
            return np.ones(len(link.copies.point), dtype=np.bool_)
        return ~link.copies.first

    def _starts_empty(self, level: int, name: str) -> bool:
        """Do copies of a result begin with nothing, so that the parent adds what returns?"""
        if self.sums is None or not self.plan.paths[name].tensor.output:
            return False
        return self.sums.mode(self.plan.paths[name].parent(level)) == "add"

    def _filled(self, level: int, name: str, rank: Rank | None) -> RankUnits:
        """Entries of a rank written into `level` from its parent."""
        if rank is None or rank.fills is None:
            return RankUnits(metadata=WalkedCounts(), payload=WalkedCounts())
        link, counted, parent = rank.fills, list[WalkedCounts](), self.plan.paths[name].parent(level)
        assert parent is not None
        point = link.copies.point
        chosen = rank.real[point] & self._filled_again(link, name)
        below, fiber = self._stored_under(rank, name)
        if self._made(level, name):
            assert self.sums is not None
            moment = self.sums.moments(parent, link).read[link.access_of_copy][link.copies.of_point]
            below, fiber = (self.sums.there(parent, code, moment) for code in (rank.below, rank.fiber))
        starts = not self._starts_empty(level, name)
        for units, exists in rank.units(below, fiber):
            verdict = self._judge_fills(link, level, name, link.copies.any(exists) & starts)
            counted.append(verdict.classes(units[point], chosen))
        return RankUnits(metadata=counted[0], payload=counted[1])

    def entry_slots(self, rank: Rank, at: tuple[int, str], filled: bool) -> FloatArray:
        """Entries and payloads of an operand's rank that take time, per event that fills them or else looks at them."""
        level, name = at
        under, columns = self._stored_under(rank, name), list[FloatArray]()
        for units, exists in rank.units(*under):
            if filled and rank.fills is not None:
                point = rank.fills.copies.point
                wanted = self._judge_fills(rank.fills, level, name, exists[point]).wanted
            else:
                point = rank.looks.events.point
                wanted = judge(rank.looks.stages, self._looking(rank.looks, under[0]), exists[point]).wanted
            columns.append((units * rank.real)[point] * wanted)
        return np.stack(columns, axis=1)

    def _stored_under(self, rank: Rank, name: str) -> tuple[BoolArray, BoolArray]:
        """Per point: is there a non-zero under its entry, and in its fiber?"""
        nonzero = self.nonzero[name]
        return any_alike(rank.below, nonzero), any_alike(rank.fiber, nonzero)

    def _looked(self, level: int, name: str, rank: Rank | None) -> tuple[RankUnits, RankUnits]:
        """Entries of a rank read, and entries written by updates."""
        nothing = RankUnits(metadata=WalkedCounts(), payload=WalkedCounts())
        if rank is None:
            return nothing, nothing
        events, output = rank.looks.events, self.plan.paths[name].tensor.output
        again = ~events.first if output else np.ones(len(events.point), dtype=np.bool_)
        before = after = self._stored_under(rank, name)
        if self._made(level, name):
            before, after = self._contents_under(level, rank)
        read = self._looked_at(rank, before, again)
        return read, self._looked_at(rank, after, np.ones_like(again)) if output else nothing

    def _contents_under(self, level: int, rank: Rank) -> tuple[tuple[BoolArray, BoolArray], tuple[BoolArray, BoolArray]]:
        """As `_stored_under`, of a result in the making: when its entry is read, and when it is written."""
        sums, looks = self.sums, rank.looks
        assert sums is not None
        moments = sums.uses(looks.events) if looks.link is None else sums.moments(level, looks.link)
        of_point = looks.events.of_point
        mode, start, end = sums.mode(level), moments.read[of_point], moments.written[of_point]
        read = (sums.there(level, rank.below, start), sums.there(level, rank.fiber, start))
        if mode == "whole":
            return read, (sums.there(level, rank.below, end), sums.there(level, rank.fiber, end))
        # an entry that is looked at by itself is only touched where something comes for it
        link, fiber = (looks.link, rank.fiber) if looks.together else (None, rank.below)
        come = (sums.comes(None, looks.events, rank.below), sums.comes(link, looks.events, fiber))
        if mode == "changed":
            return read, come
        return (read[0] & come[0], sums.there(level, fiber, start) & come[1]), come

    def _looked_at(self, rank: Rank, under: tuple[BoolArray, BoolArray], chosen: BoolArray) -> RankUnits:
        """The chosen looks at a rank's entries; `under`: is something stored under the entry, and in its fiber?"""
        events, counted = rank.looks.events, list[WalkedCounts]()
        holds = self._looking(rank.looks, under[0])
        for units, exists in rank.units(*under):
            verdict = judge(rank.looks.stages, holds, events.any(exists))
            counted.append(verdict.classes((units * rank.real)[events.point], chosen))
        return RankUnits(metadata=counted[0], payload=counted[1])

    def _looking(self, looks: Looks, below: BoolArray) -> HoldsForSome:
        """Conditions on looking at entries; some intersection units jump over entries between matches."""
        events, jumps = looks.events, looks.jumps

        def holds(number: int) -> BoolArray:
            met = events.any(self.holds[number])
            if jumps is None or number not in looks.jumping:
                return met
            return jumps.reached(below[events.point], met)

        return holds
