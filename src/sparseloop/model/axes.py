"""Axes of a tensor that move together: a rank may move several of them (a diagonal), and several ranks one (a window)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import mul
from typing import NamedTuple

from sparseloop.model.design.einsum import Axis, Term
from sparseloop.model.ops import distinct_sums

LARGEST_SUMS = 2**24
"""Most sums of three and more ranks whose repetitions are counted."""


class AxisGroup(NamedTuple):
    """Axes of a tensor that move together because they share ranks (mostly a single one), and how ranks move them."""

    axes: tuple[int, ...]
    moves: tuple[tuple[int, ...], ...]
    """Per term: coefficients along the axes."""
    terms: tuple[Term, ...]
    """As if they were one axis: different places of the group have different sums."""

    def distinct(self, extents: dict[str, int]) -> int:
        """Number of places that are met when rank d runs over `extents[d]` values."""
        whole = math.prod(extents[term.rank] for term in self.terms)
        if len(self.terms) > 2 and whole > LARGEST_SUMS:
            return min(whole, self.box(extents))  # too many to look at
        return distinct_sums(*(x for term in self.terms for x in (term.coefficient, extents[term.rank])))

    def box(self, extents: dict[str, int]) -> int:
        """Places of the bounding box."""
        return math.prod(
            1 + sum(abs(move[at]) * (extents[term.rank] - 1) for move, term in zip(self.moves, self.terms, strict=True))
            for at in range(len(self.axes))
        )


def axis_groups(axes: Sequence[Axis], extents: dict[str, int]) -> tuple[AxisGroup, ...]:
    """The axes of a tensor of this shape, those that share ranks together."""
    grouped: list[list[int]] = []
    for number, axis in enumerate(axes):
        ranks = {term.rank for term in axis.terms}
        joined = [group for group in grouped if ranks & {term.rank for at in group for term in axes[at].terms}]
        grouped = [group for group in grouped if group not in joined]
        grouped.append(sorted([number, *(at for group in joined for at in group)]))
    return tuple(_axis_group(axes, tuple(group), extents) for group in sorted(grouped))


def _axis_group(axes: Sequence[Axis], group: tuple[int, ...], extents: dict[str, int]) -> AxisGroup:
    """One group; the axes are digits of a number whose radix is larger than any difference of two coordinates."""
    moves: dict[str, list[int]] = {}
    for place, at in enumerate(group):
        for term in axes[at].terms:
            moves.setdefault(term.rank, [0] * len(group))[place] += term.coefficient
    moves = {rank: steps for rank, steps in moves.items() if any(steps)}
    radix = [1]
    for at in reversed(group[1:]):
        radix.insert(0, radix[0] * (4 * axes[at].extent(extents) + 1))
    terms = tuple(Term(rank=rank, coefficient=sum(map(mul, steps, radix))) for rank, steps in moves.items())
    return AxisGroup(axes=group, moves=tuple(map(tuple, moves.values())), terms=terms)


def axis_of(axes: Sequence[Axis], rank: str) -> int | None:
    """Position of the first axis that a rank variable indexes; None if there is none."""
    return next((at for at, axis in enumerate(axes) if any(term.rank == rank for term in axis.terms)), None)


def lowest(extents: Mapping[str, int], axis: Axis) -> int:
    """Smallest coordinate that an axis meets, constants left out."""
    return sum(min(0, t.coefficient) * (extents[t.rank] - 1) for t in axis.terms)
