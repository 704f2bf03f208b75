"""Chains of tiles: all ways to factor every rank over the levels, walked from the inside out under a bound.

A step belongs to one storage level: first its spatial factors, then its temporal ones. States are (tile of the level, lanes so
far); for each the least energy and the least cycles of what lies inside are kept, together with every transition that may still
be part of a mapping better than the best one known. A second pass from the outside in gives the least of what lies outside, so
that the enumeration of complete chains meets only chains whose own bound is good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt

from .bounds import Bounds, Crossing, Floats, Ints, TileTable, element_alive

Prune = Callable[[Floats, Floats], npt.NDArray[np.bool_]]
"""(energy, cycles), both at least, to: such a mapping cannot be better than the best known one."""
EXPAND = 1 << 20
"""Transitions made at once."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The spatial factors of one level: per choice the factor of every rank, and in how many ways the axes give it."""

    factors: Ints
    """Choice by rank."""
    ways: Floats
    splits: tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
    """Per choice the ways: per rank its factors along the axes."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a level may do to the tile."""

    level: int
    spread: Spread
    options: tuple[tuple[Ints, ...], ...]
    """Per rank and index of the tile before the temporal loops: admissible temporal factors."""
    outside: tuple[Floats, ...]
    """Per rank and index of the tile: ways to factor what is left over the levels outside."""


class Steps:
    """The factors that the mapspace admits, level by level."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.space, self.table = bounds.space, bounds.tiles
        self.index: list[dict[int, int]] = [{int(v): i for i, v in enumerate(d)} for d in self.table.divisors]
        outside = self._outside()
        self.steps = [self._step(level, outside[level]) for level in range(bounds.levels)]

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
            for level in range(self.bounds.levels - 1):
                temporal, spatial = self._groups(rank, level)
                before = np.zeros(len(divisors))
                for (t, (s, splits)), i in product(product(temporal, spatial.items()), range(len(divisors))):
                    target = self.index[rank].get(int(divisors[i]) * t * s)
                    before[i] += len(splits) * ways[target] if target is not None else 0.0
                ways = before
                mine.append(ways)
            found.append(tuple(mine))
        return [tuple(mine[level] for mine in found) for level in range(self.bounds.levels)]

    def _step(self, level: int, outside: tuple[Floats, ...]) -> Step:
        options: list[tuple[Ints, ...]] = []
        for rank, divisors in enumerate(self.table.divisors):
            temporal, _ = self._groups(rank, level)
            index = self.index[rank]
            fits = [[t for t in temporal if (at := index.get(int(v) * t)) is not None and outside[rank][at] > 0] for v in divisors]
            options.append(tuple(np.array(f, dtype=np.int64) for f in fits))
        return Step(level, self._spread(level), tuple(options), outside)

    def _spread(self, level: int) -> Spread:
        """Spatial factors of all ranks within the fanout (not where lanes are packed)."""
        x, y = self.bounds.design.arch.fanout(level)
        packed = any(s.kind == "spatial_skip" and s.level == level for s in self.bounds.design.sparse.safs)
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
        return Spread(
            factors=np.array(list(found), dtype=np.int64).reshape(len(found), len(choices)),
            ways=np.array([len(v) for v in found.values()], dtype=np.float64),
            splits=tuple(tuple(v) for v in found.values()),
        )

    def _axes(self, rank: int, level: int) -> list[str]:
        return [str(loop.axis) for loop in self.space.ranks[rank].loops if loop.level == level and loop.spatial]


@dataclass(slots=True)
class Layer:
    """States at the boundary outside one level, and the transitions into them."""

    code: Ints
    lanes: Ints
    energy: Floats
    cycles: Floats
    ways: Floats
    """Chains inside that are still there."""
    source: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    target: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    spread: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    cost: Floats = field(default_factory=lambda: np.empty(0))
    time: Floats = field(default_factory=lambda: np.empty(0))
    out_energy: Floats = field(default_factory=lambda: np.empty(0))
    out_cycles: Floats = field(default_factory=lambda: np.empty(0))
    starts: Ints = field(default_factory=lambda: np.empty(0, np.int64))


class StepCost:
    """Energy and cycles, at least, of what crosses the boundary inside one level."""

    def __init__(self, bounds: Bounds, level: int) -> None:
        self.bounds, self.level = bounds, level
        self.table: TileTable = bounds.tiles
        self.crossings = bounds.crossings[level]
        self.to_compute = level == bounds.levels - 1
        self.tensors = bounds.design.einsum.tensors
        self.irrelevant = {c.tensor: self.table.irrelevant(self.tensors[c.tensor]) for c in self.crossings}
        self.alive = {c.tensor: self._alive(c.leaders) for c in self.crossings}
        self.slots = {c.tensor: self._alive(c.skippers) for c in self.crossings}
        inner = frozenset[str]().union(*bounds.keep[level + 1 :])
        self.waiting = {t: i for i, t in enumerate(t for t, x in enumerate(self.tensors) if x.name in inner)}
        arch = bounds.design.arch
        self.timed = any(
            lv.read_bandwidth is not None or lv.write_bandwidth is not None or lv.shared_bandwidth is not None for lv in arch.storage
        )

    def _alive(self, leaders: tuple[int, ...]) -> Floats:
        result = np.ones(self.table.count)
        for u in leaders:
            result = result * (element_alive(self.bounds.design, u) if self.to_compute else self.table.alive(u))
        return result

    def shared(self, crossing: Crossing, spread: Spread) -> Floats:
        """Product of the irrelevant spatial factors, by choice."""
        columns = [i for i, r in enumerate(self.table.ranks) if r not in self.tensors[crossing.tensor].ranks]
        return spread.factors[:, columns].astype(np.float64).prod(axis=1)

    def of(self, child: Ints, split: Floats, crossing: Crossing, run: Floats | None) -> tuple[Floats, Floats, Floats]:
        """(energy, words at the parent, words at the child); `run` None: it reaches past the level."""
        c, alive = crossing, self.alive[crossing.tensor][child]
        if self.to_compute:
            arriving = np.full(len(child), float(self.bounds.design.einsum.computes))
        elif not c.plain:
            arriving = np.full(len(child), c.whole)
        elif run is None:
            arriving = c.whole * split
        else:
            arriving = c.whole * c.irrelevant / self.irrelevant[c.tensor][child] / run
        halo = not c.plain and not self.to_compute
        most = c.sharing * split
        sent = (0.0 if c.forwarded else 1.0) * arriving / (1.0 if halo else most)
        if not c.plain and self.to_compute:
            sent = 0.0 * sent if c.forwarded else arriving / self._everything(child, crossing)
        if not c.output:
            energy = c.reads * sent + c.fills * arriving
            reads, fills = sent, arriving
        else:
            inside = split * self.bounds.most_shared(self.tensors[c.tensor], range(self.level))
            again = np.maximum(0.0, sent - c.whole * c.spread) if c.plain else 0.0 * sent
            refills = np.maximum(0.0, arriving - c.whole * inside) if c.plain and not self.to_compute else 0.0 * arriving
            energy = c.updates * sent + c.reads * again + c.fills * refills
            reads, fills = again, refills
        slots = self.slots[c.tensor][child]
        return energy * alive, (reads * slots, sent * slots) if c.output else (reads * slots, 0.0 * sent), fills * slots  # type: ignore[return-value]

    def _everything(self, child: Ints, crossing: Crossing) -> float:
        """Most lanes that may share a word of a tensor with halos: all."""
        return self.bounds.most_lanes(range(crossing.parent, self.bounds.levels))
