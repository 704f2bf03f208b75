"""From dense to sparse traffic: every event in its class, with the metadata it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any, TypeVar

from . import ops
from .emptiness import Emptiness
from .formats import Metadata, RankTraffic
from .occupancy import Resident, resident
from .ops import Array
from .plan import Link, Plan
from .saf import Classes, Features, Window, compute_classes, event_classes, fill_classes
from .sparse import Saf
from .traffic import LinkTraffic, Traffic

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSparse:
    """Sparse traffic of one link: accesses of the parent and fills of the child, in words over all instances."""

    dense: LinkTraffic
    reads: Classes
    fills: Classes
    """Words written into the child."""
    updates: Classes
    ranks: tuple[RankTraffic, ...]
    """Metadata of the tensor at the parent: its reads and updates, and the fills from the next outer level."""
    resident: Resident
    """The tile held by one instance of the parent."""
    decompress: Array
    """Words a decompressor writes into the child."""
    compress: Array
    """Words a compressor writes into the parent."""
    unlaid: Array
    """True where the parent's format cannot be laid on the loops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseTraffic:
    """All sparse counts of a mapping."""

    links: tuple[LinkSparse, ...]
    computes: Classes
    packing: tuple[Array, ...]
    """Per storage level: share of its spatial positions that are ever active at once (1 without spatial skips)."""


def apply_safs(plan: Plan, dense: Traffic) -> SparseTraffic:
    """Classify every dense event; where features are alternatives, the one that saves most energy is taken."""
    emptiness = Emptiness(dense.tiles)
    fixed = frozenset(s for s in plan.sparse.safs if s.choice is None)
    groups: dict[int, list[Saf]] = {}
    for saf in plan.sparse.safs:
        if saf.choice is not None:
            groups.setdefault(saf.choice, []).append(saf)
    if not groups:
        return _classify(plan, dense, Features(dense.tiles, emptiness, fixed))
    picks = [_best(plan, dense, emptiness, group) for group in groups.values()]
    results: list[SparseTraffic] = []
    index: Array = 0
    for pick, group in zip(picks, groups.values(), strict=True):
        index = index * len(group) + pick
    wanted = {index} if isinstance(index, int) else None
    for number, chosen in enumerate(product(*groups.values())):
        if wanted is None or number in wanted:
            results.append(_classify(plan, dense, Features(dense.tiles, emptiness, fixed | set(chosen))))
        else:
            results.append(results[0] if results else None)  # type: ignore[arg-type]
    return select(index, results)


def _best(plan: Plan, dense: Traffic, emptiness: Emptiness, group: list[Saf]) -> Array:
    """Index of the alternative with the largest read price * words * removed fraction at its own link."""
    best: Array = -1.0
    index: Array = 0
    for number, saf in enumerate(group):
        link = next((k for k in plan.links if saf in k.safs), None)
        if link is None:
            continue
        counts = dense.links[link.index]
        features = Features(dense.tiles, emptiness, frozenset({saf}))
        words = counts.updates if link.output else counts.reads
        split = event_classes(words, emptiness, features.conditions(link), link.compressed, False)
        level = plan.arch.levels[link.parent]
        price = level.prices["read"].energy_pj / level.block_size
        saved = price * (split.gated + split.skipped)
        better = saved > best
        index, best = ops.where(better, number, index), ops.where(better, saved, best)
    return index


def select(index: Array, alternatives: Sequence[T]) -> T:
    """Elementwise alternatives[index] over records of arrays."""
    if isinstance(index, int):
        return alternatives[index]
    first: Any = alternatives[0]
    if is_dataclass(first) and not isinstance(first, type):
        if isinstance(first, (Link, Plan)):
            return alternatives[0]
        changed = {f.name: select(index, [getattr(a, f.name) for a in alternatives]) for f in fields(first)}
        return replace(first, **changed)
    if isinstance(first, tuple):
        return tuple(select(index, column) for column in zip(*alternatives, strict=True))  # type: ignore[return-value,arg-type]
    if isinstance(first, dict):
        return {k: select(index, [a[k] for a in alternatives]) for k in first}  # type: ignore[return-value,index]
    if isinstance(first, str) or first is None:
        return first
    result: Array = first
    for number, value in enumerate(alternatives[1:], start=1):
        result = ops.where(index == number, value, result)
    return result


def _classify(plan: Plan, dense: Traffic, features: Features) -> SparseTraffic:
    metadata = Metadata(features, dense.links)
    return SparseTraffic(
        links=tuple(_link(features, metadata, counts) for counts in dense.links),
        computes=compute_classes(features, dense.computes),
        packing=tuple(features.packing(level) for level in range(plan.compute)),
    )


def _link(features: Features, metadata: Metadata, dense: LinkTraffic) -> LinkSparse:
    link = dense.link
    groups = [_events(features, dense, window) for window in features.windows(link)]
    reads, fills, updates = (sum(parts[1:], parts[0]) for parts in zip(*groups, strict=True))
    layout = metadata.layouts[link.index]
    changes = link.compressed and not link.child_compressed and not link.to_compute
    return LinkSparse(
        dense=dense,
        reads=reads,
        fills=fills,
        updates=updates,
        ranks=tuple(metadata.at(link)),
        resident=resident(features, metadata, link),
        decompress=fills.actual if changes else 0.0,
        compress=updates.actual if changes and link.output else 0.0,
        unlaid=False if layout is None else ops.either(layout.leftover, layout.mismatch),
    )


def _events(features: Features, dense: LinkTraffic, window: Window | None) -> tuple[Classes, Classes, Classes]:
    """Reads, fills and updates of the words that stay equally long."""
    link, emptiness = dense.link, features.emptiness
    c = features.conditions(link, None if window is None else window.cover)
    weight = 1.0 if window is None else window.weight
    return (
        event_classes(dense.reads * weight, emptiness, c, link.compressed, link.output),
        fill_classes(dense.fills * weight, emptiness, c, link.child_compressed, link.output),
        event_classes(dense.updates * weight, emptiness, c, link.compressed, False),
    )
