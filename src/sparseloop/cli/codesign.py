"""`sparseloop codesign`: options, the best strategy with its mapping printed and written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparseloop.cli.failures import Interrupted
from sparseloop.cli.options import OUTPUT, StudyOverrides, SummaryOption, Workers, output_mistakes
from sparseloop.cli.output import note, print_tables, terminal_width, warn
from sparseloop.cli.progress import codesign_progress
from sparseloop.input.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from sparseloop.evaluation.result import Result
    from sparseloop.explore.codesign.search import CodesignResult


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesignArguments:
    """The arguments of `sparseloop codesign`."""

    file: Annotated[str, typer.Argument(metavar="STUDY.yaml", help="A study whose parameters are sparse features.")]
    overrides: StudyOverrides = None
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="End after that time: 60s, 5min.")] = None
    within: Annotated[
        float, typer.Option(metavar="SHARE", min=0.0, max=0.99, help="Stop within this share of the best: 0.01 for 1 %.")
    ] = 0.0
    workers: Workers = 1
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write the best design.")] = None
    form: Annotated[str, typer.Option("-f", "--format", metavar="FORM", help="How to write the result: table or json.")] = "table"
    summary: SummaryOption = False


def codesign_features(arguments: CodesignArguments) -> bool:
    """Searches, prints and writes; True if there is a strategy with a valid mapping."""
    from sparseloop.explore.codesign.search import CodesignOptions, codesign
    from sparseloop.explore.definition import read_study

    seconds = _seconds(arguments)
    definition = read_study(arguments.file, arguments.overrides or ())
    goal = (definition.spec.mapping.minimize or definition.objectives[0].name).split(",")[0].strip()
    with codesign_progress() as watch:
        options = CodesignOptions(seconds=seconds, within=arguments.within, workers=arguments.workers, watch=watch)
        best = codesign(definition, options)
    note("\n".join(codesign_summary(best, goal)))
    if arguments.form == "json":
        print(json.dumps(codesign_record(best), indent=2, ensure_ascii=False))
    if (result := best.result) is not None:
        warn(result.warnings)
        if arguments.output:
            _write(arguments.output, best)
        if arguments.form == "table":
            _print(best, result, arguments)
    if best.stopped == "interrupted":
        raise Interrupted
    return best.value is not None


def codesign_summary(best: CodesignResult, goal: str) -> list[str]:
    """What was searched and what is proven of the objective named `goal`."""
    from sparseloop.evaluation.humanize import objective_text, percent_text  # loads the model

    size = f"{best.strategies} strategies of {best.mappings:.3g} mappings ({best.strategies * best.mappings:.2g} designs)"
    lines = [f"{size}, {best.bounded} sets bounded, {best.evaluated} mappings evaluated in {best.seconds:.1f} s"]
    if best.value is None:
        return [*lines, "no strategy has a valid mapping" if best.stopped == "done" else f"nothing found ({best.stopped})"]
    clock = best.result.design.arch.clock_hz if best.result is not None else 1e9
    found, bound = (f"{goal} {objective_text(goal, value, clock)}" for value in (best.value, best.lower_bound))
    if best.proven and best.gap < 1e-9:
        return [*lines, f"proven: no design costs less than {found}"]
    how = "proven" if best.proven else f"stopped ({best.stopped})"
    return [*lines, f"{how}: {found}, and no design costs less than {bound} (gap {percent_text(best.gap)})"]


def _seconds(arguments: CodesignArguments) -> float | None:
    """The budget; raises every mistake in the options."""
    from sparseloop.mapper.options import parse_budget

    mistakes: list[Diagnostic] = []
    seconds: float | None = None
    try:
        seconds = parse_budget(arguments.budget, "optimal").seconds
        if arguments.budget and seconds is None:
            mistakes.append(Diagnostic(message=f"--budget '{arguments.budget}' is no time", hint="e.g. 60s, 5min"))
    except SpecError as error:
        mistakes += error.diagnostics
    if arguments.form not in ("table", "json"):
        mistakes.append(Diagnostic(message=f"-f/--format '{arguments.form}' is neither table nor json"))
    if arguments.output:
        mistakes += output_mistakes([Path(arguments.output)])
    if mistakes:
        raise SpecError(mistakes)
    return seconds


def _write(file: str, best: CodesignResult) -> None:
    from sparseloop.input.write import text_with_mapping
    from sparseloop.input.yaml.whole_files import write_text_whole

    assert best.spec is not None
    assert best.mapping is not None
    try:
        write_text_whole(Path(file), text_with_mapping(best.spec, best.mapping, Path(file).parent))
    except OSError as error:
        raise SpecError([Diagnostic(message=f"{OUTPUT}: cannot write {file} ({error.strerror})")]) from None


def codesign_record(best: CodesignResult) -> dict[str, Any]:
    """What was found as plain data; values and result are null where no strategy has a valid mapping."""
    result = best.result
    return {
        "values": best.values,
        "value": best.value,
        "lower_bound": best.lower_bound if math.isfinite(best.lower_bound) else None,
        "proven": best.proven,
        "strategies": best.strategies,
        "mappings": best.mappings,
        "bounded": best.bounded,
        "evaluated": best.evaluated,
        "stopped": best.stopped,
        "result": result.to_dict() if result is not None else None,
        "warnings": list(result.warnings) if result is not None else [],
    }


def _print(best: CodesignResult, result: Result, arguments: CodesignArguments) -> None:
    assert best.values is not None
    from sparseloop.report.pictures import fitted, mapping_picture

    longest = max(map(len, best.values))
    print("\n".join(f"{name:<{longest}}  {value}" for name, value in best.values.items() if value is not None) + "\n")
    if not arguments.summary:
        print(fitted(mapping_picture(result), terminal_width()) + "\n")
    print_tables([result], summary=arguments.summary)
