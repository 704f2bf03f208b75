"""`sparseloop sweep` and `sparseloop query`: options, progress on stderr, the best points and the front as tables."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparseloop.cli.map import Form
from sparseloop.input import terminal
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.report.borders import write_csv

if TYPE_CHECKING:
    from sparseloop.explore.run import StudyTally, Watch
    from sparseloop.explore.study import Explored, Study

SHOWN = 10
"""Points of a table at the end of a study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `sparseloop sweep` is told."""

    file: Annotated[str, typer.Argument(metavar="STUDY.yaml", help="The study.")]
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the study.")] = (
        None
    )
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="DIR", help="Folder of the results; default: STUDY-results.")
    ] = None
    executor: Annotated[
        str, typer.Option(metavar="NAME", help="local, dask, slurm, pbs, sge, or tcp://host:port of a Dask scheduler.")
    ] = "local"
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what the folder holds.")] = False
    reuse: Annotated[list[str] | None, typer.Option(metavar="DIR", help="Take over what other studies evaluated.")] = None
    check: Annotated[bool, typer.Option("--check", help="Only say what would be done, and every mistake.")] = False
    form: Annotated[Form, typer.Option("-f", "--format", help="How to write the best points.")] = "table"


def swept(options: Options) -> tuple[Study, Explored | None]:
    """The study, and its results; none if it was interrupted."""
    from sparseloop.explore.study import RunOptions, Study

    study = Study.load(options.file, options.overrides or ())
    if options.check:
        study.check()
        return study, None
    folder = options.output or f"{Path(options.file).with_suffix('')}-results"
    with progress() as watch:
        how = RunOptions(
            executor=options.executor,
            workers=options.workers,
            resume=options.resume,
            reuse=tuple(options.reuse or ()),
            watch=watch,
        )
        try:
            return study, study.run(folder, how)
        except KeyboardInterrupt:
            print(f"interrupted: what is finished stands in {folder}; go on with --resume", file=sys.stderr)
        except OSError as error:
            raise SpecError([Diagnostic(message=f"cannot write into '{folder}' ({error.strerror or error})")]) from None
    return study, None


def sizes(study: Study) -> str:
    """'256 points x 2 workloads (512 evaluations): glb 4, bw 4'."""
    space = study.definition.designs.space
    count = study.definition.spec.search.points or space.size or 0
    runs = len(study.definition.designs.workloads)
    free = ", ".join(
        f"{one.name} {len(one.values) if one.values else 'any'}" for one in space.parameters if one.kind != "expression"
    )
    return f"{count} points x {runs} workload{'s' * (runs != 1)} by {study.definition.spec.search.method}: {free}"


# --- progress -----------------------------------------------------------------------------------------------


@contextmanager
def progress() -> Generator[Watch]:
    """A bar on stderr; nothing if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda tally: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=terminal.console(stderr=True)) as bar:
        task = bar.add_task("starting ...", total=None)

        def shown(tally: StudyTally) -> None:
            bar.update(task, total=tally.total, completed=tally.points, description=line(tally))

        yield shown


def line(tally: StudyTally) -> str:
    """'points, 61 % valid, best 1.04e+16, 480 evaluated, 96/s'."""
    from sparseloop.evaluation import humanize as wording

    valid = wording.percent_text(tally.valid / max(1, tally.points))
    best = f", best {tally.best:.4g}" if tally.valid else ""
    reused = f", {tally.reused} known" if tally.reused else ""
    rate = wording.count_text(tally.evaluated / max(tally.seconds, 1e-9))
    return f"points, {valid} valid{best}, {tally.evaluated} evaluated{reused}, {rate}/s"


# --- what came of it ----------------------------------------------------------------------------------------


def summary(explored: Explored) -> list[str]:
    """What was done, what went wrong, where it stands."""
    tally, study = explored.tally, explored.study
    before = f", {tally.before} finished before" if tally.before else ""
    known = f", {tally.reused} known already" if tally.reused else ""
    lines = [
        f"{tally.points} points ({tally.valid} valid{before}); {tally.evaluated} evaluations{known}; {tally.seconds:.1f} s; "
        f"results in {explored.store.path}"
    ]
    lines += [f"warning: some values do not go together: {text}" for text in tally.wrong]
    lines += [f"warning: not finished: {text}" for text in tally.faults[:5]]
    if len(tally.faults) > 5:
        lines.append(f"warning: and {len(tally.faults) - 5} more that are not finished")
    if tally.faults:
        lines.append("these points are tried again with --resume")
    if not tally.valid:
        question = "select why, count(*) as points from points group by why order by points desc limit 3"
        lines.append(f"no valid point of study '{study.definition.spec.name}':")
        lines += [f"  {row['points']} points: {row['why']}" for row in explored.store.query(question).to_pylist()]
    return lines


def best(explored: Explored, form: str) -> str:
    """The best points, or the front, with their parameters, objectives and area."""
    from sparseloop.explore.definition import objective_columns

    study = explored.study.definition
    names = [one.name for one in study.designs.space.parameters]
    goals = list(objective_columns(study.objectives).values())
    wanted = ["point", *names, *dict.fromkeys([*goals, "energy_pj", "cycles", "area_um2"])]
    rows = [{name: row[name] for name in wanted} for row in explored.best(SHOWN)]
    if not rows:
        return ""
    if form != "table":
        return listed(rows, form)
    title = f"front of {len(rows)} points" if study.spec.pareto else f"best of {explored.tally.valid} points by {goals[0]}"
    return f"{title}\n{listed(rows, form)}"


def asked(folder: str, question: str, form: str) -> str:
    """The answer of a question to the results in a folder."""
    from sparseloop.explore.store import Store

    return listed(Store.opened(folder).query(question).to_pylist(), form)


def listed(rows: Sequence[dict[str, Any]], form: str) -> str:
    """Rows as a table, JSON or CSV."""
    if form == "json":
        return json.dumps(list(rows), indent=1, ensure_ascii=False, default=str)
    names = list(rows[0]) if rows else []
    stream = io.StringIO()
    if form == "csv":
        write_csv(stream, names, ([_plain(row[name]) for name in names] for row in rows))
        return stream.getvalue().rstrip("\n")
    cells = [names, *([_shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    right = [all(isinstance(row[name], int | float | None) for row in rows) for name in names]
    aligned = [[c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)] for row in cells]
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(_plain(value))
