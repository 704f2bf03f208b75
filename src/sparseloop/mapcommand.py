"""`sparseloop map`: options, progress on stderr, the best mapping drawn and written."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

if TYPE_CHECKING:
    from .mapping import Mapping
    from .search import Best, Budget, Tally, Watch
    from .spec import Spec


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
    seed: Annotated[int, typer.Option(help="Same seed, same answer (unless the budget is a time).")] = 0
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1
    top: Annotated[int, typer.Option(min=1, help="Print so many of the best mappings.")] = 1
    padded: Annotated[bool, typer.Option("--padded", help="Also sizes that fill the fanouts better (imperfect factors).")] = False
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write the best mapping.")] = None
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


def found_for(spec: Spec, options: Options) -> Best:
    """One search, with its progress on stderr."""
    from .mapspace import mapspace
    from .objectives import objective, objectives
    from .search import Goal, Task, budget_of, run

    pareto = objectives(options.pareto) if options.pareto else ()
    goal = Goal(objective=objective(options.minimize), top=options.top, pareto=pareto)
    task = Task(
        space=mapspace(spec, padded=options.padded),
        goal=goal,
        method=options.method,
        budget=budget_of(options.budget, options.method),
        seed=options.seed,
        workers=options.workers,
    )
    with progress() as watch:
        return run(task, watch)


@contextmanager
def progress() -> Generator[Watch]:
    """A line on stderr that is renewed while a search runs; nothing if stderr is no terminal."""
    from .search import silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console

    with Console(stderr=True).status("searching ...") as status:

        def shown(tally: Tally, budget: Budget) -> None:
            status.update(progress_line(tally, budget))

        yield shown


def progress_line(tally: Tally, budget: Budget) -> str:
    """'48.0 k of 200 k mappings, 36 % valid, best edp 1.04e+16, 96 k/s'."""
    from . import wording

    of = f" of {wording.count(budget.mappings)}" if budget.mappings else ""
    valid = wording.percent(tally.valid / max(1, tally.evaluated))
    best = f", best {tally.goal.objective.name} {tally.top[0].values[0]:.4g}" if tally.top else ""
    rate = wording.count(tally.evaluated / max(tally.seconds, 1e-9))
    return f"{wording.count(tally.evaluated)}{of} mappings, {valid} valid{best}, {rate}/s"


def summary(best: Best) -> str:
    """What was searched and what came of it, in two lines."""
    from . import wording

    space = best.task.space
    end = {"done": "everything that was to be done", "budget": "the budget is spent", "interrupted": "interrupted"}[best.stopped]
    lines = [
        f"mapspace {_size(space.size)} ({_size(space.distinct_size)} with distinct traffic); {best.task.method}: "
        f"{best.evaluated} evaluated, {best.valid} valid, {best.seconds:.1f} s; {end}"
    ]
    if best.top:
        values = ", ".join(f"{value:.6g}" for value in best.top[0].values)
        bound = " (proven optimal)" if best.proven_optimal else ""
        if best.lower_bound is not None and not best.proven_optimal:
            gap = best.top[0].values[0] / best.lower_bound - 1 if best.lower_bound else float("inf")
            bound = f" (lower bound {best.lower_bound:.6g}, gap {wording.percent(gap)})"
        lines.append(f"best {best.task.goal.objective.name}: {values}{bound}")
    return "\n".join(lines)


def _size(number: int) -> str:
    return str(number) if number < 10**6 else f"{number:.3g}" if number < 10**300 else f"10^{len(str(number)) - 1}"


# --- front and top ------------------------------------------------------------------------------------------


def table(best: Best, which: Sequence[Any], names: Sequence[str]) -> str:
    """Rows of values with the tiling of every mapping."""
    from .resolve import written

    lines = ["  ".join(f"{name:>12}" for name in names) + "  mapping"]
    for one in which:
        text = " / ".join(
            f"{target}: {loops}" for line in written(one.mapping, best.task.space.spec) for target, loops in line.items()
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
    from . import yamlio
    from .loading import dumps, loads, to_data
    from .resolve import written
    from .spec import Spec as Whole

    lines = written(mapping, spec)
    if len(files) == 1 and spec.reading == "native" and not spec.layers:
        text = yamlio.rewritten(Path(files[0]).read_text(encoding="utf-8"), {"mapping": lines})
        if loads(text) == Whole.model_validate({**to_data(spec), "mapping": lines}):
            return text
    return dumps(Whole.model_validate({**to_data(spec), "mapping": lines}))


def output_path(given: str, name: str, layers: int) -> Path:
    """best.yaml; with several layers best-conv1.yaml ..."""
    path = Path(given)
    return path if layers == 1 else path.with_name(f"{path.stem}-{name}{path.suffix}")
