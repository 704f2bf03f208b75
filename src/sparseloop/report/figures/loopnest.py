"""The loop nest of a mapping, drawn: levels as bands, loops indented, what every level holds beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.result import Result
from sparseloop.report import borders
from sparseloop.report.figures import style

LINE_HEIGHT = 0.155
"""Height of a line in inches."""
LETTER_WIDTH = 0.075
"""Width of a bold letter in inches."""
BESIDE = 5.5
"""Inches of a figure that has room for loops and tiles side by side."""


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


def draw(result: Result, width: float = style.PAGE) -> Any:
    """The nest as a figure `width` inches wide; spatial loops are bold.

    What a level holds stands beside its loops, or between its name and its loops where the figure is too narrow for both.
    """
    data, beside = bands(result), width >= BESIDE
    left = max(len(band.level) for band in data) * LETTER_WIDTH + 0.2 if beside else 0.22
    room = (width - 3.0 if beside else width - 0.1) - left
    step, under = _indent(data, room), 0 if beside else 1
    right = max(left + room + 0.1, 2.6) if beside else left
    shifts = [0 if beside else 1 + len(band.holds) for band in data]
    rows = [max(len(band.loops) + shift, len(band.holds), 1) + 0.5 for band, shift in zip(data, shifts, strict=True)]
    fig, axes = style.figure(width, sum(rows) * LINE_HEIGHT + 0.1)
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(sum(rows), 0))
    top = 0.0
    for i, (band, tall, shift) in enumerate(zip(data, rows, shifts, strict=True)):
        axes.axhspan(top + 0.06, top + tall - 0.06, color=style.colour(i), alpha=0.12, linewidth=0)
        axes.axhspan(top + 0.06, top + tall - 0.06, xmax=0.05 / width, color=style.colour(i), linewidth=0)
        axes.text(0.12, top + 0.75, borders.figure(band.level), va="center", weight="bold")
        for row, loop in enumerate(band.loops):
            look = {"va": "center", "weight": "bold" if loop[2] else "normal", "family": "monospace", "fontsize": 6.8}
            place = left + (band.depth + row) * step
            axes.text(place, top + 0.75 + shift + row, borders.figure(_loop(*loop)), **look)
        for row, text in enumerate(band.holds):
            axes.text(right, top + 0.75 + under + row, borders.figure(text), va="center", fontsize=7, color="#222222")
        top += tall
    return fig


def _indent(data: Sequence[Band], room: float) -> float:
    """Inches by which a loop stands further right than the one around it: less where the nest is deep."""
    loops = [(band.depth + i, 0.062 * len(_loop(*loop))) for band in data for i, loop in enumerate(band.loops)]
    return min([0.14, *((room - long) / depth for depth, long in loops if depth)])


def _loop(rank: str, bound: int, axis: str | None) -> str:
    return f"parallel {axis}: {rank} = 0..{bound - 1}" if axis else f"for {rank} = 0..{bound - 1}"
