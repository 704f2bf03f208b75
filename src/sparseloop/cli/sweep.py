"""`sparseloop sweep` and `sparseloop query`: options, what came of a study, the best points and the front as tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparseloop.cli.failures import Interrupted
from sparseloop.cli.options import Form, StudyOverrides, Workers
from sparseloop.cli.output import print_json, print_table, rows_text, warn
from sparseloop.cli.progress import study_progress
from sparseloop.input.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from sparseloop.explore.study import Explored, Study

SHOWN = 10
"""Points of a table at the end of a study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepArguments:
    """The arguments of `sparseloop sweep`."""

    file: Annotated[str, typer.Argument(metavar="STUDY.yaml", help="The study.")]
    overrides: StudyOverrides = None
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="DIR", help="Folder of the results; default: STUDY-results.")
    ] = None
    executor: Annotated[
        str, typer.Option(metavar="NAME", help="local, dask, slurm, pbs, sge, or tcp://host:port of a Dask scheduler.")
    ] = "local"
    workers: Workers = 1
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what the folder holds.")] = False
    reuse: Annotated[list[str] | None, typer.Option(metavar="DIR", help="Use the evaluations of this other study, too.")] = None
    check: Annotated[bool, typer.Option("--check", help="Only print the size of the study, and every mistake in it.")] = False
    form: Annotated[Form, typer.Option("-f", "--format", help="How to write the best points.")] = "table"
    summary: Annotated[bool, typer.Option("--summary", help="The best point only.")] = False


def checked_study(arguments: SweepArguments) -> str:
    """The size of the study, warnings on stderr; raises every mistake in it."""
    from sparseloop.explore.study import Study

    study = Study.load(arguments.file, arguments.overrides or ())
    warn(study.check())
    return study_size(study)


def run_study(arguments: SweepArguments) -> Explored:
    """Runs the study; raises `Interrupted`."""
    from sparseloop.explore.study import RunOptions, Study

    study = Study.load(arguments.file, arguments.overrides or ())
    folder = arguments.output or f"{Path(arguments.file).with_suffix('')}-results"
    with study_progress() as watch:
        options = RunOptions(
            executor=arguments.executor,
            workers=arguments.workers,
            resume=arguments.resume,
            reuse=tuple(arguments.reuse or ()),
            watch=watch,
        )
        try:
            return study.run(folder, options)
        except KeyboardInterrupt:
            raise Interrupted(f"what is finished stands in {folder}; go on with --resume") from None
        except OSError as error:
            raise SpecError([Diagnostic(message=f"cannot write into '{folder}' ({error.strerror or error})")]) from None


def study_size(study: Study) -> str:
    """'256 points x 2 workloads by grid: glb 4, bw 4'."""
    space = study.definition.designs.space
    count = study.definition.spec.search.points or space.size or 0
    runs = len(study.definition.designs.workloads)
    free = ", ".join(
        f"{one.name} {len(one.values) if one.values else 'any'}" for one in space.parameters if one.kind != "expression"
    )
    return f"{count} points x {runs} workload{'s' * (runs != 1)} by {study.definition.spec.search.method}: {free}"


def study_summary(explored: Explored) -> list[str]:
    """What was done, what went wrong, where the results are."""
    tally, study = explored.tally, explored.study
    before = f", {tally.before} finished before" if tally.before else ""
    known = f", {tally.reused} known already" if tally.reused else ""
    lines = [
        f"{tally.points} points ({tally.valid} valid{before}); {tally.evaluated} evaluations{known}; {tally.seconds:.1f} s; "
        f"results in {explored.store.path}"
    ]
    lines += [f"warning: {text}" for text in study_warnings(explored)]
    if tally.faults:
        lines.append("these points are tried again with --resume")
    question = "select why, count(*) as points from points where not valid group by why order by points desc, why"
    if reasons := explored.store.query(question).to_pylist():
        invalid, name = sum(row["points"] for row in reasons), study.definition.spec.name
        lines.append(f"{invalid} points are not valid:" if tally.valid else f"no valid point of study '{name}':")
        shown = reasons if len(reasons) <= 3 else reasons[:2]
        lines += [f"  {row['points']} x {row['why']}" for row in shown]
        if len(shown) < len(reasons):
            lines.append(f"  others: sparseloop query {explored.store.path} 'select point, why from points where not valid'")
    return lines


def study_warnings(explored: Explored) -> list[str]:
    """Of the designs, and what keeps the points from being complete and converged."""
    tally, warnings = explored.tally, [*explored.warnings]
    question = "select count(*) as points from points where valid and proven = false"
    if unproven := explored.store.query(question).to_pylist()[0]["points"]:
        warnings.append(f"{unproven} of {tally.valid} valid points are not converged: no proof that their mapping is optimal")
    warnings += [f"some values do not go together: {text}" for text in tally.wrong]
    warnings += [f"not finished: {text}" for text in tally.faults[:5]]
    if len(tally.faults) > 5:
        warnings.append(f"and {len(tally.faults) - 5} more that are not finished")
    return warnings


def print_best_points(explored: Explored, form: Form, *, summary: bool = False) -> None:
    """Prints the best points, or the front, with their parameters, objectives and area; `summary`: the first one only."""
    from sparseloop.explore.definition import objective_columns
    from sparseloop.report.study_table import certainty_text, points_table

    study = explored.study.definition
    best = explored.best(SHOWN)
    if not best and form != "json":
        return
    goals = list(objective_columns(study.objectives).values())
    if form == "table":
        front, valid = study.spec.pareto, explored.tally.valid
        title = f"front of {len(best)} points" if front else f"best of {valid} points by {goals[0]}"
        print_table(points_table(explored.study.described(), best[:1] if summary else best, title))
        return
    names = [one.name for one in study.designs.space.parameters]
    columns = ["point", *names, *dict.fromkeys([*goals, "energy_pj", "cycles", "area_um2"])]
    rows = [{name: row[name] for name in columns} for row in best]
    if any(row["proven"] is not None for row in best):
        rows = [shown | {"mapping": certainty_text(row, goals[0])} for shown, row in zip(rows, best, strict=True)]
    rows = rows[:1] if summary else rows
    if form == "json":
        print_json([{"points": rows, "warnings": study_warnings(explored)}])
    else:
        print(rows_text(rows, form))


def query_text(folder: str, question: str, form: Form) -> str:
    """The answer of a question to the results in a folder."""
    from sparseloop.explore.store import Store

    return rows_text(Store.opened(folder).query(question).to_pylist(), form)
