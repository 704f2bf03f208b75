"""How far the slowest instance lags: quantiles of the largest of all instances' work, from the density models.

An instance is what lies under one position of the spatial loops outside any packing level; it works alone and waits for the
others at the end only, so this is a lower bound of what barriers inside would cost and an upper bound of `balanced`.
Its work, in steps, has mean mu and, over pairs of steps, variance V; two instances have covariance C (sound.md, section 7):

    V / mu^2 = sum over sets A of leaders of P(the two steps see the same tile of exactly the leaders in A) *
               (prod over u in A of 1/q_u * prod over the others of (1 + delta_u / q_u^2) - 1)

q_u = P(tile of u non-empty), delta_u the covariance of two different tiles of u; C the same for steps of different instances.
The largest of n is taken of n exchangeable, nearly normal numbers: deviations sqrt(V - C) from their common part.
Where an instance has few steps it is not nearly normal: there `drawn_work` draws the tensors and counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from sparseloop.model.barriers import barrier_level
from sparseloop.model.cost.cost import Cost
from sparseloop.model.cost.drawn_work import DRAWS, drawn_largest
from sparseloop.model.cost.waiting import waiting
from sparseloop.model.density import Tile
from sparseloop.model.density.base import upper_tail
from sparseloop.model.plan import AxisLoops
from sparseloop.model.sparsity.emptiness import Emptiness, minimal
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.sparsity.known_patterns import nonempty_counts
from sparseloop.model.sparsity.large_patterns import TileInData, listed_work
from sparseloop.model.sparsity.nest_points import Nest
from sparseloop.model.traffic.tiles import Cover, Tiles
from sparseloop.model.units import Floats

CONFIDENCES = (0.1, 0.5, 0.9)
REACH = 9.0
"""Standard deviations to which the distribution of the largest is integrated."""
POINTS = 4001
ROUNDING = 1e-6
"""Variance, over mean times quantum, below which it is rounding error of the probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowest:
    """Cycles of the slowest of `instances` independent instances: P10, P50, P90 of the compute, and of the whole mapping."""

    instances: int
    balanced: float
    """Cycles if the work were spread evenly: those of the compute level."""
    compute: tuple[float, float, float]
    cycles: tuple[float, float, float]
    """Not below the storage levels' cycles, which stay means."""
    draws: int = 0
    """Patterns that were drawn and counted exactly; 0: known patterns, or a nearly normal distribution of many steps."""


@dataclass(frozen=True, slots=True, eq=False)
class Leader:
    """A tensor whose tile must be non-empty for a step to be done."""

    tensor: int
    cover: Cover
    filled: float
    """q: P(tile non-empty)."""
    pieces: dict[int, float]
    """Slot to the number of different tiles along it, where there is more than one."""


def slowest(cost: Cost) -> Slowest | None:
    """The cycles of the slowest instance of a single mapping.

    None if nothing is skipped, if features are alternatives, if a leader has tiles that overlap without one containing the other,
    or if an instance expects less than one non-empty tile (too few for a nearly normal number).
    """
    plan, tiles = cost.plan, cost.dense.tiles
    if barrier_level(plan) is not None:
        return None  # lanes that wait inside the run: their time is that of the compute level
    leaders = None if any(s.choice is not None for s in plan.sparse.safs) else leaders_of(cost)
    if not leaders:
        return None
    packing = min((s.level for s in plan.sparse.safs if s.packs), default=plan.compute)
    apart = frozenset(i for i, s in enumerate(plan.loops) if s.spatial and s.level < packing)
    inside = frozenset(range(len(plan.loops))) - apart
    pairs = Pairs(tiles, leaders, inside, apart)
    steps = float(cost.dense.steps) * math.prod(float(tiles.bounds[i]) for i in inside if plan.loops[i].spatial)
    mean = steps * math.prod(leader.filled for leader in leaders)
    if mean <= 0:
        return None
    known = known_work(cost, leaders, apart)
    if known is not None:
        return _reported(cost, pairs, [float(known.max() / known.mean())] * len(CONFIDENCES)) if known.any() else None
    drawn = drawn_largest(plan, _bounds(cost), _asked(cost, leaders), tuple(sorted(apart))) if cost.dense.perfect else None
    if drawn is not None:
        lags = drawn * _steps_alike(cost, leaders, apart) / mean
        return _reported(cost, pairs, [float(lag) for lag in np.quantile(lags, CONFIDENCES)], DRAWS)
    work = pairs.work(mean, steps)
    few = work.mean < work.quantum
    return None if few else _reported(cost, pairs, [value / mean for value in largest(work, round(pairs.number))])


def _reported(cost: Cost, pairs: Pairs, lags: list[float], draws: int = 0) -> Slowest:
    """Cycles of the slowest from its work over the mean work."""
    balanced, waits = float(cost.levels[-1].cycles), float(waiting(cost.waits, cost.plan.compute))
    reached = [lag * (balanced - waits) + waits for lag in lags]
    floor = max(float(level.cycles) for level in cost.levels[:-1])
    latency = float(cost.cycles) - max(floor, balanced)
    whole = [max(value, floor) + latency for value in reached]
    return Slowest(instances=round(pairs.number), balanced=balanced, compute=_three(reached), cycles=_three(whole), draws=draws)


def known_work(cost: Cost, leaders: Sequence[Leader], apart: frozenset[int]) -> Floats | None:
    """Steps of every instance if all leaders are known patterns."""
    plan, tiles = cost.plan, cost.dense.tiles
    if not all(plan.einsum.tensors[leader.tensor].density.deterministic for leader in leaders):
        return None
    known = SafConditions(tiles, Emptiness(tiles), frozenset(plan.sparse.safs)).known
    if known is not None and known.tells_computes():
        return known.work(apart)
    bounds, asked = _bounds(cost), _asked(cost, leaders)
    if tiles.residuals is not None:
        return listed_work(Nest(plan, bounds, tuple(int(n) for n in tiles.residuals)), asked, tuple(sorted(apart)))
    work = nonempty_counts(plan, bounds, asked, tuple(sorted(apart)))
    return np.asarray(work * _steps_alike(cost, leaders, apart))


def _bounds(cost: Cost) -> tuple[int, ...]:
    return tuple(int(n) for n in cost.dense.tiles.bounds)


def _asked(cost: Cost, leaders: Sequence[Leader]) -> tuple[TileInData, ...]:
    """The leaders' tiles, as patterns are asked for them."""
    tiles, slots = cost.dense.tiles, range(len(cost.dense.tiles.bounds))
    return tuple(TileInData(leader.tensor, tuple(int(tiles.count(leader.cover[i], i)) for i in slots)) for leader in leaders)


def _steps_alike(cost: Cost, leaders: Sequence[Leader], apart: frozenset[int]) -> int:
    """Steps of an instance that no leader tells apart: one point of the pattern stands for so many."""
    told = {i for leader in leaders for i in leader.pieces}
    return math.prod(n for i, n in enumerate(_bounds(cost)) if i not in apart and i not in told)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = values
    return low, middle, high


def leaders_of(cost: Cost) -> list[Leader] | None:
    """The conditions under which a step takes time, one per tensor; None if a tensor has several that are not nested."""
    plan, tiles = cost.plan, cost.dense.tiles
    emptiness = Emptiness(tiles)
    safs = SafConditions(tiles, emptiness, frozenset(plan.sparse.safs))
    covers: dict[int, list[Cover]] = {}
    for tensor, cover in safs.operand_conditions(safs.skips) | safs.compute_skips():
        covers.setdefault(tensor, []).append(cover)
    found: list[Leader] = []
    for tensor, several in sorted(covers.items()):
        cover, *more = minimal(several)
        if more:
            return None
        filled = 1.0 - float(emptiness.empty(tensor, cover))
        pieces = {i: float(tiles.bounds[i]) / float(tiles.count(cover[i], i)) for i in plan.relevant[tensor]}
        found.append(Leader(tensor, cover, filled, {i: count for i, count in pieces.items() if count > 1}))
    return [leader for leader in found if leader.filled < 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Distribution of one instance's work in steps; `common` is the covariance of two instances."""

    mean: float
    variance: float
    common: float
    quantum: float
    """Steps that always come together."""
    most: float


class Met(NamedTuple):
    """What an instance, or all of them, meet of a leader."""

    elements: float
    covariances: float
    """Sum over all pairs of different elements."""


class Pairs:
    """Probabilities of two random steps, of one instance or of two different ones."""

    def __init__(self, tiles: Tiles, leaders: Sequence[Leader], inside: frozenset[int], apart: frozenset[int]) -> None:
        self.tiles, self.leaders = tiles, leaders
        self.inside, self.apart = inside, apart
        self.number = math.prod(self.pieces(i, leaders) for i in apart)
        """Instances that differ: those along loops that no leader notices do the same work."""

    def work(self, mean: float, steps: float) -> Work:
        """The distribution of one instance's work, of `mean` steps on average and `steps` at most."""
        common = mean**2 * self.covariance(True) if self.number > 1 else 0.0
        variance = max(mean**2 * self.covariance(False), 0.0)
        whole = math.prod(float(self.tiles.bounds[i]) for i in self.inside)
        quantum = whole / math.prod(self.pieces(i, self.leaders) for i in self.inside)
        return Work(mean=mean, variance=variance, common=min(common, variance), quantum=quantum, most=steps)

    def covariance(self, different: bool) -> float:
        """Covariance of two steps over the square of their mean, averaged over the pairs of one instance (or of two)."""
        result = 0.0
        deltas = [self._delta(leader, different) for leader in self.leaders]
        for chosen in _subsets(range(len(self.leaders))):
            share = self._exactly(chosen, different)
            logs = [
                -math.log(leader.filled) if at in chosen else math.log1p(max(delta / leader.filled**2, -1 + 1e-12))
                for at, (leader, delta) in enumerate(zip(self.leaders, deltas, strict=True))
            ]
            result += share * math.expm1(math.fsum(logs))
        return result

    def _exactly(self, chosen: frozenset[int], different: bool) -> float:
        """P(the tiles of these leaders are the same, of all others not), by inclusion and exclusion."""
        others = [at for at in range(len(self.leaders)) if at not in chosen]
        signed = ((-1) ** len(more) * self.same(chosen | more, different) for more in _subsets(others))
        return max(math.fsum(signed), 0.0)

    def pieces(self, slot: int, leaders: Sequence[Leader]) -> float:
        """Different tiles along a slot, told apart by any of these leaders."""
        return max((leader.pieces.get(slot, 1.0) for leader in leaders), default=1.0)

    def same(self, chosen: frozenset[int], different: bool) -> float:
        """P(both steps see the same tile of each of these leaders)."""
        leaders = [self.leaders[at] for at in chosen]
        plain = [leader for leader in leaders if self.tiles.plan.plain[leader.tensor]]
        result = math.prod(1.0 / self.pieces(i, plain) for i in self.inside)
        told = {i for leader in plain for i in leader.pieces}
        for leader in leaders:
            if leader not in plain:
                result *= math.prod(self._meeting(axis, leader, told) for axis in self.tiles.plan.moves[leader.tensor])
        if different:
            apart = math.prod(self.pieces(i, leaders) for i in self.apart)
            result *= (self.number / apart - 1.0) / (self.number - 1.0)
        return result

    def _meeting(self, axis: AxisLoops, leader: Leader, told: set[int]) -> float:
        """P(two random values of an axis agree), the loops in `told` standing alike: sum of squares of its distribution."""
        shares = np.ones(1)
        for slot, coefficient in axis:
            count = leader.pieces.get(slot, 1.0)
            if slot not in self.inside or slot in told or count <= 1:
                continue
            step = round(abs(coefficient) * float(self.tiles.stride[slot]) * float(self.tiles.bounds[slot]) / count)
            comb = np.zeros(step * (math.ceil(count) - 1) + 1)
            comb[::step] = 1.0 / math.ceil(count)
            shares = np.convolve(shares, comb)
        return float((shares**2).sum())

    def _delta(self, leader: Leader, different: bool) -> float:
        """Covariance of the emptiness of two different tiles of one leader.

        For single elements from the variance of the occupancy of all elements an instance meets (for two instances: of those
        of all instances, without the pairs of one), else from the probability that two tiles are empty.
        """
        tiles, model = self.tiles, self.tiles.plan.einsum.tensors[leader.tensor].density
        tile = tiles.tile(leader.tensor, leader.cover)
        if float(tile.size) > 1:
            if model.placed:
                return 0.0  # two tiles are taken as independent
            both = float(model.empty_union(tile, tile, Tile(0.0, (0.0,) * len(tile.extents))))
            return both - (1.0 - leader.filled) ** 2
        met = self._met(leader, self.inside)
        within = met.covariances / max(met.elements * (met.elements - 1.0), 1.0)
        apart = math.prod(self.pieces(i, [leader]) for i in self.apart)
        if not different or apart <= 1:
            return within
        every = self._met(leader, self.inside | self.apart)
        regions = every.elements / met.elements
        pairs = every.elements * (every.elements - 1.0) - regions * met.elements * (met.elements - 1.0)
        across = (every.covariances - regions * met.covariances) / pairs if pairs > 0.5 else 0.0
        share = (self.number / apart - 1.0) / (self.number - 1.0)
        return share * within + (1.0 - share) * across

    def _met(self, leader: Leader, slots: frozenset[int]) -> Met:
        """Elements under these loops; the sum of their covariances is Var(k) - E(k)(1 - q).

        Known patterns: where the elements are several boxes, these are taken as independent.
        """
        tiles, model = self.tiles, self.tiles.plan.einsum.tensors[leader.tensor].density
        cover = tiles.restrict(tiles.covering(slots), leader.tensor)
        size, extents = float(tiles.size(leader.tensor, cover)), tiles.sides(leader.tensor, cover)
        boxes = 1.0
        if (
            not model.placed
            and len(model.parameters(size, extents)) > 1
            and math.prod(map(float, tiles.extents(leader.tensor, cover))) > size
        ):
            extents = tuple(self._run(axis, slots) for axis in tiles.plan.axes[leader.tensor])
            boxes = size / math.prod(extents)
        variance = boxes * float(model.variance(size / boxes, extents))
        return Met(size, variance - size * leader.filled * (1.0 - leader.filled))

    def _run(self, axis: AxisLoops, slots: frozenset[int]) -> float:
        """Consecutive values of an axis that its innermost loops among `slots` make."""
        length = 1.0
        for slot, coefficient in sorted(axis, reverse=True):
            if float(self.tiles.bounds[slot]) > 1:
                if slot not in slots or abs(coefficient) * float(self.tiles.stride[slot]) != length:
                    break
                length *= float(self.tiles.bounds[slot])
        return length


def _subsets(items: Sequence[int]) -> Iterator[frozenset[int]]:
    for many in range(len(items) + 1):
        yield from map(frozenset, combinations(items, many))


def largest(work: Work, number: int) -> list[float]:
    """P10, P50, P90 of the largest work of `number` exchangeable instances.

    Each is mean + a common part + h(z), z standard normal, h(z) = s z + tilt (z^2 - 1)/6 (Cornish, Fisher 1938), s^2 = V - C,
    tilt = 2 s^2 / mean - quantum: third moment over variance of (negative) binomial and Poisson numbers. Mean, variance and third
    moment of max h(z) are integrated; the common part adds C to the variance (if negative: takes it).
    """
    own = max(work.variance - work.common, 0.0)
    if own + max(work.common, 0.0) <= ROUNDING * work.mean * work.quantum:
        return [work.mean] * len(CONFIDENCES)
    z = np.linspace(-REACH, REACH, POINTS)
    weights = _density_of_largest(z, number)
    bound = 2.0 * math.sqrt(own)  # beyond it the expansion in z says nothing
    tilt = min(max(2.0 * own / work.mean - work.quantum, -bound), bound)
    h = np.clip(math.sqrt(own) * z + tilt * (z * z - 1.0) / 6.0, -work.mean, work.most - work.mean)
    centre = float(weights @ h)
    spread, third = (float(weights @ (h - centre) ** power) for power in (2, 3))
    variance = max(spread + work.common, 0.0)
    skew = third / variance**1.5 if variance > 0 else 0.0
    skew = min(max(skew, -2.0), 2.0)  # the expansion rises between P10 and P90
    found: list[float] = []
    for confidence in CONFIDENCES:
        at = NormalDist().inv_cdf(confidence)
        value = work.mean + centre + math.sqrt(variance) * (at + skew * (at * at - 1.0) / 6.0)
        found.append(min(max(value, 0.0), work.most))
    return found


def _density_of_largest(z: Floats, number: int) -> Floats:
    """Weights of the largest of `number` standard normal numbers on a grid: differences of (1 - Q(z))^number."""
    edges = np.concatenate([[-np.inf], (z[1:] + z[:-1]) / 2, [np.inf]])
    below = upper_tail(-edges) ** number
    return np.diff(below)
