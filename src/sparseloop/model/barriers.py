"""How long lanes that wait for each other are busy: the fullest lane of every interval, or the work dealt out evenly.

    step     an interval is one temporal step: it takes time unless a condition is empty in all lanes
    pass     the loops inside the innermost one that moves a tile kept below the fanout
    greedy   the work of an interval is dealt out before it begins: whole units, ceil(work / lanes)

A unit is what the leaders' tiles do not tell apart. The units of a lane in an interval are binomial, lanes of different tiles
independent; known patterns are counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sparseloop.model import ops
from sparseloop.model.density.slices import binomial
from sparseloop.model.plan import Plan
from sparseloop.model.rows import asked_by_rows
from sparseloop.model.sparsity.emptiness import Condition, tile_condition
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.sparsity.known_patterns import nonempty_counts
from sparseloop.model.sparsity.large_patterns import TileInData
from sparseloop.model.sparsity.packing import DENSE_LIMIT
from sparseloop.model.traffic.tiles import join
from sparseloop.model.units import Floats, Share

EXACT_UNITS = 2**14
"""Units of an interval up to which the binomial distribution is summed; of more it is nearly normal."""


def barrier_level(plan: Plan) -> int | None:
    """The level whose fanout has lanes that wait, or work that is dealt out; None if there is none."""
    return next((i for i, lv in enumerate(plan.arch.levels) if lv.sync != "end" or lv.balance != "none"), None)


def waiting_time(safs: SafConditions, level: int, busy: Share) -> Share:
    """Time of the computes that take some, over the steps of the nest; `busy`: the share of computes that is left."""
    plan, tiles = safs.plan, safs.tiles
    conditions = sorted(safs.operand_conditions(safs.skips) | safs.compute_skips(), key=str)
    if not conditions:
        return busy
    spec = plan.arch.levels[level]
    if spec.sync == "step" and spec.balance == "none":
        every = tiles.covering(i for i, loop in enumerate(plan.loops) if loop.spatial and loop.level >= level)
        met = frozenset(tile_condition(tiles, tensor, join(cover, every)) for tensor, cover in conditions)
        return ops.maximum(busy, safs.emptiness.non_emptiness(met))
    columns = [busy, *tiles.bounds, *(tiles.count(cover[i], i) for _, cover in conditions for i in range(len(tiles.bounds)))]
    interval = _Interval(plan, level, tuple(conditions), whole=spec.sync == "end", steps=spec.sync == "step")
    known = not tiles.clipped and all(plan.einsum.tensors[t].density.deterministic for t, _ in conditions)
    greedy = spec.balance == "greedy"

    def answer(*row: float) -> float:
        return max(row[0], interval.time(row, greedy=greedy, known=known))

    return asked_by_rows("fullest lanes between barriers", columns, answer)


class _Interval:
    """What lanes do between two barriers, for given bounds."""

    def __init__(self, plan: Plan, level: int, conditions: tuple[Condition, ...], *, whole: bool, steps: bool) -> None:
        self.plan, self.level, self.conditions = plan, level, conditions
        self.whole, self.steps = whole, steps

    def time(self, row: Sequence[float], *, greedy: bool, known: bool) -> float:
        """Mean over intervals of the time of the fullest lane, over that of a lane that has everything to do."""
        busy, slots = row[0], len(self.plan.loops)
        bounds = tuple(round(x) for x in row[1 : 1 + slots])
        covers = [tuple(round(x) for x in row[1 + slots * k : 1 + slots * (k + 1)]) for k in range(1, len(self.conditions) + 1)]
        tiles = tuple(TileInData(tensor, cover) for (tensor, _), cover in zip(self.conditions, covers, strict=True))
        told = [self._told(tiles, i, n) for i, n in enumerate(bounds)]
        outside = self._outside(bounds)
        lanes = [i for i, loop in enumerate(self.plan.loops) if loop.spatial and loop.level == self.level]
        inside = [i for i in range(slots) if i not in outside and i not in lanes]
        units, apart = math.prod(told[i] for i in inside), math.prod(told[i] for i in lanes)
        each = math.prod(bounds[i] for i in inside if not self.plan.loops[i].spatial) / units
        if not known or math.prod(told[i] for i in (*outside, *lanes)) > DENSE_LIMIT:
            return (dealt(units, busy, apart, each) if greedy else fullest(units, busy, apart)) / units
        kept = tuple(i for i in sorted((*outside, *lanes)) if told[i] > 1)
        counts = np.asarray(nonempty_counts(self.plan, bounds, tiles, kept))
        across = tuple(at for at, i in enumerate(kept) if i in lanes)
        if greedy:
            return float(np.ceil(counts.sum(axis=across) * each / apart - 1e-9).mean() / (units * each))
        return float(counts.max(axis=across).mean() / units)

    def _told(self, tiles: tuple[TileInData, ...], slot: int, bound: int) -> int:
        """Index values of a loop that the leaders' tiles tell apart."""
        relevant = (one for one in tiles if slot in self.plan.relevant[one.tensor])
        return max((math.ceil(bound / one.covered[slot]) for one in relevant), default=1)

    def _outside(self, bounds: tuple[int, ...]) -> list[int]:
        """Loops outside an interval: spatial ones further out, and temporal ones from the innermost that moves a tile."""
        loops, found = self.plan.loops, {i for i, loop in enumerate(self.plan.loops) if loop.spatial and loop.level < self.level}
        if self.steps:
            found |= {i for i, loop in enumerate(loops) if not loop.spatial}
        for link in () if self.whole else self.plan.links:
            if link.parent <= self.level < link.child < self.plan.compute:
                moving = next((i for i in link.temporal if i in link.relevant and bounds[i] > 1), -1)
                found |= {i for i in link.temporal if i <= moving}
        return sorted(found)


def fullest(units: int, chance: float, lanes: int) -> float:
    """E of the largest of so many independent numbers of units that are there."""
    if lanes <= 1 or chance <= 0 or chance >= 1:
        return units * min(max(chance, 0.0), 1.0)
    if units <= EXACT_UNITS:
        k = binomial(units, chance)
        weights = np.zeros(units + 1)
        weights[k.values.astype(np.int64)] = k.weights
        below: Floats = np.minimum(np.cumsum(weights / weights.sum()), 1.0)
        return float((1.0 - below[:-1] ** lanes).sum())
    return units * chance + math.sqrt(units * chance * (1 - chance)) * largest_normal(lanes)


def largest_normal(lanes: int) -> float:
    """E of the largest of independent standard normal numbers."""
    step = 0.0045
    x = (np.arange(4000) - 1999.5) * step
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in x]) ** lanes
    return float(np.where(x > 0, 1.0 - below, -below).sum() * step)


def dealt(units: int, chance: float, lanes: int, each: float = 1.0) -> float:
    """E[ceil(steps / lanes)] of the units of all lanes together, `each` of so many steps; in units."""
    chance = min(max(chance, 0.0), 1.0)
    if units * lanes > EXACT_UNITS or lanes <= 1:
        return units * chance + (lanes - 1) / (2 * lanes * each) * (1.0 - (1.0 - chance) ** (units * lanes))
    k = binomial(units * lanes, chance)
    return float(np.ceil(k.values * each / lanes - 1e-9) @ k.weights) / each
