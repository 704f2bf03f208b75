"""Diagnostics: mistakes and warnings about the user's input, each with its place; those in arguments of Python functions too."""

from __future__ import annotations

import difflib
import inspect
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Protocol, Union, cast, get_args, get_origin, get_type_hints

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


# --- arguments of Python functions --------------------------------------------------------------------------

Natural = Annotated[int, 0]
"""A whole number from 0."""
Positive = Annotated[int, 1]
"""A whole number from 1."""
AtLeastZero = Annotated[float, 0]
"""A number from 0."""

_MADE_BY = {
    "Spec": "a Spec comes from sparseloop.load(...) of files, loads(...) of text, build(...) of records",
    "Mapping": "a Mapping is design_of(spec).mapping, best.mapping or one of a sample: mapspace(spec).sample(10)[0]",
    "Workload": "in this order: build(workload, architecture, mapping)",
    "Architecture": "in this order: build(workload, architecture, mapping)",
    "Loops": "for example sparseloop.Loops('GLB', {'m': 8, 'n': 16})",
    "Store": "a Store comes from sparseloop.Store.opened(FOLDER)",
    "SearchOptions": "for example sparseloop.SearchOptions(method='genetic', budget='10s')",
    "RunOptions": "for example sparseloop.RunOptions(workers=2)",
}
"""How to make what a function takes, by its class."""
_WORDS: dict[Any, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "True or False", type(None): "None", bytes: "bytes",
    os.PathLike: "a path", Callable: "a function", dict: "a dict", Mapping: "a dict",
}  # fmt: skip


def check_arguments(function: Callable[..., object], given: Mapping[str, object]) -> None:
    """Holds the arguments of a function (its `locals()`) against their annotations; `SpecError` names all that do not fit."""
    _check(_hints(function), given)


def check_fields(record: object) -> None:
    """As `check_arguments`, for the fields of a record."""
    hints = _hints(type(record))
    _check(hints, {name: getattr(record, name) for name in hints})


@lru_cache(maxsize=128)
def _hints(owner: Callable[..., object]) -> dict[str, Any]:
    hints = get_type_hints(owner, include_extras=True)
    code = getattr(owner, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_VARARGS:
        rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
        hints[rest] = tuple[hints[rest], ...]
    return {name: hint for name, hint in hints.items() if name != "return"}


def _check(hints: Mapping[str, Any], given: Mapping[str, object]) -> None:
    if wrong := [mistake for name, hint in hints.items() for mistake in _misfits(given[name], hint, (name,))]:
        raise SpecError(wrong)


def _misfits(value: Any, hint: Any, path: Path) -> Iterator[Diagnostic]:
    """What is wrong with a value that should be as annotated: its parts if it is a list or a dict as wanted."""
    if _fits(value, hint):
        return
    for one in _alternatives(hint):
        origin, inner = get_origin(one) or one, get_args(one)
        if inner and _is_list(value) and origin in (Sequence, tuple, list):
            for i, part in enumerate(cast("Sequence[Any]", value)):
                yield from _misfits(part, inner[0], (*path, i))
            return
        if inner and _is_dict(value) and origin in (Mapping, dict):
            pairs = cast("Mapping[Any, Any]", value)
            odd = [key for key in pairs if not _fits(key, inner[0])]
            yield from (Diagnostic(path=path, message=f"expected {_words(inner[0])} as a key, got {_shown(key)}") for key in odd)
            for key, part in pairs.items():
                if key not in odd:
                    yield from _misfits(part, inner[1], (*path, str(key)))
            return
    made = [_MADE_BY[name] for one in _alternatives(hint) if (name := getattr(one, "__name__", "")) in _MADE_BY]
    if path[0] == "overrides":
        made = ["texts as with --set: overrides=['workload.density.A=0.1']"]
    yield Diagnostic(path=path, message=f"expected {_words(hint)}, got {_shown(value)}", hint=made[0] if made else None)


def _alternatives(hint: Any) -> list[Any]:
    return [one for arg in get_args(hint) for one in _alternatives(arg)] if _is_union(hint) else [hint]


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_dict(value: object) -> bool:
    return isinstance(value, Mapping)


def _fits(value: Any, hint: Any) -> bool:
    """True if a value is as annotated; what the annotation says beyond classes, lists and dicts is not looked at."""
    if _is_union(hint):
        return any(_fits(value, one) for one in get_args(hint))
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, inner[0]) and cast("float", value) >= inner[1]
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if hint in (int, float):
        return not isinstance(value, bool) and isinstance(value, Integral if hint is int else Real)
    if origin in (Sequence, tuple, list):
        return _is_list(value) and all(_fits(part, inner[0]) for part in cast("Sequence[Any]", value))
    if origin in (Mapping, dict):
        pairs = cast("Mapping[Any, Any]", value)
        return _is_dict(value) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in pairs.items())
    kind = origin or hint
    return hint is Any or not isinstance(kind, type) or isinstance(value, kind)


def _words(hint: Any) -> str:
    """An annotation as words: 'a text or a list of a text' would do nobody good, so lists name their elements alone."""
    if _is_union(hint):
        return " or ".join(dict.fromkeys(_words(one) for one in get_args(hint)))
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{_words(inner[0])} from {inner[1]}"
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (Sequence, tuple, list):
        names = {str: "texts", int: "whole numbers", float: "numbers"}
        kinds = dict.fromkeys(names.get(one) or getattr(one, "__name__", str(one)) for one in _alternatives(inner[0]))
        return f"a list of {' or '.join(kinds)}"
    name = getattr(origin or hint, "__name__", str(hint))
    return _WORDS.get(origin or hint) or f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _shown(value: object) -> str:
    """A small value as it is written, another one by its class."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:37]}..."
    name = type(value).__name__
    return f"the class {value.__name__}" if isinstance(value, type) else f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
