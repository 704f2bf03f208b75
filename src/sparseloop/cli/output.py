"""What commands print: results and rows to stdout, notes to stderr."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sparseloop.report.borders import write_csv

if TYPE_CHECKING:
    from sparseloop.cli.options import Form
    from sparseloop.evaluation.result import Result
    from sparseloop.report.datatable import DataTable


_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def be_quiet(wanted: bool) -> None:
    """From now on, whether notes, warnings and progress are left out."""
    _quiet.set(wanted)


def is_quiet() -> bool:
    """Whether only results and mistakes are printed."""
    return _quiet.get()


def complain(text: str) -> None:
    """Says what is wrong: also where the user asked for quiet."""
    print(text, file=sys.stderr)


def note(text: str) -> None:
    """A line for the user that is no result."""
    if not is_quiet():
        print(text, file=sys.stderr)


def warn(texts: Sequence[str]) -> None:
    """Warnings, equal ones once."""
    for text in dict.fromkeys(texts):
        note(f"warning: {text}")


NARROWEST, WIDEST = 60, 140
"""Columns of tables."""


def terminal_width() -> int:
    """Columns of tables: those of the terminal, within reason."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((100, 24)).columns))


def print_json(records: Sequence[Any]) -> None:
    """A single record by itself, several as a list."""
    print(json.dumps(records[0] if len(records) == 1 else records, indent=2, ensure_ascii=False))


def print_results(results: Sequence[Result], form: Form, *, summary: bool = False, times: Sequence[int] = ()) -> None:
    """Several results (layers): tables one after the other, a JSON list, CSV rows with the layer in front.

    `summary`: of the tables the totals only, one line a layer; `times`: how often each layer is run, if not once.
    """
    if form == "json":
        print_json([result.to_dict() for result in results])
    elif form == "csv":
        from sparseloop.evaluation.long_form import COLUMNS

        print_csv([result.to_rows() for result in results], COLUMNS, [result.design.einsum.name for result in results])
    else:
        print_tables(results, summary=summary, times=times)


def print_tables(results: Sequence[Result], *, summary: bool, times: Sequence[int] = ()) -> None:
    """The tables of every result, then one line a layer; `summary`: of several only the latter, of one the totals."""
    from sparseloop.report.tables import print_result

    several = len(results) > 1
    for result in results if not (several and summary) else ():
        print_result(result, sys.stdout, width=terminal_width(), summary=summary)
    if several:
        from sparseloop.report.networks.layers import results_table  # with the mapper: a single result needs none of it

        print_table(results_table(results, times))


def print_table(table: DataTable) -> None:
    """One table as wide as the terminal."""
    from sparseloop.report.datatable import table_text
    from sparseloop.report.tables import print_text

    print_text(table_text(table, terminal_width()), sys.stdout)


def print_csv(tables: Sequence[Sequence[tuple[object, ...]]], columns: Sequence[str], layers: Sequence[str]) -> None:
    """CSV rows; the layer in front if there are several."""
    several = len(tables) > 1
    named = ((*((layer,) if several else ()), *row) for layer, rows in zip(layers, tables, strict=True) for row in rows)
    write_csv(sys.stdout, (*(("layer",) if several else ()), *columns), named)


def rows_text(rows: Sequence[dict[str, Any]], form: Form) -> str:
    """Rows with the same keys as an aligned table, JSON or CSV."""
    if form == "json":
        return json.dumps(list(rows), indent=1, ensure_ascii=False, default=str)
    names = list(rows[0]) if rows else []
    if form == "csv":
        stream = io.StringIO()
        write_csv(stream, names, ([_csv_cell(row[name]) for name in names] for row in rows))
        return stream.getvalue().rstrip("\n")
    cells = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    right = [all(isinstance(row[name], int | float | None) for row in rows) for name in names]
    aligned = [[c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)] for row in cells]
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def _csv_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(_csv_cell(value))
