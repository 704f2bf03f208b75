"""The chain, spelled out once: plan, dense traffic, sparse traffic, cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparseloop.model.cost.cost import Cost, cost
from sparseloop.model.design import Design
from sparseloop.model.design.mapping import LoopNest
from sparseloop.model.plan import Plan, compile_plan
from sparseloop.model.sparse_traffic import SparseTraffic, apply_safs
from sparseloop.model.traffic.dense import Traffic, traffic
from sparseloop.model.units import Count, LoopBounds

COLUMNS = ("energy_pj", "cycles", "edp", "status", "utilization")
"""What a batch may keep."""


@dataclass(frozen=True, slots=True)
class EventTotals:
    """How often everything happens under one mapping, or under each of a batch."""

    dense: Traffic
    sparse: SparseTraffic


def evaluate_plan(plan: Plan, bounds: LoopBounds, residuals: LoopBounds | None = None, *, computes: Count | None = None) -> Cost:
    """Cost of loop bounds of shape (loops, *batch) under one template.

    `residuals` are last-pass bounds of the same shape (None: all factors are perfect). `computes` stands for the number of
    computes where that must carry a name (traced values).
    """
    return price_events(plan, event_totals(plan, bounds, residuals, computes=computes))


def event_totals(
    plan: Plan, bounds: LoopBounds, residuals: LoopBounds | None = None, *, computes: Count | None = None
) -> EventTotals:
    """The counts; what they depend on is `design.counting_key`."""
    dense = traffic(plan, bounds, residuals)
    if computes is not None:
        dense = replace(dense, computes=computes)
    return EventTotals(dense, apply_safs(plan, dense))


def price_events(plan: Plan, totals: EventTotals) -> Cost:
    """The cost of counts; they may be those of another design with the same counting key."""
    return cost(plan, totals.dense, totals.sparse)


def cost_of_design(design: Design) -> tuple[Plan, Cost]:
    """The whole breakdown of a design's own mapping."""
    assert design.mapping is not None
    plan = plan_of(design, design.mapping.nest)
    return plan, evaluate_plan(plan, design.mapping.bounds, design.mapping.residuals)


def plan_of(design: Design, nest: LoopNest) -> Plan:
    """The compiled plan of a template under a design."""
    return compile_plan(design.einsum, design.arch, nest, design.sparse)
