"""The density of a result that is not given: the geometry by which its operands make it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sparseloop.model.density import (
    Contributor,
    DensityModel,
    GivenResult,
    IndexStep,
    OwnAxis,
    Produced,
    ProducingOperand,
    Structured,
    Uniform,
)
from sparseloop.model.design.einsum import Axis, Tensor

MOST_POINTS = 2**21
"""Points of an einsum that are looked at one by one where indices are other than single ranks."""


def produced_density(
    result: Tensor, operands: Sequence[Tensor], extents: Mapping[str, int], *, dense_too: bool = False
) -> DensityModel | None:
    """The model of a result made of its operands; None if it is dense (unless `dense_too`), or has an axis of several ranks."""
    ranks = [axis.terms[0].rank if len(axis.terms) == 1 else None for axis in result.axes]
    sparse = [t for t in operands if t.density.density < 1 or t.density.deterministic]
    padded = any(axis.padded(dict(extents)) for t in (result, *operands) for axis in t.axes)
    known = not padded and all(t.density.deterministic for t in sparse) and _can_be_listed([*sparse, result], extents)
    if known and (sparse or not _is_plain(result)):
        return _of_given(result, sparse, extents)
    odd = None in ranks or len(set(ranks)) < len(ranks)
    if any(t.density.density == 0 for t in operands) and (odd or not dense_too):
        return Uniform(tuple(axis.extent(dict(extents)) for axis in result.axes), 0.0, size=result.density.total)
    if odd or not (sparse or dense_too):
        return None
    named = [rank for rank in ranks if rank is not None]
    owners = {rank: [t.name for t in operands if rank in t.ranks] for rank in named}
    contraction = {rank: size for rank, size in extents.items() if rank not in named and any(rank in t.ranks for t in operands)}
    return Produced(
        shape=tuple(axis.extent(dict(extents)) for axis in result.axes),
        operands=tuple(_operand(t, named, owners, set(contraction)) for t in operands),
        shared=tuple(at for at, rank in enumerate(named) if len(owners[rank]) > 1),
        positions=math.prod(contraction.values()),
        steps=tuple(abs(axis.terms[0].coefficient) for axis in result.axes),
    )


def _can_be_listed(tensors: Sequence[Tensor], extents: Mapping[str, int]) -> bool:
    """True if every axis is a rank of its own, or points are few."""
    return math.prod(extents.values()) <= MOST_POINTS or all(map(_is_plain, tensors))


def _is_plain(tensor: Tensor) -> bool:
    every = [(term.rank, term.coefficient) for axis in tensor.axes for term in axis.terms]
    one_each = all(len(axis.terms) == 1 for axis in tensor.axes) and len({rank for rank, _ in every}) == len(every)
    return one_each and all(coefficient == 1 for _, coefficient in every)


def _of_given(result: Tensor, sparse: Sequence[Tensor], extents: Mapping[str, int]) -> DensityModel:
    return GivenResult(
        shape=tuple(axis.extent(dict(extents)) for axis in result.axes),
        axes=_indices(result),
        contributors=tuple(Contributor(cast("Any", t.density), _indices(t)) for t in sparse),
        extents=tuple(extents.items()),
    )


def _indices(tensor: Tensor) -> tuple[tuple[IndexStep, ...], ...]:
    return tuple(tuple(IndexStep(term.rank, term.coefficient) for term in axis.terms) for axis in tensor.axes)


def _operand(
    tensor: Tensor, named: Sequence[str], owners: Mapping[str, Sequence[str]], contraction: set[str]
) -> ProducingOperand:
    common = {rank for rank in named if len(owners[rank]) > 1}
    ranks = [_rank(axis) for axis in tensor.axes]
    single = {rank for rank in ranks if rank is not None}
    own = tuple(
        OwnAxis(named.index(rank), at)
        for at, rank in enumerate(ranks)
        if rank is not None and rank in named and owners[rank] == [tensor.name] and rank not in ranks[:at]
    )
    model = tensor.density
    return ProducingOperand(
        model=model,
        own=own,
        complete=None not in ranks and common <= single and (contraction <= single or not contraction & single),
        groups_along_positions=isinstance(model, Structured) and ranks[model.axis] in contraction,
        contracted=bool(contraction & tensor.ranks),
        shared=tuple(named.index(rank) for rank in named if rank in common and rank in tensor.ranks),
    )


def _rank(axis: Axis) -> str | None:
    """The rank of an axis that is one; None of a sum or a constant."""
    if len(axis.terms) == 1:
        return axis.terms[0].rank
    return None
