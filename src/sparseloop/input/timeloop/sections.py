"""Reads keys of Timeloop's files and remembers which were used, so that the others can be reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from sparseloop.input import expressions as expr
from sparseloop.input.diagnostics import Diagnostic, Locator, Path, SpecError, closest, did_you_mean, dotted
from sparseloop.input.yaml.nodes import Plain

NO_KEYS: Mapping[str, str] = {}
_TRUTHS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "on", "y", "1"), True),
    **dict.fromkeys(("false", "no", "off", "n", "0"), False),
}
"""YAML 1.1's words for truth values, which Timeloop takes, in any case of letters."""
_MADE_TEXT = re.compile(r"\s*\(?\s*[\"']")
_EXPRESSION = re.compile(r"[^\w\s.-]|\b(?:if|and|or|not|in)\b")
_LARGEST = 1e300
_LONGEST_QUOTE = 60
NO_ITEMS: Mapping[str, Path] = {}
_OF_COMPONENT = re.compile(r"(?<![\w.])([^\W\d]\w*)\.(?:attributes\.)?([^\W\d]\w*)")


_Answer = TypeVar("_Answer")


def canonical(key: object) -> str:
    """Spelling of a key with underscores: Timeloop v3 writes hyphens, later versions underscores."""
    return str(key).replace("-", "_")


@dataclass
class ImportLog:
    """Mistakes of an import (raised together at the end) and notes (kept in the specification)."""

    source: Locator | None = None
    variables: Mapping[str, Plain] = field(default_factory=dict[str, Plain])
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])
    notes: list[str] = field(default_factory=list[str])

    def error(self, path: Path, message: str, hint: str | None = None, *, key: bool = False) -> None:
        """A mistake at `path`; `key`: of the key itself, not of its value."""
        self.diagnostics.append(Diagnostic(path=path, message=message, hint=hint, key=key))

    def note(self, path: Path, message: str) -> None:
        """Adds a note: something is read differently than written, or not at all."""
        text = f"{self.place(path)}: {message}"
        if text not in self.notes:
            self.notes.append(text)

    def place(self, path: Path) -> str:
        """'file:line' of a path, or the path itself when there are no files."""
        span = self.source.span(Diagnostic(path=path, message="", key=True)) if self.source else None
        return f"{span.file}:{span.line}" if span and span.line is not None else dotted(path)

    def raise_errors(self) -> None:
        """Raises all mistakes found so far, located in the files."""
        if self.diagnostics:
            error = SpecError(self.diagnostics)
            raise error.located(self.source) if self.source else error


class PlacedMapping(dict[str, Plain]):
    """A YAML mapping that the importer made: the path in the files that it comes from, and the names that its expressions
    may use.
    """

    def __init__(
        self,
        data: Mapping[str, Plain],
        path: Path,
        scope: Mapping[str, Plain] | None = None,
        items_at: Mapping[str, Path] = NO_ITEMS,
    ) -> None:
        super().__init__(data)
        self.path, self.scope, self.items_at = path, scope, items_at
        """`items_at`: keys that come from an item of a list, and that item's position below `path`."""


def merged_maps(items: list[Plain], path: Path) -> PlacedMapping | None:
    """A list of mappings as one mapping, as Timeloop's front end merges them (later items win); None if it is no such list."""
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    found, places = dict[str, Plain](), dict[str, Path]()
    for i, item in enumerate(cast("list[dict[str, Plain]]", items)):
        found |= item
        places |= dict.fromkeys(item, (i,))
    return PlacedMapping(found, path, items_at=places)


def quoted(value: Plain) -> str:
    """A value of the input as a message shows it: at most a line of it."""
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


@dataclass
class Section:
    """A YAML mapping of the input. Reading a key, with hyphens or underscores, marks it as used."""

    data: Mapping[str, Plain]
    path: Path
    log: ImportLog
    used: set[str] = field(default_factory=set[str])
    asked: set[str] = field(default_factory=set[str])
    """Keys that a reader looked for, whether they are there or not."""
    scope: Mapping[str, Plain] | None = None
    """Names that expressions may use; None: the variables of the files."""

    def __post_init__(self) -> None:
        if isinstance(self.data, PlacedMapping):
            self.path, self.scope = self.data.path, self.data.scope or self.scope
        self._keys = {canonical(k): k for k in self.data}

    @property
    def known(self) -> Mapping[str, Plain]:
        """The names that values may stand for."""
        return self.log.variables if self.scope is None else self.scope

    def has(self, *keys: str) -> bool:
        """True if one of the keys is present and not null."""
        self.asked.update(keys)
        return any(self.data[self._keys[k]] is not None for k in keys if k in self._keys)

    def key_path(self, key: str) -> Path:
        """Path of a key as the file spells it."""
        spelled = self._keys.get(key, key)
        before = self.data.items_at.get(spelled, ()) if isinstance(self.data, PlacedMapping) else ()
        return (*self.path, *before, spelled)

    def take(self, *keys: str) -> Plain:
        """Value of the first present key; None if none is there or it is null. A variable's name becomes its value."""
        found: Plain = None
        self.asked.update(keys)
        for key in keys:
            if key in self._keys:
                self.used.add(key)
                value = self.data[self._keys[key]]
                found = value if found is None else found
        return self.known.get(found, found) if isinstance(found, str) else found

    def number(self, *keys: str) -> float | None:
        """A number, or None."""
        value = self.take(*keys)
        try:
            number = value if value is None or (isinstance(value, int) and not isinstance(value, bool)) else float(value)
        except (TypeError, ValueError):
            number = self._evaluated(keys, value) if isinstance(value, str) else self._wrong(keys, value, "a number")
        finite = number is None or abs(number) <= _LARGEST
        return number if finite else self._wrong(keys, str(value)[:40], "a finite number")

    def _evaluated(self, keys: Iterable[str], text: str) -> float | None:
        """The value of an arithmetic expression over the known names."""
        result = self._computed(keys, text, expr.evaluate_expression, "a number")
        return result if result is None else result.number if not result.unit else self._wrong(keys, text, "a number")

    def _computed(
        self, keys: Iterable[str], text: str, compute: Callable[[str], _Answer], expected: str = "a value"
    ) -> _Answer | None:
        """The answer of an expression over the known names; 'buffer.width' is another component's attribute."""
        known = self.known

        def of_component(match: re.Match[str]) -> str:
            name = f"{match[1]}.{match[2]}"
            return f"({known[name]})" if name in known else match[0]

        try:
            with expr.variables(known):
                return compute(_OF_COMPONENT.sub(of_component, text))
        except expr.NotationError as error:
            key = next(k for k in keys if k in self._keys)
            self.log.error(self.key_path(key), f"expected {expected}, got {quoted(text)}: {error}", error.mistakes[0].hint)
            return None

    def integer(self, *keys: str) -> int | None:
        """A whole number, or None."""
        value = self.number(*keys)
        if value is None or value == int(value):
            return None if value is None else int(value)
        return self._wrong(keys, value, "a whole number")

    def count(self, *keys: str) -> int | None:
        """A whole number of at least 1, or None."""
        value = self.integer(*keys)
        return self._wrong(keys, value, "a whole number >= 1") if value is not None and value < 1 else value

    def flag(self, *keys: str) -> bool | None:
        """A truth value, or None."""
        value = self.take(*keys)
        if value is None or isinstance(value, bool):
            return value
        found = _TRUTHS.get(str(value).lower())
        if found is None and isinstance(value, str) and _EXPRESSION.search(value):
            return self._computed(keys, value, expr.evaluate_condition)
        return self._wrong(keys, value, "true or false") if found is None else found

    def text(self, *keys: str) -> str | None:
        """A string, or None; 'a if b else c' is computed."""
        value = self.take(*keys)
        if isinstance(value, str) and " if " in value and " else " in value:
            found = self._computed(keys, value, expr.evaluate_operand)
            return f"{found.number:.15g}" if isinstance(found, expr.Value) else found
        return None if value is None else str(value)

    def required(self, key: str, what: str) -> str:
        """A string that must be there; without it a mistake, which names the unread key that stands in its place, and ''."""
        value = self.text(key)
        if value is not None and value.strip():
            return value
        unread = [str(spelled) for name, spelled in self._keys.items() if name not in self.used]
        instead = closest(key, unread)
        place = self.key_path(key) if instead is None else (*self.path, instead)
        hint = f"did you mean '{key}' by '{instead}'?" if instead else None
        self.log.error(place, f"{what} has no '{key}'", hint, key=instead is not None)
        self.used.add(canonical(instead) if instead else key)  # told once
        return ""

    def factors(self, key: str) -> Plain:
        """Factors as written; those put together by an expression, '("X=" + str(N))', are computed."""
        value = self.take(key)
        listed = cast("list[Plain]", value) if isinstance(value, list) else [value]
        if not any(isinstance(item, str) and _MADE_TEXT.match(item) for item in listed):
            return cast("Plain", value)
        return [self._made_text(key, item) for item in listed]

    def _made_text(self, key: str, item: Plain) -> Plain:
        made = isinstance(item, str) and _MADE_TEXT.match(item)
        return (self._computed((key,), str(item), expr.evaluate_operand) or "") if made else item

    def names(self, *keys: str) -> tuple[str, ...] | None:
        """A list of names (a single name and a string of names count as lists), or None."""
        value = self.take(*keys)
        if value is None:
            return None
        if isinstance(value, str):
            return tuple(value.replace(",", " ").split())
        if isinstance(value, list):
            return tuple(as_names(cast("list[Plain]", value), self.key_path(next(k for k in keys if k in self._keys)), self.log))
        return self._wrong(keys, value, "a list of names")

    def items(self, *keys: str) -> list[Plain]:
        """A list; a missing key is an empty list."""
        value = self.take(*keys)
        if value is None or isinstance(value, list):
            return cast("list[Plain]", value or [])
        self._wrong(keys, value, "a list")
        return []

    def section(self, *keys: str) -> Section | None:
        """A nested mapping, or None."""
        value = self.take(*keys)
        if value is None:
            return None
        key = next(k for k in keys if k in self._keys)
        if isinstance(value, list) and (merged := merged_maps(cast("list[Plain]", value), self.key_path(key))) is not None:
            value = merged
        if isinstance(value, dict):
            return Section(cast("dict[str, Plain]", value), self.key_path(key), self.log, scope=self.scope)
        return self._wrong(keys, value, "a mapping")

    def sections(self, *keys: str) -> list[Section]:
        """A list of mappings; a missing key is an empty list."""
        value = self.take(*keys)
        if value is None:
            return []
        key = next(k for k in keys if k in self._keys)
        return list(sections(value, self.key_path(key), self.log))

    def _wrong(self, keys: Iterable[str], value: Plain, expected: str) -> None:
        key = next(k for k in keys if k in self._keys)
        self.log.error(self.key_path(key), f"expected {expected}, got {quoted(value)}")

    def unused(self, ignored: Mapping[str, str] = NO_KEYS, what: str = "", likeness: float = 0.6) -> None:
        """Every key that was not read: a mistake if it is like one that was looked for and is not there, else a note.

        Keys known to be irrelevant (key to reason) are neither.
        """
        missing = [key for key in self.asked if key not in self._keys]
        for key, spelled in self._keys.items():
            if key not in self.used and key not in ignored:
                where = f" of {what}" if what else ""
                if (meant := closest(key, missing, likeness)) and key not in self.asked:
                    meant = meant.replace("_", "-") if "-" in spelled else meant
                    self.log.error((*self.path, spelled), f"unknown key '{spelled}'{where}", f"did you mean '{meant}'?", key=True)
                    continue
                self.log.note((*self.path, spelled), f"'{spelled}'{where} is not modelled and was left out")


def sections(value: Plain, path: Path, log: ImportLog) -> Iterator[Section]:
    """The mappings of a list; anything else is a mistake."""
    if not isinstance(value, list):
        log.error(path, "expected a list")
        return
    for i, item in enumerate(cast("list[Plain]", value)):
        if isinstance(item, dict):
            yield Section(cast("dict[str, Plain]", item), (*path, i), log)
        else:
            log.error((*path, i), f"expected a mapping, got {quoted(item)}")


def as_names(value: Plain, path: Path, log: ImportLog) -> list[str]:
    """A list of names or numbers as text; a single one counts as a list."""
    found = cast("list[Plain]", value) if isinstance(value, list) else [value]
    if any(not isinstance(word, str | int | float) or isinstance(word, bool) for word in found):
        log.error(path, f"expected a list of names, got {quoted(value)}")
        return []
    return [str(word) for word in found]


def unknown_name(log: ImportLog, path: Path, kind: str, name: str, known: Iterable[str]) -> None:
    """A mistake: `name` is none of `known`."""
    log.error(path, f"unknown {kind} '{name}'", did_you_mean(name, known))
