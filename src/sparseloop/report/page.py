"""An interactive HTML page of results or of a study, in one file that opens without a network."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.result import Result
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.extras import import_extra
from sparseloop.report.borders import html
from sparseloop.report.figures import breakdown, loopnest, parallel, roofline, sensitivity, style
from sparseloop.report.figures import pareto as fronts
from sparseloop.report.figures.source import FigureSource
from sparseloop.report.figures.tables import StudyPoints, label_of

PIXELS = 150
"""Per inch of a drawing."""
BEST_ROWS = 30
"""Rows in the table of a study's best points."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin: 2em 0 .4em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-size: .85em; width: 100% }
th, td { padding: .2em .6em; text-align: left; border-bottom: 1px solid #e5e5e5; vertical-align: top }
th { cursor: pointer; position: sticky; top: 0; background: #fff; white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.scroll { max-height: 32em; overflow: auto; border: 1px solid #e5e5e5 }
.bad { color: #b00; font-weight: 600 } .good { color: #060; font-weight: 600 } .note { color: #666; font-size: .85em }
div.drawing svg { max-width: 100%; height: auto } input { margin: .4em 0; padding: .3em; width: 20em; max-width: 100% }
"""
SCRIPT = """
document.querySelectorAll('th').forEach(th => th.addEventListener('click', () => {
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


def page(drawn: FigureSource) -> str:
    """The page of results, or of a study."""
    if drawn.store is not None:
        table = StudyPoints(drawn.store)
        return _whole(str(table.study.get("name") or "Study"), _study(table))
    if not drawn.records:
        raise SpecError([Diagnostic(message="there is nothing to report")])
    title = next(iter(drawn.records)) if len(drawn.records) == 1 else f"{len(drawn.records)} results"
    return _whole(title, _results(drawn))


def _whole(title: str, sections: Iterable[str]) -> str:
    library = import_extra("plotly.offline", "plot").get_plotlyjs()
    head = f"<meta charset='utf-8'><title>{html(title)}</title><style>{STYLE}</style><script>{library}</script>"
    body = "\n".join((f"<h1>{html(title)}</h1>", *sections))
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{body}<script>{SCRIPT}</script></body></html>\n"


def _section(title: str, *parts: str, note: str = "") -> str:
    told = f"<p class='note'>{html(note)}</p>" if note else ""
    return f"<section><h2>{html(title)}</h2>{told}{''.join(parts)}</section>"


def _plotly() -> Any:
    return import_extra("plotly.graph_objects", "plot")


def _chart(traces: Sequence[Any], layout: Mapping[str, Any]) -> str:
    figure = _plotly().Figure(data=list(traces), layout={**LAYOUT, **layout})
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True})


def _drawing(figure: Any) -> str:
    """A figure as SVG inside the page."""
    text = io.StringIO()
    with style.styled():
        figure.savefig(text, format="svg", metadata={"Date": None})
    width = round(figure.get_figwidth() * PIXELS)
    drawing = text.getvalue()[text.getvalue().index("<svg") :]
    return f"<div class='drawing' style='max-width:{width}px'>{drawing.replace('<svg', '<svg style=width:100%', 1)}</div>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]], name: str = "") -> str:
    """Numbers to the right, with their full value for sorting; a box filters tables that have a name."""
    body: list[list[Any]] = [list(row) for row in rows]
    numeric = [bool(body) and all(isinstance(row[i], int | float | None) for row in body) for i in range(len(columns))]
    head = "".join(f"<th{' class=n' * n}>{html(c)}</th>" for c, n in zip(columns, numeric, strict=True))
    lines = "".join(f"<tr>{''.join(_cell(v, n) for v, n in zip(row, numeric, strict=True))}</tr>" for row in body)
    box = f"<input data-table='{html(name)}' placeholder='filter'>" if name else ""
    return f"{box}<div class='scroll'><table id='{html(name)}'><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"


def _cell(value: Any, numeric: bool) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{html(value)}</td>"
    return f"<td{' class=n' * numeric} data-v='{value!r}'>{value:.6g}</td>"


# --- results ----------------------------------------------------------------------------------------------------


def _results(drawn: FigureSource) -> Iterable[str]:
    yield _section("Totals", *_totals(drawn.records))
    yield _section(
        "Energy", _energy(drawn.records), note="Choose the split above the figure; click a part in the legend to hide it."
    )
    yield _section("Cycles", _cycles(drawn.records), note="What every level needs at least; the longest bar is the run.")
    if drawn.results and any(_has_roof(result) for result in drawn.results.values()):
        roofs = {name: result for name, result in drawn.results.items() if _has_roof(result)}
        with style.styled():
            figure = roofline.draw(roofs)
        yield _section("Roofline", _drawing(figure), note="Per level; a point on its roof is limited by that level.")
    for name, result in drawn.results.items():
        with style.styled():
            figure = loopnest.draw(result)
        yield _section("Loop nest" + f": {name}" * (len(drawn.results) > 1), _drawing(figure))
    yield _section("Actions", _actions(drawn.records), note="Everything that was priced; click a column to sort.")


def _has_roof(result: Result) -> bool:
    return bool(roofline.roofline("", result).roofs)


def _totals(records: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    columns = (
        "result",
        "energy (pJ)",
        "cycles",
        "EDP (pJ cycles)",
        "area (um2)",
        "utilization",
        "dense computes",
        "actual",
        "skipped",
    )
    rows: list[list[Any]] = []
    for name, record in records.items():
        totals, computes = record["totals"], record["totals"]["computes"]
        values = [totals[key] for key in ("energy_pj", "cycles", "edp_pj_cycles", "area_um2", "utilization")]
        rows.append([name, *values, computes["total"], computes["actual"], computes["skipped"] + computes["absent"]])
    yield _table(columns, rows)
    for name, record in records.items():
        if record["status"]["valid"]:
            yield f"<p>{html(name)}: <span class='good'>valid</span></p>"
        else:
            reasons = "".join(f"<li>{html(reason)}</li>" for reason in record["status"]["reasons"])
            yield f"<p>{html(name)}: <span class='bad'>not valid</span></p><ul>{reasons}</ul>"


def _energy(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Stacked bars with buttons for the three ways to split them."""
    traces: list[Any] = []
    groups: list[int] = []
    ways = ("level", "tensor", "action")
    scale, unit = breakdown.unit_of(max(breakdown.bars(records).totals, default=0.0))
    for number, way in enumerate(ways):
        data = breakdown.bars(records, way)
        for i, part in enumerate(data.parts):
            heights = [row[i] / scale for row in data.values]
            shade = "#bbbbbb" if part == breakdown.REST else style.colour(i)
            names = [html(name) for name in data.names]
            traces.append(_plotly().Bar(x=names, y=heights, name=html(part), marker_color=shade, visible=number == 0))
            groups.append(number)
    buttons = [
        {"label": f"by {way}", "method": "update", "args": [{"visible": [group == number for group in groups]}]}
        for number, way in enumerate(ways)
    ]
    menu = {"type": "buttons", "direction": "right", "x": 0, "y": 1.15, "xanchor": "left", "buttons": buttons}
    title = f"energy ({breakdown.SYMBOLS.get(unit, unit)})"
    return _chart(
        traces,
        {
            "barmode": "stack",
            "bargap": 0.75 if len(records) == 1 else 0.3,
            "updatemenus": [menu],
            "yaxis": {"title": {"text": title}},
            "margin": {"t": 70},
        },
    )


def _cycles(records: Mapping[str, Mapping[str, Any]]) -> str:
    traces = [
        _plotly().Bar(
            y=[html(level["name"]) for level in record["levels"]],
            x=[level["cycles"] for level in record["levels"]],
            name=html(name),
            orientation="h",
        )
        for name, record in records.items()
    ]
    axis = {"autorange": "reversed"}
    layout = {"barmode": "group", "yaxis": axis, "xaxis": {"title": {"text": "cycles"}}, "showlegend": len(records) > 1}
    return _chart(traces, {**layout, "height": 160 + 26 * len(traces) * len(traces[0].y)})


def _actions(records: Mapping[str, Mapping[str, Any]]) -> str:
    columns = ("result", "level", "tensor", "action", "count", "pJ each", "energy (pJ)", "source", "confidence")
    keys = ("count", "energy_pj_each", "energy_pj", "source", "confidence")
    rows = [
        [name, level["name"], action["tensor"] or "", action["action"], *(action[key] for key in keys)]
        for name, record in records.items()
        for level in record["levels"]
        for action in level["actions"]
    ]
    return _table(columns, rows, "actions")


# --- studies ----------------------------------------------------------------------------------------------------


def _study(table: StudyPoints) -> Iterable[str]:
    valid = len(table.valid)
    goals = ", ".join(table.objectives)
    counts = f"{wording.count_text(len(table.rows))} points, {wording.count_text(valid)} valid; minimized: {goals}"
    yield f"<p>{html(counts)}</p>"
    if not valid:
        yield _section("Why", _table(("point", "why"), ((row["point"], row["why"]) for row in table.rows[:BEST_ROWS])))
        return
    yield _section(
        "Best points", _best(table), note=f"At most {BEST_ROWS}, by the first objective; of several objectives the front."
    )
    yield _section("Front", _front(table), note="Point at a dot for its parameters.")
    yield _section("Parallel coordinates", _parallel(table), note="Drag along an axis to choose a range; drag names to reorder.")
    with style.styled():
        drawings = [_drawing(sensitivity.draw(table, name)) for name in table.objectives]
    yield _section(
        "What matters",
        *drawings,
        note="Share of the variance that a parameter explains alone; factor between its best and worst value.",
    )


def _best(table: StudyPoints) -> str:
    goals = table.objectives
    ranked = sorted(table.valid, key=lambda row: row[goals[0]])
    if len(goals) > 1:
        data = fronts.front(table, goals[:2])
        chosen = {id(table.valid[i]) for i in _front_of(table, goals)} if data.front else set[int]()
        ranked = [row for row in ranked if id(row) in chosen]
    shown = [name for name in ("energy_pj", "cycles", "edp", "area_um2", "power_w") if name not in goals]
    columns = ["point", *table.parameters, *goals, *shown, "proven"]
    return _table([label_of(c) for c in columns], ([row[c] for c in columns] for row in ranked[:BEST_ROWS]), "best")


def _front_of(table: StudyPoints, goals: Sequence[str]) -> list[int]:
    """Numbers of the valid points that no other one beats in all objectives."""
    import numpy as np

    from sparseloop.mapper.objectives import pareto

    return [int(i) for i in pareto(np.array([[row[name] for row in table.valid] for name in goals], dtype=np.float64))]


def _front(table: StudyPoints) -> str:
    data = fronts.front(table)
    rows = [row for row in table.valid if row[data.columns[0]] is not None and row[data.columns[1]] is not None]
    texts = [_hover(table, row) for row in rows]
    on = set(data.front)
    traces: list[Any] = []
    kinds = data.kinds or ("points",) * len(rows)
    for number, kind in enumerate(dict.fromkeys(kinds)):
        mine = [i for i, other in enumerate(kinds) if other == kind]
        outline = {"width": [1.5 if i in on else 0 for i in mine], "color": "black"}
        look = {"color": style.colour(number), "size": [9 if i in on else 6 for i in mine], "line": outline}
        points = {"x": data.values[0, mine].tolist(), "y": data.values[1, mine].tolist(), "text": [texts[i] for i in mine]}
        traces.append(_plotly().Scattergl(**points, mode="markers", name=html(kind), hoverinfo="text", marker=look))
    line = {"mode": "lines", "line": {"shape": "hv", "color": "black", "width": 1}, "hoverinfo": "skip", "name": "front"}
    traces.append(
        _plotly().Scatter(x=data.values[0, list(data.front)].tolist(), y=data.values[1, list(data.front)].tolist(), **line)
    )
    axes = {f"{axis}axis": _axis(values, name) for axis, values, name in zip("xy", data.values, data.columns, strict=True)}
    return _chart(traces, {**axes, "height": 520, "hovermode": "closest"})


def _axis(values: Any, name: str) -> dict[str, Any]:
    return {
        "title": {"text": html(label_of(name))},
        "exponentformat": "power",
        "type": "log" if values.max() > 20 * values.min() > 0 else "linear",
    }


def _hover(table: StudyPoints, row: Mapping[str, Any]) -> str:
    goals = [f"{label_of(name)}: {row[name]:.5g}" for name in table.objectives if row[name] is not None]
    parameters = [f"{name}: {row[name]}" for name in table.parameters if row[name] is not None]
    return "<br>".join(html(line) for line in (f"point {row['point']}", *parameters, *goals))


def _parallel(table: StudyPoints) -> str:
    data = parallel.parallel(table)
    dimensions = [
        {
            "label": html(axis.name),
            "values": axis.places.tolist(),
            "range": [0, 1],
            "tickvals": [at for at, _ in axis.ticks],
            "ticktext": [html(text) for _, text in axis.ticks],
        }
        for axis in data.axes
    ]
    last = data.axes[-len(table.objectives)]
    line = {"color": last.places.tolist(), "colorscale": "Cividis", "showscale": False}
    trace = _plotly().Parcoords(dimensions=dimensions, line=line, unselected={"line": {"opacity": 0.05}})
    return _chart([trace], {"height": 460, "margin": {"l": 80, "r": 80, "t": 60, "b": 30}})
