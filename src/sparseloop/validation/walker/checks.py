"""The conditions that sparse features attach to events, and the verdict on an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparseloop.model.design.sparse import Intersection, Saf, Sparse
from sparseloop.validation.walker.points import BoolArray, FloatArray, IntArray
from sparseloop.validation.walker.records import WalkedCounts
from sparseloop.validation.walker.residency import Deliveries, EventSet, Regions
from sparseloop.validation.walker.tensor_path import TensorPath

HoldsForSome = Callable[[int], BoolArray]
"""Condition number to "does it hold for some user", per event."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeaderCondition:
    """One leader of one feature: accesses of the follower stay only where the leader met during the stay is not all zero."""

    leader: str
    follower: str | None = None
    """None for a condition of the compute level."""
    level: int = -1
    """The level whose link to its child the feature acts on."""
    kind: str = "skip"
    intersection: Intersection = "two_finger"
    events: EventSet | None = None
    """The deliveries that are decided upon; None: every point on its own."""
    regions: Regions | None = None
    block: IntArray | None = None
    """Per point the block one access reads, if that is more than the child's tile."""

    @property
    def per_instance(self) -> bool:
        """True for a spatial skip: every child is decided upon separately."""
        return self.kind == "spatial_skip"

    def holds(self, nonzero: BoolArray) -> BoolArray:
        """Per point: is the leader met during the enclosing stay not all zero? `nonzero` is the leader's value per point."""
        if self.events is None or self.regions is None:
            return nonzero
        if self.block is not None:
            blocks = np.zeros(int(self.block.max()) + 1, dtype=np.bool_)
            blocks[self.block[nonzero]] = True
            nonzero = blocks[self.block]
        return self.regions.any(nonzero)[self.events.of_point]

    def leader_tiles(self, word: IntArray) -> IntArray:
        """Per point a number for the leader's tile read by the check; equal tiles have equal numbers."""
        if self.events is None or self.regions is None:
            return word
        number, numbers = dict[bytes, int](), list[int]()
        for region in self.regions.sets():
            seen = region if self.block is None else np.flatnonzero(np.isin(self.block, self.block[region]))
            numbers.append(number.setdefault(np.unique(word[seen]).tobytes(), len(number)))
        return np.array(numbers, dtype=np.int64)[self.regions.of_event][self.events.of_point]


def saf_conditions(sparse: Sparse, paths: Mapping[str, TensorPath], blocks: Sequence[int]) -> list[LeaderCondition]:
    """All conditions of the features of storage levels, one per leader."""
    conditions = list[LeaderCondition]()
    for saf in sparse.safs:
        if saf.choice is not None:
            raise ValueError("alternatives (`choice`) are not walked: choose one")
        path = paths[saf.follower]
        level = path.source(saf.level)
        events, regions = _decided(path.links[level], saf)
        block = None if saf.kind == "spatial_skip" else path.access_block(level, blocks[level])
        for leader in saf.leaders:
            if _ineffective(sparse, paths[leader], saf):
                continue
            conditions.append(
                LeaderCondition(
                    leader=leader,
                    follower=saf.follower,
                    level=level,
                    kind=saf.kind,
                    intersection=saf.intersection,
                    events=events,
                    regions=regions,
                    block=block,
                )
            )
    return conditions


def _decided(link: Deliveries, saf: Saf) -> tuple[EventSet, Regions]:
    """What is decided at once: the delivery to a multicast group, or to every child for a spatial skip."""
    if saf.kind == "spatial_skip":
        return link.copies, link.copy_regions()
    return link.accesses, link.access_regions()


def _ineffective(sparse: Sparse, leader: TensorPath, saf: Saf) -> bool:
    """Timeloop's reading: a spatial skip knows nothing of a leader without a format where it looks."""
    if not sparse.timeloop_reading or saf.kind != "spatial_skip":
        return False
    return sparse.format(leader.source(saf.level), leader.tensor.name) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The conditions on one kind of event, by what their failing makes of it (numbers of conditions)."""

    outer: tuple[int, ...] = ()
    local: tuple[int, ...] = ()
    inherited: tuple[int, ...] = ()
    gates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """Per event, after each stage: does it still happen?"""

    present: BoolArray
    kept: BoolArray
    wanted: BoolArray
    awake: BoolArray

    def classes(self, units: float | FloatArray = 1.0, chosen: BoolArray | None = None) -> WalkedCounts:
        """Sums the units of the chosen events by class."""
        weight = np.broadcast_to(np.asarray(units, dtype=np.float64), self.present.shape)
        if chosen is not None:
            weight = weight * chosen
        counted = [float(weight[state].sum()) for state in (self.present, self.kept, self.wanted, self.awake)]
        total = float(weight.sum())
        present, kept, wanted, awake = counted
        absent = (total - present) + (kept - wanted)
        return WalkedCounts(total=total, actual=awake, gated=wanted - awake, skipped=present - kept, absent=absent)


def judge(stages: Stages, holds: HoldsForSome, present: BoolArray) -> Verdict:
    """Puts events through the stages in the order absent, skipped, absent by inheritance, gated."""

    def also(state: BoolArray, conditions: tuple[int, ...]) -> BoolArray:
        for number in conditions:
            state = state & holds(number)
        return state

    here = also(present, stages.outer)
    kept = also(here, stages.local)
    wanted = also(kept, stages.inherited)
    return Verdict(present=here, kept=kept, wanted=wanted, awake=also(wanted, stages.gates))
