"""Options of commands: records that Typer reads, options of several commands, what the shell completes, checks beforehand."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from sparseloop.input.diagnostics import Diagnostic, SpecError

Form = Literal["table", "json", "csv"]
"""How results are written."""
FormOption = Annotated[Form, typer.Option("-f", "--format", help="How to write the result.")]
SPECIFICATION = "Files of one specification, in any order: YAML (ours, Timeloop, AccelForge), templates, networks."
InputFiles = Annotated[list[str], typer.Argument(metavar="FILE...", help=SPECIFICATION)]
SummaryOption = Annotated[bool, typer.Option("--summary", help="Print the totals only; of several layers one line each.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the input (or of its template: jinja.NAME=VALUE)."),
]
StudyOverrides = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the study.")]
Workers = Annotated[int, typer.Option(metavar="N", min=1, help="Worker processes.")]
Dims = Annotated[
    list[str] | None, typer.Option("--dim", metavar="NAME=SIZE", help="Size of a free axis of a network: seq=2048, batch=8.")
]
PruneOption = Annotated[
    str | None, typer.Option("--prune", metavar="HOW", help="Prune the weights of a model: 2:4, 4x4:0.25, 0.3 (what stays).")
]
PruneLayers = Annotated[
    str | None, typer.Option("--prune-layers", metavar="PATTERN", help="Which layers --prune prunes, by name: 'Conv*'.")
]
PruneGlobal = Annotated[bool, typer.Option("--global", help="--prune: what stays is the share of all layers together.")]
PhaseOption = Annotated[Literal["prefill", "decode"] | None, typer.Option("--phase", help="What of a language model is run.")]

OUTPUT = "-o/--output"
"""The option in messages, in both its forms."""


class Command:
    """A function of one record of arguments, as Typer wants to see it: with one parameter per field."""

    def __init__(self, function: Callable[[Any], None], arguments: type) -> None:
        self.function, self.arguments = function, arguments
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        hints = get_type_hints(arguments, include_extras=True)
        self.__annotations__ = hints
        self.__signature__ = inspect.Signature([_parameter(argument, hints[argument.name]) for argument in fields(arguments)])

    def __call__(self, **values: Any) -> None:
        self.function(self.arguments(**values))


def _parameter(argument: Field[Any], hint: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if argument.default is MISSING else argument.default
    return inspect.Parameter(argument.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


# --- completion: names that the program knows; files are completed by the shell itself ----------------------


def example_names(incomplete: str) -> list[str]:
    """Shipped designs and notebooks."""
    from sparseloop import designs

    return _beginning(incomplete, [*designs.designs(), *designs.notebooks()])


def method_names(incomplete: str) -> list[str]:
    """Ways to search."""
    from sparseloop.mapper.search import METHODS

    return _beginning(incomplete, list(METHODS))


def objective_names(incomplete: str) -> list[str]:
    """What can be minimized."""
    from sparseloop.mapper.objectives import OBJECTIVES

    return _beginning(incomplete, list(OBJECTIVES))


def figure_kinds(incomplete: str) -> list[str]:
    """Kinds of figures."""
    from sparseloop.report.figures import FIGURE_KINDS

    return _beginning(incomplete, list(FIGURE_KINDS))


def target_names(incomplete: str) -> list[str]:
    """Published results."""
    from sparseloop.validation.registry import TARGETS

    return _beginning(incomplete, list(TARGETS))


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


# --- checks -------------------------------------------------------------------------------------------------


def option_mistakes(option: str, attempt: Callable[[], object]) -> list[Diagnostic]:
    """What an attempt to use the value of an option complains of, said of that option."""
    try:
        attempt()
    except SpecError as error:
        return [replace(mistake, path=(option,)) for mistake in error.diagnostics]
    return []


def output_mistakes(files: Sequence[Path]) -> list[Diagnostic]:
    """What would keep these files from being written: better known before a search than after it."""
    folders = dict.fromkeys(file.parent for file in files if not file.exists())
    mistakes = [mistake for folder in folders for mistake in option_mistakes(OUTPUT, lambda f=folder: writable_folder(f))]
    for file in files:
        if file.exists():
            mistakes += option_mistakes(OUTPUT, lambda f=file: _writable_file(f))
    return mistakes


def writable_folder(folder: Path, *, make: bool = False) -> None:
    """Tries to write into a folder: permissions alone do not tell (read-only disks, special folders); raises `SpecError`."""
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SpecError([Diagnostic(message=f"cannot write into the folder {folder} ({error.strerror})")]) from None


def no_folder(file: str) -> None:
    """Raises `SpecError` if there is a folder where a file is to be written."""
    if Path(file).is_dir():
        raise SpecError([Diagnostic(message=f"'{file}' is a folder, not a file")])


def _writable_file(file: Path) -> None:
    no_folder(str(file))
    try:
        file.open("ab").close()
    except OSError as error:
        raise SpecError([Diagnostic(message=f"cannot write {file} ({error.strerror})")]) from None
