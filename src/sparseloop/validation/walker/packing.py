"""Compute cycles of one draw: work evened out over lanes, and positions that spatial skips pack onto fewer instances."""

from __future__ import annotations

import math

import numpy as np

from sparseloop.validation.walker.plan import EventPlan
from sparseloop.validation.walker.points import BoolArray, IntArray
from sparseloop.validation.walker.records import Machine


class Clock:
    """Time of the points of a nest, given which computes keep their slot and which positions are active.

    Lanes that pack nothing even out: the steps times the share of computes that keep their slot. A packing level with b positions
    on H instances takes b / min(b, H) times as long if it evens out, too. In waves every step of the temporal loops outside the
    fanout takes ceil(k / H) times the longest of its k active positions (at least 1, nothing if none is active).
    """

    def __init__(self, plan: EventPlan, machine: Machine, holds: list[BoolArray], wanted: BoolArray) -> None:
        self.plan, self.machine, self.holds, self.wanted = plan, machine, holds, wanted
        loops = plan.points.nest.loops
        self.packing = sorted({s.level for s in plan.sparse.safs if s.kind == "spatial_skip"})
        self.spatial = {at: [i for i, loop in enumerate(loops) if loop.spatial and loop.level == at] for at in self.packing}
        self.step = plan.points.step(plan.compute)

    def cycles(self) -> float:
        """Cycles of the compute level."""
        everything = np.arange(len(self.wanted))
        if any(level in self.machine.waves for level in self.packing):
            return self._span(everything, tuple(self.packing))
        evened = self._evened(everything)
        for level in self.packing:
            positions = math.prod(self.plan.points.bounds[i] for i in self.spatial[level])
            evened *= positions / min(positions, self.machine.lanes.get(level, positions))
        return evened

    def turns(self, level: int) -> float:
        """Mean over steps outside a fanout of the waves that its active positions take, at least 1; 1 where nothing packs."""
        if level not in self.machine.waves or level not in self.packing:
            return 1.0
        points, alive = self.plan.points, self._alive(level)
        place = np.stack([points.step(level + 1), points.instance(level), points.code(self.spatial[level])])
        positions, of_point = np.unique(place, axis=1, return_inverse=True)
        active = np.bincount(of_point.reshape(-1), weights=alive) > 0
        group = np.unique(positions[:2], axis=1, return_inverse=True)[1].reshape(-1)
        lanes = self.machine.lanes.get(level, positions.shape[1])
        return float(np.maximum(1.0, np.ceil(np.bincount(group, weights=active) / lanes)).mean())

    def _evened(self, points: IntArray) -> float:
        return len(np.unique(self.step[points])) * float(self.wanted[points].mean())

    def _span(self, points: IntArray, packing: tuple[int, ...]) -> float:
        """Time of some points under the packing levels from the outermost of `packing` inwards."""
        if not packing:
            return self._evened(points)
        level, inner = packing[0], packing[1:]
        # one level further in than the parent's: the temporal loops of the parent's own level lie outside the fanout
        step, parent = self.plan.points.step(level + 1)[points], self.plan.points.instance(level)[points]
        groups = np.unique(np.stack([step, parent]), axis=1, return_inverse=True)[1].reshape(-1)
        times = [self._wave(points[groups == g], level, inner) for g in range(int(groups.max()) + 1)]
        return len(np.unique(step)) * float(np.mean(times))

    def _wave(self, points: IntArray, level: int, inner: tuple[int, ...]) -> float:
        """Time of one parent in one step outside the fanout."""
        position = self.plan.points.code(self.spatial[level])[points]
        members = [points[position == p] for p in np.unique(position)]
        lanes = self.machine.lanes.get(level, len(members))
        if level not in self.machine.waves:
            return sum(self._span(m, inner) for m in members) / min(len(members), lanes)
        alive = self._alive(level)
        active = [m for m in members if alive[m].any()]
        if not active:
            return 0.0
        return max(1.0, math.ceil(len(active) / lanes) * max(self._span(m, inner) for m in active))

    def _alive(self, level: int) -> BoolArray:
        """Per point: do all skips of operands that are decided at the level or further out leave it?"""
        alive = np.ones(len(self.wanted), dtype=np.bool_)
        for number, condition in enumerate(self.plan.conditions):
            follows = condition.follower in self.plan.inputs and condition.kind != "gate"
            if follows and condition.level <= level:
                alive &= self.holds[number]
        return alive
