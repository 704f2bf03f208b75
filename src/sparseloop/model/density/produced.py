"""The model of a result whose density is not given: its non-zeros follow from those of its operands.

A word of the result is non-zero if at some point of its contraction no operand is zero (sums that cancel are ignored). Zeros of
a product come in rows and columns, which no model of independent words has. `products` says what positions and slices are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations, product
from statistics import NormalDist
from typing import NamedTuple, final

import numpy as np

from sparseloop.model.density.base import DensityModel, Occupancy, Passes, by_rows, unwrapped, upper_tail
from sparseloop.model.density.products import NEVER, Grouped, Independent, Operand, Slices, positions_left, product_empty
from sparseloop.model.density.structured import Structured
from sparseloop.model.density.uniform import Uniform
from sparseloop.model.memo import memo
from sparseloop.model.units import Array, Coordinate, Count, Floats, Share, Words

OTHERS = 4
"""Tiles of one operand that conditions on an event may name besides the word that it needs."""
EXACT_PASSES = 16
"""Passes that are averaged one by one; further ones by three of every doubling."""


class OwnAxis(NamedTuple):
    """An axis of the result along a rank that only one operand has."""

    result: int
    """The axis of the result."""
    operand: int
    """The axis of the operand."""


@dataclass(frozen=True)
class ProducingOperand:
    """One operand, as the result sees it."""

    model: DensityModel
    own: tuple[OwnAxis, ...]
    complete: bool
    """It has all ranks of the positions, each as an axis of its own, so that its slices are disjoint."""
    contracted: bool = True
    """It has a rank of the contraction; else one slice serves all points that are added up."""
    shared: tuple[int, ...] = ()
    """Axes of the result that it has in common with another operand."""
    groups_along_positions: bool = False
    """It is n:m structured along a rank of the contraction."""

    def seen(self, extents: Sequence[float], taken: float) -> Operand:
        """Its slices at a tile of the result; `taken` of its words, outside all slices, are known to be zero."""
        words = math.prod(extents[axis.result] for axis in self.own)
        model = self.model
        if self.complete and isinstance(model, Uniform):
            return Slices(max(round(model.total - taken), 1), model.nonzeros, float(words))
        if self.complete and self.groups_along_positions and isinstance(model, Structured):
            return Grouped(model.n, model.m, float(words))
        box = [1.0] * len(model.shape)
        for axis in self.own:
            box[axis.operand] = extents[axis.result]
        return Independent(1.0 - float(model.empty(words, tuple(box))))


@final
@dataclass(frozen=True)
class Produced(DensityModel):
    """Non-zero where the operands have a contribution.

    `extents` of a tile may have one entry more than the result has axes: the contraction positions that have been added up so far
    (all of them if it is missing).
    """

    shape: tuple[int, ...]
    operands: tuple[ProducingOperand, ...]
    shared: tuple[int, ...]
    """Axes of the result along ranks that two or more operands have."""
    positions: int
    """Points that are added up into one word."""
    steps: tuple[int, ...]
    """Distance of the words along each axis (strides leave holes)."""

    @property
    def produced(self) -> bool:
        """Yes."""
        return True

    @property
    def contraction(self) -> int:
        """Points that are added up into one word."""
        return self.positions

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Computed once: tiles that were asked for are found by it."""
        return hash((self.shape, self.operands, self.shared, self.positions, self.steps))

    # --- emptiness ------------------------------------------------------------------------------------------

    @property
    def density(self) -> float:
        """1 - P(a word has no contribution)."""
        return 1.0 - self._zero(self._one, float(self.contraction))

    @property
    def total(self) -> int:
        """Number of words."""
        return math.prod((extent - 1) // step + 1 for extent, step in zip(self.shape, self.steps, strict=True))

    @property
    def _one(self) -> tuple[float, ...]:
        return (1.0,) * len(self.shape)

    def empty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """P(no word of the tile has a contribution)."""
        axes = len(self.shape)
        return by_rows(self._columns(extents), lambda *row: self._zero(row[:axes], row[axes]))

    def _columns(self, extents: tuple[Coordinate, ...]) -> tuple[Coordinate, ...]:
        """Words along each axis, and contraction positions."""
        words = tuple((extent - 1) / step + 1 for extent, step in zip(extents, self.steps, strict=False))
        return (*words, extents[-1] if len(extents) > len(self.shape) else float(self.contraction))

    def _zero(self, extents: tuple[float, ...], positions: float, taken: tuple[float, ...] = ()) -> float:
        return _product_zero(self, extents, positions, taken)

    def mean_empty(self, extents: tuple[Coordinate, ...], passes: Passes, taken: tuple[Words, ...]) -> Share:
        """The mean over passes of P(no word of the tile has a contribution yet | `taken` words of each operand are zero)."""
        axes, loops, again = len(self.shape), len(passes.counts), passes.again
        columns = (*self._columns(extents)[:axes], *passes.counts, *passes.positions, *passes.outside, passes.more, *taken)

        return by_rows(columns, lambda *row: _mean_of_row(self, loops, again, row))

    def mean_over(
        self, tile: tuple[float, ...], loops: tuple[PassLoops, ...], more: float, again: bool, taken: tuple[float, ...]
    ) -> float:
        """`mean_empty` of one tile and one set of passes."""
        total = math.prod(loop.iterations for loop in loops)
        first = self._zero(tile, more, taken) if again else 0.0
        if again and total <= 1:
            return first
        value, surely = 0.0, math.inf  # from so many positions on the tile is never empty
        for nodes in product(*(_nodes(loop.iterations, len(loops)) for loop in loops)):
            done = sum(node * loop.positions for (node, _), loop in zip(nodes, loops, strict=True))
            if done + more < surely:
                zero = self._zero(tile, done + more, taken)
                value += math.prod(weight for _, weight in nodes) * zero
                surely = surely if zero > NEVER else done + more
        return (value * total - first) / (total - 1.0) if again else value

    def least_nonempty(self, size: Words, extents: tuple[Coordinate, ...]) -> Share:
        """That of one word after one contribution: a larger tile, and more contributions, leave it less often empty."""
        return self.least_nonzero * np.ones(np.shape(size))

    @property
    def least_nonzero(self) -> float:
        """P(one contribution), given that some other tiles of the operands are not empty.

        Those leave fewer non-zeros for the rest: of r among N words, r - OTHERS among N - OTHERS at least.
        """
        share = 1.0
        for operand in self.operands:
            model = operand.model
            if isinstance(model, Uniform) and model.nonzeros < model.total:
                share *= max(0.0, model.nonzeros - OTHERS) / max(1, model.total - OTHERS)
            else:
                share *= model.least_nonzero
        return share

    # --- numbers of non-zeros -------------------------------------------------------------------------------

    def mean(self, size: Words, extents: tuple[Coordinate, ...] = ()) -> Words:
        """size * density, after the positions that the extents name."""
        if len(extents) <= len(self.shape):
            return size * self.density
        return size * (1.0 - by_rows((extents[-1],), lambda *row: self._zero(self._one, row[0])))

    def variance(self, size: Words, extents: tuple[Coordinate, ...]) -> Array:
        """The covariances of all pairs of words of the tile, by the axes along which they differ; exact for a matrix product."""
        axes = len(self.shape)
        return by_rows(self._columns(extents), lambda *row: self._variance(row[:axes], row[axes]))

    def _variance(self, extents: tuple[float, ...], positions: float) -> float:
        words = math.prod(extents)
        zero = self._zero(self._one, positions)
        value = words * zero * (1.0 - zero)
        wide = [axis for axis, extent in enumerate(extents) if extent > 1]
        for apart in chain.from_iterable(combinations(wide, count) for count in range(1, len(wide) + 1)):
            pairs = words * math.prod(extents[axis] - 1 for axis in apart)
            value += pairs * (self._pair_zero(set(apart), positions) - zero * zero)
        return max(0.0, value)

    def _pair_zero(self, apart: set[int], positions: float) -> float:
        """P(two words that differ along these axes are both zero)."""
        movers = [operand for operand in self.operands if any(axis.result in apart for axis in operand.own)]
        if len(movers) == 1 and not apart & set(self.shared):
            axis = next(axis.result for axis in movers[0].own if axis.result in apart)
            pair = tuple(2.0 if at == axis else 1.0 for at in range(len(self.shape)))
            return self._zero(pair, positions)
        return self._zero(self._one, 2.0 * positions)

    def maximum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """All of them, unless nothing is ever added."""
        return size * 1.0 if self.least_possible else size * 0.0

    @property
    def least_possible(self) -> bool:
        """Can a word have a contribution?"""
        return all(operand.model.density > 0 for operand in self.operands)

    def minimum(self, size: Words, extents: tuple[Coordinate, ...]) -> Words:
        """None, unless every word surely has a contribution."""
        return size * (1.0 if self.density >= 1.0 else 0.0)

    def quantile(self, size: Words, extents: tuple[Coordinate, ...], confidence: float) -> Words:
        """ceil(mu + sigma z - 1/2), the normal approximation, between minimum and maximum."""
        low, high = self.minimum(size, extents), self.maximum(size, extents)
        if not 0 < confidence < 1:
            return high if confidence >= 1 else low
        z = NormalDist().inv_cdf(confidence)
        middle = self.mean(size, extents) + z * np.sqrt(self.variance(size, extents))
        return np.minimum(np.maximum(np.ceil(middle - 0.5), low), high)

    def blocks(self, size: Words, extents: tuple[Coordinate, ...], block: float) -> Count:
        """E[ceil(k/B)]: P(k > 0) in one block, ceil(k/B) where all words are there, else (mu + (B-1)/2 (1 - e)) / B."""
        filled, mean = 1.0 - self.empty(size, extents), self.mean(size, extents)
        several = np.where(mean >= size, np.ceil(np.divide(size, block)), (mean + (block - 1) / 2 * filled) / block)
        return unwrapped(np.where(size <= block, filled, several))

    def excess(self, size: Words, extents: tuple[Coordinate, ...], capacity: Words) -> Words:
        """E[max(0, k - cap)] = sigma (phi(z) - z Q(z)), z = (cap - mu)/sigma: the normal approximation."""
        sigma = np.maximum(np.sqrt(self.variance(size, extents)), 1e-9)
        z = (capacity - self.mean(size, extents)) / sigma
        loss = sigma * np.maximum(np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) - z * upper_tail(z), 0.0)
        return unwrapped(np.where(capacity >= size, 0.0, loss))

    def parameters(self, size: Words, extents: tuple[Coordinate, ...]) -> tuple[Array, ...]:
        """The extents and the positions."""
        return self._columns(extents)

    def tabulate(self, *parameters: float) -> Occupancy:
        """A normal distribution of the mean and variance, with P(k = 0) as it is."""
        extents, positions = parameters[:-1], parameters[-1]
        words, zero = math.prod(extents), self._zero(extents, positions)
        mean = words * (1.0 - self._zero(self._one, positions))
        sigma = max(math.sqrt(self._variance(extents, positions)), 1e-9)
        values = np.arange(1.0, math.floor(words) + 1.0)
        edges = (np.concatenate([values - 0.5, [math.floor(words) + 0.5]]) - mean) / sigma
        tail: Floats = upper_tail(edges)
        mass: Floats = tail[:-1] - tail[1:]
        mass = mass / mass.sum() * (1.0 - zero) if mass.sum() > 0 else mass
        return Occupancy(np.concatenate([[0.0], values]), np.concatenate([[1.0 - mass.sum()], mass]))


@memo(1 << 17)
def _product_zero(model: Produced, extents: tuple[float, ...], positions: float, taken: tuple[float, ...]) -> float:
    positions = min(positions, float(model.contraction) * 2.0)
    if positions <= 0:
        return 1.0
    groups = math.prod(extents[axis] for axis in model.shared)
    known = taken or (0.0,) * len(model.operands)
    contracted, spread, fixed = list[Operand](), list[Operand](), 1.0
    for operand, words in zip(model.operands, known, strict=True):
        seen = operand.seen(extents, words)
        if operand.contracted or model.positions == 1:
            contracted.append(seen)
        elif operand.shared:
            spread.append(seen)
        else:
            fixed *= 1.0 - product_empty([seen], 1.0)
    if not spread:
        return 1.0 - fixed * (1.0 - product_empty(contracted, positions * groups))
    # each of the groups of positions hangs on one slice of the operands that are not contracted
    left = positions_left(spread, round(groups))
    empty = sum(
        w * product_empty(contracted, positions * j) for j, w in zip(left.values.tolist(), left.weights.tolist(), strict=True)
    )
    return 1.0 - fixed * (1.0 - float(empty))


@memo(1 << 17)
def _mean_of_row(model: Produced, loops: int, again: bool, numbers: tuple[float, ...]) -> float:
    """The row that `mean_empty` makes: sides, iterations, positions and places of the loops, more positions, words taken."""
    axes = len(model.shape)
    tile, rest = numbers[:axes], numbers[axes:]
    counts, positions, outside = (rest[i * loops : (i + 1) * loops] for i in range(3))
    plan = _merged(counts, positions, outside)
    return model.mean_over(tile, plan, rest[3 * loops], again, rest[3 * loops + 1 :])


# --- passes -------------------------------------------------------------------------------------------------


class PassLoops(NamedTuple):
    """Loops that count on like digits of one number."""

    iterations: float
    positions: float
    outside: bool


def _merged(counts: Sequence[float], positions: Sequence[float], outside: Sequence[float]) -> tuple[PassLoops, ...]:
    """Loops of one iteration dropped, and loops that count on like digits of one number put together."""
    merged = list[PassLoops]()
    for count, step, is_outside in zip(counts, positions, outside, strict=True):
        if count == 1:
            continue
        loop = PassLoops(count, step if is_outside else 0.0, bool(is_outside))
        if merged and merged[-1].outside == loop.outside and math.isclose(merged[-1].positions, loop.positions * count):
            loop = PassLoops(merged[-1].iterations * count, loop.positions, loop.outside)
            merged.pop()
        merged.append(loop)
    return tuple(merged)


@memo(4096)
def _nodes(count: float, loops: int) -> tuple[tuple[float, float], ...]:
    """Indices and weights that stand for 0 ... count - 1: the first singly, then three of every doubling (Gauss, Legendre)."""
    exact = min(count, EXACT_PASSES if loops == 1 else EXACT_PASSES / 4)
    nodes = [(float(i), 1.0 / count) for i in range(math.ceil(exact))]
    points, weights = np.polynomial.legendre.leggauss(3)
    low = float(len(nodes))
    while low < count:
        high = min(2.0 * low, count)
        half = (high - low) / 2
        nodes += [
            (low - 0.5 + half * (1.0 + p), half * w / count) for p, w in zip(points.tolist(), weights.tolist(), strict=True)
        ]
        low = high
    return tuple(nodes)
