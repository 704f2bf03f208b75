"""Energy and area reference tables (ERT, ART) of versions 0.2 to 0.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sparseloop.energy.pricing import TableEntry
from sparseloop.input.timeloop.architecture import split_range
from sparseloop.input.timeloop.sections import Plain, Section, sections

VERSIONS = ("0.2", "0.3", "0.4")


@dataclass(frozen=True, kw_only=True)
class PriceTables:
    """Energy (pJ, by action) and area (um2) by component: the last segment of its path, without range."""

    energy: Mapping[str, Mapping[str, TableEntry]] = field(default_factory=dict[str, Mapping[str, TableEntry]])
    area: Mapping[str, TableEntry] = field(default_factory=dict[str, TableEntry])

    @property
    def wire_pj_per_bit_mm(self) -> float | None:
        """Energy of the component called wire: `transfer_random` (else its only action)."""
        wire = self.energy.get("wire", self.energy.get("Wire"))
        return wire["transfer_random"].value if wire and "transfer_random" in wire else None


def base_name(name: str) -> str:
    """'system.PE[0..13].buffer[1..12]' is 'buffer': the last segment without its range."""
    text, depth = name.strip(), 0
    for i in range(len(text) - 1, -1, -1):
        depth += (text[i] == "]") - (text[i] == "[")
        if text[i] == "." and depth == 0:
            text = text[i + 1 :]
            break
    return split_range(text)[0]


def read_tables(root: Section) -> PriceTables:
    """Reads the ERT and the ART; of tables with equal base names the last one holds, as in Timeloop."""
    energy, area = dict[str, Mapping[str, TableEntry]](), dict[str, TableEntry]()
    if ert := root.section("ERT"):
        for section, name in table_components(ert):
            energy[base_name(name)] = _actions(section)
    if art := root.section("ART"):
        for section, name in table_components(art):
            value = section.number("area")
            if value is not None:
                source = entry_source(section, section.key_path("area"), "ART")
                area[base_name(name)] = TableEntry(value=value, source=source, confidence=section.number("confidence"))
            section.unused(what="an area table")
    return PriceTables(energy=energy, area=area)


def entry_source(section: Section, path: tuple[str | int, ...], kind: str) -> str:
    """What the entry says of itself, else 'ERT ert.yaml:12', or the path when there are no files."""
    return section.text("source") or f"{kind} {section.log.place(path)}"


def table_components(table: Section) -> Iterator[tuple[Section, str]]:
    """(section, component name) of every component; version 0.2 has a map instead of a list."""
    version = str(table.take("version") or "")
    if version not in VERSIONS:
        table.log.error(table.key_path("version"), f"unknown table version '{version}'", f"known: {', '.join(VERSIONS)}")
    value = table.take("tables")
    path = table.key_path("tables")
    if isinstance(value, dict):
        body = Section(value, path, table.log)  # pyright: ignore[reportUnknownArgumentType]
        for name in body.data:
            section = Section({"name": name, "actions": body.data[name]}, (*path, name), table.log)
            section.take("name")
            yield section, str(name)
    elif value is not None:
        for section in sections(value, path, table.log):
            yield section, section.required("name", "an entry of a table")
    table.unused(what="a table")


def _actions(component: Section) -> dict[str, TableEntry]:
    """Action to its highest energy over the argument variants."""
    result = dict[str, TableEntry]()
    for section, name in variants(component):
        energy = section.number("energy")
        if energy is not None and (name not in result or energy > result[name].value):
            source = entry_source(section, section.path, "ERT")
            result[name] = TableEntry(value=energy, source=source, confidence=section.number("confidence"))
        section.unused(
            {
                "source": "of a lower variant",
                "confidence": "of a lower variant",
                "arguments": "the highest variant counts",
                "name": "key",
            },
            "an action",
        )
    component.unused(what="an energy table")
    return result


def variants(component: Section) -> Iterator[tuple[Section, str]]:
    """(section, action name) of every variant of every action; version 0.2 has a map instead of a list."""
    value: Plain = component.take("actions")
    log, path = component.log, component.key_path("actions")
    if isinstance(value, dict):  # version 0.2: action to a map or a list of variants
        at = component.path
        body = Section(value, at, log)  # pyright: ignore[reportUnknownArgumentType]
        for name, item in body.data.items():
            for i, variant in enumerate(item if isinstance(item, list) else [item]):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                number = variant if isinstance(variant, dict) else {"energy": variant}  # pyright: ignore[reportUnknownVariableType]
                yield Section(number, (*at, name, i), log), str(name)  # pyright: ignore[reportUnknownArgumentType]
    elif value is not None:
        for section in sections(value, path, log):
            yield section, section.required("name", "an action")


def ert_data(tables: PriceTables, levels: tuple[str, ...]) -> list[Plain]:
    """`EnergySpec.ert` as plain data, for the levels of the machine."""
    return [
        {"name": name, "actions": {a: {"energy": e.value, **_told(e)} for a, e in tables.energy[name].items()}}
        for name in levels
        if name in tables.energy
    ]


def _told(entry: TableEntry) -> dict[str, Plain]:
    return {"source": entry.source} | ({} if entry.confidence is None else {"confidence": entry.confidence})


def art_data(tables: PriceTables, levels: tuple[str, ...]) -> list[Plain]:
    """`EnergySpec.art` as plain data, for the levels of the machine."""
    return [{"name": name, "area": tables.area[name].value, **_told(tables.area[name])} for name in levels if name in tables.area]
