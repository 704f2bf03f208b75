"""Pieces of HTML that notebooks and pages share: escaped text, tables, stacked bars as SVG. No script, no file, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sparseloop.input.terminal import lines, visible

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito, "Color universal design", 2008: the colour-blind can distinguish them."""
LABEL_WIDTH, BAR_WIDTH, BAR_HEIGHT = 90, 330, 16
"""Of the bars, in pixels."""


def markup(text: object) -> str:
    """Text inside an HTML page, between tags or in a quoted attribute; also in a plotly figure, which reads tags."""
    return escape(visible(str(text)))


def preformatted(text: str) -> str:
    """Several lines as they are, in letters of one width."""
    style = "text-align:left;line-height:1.3;font-size:12px;overflow-x:auto"
    return f"<pre style='{style}'>{escape(lines(text))}</pre>"


def heading(text: object, note: object = "") -> str:
    """A line in bold, with a note beside it."""
    return f"<p><b>{markup(text)}</b> {markup(note)}</p>"


def small_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> str:
    """A table; the first `left` columns are texts, the others numbers."""

    def cells(tag: str, row: Sequence[object]) -> str:
        sides = ("left" if i < left else "right" for i in range(len(row)))
        return "".join(f"<{tag} style='text-align:{side}'>{markup(cell)}</{tag}>" for cell, side in zip(row, sides, strict=True))

    head = f"<thead><tr>{cells('th', columns)}</tr></thead>" if any(columns) else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div style='overflow-x:auto'><table>{head}<tbody>{body}</tbody></table></div>"


def stacked_bars(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Horizontal bars of parts, the longest as wide as the figure, with a legend: row and part to a number."""
    parts = [
        part for part in dict.fromkeys(part for row in rows.values() for part in row) if any(r.get(part) for r in rows.values())
    ]
    longest = max((sum(row.values()) for row in rows.values()), default=0.0) or 1.0
    shades = {part: COLOURS[i % len(COLOURS)] for i, part in enumerate(parts)}
    drawn: list[str] = []
    for number, (name, row) in enumerate(rows.items()):
        top, at = number * (BAR_HEIGHT + 6), float(LABEL_WIDTH)
        drawn.append(_text(LABEL_WIDTH - 6, top + 12, name, anchor="end"))
        for part in parts:
            wide = BAR_WIDTH * row.get(part, 0.0) / longest
            if wide > 0.05:
                title = f"<title>{markup(f'{name} {part}: {row[part]:.4g}')}</title>"
                drawn.append(
                    f"<rect x='{at:.1f}' y='{top}' width='{wide:.1f}' height='{BAR_HEIGHT}' fill='{shades[part]}'>{title}</rect>"
                )
            at += wide
    below, at = len(rows) * (BAR_HEIGHT + 6), float(LABEL_WIDTH)
    for part in parts:
        drawn.append(f"<rect x='{at:.1f}' y='{below}' width='10' height='10' fill='{shades[part]}'/>")
        drawn.append(_text(at + 14, below + 9, part))
        at += 24 + 7 * len(part)
    wide = max(LABEL_WIDTH + BAR_WIDTH, at)
    size = f"viewBox='0 0 {wide:.0f} {below + 16}' width='{wide:.0f}'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} style='max-width:100%' role='img'>{''.join(drawn)}</svg>"


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    look = "font-family='sans-serif' font-size='11' fill='currentColor'"
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {look}>{markup(text)}</text>"
