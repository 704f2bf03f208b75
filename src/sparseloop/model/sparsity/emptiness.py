"""(F1) The probability that tiles of several tensors all hold a non-zero.

    Condition    a tensor and a cover, restricted to the tensor's loops: "the tile under the cover is not all zero"
    Conditions   a set of them, all of which must hold

Conditions are static and hashable like covers; equal ones are the same question.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import cast

from sparseloop.model import ops
from sparseloop.model.density import Passes, Tile
from sparseloop.model.density.base import ProducedResult
from sparseloop.model.plan import Plan
from sparseloop.model.sparsity.known_patterns import mean_non_empty
from sparseloop.model.sparsity.known_results import share_there
from sparseloop.model.sparsity.padding import Seen, mean_over_places, mean_words
from sparseloop.model.sparsity.partial_sums import (
    Progress,
    Subset,
    growth_of,
    passes_outside,
    positions_inside,
    share_growing,
)
from sparseloop.model.traffic.existing_tiles import mean_size
from sparseloop.model.traffic.tiles import FIXED, Cover, Tiles, common_part, join, within
from sparseloop.model.units import Coordinate, Share, Words

Condition = tuple[int, Cover]
Conditions = frozenset[Condition]

NONE: Conditions = frozenset()


def tile_condition(tiles: Tiles, tensor: int, cover: Cover) -> Condition:
    """The condition that a tensor is not all zero under a cover; of tensors with the same zeros it is one condition."""
    tensor = tiles.plan.twins[tensor]
    return tensor, tiles.restrict(cover, tensor)


def random_only(plan: Plan, conditions: Conditions) -> Conditions:
    """The conditions on tensors whose pattern is not known."""
    return frozenset(c for c in conditions if not plan.looked_at[c[0]])


def in_order(conditions: Conditions) -> list[Condition]:
    """The conditions in an order that is the same in every run."""
    return sorted(conditions, key=lambda c: (c[0], _ordered(c[1])))


def _ordered(cover: Cover) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(sorted(span)) for span in cover)


class Emptiness:
    """Non-emptiness of sets of conditions for one batch; equal questions are answered once."""

    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles
        self._nonempty: dict[tuple[Conditions, Cover | None, Hashable, Seen | None], Share] = {}
        self._empty: dict[Condition, Share] = {}

    def non_emptiness(
        self,
        conditions: Conditions,
        repeats: Cover | None = None,
        progress: Progress | None = None,
        seen: Seen | None = None,
    ) -> Share:
        """(F1) NE(C) = prod_u sum over subsets A of C_u of (-1)^|A| e_u(|union of the tiles in A|).

        `repeats`: average only over visits at which not all of these loops stand at index 0 (not the first touch of
        a word); matters for deterministic patterns and padding alone, random ones are alike at every visit. `progress`: how far a
        produced result has come at these visits; None: it is complete. `seen`: events that are not alike at every place.
        """
        made = frozenset(c for c in conditions if self._is_produced(c[0]))
        if made and progress is not None and progress.implies_operands:
            conditions = made
        key = (conditions, repeats, progress.key if progress is not None and made else None, seen)
        if key not in self._nonempty:
            if made and self._is_known(min(made)[0]):
                self._nonempty[key] = self._of_known_result(made, conditions - made, repeats, progress)
            elif made:
                self._nonempty[key] = self._of_result(made, conditions - made, repeats, progress)
            else:
                self._nonempty[key] = self._evaluate(conditions, repeats, seen)
        return self._nonempty[key]

    def survival(
        self, steps: Iterable[Conditions], repeats: Cover | None, progress: Progress | None, seen: Seen | None = None
    ) -> list[Share]:
        """The shares that survive growing sets of conditions; what is approximate about a result must not make one grow."""
        shares: list[Share] = []
        for conditions in steps:
            share = self.non_emptiness(conditions, repeats, progress, seen)
            if shares and share is not shares[-1] and any(self._is_produced(t) for t, _ in conditions):
                share = ops.minimum(share, shares[-1])
            shares.append(share)
        return shares

    def _is_produced(self, tensor: int) -> bool:
        return self.tiles.plan.einsum.tensors[tensor].density.produced

    def _is_known(self, tensor: int) -> bool:
        return self.tiles.plan.einsum.tensors[tensor].density.deterministic

    def _of_known_result(self, made: Conditions, others: Conditions, repeats: Cover | None, progress: Progress | None) -> Share:
        """Of a result of known operands; of several of its tiles, no more often than any of them."""
        if progress is None:
            return self._evaluate(made | others, repeats)
        known = frozenset(c for c in others if self._is_known(c[0]))
        tensor = min(t for t, _ in made)
        result: Share | None = None
        for cover in minimal([cover for _, cover in made]):
            share = share_there(self.tiles, (tensor, cover), tuple(in_order(known)), repeats, progress)
            result = share if result is None else ops.minimum(result, share)
        assert result is not None
        return result * self._evaluate(others - known, repeats) if others - known else result

    def _of_result(self, made: Conditions, others: Conditions, repeats: Cover | None, progress: Progress | None) -> Share:
        """Jointly with conditions on random operands; of several tiles of the result, no more often than any of them."""
        random = frozenset(c for c in others if not self.tiles.plan.einsum.tensors[c[0]].density.deterministic)
        subsets = self._subsets(random)
        tensor = min(t for t, _ in made)
        covers = minimal([cover for t, cover in made if t == tensor])
        found = [self._of_tile(tensor, cover, subsets, progress) for cover in covers]
        result = found[0]
        for value in found[1:]:
            result = ops.minimum(result, value)
        known = others - random
        return result * self._evaluate(known, repeats) if known else result

    def _of_tile(self, tensor: int, cover: Cover, subsets: list[Subset], progress: Progress | None) -> Share:
        tiles, model = self.tiles, self._result(tensor)
        extents = tiles.extents(tensor, cover)
        if progress is None:
            zero = [self._zero_of_complete((tensor, cover), extents, subset) for subset in subsets]
            return ops.maximum(0.0, ops.total(s.sign * s.empty * (1.0 - z) for s, z in zip(subsets, zero, strict=True)))
        if progress.implies_operands:
            return self._of_contributions(model, extents, progress)
        growth = growth_of(tiles, tensor, cover, progress)
        if growth is not None:
            return share_growing(tiles, model, extents, growth, subsets)
        before = [model.mean_empty(extents, passes_outside(tiles, progress, s, 0.0), s.taken) for s in subsets]
        there = ops.total(s.sign * s.empty * (1.0 - z) for s, z in zip(subsets, before, strict=True))
        if not progress.again:
            after = model.mean_empty(extents, passes_outside(tiles, progress, subsets[0], progress.run), subsets[0].taken)
            there = there + (before[0] - after)
        return ops.minimum(1.0, ops.maximum(0.0, there))

    def _of_contributions(self, model: ProducedResult, extents: tuple[Coordinate, ...], progress: Progress) -> Share:
        """P(a visit adds to a tile), and at reads that something of the tile is there already."""
        nothing = Subset(1.0, 1.0, (0.0,) * len(self.tiles.plan.einsum.tensors[:-1]), ())
        zero = model.mean_empty(extents, Passes((), (), (), progress.run, again=False), nothing.taken)
        if not progress.again:
            return 1.0 - zero
        before, after = (
            model.mean_empty(extents, passes_outside(self.tiles, progress, nothing, more), nothing.taken)
            for more in (0.0, progress.run)
        )
        return ops.minimum(1.0, ops.maximum(0.0, (1.0 - before) + (after - zero)))

    def _result(self, tensor: int) -> ProducedResult:
        return cast("ProducedResult", self.tiles.plan.einsum.tensors[tensor].density)

    def _zero_of_complete(self, result: Condition, extents: tuple[Coordinate, ...], subset: Subset) -> Share:
        model = self._result(result[0])
        left = ops.maximum(0.0, model.contraction - positions_inside(self.tiles, result, subset))
        return model.mean_empty(extents, Passes((), (), (), left, again=False), subset.taken)

    def _subsets(self, conditions: Conditions) -> list[Subset]:
        """All sets of tiles of operands that may be zero together; the empty one first."""
        by_tensor: dict[int, list[Cover]] = {}
        for tensor, cover in conditions:
            by_tensor.setdefault(tensor, []).append(cover)
        choices = [(t, cover) for t in sorted(by_tensor) for cover in minimal(by_tensor[t])[:2]]
        tensors = self.tiles.plan.einsum.tensors
        found: list[Subset] = []
        for size in range(len(choices) + 1):
            for group in combinations(choices, size):
                taken: list[Words] = [0.0] * (len(tensors) - 1)
                empty: Share = 1.0
                for t in sorted({t for t, _ in group}):
                    taken[t], share = self._together(t, [cover for u, cover in group if u == t])
                    empty = empty * share
                found.append(Subset((-1.0) ** size, empty, tuple(taken), group))
        return found

    def _together(self, tensor: int, covers: list[Cover]) -> tuple[Words, Share]:
        """Words of one or two tiles of a tensor, and P(all of them are zero)."""
        if len(covers) == 1:
            return mean_words(self.tiles, tensor, covers[0]), self.empty(tensor, covers[0])
        one, two, shared = self.tiles.pair(tensor, *covers)
        model = self.tiles.plan.einsum.tensors[tensor].density
        return one.size + two.size - shared.size, model.empty_union(one, two, shared)

    def _evaluate(self, conditions: Conditions, repeats: Cover | None, seen: Seen | None = None) -> Share:
        by_tensor: dict[int, list[Cover]] = {}
        for tensor, cover in conditions:
            by_tensor.setdefault(tensor, []).append(cover)
        result: Share = 1.0
        known: list[Condition] = []
        padded: dict[int, list[Cover]] = {}
        for tensor in sorted(by_tensor):
            covers = minimal(by_tensor[tensor])
            if self.tiles.plan.einsum.tensors[tensor].density.deterministic:
                known += [(tensor, cover) for cover in covers]
            elif self.tiles.plan.padded[tensor]:
                padded[tensor] = covers
            else:
                result = result * self._random(tensor, covers)
        if known:
            result = result * self._known(tuple(known), repeats, seen)
        return result * self._at_borders(padded, repeats, seen) if padded else result

    def _known(self, known: tuple[Condition, ...], repeats: Cover | None, seen: Seen | None) -> Share:
        """Non-emptiness of tiles of known patterns; what is seen of a padded one lies where it has words."""
        share = mean_non_empty(self.tiles, known, repeats)
        if seen is None or not any(tensor == seen.tensor for tensor, _ in known):
            return share
        words = seen._replace(cover=self.tiles.point, words=False) if seen.words else seen
        return ops.minimum(1.0, ops.ratio(share, self.true_share(words, repeats)))

    def _at_borders(self, padded: Mapping[int, list[Cover]], repeats: Cover | None, seen: Seen | None) -> Share:
        """Non-emptiness of tiles of padded tensors, the mean over their places: over all but those of first touches."""

        def mean(first: Cover | None) -> Share:
            return ops.product(self._padded(tensor, covers, first, seen) for tensor, covers in padded.items())

        if seen is None or seen.tensor not in padded:
            return self._again(repeats, mean)
        return mean(None) if seen.words else ops.ratio(self._again(repeats, mean), self.true_share(seen, repeats))

    def true_share(self, entries: Seen, repeats: Cover | None) -> Share:
        """Share of entries that stand for true words, of those at all visits, or at all but first touches."""
        key = (NONE, repeats, "true", entries)
        if key not in self._nonempty:
            self._nonempty[key] = self._again(repeats, lambda first: self._padded(entries.tensor, [], first, entries))
        return self._nonempty[key]

    def _again(self, repeats: Cover | None, mean: Callable[[Cover | None], Share]) -> Share:
        """A mean over all visits, or over all at which not all of some loops stand at index 0."""
        every = mean(None)
        if repeats is None:
            return every
        visits = self.tiles.passes(repeats)
        return ops.ratio(visits * every - mean(repeats), visits - 1.0)

    def _padded(self, tensor: int, covers: list[Cover], first: Cover | None, seen: Seen | None) -> Share:
        tiles = self.tiles
        mine = seen if seen is not None and seen.tensor == tensor else None
        pairs = [(a, b) for a, b in combinations(range(len(covers)), 2)]
        asked = [*([] if mine is None else [mine.cover]), *covers, *(common_part(tiles, covers[a], covers[b]) for a, b in pairs)]
        if mine is not None and mine.words and covers == [tiles.point]:
            return 1.0 - tiles.plan.einsum.tensors[tensor].density.empty(1, tiles.sides(tensor, tiles.point))
        model, start = tiles.plan.einsum.tensors[tensor].density, 0 if mine is None else 1
        sides = [tiles.sides(tensor, cover) for cover in asked]
        most: Words = 1.0 if mine is None or not mine.words else mean_words(tiles, tensor, mine.cover)

        def left(words: Sequence[Words]) -> Share:
            empty = [model.empty(n, side) for n, side in zip(words[start:], sides[start:], strict=True)][: len(covers)]
            result: Share = 1.0 - empty[0] if len(empty) == 1 else 1.0
            for at, (a, b) in enumerate(pairs):
                tile = [Tile(words[start + k], sides[start + k]) for k in (a, b, len(covers) + at)]
                both = model.empty_union(tile[0], tile[1], tile[2])
                result = ops.minimum(result, ops.maximum(0.0, 1.0 - empty[a] - empty[b] + both))
            if mine is None:
                return result
            return result * (words[0] / most if mine.words else ops.zero_unless(words[0] > 0, 1.0))

        return mean_over_places(tiles, tensor, asked, first, left)

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
        if self.tiles.plan.padded[tensor]:
            return 1.0 - self.non_emptiness(frozenset({key}))
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
