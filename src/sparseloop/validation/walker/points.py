"""The operation points of a nest in the order the machine visits them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparseloop.model.design.einsum import Axis, Einsum, Tensor
from sparseloop.model.design.mapping import LoopNest, Mapping

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


def numbered(*codes: IntArray) -> IntArray:
    """One number per entry, equal where all of the codes are equal."""
    return np.unique(np.stack(codes), axis=1, return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Every existing iteration of a nest: row p of `index` holds the loop indices of point p, outermost loop first."""

    einsum: Einsum
    nest: LoopNest
    bounds: tuple[int, ...]
    """Per loop the number of index values that ever come: of imperfect factors it may be fewer than the loop is given."""
    strides: tuple[int, ...]
    index: IntArray

    def __len__(self) -> int:
        return len(self.index)

    def code(self, loops: Sequence[int]) -> IntArray:
        """One number per point, equal where the indices of `loops` are equal, ordered as the nest visits them."""
        code = np.zeros(len(self), dtype=np.int64)
        for i in loops:
            code = code * self.bounds[i] + self.index[:, i]
        return code

    def instance(self, level: int) -> IntArray:
        """The instance of `level` that works on each point."""
        return self.code([i for i, loop in enumerate(self.nest.loops) if loop.spatial and loop.level < level])

    def step(self, level: int) -> IntArray:
        """The temporal iteration outside `level` in which each point lies."""
        return self.code([i for i, loop in enumerate(self.nest.loops) if not loop.spatial and loop.level < level])

    def relevant(self, tensor: Tensor) -> list[int]:
        """The loops (bound > 1) over ranks of `tensor`, outermost first."""
        return [i for i, loop in enumerate(self.nest.loops) if loop.rank in tensor.ranks and self.bounds[i] > 1]

    def word(self, tensor: Tensor, zeroed: Collection[int] = ()) -> IntArray:
        """The word of `tensor` used at each point (flat position in its bounding box), loops in `zeroed` put back to 0."""
        flat = np.zeros(len(self), dtype=np.int64)
        for axis, extent in zip(tensor.axes, self.einsum.tensor_shape(tensor), strict=True):
            # a negative coefficient counts down from the far end, so that the bounding box starts at 0
            flat = flat * extent + self.coordinate(axis, zeroed) - self.lowest(axis)
        return flat

    def coordinate(self, axis: Axis, zeroed: Collection[int] = ()) -> IntArray:
        """The coordinate along an axis at each point, its constant included."""
        position = np.full(len(self), axis.offset, dtype=np.int64)
        for term in axis.terms:
            for i, loop in enumerate(self.nest.loops):
                if loop.rank == term.rank and i not in zeroed:
                    position = position + term.coefficient * self.strides[i] * self.index[:, i]
        return position

    def lowest(self, axis: Axis) -> int:
        """The smallest coordinate along an axis."""
        extents = self.einsum.extents
        return axis.offset + sum(t.coefficient * (extents[t.rank] - 1) for t in axis.terms if t.coefficient < 0)

    def inside(self, tensor: Tensor) -> BoolArray:
        """Per point: does the word exist? Coordinates from 0 to below the true extent do; without one, all that are used."""
        exists = np.ones(len(self), dtype=np.bool_)
        for axis in tensor.axes:
            if axis.size is not None:
                at = self.coordinate(axis)
                exists &= (at >= 0) & (at < axis.size)
        return exists

    def true_word(self, tensor: Tensor) -> tuple[IntArray, ...]:
        """Per point where in the tensor itself the word lies, axis by axis; padding is put on the border."""
        return tuple(
            self.coordinate(axis) - self.lowest(axis) if axis.size is None else np.clip(self.coordinate(axis), 0, axis.size - 1)
            for axis in tensor.axes
        )


def enumerate_points(einsum: Einsum, mapping: Mapping) -> Points:
    """All existing iterations: with imperfect factors, those whose rank values lie inside the problem."""
    loops, bounds = mapping.nest.loops, mapping.bounds
    strides = tuple(
        math.prod(bounds[j] for j in range(i + 1, len(loops)) if loops[j].rank == loop.rank) for i, loop in enumerate(loops)
    )
    last = mapping.residuals or bounds
    index = np.indices(bounds, dtype=np.int64).reshape(len(bounds), -1).T if bounds else np.zeros((1, 0), dtype=np.int64)
    exists = np.ones(len(index), dtype=np.bool_)
    for rank, size in einsum.extents.items():
        of_rank = [i for i, loop in enumerate(loops) if loop.rank == rank]
        if sum((last[i] - 1) * strides[i] for i in of_rank) != size - 1:
            raise ValueError(f"the factors of rank {rank} do not make up its size {size}")
        # a loop stops at its residual exactly where the rank value would pass the size
        exists &= sum((index[:, i] * strides[i] for i in of_rank), np.zeros(len(index), dtype=np.int64)) < size
    index = index[exists]
    reached = tuple(int(n) + 1 for n in index.max(axis=0))
    return Points(einsum=einsum, nest=mapping.nest, bounds=reached, strides=strides, index=index)
