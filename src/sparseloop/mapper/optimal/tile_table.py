"""All tiles whose extents divide the shape, and what is known of each: words, capacity, how often it is not empty."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.optimal.windows import tiles_coincide
from sparseloop.model.density import Extents, at_least_together
from sparseloop.model.design import Design
from sparseloop.model.design.einsum import Tensor
from sparseloop.model.design.mapping import Loop, LoopNest
from sparseloop.model.formats.occupancy import TileWords
from sparseloop.model.plan import Plan, compile_plan
from sparseloop.model.sparsity.padding import mean_over_places, mean_words
from sparseloop.model.traffic.tiles import Cover, Tiles, words_met
from sparseloop.model.units import Share, Words

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
T = TypeVar("T")


class TileTable:
    """All tiles whose extents divide the shape, numbered; what is known of a tile is an array of shape (tiles,)."""

    def __init__(self, design: Design, ranks: Sequence[str], shape: Sequence[int], divisors: Sequence[Sequence[int]]) -> None:
        self.design = design
        self.ranks = tuple(ranks)
        self.shape = tuple(shape)
        self.divisors = tuple(np.array(d, dtype=np.int64) for d in divisors)
        counts = [len(d) for d in self.divisors]
        self.radix = tuple(math.prod(counts[i + 1 :]) for i in range(len(counts)))
        self.count = math.prod(counts)
        grid = np.indices(counts).reshape(len(counts), self.count)
        self.extents: Ints = np.stack([d[i] for d, i in zip(self.divisors, grid, strict=True)])
        """Shape: (ranks, tiles)."""
        self.plan = self._flat_plan(1)
        self.tiles = Tiles(self.plan, self.extents.astype(np.float64))
        outside = np.array(self.shape, dtype=np.float64)[:, None] / self.extents
        self.around = Tiles(self._flat_plan(2), np.concatenate([outside, self.extents.astype(np.float64)]))
        """With one loop per rank outside: where something is padding, tiles are not alike at all places."""
        self.inner: Cover = self.around.covering(range(len(self.ranks), 2 * len(self.ranks)))
        self._chains = [all(b % a == 0 for a, b in pairwise(d)) for d in divisors]
        self._nonempty: dict[frozenset[int], Floats] = {}
        self._counted: dict[tuple[int, int, bool], Floats] = {}
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What depends on nothing but the key, made at the first call: several choices of bypasses share it."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def least_around(self, values: Floats) -> Floats:
        """By tile: the least value of all tiles that contain it, that is, whose extents are multiples of its own.

        `values` and the result have shape (tiles,).
        """
        grid = values.reshape([len(d) for d in self.divisors])
        for axis, (divisors, chain) in enumerate(zip(self.divisors, self._chains, strict=True)):
            if chain:
                grid = np.flip(np.minimum.accumulate(np.flip(grid, axis), axis), axis)
            else:
                grid = np.stack([grid.take(np.flatnonzero(divisors % d == 0), axis).min(axis) for d in divisors], axis)
        return grid.reshape(-1)

    def _flat_plan(self, times: int) -> Plan:
        """One level that holds everything, so many loops per rank: with one its tile is the tile."""
        names = frozenset(t.name for t in self.design.einsum.tensors)
        keep = (names, *(frozenset[str]() for _ in self.design.arch.storage[1:]))
        nest = LoopNest(loops=tuple(Loop(rank=r, level=0) for r in self.ranks) * times, keep=keep)
        return compile_plan(self.design.einsum, self.design.arch, nest, self.design.sparse)

    def size(self, tensor: int) -> Floats:
        """|T(tile)|, where fewest of its words are padding."""
        if self.plan.padded[tensor]:
            return self._full(self.around.size(tensor, self.inner))
        return self._full(self.tiles.size(tensor, self.tiles.inside(0)))

    def _average(self, tensor: int, *, known: bool) -> Floats:
        """The same on average over all places, as `formats.occupancy` has it: of a known pattern with the padding."""
        if known or not self.plan.padded[tensor]:
            return self.met(tensor)
        return self._full(mean_words(self.around, tensor, self.inner))

    def met(self, tensor: int) -> Floats:
        """|T(tile)|, padding included."""
        return self._full(words_met(self.tiles, tensor, self.tiles.inside(0)))

    def coinciding(self, tensor: Tensor) -> frozenset[str]:
        """Ranks at two places of which tiles with padding may have the same words."""
        options = {rank: divisors.tolist() for rank, divisors in zip(self.ranks, self.divisors, strict=True)}
        terms = [(axis, term.rank) for axis in tensor.axes for term in axis.terms if term.rank in options]
        einsum = self.design.einsum
        return self.once(
            ("coinciding", tensor.name),
            lambda: frozenset(rank for axis, rank in terms if tiles_coincide(einsum, axis, rank, options)),
        )

    def code(self, extents: Ints) -> Ints:
        """Numbers of tiles. `extents`: shape (ranks, n); the result: (n,)."""
        located: Any = cast("Any", np.searchsorted)
        terms = [located(d, row) * r for d, row, r in zip(self.divisors, extents, self.radix, strict=True)]
        return cast("Any", sum)(terms, np.zeros(extents.shape[1], dtype=np.int64))

    def digit(self, rank: int, tiles: Ints) -> Ints:
        """Number of the tiles' extent among the divisors of a rank."""
        return tiles // self.radix[rank] % len(self.divisors[rank])

    def _full(self, value: object) -> Floats:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.count,))

    def counted(self, tensor: int, level: int, compressed: bool) -> Floats:
        """Words of the level that the fit test counts for a tile."""
        key = (tensor, level, compressed)
        if key not in self._counted:
            model, rule = self.design.einsum.tensors[tensor].density, self.design.arch.levels[level].capacity_rule
            made = compressed and model.produced and not model.deterministic
            words = TileWords(
                model=model,
                size=self.size(tensor),
                average=self._average(tensor, known=compressed and model.deterministic),
                sides=(*self.tiles.sides(tensor, self.tiles.inside(0)), *([self._added(tensor)] if made else [])),
                compressed=compressed,
                rule="expected" if made and isinstance(rule, float) else rule,
            )
            counted = self._full(words.counted)
            if made and isinstance(rule, float):  # a quantile of a partial sum may fall while it grows; it stays above its mean
                counted = np.maximum(counted - 0.5, 0.0) if rule >= 0.5 else 0.0 * counted
            less = compressed and model.produced and not made and "add" in self.design.sparse.partials.values()
            self._counted[key] = counted * self.plan.width(tensor, level) * (not less)  # copies that start empty may hold nothing
        return self._counted[key]

    def _added(self, tensor: int) -> Floats:
        """Points that a tile adds into one word of the result: at least so many are added to what an instance holds."""
        ranks = self.design.einsum.tensors[tensor].ranks
        return self.extents[[i for i, rank in enumerate(self.ranks) if rank not in ranks]].astype(np.float64).prod(axis=0)

    def nonempty(self, tensors: Iterable[int]) -> Floats:
        """By tile, the share at least of the events that survive conditions on tiles of these tensors that contain it.

        Known patterns depend on each other in any way, random ones do not.
        """
        asked = frozenset(tensors)
        if asked not in self._nonempty:
            known = [at for at in sorted(asked) if self.design.einsum.counted(self.design.einsum.tensors[at]) is not None]
            random = [self.once(("nonempty", at), lambda at=at: self._least(at)) for at in sorted(asked - {*known})]
            counts = [self.once(("nonempty", at), lambda at=at: self._share(at)) for at in known]
            self._nonempty[asked] = self._full(math.prod(random, start=at_least_together(counts)))
        return self._nonempty[asked]

    def _share(self, tensor: int) -> Floats:
        """Share of the tiles of a known pattern that are not empty."""
        model, sides = self.design.einsum.counted(self.design.einsum.tensors[tensor]), self._sides(tensor)
        assert model is not None
        return self._full(model.nonempty(self.size(tensor), sides))

    def _sides(self, tensor: int) -> Extents:
        return self.tiles.sides(tensor, self.tiles.inside(0))

    def _least(self, tensor: int) -> Floats:
        """The same of other tensors: what every larger tile has at least."""
        model, sides = self.design.einsum.tensors[tensor].density, self._sides(tensor)

        def least(words: Sequence[Words]) -> Share:
            return (words[0] > 0) * model.least_nonempty(words[0], sides)

        if self.plan.padded[tensor]:  # at every place of a smaller tile one of these lies around it
            return self._full(mean_over_places(self.around, tensor, [self.inner], None, least))
        return self._full(model.least_nonempty(self.size(tensor), sides))
