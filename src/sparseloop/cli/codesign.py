"""`sparseloop codesign`: options, progress on stderr, the best strategy with its mapping printed and written."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparseloop.cli.map import OUTPUT, places
from sparseloop.input import terminal
from sparseloop.input.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from sparseloop.evaluation.result import Result
    from sparseloop.explore.codesign.search import CodesignProgress, CodesignResult, Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `sparseloop codesign` is told."""

    file: Annotated[str, typer.Argument(metavar="STUDY.yaml", help="A study whose parameters are sparse features.")]
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the study.")] = (
        None
    )
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="End after that time: 60s, 5min.")] = None
    within: Annotated[float, typer.Option(min=0.0, max=0.99, help="Be content with a proof up to this share: 0.01 for 1 %.")] = (
        0.0
    )
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write the best design.")] = None
    form: Annotated[str, typer.Option("-f", "--format", help="How to write the result: table or json.")] = "table"


def codesigned(options: Options) -> CodesignResult:
    """Searches, prints and writes; what came of it."""
    from sparseloop.explore import definition as studyfile
    from sparseloop.explore.codesign.search import CodesignOptions, codesign

    seconds = _seconds(options)
    definition = studyfile.read_study(options.file, options.overrides or ())
    with progress() as watch:
        found = codesign(
            definition, CodesignOptions(seconds=seconds, within=options.within, workers=options.workers, watch=watch)
        )
    print("\n".join(summary(found)), file=sys.stderr)
    result = result_of(found)
    if result is not None and found.spec is not None:
        if options.output:
            _written(options.output, found)
        _printed(found, result, options.form)
    return found


def result_of(found: CodesignResult) -> Result | None:
    """The whole breakdown of what was found."""
    from sparseloop.evaluation.evaluate import design_of, evaluate_mapping

    if found.spec is None or found.mapping is None:
        return None
    return evaluate_mapping(replace(design_of(found.spec), mapping=found.mapping), found.mapping)


def summary(found: CodesignResult) -> list[str]:
    """What was searched and what is proven."""
    size = f"{found.strategies} strategies of {found.mappings:.3g} mappings ({found.strategies * found.mappings:.2g} designs)"
    lines = [f"{size}, {found.bounded} sets bounded, {found.evaluated} mappings evaluated in {found.seconds:.1f} s"]
    if found.value is None:
        return [*lines, "no strategy has a valid mapping" if found.stopped == "done" else f"nothing found ({found.stopped})"]
    if found.proven and found.gap < 1e-9:
        return [*lines, f"proven: no design costs less than {found.value:.6g}"]
    how = "proven" if found.proven else f"stopped ({found.stopped})"
    return [*lines, f"{how}: {found.value:.6g}, and no design costs less than {found.lower_bound:.6g} (gap {found.gap:.2%})"]


def _seconds(options: Options) -> float | None:

    from sparseloop.mapper.search import budget_of

    found: list[Diagnostic] = []
    seconds: float | None = None
    try:
        seconds = budget_of(options.budget, "optimal").seconds
        if options.budget and seconds is None:
            found.append(Diagnostic(message=f"--budget '{options.budget}' is no time", hint="e.g. 60s, 5min"))
    except SpecError as error:
        found += error.diagnostics
    if options.form not in ("table", "json"):
        found.append(Diagnostic(message=f"-f/--format '{options.form}' is neither table nor json"))
    if options.output:
        found += places([Path(options.output)])
    if found:
        raise SpecError(found)
    return seconds


def _written(file: str, found: CodesignResult) -> None:
    from sparseloop.cli.map import text_with

    assert found.spec is not None
    assert found.mapping is not None
    try:
        Path(file).write_text(text_with(found.spec, found.mapping, ()), encoding="utf-8")
    except OSError as error:
        raise SpecError([Diagnostic(message=f"{OUTPUT}: cannot write {file} ({error.strerror})")]) from None


def _printed(found: CodesignResult, result: Result, form: str) -> None:
    assert found.values is not None
    if form == "json":
        record: dict[str, Any] = {
            "values": found.values,
            "value": found.value,
            "lower_bound": found.lower_bound,
            "proven": found.proven,
            "strategies": found.strategies,
            "mappings": found.mappings,
            "bounded": found.bounded,
            "evaluated": found.evaluated,
            "result": result.to_dict(),
        }
        print(json.dumps(record, indent=2, ensure_ascii=False))
        return
    from sparseloop.report.pictures import mapping_picture
    from sparseloop.report.tables import print_result

    longest = max(map(len, found.values))
    print("\n".join(f"{name:<{longest}}  {value}" for name, value in found.values.items() if value is not None) + "\n")
    print(mapping_picture(result) + "\n")
    print_result(result, sys.stdout, width=100)


@contextmanager
def progress() -> Generator[Watch]:
    """A line on stderr; nothing if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.status import Status

    with Status("starting ...", console=terminal.console(stderr=True)) as status:

        def shown(now: CodesignProgress) -> None:
            best = f"best {now.value:.6g}" if now.value < float("inf") else "nothing yet"
            bound = f", bound {now.lower_bound:.6g}" if now.lower_bound else ""
            status.update(f"{now.bounded} sets bounded, {now.open} open, {best}{bound} ({now.seconds:.0f} s)")

        yield shown
