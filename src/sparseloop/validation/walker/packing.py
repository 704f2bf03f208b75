"""Compute cycles of one draw: work evened out over lanes, and positions that spatial skips pack onto fewer instances."""

from __future__ import annotations

import math

import numpy as np

from sparseloop.validation.walker.plan import EventPlan
from sparseloop.validation.walker.points import BoolArray, IntArray, numbered
from sparseloop.validation.walker.records import Machine


def passes_of(plan: EventPlan, level: int) -> IntArray:
    """Per point the number of the pass in which it lies: something kept below the level moved over its network that often."""
    points = plan.points
    time, begins = points.step(plan.compute), list[IntArray]()
    for path in plan.paths.values():
        for parent, link in path.links.items():
            child = path.child(parent)
            if parent <= level < child < plan.compute:
                visit = points.step(child)
                start = np.full(int(visit.max()) + 1, np.iinfo(np.int64).max)
                np.minimum.at(start, visit, time)
                begins.append(start[visit[link.traced.first_point()]])
    if not begins:
        return np.zeros_like(time)
    return np.searchsorted(np.unique(np.concatenate(begins)), time, side="right")


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
        for level, sync in self.machine.sync.items():
            return self._between_waits(level, sync)
        if any(level in self.machine.waves for level in self.packing):
            return self._span(everything, tuple(self.packing))
        evened = self._evened(everything)
        for level in self.packing:
            positions = len(np.unique(self.plan.points.code(self.spatial[level])))
            evened *= positions / min(positions, self.machine.lanes.get(level, positions))
        return evened

    def _between_waits(self, level: int, sync: str) -> float:
        """Sum over intervals of the time of the fullest lane; parents are averaged. A lane evens out what lies inside it.

        A step takes its time where every condition holds in some lane. Work that is dealt out: steps of all lanes over lanes.
        """
        points, loops = self.plan.points, self.plan.points.nest.loops
        lanes = [i for i, loop in enumerate(loops) if loop.spatial and loop.level == level]
        interval = {"step": self.step, "pass": passes_of(self.plan, level), "end": np.zeros_like(self.step)}[sync]
        place = numbered(interval, points.instance(level))
        lane = numbered(place, points.code(lanes))
        inner = math.prod(points.bounds[i] for i, loop in enumerate(loops) if loop.spatial and loop.level > level)
        parents = len(np.unique(points.instance(level)))
        work = np.bincount(lane, weights=self.wanted) / inner
        of_lane = np.empty(len(work), dtype=np.int64)
        of_lane[lane] = place
        number = np.bincount(of_lane)
        if self.machine.dealt:
            return float(np.ceil(np.bincount(of_lane, weights=work) / number - 1e-9).sum()) / parents
        if sync == "step":
            met = np.ones(int(place.max()) + 1, dtype=np.bool_)
            for one in self.timed:
                met &= np.bincount(place[self.holds[one]], minlength=len(met)) > 0
            return float(met.sum()) / parents
        longest = np.zeros(int(place.max()) + 1)
        np.maximum.at(longest, of_lane, work)
        return float(longest.sum()) / parents

    @property
    def timed(self) -> tuple[int, ...]:
        """Conditions without which a compute takes no time."""
        return self.plan.compute_stages().local

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
        groups = numbered(step, parent)
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
