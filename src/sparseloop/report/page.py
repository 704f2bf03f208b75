"""An interactive HTML page of results or of a study, in one file that opens without a network."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparseloop import __version__
from sparseloop.evaluation import humanize as wording
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.report import page_parts as parts
from sparseloop.report.borders import html
from sparseloop.report.figures import parallel, sensitivity, style
from sparseloop.report.figures import pareto as fronts
from sparseloop.report.figures.source import FigureSource
from sparseloop.report.figures.tables import StudyPoints
from sparseloop.report.result_page import result_sections

BEST_ROWS = 30
"""Rows in the table of a study's best points."""
WIDTH_OF_AXIS = 130
"""Pixels of an axis of parallel coordinates at least: titles must not overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a page comes from: the files, the command that makes it again, the day."""

    files: tuple[str, ...] = ()
    """As given; their contents are named by hash."""
    command: tuple[str, ...] = ()
    date: str = ""
    """As it is to be shown; empty: not shown."""


def page(drawn: FigureSource, provenance: Provenance | None = None) -> str:
    """The page of results, or of a study."""
    made = _provenance(drawn, provenance or Provenance())
    if drawn.store is not None:
        table = StudyPoints(drawn.store)
        return parts.whole(f"Study: {table.study.get('name') or drawn.store.path.name}", [*_study(table), made])
    if not drawn.records:
        raise SpecError([Diagnostic(message="there is nothing to report")])
    return parts.whole(_title(drawn), [*result_sections(drawn), made])


def _title(drawn: FigureSource) -> str:
    """The workload and the machine of one result, the number of several."""
    if len(drawn.records) > 1:
        return f"{len(drawn.records)} results"
    name = next(iter(drawn.records))
    result = drawn.results.get(name)
    if result is None:
        return name
    title = wording.equation_text(result.design.einsum) if name == "result" else name
    levels = " > ".join(level.name for level in result.plan.arch.levels)
    return f"{title} on {levels}"


def _provenance(drawn: FigureSource, given: Provenance) -> str:
    """The last section: how this page came about."""
    found = [("sparseloop", __version__), *([("date", given.date)] if given.date else [])]
    if given.command:
        found.append(("command", shlex.join(given.command)))
    rows = [(file, _hash(Path(file))) for file in given.files if Path(file).is_file()]
    if drawn.store is not None:
        study = drawn.store.study
        chosen: dict[str, Any] = study["mapping"] or {}
        settings = ", ".join(f"{name} {value}" for name, value in chosen.items() if value not in (None, False))
        found += [("study", f"{study['id']}, written by version {study['version']}"), ("mapping", settings)]
    warnings = dict.fromkeys(text for result in drawn.results.values() for text in result.warnings)
    told = [parts.facts(found)]
    if rows:
        listed = "".join(f"<tr><td>{html(file)}</td><td><code>{digest}</code></td></tr>" for file, digest in rows)
        head = "<thead><tr><th>file</th><th>SHA-256</th></tr></thead>"
        told.append(f"<div class='scroll'><table>{head}<tbody>{listed}</tbody></table></div>")
    if warnings:
        told.append(f"<h3>Warnings</h3><ul>{''.join(f'<li>{html(text)}</li>' for text in warnings)}</ul>")
    return parts.section("Provenance", *told)


def _hash(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "cannot be read"


# --- studies ----------------------------------------------------------------------------------------------------


def _study(table: StudyPoints) -> Iterable[str]:
    valid = len(table.valid)
    goals = ", ".join(table.objectives)
    counts = f"{wording.count_text(len(table.rows))} points, {wording.count_text(valid)} valid; minimized: {goals}"
    yield f"<p>{html(counts)}</p>"
    if table.unproven:
        yield f"<p class='bad'>{html(table.unproven)}: a longer budget may find better ones</p>"
    if not valid:
        yield parts.section(
            "Why", parts.sorted_table(("point", "why"), ((row["point"], row["why"]) for row in table.rows[:BEST_ROWS]))
        )
        return
    yield parts.section(
        "Best points", _best(table), note=f"At most {BEST_ROWS}, by the first objective; of several objectives the front."
    )
    yield parts.section("Front", _front(table), note="Point at a dot for its parameters.")
    yield parts.section(
        "Parallel coordinates", _parallel(table), note="Drag along an axis to choose a range; drag names to reorder."
    )
    with style.styled():
        drawings = [parts.drawing(sensitivity.draw(table, name)) for name in table.objectives]
    yield parts.section(
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
    rows = ([_number(table, row, name) for name in columns] for row in ranked[:BEST_ROWS])
    return parts.sorted_table([table.scale(name).label for name in columns], rows, "best")


def _number(table: StudyPoints, row: Mapping[str, Any], name: str) -> Any:
    """What a point has in a column, metrics in the unit of the column."""
    value = row[name]
    if isinstance(value, bool):
        return "yes" if value else "no"
    metric = isinstance(value, float) and name not in table.parameters
    return table.shown(dict(row), name) if metric else value


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
        traces.append(parts.plotly().Scattergl(**points, mode="markers", name=html(kind), hoverinfo="text", marker=look))
    line = {"mode": "lines", "line": {"shape": "hv", "color": "black", "width": 1}, "hoverinfo": "skip", "name": "front"}
    traces.append(
        parts.plotly().Scatter(x=data.values[0, list(data.front)].tolist(), y=data.values[1, list(data.front)].tolist(), **line)
    )
    axes = {f"{axis}axis": _axis(table, values, name) for axis, values, name in zip("xy", data.values, data.columns, strict=True)}
    return parts.chart(traces, {**axes, "height": 520, "hovermode": "closest"})


def _axis(table: StudyPoints, values: Any, name: str) -> dict[str, Any]:
    return {
        "title": {"text": html(table.scale(name).label)},
        "exponentformat": "power",
        "type": "log" if values.max() > 20 * values.min() > 0 else "linear",
    }


def _hover(table: StudyPoints, row: Mapping[str, Any]) -> str:
    goals = [
        f"{table.scale(name).label}: {table.shown(dict(row), name):.5g}" for name in table.objectives if row[name] is not None
    ]
    parameters = [f"{name}: {row[name]}" for name in table.parameters if row[name] is not None]
    marks = ["mapping not proven optimal"] if row["proven"] is False else []
    return "<br>".join(html(line) for line in (f"point {row['point']}", *parameters, *goals, *marks))


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
    trace = parts.plotly().Parcoords(dimensions=dimensions, line=line, unselected={"line": {"opacity": 0.05}})
    chart = parts.chart([trace], {"height": 460, "margin": {"l": 80, "r": 80, "t": 60, "b": 30}})
    return f"<div class='scroll'><div style='min-width:{WIDTH_OF_AXIS * len(dimensions)}px'>{chart}</div></div>"
