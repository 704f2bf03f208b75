"""Known patterns: a band about the diagonal, and given data. Statistics are those of the aligned tiles."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from sparseloop.model.density.base import Occupancy, Pattern, TabulatedModel, check_shape
from sparseloop.model.density.files import as_pattern
from sparseloop.model.density.index import Coordinates, grid
from sparseloop.model.memo import memo
from sparseloop.model.rows import by_rows
from sparseloop.model.units import Array, Coordinate, Integers, Share, Words

TABLE_LIMIT = 2**26
"""Largest array whose tiles are counted from a summed-area table (4 bytes per element)."""


class DeterministicModel(TabulatedModel):
    """A known pattern; a tile is one of the aligned tiles of its extents, all equally likely, edge tiles clipped.

    Extents are rounded to integers and clipped to the shape. `size` matters only if it is 0: then the tile is empty.
    """

    nonzeros: int
    """Number of non-zeros of the whole pattern."""
    _known: dict[tuple[int, ...], Occupancy]

    @property
    def deterministic(self) -> bool:
        """True: there is a mask."""
        return True

    @abstractmethod
    def coordinates(self) -> Coordinates:
        """The places of the non-zeros, built at the first call."""

    @abstractmethod
    def histogram(self, extents: tuple[int, ...]) -> tuple[Integers, Integers]:
        """Numbers of non-zeros of the aligned tiles, ascending, and how many tiles have them."""

    @property
    def density(self) -> float:
        """Non-zeros over elements."""
        return self.nonzeros / self.total

    def spaced(self, steps: tuple[int, ...]) -> DeterministicModel:
        """The pattern of every so many elements along each axis."""
        return self if max(steps, default=1) == 1 else _spaced(self, steps)

    def empty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """Share of the aligned tiles without non-zeros."""
        return by_rows(self.parameters(size, extents), lambda *row: self.tabulate(*row).empty)

    def least_nonempty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """0: the zeros of a known pattern may lie where another tensor has none."""
        return 0.0 * np.ones(np.shape(size))

    def nonempty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """Share of the aligned tiles with non-zeros: no larger tiles made of such tiles have any less often."""
        return 1.0 - self.empty(size, extents)

    def variance(self, size: Words, extents: tuple[Coordinate, ...]) -> Array:
        """Variance over the aligned tiles."""
        return by_rows(self.parameters(size, extents), lambda *row: self.tabulate(*row).variance)

    def maximum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """Largest number of non-zeros of an aligned tile."""
        return by_rows(self.parameters(size, extents), lambda *row: float(self.tabulate(*row).values[-1]))

    def minimum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """Smallest number of non-zeros of an aligned tile."""
        return by_rows(self.parameters(size, extents), lambda *row: float(self.tabulate(*row).values[0]))

    def parameters(self, size: Words, extents: tuple[Coordinate, ...]) -> tuple[Array, ...]:
        """The extents as integers within the shape; zeros for a tile of size 0."""
        some = np.asarray(size) > 0
        pairs = zip(extents, self.shape, strict=True)
        return tuple(np.where(some, np.minimum(np.maximum(np.rint(e), 1), s), 0) for e, s in pairs)

    def tabulate(self, *parameters: float) -> Occupancy:
        """The histogram of the aligned tiles, computed once per extents."""
        extents = tuple(int(p) for p in parameters)
        if extents not in self._known:
            self._known[extents] = self._occupancy(extents)
        return self._known[extents]

    def _occupancy(self, extents: tuple[int, ...]) -> Occupancy:
        if 0 in extents:
            return Occupancy(np.zeros(1), np.ones(1))
        values, tiles = self.histogram(extents)
        return Occupancy(values.astype(np.float64), tiles / tiles.sum())


def at_least_together(shares: Sequence[Share]) -> Share:
    """P(all of some events) at least, of events of which only these shares are known (Frechet 1935)."""
    together: Share = np.ones(())
    for share in shares:
        together = np.maximum(0.0, together + share - 1.0)
    return together


@memo(16)
def _spaced(model: DeterministicModel, steps: tuple[int, ...]) -> DeterministicModel:
    axes = model.coordinates().axes()
    chosen = np.ones(model.nonzeros, dtype=np.bool_)
    for index, step in zip(axes, steps, strict=True):
        chosen &= index % step == 0
    shape = tuple(-(-extent // step) for extent, step in zip(model.shape, steps, strict=True))
    return Actual(Coordinates.of(shape, [index[chosen] // step for index, step in zip(axes, steps, strict=True)]))


@final
@dataclass(frozen=True)
class Banded(DeterministicModel):
    """Element (i, j) is non-zero iff |i - j| <= half_width, in a matrix of any height and width."""

    shape: tuple[int, ...]
    half_width: int
    nonzeros: int = field(init=False, repr=False)
    _known: dict[tuple[int, ...], Occupancy] = field(
        default_factory=dict[tuple[int, ...], Occupancy], init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        check_shape(self.shape, None)
        if len(self.shape) != 2:
            raise ValueError(f"shape {self.shape}: a band needs a tensor of 2 axes, not {len(self.shape)}")
        if self.half_width < 0:
            raise ValueError(f"half width {self.half_width}: must be at least 0")
        object.__setattr__(self, "nonzeros", int(self._before(np.array(self.shape[0]), np.array(self.shape[1]))))

    def __reduce__(self) -> tuple[Any, ...]:
        return Banded, (self.shape, self.half_width)

    def coordinates(self) -> Coordinates:
        """The places of the band, built at the first call."""
        return self._places

    @cached_property
    def _places(self) -> Coordinates:
        rows, columns = self.shape
        at = np.arange(rows)
        first = np.clip(at - self.half_width, 0, columns)
        column, row = _ranges(first, np.clip(at + self.half_width + 1, first, columns))
        return Coordinates(self.shape, row * columns + column)

    def mask(self) -> Pattern:
        """The band (read-only); a dense matrix, built at the first call."""
        return self._pattern

    @cached_property
    def _pattern(self) -> Pattern:
        rows, columns = np.arange(self.shape[0]), np.arange(self.shape[1])
        pattern = np.abs(rows[:, None] - columns) <= self.half_width
        pattern.flags.writeable = False
        return pattern

    def histogram(self, extents: tuple[int, ...]) -> tuple[Integers, Integers]:
        """Per row of tiles: zeros outside the band, full tiles inside, and the few tiles that its edges cut, counted."""
        (rows, columns), (height, width), w = self.shape, extents, self.half_width
        top = np.arange(0, rows, height)
        bottom = np.minimum(top + height, rows)
        across = -(-columns // width)
        first = np.clip((top - w) // width, 0, across)
        last = np.clip((bottom - 1 + w) // width + 1, first, across)
        inner = np.clip(-((w + 1 - bottom) // width), first, last)
        outer = np.clip((top + w + 1) // width, inner, np.maximum(np.minimum(last, columns // width), inner))
        left, up = _ranges(first, inner)
        right, down = _ranges(outer, last)
        tile, row = np.concatenate([left, right]), np.concatenate([up, down])
        low, high = tile * width, np.minimum(tile * width + width, columns)
        a, b = top[row], bottom[row]
        cut = self._before(b, high) - self._before(a, high) - self._before(b, low) + self._before(a, low)
        values = np.concatenate([np.zeros(1, dtype=np.int64), (bottom - top) * width, cut])
        zeros = len(top) * across - int((last - first).sum())
        return merged_counts(values, np.concatenate([[zeros], outer - inner, np.ones_like(cut)]))

    def _before(self, rows: Integers, columns: Integers) -> Integers:
        """Non-zeros (i, j) with i < rows and j < columns: the sum over i of min(columns, i+w+1) - min(columns, max(0, i-w))."""
        w = self.half_width
        return _capped_sum(rows, columns, w + 1) - _capped_sum(np.maximum(rows - w, 0), columns, 0)


def _capped_sum(count: Integers, cap: Integers, start: int) -> Integers:
    """Sum of min(cap, i + start) over 0 <= i < count."""
    rising = np.clip(cap - start, 0, count)
    return rising * (rising - 1) // 2 + start * rising + (count - rising) * cap


def _ranges(start: Integers, stop: Integers) -> tuple[Integers, Integers]:
    """All integers of the ranges start[p] ... stop[p]-1 in one array, and the p of each."""
    lengths = stop - start
    owner = np.repeat(np.arange(len(start)), lengths)
    return np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + start[owner], owner


def merged_counts(values: Integers, tiles: Integers) -> tuple[Integers, Integers]:
    """Equal values together, values without tiles left out."""
    distinct, inverse = np.unique(values, return_inverse=True)
    counts = np.bincount(inverse.reshape(-1), weights=tiles).astype(np.int64)
    return distinct[counts > 0], counts[counts > 0]


@final
@dataclass(frozen=True, eq=False)
class Actual(DeterministicModel):
    """The pattern of given data: non-zero elements of an array, or their coordinates. Equal and hashed by content.

    Counts of tiles come from the summed-area table of a small array, else from the index of the coordinates.
    """

    data: npt.NDArray[Any] | Coordinates
    shape: tuple[int, ...] = field(init=False)
    nonzeros: int = field(init=False)
    digest: str = field(init=False, repr=False)
    """SHA-256 of shape and places of the non-zeros."""
    _known: dict[tuple[int, ...], Occupancy] = field(default_factory=dict[tuple[int, ...], Occupancy], init=False, repr=False)

    def __post_init__(self) -> None:
        data = self.data
        if not isinstance(data, Coordinates):
            single = np.ndim(data) == 0
            data = np.ascontiguousarray(as_pattern("data", data))
            if single:
                raise ValueError(f"data {self.data}: is a single number, needed is an array with axes")
            data.flags.writeable = False
        check_shape(data.shape, None)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "shape", data.shape)
        places = self.coordinates().flat
        object.__setattr__(self, "nonzeros", len(places))
        content = hashlib.sha256(repr(data.shape).encode())
        content.update(np.ascontiguousarray(places).data)
        object.__setattr__(self, "digest", content.hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Actual) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return Actual, (self.data,)

    def coordinates(self) -> Coordinates:
        """The places of the non-zeros."""
        return self._places

    @cached_property
    def _places(self) -> Coordinates:
        return self.data if isinstance(self.data, Coordinates) else Coordinates.of_pattern(self.data)

    def mask(self) -> Pattern:
        """The pattern (read-only); of coordinates a dense array, built at the first call."""
        return self._pattern

    @cached_property
    def _pattern(self) -> Pattern:
        if not isinstance(self.data, Coordinates):
            return self.data
        pattern = self.data.pattern()
        pattern.flags.writeable = False
        return pattern

    def histogram(self, extents: tuple[int, ...]) -> tuple[Integers, Integers]:
        """Counts of the aligned tiles: from the summed-area table of an array, from the index of coordinates."""
        if isinstance(self.data, Coordinates) or self.total > TABLE_LIMIT:
            return self._from_index(extents)
        borders = [np.append(np.arange(0, s, e), s) for s, e in zip(self.shape, extents, strict=True)]
        counts = self._prefix[np.ix_(*borders)]
        for axis in range(counts.ndim):
            counts = np.diff(counts, axis=axis)
        values, tiles = np.unique(counts, return_counts=True)
        return values.astype(np.int64), tiles.astype(np.int64)

    def _from_index(self, extents: tuple[int, ...]) -> tuple[Integers, Integers]:
        counts = self.coordinates().blocks(extents)[1]
        values, tiles = np.unique(counts, return_counts=True)
        none = math.prod(grid(self.shape, extents)) - len(counts)
        return merged_counts(np.append(0, values).astype(np.int64), np.append(none, tiles).astype(np.int64))

    @cached_property
    def _prefix(self) -> npt.NDArray[Any]:
        """Summed-area table (Crow 1984): entry (i, j, ...) is the number of non-zeros with smaller coordinates."""
        table = np.zeros([s + 1 for s in self.shape], dtype=np.int32)
        inside = table[(slice(1, None),) * table.ndim]
        inside[...] = self.mask()
        for axis in range(table.ndim):
            np.cumsum(inside, axis=axis, out=inside)
        return table
