"""The factors that a mapspace admits, level by level, and in how many ways what is left can be factored further out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from sparseloop.mapper.optimal.level_cost import SpatialChoices
from sparseloop.mapper.optimal.lower_bounds import Floats, Ints, TileTable
from sparseloop.mapper.space.mapspace import Mapspace


@dataclass(frozen=True, slots=True)
class LevelChoice:
    """What a level may do to the tile."""

    level: int
    spread: SpatialChoices
    options: tuple[tuple[Ints, ...], ...]
    """Per rank and index of the tile before the temporal loops: admissible temporal factors."""
    outside: tuple[Floats, ...]
    """Per rank and index of the tile: ways to factor what is left over the levels outside."""
    middle: tuple[Floats, ...]
    """The same with the temporal loops of the level itself."""


class LevelChoices:
    """The factors that the mapspace admits, level by level."""

    def __init__(self, space: Mapspace, table: TileTable) -> None:
        self.space, self.table = space, table
        self.levels = len(space.design.arch.storage)
        self.index: list[dict[int, int]] = [{int(v): i for i, v in enumerate(d)} for d in self.table.divisors]
        outside = self._outside()
        self.steps = [self._step(level, outside[level]) for level in range(self.levels)]

    def _groups(self, rank: int, level: int) -> tuple[list[int], dict[int, list[tuple[int, ...]]]]:
        """Temporal factors, and spatial factors with their splits, of a rank at a level."""
        temporal, spatial = [1], {1: [()]}
        for group in self.space.ranks[rank].factors.groups:
            if group.level != level:
                continue
            values = [int(v) for v in self.table.divisors[rank] if group.allows(int(v))]
            if group.temporal:
                temporal = values
            else:
                spatial = {v: found for v in values if (found := list(group.splits(v)))}
        return temporal, spatial

    def _outside(self) -> list[tuple[Floats, ...]]:
        """Ways to complete a tile by the levels outside each level."""
        found: list[tuple[Floats, ...]] = []
        for rank, divisors in enumerate(self.table.divisors):
            ways = np.zeros(len(divisors))
            ways[-1] = 1.0
            mine = [ways]
            for level in range(self.levels - 1):
                temporal, spatial = self._groups(rank, level)
                before = np.zeros(len(divisors))
                for (t, (s, splits)), i in product(product(temporal, spatial.items()), range(len(divisors))):
                    target = self.index[rank].get(int(divisors[i]) * t * s)
                    before[i] += len(splits) * ways[target] if target is not None else 0.0
                ways = before
                mine.append(ways)
            found.append(tuple(mine))
        return [tuple(mine[level] for mine in found) for level in range(self.levels)]

    def _step(self, level: int, outside: tuple[Floats, ...]) -> LevelChoice:
        options: list[tuple[Ints, ...]] = []
        for rank, divisors in enumerate(self.table.divisors):
            temporal, _ = self._groups(rank, level)
            reachable = {v for v, i in self.index[rank].items() if outside[rank][i] > 0}
            fits = [[t for t in temporal if int(v) * t in reachable] for v in divisors]
            options.append(tuple(np.array(f, dtype=np.int64) for f in fits))
        middle: list[Floats] = []
        for rank, divisors in enumerate(self.table.divisors):
            index, ways = self.index[rank], outside[rank]
            pairs = zip(divisors, options[rank], strict=True)
            middle.append(np.array([sum(float(ways[index[int(v) * int(t)]]) for t in f) for v, f in pairs]))
        return LevelChoice(level, self._spread(level), tuple(options), outside, tuple(middle))

    def _spread(self, level: int) -> SpatialChoices:
        """Spatial factors of all ranks within the fanout (not where lanes are packed)."""
        x, y = self.space.design.arch.fanout(level)
        packed = self.space.design.sparse.packs(level)
        choices = [self._groups(rank, level)[1] for rank in range(len(self.table.divisors))]
        axes = [self._axes(rank, level) for rank in range(len(self.table.divisors))]
        found: dict[tuple[int, ...], list[tuple[tuple[int, ...], ...]]] = {}

        def extended(rank: int, factors: tuple[int, ...], split: tuple[tuple[int, ...], ...], used: tuple[int, int]) -> None:
            if rank == len(choices):
                found.setdefault(factors, []).append(split)
                return
            for factor, splits in choices[rank].items():
                for one in splits:
                    now = list(used)
                    for axis, n in zip(axes[rank], one, strict=True):
                        now[axis == "y"] *= n
                    if packed or (now[0] <= x and now[1] <= y):
                        extended(rank + 1, (*factors, factor), (*split, one), (now[0], now[1]))

        extended(0, (), (), (1, 1))
        factors = np.array(list(found), dtype=np.int64).reshape(len(found), len(choices))
        return SpatialChoices(
            factors=factors,
            lanes=factors.prod(axis=1),
            ways=np.array([len(v) for v in found.values()], dtype=np.float64),
            splits=tuple(tuple(v) for v in found.values()),
        )

    def _axes(self, rank: int, level: int) -> list[str]:
        return [str(loop.axis) for loop in self.space.ranks[rank].loops if loop.level == level and loop.spatial]
