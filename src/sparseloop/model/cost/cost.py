"""From sparse traffic to energy, cycles, area and validity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sparseloop.model import ops
from sparseloop.model.cost.actions import ActionCost, actions_of_compute, actions_of_level
from sparseloop.model.cost.networks import NetworkTraffic, network_traffic
from sparseloop.model.cost.requirements import Requirement, requirements, status_of
from sparseloop.model.cost.unit_rates import UnitTime, slowest_unit, unit_times
from sparseloop.model.cost.waiting import Wait, overlapped, waiting, waits
from sparseloop.model.formats.occupancy import ResidentTile
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import SparseTraffic
from sparseloop.model.sparsity.timeloop_packing import instances_taken
from sparseloop.model.traffic.dense import Traffic
from sparseloop.model.units import Array, Bits, Count, Cycles, Pj, Share, Words


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelCost:
    """Cost of one level over all its instances."""

    instances_used: Count
    cycles: Cycles
    """What it needs at least, with the time for which it waits."""
    energy_pj: Pj
    actions: tuple[ActionCost, ...]
    tiles: tuple[ResidentTile, ...]
    """What one instance holds, per tensor kept (none at the compute level)."""

    @cached_property
    def capacity_expected(self) -> Words:
        """Expected data of one instance in words of the level."""
        return ops.total(t.occupancy * t.width for t in self.tiles)

    @cached_property
    def capacity_worst(self) -> Words:
        """Data of one instance at worst, in words of the level."""
        return ops.total(t.worst * t.width for t in self.tiles)

    @cached_property
    def metadata_bits_expected(self) -> Bits:
        """Expected metadata bits of one instance."""
        return ops.total(t.metadata_bits for t in self.tiles)

    @cached_property
    def metadata_bits_worst(self) -> Bits:
        """Metadata bits of one instance at worst."""
        return ops.total(t.metadata_bits_worst for t in self.tiles)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cost:
    """Everything a mapping costs; arrays over the batch."""

    plan: Plan
    dense: Traffic
    sparse: SparseTraffic
    levels: tuple[LevelCost, ...]
    networks: tuple[NetworkTraffic, ...]
    energy_pj: Pj
    cycles: Cycles
    area_um2: float
    waits: tuple[Wait, ...] = ()
    """Time that nothing overlaps with; part of the cycles of the levels that wait."""
    units: tuple[UnitTime, ...] = ()
    """Units with a rate; the slowest of a level is a lower limit of its cycles."""

    @property
    def edp(self) -> Array:
        """Energy-delay product in pJ cycles."""
        return self.energy_pj * self.cycles

    @cached_property
    def utilization(self) -> Share:
        """(actual + gated computes) / (compute instances * total cycles)."""
        return ops.ratio(self.sparse.computes.busy, self.plan.arch.compute.instances * self.cycles)

    @cached_property
    def status(self) -> Array:
        """Status flags as integers, 0 = valid."""
        return status_of(self.requirements)

    @cached_property
    def requirements(self) -> tuple[Requirement, ...]:
        """Everything the mapping must respect, with what it needs and what there is."""
        return tuple(requirements(self.plan, self.dense, self.sparse))


def cost(plan: Plan, dense: Traffic, sparse: SparseTraffic) -> Cost:
    """Energy = sum of action counts times prices; cycles = the slowest level, waits included; area = sum over all instances."""
    arch = plan.arch
    used = _instances_used(plan, dense, sparse)
    waited = waits(plan, dense, sparse, used)
    times = unit_times(plan, sparse, used)
    working = [*(overlapped(plan, sparse, level, used[level]) for level in range(plan.compute)), dense.steps * sparse.time]
    working = [ops.maximum(own, slowest_unit(times, level)) for level, own in enumerate(working)] if times else working
    level_cycles = [own + waiting(waited, level) for level, own in enumerate(working)] if waited else working
    cycles = level_cycles[-1]
    for value in level_cycles[:-1]:
        cycles = ops.maximum(cycles, value)
    cycles = cycles + sum(n.fill_latency + n.drain_latency for lv in arch.storage if (n := lv.network) is not None)
    networks = network_traffic(plan, dense.tiles, sparse)
    levels = [
        _level_cost(used[level], level_cycles[level], actions_of_level(plan, sparse, level, used[level], cycles), sparse, level)
        for level in range(plan.compute)
    ]
    levels.append(_level_cost(used[-1], level_cycles[-1], actions_of_compute(plan, sparse, cycles), sparse, plan.compute))
    return Cost(
        plan=plan,
        dense=dense,
        sparse=sparse,
        levels=tuple(levels),
        networks=networks,
        energy_pj=ops.total(level.energy_pj for level in levels) + ops.total(n.energy_pj for n in networks),
        cycles=cycles,
        area_um2=sum(level.area_um2 * level.instances for level in arch.levels),
        waits=waited,
        units=times,
    )


def _level_cost(used: Count, cycles: Cycles, actions: tuple[ActionCost, ...], sparse: SparseTraffic, level: int) -> LevelCost:
    return LevelCost(
        instances_used=used,
        cycles=cycles,
        energy_pj=ops.total(a.energy_pj for a in actions),
        actions=actions,
        tiles=tuple(k.resident for k in sparse.links_from(level)),
    )


def _instances_used(plan: Plan, dense: Traffic, sparse: SparseTraffic) -> list[Count]:
    """Instances that ever work; positions that a spatial skip packs take turns on the children of the same parent."""
    if not any(plan.sparse.packs(level) for level in range(plan.compute)):
        return list(dense.instances)
    used: list[Count] = [1]
    for level in range(plan.compute):
        children = dense.instances[level + 1] / dense.instances[level]
        if plan.sparse.packs(level):
            children = instances_taken(plan, level, children, sparse.taken[level])
        used.append(used[-1] * children)
    return used
