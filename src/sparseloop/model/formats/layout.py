"""Laying the rank formats of a tensor on the loops of the nest.

Loops of bound 1 do not exist for a format, so which loop a rank takes depends on the bounds: every assignment is a flag per
mapping (`Masks`). Three kinds of formats are laid in three ways:

    single loops     every rank takes one loop: one `RankLoops` per loop that it may take, otherwise static
    flattened ranks  a rank takes several consecutive loops: the loops are walked in order, with the state as arrays
    merged           formats without compressed ranks: own loops take the child's loops of their rank along, then walked

A rank that is left without loops keeps its place in the list; its fibers have one element.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparseloop.model import ops
from sparseloop.model.design.sparse import TensorFormat
from sparseloop.model.formats.rank_walk import Masks, Merged, RankWalk, number_of, union
from sparseloop.model.plan import Link, Plan
from sparseloop.model.traffic.tiles import Tiles
from sparseloop.model.units import Count, Flag


@dataclass(frozen=True, slots=True)
class Between:
    """Where a rank stands among the loops of its level: loops that others took, and where those loops begin."""

    outside: Masks
    """Loops of the ranks outside it, and its own."""
    inside: Masks
    """Its own loops, and those of the ranks inside it."""
    begin: int
    """First slot of the loops that its list is laid on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLoops:
    """Loops that one rank may take."""

    rank: int
    """Index in the list of formats, 0 = outermost; below 0 for repetitions of the outermost rank, where they are told apart."""
    masks: Masks
    inner: bool
    """The loops lie inside the child's tile: the rank travels with a delivery."""
    span: tuple[int, int] | None = None
    """First and last+1 slot if the rank takes every loop of the tensor between, whatever the bounds."""
    bare: Flag = False
    """True where the rank is there also if it takes no loop."""
    between: Between | None = None
    """Of ranks that may take several loops, or none; None: every loop outside the rank's belongs to ranks outside it."""

    @property
    def slot(self) -> int | None:
        """The loop, if there is only one."""
        return next(iter(self.masks)) if len(self.masks) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The ranks of one tensor at one level on their loops."""

    format: TensorFormat
    ranks: tuple[RankLoops, ...]
    """The level's own ranks, outermost first, then those inside the child's tile."""
    depth: Count
    """Number of ranks, repetitions of the outermost one included."""
    leftover: Flag
    """True where there are more loops than ranks."""
    mismatch: Flag
    """True where the child's ranks do not fit this level's."""


@dataclass(frozen=True, slots=True)
class _Inner:
    """What lies inside the child's tile."""

    ranks: list[RankLoops]
    count: int
    """Ranks of the list that belong to the child where its tile has more than one word; if it repeats none."""
    depth: Count
    """The same, repetitions included."""
    mismatch: Flag
    """The child's formats are not the innermost ones of this level."""


@dataclass(frozen=True, slots=True)
class _Own:
    """What the level's own loops are laid on."""

    ranks: list[RankLoops]
    leftover: Flag
    depth: Count
    """Ranks of the list, those that belong to the child and repetitions included."""


def lay_out(tiles: Tiles, link: Link, child: Layout | None) -> Layout | None:
    """Assign loops to the ranks of `link.tensor` at `link.parent`; None if it has no format there.

    `child`: the layout at the link's child, None if there is none.
    """
    form = link.parent_format
    if form is None:
        return None
    if not form.compressed and not link.to_compute:
        return _lay_merged(tiles, link, form)
    several = False if link.to_compute else tiles.product(s for s in link.relevant if s >= tiles.plan.starts[link.child]) > 1
    inner = _inner_ranks(tiles, link, form, child, several)
    taken = ops.zero_unless(several, inner.depth)
    if any(r.groups for r in form.ranks):
        own = _flattened_ranks(tiles, link, form, inner.count, taken)
    else:
        own = _single_ranks(tiles, link, form, taken)
    return Layout(
        format=form,
        ranks=(*own.ranks, *inner.ranks),
        depth=own.depth,
        leftover=own.leftover,
        mismatch=ops.both(several, inner.mismatch) if inner.mismatch is not False else False,
    )


def _own_slots(plan: Plan, link: Link) -> list[int]:
    """Loops of the tensor between the parent's tile and the child's, outermost first."""
    return [s for s in range(plan.starts[link.parent], plan.starts[link.child]) if s in link.relevant]


def _told_apart(plan: Plan, link: Link, form: TensorFormat) -> int:
    """Repetitions of the outermost rank that have ranks of their own in the list of a level further out."""
    lists = [plan.links[outer].parent_format for outer in plan.outer[link.index]]
    longest = max((len(one.ranks) for one in lists if one is not None and one.compressed), default=0)
    return max(0, longest - len(form.ranks)) if form.automatic else 0


def _keeps_bare(plan: Plan) -> bool:
    """Do ranks without loops have metadata? Not in Timeloop's reading."""
    return not plan.sparse.timeloop_reading


def _inner_ranks(tiles: Tiles, link: Link, form: TensorFormat, child: Layout | None, several: Flag) -> _Inner:
    """The ranks inside the child's tile: its own ones, or one for everything if it has no format."""
    if link.to_compute:
        return _Inner([], 0, 0, False)
    last = len(form.ranks) - 1
    if child is None:
        start = tiles.plan.starts[link.child]
        masks = {s: tiles.bounds[s] > 1 for s in sorted(link.relevant) if s >= start}
        span = (start, len(tiles.bounds))
        return _Inner([RankLoops(rank=last, masks=masks, inner=True, span=span)] if masks else [], 1, 1, False)
    kinds = [f.kind for f in child.format.ranks]
    mine = [f.kind for f in form.ranks]
    depth = len(kinds) - 1
    ranks = [replace(r, rank=last - (depth - r.rank), inner=True, bare=ops.both(several, r.bare)) for r in child.ranks]
    aligned = ([mine[0]] * len(kinds) + mine)[-len(kinds) :]
    short = len(kinds) > len(mine) and not form.automatic
    mismatch: Flag = (link.child_compressed and aligned != kinds) or short
    if link.child_compressed and child.format.automatic:
        for at, kind in enumerate([*reversed(mine[: len(mine) - len(kinds)]), mine[0]]):
            if kind != kinds[0]:
                mismatch = ops.either(mismatch, child.depth > len(kinds) + at)
    return _Inner(ranks, len(kinds), child.depth if len(mine) > len(kinds) else len(kinds), mismatch)


# --- ranks of one loop each ---------------------------------------------------------------------------------


def _single_ranks(tiles: Tiles, link: Link, form: TensorFormat, taken: Count) -> _Own:
    """Every non-trivial own loop is a rank; which one depends on how many others there are outside (or inside) it.

    `taken`: ranks that belong to the child.
    """
    slots = _own_slots(tiles.plan, link)
    exists = [tiles.bounds[s] > 1 for s in slots]
    count, least = len(form.ranks), -_told_apart(tiles.plan, link, form)
    free = ops.maximum(0, count - taken)
    total = number_of(exists)
    leftover: Flag = False if form.automatic else total > free
    depth = ops.maximum(count, taken + total)
    bare = _bare_ranks(tiles, link, form, (free, total)) if _keeps_bare(tiles.plan) else []
    if count == 1 and not least:
        ranks = [RankLoops(rank=0, masks={s: e}, inner=False) for s, e in zip(slots, exists, strict=True)]
        return _Own([*ranks, *bare], leftover, depth)
    mirrored = form.order == "inner_to_outer"
    ranks: list[RankLoops] = []
    before: Count = 0
    for position, (slot, here) in enumerate(zip(slots, exists, strict=True)):
        inside = total - before - here
        last = count - taken - 1 - inside
        rank = ops.maximum(least, last if mirrored else ops.minimum(before, last))
        highest = count - 1 if mirrored else min(position, count - 1)
        for r in range(least, highest + 1):
            takes = ops.both(here, rank == r)
            if takes is not False:
                ranks.append(RankLoops(rank=r, masks={slot: takes}, inner=False))
        before = before + here
    return _Own([*ranks, *bare], leftover, depth)


def _bare_ranks(tiles: Tiles, link: Link, form: TensorFormat, numbers: tuple[Count, Count]) -> list[RankLoops]:
    """The ranks of single loops that are left without one: inside all own loops, or outside.

    `numbers`: of ranks that are not the child's, and of loops.
    """
    free, total = numbers
    plan, mirrored = tiles.plan, form.order == "inner_to_outer"
    inside = Between({}, {}, plan.starts[link.child])
    own: Masks = {s: tiles.bounds[s] > 1 for s in _own_slots(plan, link)}
    found: list[RankLoops] = []
    for rank in range(len(form.ranks)):
        bare = ops.both(rank < free, total <= rank) if not mirrored else ops.both(rank < free - total, total == 0)
        if bare is not False:
            found.append(RankLoops(rank=rank, masks={}, inner=False, bare=bare, between=inside))
        outside = ops.both(rank < free - total, total > 0) if mirrored else False
        if outside is not False:
            found.append(
                RankLoops(rank=rank, masks={}, inner=False, bare=outside, between=Between({}, own, plan.starts[link.parent]))
            )
    return found


# --- flattened ranks ----------------------------------------------------------------------------------------


def _flattened_ranks(tiles: Tiles, link: Link, form: TensorFormat, count: int, taken: Count) -> _Own:
    """Own loops on a list with flattened ranks; `count` ranks may belong to the child, `taken` of them do."""
    plan, slots = tiles.plan, _own_slots(tiles.plan, link)
    first = form.ranks[0]
    everything = any(set(plan.einsum.tensors[link.tensor].ranks) <= set(g) for g in first.groups)
    exists: Masks = {s: tiles.bounds[s] > 1 for s in slots}
    if everything and (form.order == "outer_to_inner" or len(form.ranks) == 1) and not _told_apart(plan, link, form):
        return _spanned(tiles, link, form, taken)
    copies = max(0, len(slots) + count - len(form.ranks)) if form.automatic else 0
    walk = RankWalk(plan=plan, formats=(first,) * copies + form.ranks, slots=slots, exists=exists)
    return _walked(walk, form, (copies, taken), plan.starts[link.parent])


def _spanned(tiles: Tiles, link: Link, form: TensorFormat, taken: Count) -> _Own:
    """The outermost rank takes all own loops."""
    plan, slots = tiles.plan, _own_slots(tiles.plan, link)
    exists: Masks = {s: tiles.bounds[s] > 1 for s in slots}
    several = tiles.product(slots) > 1
    free = len(form.ranks) - taken
    span = (plan.starts[link.parent], plan.starts[link.child])
    inside = Between({}, {}, plan.starts[link.child])
    ranks: list[RankLoops] = []
    kept = range(len(form.ranks)) if _keeps_bare(plan) else ()
    if slots:
        ranks.append(RankLoops(rank=0, masks=exists, inner=False, span=span, bare=free >= 1 if kept else False))
    for rank in kept[1 if slots else 0 :]:
        bare = rank < free
        if bare is not False:
            ranks.append(RankLoops(rank=rank, masks={}, inner=False, bare=bare, between=inside))
    leftover = False if form.automatic else ops.both(free < 1, several)
    return _Own(ranks, leftover, ops.maximum(len(form.ranks), taken + ops.zero_unless(several, 1)))


def _walked(walk: RankWalk, form: TensorFormat, counts: tuple[int, Count], begin: int) -> _Own:
    """Ranks of a walk. `counts`: repetitions of the outermost one that were prepended, and ranks that belong to the child."""
    copies, taken = counts
    found = walk.run(form.order, copies, taken)
    before: list[Masks] = []
    for masks in found.masks:
        before.append(union(before[-1], masks) if before else masks)
    after: list[Masks] = []
    for masks in reversed(found.masks):
        after.insert(0, union(after[0], masks) if after else masks)
    ranks: list[RankLoops] = []
    for r, masks in enumerate(found.masks):
        bare = r < len(found.masks) - taken if r >= copies and _keeps_bare(walk.plan) else False
        if masks or bare is not False:
            between = Between(before[r], after[r], begin)
            ranks.append(RankLoops(rank=r - copies, masks=masks, inner=False, bare=bare, between=between))
    return _Own(ranks, found.leftover, len(form.ranks) + found.copies)


# --- formats without compressed ranks -----------------------------------------------------------------------


def _lay_merged(tiles: Tiles, link: Link, form: TensorFormat) -> Layout:
    """UB, UOP and U alone need no pre-tiling: the innermost own loop of a rank takes the child's loops of that rank along."""
    plan, own_slots = tiles.plan, _own_slots(tiles.plan, link)
    start = plan.starts[link.child]
    inner_slots = [s for s in range(start, len(tiles.bounds)) if s in link.relevant]
    exists: Masks = {s: tiles.bounds[s] > 1 for s in own_slots}
    merged: list[Merged] = []
    for rank in dict.fromkeys(plan.loops[s].rank for s in [*own_slots, *inner_slots]):
        own = [s for s in own_slots if plan.loops[s].rank == rank]
        below = [s for s in inner_slots if plan.loops[s].rank == rank]
        held: Masks = {}
        free: Flag = True
        for s in [*reversed(own), *below]:
            held[s] = ops.both(free, tiles.bounds[s] > 1)
            free = ops.both(free, tiles.bounds[s] <= 1)
        for s in below:
            exists[s] = held[s]
        if below:
            merged.append(Merged(held, {s: tiles.bounds[s] > 1 for s in below}))
    slots = sorted(exists)
    copies = max(0, len(slots) - len(form.ranks)) if form.automatic else 0
    walk = RankWalk(plan=plan, formats=(form.ranks[0],) * copies + form.ranks, slots=slots, exists=exists, merged=tuple(merged))
    own_ranks = _walked(walk, form, (copies, 0), plan.starts[link.parent])
    return Layout(
        format=form,
        ranks=tuple(own_ranks.ranks),
        depth=own_ranks.depth,
        leftover=own_ranks.leftover,
        mismatch=False,
    )
