"""The levels that keep a tensor and the links between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sparseloop.model.design.einsum import Tensor
from sparseloop.validation.walker.points import BoolArray, IntArray, Points
from sparseloop.validation.walker.residency import Deliveries, Ends, find_deliveries, trace
from sparseloop.validation.walker.tiles import Visits, visits_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorPath:
    """One tensor's way through the machine: the storage levels that keep it, then the compute level."""

    points: Points
    tensor: Tensor
    levels: tuple[int, ...]
    """Storage levels that keep the tensor, outermost first."""
    word: IntArray
    """The word used at each point."""
    inside: BoolArray
    """Does it exist? False in the padding, which is zero and known to be."""
    relevant: list[int]
    """Loops (bound > 1) over the tensor's ranks, outermost first."""
    links: dict[int, Deliveries] = field(init=False)
    """Parent level to the link from there to the next level inwards that keeps the tensor."""

    _entry_links: dict[tuple[int, frozenset[int]], Deliveries] = field(init=False, repr=False)
    """Links of metadata entries found so far: a level's inner ranks are its child's."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "links", {level: self._link_of(level, self.word, self.inside) for level in self.levels})
        object.__setattr__(self, "_entry_links", {})

    def child(self, level: int) -> int:
        """The next inner level that keeps the tensor, or the compute level."""
        return next((c for c in self.levels if c > level), len(self.points.nest.keep))

    def parent(self, level: int) -> int | None:
        """The next outer level that keeps the tensor, or None."""
        return next((p for p in reversed(self.levels) if p < level), None)

    def source(self, level: int) -> int:
        """The level whose accesses a feature at `level` acts on: itself or the next outer one that keeps the tensor."""
        found = next((p for p in reversed(self.levels) if p <= level), None)
        if found is None:
            raise ValueError(f"no level at or outside {level} keeps {self.tensor.name}")
        return found

    def tile_words(self, level: int) -> int:
        """Words of the tile at `level` (one word at the compute level): those of its first step, which is a full one."""
        first = (self.points.instance(level) == 0) & (self.points.step(level) == 0)
        return 1 if level == len(self.points.nest.keep) else len(np.unique(self.word[first]))

    def entry_link(self, level: int, below: frozenset[int]) -> Deliveries:
        """The deliveries from `level` of the metadata entries above the loops `below`; with none below, of the words."""
        if not below:
            return self.links[level]
        if (level, below) not in self._entry_links:
            entry = self.points.code([i for i in self.relevant if i not in below])
            exists = any_alike(entry, self.inside)
            self._entry_links[level, below] = self._link_of(level, self.points.word(self.tensor, below), exists)
        return self._entry_links[level, below]

    def visits(self, level: int) -> Visits:
        """What the child of `level` holds of the words in each of its visits."""
        return visits_of(self._ends(level, self.inside), self.word, self.links[level].traced)

    def stays(self, level: int, key: IntArray) -> IntArray:
        """Per point the stay of its key at the child of `level`."""
        ends = self._ends(level, self.inside)
        return trace(ends.child, ends.step, key, ends.reuse).of_point

    def _link_of(self, level: int, key: IntArray, exists: BoolArray) -> Deliveries:
        """The deliveries of `key` (words or metadata entries) from `level` to its child."""
        return find_deliveries(self._ends(level, exists), key)

    def _ends(self, level: int, exists: BoolArray) -> Ends:
        nest, child = self.points.nest, self.child(level)
        apart = [
            i
            for i, loop in enumerate(nest.loops)
            if loop.spatial and level <= loop.level < child and (loop.level, self.tensor.name) in nest.no_multicast
        ]
        # the compute level has no operand register: it keeps nothing from one step to the next
        reuse = child < len(nest.keep) and (child, self.tensor.name) not in nest.no_temporal_reuse
        points = self.points
        rounds = points.code([i for i in apart if nest.loops[i].rank not in self.tensor.ranks])
        return Ends(points.instance(level), points.instance(child), points.step(child), points.code(apart), rounds, reuse, exists)

    def access_block(self, level: int, block_size: int) -> IntArray | None:
        """Per point the block of words that one access at `level` reads, or None if the child's tile is no smaller."""
        child = self.child(level)
        missing = math.ceil(block_size / self.tile_words(child))
        if missing <= 1:
            return None
        widths = dict[int, int]()
        for i in reversed([i for i in self.relevant if level <= self.points.nest.loops[i].level < child]):
            widths[i] = min(self.points.bounds[i], missing)
            missing = math.ceil(missing / widths[i])
        code = np.zeros(len(self.points), dtype=np.int64)
        for i, bound in enumerate(self.points.bounds):
            code = code * bound + self.points.index[:, i] // widths.get(i, 1)
        return np.unique(code, return_inverse=True)[1]


def any_alike(code: IntArray, holds: BoolArray) -> BoolArray:
    """Per point: does `holds` hold at some point with the same code?"""
    found = np.zeros(int(code.max()) + 1, dtype=np.bool_)
    found[code[holds]] = True
    return found[code]


def build_path(points: Points, tensor: Tensor) -> TensorPath:
    """The path of a tensor, all its links walked."""
    levels = tuple(level for level, kept in enumerate(points.nest.keep) if tensor.name in kept)
    if not levels:
        raise ValueError(f"no level keeps {tensor.name}")
    return TensorPath(
        points=points,
        tensor=tensor,
        levels=levels,
        word=points.word(tensor),
        inside=points.inside(tensor),
        relevant=points.relevant(tensor),
    )
