"""Transitions between tiles of neighbouring levels, and the states that they join: what `tilings` keeps of a level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.optimal.level_cost import Carry
from sparseloop.mapper.optimal.lower_bounds import Floats, Ints


@dataclass(frozen=True, slots=True)
class Edges:
    """Transitions of one level: from a state inside, by spatial factors, to a tile with lanes and pending crossings."""

    source: Ints
    spread: Ints
    target: Ints
    lanes: Ints
    mask: Ints
    cost: Floats
    time: Floats

    def rows(self, at: Ints | npt.NDArray[np.bool_]) -> Edges:
        """Some of them."""
        whole = (self.source[at], self.spread[at], self.target[at], self.lanes[at], self.mask[at])
        return Edges(*whole, self.cost[at], self.time[at])

    @classmethod
    def concatenated(cls, parts: list[Edges]) -> Edges:
        """All of them."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(
            source=np.concatenate([nothing, *(p.source for p in parts)]),
            spread=np.concatenate([nothing, *(p.spread for p in parts)]),
            target=np.concatenate([nothing, *(p.target for p in parts)]),
            lanes=np.concatenate([nothing, *(p.lanes for p in parts)]),
            mask=np.concatenate([nothing, *(p.mask for p in parts)]),
            cost=np.concatenate([np.empty(0), *(p.cost for p in parts)]),
            time=np.concatenate([np.empty(0), *(p.time for p in parts)]),
        )


@dataclass(frozen=True, slots=True)
class Transitions:
    """Transitions of one level before they are charged: from a state inside, by spatial and temporal factors, to a tile."""

    source: Ints
    spread: Ints
    target: Ints
    ways: Floats
    """Chains that go through them."""
    factors: Ints
    """Rank by transition."""

    def rows(self, at: npt.NDArray[np.bool_]) -> Transitions:
        """Some of them."""
        return Transitions(self.source[at], self.spread[at], self.target[at], self.ways[at], self.factors[:, at])

    @classmethod
    def concatenated(cls, parts: list[Transitions]) -> Transitions:
        """All of them."""
        return cls(
            source=np.concatenate([part.source for part in parts]),
            spread=np.concatenate([part.spread for part in parts]),
            target=np.concatenate([part.target for part in parts]),
            ways=np.concatenate([part.ways for part in parts]),
            factors=np.concatenate([part.factors for part in parts], axis=1),
        )


@dataclass(slots=True)
class Frontier:
    """States at the boundary outside one level, and the transitions into them."""

    code: Ints
    lanes: Ints
    energy: Floats
    cycles: Floats
    ways: Floats
    """Chains inside that are still there."""
    mask: Ints
    """Which crossings are pending, as bits."""
    carried: dict[int, Carry]
    """Bit of a crossing to what it carries, by state."""
    source: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    target: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    spread: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    cost: Floats = field(default_factory=lambda: np.empty(0))
    time: Floats = field(default_factory=lambda: np.empty(0))
    out_energy: Floats = field(default_factory=lambda: np.empty(0))
    out_cycles: Floats = field(default_factory=lambda: np.empty(0))
    starts: Ints = field(default_factory=lambda: np.empty(0, np.int64))


def batched(parts: Iterable[Transitions], count: int) -> Iterator[Transitions]:
    """The same, about `count` at a time: what few have in common is cheaper for many."""
    waiting: list[Transitions] = []
    for part in parts:
        waiting.append(part)
        if sum(len(some.source) for some in waiting) >= count:
            yield Transitions.concatenated(waiting)
            waiting = []
    if waiting:
        yield Transitions.concatenated(waiting)
