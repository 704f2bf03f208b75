"""Cells within cells: what the zeros of a tile are if a tensor is cut into cells that are cut into smaller ones.

    root     the largest cells: they lie side by side from the origin on, independent of each other
    level    a cell is a grid of smaller cells, of which a number (given, or drawn) holds something, every choice equally likely;
             the others are zero. What the chosen ones hold is independent. The smallest cells are words
    node     what a tile has of one cell: of the cells inside that it touches, how many have which node; of a cell of words, words
    tree     the roots that a tile touches, by their nodes

n:m sparsity of any depth, blocks, and cells with a density of their own are all of this kind, and have these formulas in common:
P(j of the touched cells are chosen), times what j of them hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from sparseloop.model.density.base import SNAP, Occupancy, Pattern, upper_tail
from sparseloop.model.density.lattice import Place, origins_of, pair_origins, tile_points
from sparseloop.model.density.structured import summed, weights_of
from sparseloop.model.density.uniform import between, hypergeometric, probability_empty
from sparseloop.model.memo import memo
from sparseloop.model.units import Floats, Integers

WORK_LIMIT = 2**22
"""Largest work of an exact distribution; beyond, it is taken as normal with the exact mean, variance and P(0)."""
TOUCHED_LIMIT = 500
"""Most touched cells of one cell that are told apart by what they hold; of more, all hold their mean."""
DEVIATIONS = 12.0
"""Standard deviations from the mean beyond which a normal distribution is nothing."""


class CellGrid(NamedTuple):
    """How a cell is made of smaller cells."""

    grid: tuple[int, ...]
    """Smaller cells along each axis."""
    counts: tuple[tuple[int, float], ...]
    """How many of them hold something, ascending, and how likely that is."""

    @property
    def size(self) -> int:
        """Smaller cells in all."""
        return math.prod(self.grid)

    @property
    def chosen(self) -> float:
        """P(a smaller cell holds something)."""
        return sum(n * share for n, share in self.counts) / self.size

    @property
    def both(self) -> float:
        """P(two smaller cells hold something)."""
        return sum(n * (n - 1) * share for n, share in self.counts) / max(self.size * (self.size - 1), 1)


Levels = tuple[CellGrid, ...]
"""The largest cells first."""
Node = Any
"""Words (of a cell of words), or pairs of a node and the number of smaller cells that have it."""
Tree = tuple[tuple[Node, float], ...]
"""Nodes of roots, and how many roots have each."""


class Weighed(NamedTuple):
    """A tree, and the share of a tile's places that have it."""

    share: float
    tree: Tree


# --- from tiles to trees ------------------------------------------------------------------------------------


@memo(256)
def cell_sides(levels: Levels) -> tuple[tuple[int, ...], ...]:
    """Sides of the cells in words, the roots first, words last."""
    sides = [(1,) * len(levels[0].grid)]
    for level in reversed(levels):
        sides.append(tuple(side * many for side, many in zip(sides[-1], level.grid, strict=True)))
    return tuple(reversed(sides))


def cutting(levels: Levels, shape: tuple[int, ...]) -> tuple[bool, ...]:
    """Axes along which it matters where a tile lies: cells of some size begin and end there."""
    every = cell_sides(levels)
    return tuple(any(1 < sides[axis] < extent for sides in every) for axis, extent in enumerate(shape))


def straight(touched: Sequence[float], roots: float) -> tuple[Weighed, ...]:
    """A tile that has the same part of all cells that it touches; `touched`: of each level, words last."""
    node: Node = touched[-1]
    for number in reversed(touched[:-1]):
        node = ((node, round(number)),)
    return (Weighed(1.0, ((node, roots),)),)


@memo(1 << 12)
def trees(levels: Levels, shape: tuple[int, ...], places: tuple[Place, ...]) -> tuple[Weighed, ...]:
    """The trees of a tile at all its places."""
    cuts = cutting(levels, shape)
    options = [origins_of(_moduli(levels, shape, cuts, place), place) for place in places]
    points = [tile_points(place) for place in places]
    parts = [
        [_Part(place.axes, _flagged(some, place, cuts, start, None, None), share) for start, share in zip(*origins, strict=True)]
        for place, some, origins in zip(places, points, options, strict=True)
    ]
    return _gathered_trees(levels, shape, parts)


@memo(1 << 12)
def pair_trees(levels: Levels, shape: tuple[int, ...], places: tuple[Place, ...]) -> tuple[Weighed, ...] | None:
    """The same of the words of either tile of a pair with a common point; None if there are too many relative places."""
    cuts = cutting(levels, shape)
    parts: list[list[_Part]] = []
    for place in places:
        origins = pair_origins(_moduli(levels, shape, cuts, place), place)
        if origins is None:
            return None
        one, two, axes = tile_points(place), tile_points(place, second=True), len(place.axes)
        parts.append(
            [
                _Part(place.axes, _flagged(one, place, cuts, at[:axes], two, at[axes:]), share)
                for at, share in zip(*origins, strict=True)
            ]
        )
    return _gathered_trees(levels, shape, parts)


class _Part(NamedTuple):
    """The coordinates of a tile along some axes, at one of its places."""

    axes: tuple[int, ...]
    points: Integers
    """One row per coordinate: a number per axis, then 1 if the first tile has it, 1 if the second has it."""
    share: float


def _moduli(levels: Levels, shape: tuple[int, ...], cuts: tuple[bool, ...], place: Place) -> tuple[int, ...]:
    """Distances after which cells lie as before, along the axes of a place; 1 where it does not matter."""
    return tuple(_period(levels, shape, axis) if cuts[axis] else 1 for axis in place.axes)


def _period(levels: Levels, shape: tuple[int, ...], axis: int) -> int:
    """The longest side of a cell that is shorter than the tensor: inside one root all cells are alike."""
    return next((sides[axis] for sides in cell_sides(levels) if sides[axis] < shape[axis]), 1)


def _flagged(
    one: Integers, place: Place, cuts: tuple[bool, ...], first: Integers, two: Integers | None, second: Integers | None
) -> Integers:
    """Coordinates with the tiles that have them."""
    if two is None or second is None:
        points = one + first
        flags = np.tile(np.array([1, 0]), (len(points), 1))
    else:
        every = np.concatenate([one + first, two + second])
        points, index = np.unique(every, axis=0, return_inverse=True)
        flags = np.zeros((len(points), 2), dtype=np.int64)
        flags[index.reshape(-1), np.repeat([0, 1], [len(one), len(two)])] = 1
    for at, axis in enumerate(place.axes):
        if not cuts[axis]:
            points[:, at] -= points[:, at].min()
    return np.concatenate([points, flags], axis=1)


def _gathered_trees(levels: Levels, shape: tuple[int, ...], parts: Sequence[Sequence[_Part]]) -> tuple[Weighed, ...]:
    found: dict[Tree, float] = {}
    for choice in product(*parts):
        inside = [_inside(part, levels, shape) for part in choice]
        tree = _kinds(levels, 0, [part.axes for part in choice], inside)
        found[tree] = found.get(tree, 0.0) + math.prod(part.share for part in choice)
    return tuple(Weighed(share, tree) for tree, share in found.items())


def _inside(part: _Part, levels: Levels, shape: tuple[int, ...]) -> Integers:
    """Inside a root that is as long as the tensor: from its corner on, and without coordinates beyond its end."""
    held, points = np.ones(len(part.points), dtype=np.bool_), part.points.copy()
    for at, axis in enumerate(part.axes):
        side, period = cell_sides(levels)[0][axis], _period(levels, shape, axis)
        if side >= shape[axis]:
            points[:, at] -= points[:, at].min() // period * period
            held &= points[:, at] < side
    return points[held] if held.any() else points


def _kinds(levels: Levels, depth: int, axes: Sequence[tuple[int, ...]], parts: Sequence[Integers]) -> Any:
    """The nodes of the cells of this depth that a tile touches, and how many have each."""
    sides = cell_sides(levels)[depth]
    found: dict[Node, int] = {}
    for choice in product(*(_cut(part, [sides[a] for a in some]) for part, some in zip(parts, axes, strict=True))):
        node = _node(levels, depth, axes, [points for points, _ in choice])
        if node:
            found[node] = found.get(node, 0) + math.prod(number for _, number in choice)
    return tuple(sorted(found.items()))


def _node(levels: Levels, depth: int, axes: Sequence[tuple[int, ...]], parts: Sequence[Integers]) -> Node:
    if depth < len(levels) - 1:
        return _kinds(levels, depth + 1, axes, parts)
    first, second, both = 1, 1, 1
    for points in parts:
        first, second = first * int(points[:, -2].sum()), second * int(points[:, -1].sum())
        both *= int((points[:, -2] * points[:, -1]).sum())
    return float(first + second - both)


def _cut(points: Integers, sides: Sequence[int]) -> list[tuple[Integers, int]]:
    """The coordinates inside each cell, seen from its corner, and how many cells have the same."""
    count = len(sides)
    cells = points[:, :count] // np.array(sides)
    order = np.lexsort(cells.T[::-1])
    cells, moved = cells[order], points[order]
    moved[:, :count] -= cells * np.array(sides)
    starts = np.flatnonzero(np.concatenate([[True], (cells[1:] != cells[:-1]).any(axis=1)]))
    found: dict[bytes, tuple[Integers, int]] = {}
    for some in np.split(moved, starts[1:]):
        key = some.tobytes()
        found[key] = (some, found[key][1] + 1 if key in found else 1)
    return list(found.values())


# --- emptiness ----------------------------------------------------------------------------------------------


def empty_tree(levels: Levels, tree: Tree) -> float:
    """P(no word of the tree is non-zero): roots multiply."""
    return math.prod(_empty(levels, node) ** number for node, number in tree)


@memo(1 << 15)
def _empty(levels: Levels, node: Node) -> float:
    """Of one cell: the sum over j of P(j of the touched cells are chosen) times the mean of their products."""
    level = levels[0]
    if len(levels) == 1:
        numbers, shares = np.array(level.counts).T
        if node == int(node):  # C(N - n, w) / C(N, w), the same seen from the words of the tile
            return float(shares @ probability_empty(level.size, min(int(node), level.size), numbers))
        return float(sum(share * float(probability_empty(level.size, n, node)) for n, share in level.counts))
    kinds = [(_empty(levels[1:], inner), number) for inner, number in node]
    touched = sum(number for _, number in kinds)
    chosen = among(level, touched)
    if len(kinds) == 1 or touched > TOUCHED_LIMIT:
        mean = sum(e * number for e, number in kinds) / touched
        return float(mean**chosen.values @ chosen.weights)
    sums = np.ones(1)  # by j: the sum of the products over all choices of j cells
    for e, many in kinds:
        sums = np.convolve(sums, [math.comb(many, j) * e**j for j in range(many + 1)])
    choices = np.array([float(math.comb(touched, int(j))) for j in chosen.values])
    return float(sums[chosen.values.astype(np.intp)] / choices @ chosen.weights)


@memo(1 << 12)
def among(level: CellGrid, touched: int) -> Occupancy:
    """How many of the touched cells hold something."""
    return mixture([(share, hypergeometric(level.size, n, touched)) for n, share in level.counts])


def mixture(parts: Sequence[tuple[float, Occupancy]]) -> Occupancy:
    """Distributions of whole numbers, mixed by their shares."""
    if len(parts) == 1:
        return parts[0][1]
    weights = np.zeros(int(max(one.values[-1] for _, one in parts)) + 1)
    for share, one in parts:
        weights[one.values.astype(np.intp)] += share * one.weights
    held = np.flatnonzero(weights)
    return Occupancy(held.astype(np.float64), weights[held] / weights.sum())


# --- numbers of non-zeros -----------------------------------------------------------------------------------


class MeanAndVariance(NamedTuple):
    """Mean and variance of a number of non-zeros."""

    mean: float
    variance: float


def tree_moments(levels: Levels, tree: Tree) -> MeanAndVariance:
    """Roots add."""
    every = [(_moments(levels, node), number) for node, number in tree]
    return MeanAndVariance(sum(m.mean * number for m, number in every), sum(m.variance * number for m, number in every))


@memo(1 << 15)
def _moments(levels: Levels, node: Node) -> MeanAndVariance:
    """With p = P(a cell is chosen) and q = P(two are): variance sum p v + p m^2 + q ((sum m)^2 - sum m^2) - (p sum m)^2."""
    p, q = levels[0].chosen, levels[0].both
    if len(levels) == 1:
        return MeanAndVariance(node * p, max(0.0, node * p + node * (node - 1.0) * q - (node * p) ** 2))
    inner = [(_moments(levels[1:], part), number) for part, number in node]
    whole, squares = sum(m.mean * n for m, n in inner), sum(m.mean**2 * n for m, n in inner)
    spread = p * (sum(m.variance * n for m, n in inner) + squares) + q * (whole**2 - squares) - (p * whole) ** 2
    return MeanAndVariance(p * whole, max(0.0, spread))


def most(levels: Levels, tree: Tree) -> float:
    """The largest possible number of non-zeros."""
    return sum(_most(levels, node) * number for node, number in tree)


@memo(1 << 15)
def _most(levels: Levels, node: Node) -> float:
    left = levels[0].counts[-1][0]
    if len(levels) == 1:
        return min(node, float(left))
    total = 0.0
    for value, number in sorted(((_most(levels[1:], part), number) for part, number in node), reverse=True):
        taken = min(number, left)
        total, left = total + value * taken, left - taken
    return total


def least(levels: Levels, tree: Tree) -> float:
    """The smallest possible number of non-zeros."""
    return sum(_least(levels, node) * number for node, number in tree)


@memo(1 << 15)
def _least(levels: Levels, node: Node) -> float:
    left = levels[0].counts[0][0] - levels[0].size  # cells that are not touched are chosen first
    if len(levels) == 1:
        return max(node + left, 0.0)
    left, total = max(left + sum(number for _, number in node), 0), 0.0
    for value, number in sorted((_least(levels[1:], part), number) for part, number in node):
        taken = min(number, left)
        total, left = total + value * taken, left - taken
    return total


@memo(1 << 10)
def tree_occupancy(levels: Levels, tree: Tree) -> Occupancy:
    """The distribution of the number of non-zeros; a fraction of a root mixes its neighbours."""
    ones = [(_occupancy(levels, node), number) for node, number in tree]
    if any(one is None for one, _ in ones):
        return _normal(levels, tree)
    exact = [(one, number) for one, number in ones if one is not None]
    below = [(math.floor(number + SNAP), one) for one, number in exact]
    whole = summed(below)
    part = max((number - few for (_, number), (few, _) in zip(exact, below, strict=True)), default=0.0)
    return whole if part <= SNAP else whole.mixed(summed([(few + 1, one) for few, one in below]), part)


@memo(1 << 11)
def _occupancy(levels: Levels, node: Node) -> Occupancy | None:
    """Of one cell; None if it is too much work."""
    level = levels[0]
    if len(levels) == 1:
        return mixture([(share, between(level.size, n, node)) for n, share in level.counts])
    kinds = [(_occupancy(levels[1:], part), number) for part, number in node]
    touched = sum(number for _, number in kinds)
    length = 1 + sum(int(one.values[-1]) * number for one, number in kinds if one is not None)
    if any(one is None for one, _ in kinds) or touched * length > WORK_LIMIT:
        return None
    chosen = among(level, touched)
    known = [(one, number) for one, number in kinds if one is not None]
    turns = [(np.fft.rfft(np.bincount(one.values.astype(np.intp), weights=one.weights), length), n) for one, n in known]
    mixed = _of_equal(chosen, turns[0][0]) if len(turns) == 1 else _of_unequal(chosen, turns, touched, length)
    if mixed is None:
        return None
    weights = weights_of(np.fft.irfft(mixed, length))
    held = np.flatnonzero(weights)
    return Occupancy(held.astype(np.float64), weights[held])


def _of_equal(chosen: Occupancy, turn: Any) -> Any:
    """The sum over j of P(j) turn^j."""
    shares = np.zeros(int(chosen.values[-1]) + 1)
    shares[chosen.values.astype(np.intp)] = chosen.weights
    total = np.zeros_like(turn)
    for share in shares[::-1].tolist():
        total = total * turn + share
    return total


def _of_unequal(chosen: Occupancy, turns: Sequence[tuple[Any, int]], touched: int, length: int) -> Any:
    """The same with the mean over all choices of j of the touched cells; None if it is too much work."""
    if touched * touched * length > WORK_LIMIT or touched > TOUCHED_LIMIT:
        return None
    sums = np.zeros((touched + 1, length // 2 + 1), dtype=complex)
    sums[0] = 1.0
    for turn, many in turns:
        for _ in range(many):
            sums[1:] = sums[1:] + sums[:-1] * turn
    index = chosen.values.astype(np.intp)
    choices = np.array([float(math.comb(touched, int(j))) for j in index])
    return (chosen.weights / choices) @ sums[index]


def _normal(levels: Levels, tree: Tree) -> Occupancy:
    """A normal distribution of the exact mean and variance, with the exact P(0)."""
    mean, variance = tree_moments(levels, tree)
    low, high, zero = least(levels, tree), most(levels, tree), empty_tree(levels, tree)
    sigma = max(math.sqrt(variance), 1e-9)
    first = max(1.0, low, math.floor(mean - DEVIATIONS * sigma))
    values = np.arange(first, max(first, min(math.floor(high), math.ceil(mean + DEVIATIONS * sigma))) + 1.0)
    edges = (np.concatenate([values - 0.5, values[-1:] + 0.5]) - mean) / sigma
    tail: Floats = upper_tail(edges)
    mass: Floats = np.maximum(tail[:-1] - tail[1:], 0.0)
    mass = mass / mass.sum() * (1.0 - zero) if mass.sum() > 0 else np.full(len(values), (1.0 - zero) / len(values))
    return Occupancy(np.concatenate([[0.0], values]), np.concatenate([[zero], mass]))


# --- drawing ------------------------------------------------------------------------------------------------


def filled(level: CellGrid, held: Pattern, dice: np.random.Generator) -> Pattern:
    """The smaller cells that hold something, drawn for every cell that does: an array with as many times more entries."""
    numbers = dice.choice([n for n, _ in level.counts], size=held.size, p=[share for _, share in level.counts])
    ranked = np.argsort(np.argsort(dice.random((held.size, level.size)), axis=1), axis=1)
    chosen = (ranked < numbers[:, None]) & held.reshape(-1, 1)
    axes = held.ndim
    order = [at for axis in range(axes) for at in (axis, axes + axis)]
    spread = chosen.reshape(*held.shape, *level.grid).transpose(order)
    return spread.reshape([a * b for a, b in zip(held.shape, level.grid, strict=True)])
