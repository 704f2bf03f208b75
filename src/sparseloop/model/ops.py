"""The few operations the model is written in; they take numbers, arrays (batch axis last) or traced values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, cast

import numpy as np

from sparseloop.model import borders
from sparseloop.model.memo import memo
from sparseloop.model.units import Array, Flag

_SCALARS = (bool, int, float)
_LARGEST_BIT_SET = 2**24
"""Bits from which sets of sums are listed instead."""


def where(condition: Flag, yes: Array, no: Array) -> Array:
    """Elementwise choice."""
    if isinstance(condition, (bool, np.bool_)):
        return yes if condition else no
    return cast("Any", np.where)(condition, yes, no)


def one_unless(condition: Flag, number: Array) -> Array:
    """`number` where the condition holds, else 1 (arithmetic: a third of the time of `where`)."""
    if isinstance(condition, (bool, np.bool_)):
        return number if condition else 1
    return condition * (number - 1) + 1


def zero_unless(condition: Flag, number: Array) -> Array:
    """`number` where the condition holds, else 0."""
    if isinstance(condition, (bool, np.bool_)):
        return number if condition else 0 * number
    return condition * number


def maximum(a: Array, b: Array) -> Array:
    """Elementwise larger value."""
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return max(a, b)
    return np.maximum(a, b)


def minimum(a: Array, b: Array) -> Array:
    """Elementwise smaller value."""
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return min(a, b)
    return np.minimum(a, b)


def ceil(a: Array) -> Array:
    """Elementwise ceiling; values within 1e-9 above an integer count as that integer."""
    return np.ceil(a - 1e-9)


def absolute(a: Array) -> Array:
    """Elementwise absolute value."""
    return abs(a)


def either(a: Flag, b: Flag) -> Flag:
    """Elementwise a or b."""
    if a is True or b is True:
        return True
    if a is False:
        return b
    if b is False:
        return a
    return a | b


def both(a: Flag, b: Flag) -> Flag:
    """Elementwise a and b."""
    if a is False or b is False:
        return False
    if a is True:
        return b
    if b is True:
        return a
    return a & b


def negate(a: Flag) -> Flag:
    """Elementwise not."""
    if isinstance(a, bool):
        return not a
    return ~a


def product(values: Iterable[Array]) -> Array:
    """Product of the values; 1 if there are none."""
    every = iter(values)
    result: Array = next(every, 1)
    for value in every:
        result = result * value
    return result


def total(values: Iterable[Array]) -> Array:
    """Sum of the values; 0.0 if there are none."""
    every = iter(values)
    result: Array = next(every, 0.0)
    for value in every:
        result = result + value
    return result


def root(a: Array) -> Array:
    """Elementwise square root."""
    return math.sqrt(a) if isinstance(a, _SCALARS) else np.sqrt(a)


def some(a: Array | None) -> bool:
    """True unless it is 0 in all of the batch: what is free everywhere need not be counted."""
    return bool(a) if a is None or isinstance(a, _SCALARS) else bool(np.any(a))


def entry(a: Array, place: int) -> Array:
    """The number of one mapping of a batch, which may be the same for all."""
    return a[place].item() if np.ndim(a) else a


def ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0."""
    if isinstance(b, _SCALARS):
        return a / b if b else 0.0 * a
    return a / np.where(b == 0, 1, b) * (b != 0)


def lattice(operation: str, arguments: Sequence[Array]) -> Array:
    """Number-theoretic functions without a closed form, evaluated once per distinct row of arguments.

    `operation` is a key of LATTICE; the arguments are integers.
    """
    function = LATTICE[operation]
    if all(isinstance(a, (int, float, np.integer, np.floating)) for a in arguments):
        return function(*(int(a) for a in arguments))
    if any(hasattr(a, "call") for a in arguments):
        traced = next(a for a in arguments if hasattr(a, "call"))
        return traced.call(operation, _lattice_of(operation), arguments)
    columns = [np.asarray(a).astype(np.int64).reshape(-1) for a in np.broadcast_arrays(*arguments)]
    shape = np.broadcast_shapes(*(np.shape(a) for a in arguments))
    first, inverse = distinct_rows(columns)
    rows = np.stack([column[first] for column in columns], axis=1).tolist()
    values = np.array([function(*row) for row in rows], dtype=np.float64)
    return values[inverse].reshape(shape)


@cache
def _lattice_of(operation: str) -> Callable[..., Array]:
    def answer(*arguments: Array) -> Array:
        return lattice(operation, arguments)

    return answer


def distinct_rows(columns: Sequence[Any]) -> tuple[Any, Any]:
    """Positions of one of each distinct row of some integer columns, and for every row which of them it equals."""
    code = np.zeros(columns[0].shape, dtype=np.int64)
    if not code.size:  # an empty batch
        return code, code
    span = 1
    for column in columns:
        low, high = int(column.min()), int(column.max())
        if low == high:
            continue
        if span > (1 << 62) // (high - low + 1):
            _, code = np.unique(code, return_inverse=True)
            span = int(code.max()) + 1
        code = code * (high - low + 1) + (column - low)
        span *= high - low + 1
    if span <= 4 * len(code):  # a table of all codes: faster than sorting the rows
        row, number = np.empty(span, dtype=np.int64), np.empty(span, dtype=np.int64)
        row[code] = np.arange(len(code))
        used = np.flatnonzero(np.bincount(code))
        number[used] = np.arange(len(used))
        return row[used], number[code]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


def bit_set(steps_and_counts: tuple[int, ...]) -> int:
    """Bit set of the values sum(step_i * q_i), 0 <= q_i < count_i; arguments step_1, count_1, step_2, ..."""
    bits = 1
    for step, count in zip(steps_and_counts[::2], steps_and_counts[1::2], strict=True):
        step, done = abs(step), 1
        while done < count:
            more = min(done, count - done)
            bits |= bits << (step * more)
            done += more
    return bits


@memo(1 << 15)
def distinct_sums(*steps_and_counts: int) -> int:
    """Number of distinct values of sum(step_i * q_i), 0 <= q_i < count_i.

    Two terms a*i + b*j, i < e, j < f: e*f minus the pairs that repeat (i+b', j-a'); a' = a/gcd, b' = b/gcd.
    """
    terms = [(abs(s), n) for s, n in zip(steps_and_counts[::2], steps_and_counts[1::2], strict=True) if n > 1 and s]
    if len(terms) <= 1:
        return math.prod(n for _, n in terms)
    if len(terms) == 2:
        (a, e), (b, f) = terms
        g = math.gcd(a, b)
        return e * f - max(0, e - b // g) * max(0, f - a // g)
    if sum(s * (n - 1) for s, n in terms) > _LARGEST_BIT_SET:
        return len(_sums(terms))
    return bit_set(steps_and_counts).bit_count()


def _sums(terms: Sequence[tuple[int, int]]) -> Any:
    """The distinct values themselves, ascending."""
    values: Any = np.zeros(1, dtype=np.int64)
    for step, count in terms:
        values = np.unique(values[:, None] + step * np.arange(count, dtype=np.int64))
    return values


@memo(1 << 15)
def common_sums(shift: int, *steps_and_counts: int) -> int:
    """Number of values of such a set that also lie in the set displaced by `shift`."""
    terms = [(abs(s), n) for s, n in zip(steps_and_counts[::2], steps_and_counts[1::2], strict=True) if n > 1 and s]
    if sum(s * (n - 1) for s, n in terms) > _LARGEST_BIT_SET:
        values = _sums(terms)
        return len(np.intersect1d(values, values + shift, assume_unique=True))
    bits = bit_set(steps_and_counts)
    return (bits & (bits << abs(shift))).bit_count()


@memo(1 << 15)
def existing_tuples(*loops: int) -> int:
    """Number of different index tuples that some loops of one rank have, of those index tuples of all its loops that exist.

    Per loop, outermost first: its bound, its last-pass bound, and 1 if it is none of those asked for, else more.
    """
    bounds, last, chosen = loops[::3], loops[1::3], loops[2::3]
    size = 0
    for bound, end in zip(bounds, last, strict=True):
        size = size * bound + end - 1
    left: Any = np.arange(size + 1)
    tuples: Any = np.zeros_like(left)
    for bound, asked in zip(reversed(bounds), reversed(chosen), strict=True):
        if asked > 1:
            tuples = tuples * bound + left % bound
        left = left // bound
    return len(np.unique(tuples))


LATTICE: dict[str, Callable[..., float]] = {
    "distinct": distinct_sums,
    "overlap": common_sums,
    "existing": existing_tuples,
    "words inside the borders": borders.real_words,
    "words kept inside the borders": borders.kept_words,
    "most words inside the borders": borders.most_words,
    "kinds of places": borders.number_of_kinds,
    "share of places": borders.share_of_kind,
    "words at places": borders.words_of_kind,
}


def peak(a: Array) -> int:
    """Largest value as an integer: the length of a Python loop that must cover the whole batch."""
    value = getattr(a, "value", a)
    return int(np.max(value))


def pick(table: Sequence[Array], index: Array) -> Array:
    """table[index], elementwise."""
    if hasattr(index, "call"):

        def again(position: Array) -> Array:
            return pick(table, position)

        return index.call("pick", again, [index])
    if np.ndim(index) == 0:
        return table[int(index)]
    return np.asarray(table)[index]
