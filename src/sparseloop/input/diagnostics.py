"""Diagnostics: mistakes and warnings about the user's input, each with its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from sparseloop.input.terminal import lines, visible

MAX_SHOWN = 100
"""At most this many diagnostics are printed."""
LONGEST_LINE = 160
"""Characters of a source line that are shown."""

Path = tuple[str | int, ...]
"""Where something stands in a specification, e.g. ("architecture", "levels", 1, "capacity")."""


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a file: line and column count from 1; `text` is the source line, `length` what to underline."""

    file: str
    line: int | None
    col: int | None
    length: int = 1
    text: str = ""

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.col) if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One mistake (or warning): what is wrong, where, and what would be right."""

    path: Path = ()
    message: str
    hint: str | None = None
    span: Span | None = None
    severity: Literal["error", "warning"] = "error"
    offset: int | None = None
    """Column inside a string value (0-based) that the message is about."""
    length: int = 1
    """How many characters from `offset` on it is about."""
    key: bool = False
    """True: the message is about the key at `path`, not about its value."""
    unknown: bool = False
    """True: a name stands here that does not exist, which no other value can make right."""

    def render(self) -> str:
        """The lines a user sees: place, message, source line, caret, hint."""
        place = visible(str(self.span) if self.span else dotted(self.path))
        message, hint = visible(self.message), lines(self.hint or "")
        head = f"{place}: {self.severity}: {message}" if place else f"{self.severity}: {message}"
        if self.span is None or self.span.line is None or self.span.col is None or not self.span.text.strip():
            return f"{head}\n     {hint}" if hint else head
        number, margin = f"{self.span.line:4d}", " " * len(f"{self.span.line:4d}")
        text, start, length = _window(self.span.text, self.span.col - 1, max(1, self.span.length))
        before = "".join("\t" if c == "\t" else " " for c in lines(text[:start])) + " " * (start - len(text))
        caret = f"{margin} | {before}{'^' * length}"
        return f"{head}\n{number} | {lines(text)}\n{caret}{'  ' + hint if hint else ''}"


class Locator(Protocol):
    """Anything that knows the span of a diagnostic (a source map)."""

    def span(self, diagnostic: Diagnostic) -> Span | None:
        """The place of the diagnostic in the files, or None."""
        ...


class SpecError(Exception):
    """Raised for wrong input; `diagnostics` has every mistake that was found."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return self.render()

    def render(self) -> str:
        """The first diagnostics, one after the other, and how many errors there are."""
        errors = sum(d.severity == "error" for d in self.diagnostics)
        count = f"{errors} error{'' if errors == 1 else 's'}"
        left_out = f", the first {MAX_SHOWN} are shown" if len(self.diagnostics) > MAX_SHOWN else ""
        return "\n".join([*(d.render() for d in self.diagnostics[:MAX_SHOWN]), count + left_out])

    def located(self, source: Locator) -> SpecError:
        """The same mistakes with their places in the files, in file order."""
        placed = [d if d.span else replace(d, span=source.span(d)) for d in self.diagnostics]
        return SpecError(sorted(placed, key=_file_order))


def _window(text: str, start: int, length: int) -> tuple[str, int, int]:
    """The part of a source line to show around a place, and that place in it."""
    if len(text) <= LONGEST_LINE:
        return text, start, length
    left = min(max(0, start - LONGEST_LINE // 2), len(text) - LONGEST_LINE)
    shown = text[left : left + LONGEST_LINE]
    dots = "..." if left else ""
    more = "..." if left + LONGEST_LINE < len(text) else ""
    return f"{dots}{shown}{more}", start - left + len(dots), min(length, LONGEST_LINE - (start - left))


def _file_order(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.file, span.line or 0, span.col or 0) if span else ("", 0, 0)


def dotted(path: Sequence[str | int]) -> str:
    """A path as text: architecture.levels[1].capacity."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def closest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known word that this one is probably a misspelling of (difflib's ratio); None if none is like it."""
    lowered = {name.lower(): name for name in sorted({str(name) for name in known})}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=likeness)
    return lowered[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint with the known word closest to this one, else all known words if they are few; None if there are none."""
    names = sorted({visible(str(name)) for name in known})
    if found := closest(word, names):
        alike = [name for name in names if name.lower() == found.lower()]  # KiB and Kib: which one only the user knows
        return f"did you mean {' or '.join(map(repr, alike))}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 16 else None
