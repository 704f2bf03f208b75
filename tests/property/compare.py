"""The model and the walker side by side."""

from __future__ import annotations

import numpy as np

from sparseloop.model.cost.cost import Cost
from sparseloop.model.density import Actual
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import compile_plan
from sparseloop.validation.walker import Walker
from tests.property.specs import Case

CLASSES = ("total", "actual", "gated", "skipped", "absent")


def model_counts(case: Case, densities: dict[str, object], metadata: bool = True) -> dict[str, float]:
    """All counts of the model under flat names."""
    plan = compile_plan(case.einsum(densities), case.arch(), case.mapping.nest, case.sparse)  # type: ignore[arg-type]
    return counts_of(evaluate_plan(plan, case.mapping.bounds, case.mapping.residuals), metadata)


def counts_of(cost: Cost, metadata: bool = True) -> dict[str, float]:
    """The same of a cost."""
    out: dict[str, float] = {}
    filled = {(k.dense.link.child, k.dense.link.name): k for k in cost.sparse.links}
    for k in cost.sparse.links:
        at = (k.dense.link.parent, k.dense.link.name)
        source = filled.get(at)
        groups = {"reads": k.reads, "updates": k.updates}
        if source is not None:
            groups["fills"] = source.fills
        for kind, classes in groups.items():
            for c in CLASSES:
                out[f"{at} {kind} {c}"] = float(getattr(classes, c))
        out[f"{at} decompress"] = float(source.decompress) if source is not None else 0.0
        out[f"{at} compress"] = float(k.compress)
        if metadata and not bool(k.misfit):
            add_ranks(out, at, k.ranks)
    for c in CLASSES:
        out[f"computes {c}"] = float(getattr(cost.sparse.computes, c))
    out["steps"] = float(cost.dense.steps)
    return out


def add_ranks(out: dict[str, float], at: tuple[int, str], ranks) -> None:
    """Metadata per rank; r0 is the innermost."""
    for r, rank in enumerate(reversed(ranks)):
        for kind in ("reads", "fills", "updates"):
            for part in ("entries", "payloads"):
                add_classes(out, f"{at} md {kind} {part} r{r}", getattr(rank, part)[kind])


def add_classes(out: dict[str, float], name: str, classes) -> None:
    for c in CLASSES:
        out[f"{name} {c}"] = float(getattr(classes, c))


def add_walked(out: dict[str, float], at: tuple[int, str], tensor, given: int) -> None:
    """The same of the walker: what it adds for repetitions of the outermost rank counts as that rank."""
    for kind in ("reads", "fills", "updates"):
        for r, units in enumerate(reversed(getattr(tensor, f"metadata_{kind}"))):
            for part, classes in (("entries", units.metadata), ("payloads", units.payload)):
                for c in CLASSES:
                    name = f"{at} md {kind} {part} r{min(r, given - 1)} {c}"
                    out[name] = out.get(name, 0.0) + getattr(classes, c)


def walk_counts(case: Case, walk, metadata: bool = True) -> dict[str, float]:
    """The same names from the walker."""
    out: dict[str, float] = {}
    for at, tensor in walk.tensors.items():
        for kind in ("reads", "updates", "fills"):
            for c in CLASSES:
                out[f"{at} {kind} {c}"] = getattr(getattr(tensor, kind), c)
        out[f"{at} decompress"] = tensor.decompress
        out[f"{at} compress"] = tensor.compress
        if metadata:
            given = case.sparse.format(*at)
            if given is not None:
                add_walked(out, at, tensor, len(given.ranks))
    for c in CLASSES:
        out[f"computes {c}"] = getattr(walk.computes, c)
    out["steps"] = walk.cycles
    return out


def walker(case: Case) -> Walker:
    return Walker(case.einsum(), case.blocks, case.mapping, case.sparse)


def differences(ours: dict[str, float], theirs: dict[str, float], tolerance: float = 1e-9) -> dict[str, tuple[float, float]]:
    """Names present in ours whose values differ."""
    result = {}
    for name, value in ours.items():
        other = theirs.get(name, 0.0)
        if abs(value - other) > tolerance * max(1.0, abs(value), abs(other)):
            result[name] = (value, other)
    return result


def actual_differences(case: Case, patterns: dict[str, np.ndarray], metadata: bool = True) -> dict[str, tuple[float, float]]:
    """Exact comparison on one draw: every tensor is given data."""
    models = {name: Actual(pattern) for name, pattern in patterns.items()}
    ours = model_counts(case, models, metadata)
    return differences(ours, walk_counts(case, walker(case).walk(patterns), metadata))
