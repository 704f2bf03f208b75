"""Components of the chain become `LevelSpec` and `FanoutSpec` records."""

from __future__ import annotations

from dataclasses import dataclass

from sparseloop.input.notation import DEFAULT_WORD_BITS
from sparseloop.input.timeloop import networks
from sparseloop.input.timeloop.architecture import TimeloopChain, TimeloopComponent
from sparseloop.input.timeloop.sections import Plain, Section
from sparseloop.input.timeloop.tables import PriceTables

_IGNORED = {
    "num_ports": "passed to the energy table, which ignores it",
    "n_ports": "passed to the energy table, which ignores it",
    "nports": "read by the energy estimator only",
    "n_rdwr_ports": "read by the energy estimator only",
    "num_banks": "passed to the energy table, which ignores it",
    "n_banks": "passed to the energy table, which ignores it",
    "metadata_n_banks": "read by the energy estimator only",
    "metadata_counter_width": "read by the energy estimator only",
    "adder_width": "read by the energy estimator only",
    "multiplier_width": "read by the energy estimator only",
    "update_fifo_depth": "read by the energy estimator only",
    "control_queue_depth": "read by the energy estimator only",
    "global_cycle_seconds": "read by the energy estimator only",
    "technology": "technology node: read by the energy estimator only",
    "required_actions": "a request to the energy estimator",
    "concordant_compressed_tile_traversal": "parsed but not used by Timeloop",
    "power_gated_at": "leakage is not power gated",
    "network_type": "1:1 and 1:N do not change the model; M:N is noted",
    "version": "format",
    "name": "read above",
    "class": "read above",
    "subclass": "read by the energy estimator only",
    "latency": "not read by Timeloop",
}
_COMPUTE_IGNORED = _IGNORED | {
    "width": "not an alias of the word width for compute units",
    "decompression_supported": "storage only",
    "compression_supported": "storage only",
    "cluster_size": "storage only",
}


def fanout_name(level: str) -> str:
    """Name of the fanout below a level."""
    return f"{level}_fanout"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The architecture as plain data, and facts about it that the other readers need."""

    architecture: dict[str, Plain]
    storage: tuple[str, ...]
    """Names of the storage levels, outermost first."""
    compute: str
    fanouts: frozenset[str]
    """Storage levels that have several children."""
    metadata: dict[str, tuple[int, int]]
    """Storage level to (width of a metadata access, default width of a metadata word) in bits."""


def read_machine(chain: TimeloopChain, tables: PriceTables) -> Machine:
    """All levels with their fanouts; energy tables are kept apart, areas of tables win over `cluster-area`."""
    levels, fanouts = list[Plain](), set[str]()
    outer_x, outer_y, before = 1, 1, ""
    metadata = dict[str, tuple[int, int]]()
    for i, component in enumerate(chain.levels):
        x, y = _ratio(component, outer_x, outer_y)
        if x * y > 1:
            levels.append({"fanout": {"x": x, "y": y}, "name": fanout_name(before or "machine")})
            fanouts |= {before} if before else set()
        if component.kind == "storage":
            record = _storage(component, tables)
            record["network"] = networks.network(component, chain.levels[i + 1], chain, tables)
            data = component.section
            metadata[component.name] = (data.integer("metadata_storage_width", "metadata_width") or 0, _metadata_word(data))
            data.unused(_IGNORED, f"level {component.name}", 0.8)
        else:
            record = _compute(component, tables)
        levels.append(record)
        outer_x, outer_y, before = component.mesh_x, component.mesh_y, component.name
    networks.finish(chain)
    return Machine(
        architecture={"levels": levels} | _surroundings(chain),
        storage=tuple(c.name for c in chain.storage),
        compute=chain.compute.name,
        fanouts=frozenset(fanouts),
        metadata=metadata,
    )


def _surroundings(chain: TimeloopChain) -> dict[str, Plain]:
    """Technology node and clock, where the file states them."""
    result: dict[str, Plain] = {}
    text = (chain.node or "").strip().lower()
    if text.removesuffix("nm").strip().isdigit():
        result["node"] = f"{text.removesuffix('nm').strip()}nm"
    if chain.cycle_seconds:
        result["clock"] = float(f"{1 / chain.cycle_seconds:.12g}")
    return result


def _ratio(component: TimeloopComponent, outer_x: int, outer_y: int) -> tuple[int, int]:
    """Children per parent along x and y; both must divide."""
    if component.mesh_x % outer_x or component.mesh_y % outer_y:
        message = (
            f"the mesh of '{component.name}' ({component.mesh_x} x {component.mesh_y}) is no multiple of the mesh"
            f" around it ({outer_x} x {outer_y})"
        )
        component.section.log.error(component.section.path, message)
    return max(1, component.mesh_x // outer_x), max(1, component.mesh_y // outer_y)


def _compute(component: TimeloopComponent, tables: PriceTables) -> dict[str, Plain]:
    section = component.section
    energy, area = section.number("energy"), section.number("area")
    record: dict[str, Plain] = {
        "name": component.name,
        "class": component.class_name or "mac",
        "kind": "compute",
        "word_bits": section.count("word_bits", "word_width", "datawidth") or DEFAULT_WORD_BITS,
    }
    if energy is not None and component.name not in tables.energy:
        record["energy"] = {"compute": energy}
    elif energy is not None:
        section.log.note(section.key_path("energy"), f"'energy' of '{component.name}' gives way to the ERT")
    if area is not None and component.name not in tables.area:
        record["area"] = area
    section.take("network_operand", "network_result")
    _note_gating(section)
    section.unused(_COMPUTE_IGNORED, f"level {component.name}", 0.8)
    return record


def _dram(component: TimeloopComponent) -> bool:
    """True if the technology is DRAM: stated, or by the class."""
    return component.section.text("technology") == "DRAM" or "DRAM" in component.class_name


def _native_class(component: TimeloopComponent) -> str:
    """Our class: dram, regfile, sram, or buffer."""
    if _dram(component):
        return "dram"
    name, subclass = component.class_name, component.subclass.lower()
    if "regfile" in name or "smartbuffer_RF" in name or subclass.startswith("reg") or "register" in subclass:
        return "regfile"
    return "sram" if "SRAM" in name else "buffer"


def _storage(component: TimeloopComponent, tables: PriceTables) -> dict[str, Plain]:
    """One storage level."""
    section, dram = component.section, _dram(component)
    word = section.count("word_bits", "word_width", "datawidth") or DEFAULT_WORD_BITS
    block, cluster = _block_and_cluster(section, word)
    capacity = _capacity(section, word, block)
    reduction = section.flag("reduction_supported")
    record: dict[str, Plain] = {
        "name": component.name,
        "class": _native_class(component),
        "kind": "storage",
        "type": section.text("type"),
        "word_bits": word,
        "capacity": capacity,
        "block_size": block,
        "cluster_size": cluster,
        "multiple_buffering": section.number("multiple_buffering") or 1,
        "min_utilization": section.number("min_utilization") or 0,
        "bandwidth": _bandwidth(section),
        "metadata": _metadata(section, unlimited=capacity is None),
        "decompression": section.flag("decompression_supported") or False,
        "compression": section.flag("compression_supported") or False,
        "reduction": not dram if reduction is None else reduction,
    }
    record |= _overbooking(section) | _prices(component, tables, cluster)
    if section.flag("tile_partition_supported"):
        section.log.error(section.key_path("tile_partition_supported"), "partitioning tiles at run time is not modelled")
    _note_gating(section)
    if section.has("per_dataspace_bandwidth_consumption_scale") and section.take("per_dataspace_bandwidth_consumption_scale"):
        key = "per_dataspace_bandwidth_consumption_scale"
        section.log.note(section.key_path(key), "bandwidth weights per data space are not modelled")
    _check_cluster(component, cluster, dram)
    return record


def _note_gating(section: Section) -> None:
    if section.flag("has_power_gating"):
        section.log.note(section.key_path("has_power_gating"), "power gating is not modelled: all instances leak")


def _check_cluster(component: TimeloopComponent, cluster: int, dram: bool) -> None:
    log, path = component.section.log, component.section.key_path("cluster_size")
    if dram and cluster != 1:
        log.error(path, f"DRAM '{component.name}' must have cluster-size 1")
    if component.instances % cluster:
        log.error(path, f"'{component.name}' has {component.instances} instances, no multiple of its cluster-size {cluster}")


def _block_and_cluster(section: Section, word: int) -> tuple[int, int]:
    """Words per access and instances per array, from block-size, cluster-size and width."""
    block, cluster = section.count("block_size", "n_words"), section.count("cluster_size")
    width = section.count("width", "memory_width", "data_storage_width")
    if width is None:
        return block or 1, cluster or 1
    given = (block or 1) * (cluster or 1) * word
    if width % given or (block and cluster and width != given):
        need = "equal" if block and cluster else "be a multiple of"
        message = f"width {width} must {need} word-bits x block-size x cluster-size = {given}"
        section.log.error(section.key_path("width"), message)
        return block or 1, cluster or 1
    if block is None:
        return width // given, cluster or 1
    return block, cluster if cluster is not None else width // given


def _capacity(section: Section, word: int, block: int) -> int | None:
    """Words of one instance from entries, depth or sizeKB; None: unlimited."""
    entries = section.integer("entries")
    depth = section.integer("depth", "memory_depth", "data_storage_depth")
    size = section.integer("sizeKB")
    words = [
        n
        for n in (entries, None if depth is None else depth * block, None if size is None else size * 8192 // word)
        if n is not None
    ]
    if len(set(words)) > 1:
        section.log.error(section.path, f"entries, depth and sizeKB disagree: {', '.join(map(str, words))} words")
    return words[0] if words else None


def _bandwidth(section: Section) -> dict[str, Plain]:
    """Words per cycle and instance; the deprecated `bandwidth` is split between reads and writes."""
    half = section.number("bandwidth")
    read, write = section.number("read_bandwidth"), section.number("write_bandwidth")
    if half is not None:
        read, write = read if read is not None else half / 2, write if write is not None else half / 2
    return {"read": read, "write": write, "shared": section.number("shared_bandwidth")}


def _metadata_word(section: Section) -> int:
    return section.integer("metadata_datawidth", "metadata_word_bits") or 0


def _metadata(section: Section, *, unlimited: bool) -> dict[str, Plain]:
    """Metadata storage; a level with a size but without `metadata_storage_depth` has none."""
    width = section.integer("metadata_storage_width", "metadata_width") or 0
    depth = section.integer("metadata_storage_depth", "metadata_depth")
    word, block = _metadata_word(section), section.count("metadata_block_size") or 1
    if width and word and width % (word * block):
        message = f"metadata_storage_width {width} must be a multiple of metadata_datawidth x block = {word * block}"
        section.log.error(section.key_path("metadata_storage_width"), message)
    capacity = None if unlimited else f"{(depth or 0) * width} bits"
    return {"capacity": capacity, "access_bits": width, "word_bits": word}


def _overbooking(section: Section) -> dict[str, Plain]:
    """`allow_overbooking`: the model's confidence threshold 0 admits every tile, so the expectation has to fit."""
    if not section.flag("allow_overbooking"):
        return {}
    message = "allow_overbooking: tiles have to fit by their expected size; excess is streamed from the level above"
    section.log.note(section.key_path("allow_overbooking"), message)
    return {"capacity_rule": "expected"}


def _prices(component: TimeloopComponent, tables: PriceTables, cluster: int) -> dict[str, Plain]:
    """Prices and area that the level states."""
    section, energy = component.section, dict[str, float]()
    vector, address = section.number("vector_access_energy"), section.number("addr_gen_energy")
    if vector is not None:
        energy |= dict.fromkeys(("read", "fill", "update"), vector)
    if vector is not None and component.name in tables.energy:
        section.log.note(section.key_path("vector_access_energy"), f"the ERT of '{component.name}' is ignored, as Timeloop does")
    if address is not None and address >= 0:
        energy["address_generation"] = address
    area = section.number("cluster_area")
    result: dict[str, Plain] = {"energy": energy} if energy else {}
    if area is not None and area > 0 and component.name not in tables.area:
        result["area"] = area / cluster
    return result
