"""What a level is made of: its array or arithmetic, its store of metadata, and the units that its sparse features need.

Each piece is one question to the estimators; which of a level's actions it prices is said here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from sparseloop.energy.estimators import DEFAULT_NODE_NM, Answer, Attribute, Estimator, Query, offer

PJ_PER_MW_SECOND = 1e9


KNOWN_CLASSES = {
    "storage": (
        "dram",
        "sram",
        "ram",
        "regfile",
        "register",
        "buffer",
        "scratchpad",
        "spad",
        "storage",
        "cache",
        "fifo",
        "latch",
    ),
    "compute": ("mac", "intmac", "fpmac", "multiplier", "mult", "adder", "compute", "alu", "fma"),
}
"""Words in the class of a level that say what it is; without one a storage is priced as SRAM, a compute level as a MAC."""
_PARTS_OF_CLASSES = {
    "storage": ("ram", "reg", "buf", "pad", "stor", "cache", "fifo", "latch", "mem"),
    "compute": ("mac", "mul", "add", "comput", "alu", "fma"),
}


def known_class(kind: Literal["storage", "compute"], class_name: str) -> bool:
    """True if the class of a level says what hardware it is."""
    return any(part in class_name.lower() for part in _PARTS_OF_CLASSES[kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Units of one kind in each instance of a level."""

    name: str
    class_name: str
    count: float
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    tensors: frozenset[str] = frozenset()
    """The tensors of the feature that needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """The physical unit behind a level."""

    name: str
    kind: Literal["storage", "compute"]
    class_name: str = ""
    type: str | None = None
    """DRAM type, e.g. LPDDR4."""
    node_nm: float | None = None
    """Technology node in nm; None: 45."""
    vdd: float | None = None
    """Supply in V; None: the nominal one of the node."""
    clock_hz: float = 1e9
    word_bits: float = 16
    block_size: int = 1
    cluster_size: int = 1
    banks: int = 1
    capacity_words: float | None = None
    """Words of one instance, before multiple buffering; None: unlimited."""
    metadata_access_bits: float = 0
    metadata_capacity_bits: float | None = None
    metadata_word_bits: float = 8
    units: tuple[Unit, ...] = ()
    """What the sparse features of the level need."""
    estimator: str | None = None
    """The estimator to be asked first."""
    backend: Estimator | None = None
    """The estimator itself, if it is one that is asked only by name."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    """Further attributes that the user wrote."""

    @property
    def family(self) -> Literal["dram", "regfile", "sram", "compute"]:
        """The kind of hardware, by substring of the class, as Timeloop classifies."""
        if self.kind == "compute":
            return "compute"
        name = self.class_name.lower()
        return "dram" if "dram" in name else "regfile" if "reg" in name else "sram"

    @property
    def access_bits(self) -> float:
        """Bits of one physical array access: word * block * cluster."""
        return self.word_bits * self.block_size * self.cluster_size

    @property
    def rows(self) -> float:
        """Physical accesses that fit the array (0 if unlimited)."""
        return math.ceil((self.capacity_words or 0) / self.block_size)

    @property
    def array_bits(self) -> float:
        """Size of the array that a cluster shares."""
        return self.access_bits * self.rows

    def query(self, class_name: str, kind: Literal["storage", "compute", "unit"], sizes: Mapping[str, Attribute]) -> Query:
        """A question about hardware of this level, at its node, supply and clock."""
        attributes = {**self.attributes, **sizes}
        node = self.node_nm or DEFAULT_NODE_NM
        return Query(class_name=class_name, kind=kind, attributes=attributes, node_nm=node, vdd=self.vdd, clock_hz=self.clock_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One kind of hardware of a level: how many one instance has, and which actions of the level it prices."""

    name: str
    query: Query
    count: float
    actions: Mapping[str, str] | None
    """The level's action to that of the piece; None: all, by the names that energy tables may use."""
    share: float = 1.0
    """Share of the piece's energy that one action of the level takes."""
    tensors: frozenset[str] | None = None
    """The tensors that a unit of sparse features serves; None for other hardware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPiece:
    """A piece with the estimators' answer."""

    piece: Piece
    answer: Answer


def hardware_pieces(component: Component) -> Iterator[Piece]:
    """The hardware of a level. Units that it does not have are listed with count 0: their actions need a price all the same."""
    yield _main(component)
    if component.kind == "storage":
        yield from _metadata_store(component)
        yield from _services(component)
    for unit in component.units:
        yield replace(_piece(component, unit), tensors=unit.tensors)


def priced_pieces(component: Component) -> tuple[list[PricedPiece], list[str]]:
    """Every piece with its best answer, and notes about estimators that failed."""
    found: list[PricedPiece] = []
    notes: dict[str, None] = {}
    for piece in hardware_pieces(component):
        best = offer(piece.query, wanted=component.estimator, backend=component.backend)
        notes |= dict.fromkeys(f"{component.name}: {note}" for note in best.notes)
        if piece.actions is None and component.estimator and component.estimator not in best.asked:
            notes[f"{component.name}: estimator '{component.estimator}' has no answer for {piece.query.class_name}"] = None
        found.append(PricedPiece(piece=piece, answer=best.answer))
    return found, list(notes)


def leak_pj(milliwatts: float, clock_hz: float) -> float:
    """Leakage of one cycle: 1 mW over 1 ns is 1 pJ."""
    return milliwatts * PJ_PER_MW_SECOND / clock_hz


# --- what a level has -----------------------------------------------------------------------------------------


def _main(component: Component) -> Piece:
    """The array or the arithmetic unit itself."""
    if component.kind == "compute":
        query = component.query(component.class_name, "compute", {"word_bits": component.word_bits})
        return Piece(name="arithmetic", query=query, count=1, actions=None)
    sizes: dict[str, Attribute] = {
        "word_bits": component.word_bits,
        "width_bits": component.access_bits,
        "depth": component.rows,
        "capacity_bits": component.array_bits,
        "banks": component.banks,
    }
    if component.type:
        sizes["type"] = component.type
    query = component.query(component.class_name, "storage", sizes)
    part = 1 / component.cluster_size
    return Piece(name="array", query=query, count=part, actions=None, share=part)


METADATA_STORE_ACTIONS = {"metadata_read": "read", "metadata_fill": "write", "metadata_update": "write"}


def _metadata_store(component: Component) -> Iterator[Piece]:
    """The separate store of metadata, if its size is given."""
    size, width = component.metadata_capacity_bits, component.metadata_access_bits
    if size and width and component.family != "dram":
        sizes = {"word_bits": width, "width_bits": width, "depth": math.ceil(size / width), "capacity_bits": size, "banks": 1}
        query = component.query(component.class_name, "storage", sizes)
        yield Piece(name="metadata", query=query, count=1, actions=METADATA_STORE_ACTIONS)


UNIT_ACTIONS = {
    "decompressor": ("decompress", "decompress"),
    "compressor": ("compress", "compress"),
    "intersection": ("intersect", "intersect"),
    "decoder": ("decode", "decode"),
    "adder": ("reduction", "add"),
    "address_generator": ("address_generation", "address_generation"),
    "merger": ("merge", "merge"),
}
"""Class of a unit to the action of the level that it prices, and its own name of it."""


def _services(component: Component) -> Iterator[Piece]:
    """Units that every level could have; those that its features need are among `units`."""
    present = {unit.class_name for unit in component.units}
    for class_name in UNIT_ACTIONS:
        bits = component.word_bits if class_name == "adder" else component.metadata_word_bits or 8
        if class_name == "address_generator":
            if component.capacity_words and component.family != "dram":
                bits = max(1, math.ceil(math.log2(max(component.rows, 2))))
                unit = Unit(name="addresses", class_name=class_name, count=1, attributes={"bits": bits})
                yield replace(_piece(component, unit), share=1 / component.block_size)
        elif class_name not in present and class_name != "merger":  # mergers are there where they are named
            yield _piece(component, Unit(name=class_name, class_name=class_name, count=0, attributes={"bits": bits}))


def _piece(component: Component, unit: Unit) -> Piece:
    service = UNIT_ACTIONS.get(unit.class_name)
    actions = {service[0]: service[1]} if service else {}
    return Piece(
        name=unit.name, query=component.query(unit.class_name, "unit", unit.attributes), count=unit.count, actions=actions
    )
