"""Functions of rows of numbers, on arrays: computed once per distinct row, and remembered between calls."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from sparseloop.model.memo import memo
from sparseloop.model.units import Array, Floats

Codes = npt.NDArray[np.uint64]
KNOWN_ROWS = 1 << 16
"""Rows of one question that are remembered."""
PLACE_BITS = 16
"""Bits of a fingerprint by which they are looked up."""


def by_rows(columns: Sequence[Array], value: Callable[..., float]) -> Array:
    """`value(*row)` for every row of the broadcast columns, computed once per distinct row."""
    if all(isinstance(column, int | float) for column in columns):
        return np.float64(value(*map(float, columns)))
    wide = np.broadcast_arrays(*(np.asarray(c, dtype=np.float64) for c in columns))
    flat = [c.reshape(-1) for c in wide]
    _, first, inverse = np.unique(_row_codes(flat), return_index=True, return_inverse=True)
    results = _of_rows([column[first] for column in flat], value)
    return results[inverse.reshape(-1)].reshape(wide[0].shape)[()]


def _of_rows(columns: Sequence[Array], value: Callable[..., float]) -> Floats:
    """The value of every row, one by one."""
    rows = zip(*(np.asarray(column, dtype=np.float64).tolist() for column in columns), strict=True)
    return np.array([value(*row) for row in rows], dtype=np.float64)


def asked_by_rows(name: str, columns: Sequence[Any], answer: Callable[..., float], about: Hashable = None) -> Any:
    """The same of columns that may be traced, for which it is an opaque function of this name; `about` as `known_rows` has it."""

    def rows(*given: Array) -> Array:
        return by_rows(given, answer) if about is None else known_rows(about, given, answer)

    traced = next((c for c in columns if hasattr(c, "call")), None)
    return rows(*columns) if traced is None else traced.call(name, rows, columns)


def known_rows(about: Hashable, columns: Sequence[Array], value: Callable[..., float]) -> Array:
    """`by_rows` that remembers arrays of answers between calls; the same question is `about` the same thing."""
    if not any(map(np.ndim, columns)):
        return np.float64(value(*map(float, columns)))
    return _answers(about).to(columns, value)


@memo(64)
def _answers(about: Hashable) -> _Answers:
    return _Answers()


@final
class _Answers:
    """Answers to distinct rows, found by fingerprints: two rows with the same 128 bits do not occur."""

    def __init__(self) -> None:
        self._codes = np.zeros(1, dtype=np.uint64)
        self._checks = np.zeros(1, dtype=np.uint64)
        self._values = np.zeros(1)
        self._places = np.zeros(1 << PLACE_BITS, dtype=np.int32)
        """By the first bits of a code: the place of a row that has them."""

    def to(self, columns: Sequence[Array], value: Callable[..., float]) -> Array:
        """The answers to some rows; those that were never asked for are computed."""
        found, shape = _fingerprints(columns)
        codes: Codes = found[0]
        checks: Codes = found[1]
        at = self._places[(codes >> np.uint64(64 - PLACE_BITS)).astype(np.int64)]
        results = self._values[at]
        other = np.flatnonzero((self._codes[at] != codes) | (self._checks[at] != checks))
        if other.size:  # rows that share a place, and new ones
            at = np.minimum(np.searchsorted(self._codes, codes[other]), len(self._codes) - 1)
            results[other] = self._values[at]
            new = other[(self._codes[at] != codes[other]) | (self._checks[at] != checks[other])]
            if new.size:
                different, first, inverse = np.unique(codes[new], return_index=True, return_inverse=True)
                values = _of_rows([np.broadcast_to(c, shape).reshape(-1)[new[first]] for c in columns], value)
                results[new] = values[inverse.reshape(-1)]
                self._remember(different, checks[new][first], values)
        return results.reshape(shape)

    def _remember(self, codes: Codes, checks: Codes, values: Floats) -> None:
        """The first row is none: no fingerprint is 0."""
        kept = len(self._codes) if len(self._codes) + len(codes) <= KNOWN_ROWS else 1
        room = KNOWN_ROWS - kept
        self._codes, first = np.unique(np.concatenate([self._codes[:kept], codes[:room]]), return_index=True)
        self._checks = np.concatenate([self._checks[:kept], checks[:room]])[first]
        self._values = np.concatenate([self._values[:kept], values[:room]])[first]
        self._places[:] = 0
        self._places[(self._codes >> np.uint64(64 - PLACE_BITS)).astype(np.int64)] = np.arange(len(self._codes))


def _fingerprints(columns: Sequence[Array]) -> tuple[Codes, tuple[int, ...]]:
    """Two sums of the bits of each row, with weights that have nothing to do with each other; and the shape of the rows."""
    moving: dict[int, Array] = {i: column for i, column in enumerate(columns) if isinstance(column, np.ndarray) and column.ndim}
    shapes: set[tuple[int, ...]] = {column.shape for column in moving.values()}
    shape = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)
    wide = np.empty((len(moving), *shape))
    for at, column in enumerate(moving.values()):
        wide[at] = column
    fixed = tuple((i, float(column)) for i, column in enumerate(columns) if i not in moving)
    weights, start = _weights(len(columns), tuple(moving), fixed)
    return weights @ _mixed_bits(wide.reshape(len(moving), -1)) + start, shape


def _mixed_bits(numbers: Floats) -> Codes:
    """The bits of numbers; round ones, too, differ in the lowest of them."""
    bits = numbers.view(np.uint64)
    bits ^= (bits >> np.uint64(32)) ^ (bits >> np.uint64(52))
    return bits


@memo(4096)
def _weights(count: int, moving: tuple[int, ...], fixed: tuple[tuple[int, float], ...]) -> tuple[Codes, Codes]:
    """Two odd numbers of 64 bits for each moving column, and what the columns that are alike in all rows sum up to."""
    every = np.random.default_rng(count).integers(0, 2**63, (2, count + 1), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    alike = _mixed_bits(np.array([number for _, number in fixed], dtype=np.float64))
    return every[:, list(moving)], (every[:, [i for i, _ in fixed]] @ alike + every[:, -1])[:, None]


def _row_codes(columns: Sequence[Floats]) -> npt.NDArray[np.int64]:
    """One integer per row, equal for equal rows only: the columns as digits (small integers directly, else by rank)."""
    code, span = np.zeros(columns[0].size, dtype=np.int64), 1
    for column in columns:
        digits = column.astype(np.int64)
        low, high = int(digits.min(initial=0)), int(digits.max(initial=0))
        if low < 0 or high >= 2**20 or not (digits == column).all():
            digits = np.unique(column, return_inverse=True)[1].reshape(-1)
            high = int(digits.max(initial=0))
        if span * (high + 1) >= 2**62:
            code = np.unique(code, return_inverse=True)[1].reshape(-1)
            span = int(code.max(initial=0)) + 1
        code, span = code * (high + 1) + digits, span * (high + 1)
    return code
