"""Counts the events of a plan for given tensors."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence

import numpy as np

from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.design.sparse import Sparse
from sparseloop.validation.walker.checks import judge
from sparseloop.validation.walker.draw import Draw
from sparseloop.validation.walker.loads import LoadClock
from sparseloop.validation.walker.merging import mean_passes
from sparseloop.validation.walker.packing import Clock, passes_of
from sparseloop.validation.walker.partials import PartialSums
from sparseloop.validation.walker.plan import EventPlan
from sparseloop.validation.walker.points import BoolArray, IntArray
from sparseloop.validation.walker.records import Machine, Waits, Walk
from sparseloop.validation.walker.tensor_path import any_alike


class Walker:
    """Executes one mapped, sparse einsum; `blocks` are the words per access of every storage level, outermost first."""

    def __init__(
        self,
        einsum: Einsum,
        blocks: Sequence[int],
        mapping: Mapping,
        sparse: Sparse,
        machine: Machine | None = None,
    ) -> None:
        self.plan = EventPlan(einsum, blocks, mapping, sparse)
        self.machine = machine or Machine()

    def walk(self, data: MappingOf[str, BoolArray]) -> Walk:
        """Counts everything for given non-zero patterns (boolean arrays of the tensors' true extents, else bounding shapes).

        A result without a pattern is made: its word is non-zero where at some point all operands are, from then on. One with a
        pattern has it from the beginning, whatever its operands are.
        """
        plan = self.plan
        nonzero = {n: self._used(data, n) & plan.paths[n].inside for n in plan.paths if n in data}
        contributes = self._contributing(nonzero)
        sums = self._made(nonzero, contributes)
        draw = Draw(
            plan=plan,
            machine=self.machine,
            nonzero=nonzero,
            holds=[c.holds(nonzero[c.leader]) for c in plan.conditions],
            sums=sums,
        )
        lane, step = plan.points.instance(plan.compute), plan.points.step(plan.compute)
        lane = np.unique(lane, return_inverse=True)[1]
        stages = plan.compute_stages()
        verdict = judge(stages, draw.holds.__getitem__, np.ones(len(lane), dtype=np.bool_))
        clock = Clock(plan, self.machine, draw.holds, verdict.wanted)
        return Walk(
            tensors={(level, name): draw.tensor(level, name) for level, name in plan.stages},
            computes=verdict.classes(),
            cycles=float(np.bincount(lane).max()),
            compute_cycles=clock.cycles(),
            instances=tuple(len(np.unique(plan.points.instance(level))) for level in range(plan.compute)),
            lane_work=tuple(np.bincount(lane, weights=verdict.wanted).tolist()),
            waits={level: _waits(draw, level) for level in self.machine.serial},
            skews={at: _skew(draw, at, clock.turns(at)) for at in {*self.machine.systolic, *self.machine.latency}},
            passes={at: mean_passes(plan, at, radix, contributes) for at, radix in self.machine.radix.items()},
            lockstep_cycles=_steps_where_all([draw.holds[n] for n in stages.local], step),
        )

    def _contributing(self, nonzero: dict[str, BoolArray]) -> BoolArray:
        """Per point: are all operands non-zero there?"""
        contributes = self.plan.paths[self.plan.einsum.tensors[-1].name].inside.copy()
        for name in self.plan.inputs:
            contributes &= nonzero[name]
        return contributes

    def _made(self, nonzero: dict[str, BoolArray], contributes: BoolArray) -> PartialSums | None:
        """The partial sums of a result without a pattern, which is added to `nonzero`; None if it has one."""
        plan = self.plan
        output = plan.einsum.tensors[-1].name
        if output in nonzero:
            return None
        nonzero[output] = any_alike(plan.paths[output].word, contributes)
        return PartialSums(plan, contributes)

    def _used(self, data: MappingOf[str, BoolArray], name: str) -> BoolArray:
        """Per point: is the word used there non-zero? Padding is to be masked out. Checks the shape."""
        points = self.plan.points
        tensor = points.einsum.tensor(name)
        pattern, shape = np.asarray(data[name], dtype=np.bool_), points.einsum.true_shape(tensor)
        if pattern.shape != shape:
            raise ValueError(f"{name} has shape {shape}, got {pattern.shape}")
        return pattern[points.true_word(tensor)]


def _waits(draw: Draw, level: int) -> Waits:
    clock = LoadClock(draw, level, draw.machine.serial[level])
    return Waits(loads=clock.loads(), drains=clock.drains())


def _skew(draw: Draw, level: int, turns: float) -> float:
    """Cycles after which the farthest child starts, for every pass that refills the array, and every turn of its positions."""
    points, extents, machine = draw.plan.points, {"x": 1, "y": 1}, draw.machine
    for loop, bound in zip(points.nest.loops, points.bounds, strict=True):
        if loop.level == level and loop.axis is not None:
            extents[loop.axis] *= bound
    each = machine.latency.get(level, 0.0)
    if level in machine.systolic:
        each += extents["x"] - 1 + extents["y"] - 1
    return each * len(np.unique(passes_of(draw.plan, level))) * turns


def _steps_where_all(conditions: list[BoolArray], step: IntArray) -> float:
    """Number of temporal steps in which every condition holds in some lane."""
    exists = np.bincount(step) > 0
    for holds in conditions:
        exists = exists & (np.bincount(step[holds], minlength=len(exists)) > 0)
    return float(exists.sum())
