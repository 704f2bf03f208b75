"""Priced actions: how often each action of a level happens and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from sparseloop.model import ops
from sparseloop.model.ops import Array
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import LinkSparse, SparseTraffic
from sparseloop.model.sparsity.events import Events

CLASS_PREFIX = (("actual", ""), ("gated", "gated_"), ("skipped", "skipped_"))


@dataclass(frozen=True, kw_only=True, eq=False)
class ActionCost:
    """One priced action of one level: count over all instances, pJ each and in all; computed when first read."""

    level: int
    tensor: str | None
    action: str
    counter: Callable[[], Array]
    energy_pj_each: float
    source: str
    confidence: float

    @cached_property
    def count(self) -> Array:
        """How often the action happens, over all instances."""
        return self.counter()

    @cached_property
    def energy_pj(self) -> Array:
        """Energy of all of them; a free action is not even counted."""
        return self.count * self.energy_pj_each if self.energy_pj_each else 0.0


Counters = dict[str, Callable[[], Array]]


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
        for action, counter in _tensor_actions(plan, k, filled.get(k.dense.link.tensor)).items():
            shared = counter if spec.cluster_size == 1 else partial(_scaled, counter, clusters)
            priced.append(_price(plan, level, (k.dense.link.name, action), shared))
    priced.append(_price(plan, level, (None, "leak"), lambda: cycles * spec.instances))
    return tuple(priced)


def _scaled(counter: Callable[[], Array], factor: Array) -> Array:
    return counter() * factor


def actions_of_compute(plan: Plan, sparse: SparseTraffic, cycles: Array) -> tuple[ActionCost, ...]:
    """All priced actions of the compute level."""
    level = plan.compute
    counts: Counters = {prefix + "compute": partial(getattr, sparse.computes, name) for name, prefix in CLASS_PREFIX}
    counts["skipped_compute"] = lambda: sparse.skipped_at_compute
    priced = [_price(plan, level, (None, action), counter) for action, counter in counts.items()]
    priced.append(_price(plan, level, (None, "leak"), lambda: cycles * plan.arch.compute.instances))
    return tuple(priced)


def _price(plan: Plan, level: int, what: tuple[str | None, str], counter: Callable[[], Array]) -> ActionCost:
    tensor, action = what
    price = plan.arch.levels[level].prices[action]
    return ActionCost(
        level=level,
        tensor=tensor,
        action=action,
        counter=counter,
        energy_pj_each=price.energy_pj,
        source=price.source,
        confidence=price.confidence,
    )


def _tensor_actions(plan: Plan, k: LinkSparse, source: LinkSparse | None) -> Counters:
    link = k.dense.link
    spec = plan.arch.levels[link.parent]
    data = [("read", k.reads), ("update", k.updates)]
    if source is not None:
        data.insert(1, ("fill", source.fills))
    vectors = _Once(lambda: vectors_per_word(plan, k))
    counts: Counters = {}
    for action, classes in data:
        for name, prefix in CLASS_PREFIX:
            counts[prefix + action] = partial(_vectors, classes, name, vectors)
    counts["read"] = partial(_with_extra, counts["read"], lambda: _extra_reads(k, source), vectors)
    if source is not None:
        counts["fill"] = partial(_with_extra, counts["fill"], lambda: source.overflow[1], vectors)
    if spec.metadata_access_bits and k.ranks:
        for action in ("read", "fill", "update"):
            for name, prefix in CLASS_PREFIX:
                key = f"{prefix}metadata_{action}"
                counts[key] = partial(_metadata_accesses, k, f"{action}s", name, spec.metadata_access_bits)
        if link.to_compute:  # further out entries stay as they are, or words are decompressed
            counts["decode"] = counts["metadata_read"]
    counts["decompress"] = lambda: source.decompress if source is not None else 0.0
    counts["compress"] = lambda: k.compress
    counts["address_generation"] = partial(_addresses, k, source)
    if link.output and not link.to_compute and spec.reduction:  # the compute unit adds what it is given
        counts["reduction"] = lambda: k.reads.actual
    counts["intersect"] = partial(_intersections, k)
    return counts


class _Once:
    """A number computed at its first use."""

    def __init__(self, compute: Callable[[], Array]) -> None:
        self._compute = compute

    @cached_property
    def value(self) -> Array:
        """The number."""
        return self._compute()


def _vectors(classes: Events, name: str, vectors: _Once) -> Array:
    return getattr(classes, name) * vectors.value


def _with_extra(counter: Callable[[], Array], extra: Callable[[], Array], vectors: _Once) -> Array:
    words = extra()
    return counter() + words * vectors.value


def _extra_reads(k: LinkSparse, source: LinkSparse | None) -> Array:
    """Reads beyond those of the classes: overbooked words streamed to the child, words passed on to a neighbour."""
    return k.overflow[0] + (source.forwarded if source is not None else 0.0)


def _metadata_accesses(k: LinkSparse, action: str, name: str, width: float) -> Array:
    return ops.total(getattr(rank.bits(action), name) for rank in k.ranks) / width


def _addresses(k: LinkSparse, source: LinkSparse | None) -> Array:
    """One per actual or gated access (reads, of outputs updates) and fill."""
    visible = k.updates if k.dense.link.output else k.reads
    return visible.busy + (source.fills.busy if source is not None else 0.0)


def _intersections(k: LinkSparse) -> Array:
    """Comparisons of an intersection unit: one per access that reaches a skip of this link.

    None for a list looked up by its leader's coordinates, and none for a tensor skipped on its own zeros.
    """
    link = k.dense.link
    if not any(s.kind != "gate" and s.intersection != "leader_follower" and set(s.leaders) - {link.name} for s in link.safs):
        return 0.0
    visible = k.updates if k.dense.link.output else k.reads
    return visible.actual + visible.gated + visible.skipped


def vectors_per_word(plan: Plan, k: LinkSparse) -> Array:
    """Physical accesses per word: 1/B, and for packed words of compressed tiles E[ceil(k/B)] / E[k].

    B words of the tensor: a block of the level holds more of a narrow tensor's words, fewer of a wide one's.
    """
    link = k.dense.link
    block = plan.arch.levels[link.parent].block_size / plan.width(link.tensor, link.parent)
    if block <= 1 or not link.compressed:
        return 1.0 / block
    model = plan.einsum.tensors[link.tensor].density
    size = k.resident.footprint
    return ops.ratio(model.blocks(size, k.resident.extents, block), model.mean(size))
