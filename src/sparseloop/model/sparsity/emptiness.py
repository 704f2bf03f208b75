"""(F1) The probability that tiles of several tensors are all non-empty."""

from __future__ import annotations

from itertools import combinations

from sparseloop.model import ops
from sparseloop.model.ops import Array
from sparseloop.model.sparsity.known_patterns import mean_non_empty
from sparseloop.model.traffic.tiles import FIXED, Cover, Tiles, join, within

Condition = tuple[int, Cover]
"""(tensor, cover restricted to the tensor's loops): the tile of the tensor under the cover is not all zero."""
Conditions = frozenset[Condition]

NONE: Conditions = frozenset()


class Emptiness:
    """Non-emptiness of sets of conditions for one batch; equal questions are answered once."""

    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles
        self._known: dict[tuple[Conditions, Cover | None], Array] = {}
        self._empty: dict[Condition, Array] = {}

    def condition(self, tensor: int, cover: Cover) -> Condition:
        """The condition that `tensor` is not all zero under `cover`."""
        return tensor, self.tiles.restrict(cover, tensor)

    def non_emptiness(self, conditions: Conditions, repeats: Cover | None = None) -> Array:
        """(F1) NE(C) = prod_u sum over subsets A of C_u of (-1)^|A| e_u(|union of the tiles in A|).

        `repeats`: average only over visits at which not all of these loops stand at index 0 (not the first touch of
        a word); matters for deterministic patterns alone, random ones are alike at every visit.
        """
        key = (conditions, repeats)
        if key not in self._known:
            self._known[key] = self._evaluate(conditions, repeats)
        return self._known[key]

    def _evaluate(self, conditions: Conditions, repeats: Cover | None) -> Array:
        by_tensor: dict[int, list[Cover]] = {}
        for tensor, cover in conditions:
            by_tensor.setdefault(tensor, []).append(cover)
        result: Array = 1.0
        fixed: list[Condition] = []
        for tensor in sorted(by_tensor):
            covers = minimal(by_tensor[tensor])
            if self.tiles.plan.einsum.tensors[tensor].density.deterministic:
                fixed += [(tensor, cover) for cover in covers]
            else:
                result = result * self._random(tensor, covers)
        if fixed:
            result = result * mean_non_empty(self.tiles, tuple(fixed), repeats)
        return result

    def _random(self, tensor: int, covers: list[Cover]) -> Array:
        """Non-emptiness of several tiles of one random tensor, by inclusion and exclusion of their unions."""
        if len(covers) == 1:
            return 1.0 - self.empty(tensor, covers[0])
        if len(covers) == 2:
            a, b = covers
            model = self.tiles.plan.einsum.tensors[tensor].density
            first, second = ((self.tiles.size(tensor, c), self.tiles.extents(tensor, c)) for c in (a, b))
            both = model.empty_union(first, second, self.tiles.shared(tensor, a, b))
            return ops.maximum(0.0, 1.0 - self.empty(tensor, a) - self.empty(tensor, b) + both)
        pairs = [self._random(tensor, list(pair)) for pair in combinations(covers, 2)]
        result = pairs[0]
        for value in pairs[1:]:
            result = ops.minimum(result, value)
        return result

    def empty(self, tensor: int, cover: Cover) -> Array:
        """e_u: probability that the tile of `tensor` under `cover` holds no non-zero."""
        key = self.condition(tensor, cover)
        if key not in self._empty:
            model = self.tiles.plan.einsum.tensors[tensor].density
            self._empty[key] = model.empty(self.tiles.size(*key), self.tiles.extents(*key))
        return self._empty[key]


def minimal(covers: list[Cover]) -> list[Cover]:
    """The covers that contain no other one whatever the bounds: if a tile is non-empty, so is each that contains it."""
    kept: list[Cover] = []
    for cover in sorted(set(covers), key=lambda c: sum(s != FIXED for s in c)):
        if not any(within(k, cover) for k in kept):
            kept.append(cover)
    return kept


def widen(conditions: Conditions, cover: Cover, tiles: Tiles, but: Condition | None = None) -> Conditions:
    """X | R: a shared event needs any of its members; the condition `but` (the word itself) is left as it is."""
    return frozenset(c if c == but else (c[0], tiles.restrict(join(c[1], cover), c[0])) for c in conditions)
