"""How long spatial skips keep the instances below a level busy: positions that are left even out, or take turns in waves.

    balanced   the work evens out over steps: b positions on H instances take b / min(b, H) times as long as b instances would
    waves      every step of the temporal loops outside the fanout takes ceil(k / H) times its longest active position, k of the
               positions being active, and at least 1

A position is active where the skips of operands that are decided at the level or further out leave some of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparseloop.model import ops
from sparseloop.model.density.base import Occupancy
from sparseloop.model.density.slices import Slices, binomial, nonempty_slices
from sparseloop.model.rows import asked_by_rows
from sparseloop.model.sparsity.active_positions import Active, Together, both_active, longest, thinned
from sparseloop.model.sparsity.emptiness import Condition, Conditions, minimal, tile_condition
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.sparsity.known_events import Decision, Looked, Packed
from sparseloop.model.sparsity.known_patterns import nonempty_counts
from sparseloop.model.sparsity.large_patterns import TileInData
from sparseloop.model.sparsity.nest_points import MOST_PADDED, MOST_POINTS, Nest, few_points
from sparseloop.model.traffic.existing_tiles import existing
from sparseloop.model.traffic.tiles import Cover, Tiles, join
from sparseloop.model.units import Array, Count, Share

DENSE_LIMIT = 2**25
"""Positions and steps of a known pattern that are looked at one by one; of more, positions are taken as independent."""


@dataclass(frozen=True, slots=True)
class Decider:
    """A tensor that decides which positions are active: the numbers that its answer depends on, and the answer."""

    columns: tuple[Array, ...]
    active: Callable[[tuple[float, ...]], Active]
    """Of one row of the columns."""


def packed_time(safs: SafConditions, busy: Share) -> Share:
    """Time of what skips leave of the computes, over the steps of the nest; `busy`: the share of computes that is left.

    Packing levels come from the inside out; the time of each is that of its positions, one after the other or in turns. Known
    patterns are looked at point by point where several levels pack, or imperfect factors or padding leave some positions out.
    """
    plan, tiles = safs.plan, safs.tiles
    packing = [level for level in range(plan.compute) if plan.sparse.packs(level)]
    if any(plan.arch.levels[level].waves for level in packing) and (tiles.clipped or any(plan.padded) or len(packing) > 1):
        decided = _known_decisions(safs)
        if decided is not None:
            return _looked_at(safs, packing, decided)
    inner = Inner(plan.compute, busy, 1.0)
    evening: Count = 1.0  # how much longer positions take that even out, inside of all waves
    for level in reversed(packing):
        loops = tuple(i for i, loop in enumerate(plan.loops) if loop.level == level and loop.spatial)
        width = math.prod(plan.arch.fanout(level))
        positions = existing(tiles, {i: tiles.bounds[i] for i in loops})
        stretch = positions / ops.minimum(positions, width)
        evened = inner.time * stretch
        if not plan.arch.levels[level].waves:
            inner, evening = inner._replace(time=evened), evening * stretch
            continue
        steps = tiles.product(i for i, loop in enumerate(plan.loops) if loop.level > level and not loop.spatial)
        fanout = Fanout(safs, level, loops, width)
        counted = fanout.is_known and inner.level == plan.compute
        turns = fanout.known_turns(steps * evening) if counted else fanout.turns(inner, steps)
        time = ops.maximum(evened, turns / steps)
        inner = Inner(level, time, ops.ratio(time, fanout.seldom))
    return inner.time


def _known_decisions(safs: SafConditions) -> tuple[Decision, ...] | None:
    """What decides on the time of computes, if it is all known and the points are few enough to be looked at."""
    plan, decisions = safs.plan, safs.decisions()
    densities, padded = [t.density.answering for t in plan.einsum.tensors], plan.padded
    timed = tuple(d for d in (*decisions.skips, *decisions.own) if padded[d.leader] or densities[d.leader].density < 1)
    known = all(densities[d.leader].deterministic or (padded[d.leader] and densities[d.leader].density == 1) for d in timed)
    most = MOST_PADDED if any(padded) else MOST_POINTS
    return timed if known and few_points(plan, frozenset(plan.einsum.ranks), most) else None


def _looked_at(safs: SafConditions, packing: Sequence[int], timed: tuple[Decision, ...]) -> Array:
    """The time of known patterns, point by point."""
    plan, tiles = safs.plan, safs.tiles
    fanouts = [
        Packed(
            level,
            math.prod(plan.arch.fanout(level)),
            plan.arch.levels[level].waves,
            tuple(d for d in timed if d.link is not None and plan.links[d.link].parent <= level),
        )
        for level in packing
    ]
    slots = len(plan.loops)

    def time(*row: float) -> float:
        numbers = tuple(round(x) for x in row)
        return Looked(Nest(plan, numbers[:slots], numbers[slots:])).packed_time(timed, fanouts)

    residuals = tiles.bounds if tiles.residuals is None else tiles.residuals
    return asked_by_rows("packed positions, point by point", [*tiles.bounds, *(residuals[i] for i in range(slots))], time)


class Inner(NamedTuple):
    """What lies inside a position."""

    level: int
    """The next inner level that packs in waves, or the compute level."""
    time: Share
    """Mean time over that of the steps inside."""
    pace: Count
    """Time of a step of which something is left."""


@dataclass(frozen=True, slots=True)
class Fanout:
    """The positions below a level whose spatial skips pack them in waves."""

    safs: SafConditions
    level: int
    loops: tuple[int, ...]
    width: int
    """Instances below one parent."""

    @property
    def tiles(self) -> Tiles:
        """Numbers of the batch."""
        return self.safs.tiles

    @property
    def decisive(self) -> Conditions:
        """Skips of operands that are decided at the level or further out."""
        links = (k for k in self.safs.plan.links if not k.output and k.parent <= self.level)
        return self._sometimes(frozenset[Condition]().union(*(self.safs.skips[k.index] for k in links)))

    @property
    def lively(self) -> Conditions:
        """What must hold for a position to be active: that of its whole tile."""
        inside = self.tiles.inside(self.level + 1)
        return frozenset(tile_condition(self.tiles, tensor, join(cover, inside)) for tensor, cover in self.decisive)

    @property
    def timed(self) -> Conditions:
        """What must hold for a compute to take time."""
        return self._sometimes(self.safs.operand_conditions(self.safs.skips) | self.safs.compute_skips())

    # --- random patterns ------------------------------------------------------------------------------------

    @property
    def seldom(self) -> Share:
        """Chance that any of the positions is active in a step."""
        spread = self.tiles.covering(self.loops)
        return self.safs.emptiness.non_emptiness(
            frozenset(tile_condition(self.tiles, tensor, join(cover, spread)) for tensor, cover in self.lively)
        )

    def turns(self, inner: Inner, steps: Count) -> Count:
        """E[max(1, ceil(k/H) * longest active position)] per step outside the fanout, 0 where none is active."""
        chance = self._chance()
        deciders = list(self._deciders(self.lively))
        positions = existing(self.tiles, {i: self.tiles.bounds[i] for i in self.loops})
        columns = [
            inner.time,
            inner.pace,
            chance,
            steps,
            *self._inner_parts(inner),
            positions,
            *(self.tiles.bounds[i] for i in self.loops),
        ]
        columns += [column for decider in deciders for column in decider.columns]
        return asked_by_rows("waves of packed positions", columns, self._answer(deciders, self.lively != self.decisive))

    @property
    def fine(self) -> Conditions:
        """Conditions that are decided for parts of a position."""
        return self.decisive - self.lively

    @property
    def is_joint(self) -> bool:
        """True if parts of a position are decided by several tensors: all of these must hold in the same part."""
        return len({tensor for tensor, _ in self.fine}) > 1

    def _chance(self) -> Share:
        """Chance that a position is active; by parts decided jointly 1 - (1 - p)^parts, as if the parts were independent."""
        ask = self.safs.emptiness.non_emptiness
        every = ask(self.lively)
        if not self.is_joint:
            return every
        inside = [i for i, loop in enumerate(self.safs.plan.loops) if loop.level > self.level]
        whole = ask(self.lively & self.decisive)
        one = ops.minimum(1.0, ops.ratio(ask(self.decisive), whole))
        return ops.minimum(every, whole * (1.0 - (1.0 - one) ** self._parts(self.fine, inside)))

    def _parts(self, conditions: Conditions, slots: Iterable[int]) -> Count:
        """Combinations of the index values of some loops that the conditions tell apart."""
        tiles, number = self.tiles, 1
        for i in slots:
            told: Count = 1
            for tensor, cover in conditions:
                if i in self.safs.plan.relevant[tensor]:
                    told = ops.maximum(told, tiles.bounds[i] / tiles.count(cover[i], i))
            number = number * told
        return number

    def _inner_parts(self, inner: Inner) -> tuple[Count, Count]:
        """Parts of a position that are skipped one by one, and the positions that differ in which of theirs are."""
        plan, conditions = self.safs.plan, self.timed - self.lively
        inside = [i for i, loop in enumerate(plan.loops) if self.level < loop.level <= inner.level]
        packed = {i for i in inside if plan.loops[i].level == inner.level and plan.loops[i].spatial}
        return self._parts(conditions, (i for i in inside if i not in packed)), self._parts(conditions, self.loops)

    def _answer(self, deciders: list[Decider], sure: bool) -> Callable[..., float]:
        """`sure`: an active position takes some time."""

        joint = self.is_joint

        def waves(*row: float) -> float:
            time, pace, chance, steps, units, apart, positions, *rest = row
            if chance <= 0:
                return 0.0
            bounds = {i: round(n) for i, n in zip(self.loops, rest, strict=False)}
            at, found = len(bounds), Active(frozenset(), 1, Occupancy(np.ones(1), np.ones(1)))
            for decider in deciders:
                found = both_active(found, decider.active(tuple(rest[at : at + len(decider.columns)])), bounds)
                at += len(decider.columns)
            k = found.occupancy.values * (positions / found.positions)
            mean = found.occupancy.mean * positions / found.positions
            seldom = min(1.0, chance * positions / mean) if mean else 0.0  # what the deciders do not tell by themselves
            if joint:
                found, seldom = found._replace(occupancy=thinned(found.occupancy, seldom)), 1.0
                k = found.occupancy.values * (positions / found.positions)
            together = Together(round(units), min(apart, max(1.0, mean / chance)))
            share = time / pace if pace > 0 else 0.0
            inner = longest(share, share / chance, together, sure)
            turns = np.ceil(k / self.width - 1e-9)[:, None] * (inner.values * steps * pace)[None, :]
            each = np.where(k > 0, np.maximum(1.0, turns) @ inner.weights, 0.0)
            return float(each @ found.occupancy.weights) * seldom

        return waves

    def _deciders(self, conditions: Conditions) -> Iterator[Decider]:
        covers: dict[int, list[Cover]] = {}
        for tensor, cover in conditions:
            covers.setdefault(tensor, []).append(cover)
        for tensor in sorted(covers):
            cover = minimal(covers[tensor])[0]
            filled = 1.0 - self.safs.emptiness.empty(tensor, cover)
            known = self.safs.plan.einsum.tensors[tensor].density.deterministic
            yield (self._known if known else self._random)(tensor, cover, filled)

    def _random(self, tensor: int, cover: Cover, filled: Share) -> Decider:
        """A random tensor: the slices of its tile over all positions."""
        tiles, plan = self.tiles, self.safs.plan
        loops = [i for i in self.loops if i in plan.relevant[tensor]]
        spread = join(cover, tiles.covering(loops))
        sides = [_reach(tiles, tensor, axis, cover) for axis in range(len(plan.moves[tensor]))]
        whole = [_reach(tiles, tensor, axis, spread) for axis in range(len(plan.moves[tensor]))]
        bounds, covered = [tiles.bounds[i] for i in loops], [tiles.count(cover[i], i) for i in loops]
        model = plan.einsum.tensors[tensor].density.answering

        def active(row: tuple[float, ...]) -> Active:
            chance, size, words, *rest = row
            n = len(loops)
            told = {i: (round(b), math.ceil(b / c - 1e-9)) for i, b, c in zip(loops, rest, rest[n:], strict=False) if b > c}
            count, positions = math.prod(c for _, c in told.values()), math.prod(b for b, _ in told.values())
            sizes = tuple(round(x) for x in rest[2 * n :])
            count = min(count, max(1, round(words / size)))  # positions may share words
            slices = Slices(count, size, sizes[: len(sides)], sizes[len(sides) :])
            found = nonempty_slices(model, slices, chance)
            return Active(frozenset(told), positions, Occupancy(found.values * (positions / count), found.weights))

        return Decider((filled, tiles.size(tensor, cover), tiles.size(tensor, spread), *bounds, *covered, *sides, *whole), active)

    # --- known patterns -------------------------------------------------------------------------------------

    @property
    def is_known(self) -> bool:
        """True if all tensors that decide on time are known patterns, met in tiles that are all alike."""
        tensors = self.safs.plan.einsum.tensors
        return bool(self.timed) and not self.tiles.clipped and all(tensors[t].density.deterministic for t, _ in self.timed)

    def _sometimes(self, conditions: Conditions) -> Conditions:
        """Without conditions that always hold."""
        tensors = self.safs.plan.einsum.tensors
        return frozenset(c for c in conditions if tensors[c[0]].density.answering.density < 1)

    def _columns(self, conditions: list[Condition]) -> list[Array]:
        """The bounds, and what each condition covers, per slot."""
        slots, tiles = range(len(self.tiles.bounds)), self.tiles
        return [*tiles.bounds, *(tiles.count(cover[i], i) for _, cover in conditions for i in slots)]

    def _counts(self, bounds: tuple[int, ...], asked: tuple[TileInData, ...]) -> Counts | None:
        """Points of every position and step that pass, and the loops that tell them apart.

        None if there are too many, or if imperfect factors cut tiles short.
        """
        plan = self.safs.plan
        if self.tiles.clipped:
            return None
        told = {i for t, covered in asked for i in plan.relevant[t] if covered[i] < bounds[i]}
        kept = tuple(i for i in sorted(told) if plan.loops[i].level <= self.level)
        if math.prod(bounds[i] for i in kept) > DENSE_LIMIT:
            return None
        points = math.prod(bounds[i] for i in told if i not in kept)
        return Counts(np.asarray(nonempty_counts(plan, bounds, asked, kept)) / points, kept)

    def _known(self, tensor: int, cover: Cover, filled: Share) -> Decider:
        """A known pattern: its active positions counted step by step."""
        width = len(self.tiles.bounds)

        def active(row: tuple[float, ...]) -> Active:
            bounds = tuple(round(x) for x in row[1 : 1 + width])
            asked = TileInData(tensor, tuple(round(x) for x in row[1 + width :]))
            loops = tuple(i for i in self.loops if i in self.safs.plan.relevant[tensor] and asked.covered[i] < bounds[i])
            positions = math.prod(bounds[i] for i in loops)
            counts = self._counts(bounds, (asked,))
            if counts is None:
                return Active(frozenset(loops), positions, binomial(positions, row[0]))
            some = (counts.shares > 0).sum(axis=tuple(at for at, i in enumerate(counts.kept) if i in loops))
            values, numbers = np.unique(some, return_counts=True)
            return Active(frozenset(loops), positions, Occupancy(values.astype(np.float64), numbers / numbers.sum()))

        return Decider((filled, *self._columns([(tensor, cover)])), active)

    def known_turns(self, steps: Count) -> Count:
        """The same counted on the data, step by step."""
        decisive, timed = sorted(self.decisive, key=str), sorted(self.timed, key=str)
        width = len(self.tiles.bounds)

        def waves(*row: float) -> float:
            numbers = tuple(round(x) for x in row[1:])
            bounds, conditions = numbers[:width], decisive + timed
            covers = [numbers[width * at : width * (at + 1)] for at in range(1, len(conditions) + 1)]
            asked = [TileInData(t, covered) for (t, _), covered in zip(conditions, covers, strict=True)]
            first, second = tuple(asked[: len(decisive)]), tuple(asked)
            return self._counted(bounds, (first, second), row[0])

        return asked_by_rows("waves of packed positions in the data", [steps, *self._columns(decisive + timed)], waves)

    def _counted(
        self, bounds: tuple[int, ...], asked: tuple[tuple[TileInData, ...], tuple[TileInData, ...]], steps: float
    ) -> float:
        alive, work = (self._counts(bounds, one) if one else Counts(np.ones(()), ()) for one in asked)
        if alive is None or work is None:
            return 0.0  # at least the balanced time
        alive_shares = _onto(alive, work.kept)
        inside = tuple(at for at, i in enumerate(work.kept) if i in self.loops)
        k = (np.broadcast_to(alive_shares > 0, work.shares.shape)).sum(axis=inside)
        k = k * math.prod(bounds[i] for i in self.loops if i not in work.kept)
        longest = work.shares.max(axis=inside) * steps
        return float(np.where(k > 0, np.maximum(1.0, np.ceil(k / self.width - 1e-9) * longest), 0.0).mean())


class Counts(NamedTuple):
    """Shares of the points that pass, by the index values of some loops."""

    shares: Any
    kept: tuple[int, ...]


def _onto(counts: Counts, kept: tuple[int, ...]) -> Any:
    """The shares with one axis for each of these loops, of length 1 where they do not tell anything apart."""
    shape = [counts.shares.shape[counts.kept.index(i)] if i in counts.kept else 1 for i in kept]
    return counts.shares.reshape(shape)


def _reach(tiles: Tiles, tensor: int, axis: int, cover: Cover) -> Count:
    """Bounding extent of a tile along an axis."""
    loops = tiles.plan.moves[tensor][axis]
    return 1 + ops.total(abs(c) * tiles.stride[i] * (tiles.count(cover[i], i) - 1) for i, c in loops if cover[i])
