"""The page of results: all that the terminal shows, with charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.facts import mapping_picture, subject, totals
from sparseloop.evaluation.result import Result
from sparseloop.input.markup import preformatted
from sparseloop.report import page_parts as parts
from sparseloop.report.borders import html
from sparseloop.report.datatable import table_html
from sparseloop.report.figures import breakdown, roofline, style
from sparseloop.report.figures.source import FigureSource
from sparseloop.report.tables import result_tables


def result_sections(drawn: FigureSource) -> Iterator[str]:
    """Totals, charts, then all tables of every result whose design is known."""
    yield parts.section("Totals", *_totals(drawn))
    yield parts.section(
        "Energy", _energy(drawn.records), note="Choose the split above the chart; click a part in the legend to hide it."
    )
    yield parts.section("Cycles", _cycles(drawn.records), note="What every level needs at least; the longest bar is the run.")
    roofs = {name: result for name, result in drawn.results.items() if roofline.roofline("", result).roofs}
    if roofs:
        with style.styled():
            figure = roofline.draw(roofs)
        yield parts.section("Roofline", parts.drawing(figure), note="Per level; a point on its roof is limited by that level.")
    for name, result in drawn.results.items():
        yield parts.section("Tables" + f": {name}" * (len(drawn.results) > 1), *_tables(result))
    yield parts.section("Actions", _actions(drawn.records), note="Everything that was priced; click a column to sort.")


def _totals(drawn: FigureSource) -> Iterator[str]:
    for name, record in drawn.records.items():
        result = drawn.results.get(name)
        if len(drawn.records) > 1:
            yield f"<h3>{html(name)}</h3>"
        if result is not None:
            equation, *about = subject(result)
            yield f"<p>{html(equation)}<br>{'<br>'.join(html(text) for text in about)}</p>"
        if record["status"]["valid"]:
            yield "<p>The mapping is <span class='good'>valid</span>.</p>"
        else:
            reasons = "".join(f"<li>{html(reason)}</li>" for reason in record["status"]["reasons"])
            yield f"<p>The mapping is <span class='bad'>not valid</span>:</p><ul>{reasons}</ul>"
        yield parts.facts([(fact.label, fact.text) for fact in totals(result)] if result else _recorded_totals(record))


def _recorded_totals(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The totals of a result file, which does not hold the clock."""
    found = record["totals"]
    return [
        ("energy", wording.energy_text(found["energy_pj"])),
        ("cycles", wording.count_text(found["cycles"])),
        ("EDP", f"{found['edp_pj_cycles']:.4g} pJ*cycles"),
        ("area", wording.total_area_text(found["area_um2"])),
        (
            "computes",
            f"{wording.count_text(found['computes']['total'])}, {wording.count_text(found['computes']['actual'])} actual",
        ),
        ("utilization", wording.percent_text(found["utilization"])),
    ]


def _tables(result: Result) -> Iterator[str]:
    """The tables of the terminal, and the loop nest."""
    for table in result_tables(result):
        note = f" <span class='note'>{html(table.note)}</span>" if table.note else ""
        yield f"<h3>{html(table.title)}{note}</h3>{table_html(table)}"
    if result.design.mapping is not None:
        yield f"<h3>Loop nest</h3>{preformatted(mapping_picture(result))}"


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
            traces.append(parts.plotly().Bar(x=names, y=heights, name=html(part), marker_color=shade, visible=number == 0))
            groups.append(number)
    buttons = [
        {"label": f"by {way}", "method": "update", "args": [{"visible": [group == number for group in groups]}]}
        for number, way in enumerate(ways)
    ]
    menu = {"type": "buttons", "direction": "right", "x": 0, "y": 1.15, "xanchor": "left", "buttons": buttons}
    title = f"energy ({breakdown.SYMBOLS.get(unit, unit)})"
    return parts.chart(
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
        parts.plotly().Bar(
            y=[html(level["name"]) for level in record["levels"]],
            x=[level["cycles"] for level in record["levels"]],
            name=html(name),
            orientation="h",
        )
        for name, record in records.items()
    ]
    axis = {"autorange": "reversed"}
    layout = {"barmode": "group", "yaxis": axis, "xaxis": {"title": {"text": "cycles"}}, "showlegend": len(records) > 1}
    return parts.chart(traces, {**layout, "height": 160 + 26 * len(traces) * len(traces[0].y)})


def _actions(records: Mapping[str, Mapping[str, Any]]) -> str:
    several = len(records) > 1
    columns = (*["result"] * several, "level", "tensor", "action", "count", "pJ each", "energy (pJ)", "source", "confidence")
    keys = ("count", "energy_pj_each", "energy_pj", "source", "confidence")
    rows = [
        [*[name] * several, level["name"], action["tensor"] or "", action["action"], *(action[key] for key in keys)]
        for name, record in records.items()
        for level in record["levels"]
        for action in level["actions"]
    ]
    return parts.sorted_table(columns, rows, "actions")
