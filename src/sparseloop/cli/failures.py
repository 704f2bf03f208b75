"""What ends a command besides mistakes of the user: interrupts, a system that refuses, and warnings of libraries."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Generator

from sparseloop.cli.output import note
from sparseloop.input.terminal import lines


class Interrupted(Exception):
    """The user pressed Ctrl-C; the text says how to go on."""


class ClosedOutput(Exception):
    """Nobody reads what is printed any more. No OSError: Typer would end with a status of its own."""


@contextlib.contextmanager
def told_apart() -> Generator[None]:
    """Gives interrupts and closed pipes types of our own, before Typer makes statuses of them; sends out what was printed."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise Interrupted from None
    except BrokenPipeError:
        raise ClosedOutput from None


@contextlib.contextmanager
def plain_warnings() -> Generator[None]:
    """Shows warnings of Python as ours, without places in the source."""

    def shown(message: Warning | str, *_: object) -> None:
        note(lines(f"warning: {message}"))

    before, warnings.showwarning = warnings.showwarning, shown  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        warnings.showwarning = before


def drop_output() -> None:
    """What is still to be printed goes nowhere: a full disk or a closed pipe would refuse it again when the program ends."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def refusal(error: BaseException) -> str | None:
    """What the system said, if it is the system that refused."""
    from concurrent.futures import BrokenExecutor  # with logging: only failures need it

    if isinstance(error, MemoryError):
        return "too little memory"
    if isinstance(error, OSError):
        name = f" ({error.filename})" if error.filename else ""
        return lines(f"{error.strerror or error}{name}")
    return "a worker process ended unexpectedly (out of memory?)" if isinstance(error, BrokenExecutor) else None
