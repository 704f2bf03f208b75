"""The workload's meaning: einsums, tensors, ranks and affine projections."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sparseloop.model.borders import ALL, real_words
from sparseloop.model.density import DensityModel, DeterministicModel, at_least_together


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One summand `coefficient * rank` of a projection."""

    rank: str
    coefficient: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One rank of a tensor as an affine form of rank variables: coordinate = offset + sum of terms."""

    terms: tuple[Term, ...]
    offset: int = 0
    size: int | None = None
    """The true extent: coordinates from 0 to below it hold words, others are padding. None: all that are met hold words."""

    def extent(self, extents: dict[str, int]) -> int:
        """Size of the bounding interval of the coordinates when rank d runs over `extents[d]` values."""
        return 1 + sum(abs(t.coefficient) * (extents[t.rank] - 1) for t in self.terms)

    def padded(self, extents: dict[str, int]) -> bool:
        """True if coordinates outside the true extent are met."""
        if self.size is None:
            return False
        first = self.offset + sum(min(0, t.coefficient) * (extents[t.rank] - 1) for t in self.terms)
        return first < 0 or first + self.extent(extents) > self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One operand or result of an einsum, with the distribution of its non-zeros."""

    name: str
    axes: tuple[Axis, ...]
    output: bool = False
    density: DensityModel
    word_bits: int | None = None
    same_as: str | None = None
    """Another operand whose zeros are at the same places of the same index; it stands for this one wherever zeros matter."""

    @property
    def ranks(self) -> frozenset[str]:
        """The rank variables that index this tensor (its relevant ranks)."""
        return frozenset(t.rank for axis in self.axes for t in axis.terms)

    @property
    def single(self) -> bool:
        """True if every axis is a single rank and no rank occurs twice."""
        ranks = [term.rank for axis in self.axes for term in axis.terms]
        return all(len(axis.terms) <= 1 for axis in self.axes) and len(set(ranks)) == len(ranks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Einsum:
    """One tensor operation: every point of the box `shape` is one compute."""

    name: str = "einsum"
    ranks: tuple[str, ...]
    shape: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", {t.name: i for i, t in enumerate(self.tensors)})

    @property
    def computes(self) -> int:
        """Number of points of the operation space."""
        return math.prod(self.shape)

    @property
    def extents(self) -> dict[str, int]:
        """Rank variable to its size."""
        return dict(zip(self.ranks, self.shape, strict=True))

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name; KeyError if there is none."""
        return self.tensors[self.index[name]]

    def tensor_shape(self, tensor: Tensor) -> tuple[int, ...]:
        """Bounding shape of what is met of the tensor, padding included, one number per axis."""
        extents = self.extents
        return tuple(axis.extent(extents) for axis in tensor.axes)

    def has_padding(self, tensor: Tensor) -> bool:
        """True if coordinates of the tensor are met that hold no words."""
        return any(axis.padded(self.extents) for axis in tensor.axes)

    def true_share(self, tensor: Tensor) -> float:
        """Share of the points of the operation space that meet no padding of the tensor."""
        return math.prod(true_share_along(axis, self.extents) for axis in tensor.axes)

    @property
    def regular(self) -> bool:
        """True if every tensor has one rank per axis, without steps and padding: then all aligned tiles are met equally often."""
        terms = [term for tensor in self.tensors for axis in tensor.axes for term in axis.terms]
        single = all(tensor.single and not self.has_padding(tensor) for tensor in self.tensors)
        return single and all(term.coefficient == 1 for term in terms)

    def counted(self, tensor: Tensor) -> DeterministicModel | None:
        """The known pattern of an operand, if shares of its tiles are shares of what is met; None for all others."""
        model, apt = tensor.density, self.regular and not tensor.output and tensor.density.shape == self.tensor_shape(tensor)
        return model if apt and isinstance(model, DeterministicModel) else None

    def least_nonzero(self, tensors: Iterable[int]) -> float:
        """Share of all points, at least, at which no word of these tensors is zero."""
        random, known = 1.0, list[float]()
        for tensor in (self.tensors[at] for at in set(tensors)):
            if (model := self.counted(tensor)) is not None:
                known.append(model.density)
            else:
                random *= tensor.density.least_nonzero * self.true_share(tensor)
        return random * float(at_least_together(known))

    def least_beside(self, tensor: int, others: Iterable[int]) -> float:
        """Share of the words of a tensor, at least, that are not zero, of those that conditions on tiles of others leave."""
        model = self.counted(self.tensors[tensor])
        if model is None or any(self.tensors[at].density.deterministic for at in set(others) - {tensor}):
            return self.tensors[tensor].density.least_nonzero
        return model.density

    def true_shape(self, tensor: Tensor) -> tuple[int, ...]:
        """Shape of the tensor itself: the true extents where there are any, else what is met."""
        met = self.tensor_shape(tensor)
        return tuple(size if axis.size is None else axis.size for axis, size in zip(tensor.axes, met, strict=True))


def true_share_along(axis: Axis, extents: Mapping[str, int]) -> float:
    """Share of the points of an operation space that meet no padding along an axis."""
    if axis.size is None:
        return 1.0
    terms = [(t.coefficient, extents[t.rank]) for t in axis.terms]
    met = real_words(axis.offset, axis.size, *(x for c, n in terms for x in (c, n, 1, ALL)))
    return met / math.prod(n for _, n in terms)
