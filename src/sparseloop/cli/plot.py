"""`sparseloop plot` and `sparseloop report`: figures for papers, and pages to look around in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sparseloop.cli.options import Overrides, figure_kinds
from sparseloop.cli.output import warn
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.yaml.whole_files import write_text_whole

KINDS = "breakdown, roofline, loopnest; of studies pareto, parallel, sensitivity, sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotArguments:
    """The arguments of `sparseloop plot`."""

    given: Annotated[list[str], typer.Argument(metavar="DIR|FILE...", help="A study's folder, result files, or a specification.")]
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KIND",
            autocompletion=figure_kinds,
            help=f"{KINDS}; default: breakdown, of a study pareto.",
        ),
    ] = ""
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="File: .pdf, .svg, .png; default figure.pdf, or KIND.pdf."),
    ] = None
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="breakdown: level, tensor, action; pareto, sweep: a parameter.")
    ] = None
    x: Annotated[str | None, typer.Option("--x", metavar="NAME", help="pareto: a metric; sweep: a parameter.")] = None
    y: Annotated[str | None, typer.Option("--y", metavar="NAME", help="The metric: energy_pj, cycles, edp ...")] = None
    width: Annotated[
        float | None,
        typer.Option("--width", metavar="INCHES", min=2.0, max=20.0, help="3.5 for a column of a paper, 7.16 for its page."),
    ] = None
    relative: Annotated[bool, typer.Option("--relative", help="breakdown: the first result is 1.")] = False
    where: Annotated[str, typer.Option("--where", metavar="SQL", help="Of a study only these points: 'n = 64'.")] = ""
    overrides: Overrides = None


def plot_files(arguments: PlotArguments) -> str:
    """Draws a figure of files or a study's folder; the file that it was written to."""
    from sparseloop.report import figures

    target = arguments.output or f"{arguments.kind or 'figure'}.pdf"
    if not target.lower().endswith(figures.FIGURE_SUFFIXES):
        hint = f"endings: {', '.join(figures.FIGURE_SUFFIXES)}"
        raise SpecError([Diagnostic(message=f"-o/--output '{target}': the ending says no known format", hint=hint)])
    choices = figures.Choices(
        by=arguments.by, x=arguments.x, y=arguments.y, relative=arguments.relative, where=arguments.where, width=arguments.width
    )
    source = figures.read_source(arguments.given, arguments.overrides or ())
    warn([text for result in source.results.values() for text in result.warnings])
    figures.save_figure(figures.draw_figure(source, arguments.kind, choices), target)
    return target


def report_files(paths: Sequence[str], output: str, overrides: Sequence[str]) -> str:
    """Writes the page of files or of a study's folder; where it is."""
    from sparseloop.report import figures
    from sparseloop.report.page import Provenance, page

    source = figures.read_source(paths, overrides)
    warn([text for result in source.results.values() for text in result.warnings])
    command = ("sparseloop", "report", *paths, *(word for change in overrides for word in ("--set", change)), "-o", output)
    text = page(
        source, Provenance(files=tuple(paths), command=command, date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"))
    )
    try:
        write_text_whole(Path(output), text)
    except OSError as error:
        raise SpecError([Diagnostic(message=f"-o/--output: cannot write {output}: {error.strerror or error}")]) from None
    return output
