"""Energy and area tables of a specification, and which actions can occur at a level."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Literal

from sparseloop.energy.estimators.scaling import NODES_NM
from sparseloop.energy.pricing import TableEntry, used_actions
from sparseloop.input.diagnostics import Path, SpecError, did_you_mean
from sparseloop.input.resolve.csvtables import read_csv
from sparseloop.input.resolve.findings import Findings
from sparseloop.input.timeloop.sections import Log, Section
from sparseloop.input.timeloop.tables import Tables as ReferenceTables
from sparseloop.input.timeloop.tables import base_name
from sparseloop.input.timeloop.tables import read_tables as read_reference_tables
from sparseloop.input.yaml import files as yamlio
from sparseloop.model.design.arch import Level
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import Sparse

_LONGEST_NAME = 250
"""Of a file, in characters; the system would refuse the question."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Level name to the prices of its actions (pJ) and to its area (um2), each with where it is written."""

    energy: Mapping[str, Mapping[str, TableEntry]] = field(default_factory=dict[str, Mapping[str, TableEntry]])
    area: Mapping[str, TableEntry] = field(default_factory=dict[str, TableEntry])


def read_tables(found: Findings) -> Tables:
    """The tables written in the specification or in the files it names."""
    spec, path = found.spec.energy, ("energy",)
    energy, area = dict[str, Mapping[str, TableEntry]](), dict[str, TableEntry]()
    if isinstance(spec.ert, str):
        for name, actions in _file(spec.ert, (*path, "ert"), found).energy.items():
            energy[name] = {action: TableEntry(e.value, e.source, e.confidence) for action, e in actions.items()}
    else:
        for table in spec.ert:
            energy[base_name(table.name)] = {a: TableEntry(p.energy, p.source, p.confidence) for a, p in table.actions.items()}
    if isinstance(spec.art, str):
        entries = _file(spec.art, (*path, "art"), found).area
        area = {name: TableEntry(e.value, e.source, e.confidence) for name, e in entries.items()}
    else:
        area = {base_name(t.name): TableEntry(t.area, t.source, t.confidence) for t in spec.art}
    return Tables(energy=energy, area=area)


def _file(name: str, path: Path, found: Findings) -> ReferenceTables:
    """Accelergy's ERT and ART in a file, or a table of one's own as CSV."""
    file = found.file(path, name)
    if len(file.name) > _LONGEST_NAME or not file.is_file():
        found.error(path, f"there is no file {str(file)[:_LONGEST_NAME]}")
        return ReferenceTables()
    try:
        if file.suffix.lower() == ".csv":
            return _not_empty(read_csv(file), {}, (path, file), found)
        data, source = yamlio.load([file])
        root = Section(data, (), Log(source=source))
        tables = read_reference_tables(root)
        root.log.raise_errors()
    except SpecError as error:
        found.diagnostics += error.diagnostics
        return ReferenceTables()
    return _not_empty(tables, data, (path, file), found)


def _not_empty(
    tables: ReferenceTables, data: Mapping[str, object], at: tuple[Path, FilePath], found: Findings
) -> ReferenceTables:
    path, file = at
    if not tables.energy and not tables.area:
        summary = next((key for key in ("ERT_summary", "ART_summary") if key in data), None)
        hint = f"{summary} is a summary, not a table: give the file that it was made with" if summary else None
        found.error(path, f"{file} holds no ERT and no ART", hint)
    return tables


def warn_of_strangers(tables: Tables, levels: Collection[str], found: Findings) -> None:
    """Entries of tables for components that are no level price nothing: said, never silently so."""
    if found.native and (names := sorted({*tables.energy, *tables.area} - set(levels))):
        hint = f"; {close}" if (close := did_you_mean(names[0], levels)) and close.startswith("did") else ""
        found.warn(f"components of the energy tables that are no level: {', '.join(names)}{hint}")


def warn_of_extrapolation(places: Sequence[tuple[str, float, float | None]], levels: Sequence[Level], found: Findings) -> None:
    """Nodes and supplies outside what the built-in tables reach (of level, node, supply): said where their numbers are used."""
    low, high = NODES_NM
    beyond: dict[str, list[str]] = {}
    for (name, node, vdd), level in zip(places, levels, strict=True):
        sources = [*(price.source for price in level.prices.values()), *(part.area_source for part in level.parts)]
        if not low <= node <= high and any("extrapolated from" in source for source in sources):
            text = f"{node:g} nm is outside the tables ({low:g} to {high:g} nm): extrapolated prices at"
            beyond.setdefault(text, []).append(name)
        if vdd and any("scaled from" in source for source in sources):
            text = f"{vdd:g} V is far from the nominal supply of {node:g} nm: energies merely scaled by its square at"
            beyond.setdefault(text, []).append(name)
    for text, names in beyond.items():
        found.warn(f"{text} {', '.join(names)}")


def used(level: int, sparse: Sparse, einsum: Einsum, kind: Literal["storage", "compute"]) -> frozenset[str]:
    """The actions that can occur at a level: those of features here and, for what follows from them, further out."""
    formats = {t: f for (at, t), f in sparse.formats.items() if at == level}
    outer = {t for (at, t), f in sparse.formats.items() if at < level and f.compressed}
    plain_here = any(t not in formats or not formats[t].compressed for t in outer)
    compute = kind == "compute"
    results = {tensor.name for tensor in einsum.tensors if tensor.output}
    return used_actions(
        metadata=any(f.has_metadata for f in formats.values()),
        gating=(compute and sparse.compute_gate) or any(s.kind == "gate" and s.level <= level for s in sparse.safs),
        skipping=(compute and sparse.compute_skip) or any(s.kind != "gate" and s.level <= level for s in sparse.safs),
        decompression=plain_here and not compute,
        compression=not sparse.timeloop_reading and any(f.compressed for t, f in formats.items() if t in results),
        intersection=not sparse.timeloop_reading and any(s.level == level and s.kind != "gate" for s in sparse.safs),
    )
