"""(F3) Events, split by what sparse features make of them.

An event is one access, one fill, one compute, or one entry of metadata. It is

    actual    it happens
    gated     it keeps its time but costs only what idling costs
    skipped   a feature of this link removes it, with its time
    absent    it never comes up: removed further out, or its word is not stored

and the four add up to the dense count, `total`. Which of them an event is depends on four sets of conditions, tested in this
order: O (outer links), K (this link), I (inherited from the other operands, at the compute level), G (gates). A split is kept as
`EventParts`, dense counts with the shares that survive the growing sets, or as `EventCounts`, its five numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.units import Array, Count, Share

EVENT_CLASSES = ("total", "actual", "gated", "skipped", "absent")
"""Names of the numbers of a split."""


class EventPart(NamedTuple):
    """Dense events of one kind, and the shares of them that survive growing sets of conditions."""

    count: Count
    outer: Share
    """Share that survives O."""
    local: Share
    """O and K."""
    inherited: Share
    """O, K and I."""
    gates: Share
    """O, K, I and G."""


@dataclass(frozen=True, eq=False)
class EventParts:
    """A split as the sum of its parts; each number is computed when it is first read.

    Equal sets of conditions have the identical share object, so nothing is subtracted where nothing is removed.
    """

    parts: tuple[EventPart, ...] = ()

    @cached_property
    def total(self) -> Count:
        """The dense count."""
        return ops.total(p.count for p in self.parts)

    @cached_property
    def actual(self) -> Count:
        """Events that happen."""
        return ops.total(p.count * p.gates for p in self.parts)

    @cached_property
    def gated(self) -> Count:
        """Events that keep their time but do nothing."""
        return ops.total(p.count * (p.inherited - p.gates) for p in self.parts if p.inherited is not p.gates)

    @cached_property
    def skipped(self) -> Count:
        """Events removed here, with their time."""
        return ops.total(p.count * (p.outer - p.local) for p in self.parts if p.outer is not p.local)

    @cached_property
    def absent(self) -> Count:
        """Events that never come up: removed further out, or words that are not stored."""
        return ops.total(
            p.count * ((1.0 - p.outer) + (p.local - p.inherited if p.local is not p.inherited else 0.0)) for p in self.parts
        )

    @cached_property
    def busy(self) -> Count:
        """Events that take time: actual and gated."""
        return ops.total(p.count * p.inherited for p in self.parts)

    def thinned(self, kept: Share, awake: Share) -> EventParts:
        """Of what outer conditions leave a share comes up, the rest is skipped; of that a share is not gated."""
        return EventParts(
            tuple(
                p._replace(local=p.local * kept, inherited=p.inherited * kept, gates=p.gates * kept * awake) for p in self.parts
            )
        )

    def removed(self) -> EventParts:
        """None of them ever comes up."""
        none = 0.0
        return EventParts(tuple(EventPart(p.count, none, none, none, none) for p in self.parts))

    def counts(self) -> EventCounts:
        """The five numbers, computed now."""
        return EventCounts(total=self.total, actual=self.actual, gated=self.gated, skipped=self.skipped, absent=self.absent)

    def __add__(self, other: Events) -> Events:
        if isinstance(other, EventParts):
            return EventParts(self.parts + other.parts)
        return self.counts() + other

    def __mul__(self, factor: Array) -> EventParts:
        return EventParts(tuple(p._replace(count=p.count * factor) for p in self.parts))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EventCounts:
    """A split as its five numbers; mixtures of alternatives have this form."""

    total: Count
    actual: Count
    gated: Count
    skipped: Count
    absent: Count

    @property
    def busy(self) -> Count:
        """Events that take time: actual and gated."""
        return self.actual + self.gated

    def counts(self) -> EventCounts:
        """The split itself."""
        return self

    def __add__(self, other: Events) -> EventCounts:
        more = other.counts()
        return EventCounts(
            total=self.total + more.total,
            actual=self.actual + more.actual,
            gated=self.gated + more.gated,
            skipped=self.skipped + more.skipped,
            absent=self.absent + more.absent,
        )

    def __mul__(self, factor: Array) -> EventCounts:
        return EventCounts(
            total=self.total * factor,
            actual=self.actual * factor,
            gated=self.gated * factor,
            skipped=self.skipped * factor,
            absent=self.absent * factor,
        )


Events = EventParts | EventCounts
NO_EVENTS = EventParts()


def mixed_events(mix: Callable[[Sequence[Array]], Array], splits: Sequence[Events]) -> EventCounts:
    """One split from several of the same events: `mix` makes each number from those of the splits."""
    return EventCounts(**{name: mix([getattr(split, name) for split in splits]) for name in EVENT_CLASSES})
