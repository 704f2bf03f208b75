"""The interface of the density models, the distribution of one tile, and evaluation by distinct tiles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple, Protocol, final

import numpy as np
import numpy.typing as npt

from sparseloop.model.density.lattice import Extents, places_of
from sparseloop.model.memo import memo
from sparseloop.model.rows import by_rows
from sparseloop.model.units import Array, Coordinate, Count, Flag, Floats, Share, Words

Pattern = npt.NDArray[np.bool_]
SNAP = 1e-9
"""A product density * size this close to an integer is that integer."""
NORMAL_FROM = 4.0
"""Standard deviation of the occupancy from which normal approximations are used; below it sums over k."""


class Tile(NamedTuple):
    """What density models are told of a tile."""

    size: Words
    """Number of distinct elements; a fraction where tiles of different sizes are averaged."""
    extents: Extents
    """Bounding extents, one per axis; lattices for models to whom the place of a tile matters."""


class Passes(NamedTuple):
    """The visits of a copy of the result over which something is averaged, as loops outside one another, outermost first."""

    counts: tuple[Count, ...]
    """Iterations of each."""
    positions: tuple[Count, ...]
    """Contraction positions that one iteration of each adds."""
    outside: tuple[Flag, ...]
    """False: these positions lie inside the tiles that are known to be zero."""
    more: Count
    """Positions that are added in every pass."""
    again: bool
    """Without the very first pass."""


@final
@dataclass(frozen=True, eq=False, slots=True)
class Occupancy:
    """Distribution of the number of non-zeros of one tile: ascending values and their probabilities."""

    values: Floats
    weights: Floats

    @property
    def empty(self) -> float:
        """P(k = 0)."""
        return float(self.weights[self.values == 0].sum())

    @property
    def mean(self) -> float:
        """E[k]."""
        return float(self.values @ self.weights)

    @property
    def variance(self) -> float:
        """E[(k - E[k])^2]."""
        return float((self.values - self.mean) ** 2 @ self.weights)

    def quantile(self, confidence: float) -> float:
        """Smallest k with P(<= k) >= confidence (compared with a slack of 1e-12)."""
        index = int(np.searchsorted(np.cumsum(self.weights), confidence - 1e-12))
        return float(self.values[min(index, len(self.values) - 1)])

    def blocks(self, block: float) -> float:
        """E[ceil(k / block)]."""
        return float(np.ceil(self.values / block) @ self.weights)

    def excess(self, capacity: float) -> float:
        """E[max(0, k - capacity)]."""
        return float(np.maximum(self.values - capacity, 0.0) @ self.weights)

    def mixed(self, other: Occupancy, weight: float) -> Occupancy:
        """The mixture (1 - weight) * self + weight * other."""
        values, inverse = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        parts = np.concatenate([self.weights * (1.0 - weight), other.weights * weight])
        return Occupancy(values, np.bincount(inverse.reshape(-1), weights=parts).astype(np.float64))


class KnownPattern(Protocol):
    """What known patterns answer besides the questions of all models."""

    def spaced(self, steps: tuple[int, ...]) -> DensityModel:
        """The pattern of every so many elements along each axis."""
        ...


class ProducedResult(Protocol):
    """What densities of results answer besides the questions of all models."""

    @property
    def contraction(self) -> int:
        """Points that are added up into one word."""
        ...

    @property
    def steps(self) -> tuple[int, ...]:
        """Distance of the words along each axis."""
        ...

    def mean_empty(self, extents: tuple[Coordinate, ...], passes: Passes, taken: tuple[Words, ...]) -> Share:
        """The mean over passes of P(no word of the tile has a contribution yet | `taken` words of each operand are zero)."""
        ...


class DensityModel(ABC):
    """Distribution of the non-zeros of one tensor of known shape; all methods accept arrays (batch axis last)."""

    shape: tuple[int, ...]
    """Bounding shape of the tensor, one number per axis."""

    @property
    def total(self) -> int:
        """Number of elements of the tensor."""
        return math.prod(self.shape)

    @property
    @abstractmethod
    def density(self) -> float:
        """Expected non-zeros divided by the size of the tensor."""

    @abstractmethod
    def empty(self, size: Words, extents: Extents) -> Share:
        """P(a tile of `size` distinct elements, with per-axis extents `extents`, holds no non-zero)."""

    @abstractmethod
    def least_nonempty(self, size: Words, extents: Extents) -> Share:
        """A lower bound of the share of events that survive a condition on a tile that contains this one.

        That is at most P(a larger tile holds a non-zero), for every larger tile; where events depend on tiles of several tensors,
        the product of their bounds must hold as well. So a known pattern has 0: its zeros may lie where another tensor has none.
        """

    @property
    def least_nonzero(self) -> float:
        """`least_nonempty` of a single element."""
        return float(min(1.0, max(0.0, float(self.least_nonempty(1.0, (1.0,) * len(self.shape))))))

    @abstractmethod
    def variance(self, size: Words, extents: Extents) -> Array:
        """Variance of the number of non-zeros of such a tile."""

    @abstractmethod
    def maximum(self, size: Words, extents: Extents) -> Words:
        """Largest possible number of non-zeros of such a tile."""

    @abstractmethod
    def minimum(self, size: Words, extents: Extents) -> Words:
        """Smallest possible number of non-zeros of such a tile."""

    @abstractmethod
    def quantile(self, size: Words, extents: Extents, confidence: float) -> Words:
        """Smallest k with P(non-zeros of such a tile <= k) >= confidence."""

    @abstractmethod
    def blocks(self, size: Words, extents: Extents, block: float) -> Count:
        """E[ceil(k / block)], k the number of non-zeros of such a tile packed into words of `block`."""

    @abstractmethod
    def excess(self, size: Words, extents: Extents, capacity: Words) -> Words:
        """E[max(0, k - capacity)], the non-zeros of such a tile that do not fit."""

    @abstractmethod
    def parameters(self, size: Words, extents: Extents) -> tuple[Array, ...]:
        """The numbers on which the distribution of such a tile depends: the arguments of `tabulate`."""

    @abstractmethod
    def tabulate(self, *parameters: float) -> Occupancy:
        """The distribution of one tile."""

    def occupancy(self, size: float, extents: tuple[float, ...]) -> Occupancy:
        """The distribution of the number of non-zeros of one tile (plain numbers only)."""
        return self.tabulate(*(float(p) for p in self.parameters(size, extents)))

    def mean(self, size: Words, extents: tuple[Coordinate, ...] = ()) -> Words:
        """Expected number of non-zeros of a tile: size * density (linearity)."""
        return size * self.density

    @property
    def placed(self) -> tuple[int, ...]:
        """Axes along which it matters where a tile's words lie: the sides of tiles with gaps are lattices there."""
        return ()

    @property
    def answering(self) -> DensityModel:
        """The model itself, behind whatever records the questions that it is asked."""
        return self

    @property
    def produced(self) -> bool:
        """True if the non-zeros follow from those of the operands (`produced.Produced`)."""
        return False

    @property
    def deterministic(self) -> bool:
        """True if the pattern is known: `mask` is not None (without building it)."""
        return False

    def mask(self) -> Pattern | None:
        """The non-zero pattern if it is deterministic (banded, given data), else None."""
        return None

    def coordinates(self) -> Any:
        """The places of the non-zeros if they are deterministic (`index.Coordinates`), else None."""
        return None

    def empty_union(self, first: Tile, second: Tile, shared: Tile) -> Share:
        """P(both tiles empty), approximately e1 * e2 / e12 with e12 = P(their common part empty); 0 if e12 = 0.

        That is: given an empty common part the remainders are taken as independent. Exact for nested tiles.
        """
        one, two, common = self.empty(*first), self.empty(*second), self.empty(*shared)
        ratio = one * two / np.where(common > 0, common, 1.0)
        return np.minimum(ratio, np.minimum(one, two))


class TabulatedModel(DensityModel):
    """A model whose order statistics are sums over the distribution of each distinct tile."""

    def quantile(self, size: Words, extents: Extents, confidence: float) -> Words:
        """Smallest k with P(non-zeros of such a tile <= k) >= confidence."""
        if confidence >= 1:
            return self.maximum(size, extents)
        return by_rows(self.parameters(size, extents), lambda *row: self.tabulate(*row).quantile(confidence))

    def blocks(self, size: Words, extents: Extents, block: float) -> Count:
        """E[ceil(k / block)], summed over the distribution."""
        return by_rows(self.parameters(size, extents), lambda *row: self.tabulate(*row).blocks(block))

    def excess(self, size: Words, extents: Extents, capacity: Words) -> Words:
        """E[max(0, k - capacity)], summed over the distribution."""
        columns = (*self.parameters(size, extents), capacity)
        return by_rows(columns, lambda *row: self.tabulate(*row[:-1]).excess(row[-1]))


class SmoothModel(DensityModel):
    """A model whose occupancy is nearly normal when its deviation is not small; sums over k otherwise."""

    @abstractmethod
    def tilt(self, size: Words, extents: Extents) -> Array:
        """Third central moment over variance of the number of non-zeros."""

    def quantile(self, size: Words, extents: Extents, confidence: float) -> Words:
        """Smallest k with P(<= k) >= confidence: ceil(mu + sigma z + tilt (z^2 - 1)/6 - 1/2) (Cornish and Fisher 1938).

        Exact for sigma < 4 (a real size is a mixture of its neighbours), else off by one in about 0.3 % of cases.
        """
        low, high = self.minimum(size, extents), self.maximum(size, extents)
        if not 0 < confidence < 1:
            return high if confidence >= 1 else low
        z = NormalDist().inv_cdf(confidence)
        sigma = np.sqrt(self.variance(size, extents))
        middle = self.mean(size) + sigma * z + self.tilt(size, extents) * ((z * z - 1.0) / 6.0)
        rough = np.minimum(np.maximum(np.ceil(middle - 0.5), low), high)
        columns = self.parameters(size, extents)
        return replaced(rough, sigma < NORMAL_FROM, columns, lambda *row: self.tabulate(*row).quantile(confidence))

    def blocks(self, size: Words, extents: Extents, block: float) -> Count:
        """E[ceil(k/B)]: the sum over k for sigma < max(B/2, 4), else (mu + (B-1)/2 (1 - e)) / B.

        The short form takes the filling of the last word as evenly distributed: within 0.05 %.
        """
        mean = self.mean(size)
        if block == 1:
            return mean
        rough = (mean + (block - 1) / 2 * (1.0 - self.empty(size, extents))) / block
        narrow = self.variance(size, extents) < max(block / 2, NORMAL_FROM) ** 2
        columns = self.parameters(size, extents)
        return replaced(rough, narrow, columns, lambda *row: self.tabulate(*row).blocks(block))

    def excess(self, size: Words, extents: Extents, capacity: Words) -> Words:
        """E[max(0, k - cap)] = sigma (phi(z) - z Q(z)), z = (cap - mu)/sigma.

        That is the normal approximation, within 0.01 sigma; for sigma < 4 the sum over k.
        """
        sigma = np.sqrt(self.variance(size, extents))
        spread = np.maximum(sigma, 1.0)
        z = (capacity - self.mean(size)) / spread
        loss = spread * np.maximum(np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) - z * upper_tail(z), 0.0)
        columns = (*self.parameters(size, extents), capacity)
        return replaced(loss, sigma < NORMAL_FROM, columns, lambda *row: self.tabulate(*row[:-1]).excess(row[-1]))


def replaced(rough: Array, where: Array, columns: Sequence[Array], value: Callable[..., float]) -> Array:
    """`rough`, but `value(*row)` at the rows of the columns where `where` holds."""
    base, chosen, *wide = np.broadcast_arrays(rough, where, *columns)
    result = np.array(base, dtype=np.float64)
    index = np.flatnonzero(chosen)
    result.reshape(-1)[index] = by_rows([c.reshape(-1)[index] for c in wide], value)
    return result[()]


def by_place(whole: Array, numbers: Sequence[Array], placed: Sequence[Array], value: Callable[..., float]) -> Array:
    """`whole`, but `value(*numbers, places)` where the tile is scattered (`lattice.marked`)."""
    if not placed:
        return whole
    count = len(numbers)
    return replaced(whole, placed[0] > 0, (*numbers, *placed), lambda *row: value(*row[:count], places_of(row[count:])))


def unwrapped(array: Array) -> Array:
    """A number instead of an array without axes."""
    return array[()]


def upper_tail(z: Array) -> Array:
    """Q(z) = P(a standard normal number > z) = erfc(z / sqrt 2) / 2."""
    scaled = np.asarray(z, dtype=np.float64) / math.sqrt(2.0)
    tail = np.fromiter(map(math.erfc, scaled.reshape(-1).tolist()), dtype=np.float64, count=scaled.size)
    return 0.5 * tail.reshape(scaled.shape)[()]


def snapped(x: Array) -> Array:
    """x, or the nearest integer if it is within 1e-9 (plus rounding errors of x) of it."""
    nearest = np.rint(x)
    close: Array = np.abs(x - nearest) <= SNAP + 4e-16 * np.abs(x)
    return unwrapped(np.where(close, nearest, x))


def count_of(fraction: float, total: int) -> int:
    """ceil(fraction * total), snapped, at most `total`."""
    return min(math.ceil(float(snapped(fraction * total))), total)


def check_shape(shape: tuple[int, ...], size: int | None) -> None:
    """ValueError unless all extents, and the size if given, are at least 1."""
    if any(extent < 1 for extent in shape):
        raise ValueError(f"shape {shape}: every extent must be at least 1")
    if size is not None and not 1 <= size <= math.prod(shape):
        raise ValueError(f"size {size}: must lie between 1 and {math.prod(shape)}, the size of the bounding shape {shape}")


def check_fraction(name: str, fraction: float) -> None:
    """ValueError unless the fraction lies in [0, 1]."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"{name} {fraction!r}: must lie between 0 and 1")


# --- passes -------------------------------------------------------------------------------------------------

EXACT_PASSES = 16
"""Passes that are averaged one by one; further ones by three of every doubling."""


class PassLoops(NamedTuple):
    """Loops that count on like digits of one number."""

    iterations: float
    positions: float
    outside: bool


def merged_loops(counts: Sequence[float], positions: Sequence[float], outside: Sequence[float]) -> tuple[PassLoops, ...]:
    """Loops of one iteration dropped, and loops that count on like digits of one number put together."""
    merged = list[PassLoops]()
    for count, step, is_outside in zip(counts, positions, outside, strict=True):
        if count == 1:
            continue
        loop = PassLoops(count, step if is_outside else 0.0, bool(is_outside))
        if merged and merged[-1].outside == loop.outside and math.isclose(merged[-1].positions, loop.positions * count):
            loop = PassLoops(merged[-1].iterations * count, loop.positions, loop.outside)
            merged.pop()
        merged.append(loop)
    return tuple(merged)


@memo(4096)
def nodes_of(count: float, loops: int) -> tuple[tuple[float, float], ...]:
    """Indices and weights that stand for 0 ... count - 1: the first singly, then three of every doubling (Gauss, Legendre)."""
    exact = min(count, EXACT_PASSES if loops == 1 else EXACT_PASSES / 4)
    nodes = [(float(i), 1.0 / count) for i in range(math.ceil(exact))]
    points, weights = np.polynomial.legendre.leggauss(3)
    low = float(len(nodes))
    while low < count:
        high = min(2.0 * low, count)
        half = (high - low) / 2
        nodes += [
            (low - 0.5 + half * (1.0 + p), half * w / count) for p, w in zip(points.tolist(), weights.tolist(), strict=True)
        ]
        low = high
    return tuple(nodes)
