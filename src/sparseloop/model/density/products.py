"""The probability that a sum of products is zero although its operands are not.

    position     a point of the contraction (and of output ranks that several operands have) at which the operands meet
    slice        the words that one operand offers at one position: along the output ranks that it alone has

A tile of the result is zero if and only if at every position some operand's slice is all zero. Operands are independent of each
other, and each has a given number of non-zeros anywhere (uniform), so the probability is hypergeometric in each operand:

    thinning     of i positions that are left, exactly j have a non-zero slice of operand u, with probability
                 C(i, j) sum_s (-1)^s C(j, s) e_u((i - j + s) a_u), e_u(n) = P(n words of u are zero), a_u words per slice
    in all       e(positions) = sum_j P(j positions left by the first operands) e_last(j a_last)

The alternating sum loses its digits beyond 32 positions; slices of one word are hypergeometric without it, and the rest is
evaluated by a saddle point. Operands that are not uniform go first: they leave a random number of positions to the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sparseloop.model.density.slices import Counted, Left, summed_up
from sparseloop.model.density.uniform import Scattered, hypergeometric, probability_empty
from sparseloop.model.memo import memo
from sparseloop.model.units import Floats

THINNED = 32
"""Positions up to which thinning keeps four digits in double precision (ten up to 16); at 64 it is off by 0.08."""
CHAINED = 4096
"""Largest product of distribution widths that is summed for three and more operands with slices of one word."""
CONVOLVED = 4096
"""Positions up to which the number left by operands that are not uniform has its exact distribution; beyond, a normal one."""
NEVER = 1e-14
"""Probabilities that are taken as 0."""
HALVINGS = 60
"""Of one Newton step."""
STEPS = 60
"""Newton steps; five to ten are usual."""


class Independent(NamedTuple):
    """An operand whose slices are taken as independent of each other."""

    nonempty: float
    """P(a slice is not zero)."""


class Grouped(NamedTuple):
    """An n:m structured operand whose groups lie along the positions."""

    n: int
    m: int
    lines: float
    """Words of a slice: each belongs to a group of its own."""


class Slices(NamedTuple):
    """A uniform operand, seen from the positions."""

    total: int
    """Words of the operand."""
    full: int
    """Non-zeros among them."""
    words: float
    """Words of a slice."""

    @property
    def dense(self) -> bool:
        """No slice is ever zero."""
        return self.full >= self.total

    def empty(self, positions: float) -> float:
        """P(the slices at so many positions are all zero)."""
        return float(probability_empty(self.total, self.full, positions * self.words))


Other = Independent | Grouped | Counted
Operand = Slices | Independent | Grouped | Counted | Scattered


def product_empty(operands: Sequence[Operand], positions: float) -> float:
    """P(at each of `positions` positions some operand's slice is all zero).

    A fraction of a position mixes its neighbours. Uniform operands: exact up to 32 positions and where slices have one word; else
    within 0.003. The last one whose slices overlap is asked for what the others leave; further ones as if theirs did not.
    """
    scattered = sorted(o for o in operands if isinstance(o, Scattered))
    if scattered:
        rest = [o for o in operands if not isinstance(o, Scattered)]
        rest += [independent(o) for o in scattered[:-1]]
        return _empty_of_left(scattered[-1], rest, positions)
    below = math.floor(positions)
    uniform = _sorted(o for o in operands if isinstance(o, Slices))
    others = tuple(sorted((o for o in operands if isinstance(o, Independent | Grouped | Counted)), key=repr))
    value = _mixed(uniform, others, below)
    if below == positions:
        return value
    part = positions - below
    return (1.0 - part) * value + part * _mixed(uniform, others, below + 1)


def _empty_of_left(last: Scattered, others: Sequence[Operand], positions: float) -> float:
    """P(the slices of one operand are zero at all positions at which those of the others are not)."""
    if positions <= 0:
        return 1.0
    if all(isinstance(o, Slices) and o.dense for o in others):
        return last.empty(positions, positions)
    left = positions_left(others, math.ceil(positions))
    part = positions / math.ceil(positions)
    found = zip(left.values.tolist(), left.weights.tolist(), strict=True)
    return float(sum(weight * last.empty(positions, part * number) for number, weight in found))


def closed_form(nonempty: Sequence[float], positions: float) -> float:
    """(1 - product of the NE_u)^positions: positions taken as independent; never less than the exact form."""
    full = math.prod(nonempty)
    return 1.0 if positions <= 0 or full <= 0 else float((1.0 - min(full, 1.0)) ** positions)


def _sorted(operands: Iterable[Slices]) -> tuple[Slices, ...]:
    """Operands that are not dense: slices of one word first, the sparsest of them first."""
    return tuple(sorted((o for o in operands if not o.dense), key=lambda o: (o.words != 1.0, o.full / o.total, o)))


@memo(65536)
def _whole(operands: tuple[Slices, ...], positions: int) -> float:
    if positions == 0 or any(o.full == 0 for o in operands):
        return 1.0
    if not operands:
        return 0.0
    if len(operands) == 1:
        return operands[0].empty(positions)
    if sum(map(_one_empty, operands)) < NEVER:  # one position alone is hardly ever without a contribution
        return 0.0
    if all(o.words == 1.0 for o in operands[:-1]) and (len(operands) == 2 or _widths(operands, positions) <= CHAINED):
        return _hypergeometric(operands, positions)
    if positions <= THINNED:
        return _thinned(operands, positions)
    return _saddle(operands, positions)


@memo(4096)
def _one_empty(operand: Slices) -> float:
    """P(a slice is all zero)."""
    return operand.empty(1)


def positions_left(operands: Sequence[Operand], positions: int) -> Left:
    """The distribution of the number of positions at which all operands have a non-zero.

    Thinning for up to 32 positions and one operand after the other; beyond, and for operands that are not uniform, slices of
    different positions are taken as independent.
    """
    if positions <= THINNED and all(isinstance(o, Slices) for o in operands):
        left = np.zeros(positions + 1)
        left[positions] = 1.0
        for operand in operands:
            left = thinning(operand, positions).T @ left if isinstance(operand, Slices) else left
        return Left(float(left[0]), np.arange(positions + 1.0), left)
    return _left(tuple(independent(o) for o in operands), positions)


def independent(operand: Operand) -> Other:
    """Slices of different positions as if they knew nothing of each other; of groups, within one."""
    if isinstance(operand, Slices | Scattered):
        return Independent(1.0 - (operand.empty(1) if isinstance(operand, Slices) else operand.one_empty()))
    return operand


# --- operands that are not uniform --------------------------------------------------------------------------


@memo(65536)
def _mixed(uniform: tuple[Slices, ...], others: tuple[Other, ...], positions: int) -> float:
    if not others or positions == 0:
        return _whole(uniform, positions)
    left = _left(others, positions)
    if not uniform:
        return left.none
    return float(sum(w * _whole(uniform, int(j)) for j, w in zip(left.values.tolist(), left.weights.tolist(), strict=True)))


def _left(others: tuple[Other, ...], positions: int) -> Left:
    """Positions at which none of the operands has an empty slice, one operand after the other."""
    simple = tuple(o for o in others if not isinstance(o, Counted))
    left = _left_by_groups(simple, positions) if simple else Left(0.0, np.array([float(positions)]), np.ones(1))
    for operand in others:
        if isinstance(operand, Counted):
            left = operand.left(left)
    return left


@memo(4096)
def _left_by_groups(others: tuple[Independent | Grouped, ...], positions: int) -> Left:
    """Groups of different lengths are taken as independent."""
    length = max((o.m for o in others if isinstance(o, Grouped)), default=1)
    parts = [(_group(others, length, length), positions // length), (_group(others, length, positions % length), 1)]
    none = math.prod(float(part[0]) ** times for part, times in parts)
    if positions <= CONVOLVED:
        weights = np.ones(1)
        for part, times in parts:
            weights = np.convolve(weights, _power(part, times))
        keep = weights > 1e-12 * weights.max()
        return summed_up(none, np.flatnonzero(keep).astype(np.float64), weights[keep])
    moments = [(_moments(part), times) for part, times in parts]
    mean = sum(m[0] * times for m, times in moments)
    spread = math.sqrt(sum(m[1] * times for m, times in moments))
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    values = np.clip(np.rint(mean + spread * nodes), 0, positions)
    return Left(none, values, weights / weights.sum())


def _power(part: Floats, times: int) -> Floats:
    result, square = np.ones(1), part
    while times:
        if times & 1:
            result = np.convolve(result, square)
        times >>= 1
        if times:
            square = np.convolve(square, square)
    return result


def _moments(part: Floats) -> tuple[float, float]:
    values = np.arange(part.size)
    mean = float(values @ part)
    return mean, float((values - mean) ** 2 @ part)


def _group(others: tuple[Independent | Grouped, ...], length: int, width: int) -> Floats:
    """P(j of the first `width` positions of a group are left)."""
    left = np.zeros(width + 1)
    left[width] = 1.0
    for o in others:
        if isinstance(o, Grouped) and o.m == length:
            table = np.array([[_within_group(o, i, j) for j in range(width + 1)] for i in range(width + 1)])
        else:
            share = o.nonempty if isinstance(o, Independent) else 1.0 - (1.0 - o.n / o.m) ** o.lines
            table = np.array(
                [
                    [math.comb(i, j) * share**j * (1.0 - share) ** (i - j) if j <= i else 0.0 for j in range(width + 1)]
                    for i in range(width + 1)
                ]
            )
        left = left @ table
    return left


def _within_group(o: Grouped, i: int, j: int) -> float:
    """P(j of i positions of one group have a non-zero): C(i, j) sum_s (-1)^s C(j, s) [C(m-i+j-s, n) / C(m, n)]^lines."""
    if j > i:
        return 0.0
    all_ = math.comb(o.m, o.n)
    terms = ((-1.0) ** s * math.comb(j, s) * (math.comb(o.m - (i - j) - s, o.n) / all_) ** o.lines for s in range(j + 1))
    return max(0.0, math.comb(i, j) * sum(terms))


# --- thinning -----------------------------------------------------------------------------------------------


def _thinned(operands: tuple[Slices, ...], positions: int) -> float:
    left = np.zeros(positions + 1)
    left[positions] = 1.0
    for operand in operands[:-1]:
        left = thinning(operand, positions).T @ left
    return float(np.clip(left @ _empty_slices(operands[-1], positions), 0.0, 1.0))


@memo(4096)
def _empty_slices(operand: Slices, positions: int) -> Floats:
    """P(0, 1, ... `positions` slices are all zero)."""
    return np.asarray(probability_empty(operand.total, operand.full, np.arange(positions + 1.0) * operand.words))


@memo(4096)
def thinning(operand: Slices, positions: int) -> Floats:
    """P(j of i slices are not zero) at [i, j], for i up to `positions` (at most 32)."""
    empty = _empty_slices(operand, positions)
    table = np.zeros((positions + 1, positions + 1))
    for j in range(positions + 1):
        signs = np.array([(-1.0) ** s * math.comb(j, s) for s in range(j + 1)])
        for i in range(j, positions + 1):
            table[i, j] = math.comb(i, j) * max(0.0, float(signs @ empty[i - j : i + 1]))
    table.flags.writeable = False
    return table


def _widths(operands: tuple[Slices, ...], positions: int) -> float:
    """Product of the numbers of values that the thinned numbers of positions take."""
    return math.prod(hypergeometric(o.total, o.full, min(positions, o.total)).values.size for o in operands[:-1])


def _hypergeometric(operands: tuple[Slices, ...], positions: int) -> float:
    left = {positions: 1.0}
    for operand in operands[:-1]:
        thinner: dict[int, float] = {}
        for i, weight in left.items():
            found = hypergeometric(operand.total, operand.full, min(i, operand.total))
            for j, share in zip(found.values.tolist(), found.weights.tolist(), strict=True):
                thinner[int(j)] = thinner.get(int(j), 0.0) + weight * share
        left = thinner
    values = np.fromiter(left, dtype=np.float64, count=len(left))
    last = operands[-1]
    weights = np.fromiter(left.values(), dtype=np.float64, count=len(left))
    return float(weights @ probability_empty(last.total, last.full, values * last.words))


# --- saddle point -------------------------------------------------------------------------------------------


def _saddle(operands: tuple[Slices, ...], positions: int) -> float:
    """The share of the placements of non-zeros that leave no position with all slices filled.

    Their number is the coefficient of prod y_u^r_u in
    (prod (1 + y_u)^a_u - prod ((1 + y_u)^a_u - 1))^positions prod (1 + y_u)^(N_u - positions a_u); numerator and denominator are
    both evaluated at their saddle points, so that most of the error cancels.
    """
    if not _possible(operands, positions):
        return 0.0
    start = [math.log(o.full / (o.total - o.full)) for o in operands]
    t = start
    point = _exponent(t, operands, positions)
    for _ in range(STEPS):
        tilt = 1e-12 * sum(row[u] for u, row in enumerate(point.bend))
        step = _solved(
            [[x + tilt * (u == v) for v, x in enumerate(row)] for u, row in enumerate(point.bend)], point.slope
        ).solution
        longest = max(map(abs, step))
        step = [x * min(1.0, 4.0 / max(longest, 1e-300)) for x in step]
        moved = _exponent([x - y for x, y in zip(t, step, strict=True)], operands, positions)
        for _ in range(HALVINGS):  # convex: halving finds a smaller value in the end
            if moved.value <= point.value + 1e-12 * abs(point.value) or max(map(abs, step)) < 1e-9:
                break
            step = [x * 0.5 for x in step]
            moved = _exponent([x - y for x, y in zip(t, step, strict=True)], operands, positions)
        t, point = [x - y for x, y in zip(t, step, strict=True)], moved
        if max(map(abs, step)) < 1e-9:
            break
    at = sum(o.total * _softplus(x) - o.full * x for o, x in zip(operands, start, strict=True))
    spread = sum(math.log(o.full * (o.total - o.full) / o.total) for o in operands)
    spread -= math.log(max(abs(_solved(point.bend, point.slope).determinant), 1e-300))
    return math.exp(min(0.0, point.value - at + 0.5 * spread))


class _Exponent(NamedTuple):
    """A function of a few variables at one place."""

    value: float
    slope: list[float]
    bend: list[list[float]]


class _Solution(NamedTuple):
    """Of a system of a few linear equations."""

    solution: list[float]
    determinant: float


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> _Solution:
    """By elimination; of a few operands quicker than arrays are."""
    rows, determinant = [[*row, x] for row, x in zip(matrix, right, strict=True)], 1.0
    count = len(rows)
    for at in range(count):
        best = max(range(at, count), key=lambda i: abs(rows[i][at]))
        if best != at:
            rows[at], rows[best], determinant = rows[best], rows[at], -determinant
        pivot = rows[at][at] or 1e-300
        determinant *= pivot
        for i in range(at + 1, count):
            factor = rows[i][at] / pivot
            rows[i] = [x - factor * y for x, y in zip(rows[i], rows[at], strict=True)]
    solution = [0.0] * count
    for at in reversed(range(count)):
        rest = sum(rows[at][i] * solution[i] for i in range(at + 1, count))
        solution[at] = (rows[at][count] - rest) / (rows[at][at] or 1e-300)
    return _Solution(solution, determinant)


def _softplus(x: float) -> float:
    """ln (1 + e^x)."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _possible(operands: tuple[Slices, ...], positions: int) -> bool:
    """Is there room for all non-zeros without a position at which all operands have some?"""
    needed = 0
    for o in operands:
        outside = o.total - positions * o.words
        needed += max(0, math.ceil((o.full - outside) / o.words - 1e-9))
    return needed <= (len(operands) - 1) * positions


def _exponent(t: Sequence[float], operands: Sequence[Slices], positions: int) -> _Exponent:
    """ln of the generating function over prod y_u^r_u at y = exp t, with its gradient and Hessian in t.

    With q_u = 1 - (1 + y_u)^-a_u (a slice is not zero) the function is prod (1 + y_u)^N_u (1 - prod q_u)^positions.
    """
    value = every = 0.0
    rates, parts, bends = list[float](), list[float](), list[float]()
    for x, o in zip(t, operands, strict=True):
        rate = 1.0 / (1.0 + math.exp(min(-x, 700.0)))  # y / (1 + y)
        lift = _softplus(x)
        zero, q = math.exp(-o.words * lift), -math.expm1(-o.words * lift)
        every += math.log(max(q, 1e-300)) if zero > 0.5 else math.log1p(-zero)
        value += o.total * lift - o.full * x
        part = o.words * rate * zero / max(q, 1e-300)  # d ln q / dt
        rates.append(rate)
        parts.append(part)
        bends.append(part * (1.0 - rate - o.words * rate) - part * part)  # d2 ln q / dt2
    rest = max(-math.expm1(every), 1e-150)
    odds = math.exp(every) / rest
    value += positions * math.log(rest)
    weight = positions * (odds + odds * odds)
    slope = [o.total * r - o.full - positions * odds * p for o, r, p in zip(operands, rates, parts, strict=True)]
    bend = [[-weight * p * other for other in parts] for p in parts]
    for u, (o, rate) in enumerate(zip(operands, rates, strict=True)):
        bend[u][u] += o.total * rate * (1.0 - rate) - positions * odds * bends[u]
    return _Exponent(value, slope, bend)
