"""What one instance of a level holds of a tensor: tile, occupancy and metadata, expected and at worst."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

from sparseloop.model import ops
from sparseloop.model.density import DensityModel, Extents, Lattice
from sparseloop.model.density.base import KnownPattern
from sparseloop.model.design.arch import Level
from sparseloop.model.design.sparse import TensorFormat
from sparseloop.model.formats.metadata import Metadata
from sparseloop.model.formats.ranks import Offsets, RankOnLoops, Units, entry_bits, least_bits, rank_units
from sparseloop.model.plan import Link
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.sparsity.known_results import HeldInData
from sparseloop.model.sparsity.padding import Seen, mean_words
from sparseloop.model.sparsity.partial_sums import starts_empty
from sparseloop.model.traffic.tiles import Cover, words_met
from sparseloop.model.units import Bits, Coordinate, Count, Share, Words


@dataclass(frozen=True, kw_only=True, eq=False)
class TileWords:
    """Stored words of a tile, in words of the tensor: all of them, or of a compressed tile the non-zeros."""

    model: DensityModel
    size: Words
    """Distinct words of the dense tile, where fewest of them are padding."""
    average: Words
    """The same on average over all places; of a known pattern, which has zeros in padding, with the padding."""
    sides: Extents
    """What the density model is told of the tile besides its size; of a produced result also the positions added up."""
    compressed: bool
    rule: str | float
    """The level's fit test: worst, expected, or a quantile."""

    @cached_property
    def expected(self) -> Words:
        """Expected number."""
        return self.model.mean(self.average, self.sides) if self.compressed else self.average

    @cached_property
    def worst(self) -> Words:
        """Largest possible number."""
        return self.model.maximum(self.size, self.sides) if self.compressed else self.size

    @cached_property
    def counted(self) -> Words:
        """The number that the fit test counts."""
        return counted_words(self, self.rule)

    def part(self, places: tuple[Words, ...]) -> TileWords:
        """A part of the tile, so many places along every axis; of scattered tiles only its size is told."""
        axes = len(self.sides) - (1 if self.model.produced else 0)
        boxes = len(places) == axes and not any(isinstance(side, Lattice) for side in self.sides[:axes])
        sides = (*places, *self.sides[axes:]) if boxes else self.sides
        return replace(self, size=ops.product(places), average=ops.product(places), sides=sides)

    def excess(self, room: Words) -> Words:
        """Expected number of those that do not fit into the room."""
        return self.model.excess(self.size, self.sides, room) if self.compressed else ops.maximum(0.0, self.size - room)

    def quantile(self, confidence: float) -> Words:
        """The number that is not exceeded in this share of the tiles."""
        return self.model.quantile(self.size, self.sides, confidence) if self.compressed else self.size


def counted_words(of: TileWords | HeldInData, rule: str | float) -> Words:
    """What a fit test counts: worst, expected, or a quantile."""
    if rule == "worst":
        return of.worst
    return of.expected if rule == "expected" else of.quantile(float(rule))


@dataclass(frozen=True, kw_only=True, eq=False)
class ResidentTile:
    """The resident tile of one tensor in one instance of a level; each number is computed when first read."""

    safs: SafConditions
    metadata: Metadata
    link: Link

    @property
    def level(self) -> Level:
        """The level that holds the tile."""
        return self.safs.plan.arch.levels[self.link.parent]

    @property
    def rule(self) -> str | float:
        """The level's fit test: worst, expected, or a quantile."""
        return self.level.capacity_rule

    @property
    def width(self) -> float:
        """Words of the level that one word of the tensor takes."""
        return self.safs.plan.width(self.link.tensor, self.link.parent)

    @cached_property
    def _steps(self) -> tuple[int, ...]:
        """Per axis of a known pattern the elements from one word that is used to the next; 1 for all others."""
        plan, tensor = self.safs.plan, self.safs.plan.einsum.tensors[self.link.tensor]
        if not (tensor.density.deterministic and plan.single[self.link.tensor]):
            return (1,) * len(tensor.axes)
        return tuple(max((abs(term.coefficient) for term in axis.terms), default=1) for axis in tensor.axes)

    @cached_property
    def model(self) -> DensityModel:
        """Density of the tensor's words; given data have holes where indices leave elements out."""
        model = self.safs.plan.einsum.tensors[self.link.tensor].density
        return model if max(self._steps, default=1) == 1 else cast("KnownPattern", model).spaced(self._steps)

    @cached_property
    def words(self) -> TileWords:
        """Stored words of the tile."""
        return self.words_under(self.safs.tiles.inside(self.link.parent))

    def words_under(self, cover: Cover) -> TileWords:
        """Stored words of another tile of the tensor."""
        tiles, tensor = self.safs.tiles, self.link.tensor
        sides = tiles.sides(tensor, cover) if self.model.placed else self._in_steps(tiles.extents(tensor, cover))
        return TileWords(
            model=self.model,
            size=tiles.size(tensor, cover),
            average=self._average(cover),
            sides=(*sides, *self._positions),
            compressed=self.link.compressed,
            rule=self.rule,
        )

    def _average(self, cover: Cover) -> Words:
        tiles, tensor = self.safs.tiles, self.link.tensor
        known = self.model.deterministic and self.link.compressed
        return words_met(tiles, tensor, cover) if known else mean_words(tiles, tensor, cover)

    def _in_steps(self, extents: tuple[Coordinate, ...]) -> tuple[Coordinate, ...]:
        """Bounding extents, holes left out."""
        return tuple(e if step == 1 else (e - 1) / step + 1 for e, step in zip(extents, self._steps, strict=True))

    @property
    def _positions(self) -> tuple[Count, ...]:
        held = self.safs.held(self.link)
        return () if held is None or self.model.deterministic else (held.run,)

    @cached_property
    def _held(self) -> TileWords | HeldInData:
        """Stored words at the end of a visit: those of the finished tile, but for copies of known results that start empty."""
        safs, link = self.safs, self.link
        if not (link.compressed and self.model.produced and self.model.deterministic and starts_empty(safs.tiles, link)):
            return self.words
        return HeldInData(safs.tiles, link.tensor, safs.copy_stay[safs.plan.outer[link.index][-1]])

    @property
    def footprint(self) -> Words:
        """Distinct words of the dense tile."""
        return self.words.size

    @property
    def extents(self) -> tuple[Coordinate, ...]:
        """Bounding extents of the tile, one per axis."""
        tiles = self.safs.tiles
        return self._in_steps(tiles.extents(self.link.tensor, tiles.inside(self.link.parent)))

    @property
    def density(self) -> Share:
        """Stored words divided by footprint."""
        return self.occupancy / self.footprint if self.link.compressed else 1.0

    @property
    def occupancy(self) -> Words:
        """Expected stored words."""
        return self._held.expected

    @property
    def worst(self) -> Words:
        """Largest possible number of stored words."""
        return self._held.worst

    @property
    def counted(self) -> Words:
        """Words the fit test counts: worst, expected or a quantile, as the level's rule says."""
        return counted_words(self._held, self.rule)

    @cached_property
    def level_words(self) -> Words:
        """What the fit test counts in words of the level, which may be wider or narrower than the tensor's."""
        return self.counted * self.width

    def quantile(self, confidence: float) -> Words:
        """Stored words that are not exceeded in this share of the tiles."""
        return self._held.quantile(confidence)

    @cached_property
    def metadata_bits(self) -> Bits:
        """Expected metadata bits."""
        return _bits_of(self, None)

    @cached_property
    def metadata_bits_worst(self) -> Bits:
        """Metadata bits at the largest occupancy (an upper bound)."""
        return _bits_of(self, self.worst)

    @cached_property
    def metadata_bits_counted(self) -> Bits:
        """Metadata bits the fit test counts."""
        return self.metadata_bits if self.rule == "expected" else _bits_of(self, self.counted)


def _bits_of(tile: ResidentTile, nonzeros: Words | None) -> Bits:
    """Metadata bits of the resident tile: expected (None), or for a given number of non-zeros (an upper bound)."""
    metadata, link = tile.metadata, tile.link
    if metadata.ranks.layouts[link.index] is None:
        return 0.0
    width = tile.safs.plan.arch.levels[link.parent].metadata_word_bits
    bits: Bits = 0.0
    for rank in metadata.ranks.at(link):
        if rank.there is False:
            continue
        positions = ops.minimum(_positions(tile, rank), tile.footprint) if rank.padded else _positions(tile, rank)
        entry = entry_bits(rank.format, width)
        payload = width if rank.format.payload_bits is None else rank.format.payload_bits
        if nonzeros is not None:
            entries, payloads = _worst_units(rank, positions, nonzeros)
            bits = bits + entries * entry + payloads * payload
            continue
        for units, size in zip(rank_units(rank), (entry, payload), strict=True):
            for one in units if isinstance(units, Offsets) else (units,):
                if one is not None and size:
                    bits = bits + _expected_units(tile, rank, one) * size
    return bits


def _expected_units(tile: ResidentTile, rank: RankOnLoops, units: Units) -> Count:
    """Units of a rank in the tile; of a padded tensor the mean over its places."""
    emptiness, seen = tile.metadata.emptiness, None if units.true is None else Seen(*units.true, words=False)
    share = emptiness.non_emptiness(units.exist, progress=tile.safs.held(tile.link), seen=seen)
    if seen is not None:
        share = share * emptiness.true_share(seen, None)
    return _positions(tile, rank) * units.per_position * share


def _positions(tile: ResidentTile, rank: RankOnLoops) -> Count:
    """Positions of a rank in the tile, those in the padding too."""
    tiles = tile.safs.tiles
    return words_met(tiles, tile.link.tensor, tiles.inside(tile.link.parent)) / words_met(tiles, *rank.position)


def _worst_units(rank: RankOnLoops, positions: Count, nonzeros: Words) -> tuple[Count, Count]:
    """Entries and payloads if every non-zero lies in a position and fiber of its own, as far as there are any.

    `positions`: those of all fibers of the tile.
    """
    there = ops.zero_unless(rank.there, 1.0)
    payload: Count = 0.0
    if rank.innermost is not True:
        payload = ops.zero_unless(ops.both(rank.there, ops.negate(rank.innermost)), 1.0)
    used = ops.minimum(positions, nonzeros)
    fibers = ops.minimum(positions / rank.length, nonzeros)
    match rank.format.kind:
        case "CP" | "RLE":
            return there * used, payload * used
        case "B":
            return there * fibers * rank.length, payload * used
        case "UOP":
            return 0.0, payload * fibers * (rank.length + 1.0)
        case "UB":
            return there * positions, payload * positions
        case "U":
            return 0.0, 0.0


# --- bounds -------------------------------------------------------------------------------------------------


def least_bits_counted(stored: TensorFormat, tile: tuple[Words, Words], longest: Words, word_bits: Bits) -> Bits:
    """Metadata bits that a fit test counts at least of a tile, beside `_worst_units`; ranks without loops are there.

    `tile`: its words, and the non-zeros that are counted; `longest`: positions at most of a fiber of the last rank; `word_bits`:
    the level's default width. The last rank has an entry per non-zero. Offsets outside it have P = words / longest positions at
    least, in fibers of F: min(P / F, nonzeros) (F + 1) >= min(P, 2 nonzeros).
    """
    words, nonzeros = tile
    bits = nonzeros * least_bits(stored, word_bits)[0]
    outside = stored.ranks[-2] if len(stored.ranks) > 1 else None
    if outside is None or outside.kind != "UOP":
        return bits
    width = word_bits if outside.payload_bits is None else outside.payload_bits
    return bits + width * ops.minimum(words / longest, 2 * nonzeros)
