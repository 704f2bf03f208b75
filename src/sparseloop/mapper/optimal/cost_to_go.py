"""What lies outside a level costs at least, by its tile alone: the least of all tiles that may contain it, level by level."""

from __future__ import annotations

import numpy as np

from sparseloop.mapper.optimal.level_choices import LevelChoices
from sparseloop.mapper.optimal.level_cost import LevelCost, SpatialChoices
from sparseloop.mapper.optimal.lower_bounds import Floats, LowerBounds

REMEMBERED = 1 << 14
"""Tables of at most so many tiles keep what one level costs for other choices of bypasses."""

MOST = 1 << 20
"""Pairs of a tile and a choice of spatial factors that are looked at; beyond, every tensor shares as much as it may."""


class CostToGo:
    """Lower bounds by tile and level, wherever lanes and orders may be."""

    def __init__(self, bounds: LowerBounds, steps: LevelChoices) -> None:
        self.bounds, self.table, self.steps = bounds, bounds.tiles, steps
        self.outer: list[tuple[Floats, Floats]] = []
        """Per level, by tile of the level: energy and cycles of what is charged to the levels outside it, at least."""
        self.around: list[tuple[Floats, Floats]] = []
        """The same by a tile inside that of the level."""
        whole = np.arange(self.table.count) == self.table.count - 1
        outer = (np.zeros(self.table.count), np.zeros(self.table.count))
        for level in range(bounds.levels):
            fits = bounds.fits(level) & whole if level == 0 else bounds.fits(level)
            energy, cycles = (self.table.least_around(np.where(fits, values, np.inf)) for values in outer)
            around = (energy, np.where(np.isfinite(energy), cycles, 0.0))
            self.outer.append(outer)
            self.around.append(around)
            mine = self._ahead(level)
            outer = (mine[0] + around[0], np.maximum(mine[1], around[1]))
        self.least = (outer[0][:1], outer[1][:1])
        """By the innermost tile, a single point."""

    def floor(self) -> tuple[Floats, Floats]:
        """Energy and cycles that no mapping with these bypasses undercuts (arrays of one)."""
        return self.bounds.floor(*self.least)

    def _ahead(self, level: int) -> tuple[Floats, Floats]:
        """By tile inside a level: energy and cycles of what is charged to it, whatever it and the levels outside it do.

        Infinite where the tile does not fit the level that holds it.
        """
        if self.table.count > REMEMBERED:
            return self._charged(level)
        inner = frozenset[str]().union(*self.bounds.keep[level + 1 :])
        key = ("ahead", level, tuple(self.bounds.crossings[level]), inner, self.bounds.keep[level + 1 : level + 2])
        return self.table.once(key, lambda: self._charged(level))

    def _charged(self, level: int) -> tuple[Floats, Floats]:
        shares = self.table.once(("shares", level), lambda: self._shares(level))
        count, ones = len(shares), np.ones((len(shares), len(self.table.ranks)), dtype=np.int64)
        unit = SpatialChoices(ones, ones[:, 0], np.ones(count), ())
        cost = LevelCost(self.bounds, level, unit, lumped=True).sharing(shares)
        last = level + 1 == self.bounds.levels
        tiles = np.zeros(1, dtype=np.int64) if last else np.flatnonzero(self.bounds.fits(level + 1))
        found = cost.lumped(np.repeat(tiles, count), np.tile(np.arange(count), len(tiles)))
        energy, cycles = np.full(self.table.count, np.inf), np.zeros(self.table.count)
        energy[tiles], cycles[tiles] = (part.reshape(-1, count).min(axis=1) for part in found)
        return energy, cycles

    def _shares(self, level: int) -> Floats:
        """By choice and tensor, how many lanes of a level may share a word: only choices that no other one beats."""
        tensors, factors = self.bounds.plain_ranks, self.steps.steps[level].spread.factors
        columns = [[i for i, r in enumerate(self.table.ranks) if r not in plain] for plain in tensors]
        shares = np.unique(np.stack([factors[:, mine].prod(axis=1) for mine in columns], axis=1), axis=0).astype(np.float64)
        beaten = [bool(((shares >= row).all(axis=1) & (shares > row).any(axis=1)).any()) for row in shares]
        shares = shares[~np.array(beaten)]
        return shares if len(shares) * self.table.count <= MOST else shares.max(axis=0, keepdims=True)
