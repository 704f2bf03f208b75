"""Pieces of pages: the shell, sections, charts, drawings, tables to sort."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sparseloop.input.extras import import_extra
from sparseloop.report.borders import html
from sparseloop.report.figures import style

LONG = 40
"""Letters of a cell from which on its text is broken over lines."""
PIXELS = 150
"""Per inch of a drawing."""
NARROW = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
"""Small screens show the page in their own width; without it they lay it out for 980 pixels and shrink that."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.4em; overflow-wrap: anywhere } h2 { font-size: 1.15em; margin: 2em 0 .4em; border-bottom: 1px solid #ccc }
h3 { font-size: 1em; margin: 1.4em 0 .3em } h3 .note { font-weight: 400 }
table { border-collapse: collapse; font-size: .85em } table.sortable { width: 100% }
th, td { padding: .2em .6em; text-align: left; border-bottom: 1px solid #e5e5e5; vertical-align: top; white-space: nowrap }
td.wide { white-space: normal; min-width: 24em; overflow-wrap: anywhere }
th { position: sticky; top: 0; background: #fff } table.sortable th { cursor: pointer }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
td.bar { min-width: 6em } td.bar span { display: block; height: .8em; margin-top: .3em; background: #0072b2 }
.scroll { max-height: 32em; overflow: auto; max-width: 100% } pre { overflow-x: auto; font-size: 12px; line-height: 1.35 }
.bad { color: #b00; font-weight: 600 } .good { color: #060; font-weight: 600 } .note { color: #666; font-size: .85em }
code { overflow-wrap: anywhere } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; margin: .5em 0 }
dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
div.drawing svg { max-width: 100%; height: auto } input { margin: .4em 0; padding: .3em; width: 20em; max-width: 100% }
@media (max-width: 600px) { body { padding: 0 .6em; margin: 1em auto } dl { grid-template-columns: 1fr }
  dd { margin-bottom: .4em } }
"""
SCRIPT = """
document.querySelectorAll('table.sortable th').forEach(th => th.addEventListener('click', () => {
  const body = th.closest('table').tBodies[0], i = th.cellIndex, up = th.dataset.up = th.dataset.up == '1' ? '0' : '1';
  const key = row => { const c = row.cells[i]; return c.dataset.v === undefined ? c.textContent : Number(c.dataset.v); };
  [...body.rows].sort((a, b) => { const x = key(a), y = key(b);
    return (typeof x == 'number' && typeof y == 'number' ? x - y : String(x).localeCompare(String(y))) * (up == '1' ? 1 : -1);
  }).forEach(row => body.append(row));
}));
document.querySelectorAll('input[data-table]').forEach(box => box.addEventListener('input', () => {
  const wanted = box.value.toLowerCase();
  document.getElementById(box.dataset.table).querySelectorAll('tbody tr').forEach(row =>
    row.hidden = !row.textContent.toLowerCase().includes(wanted));
}));
"""
LAYOUT: Mapping[str, Any] = {
    "template": "plotly_white",
    "font": {"size": 13},
    "margin": {"l": 70, "r": 20, "t": 30, "b": 60},
    "colorway": list(style.COLOURS),
}


def whole(title: str, sections: Iterable[str]) -> str:
    """The page: it holds all it needs and fetches nothing."""
    library = import_extra("plotly.offline", "plot").get_plotlyjs()
    head = f"<meta charset='utf-8'>{NARROW}<title>{html(title)}</title><style>{STYLE}</style><script>{library}</script>"
    body = "\n".join((f"<h1>{html(title)}</h1>", *sections))
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{body}<script>{SCRIPT}</script></body></html>\n"


def section(title: str, *parts: str, note: str = "") -> str:
    """A heading with what stands below it."""
    told = f"<p class='note'>{html(note)}</p>" if note else ""
    return f"<section><h2>{html(title)}</h2>{told}{''.join(parts)}</section>"


def plotly() -> Any:
    """The module with plotly's traces."""
    return import_extra("plotly.graph_objects", "plot")


def chart(traces: Sequence[Any], layout: Mapping[str, Any]) -> str:
    """A figure to look around in."""
    figure = plotly().Figure(data=list(traces), layout={**LAYOUT, **layout})
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True})


def drawing(figure: Any) -> str:
    """A figure as SVG inside the page."""
    text = io.StringIO()
    with style.styled():
        figure.savefig(text, format="svg", metadata={"Date": None})
    width = round(figure.get_figwidth() * PIXELS)
    drawing = text.getvalue()[text.getvalue().index("<svg") :]
    return f"<div class='drawing' style='max-width:{width}px'>{drawing.replace('<svg', '<svg style=width:100%', 1)}</div>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Labels with their texts."""
    return f"<dl>{''.join(f'<dt>{html(label)}</dt><dd>{html(text)}</dd>' for label, text in pairs)}</dl>"


def sorted_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], name: str = "") -> str:
    """Numbers to the right, with their full value for sorting; a box filters tables that have a name."""
    body: list[list[Any]] = [list(row) for row in rows]
    numeric = [bool(body) and all(isinstance(row[i], int | float | None) for row in body) for i in range(len(columns))]
    head = "".join(f"<th{' class=n' * n}>{html(c)}</th>" for c, n in zip(columns, numeric, strict=True))
    lines = "".join(f"<tr>{''.join(_cell(v, n) for v, n in zip(row, numeric, strict=True))}</tr>" for row in body)
    box = f"<input data-table='{html(name)}' placeholder='filter'>" if name else ""
    shown = f"<table class='sortable' id='{html(name)}'><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    return f"{box}<div class='scroll'>{shown}</div>"


def _cell(value: Any, numeric: bool) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = html(value)
        return f"<td{' class=wide' * (len(text) > LONG)}>{text}</td>"
    return f"<td{' class=n' * numeric} data-v='{value!r}'>{value:.6g}</td>"
