"""Priced actions: how often each action of a level happens and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal, get_args

from sparseloop.model import ops
from sparseloop.model.cost.blocks import Blocks, of_accesses, of_fills
from sparseloop.model.cost.unit_rates import words_merged
from sparseloop.model.design.arch import Arch, Price
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import Sparse
from sparseloop.model.formats.ranks import least_bits
from sparseloop.model.plan import LinkEnds, Plan
from sparseloop.model.sparse_traffic import LinkSparse, SparseTraffic
from sparseloop.model.sparsity.events import Events
from sparseloop.model.sparsity.features import compute_leaders, features_at, link_leaders
from sparseloop.model.units import Count, Cycles, Pj, Share, Words

CLASS_PREFIX = (("actual", ""), ("gated", "gated_"), ("skipped", "skipped_"))
"""Class of events, and how its actions are called."""
Counter = Callable[[], Count]
"""Computes a count when it is asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ActionCost:
    """One priced action of one level: count over all instances, pJ each and in all; computed when first read."""

    level: int
    tensor: str | None
    """None: an action of the level as a whole."""
    action: str
    counter: Counter
    energy_pj_each: Pj
    source: str
    confidence: float

    @cached_property
    def count(self) -> Count:
        """How often the action happens, over all instances."""
        return self.counter()

    @cached_property
    def energy_pj(self) -> Pj:
        """Energy of all of them; a free action is not even counted."""
        return self.count * self.energy_pj_each if ops.some(self.energy_pj_each) else 0.0


def actions_of_level(plan: Plan, sparse: SparseTraffic, level: int, used: Count, cycles: Cycles) -> tuple[ActionCost, ...]:
    """All priced actions of a storage level, of which `used` instances work, in a mapping that takes `cycles` in all."""
    spec = plan.arch.levels[level]
    clusters: Share = 1.0
    if spec.cluster_size > 1:
        clusters = ops.minimum(used, spec.instances / spec.cluster_size) / used
    sources = {k.dense.link.tensor: k for k in sparse.links_into(level)}
    priced: list[ActionCost] = []
    for k in sparse.links_from(level):
        link = k.dense.link
        for action, counter in _tensor_actions(plan, k, sources.get(link.tensor)).items():
            shared = counter if spec.cluster_size == 1 else partial(_scaled, counter, clusters)
            priced.append(_priced(plan, level, link.name, action, shared))
    priced.append(_priced(plan, level, None, "leak", lambda: cycles * spec.instances))
    return tuple(priced)


def _scaled(counter: Counter, factor: Share) -> Count:
    return counter() * factor


def actions_of_compute(plan: Plan, sparse: SparseTraffic, cycles: Cycles) -> tuple[ActionCost, ...]:
    """All priced actions of the compute level."""
    counts: dict[str, Counter] = {prefix + "compute": partial(getattr, sparse.computes, name) for name, prefix in CLASS_PREFIX}
    counts["skipped_compute"] = lambda: sparse.skipped_at_compute
    counts["leak"] = lambda: cycles * plan.arch.compute.instances
    return tuple(_priced(plan, plan.compute, None, action, counter) for action, counter in counts.items())


def _priced(plan: Plan, level: int, tensor: str | None, action: str, counter: Counter) -> ActionCost:
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


def _tensor_actions(plan: Plan, k: LinkSparse, source: LinkSparse | None) -> dict[str, Counter]:
    """Counters of what a level does with a tensor, by action.

    `k`: the link over which the tensor leaves the level; `source`: that over which it arrives, None at the outermost level.
    """
    link = k.dense.link
    spec = plan.arch.levels[link.parent]
    data = [("read", k.reads), ("update", k.updates)]
    if source is not None:
        data.insert(1, ("fill", source.fills))
    counts: dict[str, Counter] = {}
    for action, events in data:
        blocks = of_fills(k, source) if action == "fill" and source is not None else of_accesses(k, action)
        for name, prefix in CLASS_PREFIX[1:]:
            counts[prefix + action] = partial(_not_happening, events, name, blocks)
        counts[action] = partial(_accesses, events, blocks, partial(_EXTRA[action], k, source))
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
    if link.partials == "add" or (link.output and not link.to_compute and spec.reduction):
        counts["reduction"] = lambda: k.reads.actual  # else the compute unit adds what it is given
    counts["intersect"] = partial(_intersections, k)
    if link.output and (merger := next((unit for unit in spec.rates if unit.kind == "merge"), None)):
        counts["merge"] = partial(words_merged, k, merger)
    return counts


def _accesses(events: Events, blocks: Blocks, extra: Counter) -> Count:
    """Physical accesses for the words that are moved, and for further ones."""
    return blocks.accesses(events.actual, extra())


def _not_happening(events: Events, name: str, blocks: Blocks) -> Count:
    """Physical accesses that features spare, by the words of their class."""
    return blocks.all_or_nothing(getattr(events, name))


def _extra_updates(k: LinkSparse, source: LinkSparse | None) -> Words:
    """Updates beyond those of the classes: words of overbooked results that return at each use."""
    return k.overflow.updates


def _extra_fills(k: LinkSparse, source: LinkSparse | None) -> Words:
    """Fills beyond those of the classes: overbooked words that are streamed."""
    return source.overflow.fills if source is not None else 0.0


def _extra_reads(k: LinkSparse, source: LinkSparse | None) -> Words:
    """Reads beyond those of the classes: overbooked words streamed to the child, words passed on to a neighbour."""
    return k.overflow.reads + (source.forwarded if source is not None else 0.0)


_EXTRA: dict[str, Callable[[LinkSparse, LinkSparse | None], Words]] = {
    "read": _extra_reads,
    "fill": _extra_fills,
    "update": _extra_updates,
}


def _metadata_accesses(k: LinkSparse, action: str, name: str, access_bits: float) -> Count:
    return ops.total(getattr(rank.bits(action), name) for rank in k.ranks) / access_bits


def _addresses(k: LinkSparse, source: LinkSparse | None) -> Count:
    """One per actual or gated access (reads, of outputs updates) and fill."""
    visible = k.updates if k.dense.link.output else k.reads
    return visible.busy + (source.fills.busy if source is not None else 0.0)


def _intersections(k: LinkSparse) -> Count:
    """Comparisons of an intersection unit: one per access that reaches a skip of this link.

    None for a list looked up by its leader's coordinates, and none for a tensor skipped on its own zeros.
    """
    link = k.dense.link
    if not any(saf.compares for saf in link.safs):
        return 0.0
    visible = k.updates if link.output else k.reads
    return visible.actual + visible.gated + visible.skipped


# --- bounds -------------------------------------------------------------------------------------------------

LeastEvent = Literal["reads", "updates", "fills", "entries", "comparisons"]
"""What a bound counts of a link, in dense words.

    reads, updates, fills   as in `LinkTraffic`: those that survive all conditions, of words that are stored
    entries                 reads (of outputs updates) in fibers that are not empty: those of zeros, too
    comparisons             reads (of outputs updates) that reach the features of the parent
"""


@dataclass(frozen=True, slots=True)
class Least:
    """An action happens at a level at least `count` times for every dense word of an event of a link."""

    level: int
    event: LeastEvent
    count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRule:
    """What bounds know of one action; its gated and skipped forms cost at least nothing."""

    least: Callable[[LinkEnds], Iterator[Least]]
    per_block: bool = False
    """It happens once per block of words."""
    needed_by: Literal["formats", "features"] | None = None
    """A unit of hardware does it that only these need, so its price depends on them."""


def least_energy(ends: LinkEnds) -> dict[LeastEvent, float]:
    """Energy at least, in pJ per dense word of every event of a link; where instances share an access, all of them do."""
    found: dict[LeastEvent, float] = dict.fromkeys(get_args(LeastEvent), 0.0)
    for action, rule in ACTION_RULES.items():
        for one in rule.least(ends):
            level = ends.arch.levels[one.level]
            found[one.event] += level.prices[action].energy_pj * one.count / level.cluster_size
    return found


def least_compute_energy(einsum: Einsum, arch: Arch, sparse: Sparse) -> float:
    """Energy in pJ of all computes at least: of those that no skip and no gate removes."""
    alive = einsum.least_nonzero(compute_leaders(einsum, sparse).all)
    return einsum.computes * arch.compute.prices["compute"].energy_pj * alive


def leak_per_cycle(arch: Arch) -> float:
    """pJ that all instances of all levels leak in a cycle, used or not."""
    return sum(level.prices["leak"].energy_pj * level.instances for level in arch.levels)


def _visible(ends: LinkEnds) -> LeastEvent:
    return "updates" if ends.output else "reads"


def _unpacks(ends: LinkEnds) -> bool:
    return ends.compressed and not ends.child_compressed and not ends.to_compute


def _none(ends: LinkEnds) -> Iterator[Least]:
    """Not an action of a link."""
    yield from ()


def _least_reads(ends: LinkEnds) -> Iterator[Least]:
    yield Least(ends.parent, "reads", least_vectors_per_word(ends, ends.parent))


def _least_updates(ends: LinkEnds) -> Iterator[Least]:
    if ends.output:
        yield Least(ends.parent, "updates", least_vectors_per_word(ends, ends.parent))


def _least_fills(ends: LinkEnds) -> Iterator[Least]:
    if not ends.to_compute:
        yield Least(ends.child, "fills", least_vectors_per_word(ends, ends.child))


def least_vectors_per_word(ends: LinkEnds, level: int) -> float:
    """Beside `cost.blocks`: E[ceil(k/B)] / E[k] is at least 1/B."""
    return ends.width(level) / ends.arch.levels[level].block_size


def _least_reductions(ends: LinkEnds) -> Iterator[Least]:
    if ends.output and not ends.to_compute and ends.arch.levels[ends.parent].reduction:
        yield Least(ends.parent, "reads", 1.0)


def _least_addresses(ends: LinkEnds) -> Iterator[Least]:
    yield Least(ends.parent, _visible(ends), 1.0)
    if not ends.to_compute:
        yield Least(ends.child, "fills", 1.0)


def _least_compressed(ends: LinkEnds) -> Iterator[Least]:
    if _unpacks(ends) and ends.output:
        yield Least(ends.parent, "updates", 1.0)


def _least_decompressed(ends: LinkEnds) -> Iterator[Least]:
    if _unpacks(ends):
        yield Least(ends.child, "fills", 1.0)


def _least_metadata_reads(ends: LinkEnds) -> Iterator[Least]:
    count, zeros_too = _least_metadata(ends, ends.parent)
    yield Least(ends.parent, "entries" if zeros_too and not ends.output else "reads", count)


def _least_metadata_updates(ends: LinkEnds) -> Iterator[Least]:
    count, zeros_too = _least_metadata(ends, ends.parent)
    if ends.output:
        yield Least(ends.parent, "entries" if zeros_too else "updates", count)


def _least_metadata_fills(ends: LinkEnds) -> Iterator[Least]:
    if not ends.to_compute:
        yield Least(ends.child, "fills", _least_metadata(ends, ends.child)[0])


def _least_decodes(ends: LinkEnds) -> Iterator[Least]:
    if ends.to_compute:
        yield from _least_metadata_reads(ends)


def _least_metadata(ends: LinkEnds, level: int) -> tuple[float, bool]:
    """Metadata accesses of a level per word that is not zero, and whether zeros have as many.

    None are sure where a unit jumps ahead: it passes entries over. Zeros have none where the tensor's own zeros are skipped.
    """
    spec, stored = ends.arch.levels[level], ends.sparse.format(level, ends.name)
    if not spec.metadata_access_bits or any(saf.jumps and saf.level == level for saf in ends.sparse.safs):
        return 0.0, False
    bits, units = least_bits(stored, spec.metadata_word_bits, bare=not ends.sparse.timeloop_reading)
    return bits / spec.metadata_access_bits, units.zeros_too and ends.tensor not in link_leaders(ends).all


def _least_comparisons(ends: LinkEnds) -> Iterator[Least]:
    """Beside `_intersections`; alternatives may be without a unit."""
    mine = features_at(ends)
    if any(saf.compares for saf in mine) and all(saf.choice is None for saf in mine):
        yield Least(ends.parent, "comparisons", 1.0)


ACTION_RULES: Mapping[str, ActionRule] = {
    "read": ActionRule(least=_least_reads, per_block=True),
    "update": ActionRule(least=_least_updates, per_block=True),
    "fill": ActionRule(least=_least_fills, per_block=True),
    "reduction": ActionRule(least=_least_reductions),
    "address_generation": ActionRule(least=_least_addresses),
    "compress": ActionRule(least=_least_compressed, needed_by="formats"),
    "decompress": ActionRule(least=_least_decompressed, needed_by="formats"),
    "metadata_read": ActionRule(least=_least_metadata_reads),
    "metadata_update": ActionRule(least=_least_metadata_updates),
    "metadata_fill": ActionRule(least=_least_metadata_fills),
    "decode": ActionRule(least=_least_decodes, needed_by="formats"),
    "intersect": ActionRule(least=_least_comparisons, needed_by="features"),
    "merge": ActionRule(least=_none),
    "compute": ActionRule(least=_none),
    "leak": ActionRule(least=_none),
}
"""Every action of any level without its prefix. Computes are bounded by `least_compute_energy`, leakage by `leak_per_cycle`."""


def least_prices(prices: Mapping[str, Price], free: AbstractSet[str], *, idle_free: bool, block: int = 1) -> dict[str, Price]:
    """Prices that are not above any of a set of designs.

    `free`: actions that may cost nothing in some of them; `idle_free`: gated and skipped actions may; `block`: words per access,
    for packed words of a small tile may take more accesses than plain ones.
    """
    found: dict[str, Price] = {}
    for action, price in prices.items():
        base = action.removeprefix("gated_").removeprefix("skipped_")
        energy = 0.0 if action in free or (idle_free and base != action) else price.energy_pj
        per_word = ACTION_RULES[base].per_block and base == action
        found[action] = replace(price, energy_pj=energy / block if per_word else energy)
    return found
