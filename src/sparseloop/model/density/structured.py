"""Models with regularity: evenly spread, and n:m structured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from sparseloop.model.density.base import (
    SNAP,
    DensityModel,
    Occupancy,
    SmoothModel,
    Tile,
    by_place,
    check_fraction,
    check_shape,
    snapped,
    unwrapped,
)
from sparseloop.model.density.lattice import (
    Extents,
    Groups,
    Lattice,
    Place,
    common_groups,
    groups,
    marked,
    nests,
    places_of,
    run_of,
)
from sparseloop.model.density.uniform import hypergeometric, probability_empty, tilt_of, variance_of
from sparseloop.model.memo import memo
from sparseloop.model.rows import by_rows
from sparseloop.model.units import Array, Count, Floats, Share, Words


@final
@dataclass(frozen=True)
class Even(DensityModel):
    """Every tile of n elements holds floor(n d) or ceil(n d) non-zeros, n d on average (Timeloop's fixed-structured)."""

    shape: tuple[int, ...]
    fraction: float

    def __post_init__(self) -> None:
        check_shape(self.shape, None)
        check_fraction("density", self.fraction)

    @property
    def density(self) -> float:
        """The given fraction."""
        return self.fraction

    def empty(self, size: Words, extents: Extents) -> Share:
        """max(0, 1 - n d)."""
        return np.maximum(1.0 - self._product(size), 0.0)

    def least_nonempty(self, size: Words, extents: Extents) -> Share:
        """1 - empty: a larger tile is empty less often."""
        return 1.0 - self.empty(size, extents)

    def empty_union(self, first: Tile, second: Tile, shared: Tile) -> Share:
        """max(0, 1 - n d) with n = n1 + n2 - n12."""
        return self.empty(first[0] + second[0] - shared[0], ())

    def variance(self, size: Words, extents: Extents) -> Array:
        """f (1 - f) with f the fractional part of n d."""
        part = self._product(size) % 1.0
        return part * (1.0 - part)

    def maximum(self, size: Words, extents: Extents) -> Words:
        """ceil(n d)."""
        return np.ceil(self._product(size))

    def minimum(self, size: Words, extents: Extents) -> Words:
        """floor(n d)."""
        return np.floor(self._product(size))

    def quantile(self, size: Words, extents: Extents, confidence: float) -> Words:
        """floor(n d) if the confidence is at most 1 - f, else ceil(n d)."""
        product = self._product(size)
        return unwrapped(np.where(confidence <= 1.0 - product % 1.0 + 1e-12, np.floor(product), np.ceil(product)))

    def blocks(self, size: Words, extents: Extents, block: float) -> Count:
        """(1 - f) ceil(floor(n d) / B) + f ceil(ceil(n d) / B)."""
        product = self._product(size)
        part = product % 1.0
        return (1.0 - part) * np.ceil(np.floor(product) / block) + part * np.ceil(np.ceil(product) / block)

    def excess(self, size: Words, extents: Extents, capacity: Words) -> Words:
        """(1 - f) max(0, floor(n d) - cap) + f max(0, ceil(n d) - cap)."""
        product = self._product(size)
        part, low, high = product % 1.0, np.floor(product) - capacity, np.ceil(product) - capacity
        return (1.0 - part) * np.maximum(low, 0.0) + part * np.maximum(high, 0.0)

    def parameters(self, size: Words, extents: Extents) -> tuple[Array, ...]:
        """The size alone."""
        return (size,)

    def tabulate(self, *parameters: float) -> Occupancy:
        """floor(n d) with probability 1 - f, ceil(n d) with f."""
        product = float(self._product(parameters[0]))
        part = product % 1.0
        return Occupancy(np.array([math.floor(product)], dtype=float), np.ones(1)).mixed(
            Occupancy(np.array([math.ceil(product)], dtype=float), np.ones(1)), part
        )

    def _product(self, size: Array) -> Array:
        return snapped(np.maximum(size, 0) * self.fraction)


@final
@dataclass(frozen=True)
class Structured(SmoothModel):
    """Every aligned group of m elements along `axis` has exactly n non-zeros, anywhere in it; groups are independent.

    The last group may be cut off by the end of the axis. `Structured((64,), 2, 4, 0)` is 2:4 sparsity.
    """

    shape: tuple[int, ...]
    n: int
    m: int
    axis: int
    size: int | None = field(default=None, kw_only=True)
    """Number of elements if some of the bounding shape are never touched (strided windows)."""

    def __post_init__(self) -> None:
        check_shape(self.shape, self.size)
        if not 0 <= self.n <= self.m or self.m < 1:
            raise ValueError(f"structure {self.n}:{self.m}: needs 0 <= n <= m and m >= 1")
        if not 0 <= self.axis < len(self.shape):
            raise ValueError(f"axis {self.axis}: the tensor of shape {self.shape} has axes 0 to {len(self.shape) - 1}")

    @property
    def total(self) -> int:
        """Number of elements."""
        return math.prod(self.shape) if self.size is None else self.size

    @property
    def density(self) -> float:
        """n / m."""
        return self.n / self.m

    @property
    def placed(self) -> tuple[int, ...]:
        """The axis: how many words of a tile are in one group depends on where they lie."""
        return (self.axis,)

    def empty(self, size: Words, extents: Extents) -> Share:
        """Product over the groups of C(m-w, n) / C(m, n), w of a group's words in the tile; the mean over its places."""
        lines, width, *placed = self.parameters(size, extents)
        whole = probability_empty(self.m, self.n, np.minimum(width, self.m)) ** lines
        return by_place(whole, (lines,), placed, self._scattered_empty)

    def _scattered_empty(self, lines: float, places: tuple[Place, ...]) -> float:
        result = 0.0
        for g in self._groups(places):
            alone: Floats = probability_empty(self.m, self.n, g.words[:, 0])
            result += g.share * float(np.prod(alone ** (g.number * lines)))
        return result

    def empty_union(self, first: Tile, second: Tile, shared: Tile) -> Share:
        """Product over the groups of C(m-w, n) / C(m, n), w of a group's words in either tile; the mean over their places."""
        tiles = (first, second, shared)
        sides = [self._along(tile.extents) for tile in tiles]
        if not all(isinstance(side, Lattice) for side in sides):
            return super().empty_union(first, second, shared)
        lines = [tile.size / side.size for tile, side in zip(tiles, sides, strict=True)]
        columns = [*lines, *sides[0].columns, *sides[1].columns]
        return by_rows(columns, self._empty_pair)

    def _empty_pair(self, first: float, second: float, shared: float, *columns: float) -> float:
        """The same for one mapping: lines of the tiles, then the two lattices along the axis as numbers."""
        one, two = places_of(columns)
        found = common_groups(self._sides(one), one.beside(two))
        if found is None:
            alone = [self._scattered_empty(lines, (place,)) for lines, place in ((first, one), (second, two))]
            return alone[0] * alone[1]  # the tiles are too far apart to be told apart place by place: as if independent
        table: Floats = probability_empty(self.m, self.n, np.arange(self.m + 1))
        result = 0.0
        for g in found:
            a, b, both = g.words.T
            apart: Floats = table[a] ** (first - shared) * table[b] ** (second - shared)
            every: Floats = (apart * table[a + b - both] ** shared) ** g.number
            result += g.share * float(np.prod(every))
        return result

    def least_nonempty(self, size: Words, extents: Extents) -> Share:
        """1 - empty of a single element: which larger tiles are empty less often depends on where they lie."""
        return (1.0 - self.empty(1.0, (1.0,) * len(self.shape))) * np.ones(np.shape(size))

    def variance(self, size: Words, extents: Extents) -> Array:
        """lines * variance of the groups that are in the tile in part (hypergeometric); the mean over its places."""
        lines, width, *placed = self.parameters(size, extents)
        whole = lines * variance_of(self.m, self.n, width % self.m)

        def scattered(lines: float, places: tuple[Place, ...]) -> float:
            return lines * math.fsum(
                g.share * float(variance_of(self.m, self.n, g.words[:, 0]) @ g.number) for g in self._groups(places)
            )

        return by_place(whole, (lines,), placed, scattered)

    def maximum(self, size: Words, extents: Extents) -> Words:
        """lines * sum over the groups of min(w, n), at the place with most of them."""
        lines, width, *placed = self.parameters(size, extents)
        whole = lines * (width // self.m * self.n + np.minimum(width % self.m, self.n))

        def scattered(lines: float, places: tuple[Place, ...]) -> float:
            return lines * max(float(np.minimum(g.words[:, 0], self.n) @ g.number) for g in self._groups(places))

        return by_place(whole, (lines,), placed, scattered)

    def minimum(self, size: Words, extents: Extents) -> Words:
        """lines * sum over the groups of max(0, w + n - m), at the place with least of them."""
        lines, width, *placed = self.parameters(size, extents)
        whole = lines * (width // self.m * self.n + np.maximum(width % self.m + (self.n - self.m), 0.0))

        def scattered(lines: float, places: tuple[Place, ...]) -> float:
            beyond = self.n - self.m
            return lines * min(float(np.maximum(g.words[:, 0] + beyond, 0) @ g.number) for g in self._groups(places))

        return by_place(whole, (lines,), placed, scattered)

    def tilt(self, size: Words, extents: Extents) -> Array:
        """(1 - 2n/m) (m - 2 rest) / (m - 2): third moments and variances of lines both add."""
        lines, width, *placed = self.parameters(size, extents)
        whole = tilt_of(self.m, self.n, width % self.m)

        def scattered(lines: float, places: tuple[Place, ...]) -> float:
            second = third = 0.0
            for g in self._groups(places):
                spread = variance_of(self.m, self.n, g.words[:, 0]) * g.number * g.share
                second += float(spread.sum())
                third += float(spread @ tilt_of(self.m, self.n, g.words[:, 0]))
            return third / second if second else 0.0

        return by_place(whole, (lines,), placed, scattered)

    def parameters(self, size: Words, extents: Extents) -> tuple[Array, ...]:
        """Number of lines along the axis, and their width; of scattered tiles also the lattice along the axis."""
        side = self._along(extents)
        width = np.maximum(side.size if isinstance(side, Lattice) else side, 1)
        lines = np.maximum(size, 0) / width
        fits = nests(width, self.m)
        if isinstance(side, Lattice):
            return lines, width, *marked(~(side.consecutive & fits), (side,))
        if np.all(fits):
            return lines, width
        return lines, width, *marked(~fits, (run_of(self.axis, width, self.shape[self.axis]),))

    def _along(self, extents: Extents) -> Any:
        """The side of a tile that has the axis: a number or a lattice."""
        return next((s for s in extents if isinstance(s, Lattice) and self.axis in s.axes), None) or extents[self.axis]

    def _sides(self, place: Place) -> tuple[int, ...]:
        return tuple(self.m if axis == self.axis else 1 for axis in place.axes)

    def _groups(self, places: tuple[Place, ...]) -> tuple[Groups, ...]:
        """Words in the groups along the axis, for every place."""
        return groups(self._sides(places[0]), places[0])

    def tabulate(self, *parameters: float) -> Occupancy:
        """Sum of independent lines, the mean over the places; a real number of lines is a mixture of its neighbours."""
        lines, width = parameters[0] * parameters[1] / round(parameters[1]), round(parameters[1])
        if len(parameters) == 2 or parameters[2] == 0:
            return self._of_lines(lines, ((width // self.m, self.m), (1, width % self.m)))
        found, share = None, 0.0
        for g in self._groups(places_of(parameters[2:])):
            one = self._of_lines(lines, tuple(zip(g.number.tolist(), g.words[:, 0].tolist(), strict=True)))
            share += g.share
            found = one if found is None else found.mixed(one, g.share / share)
        assert found is not None
        return found

    def _of_lines(self, lines: float, parts: tuple[tuple[int, int], ...]) -> Occupancy:
        """`parts`: how many groups of a line have how many words in the tile."""
        below = math.floor(lines + SNAP)
        whole = _lines(self.n, self.m, below, parts)
        if lines - below <= SNAP:
            return whole
        return whole.mixed(_lines(self.n, self.m, below + 1, parts), lines - below)


@memo(2048)
def _lines(n: int, m: int, lines: int, parts: tuple[tuple[int, int], ...]) -> Occupancy:
    """Occupancy of `lines` independent lines: whole groups are certain, the partial ones add."""
    return summed([(number * lines, hypergeometric(m, n, words)) for number, words in parts])


def summed(parts: Sequence[tuple[int, Occupancy]]) -> Occupancy:
    """The sum of independent whole numbers: how many there are of each kind, and their distribution (power of the transform)."""
    start, steps, spread, middle = 0.0, 0, 0.0, 0.0
    ones: list[tuple[int, Occupancy]] = []
    for count, one in parts:
        first, last = float(one.values[0]), float(one.values[-1])
        start += count * first
        steps += count * round(last - first)
        spread += count * one.variance
        middle += count * (one.mean - first)
        if last > first and count:
            ones.append((count, one))
    widest = max((round(float(one.values[-1] - one.values[0])) + 1 for _, one in ones), default=1)
    length = min(steps + 1, max(math.ceil(24 * math.sqrt(spread) + 64), widest))
    power = np.ones(length // 2 + 1, dtype=complex)
    for count, one in ones:
        weights = np.bincount((one.values - one.values[0]).astype(np.intp), weights=one.weights)
        power = power * np.fft.rfft(weights, length) ** count
    wrapped = np.fft.irfft(power, length)
    centre = round(middle)
    first = min(max(centre - length // 2, 0), max(steps + 1 - length, 0))
    index = np.arange(first, first + length)
    return Occupancy(start + index.astype(np.float64), weights_of(wrapped[index % length]))


def weights_of(transformed: Floats) -> Floats:
    """The result of an inverse transform without its rounding noise."""
    weights = np.where(transformed < 1e-16, 0.0, transformed)
    return weights / weights.sum()
