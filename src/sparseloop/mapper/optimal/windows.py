"""Sliding windows: how many words of a tile with halos are new at least when loops move it.

An axis p + r of a tensor has e_p + e_r - 1 words in a tile of extents e_p and e_r, and at least that many for other coefficients
or for steps with gaps: a sum of two sets of numbers has no fewer elements than the two together, less one. A step along p moves
the window by s = e_p times the lanes along p; at least min(s, e_p + e_r - 1) of its words are new, if r does not move at the same
step. Where r moves too, nothing is counted: p steps without it f - 1 times of f.

Words of padding are no words. Along an axis that stands still while another one moves the tile, at least the share `least` of
the words of all tiles is true. Along the axis that slides, let r have any place: as p goes through all N_p values, the words
that lead (or trail) in tiles are N_p consecutive coordinates, or so many parts of them, and no more than `lost` of them padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np

from sparseloop.mapper.optimal.quantities import Floats, Ints
from sparseloop.mapper.space.loop_orders import sliding_rank
from sparseloop.model.design.einsum import Axis, Einsum, Tensor, true_share_along


@dataclass(frozen=True, slots=True)
class Movement:
    """Loops that move a tile; arrays of shape (ranks, columns), all floats."""

    inner: Floats
    """Extents of the tile inside the level."""
    lanes: Floats
    """Spatial factors of the level."""
    factors: Floats
    """Temporal factors of the level."""
    run: int
    """Ranks (bits) of the loops inside the innermost one that moves the tile; negative: of all loops. Above them the rank of the
    window that this loop moves, if it does, as in a `Signature`."""
    joined: bool
    """All loops outside are one loop per rank."""

    @property
    def passed(self) -> Floats:
        """The factors of the run, 1 for other ranks."""
        rows = [i for i in range(len(self.factors)) if self.run < 0 or self.run >> i & 1]
        own = np.ones_like(self.factors)
        own[rows] = self.factors[rows]
        return own


@dataclass(frozen=True, slots=True)
class AxisPadding:
    """What is padding along an axis."""

    least: float
    """Share of the words of tiles that are true, at least, over all places of tiles that are new at every place.

    Every true word is met there once at least, and words of padding no more often than by all values of all ranks.
    """
    lost: dict[int, float]
    """By number of a rank: of the words that slide in or out while it moves, at most so many of one are padding."""


@dataclass(frozen=True, slots=True)
class Window:
    """The axes of a tensor with halos, or with padding."""

    axes: tuple[tuple[int, ...], ...]
    """Per axis the numbers of its ranks."""
    exact: bool
    """All coefficients are 1: a tile without gaps has exactly as many words as stated above."""
    shape: tuple[int, ...]
    """Sizes of the ranks."""
    padding: tuple[AxisPadding | None, ...] = ()
    """Per axis; none: no axis has any."""

    def _lost(self, axis: int, moving: int) -> float:
        """Padding among the words that slide in or out along an axis, at most, of one."""
        padding = self.padding[axis] if self.padding else None
        return 0.0 if padding is None else padding.lost.get(moving, 1.0)

    def _least(self, axis: int) -> float:
        padding = self.padding[axis] if self.padding else None
        return 1.0 if padding is None else padding.least

    def true(self, moving: int) -> float:
        """Share of the new words that are no padding, at least; along the axis of the rank that moves only such are counted."""
        return math.prod(self._least(number) for number, axis in enumerate(self.axes) if moving not in axis)

    def fresh(self, moved: Movement) -> Floats:
        """Words that are new in every pass of the loops outside the run, for a tile whose extents are `moved.inner`."""
        own, moving = moved.inner * moved.passed, sliding_rank(moved.run)
        result = np.ones(own.shape[1])
        for number, axis in enumerate(self.axes):
            words = _words(own, axis)
            result = result * (self._fresh_along(moved, number, moving, words) if moving in axis else words)
        return result

    def slid(self, moved: Movement) -> Floats:
        """Words that are new while the loops of a level slide a tile of extents `moved.inner`, those it begins with not counted.

        Every pass of the loops outside the run moves the innermost rank, forwards or back; where another rank of its axis has a
        loop, too, only steps of the innermost rank alone are counted.
        """
        moving = sliding_rank(moved.run)
        every, inside = moved.factors.prod(axis=0), moved.passed.prod(axis=0)
        passes: Any = every / inside
        result: Any = np.ones(moved.inner.shape[1])
        for number, axis in enumerate(self.axes):
            words, extent = _words(moved.inner, axis), moved.inner[moving]
            if moving in axis:
                others = moved.factors[[r for r in axis if r != moving]].prod(axis=0)
                step = np.minimum(extent * moved.lanes[moving], words) if self.exact else extent
                steps = cast("Any", np.where)(others == 1, passes - 1, passes * (1 - 1 / moved.factors[moving]))
                result = result * step * np.maximum(0.0, steps - passes * self._lost(number, moving))
            else:
                result = result * words * self._least(number)
        return result

    def _fresh_along(self, moved: Movement, number: int, moving: int, words: Floats) -> Floats:
        """The same along the axis on which the window moves, without padding; `words`: in the whole run."""
        axis, lost, least = self.axes[number], self._lost(number, moving), self._least(number)
        whole, extent, factor = _words(moved.inner, axis), moved.inner[moving], moved.factors[moving]
        step = np.minimum(extent * moved.lanes[moving], whole) if self.exact else extent
        still = self._others_still(moved, axis, moving)
        if moved.joined:  # loops that are joined here may be several: two passes at least for one, and half of the run's steps
            fresh = step * np.maximum(0.0, np.where(still, 1.0, 0.5) - lost)
            fresh = np.maximum(fresh, 0.5 * (words - whole)) if least == 1.0 else fresh
        else:
            fresh = step * np.maximum(0.0, np.where(still, 1.0, 1 - 1 / factor) - lost)
            fresh = np.maximum(fresh, least * words - whole)
        return np.where(factor == 1, least * words, fresh)

    def _others_still(self, moved: Movement, axis: tuple[int, ...], moving: int) -> Any:
        """True where no loop over another rank of the axis lies outside the run (joined: where there is none at all)."""
        still = np.ones(moved.inner.shape[1], dtype=bool)
        own = np.ones_like(moved.factors) if moved.joined else moved.passed
        for rank in axis:
            if rank != moving:
                still &= moved.inner[rank] * moved.lanes[rank] * own[rank] >= self.shape[rank] * (1 - 1e-9)
        return still

    def growth(self, moved: Movement) -> Floats:
        """How many times the words of an unknown tile inside `moved.inner` are new in every pass of the loops outside the run."""
        moving, result = sliding_rank(moved.run), np.ones(moved.inner.shape[1])
        if not self.exact:
            return result if moving < 0 else 0 * result
        passed = moved.passed
        for number, axis in enumerate(self.axes):
            if moving in axis:
                rest = _words(moved.inner, axis) - moved.inner[moving]
                steps = 1 - 1 / moved.factors[moving]
                alone = np.where(self._others_still(moved, axis, moving), 1.0, steps)  # loops of other ranks may move it back
                share = np.maximum(0.0, np.where(rest > 0, 0.5 * steps, alone) - self._lost(number, moving))
                share = share * moved.inner[moving] / (moved.inner[moving] + rest)
                result = result * np.where(moved.factors[moving] == 1, self._least(number), share)
            else:
                ways = [1 + (passed[r] - 1) / (1 + _words(moved.inner, axis) - moved.inner[r]) for r in axis]
                result = result * cast("Any", np.maximum.reduce)(ways)
        return result


def _words(extents: Floats, axis: tuple[int, ...]) -> Floats:
    """Words along an axis, at least."""
    return extents[list(axis)].sum(axis=0) - (len(axis) - 1)


# --- of a tensor --------------------------------------------------------------------------------------------


def plain_ranks(tensor: Tensor) -> frozenset[str]:
    """Ranks that alone move an axis of the tensor: one step of theirs takes a tile to wholly different words."""
    every = [term.rank for axis in tensor.axes for term in axis.terms]
    return frozenset(axis.terms[0].rank for axis in tensor.axes if len(axis.terms) == 1 and every.count(axis.terms[0].rank) == 1)


def separate_ranks(tensor: Tensor, size: Callable[[str], int]) -> frozenset[str]:
    """Ranks whose loops move the tile whatever the others do: plain ones, and of every sliding window the largest.

    Lanes at p and r of a window p + r share their tile only where the sums are equal: there are at least as many tiles as p.
    """
    every = [term.rank for axis in tensor.axes for term in axis.terms]
    windows = [[t.rank for t in axis.terms if every.count(t.rank) == 1] for axis in tensor.axes if len(axis.terms) > 1]
    return plain_ranks(tensor) | {max(window, key=lambda rank: (size(rank), rank)) for window in windows if window}


def window_of(einsum: Einsum, tensor: Tensor, ranks: Sequence[str], shape: tuple[int, ...]) -> Window | None:
    """The window of a tensor with halos or padding; `ranks`: those of the mapspace with their sizes."""
    padded = einsum.has_padding(tensor)
    if all(len(axis.terms) == 1 for axis in tensor.axes) and not padded:
        return None
    numbers = {rank: i for i, rank in enumerate(ranks)}
    kept = [axis for axis in tensor.axes if any(term.rank in numbers for term in axis.terms)]
    axes = tuple(tuple(numbers[term.rank] for term in axis.terms if term.rank in numbers) for axis in kept)
    exact = all(abs(term.coefficient) == 1 for axis in tensor.axes for term in axis.terms if len(axis.terms) > 1)
    paddings = [axis_padding(einsum, axis, numbers) for axis in kept] if padded else []
    return Window(axes, exact, shape, tuple(paddings))


def axis_padding(einsum: Einsum, axis: Axis, numbers: Mapping[str, int]) -> AxisPadding | None:
    """What is padding along an axis of a tensor; None if nothing is."""
    if axis.size is None or not axis.padded(einsum.extents):
        return None
    met = axis.offset + _sums([(t.coefficient, einsum.extents[t.rank]) for t in axis.terms])
    points = math.prod(einsum.extents[t.rank] for t in axis.terms)
    words = int(((met >= 0) & (met < axis.size)).sum())
    meetings = points - round(points * true_share_along(axis, einsum.extents))
    lost: dict[int, float] = {}
    for term in axis.terms:
        if term.rank in numbers:
            others = _sums([(t.coefficient, einsum.extents[t.rank]) for t in axis.terms if t is not term])
            inside = _inside(others + axis.offset, term.coefficient, einsum.extents[term.rank], axis.size)
            worst = einsum.extents[term.rank] - int(inside.min())
            lost[numbers[term.rank]] = min(1.0, max(2 * worst, len(met) - words) / einsum.extents[term.rank])
    return AxisPadding(words / (words + meetings), lost)


def _sums(terms: Sequence[tuple[int, int]]) -> Ints:
    """Distinct sums of coefficient times 0 ... size - 1, ascending."""
    sums = np.zeros(1, dtype=np.int64)
    for coefficient, size in terms:
        sums = np.unique(sums[:, None] + coefficient * np.arange(size))
    return sums


def _inside(at: Ints, coefficient: int, count: int, size: int) -> Ints:
    """How many of at + coefficient * (0 ... count - 1) lie in 0 ... size - 1."""
    low, step = at + min(0, coefficient) * (count - 1), abs(coefficient)
    first, last = np.maximum(0, -(low // step)), np.minimum(count - 1, (size - 1 - low) // step)
    return np.maximum(0, last - first + 1)


def tiles_coincide(einsum: Einsum, axis: Axis, rank: str, options: Mapping[str, Sequence[int]]) -> bool:
    """True if tiles at two places of a rank may have the same true words, as they reach over both borders.

    `options`: by rank the extents that tiles may have.
    """
    if not axis.padded(einsum.extents) or axis.size is None:
        return False
    terms = [term for term in axis.terms if term.rank in options]
    for extents in product(*(options[term.rank] for term in terms)):
        sizes = {term.rank: extent for term, extent in zip(terms, extents, strict=True)}
        span = sum(abs(term.coefficient) * (sizes[term.rank] - 1) for term in terms)
        gaps = len(_sums([(term.coefficient, sizes[term.rank]) for term in terms])) <= span
        if sizes.get(rank, 1) < einsum.extents[rank] and (2 * span > axis.size if gaps else span >= axis.size):
            return True
    return False
