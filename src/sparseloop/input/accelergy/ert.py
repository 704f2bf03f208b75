"""Energy and area tables of an architecture with compound components, from the prices of primitives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path as FilePath
from typing import Any

from sparseloop.energy.estimators import Estimate
from sparseloop.input.accelergy.attributes import arguments_text
from sparseloop.input.accelergy.classes import leftover, read_classes
from sparseloop.input.accelergy.compound import Expanded, Expander, PrimitiveUse, SumRow, price_of_use
from sparseloop.input.accelergy.files import tables_data, tables_in
from sparseloop.input.accelergy.flatten import components_of
from sparseloop.input.accelergy.primitive_prices import built_in
from sparseloop.input.accelergy.records import ArtRow, ErtRow, Primitives, ReferenceTables
from sparseloop.input.diagnostics import Diagnostic
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.timeloop.tables import base_name
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml.files import SourceMap

_SHOWN_TERMS = 6
_OTHERS = (
    "problem", "shape", "mapping", "mapper", "mapspace", "mapspace_constraints", "architecture_constraints", "constraints",
    "arch_constraints", "extra_mapping_constraints", "sparse_optimizations", "model", "globals", "ERT", "ART", "ERT_summary",
    "ART_summary", "dumped_by_timeloop_front_end", "variables",
)  # fmt: skip
"""Top-level keys that say nothing about compounds."""
_EMPTY = ("dummy_storage",)
"""Classes without hardware: Timeloop's front end has them for meshes."""
_NEVER_ASKED = ("idle", "mac_reused")
"""Actions that every primitive has, and that no count of the model belongs to."""


def reference_tables(files: Sequence[str | PathLike[str]], primitives: Primitives) -> ReferenceTables:
    """ERT and ART of the architecture and the compound components in the files; raises `SpecError` with every mistake."""
    data, source = yamlio.load_files([FilePath(file) for file in files])
    return reference_tables_of(data, source, primitives)


def reference_tables_of(data: Mapping[str, Any], source: SourceMap | None, primitives: Primitives) -> ReferenceTables:
    """As `tables`, for data that has been read."""
    found, notes = expanded(data, source)
    return priced(found, primitives, notes)


def tables_of_files(files: Sequence[str | PathLike[str]], overrides: Sequence[str] = ()) -> ReferenceTables | None:
    """The prices of every component of an architecture in Accelergy's form, whatever else is in the files.

    Needs no problem, no mapping and no compute unit; components that stand in an ERT of the files have its rows. None if the
    files hold no such architecture.
    """
    data, source = yamlio.load_files([FilePath(file) for file in files], overrides)
    architecture = data.get("architecture", data.get("arch"))
    forms = ("subtree", "nodes", "local")
    if not isinstance(architecture, dict) or not any(key in architecture for key in forms):
        return None
    made = reference_tables_of(data, source, built_in())
    if not {"ERT", "ART"} & set(data):
        return made
    given = tables_in(data, source)
    priced_there = {base_name(row.component) for row in given.rows}
    sized_there = {base_name(row.component) for row in given.areas}
    rows = [row for row in made.rows if base_name(row.component) not in priced_there]
    areas = [row for row in made.areas if base_name(row.component) not in sized_there]
    return ReferenceTables(rows=(*given.rows, *rows), areas=(*given.areas, *areas), notes=(*made.notes, *given.notes))


def expanded(data: Mapping[str, Any], source: SourceMap | None, *, tree: bool = True) -> tuple[list[Expanded], tuple[str, ...]]:
    """Every component as sums over primitives, and notes (those about the `tree` on demand); raises `SpecError`."""
    log = ImportLog(source=source)
    root = Section(data, (), log)
    classes = read_classes(root)
    about_classes = list(log.notes)
    components = components_of(root)
    leftover(root, "the files", _OTHERS)
    if not tree:
        log.notes[:] = about_classes
    expander = Expander(classes, log)
    found = [expander.expanded(component) for component in components]
    log.diagnostics[:] = _once(log.diagnostics)
    log.raise_errors()
    return found, tuple(log.notes)


def has_compounds(data: Mapping[str, Any]) -> bool:
    """True if the files define classes and an architecture, but no energy table."""
    holders = [data.get(key) for key in ("compound_components", "components")]
    classes = any(isinstance(holder, dict) and holder.get("classes") for holder in holders)  # pyright: ignore
    return classes and "ERT" not in data and bool({"architecture", "arch"} & set(data))


def with_tables(data: dict[str, Any], source: SourceMap, primitives: Primitives) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The same files with the ERT (and ART) that their compounds have, and notes; unchanged if there is nothing to do."""
    if not has_compounds(data):
        return data, ()
    found, notes = expanded(data, source, tree=False)
    made = priced(found, primitives, notes)
    defined = {component.name for component in found if component.compound}
    rows = tuple(row for row in made.rows if row.component in defined or row.action not in _NEVER_ASKED)
    return tables_data(replace(made, rows=rows), sources=True) | data, made.notes


def _once(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Mistakes in a class are found again with every component of it."""
    return list(dict.fromkeys(diagnostics))


def priced(components: Sequence[Expanded], primitives: Primitives, notes: Collection[str] = ()) -> ReferenceTables:
    """The tables; what has no price has no row, and a note says so."""
    rows, areas, lacking = list[ErtRow](), list[ArtRow](), list[str]()
    for component in components:
        unpriced = list[str]()
        for row in component.rows:
            total = _total(row.terms, primitives, unpriced)
            if total is not None:
                rows.append(_row(component, row, total))
        lacking += _without_price(component, unpriced)
        if not component.rows and component.class_name not in _EMPTY:
            lacking.append(f"{component.name}: nothing is known of class '{component.class_name}', no energies are given")
        unpriced.clear()
        area = _total(component.areas, primitives, unpriced) if component.areas else None
        if area is not None:
            source = _described(component, area.source)
            areas.append(ArtRow(component=component.name, area_um2=area.value, source=source, confidence=area.confidence))
        lacking += [f"{component.name}: no area, for lack of that of {', '.join(dict.fromkeys(unpriced))}"] if unpriced else []
    return ReferenceTables(rows=tuple(rows), areas=tuple(areas), notes=tuple(dict.fromkeys([*notes, *lacking])))


def _row(component: Expanded, row: SumRow, total: Estimate) -> ErtRow:
    return ErtRow(
        component=component.name,
        action=row.action,
        arguments=row.arguments,
        energy_pj=total.value,
        source=_described(component, total.source),
        confidence=total.confidence,
    )


def _described(component: Expanded, source: str) -> str:
    """'compound smartbuffer_RF: 1 x storage.read (source) + ...'."""
    return f"compound {component.class_name}: {source}" if component.compound else source


def _without_price(component: Expanded, unpriced: Sequence[str]) -> list[str]:
    if not unpriced:
        return []
    return [f"{component.name}: actions without a row, for lack of a price of {', '.join(dict.fromkeys(unpriced))}"]


def _total(terms: Sequence[PrimitiveUse], primitives: Primitives, unpriced: list[str]) -> Estimate | None:
    """The sum of all terms; None if one has no price (it is named in `unpriced`)."""
    value, confidence, texts = 0.0, 1.0, list[str]()
    complete = True
    for term in terms:
        found = price_of_use(term, primitives)
        if found is None and term.parts:
            found = _total(term.parts, primitives, unpriced)
            factor = 1.0
        else:
            factor = term.count
        if found is None:
            complete = False
            if not term.parts:
                unpriced.append(_name(term))
            continue
        value += factor * found.value if factor else 0.0
        confidence = min(confidence, found.confidence)
        texts.append(found.source if not term.label else f"{factor:g} x {_name(term)} ({found.source})")
    more = f" + {len(texts) - _SHOWN_TERMS} more" if len(texts) > _SHOWN_TERMS else ""
    source = " + ".join(texts[:_SHOWN_TERMS]) + more or "sum of nothing"
    return Estimate(value=value, source=source, confidence=confidence) if complete else None


def _name(term: PrimitiveUse) -> str:
    name = term.label or term.primitive.class_name
    return f"{name}.{term.action}{arguments_text(term.arguments)}" if term.action else name
