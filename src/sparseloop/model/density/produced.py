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

from sparseloop.model.density.base import (
    DensityModel,
    Occupancy,
    Passes,
    PassLoops,
    merged_loops,
    nodes_of,
    unwrapped,
    upper_tail,
)
from sparseloop.model.density.lattice import Extents, Lattice, LatticeLoop
from sparseloop.model.density.products import (
    NEVER,
    Grouped,
    Independent,
    Operand,
    Slices,
    independent,
    positions_left,
    product_empty,
)
from sparseloop.model.density.slices import VALUES, Counted, summed_up
from sparseloop.model.density.slices import Slices as Along
from sparseloop.model.density.structured import Structured
from sparseloop.model.density.uniform import Overlaps, Scattered, Strides, Uniform
from sparseloop.model.memo import memo
from sparseloop.model.rows import by_rows, known_rows
from sparseloop.model.units import Array, Coordinate, Count, Floats, Share, Words

OTHERS = 4
"""Tiles of one operand that conditions on an event may name besides the word that it needs."""


class OwnAxis(NamedTuple):
    """An axis of the result along a rank that only one operand has."""

    result: int
    """The axis of the result."""
    operand: int
    """The axis of the operand."""
    step: int = 1
    """Distance of the operand's words along it."""
    size: int = 0
    """Iterations of the rank."""


class PositionAxis(NamedTuple):
    """A rank of the positions in an index of an operand."""

    rank: str
    operand: int
    """The axis of the operand."""
    step: int
    """Distance of the operand's words along it."""
    size: int
    """Iterations of the rank."""
    result: int | None
    """Of a rank that the result has, too: its axis there."""

    def iterations(self, extents: Sequence[float]) -> int:
        """Of the rank in a tile of the result; all of a rank of the contraction."""
        return self.size if self.result is None else round(extents[self.result])


@dataclass(frozen=True)
class ProducingOperand:
    """One operand, as the result sees it."""

    model: DensityModel
    own: tuple[OwnAxis, ...]
    groups_along_positions: bool = False
    """It is n:m structured along a rank of the contraction."""
    positions: tuple[PositionAxis, ...] = ()
    """Ranks of the positions in its indices."""
    elsewhere: int = 1
    """Positions along ranks of the contraction that it has not."""
    missing: tuple[int, ...] = ()
    """Axes of the result along ranks that other operands share."""
    separate: bool = True
    """No rank occurs twice in its indices."""
    inside: float = 1.0
    """Share of what is met of it that is no padding."""

    def seen(self, extents: Sequence[float], taken: float) -> Operand:
        """Its slices at a tile of the result; `taken` of its words, outside all slices, are known to be zero."""
        words = math.prod(extents[axis.result] for axis in self.own)
        model = self.model
        if isinstance(model, Uniform):
            total = max(round(model.total - taken), 1)
            if not self.slides:
                return Slices(total, model.nonzeros, float(words))
            slices = self._overlaps(extents)
            if slices.disjoint and self.inside == 1.0:
                return Slices(total, model.nonzeros, slices.words)
            if self.separate and model.nonzeros < model.total:
                return Scattered(total, model.nonzeros, self.inside, slices)
        if self.groups_along_positions and isinstance(model, Structured) and not self.slides and not taken:
            return Grouped(model.n, model.m, float(words))
        sides = self._sides(extents, words)
        filled = 1.0 - float(model.empty(words, sides))
        if self.separate and not self.slides and all(abs(at.step) == 1 for at in (*self.own, *self.positions)):
            return Counted(model, self._along(extents), filled, taken)
        return Independent(filled)

    @cached_property
    def slides(self) -> bool:
        """Is some index a sum of ranks, or partly padding? Then slices may share words."""
        axes = [axis.operand for axis in (*self.own, *self.positions)]
        return len(set(axes)) < len(axes) or self.inside < 1.0

    def slices(self, extents: Sequence[float]) -> int:
        """Number of different slices that a tile of the result meets."""
        return math.prod(at.iterations(extents) for at in self.positions)

    def serves(self, extents: Sequence[float]) -> int:
        """Positions that have the same slice."""
        return self.elsewhere * round(math.prod(extents[axis] for axis in self.missing))

    def _sides(self, extents: Sequence[float], words: float) -> Extents:
        """Sides of one slice, with its gaps where the model asks for them."""
        sides = list[Coordinate | Lattice]()
        for at in range(len(self.model.shape)):
            own = [axis for axis in self.own if axis.operand == at]
            apart = [axis for axis in self.positions if axis.operand == at]
            reach = 1.0 + sum(abs(axis.step) * (extents[axis.result] - 1.0) for axis in own)
            if at not in self.model.placed or (len(own) + len(apart) <= 1 and all(axis.step == 1 for axis in (*own, *apart))):
                sides.append(reach)
                continue
            loops = [LatticeLoop((axis.step,), axis.size, extents[axis.result]) for axis in own]
            loops += [LatticeLoop((axis.step,), axis.size, 1) for axis in apart]
            start = sum(-axis.step * (axis.size - 1) for axis in (*own, *apart) if axis.step < 0)
            size = min(reach, math.prod(extents[axis.result] for axis in own))
            sides.append(Lattice((at,), size, False, (start,), tuple(loops)))
        return tuple(sides)

    def _along(self, extents: Sequence[float]) -> Along:
        """The disjoint slices of all positions."""
        sides = [1] * len(self.model.shape)
        for axis in self.own:
            sides[axis.operand] = round(extents[axis.result])
        whole = list(sides)
        for at in self.positions:
            whole[at.operand] = at.iterations(extents)
        return Along(math.prod(whole) // math.prod(sides), float(math.prod(sides)), tuple(sides), tuple(whole))

    def _overlaps(self, extents: Sequence[float]) -> Overlaps:
        own, apart = ([list[tuple[int, int]]() for _ in self.model.shape] for _ in range(2))
        for axis in self.own:
            own[axis.operand].append((axis.step, round(extents[axis.result])))
        for at in self.positions:
            apart[at.operand].append((at.step, at.iterations(extents)))
        strides = tuple(Strides(tuple(a), tuple(b)) for a, b in zip(own, apart, strict=True))
        return Overlaps(strides, self.serves(extents))


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
    repeated: tuple[int, ...] = ()
    """Axes along a rank that an axis before has, too."""

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
        sides = [(extent - 1) // step + 1 for extent, step in zip(self.shape, self.steps, strict=True)]
        return math.prod(side for axis, side in enumerate(sides) if axis not in self.repeated)

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
        if self.repeated:
            words = tuple(1.0 if axis in self.repeated else side for axis, side in enumerate(words))
        return (*words, extents[-1] if len(extents) > len(self.shape) else float(self.contraction))

    def _zero(self, extents: tuple[float, ...], positions: float, taken: tuple[float, ...] = ()) -> float:
        return _product_zero(self, extents, positions, taken)

    def mean_empty(self, extents: tuple[Coordinate, ...], passes: Passes, taken: tuple[Words, ...]) -> Share:
        """The mean over passes of P(no word of the tile has a contribution yet | `taken` words of each operand are zero)."""
        axes, loops, again = len(self.shape), len(passes.counts), passes.again
        columns = (*self._columns(extents)[:axes], *passes.counts, *passes.positions, *passes.outside, passes.more, *taken)

        return known_rows((self, loops, again), columns, lambda *row: _mean_of_row(self, loops, again, row))

    def mean_over(
        self, tile: tuple[float, ...], loops: tuple[PassLoops, ...], more: float, again: bool, taken: tuple[float, ...]
    ) -> float:
        """`mean_empty` of one tile and one set of passes."""
        total = math.prod(loop.iterations for loop in loops)
        first = self._zero(tile, more, taken) if again else 0.0
        if again and total <= 1:
            return first
        value, surely = 0.0, math.inf  # from so many positions on the tile is never empty
        for nodes in product(*(nodes_of(loop.iterations, len(loops)) for loop in loops)):
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
        several: Count = np.where(mean >= size, np.ceil(np.asarray(size) / block), (mean + (block - 1) / 2 * filled) / block)
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
    whole, spread, fixed = list[Operand](), dict[frozenset[str], _Spread](), 1.0
    for operand, words in zip(model.operands, known, strict=True):
        seen = operand.seen(extents, words)
        ranks = frozenset(at.rank for at in operand.positions if at.iterations(extents) > 1)
        if operand.slices(extents) == 1:
            fixed *= 1.0 - product_empty([seen], 1.0)
        elif operand.serves(extents) == 1 or operand.slides:
            whole.append(seen)
        elif ranks in spread or not any(ranks & other for other in spread):
            spread.setdefault(ranks, _Spread(operand.slices(extents), [])).operands.append(seen)
        else:
            whole.append(independent(seen))
    if not (whole or spread):
        return 1.0 - min(positions, 1.0) * fixed
    return 1.0 - fixed * (1.0 - _empty_behind(list(spread.values()), whole, positions * groups))


class _Spread(NamedTuple):
    """Operands that lack the same ranks of the positions, so that a slice serves many of them."""

    slices: int
    operands: list[Operand]


def _empty_behind(spread: Sequence[_Spread], whole: Sequence[Operand], positions: float) -> float:
    """P(no position is left by operands with a slice for each, where those that serve several leave any)."""
    if not spread:
        return product_empty(whole, positions)
    most = VALUES if len(spread) == 1 else VALUES // 4
    lefts = [summed_up(left.none, left.values, left.weights, most) for left in (positions_left(o, n) for n, o in spread)]
    every = [list(zip(left.values.tolist(), left.weights.tolist(), strict=True)) for left in lefts]
    among = math.prod(one.slices for one in spread)
    return sum(
        math.prod(weight for _, weight in each) * product_empty(whole, positions * math.prod(j for j, _ in each) / among)
        for each in product(*every)
    )


@memo(1 << 17)
def _mean_of_row(model: Produced, loops: int, again: bool, numbers: tuple[float, ...]) -> float:
    """The row that `mean_empty` makes: sides, iterations, positions and places of the loops, more positions, words taken."""
    axes = len(model.shape)
    tile, rest = numbers[:axes], numbers[axes:]
    counts, positions, outside = (rest[i * loops : (i + 1) * loops] for i in range(3))
    plan = merged_loops(counts, positions, outside)
    return model.mean_over(tile, plan, rest[3 * loops], again, rest[3 * loops + 1 :])
