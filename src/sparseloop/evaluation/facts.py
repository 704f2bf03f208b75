"""What is said of every result, in a terminal, on a page, in a notebook: its subject, its totals, its loop nest."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparseloop.evaluation import humanize as wording
from sparseloop.input.terminal import visible

if TYPE_CHECKING:
    from sparseloop.evaluation.result import Result
    from sparseloop.model.plan import Plan


class Fact(NamedTuple):
    """A total: its label, and its value in words."""

    label: str
    text: str


def subject(result: Result) -> list[str]:
    """What was evaluated: the einsum, its shape, its densities, the levels of the machine."""
    einsum, arch = result.plan.einsum, result.plan.arch
    title = "" if einsum.name == "einsum" else f"{visible(einsum.name)}: "
    return [
        f"{title}{wording.equation_text(einsum)}",
        " ".join(f"{rank}={size}" for rank, size in zip(einsum.ranks, einsum.shape, strict=True) if size > 1),
        "; ".join(f"{t.name} {wording.extent_text(einsum, t)}{wording.density_text(t)}" for t in einsum.tensors),
        " > ".join(_stage(level.name, level.instances) for level in arch.levels),
    ]


def _stage(name: str, instances: int) -> str:
    return visible(f"{name} x{instances}" if instances > 1 else name)


def totals(result: Result) -> list[Fact]:
    """Energy, cycles, EDP, area, computes and utilization, in words with their units."""
    computes, clock = result.cost.sparse.computes, result.plan.arch.clock_hz
    total = float(computes.total)
    split = ", ".join(
        f"{wording.percent_text(share)} {name}"
        for name in ("actual", "gated", "skipped", "absent")
        if (share := float(getattr(computes, name)) / total) > 1e-12
    )
    time = f"{wording.time_text(result.latency_s)} at {clock / 1e9:.4g} GHz"
    return [
        Fact("energy", f"{wording.energy_text(result.energy_pj)}   ({result.energy_pj / total:.3g} pJ per dense compute)"),
        Fact("cycles", f"{wording.count_text(result.cycles)}   ({time})"),
        Fact("EDP", wording.edp_in_full(result.edp, clock)),
        Fact("area", wording.total_area_text(result.area_um2)),
        Fact("computes", f"{wording.count_text(total)}: {split}"),
        Fact("utilization", wording.percent_text(result.utilization)),
        *(Fact("no effect", text) for text in without_effect(result.plan)),
    ]


def without_effect(plan: Plan) -> list[str]:
    """Formats and features of the machine that this mapping leaves without work, because it bypasses their tensor."""
    names, keep, sparse = [level.name for level in plan.arch.storage], plan.nest.keep, plan.sparse
    found = [f"{names[at]}: format of {tensor} (bypassed there)" for at, tensor in sparse.formats if tensor not in keep[at]]
    for saf in sparse.safs:
        if not any(saf.follower in kept for kept in keep[: saf.level + 1]):
            found.append(f"{names[saf.level]}: {saf.kind} of {saf.follower} (bypassed from there outwards)")
    return list(dict.fromkeys(found))


# --- the loop nest --------------------------------------------------------------------------------------------


def mapping_picture(result: Result | None) -> str:
    """The loop nest, indented, with the tiles every level holds."""
    if result is None:
        return "Mapping\n  none: sparseloop map finds one"
    plan, chosen = result.plan, result.design.mapping
    assert chosen is not None
    lines, depth = ["Mapping"], 0
    residuals = chosen.residuals or chosen.bounds
    for index, level in enumerate(plan.arch.storage):
        lines.append(f"  {level.name}: {_tiles(result, index)}")
        for loop, bound, last in zip(plan.loops, chosen.bounds, residuals, strict=True):
            if loop.level == index and (bound > 1 or last != bound):
                verb = f"parallel along {loop.axis}" if loop.axis else "for"
                ending = f"   (last pass: {last})" if last != bound else ""
                lines.append(f"  {'  ' * (depth + 1)}{verb} {loop.rank} in 0..{bound - 1}{ending}")
                depth += 1
    einsum = plan.einsum
    outputs = [wording.access_text(t) for t in einsum.tensors if t.output]
    inputs = [wording.access_text(t) for t in einsum.tensors if not t.output]
    return "\n".join([*lines, f"  {plan.arch.compute.name}: {'  ' * depth}{', '.join(outputs)} += {' * '.join(inputs)}"])


def _tiles(result: Result, level: int) -> str:
    """'I 1x4x11x121 (5.32 k words, 60 % stored)' for every tensor the level keeps."""
    parts: list[str] = []
    for k in result.cost.sparse.links_from(level):
        held, name = k.resident, k.dense.link.name
        shape = "x".join(wording.exact_text(side) for side in held.extents)
        stored = float(held.occupancy) / float(held.footprint)
        share = f", {wording.count_text(held.occupancy)} stored" if stored < 1 else ""
        parts.append(f"{name} {shape} ({wording.count_text(held.footprint)} word{'s' * (held.footprint != 1)}{share})")
    return "holds " + ", ".join(parts) if parts else "holds nothing"
