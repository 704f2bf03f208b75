"""The same counts from the model and from the walker, under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.model.cost.cost import Cost
from sparseloop.model.design.sparse import TensorFormat
from sparseloop.model.sparse_traffic import Overflow
from sparseloop.validation.walker import RankUnits, Walk, WalkedTensor
from tests.property.fuzz.specification import METADATA_BITS, WORD_BITS, Specification

CLASSES = ("total", "actual", "gated", "skipped", "absent")
KINDS = ("reads", "fills", "updates")
PARTS = (("entries", "metadata"), ("payloads", "payload"))

Counts = dict[str, float]


def _put(counts: Counts, name: str, classes: Any) -> None:
    """Adds every class of one kind of event."""
    for one in CLASSES:
        counts[f"{name} {one}"] = counts.get(f"{name} {one}", 0.0) + float(getattr(classes, one))


# --- the model ----------------------------------------------------------------------------------------------


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
            for kind, words in source.overflow._asdict().items():
                counts[f"{at} streamed {kind}"] = float(words)
        counts[f"{at} decompress"] = float(source.decompress) if source is not None else 0.0
        counts[f"{at} compress"] = float(k.compress)
        counts[f"{at} held mean"], counts[f"{at} held worst"] = float(k.resident.occupancy), float(k.resident.worst)
        for number, rank in enumerate(reversed(k.ranks)):
            for kind in KINDS:
                for part, _ in PARTS:
                    _put(counts, f"{at} metadata {part} {kind} r{number}", getattr(rank, part)[kind])
    _put(counts, "computes", cost.sparse.computes)
    counts["steps"] = float(cost.dense.steps)
    counts["compute cycles"] = float(cost.levels[-1].cycles)
    for level, place in enumerate(cost.levels[:-1]):
        counts[f"L{level} cycles"] = float(place.cycles)
        for action in place.actions:
            if action.action in ("read", "fill", "update"):
                counts[f"L{level} {action.tensor} {action.action} accesses"] = float(action.count)
    return counts


def laid_out(cost: Cost) -> bool:
    """False if some format cannot be laid on the loops, so that the mapping is reported as invalid."""
    return not any(bool(k.misfit) for k in cost.sparse.links)


# --- the walker ---------------------------------------------------------------------------------------------

Streams = Mapping[tuple[int, str], Overflow]
"""(level, tensor) to words that do not fit and are streamed at each use: reads and updates of the parent, fills here."""
NOTHING = Overflow(0.0, 0.0)


def walked_counts(spec: Specification, walks: Sequence[Walk]) -> list[Counts]:
    """The same of every walk."""
    return [_counts(spec, walk, streams) for walk, streams in zip(walks, _streams(spec, walks), strict=True)]


def _streams(spec: Specification, walks: Sequence[Walk]) -> list[Streams]:
    """Uses of words beyond the room that no fill serves, and no return of a word as a whole, of every walk."""
    streams: list[dict[tuple[int, str], Overflow]] = [{} for _ in walks]
    for at in spec.machine().rooms:
        here = [walk.tensors[at] for walk in walks]
        read = _streamed(here, [one.reads.actual for one in here], "arriving")
        written = _streamed(here, [one.updates.actual for one in here], "departing")
        for found, down, up in zip(streams, read, written, strict=True):
            found[at] = Overflow(*down, float(up[0]))
            if _is_added(spec, at):  # nothing comes, and the parent has what returned before
                found[at] = Overflow(float(up[0]), 0.0, float(up[0]))
    return streams


def _is_added(spec: Specification, at: tuple[int, str]) -> bool:
    """Does the next outer level of a result in the making add what returns to it?"""
    level, name = at
    outer = next((i for i in reversed(range(level)) if name in spec.places[i].keep), None)
    form = None if outer is None else spec.sparse.format(outer, name)
    if outer is None or form is None or not form.compressed or name != spec.output.name:
        return False
    return spec.output.density.produced and spec.sparse.partials.get(outer) == "add"


def _streamed(found: Sequence[WalkedTensor], uses: Sequence[float], served: str) -> npt.NDArray[np.float64]:
    """Words of every walk as the parent, and as the level itself sees them.

    Uses of a word in a visit are accesses over words held, of all walks together. What a walk adds to that ratio is added to
    its number, so that the numbers spread as their mean does (the delta method).
    """
    held = np.array([one.beyond[1].held for one in found])
    excess = np.array([[end.excess for end in one.beyond] for one in found])
    done = np.array([[getattr(end, served) for end in one.beyond] for one in found])
    if not held.sum():
        return np.zeros_like(excess)
    each = np.sum(uses) / held.sum()
    if each * excess[:, 1].sum() <= done[:, 1].sum():
        return np.zeros_like(excess)
    parts = (np.array(uses) - each * held) / held.mean()
    return excess * each + np.outer(parts, excess.mean(axis=0)) - done


def _counts(spec: Specification, walk: Walk, streams: Streams) -> Counts:
    counts = Counts()
    for (level, tensor), found in walk.tensors.items():
        at = f"L{level} {tensor}"
        for kind in KINDS:
            _put(counts, f"{at} {kind}", getattr(found, kind))
        counts[f"{at} decompress"] = found.decompress
        counts[f"{at} compress"] = found.compress
        counts |= _of_tiles(spec, walk, (level, tensor), streams)
        form = spec.sparse.format(level, tensor)
        if form is not None:
            for kind in KINDS:
                _put_ranks(counts, (at, kind), getattr(found, f"metadata_{kind}"), len(form.ranks))
    _put(counts, "computes", walk.computes)
    counts["steps"] = walk.cycles
    # Timeloop's files: positions that are never active save no time, which the walker does not say
    packing = [saf.level for saf in spec.sparse.safs if saf.kind == "spatial_skip"] if spec.sparse.timeloop_reading else []
    if not packing:
        counts["compute cycles"] = walk.compute_cycles
    for level in range(min(packing, default=len(spec.places) - 1) + 1):
        if not any(spec.shares_its_room(at) for at in range(len(spec.places))):
            counts[f"L{level} cycles"] = _cycles(spec, walk, level, streams)
    return counts


def _of_copies(spec: Specification, name: str, outside: int | None, held: tuple[float, float]) -> Counts:
    """What copies of a result hold in the end: of given data where they start empty (else the model takes them as finished)."""
    made = spec.einsum().tensors[-1].density
    if not made.produced or spec.imperfect or not spec.output.plain:
        return Counts()
    if not made.deterministic:
        return Counts({f"{name} held mean": held[0]})
    empty = outside is not None and spec.sparse.partials.get(outside) == "add"
    return Counts({f"{name} held mean": held[0], f"{name} held worst": held[1]}) if empty else Counts()


def _of_tiles(spec: Specification, walk: Walk, at: tuple[int, str], streams: Streams) -> Counts:
    """What depends on tiles: words held, words streamed, accesses of blocks; nothing where the semantics do not say it."""
    (level, tensor), found = at, walk.tensors[at]
    name, counts = f"L{level} {tensor}", Counts()
    operand = next(t for t in spec.tensors if t.name == tensor)
    outside = max((other for other, name in walk.tensors if name == tensor and other < level), default=None)
    even = operand.plain and not spec.imperfect and not operand.density.produced
    if operand.density.produced:
        counts |= _of_copies(spec, name, outside, found.held)
    if even:
        counts[f"{name} held mean"] = found.held[0]
    if even and operand.density.fixed(spec.data_shape(operand)):
        counts[f"{name} held worst"] = found.held[1]
    kept = [at for at in walk.tensors if at[1] == tensor]
    inner = next((at for at in kept if at[0] > level), None)
    if any(spec.shares_its_room(other) for other, _ in kept):
        return counts
    down, here = streams.get(inner, NOTHING) if inner else NOTHING, streams.get(at, NOTHING)
    if (level, tensor) != kept[0]:
        counts |= {f"{name} streamed {kind}": words for kind, words in here._asdict().items()}
    blocks = spec.places[level].block > 1  # Timeloop's files are counted in its own way
    if not blocks or not (any(down) or here.fills or spec.sparse.timeloop_reading):
        counts[f"{name} read accesses"] = found.accesses.reads + down.reads
        counts[f"{name} fill accesses"] = found.accesses.fills + here.fills
        counts[f"{name} update accesses"] = found.accesses.updates + down.updates
    return counts


def _put_ranks(counts: Counts, at: tuple[str, str], ranks: Iterable[RankUnits], given: int) -> None:
    """r0 is the innermost rank; what the walker adds for repetitions of the outermost one counts as that one."""
    for number, units in enumerate(reversed(tuple(ranks))):
        for part, name in PARTS:
            _put(counts, f"{at[0]} metadata {part} {at[1]} r{min(number, given - 1)}", getattr(units, name))


def _cycles(spec: Specification, walk: Walk, level: int, streams: Streams) -> float:
    """Words that keep their slot, and metadata in words, over the bandwidth of all instances in use."""
    place = spec.places[level]
    reads = writes = 0.0
    for (at, tensor), found in walk.tensors.items():
        if at == level:
            reads += _slots(found.reads)
            writes += _slots(found.fills) + _slots(found.updates) + streams.get((at, tensor), NOTHING).fills
            inner = next((key for key in walk.tensors if key[1] == tensor and key[0] > level), None)
            reads += streams.get(inner, NOTHING).reads if inner else 0.0
            writes += streams.get(inner, NOTHING).updates if inner else 0.0
            form = spec.sparse.format(level, tensor)
            if form is not None:
                reads += _metadata_words(form, found.metadata_reads)
                writes += _metadata_words(form, found.metadata_fills) + _metadata_words(form, found.metadata_updates)
    rates = ((reads, place.read_bandwidth), (writes, place.write_bandwidth), (reads + writes, place.shared_bandwidth))
    return max((words / _instances(spec, walk, level) / rate for words, rate in rates if rate is not None), default=0.0)


def _instances(spec: Specification, walk: Walk, level: int) -> float:
    """Instances that ever work; where positions are packed, those that there are for them."""
    count = float(walk.instances[level])
    for outer, lanes in spec.machine().lanes.items():
        if outer < level:
            positions = spec.positions(outer)
            count *= min(positions, lanes) / positions
    return count


def _slots(classes: Any) -> float:
    return classes.actual + classes.gated


def _metadata_words(form: TensorFormat, ranks: tuple[RankUnits, ...]) -> float:
    """Entries and payloads in words of the level."""
    bits = 0.0
    for number, units in enumerate(reversed(ranks)):
        given = form.ranks[max(0, len(form.ranks) - 1 - number)]
        entry = given.metadata_bits if given.metadata_bits is not None else 1 if given.kind in ("B", "UB") else METADATA_BITS
        payload = given.payload_bits if given.payload_bits is not None else METADATA_BITS
        bits += _slots(units.metadata) * entry + _slots(units.payload) * payload
    return bits / WORD_BITS


def total_of(name: str, counts: Mapping[str, float]) -> float:
    """How many events the count is a part of; where that is not known, twice the count."""
    events = name.replace(" decompress", " fills x").replace(" compress", " updates x").replace(" accesses", "s x")
    return counts.get(events.rsplit(" ", 1)[0] + " total", 2 * counts[name])
