"""Laying the rank formats of a tensor on the loops of the nest.

Loops of bound 1 do not exist for a format, so which loop a rank takes depends on the bounds: every assignment is a flag per
mapping (`Masks`). Three kinds of formats are laid in three ways:

    single loops     every rank takes one loop: one `RankLoops` per loop that it may take, otherwise static
    flattened ranks  a rank takes several consecutive loops: the loops are walked in order, with the state as arrays
    merged           formats without compressed ranks: own loops also stand for the child's loops of their rank, then walked
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparseloop.model import ops
from sparseloop.model.design.sparse import RankFormat, TensorFormat
from sparseloop.model.plan import Link, Plan
from sparseloop.model.traffic.tiles import Tiles, words_met
from sparseloop.model.units import Count, Flag

Masks = dict[int, Flag]
"""Slot to: does the rank take this loop?"""


def any_of(masks: Masks) -> Flag:
    """True where one of the flags holds."""
    result: Flag = False
    for mask in masks.values():
        result = ops.either(result, mask)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLoops:
    """Loops that one rank may take."""

    rank: int
    """Index in the list of formats, 0 = outermost; repetitions of the outermost rank count as 0."""
    masks: Masks
    inner: bool
    """The loops lie inside the child's tile: the rank travels with a delivery."""
    span: tuple[int, int] | None = None
    """First and last+1 slot if the rank takes every loop of the tensor between, whatever the bounds."""

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
    bounds: dict[int, Count]
    """Effective loop bounds by slot; larger than the loop's where it also stands for loops of the child (UB, UOP, U)."""
    absorbed: dict[int, Count]
    """Positions of the child's loops that one look at an entry of this slot stands for (UB, UOP, U alone)."""
    holders: Masks
    """Slot to: does this loop stand for the child's loops of its rank variable?"""
    leftover: Flag
    """True where there are more loops than ranks."""
    mismatch: Flag
    """True where the child's ranks do not fit this level's."""


@dataclass(frozen=True, slots=True)
class _Inner:
    """What lies inside the child's tile."""

    ranks: list[RankLoops]
    count: int
    """Ranks of the list that belong to the child where its tile has more than one word."""
    mismatch: bool
    """The child's formats are not the innermost ones of this level."""


@dataclass(frozen=True, slots=True)
class _Own:
    """What the level's own loops are laid on."""

    ranks: list[RankLoops]
    leftover: Flag


def lay_out(tiles: Tiles, link: Link, child: Layout | None) -> Layout | None:
    """Assign loops to the ranks of `link.tensor` at `link.parent`; None if it has no format there.

    `child`: the layout at the link's child, None if there is none.
    """
    form = link.parent_format
    if form is None:
        return None
    if not form.compressed and not link.to_compute:
        return _lay_merged(tiles, link, form)
    inner = _inner_ranks(tiles, link, form, child)
    several = False if link.to_compute else words_met(tiles, link.tensor, tiles.inside(link.child)) > 1
    taken = ops.zero_unless(several, inner.count)
    if any(r.groups for r in form.ranks):
        own = _flattened_ranks(tiles, link, form, inner.count, taken)
    else:
        own = _single_ranks(tiles, link, form, taken)
    return Layout(
        format=form,
        ranks=(*own.ranks, *inner.ranks),
        bounds=dict(enumerate(tiles.bounds)),
        absorbed={},
        holders={},
        leftover=own.leftover,
        mismatch=ops.both(several, inner.mismatch) if inner.mismatch else False,
    )


def _own_slots(plan: Plan, link: Link) -> list[int]:
    """Loops of the tensor between the parent's tile and the child's, outermost first."""
    return [s for s in range(plan.starts[link.parent], plan.starts[link.child]) if s in link.relevant]


def _inner_ranks(tiles: Tiles, link: Link, form: TensorFormat, child: Layout | None) -> _Inner:
    """The ranks inside the child's tile: its own ones, or one for everything if it has no format."""
    if link.to_compute:
        return _Inner([], 0, False)
    last = len(form.ranks) - 1
    if child is None:
        start = tiles.plan.starts[link.child]
        masks = {s: tiles.bounds[s] > 1 for s in sorted(link.relevant) if s >= start}
        span = (start, len(tiles.bounds))
        return _Inner([RankLoops(rank=last, masks=masks, inner=True, span=span)] if masks else [], 1, False)
    kinds = [f.kind for f in child.format.ranks]
    mine = [f.kind for f in form.ranks]
    depth = len(kinds) - 1
    ranks = [replace(r, rank=max(0, last - (depth - r.rank)), inner=True) for r in child.ranks]
    aligned = ([mine[0]] * len(kinds) + mine)[-len(kinds) :]
    short = len(kinds) > len(mine) and not form.automatic
    return _Inner(ranks, len(kinds), (link.child_compressed and aligned != kinds) or short)


# --- ranks of one loop each ---------------------------------------------------------------------------------


def _single_ranks(tiles: Tiles, link: Link, form: TensorFormat, taken: Count) -> _Own:
    """Every non-trivial own loop is a rank; which one depends on how many others there are outside (or inside) it.

    `taken`: ranks that belong to the child.
    """
    slots = _own_slots(tiles.plan, link)
    exists = [tiles.bounds[s] > 1 for s in slots]
    count = len(form.ranks)
    if count == 1:
        ranks = [RankLoops(rank=0, masks={s: e}, inner=False) for s, e in zip(slots, exists, strict=True)]
        return _Own(ranks, False if form.automatic else _number_of(exists) > count - taken)
    free = ops.maximum(0, count - taken)
    total = _number_of(exists)
    ranks: list[RankLoops] = []
    before: Count = 0
    for position, (slot, here) in enumerate(zip(slots, exists, strict=True)):
        inside = total - before - here
        last = free - 1 - inside
        rank = ops.maximum(0, last if form.order == "inner_to_outer" else ops.minimum(before, last))
        highest = count - 1 if form.order == "inner_to_outer" else min(position, count - 1)
        for r in range(highest + 1):
            ranks.append(RankLoops(rank=r, masks={slot: ops.both(here, rank == r)}, inner=False))
        before = before + here
    return _Own(ranks, False if form.automatic else total > free)


def _number_of(flags: list[Flag]) -> Count:
    """How many of the flags hold."""
    result: Count = 0
    for flag in flags:
        result = result + flag
    return result


# --- flattened ranks ----------------------------------------------------------------------------------------


def _flattened_ranks(tiles: Tiles, link: Link, form: TensorFormat, count: int, taken: Count) -> _Own:
    """Own loops on a list with flattened ranks; `count` ranks may belong to the child, `taken` of them do."""
    slots = _own_slots(tiles.plan, link)
    first = form.ranks[0]
    everything = any(set(tiles.plan.einsum.tensors[link.tensor].ranks) <= set(g) for g in first.groups)
    exists: Masks = {s: tiles.bounds[s] > 1 for s in slots}
    if everything and (form.order == "outer_to_inner" or len(form.ranks) == 1):
        if not slots:
            return _Own([], False)
        span = (tiles.plan.starts[link.parent], tiles.plan.starts[link.child])
        none_free = len(form.ranks) - taken < 1
        leftover = False if form.automatic else ops.both(none_free, tiles.product(slots) > 1)
        return _Own([RankLoops(rank=0, masks=exists, inner=False, span=span)], leftover)
    copies = max(0, len(slots) + count - len(form.ranks)) if form.automatic else 0
    return _walked(
        _Walk(plan=tiles.plan, formats=(first,) * copies + form.ranks, slots=slots, exists=exists), form, copies, taken
    )


def _walked(walk: _Walk, form: TensorFormat, copies: int, taken: Count) -> _Own:
    """Ranks of a walk; the `copies` of the outermost one that were prepended count as that."""
    found = walk.run(form.order, copies, taken)
    return _Own(
        [RankLoops(rank=max(0, r - copies), masks=m, inner=False) for r, m in enumerate(found.masks) if m], found.leftover
    )


@dataclass(frozen=True, slots=True)
class _Assignment:
    """Loops given to ranks."""

    masks: list[Masks]
    """By rank."""
    leftover: Flag
    """True where a loop was left over."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """Loops that are given to ranks one after the other."""

    plan: Plan
    formats: tuple[RankFormat, ...]
    slots: list[int]
    exists: Masks
    """Loops of more than one iteration."""

    def run(self, order: str, copies: int, taken: Count) -> _Assignment:
        """Masks of own loops per rank; `taken` innermost ranks belong to the child; `copies` were prepended."""
        count = len(self.formats)
        if order == "inner_to_outer":
            found = self._assign(list(reversed(range(count))), list(reversed(self.slots)), taken, count)
            return _Assignment(list(reversed(found.masks)), found.leftover)
        best: _Assignment | None = None
        for extra in range(copies + 1):
            trial = self._assign(list(range(count)), self.slots, copies - extra, count - taken)
            best = trial if best is None else _prefer(best, trial)
            if best.leftover is False:
                break
        assert best is not None
        return best

    def _assign(self, ranks: list[int], slots: list[int], first: Count, limit: Count) -> _Assignment:
        """Walk the loops in order; each starts the next rank that accepts it or continues a flattened one.

        Ranks from `first` on, before `limit`, may be taken.
        """
        formats = [self.formats[r] for r in ranks]
        groups = [_Group(-1, ()), *(_Group(k, g) for k, f in enumerate(formats) for g in f.groups)]
        state = _State(pointer=first, current=-1, group=0)
        masks: list[Masks] = [{} for _ in ranks]
        leftover: Flag = False
        for slot in slots:
            rank = self.plan.loops[slot].rank
            following = [_next_rank(formats, p, rank) for p in range(len(formats) + 1)]
            opened = [*(_group_id(groups, k, rank) for k in range(len(formats))), 0]
            exists = self.exists[slot]
            absorbed = ops.both(exists, ops.pick([rank in group.members for group in groups], state.group))
            fresh = ops.pick(following, state.pointer)
            starts = ops.both(exists, ops.negate(absorbed))
            leftover = ops.either(leftover, ops.both(starts, fresh >= limit))
            starts = ops.both(starts, fresh < limit)
            state = _State(
                pointer=ops.where(starts, fresh + 1, state.pointer),
                current=ops.where(starts, fresh, state.current),
                group=ops.where(starts, ops.pick(opened, fresh), state.group),
            )
            taken = ops.either(absorbed, starts)
            for r in range(len(ranks)):
                if formats[r].groups == () or any(rank in g for g in formats[r].groups):
                    masks[r][slot] = ops.both(taken, state.current == r)
        return _Assignment(masks, leftover)


@dataclass(frozen=True, slots=True)
class _Group:
    """Rank variables whose loops a flattened rank takes together."""

    owner: int
    """Position of its rank; -1: the group of no rank."""
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """Where a walk stands, for every mapping."""

    pointer: Count
    """The next rank that may start."""
    current: Count
    """The rank that took the latest loop; -1: none yet."""
    group: Count
    """Number of its group; 0: it takes no further loop."""


def _next_rank(formats: list[RankFormat], start: int, rank: str) -> int:
    """First rank from `start` on that accepts a loop over `rank`; len(formats) if none does."""
    for k in range(start, len(formats)):
        if not formats[k].groups or any(rank in g for g in formats[k].groups):
            return k
    return len(formats)


def _group_id(groups: list[_Group], owner: int, rank: str) -> int:
    """Number of the group of a rank that has this rank variable; 0: none."""
    for identity, group in enumerate(groups):
        if group.owner == owner and rank in group.members:
            return identity
    return 0


def _prefer(first: _Assignment, second: _Assignment) -> _Assignment:
    """`first` where it left no loop over, else `second`."""
    bad = first.leftover
    if bad is False:
        return first
    masks = [
        {s: ops.where(bad, b.get(s, False), a.get(s, False)) for s in {**a, **b}}
        for a, b in zip(first.masks, second.masks, strict=True)
    ]
    return _Assignment(masks, ops.both(bad, second.leftover))


# --- formats without compressed ranks -----------------------------------------------------------------------


def _lay_merged(tiles: Tiles, link: Link, form: TensorFormat) -> Layout:
    """UB, UOP and U alone need no pre-tiling: own loops absorb the child's loops of the same rank variable."""
    plan, own_slots = tiles.plan, _own_slots(tiles.plan, link)
    start = plan.starts[link.child]
    inner_slots = [s for s in range(start, len(tiles.bounds)) if s in link.relevant]
    bounds: dict[int, Count] = dict(enumerate(tiles.bounds))
    exists: Masks = {s: tiles.bounds[s] > 1 for s in own_slots}
    absorbed: dict[int, Count] = {}
    holders: Masks = {}
    for rank in dict.fromkeys(plan.loops[s].rank for s in [*own_slots, *inner_slots]):
        own = [s for s in own_slots if plan.loops[s].rank == rank]
        below = [s for s in inner_slots if plan.loops[s].rank == rank]
        extent = tiles.product(below)
        free: Flag = True
        for s in reversed(own):
            here = holders[s] = ops.both(free, tiles.bounds[s] > 1)
            absorbed[s] = ops.one_unless(here, extent)
            bounds[s] = tiles.bounds[s] * absorbed[s]
            free = ops.both(free, tiles.bounds[s] <= 1)
        for s in below:
            exists[s] = holders[s] = ops.both(free, tiles.bounds[s] > 1)
            free = ops.both(free, tiles.bounds[s] <= 1)
            bounds[s] = absorbed[s] = extent
    slots = sorted(exists)
    copies = max(0, len(slots) - len(form.ranks)) if form.automatic else 0
    walk = _Walk(plan=plan, formats=(form.ranks[0],) * copies + form.ranks, slots=slots, exists=exists)
    own_ranks = _walked(walk, form, copies, 0)
    return Layout(
        format=form,
        ranks=tuple(own_ranks.ranks),
        bounds=bounds,
        absorbed=absorbed,
        holders=holders,
        leftover=own_ranks.leftover,
        mismatch=False,
    )
