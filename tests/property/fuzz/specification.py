"""One drawn specification: small, easily made smaller, and the records that the model and the walker take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import inf, prod
from typing import Literal

import numpy as np

from sparseloop.energy.pricing import ACTIONS
from sparseloop.input.resolve.padding import in_padding
from sparseloop.model.density import DensityModel
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Arch, Level, Network, Price
from sparseloop.model.design.einsum import Axis, Einsum, Tensor
from sparseloop.model.design.mapping import Loop, LoopNest, Mapping
from sparseloop.model.design.result_density import produced_density
from sparseloop.model.design.sparse import Sparse
from sparseloop.validation.walker import Machine
from tests.property.fuzz.densities import Density

WORD_BITS = 16
METADATA_BITS = 8
"""Width of an entry and of a metadata access."""


@dataclass(frozen=True)
class Operand:
    """A tensor: name, affine indices, distribution of its non-zeros."""

    name: str
    axes: tuple[Axis, ...]
    density: Density = field(default_factory=Density)

    @property
    def ranks(self) -> tuple[str, ...]:
        """Rank variables in order of appearance, repeated where they occur twice."""
        return tuple(term.rank for axis in self.axes for term in axis.terms)

    @property
    def plain(self) -> bool:
        """True if every index is a single rank and no rank occurs twice: tiles are boxes that do not overlap."""
        return all(len(axis.terms) == 1 for axis in self.axes) and len(set(self.ranks)) == len(self.ranks)


@dataclass(frozen=True)
class Slot:
    """One loop with its bounds; `last` is the bound of the last pass."""

    rank: str
    level: int
    axis: Literal["x", "y"] | None
    bound: int
    last: int


@dataclass(frozen=True)
class Place:
    """One storage level."""

    keep: frozenset[str]
    block: int = 1
    capacity: int | None = None
    rule: Literal["worst", "expected"] | float = "worst"
    read_bandwidth: float | None = None
    write_bandwidth: float | None = None
    shared_bandwidth: float | None = None
    lanes: tuple[int, int] | None = None
    """Children along x and y; None: as many as the loops use."""
    waves: bool = False


@dataclass(frozen=True)
class Specification:
    """Everything drawn. Loops are outermost first, by level, temporal before spatial."""

    tensors: tuple[Operand, ...]
    """The result last."""
    slots: tuple[Slot, ...]
    places: tuple[Place, ...]
    sparse: Sparse
    idle_ranks: tuple[str, ...] = ()
    """Ranks of size 1 that have no loop."""
    no_temporal_reuse: frozenset[tuple[int, str]] = frozenset()
    no_multicast: frozenset[tuple[int, str]] = frozenset()

    @property
    def output(self) -> Operand:
        """The result."""
        return self.tensors[-1]

    @property
    def ranks(self) -> tuple[str, ...]:
        """All rank variables."""
        named = [rank for tensor in self.tensors for rank in tensor.ranks]
        return tuple(dict.fromkeys([*named, *(slot.rank for slot in self.slots), *self.idle_ranks]))

    @property
    def shape(self) -> dict[str, int]:
        """Size of every rank: one more than the value that its loops reach at their last indices."""
        last = dict.fromkeys(self.ranks, 0)
        for slot in self.slots:
            last[slot.rank] = last[slot.rank] * slot.bound + slot.last - 1
        return {rank: value + 1 for rank, value in last.items()}

    @property
    def imperfect(self) -> bool:
        """True if some loop has a shorter last pass."""
        return any(slot.last != slot.bound for slot in self.slots)

    @property
    def points(self) -> int:
        """Number of computes."""
        return prod(self.shape.values())

    @property
    def visited(self) -> int:
        """Product of all bounds: what the walker enumerates."""
        return prod(slot.bound for slot in self.slots)

    def data_shape(self, tensor: Operand) -> tuple[int, ...]:
        """Shape of the tensor itself: its true extents where they are given, else what is met."""
        shape = self.shape
        return tuple(axis.extent(shape) if axis.size is None else axis.size for axis in tensor.axes)

    def padded(self, tensor: Operand) -> bool:
        """Does its index meet coordinates that hold no words?"""
        return any(axis.padded(self.shape) for axis in tensor.axes)

    @property
    def fixed(self) -> bool:
        """True if every tensor's pattern is known."""
        return all(t.density.fixed(self.data_shape(t)) for t in self.tensors)

    @property
    def makes_its_result(self) -> bool:
        """Does it matter which words of the result are made: has it a format, or does it lead?"""
        name = self.output.name
        looked_up = any(tensor == name for _, tensor in self.sparse.formats)
        return self.output.density.produced and (looked_up or any(name in saf.leaders for saf in self.sparse.safs))

    def words(self, tensor: Operand) -> np.ndarray:
        """Flat positions, in the tensor's own box, of its words: all along axes with an extent, else those some point uses."""
        shape, box = self.shape, self.data_shape(tensor)
        ranks = list(dict.fromkeys(term.rank for axis in tensor.axes if axis.size is None for term in axis.terms))
        used = set[int]()
        for values in product(*(range(shape[rank]) for rank in ranks)):
            at, flat = dict(zip(ranks, values, strict=True)), [0]
            for axis, extent in zip(tensor.axes, box, strict=True):
                places: Iterable[int] = range(extent)
                if axis.size is None:
                    lowest = sum(t.coefficient * (shape[t.rank] - 1) for t in axis.terms if t.coefficient < 0)
                    places = [sum(t.coefficient * at[t.rank] for t in axis.terms) - lowest]
                flat = [before * extent + place for before in flat for place in places]
            used.update(flat)
        return np.array(sorted(used), dtype=np.int64)

    # --- records ------------------------------------------------------------------------------------------------

    def drawn_as(self, tensor: Operand) -> Operand:
        """The operand whose pattern a tensor has: itself, or the one that it is the same as."""
        return next(t for t in self.tensors if t.name == (tensor.density.of or tensor.name))

    def einsum(self) -> Einsum:
        """The tensor operation with its density models."""
        shape = self.shape
        tensors = [
            Tensor(
                name=t.name,
                axes=t.axes,
                output=t is self.output,
                density=self._model(t),
                same_as=t.density.of or None,
            )
            for t in self.tensors
        ]
        if self.output.density.produced:
            apart = any(name == self.output.name for _, name in self.no_multicast)
            made = produced_density(tensors[-1], tensors[:-1], shape, dense_too=apart or bool(self.sparse.partials))
            tensors[-1] = replace(tensors[-1], density=made or tensors[-1].density)
        return Einsum(ranks=tuple(shape), shape=tuple(shape.values()), tensors=tuple(tensors))

    def _model(self, tensor: Operand) -> DensityModel:
        """The density; of given data that of what the index meets."""
        density = self.drawn_as(tensor).density
        made = density.model(self.data_shape(tensor), len(self.words(tensor)))
        return in_padding(made, tensor.axes, self.shape) if density.kind == "given" and tensor.axes else made

    def mapping(self) -> Mapping:
        """The nest with its bounds."""
        loops = tuple(Loop(rank=s.rank, level=s.level, axis=s.axis) for s in self.slots)
        nest = LoopNest(
            loops=loops,
            keep=tuple(place.keep for place in self.places),
            no_temporal_reuse=self.no_temporal_reuse,
            no_multicast=self.no_multicast,
        )
        last = tuple(s.last for s in self.slots) if self.imperfect else None
        return Mapping(nest=nest, bounds=tuple(s.bound for s in self.slots), residuals=last)

    def lanes(self, level: int) -> tuple[int, int]:
        """Children of one instance of a level along x and y."""
        used = tuple(prod(s.bound for s in self.slots if s.level == level and s.axis == axis) for axis in ("x", "y"))
        return self.places[level].lanes or (used[0], used[1])

    def positions(self, level: int) -> int:
        """Positions below one instance that ever come: of a loop that none of its rank surrounds those of its last pass."""
        moving, found = set[str](), 1
        for slot in self.slots:
            reached = slot.bound if slot.rank in moving else slot.last
            if reached > 1:
                moving.add(slot.rank)
            if slot.level == level and slot.axis is not None:
                found *= reached
        return found

    def shares_its_room(self, level: int) -> bool:
        """True where tiles may overflow and several tensors share the room: which of them overflows is not defined."""
        place = self.places[level]
        return isinstance(place.rule, float) and len(place.keep) > 1

    def machine(self) -> Machine:
        """The limits that the walker keeps to."""
        rooms = dict[tuple[int, str], float]()
        for level, place in enumerate(self.places):
            if isinstance(place.rule, float) and not self.shares_its_room(level):
                inner = {n for n in place.keep if any(n in outer.keep for outer in self.places[:level])}
                rooms |= {(level, n): inf if place.capacity is None else place.capacity for n in inner}
        packing = {saf.level for saf in self.sparse.safs if saf.kind == "spatial_skip"}
        return Machine(
            lanes={level: prod(self.lanes(level)) for level in packing},
            waves=frozenset(level for level in packing if self.places[level].waves),
            rooms=rooms,
        )

    def arch(self) -> Arch:
        """The machine: every action costs 1 pJ."""
        prices = {a: Price(energy_pj=1.0, source="drawn") for a in ACTIONS}
        levels, x, y = list[Level](), 1, 1
        for number, place in enumerate(self.places):
            levels.append(
                Level(
                    name=f"L{number}",
                    kind="storage",
                    instances=x * y,
                    mesh_x=x,
                    mesh_y=y,
                    word_bits=WORD_BITS,
                    block_size=place.block,
                    capacity_words=place.capacity,
                    capacity_rule=place.rule,
                    read_bandwidth=place.read_bandwidth,
                    write_bandwidth=place.write_bandwidth,
                    shared_bandwidth=place.shared_bandwidth,
                    metadata_word_bits=METADATA_BITS,
                    metadata_access_bits=METADATA_BITS,
                    prices=prices,
                    network=Network(name=f"N{number}", word_bits=WORD_BITS),
                    waves=place.waves,
                )
            )
            across = self.lanes(number)
            x, y = x * across[0], y * across[1]
        levels.append(Level(name="MAC", kind="compute", instances=x * y, mesh_x=x, mesh_y=y, prices=prices))
        return Arch(levels=tuple(levels))

    def design(self) -> Design:
        """All records together."""
        return Design(einsum=self.einsum(), arch=self.arch(), mapping=self.mapping(), sparse=self.sparse)


def ordered(slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """Loops by level, temporal before spatial, otherwise as they are."""
    return tuple(sorted(slots, key=lambda s: (s.level, s.axis is not None)))
