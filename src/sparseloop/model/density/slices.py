"""How many of several equal slices of a tile hold a non-zero: what decides how many positions of a fanout are active.

Each model has its own answer; where a model has none, slices are taken as independent. With a slice of one word it is the
distribution of the tile's non-zeros. Uniform placement makes slices exchangeable: which of them are filled says nothing of where.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sparseloop.model.density.base import SNAP, DensityModel, Occupancy
from sparseloop.model.density.blocks import Block
from sparseloop.model.density.cells import Levels, Node, among, cell_sides, empty_tree, mixture
from sparseloop.model.density.index import distinct_keys
from sparseloop.model.density.known import DeterministicModel
from sparseloop.model.density.nested import CellModel
from sparseloop.model.density.structured import Even, Structured
from sparseloop.model.density.uniform import Uniform, hypergeometric, probability_empty
from sparseloop.model.memo import memo
from sparseloop.model.units import Floats

REACH = 9.5
"""Standard deviations of a normal number beyond which its transform is nothing."""
MOST_TERMS = 2**22
"""Terms of one transform; slices of larger tensors are taken as independent, which they nearly are."""
LARGE = 40.0
"""e^z - 1 is e^z beyond it."""
NEGLIGIBLE = 1e-15
"""Probabilities that are left out."""
VALUES = 64
"""Values that a distribution has at most; neighbours are put together at their mean."""


class Slices(NamedTuple):
    """Disjoint slices of one tile, equal in shape: whole numbers, `sides` and `whole` with one per axis of the tensor."""

    number: int
    size: float
    """Elements of one slice."""
    sides: tuple[int, ...]
    """Bounding extents of one slice."""
    whole: tuple[int, ...]
    """Bounding extents of all of them together."""

    @property
    def boxes(self) -> bool:
        """True if the slices tile their bounding box without holes, all of them and each by itself."""
        volume, box = math.prod(self.sides), math.prod(self.whole)
        return abs(self.size - volume) < SNAP * volume and box == self.number * volume


@memo(4096)
def nonempty_slices(model: DensityModel, slices: Slices, filled: float) -> Occupancy:
    """Distribution of the number of slices that hold a non-zero; `filled`: the probability that one does."""
    found: Occupancy | None = None
    if slices.number > 1 and 0 < filled < 1:
        match model:
            case Uniform():
                found = _of_uniform(model.total, model.nonzeros, slices.number, slices.size)
            case Even():
                found = _of_even(model, slices)
            case Structured():
                found = _of_structured(model, slices)
            case Block():
                found = _of_blocks(model, slices)
            case CellModel():
                found = _of_cells(model.levels, slices)
            case _:
                pass
    return found or binomial(slices.number, filled)


def binomial(count: int, chance: float) -> Occupancy:
    """The number of successes among `count` independent trials."""
    chance = min(max(chance, 0.0), 1.0)
    if chance in (0.0, 1.0):
        return Occupancy(np.array([count * chance]), np.ones(1))
    k = np.arange(count + 1.0)
    logs = log_choices(count, k) + k * math.log(chance) + (count - k) * math.log1p(-chance)
    return _likely(k, np.exp(logs))


def log_choices(n: float | Floats, k: Floats) -> Floats:
    """ln C(n, k), elementwise."""
    return _log_factorials(n) - _log_factorials(k) - _log_factorials(n - k)


def _log_factorials(n: float | Floats) -> Floats:
    numbers = np.asarray(n, dtype=np.float64)
    table = _factorials(1 << max(6, int(numbers.max(initial=0.0)).bit_length()))
    return table[numbers.astype(np.int64)]


@memo(32)
def _factorials(size: int) -> Floats:
    """ln n! for n = 0 ... size."""
    return np.concatenate([np.zeros(1), np.cumsum(np.log(np.arange(1.0, size + 1.0)))])


def _likely(values: Floats, weights: Floats) -> Occupancy:
    """The distribution without values that are next to impossible."""
    kept = weights > NEGLIGIBLE
    return Occupancy(values[kept], weights[kept] / weights[kept].sum())


def _of_uniform(total: int, full: int, count: int, size: float) -> Occupancy | None:
    """r of N elements are non-zero, anywhere.

    Elements that are non-zero independently of each other, with probability p = r/N, are so placed once their number is known to
    be r. Then P(j slices filled) = C(b, j) e^(b-j) [x^r] (G(x) - e)^j O(x) / [x^r] (1-p + p x)^N with G = (1-p + p x)^a of a
    slice, e = (1-p)^a, O = (1-p + p x)^(N - b a) of what lies outside; the coefficients by a transform around the circle.
    """
    if size == 1 and total < 2**31:
        return hypergeometric(total, full, count)
    outside = total - count * size
    if outside < -SNAP * total:
        return None
    p = full / total
    spread = math.sqrt(total * p * (1 - p))
    points = min(total + 1, math.ceil(24 * spread) + 64)
    beyond = math.sqrt(max(outside, 0.0) * p * (1 - p))
    width = math.pi if beyond * math.pi <= REACH else REACH / beyond
    half = min(points // 2, math.ceil(width / (2 * math.pi) * points))
    steps = np.arange(points) if 2 * half + 1 >= points else np.arange(-half, half + 1)
    if len(steps) * count > MOST_TERMS:
        return None
    angle = 2 * np.pi / points * steps
    turn = np.exp(1j * angle)
    odds = p / (1 - p) * turn
    inside = _log_expm1(size * np.log1p(odds))  # of G - e over e
    rest = max(outside, 0.0) * np.log1p(odds) + total * math.log1p(-p) - 1j * full * angle
    j = np.arange(count + 1.0)[:, None]
    logs = j * inside[None, :] + rest[None, :] + log_choices(count, j)
    weights = np.maximum(np.exp(logs).sum(axis=1).real, 0.0)
    return _likely(j[:, 0], weights / weights.sum())


def _log_expm1(z: Any) -> Any:
    """ln(e^z - 1) of complex numbers; where it is minus infinity a number whose exponential is 0."""
    small = np.where(z.real > LARGE, 0.0, z)
    with np.errstate(divide="ignore"):
        found = np.log(np.expm1(small))
    return np.where(z.real > LARGE, z, np.where(np.isfinite(found), found, -1e6))


def _of_even(model: Even, slices: Slices) -> Occupancy | None:
    """A slice that expects less than one non-zero holds at most one, so as many are filled as the tile has non-zeros."""
    if model.fraction * slices.size >= 1:
        return Occupancy(np.array([float(slices.number)]), np.ones(1))
    return model.tabulate(slices.number * slices.size)


def _of_structured(model: Structured, slices: Slices) -> Occupancy | None:
    """Of w slices in a group of m: C(w, j) sum_s (-1)^s C(j, s) [C(m - (w-j+s) a, n) / C(m, n)]^lines are filled; groups add."""
    width, along = slices.sides[model.axis], slices.whole[model.axis] // slices.sides[model.axis]
    if model.n == 0 or not slices.boxes or model.m % width or slices.number % along:
        return None
    each = min(along, model.m // width)
    if along % each:
        return None
    lines = slices.size / width
    j = range(each + 1)
    base = math.comb(model.m, model.n)
    empty = [(math.comb(model.m - i * width, model.n) / base) ** lines for i in j]
    weights = [math.comb(each, k) * math.fsum((-1) ** s * math.comb(k, s) * empty[each - k + s] for s in range(k + 1)) for k in j]
    one = Occupancy(np.arange(each + 1.0), np.maximum(np.array(weights), 0.0))
    return added(one, slices.number // each)


def added(one: Occupancy, times: int) -> Occupancy:
    """The sum of so many independent numbers from 0 upwards."""
    length = int(one.values[-1]) * times + 1
    single = np.zeros(length)
    single[one.values.astype(np.int64)] = one.weights
    weights = np.fft.irfft(np.fft.rfft(single, 2 * length) ** times, 2 * length)[:length]
    return _likely(np.arange(float(length)), np.maximum(weights, 0.0))


def _of_blocks(model: Block, slices: Slices) -> Occupancy | None:
    """Slices of whole blocks are filled as blocks are; those that share a block are filled together, as far as it is full."""
    if not slices.boxes or model.filling == 0:
        return None
    shared, whole = 1, 1
    for side, all_of_it, block in zip(slices.sides, slices.whole, model.block_shape, strict=True):
        inner = min(block, all_of_it)
        if side % inner and inner % side:
            return None
        shared, whole = shared * max(1, inner // side), whole * max(1, side // inner)
    groups = slices.number // shared
    filled = hypergeometric(model.count, model.occupied, groups) if whole == 1 else None
    filled = filled or _of_uniform(model.count, model.occupied, groups, whole)
    beyond = any(block > all_of_it for all_of_it, block in zip(slices.whole, model.block_shape, strict=True))
    if filled is None or (shared == 1 and not beyond):
        return filled
    if model.filling == model.volume:
        return Occupancy(filled.values * shared, filled.weights)
    if whole > 1:
        return None
    parts = _of_uniform(model.volume, model.filling, shared, slices.size) if shared > 1 else _of_part(model, slices.size)
    return None if parts is None else _compound(filled, parts)


def _of_part(model: Block, words: float) -> Occupancy:
    """Whether so many words of an occupied block hold a non-zero, the rest of which no slice has."""
    some = 1.0 - float(probability_empty(model.volume, model.filling, words))
    return Occupancy(np.array([0.0, 1.0]), np.array([1.0 - some, some]))


def _compound(times: Occupancy, one: Occupancy) -> Occupancy:
    """The sum of a random number of independent numbers."""
    length = int(times.values[-1]) * int(one.values[-1]) + 1
    weights = np.zeros(length)
    for number, weight in zip(times.values.astype(int).tolist(), times.weights.tolist(), strict=True):
        found = added(one, number) if number else Occupancy(np.zeros(1), np.ones(1))
        weights[found.values.astype(np.int64)] += weight * found.weights
    return _likely(np.arange(float(length)), weights)


def _of_cells(levels: Levels, slices: Slices) -> Occupancy | None:
    """Of cells that hold whole slices, as many as are chosen; of slices that hold whole cells, as blocks; roots add."""
    sides = cell_sides(levels)
    if not slices.boxes or slices.size > math.prod(sides[0]):
        return None
    depth = 0  # of the smallest cells that hold whole slices; those inside lie in a slice each
    while depth + 1 < len(levels) and all(a <= b for a, b in zip(slices.sides, sides[depth + 1], strict=True)):
        depth += 1
    inside = [tuple(map(min, slices.whole, one)) for one in (*sides[: depth + 1], slices.sides)]
    for outer, inner in zip([slices.whole, *inside], inside, strict=False):
        if any(a % b for a, b in zip(outer, inner, strict=True)):
            return None
    if any(a % b for a, b in zip(slices.sides, sides[depth + 1], strict=True)):
        return None
    found = _of_one_cell(levels[depth:], math.prod(slices.sides) // math.prod(sides[depth + 1]), _ratio(inside[-2], inside[-1]))
    for level in reversed(range(depth)):
        if found is None:
            return None
        found = _compound(among(levels[level], _ratio(inside[level], inside[level + 1])), found)
    return None if found is None else added(found, _ratio(slices.whole, inside[0]))


def _ratio(outer: tuple[int, ...], inner: tuple[int, ...]) -> int:
    return math.prod(outer) // math.prod(inner)


def _of_one_cell(levels: Levels, each: int, count: int) -> Occupancy | None:
    """How many of `count` slices with `each` smaller cells hold something, of those that are chosen and not empty."""
    level = levels[0]
    node: Node = level.size
    if len(levels) > 1:
        for inner in reversed(levels[1:]):
            node = float(inner.size) if inner is levels[-1] else ((node, inner.size),)
        nothing = empty_tree(levels[1:], ((node, 1.0),))
        parts = [(share, binomial(n, 1.0 - nothing)) for n, share in level.counts]
        left = mixture(parts)
    else:
        left = Occupancy(np.array([float(n) for n, _ in level.counts]), np.array([share for _, share in level.counts]))
    found: list[tuple[float, Occupancy]] = []
    for n, share in zip(left.values.tolist(), left.weights.tolist(), strict=True):
        n = round(n)
        one = hypergeometric(level.size, n, count) if each == 1 else _of_uniform_or_all(level.size, n, count, each)
        if one is None:
            return None
        found.append((share, one))
    return mixture(found)


def _of_uniform_or_all(total: int, full: int, count: int, size: int) -> Occupancy | None:
    if full in (0, total):
        return Occupancy(np.array([float(count if full else 0)]), np.ones(1))
    return _of_uniform(total, full, count, size)


# --- what an operand leaves of the positions of a contraction -----------------------------------------------
#
# Which slices hold a non-zero is taken as random once their number is known, so that of fewer positions it is hypergeometric.


class Left(NamedTuple):
    """How many positions are left, and with which probability."""

    none: float
    """P(0 positions)."""
    values: Floats
    weights: Floats


class Counted(NamedTuple):
    """An operand whose slices have a distribution of their own."""

    model: DensityModel
    slices: Slices
    """Those of all positions."""
    filled: float
    """P(a slice is not zero)."""
    taken: float = 0.0
    """Words, outside the slices in question, that are known to be zero."""

    @property
    def known(self) -> int:
        """Whole slices that are known to be zero; one is left at least."""
        return min(self.slices.number - 1, math.floor(self.taken / self.slices.size + 1e-9))

    def left(self, before: Left) -> Left:
        """What is left of positions that others left."""
        return _left(self, before.none, tuple(before.values.tolist()), tuple(before.weights.tolist()))


def summed_up(none: float, values: Floats, weights: Floats, most: int = VALUES) -> Left:
    """At most so many values: neighbours are put together at their mean."""
    kept = weights > 0
    values, weights = values[kept], weights[kept]
    pieces = max(1, math.ceil(values.size / most))
    starts = np.arange(0, values.size, pieces)
    together = np.add.reduceat(weights, starts)
    means = np.rint(np.add.reduceat(values * weights, starts) / together)
    return Left(none, means, together / together.sum())


@memo(4096)
def _left(operand: Counted, none: float, values: tuple[float, ...], weights: tuple[float, ...]) -> Left:
    found = _filled(operand)
    whole = operand.slices.number - operand.known
    most = round(max(values))
    left = np.zeros(most + 1)
    for positions, weight in zip(values, weights, strict=True):
        # more positions than the operand has: those of several tiles, as if they were alike
        scale = max(1.0, positions / whole)
        for filled, share in zip(found.values.tolist(), found.weights.tolist(), strict=True):
            total, full = round(scale * whole), round(scale * filled)
            part = hypergeometric(total, full, min(round(positions), total))
            left[part.values.astype(np.int64)] += weight * share * part.weights
    kept = left > 1e-12 * left.max()
    return summed_up(float(left[0]), np.flatnonzero(kept).astype(np.float64), left[kept])


@memo(4096)
def _filled(operand: Counted) -> Left:
    """The number of slices of all positions that hold a non-zero."""
    model = operand.model
    found = _of_data(model, operand.slices) if isinstance(model, DeterministicModel) else None
    found = found or nonempty_slices(model, operand.slices, operand.filled)
    values, weights = found.values, found.weights
    if operand.slices.boxes:  # the model knows better than slices by themselves whether all of them are zero
        none = float(model.empty(operand.slices.number * operand.slices.size, tuple(map(float, operand.slices.whole))))
        some = weights[values > 0]
        if some.sum() > 0 and none < 1:
            values = np.concatenate([np.zeros(1), values[values > 0]])
            weights = np.concatenate([np.array([none]), some * ((1.0 - none) / some.sum())])
    if operand.known:  # P(these are zero | so many are not), whichever they are
        number = operand.slices.number
        fitting = values <= number - operand.known
        values = values[fitting]
        zero = np.array([float(probability_empty(number, round(v), operand.known)) for v in values.tolist()])
        weights = weights[fitting] * zero
        if not weights.sum():
            return Left(1.0, np.zeros(1), np.ones(1))
        weights = weights / weights.sum()
    return summed_up(float(weights[values == 0].sum()), values, weights)


def _of_data(model: DeterministicModel, slices: Slices) -> Occupancy | None:
    """Counted tile by tile; a tile at the border may be smaller."""
    if not slices.boxes:
        return None
    places = model.coordinates().axes()
    tiles = [-(-extent // side) for extent, side in zip(model.shape, slices.whole, strict=True)]
    within = [whole // side for whole, side in zip(slices.whole, slices.sides, strict=True)]
    tile, slice_ = np.zeros(len(places[0]), dtype=np.int64), np.zeros(len(places[0]), dtype=np.int64)
    for at, side, whole, number, inside in zip(places, slices.sides, slices.whole, tiles, within, strict=True):
        tile = tile * number + at // whole
        slice_ = slice_ * inside + at % whole // side
    numbers = distinct_keys(tile * slices.number + slice_)[0] // slices.number
    filled = np.bincount(distinct_keys(numbers)[1], minlength=1) if len(numbers) else np.zeros(1, dtype=np.int64)
    filled[0] = math.prod(tiles) - filled[1:].sum()
    kept = np.flatnonzero(filled)
    return Occupancy(kept.astype(np.float64), filled[kept] / filled.sum())
