"""How many positions of a fanout several tensors leave active together, and how long the longest of them takes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sparseloop.model.density.base import Occupancy
from sparseloop.model.density.slices import binomial, log_choices
from sparseloop.model.units import Floats

MOST_PARTS = 4096
"""Parts of a position of which the longest is looked for; more are nearly as even."""


class Active(NamedTuple):
    """How many of some positions are active."""

    loops: frozenset[int]
    """Spatial loops that tell the positions apart."""
    positions: int
    occupancy: Occupancy


class Together(NamedTuple):
    """Independent parts of a position, and positions of which the longest counts."""

    parts: int
    positions: float


def longest(share: float, of_active: float, together: Together, sure: bool) -> Occupancy:
    """Time of the longest of several active positions, over that of one of which nothing is skipped.

    `share`: what is left of all positions on average; `of_active`: of active ones. Parts are left independently of each other, so
    that a position has a binomial number of them; where it is active because it has some, given that it has.
    """
    parts = min(together.parts, MOST_PARTS)
    if (parts <= 1 and together.positions <= 1 and sure) or of_active >= 1 - 1e-12 or share <= 0:
        return Occupancy(np.array([of_active]), np.ones(1))
    conditional = sure and parts > 1
    one = binomial(parts, share if conditional else of_active)
    if conditional:
        some = one.values > 0
        one = Occupancy(one.values[some], one.weights[some] / one.weights[some].sum())
    at_most = np.minimum(np.cumsum(one.weights), 1.0) ** together.positions
    return Occupancy(one.values / parts, np.diff(at_most, prepend=0.0))


def both_active(one: Active, two: Active, bounds: dict[int, int]) -> Active:
    """Positions that two independent tensors leave, `bounds` those of the loops.

    Without a loop in common their numbers multiply. If one tells no positions apart that the other does not, it drops groups
    of the other's, whose active ones are taken as spread at random: exact where one of them is uniform. Else all positions are
    taken as independent.
    """
    if one.positions == 1 and one.occupancy.mean == 1:
        return two
    loops = one.loops | two.loops
    positions = math.prod(bounds[i] for i in loops)
    if not one.loops & two.loops:
        values = np.multiply.outer(one.occupancy.values, two.occupancy.values).reshape(-1)
        weights = np.multiply.outer(one.occupancy.weights, two.occupancy.weights).reshape(-1)
        return Active(loops, positions, _gathered(values, weights))
    if loops not in (one.loops, two.loops):
        share = one.occupancy.mean / one.positions * two.occupancy.mean / two.positions
        return Active(loops, positions, binomial(positions, share))
    wide, narrow = (one, two) if one.loops == loops else (two, one)
    left = narrow.occupancy.values * (positions / narrow.positions)
    return Active(loops, positions, _common(positions, (wide.occupancy, Occupancy(left, narrow.occupancy.weights))))


def thinned(occupancy: Occupancy, share: float) -> Occupancy:
    """So many of the positions, of which each stays with the same chance."""
    if share >= 1:
        return occupancy
    values: Floats = np.arange(float(occupancy.values.max()) + 1.0)
    weights = np.zeros(len(values))
    for number, weight in zip(_whole(occupancy).astype(np.int64).tolist(), occupancy.weights.tolist(), strict=True):
        left = binomial(number, share)
        weights[left.values.astype(np.int64)] += weight * left.weights
    return Occupancy(values, weights)


def _common(positions: int, sets: tuple[Occupancy, Occupancy]) -> Occupancy:
    """Size of the common part of two random sets of positions: hypergeometric for every pair of sizes."""
    one, two = (_whole(s) for s in sets)
    k: Floats = np.arange(float(min(one.max(), two.max())) + 1.0)
    weights = np.zeros(len(k))
    for size, weight in zip(two.tolist(), sets[1].weights.tolist(), strict=True):
        weights += weight * (sets[0].weights @ _hits(positions, one[:, None], float(size), k[None, :]))
    return Occupancy(k, weights / weights.sum())


def _hits(positions: int, chosen: Any, size: float, hits: Any) -> Any:
    """P(`hits` of `size` positions, taken at random, are among the chosen ones)."""
    possible = (hits <= chosen) & (hits <= size) & (size - hits <= positions - chosen)
    inner, outer = np.where(possible, hits, 0.0), np.where(possible, size - hits, 0.0)
    logs = log_choices(chosen, inner) + log_choices(positions - chosen, outer) - log_choices(float(positions), np.array(size))
    return np.where(possible, np.exp(logs), 0.0)


def _gathered(values: Any, weights: Any) -> Occupancy:
    """Equal values together."""
    found, inverse = np.unique(np.rint(values), return_inverse=True)
    return Occupancy(found, np.bincount(inverse.reshape(-1), weights=weights).astype(np.float64))


def _whole(occupancy: Occupancy) -> Floats:
    """The values without rounding errors."""
    return np.asarray(np.rint(occupancy.values), dtype=np.float64)
