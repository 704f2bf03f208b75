"""The open faults and the stated approximations."""

from __future__ import annotations

from collections.abc import Callable

from tests.property.fuzz.kinds import Kind
from tests.property.fuzz.specification import Operand, Specification


def has_features(spec: Specification) -> bool:
    """Is anything sparse about it: formats, features, compute skips or gates?"""
    sparse = spec.sparse
    return bool(sparse.formats or sparse.safs or sparse.compute_skip or sparse.compute_gate)


def any_tensor(holds: Callable[[Operand], bool]) -> Callable[[Specification], bool]:
    """A specification of which some tensor is such."""
    return lambda spec: any(holds(t) for t in spec.tensors)


def repeats_a_rank(tensor: Operand) -> bool:
    """Does a rank occur twice among its indices?"""
    return len(set(tensor.ranks)) < len(tensor.ranks)


def slides(tensor: Operand) -> bool:
    """Is some index a sum of ranks?"""
    return any(len(axis.terms) > 1 for axis in tensor.axes)


def packs(spec: Specification) -> bool:
    """Does a spatial skip pack positions?"""
    return any(saf.kind == "spatial_skip" for saf in spec.sparse.safs)


OPEN: tuple[Kind, ...] = (
    Kind("a rank that occurs twice in a tensor", any_tensor(repeats_a_rank)),
    Kind("imperfect factors with sparse features", lambda spec: spec.imperfect and has_features(spec)),
    Kind("n:m and block densities", any_tensor(lambda t: t.density.kind in ("structured", "block"))),
    Kind("windows with sparse features", lambda spec: has_features(spec) and any(slides(t) for t in spec.tensors)),
    Kind("cycles of packed positions", packs, r"compute cycles|L\d cycles"),
    Kind("overbooked levels", lambda spec: any(isinstance(p.rule, float) for p in spec.places), r"L\d cycles"),
    Kind("access blocks that features look at", lambda spec: bool(spec.sparse.safs) and any(p.block > 1 for p in spec.places)),
)
"""Faults that are known and not yet mended; whoever mends one takes it out."""

APPROXIMATIONS: tuple[Kind, ...] = (
    Kind(
        "intersection units that jump ahead",
        lambda spec: any(saf.intersection == "skip_ahead" for saf in spec.sparse.safs),
        r".* metadata .*",
        error=1.0,
    ),
)
"""What the model does not claim to be exact."""
