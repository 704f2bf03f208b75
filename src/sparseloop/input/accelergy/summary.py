"""Summaries of tables (ERT_summary, ART_summary): totals per component, and who estimated what."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path as FilePath

from sparseloop.input.accelergy.classes import leftover, version_of
from sparseloop.input.accelergy.compound import Expanded
from sparseloop.input.accelergy.inverse import Solved, equations, solved
from sparseloop.input.accelergy.records import ArtRow, ErtRow, Primitives, ReferenceTables
from sparseloop.input.diagnostics import Diagnostic
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.yaml import files as yamlio

_ESTIMATIONS = ("primitive_estimation(s)", "primitive_estimations", "primitive_estimation")


def read_summary(files: Sequence[str | PathLike[str]], components: Sequence[Expanded]) -> ReferenceTables:
    """The totals in summaries as tables of these components.

    Of an action with arguments a summary has the extremes and the mean: the smallest is taken for the row with the
    smallest arguments, the largest for that with the largest; rows between them stay out.
    """
    data, source = yamlio.load_files([FilePath(file) for file in files])
    log = ImportLog(source=source)
    root = Section(data, (), log)
    energy, area = root.section("ERT_summary"), root.section("ART_summary")
    if energy is None and area is None:
        log.diagnostics.append(Diagnostic(message="no ERT_summary and no ART_summary in the files"))
    by_name = {component.name: component for component in components}
    rows, areas = list[ErtRow](), list[ArtRow]()
    for section, name in _tables(energy):
        estimators = _estimators(section)
        for action in section.sections("actions"):
            rows += _rows(action, name, by_name.get(name), estimators)
        leftover(section, "a summary")
    for section, name in _tables(area):
        value, source_text = section.number("area"), _estimators(section)
        if value is not None:
            areas.append(ArtRow(component=name, area_um2=value, source=source_text))
        leftover(section, "a summary")
    log.raise_errors()
    return ReferenceTables(rows=tuple(rows), areas=tuple(areas), notes=tuple(log.notes))


def primitives_of_summary(
    files: Sequence[str | PathLike[str]], components: Sequence[Expanded], known: Primitives | None = None
) -> Solved:
    """The prices of primitives that the summaries of these components imply, beside those that are `known`."""
    return solved(equations(components, read_summary(files, components), known), "from the summary")


def _tables(summary: Section | None) -> list[tuple[Section, str]]:
    if summary is None:
        return []
    version_of(summary, "summary")
    found = [(section, section.text("name") or "") for section in summary.sections("table_summary")]
    leftover(summary, "a summary")
    return found


def _estimators(section: Section) -> str:
    """'storage: Cacti, adder: Aladdin_table'."""
    value = section.take(*_ESTIMATIONS)
    if not isinstance(value, list):
        return str(value or "summary")
    named = Section({"list": value}, section.path, section.log).sections("list")
    return ", ".join(f"{entry.text('name')}: {entry.text('estimator')}" for entry in named)


def _rows(section: Section, component: str, expanded: Expanded | None, source: str) -> list[ErtRow]:
    name = section.text("name") or ""
    single, smallest, largest = (section.number(key) for key in ("energy", "min_energy", "max_energy"))
    section.take("average_energy")
    leftover(section, "an action of a summary")
    variants = [row.arguments for row in expanded.rows if row.action == name] if expanded else [()]
    pairs = [(variants[0], smallest), (variants[-1], largest)] if variants and len(variants) > 1 else [((), single)]
    if single is not None:
        pairs = [(arguments, single) for arguments in variants or [()]]
    return [
        ErtRow(component=component, action=name, arguments=arguments, energy_pj=value, source=source)
        for arguments, value in pairs
        if value is not None
    ]
