"""`sparseloop map`: options, progress on stderr, the best mapping drawn and written."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from sparseloop.input import terminal
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.mapper.naming import unique_names

if TYPE_CHECKING:
    from sparseloop.input.spec import Spec
    from sparseloop.mapper.space.mapspace import Mapspace
    from sparseloop.mapper.task import Best, Budget, SearchTally, Task, Watch
    from sparseloop.model.design.mapping import Mapping


Form = Literal["table", "json", "csv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `sparseloop map` is told."""

    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Native or Timeloop YAML, in any order.")]
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the input.")] = (
        None
    )
    minimize: Annotated[str, typer.Option(help="energy, cycles, edp, ed2p ...; 'energy,cycles'; '0.7*energy + cycles'.")] = "edp"
    pareto: Annotated[str | None, typer.Option(metavar="A,B", help="Also the Pareto front, e.g. energy,cycles.")] = None
    method: Annotated[str, typer.Option(help="random, annealing, genetic, exhaustive or optimal.")] = "genetic"
    budget: Annotated[str | None, typer.Option(metavar="N|TIME", help="Mappings (100k) or time (10s, 2min).")] = None
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same answer (unless the budget is a time).")] = 0
    workers: Annotated[int, typer.Option(min=1, help="Worker processes; several layers are searched side by side.")] = 1
    top: Annotated[int, typer.Option(min=1, help="Print so many of the best mappings.")] = 1
    padded: Annotated[bool, typer.Option("--padded", help="Also sizes that fill the fanouts better (imperfect factors).")] = False
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write the best mapping.")] = None
    resume: Annotated[
        str | None, typer.Option(metavar="DIR", help="Keep every finished layer there, and do not search it again.")
    ] = None
    form: Annotated[Form, typer.Option("-f", "--format", help="How to write the result.")] = "table"


class Command:
    """A function of one record of options, as Typer wants to see it: with one parameter per field."""

    def __init__(self, function: Callable[[Any], None], options: type) -> None:
        self.function, self.options = function, options
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        hints = get_type_hints(options, include_extras=True)
        self.__annotations__ = hints
        self.__signature__ = inspect.Signature([_parameter(one, hints[one.name]) for one in fields(options)])

    def __call__(self, **values: Any) -> None:
        self.function(self.options(**values))


def _parameter(one: Any, hint: Any) -> inspect.Parameter:
    from dataclasses import MISSING

    default = inspect.Parameter.empty if one.default is MISSING else one.default
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


OUTPUT = "-o/--output"
"""The option in messages, as whoever uses it may have written it."""


# --- the options in their own words -------------------------------------------------------------------------


def check(options: Options) -> None:
    """Raises every mistake in the options that can be seen before the files are read."""
    from sparseloop.mapper.objectives import objective
    from sparseloop.mapper.search import budget_of, known_method

    found = [
        *_mistakes("--minimize", lambda: objective(options.minimize)),
        *_mistakes("--pareto", lambda: options.pareto is None or _front(options.pareto)),
        *_mistakes("--method", lambda: known_method(options.method)),
        *_mistakes("--budget", lambda: budget_of(options.budget, options.method)),
        *_mistakes(OUTPUT, lambda: options.output is None or _no_folder(options.output)),
        *_mistakes("--resume", lambda: options.resume is None or _no_file(options.resume)),
    ]
    if found:
        raise SpecError(found)


def _front(given: str) -> None:
    from sparseloop.mapper.objectives import objectives

    if len({one.name for one in objectives(given)}) < 2:
        raise SpecError([Diagnostic(message="a front needs two different objectives or more", hint="e.g. energy,cycles")])


def _no_folder(file: str) -> None:
    if Path(file).is_dir():
        raise SpecError([Diagnostic(message=f"'{file}' is a folder, not a file")])


def _mistakes(option: str, attempt: Callable[[], object]) -> list[Diagnostic]:
    """What is wrong about the value of an option."""
    try:
        attempt()
    except SpecError as error:
        return [replace(one, path=(option,)) for one in error.diagnostics]
    return []


def _no_file(folder: str) -> None:
    if not folder or (Path(folder).exists() and not Path(folder).is_dir()):
        raise SpecError([Diagnostic(message=f"'{folder}' is not a folder", hint="it is created if it is missing")])


def check_places(options: Options, files: Sequence[Path]) -> None:
    """Raises what would keep results from being written: better now than after the search. Makes the folder of --resume."""
    found = places(files)
    if options.resume is not None:
        found += _mistakes("--resume", partial(_folder, Path(options.resume), make=True))
    if found:
        raise SpecError(found)


def places(files: Sequence[Path]) -> list[Diagnostic]:
    """What would keep these files from being written."""
    folders = {file.parent for file in files if not file.exists()}
    found = [one for folder in folders for one in _mistakes(OUTPUT, partial(_folder, folder))]
    return found + [one for file in files if file.exists() for one in _mistakes(OUTPUT, partial(_writable, file))]


def _folder(folder: Path, *, make: bool = False) -> None:
    """Tries to write there: permissions alone do not tell (read-only disks, special folders)."""
    import tempfile

    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SpecError([Diagnostic(message=f"cannot write into the folder {folder} ({error.strerror})")]) from None


def _writable(file: Path) -> None:
    _no_folder(str(file))
    try:
        file.open("ab").close()
    except OSError as error:
        raise SpecError([Diagnostic(message=f"cannot write {file} ({error.strerror})")]) from None


def task_of(spec: Spec, options: Options) -> Task:
    """What is to be searched for one layer."""
    from sparseloop.mapper.objectives import objective, objectives
    from sparseloop.mapper.search import budget_of
    from sparseloop.mapper.space.mapspace import mapspace
    from sparseloop.mapper.task import Goal, Task

    pareto = objectives(options.pareto) if options.pareto else ()
    return Task(
        space=mapspace(spec, padded=options.padded),
        goal=Goal(objective=objective(options.minimize), top=options.top, pareto=pareto),
        method=options.method,
        budget=budget_of(options.budget, options.method),
        seed=options.seed,
        workers=options.workers,
    )


def settings(options: Options) -> dict[str, str | int | float | None]:
    """What the outcome of a search depends on beside the specification (not on the number of workers)."""
    from sparseloop.mapper.search import budget_of

    budget = budget_of(options.budget, options.method)
    return {
        "minimize": "".join(options.minimize.split()),
        "pareto": "".join((options.pareto or "").split()),
        "method": options.method,
        "mappings": budget.mappings,
        "seconds": budget.seconds,
        "seed": options.seed,
        "padded": options.padded,
        "top": options.top,
    }


# --- progress and notes -------------------------------------------------------------------------------------


@contextmanager
def status_line() -> Generator[Callable[[str], None]]:
    """A line on stderr that is renewed; nothing if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with terminal.console(stderr=True).status("searching ...") as status:
        yield lambda text: status.update(text)


@contextmanager
def progress(label: str = "") -> Generator[Watch]:
    """How a search proceeds, in a line on stderr."""
    with status_line() as show:

        def shown(tally: SearchTally, budget: Budget) -> None:
            show(label + progress_line(tally, budget))

        show(f"{label or 'searching '}...")
        yield shown


def progress_line(tally: SearchTally, budget: Budget) -> str:
    """'48.0 k of 200 k mappings, 36 % valid, best edp 1.04e+16 (lower bound 9.9e+15, gap 5 %), 96 k/s'."""
    from sparseloop.evaluation import humanize as wording

    of = f" of {wording.count_text(budget.mappings)}" if budget.mappings else ""
    valid = wording.percent_text(tally.valid / max(1, tally.evaluated))
    best = f", best {tally.goal.objective.name} {tally.top[0].values[0]:.4g}" if tally.top else ""
    if tally.top and tally.lower_bound:
        gap = wording.percent_text(max(0.0, tally.top[0].values[0] / tally.lower_bound - 1))
        best += f" (lower bound {tally.lower_bound:.4g}, gap {gap})"
    rate = wording.count_text(tally.evaluated / max(tally.seconds, 1e-9))
    return f"{wording.count_text(tally.evaluated)}{of} mappings, {valid} valid{best}, {rate}/s"


def summary(best: Best) -> list[str]:
    """What was searched and what came of it, in two lines."""
    end = {"done": "everything that was to be done", "budget": "the budget is spent", "interrupted": "interrupted"}[best.stopped]
    lines = [
        f"mapspace {_sizes(best.task.space)}; {best.task.method}: "
        f"{best.evaluated} evaluated, {best.valid} valid, {best.seconds:.1f} s; {end}"
    ]
    return lines + best_line(best)


def best_line(best: Best) -> list[str]:
    """The best values and how good they are at most; nothing if there are none."""
    if not best.top:
        return []
    values = ", ".join(f"{value:.6g}" for value in best.top[0].values)
    bound = " (proven optimal)" if best.proven_optimal else ""
    if gap := gap_of(best):
        bound = f" (lower bound {best.lower_bound:.6g}, gap {gap})"
    return [f"best {best.task.goal.objective.name}: {values}{bound}"]


def gap_of(best: Best) -> str:
    """By how much the best known may exceed the optimum, in percent of the lower bound; nothing if that is not known."""
    from sparseloop.evaluation import humanize as wording

    if best.lower_bound is None or best.proven_optimal or not best.top:
        return ""
    return wording.percent_text(best.top[0].values[0] / best.lower_bound - 1 if best.lower_bound else float("inf"))


COUNTED = 4096
"""Counting the mappings of distinct traffic takes long for more sets of loops and bypasses than these."""


def _sizes(space: Mapspace) -> str:
    if space.bypass.count << len(space.ranks) > COUNTED:
        return _size(space.size)
    return f"{_size(space.size)} ({_size(space.distinct_size)} with distinct traffic)"


def _size(number: int) -> str:
    return str(number) if number < 10**6 else f"{number:.3g}" if number < 10**300 else f"10^{len(str(number)) - 1}"


# --- front and top ------------------------------------------------------------------------------------------


def fronts(best: Best, options: Options) -> list[str]:
    """The Pareto front with its picture, and the best mappings, where they are asked for."""
    found: list[str] = []
    if options.pareto and best.front:
        names = [one.name for one in best.task.goal.pareto]
        found.append(table(best, best.front, names))
        if len(best.front) > 1:
            found.append(plot([one.values for one in best.front], names))
        else:
            found.append(f"one mapping is the best in {' and '.join(names)}")
    if options.top > 1 and best.top:
        found.append(table(best, best.top, best.task.goal.objective.name.split(",")))
    return found


def table(best: Best, which: Sequence[Any], names: Sequence[str]) -> str:
    """Rows of values with the tiling of every mapping."""
    from sparseloop.input.resolve import mapping_lines

    lines = ["  ".join(f"{name:>12}" for name in names) + "  mapping"]
    for one in which:
        text = " / ".join(
            f"{target}: {loops}" for line in mapping_lines(one.mapping, best.task.space.spec) for target, loops in line.items()
        )
        lines.append("  ".join(f"{value:>12.6g}" for value in one.values) + f"  {text}")
    return "\n".join(lines)


def plot(points: Sequence[tuple[float, ...]], names: Sequence[str], *, width: int = 60, height: int = 16) -> str:
    """The first two values of every point on a grid with logarithmic axes."""
    import math

    xs, ys = ([math.log(max(p[i], 1e-300)) for p in points] for i in (0, 1))
    grid = [[" "] * width for _ in range(height)]
    for x, y in zip(xs, ys, strict=True):
        column = round((x - min(xs)) / (max(xs) - min(xs) or 1) * (width - 1))
        row = round((y - min(ys)) / (max(ys) - min(ys) or 1) * (height - 1))
        grid[height - 1 - row][column] = "*"
    body = [f"  |{''.join(line).rstrip()}" for line in grid]
    low, high = (f"{point(p[0] for p in points):.3g}" for point in (min, max))
    bottom, top = (f"{point(p[1] for p in points):.3g}" for point in (min, max))
    axis = f"   {low}{names[0].center(max(1, width - len(low) - len(high)))}{high}"
    return "\n".join([f"  {names[1]} (log) up to {top}", *body, f"  +{'-' * width}  {bottom}", axis + " (log)"])


# --- writing ------------------------------------------------------------------------------------------------


def text_with(spec: Spec, mapping: Mapping, files: Sequence[str]) -> str:
    """The input with a mapping, as native YAML: one native file keeps its comments, everything else is written anew."""
    from sparseloop.input.load import dumps, loads, to_data
    from sparseloop.input.resolve import mapping_lines
    from sparseloop.input.spec import Spec as Whole
    from sparseloop.input.yaml import files as yamlio

    lines = mapping_lines(mapping, spec)
    if len(files) == 1 and spec.reading == "native" and not spec.layers:
        text = yamlio.rewritten(Path(files[0]).read_text(encoding="utf-8"), {"mapping": lines})
        if loads(text) == Whole.model_validate({**to_data(spec), "mapping": lines}):
            return text
    return dumps(Whole.model_validate({**to_data(spec), "mapping": lines}))


def output_paths(given: str, names: Sequence[str]) -> list[Path]:
    """best.yaml; with several layers best-conv1.yaml ...; no two are the same."""
    import re

    path = Path(given)
    if len(names) == 1:
        return [path]
    safe = unique_names([re.sub(r"[/\\:\0]", "_", name) for name in names])
    return [path.parent / f"{path.stem}-{name}{path.suffix}" for name in safe]
