"""(F1) The probability that tiles of several tensors all hold a non-zero.

    Condition    a tensor and a cover, restricted to the tensor's loops: "the tile under the cover is not all zero"
    Conditions   a set of them, all of which must hold

Conditions are static and hashable like covers; equal ones are the same question.
"""

from __future__ import annotations

from itertools import combinations

from sparseloop.model import ops
from sparseloop.model.plan import Plan
from sparseloop.model.sparsity.known_patterns import mean_non_empty
from sparseloop.model.traffic.imperfect import mean_size
from sparseloop.model.traffic.tiles import FIXED, Cover, Tiles, join, within
from sparseloop.model.units import Share

Condition = tuple[int, Cover]
Conditions = frozenset[Condition]

NONE: Conditions = frozenset()


def tile_condition(tiles: Tiles, tensor: int, cover: Cover) -> Condition:
    """The condition that a tensor is not all zero under a cover."""
    return tensor, tiles.restrict(cover, tensor)


def random_only(plan: Plan, conditions: Conditions) -> Conditions:
    """The conditions on tensors whose pattern is not known."""
    return frozenset(c for c in conditions if not plan.einsum.tensors[c[0]].density.deterministic)


def in_order(conditions: Conditions) -> list[Condition]:
    """The conditions in an order that is the same in every run."""
    return sorted(conditions, key=lambda c: (c[0], _ordered(c[1])))


def _ordered(cover: Cover) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(sorted(span)) for span in cover)


class Emptiness:
    """Non-emptiness of sets of conditions for one batch; equal questions are answered once."""

    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles
        self._nonempty: dict[tuple[Conditions, Cover | None], Share] = {}
        self._empty: dict[Condition, Share] = {}

    def non_emptiness(self, conditions: Conditions, repeats: Cover | None = None) -> Share:
        """(F1) NE(C) = prod_u sum over subsets A of C_u of (-1)^|A| e_u(|union of the tiles in A|).

        `repeats`: average only over visits at which not all of these loops stand at index 0 (not the first touch of
        a word); matters for deterministic patterns alone, random ones are alike at every visit.
        """
        key = (conditions, repeats)
        if key not in self._nonempty:
            self._nonempty[key] = self._evaluate(conditions, repeats)
        return self._nonempty[key]

    def _evaluate(self, conditions: Conditions, repeats: Cover | None) -> Share:
        by_tensor: dict[int, list[Cover]] = {}
        for tensor, cover in conditions:
            by_tensor.setdefault(tensor, []).append(cover)
        result: Share = 1.0
        known: list[Condition] = []
        for tensor in sorted(by_tensor):
            covers = minimal(by_tensor[tensor])
            if self.tiles.plan.einsum.tensors[tensor].density.deterministic:
                known += [(tensor, cover) for cover in covers]
            else:
                result = result * self._random(tensor, covers)
        if known:
            result = result * mean_non_empty(self.tiles, tuple(known), repeats)
        return result

    def _random(self, tensor: int, covers: list[Cover]) -> Share:
        """Non-emptiness of several tiles of one random tensor, by inclusion and exclusion of their unions.

        Of more than two, no more often than any two of them.
        """
        if len(covers) == 1:
            return 1.0 - self.empty(tensor, covers[0])
        if len(covers) == 2:
            a, b = covers
            model = self.tiles.plan.einsum.tensors[tensor].density
            both = model.empty_union(*self.tiles.pair(tensor, a, b))
            return ops.maximum(0.0, 1.0 - self.empty(tensor, a) - self.empty(tensor, b) + both)
        pairs = [self._random(tensor, list(pair)) for pair in combinations(covers, 2)]
        result = pairs[0]
        for value in pairs[1:]:
            result = ops.minimum(result, value)
        return result

    def empty(self, tensor: int, cover: Cover) -> Share:
        """e_u: probability that the tile of `tensor` under `cover` holds no non-zero."""
        key = tile_condition(self.tiles, tensor, cover)
        if key not in self._empty:
            model = self.tiles.plan.einsum.tensors[tensor].density
            self._empty[key] = model.empty(mean_size(self.tiles, *key), self.tiles.sides(*key))
        return self._empty[key]


def minimal(covers: list[Cover]) -> list[Cover]:
    """The covers that contain no other one whatever the bounds: if a tile is non-empty, so is each that contains it."""
    if len(covers) == 1:
        return covers
    kept: list[Cover] = []
    for cover in sorted(set(covers), key=lambda c: (sum(s != FIXED for s in c), _ordered(c))):
        if not any(within(k, cover) for k in kept):
            kept.append(cover)
    return kept


def widen(conditions: Conditions, cover: Cover, tiles: Tiles, but: Condition | None = None) -> Conditions:
    """X | R: a shared event needs any of its members; the condition `but` (the word itself) is left as it is."""
    return frozenset(c if c == but else tile_condition(tiles, c[0], join(c[1], cover)) for c in conditions)
