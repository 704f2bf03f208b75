"""A specification written in Python: typed records in place of YAML, and `build`, which puts them together.

Every field has the name and the meaning of the key in a file (docs/format.md); None is a key that is left out. Quantities are
numbers in the unit of the key, or texts with a unit: `capacity="64 KiB"`. Mistakes are those of a file, with the path of the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, cast

from pydantic import BaseModel

from sparseloop.input.densities.records import DensitySpec
from sparseloop.input.diagnostics import check_arguments, check_fields
from sparseloop.input.hardware_spec import EnergySpec, MetadataSpec, NetworkSpec, UnitSpec
from sparseloop.input.roles import Role
from sparseloop.input.spec import (
    ConstraintSpec,
    FormatSpec,
    RankFormatSpec,
    SafSpec,
    Spec,
)

Quantity = float | str
"""A number, or a text with a unit."""
Tensors = str | Sequence[str]
"""Names of tensors: 'A B' or ['A', 'B']."""
Bounds = Mapping[str, int]
"""Loops, outermost first: rank variable to bound."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One einsum: its shape, where its tensors are zero, the width of its words.

    >>> Workload("Z[m,n] = A[m,k] * B[k,n]", {"m": 64, "n": 64, "k": 64}, density={"A": 0.1, "B": "2:4 k"}).name
    """

    einsum: str
    """For example 'Z[m,n] = A[m,k] * B[k,n]'; affine indices such as 2*p+r are allowed."""
    shape: Mapping[str, int]
    """Size of every rank variable."""
    extent: Mapping[str, Sequence[int] | Mapping[str, int]] | None = None
    """Per tensor its true size, one number per axis or by rank variable; what an index meets outside is padding."""
    density: Mapping[str, Quantity | DensitySpec] | None = None
    """Per tensor: a fraction, '2:4 k', a file, or a `DensitySpec`; a tensor that is not named is dense."""
    word_bits: int | Mapping[str, int] | None = None
    """Bits per word, of all tensors or per tensor; None: 16."""
    name: str | None = None
    """Name of the layer in tables and files."""
    times: int | None = None
    """How often a network runs it; None: once."""
    roles: Mapping[Role, str] | None = None
    """Which tensors are weights, inputs, outputs; None: the operands in this order: inputs, weights."""
    mapping: Sequence[Loops] | None = None
    """Its own mapping, instead of that of the specification."""
    sparse: Mapping[str, Features] | None = None
    """Its own sparse features of the levels named."""
    constraints: Mapping[str, ConstraintSpec] | None = None
    """Its own constraints of the levels named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Component:
    """What storage and compute levels have in common."""

    node: Quantity | None = None
    """Technology node in nm."""
    vdd: Quantity | None = None
    """Supply in V."""
    word_bits: float | None = None
    """Bits per word."""
    energy: Mapping[str, Quantity] | None = None
    """Price per action in pJ; wins over tables and estimates."""
    area: float | None = None
    """um2 of one instance."""
    estimator: str | None = None
    """Estimator to be asked first."""
    attributes: Mapping[str, bool | float | str] | None = None
    """What else estimators are to know."""


@dataclass(frozen=True, slots=True)
class Storage(_Component):
    """One storage level; everything is of one instance.

    >>> Storage("GLB", "sram", capacity="64 KiB", bandwidth=32, metadata="16 KiB").capacity
    '64 KiB'
    """

    name: str
    """Name in the mapping, the sparse features and tables."""
    class_: str = "sram"
    """dram, sram, regfile, buffer, or a class of your energy tables."""
    type: str | None = None
    """DRAM type: LPDDR4, DDR4, HBM2 ..."""
    capacity: Quantity | None = None
    """Words, or '108 KiB'; None: unlimited."""
    capacity_rule: Literal["worst", "expected"] | float | None = None
    """Fit test of compressed tensors: worst case (None), expectation, or a quantile."""
    multiple_buffering: float | None = None
    """2: double buffering."""
    min_utilization: float | None = None
    """Share of the capacity that a valid mapping uses at least."""
    block_size: int | None = None
    """Words per physical access."""
    cluster_size: int | None = None
    """Instances that share one physical array."""
    banks: int | None = None
    """Banks of one instance, for its price."""
    bandwidth: Quantity | Mapping[Literal["read", "write", "shared"], Quantity] | None = None
    """Words per cycle, or '25.6 GB/s'; None: unlimited."""
    metadata: Quantity | MetadataSpec | None = None
    """Capacity of metadata, or all about it."""
    decompression: bool | None = None
    """Can decompress what arrives compressed; None: yes."""
    compression: bool | None = None
    """Can compress results that leave; None: yes."""
    reduction: bool | None = None
    """Adds partial sums in place; None: yes, except DRAM."""
    overlap: Mapping[str, Literal["double", "none"]] | None = None
    """Per tensor; 'none': its tile is loaded before work on it starts."""
    units: Mapping[Literal["intersection", "index", "decode", "merge"], UnitSpec] | None = None
    """Units of one instance with a rate; others keep up with everything."""
    network: NetworkSpec | None = None
    """The network to its children."""


@dataclass(frozen=True, slots=True)
class Compute(_Component):
    """The compute level, innermost in the machine.

    >>> Compute("MAC").class_
    'mac'
    """

    name: str
    class_: str = "mac"


@dataclass(frozen=True, slots=True)
class Fanout:
    """What follows in the architecture exists x * y times per instance of what is before.

    >>> Fanout(x=8, y=8).y
    8
    """

    x: int
    y: int = 1
    name: str = "par"
    """Name by which the mapping speaks of it."""
    packing: Literal["balanced", "waves"] | None = None
    """How positions left by a spatial skip fill the instances."""
    sync: Literal["step", "pass", "end"] | None = None
    """When lanes wait for each other; None: at the end alone."""
    balance: Literal["none", "greedy"] | None = None
    """'greedy': work is dealt out evenly to the lanes, between two waits."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The machine: its levels, outermost first, with fanouts between them; the compute level last."""

    levels: Sequence[Storage | Fanout | Compute]
    clock: Quantity | None = None
    """Hz, or '1 GHz'; None: 1 GHz."""
    node: Quantity | None = None
    """nm, or '45nm'."""
    vdd: Quantity | None = None
    """V; None: the nominal one of the node."""
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Loops:
    """The loops of one level or fanout, outermost first, and what the level keeps.

    >>> Loops("GLB", {"m": 8, "n": 16}, bypass="Z").target
    'GLB'
    >>> Loops("par", x={"n": 8}, y={"m": 8}).target
    'par'
    """

    target: str
    """A level, or a fanout by its name."""
    loops: Bounds | str = ""
    """Temporal loops: {'m': 8, 'n': 16}, or all loops in the notation of a file: 'for m=8 n=16'."""
    x: Bounds | None = None
    """Spatial loops along x."""
    y: Bounds | None = None
    """Spatial loops along y."""
    keep: Tensors | None = None
    """The level holds these tensors only; None: all but `bypass`."""
    bypass: Tensors | None = None
    """Tensors that pass by the level."""
    no_temporal_reuse: Tensors | None = None
    no_multicast: Tensors | None = None
    no_forwarding: Tensors | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The sparse features of one level.

    >>> Features(formats={"A": "csr"}, skip=["B <- A"]).skip
    ['B <- A']
    """

    formats: Mapping[str, str | FormatSpec | Sequence[str | RankFormatSpec]] | None = None
    """Per tensor: csr, coo, bitmask, 'UOP CP', a list of rank formats; a tensor that is not named is uncompressed."""
    skip: bool | Sequence[str | SafSpec] | None = None
    """Accesses that are not made and take no cycles: ['B <- A']; at the compute level True."""
    gate: bool | Sequence[str | SafSpec] | None = None
    """Accesses that are not made; their cycles are spent. At the compute level True."""
    spatial_skip: Sequence[str | SafSpec] | None = None
    """As `skip`, for each lane apart; the lanes left are packed."""
    intersection: Literal["two_finger", "leader_follower", "skip_ahead"] | None = None
    """For all features of the level."""
    partials: Literal["whole", "changed", "add"] | None = None
    """What copies of a compressed result further in do: come and go as a whole, return what changed, or start empty."""


def build(
    workload: Workload | Sequence[Workload],
    architecture: Architecture,
    mapping: Sequence[Loops] = (),
    *,
    sparse: Mapping[str, Features] | None = None,
    constraints: Mapping[str, ConstraintSpec] | None = None,
    energy: EnergySpec | None = None,
) -> Spec:
    """The specification that these records say; several workloads are the layers of a network.

    `sparse` and `constraints` by level; `energy` names tables of prices. Raises `SpecError` with every mistake, each with the
    path of its key, as for a file.

    >>> machine = Architecture([Storage("DRAM", "dram"), Storage("GLB", capacity="64 KiB"), Compute("MAC")], node="45nm")
    >>> product = Workload("Z[m,n] = A[m,k] * B[k,n]", {"m": 16, "n": 16, "k": 16}, density={"A": 0.25})
    >>> nest = [Loops("DRAM", {"m": 16}), Loops("GLB", {"n": 16, "k": 16})]
    >>> spec = build(product, machine, nest, sparse={"GLB": Features(formats={"A": "csr"}, skip=["B <- A"])})
    >>> spec.workload.shape["m"]
    16
    """
    check_arguments(build, locals())
    several = not isinstance(workload, Workload)
    data: dict[str, Any] = {
        "layers" if several else "workload": _plain(workload),
        "architecture": _plain(architecture),
        "mapping": [_plain(entry) for entry in mapping],
        "sparse": _plain(sparse or {}),
        "constraints": _plain(constraints or {}),
    }
    return Spec.model_validate({**data, **({"energy": _plain(energy)} if energy is not None else {})})


# --- as the keys of a file ------------------------------------------------------------------------------------


def _plain(value: object) -> Any:
    """Records as the keys and values of a file; what is None is left out."""
    if isinstance(value, Fanout):
        found = {"fanout": {"x": value.x, "y": value.y}, "name": value.name, "packing": value.packing}
        found |= {"sync": value.sync, "balance": value.balance}
        return {key: item for key, item in found.items() if item is not None}
    if isinstance(value, Loops):
        return _entry(value)
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_unset=True)
    if is_dataclass(value):
        found = {field.name.rstrip("_"): getattr(value, field.name) for field in fields(value)}
        return {key: _plain(item) for key, item in found.items() if item is not None}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    return value


def _entry(entry: Loops) -> dict[str, Any]:
    """One entry of a mapping in its long form."""
    temporal = entry.loops if isinstance(entry.loops, str) else _section("for", entry.loops)
    loops = ", ".join(part for part in (temporal, _section("x", entry.x or {}), _section("y", entry.y or {})) if part)
    lists = ("keep", "bypass", "no_temporal_reuse", "no_multicast", "no_forwarding")
    named = {name: _plain(getattr(entry, name)) for name in lists if getattr(entry, name) is not None}
    return {entry.target: {"loops": loops, **named}}


def _section(verb: str, bounds: Bounds) -> str:
    return f"{verb} {' '.join(f'{rank}={bound}' for rank, bound in bounds.items())}" if bounds else ""
