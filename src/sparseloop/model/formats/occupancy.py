"""What one instance of a level holds of a tensor: tile, occupancy and metadata, expected and at worst."""

from __future__ import annotations

from dataclasses import dataclass

from sparseloop.model import ops
from sparseloop.model.density import DensityModel
from sparseloop.model.formats.metadata import Metadata
from sparseloop.model.formats.ranks import RankPlace, entry_units
from sparseloop.model.lazy import lazy
from sparseloop.model.ops import Array
from sparseloop.model.plan import Link
from sparseloop.model.sparsity.features import Features


@dataclass(frozen=True, kw_only=True, eq=False)
class Resident:
    """The resident tile of one tensor in one instance of a level; each number is computed when first read."""

    features: Features
    metadata: Metadata
    link: Link

    @property
    def rule(self) -> str | float:
        """The level's fit test: worst, expected, or a quantile."""
        return self.features.plan.arch.levels[self.link.parent].capacity_rule

    @property
    def width(self) -> float:
        """Words of the level that one word of the tensor takes."""
        return self.features.plan.width(self.link.tensor, self.link.parent)

    @property
    def model(self) -> DensityModel:
        """Density of the tensor."""
        return self.features.plan.einsum.tensors[self.link.tensor].density

    @lazy
    def footprint(self) -> Array:
        """Distinct words of the dense tile."""
        return self.features.tiles.size(self.link.tensor, self.features.tiles.inside(self.link.parent))

    @lazy
    def extents(self) -> tuple[Array, ...]:
        """Bounding extents of the tile, one per axis."""
        return self.features.tiles.extents(self.link.tensor, self.features.tiles.inside(self.link.parent))

    @property
    def density(self) -> Array:
        """Stored words divided by footprint."""
        return self.model.density if self.link.compressed else 1.0

    @lazy
    def occupancy(self) -> Array:
        """Expected stored words."""
        return self.model.mean(self.footprint) if self.link.compressed else self.footprint

    @lazy
    def worst(self) -> Array:
        """Largest possible number of stored words."""
        return self.model.maximum(self.footprint, self.extents) if self.link.compressed else self.footprint

    @lazy
    def counted(self) -> Array:
        """Words the fit test counts: worst, expected or a quantile, as the level's rule says."""
        if self.rule == "worst":
            return self.worst
        return self.occupancy if self.rule == "expected" else self.quantile(float(self.rule))

    def quantile(self, confidence: float) -> Array:
        """Stored words that are not exceeded in this share of the tiles."""
        return self.model.quantile(self.footprint, self.extents, confidence) if self.link.compressed else self.footprint

    @lazy
    def metadata_bits(self) -> Array:
        """Expected metadata bits."""
        return _bits_of(self, None)

    @lazy
    def metadata_bits_worst(self) -> Array:
        """Metadata bits at the largest occupancy (an upper bound)."""
        return _bits_of(self, self.worst)

    @lazy
    def metadata_bits_counted(self) -> Array:
        """Metadata bits the fit test counts."""
        return self.metadata_bits if self.rule == "expected" else _bits_of(self, self.counted)


def _bits_of(tile: Resident, nonzeros: Array | None) -> Array:
    """Metadata bits of the resident tile: expected (None), or for a given number of non-zeros (an upper bound)."""
    metadata, link = tile.metadata, tile.link
    if metadata.places.layouts[link.index] is None:
        return 0.0
    tiles, width = tile.features.tiles, tile.features.plan.arch.levels[link.parent].metadata_word_bits
    bits: Array = 0.0
    for place in metadata.places.at(link):
        if place.has_loops is not False:
            positions = tile.footprint / tiles.size(*place.below)
            entry = (1.0 if place.format.kind == "B" else width) if (b := place.format.metadata_bits) is None else b
            payload = width if place.format.payload_bits is None else place.format.payload_bits
            entries, payloads = entry_units(place)
            if nonzeros is not None:
                worst = _worst_units(place, positions, nonzeros)
                bits = bits + worst[0] * entry + worst[1] * payload
                continue
            for units, size in ((entries, entry), (payloads, payload)):
                if units is not None and size:
                    bits = bits + positions * units[0] * metadata.emptiness.non_emptiness(units[1]) * size
    return bits


def _worst_units(place: RankPlace, positions: Array, nonzeros: Array) -> tuple[Array, Array]:
    """Entries and payloads if every non-zero lies in a position and fibre of its own, as far as there are any."""
    there = ops.zero_unless(place.has_loops, 1.0)
    payload = 0.0
    if place.innermost is not True:
        payload = ops.zero_unless(ops.both(place.has_loops, ops.negate(place.innermost)), 1.0)
    used = ops.minimum(positions, nonzeros)
    fibres = ops.minimum(positions / place.length, nonzeros)
    match place.format.kind:
        case "CP" | "RLE":
            return there * used, payload * used
        case "B":
            return there * fibres * place.length, payload * used
        case "UOP":
            return 0.0, payload * fibres * (place.length + 1.0)
        case "UB":
            return there * positions, payload * positions
        case _:
            return 0.0, 0.0
