"""What each sparse feature saves: the same mapping evaluated without it and without the units that only it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.result import Result
from sparseloop.model.design.arch import Arch, Level, Part
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.design.sparse import Saf, Sparse
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import compile_plan
from sparseloop.model.sparsity.events import Events


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
    area_um2: float
    """Area of all units that only the feature needs."""


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
    arch = _without_units(result.plan.arch, sparse)
    plan = compile_plan(result.design.einsum, arch, mapping.nest, sparse)
    other = evaluate_plan(plan, mapping.bounds, mapping.residuals)
    return Saving(
        feature=feature,
        what=what,
        removed=float(removed),
        dense=float(dense),
        energy_pj=float(other.energy_pj),
        cycles=float(other.cycles),
        area_um2=float(result.cost.area_um2 - other.area_um2),
    )


def _without_units(arch: Arch, sparse: Sparse) -> Arch:
    """The machine without the area and the leakage of units that no feature needs any more."""
    levels: list[Level] = []
    for index, level in enumerate(arch.levels):
        gone = [part for part in level.parts if part.unit and not _needed(part, arch, index, sparse)]
        leak = level.prices["leak"]
        less = replace(leak, energy_pj=max(0.0, leak.energy_pj - sum(part.count * part.leak_pj for part in gone)))
        area = max(0.0, level.area_um2 - sum(part.count * part.area_um2 for part in gone))
        prices = {**level.prices, "leak": less} if gone else level.prices
        levels.append(replace(level, parts=tuple(p for p in level.parts if p not in gone), area_um2=area, prices=prices))
    return replace(arch, levels=tuple(levels))


def _needed(part: Part, arch: Arch, level: int, sparse: Sparse) -> bool:
    """True if a feature of `sparse` needs the unit."""
    if level == len(arch.levels) - 1:
        return sparse.compute_gate or sparse.compute_skip
    here = [saf for saf in sparse.safs if saf.level == level]
    if part.unit == "intersection":
        return any(saf.kind != "gate" and part.tensors == frozenset((saf.follower, *saf.leaders)) for saf in here)
    if part.unit == "zero_detector":
        return any(saf.kind == "gate" and part.tensors <= set(saf.leaders) for saf in here)
    return any(tensor in part.tensors for _, tensor in sparse.formats)


def _without_saf(sparse: Sparse, saf: Saf) -> Sparse:
    """One alternative of several stands for all of them."""
    gone = [s for s in sparse.safs if s == saf or (saf.choice is not None and s.choice == saf.choice)]
    return replace(sparse, safs=tuple(s for s in sparse.safs if s not in gone))


def _name(result: Result, saf: Saf) -> str:
    option = " (an option)" if saf.choice is not None else ""
    return f"{result.plan.arch.levels[saf.level].name}: {wording.feature_arrow(saf)}{option}"


def _acts(result: Result, saf: Saf) -> tuple[str, float, float]:
    """Accesses of the link a feature acts on, in its class."""
    for k in result.cost.sparse.links:
        if saf in k.dense.link.safs:
            split: Events = k.updates if k.dense.link.output else k.reads
            removed = split.gated if saf.kind == "gate" else split.skipped
            return ("updates" if k.dense.link.output else "reads"), removed, split.total
    return "reads", 0.0, 0.0


def _absent(result: Result, tensor: str) -> tuple[str, float, float]:
    """Words of a tensor that are neither stored nor moved because they are zero, where it is compressed."""
    counts: list[Events] = []
    for k in result.cost.sparse.links:
        if k.dense.link.name == tensor:
            counts += [k.reads, k.updates] if k.dense.link.compressed else []
            counts += [k.fills] if k.dense.link.child_compressed else []
    return "words", sum(c.absent for c in counts), sum(c.total for c in counts)
