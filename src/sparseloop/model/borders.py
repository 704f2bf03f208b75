"""Words of tiles that reach over the borders of their tensor, along one axis.

An axis has the true coordinates 0 ... size - 1; what a nest meets outside is padding. Every loop that moves the axis is given by
four integers: `step`, how far one iteration moves; `bound`; `covered`, how many consecutive iterations lie inside the tile; and
what its place outside the tile does:

    ALL       it stands everywhere
    FIRST     it stands at its first place
    SHARED    it stands everywhere at once: tiles with the same words count once
    ADVANCES  it goes on by one, everywhere where it can
    WRAPS     it goes back from its last place to its first
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sparseloop.model.memo import memo
from sparseloop.model.units import Floats, Integers

ALL, FIRST, SHARED, ADVANCES, WRAPS = range(5)


class BorderLoop(NamedTuple):
    """One loop of an axis, see the top of this module."""

    step: int
    bound: int
    covered: int
    place: int

    @property
    def pieces(self) -> int:
        """Places of the tile along the loop."""
        return max(self.bound // self.covered, 1)


class _Move(NamedTuple):
    """Equal steps of a tile, or of a word inside it."""

    place: int
    step: int
    number: int


class _Moves(NamedTuple):
    """Loops as moves: what many nests share, whatever their order, their loops of one iteration and their splits."""

    inside: tuple[_Move, ...]
    outside: tuple[_Move, ...]


class _Places(NamedTuple):
    """Where the tile lies after a movement."""

    at: Integers
    """Displacements, ascending."""
    number: Integers
    """How often each occurs."""
    together: Integers
    """Displacements, on top of these, of the tiles of `SHARED` loops."""
    shift: int
    """By how much the tile has moved."""


def loops_of(numbers: Sequence[int]) -> list[BorderLoop]:
    """Loops from their numbers, four each."""
    return [BorderLoop(*numbers[i : i + 4]) for i in range(0, len(numbers), 4)]


def _moves(loops: Sequence[BorderLoop]) -> _Moves:
    inside = [_Move(ALL, loop.step, loop.covered) for loop in loops if loop.covered > 1]
    outside = [
        _Move(loop.place, loop.step * loop.covered, loop.pieces) for loop in loops if loop.place == ADVANCES or loop.pieces > 1
    ]
    return _Moves(_joined(inside), _joined([move for move in outside if move.place != FIRST]))


def _joined(moves: list[_Move]) -> tuple[_Move, ...]:
    """Sorted, and moves that go on where others end as one; those that advance or wrap stay apart."""
    joined: list[_Move] = []
    for move in sorted(moves, key=lambda m: (m.place, abs(m.step))):
        last = joined[-1] if joined else None
        if last and move.place == last.place and move.place in (ALL, SHARED) and move.step == last.step * last.number:
            joined[-1] = _Move(last.place, last.step, last.number * move.number)
        else:
            joined.append(move)
    return tuple(joined)


def real_words(base: int, size: int, *loops: int) -> int:
    """True words of the tile, summed over its places; `base`: the coordinate where all loops stand at their first place."""
    return _summed(base, size, _moves(loops_of(loops)), kept=False)


def kept_words(base: int, size: int, *loops: int) -> int:
    """Of these, those that were in the tile before the movement, too."""
    return _summed(base, size, _moves(loops_of(loops)), kept=True)


def most_words(base: int, size: int, *loops: int) -> int:
    """True words of the tile at the place where it has most of them."""
    return _most(base, size, _moves(loops_of(loops)))


@memo(1 << 15)
def _most(base: int, size: int, moves: _Moves) -> int:
    return int(_inside(_tile(moves), size, base + _places(moves).at).max())


@memo(1 << 16)
def _summed(base: int, size: int, moves: _Moves, *, kept: bool) -> int:
    tile, places = _tile(moves), _places(moves)
    stays = np.intersect1d(tile, tile - places.shift, assume_unique=True) if places.shift else tile
    counted = stays if kept else tile
    at = base + places.at
    if len(places.together) == 1:
        return int(places.number @ _inside(counted, size, at + places.together[0]))
    if size > 2 * (tile[-1] - tile[0]):  # tiles at different places have different words
        return int(places.number @ _inside(counted, size, at[:, None] + places.together).sum(axis=1))
    total = 0
    for one, number in zip(at.tolist(), places.number.tolist(), strict=True):
        alike: dict[tuple[bytes, bytes], int] = {}
        for place in (one + places.together).tolist():
            words = [part[(part >= 0) & (part < size)] for part in (tile + place, stays + place)]
            alike[words[0].tobytes(), words[1].tobytes()] = len(words[kept])
        total += number * sum(alike.values())
    return total


def _inside(tile: Integers, size: int, at: Integers) -> Integers:
    """Words of a displaced tile that are no padding."""
    return np.searchsorted(tile, size - at) - np.searchsorted(tile, -at)


def _tile(moves: _Moves) -> Integers:
    """Coordinates of the tile, ascending."""
    tile = np.zeros(1, dtype=np.int64)
    for move in moves.inside:
        tile = np.unique(tile[:, None] + move.step * np.arange(move.number))
    return tile


def _places(moves: _Moves) -> _Places:
    at, number = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
    together, shift = np.zeros(1, dtype=np.int64), 0
    for place, far, pieces in moves.outside:
        if place == SHARED:
            together = np.unique(together[:, None] + far * np.arange(pieces))
        elif place == ALL:
            at, number = _moved(at, number, far * np.arange(pieces))
        elif place == ADVANCES:
            at, number = _moved(at, number, far * np.arange(1, pieces))
            shift += far
        elif place == WRAPS:
            shift -= far * (pieces - 1)
    return _Places(at, number, together, shift)


def _moved(at: Integers, number: Integers, moves: Integers) -> tuple[Integers, Integers]:
    """All displacements on top of all others."""
    places, index = np.unique(at[:, None] + moves, return_inverse=True)
    many = np.bincount(index.reshape(-1), weights=np.repeat(number, len(moves)), minlength=len(places))
    return places, many.astype(np.int64)


# --- kinds of places ----------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """Places at which every one of some tiles has so many true words."""

    share: float
    """Of all places."""
    words: tuple[int, ...]


def number_of_kinds(base: int, size: int, tiles: int, *loops: int) -> int:
    """How many kinds of places some tiles around a common point have; `loops` as `kinds` takes them."""
    return len(kinds(base, size, tiles, loops))


def share_of_kind(kind: int, base: int, size: int, tiles: int, *loops: int) -> float:
    """Share of the places that are of a kind; 0 of one that there is not."""
    found = kinds(base, size, tiles, loops)
    return found[kind].share if kind < len(found) else 0.0


def words_of_kind(kind: int, tile: int, base: int, size: int, tiles: int, *loops: int) -> int:
    """True words of one of the tiles at the places of a kind."""
    found = kinds(base, size, tiles, loops)
    return found[kind].words[tile] if kind < len(found) else 0


@memo(1 << 14)
def kinds(base: int, size: int, tiles: int, numbers: tuple[int, ...]) -> tuple[Kind, ...]:
    """The kinds of places of some tiles around a common point that is everywhere alike.

    Per loop its step, its bound, 1 if it stands at its first place only, and how many iterations each of the tiles covers.
    """
    width = 3 + tiles
    at, shares = np.zeros((1, tiles), dtype=np.int64), np.ones(1)
    extents = [np.zeros(1, dtype=np.int64)] * tiles
    for loop in range(0, len(numbers), width):
        step, bound, first, *covered = numbers[loop : loop + width]
        index = np.arange(1 if first else bound)[:, None]
        moves = step * (index // np.array(covered) * np.array(covered))
        at = (at[:, None] + moves[None]).reshape(-1, tiles)
        at, shares = _alike(at, np.repeat(shares / len(index), len(index)))
        extents = [
            tile if count == 1 else np.unique(tile[:, None] + step * np.arange(count))
            for tile, count in zip(extents, covered, strict=True)
        ]
    words = np.stack([_inside(tile, size, base + at[:, k]) for k, tile in enumerate(extents)], axis=1)
    words, shares = _alike(words, shares)
    return tuple(Kind(share, tuple(row)) for share, row in zip(shares.tolist(), words.tolist(), strict=True))


def _alike(rows: Integers, shares: Floats) -> tuple[Integers, Floats]:
    """Equal rows together."""
    if rows.shape[1] == 1:
        values, index = np.unique(rows[:, 0], return_inverse=True)
        return values[:, None], np.bincount(index, weights=shares).astype(np.float64)
    values, index = np.unique(rows, axis=0, return_inverse=True)
    return values, np.bincount(index.reshape(-1), weights=shares).astype(np.float64)
