"""What each sparse feature saves: the same mapping evaluated without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from . import wording
from .cost import Cost
from .evaluate import evaluate_plan
from .mapping import Mapping
from .plan import compile_plan
from .result import Result
from .saf import Classes
from .sparse import Saf, Sparse


@final
@dataclass(frozen=True, kw_only=True)
class Saving:
    """One feature: what it removes where it acts, and what the mapping would cost without it."""

    feature: str
    what: str
    """reads, updates, computes or words."""
    removed: float
    """Events that are skipped, gated or absent where the feature acts (shared with features of the same kind there)."""
    dense: float
    """All such events."""
    energy_pj: float
    """Energy of the mapping without the feature."""
    cycles: float
    """Cycles of the mapping without the feature."""


def savings(result: Result, mapping: Mapping) -> tuple[Saving, ...]:
    """Every SAF, the compute level's own, every compressed tensor; last, all of them together."""
    sparse = result.plan.sparse
    compute = result.plan.arch.compute.name
    found = [_without(result, mapping, (_name(result, s), _without_saf(sparse, s)), _acts(result, s)) for s in sparse.safs]
    computes = result.cost.sparse.computes
    if sparse.compute_skip:
        changed = (f"{compute}: skip", replace(sparse, compute_skip=False))
        found.append(_without(result, mapping, changed, ("computes", computes.skipped, computes.total)))
    if sparse.compute_gate:
        changed = (f"{compute}: gate", replace(sparse, compute_gate=False))
        found.append(_without(result, mapping, changed, ("computes", computes.gated, computes.total)))
    compressed = dict.fromkeys(tensor for (_, tensor), form in sparse.formats.items() if form.compressed)
    for tensor in compressed:
        formats = {at: form for at, form in sparse.formats.items() if at[1] != tensor}
        changed = (f"{tensor} compressed", replace(sparse, formats=formats))
        found.append(_without(result, mapping, changed, _absent(result, tensor)))
    if len(found) > 1:
        nothing = Sparse(formats={}, implied_skips=sparse.implied_skips, timeloop_reading=sparse.timeloop_reading)
        gone = computes.total - computes.actual
        found.append(_without(result, mapping, ("all together", nothing), ("computes", gone, computes.total)))
    return tuple(found)


def _without(result: Result, mapping: Mapping, changed: tuple[str, Sparse], acts: tuple[str, float, float]) -> Saving:
    feature, sparse = changed
    what, removed, dense = acts
    other = _cost(result, mapping, sparse)
    return Saving(
        feature=feature,
        what=what,
        removed=float(removed),
        dense=float(dense),
        energy_pj=float(other.energy_pj),
        cycles=float(other.cycles),
    )


def _cost(result: Result, mapping: Mapping, sparse: Sparse) -> Cost:
    design = result.design
    plan = compile_plan(design.einsum, design.arch, mapping.nest, sparse)
    return evaluate_plan(plan, mapping.bounds, mapping.residuals)


def _without_saf(sparse: Sparse, saf: Saf) -> Sparse:
    """One alternative of several stands for all of them."""
    gone = [s for s in sparse.safs if s == saf or (saf.choice is not None and s.choice == saf.choice)]
    return replace(sparse, safs=tuple(s for s in sparse.safs if s not in gone))


def _name(result: Result, saf: Saf) -> str:
    option = " (an option)" if saf.choice is not None else ""
    return f"{result.plan.arch.levels[saf.level].name}: {wording.arrow(saf)}{option}"


def _acts(result: Result, saf: Saf) -> tuple[str, float, float]:
    """Accesses of the link a feature acts on, in its class."""
    for k in result.cost.sparse.links:
        if saf in k.dense.link.safs:
            split: Classes = k.updates if k.dense.link.output else k.reads
            removed = split.gated if saf.kind == "gate" else split.skipped
            return ("updates" if k.dense.link.output else "reads"), removed, split.total
    return "reads", 0.0, 0.0


def _absent(result: Result, tensor: str) -> tuple[str, float, float]:
    """Words of a tensor that are neither stored nor moved because they are zero, where it is compressed."""
    counts: list[Classes] = []
    for k in result.cost.sparse.links:
        if k.dense.link.name == tensor:
            counts += [k.reads, k.updates] if k.dense.link.compressed else []
            counts += [k.fills] if k.dense.link.child_compressed else []
    return "words", sum(c.absent for c in counts), sum(c.total for c in counts)
