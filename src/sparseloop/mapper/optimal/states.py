"""States, transitions and chains of the search over tiles, each a record of parallel arrays.

A state is what the levels inside a boundary leave open: the tile there, the lanes used so far, and the crossings that wait. A
transition leads over one level: from a state inside it, by spatial and temporal factors, to a larger tile. A chain is one
transition per level, from the single point to the whole shape. A frontier has all states at one boundary with the transitions
that lead to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparseloop.mapper.optimal.crossings import WaitingCrossing
from sparseloop.mapper.optimal.level_choices import LevelChoice
from sparseloop.mapper.optimal.quantities import (
    Bits,
    CostBound,
    Cycles,
    Energy,
    Factors,
    Flags,
    Floats,
    Ints,
    Lanes,
    TileNumbers,
    Ways,
)
from sparseloop.mapper.optimal.tile_table import TileTable


@dataclass(frozen=True, slots=True)
class Openings:
    """States of a frontier with a choice of spatial factors each; arrays of shape (openings,)."""

    source: Ints
    """State inside."""
    spatial: Ints
    """Number of the choice of spatial factors."""
    tile: TileNumbers
    """With the spatial factors, before the temporal ones."""
    energy: Energy
    """At and inside the level, at least."""
    cycles: Cycles
    """At and inside the level, at least."""

    def rows(self, at: Ints) -> Openings:
        """The entries `at` of every array."""
        return Openings(self.source[at], self.spatial[at], self.tile[at], self.energy[at], self.cycles[at])

    def with_costs(self, inner: Frontier, own: CostBound) -> Openings:
        """With what the level costs at least."""
        energy, cycles = inner.energy[self.source] + own.energy, np.maximum(inner.cycles[self.source], own.cycles)
        return Openings(self.source, self.spatial, self.tile, energy, cycles)

    @classmethod
    def concatenated(cls, parts: list[Openings]) -> Openings:
        """One after the other."""
        return cls(
            source=np.concatenate([part.source for part in parts]),
            spatial=np.concatenate([part.spatial for part in parts]),
            tile=np.concatenate([part.tile for part in parts]),
            energy=np.concatenate([part.energy for part in parts]),
            cycles=np.concatenate([part.cycles for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class TemporalSteps:
    """Openings with temporal factors; arrays of shape (steps,)."""

    opening: Ints
    tile: TileNumbers
    """With the temporal factors."""
    factors: Factors
    """Shape (ranks, steps)."""


@dataclass(frozen=True, slots=True)
class Transitions:
    """Transitions of one level before they are charged; arrays of shape (transitions,)."""

    source: Ints
    """State inside."""
    spatial: Ints
    """Number of the choice of spatial factors."""
    tile: TileNumbers
    """That of the level."""
    ways: Ways
    """Chains that go through the transition."""
    factors: Factors
    """Temporal ones, shape (ranks, transitions)."""

    def rows(self, at: Flags) -> Transitions:
        """The entries `at` of every array."""
        return Transitions(self.source[at], self.spatial[at], self.tile[at], self.ways[at], self.factors[:, at])

    @classmethod
    def concatenated(cls, parts: list[Transitions]) -> Transitions:
        """One after the other."""
        return cls(
            source=np.concatenate([part.source for part in parts]),
            spatial=np.concatenate([part.spatial for part in parts]),
            tile=np.concatenate([part.tile for part in parts]),
            ways=np.concatenate([part.ways for part in parts]),
            factors=np.concatenate([part.factors for part in parts], axis=1),
        )


def batched(parts: Iterable[Transitions], count: int) -> Iterator[Transitions]:
    """The same transitions, about `count` at a time: what they have in common is computed once for all of them."""
    waiting: list[Transitions] = []
    for part in parts:
        waiting.append(part)
        if sum(len(one.source) for one in waiting) >= count:
            yield Transitions.concatenated(waiting)
            waiting = []
    if waiting:
        yield Transitions.concatenated(waiting)


@dataclass(frozen=True, slots=True)
class Edges:
    """Transitions of one level with their costs; arrays of shape (edges,)."""

    source: Ints
    """State inside."""
    spatial: Ints
    """Number of the choice of spatial factors."""
    tile: TileNumbers
    """That of the level."""
    lanes: Lanes
    """At and inside the level."""
    waiting: Bits
    """Crossings that wait past the level."""
    energy: Energy
    """Charged to the level, at least."""
    cycles: Cycles
    """Of the slowest store under what is charged to the level, at least."""

    def rows(self, at: Ints | Flags) -> Edges:
        """The entries `at` of every array."""
        numbers = (self.source[at], self.spatial[at], self.tile[at], self.lanes[at], self.waiting[at])
        return Edges(*numbers, self.energy[at], self.cycles[at])

    @classmethod
    def concatenated(cls, parts: list[Edges]) -> Edges:
        """One after the other."""
        no_numbers, no_costs = np.empty(0, dtype=np.int64), np.empty(0)
        return cls(
            source=np.concatenate([no_numbers, *(part.source for part in parts)]),
            spatial=np.concatenate([no_numbers, *(part.spatial for part in parts)]),
            tile=np.concatenate([no_numbers, *(part.tile for part in parts)]),
            lanes=np.concatenate([no_numbers, *(part.lanes for part in parts)]),
            waiting=np.concatenate([no_numbers, *(part.waiting for part in parts)]),
            energy=np.concatenate([no_costs, *(part.energy for part in parts)]),
            cycles=np.concatenate([no_costs, *(part.cycles for part in parts)]),
        )


@dataclass(frozen=True, slots=True)
class Frontier:
    """The states at the boundary outside one level, arrays of shape (states,), with the edges that lead to them."""

    tile: TileNumbers
    lanes: Lanes
    energy: Energy
    """Charged to the levels inside, least of all chains to the state."""
    cycles: Cycles
    """Of the slowest store under what is charged to the levels inside, least of all chains to the state."""
    ways: Ways
    """Chains to the state."""
    waiting: Bits
    """Crossings that wait."""
    carried: dict[int, WaitingCrossing]
    """Number of a crossing to what it carries, by state: the least of all chains to the state."""
    edges: Edges
    """Sorted by the state they lead to."""
    starts: Ints
    """Edges starts[s] to starts[s + 1] - 1 lead to state s; shape (states + 1,)."""

    @classmethod
    def point(cls) -> Frontier:
        """The innermost boundary: a single point, with nothing inside."""
        zero, cost = np.zeros(1, dtype=np.int64), np.zeros(1)
        one, empty = np.ones(1, dtype=np.int64), Edges.concatenated([])
        return cls(zero, one, cost, cost, np.ones(1), zero, {}, empty, np.zeros(2, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class PartialChains:
    """Chains from the outside in, as far as the states of one frontier; arrays of shape (chains,)."""

    level: int
    """Levels passed."""
    state: Ints
    energy: Energy
    """Charged to the levels passed."""
    cycles: Cycles
    """Of the slowest store under what is charged to the levels passed."""
    path: Ints
    """Edges taken, shape (levels passed, chains)."""

    def rows(self, at: Ints) -> PartialChains:
        """The entries `at` of every array."""
        return PartialChains(self.level, self.state[at], self.energy[at], self.cycles[at], self.path[:, at])


@dataclass(frozen=True, slots=True)
class TileChains:
    """Complete chains of tiles; per level arrays of shape (chains,)."""

    spatial: tuple[Ints, ...]
    """Per level the number of the choice of spatial factors."""
    factors: tuple[Factors, ...]
    """Per level the temporal factors, shape (ranks, chains)."""
    energy: Energy
    """Of the whole mapping, at least."""
    cycles: Floats
    """Of the whole mapping, at least."""

    def __len__(self) -> int:
        return len(self.energy)

    def rows(self, at: Ints) -> TileChains:
        """The entries `at` of every array."""
        spatial, factors = tuple(s[at] for s in self.spatial), tuple(f[:, at] for f in self.factors)
        return TileChains(spatial, factors, self.energy[at], self.cycles[at])

    @classmethod
    def concatenated(cls, parts: list[TileChains]) -> TileChains:
        """One after the other."""
        spatial = tuple(np.concatenate(level) for level in zip(*(part.spatial for part in parts), strict=True))
        factors = tuple(np.concatenate(level, axis=1) for level in zip(*(part.factors for part in parts), strict=True))
        energy, cycles = (np.concatenate(arrays) for arrays in zip(*((p.energy, p.cycles) for p in parts), strict=True))
        return cls(spatial, factors, energy, cycles)


# --- temporal factors rank by rank ---------------------------------------------------------------------------


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
