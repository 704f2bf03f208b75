"""Models with regularity: evenly spread, n:m structured, and blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import numpy as np

from sparseloop.model.density.base import (
    SNAP,
    DensityModel,
    Occupancy,
    SmoothModel,
    TabulatedModel,
    Tile,
    by_rows,
    check_fraction,
    check_shape,
    count_of,
    snapped,
    unwrapped,
)
from sparseloop.model.density.uniform import between, hypergeometric, probability_empty, tilt_of, variance_of
from sparseloop.model.memo import memo
from sparseloop.model.units import Array, Coordinate, Count, Floats, Share, Words

CONVOLUTION_LIMIT = 2**22
"""Largest work (support * blocks) of an exact sum of block occupancies."""


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

    def empty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """max(0, 1 - n d)."""
        return np.maximum(1.0 - self._product(size), 0.0)

    def least_nonempty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """1 - empty: a larger tile is empty less often."""
        return 1.0 - self.empty(size, extents)

    def empty_union(self, first: Tile, second: Tile, shared: Tile) -> Share:
        """max(0, 1 - n d) with n = n1 + n2 - n12."""
        return self.empty(first[0] + second[0] - shared[0], ())

    def variance(self, size: Words, extents: tuple[Coordinate, ...]) -> Array:
        """f (1 - f) with f the fractional part of n d."""
        part = self._product(size) % 1.0
        return part * (1.0 - part)

    def maximum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """ceil(n d)."""
        return np.ceil(self._product(size))

    def minimum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """floor(n d)."""
        return np.floor(self._product(size))

    def quantile(self, size: Words, extents: tuple[Coordinate, ...], confidence: float) -> Words:
        """floor(n d) if the confidence is at most 1 - f, else ceil(n d)."""
        product = self._product(size)
        return unwrapped(np.where(confidence <= 1.0 - product % 1.0 + 1e-12, np.floor(product), np.ceil(product)))

    def blocks(self, size: Words, extents: tuple[Coordinate, ...], block: float) -> Count:
        """(1 - f) ceil(floor(n d) / B) + f ceil(ceil(n d) / B)."""
        product = self._product(size)
        part = product % 1.0
        return (1.0 - part) * np.ceil(np.floor(product) / block) + part * np.ceil(np.ceil(product) / block)

    def excess(self, size: Words, extents: tuple[Coordinate, ...], capacity: Words) -> Words:
        """(1 - f) max(0, floor(n d) - cap) + f max(0, ceil(n d) - cap)."""
        product = self._product(size)
        part, low, high = product % 1.0, np.floor(product) - capacity, np.ceil(product) - capacity
        return (1.0 - part) * np.maximum(low, 0.0) + part * np.maximum(high, 0.0)

    def parameters(self, size: Words, extents: tuple[Coordinate, ...]) -> tuple[Array, ...]:
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

    A tile is taken at the origin: aligned tiles are exact. `Structured((64,), 2, 4, 0)` is 2:4 sparsity.
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

    def empty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """(C(m-w, n) / C(m, n))^lines for width w <= m, 0 if wider."""
        lines, width = self.parameters(size, extents)
        return probability_empty(self.m, self.n, np.minimum(width, self.m)) ** lines

    def least_nonempty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """1 - empty of a single element: which larger tiles are empty less often depends on where they lie."""
        return (1.0 - self.empty(1.0, (1.0,) * len(self.shape))) * np.ones(np.shape(size))

    def variance(self, size: Words, extents: tuple[Coordinate, ...]) -> Array:
        """lines * variance of the last, partial group (hypergeometric)."""
        lines, width = self.parameters(size, extents)
        return lines * variance_of(self.m, self.n, width % self.m)

    def maximum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """lines * (whole groups * n + min(rest, n))."""
        lines, width = self.parameters(size, extents)
        return lines * (width // self.m * self.n + np.minimum(width % self.m, self.n))

    def minimum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """lines * (whole groups * n + max(0, rest + n - m))."""
        lines, width = self.parameters(size, extents)
        return lines * (width // self.m * self.n + np.maximum(width % self.m + (self.n - self.m), 0.0))

    def tilt(self, size: Words, extents: tuple[Coordinate, ...]) -> Array:
        """(1 - 2n/m) (m - 2 rest) / (m - 2): third moments and variances of lines both add."""
        return tilt_of(self.m, self.n, self.parameters(size, extents)[1] % self.m)

    def parameters(self, size: Words, extents: tuple[Coordinate, ...]) -> tuple[Array, ...]:
        """Number of lines along the axis, and their width."""
        width = np.maximum(extents[self.axis], 1)
        return np.maximum(size, 0) / width, width

    def tabulate(self, *parameters: float) -> Occupancy:
        """Sum of independent lines; a real number of lines is a mixture of its neighbours."""
        lines, width = parameters[0] * parameters[1] / round(parameters[1]), round(parameters[1])
        below = math.floor(lines + SNAP)
        whole = _lines(self.n, self.m, below, width)
        if lines - below <= SNAP:
            return whole
        return whole.mixed(_lines(self.n, self.m, below + 1, width), lines - below)


@memo(2048)
def _lines(n: int, m: int, lines: int, width: int) -> Occupancy:
    """Occupancy of `lines` independent lines: whole groups are certain, the partial ones add (power of the transform)."""
    one = hypergeometric(m, n, width % m)
    if lines == 0:
        return hypergeometric(m, n, 0)
    start = lines * (width // m * n + one.values[0])
    steps = lines * (len(one.values) - 1)
    reach = 24 * math.sqrt(lines * one.variance) + 64
    length = min(steps + 1, max(math.ceil(reach), len(one.values)))
    power = np.fft.rfft(one.weights, length) ** lines
    wrapped = np.fft.irfft(power, length)
    centre = round(lines * (one.mean - float(one.values[0])))
    first = min(max(centre - length // 2, 0), max(steps + 1 - length, 0))
    index = np.arange(first, first + length)
    return Occupancy(start + index.astype(np.float64), _probabilities(wrapped[index % length]))


def _probabilities(transformed: Floats) -> Floats:
    """The result of an inverse transform without its rounding noise."""
    weights = np.where(transformed < 1e-16, 0.0, transformed)
    return weights / weights.sum()


@final
@dataclass(frozen=True)
class Block(TabulatedModel):
    """r = ceil(fraction * N) of the N aligned blocks are occupied, uniformly chosen; the others are zero.

    An occupied block of b elements holds ceil(inner * b) non-zeros, uniformly placed. A tile is taken at the origin
    and its elements are spread evenly over the blocks it touches: exact for aligned tiles, and for e if inner is 1.
    """

    shape: tuple[int, ...]
    block_shape: tuple[int, ...]
    fraction: float
    inner: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check_shape(self.shape, None)
        check_shape(self.block_shape, None)
        check_fraction("fraction of occupied blocks", self.fraction)
        check_fraction("density inside blocks", self.inner)
        if len(self.block_shape) != len(self.shape):
            raise ValueError(f"block shape {self.block_shape}: needs {len(self.shape)} numbers, one per axis of {self.shape}")

    @classmethod
    def of_density(cls, shape: tuple[int, ...], block_shape: tuple[int, ...], density: float, *, inner: float = 1.0) -> Block:
        """The model of a tensor of this density, whose occupied blocks are filled at `inner`, rounded up to whole words."""
        volume = math.prod(block_shape)
        filled = count_of(inner, volume) / volume
        return cls(shape, block_shape, min(1.0, density / filled) if filled else 0.0, inner=inner)

    @property
    def count(self) -> int:
        """Number of blocks, clipped ones included."""
        return math.prod(-(-s // b) for s, b in zip(self.shape, self.block_shape, strict=True))

    @property
    def occupied(self) -> int:
        """Number of occupied blocks."""
        return count_of(self.fraction, self.count)

    @property
    def volume(self) -> int:
        """Elements of a block."""
        return math.prod(self.block_shape)

    @property
    def filling(self) -> int:
        """Non-zeros of an occupied block."""
        return count_of(self.inner, self.volume)

    @property
    def density(self) -> float:
        """Fraction of occupied blocks times their density."""
        return self.occupied / self.count * (self.filling / self.volume)

    def empty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """Sum over j of P(j of the touched blocks occupied) q^j, q = P(the tile's part of an occupied block is empty)."""
        touched, part = self.parameters(size, extents)
        if self.filling == self.volume:
            return probability_empty(self.count, self.occupied, touched)
        return by_rows((touched, part), lambda *row: _filled_empty(self, round(row[0]), row[1]))

    def least_nonempty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """1 - empty of a single element: which larger tiles are empty less often depends on where they lie."""
        return (1.0 - self.empty(1.0, (1.0,) * len(self.shape))) * np.ones(np.shape(size))

    def variance(self, size: Words, extents: tuple[Coordinate, ...]) -> Array:
        """E[j] var(c) + E[c]^2 var(j), j occupied blocks with c non-zeros each."""
        touched, part = self.parameters(size, extents)
        each = part * (self.filling / self.volume)
        inside = touched * (self.occupied / self.count) * variance_of(self.volume, self.filling, part)
        return inside + each * each * variance_of(self.count, self.occupied, touched)

    def maximum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """min(n, occupied blocks at most touched * the most non-zeros of one block's part)."""
        touched, _ = self.parameters(size, extents)
        sides = [np.minimum(e, b) for e, b in zip(extents, self.block_shape, strict=True)]
        each = np.minimum(math.prod(sides), self.filling)
        return np.minimum(np.maximum(size, 0), np.minimum(touched, self.occupied) * each)

    def minimum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """Occupied blocks at least touched * the fewest non-zeros of one block's part."""
        touched, part = self.parameters(size, extents)
        fewest = np.maximum(part + (self.filling - self.volume), 0.0)
        return np.maximum(touched + (self.occupied - self.count), 0.0) * fewest

    def parameters(self, size: Words, extents: tuple[Coordinate, ...]) -> tuple[Array, ...]:
        """Number of blocks touched, and elements of the tile per touched block."""
        spans = [np.ceil(np.asarray(e) / b - SNAP) for e, b in zip(extents, self.block_shape, strict=True)]
        touched = np.where(np.asarray(size) > 0, np.minimum(np.maximum(math.prod(spans), 1.0), self.count), 0.0)
        return unwrapped(touched), np.minimum(np.maximum(size, 0) / np.maximum(touched, 1.0), self.volume)

    def tabulate(self, *parameters: float) -> Occupancy:
        """Sum over j of P(j) * (distribution of one block's part)^j; for very large tiles each part at its mean."""
        return _filled(self, round(parameters[0]), parameters[1])


@memo(4096)
def _filled_empty(model: Block, touched: int, part: float) -> float:
    """E[q^j], j of the touched blocks occupied, q = P(`part` elements of an occupied block are empty)."""
    blocks = hypergeometric(model.count, model.occupied, touched)
    return float(probability_empty(model.volume, model.filling, part) ** blocks.values @ blocks.weights)


@memo(2048)
def _filled(model: Block, touched: int, part: float) -> Occupancy:
    """Occupancy of `touched` blocks with `part` elements in each, by the transform of the compound distribution."""
    blocks = hypergeometric(model.count, model.occupied, touched)
    one = between(model.volume, model.filling, part)
    length = int(blocks.values[-1]) * int(one.values[-1]) + 1
    if model.filling == model.volume or length * len(blocks.values) > CONVOLUTION_LIMIT:
        return Occupancy(blocks.values * (part * model.filling / model.volume), blocks.weights)
    transform = np.fft.rfft(np.bincount(one.values.astype(np.intp), weights=one.weights), length)
    total = np.zeros_like(transform)
    for weight in blocks.weights[::-1].tolist():
        total = total * transform + weight
    total *= transform ** int(blocks.values[0])
    return Occupancy(np.arange(length, dtype=np.float64), _probabilities(np.fft.irfft(total, length)))
