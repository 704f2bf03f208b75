"""The density of a result that is not given: the geometry by which its operands make it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np

from sparseloop.model.density import (
    Actual,
    Contributor,
    DensityModel,
    GivenResult,
    IndexStep,
    OwnAxis,
    PositionAxis,
    Produced,
    ProducingOperand,
    Structured,
    Uniform,
)
from sparseloop.model.design.einsum import Axis, Einsum, Tensor

MOST_POINTS = 2**21
"""Points of an einsum that are looked at one by one where indices are other than single ranks."""
MOST_POINTS_PADDED = 2**14
"""The same where tensors have padding."""


def produced_density(
    result: Tensor, operands: Sequence[Tensor], extents: Mapping[str, int], *, dense_too: bool = False
) -> DensityModel | None:
    """The model of a result made of its operands; None if it is dense (unless `dense_too`), or has a sum of ranks as an index.

    `dense_too`: when words are made matters even if all are in the end: partial sums come and go as they are, or lanes that are
    served one by one add into one word, and none of them finds what another adds at the same time.
    """
    ranks = [axis.terms[0].rank if len(axis.terms) == 1 else None for axis in result.axes]
    sparse = [t for t in operands if t.density.density < 1 or t.density.deterministic]
    padded = [t for t in (result, *operands) if any(axis.padded(dict(extents)) for axis in t.axes)]
    known = all(t.density.deterministic for t in sparse) and _can_be_listed([*sparse, result], extents)
    if padded:
        known = known and bool(sparse) and math.prod(extents.values()) <= MOST_POINTS_PADDED
    if known and (sparse or not _is_plain(result)):
        borders = [replace(t, density=_true_words(t, extents)) for t in padded if not t.density.deterministic]
        return _of_given(result, [*sparse, *borders], extents)
    odd = None in ranks
    if any(t.density.density == 0 for t in operands) and (odd or not dense_too):
        return Uniform(result.density.shape, 0.0, size=result.density.total)
    if odd or not (sparse or dense_too):
        return None
    named = [rank for rank in ranks if rank is not None]
    of = _Indices(tuple(named), {rank: tuple(t.name for t in operands if rank in t.ranks) for rank in named}, extents)
    met = {rank for t in operands for rank in t.ranks} - set(named)
    return Produced(
        shape=tuple(axis.extent(dict(extents)) for axis in result.axes),
        operands=tuple(_operand(_alone(t), of, {rank: extents[rank] for rank in extents if rank in met}) for t in operands),
        shared=tuple(at for rank, at in of.places.items() if rank in of.common),
        positions=math.prod(extents[rank] for rank in met),
        steps=tuple(abs(axis.terms[0].coefficient) for axis in result.axes),
        repeated=tuple(at for at, rank in enumerate(named) if of.places[rank] != at),
    )


def _alone(tensor: Tensor) -> Tensor:
    """An operand whose zeros are those of another one takes none away."""
    if tensor.same_as is None:
        return tensor
    return replace(tensor, density=Uniform(tensor.density.shape, 1.0, size=tensor.density.total))


class _Indices(NamedTuple):
    """The ranks of a result."""

    named: tuple[str, ...]
    """One per axis."""
    owners: Mapping[str, tuple[str, ...]]
    """The operands that have them."""
    extents: Mapping[str, int]

    @property
    def places(self) -> dict[str, int]:
        """The first axis of each."""
        return {rank: self.named.index(rank) for rank in self.named}

    @property
    def common(self) -> set[str]:
        """Those that several operands have."""
        return {rank for rank in self.named if len(self.owners[rank]) > 1}


def _true_words(tensor: Tensor, extents: Mapping[str, int]) -> Actual:
    """The words of a dense tensor among all that its index meets: none where it is padding."""
    inside = np.ones((), dtype=np.bool_)
    for axis in tensor.axes:
        first = axis.offset + sum(min(0, t.coefficient) * (extents[t.rank] - 1) for t in axis.terms)
        at = first + np.arange(axis.extent(dict(extents)))
        true = np.ones(len(at), dtype=np.bool_) if axis.size is None else (at >= 0) & (at < axis.size)
        inside = inside[..., None] & true
    return Actual(inside)


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


def _true_share(tensor: Tensor, extents: Mapping[str, int]) -> float:
    """Share of what is met of a tensor, point by point, that is no padding."""
    return Einsum(ranks=tuple(extents), shape=tuple(extents.values()), tensors=()).true_share(tensor)


def _operand(tensor: Tensor, of: _Indices, contraction: Mapping[str, int]) -> ProducingOperand:
    every = [(at, term) for at, axis in enumerate(tensor.axes) for term in axis.terms]
    terms = [(at, term) for n, (at, term) in enumerate(every) if term.rank not in {t.rank for _, t in every[:n]}]
    ranks = [_rank(axis) for axis in tensor.axes]
    model, common, places = tensor.density, of.common, of.places
    return ProducingOperand(
        model=model,
        own=tuple(
            OwnAxis(places[term.rank], at, term.coefficient, of.extents[term.rank])
            for at, term in terms
            if of.owners.get(term.rank) == (tensor.name,)
        ),
        groups_along_positions=isinstance(model, Structured) and ranks[model.axis] in contraction,
        positions=tuple(
            PositionAxis(
                term.rank, at, term.coefficient, of.extents[term.rank], places[term.rank] if term.rank in common else None
            )
            for at, term in terms
            if term.rank in contraction or term.rank in common
        ),
        elsewhere=math.prod(size for rank, size in contraction.items() if rank not in tensor.ranks),
        missing=tuple(at for rank, at in places.items() if rank in common and rank not in tensor.ranks),
        separate=len(terms) == len(every),
        inside=_true_share(tensor, of.extents),
    )


def _rank(axis: Axis) -> str | None:
    """The rank of an axis that is one; None of a sum or a constant."""
    if len(axis.terms) == 1:
        return axis.terms[0].rank
    return None
