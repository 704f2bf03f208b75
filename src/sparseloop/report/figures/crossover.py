"""One metric of a study over one parameter, a line for every value of another one, and where the best one changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.report import borders
from sparseloop.report.figures import style
from sparseloop.report.figures.tables import StudyPoints

Floats = npt.NDArray[np.float64]
ONE_ROW = 20
"""Letters of all entries of a legend that surely fit into one row of a column's width."""
AXIS_WIDTH, DIGIT_WIDTH = 2.7, 0.062
"""Inches of the axis of parameters in a column of a paper, and of a digit of its labels."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MOST_TICKS = 8
"""So many values of the parameter are all marked on its axis."""
TIE = 0.002
"""Lines that stay closer than this do not cross: they are the same but for rounding."""


@dataclass(frozen=True, slots=True)
class Crossover:
    """From `left` on, in the direction of growing x, `after` is better than `before`."""

    x: float
    y: float
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Of every kind the least of the metric at each x, over all other parameters; nan where there is none."""

    x: tuple[float, ...]
    kinds: tuple[str, ...]
    values: Floats
    """Kind by x."""
    crossovers: tuple[Crossover, ...]


def lines(table: StudyPoints, metric: str, x: str, by: str | None) -> Lines:
    """The lines of a study."""
    if x not in table.parameters or not table.numeric(x):
        numbers = [name for name in table.parameters if table.numeric(name)]
        raise SpecError(
            [Diagnostic(message=f"'{x}' is no parameter with numbers", hint=f"there are: {', '.join(numbers) or 'none'}")]
        )
    column = table.column(metric)
    places = [float(v) for v in table.values(x)]
    kinds = [str(v) for v in table.values(by)] if by else [""]
    values = np.full((len(kinds), len(places)), np.inf)
    for row in table.valid:
        if row[x] is not None and row[column] is not None and (by is None or row[by] is not None):
            at = (kinds.index(str(row[by])) if by else 0, places.index(float(row[x])))
            values[at] = min(values[at], table.shown(row, column))
    values[np.isinf(values)] = np.nan
    kept = [i for i in range(len(kinds)) if not np.isnan(values[i]).all()]
    log = table.logarithmic(x)
    found = crossovers(places, [kinds[i] for i in kept], values[kept], log=log)
    return Lines(tuple(places), tuple(kinds[i] for i in kept), values[kept], found)


def crossovers(x: Sequence[float], kinds: Sequence[str], values: Floats, *, log: bool = False) -> tuple[Crossover, ...]:
    """Where the lowest of the lines changes, between neighbouring x by straight lines (in the logarithm of x if `log`)."""
    found: list[Crossover] = []
    scaled = np.log(x) if log else np.asarray(x, dtype=np.float64)
    for i, j in pairwise(range(len(x))):
        known = ~np.isnan(values[:, i]) & ~np.isnan(values[:, j])
        if not known.any():
            continue
        now = int(np.nanargmin(np.where(known, values[:, i], np.nan)))
        best, place = int(np.nanargmin(np.where(known, values[:, j], np.nan))), 0.0
        while now != best:
            gap = values[:, i] - values[now, i] + place * 0
            slope = (values[:, j] - values[now, j]) - gap
            with np.errstate(divide="ignore", invalid="ignore"):
                meets = np.where(known & (slope < 0), -gap / slope, np.inf)
            meets[meets < place - 1e-12] = np.inf
            meets[now] = np.inf
            after = int(np.argmin(meets))
            place = float(meets[after])
            if not place <= 1:
                break
            at = float(scaled[i] + place * (scaled[j] - scaled[i]))
            height = float(values[now, i] + place * (values[now, j] - values[now, i]))
            if np.abs(values[after, [i, j]] - values[now, [i, j]]).max() > TIE * abs(height):
                found.append(Crossover(float(np.exp(at)) if log else at, height, kinds[now], kinds[after]))
            now = after
    return tuple(found)


def _left_out(table: StudyPoints, x: str, by: str | None) -> str:
    """What a line does not show: other parameters, of which it takes the best values, and points that are not valid."""
    others = [name for name in table.parameters if name not in (x, by) and len(table.values(name)) > 1]
    invalid = len(table.rows) - len(table.valid)
    notes = [
        *([f"best over {', '.join(others)}"] if others else []),
        *([f"{invalid} invalid points left out"] if invalid else []),
    ]
    return f"\n({'; '.join(notes)})" if notes else ""


def tick_labels(values: Sequence[float], *, log: bool) -> list[str]:
    """The values as texts; empty where a text would run into that of a smaller value."""
    places = np.log(values) if log else np.asarray(values, dtype=np.float64)
    scale = AXIS_WIDTH / max(float(places[-1] - places[0]), 1e-30)
    labels, free = list[str](), -np.inf
    for value, place in zip(values, places - places[0], strict=True):
        text = f"{value:g}"
        half = len(text) * DIGIT_WIDTH / 2
        fits = place * scale - half > free
        labels.append(text if fits else "")
        free = place * scale + half + DIGIT_WIDTH if fits else free
    return labels


def draw(table: StudyPoints, metric: str | None = None, x: str | None = None, by: str | None = None) -> Any:
    """Lines with markers, crossovers as labelled dots."""
    table.some(len(table.valid))
    metric = metric or table.objectives[0]
    x = x or next((name for name in table.parameters if table.numeric(name) and len(table.values(name)) > 1), table.parameters[0])
    by = by or next((name for name in table.parameters if name != x and not table.numeric(name)), None)
    if by is not None and by not in table.parameters:
        raise SpecError(
            [Diagnostic(message=f"the study has no parameter '{by}'", hint=f"there are: {', '.join(table.parameters)}")]
        )
    data = lines(table, metric, x, by)
    fig, axes = style.figure(style.COLUMN, 2.7)
    for i, (kind, values) in enumerate(zip(data.kinds, data.values, strict=True)):
        look = {"color": style.colour(i), "linestyle": style.LINE_STYLES[i % 4], "marker": style.MARKERS[i % 8]}
        axes.plot(data.x, values, label=borders.figure(kind), markersize=3, **look)
    if table.logarithmic(x):
        style.log_axis(axes, "x")
    spread = data.values[~np.isnan(data.values)]
    if spread.max() > 20 * spread.min() > 0:
        style.log_axis(axes, "y")
    for letter, crossing in zip(LETTERS, data.crossovers, strict=False):
        axes.plot(crossing.x, crossing.y, "o", markersize=6, markerfacecolor="none", markeredgecolor="black", markeredgewidth=0.8)
        axes.annotate(letter, (crossing.x, crossing.y), xytext=(4, -9), textcoords="offset points", fontsize=7, style="italic")
    if data.crossovers:
        told = ", ".join(f"{crossing.x:.3g} ({letter})" for letter, crossing in zip(LETTERS, data.crossovers, strict=False))
        axes.set_title(borders.figure(f"the best changes at {x} {told}"), fontsize=7, loc="right")
    if len(data.x) <= MOST_TICKS:
        axes.set_xticks(data.x, tick_labels(data.x, log=table.logarithmic(x)))
        axes.set_xticks([], minor=True)
    axes.set(
        xlabel=borders.figure(f"{table.scale(x).label}{_left_out(table, x, by)}"),
        ylabel=borders.figure(table.scale(table.column(metric)).label),
    )
    axes.grid(which="major")
    if by:
        axes.legend(
            title=borders.figure(table.scale(by).label),
            loc="upper center",
            bbox_to_anchor=(0.5, -0.27),
            ncols=len(data.kinds) if sum(map(len, data.kinds)) <= ONE_ROW else 2 + (len(data.kinds) > 4),
            handlelength=2.2,
        )
    return fig
