"""The hypergeometric distribution on arrays, and the uniform model: a given number of non-zeros anywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple, final

import numpy as np

from sparseloop.model.density.base import (
    Occupancy,
    Pattern,
    SmoothModel,
    Tile,
    check_fraction,
    check_shape,
    count_of,
    unwrapped,
)
from sparseloop.model.density.lattice import Extents
from sparseloop.model.memo import memo
from sparseloop.model.units import Array, Floats, Share, Words

TABLE_LIMIT = 65536
"""Integer tile sizes are answered from a table if it needs no more entries than this."""
UNDERFLOW = 746
"""exp(-746) is zero in double precision."""
STIRLING_FROM = 20
"""Smallest argument given to Stirling's series: 3 terms are good to 5e-13 there."""
MARGIN = 64
"""Half window, besides 12 standard deviations, of tabulated distributions."""


def probability_empty(total: int, full: int, size: Array) -> Array:
    """e = C(N-n, r) / C(N, r), hypergeometric: no non-zero among n of N elements, r of them non-zero; 0 if n + r > N."""
    n: Any = np.asarray(size)
    if full == 0:
        return unwrapped(np.ones(n.shape))
    if full == total:
        return unwrapped(np.where(n > 0, 0.0, 1.0))
    entries = min(total, UNDERFLOW * total // full + 1)
    if entries > TABLE_LIMIT:
        return _continued(total, full, n)
    table: Any = _table(total, full, entries)
    if n.dtype.kind in "ib":
        return table.take(n, mode="clip")
    inside = np.minimum(n, total)
    index = inside.astype(np.intp)
    integral = index == inside
    if integral.all():  # a shortcut: the same values as the next line
        return table.take(index, mode="clip")
    return unwrapped(np.where(integral, table.take(index, mode="clip"), _continued(total, full, n)))


@memo(64)
def _table(total: int, full: int, entries: int) -> Floats:
    """e(n) for n = 0 ... entries as the running product of (N-r-i) / (N-i); zero beyond, as e < exp(-n r/N)."""
    i = np.arange(entries, dtype=np.longdouble)
    ratios = np.maximum(total - full - i, 0) / (total - i)
    table = np.concatenate([np.ones(1), np.cumprod(ratios).astype(np.float64)])
    table.flags.writeable = False
    return table


def _continued(total: int, full: int, size: Array) -> Array:
    """e for real sizes and 0 < r < N: Stirling's series, lifted by the recurrence in N where N - n - r < 20."""
    n = np.minimum(np.maximum(np.atleast_1d(size).astype(np.float64), 0.0), total).reshape(-1)
    rest = (total - full) - n
    result = _stirling(total, full, n, rest)
    near = np.flatnonzero(rest < STIRLING_FROM)
    if near.size:
        left = rest[near]
        result[near] = np.where(left < 0, 0.0, _lifted(total, full, n[near], np.maximum(left, 0.0)))
    return result.reshape(np.shape(size))[()]


def _lifted(total: int, full: int, n: Floats, rest: Floats) -> Floats:
    """e_N = e_{N+s} * prod_{i=1..s} (N-n-r+i)(N+i) / ((N-n+i)(N-r+i)), exact; s = 20 makes Stirling's series good."""
    value = _stirling(total + STIRLING_FROM, full, n, rest + STIRLING_FROM)
    for i in range(1, STIRLING_FROM + 1):
        value *= (rest + i) / (rest + (full + i)) * ((total + i) / (total - full + i))
    return value


def _stirling(total: int, full: int, n: Floats, rest: Floats) -> Floats:
    """exp of ln e = (P+1/2) ln(1+a/R) - (N+1/2) ln(1+a/Q) + a ln(R/Q) + s(N-n) - s(R) + s(N-r) - s(N).

    a = min(n, r), R = N-n-r (taken as 20 if less), P = R+a, Q = N-a, s(x) the tail of Stirling's series. No term
    exceeds a few a, hence no cancellation: relative error about 1e-16 * a.
    """
    a = np.minimum(n, full)
    low = np.maximum(rest, STIRLING_FROM)
    other = total - a
    part = a / low
    np.log1p(part, out=part)
    power = low + a
    power += 0.5
    power *= part
    np.divide(a, other, out=part)
    np.log1p(part, out=part)
    part *= total + 0.5
    power -= part
    np.divide(low, other, out=part)
    np.log(part, out=part)
    part *= a
    power += part
    np.add(low, full, out=other)
    _add_tail(other, part, power, 1.0)
    _add_tail(low, part, power, -1.0)
    power += _tail(max(total - full, STIRLING_FROM)) - _tail(total)
    return np.exp(power, out=power)


def _add_tail(x: Floats, scratch: Floats, result: Floats, sign: float) -> None:
    """result += sign * s(x), s as in `_tail`; overwrites x and scratch."""
    np.divide(1.0, x, out=x)
    np.multiply(x, x, out=scratch)
    scratch *= sign / 1260
    scratch -= sign / 360
    scratch *= x
    scratch *= x
    scratch += sign / 12
    scratch *= x
    result += scratch


def _tail(x: float) -> float:
    """s(x) = 1/(12x) - 1/(360x^3) + 1/(1260x^5), the tail of Stirling's series for ln x!."""
    y = 1.0 / x
    return (((y * y) * (1 / 1260) - 1 / 360) * y * y + 1 / 12) * y


@memo(2048)
def hypergeometric(total: int, full: int, size: int) -> Occupancy:
    """P(k) = C(r,k) C(N-r,n-k) / C(N,n) from the ratio P(k+1)/P(k), within 12 standard deviations + 64 of the mode."""
    low, high = max(0, size + full - total), min(size, full)
    mode = (size + 1) * (full + 1) // (total + 2)
    reach = int(12 * math.sqrt(variance_of(total, full, size))) + MARGIN
    values = np.arange(max(low, mode - reach), min(high, mode + reach) + 1, dtype=np.float64)
    k = values[:-1]
    logs = np.log((size - k) * (full - k) / ((k + 1.0) * (total - size - full + k + 1.0)))
    weights = np.concatenate([np.zeros(1), np.cumsum(logs)])
    weights = np.exp(weights - weights.max())
    return Occupancy(values, weights / weights.sum())


def between(total: int, full: int, size: float) -> Occupancy:
    """The distribution for a real size: the two neighbouring integers mixed so that the mean is kept."""
    below = math.floor(size)
    if below == size:
        return hypergeometric(total, full, below)
    return hypergeometric(total, full, below).mixed(hypergeometric(total, full, below + 1), size - below)


def variance_of(total: int, full: int, size: Array) -> Array:
    """n (r/N) (1 - r/N) (N-n)/(N-1), hypergeometric."""
    part = full / total
    return size * (part * (1.0 - part) / max(total - 1, 1)) * (total - size)


def tilt_of(total: int, full: int, size: Array) -> Array:
    """Third central moment over variance, hypergeometric: (1 - 2r/N) (N - 2n) / (N - 2)."""
    return (1.0 - 2.0 * full / total) / max(total - 2, 1) * (total - 2.0 * size)


@final
@dataclass(frozen=True)
class Uniform(SmoothModel):
    """r = ceil(fraction * N) non-zeros, every placement among the N elements equally likely (hypergeometric)."""

    shape: tuple[int, ...]
    fraction: float
    size: int | None = field(default=None, kw_only=True)
    """Number N of elements if some of the bounding shape are never touched (strided windows)."""

    def __post_init__(self) -> None:
        check_shape(self.shape, self.size)
        check_fraction("density", self.fraction)

    @property
    def total(self) -> int:
        """Number N of elements."""
        return math.prod(self.shape) if self.size is None else self.size

    @property
    def nonzeros(self) -> int:
        """r = ceil(fraction * N), snapped by 1e-9."""
        return count_of(self.fraction, self.total)

    @property
    def density(self) -> float:
        """r / N."""
        return self.nonzeros / self.total

    def empty(self, size: Words, extents: Extents) -> Share:
        """C(N-n, r) / C(N, r)."""
        return probability_empty(self.total, self.nonzeros, size)

    def least_nonempty(self, size: Words, extents: Extents) -> Share:
        """1 - empty: a larger tile is empty less often."""
        return 1.0 - self.empty(size, extents)

    def empty_union(self, first: Tile, second: Tile, shared: Tile) -> Share:
        """C(N-n, r) / C(N, r) with n = n1 + n2 - n12, exact."""
        return self.empty(first[0] + second[0] - shared[0], ())

    def variance(self, size: Words, extents: Extents) -> Array:
        """n (r/N) (1 - r/N) (N-n)/(N-1)."""
        return variance_of(self.total, self.nonzeros, self._inside(size))

    def maximum(self, size: Words, extents: Extents) -> Words:
        """min(n, r)."""
        return np.minimum(size, self.nonzeros)

    def minimum(self, size: Words, extents: Extents) -> Words:
        """max(0, n + r - N)."""
        return np.maximum(self._inside(size) + (self.nonzeros - self.total), 0)

    def tilt(self, size: Words, extents: Extents) -> Array:
        """(1 - 2r/N) (N - 2n) / (N - 2)."""
        return tilt_of(self.total, self.nonzeros, self._inside(size))

    def parameters(self, size: Words, extents: Extents) -> tuple[Array, ...]:
        """The size alone."""
        return (self._inside(size),)

    def tabulate(self, *parameters: float) -> Occupancy:
        """P(k) = C(r,k) C(N-r,n-k) / C(N,n)."""
        return between(self.total, self.nonzeros, parameters[0])

    def drawn(self, dice: np.random.Generator) -> Pattern | None:
        """A pattern of r non-zeros, every placement equally likely; None if part of the shape is never touched."""
        if self.total != math.prod(self.shape):
            return None
        flat = np.zeros(self.total, dtype=np.bool_)
        flat[dice.permutation(self.total)[: self.nonzeros]] = True
        return flat.reshape(self.shape)

    def _inside(self, size: Array) -> Array:
        return np.minimum(np.maximum(size, 0), self.total)


# --- slices that share words: windows, and ranks that an operand of a product has not ------------------------
#
# Of some positions j random ones are left by the other operands. A word that c of the K have in their slices lies in none of them
# with probability C(K - c, j) / C(K, j), so the expected number of words of their union is exact. Its spread is looked at
# where positions are so few that all choices can be listed; else the union has its mean size.

LISTED = 10
"""Positions of which all choices are listed, and the words that slices may have then."""
LISTED_WORDS = 4096


class Strides(NamedTuple):
    """Coordinates along one axis of an operand: sums of one multiple each of these steps, 0 ... count - 1 times."""

    own: tuple[tuple[int, int], ...]
    """(step, count) of ranks that lie inside a slice."""
    apart: tuple[tuple[int, int], ...]
    """The same of ranks that tell positions apart."""


class Overlaps(NamedTuple):
    """The slices of all positions."""

    axes: tuple[Strides, ...]
    elsewhere: int
    """Positions that have the same slice, because the operand has not their ranks."""

    @property
    def positions(self) -> int:
        """K: all of them."""
        return self.elsewhere * math.prod(count for axis in self.axes for _, count in axis.apart)

    @property
    def words(self) -> float:
        """Words of one slice."""
        return float(math.prod(np.count_nonzero(_own(axis)) for axis in self.axes))

    @property
    def disjoint(self) -> bool:
        """Has no word a place in two slices?"""
        return set(_shared(self)) <= {1}


class Scattered(NamedTuple):
    """A uniform operand whose slices overlap."""

    total: int
    """Words of the operand."""
    full: int
    """Non-zeros among them."""
    inside: float
    """Share of the words of slices that are no padding."""
    slices: Overlaps

    def empty(self, positions: float, left: float) -> float:
        """P(the slices at `left` random ones of `positions` positions are all zero)."""
        if left <= 0:
            return 1.0
        whole, chosen = self.slices.positions, round(left)
        if whole <= LISTED and positions <= whole and (sizes := _listed(self.slices)) is not None:
            return float(np.mean(self._zero(sizes[min(chosen, whole)])))
        copies = max(1, math.ceil(positions / whole - 1e-9))
        return float(self._zero(np.array([copies * _mean_size(self.slices, copies, chosen)]))[0])

    def one_empty(self) -> float:
        """P(a slice is all zero)."""
        return float(self._zero(np.array([self.slices.words]))[0])

    def _zero(self, sizes: Floats) -> Floats:
        """P(so many words are all zero); numbers between whole ones are interpolated."""
        words = sizes * self.inside
        below = np.floor(words + 1e-9)
        part = np.maximum(0.0, words - below)
        low, high = (np.asarray(probability_empty(self.total, self.full, n)) for n in (below, below + 1.0))
        return (1.0 - part) * low + part * high


def _mean_size(slices: Overlaps, copies: int, chosen: int) -> float:
    """E[words of the union of the slices of `chosen` positions] / copies, of `copies` sets of positions that share nothing."""
    whole = copies * slices.positions
    return sum(
        words * (1.0 - float(probability_empty(whole, min(chosen, whole), float(times))))
        for times, words in _shared(slices).items()
    )


@memo(4096)
def _shared(slices: Overlaps) -> dict[int, int]:
    """Number of slices that have a word, to the number of such words."""
    found = {slices.elsewhere: 1}
    for axis in slices.axes:
        times, words = np.unique(np.rint(np.convolve(_own(axis), _apart(axis))).astype(np.int64), return_counts=True)
        along = [(t, n) for t, n in zip(times.tolist(), words.tolist(), strict=True) if t]
        joined: dict[int, int] = {}
        for (a, n), (b, m) in product(found.items(), along):
            joined[a * b] = joined.get(a * b, 0) + n * m
        found = joined
    return found


@memo(1024)
def _listed(slices: Overlaps) -> list[Floats] | None:
    """Words of the union of every choice of 0, 1, ... positions; None if words are too many."""
    covered = np.ones((slices.elsewhere, 1), dtype=np.bool_)
    for axis in slices.axes:
        own, apart = _own(axis) > 0, _apart(axis)
        rows = [
            np.concatenate([np.zeros(at), own, np.zeros(len(apart) - 1 - at)])
            for at, n in enumerate(apart)
            for _ in range(int(n))
        ]
        along = np.array(rows) > 0
        if covered.shape[1] * along.shape[1] > LISTED_WORDS:
            return None
        covered = np.einsum("ij,kl->ikjl", covered, along).reshape(len(covered) * len(along), -1)
    choices = np.array(list(product((False, True), repeat=len(covered))))
    sizes = (choices.astype(np.int64) @ covered.astype(np.int64) > 0).sum(axis=1).astype(np.float64)
    numbers = choices.sum(axis=1)
    return [sizes[numbers == number] for number in range(len(covered) + 1)]


def _own(axis: Strides) -> Floats:
    """1 at every coordinate, from the lowest, that one slice has."""
    return (_sums(axis.own) > 0).astype(np.float64)


def _apart(axis: Strides) -> Floats:
    """Number of positions whose slices begin at a coordinate, from the lowest."""
    return _sums(axis.apart)


def _sums(terms: tuple[tuple[int, int], ...]) -> Floats:
    """Number of ways to make 0, 1, ... as a sum of the terms."""
    ways = np.ones(1)
    for step, count in terms:
        comb = np.zeros(abs(step) * (count - 1) + 1)
        if step:
            comb[:: abs(step)] = 1.0
        else:
            comb[0] = float(count)
        ways = np.convolve(ways, comb)
    return ways
