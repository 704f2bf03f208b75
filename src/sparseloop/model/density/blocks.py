"""Blocks of a tensor that are zero as a whole, and others that are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from sparseloop.model.density.base import (
    SNAP,
    Occupancy,
    TabulatedModel,
    Tile,
    by_place,
    check_fraction,
    check_shape,
    count_of,
    unwrapped,
)
from sparseloop.model.density.lattice import (
    Extents,
    Groups,
    Lattice,
    Place,
    columns_of,
    combined,
    common_groups,
    groups,
    marked,
    nests,
    places_of,
    run_of,
)
from sparseloop.model.density.structured import weights_of
from sparseloop.model.density.uniform import between, hypergeometric, probability_empty, variance_of
from sparseloop.model.memo import memo
from sparseloop.model.rows import by_rows
from sparseloop.model.units import Array, Integers, Share, Words

CONVOLUTION_LIMIT = 2**22
"""Largest work (support * blocks) of an exact sum of block occupancies."""
BLOCKS_LIMIT = 500
"""Most touched blocks that are told apart if a tile has unequal parts of them; of more, all parts count as their mean."""


@final
@dataclass(frozen=True)
class Block(TabulatedModel):
    """r = ceil(fraction * N) of the N aligned blocks are occupied, uniformly chosen; the others are zero.

    An occupied block of b elements holds ceil(inner * b) non-zeros, uniformly placed; the last blocks may be cut.
    """

    shape: tuple[int, ...]
    block_shape: tuple[int, ...]
    fraction: float
    inner: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check_shape(self.shape, None)
        check_shape(self.block_shape, None)
        check_fraction("fraction of occupied blocks", self.fraction)
        check_fraction("density inside blocks", self.inner)
        if len(self.block_shape) != len(self.shape):
            raise ValueError(f"block shape {self.block_shape}: needs {len(self.shape)} numbers, one per axis of {self.shape}")

    @classmethod
    def of_density(cls, shape: tuple[int, ...], block_shape: tuple[int, ...], density: float, *, inner: float = 1.0) -> Block:
        """The model of a tensor of this density, whose occupied blocks are filled at `inner`, rounded up to whole words."""
        volume = math.prod(block_shape)
        filled = count_of(inner, volume) / volume
        return cls(shape, block_shape, min(1.0, density / filled) if filled else 0.0, inner=inner)

    @property
    def count(self) -> int:
        """Number of blocks, clipped ones included."""
        return math.prod(-(-s // b) for s, b in zip(self.shape, self.block_shape, strict=True))

    @property
    def occupied(self) -> int:
        """Number of occupied blocks."""
        return count_of(self.fraction, self.count)

    @property
    def volume(self) -> int:
        """Elements of a block."""
        return math.prod(self.block_shape)

    @property
    def filling(self) -> int:
        """Non-zeros of an occupied block."""
        return count_of(self.inner, self.volume)

    @property
    def density(self) -> float:
        """Fraction of occupied blocks times their density."""
        return self.occupied / self.count * (self.filling / self.volume)

    @property
    def placed(self) -> tuple[int, ...]:
        """All axes: how many blocks a tile touches depends on where it lies."""
        return tuple(range(len(self.shape)))

    def empty(self, size: Words, extents: Extents) -> Share:
        """Sum over j of P(j of the touched blocks occupied) q^j, q = P(the tile's part of an occupied block is empty)."""
        touched, part, *placed = self.parameters(size, extents)
        if self.filling == self.volume:
            whole = probability_empty(self.count, self.occupied, touched)
        else:
            whole = by_rows((touched, part), lambda *row: _filled_empty(self, round(row[0]), row[1]))
        return by_place(whole, (), placed, self._scattered_empty)

    def _scattered_empty(self, places: tuple[Place, ...]) -> float:
        return _mean_empty(self, self._parts(places))

    def empty_union(self, first: Tile, second: Tile, shared: Tile) -> Share:
        """As of one tile: the blocks that either tile touches, with their words in either; the mean over the places."""
        columns = columns_of((*first.extents, *second.extents))
        return super().empty_union(first, second, shared) if columns is None else by_rows(columns, self._empty_pair)

    def _empty_pair(self, *columns: float) -> float:
        """The same for one mapping: the lattices of the tiles as numbers."""
        places = places_of(columns)
        half = len(places) // 2
        pairs = zip(places[:half], places[half:], strict=True)
        found = [common_groups(one.sides(self.block_shape), one.beside(two)) for one, two in pairs]
        known = [one for one in found if one is not None]
        if len(known) < half:  # the tiles are too far apart to be told apart place by place: as if independent
            return math.prod(_mean_empty(self, self._parts(some)) for some in (places[:half], places[half:]))
        either: list[Groups] = []
        for g in (one.at_most(self.count) for one in combined(known)):
            words = g.words[:, 0] + g.words[:, 1] - g.words[:, 2]
            either.append(Groups(g.share, words[words > 0][:, None], g.number[words > 0]))
        return _mean_empty(self, either)

    def least_nonempty(self, size: Words, extents: Extents) -> Share:
        """1 - empty of a single element: which larger tiles are empty less often depends on where they lie."""
        return (1.0 - self.empty(1.0, (1.0,) * len(self.shape))) * np.ones(np.shape(size))

    def variance(self, size: Words, extents: Extents) -> Array:
        """E[j] var(c) + E[c]^2 var(j), j occupied blocks with c non-zeros each; the mean over the tile's places."""
        touched, part, *placed = self.parameters(size, extents)
        each = part * (self.filling / self.volume)
        inside = touched * (self.occupied / self.count) * variance_of(self.volume, self.filling, part)
        whole = inside + each * each * variance_of(self.count, self.occupied, touched)

        def scattered(places: tuple[Place, ...]) -> float:
            return math.fsum(g.share * self._variance_of(g) for g in self._parts(places))

        return by_place(whole, (), placed, scattered)

    def _variance_of(self, parts: Groups) -> float:
        """Blocks are drawn without replacement: two of them have the covariance -p (1 - p) / (N - 1) of being occupied."""
        words, number = parts.words[:, 0], parts.number
        share = self.occupied / self.count
        each = words * (self.filling / self.volume)
        squares, whole = float(each * each @ number), float(each @ number)
        inside = share * float(variance_of(self.volume, self.filling, words) @ number)
        return inside + share * (1.0 - share) * (squares - (whole * whole - squares) / max(self.count - 1, 1))

    def maximum(self, size: Words, extents: Extents) -> Words:
        """As many non-zeros as the occupied blocks can have in the tile, at the place with most of them."""
        touched, part, *placed = self.parameters(size, extents)
        whole = np.minimum(touched, self.occupied) * np.minimum(part, self.filling)

        def scattered(places: tuple[Place, ...]) -> float:
            most = [np.repeat(np.minimum(g.words[:, 0], self.filling), g.number) for g in self._parts(places)]
            return float(max(np.sort(one)[::-1][: self.occupied].sum() for one in most))

        return by_place(whole, (), placed, scattered)

    def minimum(self, size: Words, extents: Extents) -> Words:
        """As few non-zeros as the occupied blocks can have in the tile, at the place with least of them."""
        touched, part, *placed = self.parameters(size, extents)
        whole = np.maximum(touched + (self.occupied - self.count), 0.0) * np.maximum(part + (self.filling - self.volume), 0.0)

        def scattered(places: tuple[Place, ...]) -> float:
            least = [np.repeat(np.maximum(g.words[:, 0] + self.filling - self.volume, 0), g.number) for g in self._parts(places)]
            return float(min(np.sort(one)[: max(len(one) + self.occupied - self.count, 0)].sum() for one in least))

        return by_place(whole, (), placed, scattered)

    def parameters(self, size: Words, extents: Extents) -> tuple[Array, ...]:
        """Blocks touched, and elements of the tile per touched block; of scattered tiles also their lattices."""
        scattered: Array = False
        if not any(isinstance(side, Lattice) for side in extents):
            numbers: tuple[Array, ...] = extents
            spans: list[Array] = []
            for e, b in zip(numbers, self.block_shape, strict=True):
                spans.append(np.ceil(np.asarray(e) / b - SNAP))
                scattered = scattered | ~nests(np.maximum(e, 1), b)
        else:
            spans = [side.size for side in _lattices(extents, self.shape)]
            for at, side in enumerate(_lattices(extents, self.shape)):
                lengths = [self.block_shape[axis] for axis in side.axes]
                if max(lengths) > 1:
                    spans[at] = np.ceil(side.size / lengths[0] - SNAP)
                    scattered = scattered | ~(side.consecutive & nests(np.maximum(side.size, 1), lengths[0]))
        touched = np.where(np.asarray(size) > 0, np.minimum(np.maximum(math.prod(spans), 1.0), self.count), 0.0)
        part = np.minimum(np.maximum(size, 0) / np.maximum(touched, 1.0), self.volume)
        if not np.any(scattered):
            return unwrapped(touched), part
        return unwrapped(touched), part, *marked(scattered, _lattices(extents, self.shape))

    def _parts(self, places: tuple[Place, ...]) -> list[Groups]:
        """Words of the tile in the blocks that it touches, for every place."""
        found = combined([groups(place.sides(self.block_shape), place) for place in places])
        return [g.at_most(self.count) for g in found]

    def tabulate(self, *parameters: float) -> Occupancy:
        """Sum over j of P(j) * (distribution of one block's part)^j; for very large tiles each part at its mean."""
        if len(parameters) == 2 or parameters[2] == 0:
            return _filled(self, round(parameters[0]), parameters[1])
        found, share = None, 0.0
        for g in self._parts(places_of(parameters[2:])):
            one = _of_parts(self, tuple(g.words[:, 0].tolist()), tuple(g.number.tolist()))
            share += g.share
            found = one if found is None else found.mixed(one, g.share / share)
        assert found is not None
        return found


def _lattices(extents: Extents, shape: tuple[int, ...]) -> list[Lattice]:
    """The sides of a tile as lattices."""
    return [side if isinstance(side, Lattice) else run_of(axis, side, shape[axis]) for axis, side in enumerate(extents)]


def _mean_empty(model: Block, places: Sequence[Groups]) -> float:
    """P(a tile holds no non-zero), by the words of the blocks it touches at each place; the mean over the places."""
    return math.fsum(g.share * _empty_parts(model, g.words[:, 0], g.number) for g in places)


def _empty_parts(model: Block, words: Integers, number: Integers) -> float:
    """The same at one place: `number` blocks of which the tile has `words`."""
    touched = int(number.sum())
    if model.filling == model.volume:
        return float(probability_empty(model.count, model.occupied, touched))
    if len(words) == 1 or touched > BLOCKS_LIMIT:
        return _filled_empty(model, touched, float(words @ number) / max(touched, 1))
    sums = np.ones(1)  # by j: the sum of the products of q over all choices of j blocks
    for one, many in zip(probability_empty(model.volume, model.filling, words).tolist(), number.tolist(), strict=True):
        sums = np.convolve(sums, [math.comb(many, j) * one**j for j in range(many + 1)])
    blocks = hypergeometric(model.count, model.occupied, touched)
    choices = np.array([float(math.comb(touched, int(j))) for j in blocks.values])
    return float(sums[blocks.values.astype(np.intp)] / choices @ blocks.weights)


@memo(4096)
def _filled_empty(model: Block, touched: int, part: float) -> float:
    """E[q^j], j of the touched blocks occupied, q = P(`part` elements of an occupied block are empty)."""
    blocks = hypergeometric(model.count, model.occupied, touched)
    return float(probability_empty(model.volume, model.filling, part) ** blocks.values @ blocks.weights)


@memo(2048)
def _filled(model: Block, touched: int, part: float) -> Occupancy:
    """Occupancy of `touched` blocks with `part` elements in each, by the transform of the compound distribution."""
    blocks = hypergeometric(model.count, model.occupied, touched)
    one = between(model.volume, model.filling, part)
    length = int(blocks.values[-1]) * int(one.values[-1]) + 1
    if model.filling == model.volume or length * len(blocks.values) > CONVOLUTION_LIMIT:
        return Occupancy(blocks.values * (part * model.filling / model.volume), blocks.weights)
    transform = np.fft.rfft(np.bincount(one.values.astype(np.intp), weights=one.weights), length)
    total = np.zeros_like(transform)
    for weight in blocks.weights[::-1].tolist():
        total = total * transform + weight
    total *= transform ** int(blocks.values[0])
    return Occupancy(np.arange(length, dtype=np.float64), weights_of(np.fft.irfft(total, length)))


@memo(2048)
def _of_parts(model: Block, words: tuple[int, ...], number: tuple[int, ...]) -> Occupancy:
    """Occupancy of a tile that has unequal parts of the blocks it touches, by the transform of all choices of blocks."""
    touched = sum(number)
    length = sum(min(w, model.filling) * n for w, n in zip(words, number, strict=True)) + 1
    if len(words) == 1 or touched * touched * length > CONVOLUTION_LIMIT:
        return _filled(model, touched, sum(w * n for w, n in zip(words, number, strict=True)) / touched)
    chosen = np.zeros((touched + 1, length // 2 + 1), dtype=complex)
    chosen[0] = 1.0
    for one, many in zip(words, number, strict=True):
        part = hypergeometric(model.volume, model.filling, one)
        transform = np.fft.rfft(np.bincount(part.values.astype(np.intp), weights=part.weights), length)
        for _ in range(many):
            chosen[1:] = chosen[1:] + chosen[:-1] * transform
    blocks = hypergeometric(model.count, model.occupied, touched)
    index = blocks.values.astype(np.intp)
    choices = np.array([float(math.comb(touched, int(j))) for j in index])
    mixed = (blocks.weights / choices) @ chosen[index]
    return Occupancy(np.arange(length, dtype=np.float64), weights_of(np.fft.irfft(mixed, length)))
