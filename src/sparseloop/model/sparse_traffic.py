"""From dense to sparse traffic: every event in its class, with the metadata it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any, TypeVar, cast

from sparseloop.model import ops
from sparseloop.model.design.sparse import Saf
from sparseloop.model.formats.metadata import Metadata, RankTraffic
from sparseloop.model.formats.occupancy import Resident
from sparseloop.model.lazy import lazy
from sparseloop.model.ops import Array
from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparsity.emptiness import Emptiness
from sparseloop.model.sparsity.features import (
    CLASS_NAMES,
    Classes,
    Features,
    compute_classes,
    event_classes,
    fill_classes,
    skipped_at_compute,
)
from sparseloop.model.sparsity.packing import packing, waves
from sparseloop.model.traffic.dense import LinkTraffic, Traffic

T = TypeVar("T")

WHOLE = (str, Link, Plan, Resident, LinkTraffic)
"""What alternatives have in common."""


@dataclass(frozen=True, kw_only=True, eq=False)
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
    child: LinkSparse | None = None
    """The tensor's next inner link; None at the compute link."""

    @lazy
    def forwarded(self) -> Array:
        """Words a child passed on to its neighbour: the dense number, thinned like the fills."""
        return self.dense.forwarded * ops.ratio(self.fills.actual, self.fills.total)

    @lazy
    def overflow(self) -> tuple[Array, Array]:
        """(parent reads, child fills) beyond `reads` and `fills`: words of overbooked tiles streamed at each use.

        A child that sizes its tiles by a quantile retains `counted` words; the excess x = E[max(0, k - counted)] per
        tile is fetched anew at each of the rho = reads / fills uses: x (rho - 1) per delivered tile.
        """
        link = self.dense.link
        if self.child is None or not link.child_compressed or not isinstance(self.child.resident.rule, float):
            return 0.0, 0.0
        tile = self.child.resident
        excess = tile.model.excess(tile.footprint, tile.extents, tile.counted)
        uses = ops.maximum(0.0, ops.ratio(self.child.reads.actual, self.fills.actual) - 1.0)
        fills = excess * uses * self.dense.fills / self.dense.tile
        return fills / self.dense.sharing, fills


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseTraffic:
    """All sparse counts of a mapping."""

    links: tuple[LinkSparse, ...]
    computes: Classes
    skipped_at_compute: Array
    """Computes that reach the compute level and are skipped there; the others never come up."""
    packing: tuple[Array, ...]
    """Per storage level: share of its spatial positions that are ever active at once (1 without spatial skips)."""
    waves: tuple[Array, ...]
    """Per storage level whose positions are packed in waves: time of a step over the share of active positions; else 1."""


def apply_safs(plan: Plan, dense: Traffic) -> SparseTraffic:
    """Classify every dense event; where features are alternatives, the one that saves most energy is taken."""
    emptiness = Emptiness(dense.tiles)
    fixed = frozenset(s for s in plan.sparse.safs if s.choice is None)
    groups: dict[int, list[Saf]] = {}
    for saf in plan.sparse.safs:
        if saf.choice is not None:
            groups.setdefault(saf.choice, []).append(saf)
    if not groups:
        return _classify(plan, dense, emptiness, fixed)
    picks = [_best(plan, dense, emptiness, group) for group in groups.values()]
    results: list[SparseTraffic] = []
    index: Array = 0
    for pick, group in zip(picks, groups.values(), strict=True):
        index = index * len(group) + pick
    wanted = {index} if isinstance(index, int) else None
    for number, chosen in enumerate(product(*groups.values())):
        if wanted is None or number in wanted:
            results.append(_classify(plan, dense, emptiness, fixed | set(chosen)))
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

    def pick(values: Sequence[Array]) -> Array:
        result = values[0]
        for number, value in enumerate(values[1:], start=1):
            result = ops.where(index == number, value, result)
        return result

    return merge(pick, alternatives)


def merge(function: Callable[[Sequence[Array]], Array], records: Sequence[T]) -> T:
    """One record whose every array is `function` of the arrays of `records`; names and plans are taken from the first."""
    first: Any = records[0]
    merged: Any = first
    if isinstance(first, Classes):
        merged = Classes.of({name: function([getattr(r, name) for r in records]) for name in CLASS_NAMES})
    elif isinstance(first, WHOLE):
        pass
    elif isinstance(first, SparseTraffic):
        merged = _merge_traffic(function, cast("Sequence[SparseTraffic]", records))
    elif is_dataclass(first) and not isinstance(first, type):
        changed = {f.name: merge(function, [getattr(r, f.name) for r in records]) for f in fields(first)}
        merged = replace(first, **changed)
    elif isinstance(first, tuple):
        merged = tuple(merge(function, column) for column in zip(*records, strict=True))  # type: ignore[arg-type]
    elif isinstance(first, dict):
        merged = {k: merge(function, [r[k] for r in records]) for k in first}  # type: ignore[index]
    elif first is not None:
        merged = function(records)
    return merged


def _merge_traffic(function: Callable[[Sequence[Array]], Array], records: Sequence[SparseTraffic]) -> SparseTraffic:
    columns = zip(*([replace(k, child=None) for k in r.links] for r in records), strict=True)
    return SparseTraffic(
        links=_chained(tuple(merge(function, column) for column in columns)),
        computes=merge(function, [r.computes for r in records]),
        skipped_at_compute=merge(function, [r.skipped_at_compute for r in records]),
        packing=merge(function, [r.packing for r in records]),
        waves=merge(function, [r.waves for r in records]),
    )


def _classify(plan: Plan, dense: Traffic, emptiness: Emptiness, active: frozenset[Saf]) -> SparseTraffic:
    """Classes under one set of features; words that stay unequally long in a sliding window are averaged."""
    base = Features(dense.tiles, emptiness, active)
    sliding = {link.index: windows for link in plan.links if (windows := base.windows(link))}
    if not sliding:
        return _with(plan, dense, base)
    groups = [dict(zip(sliding, choice, strict=True)) for choice in product(*sliding.values())]
    parts = [
        _with(plan, dense, Features(dense.tiles, emptiness, active, {k: w.cover for k, w in group.items()})) for group in groups
    ]
    links = tuple(
        _average(
            [part.links[at] for part in parts],
            [ops.product(w.delivered if k == at else w.used for k, w in group.items()) for group in groups],
        )
        for at in range(len(plan.links))
    )
    used = [ops.product(w.used for w in group.values()) for group in groups]
    return replace(
        parts[0],
        links=_chained(links),
        computes=_weighted([part.computes for part in parts], used),
        skipped_at_compute=_weighted([part.skipped_at_compute for part in parts], used),
    )


def _weighted(records: Sequence[T], weights: Sequence[Array]) -> T:
    return merge(lambda values: ops.total(v * w for v, w in zip(values, weights, strict=True)), records)


def _average(links: Sequence[LinkSparse], weights: Sequence[Array]) -> LinkSparse:
    first = links[0]
    counts = ("reads", "fills", "updates", "ranks", "decompress", "compress")
    return replace(first, **{name: _weighted([getattr(k, name) for k in links], weights) for name in counts})


def _with(plan: Plan, dense: Traffic, features: Features) -> SparseTraffic:
    metadata = Metadata(features, dense.links)
    return SparseTraffic(
        links=_chained(tuple(_link(features, metadata, counts) for counts in dense.links)),
        computes=compute_classes(features, dense.computes),
        skipped_at_compute=skipped_at_compute(features, dense.computes),
        packing=tuple(packing(features, level) for level in range(plan.compute)),
        waves=tuple(waves(features, level) if plan.arch.levels[level].waves else 1.0 for level in range(plan.compute)),
    )


def _chained(links: tuple[LinkSparse, ...]) -> tuple[LinkSparse, ...]:
    """The links, each knowing the next inner one of its tensor."""
    chained: dict[int, LinkSparse] = {}
    for k in reversed(links):
        link = k.dense.link
        below = next((c for c in chained.values() if _feeds(link, c.dense.link)), None)
        chained[link.index] = replace(k, child=below)
    return tuple(chained[k.dense.link.index] for k in links)


def _feeds(outer: Link, inner: Link) -> bool:
    return inner.tensor == outer.tensor and inner.parent == outer.child


def _link(features: Features, metadata: Metadata, dense: LinkTraffic) -> LinkSparse:
    link, emptiness = dense.link, features.emptiness
    c = features.conditions(link)
    fills = fill_classes(dense.fills, emptiness, c, link.child_compressed, link.output)
    updates = event_classes(dense.updates, emptiness, c, link.compressed, False)
    layout = metadata.places.layouts[link.index]
    changes = link.compressed and not link.child_compressed and not link.to_compute
    return LinkSparse(
        dense=dense,
        reads=event_classes(dense.reads, emptiness, c, link.compressed, link.output),
        fills=fills,
        updates=updates,
        ranks=tuple(metadata.at(link)),
        resident=Resident(features=features, metadata=metadata, link=link),
        decompress=fills.actual if changes else 0.0,
        compress=updates.actual if changes and link.output else 0.0,
        unlaid=False if layout is None else ops.either(layout.leftover, layout.mismatch),
    )
