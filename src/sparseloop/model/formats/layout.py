"""Laying the rank formats of a tensor on the loops of the nest.

Loops of bound 1 do not exist for a format, so which loop a rank takes depends on the bounds: every assignment is a
boolean array. A rank that takes single loops gives one item per loop it may take; everything else about such an item is
static. Flattened ranks, and lists without compressed ranks (whose loops merge with the child's), are walked in full.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparseloop.model import ops
from sparseloop.model.design.sparse import RankFormat, TensorFormat
from sparseloop.model.ops import Array
from sparseloop.model.plan import Link, Plan
from sparseloop.model.traffic.tiles import Tiles

Masks = dict[int, Array]
"""Slot to: does the rank take this loop?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLoops:
    """Loops that one rank may take."""

    rank: int
    """Index in the given list, 0 = outermost; repetitions of the outermost rank count as 0."""
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

    given: TensorFormat
    items: tuple[RankLoops, ...]
    bounds: dict[int, Array]
    """Effective loop bounds; larger than the loop's where it also stands for loops of the child (UB, UOP, U)."""
    absorbed: dict[int, Array]
    """Positions of the child's loops that one look at an entry of this slot stands for (UB, UOP, U alone)."""
    holders: dict[int, Array]
    """Slot to: does this loop stand for the child's loops of its rank variable?"""
    leftover: Array
    """True where there are more loops than ranks."""
    mismatch: Array
    """True where the child's ranks do not fit this level's."""


def lay_out(tiles: Tiles, link: Link, child: Layout | None) -> Layout | None:
    """Assign loops to the ranks of `link.tensor` at `link.parent`; None if it has no format there."""
    given = link.parent_format
    if given is None:
        return None
    if not given.compressed and not link.to_compute:
        return _lay_merged(tiles, link, given)
    inner, count, mismatch = _inner_items(tiles, link, child)
    several = False if link.to_compute else tiles.size(link.tensor, tiles.inside(link.child)) > 1
    taken = ops.zero_unless(several, count)
    if any(r.groups for r in given.ranks):
        own, leftover = _flattened_items(tiles, link, given, (count, taken))
    else:
        own, leftover = _single_items(tiles, link, given, taken)
    return Layout(
        given=given,
        items=(*own, *inner),
        bounds=dict(enumerate(tiles.bounds)),
        absorbed={},
        holders={},
        leftover=leftover,
        mismatch=ops.both(several, mismatch) if mismatch else False,
    )


def _candidates(plan: Plan, link: Link) -> list[int]:
    return [s for s in range(plan.starts[link.parent], plan.starts[link.child]) if s in link.relevant]


def _inner_items(tiles: Tiles, link: Link, child: Layout | None) -> tuple[list[RankLoops], int, bool]:
    """The ranks inside the child's tile, their number, and whether their formats disagree with this level's."""
    given = link.parent_format
    assert given is not None
    if link.to_compute:
        return [], 0, False
    last = len(given.ranks) - 1
    if child is None:
        start = tiles.plan.starts[link.child]
        masks = {s: tiles.bounds[s] > 1 for s in sorted(link.relevant) if s >= start}
        span = (start, len(tiles.bounds))
        return [RankLoops(rank=last, masks=masks, inner=True, span=span)] if masks else [], 1, False
    kinds = [f.kind for f in child.given.ranks]
    mine = [f.kind for f in given.ranks]
    depth = len(kinds) - 1
    items = [replace(i, rank=max(0, last - (depth - i.rank)), inner=True) for i in child.items]
    aligned = ([mine[0]] * len(kinds) + mine)[-len(kinds) :]
    short = len(kinds) > len(mine) and not given.automatic
    return items, len(kinds), (link.child_compressed and aligned != kinds) or short


# --- ranks of one loop each ---------------------------------------------------------------------------------


def _single_items(tiles: Tiles, link: Link, given: TensorFormat, taken: Array) -> tuple[list[RankLoops], Array]:
    """Every non-trivial own loop is a rank; which one depends on how many others there are outside (or inside) it."""
    slots = _candidates(tiles.plan, link)
    exists = [tiles.bounds[s] > 1 for s in slots]
    ranks = len(given.ranks)
    if ranks == 1:
        items = [RankLoops(rank=0, masks={s: e}, inner=False) for s, e in zip(slots, exists, strict=True)]
        return items, False if given.automatic else _sum(exists) > ranks - taken
    free = ops.maximum(0, ranks - taken)
    total = _sum(exists)
    items: list[RankLoops] = []
    before: Array = 0
    for position, (slot, here) in enumerate(zip(slots, exists, strict=True)):
        inside = total - before - here
        last = free - 1 - inside
        rank = ops.maximum(0, last if given.order == "inner_to_outer" else ops.minimum(before, last))
        highest = ranks - 1 if given.order == "inner_to_outer" else min(position, ranks - 1)
        for r in range(highest + 1):
            items.append(RankLoops(rank=r, masks={slot: ops.both(here, rank == r)}, inner=False))
        before = before + here
    return items, False if given.automatic else total > free


def _sum(flags: list[Array]) -> Array:
    result: Array = 0
    for flag in flags:
        result = result + flag
    return result


# --- flattened ranks ----------------------------------------------------------------------------------------


def _flattened_items(tiles: Tiles, link: Link, given: TensorFormat, child: tuple[int, Array]) -> tuple[list[RankLoops], Array]:
    """Own loops on a list with flattened ranks; `child` = (number of child ranks, those in use)."""
    count, taken = child
    slots = _candidates(tiles.plan, link)
    first = given.ranks[0]
    everything = any(set(tiles.plan.einsum.tensors[link.tensor].ranks) <= set(g) for g in first.groups)
    if everything and (given.order == "outer_to_inner" or len(given.ranks) == 1):
        if not slots:
            return [], False
        nontrivial = {s: tiles.bounds[s] > 1 for s in slots}
        span = (tiles.plan.starts[link.parent], tiles.plan.starts[link.child])
        none_free = len(given.ranks) - taken < 1
        leftover = False if given.automatic else ops.both(none_free, tiles.product(slots) > 1)
        return [RankLoops(rank=0, masks=nontrivial, inner=False, span=span)], leftover
    copies = max(0, len(slots) + count - len(given.ranks)) if given.automatic else 0
    walk = _Walk(
        plan=tiles.plan,
        formats=(given.ranks[0],) * copies + given.ranks,
        slots=slots,
        nontrivial={s: tiles.bounds[s] > 1 for s in slots},
    )
    masks, leftover = walk.run(given.order, copies, taken)
    items = [RankLoops(rank=max(0, r - copies), masks=m, inner=False) for r, m in enumerate(masks) if m]
    return items, leftover


@dataclass(slots=True)
class _Walk:
    plan: Plan
    formats: tuple[RankFormat, ...]
    slots: list[int]
    nontrivial: dict[int, Array]

    def run(self, order: str, copies: int, taken: Array) -> tuple[tuple[Masks, ...], Array]:
        """Masks of own loops per rank; `taken` innermost ranks belong to the child; `copies` were prepended."""
        count = len(self.formats)
        if order == "inner_to_outer":
            ranks = self._assign(list(reversed(range(count))), list(reversed(self.slots)), (taken, count))
            return tuple(ranks[0][count - 1 - r] for r in range(count)), ranks[1]
        best: tuple[list[Masks], Array] | None = None
        for extra in range(copies + 1):
            trial = self._assign(list(range(count)), self.slots, (copies - extra, count - taken))
            best = trial if best is None else _prefer(best, trial)
            if best[1] is False:
                break
        assert best is not None
        return tuple(best[0]), best[1]

    def _assign(self, ranks: list[int], slots: list[int], limits: tuple[Array, Array]) -> tuple[list[Masks], Array]:
        """Walk the loops in order; each starts the next rank that accepts it or continues a flattened one."""
        formats = [self.formats[r] for r in ranks]
        groups = [(-1, ()), *((k, g) for k, f in enumerate(formats) for g in f.groups)]
        first, limit = limits
        state = _State(pointer=first, current=-1, group=0)
        masks: list[Masks] = [{} for _ in ranks]
        leftover: Array = False
        for slot in slots:
            rank = self.plan.loops[slot].rank
            following = [_next_rank(formats, p, rank) for p in range(len(formats) + 1)]
            opened = [*(_group_id(groups, k, rank) for k in range(len(formats))), 0]
            exists = self.nontrivial[slot]
            absorbed = ops.both(exists, ops.pick([rank in members for _, members in groups], state.group))
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
        return masks, leftover


@dataclass(frozen=True, slots=True)
class _State:
    pointer: Array
    current: Array
    group: Array


def _next_rank(formats: list[RankFormat], start: int, rank: str) -> int:
    """First rank from `start` on that accepts a loop over `rank`; len(formats) if none does."""
    for k in range(start, len(formats)):
        if not formats[k].groups or any(rank in g for g in formats[k].groups):
            return k
    return len(formats)


def _group_id(groups: list[tuple[int, tuple[str, ...]]], rank_format: int, rank: str) -> int:
    for identity, (owner, members) in enumerate(groups):
        if owner == rank_format and rank in members:
            return identity
    return 0


def _prefer(first: tuple[list[Masks], Array], second: tuple[list[Masks], Array]) -> tuple[list[Masks], Array]:
    """`first` where it left no loop over, else `second`."""
    bad = first[1]
    if bad is False:
        return first
    masks = [
        {s: ops.where(bad, b.get(s, False), a.get(s, False)) for s in {**a, **b}}
        for a, b in zip(first[0], second[0], strict=True)
    ]
    return masks, ops.both(bad, second[1])


# --- lists without compressed ranks -------------------------------------------------------------------------


def _lay_merged(tiles: Tiles, link: Link, given: TensorFormat) -> Layout:
    """UB, UOP and U alone need no pre-tiling: own loops absorb the child's loops of the same rank variable."""
    plan, own_slots = tiles.plan, _candidates(tiles.plan, link)
    start = plan.starts[link.child]
    inner_slots = [s for s in range(start, len(tiles.bounds)) if s in link.relevant]
    bounds: dict[int, Array] = dict(enumerate(tiles.bounds))
    nontrivial: dict[int, Array] = {s: tiles.bounds[s] > 1 for s in own_slots}
    absorbed: dict[int, Array] = {}
    holders: dict[int, Array] = {}
    for rank in dict.fromkeys(plan.loops[s].rank for s in [*own_slots, *inner_slots]):
        mine = [s for s in own_slots if plan.loops[s].rank == rank]
        below = [s for s in inner_slots if plan.loops[s].rank == rank]
        extent = tiles.product(below)
        free: Array = True
        for s in reversed(mine):
            here = holders[s] = ops.both(free, tiles.bounds[s] > 1)
            absorbed[s] = ops.one_unless(here, extent)
            bounds[s] = tiles.bounds[s] * absorbed[s]
            free = ops.both(free, tiles.bounds[s] <= 1)
        for s in below:
            nontrivial[s] = holders[s] = ops.both(free, tiles.bounds[s] > 1)
            free = ops.both(free, tiles.bounds[s] <= 1)
            bounds[s] = absorbed[s] = extent
    slots = sorted(nontrivial)
    copies = max(0, len(slots) - len(given.ranks)) if given.automatic else 0
    formats = (given.ranks[0],) * copies + given.ranks
    masks, leftover = _Walk(plan=plan, formats=formats, slots=slots, nontrivial=nontrivial).run(given.order, copies, 0)
    return Layout(
        given=given,
        items=tuple(RankLoops(rank=max(0, r - copies), masks=m, inner=False) for r, m in enumerate(masks) if m),
        bounds=bounds,
        absorbed=absorbed,
        holders=holders,
        leftover=leftover,
        mismatch=False,
    )
