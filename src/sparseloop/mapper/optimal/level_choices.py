"""The factors that a mapspace admits, level by level, in how many ways the rest can be factored further out, and which tiles of a
level have room for their metadata.

A crossing injects words into the network of every level from its parent to right outside its child. Words that come from
further inside are merged where lanes share them, so of W words W / M enter a network with M lanes that share, each for the least
energy of all ways to lay the factors on the mesh; partial sums are added W / M times M - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from sparseloop.mapper.optimal.crossings import AxisSplits, SpatialChoices
from sparseloop.mapper.optimal.effort import Effort, unlimited
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.quantities import Flags, Floats, Ints, TileNumbers
from sparseloop.mapper.optimal.tile_table import TileTable
from sparseloop.mapper.space.constraints import spatial_ranks, switches
from sparseloop.mapper.space.mapspace import Mapspace, forwards, laid_on_loops
from sparseloop.model.cost.networks import SpreadLoop, hop_pj, hops_across
from sparseloop.model.cost.requirements import TOLERANCE
from sparseloop.model.design.sparse import TensorFormat
from sparseloop.model.formats.occupancy import least_bits_counted

Split = tuple[int, ...]
"""Factors of one rank along the axes of a fanout."""


@dataclass(frozen=True, slots=True)
class LevelChoice:
    """What one level may do to a tile; tables by rank and by index of the tile's extent among the divisors of the rank."""

    level: int
    spatial: SpatialChoices
    temporal: tuple[tuple[Ints, ...], ...]
    """Admissible temporal factors, by the extent before the temporal loops."""
    ways_outside: tuple[Floats, ...]
    """Ways to factor the rest of the rank over the levels outside."""
    ways_from_here: tuple[Floats, ...]
    """The same with the temporal loops of the level itself."""


@dataclass(frozen=True, slots=True)
class _RankFactors:
    """The factors of one rank at one level."""

    temporal: list[int]
    spatial: dict[int, list[Split]]
    """Spatial factor to its splits over the axes."""


class LevelChoices:
    """The choices of every level, outermost first."""

    def __init__(self, space: Mapspace, table: TileTable, effort: Effort | None = None) -> None:
        self.space, self.table, self.effort = space, table, effort or unlimited()
        self.levels = len(space.design.arch.storage)
        self.index: list[dict[int, int]] = [{int(v): i for i, v in enumerate(d)} for d in self.table.divisors]
        """Per rank: divisor to its index."""
        outside = self._ways_outside()
        self.by_level = [self._choice(level, outside[level]) for level in range(self.levels)]

    def _factors(self, rank: int, level: int) -> _RankFactors:
        temporal, spatial = [1], {1: list[Split]([()])}
        for group in self.space.ranks[rank].factors.groups:
            if group.level != level:
                continue
            values = [int(v) for v in self.table.divisors[rank] if group.allows(int(v))]
            if group.temporal:
                temporal = values
            else:
                spatial = {v: splits for v in values if (splits := list(group.splits(v)))}
        return _RankFactors(temporal, spatial)

    def _ways_outside(self) -> list[tuple[Floats, ...]]:
        """Per level and rank: ways to complete a tile by the levels outside."""
        by_rank: list[list[Floats]] = []
        for rank, divisors in enumerate(self.table.divisors):
            ways = np.zeros(len(divisors))
            ways[-1] = 1.0
            by_level = [ways]
            for level in range(self.levels - 1):
                factors = self._factors(rank, level)
                inner = np.zeros(len(divisors))
                for (t, (s, splits)), i in product(product(factors.temporal, factors.spatial.items()), range(len(divisors))):
                    target = self.index[rank].get(int(divisors[i]) * t * s)
                    inner[i] += len(splits) * ways[target] if target is not None else 0.0
                ways = inner
                by_level.append(ways)
            by_rank.append(by_level)
        return [tuple(by_level[level] for by_level in by_rank) for level in range(self.levels)]

    def _choice(self, level: int, outside: tuple[Floats, ...]) -> LevelChoice:
        temporal: list[tuple[Ints, ...]] = []
        for rank, divisors in enumerate(self.table.divisors):
            factors = self._factors(rank, level).temporal
            reachable = {v for v, i in self.index[rank].items() if outside[rank][i] > 0}
            fitting = [[t for t in factors if int(v) * t in reachable] for v in divisors]
            temporal.append(tuple(np.array(f, dtype=np.int64) for f in fitting))
        from_here: list[Floats] = []
        for rank, divisors in enumerate(self.table.divisors):
            index, ways = self.index[rank], outside[rank]
            pairs = zip(divisors, temporal[rank], strict=True)
            from_here.append(np.array([sum(float(ways[index[int(v) * int(t)]]) for t in f) for v, f in pairs]))
        return LevelChoice(level, self._spatial(level), tuple(temporal), outside, tuple(from_here))

    def _spatial(self, level: int) -> SpatialChoices:
        """Spatial factors of all ranks within the fanout (not where lanes are packed)."""
        x, y = self.space.design.arch.fanout(level)
        packed = self.space.design.sparse.packs(level)
        choices = [self._factors(rank, level).spatial for rank in range(len(self.table.divisors))]
        axes = [self._axes(rank, level) for rank in range(len(self.table.divisors))]
        splits_of: dict[tuple[int, ...], list[tuple[Split, ...]]] = {}
        """Factors of all ranks to their splits."""

        def extended(rank: int, factors: tuple[int, ...], chosen: tuple[Split, ...], used: tuple[int, int]) -> None:
            if rank == len(choices):
                if len(splits_of) % 256 == 0:
                    self.effort.add(256)
                splits_of.setdefault(factors, []).append(chosen)
                return
            for factor, splits in choices[rank].items():
                for split in splits:
                    now = list(used)
                    for axis, n in zip(axes[rank], split, strict=True):
                        now[axis == "y"] *= n
                    if packed or (now[0] <= x and now[1] <= y):
                        extended(rank + 1, (*factors, factor), (*chosen, split), (now[0], now[1]))

        extended(0, (), (), (1, 1))
        factors = np.array(list(splits_of), dtype=np.int64).reshape(len(splits_of), len(choices))
        ways = np.array([len(splits) for splits in splits_of.values()], dtype=np.float64)
        splits, hops = self._good_splits(level, list(splits_of.values()))
        return SpatialChoices(factors, factors.prod(axis=1), ways, splits, hops)

    def _good_splits(self, level: int, splits: list[list[tuple[Split, ...]]]) -> tuple[tuple[AxisSplits, ...], Floats]:
        """Of every choice of factors the splits that may be best, and the least hops of every tensor (tensors, choices)."""
        flat = np.array([[n for rank in way for n in rank] for ways in splits for way in ways], dtype=np.int64)
        hops = hops_of_ways(self.space, level, flat.reshape(sum(map(len, splits)), -1))
        starts = np.cumsum([0, *map(len, splits)])
        if not axes_matter(self.space, level):
            of_choice = [best_ways(hops[:, a:b]) if b > a + 1 else [0] for a, b in pairwise(starts)]
            splits = [[ways[i] for i in kept] for ways, kept in zip(splits, of_choice, strict=True)]
        return tuple(tuple(ways) for ways in splits), np.minimum.reduceat(hops, starts[:-1], axis=1)

    def _axes(self, rank: int, level: int) -> list[str]:
        return [str(loop.axis) for loop in self.space.ranks[rank].loops if loop.level == level and loop.spatial]


def metadata_fits(bounds: LowerBounds, level: int, inner: TileNumbers, outer: TileNumbers) -> Flags:
    """Whether a level has room for the metadata of its tiles, if the next level inside holds tiles `inner` of them.

    Only what is counted at least of random operands that both levels store, in ranks of single loops: offsets are many where the
    fibers inside are short.
    """
    design, table = bounds.design, bounds.tiles
    spec, bits = design.arch.levels[level], np.zeros(len(outer))
    kept = bounds.keep[level] & bounds.keep[level + 1] if level + 1 < bounds.levels else frozenset[str]()
    if spec.metadata_capacity_bits is None or spec.capacity_rule == "expected" or design.sparse.timeloop_reading:
        return np.ones(len(outer), dtype=bool)
    for t, tensor in enumerate(design.einsum.tensors):
        stored, inside = (design.sparse.format(at, tensor.name) for at in (level, level + 1))
        known = tensor.name in kept and table.plan.plain[t] and not table.plan.padded[t]
        if not known or stored is None or inside is None or not stored.compressed or tensor.density.produced:
            continue
        if tensor.density.deterministic or any(rank.groups for one in (stored, inside) for rank in one.ranks):
            continue
        counted = table.counted(t, level, True)[outer] / table.plan.width(t, level)
        longest = _longest_fiber(bounds, (t, level), inside, inner, outer)
        bits += least_bits_counted(stored, (table.size(t)[outer], counted), longest, spec.metadata_word_bits)
    return bits <= spec.metadata_capacity_bits * (1 + TOLERANCE)


def _longest_fiber(
    bounds: LowerBounds, place: tuple[int, int], inside: TensorFormat, inner: TileNumbers, outer: TileNumbers
) -> Floats:  # fmt: skip
    """Positions at most in a fiber of the last rank, which takes the innermost loop of the tensor; `place`: tensor and level.

    A single loop inside goes to the first rank of a list that is laid from outside; the last one has fibers of one element.
    """
    (t, level), table = place, bounds.tiles
    rows = [i for i, rank in enumerate(table.ranks) if rank in bounds.design.einsum.tensors[t].ranks]
    held = table.extents[rows][:, inner]
    longest = held.max(axis=0, initial=1).astype(np.float64)
    one_each = level + 2 == bounds.levels and all(n == 1 for n in bounds.spatial_most[level + 1].values())
    if one_each and len(inside.ranks) > 1 and inside.order == "outer_to_inner":
        longest = np.where((held > 1).sum(axis=0) < 2, 1.0, longest)
    around = (table.extents[rows][:, outer] / held).max(axis=0, initial=1)
    return np.where((held > 1).any(axis=0), longest, around)


# --- networks: how spatial factors may lie on a mesh ---------------------------------------------------------


def hops_matter(space: Mapspace, level: int) -> bool:
    """True if a word costs more on the network of the level the farther it goes."""
    n = space.design.arch.levels[level].network
    return n is not None and bool(hop_pj(space.design.arch, level) or n.router_pj)


def axes_matter(space: Mapspace, level: int) -> bool:
    """True if more than hops depends on the axes of spatial loops: ranks of formats, packed lanes, words passed to neighbours."""
    n = space.design.arch.levels[level].network
    passed_on = n is not None and n.forwarding and forwards(space.design)
    return laid_on_loops(space.design) or space.design.sparse.packs(level) or passed_on


def hops_of_ways(space: Mapspace, level: int, ways: Ints) -> Floats:
    """Mean hops of a word of every tensor, shape (tensors, ways); `ways`: bounds of the level's spatial loops, (ways, loops)."""
    tensors, loops = space.design.einsum.tensors, [loop for loop in space.loops if loop.level == level and loop.spatial]
    found = np.zeros((len(tensors), len(ways)))
    if not hops_matter(space, level) or not loops:
        return found
    place = {(loop.axis, loop.rank): i for i, loop in enumerate(loops)}
    ranks, unshared = spatial_ranks(space.design, space.rules[level]), switches(space.rules)["no_multicast"]
    order = [(axis, rank) for axis in ("y", "x") for rank in ranks if (axis, rank) in place]
    for t, tensor in enumerate(tensors):
        alone = (level, tensor.name) in unshared
        spread = [
            SpreadLoop(axis == "y", ways[:, place[axis, rank]], not alone and rank not in tensor.ranks) for axis, rank in order
        ]
        found[t] = hops_across(spread, space.design.arch.fanout(level), packed=space.design.sparse.packs(level))
    return found


def best_ways(hops: Floats) -> list[int]:
    """Those of some ways, hops of shape (tensors, ways), that no other one beats: one of those with equal hops."""
    _, first = np.unique(hops, axis=1, return_index=True)
    rows: Any = hops[:, np.sort(first)].T
    beaten = ((rows[None] <= rows[:, None]).all(axis=2) & (rows[None] < rows[:, None]).any(axis=2)).any(axis=1)
    return [int(i) for i in np.sort(first)[~beaten]]
