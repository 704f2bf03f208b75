"""`sparseloop validate`: what was published beside what we say, with the error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from sparseloop.cli.options import target_names
from sparseloop.cli.output import is_quiet, print_table, terminal_width
from sparseloop.input import terminal
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.report.borders import write_csv
from sparseloop.validation.records import ExternalData, Findings, FindingsTable, PublishedFigure, Target

if TYPE_CHECKING:
    from sparseloop.report.datatable import DataTable

COLUMNS = ("target", "case", "figure", "unit", "published", "ours", "error", "low", "high", "limit", "within", "why")
HEADS = ("", "published", "ours", "error", "P10-P90")
"""Columns of the figures: the case, the numbers; remarks stand behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateArguments:
    """The arguments of `sparseloop validate`."""

    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            autocompletion=target_names,
            help="Targets; default: all that take no longer than a minute or two. --list names all.",
        ),
    ] = None
    masks: Annotated[str, typer.Option("--masks", metavar="DIR", help="Folder of given masks (0 and 1 per value).")] = ""
    matrices: Annotated[str, typer.Option("--matrices", metavar="DIR", help="Folder of given matrices (.mtx, .mtx.gz).")] = ""
    form: Annotated[str, typer.Option("-f", "--format", metavar="FORM", help="How to write the result: table, json, csv.")] = (
        "table"
    )
    plots: Annotated[str, typer.Option("--plot", metavar="DIR", help="Draw a figure per target into this folder: NAME.svg.")] = ""
    summary: Annotated[bool, typer.Option("--summary", help="A line for every target only.")] = False
    listed: Annotated[bool, typer.Option("--list", help="Only name the targets.")] = False


class ValidatedTarget(NamedTuple):
    """A target with what was computed for it."""

    target: Target
    findings: Findings


def validate_targets(arguments: ValidateArguments) -> bool:
    """Runs the targets and prints them; whether every figure lies within its limit."""
    from sparseloop.validation.registry import TARGETS  # with its tables: only this command needs them

    every = TARGETS if arguments.listed else [name for name, target in TARGETS.items() if not target.long]
    names = list(dict.fromkeys(arguments.names or every))
    _check(arguments, names, tuple(TARGETS))
    if arguments.listed:
        for name in names:
            print(f"{name:<16}{TARGETS[name].title}{f' ({TARGETS[name].long})' if TARGETS[name].long else ''}")
        return True
    masks, matrices = (Path(given) if given else None for given in (arguments.masks, arguments.matrices))
    sources = ExternalData(masks=masks, matrices=matrices)
    results = list[ValidatedTarget]()
    for pair in _run([TARGETS[name] for name in names], sources):
        results.append(pair)
        if arguments.form == "table" and arguments.summary:
            print(summary_line(*pair))
        elif arguments.form == "table":
            _tables([pair])
    if arguments.form != "table":
        {"json": _json, "csv": _csv}[arguments.form](results)
    if arguments.plots:
        _draw(results, Path(arguments.plots))
    return all(row.within for _, findings in results for row in findings.rows)


def _run(targets: list[Target], sources: ExternalData) -> Iterator[ValidatedTarget]:
    """Runs the targets; says on a terminal which."""
    from contextlib import nullcontext

    from rich.status import Status

    shown = sys.stderr.isatty() and not is_quiet()
    for i, target in enumerate(targets, 1):
        with Status(f"{target.name} ({i} of {len(targets)})", console=terminal.console(stderr=True)) if shown else nullcontext():
            findings = target.run(sources)
        yield ValidatedTarget(target, findings)


def _draw(results: list[ValidatedTarget], folder: Path) -> None:
    from sparseloop.report.figures import save_figure
    from sparseloop.validation.drawing import draw_comparisons

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError([Diagnostic(message=f"--plot: cannot make {folder}: {error.strerror or error}")]) from None
    for target, findings in results:
        if findings.rows:
            save_figure(draw_comparisons(findings.rows, target.title), folder / f"{target.name}.svg")


def _check(arguments: ValidateArguments, names: list[str], known: tuple[str, ...]) -> None:
    wrong = [f"'{name}' is no target" for name in names if name not in known]
    if arguments.form not in ("table", "json", "csv"):
        wrong.append(f"-f/--format '{arguments.form}' is none of table, json, csv")
    for option, folder in (("--masks", arguments.masks), ("--matrices", arguments.matrices)):
        if folder and not Path(folder).is_dir():
            wrong.append(f"{option}: {folder} is no folder")
    if wrong:
        raise SpecError(Diagnostic(message=text, hint=f"targets: {', '.join(known)}") for text in wrong)


def _rows(results: list[ValidatedTarget]) -> Iterator[tuple[object, ...]]:
    for target, findings in results:
        for row in findings.rows:
            numbers = (row.published, row.ours, row.error, row.low, row.high, row.limit)
            yield (target.name, row.case, row.figure, row.unit, *numbers, row.within, row.why)


def _json(results: list[ValidatedTarget]) -> None:
    import json

    rows = list(_rows(results))
    records = [
        {
            "target": target.name,
            "title": target.title,
            "citation": target.citation,
            "rows": [dict(zip(COLUMNS, row, strict=True)) for row in rows if row[0] == target.name],
            "tables": [
                {"title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]}
                for table in findings.tables
            ],
            "notes": findings.notes,
            "skipped": findings.skipped,
        }
        for target, findings in results
    ]
    print(json.dumps(records, indent=2, ensure_ascii=False))


def _csv(results: list[ValidatedTarget]) -> None:
    write_csv(sys.stdout, COLUMNS, _rows(results))
    for table in (table for _, findings in results for table in findings.tables):
        print()
        write_csv(sys.stdout, ("table", *table.columns), ((table.title, *row) for row in table.rows))


def _tables(results: list[ValidatedTarget]) -> None:
    console, width = terminal.console(), terminal_width()
    for target, findings in results:
        console.print(target.title, style="bold")
        console.print(target.citation, style="dim")
        reasons = tuple(dict.fromkeys(row.why for row in findings.rows if row.why))
        lines = _aligned([(*HEADS, ""), *(_cells(row, reasons) for row in findings.rows)])
        fits = max(map(len, lines), default=0) <= width
        for figure in dict.fromkeys(row.figure for row in findings.rows):
            rows = [row for row in findings.rows if row.figure == figure]
            if not fits:
                print_table(_narrow(figure, rows, reasons))
                continue
            console.print(figure, style="italic")
            console.print(lines[0], style="dim", soft_wrap=True)
            for row, line in zip(findings.rows, lines[1:], strict=True):
                if row.figure == figure:
                    console.print(line, soft_wrap=True)
        for i, text in enumerate(reasons, 1):
            console.print(f"[{i}] {text}")
        for more in findings.tables:
            console.print()
            print_table(_table(more))
        for text in (*(f"skipped: {text}" for text in findings.skipped), *findings.notes):
            console.print(text)
        console.print()


def _narrow(figure: str, rows: Sequence[PublishedFigure], reasons: tuple[str, ...]) -> DataTable:
    """The rows of a figure as a table that goes on below where the terminal is too narrow for all columns."""
    from sparseloop.report.datatable import DataTable, columns

    cells = [_cells(row, reasons) for row in rows]
    shown = [i for i in range(len(HEADS) + 1) if any(row[i] for row in cells)]
    names = columns(*((*HEADS, "<")[i] if i else "*case" for i in shown))
    return DataTable(title=figure, columns=names, rows=tuple(tuple(row[i].strip() for i in shown) for row in cells))


def summary_line(target: Target, findings: Findings) -> str:
    """'eie: 12 of 12 figures within their limits, the largest error 3.1 %'."""
    rows = findings.rows
    within, worst = sum(row.within for row in rows), max((abs(row.error) for row in rows if row.published), default=0.0)
    skipped = f"; {len(findings.skipped)} skipped" if findings.skipped else ""
    return f"{target.name}: {within} of {len(rows)} figures within their limits, the largest error {100 * worst:.2g} %{skipped}"


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    """Lines of equal columns: the first and the last flush left, those without a figure left out."""
    columns = [column for column in zip(*table, strict=True) if any(column[1:])]
    padded = list[list[str]]()
    for i, column in enumerate(columns):
        width = max(map(len, column))
        padded.append([cell.rjust(width) if 0 < i < 4 or column[0] else cell.ljust(width) for cell in column])
    return ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


def _cells(row: PublishedFigure, reasons: tuple[str, ...]) -> tuple[str, ...]:
    around = f"{_number(row.low)}-{_number(row.high)}" if row.low is not None and row.high is not None else ""
    mark = f"[{reasons.index(row.why) + 1}] " if row.why else ""
    mark += "" if row.within else f"outside {100 * (row.limit or 0):.3g} %"
    return (f"  {row.case}", _number(row.published, row.unit), _number(row.ours, row.unit), _error(row), around, mark)


def _error(row: PublishedFigure) -> str:
    if row.ours == row.published or abs(row.error) < 1e-12:
        return "0"
    percent = 100 * row.error
    return (f"{percent:+.2f} %" if abs(percent) >= 0.005 else f"{percent:+.0e} %") if row.published else f"{row.error:+.3g}"


def _number(value: float, unit: str = "") -> str:
    whole = abs(value - round(value)) < 1e-6 * abs(value)
    text = f"{value:.0f}" if (whole or abs(value) >= 1e4) and abs(value) < 1e12 else f"{value:.4g}"
    return f"{text} {unit}".rstrip()


def _table(table: FindingsTable) -> DataTable:
    from sparseloop.report.datatable import DataTable, columns

    numbers = [all(isinstance(row[i], float | int | None) for row in table.rows) for i in range(len(table.columns))]
    marks = ["*" if i == 0 else "" if numeric else "~" for i, numeric in enumerate(numbers)]
    rows = [tuple("" if c is None else c if isinstance(c, str) else f"{c:.6g}" for c in row) for row in table.rows]
    names = columns(*(mark + name for mark, name in zip(marks, table.columns, strict=True)))
    return DataTable(title=table.title, columns=names, rows=tuple(rows))
