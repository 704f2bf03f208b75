"""Reads prices and areas from CSV files with the columns component, action, energy_pj or component, area_um2, and optionally
source.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from sparseloop.energy.pricing import TableEntry
from sparseloop.input import expressions as expr
from sparseloop.input import field_types
from sparseloop.input.diagnostics import Diagnostic, Span, SpecError, did_you_mean
from sparseloop.input.timeloop.tables import PriceTables, base_name
from sparseloop.input.yaml.nodes import file_text

CSV_COLUMNS = ("component", "action", "energy_pj", "area_um2", "source")
EXAMPLE = "the first line names the columns: component,action,energy_pj,source or component,area_um2,source"


def read_csv(path: Path) -> PriceTables:
    """The tables of a file; raises `SpecError` with every mistake in it."""
    file, energy, area = str(path), dict[str, dict[str, TableEntry]](), dict[str, TableEntry]()
    problems: list[Diagnostic] = []
    lines = file_text(file).splitlines()
    rows = _rows(file, lines, problems)
    for number, row in rows:
        name = base_name(row.get("component", ""))
        place = f"{path.name}:{number}"
        source = f"{row['source']} ({place})" if row.get("source") else place
        for column, where, key in (("energy_pj", energy.setdefault(name, {}), row.get("action", "")), ("area_um2", area, name)):
            if written := row.get(column, ""):
                value = _value(written, column, Span(file, number, 1, text=lines[number - 1]), problems)
                if not name or not key:
                    missing = "component" if not name else "action"
                    problems.append(_problem(Span(file, number, 1, text=lines[number - 1]), f"a price without {missing}"))
                where[key] = TableEntry(value=value, source=source)
        if not row.get("energy_pj") and not row.get("area_um2"):
            problems.append(_problem(Span(file, number, 1, text=lines[number - 1]), "a line without energy_pj and area_um2"))
    if problems:
        raise SpecError(problems)
    return PriceTables(energy={name: actions for name, actions in energy.items() if actions}, area=area)


def _problem(span: Span, message: str, hint: str | None = None) -> Diagnostic:
    return Diagnostic(message=message, hint=hint, span=span)


def _rows(file: str, lines: list[str], problems: list[Diagnostic]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line number and cells by column; empty lines and those that begin with # are passed over."""
    columns: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            cells = [cell.strip() for cell in next(csv.reader([line], strict=True))]
        except csv.Error as error:
            problems.append(_problem(Span(file, number, 1, text=line), f"cannot read the line: {error}"))
            continue
        if not columns:
            columns = cells
            problems += _wrong_columns(Span(file, number, 1, text=line), columns)
            if problems:
                return
        elif len(cells) > len(columns):
            problems.append(_problem(Span(file, number, 1, len(line), line), f"{len(cells)} cells for {len(columns)} columns"))
        else:
            yield number, dict(zip(columns, cells, strict=False))


def _wrong_columns(span: Span, columns: list[str]) -> Iterator[Diagnostic]:
    if not set(columns) & set(CSV_COLUMNS):
        yield _problem(
            Span(span.file, span.line, 1, max(1, len(span.text)), span.text), "no line with the names of the columns", EXAMPLE
        )
        return
    for column in columns:
        if column not in CSV_COLUMNS:
            place = Span(span.file, span.line, span.text.find(column) + 1, max(1, len(column)), span.text)
            yield _problem(place, f"unknown column '{column}'", did_you_mean(column, CSV_COLUMNS))
    if "component" not in columns or not ({"action", "energy_pj"} <= set(columns) or "area_um2" in columns):
        yield _problem(span, "columns are missing", EXAMPLE)


def _value(written: str, column: str, span: Span, problems: list[Diagnostic]) -> float:
    """A number from 0, of energies with or without a unit."""
    try:
        return field_types.parse_energy(written) if column == "energy_pj" else field_types.parse_number(written)
    except expr.NotationError as error:
        place = Span(span.file, span.line, span.text.find(written) + 1, max(1, len(written)), span.text)
        problems += [_problem(place, mistake.message, mistake.hint) for mistake in error.mistakes]
        return 0.0
