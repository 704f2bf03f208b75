"""The model of a result whose operands are all known: the Boolean product of their patterns, found sparsely.

    contribution   a point of the einsum at which all operands are non-zero

Contributions are listed by joining the operands' non-zeros on the ranks that they share, a piece at a time, and only over ranks
of operands that have zeros: along all others the result is alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np

from sparseloop.model.density.index import Coordinates, distinct_keys
from sparseloop.model.density.known import DeterministicModel, merged_counts
from sparseloop.model.units import Integers

PIECE = 2**21
"""Contributions listed at once."""
Values = dict[str, Integers]
"""Rank to its value, one per contribution."""


class Step(NamedTuple):
    """One summand of an index."""

    rank: str
    coefficient: int


Index = tuple[Step, ...]
"""One axis of a tensor: the sum of its steps."""


@dataclass(frozen=True)
class Contributor:
    """An operand that has zeros."""

    model: DeterministicModel
    axes: tuple[Index, ...]

    @property
    def ranks(self) -> frozenset[str]:
        """Ranks that move it."""
        return frozenset(step.rank for axis in self.axes for step in axis)

    @property
    def plain(self) -> bool:
        """Every axis is one rank, and none occurs twice."""
        return all(len(axis) == 1 for axis in self.axes) and len(self.ranks) == len(self.axes)


@final
@dataclass(frozen=True)
class GivenResult(DeterministicModel):
    """Non-zero where known operands have a contribution; listed when it is first asked for."""

    shape: tuple[int, ...]
    axes: tuple[Index, ...]
    contributors: tuple[Contributor, ...]
    extents: tuple[tuple[str, int], ...]
    """Ranks of the einsum and their sizes."""
    answers: dict[Any, Any] = field(default_factory=dict[Any, Any], init=False, repr=False, compare=False)
    """Answers to earlier questions about what is there when, by the question."""
    _known: dict[tuple[int, ...], Any] = field(default_factory=dict[tuple[int, ...], Any], init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return GivenResult, (self.shape, self.axes, self.contributors, self.extents)

    @property
    def produced(self) -> bool:
        """Yes."""
        return True

    @property
    def told(self) -> frozenset[str]:
        """Ranks along which contributions differ."""
        return frozenset[str]().union(*(one.ranks for one in self.contributors))

    # --- contributions --------------------------------------------------------------------------------------

    def contributions(self) -> Iterator[Values]:
        """The values of the ranks `told` at all contributions, in pieces."""
        sizes = dict(self.extents)
        plain = sorted((c for c in self.contributors if c.plain), key=lambda c: c.model.total)
        order, bound = list[Contributor](), set[str]()
        while plain:  # those that share most ranks with what is there already, so that lists stay short
            best = max(plain, key=lambda c: (len(c.ranks & bound), -len(c.ranks)))
            plain.remove(best)
            order.append(best)
            bound |= best.ranks
        joins = [_Join.of(one, sizes) for one in order]
        rest = [c for c in self.contributors if not c.plain]
        start: Values = {}
        for values in _joined(start, 1, joins, sizes):
            yield from _filtered(values, rest, sizes)

    # --- the pattern ----------------------------------------------------------------------------------------

    @cached_property
    def _core(self) -> Coordinates:
        """The pattern along the axes on which contributions differ."""
        sizes, axes = dict(self.extents), [self.axes[at] for at in self._told_axes]
        shape = tuple(self.shape[at] for at in self._told_axes)
        found = np.zeros(0, dtype=np.int64)
        for values in self.contributions():
            for all_values in _expanded(values, {s.rank for axis in axes for s in axis}, sizes):
                found = distinct_keys(np.concatenate([found, distinct_keys(flat_places(axes, shape, all_values, sizes))[0]]))[0]
        return Coordinates(shape, found)

    @cached_property
    def _told_axes(self) -> tuple[int, ...]:
        plain = all(len(axis) <= 1 for axis in self.axes)
        return tuple(at for at, axis in enumerate(self.axes) if not plain or any(step.rank in self.told for step in axis))

    @property
    def _alike(self) -> tuple[tuple[int, int], ...]:
        """Axes along which all is alike, and how far the words on them are apart."""
        others = [(at, axis) for at, axis in enumerate(self.axes) if axis and at not in self._told_axes]
        return tuple((at, abs(axis[0].coefficient)) for at, axis in others)

    @property
    def nonzeros(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of non-zeros."""
        return len(self._core.flat) * math.prod((self.shape[at] - 1) // step + 1 for at, step in self._alike)

    def coordinates(self) -> Coordinates:
        """The places of the non-zeros."""
        return self._places

    @cached_property
    def _places(self) -> Coordinates:
        if not self._alike:
            return Coordinates(self.shape, self._core.flat)
        core = self._core.axes()
        others = [np.arange(0, self.shape[at], step) for at, step in self._alike]
        grids = np.meshgrid(np.arange(len(self._core.flat)), *others, indexing="ij")
        listed: list[Any] = [np.zeros(grids[0].size, dtype=np.int64)] * len(self.shape)
        for at, places in zip(self._told_axes, core, strict=True):
            listed[at] = places[grids[0].reshape(-1)]
        for (at, _), grid in zip(self._alike, grids[1:], strict=True):
            listed[at] = grid.reshape(-1)
        return Coordinates.of(self.shape, listed)

    def mask(self) -> Any:
        """The pattern as a dense array (read-only), built at the first call."""
        return self._pattern

    @cached_property
    def _pattern(self) -> Any:
        pattern = self.coordinates().pattern()
        pattern.flags.writeable = False
        return pattern

    def histogram(self, extents: tuple[int, ...]) -> tuple[Integers, Integers]:
        """Counts of the aligned tiles: of those along the told axes, times the words along the others."""
        core = tuple(extents[at] for at in self._told_axes)
        counts = self._core.blocks(core)[1]
        grid = math.prod(-(-s // e) for s, e in zip(self._core.shape, core, strict=True))
        values, tiles = np.unique(counts, return_counts=True)
        values, tiles = np.append(0, values).astype(np.int64), np.append(grid - len(counts), tiles).astype(np.int64)
        for at, step in self._alike:
            starts = np.arange(0, self.shape[at], extents[at])
            ends = np.minimum(starts + extents[at], self.shape[at])
            words, many = np.unique((ends + step - 1) // step - (starts + step - 1) // step, return_counts=True)
            values, tiles = np.outer(values, words).reshape(-1), np.outer(tiles, many).reshape(-1)
        return merged_counts(values, tiles)


def flat_places(axes: Sequence[Index], shape: Sequence[int], values: Values, sizes: dict[str, int]) -> Integers:
    """Row-major places in the bounding box."""
    flat: Any = np.int64(0)
    for axis, extent in zip(axes, shape, strict=True):
        flat = flat * extent
        for rank, coefficient in axis:
            flat = flat + coefficient * values[rank] - min(0, coefficient) * (sizes[rank] - 1)
    return np.broadcast_to(flat, (_length(values),)).astype(np.int64)


def _length(values: Values) -> int:
    return max((len(one) for one in values.values()), default=1)


# --- joins --------------------------------------------------------------------------------------------------


class _Join(NamedTuple):
    """The non-zeros of an operand of plain axes."""

    values: Values
    rows: int

    @classmethod
    def of(cls, one: Contributor, sizes: dict[str, int]) -> _Join:
        values, used = dict[str, Integers](), np.ones(one.model.nonzeros, dtype=np.bool_)
        for ((rank, coefficient),), places in zip(one.axes, one.model.coordinates().axes(), strict=True):
            moved = places + min(0, coefficient) * (sizes[rank] - 1)
            used &= moved % coefficient == 0
            values[rank] = moved // coefficient
        return cls({rank: column[used] for rank, column in values.items()}, int(used.sum()))

    def sorted_by(self, ranks: Sequence[str], sizes: dict[str, int]) -> tuple[Integers, _Join]:
        """By the number of these ranks' values, and the numbers."""
        key = _number(self.values, ranks, sizes, self.rows)
        if (key[1:] >= key[:-1]).all():
            return key, self
        order = np.argsort(key, kind="stable")
        return key[order], _Join({rank: column[order] for rank, column in self.values.items()}, self.rows)


def _number(values: Values, ranks: Sequence[str], sizes: dict[str, int], count: int) -> Integers:
    key = np.zeros(count, dtype=np.int64)
    for rank in ranks:
        key *= sizes[rank]
        key += values[rank]
    return key


def _joined(values: Values, count: int, joins: Sequence[_Join], sizes: dict[str, int]) -> Iterator[Values]:
    """All rows that agree on the ranks that they share, in pieces."""
    prepared = list[tuple[tuple[str, ...], Integers, _Join]]()
    bound = set(values)
    for join in joins:
        shared = tuple(sorted(bound & set(join.values)))
        prepared.append((shared, *join.sorted_by(shared, sizes)))
        bound |= set(join.values)
    yield from _extended(values, count, prepared, sizes)


def _extended(
    values: Values, count: int, joins: Sequence[tuple[tuple[str, ...], Integers, _Join]], sizes: dict[str, int]
) -> Iterator[Values]:
    if not joins:
        yield values
        return
    shared, keys, join = joins[0]
    mine = _number(values, shared, sizes, count)
    low = np.searchsorted(keys, mine, "left")
    many = np.searchsorted(keys, mine, "right") - low
    before = np.concatenate([[0], np.cumsum(many)])
    start = 0
    while start < count:
        stop = max(start + 1, int(np.searchsorted(before, before[start] + PIECE, "right")) - 1)
        for first in range(int(before[start]), int(before[stop]), 2 * PIECE):  # one row alone may have more
            place = np.arange(first, min(first + 2 * PIECE, int(before[stop])))
            owner = np.repeat(np.arange(start, stop), many[start:stop])[place - before[start]]
            match = low[owner] + place - before[owner]
            found = {rank: column[owner] for rank, column in values.items()}
            found |= {rank: column[match] for rank, column in join.values.items() if rank not in found}
            yield from _extended(found, len(place), joins[1:], sizes)
        start = stop


def _expanded(values: Values, ranks: Iterable[str], sizes: dict[str, int]) -> Iterator[Values]:
    """With all values of those of the ranks that have none yet."""
    missing = sorted(set(ranks) - set(values))
    yield from _joined(values, _length(values), [_Join({rank: np.arange(sizes[rank])}, sizes[rank]) for rank in missing], sizes)


def _filtered(values: Values, rest: Sequence[Contributor], sizes: dict[str, int]) -> Iterator[Values]:
    """Where operands with other axes are non-zero, too."""
    if not rest:
        yield values
        return
    one = rest[0]
    for found in _expanded(values, one.ranks, sizes):
        places, word = one.model.coordinates().flat, flat_places(one.axes, one.model.shape, found, sizes)
        if len(places):
            there = places[np.minimum(np.searchsorted(places, word), len(places) - 1)] == word
            yield from _filtered({rank: column[there] for rank, column in found.items()}, rest[1:], sizes)
