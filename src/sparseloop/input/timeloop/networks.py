"""Timeloop's networks (inferred from a level's attributes, or explicit components) become `NetworkSpec`."""

from __future__ import annotations

from sparseloop.input.timeloop.architecture import TimeloopChain, TimeloopComponent
from sparseloop.input.timeloop.sections import Plain, Section
from sparseloop.input.timeloop.tables import PriceTables

IGNORED = {
    "network_type": "1:1 and 1:N do not change the model",
    "num_ports": "not read by the model",
    "action_name": "names the table entry of SimpleMulticast only",
    "multicast_factor_argument": "names the table argument of SimpleMulticast only",
    "per_datatype_ERT": "concerns SimpleMulticast only",
    "technology": "read by the energy estimator only",
    "meshX": "placement only",
    "meshY": "placement only",
}


def network(level: TimeloopComponent, child: TimeloopComponent, chain: TimeloopChain, tables: PriceTables) -> dict[str, Plain]:
    """The network from `level` to its child: explicit if `network_read` names one, else inferred."""
    names = [level.section.text(key) for key in ("network_read", "network_update")]
    _check_ends(level, child, chain)
    found = [chain.networks.get(n) for n in names if n]
    for name in names:
        if name and name not in chain.networks:
            level.section.log.error(level.section.path, f"'{level.name}' names a network '{name}' that does not exist")
    components = [c for c in found if c is not None]
    if components:
        _note_inferred(level)
        return _explicit(level, components)
    result = {"name": f"{level.name} <==> {child.name}"} | _wires(level.section, level.section)
    result |= {
        "fill_latency": level.section.number("network_fill_latency") or 0,
        "drain_latency": level.section.number("network_drain_latency") or 0,
    }
    if tables.wire_pj_per_bit_mm is not None:
        result["wire_pj_per_bit_mm"] = tables.wire_pj_per_bit_mm
    if level.section.text("network_type") == "M:N":
        message = "distributed multicast (network-type M:N) is not modelled: taken as 1:N"
        level.section.log.note(level.section.key_path("network_type"), message)
    return result


def _note_inferred(level: TimeloopComponent) -> None:
    """Attributes of an inferred network have no effect where the network is explicit."""
    for key in (*WIRE_KEYS, "network_word_bits", "network_fill_latency", "network_drain_latency"):
        if level.section.take(key):
            message = f"'{key}' of level '{level.name}' has no effect: its network is a component of its own"
            level.section.log.note(level.section.key_path(key), message)


def _check_ends(level: TimeloopComponent, child: TimeloopComponent, chain: TimeloopChain) -> None:
    """Both ends of an explicit network must name it."""
    down, up = ("network_operand", "network_result") if child.kind == "compute" else ("network_fill", "network_drain")
    for outer, inner in (("network_read", down), ("network_update", up)):
        above, below = level.section.text(outer), child.section.text(inner)
        if above != below and (above in chain.networks or below in chain.networks):
            message = f"'{level.name}' has {outer} = {above}, but '{child.name}' has {inner} = {below}"
            level.section.log.error(level.section.path, message)


WIRE_KEYS = ("wire_energy", "router_energy", "energy_per_hop", "energy_per_ingress", "tile_width")


def _wires(section: Section, numbers: Section) -> dict[str, Plain]:
    """Energies of the wires; Timeloop's tile width is in um."""
    tile = section.number("tile_width")
    result: dict[str, Plain] = {
        "word_bits": numbers.number("network_word_bits"),
        "energy_per_hop": section.number("energy_per_hop"),
        "wire_pj_per_bit_mm": section.number("wire_energy"),
        "tile_width": None if tile is None else tile / 1000,
        "router": section.number("router_energy") or 0,
        "ingress": section.number("energy_per_ingress") or 0,
        "forwarding": True,
    }
    return result


def _explicit(level: TimeloopComponent, components: list[TimeloopComponent]) -> dict[str, Plain]:
    """One record for the network down and the one up; what differs between them goes to a note."""
    down, up = components[0], components[-1]
    section = down.section
    result: dict[str, Plain] = {"name": down.name} | _wires(section, section)
    if result["word_bits"] is None:
        result["word_bits"] = section.number("word_bits", "word_width", "datawidth")
    for item in dict.fromkeys(c.name for c in components):
        component = next(c for c in components if c.name == item)
        if "SimpleMulticast" in component.class_name:
            message = "energy per multicast factor (SimpleMulticast) is not modelled: this network costs nothing"
            component.section.log.note(component.section.path, message)
    result |= {
        "fill_latency": section.number("fill_latency") or 0,
        "drain_latency": up.section.number("drain_latency") or 0,
        "adder": up.section.number("adder_energy") or 0,
    }
    if up is not down:
        result["name"] = f"{down.name} / {up.name}"
        _note_second(level, down, up)
    return result


def _note_second(level: TimeloopComponent, down: TimeloopComponent, up: TimeloopComponent) -> None:
    """Says that updates take the wires of the network down."""
    keys = (*WIRE_KEYS, "network_word_bits", "word_bits", "word_width", "datawidth", "fill_latency")
    for key in keys:
        up.section.take(key)
    message = (
        f"below '{level.name}' results travel on '{up.name}' ({up.class_name}); it is modelled as the wires of"
        f" '{down.name}' ({down.class_name}) with its own adder energy and drain latency"
    )
    up.section.log.note(up.section.path, message)


def finish(chain: TimeloopChain) -> None:
    """Notes what no level asked for."""
    for component in chain.networks.values():
        component.section.unused(IGNORED, f"network {component.name}", 0.8)
