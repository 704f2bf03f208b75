"""Every number of a result by its path (`GLB.A.reads.actual`), and names for intermediate values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from sparseloop.evaluation.humanize import wait_text
from sparseloop.evaluation.result import CLASSES, fills_of
from sparseloop.evaluation.tracing import Traced
from sparseloop.model.cost.actions import ActionCost
from sparseloop.model.cost.cost import Cost
from sparseloop.model.cost.waiting import Wait
from sparseloop.model.design.arch import Level, Network
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.model.sparsity.events import Events
from sparseloop.report.formulas import core


@final
@dataclass(frozen=True, kw_only=True)
class ResultQuantity:
    """One number of a result, with its unit and its meaning in words."""

    value: Any
    unit: str
    meaning: str
    classes: Mapping[str, Any] | None = None
    """All classes of the count, where the path names an action without a class."""
    actions: tuple[ActionCost, ...] = ()
    """The priced actions, for an energy."""
    source: str = ""
    """Source of the price, for the energy of a network."""
    hardware: Level | None = None
    """The level, for its area."""


def quantities(plan: Plan, cost: Cost) -> dict[str, ResultQuantity]:
    """Path to number, outermost level first."""
    found: dict[str, ResultQuantity] = dict(_totals(plan, cost))
    for level in range(plan.compute + 1):
        found |= dict(_level(plan, cost, level))
    for wait in cost.waits:
        found[_wait_path(plan, wait)] = ResultQuantity(value=wait.cycles, unit="cycles", meaning=wait_text(plan.arch, wait))
    for unit in cost.units:
        at = f"{plan.arch.levels[unit.level].name}.units.{unit.kind}"
        meaning = f"cycles of the {unit.kind} units of one {plan.arch.levels[unit.level].name}"
        found[at] = ResultQuantity(value=unit.cycles, unit="cycles", meaning=meaning)
        found[f"{at}.processed"] = ResultQuantity(value=unit.processed, unit="", meaning=f"what all {unit.kind} units there take")
    for network in cost.networks:
        found[f"{network.name}.energy"] = ResultQuantity(
            value=network.energy_pj, unit="pJ", meaning="energy of the network", source=_priced_by(network.network)
        )
        for quantity, unit in (("words_down", "words"), ("words_up", "words"), ("metadata_bits", "bits"), ("hops", "hops")):
            values: dict[str, Any] = getattr(network, quantity)
            for tensor, value in values.items():
                meaning = f"{quantity.replace('_', ' ')} of {tensor} on {network.name}"
                found[f"{network.name}.{quantity}.{tensor}"] = ResultQuantity(value=value, unit=unit, meaning=meaning)
    return found


def _priced_by(network: Network) -> str:
    """Price of a hop with its source and confidence, in words."""
    price = (
        f"{network.energy_per_hop_pj:g} pJ per word and hop"
        if network.energy_per_hop_pj is not None
        else (f"{network.wire_pj_per_bit_mm:g} pJ per bit and mm")
    )
    return f"{price}: {network.source} (confidence {network.confidence:.2g})"


def _wait_path(plan: Plan, wait: Wait) -> str:
    if wait.kind == "skew":
        return f"{plan.arch.levels[wait.child].name}.waits.skew"
    return f"{plan.arch.levels[wait.child].name}.waits.{wait.kind}.{'+'.join(wait.tensors)}"


def _totals(plan: Plan, cost: Cost) -> Iterator[tuple[str, ResultQuantity]]:
    every = tuple(a for level in cost.levels for a in level.actions)
    yield "energy", ResultQuantity(value=cost.energy_pj, unit="pJ", meaning="energy of all levels and networks", actions=every)
    yield "cycles", ResultQuantity(value=cost.cycles, unit="cycles", meaning="cycles of the slowest level")
    yield "edp", ResultQuantity(value=cost.energy_pj * cost.cycles, unit="pJ cycles", meaning="energy-delay product")
    yield "area", ResultQuantity(value=cost.area_um2, unit="um2", meaning="area of all instances")
    meaning = "(actual + gated computes) / (compute instances × cycles)"
    yield "utilization", ResultQuantity(value=cost.utilization, unit="", meaning=meaning)
    yield from _classes("computes", _numbers(cost.sparse.computes), "computes", "computes")


def _level(plan: Plan, cost: Cost, level: int) -> Iterator[tuple[str, ResultQuantity]]:
    name, of = plan.arch.levels[level].name, cost.levels[level]
    yield f"{name}.energy", ResultQuantity(value=of.energy_pj, unit="pJ", meaning=f"energy of all {name}s", actions=of.actions)
    yield f"{name}.cycles", ResultQuantity(value=of.cycles, unit="cycles", meaning=f"cycles {name} needs at least")
    yield (
        f"{name}.instances_used",
        ResultQuantity(value=of.instances_used, unit="", meaning=f"instances of {name} that ever work"),
    )
    hardware = plan.arch.levels[level]
    area = hardware.instances * hardware.area_um2
    yield f"{name}.area", ResultQuantity(value=area, unit="um2", meaning=f"area of all {name}s", hardware=hardware)
    if level == plan.compute:
        yield from _classes(f"{name}.computes", _numbers(cost.sparse.computes), "computes", "computes")
        return
    for quantity, meaning in (("expected", "on average"), ("worst", "in the worst case")):
        words, bits = getattr(of, f"capacity_{quantity}"), getattr(of, f"metadata_bits_{quantity}")
        yield (
            f"{name}.capacity.{quantity}",
            ResultQuantity(value=words, unit="words", meaning=f"words one {name} holds {meaning}"),
        )
        yield (
            f"{name}.metadata_bits.{quantity}",
            ResultQuantity(value=bits, unit="bits", meaning=f"metadata bits one {name} holds {meaning}"),
        )
    for k in cost.sparse.links_from(level):
        yield from _tensor(plan, cost, level, k)


def _tensor(plan: Plan, cost: Cost, level: int, k: LinkSparse) -> Iterator[tuple[str, ResultQuantity]]:
    tensor = k.dense.link.name
    name = plan.arch.levels[level].name
    path = f"{name}.{tensor}"
    above = (o.dense.fills for o in cost.sparse.links if o.dense.link.child == level and o.dense.link.name == tensor)
    counts = (
        ("reads", k.reads, k.dense.reads),
        ("fills", fills_of(cost, level, tensor), next(above, 0.0)),
        ("updates", k.updates, k.dense.updates),
    )
    for action, split, dense in counts:
        yield from _classes(f"{path}.{action}", _numbers(split) | {"total": dense}, "words", f"{action} of {tensor} at {name}")
    for action in ("reads", "fills", "updates"):
        meaning = f"metadata bits of {tensor}'s {action} at {name}"
        yield from _classes(f"{path}.metadata.{action}", _metadata(k, action), "bits", meaning)
    held = k.resident
    yield f"{path}.tile", ResultQuantity(value=held.footprint, unit="words", meaning=f"dense words of {tensor} in one {name}")
    yield (
        f"{path}.density",
        ResultQuantity(value=held.density, unit="", meaning=f"stored words of {tensor} / dense words in {name}"),
    )
    yield (
        f"{path}.occupancy",
        ResultQuantity(value=held.occupancy, unit="words", meaning=f"expected words of {tensor} in one {name}"),
    )
    yield (
        f"{path}.occupancy.worst",
        ResultQuantity(value=held.worst, unit="words", meaning=f"most words of {tensor} in one {name}"),
    )
    bits = f"expected metadata bits of {tensor} in one {name}"
    yield f"{path}.metadata_bits", ResultQuantity(value=held.metadata_bits, unit="bits", meaning=bits)
    actions = tuple(a for a in cost.levels[level].actions if a.tensor == tensor)
    energy: Any = sum(a.energy_pj for a in actions)
    yield f"{path}.energy", ResultQuantity(value=energy, unit="pJ", meaning=f"energy of {tensor} at {name}", actions=actions)


def _numbers(split: Events) -> dict[str, Any]:
    return {**{name: getattr(split, name) for name in CLASSES}, "slots": split.busy}


def _metadata(k: LinkSparse, action: str) -> dict[str, Any]:
    """Bits by class, as sums over the entries and payloads of the ranks."""
    bits: dict[str, Any] = dict.fromkeys((*CLASSES, "slots"), 0.0)
    for rank in k.ranks:
        for name in bits:
            entries, payloads = (_numbers(units[action])[name] for units in (rank.entries, rank.payloads))
            bits[name] = bits[name] + entries * rank.entry_bits + payloads * rank.payload_bits
    return bits


_FATES = {
    "total": "dense",
    "actual": "actual",
    "gated": "gated",
    "skipped": "skipped",
    "absent": "absent",
    "slots": "actual and gated",
}


def _classes(path: str, classes: Mapping[str, Any], unit: str, what: str) -> Iterator[tuple[str, ResultQuantity]]:
    yield path, ResultQuantity(value=classes["actual"], unit=unit, meaning=what, classes=classes)
    for name, fate in _FATES.items():
        yield f"{path}.{name}", ResultQuantity(value=classes[name], unit=unit, meaning=f"{fate} {what}")


# --- names for what lies between ----------------------------------------------------------------------------


def traced_names(plan: Plan, cost: Cost, found: dict[str, ResultQuantity]) -> dict[int, tuple[str, Traced]]:
    """Identity of a traced value to its name, a path if it has one; and the value, lest another take its place."""
    named: dict[int, tuple[str, Traced]] = {}
    paths = ((path, target.value) for path, target in found.items() if target.classes is None)
    for label, value in (*paths, *_between(plan, cost)):
        inner = core(value)
        if isinstance(inner, Traced) and inner.operation != "given":
            named.setdefault(id(inner), (label, inner))
    return named


def _between(plan: Plan, cost: Cost) -> Iterator[tuple[str, Any]]:
    """Names of intermediate values that have no path."""
    yield "temporal steps", cost.dense.steps
    for k in cost.sparse.links:
        link, dense = k.dense.link, k.dense
        parent, child = plan.arch.levels[link.parent].name, plan.arch.levels[link.child].name
        yield f"{link.name} words to one {child}", dense.words_per_child
        yield f"{child}s used", dense.children
        yield f"{child}s per access of {link.name}", dense.sharing
        for number, rank in enumerate(k.ranks, start=1):
            at = f"{parent}.{link.name} {rank.kind}#{number}"
            for action in ("reads", "fills", "updates"):
                for name in ("actual", "slots", *CLASSES):
                    ending = action if name == "actual" else f"{action}.{name}"
                    yield f"{at} entry {ending}", _numbers(rank.entries[action])[name]
                    yield f"{at} payload {ending}", _numbers(rank.payloads[action])[name]
                    yield f"{at} bits of {ending}", _numbers(rank.bits(action))[name]
