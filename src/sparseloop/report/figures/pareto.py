"""Points of a study by two of its objectives, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparseloop.mapper.objectives import pareto
from sparseloop.report import borders
from sparseloop.report.figures import style
from sparseloop.report.figures.tables import StudyPoints

MOST_KINDS = len(style.COLOURS)


@dataclass(frozen=True, slots=True)
class Front:
    """Two columns of valid points, and which of them are on the front, by the first column."""

    columns: tuple[str, str]
    values: np.ndarray[Any, np.dtype[np.float64]]
    """Column by point."""
    front: tuple[int, ...]
    kinds: tuple[str, ...] = ()
    """By point, what it is coloured by."""
    by: str = ""
    """The parameter of the kinds."""


def front(table: StudyPoints, columns: Sequence[str] = (), by: str | None = None) -> Front:
    """The front of two columns (the first two objectives; of one: that and the area)."""
    x, y = (*columns, *table.objectives, "area_um2", "energy_pj", "cycles")[:2] if len(columns) != 2 else columns
    if x == y:
        y = next(name for name in ("cycles", "energy_pj", "area_um2") if name != x)
    rows = [row for row in table.valid if row[x] is not None and row[y] is not None]
    values = np.array([[table.shown(row, name) for row in rows] for name in (x, y)], dtype=np.float64).reshape(2, -1)
    best = sorted((int(i) for i in pareto(values)), key=lambda i: values[0, i]) if len(rows) else []
    by = by or next((p for p in table.parameters if 1 < len(table.values(p)) <= MOST_KINDS and not table.numeric(p)), None)
    kinds = tuple(str(row[by]) for row in rows) if by else ()
    return Front((x, y), values, tuple(best), kinds, by or "")


def draw(table: StudyPoints, columns: Sequence[str] = (), by: str | None = None) -> Any:
    """Points, the front as steps, logarithmic axes where values span a factor of 20."""
    data = front(table, columns, by)
    table.some(data.values.shape[1])
    fig, axes = style.figure(style.COLUMN, 2.6)
    chosen = data.values[:, list(data.front)]
    axes.step(chosen[0], chosen[1], where="post", color="black", linewidth=0.9, zorder=2)
    every = list(dict.fromkeys(data.kinds)) or [""]
    for number, kind in enumerate(every):
        mine = np.array([other == kind for other in data.kinds]) if data.kinds else np.ones(data.values.shape[1], dtype=bool)
        look = {"s": 9, "color": style.colour(number), "marker": style.MARKERS[number % 8], "linewidth": 0, "alpha": 0.55}
        axes.scatter(*data.values[:, mine], label=borders.figure(kind), zorder=1, **look)
    axes.scatter(*chosen, s=14, facecolor="none", edgecolor="black", linewidth=0.8, zorder=3, label="front")
    for axis, values, name in zip("xy", data.values, data.columns, strict=True):
        getattr(axes, f"set_{axis}label")(borders.figure(table.scale(name).label))
        if values.max() > 20 * values.min() > 0:
            style.log_axis(axes, axis)
    axes.grid(which="major")
    if len(every) > 1:
        axes.legend(
            title=borders.figure(table.scale(data.by).label),
            loc="upper center",
            bbox_to_anchor=(0.5, -0.2),
            ncols=3,
            handletextpad=0.2,
            columnspacing=0.9,
        )
    return fig
