"""Text that leaves the program: into HTML, into a figure, as CSV. For a terminal see `input.terminal`, for SQL `explore.sql`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

from sparseloop.input.markup import markup as html
from sparseloop.input.terminal import visible

__all__ = ["figure", "html", "write_csv"]

_FORMULAS = frozenset("=+-@\t\r")


def figure(text: object) -> str:
    """Text inside a matplotlib figure: `$` stays a dollar sign, and no name is left out of a legend.

    matplotlib reads what stands between two dollar signs as a formula and hides labels that begin with an underscore.
    """
    plain = visible(str(text), keep="\n").replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def write_csv(stream: TextIO, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns and rows as CSV; cells with a comma, a quote or a newline are quoted, and no text is a formula.

    Spreadsheets compute a text that begins with one of `=+-@`: such a text gets a `'` in front.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    writer.writerows(map(_cell, row) for row in rows)


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULAS else value
