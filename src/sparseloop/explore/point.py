"""One design and one workload evaluated: from the values of a point to a row of the store. Runs in worker processes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sparseloop.evaluation.cache_key import evaluation_key
from sparseloop.evaluation.evaluate import design_of, evaluate_sharing_counts, own_mapping
from sparseloop.evaluation.result import Result
from sparseloop.explore.space import DesignSpace, Values
from sparseloop.explore.store import Row
from sparseloop.explore.transfer import Hint, transferred_result
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.resolve import mapping_lines
from sparseloop.input.spec import Spec
from sparseloop.input.yaml.files import Node, SourceMap, with_values
from sparseloop.mapper.objectives import Objective, objective
from sparseloop.mapper.options import SearchOptions
from sparseloop.mapper.search import run_search

SYSTEM = "the system refused"
"""How faults begin that are not of the program."""
FIXED = "fixed"
"""The method that evaluates the mapping in the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What runs: a complete specification, before anything varies."""

    name: str
    weight: float
    root: Node
    lines: Mapping[str, Sequence[str]]
    layer: int | None = None
    """Which of its `layers`; None: it has none."""
    names: frozenset[str] = frozenset()
    """By which a parameter may mean it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A point (its number and values) on one of the workloads."""

    point: int
    workload: int
    values: Values
    spec: Spec | None = None
    """Its specification, where that is built already."""
    key: str = ""
    """What identifies its evaluation, where that is known already."""
    hint: Hint | None = None


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """A row for the store; or why there is none: the values make no design, or a fault of ours."""

    job: Job
    row: Row | None = None
    wrong: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Designs:
    """Every design of a study, by the values of its parameters."""

    space: DesignSpace
    workloads: tuple[Workload, ...]
    mapper: SearchOptions
    """How every design is mapped; its method may be FIXED."""

    @property
    def fixed(self) -> bool:
        """True if the mapping in the files is evaluated and none is searched."""
        return self.mapper.method == FIXED

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What an evaluation depends on beside the specification."""
        return {"method": FIXED} if self.fixed else self.mapper.settings

    @property
    def goal(self) -> Objective:
        """What the mapper minimizes."""
        return objective(self.mapper.minimize)

    def spec(self, values: Values, workload: int) -> Spec:
        """The specification of a point; `SpecError` with places in the files."""
        base = self.workloads[workload]
        root = with_values(base.root, self.space.changes(values, base.names))
        source = SourceMap(root, base.lines)
        try:
            spec = Spec.model_validate(root.data).with_source(source)
        except SpecError as error:
            raise error.located(source) from None
        if not self.fixed:
            spec = spec.unmapped()
        return spec if base.layer is None else list(spec.per_layer())[base.layer]

    def key(self, spec: Spec) -> str:
        """What identifies the evaluation of a specification: all its inputs, the mapper's settings, the version."""
        return evaluation_key(spec, self.settings)[:32]

    def evaluated(self, job: Job) -> JobOutcome:
        """The row of one point and workload."""
        answered = replace(job, spec=None, hint=None)  # the sender still has both
        try:
            spec = job.spec or self.spec(job.values, job.workload)
            row = self._row(spec, job)
        except SpecError as error:
            return JobOutcome(answered, wrong=first_message(error))
        except (OSError, MemoryError) as error:
            return JobOutcome(answered, fault=f"{SYSTEM}: {type(error).__name__} {error}")
        except Exception as error:
            return JobOutcome(answered, fault=f"{type(error).__name__}: {error}")
        return JobOutcome(answered, row)

    def _row(self, spec: Spec, job: Job) -> Row:
        started = time.perf_counter()
        design = design_of(spec)
        key = job.key or self.key(spec)
        row: Row = {"key": key, "workload": self.workloads[job.workload].name, "clock_hz": design.arch.clock_hz}
        if self.fixed:
            result: Result | None = evaluate_sharing_counts(design, own_mapping(design))
            row |= {"mappings": 1, "proven": None, "lower_bound": None}
        elif job.hint and (transferred := transferred_result(spec, job.hint, self.goal)):
            result = transferred
            row |= {"mappings": 1, "proven": True, "lower_bound": job.hint.value, "value": job.hint.value}
        else:
            best = run_search(self.mapper.task(spec))
            if best.stopped == "interrupted":
                raise KeyboardInterrupt  # half a search is no result
            result = best.result
            row |= {"mappings": best.evaluated, "proven": best.proven_optimal, "lower_bound": _finite(best.lower_bound)}
            row |= {"value": best.value}
        if result is not None and not self.fixed:
            assert result.design.mapping is not None
            row["mapping"] = json.dumps(mapping_lines(result.design.mapping, spec))
        return row | _measured(result) | {"seconds": time.perf_counter() - started}


def first_message(error: SpecError) -> str:
    """The first mistake in one line."""
    one: Diagnostic = error.diagnostics[0]
    place = f"{one.span}: " if one.span else ""
    return f"{place}{one.message}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _measured(result: Result | None) -> Row:
    """The numbers of a result; without one, that there is none."""
    if result is None:
        return {"valid": False, "why": "no valid mapping was found"}
    levels = [
        {
            "name": level.name,
            "kind": level.kind,
            "energy_pj": float(cost.energy_pj),
            "cycles": float(cost.cycles),
            "area_um2": float(level.area_um2 * level.instances),
        }
        for level, cost in zip(result.plan.arch.levels, result.cost.levels, strict=True)
    ]
    networks = [{"name": one.name, "kind": "network", "energy_pj": float(one.energy_pj)} for one in result.cost.networks]
    return {
        "valid": result.valid,
        "why": None if result.valid else "; ".join(result.reasons),
        "energy_pj": result.energy_pj,
        "cycles": result.cycles,
        "utilization": result.utilization,
        "area_um2": result.area_um2,
        "levels": levels + networks,
    }
