"""Proofs transferred between neighbouring points: an optimum with more bandwidth is one with less, if it costs the same there.

Less bandwidth makes no mapping cheaper, and no invalid mapping valid. So the optimum of the design with the largest bandwidths is
a lower bound for all designs that differ from it in bandwidths only (a line); where its mapping costs no more, it is optimal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparseloop.evaluation.evaluate import design_of, evaluate_mapping
from sparseloop.evaluation.result import Result
from sparseloop.explore.conditions import Value
from sparseloop.explore.space import DesignSpace, Parameter, Values
from sparseloop.input.spec import Spec
from sparseloop.mapper.objectives import Objective
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Level

SAME = 1e-12
"""Relative difference of two sums of the same numbers."""
MONOTONE = frozenset({"energy", "cycles", "edp", "ed2p", "edap", "area_cycles", "area"})
"""Objectives that never fall when energy and cycles rise."""


@dataclass(frozen=True, slots=True)
class Hint:
    """The proven optimum of a neighbour with at least the same bandwidths."""

    spec: Spec
    """Of the neighbour."""
    value: float
    """Its least objective."""
    mapping: str
    """Its best mapping, as rows of `evaluations` have it."""


def bandwidth_parameters(space: DesignSpace) -> tuple[Parameter, ...]:
    """The parameters that are bandwidths and that no other parameter depends on."""
    names = [parameter.name for parameter in space.parameters]
    needed = {name for parameter in space.parameters for name in parameter.needs(names)}
    return tuple(
        parameter
        for parameter in space.parameters
        if parameter.name not in needed and parameter.values and parameter.numeric and _supply(parameter)
    )


def _supply(parameter: Parameter) -> bool:
    paths = [path for changes in parameter.changes for path, _ in changes] or list(parameter.paths)
    return bool(paths) and all("bandwidth" in path for path in paths)


def widest_point(values: Values, lines: Sequence[Parameter]) -> dict[str, Value]:
    """The point of the same line with the largest bandwidths."""
    top = {
        parameter.name: max(number for number in parameter.values or () if isinstance(number, int | float)) for parameter in lines
    }
    return {name: top[name] if name in top and value is not None else value for name, value in values.items()}


def transferred_result(spec: Spec, hint: Hint, goal: Objective) -> Result | None:
    """The result of the neighbour's mapping if it is optimal here too; None if that is not proven."""
    design, other = design_of(spec), design_of(hint.spec)
    if goal.name not in MONOTONE or not differs_in_bandwidth_only(other, design):
        return None
    mapped = Spec.model_validate({**spec.model_dump(by_alias=True), "mapping": json.loads(hint.mapping)})
    mapping = design_of(mapped.with_source(spec.source)).mapping
    assert mapping is not None
    result = evaluate_mapping(replace(design, mapping=mapping), mapping)
    columns: dict[str, Any] = {name: np.array([getattr(result, name)]) for name in ("energy_pj", "cycles", "area_um2")}
    reached = float(goal.scalars(columns)[0]) <= hint.value * (1 + SAME)
    return result if result.valid and reached else None


def differs_in_bandwidth_only(other: Design, design: Design) -> bool:
    """True if the other design differs in nothing but larger bandwidths."""
    levels = list(zip(other.arch.levels, design.arch.levels, strict=False))
    if len(other.arch.levels) != len(design.arch.levels) or not all(_richer(a, b) for a, b in levels):
        return False
    same = replace(other.arch, levels=design.arch.levels) == design.arch
    return same and other.einsum == design.einsum and other.sparse == design.sparse


def _richer(other: Level, level: Level) -> bool:
    wide = {"read_bandwidth": None, "write_bandwidth": None, "shared_bandwidth": None}
    pairs = [(getattr(other, name), getattr(level, name)) for name in wide]
    return replace(other, **wide) == replace(level, **wide) and all(a is None or (b is not None and a >= b) for a, b in pairs)
