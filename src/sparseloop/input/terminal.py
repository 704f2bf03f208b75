"""Text for a terminal: control characters in names and files are written out instead of being obeyed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def visible(text: str, *, keep: str = "") -> str:
    r"""The text with every character that is not printable written as its Python escape, except those in `keep`.

    Control characters start escape sequences, bidirectional ones reorder what follows, a newline breaks a table.

    >>> visible("a\x1b[31m\u202e")
    'a\\x1b[31m\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def lines(text: str) -> str:
    """As `visible`, for text of several lines."""
    return visible(text, keep="\n\t")


def console(stream: TextIO | None = None, *, width: int | None = None, stderr: bool = False) -> Console:
    """A rich console that takes text as it is: `[red]` and `:smile:` are no markup.

    Colours go to terminals only; what is no terminal (a file, a pipe) gets `width` columns.
    """
    from rich.console import Console

    target = stream or (sys.stderr if stderr else sys.stdout)
    seen = target.isatty()
    return Console(
        file=target,
        width=None if seen else width,
        force_terminal=seen,
        color_system="auto" if seen else None,
        markup=False,
        emoji=False,
        highlight=False,
    )
