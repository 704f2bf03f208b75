"""The loop nest of a mapping, drawn: levels as bands, loops indented, what every level holds beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.result import Result
from sparseloop.report import borders
from sparseloop.report.figures import style

LINE_HEIGHT = 0.155
"""Height of a line in inches."""


@dataclass(frozen=True, slots=True)
class Band:
    """One level: its loops, outermost first, and what it holds."""

    level: str
    loops: tuple[tuple[str, int, str | None], ...]
    """(rank, bound, mesh axis or None) of the loops with a bound above 1."""
    depth: int
    """Loops outside."""
    holds: tuple[str, ...]


def bands(result: Result) -> tuple[Band, ...]:
    """The levels with their loops and tiles, the compute level last."""
    found: list[Band] = []
    depth = 0
    bounds = [int(n) for n in result.cost.dense.tiles.bounds]
    for index, level in enumerate(result.plan.arch.storage):
        slots = [(s, n) for s, n in zip(result.plan.loops, bounds, strict=True) if s.level == index and n > 1]
        holds = tuple(_tile(k) for k in result.cost.sparse.links_from(index))
        copies = int(float(result.cost.levels[index].instances_used))
        name = level.name + (f" \N{MULTIPLICATION SIGN}{copies}" if copies > 1 else "")
        found.append(Band(name, tuple((s.rank, n, s.axis) for s, n in slots), depth, holds))
        depth += len(slots)
    used = int(float(result.cost.levels[-1].instances_used))
    compute = result.plan.arch.compute.name + (f" \N{MULTIPLICATION SIGN}{used}" if used > 1 else "")
    return (*found, Band(compute, (), depth, (wording.equation_text(result.plan.einsum),)))


def _tile(k: Any) -> str:
    held, name = k.resident, k.dense.link.name
    shape = "\N{MULTIPLICATION SIGN}".join(wording.exact_text(side) for side in held.extents)
    share = float(held.occupancy) / float(held.footprint)
    stored = f", {wording.percent_text(share)} stored" if share < 1 else ""
    return f"{name} {shape} ({wording.count_text(held.footprint)} words{stored})"


def draw(result: Result) -> Any:
    """The nest as a figure; spatial loops are bold."""
    data = bands(result)
    rows = [max(1, len(band.loops), len(band.holds)) + 0.5 for band in data]
    height = sum(rows) * LINE_HEIGHT + 0.1
    fig, axes = style.figure(style.PAGE, height)
    axes.set_axis_off()
    axes.set(xlim=(0, style.PAGE), ylim=(sum(rows), 0))
    widest = max(len(band.level) for band in data) * 0.062 + 0.2
    deepest = max(
        (band.depth + i) * 0.14 + 0.075 * len(_loop(*loop))
        for band in data
        for i, loop in enumerate((*band.loops, ("", 0, None)))
    )
    right = min(max(widest + deepest + 0.3, 2.6), style.PAGE - 3.0)
    top = 0.0
    for i, (band, tall) in enumerate(zip(data, rows, strict=True)):
        axes.axhspan(top + 0.06, top + tall - 0.06, color=style.colour(i), alpha=0.12, linewidth=0)
        axes.axhspan(top + 0.06, top + tall - 0.06, xmax=0.008, color=style.colour(i), linewidth=0)
        axes.text(0.12, top + 0.75, borders.figure(band.level), va="center", weight="bold")
        for row, loop in enumerate(band.loops):
            weight = "bold" if loop[2] else "normal"
            place = widest + (band.depth + row) * 0.14
            axes.text(
                place,
                top + 0.75 + row,
                borders.figure(_loop(*loop)),
                va="center",
                weight=weight,
                family="monospace",
                fontsize=6.8,
            )
        for row, text in enumerate(band.holds):
            axes.text(right, top + 0.75 + row, borders.figure(text), va="center", fontsize=7, color="#222222")
        top += tall
    return fig


def _loop(rank: str, bound: int, axis: str | None) -> str:
    return f"parallel {axis}: {rank} = 0..{bound - 1}" if axis else f"for {rank} = 0..{bound - 1}"
