"""The chain, spelled out once: plan, dense traffic, sparse traffic, cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .cost import Cost, cost
from .design import Design
from .mapping import LoopNest
from .plan import Plan, compile_plan
from .sparse_traffic import apply_safs
from .traffic import traffic

CHUNK = 32768
"""Mappings per chunk: the best rate measured; temporaries stay below 250 MB."""
COLUMNS = ("energy_pj", "cycles", "edp", "status", "utilization")
"""What a batch may keep."""


def evaluate_plan(plan: Plan, bounds: Any, residuals: Any = None) -> Cost:
    """Cost of loop bounds of shape (slots, *batch) under one template."""
    dense = traffic(plan, bounds, residuals)
    sparse = apply_safs(plan, dense)
    return cost(plan, dense, sparse)


def evaluate_design(design: Design) -> tuple[Plan, Cost]:
    """The whole breakdown of a design's own mapping."""
    assert design.mapping is not None
    plan = plan_of(design, design.mapping.nest)
    return plan, evaluate_plan(plan, design.mapping.bounds, design.mapping.residuals)


def evaluate_columns(plan: Plan, bounds: npt.NDArray[Any], keep: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Columns of many mappings: bounds of shape (slots, mappings), evaluated in chunks; one entry a mapping."""
    count = bounds.shape[1]
    columns = {name: np.empty(count, dtype=np.int64 if name == "status" else np.float64) for name in keep}
    for start in range(0, count, CHUNK):
        part = bounds[:, start : start + CHUNK].astype(np.float64)
        result = evaluate_plan(plan, part)
        for name, column in columns.items():
            column[start : start + part.shape[1]] = getattr(result, name)
    return columns


def plan_of(design: Design, nest: LoopNest) -> Plan:
    """The compiled plan of a template under a design."""
    return compile_plan(design.einsum, design.arch, nest, design.sparse)
