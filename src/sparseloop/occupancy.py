"""What one instance of a level holds of a tensor: tile, occupancy and metadata, expected and at worst."""

from __future__ import annotations

from dataclasses import dataclass

from . import ops
from .formats import Metadata, RankPlace
from .ops import Array
from .plan import Link
from .saf import Features


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """The resident tile of one tensor in one instance of a level."""

    footprint: Array
    """Distinct words of the dense tile."""
    extents: tuple[Array, ...]
    """Bounding extents of the tile, one per axis."""
    density: Array
    """Stored words divided by footprint."""
    occupancy: Array
    """Expected stored words."""
    worst: Array
    """Largest possible number of stored words."""
    counted: Array
    """Words the fit test counts: worst, expected or a quantile, as the level's rule says."""
    metadata_bits: Array
    metadata_bits_worst: Array
    metadata_bits_counted: Array


def resident(features: Features, metadata: Metadata, link: Link) -> Resident:
    """Tile statistics of the link's tensor at its parent level."""
    tiles = features.tiles
    model = features.plan.einsum.tensors[link.tensor].density
    rule = features.plan.arch.levels[link.parent].capacity_rule
    cover = tiles.inside(link.parent)
    size, extents = tiles.size(link.tensor, cover), tiles.extents(link.tensor, cover)
    worst = expected = counted = size
    if link.compressed:
        worst, expected = model.maximum(size, extents), model.mean(size)
        counted = worst
        if rule == "expected":
            counted = expected
        elif rule != "worst":
            counted = model.quantile(size, extents, float(rule))
    bits = [_bits_of(features, metadata, link, k) for k in (None, worst, counted)]
    return Resident(
        footprint=size,
        extents=extents,
        density=model.density if link.compressed else 1.0,
        occupancy=expected,
        worst=worst,
        counted=counted,
        metadata_bits=bits[0],
        metadata_bits_worst=bits[1],
        metadata_bits_counted=bits[0] if rule == "expected" else bits[2],
    )


def _bits_of(features: Features, metadata: Metadata, link: Link, nonzeros: Array | None) -> Array:
    """Metadata bits of the resident tile: expected (None), or for a given number of non-zeros (an upper bound)."""
    layout = metadata.layouts[link.index]
    if layout is None:
        return 0.0
    tiles, width = features.tiles, features.plan.arch.levels[link.parent].metadata_word_bits
    footprint = tiles.size(link.tensor, tiles.inside(link.parent))
    bits: Array = 0.0
    for place in metadata.places(link):
        tensor, below = next(iter(place.below))
        positions = footprint / tiles.size(tensor, below)
        entry = (1.0 if place.format.kind == "B" else width) if (b := place.format.metadata_bits) is None else b
        payload = width if place.format.payload_bits is None else place.format.payload_bits
        if nonzeros is None:
            entries, payloads = (
                ops.total(positions * f * metadata.emptiness.non_emptiness(c) for f, c in terms)
                for terms in metadata.entry_units(place)
            )
        else:
            entries, payloads = _worst_units(place, positions, nonzeros)
        bits = bits + entries * entry + payloads * payload
    return bits


def _worst_units(place: RankPlace, positions: Array, nonzeros: Array) -> tuple[Array, Array]:
    """Entries and payloads if every non-zero lies in a position and fibre of its own, as far as there are any."""
    there = ops.where(place.has_loops, 1.0, 0.0)
    payload = ops.where(ops.both(place.has_loops, ops.negate(place.innermost)), 1.0, 0.0)
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
