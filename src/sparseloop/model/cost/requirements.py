"""What a valid mapping must respect, as one list; flags, sentences, distances and pruning are views of it.

    kind         level of            subject   needed                       available
    factors      -                   rank      product of its loop bounds   its size (they must be equal)
    fanout       the parent          axis      positions of the loops       instances along the axis
    capacity     the storage level   -         words the fit test counts    its capacity
    utilization  the storage level   -         least share * its capacity   words the fit test counts
    metadata     the storage level   -         bits the fit test counts     its metadata capacity
    format       the parent          tensor    True if it cannot be laid on the loops       False
    conversion   the parent          tensor    True if the child cannot (de)compress it     False
    parallelism  -                   -         least share of the compute instances         share in use

One rule decides: what must be equal is compared exactly, every other need may exceed what is available by rounding errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sparseloop.model import ops
from sparseloop.model.design.arch import Level
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import LinkSparse, SparseTraffic
from sparseloop.model.status import Status
from sparseloop.model.traffic.dense import Traffic
from sparseloop.model.units import Array, Count, Flag, Share

TOLERANCE = 1e-12
"""Relative rounding error that sums of words, bits and shares may have."""

Kind = Literal["factors", "fanout", "capacity", "utilization", "metadata", "format", "conversion", "parallelism"]
FLAGS: dict[Kind, Status] = {
    "factors": Status.BAD_FACTORS,
    "fanout": Status.OVER_FANOUT,
    "capacity": Status.OVER_CAPACITY,
    "metadata": Status.OVER_CAPACITY,
    "utilization": Status.UNDER_UTILIZED,
    "parallelism": Status.UNDER_UTILIZED,
    "format": Status.NO_SUCH_PATH,
    "conversion": Status.NO_SUCH_PATH,
}
EXACT = frozenset({"factors", "format", "conversion"})
"""Kinds that hold or do not hold; of the others a mapping can be more or less far away."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one tensor contributes to a need, in words or bits."""

    tensor: str
    amount: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One need that must not exceed what is available (or must equal it: EXACT), for every mapping of the batch."""

    kind: Kind
    level: int | None = None
    subject: str = ""
    needed: Array
    available: Array
    demands: tuple[Demand, ...] = ()
    """What the words or bits in question are made of."""

    def at(self, place: int) -> Requirement:
        """That of one mapping of the batch."""
        demands = tuple(Demand(one.tensor, ops.entry(one.amount, place)) for one in self.demands)
        return replace(self, needed=ops.entry(self.needed, place), available=ops.entry(self.available, place), demands=demands)

    @property
    def flag(self) -> Status:
        """The status flag of a mapping that does not respect it."""
        return FLAGS[self.kind]

    @property
    def exact(self) -> bool:
        """True if it holds or does not hold, without a distance."""
        return self.kind in EXACT

    @property
    def violated(self) -> Flag:
        """True where it is not respected."""
        return self.needed != self.available if self.exact else self.needed > self.available * (1 + TOLERANCE)


def status_of(requirements: Iterable[Requirement]) -> Count:
    """The flags of all requirements that are not respected, as integers; 0 = valid."""
    flags: Count = 0
    for one in requirements:
        if (violated := one.violated) is not False:
            flags = flags | ops.zero_unless(violated, int(one.flag))
    return flags


def requirements(plan: Plan, dense: Traffic, sparse: SparseTraffic) -> Iterator[Requirement]:
    """Everything a mapping must respect under its plan; what searches ask for besides is theirs to add."""
    if dense.perfect:
        yield from _factors(plan, dense)
    for level, spec in enumerate(plan.arch.storage):
        kept = sparse.links_from(level)
        if kept:
            yield from data_requirements(level, spec, [Demand(k.dense.link.name, k.resident.level_words) for k in kept])
            yield from _metadata(level, spec, kept)
        if not plan.sparse.packs(level):
            yield from _fanout(plan, dense, level)
    for k in sparse.links:
        yield from _formats(plan, k)


def data_requirements(level: int, spec: Level, demands: Sequence[Demand]) -> Iterator[Requirement]:
    """Room and use of a storage level, for the words that its fit test counts of each tensor."""
    if spec.capacity_words is None:
        return
    words = ops.total(one.amount for one in demands)
    every = tuple(demands)
    yield Requirement(kind="capacity", level=level, needed=words, available=spec.capacity_words, demands=every)
    if spec.min_utilization:
        least = spec.capacity_words * spec.min_utilization
        yield Requirement(kind="utilization", level=level, needed=least, available=words, demands=every)


def parallelism(wanted: float, used: Share) -> Requirement:
    """At least this share of the compute instances works."""
    return Requirement(kind="parallelism", needed=wanted, available=used)


def _factors(plan: Plan, dense: Traffic) -> Iterator[Requirement]:
    for rank, size in zip(plan.einsum.ranks, plan.einsum.shape, strict=True):
        slots = [i for i, loop in enumerate(plan.loops) if loop.rank == rank]
        yield Requirement(kind="factors", subject=rank, needed=dense.tiles.product(slots), available=size)


def _fanout(plan: Plan, dense: Traffic, level: int) -> Iterator[Requirement]:
    for axis, limit in zip("xy", plan.arch.fanout(level), strict=True):
        if slots := plan.along(level, axis):
            yield Requirement(kind="fanout", level=level, subject=axis, needed=dense.tiles.product(slots), available=limit)


def _metadata(level: int, spec: Level, kept: Sequence[LinkSparse]) -> Iterator[Requirement]:
    if spec.metadata_capacity_bits is not None:
        demands = tuple(Demand(k.dense.link.name, k.resident.metadata_bits_counted) for k in kept)
        bits = ops.total(one.amount for one in demands)
        yield Requirement(kind="metadata", level=level, needed=bits, available=spec.metadata_capacity_bits, demands=demands)


def _formats(plan: Plan, k: LinkSparse) -> Iterator[Requirement]:
    link = k.dense.link
    yield Requirement(kind="format", level=link.parent, subject=link.name, needed=k.misfit, available=False)
    if link.compressed and not link.child_compressed and not link.to_compute:
        child = plan.arch.levels[link.child]
        able = child.decompression and (child.compression or not link.output)
        yield Requirement(kind="conversion", level=link.parent, subject=link.name, needed=not able, available=False)
