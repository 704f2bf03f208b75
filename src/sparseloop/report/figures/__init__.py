"""Figures of results and studies, fit for a paper: `plot(what, kind)` gives a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sparseloop.input.diagnostics import Diagnostic, SpecError, check_arguments, did_you_mean
from sparseloop.report.figures import breakdown, crossover, loopnest, parallel, roofline, sensitivity, style
from sparseloop.report.figures import pareto as fronts
from sparseloop.report.figures.source import FigureSource, read_source, source_of
from sparseloop.report.figures.style import FIGURE_SUFFIXES, save_figure
from sparseloop.report.figures.tables import StudyPoints

RESULT_KINDS = {
    "breakdown": "energy by level, tensor or action, results side by side",
    "roofline": "computes per cycle under the roofs of compute and bandwidths",
    "loopnest": "loops, spatial ones bold, and the tiles of every level",
}
STUDY_KINDS = {
    "pareto": "points by two metrics, with their front",
    "parallel": "parallel coordinates of parameters and objectives",
    "sensitivity": "which parameter explains how much of a metric",
    "sweep": "a metric over one parameter, with the points where the best choice changes",
}
FIGURE_KINDS = RESULT_KINDS | STUDY_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a figure shows; each is of use for some kinds only."""

    by: str | None = None
    """breakdown: level, tensor or action; pareto, sweep: the parameter that colours points and lines."""
    x: str | None = None
    """pareto: the metric of the x axis; sweep: the parameter."""
    y: str | None = None
    """The metric; of pareto that of the y axis."""
    relative: bool = False
    """breakdown: the first result is 1."""
    width: float | None = None
    """Inches, where the figure's own width does not suit: 3.5 for a column, 7.16 for a page."""
    where: str = ""
    """Studies: SQL about their points, for example 'n = 64'; only these are drawn."""


def plot(
    what: object, kind: str = "", *, by: str | None = None, x: str | None = None, y: str | None = None, where: str = ""
) -> Any:
    """A matplotlib figure of results (a `Result`, several, result files as dicts) or of a study (a `Store`, its folder).

    Kinds: breakdown, roofline, loopnest; pareto, parallel, sensitivity, sweep. The rest as in `Choices`. `SpecError` if this
    cannot be drawn; `save_figure` writes a file.
    """
    check_arguments(plot, locals())
    return style.with_notebook_view(draw_figure(source_of(what), kind, Choices(by=by, x=x, y=y, where=where)))


def draw_figure(what: FigureSource, kind: str, choices: Choices) -> Any:
    """The figure; `SpecError` if this kind cannot be drawn of this."""
    kinds = STUDY_KINDS if what.store else RESULT_KINDS
    kind = kind or next(iter(kinds))
    if kind not in FIGURE_KINDS:
        hint = did_you_mean(kind, list(FIGURE_KINDS)) or f"kinds: {', '.join(FIGURE_KINDS)}"
        raise SpecError([Diagnostic(message=f"there is no kind of figure '{kind}'", hint=hint)])
    if kind not in kinds:
        of = "the folder of a study" if what.store else "results"
        raise SpecError([Diagnostic(message=f"{kind} cannot be drawn of {of}", hint=f"kinds: {', '.join(kinds)}")])
    with style.styled():
        figure = _study(StudyPoints(what.store, choices.where), kind, choices) if what.store else _results(what, kind, choices)
        if choices.width is not None:
            figure.set_figwidth(choices.width)
        return figure


def _results(what: FigureSource, kind: str, choices: Choices) -> Any:
    if kind == "breakdown":
        by = choices.by or "level"
        if by not in ("level", "tensor", "action"):
            raise SpecError([Diagnostic(message=f"energy cannot be split by '{by}'", hint="by level, tensor or action")])
        return breakdown.draw(breakdown.bars(what.records, by), relative=choices.relative)
    if len(what.results) < len(what.records):
        hint = "give the specification with its mapping instead of a result file"
        raise SpecError([Diagnostic(message=f"a result file does not hold what a {kind} needs", hint=hint)])
    if kind == "roofline":
        return roofline.draw(what.results)
    if len(what.results) > 1:
        names: Mapping[str, object] = what.results
        raise SpecError([Diagnostic(message=f"a loop nest is drawn of one result, here are {len(names)}: {', '.join(names)}")])
    return loopnest.draw(next(iter(what.results.values())), choices.width or style.PAGE)


def _study(table: StudyPoints, kind: str, choices: Choices) -> Any:
    """A figure of a study, marked where its points are not converged."""
    figure = _study_figure(table, kind, choices)
    if table.unproven:
        figure.supxlabel(table.unproven, x=0.99, ha="right", fontsize=5, color="#b00000")  # the layout leaves room for it
    return figure


def _study_figure(table: StudyPoints, kind: str, choices: Choices) -> Any:
    if kind == "pareto":
        if (choices.x is None) != (choices.y is None):
            raise SpecError([Diagnostic(message="a front needs both metrics, or none: --x and --y")])
        columns = [table.column(name) for name in (choices.x, choices.y) if name]
        return fronts.draw(table, columns, choices.by)
    if kind == "parallel":
        return parallel.draw(table)
    if kind == "sensitivity":
        return sensitivity.draw(table, choices.y)
    return crossover.draw(table, choices.y, choices.x, choices.by)


__all__ = [
    "FIGURE_KINDS",
    "FIGURE_SUFFIXES",
    "RESULT_KINDS",
    "STUDY_KINDS",
    "Choices",
    "draw_figure",
    "plot",
    "read_source",
    "save_figure",
]
