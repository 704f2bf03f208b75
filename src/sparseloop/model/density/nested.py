"""Models of cells within cells: n:m of n:m groups, rows and clusters with densities of their own, and products of such."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, final

import numpy as np

from sparseloop.model.density import cells
from sparseloop.model.density.base import (
    SNAP,
    Occupancy,
    Pattern,
    TabulatedModel,
    Tile,
    check_fraction,
    check_shape,
    unwrapped,
    upper_tail,
)
from sparseloop.model.density.cells import CellGrid, Levels, Tree, Weighed
from sparseloop.model.density.lattice import Extents, Lattice, columns_of, marked, nests, places_of, run_of
from sparseloop.model.memo import memo
from sparseloop.model.rows import by_rows
from sparseloop.model.units import Array, Floats, Share, Words


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
        columns = columns_of((*first.extents, *second.extents))
        return super().empty_union(first, second, shared) if columns is None else by_rows(columns, self._empty_pair)

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

    def drawn(self, dice: np.random.Generator) -> Pattern:
        """A pattern, as likely as the model says."""
        sides = cells.cell_sides(self.levels)[0]
        held = np.ones(tuple(-(-extent // side) for extent, side in zip(self.shape, sides, strict=True)), dtype=np.bool_)
        for level in self.levels:
            held = cells.filled(level, held, dice)
        return np.ascontiguousarray(held[tuple(slice(0, extent) for extent in self.shape)])

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
        return tuple(CellGrid(self._along(m), ((n, 1.0),)) for n, m in self.ratios)

    def _along(self, m: int) -> tuple[int, ...]:
        return (*(1,) * self.axis, m, *(1,) * (len(self.shape) - self.axis - 1))


@final
@dataclass(frozen=True)
class Rows(CellModel):
    """Rows, channels or other fibers with densities of their own: each has a number of non-zeros that is drawn, anywhere in it.

    `Rows((1024, 64), (0,), ((0, 0.5), (8, 0.5)))`: half of the rows are zero, the others have 8 of 64 words.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    """All words with the same coordinates along these axes are one row."""
    counts: Counts
    """Non-zeros of a row, ascending, and how likely that is."""

    def __post_init__(self) -> None:
        check_shape(self.shape, None)
        if not self.axes or not all(0 <= axis < len(self.shape) for axis in self.axes):
            raise ValueError(f"axes {self.axes}: needed is one or more of the axes 0 to {len(self.shape) - 1}")
        check_counts(self.counts, math.prod(self._row))

    @classmethod
    def of_density(
        cls, shape: tuple[int, ...], axes: tuple[int, ...], density: float, *, variation: float = 0.0, exponent: float = 0.0
    ) -> Rows:
        """Rows whose densities are lognormal with this coefficient of variation, or a power law with this exponent."""
        check_fraction("density", density)
        length = math.prod(1 if axis in axes else extent for axis, extent in enumerate(shape))
        law = power_law(density, exponent, 1.0 / length) if exponent else lognormal(density, variation)
        return cls(shape, axes, whole_counts([(share, fraction * length) for share, fraction in law]))

    @property
    def levels(self) -> Levels:
        """One: the words of a row."""
        return (CellGrid(self._row, self.counts),)

    @property
    def _row(self) -> tuple[int, ...]:
        return tuple(1 if axis in self.axes else extent for axis, extent in enumerate(self.shape))


@final
@dataclass(frozen=True)
class Clustered(CellModel):
    """Cells with a density of their own, which is Beta distributed; words of one cell are alike, those of different ones not.

    With d the density and c the correlation of two words of a cell: Beta(d (1 - c) / c, (1 - d) (1 - c) / c).
    """

    shape: tuple[int, ...]
    cell: tuple[int, ...]
    fraction: float
    correlation: float
    """0: words are independent; 1: cells are full or zero."""

    def __post_init__(self) -> None:
        check_shape(self.shape, None)
        check_shape(self.cell, None)
        check_fraction("density", self.fraction)
        check_fraction("correlation", self.correlation)
        if math.prod(self.cell) > LARGEST_CELL:
            raise ValueError(f"cell {self.cell}: has more than {LARGEST_CELL} words")
        if len(self.cell) != len(self.shape):
            raise ValueError(f"cell {self.cell}: needs {len(self.shape)} numbers, one per axis of {self.shape}")

    @property
    def density(self) -> float:
        """The given fraction."""
        return self.fraction

    @property
    def levels(self) -> Levels:
        """One: the words of a cell."""
        return (CellGrid(self.cell, beta_binomial(math.prod(self.cell), self.fraction, self.correlation)),)


@final
@dataclass(frozen=True)
class Layered(CellModel):
    """A product of models: what one leaves out is zero, and what it chooses is as the next one says, grid by grid."""

    shape: tuple[int, ...]
    layers: Levels
    """The largest cells first."""
    text: str = field(default="", compare=False)
    """In words."""

    def __post_init__(self) -> None:
        check_shape(self.shape, None)
        for level in self.layers:
            check_shape(level.grid, None)
            check_counts(level.counts, level.size)
            if len(level.grid) != len(self.shape):
                raise ValueError(f"grid {level.grid}: needs {len(self.shape)} numbers, one per axis of {self.shape}")

    @property
    def levels(self) -> Levels:
        """As given."""
        return self.layers


# --- how many words of a cell hold something ----------------------------------------------------------------

Counts = tuple[tuple[int, float], ...]
"""Whole numbers, ascending, and how likely they are."""
CLASSES = 128
"""Classes of equal width on a logarithmic scale that stand for a continuous distribution of densities."""
LARGEST_CELL = 2**16
"""Words of a cell whose numbers of non-zeros are listed."""
SINGLE = 256
"""Numbers that are told apart one by one; larger ones are put together until no more than twice as many are left."""


def check_counts(counts: Counts, most: int) -> None:
    """ValueError unless they ascend from 0 or more to at most `most`, and the shares add up to 1."""
    numbers = [count for count, _ in counts]
    if not numbers or numbers != sorted(set(numbers)) or numbers[0] < 0 or numbers[-1] > most:
        raise ValueError(f"numbers of non-zeros {numbers[:4]}...: must ascend from 0 or more to at most {most}")
    if any(share < 0 for _, share in counts) or abs(math.fsum(share for _, share in counts) - 1.0) > 1e-6:
        raise ValueError("shares of the numbers of non-zeros must not be negative and must add up to 1")


def whole_counts(parts: Sequence[tuple[float, float]]) -> Counts:
    """Shares and numbers: a fraction is the mean of its two neighbours; many large numbers are put together, at their mean."""
    found = dict[int, float]()
    for share, number in parts:
        below = math.floor(number + SNAP)
        rest = max(0.0, number - below)
        for count, part in ((below, share * (1.0 - rest)), (below + 1, share * rest)):
            if part > 0:
                found[count] = found.get(count, 0.0) + part
    every = sorted(found.items())
    total = math.fsum(share for _, share in every)
    if len(every) > 2 * SINGLE:
        few, many = every[:SINGLE], every[SINGLE:]
        cuts = np.unique(np.geomspace(1, len(many), SINGLE // 4).astype(int))
        groups = [many[a:b] for a, b in pairwise([0, *cuts.tolist()])]
        shares = [math.fsum(share for _, share in group) for group in groups]
        means = [math.fsum(n * share for n, share in group) / all_ for group, all_ in zip(groups, shares, strict=True)]
        return whole_counts([(share, float(n)) for n, share in few] + list(zip(shares, means, strict=True)))
    return tuple((count, share / total) for count, share in every)


def lognormal(mean: float, variation: float) -> list[tuple[float, float]]:
    """Shares and densities of classes of a lognormal distribution with this coefficient of variation; densities end at 1."""
    sigma = math.sqrt(math.log1p(variation * variation))
    if sigma == 0 or mean in (0.0, 1.0):
        return [(1.0, mean)]
    edges = np.linspace(-6.0, 6.0, CLASSES + 1)
    shares = np.diff(1.0 - np.asarray(upper_tail(edges)))
    means = np.diff(1.0 - np.asarray(upper_tail(edges - sigma))) / shares
    return _ending_at_one(shares / shares.sum(), means, mean)


def power_law(mean: float, exponent: float, least: float) -> list[tuple[float, float]]:
    """The same of densities x whose probability falls as x^-exponent, from a smallest one (`least` at least, else 0) to 1."""
    if mean in (0.0, 1.0):
        return [(1.0, mean)]
    power = exponent - 1.0 + (1e-9 if exponent in (1.0, 2.0) else 0.0)
    low, high = math.log(min(least, mean) * 1e-6), 0.0
    for _ in range(100):
        middle = (low + high) / 2
        if _bounded_mean(math.exp(middle), power) < mean:
            low = middle
        else:
            high = middle
    edges = np.geomspace(math.exp(low), 1.0, CLASSES + 1)
    larger = (edges[0] / edges) ** power  # in proportion to the share of densities above an edge
    shares, sums = np.diff(-larger), np.diff(edges * larger) * power / (1.0 - power)
    some = shares > 0  # steep laws have nothing at the upper end
    return _ending_at_one(shares[some] / shares.sum(), sums[some] / shares[some], mean)


def _bounded_mean(low: float, power: float) -> float:
    """The mean of a number between `low` and 1 that is larger than x with probability ~ x^-power - 1."""
    return power / (1.0 - power) * (low**power - low) / (1.0 - low**power)


def _ending_at_one(shares: Floats, sizes: Floats, mean: float) -> list[tuple[float, float]]:
    """Densities in proportion to `sizes`, at most 1, with this mean."""
    low, high = 0.0, 1.0 / float(sizes.min())
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float(shares @ np.minimum(sizes * middle, 1.0)) < mean else (low, middle)
    return list(zip(shares.tolist(), np.minimum(sizes * high, 1.0).tolist(), strict=True))


@memo(256)
def beta_binomial(words: int, mean: float, correlation: float) -> Counts:
    """Non-zeros of a cell of words that are non-zero with a Beta distributed probability."""
    if correlation >= 1 or mean in (0.0, 1.0) or words == 1:
        return whole_counts([(1.0 - mean, 0.0), (mean, float(words))])
    k = np.arange(words + 1.0)
    factorials = _log_rising(1.0, words)
    choices = factorials[-1] - factorials - factorials[::-1]
    if correlation == 0:
        logs = choices + k * math.log(mean) + (words - k) * math.log1p(-mean)
    else:
        a, b = (share * (1.0 - correlation) / correlation for share in (mean, 1.0 - mean))
        logs = choices + _log_rising(a, words) + _log_rising(b, words)[::-1] - _log_rising(a + b, words)[-1]
    weights = np.exp(logs)
    return whole_counts([(w, n) for w, n in zip((weights / weights.sum()).tolist(), k.tolist(), strict=True) if w > 1e-18])


def _log_rising(start: float, steps: int) -> Floats:
    """ln of start (start + 1) ... of 0 ... `steps` factors."""
    return np.concatenate([np.zeros(1), np.cumsum(np.log(start + np.arange(float(steps))))])
