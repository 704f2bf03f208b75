"""Where the words of a tile lie: what models need to know whose zeros depend on the place.

Loops move a tile's words in steps, so a tile need not be a box: a spatial loop outside a temporal one of the same rank leaves
gaps. A `Lattice` says which coordinates a tile has along one axis (along several if they share a rank) and where else the same
tile lies. `groups` and `common_groups` count the words of such tiles in aligned groups of coordinates, for every place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from sparseloop.model.memo import memo
from sparseloop.model.units import Array, Coordinate, Count, Flag, Floats, Integers, Words

PLACES_LIMIT = 2**16
"""Most relative places of two tiles that are told apart."""


class LatticeLoop(NamedTuple):
    """A loop that moves coordinates."""

    steps: tuple[Coordinate, ...]
    """Per axis of the lattice: what one iteration adds."""
    bound: Count
    covered: Count
    """Iterations that the tile contains; it lies at every multiple of them."""


class Lattice(NamedTuple):
    """The coordinates of a tile along some axes."""

    axes: tuple[int, ...]
    """One axis; several if they share a rank."""
    size: Words
    """Number of distinct coordinates."""
    aligned: bool
    """True if consecutive coordinates always begin at a multiple of their number."""
    start: tuple[int, ...]
    """Per axis: the coordinate at which all loops stand at index 0."""
    loops: tuple[LatticeLoop, ...]

    @property
    def reach(self) -> Coordinate:
        """Bounding extent along the first of the axes."""
        return 1 + sum(abs(loop.steps[0]) * (loop.covered - 1) for loop in self.loops)

    @property
    def consecutive(self) -> Flag:
        """True where the coordinates of a single axis have no gaps and begin at a multiple of their number."""
        if not self.aligned:
            return np.zeros(np.shape(self.size), dtype=bool)
        return self.reach == self.size

    @property
    def columns(self) -> list[Array]:
        """The lattice as numbers, which `places_of` reads: how many loops and axes, the axes, the start, loop after loop."""
        loops = [number for loop in self.loops for number in (*loop.steps, loop.bound, loop.covered)]
        return [len(self.axes), len(self.loops), *self.axes, *self.start, *loops]


Extents = tuple[Coordinate | Lattice, ...]
"""The sides of a tile: lattices, or one number per axis: a box that lies at every multiple of its extents."""


def run_of(axis: int, length: Count, extent: int) -> Lattice:
    """Consecutive coordinates, at every multiple of their number along an axis of this extent."""
    loops = (LatticeLoop((1,), length, length), LatticeLoop((length,), np.maximum(extent // length, 1), 1))
    return Lattice((axis,), length, True, (0,), loops)


def side_numbers(sides: Extents) -> list[Array]:
    """All numbers of the sides in one row."""
    found: list[Array] = []
    for side in sides:
        if isinstance(side, Lattice):
            found += [side.size, *(n for loop in side.loops for n in (*loop.steps, loop.bound, loop.covered))]
        else:
            found.append(side)
    return found


def sides_of(like: Extents, numbers: Sequence[Array]) -> Extents:
    """The sides with these numbers, which stand as `side_numbers` has them; the rest is as in `like`."""
    left, found = iter(numbers), list[Coordinate | Lattice]()
    for side in like:
        if isinstance(side, Lattice):
            size = next(left)
            loops = tuple(LatticeLoop(tuple(next(left) for _ in loop.steps), next(left), next(left)) for loop in side.loops)
            found.append(side._replace(size=size, loops=loops))
        else:
            found.append(next(left))
    return tuple(found)


def columns_of(sides: Extents) -> list[Array] | None:
    """The numbers of sides that are all told with their gaps; None if some are mere lengths, or there are none."""
    lattices = [side for side in sides if isinstance(side, Lattice)]
    if not lattices or len(lattices) < len(sides):
        return None
    return [column for side in lattices for column in side.columns]


class RowLoop(NamedTuple):
    """A loop of one mapping, with what one or two tiles contain of it."""

    steps: tuple[int, ...]
    bound: int
    covered: int
    other: int = 1
    """What the second tile contains."""


class Place(NamedTuple):
    """The lattice of one mapping."""

    axes: tuple[int, ...]
    start: tuple[int, ...]
    loops: tuple[RowLoop, ...]

    def sides(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The sides of a group of this shape along the axes of the lattice."""
        return tuple(shape[axis] for axis in self.axes)

    def beside(self, other: Place) -> Place:
        """Both tiles of a pair."""
        pairs = zip(self.loops, other.loops, strict=True)
        return self._replace(loops=tuple(a._replace(other=b.covered) for a, b in pairs))


def places_of(columns: Sequence[float]) -> tuple[Place, ...]:
    """The lattices whose `columns` stand one after the other, for one mapping, without loops of one iteration."""
    numbers, found, at = [round(x) for x in columns], list[Place](), 0
    while at < len(numbers):
        axes, loops = numbers[at : at + 2]
        first = at + 2 + 2 * axes
        rows = [numbers[first + k * (axes + 2) : first + (k + 1) * (axes + 2)] for k in range(loops)]
        moving = tuple(RowLoop(tuple(row[:axes]), row[axes], row[axes + 1]) for row in rows if row[axes] > 1)
        found.append(Place(tuple(numbers[at + 2 : at + 2 + axes]), tuple(numbers[at + 2 + axes : first]), moving))
        at = first + loops * (axes + 2)
    return tuple(found)


def nests(length: Count, side: int) -> Flag:
    """True where one of the two lengths divides the other: no run at a multiple of its length is cut by groups."""
    more, less = np.asarray(length) / side, side / np.asarray(length)  # exact for a quotient that is an integer; faster than %
    return (np.floor(more) == more) | (np.floor(less) == less)


def marked(scattered: Flag, lattices: Sequence[Lattice]) -> list[Array]:
    """The lattices as numbers, one column each, with zeros where the tile is not scattered; none if no tile is."""
    if not np.any(scattered):
        return []
    return [np.where(scattered, column, 0) for lattice in lattices for column in lattice.columns]


class Groups(NamedTuple):
    """Groups with words of a tile at one of its places."""

    share: float
    """Of all places: how many are like this one."""
    words: Integers
    """Words of a group; shape (kinds of groups, tiles): one tile, or both of a pair and what they have in common."""
    number: Integers
    """How many groups of each kind there are."""

    def at_most(self, count: int) -> Groups:
        """Those with most words, `count` in all: a tile that ends early has none of what lies beyond the last group."""
        kept = np.diff(np.minimum(np.cumsum(self.number[::-1]), count), prepend=0)[::-1]
        return self._replace(words=self.words[kept > 0], number=kept[kept > 0])


@memo(1 << 13)
def groups(sides: tuple[int, ...], place: Place) -> tuple[Groups, ...]:
    """Numbers of words in aligned groups of coordinates, for every place of a tile.

    `sides`: coordinates of a group along each axis of the lattice.
    """
    tile = tile_points(place)
    origins, shares = origins_of(sides, place)
    found: list[Groups] = []
    for origin, share in zip(origins, shares.tolist(), strict=True):
        _, sizes = np.unique((tile + origin) // np.array(sides), axis=0, return_counts=True)
        words, number = np.unique(sizes, return_counts=True)
        found.append(Groups(share, words[:, None].astype(np.int64), number.astype(np.int64)))
    return tuple(found)


class Origins(NamedTuple):
    """Where a tile (or both tiles of a pair) lies, modulo the sides of a group, and the share of its places that are so."""

    places: Integers
    """One row each: a coordinate per axis; of a pair those of the first tile, then those of the second."""
    shares: Floats


def origins_of(sides: tuple[int, ...], place: Place) -> Origins:
    """All places of a tile."""
    origins = np.array([place.start], dtype=np.int64) % np.array(sides)
    shares = np.ones(1)
    for loop in place.loops:
        pieces = max(loop.bound // loop.covered, 1)
        moves = np.outer(np.arange(pieces), np.array(loop.steps) * loop.covered)
        origins = (origins[:, None] + moves[None]).reshape(-1, len(sides)) % np.array(sides)
        origins, shares = _gathered(origins, np.repeat(shares / pieces, pieces))
    return Origins(origins, shares)


def tile_points(place: Place, *, second: bool = False) -> Integers:
    """Distinct coordinates of a tile at the origin, shape (words, axes); `second`: of the other tile of a pair."""
    counts = [loop.other if second else loop.covered for loop in place.loops]
    return _coordinates(place.loops, counts, len(place.axes))


@memo(1 << 12)
def common_groups(sides: tuple[int, ...], place: Place) -> tuple[Groups, ...] | None:
    """The same for two tiles with a common point, averaged over the points; None if there are too many relative places."""
    origins = pair_origins(sides, place)
    if origins is None:
        return None
    tiles = [tile_points(place), tile_points(place, second=True)]
    found: list[Groups] = []
    for at, share in zip(origins.places, origins.shares.tolist(), strict=True):
        kinds, number = np.unique(_words_of_pair(tiles, at, sides), axis=0, return_counts=True)
        found.append(Groups(share, kinds.astype(np.int64), number.astype(np.int64)))
    return tuple(found)


def pair_origins(sides: tuple[int, ...], place: Place) -> Origins | None:
    """All relative places of two tiles with a common point; None if there are too many."""
    axes, loops = len(sides), place.loops
    places, shares = np.array([place.start + place.start], dtype=np.int64), np.ones(1)
    for loop in loops:
        index = np.arange(loop.bound)
        starts = np.stack([index // loop.covered * loop.covered, index // loop.other * loop.other], axis=1)
        starts, portions = _gathered(starts, np.full(loop.bound, 1.0 / loop.bound))
        moves = np.concatenate([starts[:, :1] * np.array(loop.steps), starts[:, 1:] * np.array(loop.steps)], axis=1)
        if len(places) * len(moves) > PLACES_LIMIT:
            return None
        places = (places[:, None] + moves[None]).reshape(-1, 2 * axes)
        whole = places[:, :axes] // np.array(sides) * np.array(sides)
        places = places - np.concatenate([whole, whole], axis=1)
        places, shares = _gathered(places, np.outer(shares, portions).reshape(-1))
    return Origins(places, shares)


def _words_of_pair(tiles: Sequence[Integers], place: Integers, sides: tuple[int, ...]) -> Integers:
    """Per group: words of the first tile, of the second, and of both."""
    axes = len(sides)
    points = np.concatenate([tiles[0] + place[:axes], tiles[1] + place[axes:]])
    owner = np.repeat([0, 1], [len(tiles[0]), len(tiles[1])])
    distinct, index = np.unique(points, axis=0, return_inverse=True)
    holds = np.zeros((len(distinct), 3), dtype=np.int64)
    holds[index.reshape(-1), owner] = 1
    holds[:, 2] = holds[:, 0] * holds[:, 1]
    _, group = np.unique(distinct // np.array(sides), axis=0, return_inverse=True)
    group = group.reshape(-1)
    return np.stack([np.bincount(group, weights=holds[:, k]) for k in range(3)], axis=1).astype(np.int64)


def _coordinates(loops: Sequence[RowLoop], counts: Sequence[int], axes: int) -> Integers:
    """Distinct coordinates of a tile at the origin, shape (words, axes)."""
    points = np.zeros((1, axes), dtype=np.int64)
    for loop, count in zip(loops, counts, strict=True):
        if count > 1:
            moves = np.outer(np.arange(count), np.array(loop.steps))
            points = (points[:, None] + moves[None]).reshape(-1, axes)
    return np.unique(points, axis=0)


def _gathered(rows: Integers, shares: Floats) -> tuple[Integers, Floats]:
    """Equal rows together."""
    distinct, index = np.unique(rows, axis=0, return_inverse=True)
    return distinct, np.bincount(index.reshape(-1), weights=shares).astype(np.float64)


def combined(parts: Sequence[Sequence[Groups]]) -> list[Groups]:
    """Groups along several independent sets of axes: words multiply, and so do the numbers of groups."""
    found: list[Groups] = []
    for choice in product(*parts):
        words, number, share = np.ones((1, choice[0].words.shape[1]), dtype=np.int64), np.ones(1, dtype=np.int64), 1.0
        for one in choice:
            words = (words[:, None] * one.words[None]).reshape(-1, words.shape[1])
            number = np.outer(number, one.number).reshape(-1)
            share *= one.share
        kinds, index = np.unique(words, axis=0, return_inverse=True)
        found.append(Groups(share, kinds, np.bincount(index.reshape(-1), weights=number).astype(np.int64)))
    return found
