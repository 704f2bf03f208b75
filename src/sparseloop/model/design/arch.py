"""The machine: a chain of storage levels, outermost first, ending in one compute level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Energy of one action (pJ), who says so, and how sure it is (0..1)."""

    energy_pj: float
    source: str
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What connects one instance of a storage level with its children in the next level."""

    name: str
    word_bits: float
    energy_per_hop_pj: float | None = None
    """pJ per word and hop; None: wire_pj_per_bit_mm * word_bits * tile width."""
    wire_pj_per_bit_mm: float = 0.0
    tile_width_mm: float | None = None
    """Length of one hop; None: the square root of the area of everything inside one child."""
    router_pj: float = 0.0
    ingress_pj: float = 0.0
    adder_pj: float = 0.0
    """pJ per spatial reduction (addition of two partial sums on the way up)."""
    fill_latency: float = 0.0
    drain_latency: float = 0.0
    forwarding: bool = False
    """True: a child may receive a word from a mesh neighbour that held it one step ago (systolic)."""
    systolic: bool = False
    """True: words pass from child to child, so that whenever the array is filled again the farthest child starts last."""
    pass_latency: float = 0.0
    """Cycles until words have passed trees or stages, whenever the array is filled again."""
    source: str = "default"
    """Who says what it costs."""
    confidence: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One kind of hardware in a level: how many of it one instance has, and what each of them is."""

    name: str
    count: float
    """A fraction where instances share one."""
    area_um2: float
    area_source: str
    area_confidence: float
    leak_pj: float
    """pJ per cycle."""
    leak_source: str
    leak_confidence: float
    unit: str = ""
    """Class of a unit that sparse features need; empty for what is there without them."""
    tensors: frozenset[str] = frozenset()
    """The tensors that the unit serves."""


UnitKind = Literal["intersection", "index", "decode", "merge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRate:
    """Units of one kind in every instance of a level.

    intersection: entries of the lists that are compared; index: lookups by a leader's coordinate; decode: words that leave their
    compressed form; merge: words of results that arrive, each passing ceil(log_radix c) times where c lists come together.
    """

    kind: UnitKind
    count: float = 1.0
    rate: float = 1.0
    """Entries or words that one unit takes in a cycle."""
    radix: int | None = None
    """Lists that a merger takes at once; None: any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One storage or compute level; sizes, bandwidths and area are per instance."""

    name: str
    kind: Literal["storage", "compute"]
    class_name: str = ""
    instances: int = 1
    mesh_x: int = 1
    """Instances along x; instances == mesh_x * mesh_y."""
    mesh_y: int = 1
    word_bits: float = 16
    capacity_words: float | None = None
    """None: unlimited. Already divided by multiple buffering."""
    capacity_rule: Literal["worst", "expected"] | float = "worst"
    """Fit test: worst case, expectation, or a quantile in (0, 1) (overbooking)."""
    min_utilization: float = 0.0
    block_size: int = 1
    """Words per physical (vector) access."""
    cluster_size: int = 1
    read_bandwidth: float | None = None
    """Words per cycle; None: unlimited."""
    write_bandwidth: float | None = None
    shared_bandwidth: float | None = None
    """Words per cycle for reads and writes together."""
    metadata_capacity_bits: float | None = None
    """None: unlimited."""
    metadata_access_bits: float = 0
    """Bits per metadata access (0: metadata accesses cost nothing)."""
    metadata_word_bits: float = 0
    """Default width of metadata and payload entries."""
    decompression: bool = True
    """May receive a tensor stored compressed outside and hold it uncompressed."""
    compression: bool = True
    reduction: bool = True
    """Adds an incoming partial sum in place; else partial sums also travel down its network."""
    area_um2: float = 0.0
    area_source: str = "default"
    parts: tuple[Part, ...] = ()
    """What the area and the leakage are made of."""
    prices: Mapping[str, Price]
    """Action name to price; see energy.ACTIONS for the names."""
    network: Network | None = None
    """Connection to the next level; None for the compute level."""
    serial: frozenset[str] = frozenset()
    """Tensors whose tile is loaded before work on it starts, and drained before the next one is loaded."""
    rates: tuple[UnitRate, ...] = ()
    """Units whose rate may limit the level; others keep up with everything."""
    sync: Literal["step", "pass", "end"] = "end"
    """When the lanes below the level wait for each other: in every step, whenever a tile below moves, or at the end alone."""
    balance: Literal["none", "greedy"] = "none"
    """greedy: the work between two waits is dealt out evenly before it begins."""
    waves: bool = False
    """Positions that a spatial skip leaves below this level are packed anew in every step, in whole waves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch:
    """All levels, outermost storage first, the compute level last."""

    levels: tuple[Level, ...]
    clock_hz: float = 1e9

    @property
    def storage(self) -> tuple[Level, ...]:
        """The storage levels, outermost first."""
        return self.levels[:-1]

    @property
    def compute(self) -> Level:
        """The compute level."""
        return self.levels[-1]

    def fanout(self, level: int) -> tuple[int, int]:
        """Children of one instance of storage level `level` along x and y."""
        outer, inner = self.levels[level], self.levels[level + 1]
        return inner.mesh_x // outer.mesh_x, inner.mesh_y // outer.mesh_y
