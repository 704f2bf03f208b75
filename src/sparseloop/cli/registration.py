"""How a command becomes known to Typer: what all commands have in common (`--quiet`, an example in the help, completion)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, cast, get_type_hints

import typer
from typer.core import TyperCommand

from sparseloop.cli import output
from sparseloop.cli.failures import told_apart

QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="No warnings, notes and progress on stderr.")]
TYPE_NAMES = ("<list[str]>", "<str>")
"""What Typer writes behind the name of an argument; the name says it already."""


class HelpedCommand(TyperCommand):
    """A command whose help names arguments as the user knows them, and whose messages are in plain words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the arguments."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if isinstance(message := getattr(error, "message", None), str):
                cast("Any", error).message = message.removeprefix("Value error, ")
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments and options, without names of Python types."""
        super().format_options(ctx, formatter)
        for name in TYPE_NAMES:
            formatter.buffer[:] = [part.replace(f" {name}", " " * (len(name) + 1)) for part in formatter.buffer]


class _Quietable:
    """A function as Typer sees it, with the option `--quiet` added to its parameters."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        hints = get_type_hints(function, include_extras=True)
        hints.pop("return", None)
        given = inspect.signature(function).parameters.values()
        quiet = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=QuietOption)
        parameters = [
            *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints.get(p.name, p.annotation)) for p in given),
            quiet,
        ]
        self.__annotations__ = {**hints, "quiet": QuietOption}
        self.__signature__ = inspect.Signature(parameters)

    def __call__(self, *, quiet: bool, **values: Any) -> None:
        output.be_quiet(quiet)
        with told_apart():
            self.function(**values)


def add_command(app: typer.Typer, name: str, function: Callable[..., None], example: str) -> None:
    """Makes a function a command of the program; its docstring is the help, `example` one line to copy."""
    shown = app.command(name, cls=HelpedCommand, epilog=f"Example: {example}")
    shown(_Quietable(function))
