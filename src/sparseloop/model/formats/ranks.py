"""The ranks of a format on their loops: fiber lengths, and the conditions under which metadata exist.

A format is a tree of fibers (fibertree): a rank is a level of the tree, a fiber has one position for every step of the rank's
loops, a position leads to a fiber of the next rank or to the data. Units per position of a rank, as conditions on the tensor
itself (`position`: the tile of one position, `fiber`: of all positions of the fiber):

    CP, RLE   one entry and one payload if `position` is non-empty
    B         one bit if `fiber`, one payload if `position` is non-empty
    UOP       (1 + 1/F) payloads if `fiber` is non-empty (F = fiber length; of fibers cut short the mean)
    UB        one bit and one payload, always
    U         nothing

A rank without loops has fibers of one element, F = 1. The payload of the last rank is the data itself. In Timeloop's reading
ranks without loops have nothing, and the payload of the last one that has loops is the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.design.sparse import BITMAP_KINDS, FormatKind, RankFormat, TensorFormat
from sparseloop.model.formats.layout import Between, Layout, RankLoops, lay_out
from sparseloop.model.formats.rank_walk import Masks, any_of
from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparsity.emptiness import NONE, Condition, Conditions, tile_condition
from sparseloop.model.traffic.existing_tiles import mean_length
from sparseloop.model.traffic.tiles import FIXED, Tiles
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
    slot: int | None = None
    """The loop of a rank of a single one: what follows holds where the rank takes it."""
    reached: list[Flag]
    """Per slot: does it lie at or outside the rank's innermost loop?"""
    entered: Masks
    """The loops that are gone through after a fiber is entered: its own and those inside."""
    there: Flag
    """The rank exists."""
    travels: Flag
    """Of a rank of the level: its entries go with deliveries to the child all the same."""
    along: Count
    """Positions that the loops of the child add to one look at an entry."""
    innermost: Flag
    """Its positions lead to the data."""
    length: Count
    """F: length of a whole fiber."""
    mean_length: Count
    """The same on average: fibers of shorter last tiles end early."""
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
        if loops.between is None:
            return self._single(link, layout, loops, at)
        return [self._among(link, layout, (loops, loops.between), at)]

    def _single(self, link: Link, layout: Layout, loops: RankLoops, at: int) -> list[RankOnLoops]:
        """A rank of one loop; at the compute link apart for "it is the innermost one" and "it is not"."""
        slot = loops.slot
        assert slot is not None
        mask = loops.masks[slot]
        inside = [s for s in sorted(link.relevant) if s > slot]
        alone: Flag = True
        for s in inside:
            alone = ops.both(alone, self.tiles.bounds[s] == 1)
        position, fiber = self._condition(link, inside), self._condition(link, [slot, *inside])

        def rank(there: Flag, innermost: Flag, variant: str) -> RankOnLoops:
            return RankOnLoops(
                name=f"{link.index}:{at}{variant}",
                number=max(0, loops.rank),
                format=layout.format.ranks[max(0, loops.rank)],
                inner=loops.inner,
                slot=slot,
                reached=[s <= slot for s in range(len(self.tiles.bounds))],
                entered={slot: True},
                there=there,
                travels=False,
                along=1,
                innermost=innermost,
                length=self.tiles.bounds[slot],
                mean_length=mean_length(self.tiles, self.tiles.bounds[slot], fiber, position[1]),
                padded=self.plan.padded[link.tensor],
                position=position,
                fiber=fiber,
            )

        last: Flag = alone
        if len(layout.format.ranks) > 1 and not self.plan.sparse.timeloop_reading:
            last = loops.rank == len(layout.format.ranks) - 1
        if not link.to_compute or isinstance(last, bool):
            return [rank(mask, ops.both(mask, last) if last is not True else True, "")]
        return [
            rank(ops.both(mask, last), True, "i"),
            rank(ops.both(mask, ops.negate(last)), False, "o"),
        ]

    def _spanning(self, link: Link, layout: Layout, loops: RankLoops, at: int) -> RankOnLoops:
        """A rank that takes every loop of the tensor in a range of slots."""
        assert loops.span is not None
        start, stop = loops.span
        own = [s for s in sorted(link.relevant) if start <= s < stop]
        inside = [s for s in sorted(link.relevant) if s >= stop]
        length = self._length(link, f"{link.index}:{at}", dict.fromkeys(own, True))
        position, fiber = self._condition(link, inside), self._condition(link, [*own, *inside])
        has_loops = self.tiles.product(own) > 1
        last: Flag = self.tiles.product(inside) == 1 if inside else True
        if len(layout.format.ranks) > 1 and not self.plan.sparse.timeloop_reading:
            last = loops.rank == len(layout.format.ranks) - 1
        return RankOnLoops(
            name=f"{link.index}:{at}",
            number=max(0, loops.rank),
            format=layout.format.ranks[max(0, loops.rank)],
            inner=loops.inner,
            reached=[slot < stop for slot in range(len(self.tiles.bounds))],
            entered=loops.masks,
            there=ops.either(has_loops, loops.bare),
            travels=False
            if loops.inner or loops.bare is False
            else ops.both(ops.negate(has_loops), last if link.to_compute else True),
            along=1,
            innermost=last,
            length=length,
            mean_length=mean_length(self.tiles, length, fiber, position[1]),
            padded=self.plan.padded[link.tensor],
            position=position,
            fiber=fiber,
        )

    def _condition(self, link: Link, slots: list[int]) -> Condition:
        return tile_condition(self.tiles, link.tensor, self.tiles.covering(slots))

    def _among(self, link: Link, layout: Layout, placed: tuple[RankLoops, Between], at: int) -> RankOnLoops:
        """A rank that may take several loops, or none."""
        loops, between = placed
        name, start = f"{link.index}:{at}", self.plan.starts[link.child]
        has_loops = any_of(loops.masks)
        last: Flag = loops.rank == len(layout.format.ranks) - 1
        if self.plan.sparse.timeloop_reading:
            last = has_loops
            for other in layout.ranks[at + 1 :]:
                last = ops.both(last, ops.negate(any_of(other.masks)))
        held = any_of({s: m for s, m in between.outside.items() if s >= start})
        own = any_of({s: m for s, m in between.inside.items() if s < start})
        bounds, length = self.tiles.bounds, self._length(link, name, loops.masks)
        position = self._tile(link, f"position{name}", between, {})
        fiber = self._tile(link, f"fiber{name}", between, loops.masks)
        return RankOnLoops(
            name=name,
            number=max(0, loops.rank),
            format=layout.format.ranks[max(0, loops.rank)],
            inner=loops.inner,
            reached=self._reached(link, between),
            entered=between.inside,
            there=ops.either(has_loops, loops.bare),
            travels=False if loops.inner else ops.either(held, ops.both(ops.negate(own), last if link.to_compute else True)),
            along=ops.product(ops.one_unless(m, bounds[s]) for s, m in between.outside.items() if s >= start),
            innermost=last,
            length=length,
            mean_length=mean_length(self.tiles, length, fiber, position[1]),
            padded=self.plan.padded[link.tensor],
            position=position,
            fiber=fiber,
        )

    def _length(self, link: Link, name: str, own: Masks) -> Count:
        """Positions of a fiber of these loops; where their indices add up, as many as have words of their own."""
        counts = {s: ops.one_unless(m, self.tiles.bounds[s]) for s, m in own.items()}
        if self.plan.plain[link.tensor] or self.plan.padded[link.tensor] or len(counts) < 2:
            return ops.product(counts.values())
        return self.tiles.size(link.tensor, self.tiles.partial_cover(f"length{name}", counts))

    def _reached(self, link: Link, between: Between) -> list[Flag]:
        """Per slot: does it lie at or outside the innermost of the level's loops that lie outside the rank, or are its own?"""
        start = self.plan.starts[link.child]
        reached: list[Flag] = [slot < min(between.begin, start) for slot in range(len(self.tiles.bounds))]
        seen: Flag = False
        for slot in range(start - 1, between.begin - 1, -1):
            seen = reached[slot] = ops.either(seen, between.outside.get(slot, False))
        return reached

    def _tile(self, link: Link, name: str, between: Between, but: Masks) -> Condition:
        """Non-emptiness of the tile inside all loops that this rank and those outside it took, but for some of them."""
        counts: dict[int, Count] = {}
        for slot in range(between.begin, len(self.tiles.bounds)):
            if slot in link.relevant:
                fixed = ops.both(between.outside.get(slot, False), ops.negate(but.get(slot, False)))
                counts[slot] = ops.one_unless(ops.negate(fixed), self.tiles.bounds[slot])
        return tile_condition(self.tiles, link.tensor, self.tiles.partial_cover(name, counts))


def touched_alone(link: Link, *, again: bool) -> bool:
    """Is an entry that is looked at by itself touched only if something comes for it? `again`: when it is read."""
    return link.partials == "add" or (link.partials == "changed" and not again)


def rank_units(rank: RankOnLoops) -> StoredUnits:
    """Entries and payloads per position; see the top of this module."""
    there = ops.zero_unless(rank.there, 1.0)
    payload: Count = 0.0
    if rank.innermost is not True:
        payload = ops.zero_unless(ops.both(rank.there, ops.negate(rank.innermost)), 1.0)
    true = rank.position if rank.padded else None
    to_data, position, fiber = rank.innermost is True, frozenset({rank.position}), frozenset({rank.fiber})
    match rank.format.kind:
        case "CP" | "RLE":
            return StoredUnits(Units(there, position, true), None if to_data else Units(payload, position, true))
        case "B":
            return StoredUnits(Units(there, fiber, true), None if to_data else Units(payload, position, true))
        case "UOP":
            if true is not None and not to_data:
                last = Units(payload / rank.mean_length, fiber, rank.fiber)
                return StoredUnits(None, Offsets(Units(payload, fiber, true), last))
            return StoredUnits(None, None if to_data else Units(payload * (1.0 + 1.0 / rank.mean_length), fiber))
        case "UB":
            return StoredUnits(Units(there, NONE, true), None if to_data else Units(payload, NONE, true))
        case "U":
            return StoredUnits(None, None)


def known_before(tiles: Tiles, entered: Masks, leader: Condition) -> Flag:
    """True where the leader is known before the fiber is entered, of which these loops are gone through.

    Every loop of the leader at or inside the outermost of them is covered by the condition.
    """
    tensor, cover = leader
    inside: Flag = False
    known: Flag = True
    for slot in range(len(tiles.bounds)):
        inside = ops.either(inside, entered.get(slot, False))
        if slot in tiles.plan.relevant[tensor] and inside is not False:
            bound = tiles.bounds[slot]
            covered = tiles.count(cover[slot], slot) == bound if cover[slot] != FIXED else (bound == 1)
            known = ops.both(known, ops.either(ops.negate(inside), covered))
    return known


# --- bounds -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastUnits:
    """Entries that a rank has at least, if it leads to the words: the last one of its list, or the innermost that has a loop."""

    per_word: float
    """For every word that is not zero."""
    zeros_too: bool = False
    """Zeros have as many, as long as their fiber is not empty."""


def least_units(kind: FormatKind) -> LeastUnits:
    """Beside `rank_units`: of such a rank, `position` is one word, and a word that is not zero makes `fiber` non-empty."""
    match kind:
        case "CP" | "RLE":
            return LeastUnits(per_word=1.0)
        case "B":
            return LeastUnits(per_word=1.0, zeros_too=True)
        case "UOP" | "UB" | "U":  # the offset of a word is the data itself; what is not compressed is moved with the words
            return LeastUnits(per_word=0.0)


def least_bits(stored: TensorFormat | None, word_bits: float, *, bare: bool = True) -> tuple[float, LeastUnits]:
    """Metadata bits per non-zero word at least, and the units they are of; `word_bits`: the level's default width.

    `bare`: ranks without loops are there, so the last one leads to the words whatever the loops. Else the innermost loop of a
    tensor may go to any rank of a list: the least of all ranks. Zeros have entries for sure only where there is one rank: inner
    fibers are smaller than the tile. Offsets of ranks further out (csr) are few per word where fibers are long.
    """
    if stored is None:
        return 0.0, LeastUnits(per_word=0.0)
    every = [(least_units(rank.kind), rank) for rank in (stored.ranks[-1:] if bare else stored.ranks)]
    bits = min(units.per_word * entry_bits(rank, word_bits) for units, rank in every)
    zeros_too = len(stored.ranks) == 1 and every[0][0].zeros_too
    return bits, LeastUnits(per_word=min(units.per_word for units, _ in every), zeros_too=zeros_too)


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
