"""Counts the events of a plan for given tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.design.sparse import Sparse
from sparseloop.validation.walker.checks import HoldsForSome, Verdict, judge
from sparseloop.validation.walker.entries import Looks, Rank
from sparseloop.validation.walker.packing import Clock
from sparseloop.validation.walker.plan import EventPlan, Extents
from sparseloop.validation.walker.points import BoolArray, FloatArray, IntArray
from sparseloop.validation.walker.records import Accesses, Machine, RankUnits, Walk, WalkedCounts, WalkedTensor
from sparseloop.validation.walker.residency import Deliveries, EventSet
from sparseloop.validation.walker.tensor_path import any_alike
from sparseloop.validation.walker.tiles import block_accesses, excess


class Walker:
    """Executes one mapped, sparse einsum; `blocks` are the words per access of every storage level, outermost first."""

    def __init__(
        self,
        einsum: Einsum,
        blocks: Sequence[int],
        mapping: Mapping,
        sparse: Sparse,
        machine: Machine | None = None,
        extents: Extents | None = None,
    ) -> None:
        self.plan = EventPlan(einsum, blocks, mapping, sparse, extents)
        self.machine, self.extents = machine or Machine(), extents or {}

    def walk(self, data: MappingOf[str, BoolArray]) -> Walk:
        """Counts everything for given non-zero patterns (boolean arrays of the tensors' true extents, else bounding shapes)."""
        plan = self.plan
        nonzero = {n: self._used(data, n) & path.inside for n, path in plan.paths.items()}
        draw = Draw(plan=plan, machine=self.machine, nonzero=nonzero, holds=[c.holds(nonzero[c.leader]) for c in plan.conditions])
        lane, step = plan.points.instance(plan.compute), plan.points.step(plan.compute)
        lane = np.unique(lane, return_inverse=True)[1]
        stages = plan.compute_stages()
        verdict = judge(stages, draw.holds.__getitem__, np.ones(len(lane), dtype=np.bool_))
        return Walk(
            tensors={(level, name): draw.tensor(level, name) for level, name in plan.stages},
            computes=verdict.classes(),
            cycles=float(np.bincount(lane).max()),
            compute_cycles=Clock(plan, self.machine, draw.holds, verdict.wanted).cycles(),
            instances=tuple(len(np.unique(plan.points.instance(level))) for level in range(plan.compute)),
            lane_work=tuple(np.bincount(lane, weights=verdict.wanted).tolist()),
            lockstep_cycles=_steps_where_all([draw.holds[n] for n in stages.local], step),
        )

    def _used(self, data: MappingOf[str, BoolArray], name: str) -> BoolArray:
        """Per point: is the word used there non-zero? Padding is to be masked out. Checks the shape."""
        points = self.plan.points
        tensor = points.einsum.tensor(name)
        pattern, shape = np.asarray(data[name], dtype=np.bool_), points.einsum.tensor_shape(tensor)
        shape = tuple(self.extents.get(name, shape))
        if pattern.shape != shape:
            raise ValueError(f"{name} has shape {shape}, got {pattern.shape}")
        if name not in self.extents:
            return pattern.ravel()[self.plan.paths[name].word]
        at = (np.clip(points.coordinate(axis), 0, size - 1) for axis, size in zip(tensor.axes, shape, strict=True))
        return pattern[tuple(at)]


def _steps_where_all(conditions: list[BoolArray], step: IntArray) -> float:
    """Number of temporal steps in which every condition holds in some lane."""
    exists = np.bincount(step) > 0
    for holds in conditions:
        exists = exists & (np.bincount(step[holds], minlength=len(exists)) > 0)
    return float(exists.sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filled:
    """Words written into a level, one entry per copy."""

    classes: WalkedCounts
    happens: BoolArray
    arrival: IntArray
    excess: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draw:
    """One draw of the tensors, seen from the points, and the counts it leads to."""

    plan: EventPlan
    machine: Machine
    nonzero: dict[str, BoolArray]
    """Per tensor and point: is the word used there non-zero?"""
    holds: list[BoolArray]
    """Per condition and point."""

    def tensor(self, level: int, name: str) -> WalkedTensor:
        """Counts one tensor at one storage level."""
        plan, path = self.plan, self.plan.paths[name]
        child, parent, accesses = path.child(level), path.parent(level), path.links[level].accesses
        verdict = judge(plan.stages[level, name], self._for_users(accesses), self._stored(level, name)[accesses.point])
        real = path.inside[accesses.point]
        reads, updates = _reads_updates(verdict, real.astype(np.float64), accesses.first, path.tensor.output)
        filled = None if parent is None else self._fills(path.links[parent], level, name)
        fills = filled.classes if filled else WalkedCounts()
        looked = [self._looked(name, rank) for rank in plan.ranks[level, name]]
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
            accesses=self._accesses(level, name, verdict.awake & real, filled),
            excess=(0.0, 0.0) if filled is None else filled.excess,
            held=plan.tiles[level, name].held(self._stored(level, name)),
        )

    def _accesses(self, level: int, name: str, awake: BoolArray, filled: Filled | None) -> Accesses:
        """Blocks read, filled and updated at a level; `awake`: accesses of its words that happen."""
        plan, path = self.plan, self.plan.paths[name]
        link, words = path.links[level], plan.blocks[level]
        delivery, departure = link.delivery, link.departure
        if path.child(level) == plan.compute:
            delivery = departure = plan.points.instance(level)[link.accesses.point]
        output = path.tensor.output
        reads = awake & ~link.accesses.first if output else awake
        return Accesses(
            reads=block_accesses(delivery, reads, words),
            fills=0.0 if filled is None else block_accesses(filled.arrival, filled.happens, words),
            updates=block_accesses(departure, awake, words) if output else 0.0,
        )

    def _stored(self, level: int, name: str) -> BoolArray:
        """Per point: does the level store the word used there?"""
        return self.nonzero[name] if self.plan.compressed(level, name) else self.plan.paths[name].inside

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

        return judge(self.plan.stages[parent, name], holds, present[link.copies.point])

    def _fills(self, link: Deliveries, level: int, name: str) -> Filled:
        """Words written into `level` from its parent."""
        verdict, path = self._judge_fills(link, level, name, self._stored(level, name)), self.plan.paths[name]
        chosen = path.inside[link.copies.point]
        if path.tensor.output:
            chosen = chosen & ~link.copies.first
        happens = verdict.awake & chosen
        room = self.machine.rooms.get((level, name), math.inf)
        delivered = np.zeros(len(link.delivery), dtype=np.bool_)
        delivered[link.access_of_copy[happens]] = True
        return Filled(
            classes=verdict.classes(1.0, chosen),
            happens=happens,
            arrival=link.arrival,
            excess=(excess(link.delivery, delivered, room), excess(link.arrival, happens, room)),
        )

    def _filled(self, level: int, name: str, rank: Rank | None) -> RankUnits:
        """Entries of a rank written into `level` from its parent."""
        if rank is None or rank.fills is None:
            return RankUnits(metadata=WalkedCounts(), payload=WalkedCounts())
        link, counted = rank.fills, list[WalkedCounts]()
        chosen = rank.real[link.copies.point]
        if self.plan.paths[name].tensor.output:
            chosen = chosen & ~link.copies.first
        for units, exists in rank.units(self.nonzero[name]):
            verdict = self._judge_fills(link, level, name, exists)
            counted.append(verdict.classes(units[link.copies.point], chosen))
        return RankUnits(metadata=counted[0], payload=counted[1])

    def _looked(self, name: str, rank: Rank | None) -> tuple[RankUnits, RankUnits]:
        """Entries of a rank read, and entries written by updates."""
        if rank is None:
            nothing = RankUnits(metadata=WalkedCounts(), payload=WalkedCounts())
            return nothing, nothing
        events, counted = rank.looks.events, list[tuple[WalkedCounts, WalkedCounts]]()
        holds = self._looking(rank.looks, any_alike(rank.below, self.nonzero[name]))
        for units, exists in rank.units(self.nonzero[name]):
            verdict = judge(rank.looks.stages, holds, exists[events.point])
            output = self.plan.paths[name].tensor.output
            counted.append(_reads_updates(verdict, (units * rank.real)[events.point], events.first, output))
        (metadata_read, metadata_update), (payload_read, payload_update) = counted
        read = RankUnits(metadata=metadata_read, payload=payload_read)
        return read, RankUnits(metadata=metadata_update, payload=payload_update)

    def _looking(self, looks: Looks, below: BoolArray) -> HoldsForSome:
        """Conditions on looking at entries; some intersection units jump over entries between matches."""
        events, jumps = looks.events, looks.jumps

        def holds(number: int) -> BoolArray:
            met = events.any(self.holds[number])
            if jumps is None or number not in looks.jumping:
                return met
            return jumps.reached(below[events.point], met)

        return holds


def _reads_updates(verdict: Verdict, units: FloatArray, first: BoolArray, output: bool) -> tuple[WalkedCounts, WalkedCounts]:
    """Accesses of an input are reads; those of an output are updates, each but the first one also a read."""
    if not output:
        return verdict.classes(units), WalkedCounts()
    return verdict.classes(units, ~first), verdict.classes(units)
