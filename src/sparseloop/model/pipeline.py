"""The chain, spelled out once: plan, dense traffic, sparse traffic, cost."""

from __future__ import annotations

from typing import Any

from sparseloop.model.cost.cost import Cost, cost
from sparseloop.model.design import Design
from sparseloop.model.design.mapping import LoopNest
from sparseloop.model.plan import Plan, compile_plan
from sparseloop.model.sparse_traffic import SparseTraffic, apply_safs
from sparseloop.model.traffic.dense import Traffic, traffic

COLUMNS = ("energy_pj", "cycles", "edp", "status", "utilization")
"""What a batch may keep."""


def evaluate_plan(plan: Plan, bounds: Any, residuals: Any = None) -> Cost:
    """Cost of loop bounds of shape (slots, *batch) under one template."""
    dense, sparse = counts(plan, bounds, residuals)
    return cost(plan, dense, sparse)


def counts(plan: Plan, bounds: Any, residuals: Any = None) -> tuple[Traffic, SparseTraffic]:
    """What happens how often; of the architecture this depends on all but sizes, bandwidths, prices and areas."""
    dense = traffic(plan, bounds, residuals)
    return dense, apply_safs(plan, dense)


def cost_of_design(design: Design) -> tuple[Plan, Cost]:
    """The whole breakdown of a design's own mapping."""
    assert design.mapping is not None
    plan = plan_of(design, design.mapping.nest)
    return plan, evaluate_plan(plan, design.mapping.bounds, design.mapping.residuals)


def plan_of(design: Design, nest: LoopNest) -> Plan:
    """The compiled plan of a template under a design."""
    return compile_plan(design.einsum, design.arch, nest, design.sparse)
