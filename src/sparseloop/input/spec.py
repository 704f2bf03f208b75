"""What a user may write: the native format as pydantic models, documented field by field.

Short notations (strings) are turned into these structures by `notation`; units and expressions by `field_types`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from sparseloop.input import expressions as expr
from sparseloop.input import field_types, notation
from sparseloop.input.densities.records import DensityField
from sparseloop.input.diagnostics import Path, SpecError
from sparseloop.input.field_types import (
    Capacity,
    Count,
    Energy,
    Fraction,
    Frequency,
    Number,
    Positive,
    TechnologyNode,
    Variable,
    Whole,
)
from sparseloop.input.hardware_spec import BandwidthSpec, EnergySpec, MetadataSpec, NetworkSpec, UnitSpec
from sparseloop.input.pydantic_errors import as_written
from sparseloop.input.records import Names, Record, Sizes, flag_or_list, mapping_or_one
from sparseloop.input.roles import Role, Roles, in_tensor_names, roles_of
from sparseloop.input.yaml.files import NOWHERE, SourceMap

# --- workload -----------------------------------------------------------------------------------------------


class WorkloadSpec(Record):
    """One einsum with its shape and densities."""

    name: str = Field(default="einsum", description="Name of the layer in tables and files.")
    einsum: Annotated[str, BeforeValidator(notation.checked_einsum)] = Field(
        description="e.g. Z[m,n] = A[m,k] * B[k,n]; affine indices such as 2*p+r are allowed."
    )
    shape: dict[str, Count] = Field(description="Size of every rank variable.")
    extent: dict[str, Sizes] = Field(
        default_factory=dict[str, "dict[str, int] | tuple[int, ...]"],
        description="Per tensor its true size, one number per axis or by rank variable; outside of 0 ... size - 1 is padding.",
    )
    density: dict[str, DensityField] = Field(
        default_factory=dict, description="Per tensor; missing: operands dense, a result produced."
    )
    word_bits: Annotated[
        Annotated[dict[str, Count], Tag("mapping")] | Annotated[Count, Tag("one")], Discriminator(mapping_or_one)
    ] = Field(default_factory=dict[str, int], description="Bits per word, of all tensors or per tensor; missing: 16.")
    times: Count = Field(default=1, description="How often it is run; totals of a network count it so often.")
    roles: Roles = Field(
        default_factory=dict[Role, str],
        description="Tensors that are weights, inputs, outputs. Missing: the operands in this order: inputs, weights.",
    )
    mapping: Annotated[tuple[EntryField, ...], BeforeValidator(notation.parse_mapping)] | None = Field(
        default=None, description="Its own mapping; None: that of the specification."
    )
    sparse: dict[str, LevelSparseSpec] | None = Field(
        default=None, description="Its own sparse features of the levels named, instead of those of the specification."
    )
    constraints: dict[str, ConstraintSpec] | None = Field(
        default=None, description="Its own constraints of the levels named, instead of those of the specification."
    )


# --- architecture -------------------------------------------------------------------------------------------


def _supply(value: object) -> float:
    volts = field_types.parse_number(value)
    if not 0.1 <= volts <= 10:
        raise expr.wrong(f"expected a supply between 0.1 and 10 V, got {value}", "write e.g. 0.9")
    return volts


Supply = Annotated[float, BeforeValidator(_supply, json_schema_input_type=float | str)]


def _rule(value: object) -> str | float:
    if value in ("worst", "expected"):
        return str(value)
    try:
        return field_types.parse_fraction(value)
    except expr.NotationError:
        raise expr.wrong(f"expected 'worst', 'expected' or a quantile between 0 and 1, got {value!r}") from None


CapacityRule = Annotated[
    Literal["worst", "expected"] | float, BeforeValidator(_rule, json_schema_input_type=Literal["worst", "expected"] | float)
]


class LevelSpec(Record):
    """One storage level or the compute level."""

    name: str = Field(description="Name in the mapping, sparse features and tables.")
    class_: str = Field(alias="class", description="dram, sram, regfile, buffer, mac, or a class of your energy tables.")
    kind: Literal["storage", "compute"] | None = Field(default=None, description="None: from the class; the last level computes.")
    type: str | None = Field(default=None, description="DRAM type: LPDDR4, DDR4, HBM2 ...")
    node: TechnologyNode | None = Field(default=None, description="Technology node; None: that of the architecture.")
    vdd: Supply | None = Field(default=None, description="Supply in V; None: that of the architecture.")
    word_bits: Positive | None = Field(default=None, description="Bits per word; None: widest tensor kept here, else 16.")
    capacity: Capacity | None = Field(default=None, description="Words ('224 words', 224) or bytes ('108 KiB') of one instance.")
    capacity_rule: CapacityRule = Field(
        default="worst", description="Fit test for compressed tensors: worst case, expectation, or a quantile (overbooking)."
    )
    multiple_buffering: Annotated[Number, Field(ge=1)] = Field(
        default=1.0, description="2: double buffering; divides the usable capacity."
    )
    min_utilization: Fraction = Field(default=0.0, description="Share of the capacity that a valid mapping uses at least.")
    block_size: Count = Field(default=1, description="Words per physical access.")
    cluster_size: Count = Field(default=1, description="Instances that share one physical array.")
    banks: Count = Field(default=1, description="Banks of one instance (for its price).")
    bandwidth: Annotated[BandwidthSpec, BeforeValidator(notation.parse_bandwidths)] = BandwidthSpec()
    metadata: Annotated[MetadataSpec, BeforeValidator(notation.parse_metadata)] = MetadataSpec()
    decompression: bool = Field(default=True, description="Can decompress what arrives compressed.")
    compression: bool = Field(
        default=True, description="Can compress results that leave for a level that stores them compressed."
    )
    reduction: bool | None = Field(default=None, description="Adds partial sums in place; None: yes, except DRAM.")
    overlap: dict[str, Literal["double", "none"]] = Field(
        default_factory=dict[str, Literal["double", "none"]],
        description="Per tensor. none: its tile is loaded before work on it starts; double (default): while others are in use.",
    )
    units: dict[Literal["intersection", "index", "decode", "merge"], UnitSpec] = Field(
        default_factory=dict[Literal["intersection", "index", "decode", "merge"], UnitSpec],
        description="Units of one instance with a rate; those that are not named keep up with everything.",
    )
    energy: dict[str, Energy] | None = Field(default=None, description="Price per action in pJ; wins over tables.")
    area: Number | None = Field(default=None, description="um2 of one instance, with all that belongs to it.")
    estimator: str | None = Field(default=None, description="Estimator to be asked first, by name; None: the surest.")
    attributes: dict[str, bool | float | str] = Field(
        default_factory=dict[str, bool | float | str], description="What else estimators are to know: {ports: 2, cell: hp}."
    )
    network: NetworkSpec = NetworkSpec()


class FanoutSpec(Record):
    """Everything after this entry exists x * y times per instance of what is before it."""

    fanout: Annotated[dict[Literal["x", "y"], Count], BeforeValidator(notation.parse_fanout)] = Field(
        description="Children along each axis; 14x12 is short for {x: 14, y: 12}."
    )
    name: str = Field(default="par", description="Name by which the mapping speaks of it.")
    packing: Literal["balanced", "waves"] | None = Field(
        default=None,
        description="Positions left by a spatial skip take turns in whole waves (default), or even out over time.",
    )
    sync: Literal["step", "pass", "end"] = Field(
        default="end", description="When lanes wait for each other: in every step, when a tile below moves, or at the end alone."
    )
    balance: Literal["none", "greedy"] = Field(
        default="none", description="greedy: work is dealt out evenly to the lanes, between two waits."
    )


def _entry_kind(value: object) -> str:
    fanout = isinstance(value, FanoutSpec) or (isinstance(value, Mapping) and "fanout" in value)
    return "fanout" if fanout else "level"


class ArchSpec(Record):
    """The machine, outermost level first."""

    name: str = Field(default="architecture", description="Name in result files.")
    node: TechnologyNode | None = Field(default=None, description="Technology node, e.g. 45nm.")
    vdd: Supply | None = Field(default=None, description="Supply in V, e.g. 0.9; None: the nominal one of the node.")
    clock: Frequency = Field(default=1e9, description="Clock, e.g. 1 GHz.")
    levels: tuple[
        Annotated[Annotated[LevelSpec, Tag("level")] | Annotated[FanoutSpec, Tag("fanout")], Discriminator(_entry_kind)], ...
    ] = Field(description="Storage levels, outermost first, fanouts between them, then the compute level.")


# --- mapping ------------------------------------------------------------------------------------------------


class LoopSpec(Record):
    """One loop. `residual` is the last-pass bound of an imperfect factor."""

    rank: str = Field(description="Rank variable.")
    bound: Count = Field(description="Trip count.")
    residual: Count | None = Field(default=None, description="Trip count of the last pass, if the factor is imperfect.")
    axis: Literal["x", "y"] | None = Field(default=None, description="Axis of a spatial loop; None: the fanout has one only.")


class MappingEntry(Record):
    """The loops of one level (temporal) or of one fanout (spatial), outermost first, and what the level keeps."""

    target: str = Field(description="A level, or a fanout by its name.")
    loops: tuple[LoopSpec, ...] = Field(default=(), description="Outermost first; loops of bound 1 may be left out.")
    keep: Names | None = Field(default=None, description="The level holds these tensors only; None: all but bypass.")
    bypass: Names | None = Field(default=None, description="Tensors that pass by the level.")
    no_temporal_reuse: Names = Field(default=(), description="Tensors whose tile is fetched anew at every step.")
    no_multicast: Names = Field(default=(), description="Tensors whose equal words are sent to every child one by one.")
    no_forwarding: Names = Field(default=(), description="Tensors that neighbours do not pass on.")


EntryField = Annotated[MappingEntry, BeforeValidator(notation.parse_mapping_entry)]


# --- sparse features ----------------------------------------------------------------------------------------


class RankFormatSpec(Record):
    """Format of one rank."""

    kind: Literal["U", "UB", "B", "CP", "RLE", "UOP"] = Field(
        description="Uncompressed, with bitmap, bitmask, coordinates, run lengths, offset pairs."
    )
    ranks: tuple[tuple[str, ...], ...] = Field(default=(), description="Groups of flattened rank variables; empty: one loop.")
    metadata_bits: Number | None = Field(
        default=None, description="Bits of an entry; None: 1 for B and UB, else those of the level."
    )
    payload_bits: Number | None = Field(default=None, description="Bits of a payload (UOP: an offset); None: those of the level.")


class FormatSpec(Record):
    """Format of a tensor, outermost rank first."""

    ranks: tuple[RankFormatSpec, ...] = Field(description="One format per rank.")
    order: Literal["outer_to_inner", "inner_to_outer"] = Field(
        default="outer_to_inner", description="From which end ranks are laid on the loops."
    )
    automatic: bool | None = Field(default=None, description="Repeat the outermost format for left-over loops; None: yes.")


class SafSpec(Record):
    """One feature; 'W <- I & Z' is short for {follower: W, leaders: [I, Z]}, 'A <-> B' for both directions."""

    follower: str = Field(description="Tensor whose accesses are removed.")
    leaders: Names = Field(description="Tensors that decide: it fires if what is met of any of them is all zero.")
    intersection: Literal["two_finger", "leader_follower", "skip_ahead"] | None = Field(
        default=None, description="How lists are compared; None: as the level says."
    )
    choice: int | None = Field(
        default=None, description="Features of one level with equal numbers are alternatives (negative: of one list only)."
    )


SafList = Annotated[tuple[SafSpec, ...], BeforeValidator(notation.parse_safs)]
SafField = Annotated[Annotated[bool, Tag("flag")] | Annotated[SafList, Tag("list")], Discriminator(flag_or_list)]


class LevelSparseSpec(Record):
    """Sparse features at one level; at the compute level `skip: true` and `gate: true`."""

    formats: dict[str, Annotated[FormatSpec, BeforeValidator(notation.parse_format)]] = Field(
        default_factory=dict,
        description="Per tensor: csr, coo, bitmask, 2:4, or a list such as UOP(c) RLE(p,q;5); missing: uncompressed.",
    )
    skip: SafField = Field(default=(), description="Accesses not made, their cycles saved: [B <- A]. At the compute level true.")
    gate: SafField = Field(default=(), description="Accesses not made, their cycles spent: [B <- A]. At the compute level true.")
    spatial_skip: SafList = Field(default=(), description="As skip, for each lane apart; lanes left are packed.")
    intersection: Literal["two_finger", "leader_follower", "skip_ahead"] | None = Field(
        default=None, description="For all features of the level; None: two_finger."
    )
    partials: Literal["whole", "changed", "add"] | None = Field(
        default=None,
        description="Copies of a compressed result further in: filled with what is there and returned whole (None), only what "
        "changed is returned, or they start empty and the level adds what returns.",
    )


# --- constraints, the whole ---------------------------------------------------------------------------------


class ConstraintSpec(Record):
    """Restrictions of the mapspace at one level or fanout (used by the mapper)."""

    keep: Names | None = Field(default=None, description="Tensors that the level must hold.")
    bypass: Names | None = Field(default=None, description="Tensors that must pass by.")
    factors: dict[str, Count] = Field(default_factory=dict, description="Bounds that are fixed, by rank.")
    max: dict[str, Count] = Field(default_factory=dict, description="Largest bounds, by rank.")
    min: dict[str, Count] = Field(default_factory=dict, description="Smallest bounds, by rank.")
    default_max: Count | None = Field(default=None, description="Largest bound of ranks that are not named under max.")
    order: str | None = Field(default=None, description="'a b ... c': outermost first, '...' stands for the free ranks.")
    split: Whole | None = Field(
        default=None, description="At a fanout: how many of the innermost loops lie along x, the others along y."
    )
    no_temporal_reuse: Names = Field(default=(), description="As in the mapping.")
    no_multicast: Names = Field(default=(), description="As in the mapping.")
    no_forwarding: Names = Field(default=(), description="As in the mapping.")
    max_remainder: Count | None = Field(
        default=None, description="Kept from files of Timeloop; the mapper does not read it, see map --padded."
    )
    min_utilization: Fraction | None = Field(default=None, description="Share of the capacity that is used at least.")
    min_parallelism: Fraction | None = Field(default=None, description="Share of all compute instances that is used at least.")
    max_overbooked: Fraction | None = Field(
        default=None, description="Kept from files of Timeloop, where it makes a capacity_rule; the mapper does not read it."
    )


class Spec(Record):
    """A complete specification: workload, architecture, mapping, sparse features, constraints, prices."""

    variables: dict[str, Variable] = Field(
        default_factory=dict[str, float | str], description="Names for expressions: {BANKS: 4, SIZE: 2 * KiB * BANKS}."
    )
    workload: WorkloadSpec
    layers: tuple[WorkloadSpec, ...] = Field(
        default=(), description="Several einsums; what `workload` says is shared by all. Then `workload` is the first layer."
    )
    architecture: ArchSpec
    mapping: Annotated[tuple[EntryField, ...], BeforeValidator(notation.parse_mapping)] = Field(
        default=(), description="Outermost first: '- GLB: for c=4 p=5 | keep I O'."
    )
    sparse: dict[str, LevelSparseSpec] = Field(
        default_factory=dict[str, LevelSparseSpec], description="Formats, gating and skipping, by level."
    )
    constraints: dict[str, ConstraintSpec] = Field(
        default_factory=dict[str, ConstraintSpec], description="What the mapper may choose, by level or fanout."
    )
    energy: EnergySpec = Field(default_factory=lambda: EnergySpec(ert=(), art=()))
    reading: Literal["native", "timeloop"] = Field(
        default="native",
        description="timeloop: SAFs are taken literally (no implied skips, leader-follower intersection), a bare "
        "density means `even`, neighbours forward, missing prices follow Timeloop's fall-back chains.",
    )
    notes: tuple[str, ...] = Field(default=(), description="Warnings of an importer, shown with every result.")
    _source: SourceMap = PrivateAttr(default=NOWHERE)
    _at: Path = PrivateAttr(default=("workload",))

    @model_validator(mode="wrap")
    @classmethod
    def _with_variables(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Makes the variables known to all fields, and fills in for each layer the fields of `workload` that it lacks."""
        if not isinstance(data, dict):
            return handler(data)
        fields = _with_layers(cast("dict[str, Any]", data))
        raw = fields.get("variables")
        with expr.variables(cast("dict[str, object]", raw) if isinstance(raw, dict) else {}):
            try:
                spec = handler(fields)
            except SpecError as error:
                raise SpecError(as_written(error.diagnostics, data)) from None
            if not spec.layers:  # in place, because pydantic's __init__ keeps the object that it made
                vars(spec).update(spec._of_workload(spec.workload))
            return spec

    @property
    def source(self) -> SourceMap:
        """Where everything stands in the files; empty for a specification built in Python."""
        return self._source

    @property
    def workload_path(self) -> Path:
        """Where the workload stands: ("workload",) or ("layers", i)."""
        return self._at

    def with_source(self, source: SourceMap) -> Spec:
        """The same specification, remembering its files."""
        copy = self.model_copy()
        copy._source = source
        return copy

    def per_layer(self) -> Iterator[Spec]:
        """One specification per layer (itself if there are no `layers`)."""
        for i, layer in enumerate(self.layers):
            copy = self.model_copy(update={**self._of_workload(layer), "layers": ()})
            copy._at = ("layers", i)
            yield copy
        if not self.layers:
            yield self

    def unmapped(self) -> Spec:
        """The specification of a search, which looks at no mapping: without those of the file, which need not fit its shape."""
        if not self.mapping and all(layer.mapping is None for layer in self.layers):
            return self
        layers = tuple(layer.model_copy(update={"mapping": None}) for layer in self.layers)
        return self.model_copy(update={"mapping": (), "layers": layers})

    def _of_workload(self, workload: WorkloadSpec) -> dict[str, Any]:
        """What one workload changes: what it says of its own, and its tensors in the place of roles."""
        roles = roles_of(workload.einsum, workload.roles)
        mapping = self.mapping if workload.mapping is None else workload.mapping
        return {
            "workload": workload.model_copy(update=dict.fromkeys(("mapping", "sparse", "constraints"))),
            "mapping": in_tensor_names(mapping, roles),
            "sparse": in_tensor_names({**self.sparse, **(workload.sparse or {})}, roles),
            "constraints": in_tensor_names({**self.constraints, **(workload.constraints or {})}, roles),
        }


def _with_layers(fields: dict[str, Any]) -> dict[str, Any]:
    if isinstance(fields.get("mapping"), dict):  # a line of it may be empty
        fields = {**fields, "mapping": notation.parse_mapping(fields["mapping"])}
    layers = fields.get("layers")
    shared: Any = fields.get("workload") or {}
    if not isinstance(layers, list | tuple) or not layers or not isinstance(shared, dict):
        return fields
    filled = [with_shared(layer, cast("dict[str, Any]", shared)) for layer in cast("list[Any]", layers)]
    return {**fields, "workload": filled[0], "layers": filled}


def with_shared(layer: Any, shared: dict[str, Any]) -> Any:
    """A layer with the fields that it lacks taken from `shared`; of shape, density and word_bits the entries that it lacks."""
    if not isinstance(layer, dict):
        return layer
    result = {**shared, **cast("dict[str, Any]", layer)}
    for name, value in shared.items():
        if isinstance(value, dict) and isinstance(result[name], dict):
            result[name] = {**value, **result[name]}
    return result
