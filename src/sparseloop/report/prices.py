"""The price of every action of every component of a machine, with its source; areas and leakage, part by part."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparseloop.evaluation import humanize as wording
from sparseloop.input import terminal
from sparseloop.input.accelergy import ArtRow, ErtRow, ReferenceTables
from sparseloop.model.design.arch import Arch, Level, Network, Part

PRICE_SCHEMA = "sparseloop.energy/1"
PRICE_COLUMNS = ("component", "quantity", "name", "value", "unit", "source", "confidence")
"""`quantity`: energy, area or leakage; `name`: the action, or the part of the component."""

PER = {
    "leak": "pJ/cycle",
    "decompress": "pJ/word",
    "compress": "pJ/word",
    "reduction": "pJ/word",
    "address_generation": "pJ/word",
    "intersect": "pJ/try",
    "decode": "pJ/metadata access",
    "compute": "pJ/compute",
}


def to_dict(arch: Arch, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """All prices as plain data: one instance of every level, and the networks."""
    return {
        "schema": PRICE_SCHEMA,
        "warnings": list(warnings),
        "components": [_component(level) for level in arch.levels],
        "networks": [_network(level.network) for level in arch.storage if level.network is not None],
    }


def _component(level: Level) -> dict[str, Any]:
    return {
        "name": level.name,
        "class": level.class_name,
        "instances": level.instances,
        "area_um2": float(level.area_um2),
        "leak_pj": float(level.prices["leak"].energy_pj),
        "parts": [_part(part) for part in level.parts],
        "actions": [
            {
                "action": action,
                "energy_pj": float(p.energy_pj),
                "unit": unit(action),
                "source": p.source,
                "confidence": p.confidence,
            }
            for action, p in level.prices.items()
        ],
    }


def _part(part: Part) -> dict[str, Any]:
    names = ("name", "count", "area_um2", "area_source", "area_confidence", "leak_pj", "leak_source", "leak_confidence")
    return {name: getattr(part, name) for name in names}


def _network(network: Network) -> dict[str, Any]:
    names = ("name", "word_bits", "energy_per_hop_pj", "wire_pj_per_bit_mm", "router_pj", "ingress_pj", "adder_pj")
    return {name: getattr(network, name) for name in (*names, "source", "confidence")}


def unit(action: str) -> str:
    """What a price is for: a physical access, a metadata access, a word, a try, a cycle."""
    plain = action.removeprefix("gated_").removeprefix("skipped_")
    return PER.get(plain, "pJ/metadata access" if plain.startswith("metadata_") else "pJ/access")


# --- rows -----------------------------------------------------------------------------------------------------


def to_rows(arch: Arch) -> Iterator[tuple[str, str, str, float, str, str, float]]:
    """The same as tidy rows, by `COLUMNS`; areas and leakage are of all parts of one instance together."""
    for level in arch.levels:
        for action, price in level.prices.items():
            yield level.name, "energy", action, price.energy_pj, unit(action), price.source, price.confidence
        for part in level.parts:
            yield level.name, "area", part.name, part.count * part.area_um2, "um2", part.area_source, part.area_confidence
            leak = part.count * part.leak_pj
            yield level.name, "leakage", part.name, leak, "pJ/cycle", part.leak_source, part.leak_confidence
    for network in (level.network for level in arch.storage):
        if network is not None:
            for name, value, per in _network_prices(network):
                yield network.name, "energy", name, value, per, network.source, network.confidence


def _network_prices(network: Network) -> Iterator[tuple[str, float, str]]:
    if network.energy_per_hop_pj is not None:
        yield "hop", network.energy_per_hop_pj, "pJ/word"
    else:
        yield "wire", network.wire_pj_per_bit_mm, "pJ/bit/mm"
    for name, value in (("router", network.router_pj), ("ingress", network.ingress_pj), ("reduction", network.adder_pj)):
        if value:
            yield name, value, "pJ/word"


# --- components without a loop model --------------------------------------------------------------------------


def tables_to_dict(tables: ReferenceTables, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Energy and area tables as plain data, in the form of `to_dict`: one record per component."""
    return {
        "schema": PRICE_SCHEMA,
        "warnings": list(warnings),
        "components": [
            {
                "name": name,
                "area_um2": areas[0].area_um2 if areas else None,
                "area_source": areas[0].source if areas else None,
                "actions": [
                    {
                        "action": row.action,
                        "arguments": dict(row.arguments),
                        "energy_pj": row.energy_pj,
                        "unit": unit(row.action),
                        "source": row.source,
                        "confidence": row.confidence,
                    }
                    for row in rows
                ],
            }
            for name, rows, areas in _components(tables)
        ],
        "networks": [],
    }


def _components(tables: ReferenceTables) -> Iterator[tuple[str, list[ErtRow], list[ArtRow]]]:
    """Every component with its rows of both tables."""
    for name in dict.fromkeys([*(row.component for row in tables.rows), *(area.component for area in tables.areas)]):
        rows = [row for row in tables.rows if row.component == name]
        yield name, rows, [area for area in tables.areas if area.component == name]


def _action_text(row: ErtRow) -> str:
    """'read(data_delta=1)'."""
    inside = ", ".join(f"{name}={value}" for name, value in row.arguments)
    return f"{row.action}({inside})" if inside else row.action


def tables_to_rows(tables: ReferenceTables) -> Iterator[tuple[str, str, str, float, str, str, float]]:
    """Energy and area tables as tidy rows, by `PRICE_COLUMNS`."""
    for name, rows, areas in _components(tables):
        for row in rows:
            yield name, "energy", _action_text(row), row.energy_pj, unit(row.action), row.source, row.confidence
        for area in areas:
            yield name, "area", "", area.area_um2, "um2", area.source, area.confidence


def tables_text(tables: ReferenceTables, *, width: int = 0, summary: bool = False) -> str:
    """Energy and area tables for people: a block per component, actions of one price and source on one line.

    `summary`: a line per component with its area only.
    """
    if summary:
        found = [(name, wording.area_text(areas[0].area_um2) if areas else "not known") for name, _, areas in _components(tables)]
        return terminal.lines("\n".join(f"{name}: area {area}" for name, area in found))
    width = width or shutil.get_terminal_size((100, 24)).columns
    sources: dict[str, int] = {}
    lines: list[str] = []
    for name, rows, areas in _components(tables):
        together: dict[tuple[float, str, float, str], list[str]] = {}
        for row in rows:
            together.setdefault((row.energy_pj, row.source, row.confidence, unit(row.action)), []).append(_action_text(row))
        priced = [
            (", ".join(actions), f"{wording.exact_text(pj)} {per}", _mark(source, confidence, sources))
            for (pj, source, confidence, per), actions in together.items()
        ]
        priced += [("area", f"{wording.exact_text(a.area_um2)} um2", _mark(a.source, a.confidence, sources)) for a in areas]
        lines += [name, *_lined(priced, width), ""]
    return terminal.lines("\n".join([*lines, *_source_lines(sources, width)]))


def _source_lines(sources: Mapping[str, int], width: int) -> list[str]:
    lines = ["sources (confidence)"]
    for source, mark in sources.items():
        lines += textwrap.wrap(f"[{mark}] {source}", width, initial_indent="  ", subsequent_indent="      ")
    return lines


# --- tables ---------------------------------------------------------------------------------------------------

PriceLine = tuple[str, ...]
PRICE_WIDTH = 30
"""Columns of a price with its unit."""


def price_text(arch: Arch, *, width: int = 0, summary: bool = False) -> str:
    """All prices as a table for people: actions of one price and source on one line, sources below.

    `summary`: a line per level with its area and leakage only.
    """
    width = width or shutil.get_terminal_size((100, 24)).columns
    if summary:
        return terminal.lines("\n".join(line for level in arch.levels for line in _head(level, width)))
    sources: dict[str, int] = {}
    lines: list[str] = []
    for level in arch.levels:
        lines += [*_head(level, width), *_lined(_actions(level, sources), width), *_lined(_parts(level, sources), width), ""]
    networks = [level.network for level in arch.storage if level.network is not None]
    for network in networks:
        rows = [
            (name, f"{wording.exact_text(v)} {per}", _mark(network.source, network.confidence, sources))
            for name, v, per in _network_prices(network)
        ]
        lines += [network.name, *_lined(rows, width), ""]
    return terminal.lines("\n".join([*lines, *_source_lines(sources, width)]))


def _head(level: Level, width: int) -> list[str]:
    copies = f", {level.instances} instances" if level.instances > 1 else ""
    area = wording.area_text(level.area_um2) if level.area_um2 else "none"
    leak = f"{wording.exact_text(level.prices['leak'].energy_pj)} pJ/cycle"
    each = " each" if level.instances > 1 else ""
    line = f"{level.name} ({level.class_name or level.kind}{copies}): area {area}, leakage {leak}{each}"
    return textwrap.wrap(line, width, subsequent_indent="    ")


def _mark(source: str, confidence: float, sources: dict[str, int]) -> str:
    return f"[{sources.setdefault(f'{source} ({confidence:.2g})', len(sources) + 1)}]"


def _actions(level: Level, sources: dict[str, int]) -> list[PriceLine]:
    """One line for all actions with one price from one source."""
    together: dict[tuple[float, str, float, str], list[str]] = {}
    for action, price in level.prices.items():
        together.setdefault((price.energy_pj, price.source, price.confidence, unit(action)), []).append(action)
    return [
        (", ".join(actions), f"{wording.exact_text(pj)} {per}", _mark(source, confidence, sources))
        for (pj, source, confidence, per), actions in together.items()
        if actions != ["leak"]
    ]


def _parts(level: Level, sources: dict[str, int]) -> list[PriceLine]:
    rows: list[PriceLine] = []
    for part in level.parts:
        label = f"{part.name} x {wording.exact_text(part.count)}" if part.count != 1 else part.name
        area = f"{wording.exact_text(part.count * part.area_um2)} um2"
        rows.append((f"area: {label}", area, _mark(part.area_source, part.area_confidence, sources)))
        leak = f"{wording.exact_text(part.count * part.leak_pj)} pJ/cycle"
        rows.append((f"leakage: {label}", leak, _mark(part.leak_source, part.leak_confidence, sources)))
    return rows


def _lined(rows: Sequence[PriceLine], width: int) -> list[str]:
    """Rows with numbers and marks below each other, in at most `width` columns; long lists of actions are broken."""
    lines: list[str] = []
    room = min(44, width - PRICE_WIDTH - 11)
    for what, price, mark in rows:
        first, *rest = textwrap.wrap(what, room) or [""]
        lines.append(f"  {first:<{room}}  {price:>{PRICE_WIDTH}}  {mark}")
        lines += [f"    {more}" for more in rest]
    return lines
