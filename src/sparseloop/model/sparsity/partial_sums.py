"""What copies of a result hold while it is made, jointly with conditions on the operands.

    progress   how many contraction positions have been added to a copy when a visit begins, visit by visit

A copy of link i holds what its parent's copy held when it was filled, and what was added since: over all links from the outermost
to this one, sum_i q_i positions_i, q_i the passes made before in the present stay of link i's parent copy. Passes are the
iterations of temporal loops that do not index the result; they are averaged.

Children that return only what they added (`changed`, `add`) return a word if one of the positions of the visit contributes; a
parent that adds it (`add`) reads a word that is there and comes: 1 - e_Z(so far) - e_Z(visit) + e_Z(both). Copies below such a
parent start empty, so that further passes add nothing to what they hold.

Conditions hold at whatever contributes. So a word that is there, and tiles of operands that are not zero, are

    P(so far and C) = sum over subsets S of C of (-1)^|S| [prod_u e_u(t_u) - e_Z(positions outside the tiles of S; t)]

with t_u the words of operand u in the tiles of S, and e_Z(.; t) the probability that they and the result are zero.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import NamedTuple, cast

import numpy as np

from sparseloop.model import ops
from sparseloop.model.density.base import DensityModel, Passes, ProducedResult
from sparseloop.model.design.sparse import Partials
from sparseloop.model.memo import memo
from sparseloop.model.plan import Link
from sparseloop.model.rows import asked_by_rows
from sparseloop.model.traffic.tiles import Cover, Tiles
from sparseloop.model.units import Coordinate, Count, Flag, Share, Words


class PassLoop(NamedTuple):
    """A loop whose iterations add to the same words of the result."""

    slot: int
    count: Count
    positions: Count
    """Contraction positions that one iteration adds."""


class Serving(NamedTuple):
    """A link between the outermost copy of a result and the copy in question."""

    serves: Cover
    """What one access of the parent serves."""
    within: Cover | None
    """What the parent's copy serves while it stays; None: it stays for good."""
    lanes: tuple[int, ...]
    """Spatial loops that tell the parent's instances apart without moving the result."""
    restarts: bool
    """The child's copy starts empty at every visit."""


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a copy has come at the events of a link."""

    key: Hashable
    loops: tuple[PassLoop, ...]
    """Outermost first."""
    run: Count
    """Positions that one visit adds, of all lanes that add into the same word."""
    chain: tuple[Serving, ...]
    """The links that the visits lie behind, outermost first."""
    again: bool
    """At reads and fills, which the very first touch does not need; else at updates, which also hold what the visit added."""
    partials: Partials
    """Updates hold only what the visit added, unless `whole`; where the parent adds it (`add`), words are read that meet it."""

    @property
    def implies_operands(self) -> bool:
        """Nothing happens without a contribution of this visit, for which no operand's tile is zero."""
        return self.partials == "add" or (self.partials == "changed" and not self.again)

    def at_updates(self) -> Progress:
        """The same visits when they return."""
        return replace(self, key=(self.key, "updates"), again=False)


class Stays(NamedTuple):
    """How long words stay, link by link."""

    shared: Sequence[Cover]
    """R: what one access of the parent serves, all copies together."""
    own: Sequence[Cover]
    """What one copy serves."""


def progress_of(tiles: Tiles, link: Link, stays: Stays, stay: Cover) -> Progress:
    """How far the result has come at the visits of a link; `stay`: what one of the events in question serves."""
    chain = [*tiles.plan.outer[link.index], link.index]
    loops: list[PassLoop] = []
    served = list[Serving]()
    run: Count = 1
    for at, parent in zip(chain, [None, *chain], strict=False):
        one, serves = tiles.plan.links[at], stay if at == link.index else stays.shared[at]
        run = contraction_positions(tiles, one, serves)
        step = run
        lanes_of_parent = tuple(s for s in tiles.plan.spatial(one.parent) if s not in one.relevant)
        restarts = at != link.index and one.partials == "add"
        served.append(Serving(serves, None if parent is None else stays.own[parent], lanes_of_parent, restarts))
        here: list[PassLoop] = []
        lanes = [slot for slot in reversed(one.unshared) if slot not in one.relevant]
        for slot in [*lanes, *(slot for slot in one.temporal if slot not in one.relevant)]:
            # the parent's copy of the outermost link stays for good
            whole = tiles.bounds[slot] if parent is None or slot in lanes else tiles.count(stays.own[parent][slot], slot)
            count = whole / tiles.count(serves[slot], slot) if serves[slot] else whole
            # lanes that are served one by one read at the same time: none finds what another adds
            here.insert(0, PassLoop(slot, count, 0 * step if slot in lanes else step))
            step = step * count
        loops += here
        if restarts:  # nothing that was added before is there
            loops = [loop._replace(positions=0 * loop.positions) for loop in loops]
    key = ("progress", link.index, stay)
    return Progress(key=key, loops=tuple(loops), run=run, chain=tuple(served), again=True, partials=link.partials)


def progress_held(tiles: Tiles, link: Link, stays: Stays) -> Progress | None:
    """What an instance of the link's parent holds at the end: all that its own parent's last visit found and added.

    A result of known operands counts as finished (None), unless every visit starts with an empty copy.
    """
    outer = tiles.plan.outer[link.index]
    if tiles.plan.einsum.tensors[link.tensor].density.deterministic:
        if not starts_empty(tiles, link):
            return None
        source = tiles.plan.links[outer[-1]]
        return progress_of(tiles, source, stays, stays.own[source.index]).at_updates()
    if not outer:
        there = tiles.covering(set(range(len(tiles.bounds))) - set(tiles.plan.spatial(link.parent)))
        return _complete(("held", link.index), contraction_positions(tiles, link, there))
    source = tiles.plan.links[outer[-1]]
    before = progress_of(tiles, source, stays, stays.shared[source.index])
    run = contraction_positions(tiles, source, stays.own[source.index])
    done: Count = 0.0
    if source.partials != "add":
        done = ops.total((loop.count - 1) * loop.positions for loop in before.loops)
    return _complete(("held", link.index, before.key), done + run)


def starts_empty(tiles: Tiles, link: Link) -> bool:
    """Does the copy that a link's parent holds of a result start every visit empty? Where it is counted: see `HeldInData`."""
    outer, tensor = tiles.plan.outer[link.index], link.tensor
    counted = not tiles.clipped and tiles.plan.single[tensor] and not tiles.plan.padded[tensor]
    return counted and bool(outer) and tiles.plan.links[outer[-1]].partials == "add"


def _complete(key: Hashable, positions: Count) -> Progress:
    """So many positions in a single visit."""
    return Progress(key=key, loops=(), run=positions, chain=(), again=False, partials="whole")


def contraction_positions(tiles: Tiles, link: Link, cover: Cover) -> Count:
    """Points of the contraction of the link's tensor under a cover; a rank that ends early limits them."""
    extents, loops = tiles.plan.einsum.extents, tiles.plan.loops
    by_rank: dict[str, Count] = {}
    for slot, span in enumerate(cover):
        if span and slot not in link.relevant:
            by_rank[loops[slot].rank] = by_rank.get(loops[slot].rank, 1) * tiles.count(span, slot)
    if tiles.clipped:
        return ops.product(ops.minimum(count, extents[rank]) for rank, count in by_rank.items())
    return ops.product(by_rank.values())


# --- fibers -------------------------------------------------------------------------------------------------


NODES = 4
"""Steps of a pass over a fiber that are looked at: all of up to so many, else as many by Gauss and Legendre."""


class Growth(NamedTuple):
    """A tile of a result, larger than what one visit serves, that is gone through word by word in every pass."""

    words: tuple[Count, ...]
    """Per axis of the result: visits that go along it."""
    order: tuple[int, ...]
    """The axes, outermost first."""
    inner: Count
    """Visits, one after the other, that add to a word in one pass."""
    passes: Progress
    """The passes, each of which adds to all words."""
    slots: tuple[int, ...]
    """The loops that go through the tile."""


def growth_of(tiles: Tiles, tensor: int, cover: Cover, progress: Progress) -> Growth | None:
    """How a tile of the result grows while visits go through it; None if one visit serves all of it."""
    plan = tiles.plan
    if not progress.chain:
        return None
    serves = progress.chain[-1].serves
    slots = [s for s in sorted(plan.relevant[tensor]) if not plan.loops[s].spatial and cover[s] and serves[s] != cover[s]]
    if not slots:
        return None
    along = {s: ops.maximum(1.0, tiles.count(cover[s], s) / (tiles.count(serves[s], s) if serves[s] else 1)) for s in slots}
    words: list[Count] = [1.0] * len(plan.axes[tensor])
    order = list[int]()
    for slot in slots:
        axis = next(at for at, loops in enumerate(plan.axes[tensor]) if any(s == slot for s, _ in loops))
        words[axis] = words[axis] * along[slot]
        order += [axis] if axis not in order else []
    inner: Count = 1.0
    loops = list[PassLoop]()
    for loop in progress.loops:
        behind: Flag = False
        for slot in slots:
            behind = ops.either(behind, along[slot] > 1) if slot < loop.slot and not plan.loops[loop.slot].spatial else behind
        inner = inner * ops.one_unless(behind, loop.count)
        loops.append(loop._replace(count=ops.one_unless(ops.negate(behind), loop.count)))
    passes = replace(progress, loops=tuple(loops), run=progress.run * inner)
    return Growth(tuple(words), tuple(order), inner, passes, tuple(slots))


# --- conditions ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Subset:
    """Tiles of operands that are taken to be zero."""

    sign: float
    empty: Share
    """P(all of them are zero)."""
    taken: tuple[Words, ...]
    """Their words, per operand."""
    covers: tuple[tuple[int, Cover], ...]
    """The tiles: tensors and covers."""


def passes_outside(tiles: Tiles, progress: Progress, subset: Subset, more: Count) -> Passes:
    """The visits, with the passes whose positions lie inside the subset's tiles marked."""
    return Passes(
        counts=tuple(loop.count for loop in progress.loops),
        positions=tuple(loop.positions for loop in progress.loops),
        outside=tuple(outside_of(tiles, loop.slot, subset) for loop in progress.loops),
        more=more,
        again=progress.again,
    )


def outside_of(tiles: Tiles, slot: int, subset: Subset) -> Count:
    """1 where no tile of the subset is the same at all iterations of the loop, else 0."""
    outside: Count = 1.0
    for tensor, cover in subset.covers:
        if slot not in tiles.plan.relevant[tensor]:
            return 0.0
        if cover[slot]:
            covered = tiles.count(cover[slot], slot) == tiles.bounds[slot]
            outside = outside * ops.zero_unless(ops.either(ops.negate(covered), tiles.bounds[slot] == 1), 1.0)
    return outside


def positions_inside(tiles: Tiles, result: tuple[int, Cover], subset: Subset) -> Count:
    """Contraction positions of a tile of the result at which some tile of the subset decides.

    Inclusion and exclusion over the subset's common parts. A tile with a part of a slice counts as that part of a position.
    """
    tensor, cover = result
    relevant = tiles.plan.relevant[tensor]
    inside: Count = 0.0
    for size in range(1, len(subset.covers) + 1):
        for group in combinations(subset.covers, size):
            common: Count = 1.0
            for slot in range(len(tiles.bounds)):
                if slot in relevant and not cover[slot]:
                    continue
                whole = tiles.count(cover[slot], slot) if slot in relevant else tiles.bounds[slot]
                least = whole
                for u, other in group:
                    if slot in tiles.plan.relevant[u]:
                        least = ops.minimum(least, tiles.count(other[slot], slot))
                common = common * (least / whole if slot in relevant else least)
            inside = inside + (common if size % 2 else -common)
    return inside


# --- tiles that grow while visits go through them --------------------------------------------------------------


def share_growing(
    tiles: Tiles, model: ProducedResult, extents: tuple[Coordinate, ...], growth: Growth, subsets: Sequence[Subset]
) -> Share:
    """P(a tile holds a non-zero, and no tile of the conditions is zero) of a tile that visits go through word by word.

    In a first pass only what visits have reached can be there. All steps of a pass are one question to the model, answered once
    per distinct row.
    """
    passes = growth.passes
    number = ops.product(loop.count for loop in passes.loops if not tiles.plan.loops[loop.slot].spatial)
    first = ops.ratio(growth.inner - 1, number * growth.inner - 1) if passes.again else 1.0 / number
    columns = [first, passes.run, growth.inner, *extents, *growth.words]
    columns += [loop.count for loop in passes.loops] + [loop.positions for loop in passes.loops]
    for subset in subsets:
        columns += [subset.empty, ops.product(outside_of(tiles, slot, subset) for slot in growth.slots), *subset.taken]
        columns += [outside_of(tiles, loop.slot, subset) for loop in passes.loops]
    asked = _Growing(
        model=cast("ProducedResult", cast("DensityModel", model).answering),
        order=growth.order,
        loops=len(passes.loops),
        again=passes.again,
        operands=len(subsets[0].taken),
        signs=tuple(subset.sign for subset in subsets),
    )
    return asked_by_rows("share that is there while tiles grow", columns, lambda *row: _growing_share(asked, row), about=asked)


class _Growing(NamedTuple):
    """What all rows of one question have in common."""

    model: ProducedResult
    order: tuple[int, ...]
    loops: int
    again: bool
    operands: int
    signs: tuple[float, ...]


class _Pass(NamedTuple):
    """`Growth` in numbers of one row."""

    extents: tuple[float, ...]
    words: tuple[float, ...]
    inner: float

    @property
    def steps(self) -> float:
        """Visits of one pass."""
        return math.prod(self.words) * self.inner

    def reached(self, order: Sequence[int], done: float, apart: Sequence[int]) -> tuple[float, ...]:
        """Extents of what a pass has gone through, at least one visit: full rows, or a part of one; words lie `apart`."""
        sides, left = list(self.extents), max(done, 1.0 / math.prod(self.words))
        for axis in order:
            part = max(left, 1.0 / self.words[axis])
            sides[axis] = (((self.extents[axis] - 1) / apart[axis] + 1) * part - 1) * apart[axis] + 1
            left = min(1.0, left / part)
        return tuple(sides)


class _SubsetRow(NamedTuple):
    """`Subset` in numbers of one row."""

    empty: float
    apart: float
    """1 if no tile of it is the same at all visits that go through the tile of the result."""
    taken: tuple[float, ...]
    outside: tuple[float, ...]


@memo(1 << 16)
def _growing_share(asked: _Growing, row: tuple[float, ...]) -> float:
    """The mean over the visits of a pass."""
    numbers = iter(row)

    def following(count: int) -> tuple[float, ...]:
        return tuple(islice(numbers, count))

    first, run, inner = following(3)
    axes, loops, model = len(asked.model.steps), asked.loops, asked.model
    tile = _Pass(following(axes), following(axes), inner)
    counts, positions = following(loops), following(loops)
    subsets = list[_SubsetRow]()
    for _ in asked.signs:
        share, apart = following(2)
        subsets.append(_SubsetRow(share, apart, following(asked.operands), following(loops)))

    def empty(subset: _SubsetRow, done: float) -> float:
        added, part = run * subset.apart, min(1.0, done * math.prod(tile.words))
        passes = Passes(counts, positions, subset.outside, added * done, asked.again)
        every = model.mean_empty(tile.extents, passes, subset.taken)
        if not first:
            return every
        sides = tile.reached(asked.order, done, model.steps)
        grown = model.mean_empty(sides, Passes((), (), (), added * part, again=False), subset.taken)
        if asked.again:
            return first * grown + (1.0 - first) * every
        whole = model.mean_empty(tile.extents, Passes((), (), (), added * done, again=False), subset.taken)
        return every + first * (grown - whole)

    result = 0.0
    for step, weight in steps_of(tile.steps):
        before = [empty(subset, step / tile.steps) for subset in subsets]
        there = sum(sign * s.empty * (1.0 - z) for sign, s, z in zip(asked.signs, subsets, before, strict=True))
        if not asked.again:
            there += before[0] - empty(subsets[0], (step + 1.0) / tile.steps)
        result += weight * there
    return min(1.0, max(0.0, result))


@memo(4096)
def steps_of(count: float) -> tuple[tuple[float, float], ...]:
    """Visits 0 ... count - 1 of a pass, and the weights of those that stand for all."""
    if count <= NODES:
        return tuple((float(i), 1.0 / count) for i in range(math.ceil(count)))
    points, weights = np.polynomial.legendre.leggauss(NODES)
    return tuple((max(0.0, (1.0 + x) / 2 * count - 0.5), w / 2) for x, w in zip(points.tolist(), weights.tolist(), strict=True))
