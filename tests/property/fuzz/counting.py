"""The same counts from the model and from the walker, under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sparseloop.model.cost.cost import Cost
from sparseloop.model.design.sparse import TensorFormat
from sparseloop.validation.walker import RankUnits, Walk
from tests.property.fuzz.specification import METADATA_BITS, WORD_BITS, Specification

CLASSES = ("total", "actual", "gated", "skipped", "absent")
KINDS = ("reads", "fills", "updates")
PARTS = (("entries", "metadata"), ("payloads", "payload"))

Counts = dict[str, float]


def _put(counts: Counts, name: str, classes: Any) -> None:
    """Adds every class of one kind of event."""
    for one in CLASSES:
        counts[f"{name} {one}"] = counts.get(f"{name} {one}", 0.0) + float(getattr(classes, one))


def model_counts(cost: Cost) -> Counts:
    """All counts of the model."""
    counts = Counts()
    links = cost.sparse.links
    filled = {(k.dense.link.child, k.dense.link.name): k for k in links}
    for k in links:
        level, tensor = k.dense.link.parent, k.dense.link.name
        at, source = f"L{level} {tensor}", filled.get((level, tensor))
        _put(counts, f"{at} reads", k.reads)
        _put(counts, f"{at} updates", k.updates)
        if source is not None:
            _put(counts, f"{at} fills", source.fills)
        counts[f"{at} decompress"] = float(source.decompress) if source is not None else 0.0
        counts[f"{at} compress"] = float(k.compress)
        for number, rank in enumerate(reversed(k.ranks)):
            for kind in KINDS:
                for part, _ in PARTS:
                    _put(counts, f"{at} metadata {part} {kind} r{number}", getattr(rank, part)[kind])
    _put(counts, "computes", cost.sparse.computes)
    counts["steps"] = float(cost.dense.steps)
    counts["compute cycles"] = float(cost.levels[-1].cycles)
    for level, place in enumerate(cost.levels[:-1]):
        counts[f"L{level} cycles"] = float(place.cycles)
    return counts


def laid_out(cost: Cost) -> bool:
    """False if some format cannot be laid on the loops, so that the mapping is reported as invalid."""
    return not any(bool(k.misfit) for k in cost.sparse.links)


def walker_counts(spec: Specification, walk: Walk) -> Counts:
    """The same of one walk."""
    counts = Counts()
    for (level, tensor), found in walk.tensors.items():
        at = f"L{level} {tensor}"
        for kind in KINDS:
            _put(counts, f"{at} {kind}", getattr(found, kind))
        counts[f"{at} decompress"] = found.decompress
        counts[f"{at} compress"] = found.compress
        form = spec.sparse.format(level, tensor)
        if form is not None:
            for kind in KINDS:
                _put_ranks(counts, (at, kind), getattr(found, f"metadata_{kind}"), len(form.ranks))
    _put(counts, "computes", walk.computes)
    counts["steps"] = walk.cycles
    counts["compute cycles"] = walk.cycles * (walk.computes.actual + walk.computes.gated) / walk.computes.total
    for level in range(len(spec.places)):
        counts[f"L{level} cycles"] = _cycles(spec, walk, level)
    return counts


def _put_ranks(counts: Counts, at: tuple[str, str], ranks: Iterable[RankUnits], given: int) -> None:
    """r0 is the innermost rank; what the walker adds for repetitions of the outermost one counts as that one."""
    for number, units in enumerate(reversed(tuple(ranks))):
        for part, name in PARTS:
            _put(counts, f"{at[0]} metadata {part} {at[1]} r{min(number, given - 1)}", getattr(units, name))


def _cycles(spec: Specification, walk: Walk, level: int) -> float:
    """Words that keep their slot, and metadata in words, over the bandwidth of all instances in use."""
    place = spec.places[level]
    reads = writes = 0.0
    for (at, tensor), found in walk.tensors.items():
        if at == level:
            reads += _slots(found.reads)
            writes += _slots(found.fills) + _slots(found.updates)
            form = spec.sparse.format(level, tensor)
            if form is not None:
                reads += _metadata_words(form, found.metadata_reads)
                writes += _metadata_words(form, found.metadata_fills) + _metadata_words(form, found.metadata_updates)
    rates = ((reads, place.read_bandwidth), (writes, place.write_bandwidth), (reads + writes, place.shared_bandwidth))
    return max((words / walk.instances[level] / rate for words, rate in rates if rate is not None), default=0.0)


def _slots(classes: Any) -> float:
    return classes.actual + classes.gated


def _metadata_words(form: TensorFormat, ranks: tuple[RankUnits, ...]) -> float:
    """Entries and payloads in words of the level."""
    bits = 0.0
    for number, units in enumerate(reversed(ranks)):
        given = form.ranks[max(0, len(form.ranks) - 1 - number)]
        entry = given.metadata_bits if given.metadata_bits is not None else 1 if given.kind == "B" else METADATA_BITS
        payload = given.payload_bits if given.payload_bits is not None else METADATA_BITS
        bits += _slots(units.metadata) * entry + _slots(units.payload) * payload
    return bits / WORD_BITS


def total_of(name: str, counts: Mapping[str, float]) -> float:
    """How many events the count is a part of; for a count without classes itself."""
    events = name.replace(" decompress", " fills x").replace(" compress", " updates x")
    return counts.get(events.rsplit(" ", 1)[0] + " total", counts[name])
