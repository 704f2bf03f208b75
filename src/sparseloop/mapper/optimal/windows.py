"""Sliding windows: how many words of a tile with halos are new at least when loops move it.

An axis p + r of a tensor has e_p + e_r - 1 words in a tile of extents e_p and e_r, and at least that many for other coefficients
or for steps with gaps: a sum of two sets of numbers has no fewer elements than the two together, less one. A step along p moves
the window by s = e_p times the lanes along p; at least min(s, e_p + e_r - 1) of its words are new, if r does not move at the same
step. Where r moves too, nothing is counted: p steps without it f - 1 times of f.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from sparseloop.mapper.optimal.quantities import Floats
from sparseloop.mapper.space.loop_orders import sliding_rank


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
class Window:
    """The axes of a tensor with halos."""

    axes: tuple[tuple[int, ...], ...]
    """Per axis the numbers of its ranks."""
    exact: bool
    """All coefficients are 1: a tile without gaps has exactly as many words as stated above."""
    shape: tuple[int, ...]
    """Sizes of the ranks."""

    def fresh(self, moved: Movement) -> Floats:
        """Words that are new in every pass of the loops outside the run, for a tile whose extents are `moved.inner`."""
        own, moving = moved.inner * moved.passed, sliding_rank(moved.run)
        result = np.ones(own.shape[1])
        for axis in self.axes:
            words = _words(own, axis)
            result = result * (self._fresh_along(moved, axis, moving, words) if moving in axis else words)
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
        for axis in self.axes:
            words, extent = _words(moved.inner, axis), moved.inner[moving]
            if moving in axis:
                others = moved.factors[[r for r in axis if r != moving]].prod(axis=0)
                step = np.minimum(extent * moved.lanes[moving], words) if self.exact else extent
                steps = cast("Any", np.where)(others == 1, passes - 1, passes * (1 - 1 / moved.factors[moving]))
                result = result * step * steps
            else:
                result = result * words
        return result

    def _fresh_along(self, moved: Movement, axis: tuple[int, ...], moving: int, words: Floats) -> Floats:
        """The same along the axis on which the window moves; `words`: in the whole run."""
        whole, extent, factor = _words(moved.inner, axis), moved.inner[moving], moved.factors[moving]
        step = np.minimum(extent * moved.lanes[moving], whole) if self.exact else extent
        still = self._others_still(moved, axis, moving)
        if moved.joined:  # loops that are joined here may be several: two passes at least for one, and half of the run's steps
            fresh = np.maximum(np.where(still, 1.0, 0.5) * step, 0.5 * (words - whole))
        else:
            fresh = np.maximum(np.where(still, 1.0, 1 - 1 / factor) * step, words - whole)
        return np.where(factor == 1, words, fresh)

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
        for axis in self.axes:
            if moving in axis:
                rest = _words(moved.inner, axis) - moved.inner[moving]
                steps = 1 - 1 / moved.factors[moving]
                alone = np.where(self._others_still(moved, axis, moving), 1.0, steps)  # loops of other ranks may move it back
                share = np.where(rest > 0, 0.5 * steps, alone)
                result = result * np.where(
                    moved.factors[moving] == 1, 1.0, share * moved.inner[moving] / (moved.inner[moving] + rest)
                )
            else:
                ways = [1 + (passed[r] - 1) / (1 + _words(moved.inner, axis) - moved.inner[r]) for r in axis]
                result = result * cast("Any", np.maximum.reduce)(ways)
        return result


def _words(extents: Floats, axis: tuple[int, ...]) -> Floats:
    """Words along an axis, at least."""
    return extents[list(axis)].sum(axis=0) - (len(axis) - 1)
