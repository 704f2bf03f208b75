"""Temporal factors of a level chosen rank by rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparseloop.mapper.optimal.level_choices import LevelChoice
from sparseloop.mapper.optimal.lower_bounds import TileTable
from sparseloop.mapper.optimal.quantities import Flags, Ints, TileNumbers


@dataclass(frozen=True, slots=True)
class FactorTargets:
    """By extent of a rank (its number among the divisors) the extents that temporal factors lead to."""

    digits: Ints
    """Their numbers, for one extent after the other."""
    starts: Ints

    def counts(self, digit: Ints) -> Ints:
        """Number of factors by extent."""
        return self.starts[digit + 1] - self.starts[digit]


def factor_targets(table: TileTable, choice: LevelChoice, rank: int) -> FactorTargets:
    """Where the temporal factors of a rank at a level lead."""
    divisors: Any = table.divisors[rank]
    located: Any = np.searchsorted
    parts = [located(divisors, extent * factors) for extent, factors in zip(divisors, choice.temporal[rank], strict=True)]
    return FactorTargets(np.concatenate([np.empty(0, dtype=np.int64), *parts]), np.cumsum([0, *map(len, parts)]))


@dataclass(frozen=True, slots=True)
class PartialSteps:
    """Openings with the temporal factors of some ranks; arrays of shape (steps,)."""

    passed: int
    """Number of these ranks."""
    opening: Ints
    tile: TileNumbers

    def rows(self, at: Ints | Flags | slice) -> PartialSteps:
        """The entries `at` of every array."""
        return PartialSteps(self.passed, self.opening[at], self.tile[at])

    def with_rank(self, table: TileTable, rank: int, targets: FactorTargets) -> PartialSteps:
        """With all factors of one more rank."""
        digit = table.digit(rank, self.tile)
        counts = targets.counts(digit)
        at = np.repeat(np.arange(len(digit)), counts)
        reached = targets.digits[targets.starts[digit][at] + np.arange(len(at)) - (np.cumsum(counts) - counts)[at]]
        return PartialSteps(self.passed + 1, self.opening[at], self.tile[at] + (reached - digit[at]) * table.radix[rank])
