"""Ordered factorizations of one rank over its loop slots: counted exactly, numbered, drawn and checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
TABLE = 1 << 16
"""Most factorizations of a rank that are tabulated."""


@lru_cache(maxsize=4096)
def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return (*small, *(number // d for d in reversed(small) if d * d != number))


@lru_cache(maxsize=4096)
def primes(number: int) -> tuple[int, ...]:
    """The different prime factors, ascending."""
    return tuple(d for d in divisors(number) if d > 1 and len(divisors(d)) == 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotGroup:
    """Slots whose product is constrained together: one temporal slot, or the axes of one fanout."""

    level: int
    temporal: bool
    limits: tuple[int | None, ...]
    """Largest factor of every slot (the instances along an axis); None: no limit."""
    fixed: int | None = None
    low: int = 1
    high: int | None = None

    def allows(self, product: int) -> bool:
        """True if the product of the slots' factors obeys the constraints."""
        return (
            (self.fixed is None or product == self.fixed) and product >= self.low and (self.high is None or product <= self.high)
        )

    def splits(self, product: int) -> Iterator[tuple[int, ...]]:
        """Every way to spread a product over the slots within their limits."""
        yield from _splits(product, self.limits)


@lru_cache(maxsize=1 << 14)
def _splits(product: int, limits: tuple[int | None, ...]) -> tuple[tuple[int, ...], ...]:
    if not limits:
        return ((),) if product == 1 else ()
    first, rest = limits[0], limits[1:]
    factors = [d for d in divisors(product) if first is None or d <= first]
    return tuple((d, *more) for d in factors for more in _splits(product // d, rest))


@dataclass(frozen=True, eq=False, kw_only=True)
class Factorizations:
    """All ways to write one of `sizes` as an ordered product over the slots of the groups, numbered from 0."""

    sizes: tuple[int, ...]
    """The size of the rank, and the sizes it may be padded to."""
    groups: tuple[SlotGroup, ...]
    _ways: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int], repr=False)
    _tables: list[Ints] = field(default_factory=list[Ints], repr=False)

    @property
    def slots(self) -> int:
        """Number of slots."""
        return sum(len(group.limits) for group in self.groups)

    @property
    def count(self) -> int:
        """Number of factorizations."""
        return sum(self.ways(0, size) for size in self.sizes)

    def ways(self, group: int, product: int) -> int:
        """Number of ways to write `product` over the groups from `group` on."""
        if group == len(self.groups):
            return int(product == 1)
        key = (group, product)
        if key not in self._ways:
            self._ways[key] = sum(self.ways(group + 1, product // math.prod(f)) for f in self._options(group, product))
        return self._ways[key]

    def _options(self, group: int, product: int) -> list[tuple[int, ...]]:
        """Factors of one group that leave something the rest can be made of."""
        slots = self.groups[group]
        return [f for d in divisors(product) if slots.allows(d) and self.ways(group + 1, product // d) for f in slots.splits(d)]

    def numbered(self, numbers: Ints) -> Ints:
        """The factorizations with these numbers: shape (slots, len(numbers))."""
        if self.count <= TABLE:
            if not self._tables:
                self._tables.append(self._unranked(np.arange(self.count)))
            return self._tables[0][:, numbers]
        return self._unranked(numbers)

    def _unranked(self, numbers: Ints) -> Ints:
        """Digit by digit: every group takes the option in whose share of the remaining numbers the number lies."""
        ends = np.cumsum([self.ways(0, size) for size in self.sizes])
        chosen = np.searchsorted(ends, numbers, side="right")
        left = np.array(self.sizes, dtype=np.int64)[chosen]
        rest = numbers - np.concatenate([[0], ends])[chosen]
        factors = np.ones((self.slots, len(numbers)), dtype=np.int64)
        row = 0
        for g, group in enumerate(self.groups):
            width = len(group.limits)
            for product in np.unique(left):
                at = np.flatnonzero(left == product)
                options = self._options(g, int(product))
                table = np.array(options, dtype=np.int64).reshape(len(options), width)
                shares = np.cumsum([self.ways(g + 1, int(product) // math.prod(f)) for f in options])
                which = np.searchsorted(shares, rest[at], side="right")
                factors[row : row + width, at] = table[which].T
                rest[at] -= np.concatenate([[0], shares])[which]
                left[at] = product // table[which].prod(axis=1)
            row += width
        return factors

    def drawn(self, count: int, rng: np.random.Generator) -> Ints:
        """Uniform draws, independent of each other."""
        return self.numbered(rng.integers(0, self.count, count))

    def legal(self, factors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which columns are factorizations of this space."""
        fits = np.isin(factors.prod(axis=0), self.sizes)
        row = 0
        for group in self.groups:
            own = factors[row : row + len(group.limits)]
            product = own.prod(axis=0)
            fits &= product >= group.low
            for limit in (group.high, group.fixed):
                fits &= True if limit is None else product <= limit
            fits &= True if group.fixed is None else product == group.fixed
            for factor, limit in zip(own, group.limits, strict=True):
                fits &= True if limit is None else factor <= limit
            row += len(group.limits)
        return fits

    def patterns(self, levels: Mapping[int, int]) -> dict[int, int]:
        """Sets of levels (bits `levels[level]`) with a temporal loop of bound above 1, to the number of factorizations."""
        states: dict[tuple[int, int], int] = {}
        for size in self.sizes:
            states[size, 0] = states.get((size, 0), 0) + 1
        for g, group in enumerate(self.groups):
            bit = 1 << levels[group.level] if group.temporal and group.level in levels else 0
            after: dict[tuple[int, int], int] = {}
            for (left, mask), ways in states.items():
                for factors in self._options(g, left):
                    product = math.prod(factors)
                    key = (left // product, mask | (bit if product > 1 else 0))
                    after[key] = after.get(key, 0) + ways
            states = after
        counts: dict[int, int] = {}
        for (_, mask), ways in states.items():
            counts[mask] = counts.get(mask, 0) + ways
        return counts


def padded_sizes(size: int, lanes: tuple[int, ...]) -> tuple[int, ...]:
    """The size itself, and for every number of lanes the smallest size >= it that uses them in the fewest passes.

    n lanes need at least p = ceil(size / n) passes; then ceil(size / p) lanes suffice, and the padded size is their product.
    """
    sizes = {size}
    for n in lanes:
        passes = -(-size // n)
        sizes.add(passes * -(-size // passes))
    return tuple(sorted(sizes))
