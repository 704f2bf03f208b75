"""Attribute values: numbers, words, and expressions over other attributes, computed when they are first asked for.

Expressions are those of `expr`, and `a if x > b else c`. In v0.3 `log(x)` is the number of bits, ceil(log2(x)),
as published flattened architectures show (`ag_datawidth`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from sparseloop.input import expressions as expr
from sparseloop.input.accelergy.records import Scalar
from sparseloop.input.diagnostics import Diagnostic, Path
from sparseloop.input.timeloop.sections import ImportLog

MUST_SPECIFY = "must_specify"
_LONGEST_CHAIN = 50

_WORD = re.compile(r"[^\W\d]\w*")
_SUM = re.compile(r"[*/()+<>]|(?<![\w.])if(?![\w.])")


class Reported(expr.NotationError):
    """A value cannot be computed; the reason is in the log already."""

    def __init__(self) -> None:
        super().__init__(expr.Mistake("variable that is wrong itself"))


@dataclass(frozen=True, slots=True)
class Written:
    """A value as it stands in a file, and the scope of its names; None: the scope that it is part of."""

    value: Scalar
    path: Path
    scope: Scope | None = None


class Scope(Mapping[str, object]):
    """Values by name; a name that is not here is looked up in the enclosing scope."""

    def __init__(self, written: Mapping[str, Written], log: ImportLog, *, outer: Scope | None = None, bits: bool = False) -> None:
        self.written, self.log, self.outer, self.bits = written, log, outer, bits
        self._known = dict[str, Scalar]()
        self._pending = list[str]()

    def __contains__(self, name: object) -> bool:
        return name in self.written or (self.outer is not None and name in self.outer)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.written, *(self.outer or ())]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Scalar:
        """The value of a name; raises `Reported`, or `KeyError` if there is none."""
        if name in self._known:
            return self._known[name]
        if name not in self.written:
            if self.outer is None:
                raise KeyError(name)
            return self.outer[name]
        entry = self.written[name]
        if name in self._pending or len(self._pending) >= _LONGEST_CHAIN:
            what = "is defined by itself" if name in self._pending else "depends on too many others, one by one"
            chain = " -> ".join([*self._pending[-5:], name])
            self._report(Diagnostic(path=entry.path, message=f"attribute '{name}' {what}", hint=chain))
        self._pending.append(name)
        try:
            value = self._known[name] = (entry.scope or self).value(entry.value, entry.path)
        finally:
            self._pending.pop()
        return value

    def value(self, raw: Scalar, path: Path) -> Scalar:
        """The value of an entry of a file in this scope; a mistake is logged and raises `Reported`."""
        if not isinstance(raw, str):
            return raw
        try:
            return self._of_text(raw.strip())
        except Reported:
            raise
        except expr.NotationError as error:
            first = error.mistakes[0]
            message = f"cannot compute '{raw}': {first.message}"
            offset = first.offset if not self.bits and " if " not in raw else None
            self._report(Diagnostic(path=path, message=message, hint=first.hint, offset=offset, length=first.length))

    def number(self, raw: Scalar, path: Path, what: str) -> float:
        """A value that has to be a plain number."""
        value = self.value(raw, path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._report(Diagnostic(path=path, message=f"{what} must be a number, not {value!r}"))
        return value

    def _report(self, diagnostic: Diagnostic) -> NoReturn:
        """Logs a mistake, once."""
        if diagnostic not in self.log.diagnostics:
            self.log.diagnostics.append(diagnostic)
        raise Reported

    def resolved(self) -> dict[str, Scalar]:
        """All values that can be computed."""
        before, result = list(self.log.diagnostics), dict[str, Scalar]()
        for name in self:
            try:
                result[name] = self[name]
            except Reported:
                continue
        self.log.diagnostics[:] = before
        return result

    def _of_text(self, text: str) -> Scalar:
        if _WORD.fullmatch(text):
            return self.get(text, text)
        return self._computed(text)

    def _computed(self, text: str) -> Scalar:
        """A number or a word; text that is no expression ('LPDDR4-3200', '45nm') stays as it is."""
        try:
            with expr.variables(self):
                result = expr.evaluate_operand(_bits(text) if self.bits else text)
        except Reported:
            raise
        except expr.NotationError:
            if _SUM.search(text) and any(word in self for word in _WORD.findall(text)):
                raise
            if _SUM.search(text) and re.search(r"\w\s*\(", text):
                raise
            return text
        if isinstance(result, str):
            return result
        return text if result.unit else result.number


def _bits(text: str) -> str:
    """The text with log(x) as ceil(log2(x))."""
    while match := re.search(r"(?<!\w)log\s*\(", text):
        depth, end = 1, match.end()
        while end < len(text) and depth:
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
        if depth:
            return text
        text = f"{text[: match.start()]}ceil(log2({text[match.end() : end - 1]})){text[end:]}"
    return text


def arguments_text(arguments: Iterable[tuple[str, Scalar]]) -> str:
    """Arguments as text: '(data_delta=1)'; '' if there are none."""
    inside = ", ".join(f"{name}={value}" for name, value in arguments)
    return f"({inside})" if inside else ""
