"""Sparse acceleration features: formats per rank, gating, skipping, and the intersection units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FormatKind = Literal["U", "UB", "B", "CP", "RLE", "UOP"]
SafKind = Literal["skip", "gate", "spatial_skip"]
Intersection = Literal["two_finger", "leader_follower", "skip_ahead"]
Partials = Literal["whole", "changed", "add"]
"""What a copy of a compressed result does: it is filled with what is there and returns all of it, or only the words it added to;
or it starts empty and its parent adds what returns."""

COMPRESSED_KINDS = frozenset({"B", "CP", "RLE"})
BITMAP_KINDS = frozenset({"B", "UB"})
"""An entry is one bit unless a width is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafRule:
    """What a kind of feature does with an event whose leaders' tiles are all zero."""

    saves_time: bool
    """True: the event takes no time either. False: it keeps its time (gated)."""
    packs: bool = False
    """True: spatial positions that are dropped are taken by others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntersectionRule:
    """How a kind of unit finds out whether a leader's tile is all zero."""

    compares: bool
    """True: it compares the coordinates of two lists, one comparison per access. False: it looks the leader's up."""
    jumps: bool = False
    """True: entries of a list between two coordinates of the other one are passed over."""


SAF_RULES: Mapping[SafKind, SafRule] = {
    "skip": SafRule(saves_time=True),
    "spatial_skip": SafRule(saves_time=True, packs=True),
    "gate": SafRule(saves_time=False),
}
INTERSECTION_RULES: Mapping[Intersection, IntersectionRule] = {
    "two_finger": IntersectionRule(compares=True),
    "skip_ahead": IntersectionRule(compares=True, jumps=True),
    "leader_follower": IntersectionRule(compares=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankFormat:
    """How one rank of a tile is stored (the fibertree rank formats of Sparseloop, MICRO'22 section 3)."""

    kind: FormatKind
    groups: tuple[tuple[str, ...], ...] = ()
    """Flattened ranks: the rank takes consecutive loops over the rank variables of one group. Empty: one loop."""
    metadata_bits: float | None = None
    """Width of a coordinate entry; None: 1 for B and UB, else the level's metadata word width."""
    payload_bits: float | None = None
    """Width of a payload entry; None: the level's metadata word width."""

    @property
    def compressed(self) -> bool:
        """True if zeros are not stored (B, CP, RLE)."""
        return self.kind in COMPRESSED_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFormat:
    """The rank formats of one tensor at one level, outermost rank first."""

    ranks: tuple[RankFormat, ...]
    order: Literal["outer_to_inner", "inner_to_outer"] = "outer_to_inner"
    automatic: bool = True
    """True: the outermost format is repeated for loops left over (native). False: loops left over make the
    mapping invalid (Timeloop's files)."""

    @property
    def compressed(self) -> bool:
        """True iff some rank is B, CP or RLE: zeros are neither stored nor moved nor read."""
        return any(r.compressed for r in self.ranks)

    @property
    def has_metadata(self) -> bool:
        """True iff some rank is other than U."""
        return any(r.kind != "U" for r in self.ranks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saf:
    """One gating or skipping feature: at `level`, accesses of `follower` are removed when a leader's tile is empty.

    It fires if for at least one leader all of the leader's elements met during the stay are zero.
    """

    kind: SafKind
    level: int
    """Index of the storage level, 0 = outermost."""
    follower: str
    leaders: tuple[str, ...]
    intersection: Intersection = "two_finger"
    choice: int | None = None
    """SAFs with the same number are alternatives ('options'): the one that saves most energy is taken."""

    @property
    def saves_time(self) -> bool:
        """True if an event that it removes takes no time."""
        return SAF_RULES[self.kind].saves_time

    @property
    def packs(self) -> bool:
        """True if positions that it drops are taken by others."""
        return SAF_RULES[self.kind].packs

    @property
    def compares(self) -> bool:
        """True if its unit compares two lists: skips with a leader other than the follower itself."""
        return self.saves_time and INTERSECTION_RULES[self.intersection].compares and bool(set(self.leaders) - {self.follower})

    @property
    def looks_up(self) -> bool:
        """True if its unit looks an element of the leader up instead of comparing lists."""
        return not INTERSECTION_RULES[self.intersection].compares

    @property
    def jumps(self) -> bool:
        """True if its unit passes over entries."""
        return INTERSECTION_RULES[self.intersection].jumps


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """All sparse features of a design."""

    formats: Mapping[tuple[int, str], TensorFormat]
    """(storage level, tensor name) to format; a missing entry means uncompressed without metadata."""
    safs: tuple[Saf, ...] = ()
    compute_skip: bool = False
    compute_gate: bool = False
    partials: Mapping[int, Partials] = field(default_factory=dict[int, Partials])
    """Storage level to what copies of its compressed results further in do; missing: whole."""
    implied_skips: bool = True
    """True (native): a skipped cycle has no accesses. False: Timeloop's files, read literally."""
    timeloop_reading: bool = False
    """True for Timeloop's files: a skip leader without metadata is a warning instead of an error, and a spatial
    skip whose leader has no format at the first level at or outside the SAF keeping it has no effect."""

    def packs(self, level: int) -> bool:
        """True if a spatial skip packs the positions below this level onto fewer instances."""
        return any(saf.packs and saf.level == level for saf in self.safs)

    def format(self, level: int, tensor: str) -> TensorFormat | None:
        """The format of `tensor` at storage level `level`, or None."""
        return self.formats.get((level, tensor))
