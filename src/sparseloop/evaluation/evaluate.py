"""What Python users call: from a specification to a result."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.host_nest import hosted_batches
from sparseloop.evaluation.result import Result
from sparseloop.input.diagnostics import Diagnostic, SpecError, check_arguments, did_you_mean
from sparseloop.input.resolve import resolve
from sparseloop.input.spec import Spec
from sparseloop.model.design import Design
from sparseloop.model.design.counting_key import counting_key
from sparseloop.model.design.mapping import LoopNest, Mapping, MappingBatch, Sample
from sparseloop.model.pipeline import COLUMNS, EventTotals, evaluate_plan, event_totals, plan_of, price_events
from sparseloop.model.plan import Plan


class _Same:
    """A specification as a key: equal only to itself (specifications are frozen)."""

    __slots__ = ("spec",)

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __hash__(self) -> int:
        return id(self.spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.spec is self.spec


class _Template:
    """A design with a loop nest as a key: the design by identity, the nest by value."""

    __slots__ = ("design", "nest")

    def __init__(self, design: Design, nest: LoopNest) -> None:
        self.design, self.nest = design, nest

    def __hash__(self) -> int:
        return hash((id(self.design), self.nest))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Template) and other.design is self.design and other.nest == self.nest


@lru_cache(maxsize=16)
def _resolved(key: _Same) -> Design:
    return resolve(key.spec)


@lru_cache(maxsize=512)
def _compiled(key: _Template) -> Plan:
    return plan_of(key.design, key.nest)


def design_of(spec: Spec) -> Design:
    """The meaning of a specification; the same object for the same specification. Raises `SpecError`."""
    check_arguments(design_of, locals())
    if len(spec.layers) > 1:
        message = f"the specification has {len(spec.layers)} layers, and this takes one"
        hint = "take each of spec.per_layer(); or search them all: map_network(spec)"
        raise SpecError([Diagnostic(path=("layers",), message=message, hint=hint)])
    return _resolved(_Same(spec))


@overload
def evaluate(spec: Spec, mapping: Mapping | None = None) -> Result: ...


@overload
def evaluate(spec: Spec, mapping: MappingBatch | Sample | Mapping | None, *, keep: tuple[str, ...] | None = None) -> Any: ...


def evaluate(
    spec: Spec, mapping: Mapping | MappingBatch | Sample | None = None, *, keep: tuple[str, ...] | None = None
) -> Any:  # fmt: skip
    """Energy, cycles, area, traffic and validity of one mapping, or columns of them for many.

    Without `mapping` the specification's own is evaluated; it or a `Mapping` gives a `Result` (pJ, cycles, um2, words; a mapping
    that does not fit has numbers, too, `valid` is False and `reasons` say why). A `MappingBatch` or `Sample` of n mappings gives
    a dict of arrays of shape (n,): `energy_pj`, `cycles`, `status` (0: valid), or those that `keep` names. Raises `SpecError` if
    there is no mapping, if it does not belong to the specification, or if that has several layers.

    >>> result = evaluate(load("matmul.yaml"))
    >>> result.valid, f"{result.energy_pj / 1e6:.0f} uJ", f"{result.cycles:.0f} cycles"
    (True, '147 uJ', '123215 cycles')
    """
    check_arguments(evaluate, locals())
    design = design_of(spec)
    if mapping is not None:
        _check_belongs(design, mapping)
    if mapping is None:
        mapping = own_mapping(design)
    if isinstance(mapping, Mapping):
        if keep is not None:
            message = "keep is for a batch of mappings: the result of one mapping has everything"
            raise SpecError([Diagnostic(path=("keep",), message=message)])
        return evaluate_mapping(design, mapping)
    return evaluate_batch(design, mapping, keep)


def _check_belongs(design: Design, mapping: Mapping | MappingBatch | Sample) -> None:
    """Raises `SpecError` for a mapping of another specification: other levels, tensors or ranks, or bounds of other sizes."""
    sizes, tensors = design.einsum.extents, {tensor.name for tensor in design.einsum.tensors}
    stored, found = len(design.arch.levels) - 1, ""
    for nest in (part.nest for part in (mapping.parts if isinstance(mapping, Sample) else (mapping,))):
        if len(nest.keep) != stored or any(loop.level >= stored for loop in nest.loops):
            found = found or f"it has {len(nest.keep)} storage levels, the machine {stored}"
        if odd := ({name for kept in nest.keep for name in kept} - tensors) | ({loop.rank for loop in nest.loops} - set(sizes)):
            found = found or f"the einsum has no {', '.join(sorted(odd))}"
    if not found and isinstance(mapping, Mapping) and mapping.residuals is None:
        for rank, size in sizes.items():
            covered = math.prod(n for loop, n in zip(mapping.nest.loops, mapping.bounds, strict=True) if loop.rank == rank)
            if covered != size:
                found = found or f"its loops over {rank} make {covered}, the size is {size}"
    if found:
        message = f"the mapping belongs to another specification: {found}"
        raise SpecError(
            [Diagnostic(path=("mapping",), message=message, hint="search one for this: sparseloop.search(spec).mapping")]
        )


def evaluate_mapping(design: Design, mapping: Mapping) -> Result:
    """The result of one mapping of a design."""
    plan = _compiled(_Template(design, mapping.nest))
    return Result(design=design, plan=plan, cost=evaluate_plan(plan, mapping.bounds, mapping.residuals))


@dataclass(frozen=True, slots=True)
class _CountsKey:
    """All that counts depend on, and a design that has it."""

    design: Design = field(compare=False)
    mapping: Mapping
    key: Hashable


@lru_cache(maxsize=64)
def _cached_totals(counting: _CountsKey) -> EventTotals:
    mapping = counting.mapping
    return event_totals(plan_of(counting.design, mapping.nest), mapping.bounds, mapping.residuals)


def evaluate_sharing_counts(design: Design, mapping: Mapping) -> Result:
    """As `evaluate_mapping`; designs that differ in sizes, bandwidths and prices only share the counts."""
    if any(saf.choice is not None for saf in design.sparse.safs):
        return evaluate_mapping(design, mapping)  # which alternative is taken is a question of prices
    plan = plan_of(design, mapping.nest)
    totals = _cached_totals(_CountsKey(design, mapping, counting_key(design)))
    return Result(design=design, plan=plan, cost=price_events(plan, totals))


def own_mapping(design: Design) -> Mapping:
    """The mapping that came with the specification; `SpecError` if there is none."""
    if design.mapping is None:
        hint = "write one under mapping:, or search one: sparseloop map FILE..., in Python sparseloop.search(spec)"
        raise SpecError([Diagnostic(message="the specification has no mapping to evaluate", hint=hint)])
    return design.mapping


def evaluate_batch(design: Design, batch: MappingBatch | Sample, keep: tuple[str, ...] | None) -> dict[str, npt.NDArray[Any]]:
    """Columns of many mappings, one entry a mapping."""
    keep = ("energy_pj", "cycles", "status") if keep is None else keep
    unknown = [name for name in keep if name not in COLUMNS]
    if unknown:
        message = f"there is no column {', '.join(map(repr, unknown))}"
        raise SpecError([Diagnostic(path=("keep",), message=message, hint=did_you_mean(unknown[0], COLUMNS))])
    if isinstance(batch, MappingBatch):
        return _columns(design, batch, keep)
    columns: dict[str, npt.NDArray[Any]] = {name: np.empty(sum(map(len, batch.parts)), _kind(name)) for name in keep}
    for part, place in hosted_batches(batch.parts):
        for name, values in _columns(design, part, keep).items():
            columns[name][place] = values
    return {name: values[batch.place] for name, values in columns.items()}


def _kind(column: str) -> type:
    return np.int64 if column == "status" else np.float64


def _columns(design: Design, batch: MappingBatch, keep: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    plan = _compiled(_Template(design, batch.nest))
    if batch.residuals is None:
        from sparseloop.evaluation.recorded_batch import evaluate_columns  # one mapping needs no recordings

        return evaluate_columns(plan, batch.bounds, keep)
    cost = evaluate_plan(plan, batch.bounds, batch.residuals)
    return {name: np.broadcast_to(getattr(cost, name), len(batch)).astype(_kind(name)) for name in keep}
