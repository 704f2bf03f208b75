"""Operands of a product whose slices are not simply disjoint ones of a uniform tensor.

Counted     not uniform: how many slices hold a non-zero has a distribution of the model's own, or of its data. Which of them do
            is taken as random once their number is known, so that of fewer positions the number is hypergeometric.
Scattered   uniform, but slices at different positions share words: windows, and ranks that it has not. Of `positions` positions
            some random j are left by the other operands; a word that c of them have in their slices lies in none of those j with
            probability C(K - c, j) / C(K, j), so the expected number of words of the union of the slices is exact. Its spread is
            taken into account where positions are so few that all choices can be listed; else the union has its mean size.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import numpy as np

from sparseloop.model.density.base import DensityModel, Occupancy
from sparseloop.model.density.index import distinct_keys
from sparseloop.model.density.known import DeterministicModel
from sparseloop.model.density.slices import Slices, nonempty_slices
from sparseloop.model.density.uniform import hypergeometric, probability_empty
from sparseloop.model.memo import memo
from sparseloop.model.units import Floats, Integers

VALUES = 64
"""Values that a distribution has at most; neighbours are put together at their mean."""
LISTED = 10
"""Positions of which all choices are listed, and the words that slices may have then."""
LISTED_WORDS = 4096


class Left(NamedTuple):
    """How many positions are left, and with which probability."""

    none: float
    """P(0 positions)."""
    values: Floats
    weights: Floats


class Counted(NamedTuple):
    """An operand whose slices have a distribution of their own."""

    model: DensityModel
    slices: Slices
    """Those of all positions."""
    filled: float
    """P(a slice is not zero)."""
    taken: float = 0.0
    """Words, outside the slices in question, that are known to be zero."""

    @property
    def known(self) -> int:
        """Whole slices that are known to be zero; one is left at least."""
        return min(self.slices.number - 1, math.floor(self.taken / self.slices.size + 1e-9))

    def left(self, before: Left) -> Left:
        """What is left of positions that others left."""
        return _left(self, before.none, tuple(before.values.tolist()), tuple(before.weights.tolist()))


def summed_up(none: float, values: Floats, weights: Floats, most: int = VALUES) -> Left:
    """At most so many values: neighbours are put together at their mean."""
    kept = weights > 0
    values, weights = values[kept], weights[kept]
    pieces = max(1, math.ceil(values.size / most))
    starts = np.arange(0, values.size, pieces)
    together = np.add.reduceat(weights, starts)
    means = np.rint(np.add.reduceat(values * weights, starts) / together)
    return Left(none, means, together / together.sum())


@memo(4096)
def _left(operand: Counted, none: float, values: tuple[float, ...], weights: tuple[float, ...]) -> Left:
    found = _filled(operand)
    whole = operand.slices.number - operand.known
    most = round(max(values))
    left = np.zeros(most + 1)
    for positions, weight in zip(values, weights, strict=True):
        # more positions than the operand has: those of several tiles, as if they were alike
        scale = max(1.0, positions / whole)
        for filled, share in zip(found.values.tolist(), found.weights.tolist(), strict=True):
            total, full = round(scale * whole), round(scale * filled)
            part = hypergeometric(total, full, min(round(positions), total))
            left[part.values.astype(np.int64)] += weight * share * part.weights
    kept = left > 1e-12 * left.max()
    return summed_up(float(left[0]), np.flatnonzero(kept).astype(np.float64), left[kept])


@memo(4096)
def _filled(operand: Counted) -> Left:
    """The number of slices of all positions that hold a non-zero."""
    model = operand.model
    found = _of_data(model, operand.slices) if isinstance(model, DeterministicModel) else None
    found = found or nonempty_slices(model, operand.slices, operand.filled)
    values, weights = found.values, found.weights
    if operand.known:  # P(these are zero | so many are not), whichever they are
        number = operand.slices.number
        fitting = values <= number - operand.known
        values = values[fitting]
        zero = np.array([float(probability_empty(number, round(v), operand.known)) for v in values.tolist()])
        weights = weights[fitting] * zero
        if not weights.sum():
            return Left(1.0, np.zeros(1), np.ones(1))
        weights = weights / weights.sum()
    return summed_up(float(weights[values == 0].sum()), values, weights)


def _of_data(model: DeterministicModel, slices: Slices) -> Occupancy | None:
    """Counted tile by tile; a tile at the border may be smaller."""
    if not slices.boxes:
        return None
    places = model.coordinates().axes()
    tiles = [-(-extent // side) for extent, side in zip(model.shape, slices.whole, strict=True)]
    within = [whole // side for whole, side in zip(slices.whole, slices.sides, strict=True)]
    tile, slice_ = np.zeros(len(places[0]), dtype=np.int64), np.zeros(len(places[0]), dtype=np.int64)
    for at, side, whole, number, inside in zip(places, slices.sides, slices.whole, tiles, within, strict=True):
        tile = tile * number + at // whole
        slice_ = slice_ * inside + at % whole // side
    numbers = _distinct_of(tile * slices.number + slice_) // slices.number
    filled = np.bincount(distinct_keys(numbers)[1], minlength=1) if len(numbers) else np.zeros(1, dtype=np.int64)
    filled[0] = math.prod(tiles) - filled[1:].sum()
    kept = np.flatnonzero(filled)
    return Occupancy(kept.astype(np.float64), filled[kept] / filled.sum())


def _distinct_of(numbers: Integers) -> Integers:
    return distinct_keys(numbers)[0]


# --- slices that share words ---------------------------------------------------------------------------------


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
