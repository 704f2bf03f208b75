"""Published figures beside ours: a panel per figure, a line per case from what was published to what we say."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from textwrap import fill
from typing import Any

from sparseloop.input.extras import import_extra
from sparseloop.report import borders
from sparseloop.report.figures import style
from sparseloop.validation.records import PublishedFigure

LINE_HEIGHT = 0.15
"""Inches per case."""
AROUND = 0.65
"""Inches of a row of panels beside its cases: title, ticks, unit."""
LETTERS_PER_INCH, HEADING_LINE = 13.5, 0.14
"""Of the bold heading: letters that surely fit, inches of a further line."""
VISIBLE = 0.01
"""Error bars below this share of the largest value would hide behind the marks: none is drawn."""
DECADES = 30.0
"""Values that differ by more are drawn on a logarithmic axis."""


def draw_comparisons(rows: Sequence[PublishedFigure], title: str) -> Any:
    """A figure of one target; counts that must all come to the same number, and do, are left out."""
    panels = [
        figure
        for figure in dict.fromkeys(row.figure for row in rows)
        if not _plain([row for row in rows if row.figure == figure])
    ]
    columns = 2 if len(panels) > 1 else 1
    lines = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    sizes = {figure: sum(row.figure == figure for row in rows) for figure in panels}
    heights = [AROUND + LINE_HEIGHT * max(sizes[figure] for figure in line) for line in lines]
    with style.styled():
        width = style.PAGE if columns > 1 else style.COLUMN
        heading = fill(title, round(LETTERS_PER_INCH * width))
        above = 0.35 + HEADING_LINE * heading.count("\n")
        made = import_extra("matplotlib.figure", "plot").Figure(figsize=(width, sum(heights) + above))
        grid = made.add_gridspec(len(lines), columns, height_ratios=heights)
        for i, line in enumerate(lines):
            for j, figure in enumerate(line):
                own, most = sizes[figure], max(sizes[one] for one in line)
                place = grid[i, j].subgridspec(2, 1, height_ratios=[own, most - own])[0] if own < most else grid[i, j]
                axes = made.add_subplot(place)
                _panel(axes, [row for row in rows if row.figure == figure])
                axes.set_title(borders.figure(figure), loc="left")
        shown = {label: handle for axes in made.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        made.legend(list(shown.values()), list(shown), loc="outside lower right", ncols=3)
        made.suptitle(borders.figure(heading), x=0.01, ha="left", fontsize=8, fontweight="bold")
    return made


def _plain(rows: list[PublishedFigure]) -> bool:
    return len(rows) > 1 and len({row.published for row in rows} | {row.ours for row in rows}) == 1


def _panel(axes: Any, rows: list[PublishedFigure]) -> None:
    """One figure; a linear axis begins at zero, so that distances are shares."""
    places = list(range(len(rows)))
    published, ours = [row.published for row in rows], [row.ours for row in rows]
    axes.hlines(places, published, ours, colors="#999999", linewidth=1.0)
    axes.plot(published, places, "o", markersize=5.5, markerfacecolor="white", markeredgecolor="black", label="reference")
    most = max(map(abs, (*published, *ours)))
    spread = [
        (place, row)
        for place, row in zip(places, rows, strict=True)
        if row.low is not None and row.high is not None and row.high - row.low > VISIBLE * most
    ]
    if spread:
        axes.hlines(
            [place for place, _ in spread],
            [row.low for _, row in spread],
            [row.high for _, row in spread],
            colors=style.colour(0),
            linewidth=2.6,
            alpha=0.35,
            label="P10 to P90",
        )
    axes.plot(ours, places, "D", markersize=2.8, color=style.colour(0), label="ours")
    axes.set_yticks(places, [borders.figure(row.case) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x")
    values = [value for value in (*published, *ours) if isfinite(value)]
    if values and min(values) > 0 and max(values) / min(values) > DECADES:
        style.log_axis(axes, "x")
    else:
        style.linear_axis(axes, "x", from_zero=bool(values) and min(values) >= 0)
    if rows[0].unit:
        axes.set_xlabel(borders.figure(rows[0].unit))
