"""Loops that are given to the ranks of a list one after the other: flattened ranks take several, some ranks none."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparseloop.model import ops
from sparseloop.model.design.sparse import RankFormat
from sparseloop.model.plan import Plan
from sparseloop.model.units import Count, Flag

Masks = dict[int, Flag]
"""Slot to: does the rank take this loop?"""


def any_of(masks: Masks) -> Flag:
    """True where one of the flags holds."""
    result: Flag = False
    for mask in masks.values():
        result = ops.either(result, mask)
    return result


def number_of(flags: list[Flag]) -> Count:
    """How many of the flags hold."""
    result: Count = 0
    for flag in flags:
        result = result + flag
    return result


def union(a: Masks, b: Masks) -> Masks:
    """Loops that one of two ranks takes."""
    return {s: ops.either(a.get(s, False), b.get(s, False)) for s in sorted({**a, **b})}


@dataclass(frozen=True, slots=True)
class Assignment:
    """Loops given to ranks."""

    masks: list[Masks]
    """By rank."""
    leftover: Flag
    """True where a loop was left over."""
    copies: Count
    """Repetitions of the outermost rank that were needed."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Loops of one rank variable on both sides of the child's boundary."""

    holders: Masks
    """The one that takes all loops of the child along."""
    along: Masks
    """The loops of the child that exist."""


@dataclass(frozen=True, slots=True)
class RankWalk:
    """Loops that are given to ranks one after the other."""

    plan: Plan
    formats: tuple[RankFormat, ...]
    slots: list[int]
    exists: Masks
    """Loops of more than one iteration."""
    merged: tuple[Merged, ...] = ()

    def run(self, order: str, copies: int, taken: Count) -> Assignment:
        """Masks of own loops per rank; `taken` innermost ranks belong to the child; `copies` were prepended."""
        found = self._run(order, copies, taken)
        return replace(found, masks=[self._with_child(masks) for masks in found.masks]) if self.merged else found

    def _with_child(self, masks: Masks) -> Masks:
        """The loops of a rank with those of the child that they take along."""
        result = dict(masks)
        for one in self.merged:
            holds = any_of({s: ops.both(here, masks.get(s, False)) for s, here in one.holders.items()})
            for slot, exists in one.along.items():
                taken = ops.both(holds, exists)
                if taken is not False:
                    result[slot] = taken
        return result

    def _run(self, order: str, copies: int, taken: Count) -> Assignment:
        count = len(self.formats)
        if order == "inner_to_outer":
            found = self._assign(list(reversed(range(count))), list(reversed(self.slots)), taken, count)
            used = number_of([any_of(masks) for masks in found.masks[count - copies :]])
            return Assignment(list(reversed(found.masks)), found.leftover, used)
        best: Assignment | None = None
        for extra in range(copies + 1):
            trial = replace(self._assign(list(range(count)), self.slots, copies - extra, count - taken), copies=extra)
            best = trial if best is None else _prefer(best, trial)
            if best.leftover is False:
                break
        assert best is not None
        return best

    def _assign(self, ranks: list[int], slots: list[int], first: Count, limit: Count) -> Assignment:
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
        return Assignment(masks, leftover, 0)


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


def _prefer(first: Assignment, second: Assignment) -> Assignment:
    """`first` where it left no loop over, else `second`."""
    bad = first.leftover
    if bad is False:
        return first
    masks = [
        {s: ops.where(bad, b.get(s, False), a.get(s, False)) for s in {**a, **b}}
        for a, b in zip(first.masks, second.masks, strict=True)
    ]
    return Assignment(masks, ops.both(bad, second.leftover), ops.where(bad, second.copies, first.copies))
