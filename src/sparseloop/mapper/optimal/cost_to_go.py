"""Cost-to-go: a lower bound on the cost of all levels outside a tile, minimised over every tile that can contain it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparseloop.mapper.optimal.crossings import Crossing, Sharing, SpatialChoices
from sparseloop.mapper.optimal.effort import Effort, unlimited
from sparseloop.mapper.optimal.level_choices import LevelChoice, LevelChoices
from sparseloop.mapper.optimal.level_cost import LevelBound
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.quantities import CostBound

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
        self.own: list[CostBound] = []
        """Per level, by tile inside the level: what is charged to the level itself, at least."""
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
            self.own.append(own)
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
        crossings = (*self.bounds.crossings[level], *self.bounds.returning[level])
        key = ("cost to go", level, crossings, inner, self.bounds.keep[level + 1 : level + 2])
        return self.table.once(key, lambda: self._computed_level_cost(level))

    def _computed_level_cost(self, level: int) -> CostBound:
        sharing = self._sharing(level)
        count, unit = len(sharing.shares), unit_choices(sharing, len(self.table.ranks))
        cost = LevelBound(self.bounds, level, unit, joined=True).with_sharing(sharing)
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

    def _sharing(self, level: int) -> Sharing:
        """What the spatial factors of a level may do for the crossings charged to it: only what nothing else beats."""
        own, returning = self.bounds.crossings[level], self.bounds.returning[level]
        key = ("sharing", level, tuple(own), tuple(returning))
        return self.table.once(key, lambda: sharing_of(self.bounds, self.choices.by_level[level], own, returning))


def sharing_of(bounds: LowerBounds, choice: LevelChoice, own: Sequence[Crossing], returning: Sequence[Crossing]) -> Sharing:
    """The sharing that spatial factors of a level may bring these crossings: only what nothing else beats."""
    spatial, level = choice.spatial, choice.level
    every = np.ones((len(spatial.factors), len(bounds.separate_ranks)))
    for c in (*own, *returning):
        every[:, c.tensor] = bounds.shared(c, level, spatial.factors.astype(np.float64))
    every, group = np.unique(every, axis=0, return_inverse=True)
    exact = LevelBound(bounds, level, spatial).wires if any(c.wired for c in own) else {}
    wires = {c: np.full(len(every), np.inf) for c in own if c in exact}
    for c, least in wires.items():
        np.minimum.at(least, group.reshape(-1), exact[c])
    costs = np.concatenate([1.0 / every, *(least[:, None] for least in wires.values())], axis=1)
    good = ~np.array([bool(((costs <= row).all(axis=1) & (costs < row).any(axis=1)).any()) for row in costs])
    shares, wires = every[good], {c: least[good] for c, least in wires.items()}
    if len(shares) * bounds.tiles.count <= MOST:
        return Sharing(shares, wires)
    return Sharing(shares.max(axis=0, keepdims=True), {c: least.min(keepdims=True) for c, least in wires.items()})


def unit_choices(sharing: Sharing, ranks: int) -> SpatialChoices:
    """As many choices of spatial factors, all 1, as there are kinds of sharing."""
    count, tensors = len(sharing.shares), sharing.shares.shape[1]
    ones = np.ones((count, ranks), dtype=np.int64)
    return SpatialChoices(ones, ones[:, 0], np.ones(count), (), np.zeros((tensors, count)))
