"""The prices of a design as energy and area tables: given back as the table of the same design they price it alike."""

from __future__ import annotations

from collections.abc import Mapping

from sparseloop.input.accelergy.flatten import TOP
from sparseloop.input.accelergy.records import ArtRow, ErtRow, ReferenceTables
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.timeloop.tables import base_name
from sparseloop.model.design.arch import Arch, Level, Network

NAMES: Mapping[str, str] = {
    "decompress": "decompression_count",
    "compress": "compression_count",
    "compute": "mac_random",
    "gated_compute": "mac_gated",
    "skipped_compute": "mac_skipped",
}
"""Our action to the name that other tools know; all others keep theirs."""

_OWN = ("intersect", "address_generation", "reduction")
"""Actions that Timeloop does not know."""


def reference_tables_of_arch(arch: Arch) -> ReferenceTables:
    """One row for the price of every action of every level, and the areas.

    `write` is added for readers that know neither fill nor update. Prices of networks cannot be told in such a table,
    except one price per bit and mm for all of them (component `wire`).
    """
    rows, areas = list[ErtRow](), list[ArtRow]()
    for level in arch.levels:
        name = f"{TOP}.{level.name}[1..{level.instances}]"
        if base_name(name) != level.name:
            message = f"level '{level.name}' cannot stand in an energy table: dots and brackets separate names there"
            raise SpecError([Diagnostic(message=message)])
        rows += _rows(level, name)
        areas.append(ArtRow(component=name, area_um2=level.area_um2, source=level.area_source))
    wires, notes = _wires([level.network for level in arch.levels if level.network is not None])
    return ReferenceTables(rows=(*rows, *wires), areas=tuple(areas), notes=notes)


def _rows(level: Level, name: str) -> list[ErtRow]:
    result = list[ErtRow]()
    for action, price in level.prices.items():
        if action in _OWN and not price.energy_pj and price.source.startswith("Timeloop default"):
            continue
        row = ErtRow(
            component=name,
            action=NAMES.get(action, action),
            energy_pj=price.energy_pj,
            source=price.source,
            confidence=price.confidence,
        )
        result.append(row)
        for base in ("metadata_fill", "fill"):
            if action.endswith(base) and not (base == "fill" and "metadata" in action):
                as_write = action.removesuffix("fill") + "write"
                result.append(ErtRow(component=name, action=as_write, energy_pj=price.energy_pj, source=price.source))
    return result


def _wires(networks: list[Network]) -> tuple[list[ErtRow], tuple[str, ...]]:
    """The component `wire`, if all networks have the same price per bit and mm and nothing else."""
    costly = [n for n in networks if n.energy_per_hop_pj or n.wire_pj_per_bit_mm or n.router_pj or n.ingress_pj or n.adder_pj]
    plain = all(not (n.energy_per_hop_pj or n.router_pj or n.ingress_pj or n.adder_pj) for n in networks)
    prices = {n.wire_pj_per_bit_mm for n in networks}
    if not costly:
        return [], ()
    if plain and len(prices) == 1:
        return [ErtRow(component=f"{TOP}.wire", action="transfer_random", energy_pj=prices.pop(), source=costly[0].source)], ()
    names = ", ".join(network.name for network in costly)
    return [], (f"prices of networks stay in the architecture, an energy table cannot hold them: {names}",)
