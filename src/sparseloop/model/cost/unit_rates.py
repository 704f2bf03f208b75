"""Time of units that have a rate: what they process over what they can take in a cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sparseloop.model import ops
from sparseloop.model.cost.merging import mean_passes
from sparseloop.model.design.arch import UnitKind, UnitRate
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import LinkSparse, SparseTraffic
from sparseloop.model.units import Count, Cycles, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTime:
    """How long the units of one kind in one instance of a level are busy."""

    kind: UnitKind
    level: int
    processed: Count
    """Entries or words over all instances, with every pass through a merger."""
    cycles: Cycles


def unit_times(plan: Plan, sparse: SparseTraffic, used: Sequence[Count]) -> tuple[UnitTime, ...]:
    """Of all units with a rate, outermost level first."""
    found: list[UnitTime] = []
    for level in range(plan.compute):
        for unit in plan.arch.levels[level].rates:
            processed = PROCESSED[unit.kind](sparse, level, unit)
            cycles = processed / used[level] / (unit.count * unit.rate)
            found.append(UnitTime(kind=unit.kind, level=level, processed=processed, cycles=cycles))
    return tuple(found)


def slowest_unit(times: Sequence[UnitTime], level: int) -> Cycles:
    """Cycles of a level that its units need at least."""
    found: Cycles = 0.0
    for one in times:
        if one.level == level:
            found = ops.maximum(found, one.cycles)
    return found


def _compared(sparse: SparseTraffic, level: int, _: UnitRate) -> Count:
    """Coordinates, or bits of masks, of the lists that features of the level compare; each counts once."""
    safs = [saf for k in sparse.links for saf in k.dense.link.safs if saf.level == level and saf.compares]
    names = {name for saf in safs for name in (saf.follower, *saf.leaders)}
    return ops.total(_entries(k) for k in sparse.links_from(level) if k.dense.link.name in names)


def _entries(k: LinkSparse) -> Count:
    """Entries of all ranks that are looked at, and take time; of results those that are written."""
    action = "updates" if k.dense.link.output else "reads"
    return ops.total(rank.entries[action].busy for rank in k.ranks)


def _looked_up(sparse: SparseTraffic, level: int, _: UnitRate) -> Count:
    """Accesses that reach a feature which looks the leader's element up."""
    return ops.total(_reaching(k) for k in sparse.links if _looks_up(k, level))


def _looks_up(k: LinkSparse, level: int) -> bool:
    link = k.dense.link
    return any(s.level == level and s.saves_time and s.looks_up and set(s.leaders) - {link.name} for s in link.safs)


def _reaching(k: LinkSparse) -> Count:
    events = k.updates if k.dense.link.output else k.reads
    return events.busy + events.skipped


def _decoded(sparse: SparseTraffic, level: int, _: UnitRate) -> Words:
    """Words that leave their compressed form: read for computes here, or decompressed when they arrive."""
    read = [k.reads.busy for k in sparse.links_from(level) if k.dense.link.compressed and k.dense.link.to_compute]
    return ops.total([*read, *(k.decompress for k in sparse.links_into(level))])


def _merged(sparse: SparseTraffic, level: int, unit: UnitRate) -> Words:
    """Words of results that arrive, with every pass."""
    return ops.total(words_merged(k, unit) for k in sparse.links_from(level) if k.dense.link.output)


def words_merged(k: LinkSparse, unit: UnitRate) -> Words:
    """Words of a result that arrive over its link, as often as they pass the merger."""
    return k.updates.busy * (1.0 if unit.radix is None else mean_passes(k.resident.safs, k.dense.link, unit.radix))


PROCESSED: Mapping[UnitKind, Callable[[SparseTraffic, int, UnitRate], Count]] = {
    "intersection": _compared,
    "index": _looked_up,
    "decode": _decoded,
    "merge": _merged,
}
