"""Priced actions: how often each action of a level happens and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from . import ops
from .ops import Array
from .plan import Plan
from .saf import Classes
from .sparse_traffic import LinkSparse, SparseTraffic

CLASS_PREFIX = (("actual", ""), ("gated", "gated_"), ("skipped", "skipped_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCost:
    """One priced action of one level: count over all instances, pJ each and in all."""

    level: int
    tensor: str | None
    action: str
    count: Array
    energy_pj_each: float
    energy_pj: Array
    source: str
    confidence: float


def actions_of_level(
    plan: Plan, level: int, links: tuple[list[LinkSparse], list[LinkSparse]], at: tuple[Array, Array]
) -> tuple[ActionCost, ...]:
    """All priced actions of a storage level; `links` = (below, above), `at` = (instances used, total cycles)."""
    below, above = links
    used, cycles = at
    spec = plan.arch.levels[level]
    clusters = 1.0
    if spec.cluster_size > 1:
        clusters = ops.minimum(used, spec.instances / spec.cluster_size) / used
    filled = {k.dense.link.tensor: k for k in above}
    priced: list[ActionCost] = []
    for k in below:
        source = filled.get(k.dense.link.tensor)
        for action, count in _tensor_actions(plan, k, source).items():
            priced.append(_price(plan, level, (k.dense.link.name, action), count * clusters))
    priced.append(_price(plan, level, (None, "leak"), cycles * spec.instances))
    return tuple(priced)


def actions_of_compute(plan: Plan, sparse: SparseTraffic, cycles: Array) -> tuple[ActionCost, ...]:
    """All priced actions of the compute level."""
    level = plan.compute
    counts = {prefix + "compute": getattr(sparse.computes, name) for name, prefix in CLASS_PREFIX}
    priced = [_price(plan, level, (None, action), count) for action, count in counts.items()]
    priced.append(_price(plan, level, (None, "leak"), cycles * plan.arch.compute.instances))
    return tuple(priced)


def _price(plan: Plan, level: int, what: tuple[str | None, str], count: Array) -> ActionCost:
    tensor, action = what
    price = plan.arch.levels[level].prices[action]
    return ActionCost(
        level=level,
        tensor=tensor,
        action=action,
        count=count,
        energy_pj_each=price.energy_pj,
        energy_pj=count * price.energy_pj,
        source=price.source,
        confidence=price.confidence,
    )


def _tensor_actions(plan: Plan, k: LinkSparse, source: LinkSparse | None) -> dict[str, Array]:
    link = k.dense.link
    spec = plan.arch.levels[link.parent]
    data = [("read", k.reads), ("update", k.updates)]
    if source is not None:
        data.insert(1, ("fill", source.fills))
    counts: dict[str, Array] = {}
    vectors = vectors_per_word(plan, k)
    for action, classes in data:
        _add_classes(counts, action, classes, vectors)
    if spec.metadata_access_bits:
        for action in ("read", "fill", "update"):
            for rank in k.ranks:
                _add_classes(counts, f"metadata_{action}", rank.bits(f"{action}s"), 1.0 / spec.metadata_access_bits)
    counts["decompress"] = source.decompress if source is not None else 0.0
    counts["compress"] = k.compress
    visible = k.updates if link.output else k.reads
    addresses = visible.actual + visible.gated
    if source is not None:
        addresses = addresses + source.fills.actual + source.fills.gated
    counts["address_generation"] = addresses
    if link.output:
        counts["reduction"] = k.reads.actual
    counts["intersect"] = _intersections(k)
    return counts


def _intersections(k: LinkSparse) -> Array:
    """Checks of an intersection unit: one per access that reaches a skip of this link."""
    if not any(s.kind != "gate" for s in k.dense.link.safs):
        return 0.0
    visible = k.updates if k.dense.link.output else k.reads
    return visible.actual + visible.gated + visible.skipped


def _add_classes(counts: dict[str, Array], action: str, classes: Classes, factor: Array) -> None:
    for name, prefix in CLASS_PREFIX:
        key = prefix + action
        counts[key] = counts.get(key, 0.0) + getattr(classes, name) * factor


def vectors_per_word(plan: Plan, k: LinkSparse) -> Array:
    """Physical accesses per word: 1/B, and for packed words of compressed tiles E[ceil(k/B)] / E[k]."""
    link = k.dense.link
    block = plan.arch.levels[link.parent].block_size
    if block == 1 or not link.compressed:
        return 1.0 / block
    model = plan.einsum.tensors[link.tensor].density
    size = k.resident.footprint
    return ops.ratio(model.blocks(size, k.resident.extents, block), model.mean(size))
