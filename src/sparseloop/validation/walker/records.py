"""What a walk reports: counts by class, summed over all instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkedCounts:
    """EventSet of one kind by what became of them; the four classes sum to `total`, the dense count."""

    total: float = 0.0
    actual: float = 0.0
    gated: float = 0.0
    skipped: float = 0.0
    absent: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Words per cycle of one instance; None: unlimited."""

    read: float | None = None
    write: float | None = None
    shared: float | None = None

    def cycles(self, reads: float, writes: float) -> float:
        """Time that so many words take."""
        rates = ((reads, self.read), (writes, self.write), (reads + writes, self.shared))
        return max((words / rate for words, rate in rates if rate is not None), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What limits a machine besides its mapping; what is not named has room for everything."""

    lanes: Mapping[int, int] = field(default_factory=dict[int, int])
    """Storage level to the instances below one parent, where a spatial skip packs positions onto them."""
    waves: frozenset[int] = frozenset()
    """Those of them that pack anew in every step."""
    rooms: Mapping[tuple[int, str], float] = field(default_factory=dict[tuple[int, str], float])
    """(level, tensor) to the words of it that the level can hold; more than that is streamed at each use."""
    sync: Mapping[int, Literal["step", "pass", "end"]] = field(default_factory=dict[int, Literal["step", "pass", "end"]])
    """Level to when the lanes below it wait for each other; at most one. Without it all lanes even out."""
    dealt: bool = False
    """The work between two waits is dealt out in whole units."""
    serial: Mapping[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])
    """Level to the tensors whose tile is there before work on it starts."""
    systolic: frozenset[int] = frozenset()
    """Levels whose network passes words on from neighbour to neighbour, so that the farthest child starts last."""
    latency: Mapping[int, float] = field(default_factory=dict[int, float])
    """Level to the cycles that words take to its children whenever these are filled again."""
    radix: Mapping[int, int] = field(default_factory=dict[int, int])
    """Level that keeps the result to the lists that its mergers take at once."""
    ports: Mapping[int, Ports] = field(default_factory=dict[int, Ports])
    entries: Mapping[tuple[int, str], tuple[tuple[float, float], ...]] = field(
        default_factory=dict[tuple[int, str], tuple[tuple[float, float], ...]]
    )
    """(level, tensor) to the words that an entry and a payload of each rank take, outermost first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Cycles for which the instances of a level wait: while tiles are loaded, and while results are drained."""

    loads: float
    drains: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankUnits:
    """Entries of one format rank: metadata units (coordinates, bits) and payload units (offsets) apart."""

    metadata: WalkedCounts
    payload: WalkedCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """Accesses of whole blocks that actual words cost at a level.

    Consecutive words of one delivery, to all children of an instance in one step, share blocks; at the compute link the
    consecutive reads, and updates, of one instance.
    """

    reads: float
    fills: float
    updates: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """Words that a level holds in its visits (the steps of one instance), and those beyond its room, summed over all visits."""

    held: float = 0.0
    excess: float = 0.0
    """Held, but for want of room to be streamed at each use."""
    arriving: float = 0.0
    """Those of them that arrive in this visit, so that one use is served by what fills the level anyway."""
    departing: float = 0.0
    """Of a result those whose stay ends in this visit, so that they return anyway."""

    def streamed(self, uses: float) -> float:
        """Words that come besides those that fill the level; `uses`: how often a word is used in a visit."""
        return max(0.0, self.excess * uses - self.arriving)

    def returned(self, uses: float) -> float:
        """Words of a result that go back besides those that return in the end; `uses`: additions to a word in a visit."""
        return max(0.0, self.excess * uses - self.departing)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkedTensor:
    """Everything counted for one tensor at one storage level that keeps it."""

    reads: WalkedCounts
    fills: WalkedCounts
    updates: WalkedCounts
    metadata_reads: tuple[RankUnits, ...]
    """One entry per format rank, outermost first (automatically repeated ranks included)."""
    metadata_fills: tuple[RankUnits, ...]
    metadata_updates: tuple[RankUnits, ...]
    decompress: float
    """Words written here by a decompressor."""
    compress: float
    """Words written here by a compressor."""
    accesses: Accesses
    beyond: tuple[Beyond, Beyond]
    """Words beyond the room of the level: as its parent reads them, once for instances that hold the same, and as filled."""
    held: tuple[float, float]
    """Words stored in one instance: mean and largest of all instances and steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The counts of one walk over one draw of the tensors."""

    tensors: Mapping[tuple[int, str], WalkedTensor]
    """(storage level, tensor it keeps) to its counts."""
    computes: WalkedCounts
    cycles: float
    """Existing temporal steps of the busiest lane, all checks ignored."""
    compute_cycles: float
    """Time of the computes that keep their slot, see `packing.Clock`."""
    instances: tuple[int, ...]
    """Instances of every storage level that ever work, all checks ignored."""
    lane_work: tuple[float, ...]
    """Actual and gated computes of every lane (compute instance that ever works)."""
    waits: Mapping[int, Waits]
    """Of the levels with tensors that are loaded before work on them starts."""
    skews: Mapping[int, float]
    """Systolic levels to the cycles for which their children wait until the array is full again."""
    passes: Mapping[int, float]
    """Levels with mergers to how often a word that arrives there passes them, the mean over words with a contribution."""
    lockstep_cycles: float
    """Temporal steps in which every skip condition holds in some lane."""
