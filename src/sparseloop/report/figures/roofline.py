"""The roofline of a mapping: computes per cycle over computes per word, for every level that has a bandwidth.

A level with bandwidth B (all instances in use) that moves W words admits B * computes / W computes a cycle at most; S. Williams,
A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009. Words and cycles are those of the result, so a point lies on the roof of
the level that limits the speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sparseloop.evaluation.result import Result
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.extras import import_extra
from sparseloop.report import borders
from sparseloop.report.figures import style


@dataclass(frozen=True, slots=True)
class Roof:
    """One level: its bandwidth and where the mapping stands under it."""

    level: str
    bandwidth: float
    """Words per cycle of all instances in use: both directions if they share it, else reads."""
    words: float
    """Moved over the run, so that words / bandwidth are the level's cycles."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """Of one result."""

    name: str
    peak: float
    """Computes per cycle: instances of the compute level."""
    roofs: tuple[Roof, ...]
    actual: float
    """Computes that happen, per cycle."""
    dense: float
    """Computes of the dense workload, per cycle: above the peak where enough are skipped."""
    cycles: float


def roofline(name: str, result: Result) -> Roofline:
    """The numbers of the figure; levels without a bandwidth have no roof."""
    roofs: list[Roof] = []
    for level, cost in zip(result.plan.arch.storage, result.cost.levels, strict=False):
        width = level.shared_bandwidth or level.read_bandwidth or level.write_bandwidth
        if width and float(cost.cycles):
            bandwidth = width * float(cost.instances_used)
            roofs.append(Roof(level.name, bandwidth, float(cost.cycles) * bandwidth))
    computes = result.cost.sparse.computes
    return Roofline(
        name=name,
        peak=float(result.plan.arch.compute.instances),
        roofs=tuple(roofs),
        actual=float(computes.actual) / result.cycles,
        dense=float(computes.total) / result.cycles,
        cycles=result.cycles,
    )


def draw(results: Mapping[str, Result]) -> Any:
    """Rooflines over each other: colours are levels, markers results; filled: computes that happen, hollow: dense ones."""
    data = [roofline(name, result) for name, result in results.items()]
    levels = list(dict.fromkeys(roof.level for run in data for roof in run.roofs))
    if not levels:
        hint = "give levels a bandwidth: {name: DRAM, bandwidth: 8 words/cycle}"
        raise SpecError([Diagnostic(message="no level has a bandwidth, so there is no roof", hint=hint)])
    points = [(run.actual * run.cycles / roof.words, run.dense * run.cycles / roof.words) for run in data for roof in run.roofs]
    low, high = min(p[0] for p in points) / 4, max(p[1] for p in points) * 4
    fig, axes = style.figure(style.COLUMN, 2.7)
    peaks = sorted({run.peak for run in data})
    for peak in peaks:
        axes.plot([low, high], [peak, peak], color="black", linewidth=1)
        axes.annotate(f"{peak:g} computes/cycle", (high, peak), xytext=(-2, 2), **_LABEL, ha="right")
    for i, level in enumerate(levels):
        for bandwidth in sorted({roof.bandwidth for run in data for roof in run.roofs if roof.level == level}):
            end = max(peaks) / bandwidth
            axes.plot([low, end], [low * bandwidth, max(peaks)], color=style.colour(i), linestyle=style.LINE_STYLES[i % 4])
    _mark(axes, data, levels)
    axes.set(xlim=(low, high), xlabel="computes per word of the level", ylabel="computes per cycle")
    axes.set_ylim(min(run.actual for run in data) / 4, max(*peaks, *(run.dense for run in data)) * 2.5)
    for axis in "xy":
        style.log_axis(axes, axis)
    axes.grid(which="major")
    axes.legend(handles=_handles(data, levels), loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, handlelength=2)
    return fig


_LABEL: Mapping[str, Any] = {"textcoords": "offset points", "fontsize": 6.5}


def _mark(axes: Any, data: list[Roofline], levels: list[str]) -> None:
    for number, run in enumerate(data):
        marker = style.MARKERS[number % len(style.MARKERS)]
        for roof in run.roofs:
            shade = style.colour(levels.index(roof.level))
            intensity = run.cycles / roof.words
            if run.dense > run.actual * (1 + 1e-9):
                axes.plot(run.dense * intensity, run.dense, marker, markerfacecolor="white", markeredgecolor=shade)
            axes.plot(run.actual * intensity, run.actual, marker, color=shade)


def _handles(data: list[Roofline], levels: list[str]) -> list[Any]:
    line = import_extra("matplotlib.lines", "plot").Line2D
    widths = {roof.level: roof.bandwidth for run in data for roof in run.roofs}
    found = [
        line(
            [],
            [],
            color=style.colour(i),
            linestyle=style.LINE_STYLES[i % 4],
            label=borders.figure(f"{level}, {widths[level]:.3g} words/cycle"),
        )
        for i, level in enumerate(levels)
    ]
    if len(data) > 1:
        looks = [style.MARKERS[i % len(style.MARKERS)] for i in range(len(data))]
        found += [
            line([], [], color="#555555", linestyle="", marker=m, label=borders.figure(run.name))
            for m, run in zip(looks, data, strict=True)
        ]
    if any(run.dense > run.actual * (1 + 1e-9) for run in data):
        shape = "o" if len(data) == 1 else "h"
        found.append(line([], [], color="#555555", linestyle="", marker=shape, label="computes that happen"))
        hollow = {"markerfacecolor": "white", "markeredgecolor": "#555555"}
        found.append(line([], [], linestyle="", marker=shape, label="the dense workload's", **hollow))
    return found
