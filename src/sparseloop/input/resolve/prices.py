"""Energy and area tables of a specification, and which actions can occur at a level."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Literal

from sparseloop.energy.estimators.scaling import NODES_NM
from sparseloop.energy.pricing import TableEntry, used_actions
from sparseloop.input.diagnostics import Path, SpecError, did_you_mean
from sparseloop.input.resolve.csvtables import read_csv
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.timeloop.tables import PriceTables, base_name, read_tables
from sparseloop.input.yaml import files as yamlio
from sparseloop.model.design.arch import Level
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import Sparse

_LONGEST_NAME = 250
"""Longest file name in characters; the operating system refuses longer ones."""


def priced_tables(log: ResolveLog) -> PriceTables:
    """The energy and area tables written in the specification or in the files it names."""
    spec, path = log.spec.energy, ("energy",)
    if isinstance(spec.ert, str):
        energy = _file(spec.ert, (*path, "ert"), log).energy
    else:
        energy = {
            base_name(table.name): {a: TableEntry(p.energy, p.source, p.confidence) for a, p in table.actions.items()}
            for table in spec.ert
        }
    if isinstance(spec.art, str):
        area = _file(spec.art, (*path, "art"), log).area
    else:
        area = {base_name(t.name): TableEntry(t.area, t.source, t.confidence) for t in spec.art}
    return PriceTables(energy=energy, area=area)


def _file(name: str, path: Path, log: ResolveLog) -> PriceTables:
    """The tables in a file: Accelergy's ERT and ART, or CSV."""
    file = log.file(path, name)
    if len(file.name) > _LONGEST_NAME or not file.is_file():
        log.error(path, f"there is no file {str(file)[:_LONGEST_NAME]}")
        return PriceTables()
    try:
        if file.suffix.lower() == ".csv":
            return _not_empty(read_csv(file), {}, (path, file), log)
        data, source = yamlio.load_files([file])
        root = Section(data, (), ImportLog(source=source))
        tables = read_tables(root)
        root.log.raise_errors()
    except SpecError as error:
        log.diagnostics += error.diagnostics
        return PriceTables()
    return _not_empty(tables, data, (path, file), log)


def _not_empty(tables: PriceTables, data: Mapping[str, object], at: tuple[Path, FilePath], log: ResolveLog) -> PriceTables:
    path, file = at
    if not tables.energy and not tables.area:
        summary = next((key for key in ("ERT_summary", "ART_summary") if key in data), None)
        hint = f"{summary} is a summary, not a table: give the file that it was made with" if summary else None
        log.error(path, f"{file} holds no ERT and no ART", hint)
    return tables


def warn_of_strangers(tables: PriceTables, levels: Collection[str], log: ResolveLog) -> None:
    """Warns of table entries for components that are no level; `wire` prices the networks."""
    if log.native and (names := sorted({*tables.energy, *tables.area} - {*levels, "wire", "Wire"})):
        hint = f"; {close}" if (close := did_you_mean(names[0], levels)) and close.startswith("did") else ""
        log.warn(f"components of the energy tables that are no level: {', '.join(names)}{hint}")


def warn_of_extrapolation(places: Sequence[tuple[str, float, float | None]], levels: Sequence[Level], log: ResolveLog) -> None:
    """Warns of levels (name, node, supply) whose prices are extrapolated beyond the nodes or supplies of the built-in tables."""
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
        log.warn(f"{text} {', '.join(names)}")


def actions_at(level: int, sparse: Sparse, einsum: Einsum, kind: Literal["storage", "compute"]) -> frozenset[str]:
    """The actions that can occur at a level, given the features and formats at it and at the levels further out."""
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
