"""Cost-to-go: a lower bound on the cost of all levels outside a tile, minimised over every tile that can contain it."""

from __future__ import annotations

import numpy as np

from sparseloop.mapper.optimal.effort import Effort, unlimited
from sparseloop.mapper.optimal.level_choices import LevelChoices
from sparseloop.mapper.optimal.level_cost import LevelBound, SpatialChoices
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.quantities import CostBound, Floats

REMEMBERED = 1 << 14
"""Tables of at most that many tiles keep what one level costs for other choices of bypasses."""
PORTION = 1 << 16
"""Such pairs at a time."""
MOST = 1 << 20
"""Pairs of a tile and a choice of spatial factors that are looked at; beyond, every tensor shares as much as it may."""


class CostToGo:
    """The bounds of one choice of bypasses; arrays of shape (tiles,), wherever lanes and orders may be."""

    def __init__(self, bounds: LowerBounds, choices: LevelChoices, effort: Effort | None = None) -> None:
        self.bounds, self.table, self.choices = bounds, bounds.tiles, choices
        self.effort = effort or unlimited()
        self.outside: list[CostBound] = []
        """Per level, by tile of the level: what is charged to the levels outside it, at least."""
        self.around: list[CostBound] = []
        """Per level the same by a tile inside that of the level: the least of all tiles of the level that contain it."""
        whole = np.arange(self.table.count) == self.table.count - 1
        outside = CostBound(np.zeros(self.table.count), np.zeros(self.table.count))
        for level in range(bounds.levels):
            fits = bounds.admitted(level) & whole if level == 0 else bounds.admitted(level)
            energy, cycles = (self.table.least_around(np.where(fits, values, np.inf)) for values in outside)
            around = CostBound(energy, np.where(np.isfinite(energy), cycles, 0.0))
            self.outside.append(outside)
            self.around.append(around)
            own = self._level_cost(level)
            outside = CostBound(own.energy + around.energy, np.maximum(own.cycles, around.cycles))
        self.least = CostBound(outside.energy[:1], outside.cycles[:1])
        """By the innermost tile, a single point."""

    def floor(self) -> CostBound:
        """Energy and cycles that no mapping with these bypasses undercuts (arrays of one)."""
        return CostBound(*self.bounds.floor(*self.least))

    def _level_cost(self, level: int) -> CostBound:
        """By tile inside a level: what is charged to the level at least, whatever it and the levels outside it do.

        Infinite where the tile does not fit the level that holds it.
        """
        if self.table.count > REMEMBERED or level + 1 in self.bounds.only:
            return self._computed_level_cost(level)
        inner = frozenset[str]().union(*self.bounds.keep[level + 1 :])
        key = ("cost to go", level, tuple(self.bounds.crossings[level]), inner, self.bounds.keep[level + 1 : level + 2])
        return self.table.once(key, lambda: self._computed_level_cost(level))

    def _computed_level_cost(self, level: int) -> CostBound:
        shares = self.table.once(("shares", level), lambda: self._shares(level))
        count, ones = len(shares), np.ones((len(shares), len(self.table.ranks)), dtype=np.int64)
        unit = SpatialChoices(ones, ones[:, 0], np.ones(count), ())
        cost = LevelBound(self.bounds, level, unit, joined=True).with_sharing(shares)
        last = level + 1 == self.bounds.levels
        every = np.zeros(1, dtype=np.int64) if last else np.flatnonzero(self.bounds.admitted(level + 1))
        energy, cycles = np.full(self.table.count, np.inf), np.zeros(self.table.count)
        portion = max(1, PORTION // count)
        for start in range(0, len(every), portion):
            tiles = every[start : start + portion]
            self.effort.add(len(tiles) * count)
            pairs = cost.with_loops_joined(np.repeat(tiles, count), np.tile(np.arange(count), len(tiles)))
            energy[tiles], cycles[tiles] = (part.reshape(-1, count).min(axis=1) for part in pairs)
        return CostBound(energy, cycles)

    def _shares(self, level: int) -> Floats:
        """How many lanes of a level may share a word of each tensor, (choices, tensors): only choices that no other one beats."""
        tensors, factors = self.bounds.separate_ranks, self.choices.by_level[level].spatial.factors
        columns = [[i for i, r in enumerate(self.table.ranks) if r not in separate] for separate in tensors]
        shares = np.unique(np.stack([factors[:, free].prod(axis=1) for free in columns], axis=1), axis=0).astype(np.float64)
        beaten = [bool(((shares >= row).all(axis=1) & (shares > row).any(axis=1)).any()) for row in shares]
        shares = shares[~np.array(beaten)]
        return shares if len(shares) * self.table.count <= MOST else shares.max(axis=0, keepdims=True)
