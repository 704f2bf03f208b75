"""Orders of the temporal loops of one level: what constraints leave free, and which orders give the same traffic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelOrder:
    """The loops that may exist at a level: a fixed outer part, free ones, a fixed inner part (each outermost first)."""

    outer: tuple[str, ...]
    free: tuple[str, ...]
    inner: tuple[str, ...]

    @property
    def ranks(self) -> tuple[str, ...]:
        """All ranks that may have a loop here."""
        return (*self.outer, *self.free, *self.inner)

    @property
    def count(self) -> int:
        """Number of orders, loops of bound 1 included."""
        return math.factorial(len(self.free))

    def every(self) -> Iterator[tuple[str, ...]]:
        """All orders, outermost first."""
        for middle in permutations(self.free):
            yield self.outer + middle + self.inner

    def drawn(self, rng: np.random.Generator) -> tuple[str, ...]:
        """One order, uniformly."""
        middle = [self.free[int(i)] for i in rng.permutation(len(self.free))]
        return (*self.outer, *middle, *self.inner)

    def position(self, rank: str) -> int:
        """Loops of smaller position stand further inside; free ones share position 0."""
        if rank in self.inner:
            return -1 - self.inner.index(rank)
        return len(self.outer) - self.outer.index(rank) if rank in self.outer else 0

    def allows(self, ranks: Sequence[str]) -> bool:
        """True if loops over these ranks (outermost first, none of bound 1) may stand in this order."""
        if len(set(ranks)) < len(ranks) or not set(ranks) <= set(self.ranks):
            return False
        places = [self.position(rank) for rank in ranks]
        return all(a > b or a == b == 0 for a, b in pairwise(places))


def level_order(text: str | None, ranks: Sequence[str]) -> LevelOrder:
    """The constraint 'a b ... c' (outermost first) at a level with loops over `ranks`; no '...': free ones stand outermost."""
    words = (text or "").replace("...", " ... ").replace(",", " ").replace("*", " ... ").split()
    at = words.index("...") if "..." in words else 0
    named = [word for word in words if word != "..."]
    outer, inner = named[:at], named[at:]
    free = tuple(rank for rank in ranks if rank not in named)
    return LevelOrder(outer=tuple(r for r in outer if r in ranks), free=free, inner=tuple(r for r in inner if r in ranks))


# --- orders with the same traffic ---------------------------------------------------------------------------

Signature = tuple[int, ...]
"""Per tensor the set of loops (as bits) inside its innermost relevant loop; -1 if it has none at this level. Where that loop
slides a window, its rank is one more bit, SLIDING places higher."""
SLIDING = 32


def sliding_rank(run: int) -> int:
    """The rank that moves the window, in an entry of a signature; -1 if none does."""
    return -1 if run < 0 else (run >> SLIDING).bit_length() - 1


class ClassOrder(NamedTuple):
    """An order of all loops of a level (outermost first) that stands for one class per set of existing loops."""

    order: tuple[str, ...]
    loops: frozenset[int]
    """The sets (bits) it stands for."""


@dataclass(frozen=True, slots=True)
class OrderClasses:
    """The classes of orders of one level: for every set of loops (bits over `ranks`) and signature one order, innermost first."""

    order: LevelOrder
    ranks: tuple[str, ...]
    relevant: tuple[int, ...]
    """Per tensor that waits at a level further inside: the ranks that index it, as bits."""
    sliding: tuple[int, ...]
    """Per tensor those of them that slide a window."""
    representatives: dict[int, dict[Signature, tuple[int, ...]]]
    _tightest: dict[int, list[Signature]] = field(default_factory=dict[int, "list[Signature]"], repr=False, compare=False)

    def tightest(self, loops: int) -> list[Signature]:
        """The classes of a set of loops whose runs of irrelevant loops are not all contained in those of another class.

        What crosses a boundary falls with every longer run, so no other class costs less.
        """
        if loops not in self._tightest:
            kept: list[Signature] = []
            longest_first = sorted(self.representatives.get(loops, {}), key=_length, reverse=True)
            for one in longest_first:
                if not any(all(a & b == a for a, b in zip(one, other, strict=True)) for other in kept):
                    kept.append(one)
            self._tightest[loops] = kept
        return self._tightest[loops]

    def count(self, loops: int) -> int:
        """Number of classes when exactly these loops have a bound above 1."""
        return len(self.representatives.get(loops, ()))

    def signature(self, inner_first: Sequence[int]) -> Signature:
        """Which class an order belongs to: of every tensor the loops inside its innermost relevant one."""
        placed, signature = 0, (-1,) * len(self.relevant)
        for rank in inner_first:
            signature = self.extended(signature, placed, rank)
            placed |= 1 << rank
        return signature

    def extended(self, signature: Signature, placed: int, rank: int) -> Signature:
        """The signature with one more loop outside those `placed` (bits)."""
        return _extended_signature(signature, placed, 1 << rank, list(zip(self.relevant, self.sliding, strict=True)))

    def library(self) -> list[ClassOrder]:
        """Orders of all loops (outermost first) that represent every class, each with the sets of loops it stands for."""
        everything = [r for r, rank in enumerate(self.ranks) if rank in self.order.ranks]
        waiting = {(loops, s): rep for loops, by_signature in self.representatives.items() for s, rep in by_signature.items()}
        chosen: list[ClassOrder] = []
        for loops, signature in sorted(waiting, key=lambda key: -key[0].bit_count()):
            if (loops, signature) not in waiting:
                continue
            start = waiting[loops, signature]
            whole = self._completed(start, [r for r in everything if not loops >> r & 1])
            owned: set[int] = set()
            for subset in self.representatives:
                key = (subset, self.signature([r for r in whole if subset >> r & 1]))
                if key in waiting:
                    del waiting[key]
                    owned.add(subset)
            chosen.append(ClassOrder(tuple(self.ranks[r] for r in reversed(whole)), frozenset(owned)))
        return chosen

    def _completed(self, order: tuple[int, ...], missing: Sequence[int]) -> list[int]:
        """The order with the other ranks put where the constraint allows, as far outside as possible."""
        whole = list(order)
        for rank in missing:
            position = self.order.position(self.ranks[rank])
            at = next((i for i, r in enumerate(whole) if self.order.position(self.ranks[r]) > position), len(whole))
            whole.insert(at, rank)
        return whole


def _length(signature: Signature) -> int:
    """Loops in all runs; more than any where there is no relevant loop."""
    return sum(64 if run < 0 else run.bit_count() for run in signature)


def _extended_signature(signature: Signature, placed: int, bit: int, masks: Sequence[tuple[int, int]]) -> Signature:
    return tuple(
        placed | ((bit & sliding) << SLIDING) if s < 0 and relevant & bit else s
        for s, (relevant, sliding) in zip(signature, masks, strict=True)
    )


def _bits(ranks: Sequence[str], sets: Sequence[frozenset[str]]) -> tuple[int, ...]:
    return tuple(sum(1 << i for i, r in enumerate(ranks) if r in names) for names in sets)


def order_classes(
    order: LevelOrder, ranks: Sequence[str], relevant: Sequence[frozenset[str]], sliding: Sequence[frozenset[str]] = ()
) -> OrderClasses:  # fmt: skip
    """All classes of one level, loops put one outside the other; orders that look the same from outside are merged."""
    none = (frozenset[str](),) * len(relevant)
    moving, windows = _bits(ranks, relevant), _bits(ranks, sliding or none)
    masks = list(zip(moving, windows, strict=True))
    representatives: dict[int, dict[Signature, tuple[int, ...]]] = {0: {(-1,) * len(masks): ()}}
    layer = dict(representatives)
    while layer:
        after: dict[int, dict[Signature, tuple[int, ...]]] = {}
        for placed, by_signature in layer.items():
            highest = max((order.position(r) for i, r in enumerate(ranks) if placed >> i & 1), default=-len(ranks) - 1)
            for i, rank in enumerate(ranks):
                position = order.position(rank)
                if placed >> i & 1 or rank not in order.ranks or position < highest or (position == highest and position != 0):
                    continue
                states = after.setdefault(placed | 1 << i, {})
                for signature, before in by_signature.items():
                    states.setdefault(_extended_signature(signature, placed, 1 << i, masks), (*before, i))
        representatives |= after
        layer = after
    return OrderClasses(order=order, ranks=tuple(ranks), relevant=moving, sliding=windows, representatives=representatives)
