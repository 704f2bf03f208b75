"""A table as data, written twice: as text that fits the terminal, and as HTML."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from sparseloop.input.terminal import visible
from sparseloop.report.borders import html

GAP = 2
"""Blanks between columns."""
KEY_WIDTH = 28
"""Keys that are longer are broken over lines; none is ever cut."""
WRAPPED = 14
"""Columns of remarks are broken over lines, down to this width."""
STEPS = ((3, 16), (3, 8), (3, 4), (2, 4), (2, 0))
"""Digits of numbers and width of bars, as they are given up one after the other where a table is too wide."""
UNIT = r"(?<=\d) (?=(?:[kMGT]|[pnum]?[JsW]|[kMG]Hz|[KMGT]i?B|B|[um]m2|words?|bits)\b|%)"
"""The blank between a number and its prefix or unit: no line is broken there."""
LIMITS = "<- limits"
"""A remark that is marked."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Bar:
    """A cell that shows a share as a horizontal bar, `length` times as long as others."""

    share: float
    length: float = 1.0


Cell = str | Bar | Callable[[int], str]
"""What a cell shows: a text, a bar, or a text by the number of digits it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    name: str = ""
    left: bool = False
    """Texts stand at the left, numbers at the right."""
    key: bool = False
    """Names the row: it stays whatever the width, and is repeated where a table goes on below."""
    wraps: bool = False
    """A remark, which may be broken over lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTable:
    """A table: its title, its columns, its rows."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    """Units, beside the title."""


def columns(*names: str) -> tuple[Column, ...]:
    """Columns by name: '*level' is a key, '<what' stands at the left, '~remark' may be broken over lines."""
    return tuple(
        Column(name=name.lstrip("*<~"), left=name[:1] in ("*", "<", "~"), key=name[:1] == "*", wraps=name[:1] == "~")
        for name in names
    )


def bar_text(share: float, width: int) -> str:
    """A horizontal bar of a fraction in characters."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def broken_lines(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """The text in lines of at most `width` characters, numbers with their units; `first` and `rest` stand before the lines."""
    together = re.sub(UNIT, "\xa0", text)
    lines = textwrap.wrap(together, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]


# --- as text --------------------------------------------------------------------------------------------------


def table_text(table: DataTable, width: int) -> Text:
    """The table in at most `width` columns of characters, with styles for a terminal; ends with a newline.

    Where it is too wide, bars give way first, then digits, then remarks are broken; then it goes on below, with its keys again.
    """
    heading = Text.assemble((visible(table.title), "bold"), (f"  {table.note}" if table.note else "", "dim"))
    heading.append("\n")
    shown = Text()
    for number, block in enumerate(_blocks(table, width)):
        shown.append("\n" * bool(number))
        shown.append_text(block)
    return Text.assemble(_wrapped_heading(heading, width), shown)


def _wrapped_heading(heading: Text, width: int) -> Text:
    if heading.cell_len <= width + 1:
        return heading
    lines = textwrap.wrap(heading.plain.rstrip(), width, subsequent_indent="  ")
    return Text.assemble((lines[0], "bold"), *(("\n" + line, "dim") for line in lines[1:]), "\n")


def _blocks(table: DataTable, width: int) -> Iterator[Text]:
    """The whole table as one block, or as several that each fit."""
    for broken, (digits, bars) in [*((False, step) for step in STEPS), *((True, step) for step in STEPS[2:])]:
        cells, widths = _measured(table, digits, bars)
        least = [min(w, WRAPPED) if c.wraps and broken else w for c, w in zip(table.columns, widths, strict=True)]
        if _total(least) <= width:
            yield _drawn(table, cells, _widened(table, least, widths, width - _total(least)))
            return
    cells, widths = _measured(table, *STEPS[-1])
    keys = [i for i, column in enumerate(table.columns) if column.key]
    rest = [i for i in range(len(table.columns)) if i not in keys and widths[i]]
    while rest:
        taken = rest[:1]
        while len(taken) < len(rest) and _total([widths[i] for i in (*keys, *taken, rest[len(taken)])]) <= width:
            taken = rest[: len(taken) + 1]
        rest = rest[len(taken) :]
        places = sorted((*keys, *taken))
        part = DataTable(title="", columns=tuple(table.columns[i] for i in places), rows=())
        narrow = [widths[i] for i in places]
        over = max(0, _total(narrow) - width)
        narrow = [max(WRAPPED, w - over) if c.wraps else w for c, w in zip(part.columns, narrow, strict=True)]
        yield _drawn(part, [[row[i] for i in places] for row in cells], narrow)


def _total(widths: Sequence[int]) -> int:
    shown = [w for w in widths if w]
    return sum(shown) + GAP * (len(shown) - 1)


def _widened(table: DataTable, narrow: list[int], full: Sequence[int], spare: int) -> list[int]:
    """What is left over goes to the remarks."""
    for i, column in enumerate(table.columns):
        if column.wraps:
            more = min(spare, full[i] - narrow[i])
            narrow[i], spare = narrow[i] + more, spare - more
    return narrow


def _measured(table: DataTable, digits: int, bars: int) -> tuple[list[list[str]], list[int]]:
    """The cells as texts, the heads first, and the width of every column (0: it is left out)."""
    body = [[_cell_text(cell, digits, bars) for cell in row] for row in table.rows]
    cells = [[visible(column.name) for column in table.columns], *body]
    widths = [max((len(row[i]) for row in cells), default=0) for i in range(len(table.columns))]
    return cells, [min(w, KEY_WIDTH) if column.key else w for column, w in zip(table.columns, widths, strict=True)]


def _cell_text(cell: Cell, digits: int, bars: int) -> str:
    if isinstance(cell, Bar):
        return bar_text(cell.share, round(bars * cell.length))
    return visible(cell if isinstance(cell, str) else cell(digits))


def _drawn(table: DataTable, cells: Sequence[Sequence[str]], widths: Sequence[int]) -> Text:
    lines: list[Text] = []
    heads = 0
    for row in cells:
        broken = [_lines(text, width, column) for text, width, column in zip(row, widths, table.columns, strict=True)]
        for number in range(max(map(len, broken))):
            parts = [lines_[number] if number < len(lines_) else "" for lines_ in broken]
            lines.append(_line(table.columns, parts, widths))
        heads = heads or len(lines)
    for head in lines[:heads]:
        head.stylize("dim")
    text = Text("\n").join([*lines[:heads], Text("─" * _total(widths)), *lines[heads:]])
    text.append("\n")
    text.highlight_regex(r"[█▏▎▍▌▋▊▉]+", "cyan")
    text.highlight_regex(LIMITS, "bold yellow")
    return text


def _lines(text: str, width: int, column: Column) -> list[str]:
    if len(text) <= width or not width:
        return [text]
    if column.key:
        return [text[i : i + width] for i in range(0, len(text), width)]
    return broken_lines(text, width) or [""]


def _line(columns: Sequence[Column], parts: Sequence[str], widths: Sequence[int]) -> Text:
    cells = [
        part.ljust(width) if column.left or part[:1] in _EIGHTHS[1:] else part.rjust(width)
        for part, width, column in zip(parts, widths, columns, strict=True)
        if width
    ]
    return Text((" " * GAP).join(cells).rstrip())


# --- as HTML --------------------------------------------------------------------------------------------------


def table_html(table: DataTable) -> str:
    """The table as HTML; numbers in full width, bars as coloured blocks."""
    head = "".join(f"<th{_side(column)}>{html(column.name)}</th>" for column in table.columns)
    rows = "".join(
        f"<tr>{''.join(_cell_html(cell, column) for cell, column in zip(row, table.columns, strict=True))}</tr>"
        for row in table.rows
    )
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _side(column: Column) -> str:
    return "" if column.left else " class=n"


def _cell_html(cell: Cell, column: Column) -> str:
    if isinstance(cell, Bar):
        share = min(max(cell.share, 0.0), 1.0)
        return f"<td class=bar><span style='width:{100 * share:.1f}%'></span></td>"
    return f"<td{_side(column)}>{html(cell if isinstance(cell, str) else cell(3))}</td>"
