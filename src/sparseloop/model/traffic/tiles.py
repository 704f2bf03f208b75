"""Covers of the loop nest and the sizes of the tiles they touch.

A slot is the position of a loop in the nest. A cover says for every slot how many consecutive values its loop runs over; the tile
of a tensor under a cover is what is touched meanwhile.

    Cover   one Span per slot
    Span    a set of names:  {}         FIXED: one value
                             {"full"}   FULL: all values
                             {"x", ...} as many as the largest of these partial covers has there

A partial cover depends on the bounds: how far a tile stays, where a rank of a format begins. Its numbers stand in `Tiles.partial`
under its name, which is given once per batch (`Tiles.partial_cover`). So covers are static and hashable, equal tiles are computed
once per batch, and only their numbers are arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from sparseloop.model import borders, ops
from sparseloop.model.axes import lowest
from sparseloop.model.density import Extents, Lattice, LatticeLoop, Tile
from sparseloop.model.memo import memo
from sparseloop.model.plan import AxisLoops, Plan
from sparseloop.model.units import Coordinate, Count, LoopBounds, Words

Span = frozenset[str]
Cover = tuple[Span, ...]
T = TypeVar("T")

FIXED: Span = frozenset()
FULL: Span = frozenset({"full"})


@memo(1 << 16)
def join(a: Cover, b: Cover) -> Cover:
    """The smallest cover that contains both."""
    return tuple(x if x == y else (FULL if "full" in x or "full" in y else x | y) for x, y in zip(a, b, strict=True))


@memo(1 << 16)
def within(a: Cover, b: Cover) -> bool:
    """True if a is contained in b whatever the bounds."""
    return all(y == FULL or x <= y for x, y in zip(a, b, strict=True))


@memo(1 << 16)
def _restrict(cover: Cover, relevant: frozenset[int]) -> Cover:
    return tuple(s if i in relevant else FIXED for i, s in enumerate(cover))


class RankRun(NamedTuple):
    """Consecutive values of one rank, times a coefficient: 0, step, ..., step * (length - 1)."""

    step: int
    length: Count


def _reached(plan: Plan, bounds: LoopBounds, residuals: LoopBounds | None) -> list[Count]:
    """The bounds; where no loop of the same rank moves further out every pass is the last one, which ends at the residual."""
    if residuals is None:
        return [bounds[i] for i in range(len(plan.loops))]
    outside: dict[str, Count] = {}
    reached: list[Count] = []
    for i, loop in enumerate(plan.loops):
        passes = outside.get(loop.rank)
        reached.append(residuals[i] if passes is None else ops.where(passes == 1, residuals[i], bounds[i]))
        outside[loop.rank] = reached[i] if passes is None else passes * reached[i]
    return reached


class Tiles:
    """Numbers of one batch: loop bounds, strides, covers and tile sizes, each computed once."""

    def __init__(self, plan: Plan, bounds: LoopBounds, residuals: LoopBounds | None = None) -> None:
        self.plan = plan
        self.residuals = residuals
        """Last-pass bounds per slot; None: all factors are perfect."""
        self.clipped = residuals is not None
        """Imperfect factors: the bounds of a rank may multiply to more than its shape; tiles end where the rank ends."""
        self.bounds: list[Count] = _reached(plan, bounds, residuals)
        """Per slot, as far as they are ever reached."""
        self.stride: list[Count] = self._strides()
        """Per slot: values of its rank that one step of the loop passes."""
        self.partial: dict[tuple[str, int], Count] = {}
        """(name of a partial cover, slot) to the number of values it covers; missing = 1."""
        self.peaks: list[tuple[Count, int]] = []
        """Numbers whose largest one settled how far a Python loop went, and how far it went."""
        self._names: set[str] = set()
        self._sizes: dict[tuple[int, Cover], Words] = {}
        self._extents: dict[tuple[int, Cover], tuple[Coordinate, ...]] = {}
        self._products: dict[frozenset[int], Count] = {}
        self._passes: dict[Cover, Count] = {}
        self._steps: dict[tuple[int, int, int], Coordinate] = {}
        self._made: dict[Hashable, Any] = {}
        self.point: Cover = (FIXED,) * len(plan.loops)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What depends on nothing but the key and this batch, made at the first call; the key begins with the place that asks."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _strides(self) -> list[Count]:
        inner: dict[str, Count] = {}
        strides: list[Count] = [1] * len(self.bounds)
        for i in reversed(range(len(self.bounds))):
            rank = self.plan.loops[i].rank
            strides[i] = inner.get(rank, 1)
            inner[rank] = strides[i] * self.bounds[i]
        return strides

    def product(self, slots: Iterable[int]) -> Count:
        """Product of the bounds of these slots."""
        key = frozenset(slots)
        if key not in self._products:
            self._products[key] = ops.product(self.bounds[i] for i in sorted(key))
        return self._products[key]

    # --- covers ---------------------------------------------------------------------------------------------

    def inside(self, level: int) -> Cover:
        """Everything inside level `level`: its own tile."""
        return self.once(("inside", level), lambda: self._inside(self.plan.starts[level]))

    def _inside(self, start: int) -> Cover:
        return (FIXED,) * start + (FULL,) * (len(self.bounds) - start)

    def covering(self, slots: Iterable[int]) -> Cover:
        """All values of these slots, one of the others."""
        chosen = frozenset(slots)
        return tuple(FULL if i in chosen else FIXED for i in range(len(self.bounds)))

    def partial_cover(self, name: str, counts: dict[int, Count]) -> Cover:
        """A new partial cover: `counts[slot]` consecutive values, one elsewhere.

        A name stands for one cover of the batch: sizes are remembered under it. Whoever needs the cover again keeps it (`once`).
        """
        assert name not in self._names, f"there is a cover {name} already"
        self._names.add(name)
        for slot, count in counts.items():
            self.partial[name, slot] = count
        mark = frozenset({name})
        return tuple(mark if i in counts else FIXED for i in range(len(self.bounds)))

    def restrict(self, cover: Cover, tensor: int) -> Cover:
        """The cover without the loops that are irrelevant to the tensor."""
        return _restrict(cover, self.plan.relevant[tensor])

    def count(self, span: Span, slot: int) -> Count:
        """Number of consecutive values that `span` covers at `slot`."""
        if span is FIXED or not span:
            return 1
        if "full" in span:
            return self.bounds[slot]
        counts = [self.partial.get((name, slot), 1) for name in sorted(span)]
        result = counts[0]
        for other in counts[1:]:
            result = ops.maximum(result, other)
        return result

    # --- sizes ----------------------------------------------------------------------------------------------

    def tile(self, tensor: int, cover: Cover) -> Tile:
        """What the density model of the tensor is told of T(cover)."""
        return Tile(self.size(tensor, cover), self.sides(tensor, cover))

    def sides(self, tensor: int, cover: Cover) -> Extents:
        """The sides of T(cover): its bounding extents, or where the place matters to the density model its coordinates."""
        if not self.plan.einsum.tensors[tensor].density.placed:
            return self.extents(tensor, cover)
        cover = self.restrict(cover, tensor)
        return self.once(("sides", tensor, cover), lambda: self._sides(tensor, cover))

    def _sides(self, tensor: int, cover: Cover) -> Extents:
        groups = self.plan.groups[tensor]
        if len(groups) < len(self.plan.axes[tensor]):
            return self._lattices(tensor, cover)
        placed = self.plan.einsum.tensors[tensor].density.placed
        scattered = [axis in placed and not self._is_run(tensor, axis, cover) for axis in range(len(groups))]
        if not any(scattered):
            return tuple(self._distinct(tensor, axis, cover) for axis in range(len(groups)))
        lattices = self._lattices(tensor, cover)
        return tuple(side if gaps else side.size for side, gaps in zip(lattices, scattered, strict=True))

    def _is_run(self, tensor: int, axis: int, cover: Cover) -> bool:
        """True if the coordinates have no gaps, and begin at a multiple of their number, whatever the bounds."""
        terms = self.plan.groups[tensor][axis].terms
        covered = tuple(term for term in self.plan.moves[tensor][axis] if cover[term.slot])
        if len(terms) != 1 or terms[0].coefficient != 1:
            return not terms
        return not covered or self._run(terms[0].rank, covered, cover) is not None

    def _lattices(self, tensor: int, cover: Cover) -> tuple[Lattice, ...]:
        covered = {i: self.count(span, i) for i, span in enumerate(cover) if span}
        groups = range(len(self.plan.groups[tensor]))
        return tuple(self._lattice(tensor, g, self._distinct(tensor, g, cover), covered) for g in groups)

    def _lattice(self, tensor: int, group: int, size: Words, covered: Mapping[int, Count]) -> Lattice:
        """Loops of one group of axes; what the loops lack of a rank counts as a loop outside them."""
        axes, moves, terms = self.plan.groups[tensor][group]
        loops: list[LatticeLoop] = []
        for move, term in zip(moves, terms, strict=True):
            visited: Count = 1
            for slot in self.plan.of_rank.get(term.rank, ()):
                steps = tuple(c * self.stride[slot] for c in move)
                bound, passed = self.bounds[slot], covered.get(slot, 1)
                if self.clipped:  # no further than to where the rank ends
                    most = -(-self.plan.einsum.extents[term.rank] // self.stride[slot])
                    bound, passed = ops.minimum(bound, most), ops.minimum(passed, most)
                loops.append(LatticeLoop(steps, bound, passed))
                visited = visited * self.bounds[slot]
            rest = ops.maximum(self.plan.einsum.extents[term.rank] // visited, 1)
            loops.append(LatticeLoop(tuple(c * visited for c in move), rest, 1))
        single = len(axes) == len(terms) == 1 and terms[0].coefficient > 0
        every = self.plan.einsum.tensors[tensor].axes
        start = tuple(-lowest(self.plan.einsum.extents, every[axis]) for axis in axes)
        return Lattice(axes, size, single, start, tuple(loops))

    def size(self, tensor: int, cover: Cover) -> Words:
        """|T(cover)|: number of distinct elements touched under the cover, where fewest of them are padding."""
        key = (tensor, self.restrict(cover, tensor))
        if key not in self._sizes:
            self._sizes[key] = self._size(tensor, key[1])
        return self._sizes[key]

    def _size(self, tensor: int, cover: Cover) -> Words:
        if self.clipped:
            return self._clipped_size(tensor, cover)
        if self.plan.plain[tensor]:
            return ops.product(self.count(s, i) for i, s in enumerate(cover) if s)
        return ops.product(self._places(tensor, group, cover) for group in range(len(self.plan.moves[tensor])))

    def _places(self, tensor: int, group: int, cover: Cover) -> Words:
        """Distinct places along one group of axes under a cover, where fewest of them are padding."""
        if self.plan.borders[tensor][group] is None:
            return self._distinct(tensor, group, cover)
        return at_border(self, "most words inside the borders", tensor, group, cover)

    def _clipped_size(self, tensor: int, cover: Cover) -> Words:
        size: Words = 1
        shape = self.plan.einsum.extents
        for group in self.plan.groups[tensor]:
            runs: list[RankRun] = []
            for term in group.terms:
                slots = [i for i, s in enumerate(self.plan.loops) if s.rank == term.rank and cover[i]]
                length = ops.minimum(ops.product(self.count(cover[i], i) for i in slots), shape[term.rank])
                runs.append(RankRun(abs(term.coefficient), length))
            if runs:
                size = size * (runs[0].length if len(runs) == 1 else ops.lattice("distinct", [x for run in runs for x in run]))
        return size

    def pair(self, tensor: int, a: Cover, b: Cover) -> tuple[Tile, Tile, Tile]:
        """T(a), T(b), and their common part (the elementwise smaller) for covers with a common point."""
        relevant = self.plan.relevant[tensor]
        counts = {i: ops.minimum(self.count(a[i], i), self.count(b[i], i)) for i in relevant if a[i] and b[i]}
        sizes: list[Words] = []
        for loops in self.plan.moves[tensor]:
            terms = [(abs(c) * self.stride[i], counts[i]) for i, c in loops if i in counts]
            if self.plan.plain[tensor]:
                sizes.append(ops.product(count for _, count in terms))
            else:
                sizes.append(ops.lattice("distinct", [x for term in terms for x in term]) if terms else 1)
        whole = ops.product(sizes)
        if self.plan.einsum.tensors[tensor].density.placed:
            common = tuple(self._lattice(tensor, g, size, counts) for g, size in enumerate(sizes))
            one, two = (Tile(self.size(tensor, cover), self._lattices(tensor, cover)) for cover in (a, b))
            return one, two, Tile(whole, common)
        extents = tuple(
            1 + ops.total(abs(c) * self.stride[i] * (counts[i] - 1) for i, c in axis if i in counts)
            for axis in self.plan.axes[tensor]
        )
        return self.tile(tensor, a), self.tile(tensor, b), Tile(whole, extents)

    def extents(self, tensor: int, cover: Cover) -> tuple[Coordinate, ...]:
        """Bounding extents of T(cover), one per axis."""
        key = (tensor, self.restrict(cover, tensor))
        if key not in self._extents:
            self._extents[key] = self._extents_of(tensor, key[1])
        return self._extents[key]

    def _extents_of(self, tensor: int, cover: Cover) -> tuple[Coordinate, ...]:
        extents = tuple(self._extent(axis, cover) for axis in self.plan.axes[tensor])
        if not self.clipped and not self.plan.padded[tensor]:
            return extents
        operand = self.plan.einsum.tensors[tensor]
        known, shape = operand.density.deterministic, self.plan.einsum.tensor_shape(operand)  # known patterns have the padding
        shape = [n if known or a.size is None else min(n, a.size) for n, a in zip(shape, operand.axes, strict=True)]
        return tuple(ops.minimum(extent, size) for extent, size in zip(extents, shape, strict=True))

    def _extent(self, axis: AxisLoops, cover: Cover) -> Coordinate:
        return 1 + ops.total(abs(c) * self.stride[i] * (self.count(cover[i], i) - 1) for i, c in axis if cover[i])

    def _distinct(self, tensor: int, group: int, cover: Cover) -> Words:
        """Distinct places along one group of axes under a cover."""
        terms = tuple(term for term in self.plan.moves[tensor][group] if cover[term.slot])
        if not terms:
            return 1
        ranks = {self.plan.loops[i].rank for i, _ in terms}
        if len(ranks) == 1:
            return ops.product(self.count(cover[i], i) for i, _ in terms)
        by_rank = [self._run(rank, terms, cover) for rank in sorted(ranks)]
        if len(by_rank) == 2 and by_rank[0] is not None and by_rank[1] is not None:
            return _two_term_distinct(by_rank[0], by_rank[1])
        return ops.lattice("distinct", self._steps_and_counts(terms, cover))

    def _steps_and_counts(self, terms: AxisLoops, cover: Cover) -> list[Coordinate]:
        """Step and number of values of every loop, one after the other, as `ops.lattice` takes them."""
        return [x for i, c in terms for x in (abs(c) * self.stride[i], self.count(cover[i], i))]

    def _run(self, rank: str, terms: AxisLoops, cover: Cover) -> RankRun | None:
        """The run of a rank if its values under the cover are 0 .. length - 1 whatever the bounds."""
        mine = [(i, c) for i, c in reversed(terms) if self.plan.loops[i].rank == rank]
        partial = False
        for (i, _), expected in zip(mine, self.plan.of_rank[rank], strict=False):
            if partial or i != expected:
                return None
            partial = cover[i] != FULL
        return RankRun(abs(mine[0][1]), ops.product(self.count(cover[i], i) for i, _ in mine))

    def step(self, tensor: int, group: int, slot: int) -> Coordinate:
        """Displacement along a group of axes by one step of the loop at `slot`."""
        key = (tensor, group, slot)
        if key not in self._steps:
            self._steps[key] = ops.total(c * self.stride[i] for i, c in self.plan.moves[tensor][group] if i == slot)
        return self._steps[key]

    def overlap(self, tensor: int, group: int, cover: Cover, shift: Coordinate) -> Words:
        """Distinct places along one group of axes under `cover` that remain when it is displaced by `shift`."""
        terms = tuple(term for term in self.plan.moves[tensor][group] if cover[term.slot])
        runs = [self._run(rank, terms, cover) for rank in sorted({self.plan.loops[i].rank for i, _ in terms})]
        shift = ops.absolute(shift)
        if not runs:
            return ops.zero_unless(shift == 0, 1)
        if len(runs) == 1 and runs[0] is not None and len(self.plan.groups[tensor][group].terms) == 1:
            return ops.zero_unless(shift == 0, runs[0].length)  # one rank: a tile moves by at least its own length
        if len(runs) == 1 and runs[0] is not None:
            step, length = runs[0]
            if step == 1:
                return ops.maximum(0, length - shift)
            return ops.zero_unless(shift % step == 0, ops.maximum(0, length - shift // step))
        if len(runs) == 2 and runs[0] is not None and runs[1] is not None and min(runs[0].step, runs[1].step) == 1:
            teeth, comb = sorted((runs[0], runs[1]), key=lambda run: run.step)
            return _comb_overlap(teeth, comb, shift)
        return ops.lattice("overlap", [shift, *self._steps_and_counts(terms, cover)])

    def passes(self, repeats: Cover) -> Count:
        """How often the same words are visited: the product over a cover of repeated loops."""
        if repeats not in self._passes:
            self._passes[repeats] = ops.product(self.count(span, i) for i, span in enumerate(repeats) if span)
        return self._passes[repeats]


def places_met(tiles: Tiles, tensor: int, group: int, cover: Cover) -> Words:
    """Distinct places along one group of axes under a cover, those in the padding too."""
    return tiles.overlap(tensor, group, cover, 0)


def words_met(tiles: Tiles, tensor: int, cover: Cover) -> Words:
    """Number of distinct elements touched under a cover, padding included."""
    if not tiles.plan.padded[tensor]:
        return tiles.size(tensor, cover)
    return ops.product(places_met(tiles, tensor, group, cover) for group in range(len(tiles.plan.moves[tensor])))


def at_border(
    tiles: Tiles, operation: str, tensor: int, group: int, cover: Cover, places: Mapping[int, int] = MappingProxyType({})
) -> Words:  # fmt: skip
    """A number of true words along a padded axis (`model.borders`); `places`: slot to what its loop does outside the tile."""
    border = tiles.plan.borders[tensor][group]
    assert border is not None
    loops: list[Count] = []
    for slot, coefficient in tiles.plan.moves[tensor][group]:
        covered = tiles.count(cover[slot], slot)
        loops += [coefficient * tiles.stride[slot], tiles.bounds[slot], covered, places.get(slot, borders.ALL)]
    return ops.lattice(operation, [*border, *loops])


def common_part(tiles: Tiles, a: Cover, b: Cover) -> Cover:
    """The elementwise smaller of two covers with a common point."""

    def made() -> Cover:
        counts = {i: ops.minimum(tiles.count(a[i], i), tiles.count(b[i], i)) for i in range(len(a)) if a[i] and b[i]}
        return tiles.partial_cover(f"common {a} {b}", counts)

    return tiles.once(("common", a, b), made)


def _two_term_distinct(first: RankRun, second: RankRun) -> Words:
    """Distinct values of a*i + b*j, i < e, j < f: e*f minus the pairs that repeat (i+b', j-a'); a' = a/gcd."""
    (a, e), (b, f) = first, second
    g = math.gcd(a, b)
    return e * f - ops.maximum(0, e - b // g) * ops.maximum(0, f - a // g)


def _comb_overlap(teeth: RankRun, comb: RankRun, shift: Coordinate) -> Words:
    """Common values of {i + s*j : i < e, j < f} and the same set displaced by shift >= 0.

    One interval if e >= s or f = 1, else f blocks of e values at distance s.
    """
    (_, e), (s, f) = teeth, comb
    if s == 1:
        return ops.maximum(0, e + f - 1 - shift)
    whole = ops.maximum(0, s * (f - 1) + e - shift)
    q = shift // s
    rest = shift - s * q
    blocks = ops.maximum(0, f - q) * ops.maximum(0, e - rest) + ops.maximum(0, f - q - 1) * ops.maximum(0, e - s + rest)
    return ops.where(ops.either(e >= s, f == 1), whole, blocks)
