"""Which parameter matters: the share of a metric's variance over the points that one parameter explains alone.

First-order index S = Var(E[y | parameter]) / Var(y) with y the logarithm of the metric; I. M. Sobol, "Sensitivity estimates for
nonlinear mathematical models", 1993. What is left is joint effects, and noise where points are few. Numbers with many values
are put into `BINS` bins of equally many points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.extras import import_extra
from sparseloop.report import borders
from sparseloop.report.figures import style
from sparseloop.report.figures.tables import StudyPoints, name_of

BINS = 8
JOINT = "jointly"
"""What no parameter explains alone."""


@dataclass(frozen=True, slots=True)
class Share:
    """Of one parameter."""

    parameter: str
    share: float
    """Of the variance."""
    factor: float
    """The metric's geometric mean at its worst value over that at its best one."""


def shares(table: StudyPoints, metric: str) -> tuple[Share, ...]:
    """All parameters that vary among these points, those that matter most first."""
    column = table.column(metric)
    rows = [row for row in table.valid if row[column] is not None and row[column] > 0]
    table.some(len(rows))
    y = np.log([row[column] for row in rows])
    whole = float(y.var())
    values = {name: [row[name] for row in rows] for name in table.parameters}
    found = [_share(name, _groups(own), y, whole) for name, own in values.items() if len(set(map(str, own))) > 1]
    return tuple(sorted(found, key=lambda share: -share.share))


def _groups(values: Sequence[Any]) -> list[Any]:
    """What belongs together: equal values, or bins."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values) or len(set(numbers)) <= 2 * BINS:
        return [str(v) for v in values]
    edges = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, numbers, side="right").tolist()


def _share(name: str, groups: Sequence[Any], y: np.ndarray[Any, Any], whole: float) -> Share:
    means = {group: y[[g == group for g in groups]].mean() for group in dict.fromkeys(groups)}
    explained = float(np.var([means[group] for group in groups])) if whole else 0.0
    return Share(name, explained / whole if whole > 1e-30 else 0.0, float(np.exp(max(means.values()) - min(means.values()))))


def draw(table: StudyPoints, metric: str | None = None) -> Any:
    """Bars of the shares, with the factor between the best and the worst value."""
    if not table.parameters:
        raise SpecError([Diagnostic(message="the study has no parameters")])
    metric = metric or table.objectives[0]
    data = shares(table, metric)
    rest = max(0.0, 1 - sum(share.share for share in data))
    bars = [
        *((share.parameter, share.share, f"{100 * share.share:.1f} %, {share.factor:.3g} x") for share in data),
        (JOINT, rest, f"{100 * rest:.1f} %"),
    ]
    fig, axes = style.figure(style.COLUMN, 0.85 + 0.2 * len(bars))
    shades = [style.colour(0)] * len(data) + ["#bbbbbb"]
    axes.barh(range(len(bars)), [share for _, share, _ in bars], 0.6, color=shades)
    for place, (_, share, text) in enumerate(bars):
        axes.annotate(text, (share, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=6.5)
    axes.set_yticks(range(len(bars)), [borders.figure(name) for name, _, _ in bars])
    axes.invert_yaxis()
    longest = max(share for _, share, _ in bars) or 1.0
    axes.set_xlim(0, longest * 1.45)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= min(1.0, longest * 1.05)])  # room for texts is no share
    axes.xaxis.set_major_formatter(import_extra("matplotlib.ticker", "plot").PercentFormatter(1.0, symbol=" %"))
    axes.spines["bottom"].set_bounds(0, min(1.0, longest * 1.05))
    label = name_of(table.column(metric))
    axes.set_xlabel(borders.figure(f"share of the variance of log {label}\n(x: mean at the worst value over mean at the best)"))
    axes.grid(axis="x")
    return fig
