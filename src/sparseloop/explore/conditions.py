"""Conditions over named values: 'format == csr and banks * 32 KiB <= 1 MiB', 'area_um2 <= 2e6', 'glb in [32, 64]'."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from sparseloop.input import expressions as expr
from sparseloop.input.diagnostics import did_you_mean
from sparseloop.input.expressions import wrong

Value = float | int | bool | str | None
Values = Mapping[str, Value]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_TOKEN = re.compile(r"""\s*("[^"]*"|'[^']*'|<=|>=|==|!=|<|>|\(|\)|\[|\]|,|[^\W\d][\w.]*|[^\s()\[\],<>=!"']+|[=!])""")
_NAME = re.compile(r"[^\W\d]\w*")
Kind = Literal["and", "or", "not", "compare", "in"]


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds or does not, given values by name."""

    text: str
    kind: Kind
    parts: tuple[Condition, ...] = ()
    operands: tuple[str, ...] = ()
    """As written: names, quoted or bare labels, arithmetic."""
    sign: str = ""
    offset: int = 0

    def holds(self, values: Values) -> bool:
        """Whether it does; what has no value (its own condition did not hold) satisfies no comparison."""
        if self.kind == "and":
            return all(part.holds(values) for part in self.parts)
        if self.kind == "or":
            return any(part.holds(values) for part in self.parts)
        if self.kind == "not":
            return not self.parts[0].holds(values)
        sides = [operand(text, values) for text in self.operands]
        if None in sides[:1]:
            return False
        if self.kind == "in":
            return sides[0] in sides[1:]
        return None not in sides and _compared(self.sign, sides[0], sides[1])

    def names(self, known: Iterable[str]) -> frozenset[str]:
        """Which of the known names it speaks of."""
        known = frozenset(known)
        inner = frozenset(name for part in self.parts for name in part.names(known))
        words = {word for text in self.operands for word in _NAME.findall(text) if text[0] not in "\"'"}
        return inner | (words & known)

    def check(self, values: Values, labels: Mapping[str, Iterable[str]]) -> None:
        """Raises `NotationError` for names and labels that do not exist; `labels` are those of each name that has some."""
        for part in self.parts:
            part.check(values, labels)
        named = [text for text in self.operands if text in labels]
        if self.operands and not self.names(values):
            message = f"'{self.text}' speaks of nothing that varies"
            raise wrong(message, did_you_mean(self.operands[0], values), offset=self.offset, length=len(self.text))
        for text in self.operands:
            quoted = text[0] in "\"'"
            if named and text not in labels and (quoted or (_NAME.fullmatch(text) and text not in values)):
                known = [label for name in named for label in labels[name]]
                if (word := text.strip("\"'")) not in known:
                    hint = did_you_mean(word, known)
                    raise wrong(f"'{named[0]}' is never '{word}'", hint, offset=self.offset, length=len(self.text))
            elif _NAME.fullmatch(text) and text not in {*values, *expr.UNIT_VALUES, "true", "false"}:
                raise wrong(f"unknown name '{text}'", did_you_mean(text, values), offset=self.offset, length=len(self.text))
            elif not quoted and text not in labels:
                operand(text, {name: 1 if isinstance(value, str) or value is None else value for name, value in values.items()})
        if self.operands:
            self._check_types(values, labels)

    def _check_types(self, values: Values, labels: Mapping[str, Iterable[str]]) -> None:
        """Raises `NotationError` where a number stands beside a label, or labels are ordered."""
        kinds = {name: "label" if name in labels or isinstance(value, str) else 1.0 for name, value in values.items()}
        found = ["label" if isinstance(operand(text, kinds), str) else "number" for text in self.operands]
        different = next((text for text, kind in zip(self.operands, found, strict=True) if kind != found[0]), None)
        if different is not None:
            message = f"'{self.operands[0]}' is a {found[0]}, '{different.strip(chr(34) + chr(39))}' is none"
            raise wrong(message, offset=self.offset, length=len(self.text))
        if found[0] == "label" and self.sign in ("<", "<=", ">", ">="):
            raise wrong("labels have no order", "compare them with == or !=", offset=self.offset, length=len(self.text))


def _compared(sign: str, left: Value, right: Value) -> bool:
    if sign in ("==", "!=") and (isinstance(left, str) != isinstance(right, str)):
        left, right = str(left), str(right)
    try:
        return _COMPARE[sign](left, right)
    except TypeError:
        raise wrong(f"cannot compare {left!r} with {right!r}") from None


def operand(text: str, values: Values) -> Value:
    """The value of one side: of a name, a label or arithmetic over names."""
    if text in values:
        return values[text]
    if text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    if _NAME.fullmatch(text) and any(isinstance(value, str) for value in values.values()) and text not in expr.UNIT_VALUES:
        return text  # a label
    return arithmetic(text, values)


def arithmetic(text: str, values: Values) -> float | int | None:
    """A number, computed from names; None if one of them has no value. Sizes and times are in bits, seconds and metres."""
    used = {word for word in _NAME.findall(text) if word in values}
    if not used:
        return _constant(text)
    if any(values[word] is None for word in used):
        return None
    for word in used:
        if isinstance(values[word], str):
            raise wrong(f"'{word}' is a label, not a number: it cannot be computed with")
    with expr.variables({word: values[word] for word in used}):
        return _finite(text)


@lru_cache(maxsize=1024)
def _constant(text: str) -> float | int:
    return _finite(text)


def _finite(text: str) -> float | int:
    number = expr.evaluate_expression(text).number
    if not isinstance(number, int) and not math.isfinite(number):
        raise wrong(f"'{text}' is no finite number")
    return number


# --- parsing ------------------------------------------------------------------------------------------------


class Token(NamedTuple):
    """A word, number, sign or bracket of a condition, and where it begins."""

    word: str
    offset: int


def parse_condition(text: str) -> Condition:
    """Reads a condition; raises `NotationError`."""
    tokens, at = list[Token](), 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise wrong(f"unexpected character {text[at]!r}", offset=at)
        tokens.append(Token(match[1], match.start(1)))
        at = match.end()
    if not tokens:
        raise wrong("the condition is empty", "write e.g. banks >= 4")
    return _Reader(text, tokens).disjunction(0, len(tokens))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Splits tokens at 'or', then 'and', then 'not', then comparisons, never inside brackets."""

    text: str
    tokens: list[Token]

    def disjunction(self, start: int, end: int) -> Condition:
        return self.split_at("or", start, end) or self.conjunction(start, end)

    def conjunction(self, start: int, end: int) -> Condition:
        return self.split_at("and", start, end) or self.comparison(start, end)

    def split_at(self, word: Kind, start: int, end: int) -> Condition | None:
        places = self.places({word}, start, end)
        if not places:
            return None
        edges = [start - 1, *places, end]
        read = self.conjunction if word == "or" else self.comparison
        parts = tuple(read(a + 1, b) for a, b in pairwise(edges))
        return Condition(self.text[self.at(start) : self.stop(end)], word, parts, offset=self.at(start))

    def comparison(self, start: int, end: int) -> Condition:
        if start >= end:
            raise wrong("something is missing here", offset=self.at(min(start, len(self.tokens) - 1)))
        whole = self.text[self.at(start) : self.stop(end)]
        if self.tokens[start].word == "not":
            return Condition(whole, "not", (self.comparison(start + 1, end),), offset=self.at(start))
        signs = self.places({*_COMPARE, "in"}, start, end)
        if not signs and self.tokens[start].word == "(" and self.tokens[end - 1].word == ")":
            return self.disjunction(start + 1, end - 1)
        if len(signs) != 1:
            hint = "write e.g. banks >= 4 and format == csr"
            raise wrong(f"'{whole}' is not one comparison", hint, offset=self.at(start), length=len(whole))
        sign = self.tokens[signs[0]][0]
        left, right = self.operand_text(start, signs[0]), self.operand_text(signs[0] + 1, end)
        if sign != "in":
            return Condition(whole, "compare", (), (left, right), sign, self.at(start))
        if right[0] != "[" or right[-1] != "]":
            raise wrong("'in' needs a list", "write e.g. banks in [4, 8]", offset=self.at(signs[0]), length=2)
        items = tuple(item.strip() for item in right[1:-1].split(",") if item.strip())
        return Condition(whole, "in", (), (left, *items), sign, self.at(start))

    def operand_text(self, start: int, end: int) -> str:
        if start >= end:
            raise wrong("a comparison has two sides", offset=self.at(min(start, len(self.tokens) - 1)))
        return self.text[self.at(start) : self.stop(end)]

    def places(self, words: set[str], start: int, end: int) -> list[int]:
        """Where the words stand outside of all brackets."""
        depth, positions = 0, list[int]()
        for i in range(start, end):
            word = self.tokens[i].word
            depth += (word in "([") - (word in ")]")
            if depth == 0 and word in words:
                positions.append(i)
        return positions

    def at(self, i: int) -> int:
        return self.tokens[i].offset

    def stop(self, end: int) -> int:
        return self.tokens[end - 1].offset + len(self.tokens[end - 1].word)
