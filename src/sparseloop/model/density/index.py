"""An index of a sparse pattern: sorted places of its non-zeros, and the counts of blocks of any size made from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import numpy.typing as npt

from sparseloop.model.density.base import Pattern
from sparseloop.model.units import Integers

Blocks = tuple[Integers, Integers]
"""Flat numbers of the blocks that hold a non-zero, ascending, and how many each holds."""
KEPT, KEPT_BLOCKS = 6, 2**22
"""Grids of blocks remembered by one index: at least so many, and more while they have no more blocks than that."""
DENSE_GRID = 4
"""Blocks are counted in an array of the whole grid if it has at most so many times as many places as there are blocks."""
FLAGGED = 32
"""Places are flagged in an array of all if there are at most so many times as many as there are keys."""


@final
@dataclass(frozen=True, eq=False, slots=True)
class Coordinates:
    """A pattern as the flat (row-major) places of its non-zeros, ascending, without repetition: 8 bytes each."""

    shape: tuple[int, ...]
    flat: Integers
    _grids: dict[tuple[int, ...], Blocks] = field(default_factory=dict[tuple[int, ...], Blocks], repr=False)
    answers: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)
    """Answers to earlier questions about the pattern, by the question."""
    shares: dict[Any, float] = field(default_factory=dict[Any, float], repr=False)
    """Shares of tiles found earlier, by the question; it does not say which mapping asked."""

    @classmethod
    def of(cls, shape: tuple[int, ...], axes: list[npt.NDArray[Any]]) -> Coordinates:
        """From one coordinate list per axis, in any order; repeated entries count once. ValueError above 2^63 elements."""
        if math.prod(shape) >= 2**63:
            raise ValueError(f"shape {shape}: has {math.prod(shape)} elements, at most 2^63 - 1 can be numbered")
        flat = np.zeros(len(axes[0]), dtype=np.int64)
        for index, extent in zip(axes, shape, strict=True):
            flat *= extent
            flat += index
        return cls(shape, distinct_keys(flat)[0])

    @classmethod
    def of_pattern(cls, pattern: Pattern) -> Coordinates:
        """The places of a dense pattern."""
        return cls(pattern.shape, np.flatnonzero(pattern).astype(np.int64))

    @property
    def total(self) -> int:
        """Number of elements, zeros included."""
        return math.prod(self.shape)

    def axes(self) -> tuple[Integers, ...]:
        """One coordinate list per axis."""
        return tuple(unravelled(self.flat, self.shape))

    def pattern(self) -> Pattern:
        """The dense pattern: one byte per element."""
        dense = np.zeros(self.total, dtype=np.bool_)
        dense[self.flat] = True
        return dense.reshape(self.shape)

    def transposed(self, order: Sequence[int]) -> Coordinates:
        """Axis `order[i]` becomes axis i, as of np.transpose."""
        places = self.axes()
        return Coordinates.of(tuple(self.shape[at] for at in order), [places[at] for at in order])

    def blocks(self, extents: tuple[int, ...]) -> Blocks:
        """Non-zeros per aligned block of these extents, empty blocks left out.

        Counted from the coarsest remembered grid whose blocks tile the asked ones, the non-zeros themselves at first:
        O(n log n) for n of its blocks.
        """
        if extents not in self._grids and max(extents, default=1) == 1:
            self._grids[extents] = self.flat, np.ones(len(self.flat), dtype=np.int64)
        if extents not in self._grids:
            fitting = [g for g in self._grids if all(e % c == 0 for e, c in zip(extents, g, strict=True))]
            fine = min(fitting, key=lambda g: len(self._grids[g][0]), default=(1,) * len(extents))
            numbers, counts = self._grids.get(fine, (self.flat, None))
            places = unravelled(numbers, grid(self.shape, fine))
            flat = np.zeros(len(numbers), dtype=np.int64)
            for index, extent, size, many in zip(places, extents, fine, grid(self.shape, extents), strict=True):
                flat *= many
                flat += index // (extent // size)
            self._make_room()
            self._grids[extents] = _counted(flat, counts, math.prod(grid(self.shape, extents)))
        return self._grids[extents]

    def _make_room(self) -> None:
        blocks = sum(len(numbers) for numbers, _ in self._grids.values())
        while len(self._grids) >= KEPT and blocks > KEPT_BLOCKS:
            blocks -= len(self._grids.pop(next(iter(self._grids)))[0])


def _counted(flat: Integers, counts: Integers | None, places: int) -> Blocks:
    """The different numbers below `places`, ascending, and the sum of the counts of each."""
    if places > DENSE_GRID * len(flat):
        return distinct_keys(flat, counts)
    found = np.bincount(flat, weights=counts, minlength=places)
    numbers = np.flatnonzero(found)
    return numbers, found[numbers].astype(np.int64)


def grid(shape: tuple[int, ...], extents: tuple[int, ...]) -> tuple[int, ...]:
    """Number of aligned blocks along each axis, the clipped last one included."""
    return tuple(-(-s // e) for s, e in zip(shape, extents, strict=True))


def unravelled(flat: Integers, shape: tuple[int, ...]) -> list[Integers]:
    """Coordinates per axis of row-major places."""
    places: list[Integers] = []
    for extent in reversed(shape):
        rest = flat // extent
        places.insert(0, remainder(flat, rest.copy(), extent))
        flat = rest
    return places


def remainder(numbers: Integers, quotient: Integers, divisor: int) -> Integers:
    """numbers - quotient * divisor, in the memory of `quotient`: a division by one number is quicker than `divmod`."""
    quotient *= divisor
    np.subtract(numbers, quotient, out=quotient)
    return quotient


def present(keys: Integers, places: int) -> Integers:
    """The different keys, all below `places`, ascending."""
    if places > FLAGGED * len(keys):
        return distinct_keys(keys)[0]
    flags = np.zeros(places, dtype=np.bool_)
    flags[keys] = True
    return np.flatnonzero(flags)


def alike(columns: Integers) -> tuple[Integers, Integers]:
    """The first of all equal columns, and per column the number of its like; `columns`: shape (any, columns), not negative."""
    code, values = np.zeros(columns.shape[1], dtype=np.int64), 1
    for row in columns:
        most = int(row.max(initial=0)) + 1
        if most > 1 and values * most >= 2**63:
            code = np.unique(code, return_inverse=True)[1].reshape(-1)
            values = int(code.max(initial=0)) + 1
        if most > 1:
            code, values = code * most + row, values * most
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


def distinct_keys(keys: Integers, weights: npt.NDArray[Any] | None = None) -> tuple[Integers, Any]:
    """The different keys, ascending, and the sum of the weights of each (without weights: how often it occurs)."""
    if len(keys) > 1 and not (keys[1:] >= keys[:-1]).all():
        if weights is None:
            keys = np.sort(keys)
        else:
            order = np.argsort(keys, kind="stable")
            keys, weights = keys[order], weights[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, dtype=np.int64)
    if weights is None:
        return keys[starts], np.diff(np.append(starts, len(keys)))
    return keys[starts], np.add.reduceat(weights, starts) if len(starts) else weights[:0]
