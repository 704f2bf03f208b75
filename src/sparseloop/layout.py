"""Laying the rank formats of a tensor on the loops of the nest.

Loops of bound 1 do not exist for a format, so which loop a rank takes depends on the bounds: every assignment is a
boolean array.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import ops
from .ops import Array
from .plan import Link, Plan
from .sparse import RankFormat
from .tiles import Tiles

Masks = dict[int, Array]
"""Slot to: does the rank take this loop?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The ranks of one tensor at one level, outermost first."""

    formats: tuple[RankFormat, ...]
    own: tuple[Masks, ...]
    """Per rank: the loops between this level and the next inner one that keeps the tensor."""
    inner: tuple[Masks, ...]
    """Per rank: the loops inside the child's tile (the child's ranks, which travel with a delivery)."""
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

    def masks(self, rank: int) -> Masks:
        """All loops of a rank."""
        return {**self.own[rank], **self.inner[rank]}


def lay_out(tiles: Tiles, link: Link, child: Layout | None) -> Layout | None:
    """Assign loops to the ranks of `link.tensor` at `link.parent`; None if it has no format there."""
    given = link.parent_format
    if given is None:
        return None
    if not given.compressed and not link.to_compute:
        return _lay_merged(tiles, link)
    slots = _candidates(tiles.plan, link)
    inner, mismatch = _inner_ranks(tiles, link, child)
    several = False if link.to_compute else tiles.size(link.tensor, tiles.inside(link.child)) > 1
    count = len(inner)
    copies = max(0, len(slots) + count - len(given.ranks)) if given.automatic else 0
    formats = (given.ranks[0],) * copies + given.ranks
    nontrivial = {s: tiles.n[s] > 1 for s in slots}
    walk = _Walk(plan=tiles.plan, formats=formats, slots=slots, nontrivial=nontrivial)
    own, leftover = walk.run(given.order, copies, ops.zero_unless(several, count))
    empty: list[Masks] = [{} for _ in range(len(formats) - count)]
    return Layout(
        formats=formats,
        own=own,
        inner=tuple([*empty, *inner] if len(inner) <= len(formats) else inner[: len(formats)]),
        bounds={s: tiles.n[s] for s in range(len(tiles.n))},
        absorbed={},
        holders={},
        leftover=leftover,
        mismatch=ops.both(several, mismatch) if mismatch else False,
    )


def flattened(tiles: Tiles, link: Link, level: int) -> Masks:
    """The single rank of a tensor stored without a format: all its loops inside `level`."""
    start = tiles.plan.starts[level]
    return {s: tiles.n[s] > 1 for s in sorted(link.relevant) if s >= start}


def _candidates(plan: Plan, link: Link) -> list[int]:
    return [s for s in range(plan.starts[link.parent], plan.starts[link.child]) if s in link.relevant]


def _inner_ranks(tiles: Tiles, link: Link, child: Layout | None) -> tuple[list[Masks], bool]:
    """The ranks inside the child's tile, and whether their formats disagree with this level's."""
    assert link.parent_format is not None
    if link.to_compute:
        return [], False
    if child is None:
        return [flattened(tiles, link, link.child)], False
    ranks = [child.masks(r) for r in range(len(child.formats))]
    mine = link.parent_format.ranks
    kinds = [f.kind for f in child.formats]
    own = [f.kind for f in ((mine[0],) * len(kinds) + mine)[-len(kinds) :]]
    short = len(kinds) > len(mine) and not link.parent_format.automatic
    return ranks, (link.child_compressed and own != kinds) or short


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
        assert best is not None
        return tuple(best[0]), best[1]

    def _assign(
        self, ranks: list[int], slots: list[int], limits: tuple[Array, Array]
    ) -> tuple[list[Masks], Array]:
        """Walk the loops in order; each starts the next rank that accepts it or continues a flattened one."""
        formats = [self.formats[r] for r in ranks]
        groups = [("", ())] + [(str(k), g) for k, f in enumerate(formats) for g in f.groups]
        first, limit = limits
        state = _State(pointer=first, current=-1, group=0)
        masks: list[Masks] = [{} for _ in ranks]
        leftover: Array = False
        for slot in slots:
            rank = self.plan.slots[slot].rank
            allowed = [rank in members for _, members in groups]
            following = [_next_rank(formats, p, rank) for p in range(len(formats) + 1)]
            opened = [*(_group_id(groups, k, rank) for k in range(len(formats))), 0]
            exists = self.nontrivial[slot]
            absorbed = ops.both(exists, ops.pick(allowed, state.group))
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
                if formats[r].groups == () or rank in {d for g in formats[r].groups for d in g}:
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


def _group_id(groups: list[tuple[str, tuple[str, ...]]], rank_format: int, rank: str) -> int:
    for identity, (owner, members) in enumerate(groups):
        if owner == str(rank_format) and rank in members:
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


def _lay_merged(tiles: Tiles, link: Link) -> Layout:
    """UB, UOP and U alone need no pre-tiling: own loops absorb the child's loops of the same rank variable."""
    given = link.parent_format
    assert given is not None
    plan, own_slots = tiles.plan, _candidates(tiles.plan, link)
    start = plan.starts[link.child]
    inner_slots = [s for s in range(start, len(tiles.n)) if s in link.relevant]
    bounds: dict[int, Array] = {s: tiles.n[s] for s in range(len(tiles.n))}
    nontrivial: dict[int, Array] = {s: tiles.n[s] > 1 for s in own_slots}
    absorbed: dict[int, Array] = {}
    holders: dict[int, Array] = {}
    for rank in dict.fromkeys(plan.slots[s].rank for s in [*own_slots, *inner_slots]):
        mine = [s for s in own_slots if plan.slots[s].rank == rank]
        below = [s for s in inner_slots if plan.slots[s].rank == rank]
        extent = tiles.product(below)
        free: Array = True
        for s in reversed(mine):
            here = holders[s] = ops.both(free, tiles.n[s] > 1)
            absorbed[s] = ops.one_unless(here, extent)
            bounds[s] = tiles.n[s] * absorbed[s]
            free = ops.both(free, tiles.n[s] <= 1)
        for s in below:
            nontrivial[s] = holders[s] = ops.both(free, tiles.n[s] > 1)
            free = ops.both(free, tiles.n[s] <= 1)
            bounds[s] = absorbed[s] = extent
    slots = sorted(nontrivial)
    copies = max(0, len(slots) - len(given.ranks)) if given.automatic else 0
    formats = (given.ranks[0],) * copies + given.ranks
    walk = _Walk(plan=plan, formats=formats, slots=slots, nontrivial=nontrivial)
    own, leftover = walk.run(given.order, copies, 0)
    return Layout(
        formats=formats,
        own=own,
        inner=tuple({} for _ in formats),
        bounds=bounds,
        absorbed=absorbed,
        holders=holders,
        leftover=leftover,
        mismatch=False,
    )
