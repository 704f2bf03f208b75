"""The units that sparse features need at each level, and their number: one per lane.

They do not depend on the mapping, so all mappings of a machine have the same area.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sparseloop.energy.components import Unit
from sparseloop.input.resolve.sizes import words_per_cycle
from sparseloop.input.spec import LevelSpec
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import RankFormat, Saf, Sparse

DEFAULT_METADATA_BITS = 8
STYLES = {"B": "bitmask", "UB": "bitmask"}
"""Format of the innermost rank to the style of an intersection; others compare coordinates."""


@dataclass(frozen=True, kw_only=True)
class UnitSite:
    """The fields of a level that decide about its units."""

    spec: LevelSpec
    word_bits: float
    children: int
    """Instances of the next inner level below one instance."""
    clock_hz: float

    @property
    def metadata_bits(self) -> float:
        """Default width of an entry."""
        given = self.spec.metadata.word_bits
        return DEFAULT_METADATA_BITS if given is None else given

    @property
    def lanes(self) -> int:
        """Words that leave one instance in a cycle, at most one for every child."""
        return _lanes(self, "read", self.children)

    @property
    def arriving(self) -> int:
        """Words that enter one instance in a cycle; one if the bandwidth is unlimited."""
        return _lanes(self, "write", math.inf)


def _lanes(place: UnitSite, way: str, most: float) -> int:
    rates = place.spec.bandwidth
    words = words_per_cycle(getattr(rates, way) or rates.shared, place.word_bits, place.clock_hz)
    if words is None:
        return 1 if math.isinf(most) else max(1, int(most))
    return max(1, int(min(math.ceil(words), most)))


def units(level: int, places: Sequence[UnitSite], einsum: Einsum, sparse: Sparse) -> tuple[Unit, ...]:
    """The units of one level; the last of `places` is the compute level."""
    if level == len(places) - 1:
        return tuple(_compute(places[level], einsum, sparse))
    found = [*_codecs(level, places, einsum, sparse), *_intersections(level, places, sparse), *_gates(level, places, sparse)]
    found = [_counted(unit, places[level]) for unit in found] + [*_rated(places[level])]
    return tuple(unit for unit in found if unit.attributes.get("bits"))


RATED = {"intersection": "intersection", "decoder": "decode", "decompressor": "decode"}
"""Class of a unit to the kind under which its number may be written."""


def _counted(unit: Unit, place: UnitSite) -> Unit:
    """The unit in the number that is written; without one, a unit per lane."""
    written = place.spec.units.get(RATED.get(unit.class_name, ""))  # pyright: ignore[reportArgumentType, reportCallIssue]
    return unit if written is None else replace(unit, count=written.count)


def _rated(place: UnitSite) -> Iterator[Unit]:
    """Mergers and index units: only a written number says that there are any."""
    if merge := place.spec.units.get("merge"):
        attributes = {"bits": place.word_bits + place.metadata_bits, "radix": merge.radix or 2}
        yield Unit(name="mergers", class_name="merger", count=merge.count, attributes=attributes)
    if index := place.spec.units.get("index"):
        yield Unit(name="index units", class_name="index", count=index.count, attributes={"bits": place.metadata_bits})


def _compute(place: UnitSite, einsum: Einsum, sparse: Sparse) -> Iterator[Unit]:
    """Zero detectors, one per operand, if computes are gated or skipped."""
    if sparse.compute_gate or sparse.compute_skip:
        operands = sum(not tensor.output for tensor in einsum.tensors)
        yield Unit(name="zero detectors", class_name="zero_detector", count=operands, attributes={"bits": place.word_bits})


# --- formats --------------------------------------------------------------------------------------------------


def _codecs(level: int, places: Sequence[UnitSite], einsum: Einsum, sparse: Sparse) -> Iterator[Unit]:
    """Units where a tensor leaves its innermost format: decoders at the innermost level, (de)compressors between two levels."""
    innermost = len(places) - 2
    for tensor in einsum.tensors:
        here, above = sparse.format(level, tensor.name), sparse.format(level - 1, tensor.name)
        last = here is not None and not any(sparse.format(i, tensor.name) for i in range(level + 1, innermost + 1))
        if here is not None and last and level == innermost:
            for rank in here.ranks:
                if rank.kind != "U":
                    yield _decoder(places[level], tensor.name, rank)
        if here is not None and last and level < innermost and here.compressed and tensor.output:
            bits = _width(places[level], here.ranks[-1])
            yield Unit(
                name=f"compressor of {tensor.name}",
                class_name="compressor",
                count=places[level].arriving,
                attributes={"bits": bits},
                tensors=frozenset({tensor.name}),
            )
        if above is not None and above.compressed and not any(sparse.format(i, tensor.name) for i in range(level, innermost + 1)):
            bits = _width(places[level - 1], above.ranks[-1])
            yield Unit(
                name=f"decompressor of {tensor.name}",
                class_name="decompressor",
                count=places[level].arriving,
                attributes={"bits": bits},
                tensors=frozenset({tensor.name}),
            )


def _decoder(place: UnitSite, tensor: str, rank: RankFormat) -> Unit:
    bits = _width(place, rank)
    return Unit(
        name=f"{rank.kind} decoder of {tensor}",
        class_name="decoder",
        count=place.lanes,
        attributes={"bits": bits, "format": rank.kind},
        tensors=frozenset({tensor}),
    )


def _width(place: UnitSite, rank: RankFormat) -> float:
    """Bits that a unit processes at once: one entry; of a mask those of one access."""
    if rank.kind in ("B", "UB"):
        given = place.spec.metadata.access_bits
        return place.word_bits if given is None else given
    bits = rank.payload_bits if rank.kind == "UOP" else rank.metadata_bits
    return place.metadata_bits if bits is None else bits


# --- features -------------------------------------------------------------------------------------------------


def _intersections(level: int, places: Sequence[UnitSite], sparse: Sparse) -> Iterator[Unit]:
    """One intersection unit per lane and group of tensors that are compared; none for leader-follower lookups."""
    seen = set[frozenset[str]]()
    for saf in sparse.safs:
        group = frozenset((saf.follower, *saf.leaders))
        compared = saf.kind != "gate" and saf.intersection != "leader_follower" and len(group) > 1
        if saf.level != level or not compared or group in seen:
            continue
        seen.add(group)
        rank = _leading(saf, sparse)
        style = "skip_to" if saf.intersection == "skip_ahead" else STYLES.get(rank.kind if rank else "CP", "coordinate")
        bits = places[level].metadata_bits if rank is None else _width(places[level], rank)
        yield Unit(
            name=f"intersection of {' and '.join(sorted(group))}",
            class_name="intersection",
            count=places[level].lanes,
            attributes={"bits": bits, "style": style},
            tensors=group,
        )


def _leading(saf: Saf, sparse: Sparse) -> RankFormat | None:
    """The innermost rank with metadata that a leader has at the level of the feature or outside."""
    for level in range(saf.level, -1, -1):
        for leader in saf.leaders:
            form = sparse.format(level, leader)
            ranks = [rank for rank in form.ranks if rank.kind != "U"] if form else []
            if ranks:
                return ranks[-1]
    return None


def _gates(level: int, places: Sequence[UnitSite], sparse: Sparse) -> Iterator[Unit]:
    """Zero detectors for gates on tensors without metadata."""
    leaders = dict.fromkeys(u for s in sparse.safs if s.kind == "gate" and s.level == level for u in s.leaders)
    for leader in leaders:
        if not any((form := sparse.format(i, leader)) and form.has_metadata for i in range(level + 1)):
            yield Unit(
                name=f"zero detectors of {leader}",
                class_name="zero_detector",
                count=places[level].lanes,
                attributes={"bits": places[level].word_bits},
                tensors=frozenset({leader}),
            )
