"""The levels and fanouts of an architecture in order, and the `Arch` made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor
from typing import Literal

from sparseloop.energy.components import KNOWN_CLASSES, Component, Unit, known_class
from sparseloop.energy.estimators import DEFAULT_NODE_NM, Estimate, Query, offer, registry
from sparseloop.energy.pricing import Priced, PriceRequest, price_level
from sparseloop.input.diagnostics import Path, closest
from sparseloop.input.field_types import LARGEST_COUNT
from sparseloop.input.notation import DEFAULT_WORD_BITS
from sparseloop.input.resolve import sizes
from sparseloop.input.resolve.estimator import WantedEstimator, check_attributes, wanted_estimator
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.resolve.prices import actions_at, priced_tables, warn_of_extrapolation, warn_of_strangers
from sparseloop.input.resolve.units import DEFAULT_METADATA_BITS, UnitSite, units
from sparseloop.input.roles import ROLES, roles_of
from sparseloop.input.spec import FanoutSpec, LevelSpec
from sparseloop.input.timeloop.tables import PriceTables
from sparseloop.model.design.arch import Arch, Level, Network, UnitRate
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import Sparse

_STORAGE = ("dram", "sram", "regfile", "buffer")
_COMPUTE = ("mac", "alu", "mult", "compute")
SLOWEST_CLOCK = 1e3
"""In Hz: slower than any machine; who writes `clock: 1` means GHz."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One level with its place in the specification and its place in the machine."""

    spec: LevelSpec
    path: Path
    kind: Literal["storage", "compute"]
    mesh_x: int
    mesh_y: int

    @property
    def name(self) -> str:
        """The user's name."""
        return self.spec.name


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """Levels outermost first and the fanouts between them."""

    stages: tuple[Stage, ...]
    fanouts: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Fanout name to the storage levels directly above fanouts of that name (-1: above the outermost level)."""
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Fanout name to the axes along which it has more than one instance."""
    waves: frozenset[int] = frozenset()
    """Storage levels below which positions are packed in waves."""
    barriers: Mapping[int, FanoutSpec] = field(default_factory=dict[int, FanoutSpec])
    """Storage levels below which lanes wait for each other, or get work dealt out."""

    @property
    def storage(self) -> dict[str, int]:
        """Name to index of the storage levels."""
        return {stage.name: i for i, stage in enumerate(self.stages) if stage.kind == "storage"}

    @property
    def storage_names(self) -> tuple[str, ...]:
        """Names of the storage levels, outermost first."""
        return tuple(stage.name for stage in self.stages if stage.kind == "storage")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all levels and fanouts."""
        return (*(stage.name for stage in self.stages), *self.fanouts)


# --- the hierarchy ----------------------------------------------------------------------------------------------


def resolve_hierarchy(log: ResolveLog) -> Hierarchy:
    """The levels with their numbers of instances. Mistakes: missing levels, equal names, levels of the wrong kind."""
    x, y = 1, 1
    stages, axes = list[Stage](), dict[str, tuple[str, ...]]()
    owners, packing, barriers = dict[str, tuple[int, ...]](), dict[int, str](), dict[int, FanoutSpec]()
    entries = log.spec.architecture.levels
    path: Path = ("architecture", "levels")
    last = max((i for i, entry in enumerate(entries) if isinstance(entry, LevelSpec)), default=-1)
    for i, entry in enumerate(entries):
        if not entry.name.strip() or not entry.name.isprintable():
            log.error((*path, i, "name"), f"{entry.name!r} is no name: it is empty or cannot be printed")
        if isinstance(entry, FanoutSpec):
            x, y = x * entry.fanout.get("x", 1), y * entry.fanout.get("y", 1)
            if x * y > LARGEST_COUNT:
                log.error((*path, i), "more than 2**53 instances in all")
                x, y = 1, 1
            if i > last:
                log.error((*path, i), "a fanout must be followed by the level it multiplies")
            owners[entry.name] = (*owners.get(entry.name, ()), len(stages) - 1)
            packing[len(stages) - 1] = entry.packing or packing.get(len(stages) - 1) or ("waves" if log.native else "balanced")
            if entry.sync != "end" or entry.balance != "none":
                if barriers:
                    log.error(
                        (*path, i), "lanes wait, or get work dealt out, at one fanout only", "leave out sync and balance here"
                    )
                barriers[len(stages) - 1] = entry
            axes[entry.name] = tuple(a for a in ("x", "y") if entry.fanout.get(a, 1) > 1)  # pyright: ignore
            continue
        kind = _kind(entry, (*path, i), log, innermost=i == last)
        if entry.name in (stage.name for stage in stages):
            log.error((*path, i, "name"), f"level '{entry.name}' is defined twice", "names must differ")
        stages.append(Stage(spec=entry, path=(*path, i), kind=kind, mesh_x=x, mesh_y=y))
    for name in set(owners) & {stage.name for stage in stages}:
        log.error(path, f"'{name}' is the name of a level and of a fanout", "names must differ", key=True)
    if len(stages) < 2:
        log.error(path, "an architecture needs a storage level and, last, a compute level", "{name: MAC, class: mac}", key=True)
    waves = frozenset(level for level, kind in packing.items() if kind == "waves")
    return Hierarchy(stages=tuple(stages), fanouts=owners, axes=axes, waves=waves, barriers=barriers)


def _kind(spec: LevelSpec, path: Path, log: ResolveLog, *, innermost: bool) -> Literal["storage", "compute"]:
    """Only the innermost level computes; a class or kind that says otherwise is a mistake."""
    expected: Literal["storage", "compute"] = "compute" if innermost else "storage"
    _check_class(spec, expected, path, log)
    known = "storage" if spec.class_ in _STORAGE else "compute" if spec.class_ in _COMPUTE else expected
    if (spec.kind or known) != expected:
        field = "kind" if spec.kind else "class"
        which = "the last level must compute" if innermost else "only the last level computes"
        hint = "add e.g. {name: MAC, class: mac}" if innermost else "move it to the end"
        log.error((*path, field), f"{which}, but '{spec.name}' is of {field} '{spec.kind or spec.class_}'", hint)
    return expected


def _check_class(spec: LevelSpec, kind: Literal["storage", "compute"], path: Path, log: ResolveLog) -> None:
    """A class that is nearly a known one is a mistake, unless estimators are installed that may know it."""
    words = KNOWN_CLASSES["storage"] + KNOWN_CLASSES["compute"]
    named = spec.estimator or log.spec.energy.estimator
    if any(known_class(k, spec.class_) for k in (kind, "storage", "compute")) or named or registry().names != ("builtin",):
        return
    if meant := closest(spec.class_, words, 0.65):
        log.error((*path, "class"), f"unknown class '{spec.class_}'", f"did you mean '{meant}'?")


# --- levels -------------------------------------------------------------------------------------------------


def resolve_arch(hierarchy: Hierarchy, einsum: Einsum, sparse: Sparse, log: ResolveLog) -> Arch:
    """All levels with sizes in words, bandwidths in words per cycle, prices and networks."""
    tables = priced_tables(log)
    warn_of_strangers(tables, [stage.name for stage in hierarchy.stages], log)
    if log.native:
        for note in registry().notes:
            log.warn(note)
    places = [_place(hierarchy, i, einsum, log) for i in range(len(hierarchy.stages))]
    levels = list[Level]()
    for i, stage in enumerate(hierarchy.stages):
        needed = units(i, places, einsum, sparse) if log.native else ()
        component = _component(stage, places[i], needed, log)
        priced = _priced(stage.spec, component, actions_at(i, sparse, einsum, stage.kind), tables, log)
        child = hierarchy.stages[i + 1].name if i + 1 < len(hierarchy.stages) else None
        level = _level(stage, places[i].word_bits, child, priced, _wire(stage, tables, log), log)
        rates = _rates(stage, log)
        if (barrier := hierarchy.barriers.get(i)) is not None:
            level = replace(level, sync=barrier.sync, balance=barrier.balance)
        levels.append(
            replace(level, rates=rates, waves=i in hierarchy.waves, serial=_serial(stage, einsum, log, outermost=i == 0))
        )
    if hierarchy.barriers and any(saf.packs for saf in sparse.safs):
        message = "a spatial skip packs positions: lanes that wait (sync, balance) beside it are not modelled"
        log.error(("architecture", "levels"), message, "take packing: waves, where a step ends with its last wave", key=True)
    _warn_of_free_networks(levels, log)
    if log.native:
        warn_of_extrapolation([(stage.name, *_place_in_technology(stage.spec, log)) for stage in hierarchy.stages], levels, log)
    clock = log.spec.architecture.clock
    if log.native and clock < SLOWEST_CLOCK:
        log.warn(f"the clock is {clock:g} Hz (a number without a unit is in Hz): write e.g. clock: 1 GHz")
    return Arch(levels=tuple(levels), clock_hz=clock)


def _place_in_technology(spec: LevelSpec, log: ResolveLog) -> tuple[float, float | None]:
    """Technology node (nm) and supply (V) of a level."""
    arch = log.spec.architecture
    return spec.node or arch.node or DEFAULT_NODE_NM, spec.vdd or arch.vdd


def _place(hierarchy: Hierarchy, index: int, einsum: Einsum, log: ResolveLog) -> UnitSite:
    stage = hierarchy.stages[index]
    inner = hierarchy.stages[index + 1] if index + 1 < len(hierarchy.stages) else stage
    children = (inner.mesh_x * inner.mesh_y) // (stage.mesh_x * stage.mesh_y)
    clock = log.spec.architecture.clock
    return UnitSite(spec=stage.spec, word_bits=_word_bits(stage, einsum), children=children, clock_hz=clock)


def _warn_of_free_networks(levels: Sequence[Level], log: ResolveLog) -> None:
    """Warns of networks without a price."""
    free = [n.name for level in levels if (n := level.network) is not None and _is_free(n) and n.source != "given"]
    if free and log.spec.reading == "native":
        log.warn(f"networks without a price (0 pJ, see network: energy_per_hop, estimator): {', '.join(free)}")


def _is_free(network: Network) -> bool:
    return not (network.energy_per_hop_pj or network.wire_pj_per_bit_mm or network.router_pj or network.ingress_pj)


def _word_bits(stage: Stage, einsum: Einsum) -> float:
    """Bits of a word: as the level says, else those of the widest tensor (at the compute level: of the widest operand)."""
    if stage.spec.word_bits:
        return stage.spec.word_bits
    tensors = [t for t in einsum.tensors if stage.kind == "storage" or not t.output]
    return max((t.word_bits or DEFAULT_WORD_BITS for t in tensors), default=DEFAULT_WORD_BITS)


def _level(stage: Stage, word_bits: float, child: str | None, priced: Priced, wire: Estimate, log: ResolveLog) -> Level:
    spec, clock = stage.spec, log.spec.architecture.clock
    capacity = sizes.size_in_words(spec.capacity, word_bits)
    bits = sizes.size_in_bits(spec.metadata.capacity, word_bits)
    rates = spec.bandwidth
    return Level(
        name=spec.name,
        kind=stage.kind,
        class_name=spec.class_,
        instances=stage.mesh_x * stage.mesh_y,
        mesh_x=stage.mesh_x,
        mesh_y=stage.mesh_y,
        word_bits=word_bits,
        capacity_words=None if capacity is None else floor(capacity / spec.multiple_buffering + 1e-9),
        capacity_rule=spec.capacity_rule,
        min_utilization=spec.min_utilization,
        block_size=spec.block_size,
        cluster_size=spec.cluster_size,
        read_bandwidth=sizes.words_per_cycle(rates.read, word_bits, clock),
        write_bandwidth=sizes.words_per_cycle(rates.write, word_bits, clock),
        shared_bandwidth=sizes.words_per_cycle(rates.shared, word_bits, clock),
        metadata_capacity_bits=None if bits is None else bits / spec.multiple_buffering,
        metadata_access_bits=_access_bits(spec, word_bits),
        metadata_word_bits=DEFAULT_METADATA_BITS if spec.metadata.word_bits is None else spec.metadata.word_bits,
        decompression=spec.decompression,
        compression=spec.compression,
        reduction=spec.class_.lower() != "dram" if spec.reduction is None else spec.reduction,
        area_um2=priced.area_um2,
        area_source=priced.area.source,
        parts=priced.parts,
        prices=priced.prices,
        network=None if child is None else _network(spec, child, word_bits, wire, log.native),
    )


def _serial(stage: Stage, einsum: Einsum, log: ResolveLog, *, outermost: bool) -> frozenset[str]:
    """The tensors whose tile is loaded before work on it. Mistakes: unknown tensors, levels into which nothing is loaded."""
    path: Path = (*stage.path, "overlap")
    written = stage.spec.overlap
    if written and (outermost or stage.kind == "compute"):
        message = "nothing is loaded into the outermost level" if outermost else "the compute level holds no tiles"
        log.error(path, f"{message}: there is nothing to overlap", "write it at the level that is loaded", key=True)
    roles = roles_of(log.spec.workload.einsum, log.spec.workload.roles)
    for name in written:
        if name not in einsum.index and name not in ROLES:
            log.unknown((*path, name), "tensor", name, [*einsum.index, *ROLES], key=True)
    return frozenset(roles.get(name, name) for name, how in written.items() if how == "none") & einsum.index.keys()


def _rates(stage: Stage, log: ResolveLog) -> tuple[UnitRate, ...]:
    """The units that have a rate. Mistakes: units of the compute level, a radix of what does not merge."""
    path: Path = (*stage.path, "units")
    if stage.spec.units and stage.kind == "compute":
        log.error(
            path, "the compute level has no such units", "write them at the storage level whose words they process", key=True
        )
    for kind, unit in stage.spec.units.items():
        if unit.radix is not None and kind != "merge":
            log.error((*path, kind, "radix"), "only mergers have a radix", key=True)
    units = stage.spec.units.items()
    return tuple(UnitRate(kind=kind, count=unit.count, rate=unit.rate, radix=unit.radix) for kind, unit in units)


def _access_bits(spec: LevelSpec, word_bits: float) -> float:
    return word_bits if spec.metadata.access_bits is None else spec.metadata.access_bits


def _network(level: LevelSpec, child: str, word_bits: float, wire: Estimate, native: bool) -> Network:
    spec = level.network
    return Network(
        name=spec.name or f"{level.name} <==> {child}",
        word_bits=spec.word_bits or word_bits,
        energy_per_hop_pj=spec.energy_per_hop,
        wire_pj_per_bit_mm=wire.value,
        tile_width_mm=spec.tile_width,
        router_pj=spec.router,
        ingress_pj=spec.ingress,
        adder_pj=spec.adder,
        fill_latency=spec.fill_latency,
        drain_latency=spec.drain_latency,
        forwarding=not native if spec.forwarding is None else spec.forwarding,
        systolic=spec.fill == "systolic",
        pass_latency=0.0 if spec.fill == "systolic" else spec.fill,
        source=wire.source,
        confidence=wire.confidence,
    )


# --- prices -------------------------------------------------------------------------------------------------


def _component(stage: Stage, place: UnitSite, needed: tuple[Unit, ...], log: ResolveLog) -> Component:
    """The hardware of a level as far as its price depends on it."""
    spec, arch = stage.spec, log.spec.architecture
    whom = wanted_estimator((*stage.path, "estimator"), spec.estimator, log)
    node, vdd = _place_in_technology(spec, log)
    check_attributes(spec, stage.path, whom, log)
    return Component(
        name=spec.name,
        kind=stage.kind,
        class_name=spec.class_,
        type=spec.type,
        node_nm=node,
        vdd=vdd,
        clock_hz=arch.clock,
        word_bits=place.word_bits,
        block_size=spec.block_size,
        cluster_size=spec.cluster_size,
        banks=spec.banks,
        capacity_words=sizes.size_in_words(spec.capacity, place.word_bits),
        metadata_access_bits=_access_bits(spec, place.word_bits),
        metadata_capacity_bits=sizes.size_in_bits(spec.metadata.capacity, place.word_bits),
        metadata_word_bits=place.metadata_bits,
        units=needed,
        estimator=whom.name,
        backend=whom.backend,
        attributes=spec.attributes,
    )


def _priced(spec: LevelSpec, component: Component, occurring: frozenset[str], tables: PriceTables, log: ResolveLog) -> Priced:
    """Prices and area of one level; warnings are noted."""
    result = price_level(
        PriceRequest(
            component=component,
            own=spec.energy,
            table=tables.energy.get(spec.name),
            own_area=spec.area,
            area_table=tables.area.get(spec.name),
            used=occurring,
            reading=log.spec.reading,
        )
    )
    for text in result.warnings:
        log.warn(text)
    return result


def _wire(stage: Stage, tables: PriceTables, log: ResolveLog) -> Estimate:
    """pJ per bit and mm: as written, else the answer of the estimator that the network names, else what the energy table says of
    the component `wire`, else the default.

    Whether the wires form a mesh only the user knows: the default is less sure than what is asked for. Timeloop's files have the
    prices that they state.
    """
    spec = stage.spec
    network, wanted = spec.network, spec.network.estimator
    written = (network.energy_per_hop, network.wire_pj_per_bit_mm, network.router or None, network.ingress or None)
    given = any(price is not None for price in written)
    whom = wanted_estimator((*stage.path, "network", "estimator"), wanted, log) if wanted else WantedEstimator()
    if network.wire_pj_per_bit_mm is not None or network.energy_per_hop is not None or (given and not wanted) or not log.native:
        source, confidence = ("given", 1.0) if given else ("default", 0.0)
        return Estimate(value=network.wire_pj_per_bit_mm or 0.0, source=source, confidence=confidence)
    if not wanted and tables.wire_pj_per_bit_mm is not None:
        return Estimate(value=tables.wire_pj_per_bit_mm, source="energy table: wire")
    node, vdd = _place_in_technology(spec, log)
    query = Query(class_name="wire", kind="network", attributes={"bits": 1.0, "length_mm": 1.0}, node_nm=node, vdd=vdd)
    best = offer(query, wanted=whom.name, backend=whom.backend)
    unanswered = [f"estimator '{whom.name}' has no answer for wires"] if whom.name and whom.name not in best.asked else []
    for note in (*best.notes, *unanswered):
        log.warn(f"network of {spec.name}: {note}")
    found = best.answer.energy_pj.get("transfer", Estimate(value=0.0, source="no estimate", confidence=0.0))
    return found if wanted else replace(found, source=f"default, a mesh: {found.source}", confidence=found.confidence / 2)
