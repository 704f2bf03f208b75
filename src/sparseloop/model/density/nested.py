"""Models of cells within cells: n:m of n:m groups."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, final

import numpy as np

from sparseloop.model.density import cells
from sparseloop.model.density.base import SNAP, Occupancy, TabulatedModel, Tile, by_rows, check_shape, unwrapped
from sparseloop.model.density.cells import Level, Levels, Tree, Weighed
from sparseloop.model.density.lattice import Extents, Lattice, marked, nests, places_of, run_of
from sparseloop.model.units import Array, Share, Words


class CellModel(TabulatedModel):
    """A tensor cut into cells that are cut into cells, of which some hold something (`cells`)."""

    @property
    @abstractmethod
    def levels(self) -> Levels:
        """The largest cells first; those at the end of an axis may be cut off."""

    @property
    def density(self) -> float:
        """The product of the shares of chosen cells."""
        return math.prod(level.chosen for level in self.levels)

    @property
    def placed(self) -> tuple[int, ...]:
        """All axes: how many cells a tile touches depends on where it lies."""
        return tuple(range(len(self.shape)))

    def empty(self, size: Words, extents: Extents) -> Share:
        """From the words inwards: the sum over j of P(j of the touched cells are chosen) e^j; the mean over the tile's places."""
        return self._mean(size, extents, cells.empty_tree)

    def empty_union(self, first: Tile, second: Tile, shared: Tile) -> Share:
        """As of one tile: the words of each cell that are in either tile; the mean over the places."""
        sides = [side for tile in (first, second) for side in tile.extents]
        lattices = [side for side in sides if isinstance(side, Lattice)]
        if not lattices or len(lattices) < len(sides):
            return super().empty_union(first, second, shared)
        return by_rows([column for side in lattices for column in side.columns], self._empty_pair)

    def _empty_pair(self, *columns: float) -> float:
        """The same for one mapping: the lattices of the tiles as numbers."""
        places, levels = places_of(columns), self.levels
        one, two = places[: len(places) // 2], places[len(places) // 2 :]
        found = cells.pair_trees(levels, self.shape, tuple(a.beside(b) for a, b in zip(one, two, strict=True)))
        if found is not None:
            return _mean(cells.empty_tree, levels, found)
        # the tiles are too far apart to be told apart place by place: as if independent
        return math.prod(_mean(cells.empty_tree, levels, cells.trees(levels, self.shape, some)) for some in (one, two))

    def least_nonempty(self, size: Words, extents: Extents) -> Share:
        """That of a single word: which larger tiles are empty less often depends on where they lie."""
        return self.density * np.ones(np.shape(size))

    def variance(self, size: Words, extents: Extents) -> Array:
        """Between tiles at one place, the mean over the places."""
        return self._mean(size, extents, lambda levels, tree: cells.tree_moments(levels, tree).variance)

    def maximum(self, size: Words, extents: Extents) -> Words:
        """As many non-zeros as the cells can have in the tile, at the place with most of them."""
        columns = self.parameters(size, extents)
        return by_rows(columns, lambda *row: max(cells.most(self.levels, some.tree) for some in self._trees(row)))

    def minimum(self, size: Words, extents: Extents) -> Words:
        """As few non-zeros as the cells can have in the tile, at the place with least of them."""
        columns = self.parameters(size, extents)
        return by_rows(columns, lambda *row: min(cells.least(self.levels, some.tree) for some in self._trees(row)))

    def parameters(self, size: Words, extents: Extents) -> tuple[Array, ...]:
        """Roots touched, cells touched in a cell of each level, words last; of scattered tiles also their lattices."""
        every, cuts = cells.cell_sides(self.levels), cells.cutting(self.levels, self.shape)
        lengths, scattered = self._lengths(extents, every, cuts)
        touched: list[Array] = [math.prod(_cells(n, side) for n, side in zip(lengths, every[0], strict=True))]
        for outer, inner in pairwise(every):
            parts = [np.minimum(n, side) for n, side in zip(lengths, outer, strict=True)]
            touched.append(math.prod(_cells(n, side) for n, side in zip(parts, inner, strict=True)))
        share = np.maximum(size, 0) / math.prod(lengths)
        some = np.asarray(size) > 0
        if any(side < extent for side, extent in zip(every[0], self.shape, strict=True)):
            touched[0] = touched[0] * share
        else:
            touched[0], touched[-1] = touched[0] * some, touched[-1] * np.where(some, share, 1.0)
        columns = tuple(unwrapped(np.asarray(column, dtype=np.float64)) for column in touched)
        if not np.any(scattered):
            return columns
        sides = [side if isinstance(side, Lattice) else run_of(axis, side, self.shape[axis]) for axis, side in enumerate(extents)]
        return *columns, *marked(scattered, sides)

    def _lengths(self, extents: Extents, every: Sequence[tuple[int, ...]], cuts: tuple[bool, ...]) -> tuple[list[Array], Any]:
        """Words along each axis, and where cells cut the tile in unequal parts."""
        lengths: list[Array] = [1.0] * len(self.shape)
        scattered: Any = False
        for axis, side in enumerate(extents):
            axes: Sequence[int] = side.axes if isinstance(side, Lattice) else (axis,)
            first, several = axes[0], len(axes) > 1
            lengths[first] = np.maximum(side.size if isinstance(side, Lattice) else side, 1)
            if several:
                scattered = scattered | any(sides[a] > 1 for sides in every for a in axes)
            elif cuts[first]:
                fits: Any = np.asarray(side.consecutive if isinstance(side, Lattice) else True)
                for sides in every:
                    if 1 < sides[first] < self.shape[first]:
                        fits = fits & nests(lengths[first], sides[first])
                scattered = scattered | ~fits
        return lengths, scattered

    def tabulate(self, *parameters: float) -> Occupancy:
        """Level by level the sum over all choices of cells, the mean over the places."""
        found, share = None, 0.0
        for some in self._trees(parameters):
            one = cells.tree_occupancy(self.levels, some.tree)
            share += some.share
            found = one if found is None else found.mixed(one, some.share / share)
        assert found is not None
        return found

    def _trees(self, row: Sequence[float]) -> tuple[Weighed, ...]:
        numbers = len(self.levels) + 1
        if len(row) > numbers and row[numbers] > 0:
            return cells.trees(self.levels, self.shape, places_of(row[numbers:]))
        return cells.straight(row[1:numbers], row[0])

    def _mean(self, size: Words, extents: Extents, value: Callable[[Levels, Tree], float]) -> Array:
        return by_rows(self.parameters(size, extents), lambda *row: _mean(value, self.levels, self._trees(row)))


def _mean(value: Callable[[Levels, Tree], float], levels: Levels, places: Sequence[Weighed]) -> float:
    return math.fsum(some.share * value(levels, some.tree) for some in places)


def _cells(length: Array, side: int) -> Array:
    """Cells of this side that a run touches which they do not cut."""
    return np.ceil(length / side - SNAP) if side > 1 else length


@final
@dataclass(frozen=True)
class Hierarchical(CellModel):
    """n:m of groups that are n:m in turn: of m_1 groups of m_2 ... words n_1 hold something, of m_2 inside them n_2 ...

    `Hierarchical((64,), ((4, 8), (2, 4)), 0)` is 4:8 over 2:4: groups of 4 words, half of every 8 of which have 2 non-zeros each.
    """

    shape: tuple[int, ...]
    ratios: tuple[tuple[int, int], ...]
    """n and m of each level, that of the largest groups first."""
    axis: int
    size: int | None = field(default=None, kw_only=True)
    """Number of elements if some of the bounding shape are never touched (strided windows)."""

    def __post_init__(self) -> None:
        check_shape(self.shape, self.size)
        for n, m in self.ratios:
            if not 0 <= n <= m or m < 1:
                raise ValueError(f"structure {n}:{m}: needs 0 <= n <= m and m >= 1")
        if not self.ratios:
            raise ValueError("a structure needs at least one n:m")
        if not 0 <= self.axis < len(self.shape):
            raise ValueError(f"axis {self.axis}: the tensor of shape {self.shape} has axes 0 to {len(self.shape) - 1}")

    @property
    def total(self) -> int:
        """Number of elements."""
        return math.prod(self.shape) if self.size is None else self.size

    @property
    def levels(self) -> Levels:
        """One per n:m, along the axis."""
        return tuple(Level(self._along(m), ((n, 1.0),)) for n, m in self.ratios)

    def _along(self, m: int) -> tuple[int, ...]:
        return (*(1,) * self.axis, m, *(1,) * (len(self.shape) - self.axis - 1))
