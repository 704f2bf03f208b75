"""Energy and area tables (ERT, ART) in files: read in versions 0.2 to 0.4, written in 0.3 and 0.4."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path as FilePath
from typing import Any, cast

from sparseloop.input.accelergy.records import ArtRow, ErtRow, ReferenceTables, Scalar
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.timeloop.tables import entry_source, table_components, variants
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml.files import SourceMap
from sparseloop.input.yaml.nodes import wrong_file
from sparseloop.input.yaml.whole_files import write_text_whole

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.\[\]]*")
_DOUBTFUL = ("null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf")
"""Words that some readers of YAML take for something else."""
SUMMARIES = ("ERT_summary", "ART_summary")


def read_ert(files: Sequence[str | PathLike[str]]) -> ReferenceTables:
    """The ERT and ART in the files with all argument combinations; raises `SpecError` with every mistake."""
    return tables_in(*yamlio.load_files([FilePath(file) for file in files]))


def tables_in(data: Mapping[str, Any], source: SourceMap) -> ReferenceTables:
    """As `read_ert`, for data that has been read."""
    log = ImportLog(source=source)
    root = Section(data, (), log)
    ert, art = root.section("ERT"), root.section("ART")
    if ert is None and art is None:
        summary = next((key for key in SUMMARIES if key in data), None)
        hint = f"{summary} is a summary, not a table: give the file that it was made with" if summary else None
        log.diagnostics.append(Diagnostic(path=(summary,) if summary else (), message="no ERT and no ART", hint=hint, key=True))
    rows = [row for section, name in table_components(ert) for row in _rows(section, name)] if ert else []
    areas = [area for section, name in table_components(art) if (area := _area(section, name))] if art else []
    log.raise_errors()
    return ReferenceTables(rows=tuple(rows), areas=tuple(areas), notes=tuple(log.notes))


def _rows(component: Section, name: str) -> list[ErtRow]:
    result = list[ErtRow]()
    for section, action in variants(component):
        energy = section.number("energy")
        arguments = _arguments(section)
        if energy is not None:
            source = entry_source(section, section.path, "ERT")
            result.append(ErtRow(component=name, action=action, arguments=arguments, energy_pj=energy, source=source))
        section.unused({"name": "key"}, "an action")
    component.unused(what="an energy table")
    return result


def _arguments(section: Section) -> tuple[tuple[str, Scalar], ...]:
    """Arguments as pairs; null, {} and a missing key are the same."""
    inside = section.section("arguments")
    for key, value in inside.data.items() if inside else ():
        if inside and isinstance(value, list | dict):
            section.log.error(inside.key_path(key), f"argument '{key}' must be a number or a word, not {value!r}")
    return tuple((str(key), value) for key, value in inside.data.items()) if inside else ()


def _area(section: Section, name: str) -> ArtRow | None:
    area = section.number("area")
    source = entry_source(section, section.key_path("area"), "ART")
    section.unused(what="an area table")
    return None if area is None else ArtRow(component=name, area_um2=area, source=source)


# --- writing ------------------------------------------------------------------------------------------------


def tables_data(tables: ReferenceTables, version: str = "0.4", *, sources: bool = False) -> dict[str, Scalar]:
    """ERT and ART as plain data; `sources` adds a key to every entry that Accelergy's own files do not have."""
    if version not in ("0.3", "0.4"):
        raise ValueError(f"cannot write version {version!r}: there are '0.3' and '0.4'")
    number: Scalar = version if version == "0.4" else float(version)
    nothing: Scalar = {} if version == "0.4" else None
    energy = dict[str, list[Scalar]]()
    for row in tables.rows:
        arguments = dict(row.arguments) or nothing
        entry = {"name": row.action, "arguments": arguments, "energy": row.energy_pj}
        energy.setdefault(row.component, []).append(entry | (_told(row) if sources else {}))
    area = [{"name": area.component, "area": area.area_um2} | (_told(area) if sources else {}) for area in tables.areas]
    components = [{"name": name, "actions": actions} for name, actions in energy.items()]
    return {"ERT": {"version": number, "tables": components}, "ART": {"version": number, "tables": area}}


def _told(row: ErtRow | ArtRow) -> dict[str, Scalar]:
    return {"source": row.source, "confidence": row.confidence}


def ert_text(tables: ReferenceTables, version: str = "0.4") -> str:
    """ERT and ART as YAML in one document, laid out as Accelergy lays out its own."""
    lines = list[str]()
    for key, table in tables_data(tables, version).items():
        lines += [f"{key}:", f"  version: {_scalar(table['version'])}", "  tables:" + (" []" if not table["tables"] else "")]
        for component in cast("list[dict[str, Scalar]]", table["tables"]):
            lines.append(f"  - name: {_scalar(component['name'])}")
            if key == "ART":
                lines.append(f"    area: {_scalar(component['area'])}")
                continue
            lines.append("    actions:")
            for action in component["actions"]:
                lines += _action_lines(action)
    return "\n".join(lines) + "\n"


def _action_lines(action: dict[str, Scalar]) -> list[str]:
    arguments = cast("dict[str, Scalar] | None", action["arguments"])
    lines = [f"    - name: {_scalar(action['name'])}"]
    if arguments:
        lines += ["      arguments:", *(f"        {_scalar(key)}: {_scalar(value)}" for key, value in arguments.items())]
    else:
        lines.append(f"      arguments: {'null' if arguments is None else '{}'}")
    return [*lines, f"      energy: {_scalar(action['energy'])}"]


def _scalar(value: Scalar) -> str:
    """A scalar that readers of YAML 1.1 and 1.2 understand alike: floats keep a point, doubtful words get quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        text = repr(value)
        mantissa, exponent, power = text.partition("e")
        return f"{mantissa}{'' if '.' in mantissa or not exponent else '.0'}{exponent}{power}"
    if isinstance(value, int):
        return str(value)
    plain = _PLAIN.fullmatch(value) and value.lower() not in _DOUBTFUL
    return value if plain else "'" + value.replace("'", "''") + "'"


def write_ert(tables: ReferenceTables, path: str | PathLike[str], version: str = "0.4") -> None:
    """Writes ERT and ART into one file that Accelergy and Timeloop read; version '0.4' or '0.3'."""
    text = ert_text(tables, version)
    try:
        write_text_whole(FilePath(path), text)
    except OSError as error:
        raise wrong_file(str(path), f"cannot write the file: {error.strerror}") from None
    except ValueError as error:
        raise SpecError([Diagnostic(message=f"cannot write {str(path)!r}: {error}")]) from None
