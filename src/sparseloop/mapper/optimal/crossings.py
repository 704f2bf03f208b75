"""The records of what crosses a boundary, of what is chosen at a level, and of what both cost.

Data: every array has one entry per column, a column being a tile inside a level with a choice of spatial factors and temporal
factors of the level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from sparseloop.mapper.optimal.quantities import Cycles, Energy, Floats, Ints, Share, TileNumbers, Words
from sparseloop.mapper.space.loop_orders import Signature


@dataclass(frozen=True, slots=True)
class Crossing:
    """One tensor that crosses one boundary: what a dense word costs at least, before its conditions on tiles are counted.

    Energies are in pJ per dense word of the event (`LeastEvent`), with the share of words that are stored.
    """

    tensor: int
    parent: int
    child: int
    charged: int
    """The level with whose factors its cost is known."""
    output: bool
    plain: bool
    """The tensor has no halos: every axis is one rank."""
    reads: float
    updates: float
    fills: float
    entries: float
    """Of metadata that zeros have, too (bits of a mask)."""
    leaders: tuple[int, ...]
    """Tensors whose tile must not be empty: conditions of the features on this and the outer links."""
    timed_leaders: tuple[int, ...]
    """Those of skipping features: an access that is only gated still takes time."""
    read_words: float
    """Words of the parent's bandwidth per dense read."""
    update_words: float
    """The same per dense update."""
    fill_words: float
    """Words of the child's bandwidth per dense fill."""
    sharing: float
    """Most children that share a word of the parent, along spatial loops of bypassed levels in between."""
    spread: float
    """Most copies of the tensor at instances of the parent."""
    whole: float
    """|T|: words of the whole tensor."""
    comparisons: float
    """Of an intersection unit per dense access: it also looks at what its own leaders remove."""
    forwarded: bool
    """A mesh neighbour may pass on words of a sliding window, so the parent may be spared any number of reads."""
    uneven: bool
    """Of a result: padding of it, or of what leads, falls on other touches than the first, which are no reads."""
    known_leader: bool
    """A leader's zeros are known: first touches may fall where it has fewer than elsewhere."""
    stored: float
    """Share of the words that is stored at the parent and so is on the networks."""
    wired: bool
    """Its words cost something on some network."""
    both_ways: bool
    """Partial sums that the parent cannot add travel down, too, and none are added on the way."""

    def __hash__(self) -> int:
        return hash((self.tensor, self.parent, self.child))


AxisSplits = tuple[tuple[tuple[int, ...], ...], ...]
"""Ways to lay the spatial factors of a level on the axes of its mesh: per way and rank the factors along the axes."""


@dataclass(frozen=True, slots=True)
class SpatialChoices:
    """The spatial factors of one level; arrays of shape (choices, ...)."""

    factors: Ints
    """Shape (choices, ranks)."""
    lanes: Ints
    """Product of the factors."""
    ways: Floats
    """In how many ways the axes give the factors."""
    splits: tuple[AxisSplits, ...]
    """Per choice those ways that may be best."""
    hops: Floats
    """Least mean hops of a word of every tensor on the level's network, shape (tensors, choices)."""

    def rows(self, at: Ints) -> SpatialChoices:
        """The choices `at`, each as often as it is named."""
        splits = tuple(self.splits[int(i)] for i in cast("Any", at))
        return SpatialChoices(self.factors[at], self.lanes[at], self.ways[at], splits, self.hops[:, at])


@dataclass(frozen=True, slots=True)
class WaitingCrossing:
    """What a crossing carries while it waits."""

    arriving: Words
    """Words that arrive at the children in every pass of the loops outside."""
    accesses: Words
    """Accesses of the parent in every such pass, where lanes share words."""
    alive: Share
    """Share of the accesses that happen."""
    busy: Share
    """Share of the accesses that take bandwidth: gated ones do, too."""
    nonempty: Share
    """Share of the tiles that are not empty and survive: only they have bits of a mask."""
    wires: Energy
    """On the networks passed so far, for the words of every such pass."""

    def rows(self, at: Ints) -> WaitingCrossing:
        """The entries `at` of every array."""
        shares = self.alive[at], self.busy[at], self.nonempty[at]
        return WaitingCrossing(self.arriving[at], self.accesses[at], *shares, self.wires[at])


Waiting = dict[Crossing, WaitingCrossing]


@dataclass(frozen=True, slots=True)
class CrossingCost:
    """What a crossing costs."""

    crossing: Crossing
    energy: Energy
    busy: Share | float
    """Share of the words that takes bandwidth."""
    read: Words | float = 0.0
    """From the parent."""
    updated: Words | float = 0.0
    """At the parent."""
    filled: Words | float = 0.0
    """Into the child."""


@dataclass(frozen=True, slots=True)
class Load:
    """The sum of some crossings."""

    energy: Energy
    reads: dict[int, Words | float]
    """Bandwidth words read, by level."""
    writes: dict[int, Words | float]
    """Bandwidth words written, by level."""


@dataclass(frozen=True, slots=True)
class ClassCost:
    """What a level costs at least under the orders of one class."""

    signature: Signature
    energy: Energy
    cycles: Cycles


@dataclass(frozen=True, slots=True)
class Columns:
    """Tiles with spatial and temporal factors; one entry each."""

    tiles: TileNumbers
    spatial: Ints
    factors: Floats
    left: Floats
    """Tiles inside the level in the whole shape."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The loops of a level (bits) inside two loops, as in a `Signature`."""

    settled: int
    """Inside the innermost one that moves the tile for good."""
    moved: int
    """Inside the innermost one that moves it at all."""


@dataclass(frozen=True, slots=True)
class CrossingTables:
    """Of a crossing, by tile of the child."""

    size: Words
    alive: Share
    busy: Share
    nonempty: Share


@dataclass(frozen=True, slots=True)
class Sharing:
    """What may be known of the spatial factors of a level beside the factors themselves."""

    shares: Floats
    """How many lanes may share a word of every tensor, shape (choices, tensors)."""
    wires: dict[Crossing, Floats]
    """As in `LevelBound`: the least of all factors with these shares."""
