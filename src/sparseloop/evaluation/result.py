"""The result of one mapping: totals, the whole breakdown, the result file, and rows for tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.approximations import notices
from sparseloop.evaluation.facts import without_effect
from sparseloop.evaluation.violations import reasons
from sparseloop.model.cost.actions import ActionCost
from sparseloop.model.cost.cost import Cost
from sparseloop.model.cost.imbalance import Slowest, slowest
from sparseloop.model.cost.networks import NetworkTraffic
from sparseloop.model.cost.unit_rates import UnitTime
from sparseloop.model.cost.waiting import Wait
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Part
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.model.sparsity.events import NO_EVENTS, Events
from sparseloop.model.status import Status

if TYPE_CHECKING:
    from sparseloop.evaluation.long_form import TidyRow

SCHEMA = "sparseloop.result/1"
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
CLASSES = ("total", "actual", "gated", "skipped", "absent")


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one mapping costs, with everything it is made of; counts are sums over all instances."""

    design: Design
    plan: Plan
    cost: Cost

    def __repr__(self) -> str:
        valid = "valid" if self.valid else "NOT valid"
        return f"<Result {valid}: {wording.energy_text(self.energy_pj)}, {wording.count_text(self.cycles)} cycles>"

    @property
    def energy_pj(self) -> float:
        """Energy of the whole workload."""
        return float(self.cost.energy_pj)

    @property
    def cycles(self) -> float:
        """Cycles of the whole workload: those of the slowest level."""
        return float(self.cost.cycles)

    @cached_property
    def slowest(self) -> Slowest | None:
        """P10, P50, P90 of the cycles of the slowest spatial instance; None if nothing is skipped or they are undefined."""
        return slowest(self.cost)

    @property
    def edp(self) -> float:
        """Energy-delay product in pJ * cycles."""
        return self.energy_pj * self.cycles

    @property
    def latency_s(self) -> float:
        """Cycles over the clock."""
        return self.cycles / self.plan.arch.clock_hz

    @property
    def area_um2(self) -> float:
        """Area of all instances of all levels."""
        return float(self.cost.area_um2)

    @property
    def utilization(self) -> float:
        """(actual + gated computes) over (compute instances * cycles)."""
        return float(self.cost.utilization)

    @property
    def status(self) -> Status:
        """Why the mapping is not valid; `Status.OK` if it is."""
        return Status(int(self.cost.status))

    @property
    def valid(self) -> bool:
        """True if the mapping fits the machine."""
        return self.status == Status.OK

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """One sentence per violated limit."""
        return reasons(self.cost)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was understood differently than written, or assumed; approximations with a large worst case."""
        return (*self.design.warnings, *notices(self.plan, self.cost))

    def to_dict(self) -> dict[str, Any]:
        """The result file, schema sparseloop.result/1: plain data ready for JSON."""
        computes = classes_record(self.cost.sparse.computes)
        return {
            "schema": SCHEMA,
            "workload": {"name": self.design.einsum.name, "einsum": wording.equation_text(self.design.einsum)},
            "status": {"valid": self.valid, "reasons": list(self.reasons)},
            "totals": {
                "energy_pj": self.energy_pj,
                "cycles": self.cycles,
                "edp_pj_cycles": self.edp,
                "area_um2": self.area_um2,
                "utilization": self.utilization,
                "slowest": slowest_record(self.slowest),
                "computes": computes,
            },
            "levels": [*(self._storage(i) for i in range(self.plan.compute)), self._compute(computes)],
            "waits": [wait_record(self.plan, wait) for wait in self.cost.waits],
            "units": [unit_record(self.plan, unit) for unit in self.cost.units],
            "networks": [network_record(self.plan, n) for n in self.cost.networks],
            "no_effect": without_effect(self.plan),
            "warnings": list(self.warnings),
        }

    def to_rows(self) -> list[TidyRow]:
        """The same as tidy rows: level or network, tensor, quantity, class, value, unit; '' where a thing does not apply."""
        from sparseloop.evaluation.long_form import tidy_rows  # rarely needed

        return tidy_rows(self.to_dict())

    def to_pandas(self) -> Any:
        """The rows of `to_rows` as a `pandas.DataFrame` (extra `frames`): level, tensor, quantity, class, value, unit.

        >>> result.to_pandas().query("quantity == 'reads' and `class` == 'actual'")  # doctest: +SKIP
        """
        from sparseloop.evaluation.frames import pandas_frame
        from sparseloop.evaluation.long_form import COLUMNS

        return pandas_frame([dict(zip(COLUMNS, row, strict=True)) for row in self.to_rows()], COLUMNS)

    def to_polars(self) -> Any:
        """As `to_pandas`, as a `polars.DataFrame` (extra `frames`)."""
        from sparseloop.evaluation.frames import polars_frame
        from sparseloop.evaluation.long_form import COLUMNS

        return polars_frame([dict(zip(COLUMNS, row, strict=True)) for row in self.to_rows()], COLUMNS)

    def _repr_html_(self) -> str:
        """What a notebook shows: totals, levels, bars of the energy, the loop nest."""
        from sparseloop.evaluation.notebook_view import result_view

        return result_view(self)

    def _head(self, index: int) -> dict[str, Any]:
        level, cost = self.plan.arch.levels[index], self.cost.levels[index]
        return {
            "name": level.name,
            "kind": level.kind,
            "instances": level.instances,
            "instances_used": _count(cost.instances_used),
            "energy_pj": float(cost.energy_pj),
            "cycles": float(cost.cycles),
            "area_um2": float(level.area_um2 * level.instances),
            "parts": [part_record(part) for part in level.parts],
        }

    def _storage(self, index: int) -> dict[str, Any]:
        level, cost = self.plan.arch.levels[index], self.cost.levels[index]
        width = level.metadata_access_bits or level.word_bits
        room = level.metadata_capacity_bits
        return {
            **self._head(index),
            "capacity": {
                "words": None if level.capacity_words is None else float(level.capacity_words),
                "expected": float(cost.capacity_expected),
                "worst": float(cost.capacity_worst),
                "metadata_words": None if room is None else float(room / width),
                "metadata_bits_expected": float(cost.metadata_bits_expected),
                "metadata_bits_worst": float(cost.metadata_bits_worst),
            },
            "tensors": {k.dense.link.name: self._tensor(index, k) for k in self.cost.sparse.links_from(index)},
            "actions": [action_record(a) for a in cost.actions if happens(a)],
        }

    def _compute(self, computes: dict[str, float]) -> dict[str, Any]:
        index = self.plan.compute
        actions = [action_record(a) for a in self.cost.levels[index].actions if happens(a)]
        return {**self._head(index), "computes": computes, "actions": actions}

    def _tensor(self, index: int, k: LinkSparse) -> dict[str, Any]:
        held, name = k.resident, k.dense.link.name
        bits = {action: metadata_bits(k, action) for action in ("reads", "fills", "updates")}
        energy = sum(float(a.energy_pj) for a in self.cost.levels[index].actions if a.tensor == name)
        return {
            "tile": {
                "footprint": float(held.footprint),
                "density": float(held.occupancy / held.footprint) if held.footprint else 1.0,
                "occupancy": float(held.occupancy),
                **{name: float(held.quantile(share)) for name, share in QUANTILES.items()},
            },
            "reads": classes_record(k.reads),
            "fills": classes_record(self.fills_of(index, name)),
            "updates": classes_record(k.updates),
            "metadata_bits": {action: classes_record(value) for action, value in bits.items()},
            "energy_pj": energy,
        }

    def fills_of(self, level: int, tensor: str) -> Events:
        """Words of a tensor written into a level from its parent; nothing at the outermost one that keeps it."""
        return fills_of(self.cost, level, tensor)


def slowest_record(found: Slowest | None) -> dict[str, Any] | None:
    """The slowest instance as plain data."""
    if found is None:
        return None
    quantiles = {name: dict(zip(QUANTILES, getattr(found, name), strict=True)) for name in ("compute", "cycles")}
    return {"instances": found.instances, "draws": found.draws, **quantiles}


def fills_of(cost: Cost, level: int, tensor: str) -> Events:
    """Words of a tensor written into a level from its parent."""
    links = (k for k in cost.sparse.links if k.dense.link.child == level and k.dense.link.name == tensor)
    return next((k.fills for k in links), NO_EVENTS)


def metadata_bits(k: LinkSparse, action: str) -> Events:
    """Metadata bits of one action over all ranks of the format."""
    total = NO_EVENTS
    for rank in k.ranks:
        total = total + rank.bits(action)
    return total


def happens(action: ActionCost) -> bool:
    """True if the action happens."""
    return bool(action.count > 0)


def classes_record(classes: Events) -> dict[str, float]:
    """total, actual, gated, skipped, absent as plain numbers; rounding errors below zero are zero."""
    total = float(classes.total)
    return {name: _clean(float(getattr(classes, name)), total) for name in CLASSES}


def _clean(value: float, total: float) -> float:
    return 0.0 if abs(value) <= 1e-12 * abs(total) else value


def action_record(action: ActionCost) -> dict[str, Any]:
    """One priced action as plain data."""
    return {
        "tensor": action.tensor,
        "action": action.action,
        "count": float(action.count),
        "energy_pj_each": float(action.energy_pj_each),
        "energy_pj": float(action.energy_pj),
        "source": action.source,
        "confidence": float(action.confidence),
    }


def part_record(part: Part) -> dict[str, Any]:
    """One kind of hardware of one instance as plain data: area and leakage (pJ per cycle) of each."""
    return {
        "name": part.name,
        "count": float(part.count),
        "area_um2": float(part.area_um2),
        "leak_pj": float(part.leak_pj),
        "source": part.area_source,
        "confidence": float(part.area_confidence),
    }


def wait_record(plan: Plan, wait: Wait) -> dict[str, Any]:
    """Time that nothing overlaps with as plain data: what is waited for, and from which level."""
    names = {"parent": plan.arch.levels[wait.parent].name, "child": plan.arch.levels[wait.child].name}
    return {"kind": wait.kind, **names, "tensors": list(wait.tensors), "cycles": float(wait.cycles)}


def unit_record(plan: Plan, unit: UnitTime) -> dict[str, Any]:
    """What units with a rate process, over all instances, and how long those of one instance take, as plain data."""
    level = plan.arch.levels[unit.level].name
    return {"kind": unit.kind, "level": level, "processed": float(unit.processed), "cycles": float(unit.cycles)}


def network_record(plan: Plan, network: NetworkTraffic) -> dict[str, Any]:
    """One network as plain data; only results go up."""
    outputs = {t.name for t in plan.einsum.tensors if t.output}
    return {
        "name": network.name,
        "energy_pj": float(network.energy_pj),
        "source": network.network.source,
        "confidence": float(network.network.confidence),
        "words_down": {name: float(words) for name, words in network.words_down.items()},
        "words_up": {name: float(words) for name, words in network.words_up.items() if name in outputs},
        "metadata_bits": {name: float(bits) for name, bits in network.metadata_bits.items()},
    }


def _count(value: Any) -> int | float:
    """A whole number as an int; packed instances may be fractions."""
    plain = float(value)
    return int(plain) if plain == int(plain) else plain
