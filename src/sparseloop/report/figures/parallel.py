"""Parallel coordinates of a study: an axis for every parameter and objective, a line for every valid point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.input.extras import import_extra
from sparseloop.mapper.objectives import pareto
from sparseloop.report import borders
from sparseloop.report.figures import style
from sparseloop.report.figures.tables import StudyPoints

MAX_LINES = 2000
"""Lines drawn behind the best ones."""
HIGHLIGHTED = 10
"""Points shown in colour where there is one objective."""


@dataclass(frozen=True, slots=True)
class ParallelAxis:
    """One axis: its ticks, and where every point crosses it (0 to 1)."""

    name: str
    ticks: tuple[tuple[float, str], ...]
    places: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Parallel:
    """All axes, and the points that stand out, best first."""

    axes: tuple[ParallelAxis, ...]
    best: tuple[int, ...]


def parallel(table: StudyPoints) -> Parallel:
    """Parameters with more than one value, then the objectives."""
    rows = table.valid
    table.some(len(rows))
    names = [name for name in table.parameters if len(table.values(name)) > 1]
    axes = [_category(table, name) if not table.numeric(name) else _number(table, name) for name in names]
    goals = list(dict.fromkeys(table.objectives))
    axes += [_scaled(table.scale(name).label, [table.shown(row, name) for row in rows], log=True) for name in goals]
    values = np.array([[row[name] for row in rows] for name in goals], dtype=np.float64)
    order = np.argsort(values[0], kind="stable")
    front = set(pareto(values).tolist()) if len(goals) > 1 else set(order[:HIGHLIGHTED].tolist())
    return Parallel(tuple(axes), tuple(int(i) for i in order if int(i) in front))


def _number(table: StudyPoints, name: str) -> ParallelAxis:
    return _scaled(table.scale(name).label, [row[name] for row in table.valid], log=table.logarithmic(name))


def _category(table: StudyPoints, name: str) -> ParallelAxis:
    known = [str(value) for value in table.values(name)]
    every = [*known, *(["none"] if any(row[name] is None for row in table.valid) else [])]
    last = max(1, len(every) - 1)
    places = [every.index("none" if row[name] is None else str(row[name])) / last for row in table.valid]
    return ParallelAxis(name, tuple((i / last, value) for i, value in enumerate(every)), np.array(places))


def _scaled(name: str, values: list[Any], *, log: bool) -> ParallelAxis:
    numbers = np.array([np.nan if v is None else float(v) for v in values])
    log = log and bool((numbers[~np.isnan(numbers)] > 0).all())
    scaled = np.log(numbers) if log else numbers
    low, high = float(np.nanmin(scaled)), float(np.nanmax(scaled))
    span = high - low or 1.0
    different = sorted({float(v) for v in numbers[~np.isnan(numbers)]})
    if len(different) > 6:
        marks = np.linspace(low, high, 5)
        different = [float(v) for v in (np.exp(marks) if log else marks)]
    ticks = [((float(np.log(v)) if log else v) - low, f"{v:.3g}") for v in different]
    return ParallelAxis(name, tuple((at / span, text) for at, text in ticks), (scaled - low) / span)


def draw(table: StudyPoints) -> Any:
    """Grey lines behind, the best (or the front) in colour on top."""
    data = parallel(table)
    count = len(data.axes)
    fig, axes = style.figure(min(style.PAGE, max(style.COLUMN, 1.0 + 0.95 * count)), 2.7)
    places = np.stack([axis.places for axis in data.axes])
    many = places.shape[1]
    shown = [round(i * (many - 1) / max(1, min(MAX_LINES, many) - 1)) for i in range(min(MAX_LINES, many))]
    across = np.arange(count)
    axes.plot(across, places[:, shown], color="#bbbbbb", linewidth=0.4, alpha=0.5, zorder=1)
    shades = import_extra("matplotlib", "plot").colormaps["cividis"]
    for rank, point in enumerate(reversed(data.best)):
        axes.plot(across, places[:, point], color=shades(rank / max(1, len(data.best) - 1) * 0.85), linewidth=1.1, zorder=2)
    for x, axis in enumerate(data.axes):
        axes.axvline(x, color="black", linewidth=0.7, zorder=3)
        for at, text in axis.ticks:
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
            axes.annotate(
                borders.figure(text),
                (x, at),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6,
                bbox=box,
                zorder=4,
            )
    labels = [borders.figure(axis.name.replace(" (", "\n(")) for axis in data.axes]
    axes.set_xticks(across, labels)
    axes.set_yticks([])
    axes.set(xlim=(-0.15, count - 1 + 0.45), ylim=(-0.04, 1.04))
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="x", length=0, pad=5)
    return fig
