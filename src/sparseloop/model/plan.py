"""A mapping template with names compiled to slot numbers; knows no loop bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from sparseloop.model.axes import AxisGroup, axis_groups
from sparseloop.model.design.arch import Arch, Level
from sparseloop.model.design.einsum import Axis, Einsum, Tensor
from sparseloop.model.design.mapping import Loop, LoopNest
from sparseloop.model.design.sparse import Partials, Saf, Sparse, TensorFormat


class AxisLoop(NamedTuple):
    """A loop that moves a coordinate: by `coefficient` times its stride in every step."""

    slot: int
    coefficient: int


AxisLoops = tuple[AxisLoop, ...]


class Border(NamedTuple):
    """Where the true words of a padded axis lie."""

    base: int
    """The coordinate at which all ranks stand at 0."""
    size: int
    """True coordinates are those from 0 to below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEnds:
    """A link before anything is known of its loops: a tensor and the two levels between which it moves."""

    einsum: Einsum
    arch: Arch
    sparse: Sparse
    tensor: int
    parent: int
    child: int

    @property
    def compute(self) -> int:
        """Index of the compute level."""
        return len(self.arch.levels) - 1

    @property
    def to_compute(self) -> bool:
        """True if the child is the compute level."""
        return self.child == self.compute

    @property
    def name(self) -> str:
        """Name of the tensor."""
        return self.einsum.tensors[self.tensor].name

    @property
    def output(self) -> bool:
        """True if the tensor is written."""
        return self.einsum.tensors[self.tensor].output

    @property
    def parent_format(self) -> TensorFormat | None:
        """Format of the tensor at the parent."""
        return self.sparse.format(self.parent, self.name)

    @property
    def compressed(self) -> bool:
        """True if the parent stores no zeros."""
        return self.parent_format is not None and self.parent_format.compressed

    @property
    def child_compressed(self) -> bool:
        """True if the child stores no zeros."""
        stored = None if self.to_compute else self.sparse.format(self.child, self.name)
        return stored is not None and stored.compressed

    @property
    def partials(self) -> Partials:
        """What the child does with partial sums; `whole` where zeros are stored, or which words are zero is given."""
        return _partials(self.sparse, self.parent, made=self.compressed and self.einsum.tensors[self.tensor].density.produced)

    def width(self, level: int) -> float:
        """Words of a level that one word of the tensor takes."""
        return words_per_word(self.einsum.tensors[self.tensor], self.arch.levels[level])


def _partials(sparse: Sparse, parent: int, *, made: bool) -> Partials:
    return sparse.partials.get(parent, "whole") if made else "whole"


def words_per_word(tensor: Tensor, level: Level) -> float:
    """Words of the level that one word of the tensor takes: narrow tensors are packed, wide ones split."""
    return 1.0 if tensor.word_bits is None else tensor.word_bits / level.word_bits


@dataclass(frozen=True, kw_only=True)
class Link:
    """The connection over which a tensor moves from the level `parent` that keeps it to the next inner one.

    `child` is the next inner level that keeps the tensor, or the compute level.
    """

    index: int
    tensor: int
    name: str
    parent: int
    child: int
    to_compute: bool
    output: bool
    relevant: frozenset[int]
    """Slots whose rank indexes the tensor."""
    temporal: tuple[int, ...]
    """Temporal slots outside the child, innermost first."""
    between: tuple[int, ...]
    """Spatial slots between parent and child, outermost first."""
    multicast: tuple[int, ...]
    """Those of `between` that are irrelevant to the tensor and may share a word."""
    unshared: tuple[int, ...]
    """Those of `between` at levels where sharing is switched off."""
    no_reuse: bool
    parent_format: TensorFormat | None
    child_format: TensorFormat | None
    safs: tuple[Saf, ...]
    """Features acting on this link, in the order written."""
    partials: Partials = "whole"
    """What the child does with partial sums of a result that is made and stored compressed at the parent."""

    @property
    def compressed(self) -> bool:
        """True if the parent stores no zeros."""
        return self.parent_format is not None and self.parent_format.compressed

    @property
    def child_compressed(self) -> bool:
        """True if the child stores no zeros."""
        return self.child_format is not None and self.child_format.compressed


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Everything static about (einsum, arch, nest, sparse): slot tables, links, relevance."""

    einsum: Einsum
    arch: Arch
    nest: LoopNest
    sparse: Sparse
    links: tuple[Link, ...]
    starts: tuple[int, ...]
    """First slot of each level; the last entry (compute) is the number of slots."""
    outer: dict[int, tuple[int, ...]] = field(repr=False)
    """Link index to the indices of the same tensor's outer links, outermost first."""
    axes: tuple[tuple[AxisLoops, ...], ...]
    """Per tensor and axis: the loops that move the coordinate."""
    groups: tuple[tuple[AxisGroup, ...], ...]
    """Per tensor: its axes, those that share ranks together."""
    moves: tuple[tuple[AxisLoops, ...], ...]
    """Per tensor and group of axes: the loops that move it, as if it were one axis."""
    borders: tuple[tuple[Border | None, ...], ...]
    """Per tensor and group of axes: the borders of its true words; None where no padding is met."""

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """The loops, outermost first."""
        return self.nest.loops

    @property
    def compute(self) -> int:
        """Index of the compute level."""
        return len(self.arch.levels) - 1

    @cached_property
    def relevant(self) -> tuple[frozenset[int], ...]:
        """Per tensor: the slots whose rank indexes it."""
        return tuple(_relevant(self.loops, t) for t in self.einsum.tensors)

    @cached_property
    def twins(self) -> tuple[int, ...]:
        """Per tensor: the one that stands for its zeros, itself or another with zeros at the same places (`Tensor.same_as`)."""
        index = self.einsum.index
        return tuple(at if t.same_as is None else index[t.same_as] for at, t in enumerate(self.einsum.tensors))

    @cached_property
    def of_rank(self) -> dict[str, tuple[int, ...]]:
        """Rank to its slots, innermost first."""
        inwards = [(i, self.loops[i].rank) for i in reversed(range(len(self.loops)))]
        return {rank: tuple(i for i, other in inwards if other == rank) for _, rank in inwards}

    @cached_property
    def plain(self) -> tuple[bool, ...]:
        """Per tensor: every axis is a single rank and no rank occurs twice (no halos, no holes), and nothing is padding."""
        return tuple(single and not padded for single, padded in zip(self.single, self.padded, strict=True))

    @cached_property
    def single(self) -> tuple[bool, ...]:
        """Per tensor: every axis is a single rank and no rank occurs twice."""
        return tuple(tensor.single for tensor in self.einsum.tensors)

    @cached_property
    def looked_at(self) -> tuple[bool, ...]:
        """Per tensor: are its zeros known? Of given data, and beside such of dense tensors with padding."""
        densities = [t.density.answering for t in self.einsum.tensors]
        given = any(density.deterministic for density in densities)
        return tuple(
            density.deterministic or (given and padded and not density.produced and float(density.density) == 1)
            for density, padded in zip(densities, self.padded, strict=True)
        )

    @cached_property
    def padded(self) -> tuple[bool, ...]:
        """Per tensor: some of its coordinates that are met are padding."""
        return tuple(any(border is not None for border in borders) for borders in self.borders)

    @cached_property
    def keepers(self) -> tuple[tuple[int, ...], ...]:
        """Per tensor: the storage levels that keep it, outermost first."""
        return tuple(tuple(i for i, kept in enumerate(self.nest.keep) if t.name in kept) for t in self.einsum.tensors)

    @cached_property
    def link_of(self) -> dict[tuple[int, int], Link]:
        """(parent level, tensor) to link."""
        return {(link.parent, link.tensor): link for link in self.links}

    def width(self, tensor: int, level: int) -> float:
        """Words of the level that one word of the tensor takes: narrow tensors are packed, wide ones split."""
        return words_per_word(self.einsum.tensors[tensor], self.arch.levels[level])

    def along(self, level: int, axis: str) -> tuple[int, ...]:
        """Spatial slots of a level along a mesh axis."""
        return tuple(i for i, loop in enumerate(self.loops) if loop.level == level and loop.axis == axis)

    def spatial(self, below: int) -> tuple[int, ...]:
        """Spatial slots outside level `below`: their product is the number of instances used there."""
        return tuple(i for i, s in enumerate(self.loops) if s.spatial and s.level < below)


def compile_plan(einsum: Einsum, arch: Arch, nest: LoopNest, sparse: Sparse) -> Plan:
    """Resolve names to slots and find every link; cheap, and independent of bounds."""
    compute = len(arch.levels) - 1
    loops = nest.loops
    end = len(loops)
    starts = (*(next((i for i, s in enumerate(loops) if s.level >= level), end) for level in range(compute)), end)
    links: list[Link] = []
    outer: dict[int, tuple[int, ...]] = {}
    for t, tensor in enumerate(einsum.tensors):
        chain = [i for i, kept in enumerate(nest.keep) if tensor.name in kept]
        above: list[int] = []
        for parent, child in zip(chain, [*chain[1:], compute], strict=True):
            link = _link(len(links), t, (parent, child), _Context(einsum, nest, sparse, starts, compute))
            outer[link.index] = tuple(above)
            above.append(link.index)
            links.append(link)
    groups = tuple(axis_groups(tensor.axes, einsum.extents) for tensor in einsum.tensors)
    return Plan(
        einsum=einsum,
        arch=arch,
        nest=nest,
        sparse=sparse,
        links=tuple(links),
        starts=starts,
        outer=outer,
        axes=tuple(tuple(_moving(loops, axis) for axis in tensor.axes) for tensor in einsum.tensors),
        groups=groups,
        moves=tuple(tuple(_moving(loops, group) for group in per_tensor) for per_tensor in groups),
        borders=tuple(
            tuple(_border(einsum, tensor, group) for group in per_tensor)
            for tensor, per_tensor in zip(einsum.tensors, groups, strict=True)
        ),
    )


def _border(einsum: Einsum, tensor: Tensor, group: AxisGroup) -> Border | None:
    """Padded axes share no rank with another axis of their tensor, so they are a group each."""
    axis = tensor.axes[group.axes[0]]
    if axis.size is None or not axis.padded(einsum.extents):
        return None
    assert len(group.axes) == 1
    return Border(axis.offset, axis.size)


def _moving(loops: tuple[Loop, ...], axis: Axis | AxisGroup) -> AxisLoops:
    return tuple(AxisLoop(i, term.coefficient) for term in axis.terms for i, s in enumerate(loops) if s.rank == term.rank)


@dataclass(frozen=True, slots=True)
class _Context:
    einsum: Einsum
    nest: LoopNest
    sparse: Sparse
    starts: tuple[int, ...]
    compute: int


def _link(index: int, t: int, ends: tuple[int, int], at: _Context) -> Link:
    parent, child = ends
    tensor, loops = at.einsum.tensors[t], at.nest.loops
    relevant = _relevant(loops, tensor)
    between = tuple(i for i, s in enumerate(loops) if s.spatial and parent <= s.level < child)
    unshared = tuple(i for i in between if (loops[i].level, tensor.name) in at.nest.no_multicast)
    form = at.sparse.format(parent, tensor.name)
    return Link(
        index=index,
        tensor=t,
        name=tensor.name,
        parent=parent,
        child=child,
        to_compute=child == at.compute,
        output=tensor.output,
        relevant=relevant,
        temporal=tuple(i for i in reversed(range(at.starts[child])) if not loops[i].spatial),
        between=between,
        multicast=tuple(i for i in between if i not in relevant and i not in unshared),
        unshared=unshared,
        no_reuse=child < at.compute and (child, tensor.name) in at.nest.no_temporal_reuse,
        parent_format=form,
        child_format=at.sparse.format(child, tensor.name) if child < at.compute else None,
        safs=tuple(s for s in at.sparse.safs if s.follower == tensor.name and parent <= s.level < child),
        partials=_partials(at.sparse, parent, made=form is not None and form.compressed and tensor.density.produced),
    )


def _relevant(loops: tuple[Loop, ...], tensor: Tensor) -> frozenset[int]:
    ranks = tensor.ranks
    return frozenset(i for i, s in enumerate(loops) if s.rank in ranks)
