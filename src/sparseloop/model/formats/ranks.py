"""The ranks of a format on their loops: fiber lengths, and the conditions under which metadata exist.

A format is a tree of fibers (fibertree): a rank is a level of the tree, a fiber has one position for every step of the rank's
loops, a position leads to a fiber of the next rank or to the data. Units per position of a rank, as conditions on the tensor
itself (`position`: the tile of one position, `fiber`: of all positions of the fiber):

    CP, RLE   one entry and one payload if `position` is non-empty
    B         one bit if `fiber`, one payload if `position` is non-empty
    UOP       (1 + 1/F) payloads if `fiber` is non-empty (F = fiber length)
    UB        one bit and one payload, always
    U         nothing

The payload of the innermost rank that has loops is the data itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.design.sparse import BITMAP_KINDS, FormatKind, RankFormat, TensorFormat
from sparseloop.model.formats.layout import Layout, Masks, RankLoops, any_of, lay_out
from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparsity.emptiness import NONE, Condition, Conditions, tile_condition
from sparseloop.model.traffic.tiles import Tiles
from sparseloop.model.units import Count, Flag


class Units(NamedTuple):
    """Entries, or payloads, of a rank."""

    per_position: Count
    exist: Conditions
    """They exist if these hold."""
    true: Condition | None = None
    """Of padded tensors the tile that must have a word: what lies in the padding has no units."""


class Offsets(NamedTuple):
    """Offsets of a rank of a padded tensor: one per true position, and one more per fiber, spread over all its positions."""

    inner: Units
    last: Units


class StoredUnits(NamedTuple):
    """What a rank stores; None: nothing of the kind."""

    entries: Units | None
    payloads: Units | Offsets | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankOnLoops:
    """A rank on loops it may take, with its numbers."""

    name: str
    """Different for every rank of every tensor at every level."""
    number: int
    """Index in the list of formats, 0 = outermost."""
    format: RankFormat
    inner: bool
    """It travels with a delivery of the child's tile; else the level walks it."""
    masks: Masks
    """The loops; for a single loop True: what follows holds where the rank takes it."""
    span: tuple[int, int] | None
    """First and last+1 slot if the rank takes every loop of the tensor between."""
    has_loops: Flag
    innermost: Flag
    """No loop of the tensor lies inside: its positions lead to the data."""
    length: Count
    """F: fiber length."""
    padded: bool
    """Some positions may lie in the padding."""
    position: Condition
    """The tile of one position is not empty."""
    fiber: Condition
    """The tile of a whole fiber is not empty."""


class FormatRanks:
    """The ranks of all tensors at all levels on their loops, for one batch."""

    def __init__(self, tiles: Tiles) -> None:
        self.plan: Plan = tiles.plan
        self.tiles = tiles
        self.layouts: dict[int, Layout | None] = {}
        """By link; None where the parent has no format for the tensor."""
        self._ranks: dict[int, list[RankOnLoops]] = {}
        for link in reversed(self.plan.links):
            child = None if link.to_compute else self.plan.link_of[link.child, link.tensor]
            self.layouts[link.index] = lay_out(tiles, link, None if child is None else self.layouts[child.index])

    @classmethod
    def of(cls, tiles: Tiles) -> FormatRanks:
        """Those of a batch, made once."""
        return tiles.once("format ranks", lambda: cls(tiles))

    def at(self, link: Link) -> list[RankOnLoops]:
        """The ranks of a tensor at the link's parent."""
        if link.index not in self._ranks:
            layout = self.layouts[link.index]
            assert layout is not None
            self._ranks[link.index] = [
                rank for at, loops in enumerate(layout.ranks) for rank in self._on_loops(link, layout, loops, at)
            ]
        return self._ranks[link.index]

    def _on_loops(self, link: Link, layout: Layout, loops: RankLoops, at: int) -> list[RankOnLoops]:
        if loops.span is not None:
            return [self._spanning(link, layout, loops, at)]
        if loops.slot is not None and not layout.absorbed:
            return self._single(link, layout, loops, at)
        return [self._flattened(link, layout, loops, at)]

    def _single(self, link: Link, layout: Layout, loops: RankLoops, at: int) -> list[RankOnLoops]:
        """A rank of one loop; at the compute link apart for "it is the innermost one" and "it is not"."""
        slot = loops.slot
        assert slot is not None
        mask = loops.masks[slot]
        inside = [s for s in sorted(link.relevant) if s > slot]
        alone: Flag = True
        for s in inside:
            alone = ops.both(alone, self.tiles.bounds[s] == 1)

        def rank(has_loops: Flag, innermost: Flag, variant: str) -> RankOnLoops:
            return RankOnLoops(
                name=f"{link.index}:{at}{variant}",
                number=loops.rank,
                format=layout.format.ranks[loops.rank],
                inner=loops.inner,
                masks={slot: True},
                span=None,
                has_loops=has_loops,
                innermost=innermost,
                length=self.tiles.bounds[slot],
                padded=self.plan.padded[link.tensor],
                position=self._condition(link, inside),
                fiber=self._condition(link, [slot, *inside]),
            )

        if not link.to_compute or isinstance(alone, bool):
            return [rank(mask, ops.both(mask, alone) if alone is not True else True, "")]
        return [
            rank(ops.both(mask, alone), True, "i"),
            rank(ops.both(mask, ops.negate(alone)), False, "o"),
        ]

    def _spanning(self, link: Link, layout: Layout, loops: RankLoops, at: int) -> RankOnLoops:
        """A rank that takes every loop of the tensor in a range of slots."""
        assert loops.span is not None
        start, stop = loops.span
        own = [s for s in sorted(link.relevant) if start <= s < stop]
        inside = [s for s in sorted(link.relevant) if s >= stop]
        length = self.tiles.product(own)
        return RankOnLoops(
            name=f"{link.index}:{at}",
            number=loops.rank,
            format=layout.format.ranks[loops.rank],
            inner=loops.inner,
            masks=loops.masks,
            span=loops.span,
            has_loops=length > 1,
            innermost=self.tiles.product(inside) == 1 if inside else True,
            length=length,
            padded=self.plan.padded[link.tensor],
            position=self._condition(link, inside),
            fiber=self._condition(link, [*own, *inside]),
        )

    def _condition(self, link: Link, slots: list[int]) -> Condition:
        return tile_condition(self.tiles, link.tensor, self.tiles.covering(slots))

    def _flattened(self, link: Link, layout: Layout, loops: RankLoops, at: int) -> RankOnLoops:
        """A rank of several loops, or of loops merged with the child's."""
        has_loops = any_of(loops.masks)
        deeper: Flag = False
        for other in layout.ranks[at + 1 :]:
            deeper = ops.either(deeper, any_of(other.masks))
        name = f"{link.index}:{at}"
        return RankOnLoops(
            name=name,
            number=loops.rank,
            format=layout.format.ranks[loops.rank],
            inner=loops.inner,
            masks=loops.masks,
            span=None,
            has_loops=has_loops,
            innermost=ops.both(has_loops, ops.negate(deeper)),
            length=ops.product(ops.one_unless(m, layout.bounds[s]) for s, m in loops.masks.items()),
            padded=self.plan.padded[link.tensor],
            position=self._tile(link, f"position{name}", loops.masks, with_loops=False),
            fiber=self._tile(link, f"fiber{name}", loops.masks, with_loops=True),
        )

    def _tile(self, link: Link, name: str, masks: Masks, with_loops: bool) -> Condition:
        """Non-emptiness of one position (or of one fiber) of a rank."""
        layout = self.layouts[link.index]
        assert layout is not None
        start = self.plan.starts[link.parent]
        counts: dict[int, Count] = {}
        reached: Flag = False
        for slot in range(len(self.tiles.bounds) - 1, start - 1, -1):
            own = masks.get(slot, False)
            reached = ops.either(reached, own)
            if slot not in link.relevant:
                continue
            outside = ops.both(reached, ops.negate(own)) if with_loops else reached
            counts[slot] = ops.one_unless(ops.negate(outside), self.tiles.bounds[slot])
        if layout.absorbed:
            self._uncover_merged(link, layout, counts)
        return tile_condition(self.tiles, link.tensor, self.tiles.partial_cover(name, counts))

    def _uncover_merged(self, link: Link, layout: Layout, counts: dict[int, Count]) -> None:
        """Loops of the child lie where the own loop lies that absorbed them: fixed if that one is."""
        plan = self.plan
        for slot in [s for s in counts if s >= plan.starts[link.child]]:
            fixed: Flag = False
            for own, holds in layout.holders.items():
                if own < slot and plan.loops[own].rank == plan.loops[slot].rank:
                    here = ops.both(self.tiles.bounds[own] > 1, counts[own] == 1)
                    fixed = ops.either(fixed, ops.both(holds, here))
            counts[slot] = ops.one_unless(ops.negate(fixed), counts[slot])


def rank_units(rank: RankOnLoops) -> StoredUnits:
    """Entries and payloads per position; see the top of this module."""
    there = ops.zero_unless(rank.has_loops, 1.0)
    payload: Count = 0.0
    if rank.innermost is not True:
        payload = ops.zero_unless(ops.both(rank.has_loops, ops.negate(rank.innermost)), 1.0)
    true = rank.position if rank.padded else None
    to_data, position, fiber = rank.innermost is True, frozenset({rank.position}), frozenset({rank.fiber})
    match rank.format.kind:
        case "CP" | "RLE":
            return StoredUnits(Units(there, position, true), None if to_data else Units(payload, position, true))
        case "B":
            return StoredUnits(Units(there, fiber, true), None if to_data else Units(payload, position, true))
        case "UOP":
            if true is not None and not to_data:
                last = Units(payload / rank.length, fiber, rank.fiber)
                return StoredUnits(None, Offsets(Units(payload, fiber, true), last))
            return StoredUnits(None, None if to_data else Units(payload * (1.0 + 1.0 / rank.length), fiber))
        case "UB":
            return StoredUnits(Units(there, NONE, true), None if to_data else Units(payload, NONE, true))
        case "U":
            return StoredUnits(None, None)


# --- bounds -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastUnits:
    """Entries that a rank has at least, if it is the only one of its format."""

    per_word: float
    """For every word that is not zero."""
    zeros_too: bool = False
    """Zeros have as many, as long as their fiber is not empty."""


def least_units(kind: FormatKind) -> LeastUnits:
    """Beside `rank_units`: of a single rank, `position` is one word, and a word that is not zero makes `fiber` non-empty."""
    match kind:
        case "CP" | "RLE":
            return LeastUnits(per_word=1.0)
        case "B":
            return LeastUnits(per_word=1.0, zeros_too=True)
        case "UOP" | "UB" | "U":  # offsets are spread over the fiber; what is not compressed is moved with the words
            return LeastUnits(per_word=0.0)


def least_bits(stored: TensorFormat | None, word_bits: float) -> tuple[float, LeastUnits]:
    """Metadata bits per non-zero word at least, and the units they are of; `word_bits`: the level's default width.

    Of lists of several ranks nothing is known: their innermost loop may go to a rank without entries.
    """
    if stored is None or len(stored.ranks) != 1:
        return 0.0, LeastUnits(per_word=0.0)
    (rank,) = stored.ranks
    units = least_units(rank.kind)
    return units.per_word * entry_bits(rank, word_bits), units


def entry_bits(rank: RankFormat, word_bits: float) -> float:
    """Width of a coordinate entry; `word_bits`: the level's default width."""
    if rank.metadata_bits is not None:
        return rank.metadata_bits
    return 1.0 if rank.kind in BITMAP_KINDS else word_bits


def least_costly_format(options: Sequence[TensorFormat | None], ranks: tuple[str, ...]) -> TensorFormat | None:
    """A format that costs no mapping more than any of the options: what some of them compress is compressed, without metadata.

    `ranks` are those of the tensor: one mask over all of them can be laid on any loops.
    """
    if not any(one is not None and one.compressed for one in options):
        return None
    return TensorFormat(ranks=(RankFormat(kind="B", groups=(ranks,), metadata_bits=0.0, payload_bits=0.0),))
