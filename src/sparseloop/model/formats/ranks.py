"""Where the ranks of a format lie: their loops, fibre lengths and emptiness conditions.

Units per position of a rank, as conditions on the tensor itself (`below`: the tile of one position, `fibre`: of all
positions of the fibre):

    CP, RLE   one entry and one payload if `below` is non-empty
    B         one bit if `fibre`, one payload if `below` is non-empty
    UOP       (1 + 1/F) payloads if `fibre` is non-empty (F = fibre length)
    UB        one bit and one payload, always
    U         nothing

The payload of the innermost rank that has loops is the data itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparseloop.model import ops
from sparseloop.model.design.sparse import FormatKind, RankFormat, TensorFormat
from sparseloop.model.formats.layout import Layout, Masks, RankLoops, lay_out
from sparseloop.model.ops import Array
from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparsity.emptiness import NONE, Condition, Conditions, Emptiness
from sparseloop.model.traffic.tiles import Tiles

Units = tuple[Array, Conditions]
"""Units per position, and the condition under which they exist."""
EntryUnits = tuple[Units | None, Units | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankFibers:
    """A rank on loops it may take, with its numbers."""

    name: str
    number: int
    """Index in the given list of formats, 0 = outermost."""
    format: RankFormat
    inner: bool
    """It travels with a delivery of the child's tile; else the level walks it."""
    masks: Masks
    """The loops; for a single loop True: what follows holds where the rank takes it."""
    span: tuple[int, int] | None
    """First and last+1 slot if the rank takes every loop of the tensor between."""
    has_loops: Array
    innermost: Array
    length: Array
    """F: fibre length."""
    below: Condition
    fibre: Condition


class Fibertrees:
    """The ranks of all tensors at all levels on their loops, for one batch."""

    def __init__(self, tiles: Tiles, emptiness: Emptiness) -> None:
        self.plan: Plan = tiles.plan
        self.tiles = tiles
        self.emptiness = emptiness
        self.layouts: dict[int, Layout | None] = {}
        self._places: dict[int, list[RankFibers]] = {}
        for link in reversed(self.plan.links):
            child = None if link.to_compute else self.plan.link_of[link.child, link.tensor]
            self.layouts[link.index] = lay_out(tiles, link, None if child is None else self.layouts[child.index])

    def at(self, link: Link) -> list[RankFibers]:
        """The ranks of a tensor at the link's parent with loops, lengths and emptiness conditions."""
        if link.index not in self._places:
            layout = self.layouts[link.index]
            assert layout is not None
            places: list[RankFibers] = []
            for number, item in enumerate(layout.items):
                if item.span is not None:
                    places.append(self._spanning(link, layout, item, number))
                elif item.slot is not None and not layout.absorbed:
                    places += self._single(link, layout, item, number)
                else:
                    places.append(self._flattened(link, layout, item, number))
            self._places[link.index] = places
        return self._places[link.index]

    def _single(self, link: Link, layout: Layout, item: RankLoops, number: int) -> list[RankFibers]:
        """A rank of one loop; at the compute link apart for "it is the innermost one" and "it is not"."""
        slot = item.slot
        assert slot is not None
        mask = item.masks[slot]
        inside = [s for s in sorted(link.relevant) if s > slot]
        alone: Array = True
        for s in inside:
            alone = ops.both(alone, self.tiles.bounds[s] == 1)
        condition = self.emptiness.condition

        def fibers(has: Array, innermost: Array, variant: str) -> RankFibers:
            return RankFibers(
                name=f"{link.index}:{number}{variant}",
                number=item.rank,
                format=layout.given.ranks[item.rank],
                inner=item.inner,
                masks={slot: True},
                span=None,
                has_loops=has,
                innermost=innermost,
                length=self.tiles.bounds[slot],
                below=condition(link.tensor, self.tiles.covering(inside)),
                fibre=condition(link.tensor, self.tiles.covering([slot, *inside])),
            )

        if not link.to_compute or isinstance(alone, bool):
            return [fibers(mask, ops.both(mask, alone) if alone is not True else True, "")]
        return [
            fibers(ops.both(mask, alone), True, "i"),
            fibers(ops.both(mask, ops.negate(alone)), False, "o"),
        ]

    def _spanning(self, link: Link, layout: Layout, item: RankLoops, number: int) -> RankFibers:
        """A rank that takes every loop of the tensor in a range of slots."""
        assert item.span is not None
        start, stop = item.span
        mine = [s for s in sorted(link.relevant) if start <= s < stop]
        inside = [s for s in sorted(link.relevant) if s >= stop]
        length = self.tiles.product(mine)
        return RankFibers(
            name=f"{link.index}:{number}",
            number=item.rank,
            format=layout.given.ranks[item.rank],
            inner=item.inner,
            masks=item.masks,
            span=item.span,
            has_loops=length > 1,
            innermost=self.tiles.product(inside) == 1 if inside else True,
            length=length,
            below=self.emptiness.condition(link.tensor, self.tiles.covering(inside)),
            fibre=self.emptiness.condition(link.tensor, self.tiles.covering([*mine, *inside])),
        )

    def _flattened(self, link: Link, layout: Layout, item: RankLoops, number: int) -> RankFibers:
        """A rank of several loops, or of loops merged with the child's."""
        has = any_of(item.masks)
        deeper: Array = False
        for other in layout.items[number + 1 :]:
            deeper = ops.either(deeper, any_of(other.masks))
        name = f"{link.index}:{number}"
        return RankFibers(
            name=name,
            number=item.rank,
            format=layout.given.ranks[item.rank],
            inner=item.inner,
            masks=item.masks,
            span=None,
            has_loops=has,
            innermost=ops.both(has, ops.negate(deeper)),
            length=ops.product(ops.one_unless(m, layout.bounds[s]) for s, m in item.masks.items()),
            below=self._tile(link, f"below{name}", item.masks, with_loops=False),
            fibre=self._tile(link, f"fibre{name}", item.masks, with_loops=True),
        )

    def _tile(self, link: Link, name: str, masks: Masks, with_loops: bool) -> Condition:
        """Non-emptiness of one position (or of one fibre) of a rank."""
        layout = self.layouts[link.index]
        assert layout is not None
        start = self.plan.starts[link.parent]
        counts: dict[int, Array] = {}
        reached: Array = False
        for slot in range(len(self.tiles.bounds) - 1, start - 1, -1):
            mine = masks.get(slot, False)
            reached = ops.either(reached, mine)
            if slot not in link.relevant:
                continue
            outside = ops.both(reached, ops.negate(mine)) if with_loops else reached
            counts[slot] = ops.one_unless(ops.negate(outside), self.tiles.bounds[slot])
        if layout.absorbed:
            self._uncover_merged(link, layout, counts)
        return self.emptiness.condition(link.tensor, self.tiles.named(name, counts))

    def _uncover_merged(self, link: Link, layout: Layout, counts: dict[int, Array]) -> None:
        """Loops of the child lie where the own loop lies that absorbed them: fixed if that one is."""
        plan = self.plan
        for slot in [s for s in counts if s >= plan.starts[link.child]]:
            fixed: Array = False
            for own, holds in layout.holders.items():
                if own < slot and plan.loops[own].rank == plan.loops[slot].rank:
                    here = ops.both(self.tiles.bounds[own] > 1, counts[own] == 1)
                    fixed = ops.either(fixed, ops.both(holds, here))
            counts[slot] = ops.one_unless(ops.negate(fixed), counts[slot])


def entry_units(rank: RankFibers) -> tuple[Units | None, Units | None]:
    """(entries, payloads): units per position and the condition under which they exist; None if there are none."""
    there = ops.zero_unless(rank.has_loops, 1.0)
    payload = 0.0
    if rank.innermost is not True:
        payload = ops.zero_unless(ops.both(rank.has_loops, ops.negate(rank.innermost)), 1.0)
    data = None if rank.innermost is True else (payload, frozenset({rank.below}))
    match rank.format.kind:
        case "CP" | "RLE":
            return (there, frozenset({rank.below})), data
        case "B":
            return (there, frozenset({rank.fibre})), data
        case "UOP":
            offsets = payload * (1.0 + 1.0 / rank.length)
            return None, None if data is None else (offsets, frozenset({rank.fibre}))
        case "UB":
            return (there, NONE), None if data is None else (payload, NONE)
        case _:
            return None, None


def any_of(masks: Masks) -> Array:
    result: Array = False
    for mask in masks.values():
        result = ops.either(result, mask)
    return result


# --- bounds -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastUnits:
    """Entries that a rank has at least, if it is the only one of its format."""

    per_word: float
    """For every word that is not zero."""
    zeros_too: bool = False
    """Zeros have as many, as long as their fibre is not empty."""


def least_units(kind: FormatKind) -> LeastUnits:
    """Beside `entry_units`: of a single rank, `below` is one word, and a word that is not zero makes `fibre` non-empty."""
    match kind:
        case "CP" | "RLE":
            return LeastUnits(per_word=1.0)
        case "B":
            return LeastUnits(per_word=1.0, zeros_too=True)
        case "UOP" | "UB" | "U":  # offsets are spread over the fibre; what is not compressed is moved with the words
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
    return 1.0 if rank.kind == "B" else word_bits


def least_costly_format(options: Sequence[TensorFormat | None], ranks: tuple[str, ...]) -> TensorFormat | None:
    """A format that costs no mapping more than any of the options: what some of them compress is compressed, without metadata.

    `ranks` are those of the tensor: one mask over all of them can be laid on any loops.
    """
    if not any(one is not None and one.compressed for one in options):
        return None
    return TensorFormat(ranks=(RankFormat(kind="B", groups=(ranks,), metadata_bits=0.0, payload_bits=0.0),))
