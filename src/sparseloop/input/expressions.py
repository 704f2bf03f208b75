"""Safe arithmetic in fields: numbers, variables, units. '2 * KiB * BANKS', '25.6 GB/s', '45nm', 'ceil(log2(n))'.

A value may depend on a condition: '8 * (2 if SIGNED else 1)', '"SRAM" if depth > 64 else "regfile"'.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, TypeVar

from sparseloop.input.diagnostics import did_you_mean

_MAX_TEXT, _MAX_BITS = 1000, 1100
_DIMENSIONS = ("bits", "words", "cycle", "s", "m", "J")


@dataclass(frozen=True)
class Mistake:
    """One mistake inside a short notation: `offset` is the column in the text, `path` leads to that text."""

    message: str
    hint: str | None = None
    offset: int | None = None
    length: int = 1
    path: tuple[str | int, ...] = ()


class NotationError(ValueError):
    """A short notation or expression that cannot be understood; carries one or more mistakes."""

    def __init__(self, *mistakes: Mistake) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(p.message for p in mistakes))


def wrong(message: str, hint: str | None = None, *, offset: int | None = None, length: int = 1) -> NotationError:
    """A NotationError with a single mistake."""
    return NotationError(Mistake(message, hint, offset, length))


# --- quantities ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit such as 'words', 'bits', 'bits/cycle' or 'bits/s'."""

    value: float
    unit: str

    def __str__(self) -> str:
        value = int(self.value) if float(self.value).is_integer() else self.value
        return f"{value} {self.unit}"


@dataclass(frozen=True, slots=True)
class Value:
    """A number with the exponents of its base units, while an expression is computed."""

    number: float
    powers: tuple[int, ...] = (0,) * len(_DIMENSIONS)

    @property
    def unit(self) -> str:
        up = [name for name, p in zip(_DIMENSIONS, self.powers, strict=True) for _ in range(p)]
        down = [name for name, p in zip(_DIMENSIONS, self.powers, strict=True) for _ in range(-p)]
        return "*".join(up or ["1"] * bool(down)) + "".join(f"/{name}" for name in down)


def _unit(number: float, dimension: str, power: int = 1) -> Value:
    return Value(number, tuple(power * (name == dimension) for name in _DIMENSIONS))


_SCALES = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _units() -> dict[str, Value]:
    units = {name: Value(scale) for name, scale in _SCALES.items()}
    for scale, factor in {"": 1, **_SCALES, "K": 10**3}.items():
        units |= {f"{scale}B": _unit(8 * factor, "bits"), f"{scale}b": _unit(factor, "bits")}
        units |= {f"{scale}words": _unit(factor, "words"), f"{scale}bits": _unit(factor, "bits")}
    units |= {f"{p}Hz": _unit(10**e, "s", -1) for p, e in {"": 0, "k": 3, "M": 6, "G": 9}.items()}
    units |= {f"{p}m": _unit(10.0**e, "m") for p, e in {"n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3}.items()}
    units |= {f"{p}J": _unit(10.0**e, "J") for p, e in {"f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "m": -3}.items()}
    units |= {f"{p}s": _unit(10.0**e, "s") for p, e in {"p": -12, "n": -9, "u": -6, "m": -3, "": 0}.items()}
    units |= {"bit": units["bits"], "word": units["words"], "bytes": units["B"], "byte": units["B"]}
    return units | {"cycle": _unit(1, "cycle"), "cycles": _unit(1, "cycle")}


UNIT_VALUES: Mapping[str, Value] = _units()
_AFTER_NUMBER_ONLY = frozenset(_SCALES)


# --- variables ----------------------------------------------------------------------------------------------

_variables: ContextVar[Mapping[str, object]] = ContextVar("variables", default=MappingProxyType({}))
_computed: ContextVar[dict[str, Value | NotationError]] = ContextVar("computed")  # set with the variables
_pending: ContextVar[tuple[str, ...]] = ContextVar("pending", default=())


@contextmanager
def variables(raw: Mapping[str, object]) -> Generator[None]:
    """Make the variables of a specification (numbers or expressions) known to every field validated inside."""
    token, computed = _variables.set(raw), _computed.set({})
    try:
        yield
    finally:
        _variables.reset(token)
        _computed.reset(computed)


def _variable(name: str, offset: int) -> Value:
    known, pending, computed = _variables.get(), _pending.get(), _computed.get()
    if before := computed.get(name):
        if isinstance(before, NotationError):
            raise before
        return before
    if name in pending:
        raise wrong(f"variable '{name}' is defined by itself", " -> ".join([*pending, name]), offset=offset)
    token = _pending.set((*pending, name))
    try:
        raw = known[name]
        value = computed[name] = written_value(int(raw) if isinstance(raw, bool) else raw)
    except NotationError as error:
        if not error.mistakes[0].message.startswith("variable"):
            error = wrong(f"variable '{name}' is wrong: {error}", offset=offset, length=len(name))
        computed[name] = error
        raise error from None
    finally:
        _pending.reset(token)
    return value


# --- the evaluator ------------------------------------------------------------------------------------------

_LOOK_UP = "variables.get"
"""Called as variables.get("NAME", default): the value of a variable that need not exist."""
_TOKEN = re.compile(
    r"\s*(?:(?P<num>(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>(?:if|else|and|or|not|in|True|False)(?!\w))"
    r"|(?P<name>variables\.get(?=\s*\()|[^\W\d]\w*)"
    r"""|(?P<text>"[^"\\]*"|'[^'\\]*')"""
    r"|(?P<op>\*\*|//|[<>=!]=|[-+*/%(),<>\[\]]))"
)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """(kind, text, offset) of every token; a '*' is put before a unit that follows a number, ')' or a unit."""
    at, before = 0, ""
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise wrong(f"unexpected character {text[start]!r}", offset=start)
        kind = str(match.lastgroup)
        word, start = match[kind], match.start(kind)
        if kind == "name" and before in ("num", "unit", ")"):
            if word not in UNIT_VALUES:
                raise wrong(f"unknown unit '{word}'", _unit_hint(word), offset=start, length=len(word))
            kind = "unit"
            yield "op", "*", start
        yield kind, word, start
        before = kind if kind in ("num", "name", "unit") else word
        at = match.end()


def _unit_hint(word: str) -> str | None:
    """The unit that is probably meant; of those that differ in case only, all, and how to tell them apart."""
    if match := re.match(r"([kMGT]i?[Bb])(?:its?|ytes?)?(?:p?s|persec)$", word):  # GBps, Gbitps, GBs
        return f"did you mean '{match[1]}/s'?"
    if word == "per":
        return "a slash says it: 16 words/cycle"
    hint = did_you_mean(word, UNIT_VALUES)
    return f"{hint} (B: bytes, b: bits)" if hint and "B' or '" in hint else hint


def evaluate_expression(text: str) -> Value:
    """The value of an expression such as '2 * KiB * BANKS' or '16 words/cycle'; never runs code, never hangs."""
    percent = text.rstrip().endswith("%")
    reader, tree = _read(text.rstrip()[:-1] if percent else text)
    value = _shallow(lambda: reader.value(tree))
    return Value(value.number / 100, value.powers) if percent else value


def evaluate_operand(text: str) -> Value | str:
    """As `evaluate_expression`; the answer may also be a word: '"SRAM" if depth > 64 else "regfile"', '"X=" + str(N)'."""
    reader, tree = _read(text)
    return _shallow(lambda: reader.operand(tree))


def evaluate_condition(text: str) -> bool:
    """Whether 'depth > 64 and TYPE == "SRAM"' holds; a number holds unless it is 0."""
    reader, tree = _read(text)
    return _shallow(lambda: reader.holds(tree))


_Answer = TypeVar("_Answer")


def _shallow(compute: Callable[[], _Answer]) -> _Answer:
    try:
        return compute()
    except RecursionError:
        raise wrong("expression is nested too deeply, itself or through its variables") from None


def _read(text: str) -> tuple[_Evaluator, ast.expr]:
    """The syntax tree of an expression, and what computes it."""
    if len(text) > _MAX_TEXT:
        raise wrong(f"expression is longer than {_MAX_TEXT} characters")
    source, offsets, names = "", dict[int, int](), dict[int, tuple[str, str]]()
    for kind, word, start in _tokens(text):
        offsets[len(source)] = start
        if kind in ("name", "unit"):
            names[len(source)] = (kind, word)
            source += f"{'_' * len(word)} "
        else:
            source += f"{word.replace('_', '').lstrip('0') or '0'} " if kind == "num" and word.isdigit() else f"{word} "
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        at = (getattr(error, "offset", None) or 1) - 1
        last = max((o for o in offsets if o <= at), default=0)
        if re.search(r"\bif\b", text) and not re.search(r"\belse\b", text):
            raise wrong(f"'{text.strip()}' has an if without else", offset=offsets.get(last)) from None
        raise wrong(f"cannot read '{text.strip()}' as a number or expression", offset=offsets.get(last)) from None
    return _Evaluator(offsets, names), tree.body


_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min, "max": max, "ceil": math.ceil, "floor": math.floor, "log2": math.log2, "sqrt": math.sqrt,
    "abs": math.fabs, "round": round, "int": int, "exp": math.exp, "log": math.log, "log10": math.log10, "pow": math.pow,
}  # fmt: skip
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_PLAIN_NUMBERS = ("log2", "sqrt", "exp", "log", "log10", "pow")
_ARGUMENTS = {"min": range(1, 100), "max": range(1, 100), "pow": range(2, 3)}


@dataclass(frozen=True)
class _Evaluator:
    """Computes a syntax tree of allowed nodes; `offsets` has the column, `names` the word that stands at a position of
    the tree's text.
    """

    offsets: Mapping[int, int]
    names: Mapping[int, tuple[str, str]]

    def value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return Value(int(node.value) if isinstance(node.value, bool) else node.value)
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = self.value(node.operand)
            return Value(-inner.number, inner.powers) if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp):
            return self.binary(node)
        if isinstance(node, ast.IfExp):
            return self.value(node.body if self.holds(node.test) else node.orelse)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self.call(node, self.names[node.func.col_offset][1])
        raise wrong("only numbers, names, + - * / // % **, a if b else c and functions are allowed", offset=self.at(node))

    # --- words and conditions -------------------------------------------------------------------------------

    def operand(self, node: ast.expr) -> Value | str:
        """A number, or a word: in quotes, of a variable, made by + and str()."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.IfExp):
            return self.operand(node.body if self.holds(node.test) else node.orelse)
        if isinstance(node, ast.Name) and (known := _variables.get().get(self.names[node.col_offset][1])) is not None:
            return self.number_or_word(node, known)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.operand(node.left), self.operand(node.right)
            if isinstance(left, str) and isinstance(right, str):
                return left + right
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and self.names[node.func.col_offset][1]
        if isinstance(node, ast.Call) and called == "str" and len(node.args) == 1:
            inner = self.operand(node.args[0])
            return inner if isinstance(inner, str) else f"{inner.number:.15g}"
        return self.value(node)

    def number_or_word(self, node: ast.Name, known: object) -> Value | str:
        """A variable's number; the text of a variable that is none."""
        try:
            return self.name(node)
        except NotationError:
            if isinstance(known, str):
                return known.strip()
            raise

    def holds(self, node: ast.expr) -> bool:
        """Whether a condition holds; a number does unless it is 0, a word unless it is empty."""
        if isinstance(node, ast.BoolOp):
            together = all if isinstance(node.op, ast.And) else any
            return together(self.holds(part) for part in node.values)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return not self.holds(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            return all(self.compared(*step) for step in zip(node.ops, sides[:-1], sides[1:], strict=True))
        found = self.operand(node)
        return bool(found if isinstance(found, str) else found.number)

    def compared(self, sign: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
        """One comparison of two numbers of one unit, or of two words."""
        a = self.operand(left)
        if isinstance(sign, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple):
            return (a in [self.operand(item) for item in right.elts]) == isinstance(sign, ast.In)
        b, compare = self.operand(right), _COMPARISONS.get(type(sign))
        if compare is None:
            raise wrong("a comparison is written with == != < <= > >= or in [...]", offset=self.at(left))
        if isinstance(a, Value) and isinstance(b, Value) and a.powers == b.powers:
            return compare(a.number, b.number)
        words = self.written(left, a), self.written(right, b)
        both = isinstance(a, str) and isinstance(b, str)
        if both or (isinstance(sign, ast.Eq | ast.NotEq) and (isinstance(a, str) or isinstance(b, str))):
            return compare(*words)
        raise wrong(f"cannot compare {words[0]!r} with {words[1]!r}", offset=self.at(left))

    def written(self, node: ast.expr, value: Value | str) -> str:
        """One side of a comparison as text: '45nm' of a variable is a length and a word."""
        raw = _variables.get().get(self.names[node.col_offset][1]) if isinstance(node, ast.Name) else None
        if isinstance(value, str) or isinstance(raw, str):
            return str(raw if isinstance(raw, str) else value).strip()
        return f"{value.number:.15g} {value.unit}".strip()

    # --- arithmetic -----------------------------------------------------------------------------------------

    def at(self, node: ast.expr) -> int | None:
        """Column of a node in the text as written."""
        return self.offsets.get(node.col_offset)

    def name(self, node: ast.Name) -> Value:
        kind, word = self.names[node.col_offset]
        if kind == "name" and word in _variables.get():
            return _variable(word, self.at(node) or 0)
        if word in UNIT_VALUES and (kind == "unit" or word not in _AFTER_NUMBER_ONLY):
            return UNIT_VALUES[word]
        hint = did_you_mean(word, _variables.get())
        raise wrong(f"unknown name '{word}'", hint, offset=self.at(node), length=len(word))

    def call(self, node: ast.Call, name: str) -> Value:
        if name == _LOOK_UP:
            return self.looked_up(node)
        if name not in _FUNCTIONS:
            raise wrong(f"unknown function '{name}'", did_you_mean(name, _FUNCTIONS), offset=self.at(node), length=len(name))
        values = [self.value(arg) for arg in node.args]
        if len(values) not in _ARGUMENTS.get(name, range(1, 2)):
            raise wrong(f"wrong number of arguments of {name}", offset=self.at(node), length=len(name))
        powers = values[0].powers
        if any(v.powers != powers for v in values) or (any(powers) and name in _PLAIN_NUMBERS):
            raise wrong(f"units do not fit in {name}(...)", offset=self.at(node), length=len(name))
        function = _FUNCTIONS[name]
        numbers = [v.number for v in values]
        try:
            return Value(function(*numbers) if len(numbers) > 1 or name not in ("min", "max") else numbers[0], powers)
        except (ValueError, OverflowError) as error:
            raise wrong(f"{name}: {error}", offset=self.at(node)) from None

    def looked_up(self, node: ast.Call) -> Value:
        """variables.get("NAME", default)."""
        name = node.args[0] if 1 <= len(node.args) <= 2 else None
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            raise wrong(f'write {_LOOK_UP}("NAME", default)', offset=self.at(node))
        if name.value in _variables.get():
            return _variable(name.value, self.at(node) or 0)
        if len(node.args) == 1:
            raise wrong(f"there is no variable '{name.value}'", offset=self.at(node))
        return self.value(node.args[1])

    def binary(self, node: ast.BinOp) -> Value:
        a, b = self.value(node.left), self.value(node.right)
        try:
            value = self.combine(node.op, a, b)
        except ZeroDivisionError:
            raise wrong("division by zero", offset=self.at(node.right)) from None
        except OverflowError:
            raise wrong("number too large", offset=self.at(node)) from None
        if isinstance(value.number, int) and value.number.bit_length() > _MAX_BITS:
            raise wrong("number too large", offset=self.at(node))
        return value

    def combine(self, op: ast.operator, a: Value, b: Value) -> Value:
        if isinstance(op, ast.Mult):
            return Value(a.number * b.number, tuple(x + y for x, y in zip(a.powers, b.powers, strict=True)))
        if isinstance(op, ast.Div):
            exact = isinstance(a.number, int) and isinstance(b.number, int) and b.number != 0 and a.number % b.number == 0
            quotient = a.number // b.number if exact else a.number / b.number
            return Value(quotient, tuple(x - y for x, y in zip(a.powers, b.powers, strict=True)))
        if isinstance(op, ast.Pow):
            return _power(a, b)
        if a.powers != b.powers:
            raise wrong(f"cannot add or compare '{a.unit or 'number'}' and '{b.unit or 'number'}'")
        if isinstance(op, ast.Add):
            return Value(a.number + b.number, a.powers)
        if isinstance(op, ast.Sub):
            return Value(a.number - b.number, a.powers)
        if isinstance(op, ast.FloorDiv):
            return Value(a.number // b.number)
        if isinstance(op, ast.Mod):
            return Value(a.number % b.number, a.powers)
        raise wrong("only + - * / // % ** are allowed")


def _power(a: Value, b: Value) -> Value:
    if any(a.powers) or any(b.powers):
        raise wrong("a quantity with a unit cannot stand in a power")
    if abs(b.number) > 1024 or (isinstance(a.number, int) and a.number.bit_length() * abs(b.number) > _MAX_BITS):
        raise wrong(f"power too large: {a.number} ** {b.number}")
    result = a.number**b.number
    if isinstance(result, complex):
        raise wrong(f"{a.number} ** {b.number} is not a real number")
    return Value(result)


def written_value(value: object) -> Value:
    """The finite value that a user wrote: a number, an expression, or a quantity."""
    if isinstance(value, str):
        result = evaluate_expression(value)
    elif not isinstance(value, bool) and isinstance(value, Real):  # NumPy's numbers too
        result = Value(int(value) if isinstance(value, Integral) else float(value))
    elif isinstance(value, Quantity):
        result = evaluate_expression(str(value))
    else:
        raise wrong(f"expected a number, got {_kind(value)}")
    if isinstance(result.number, float) and not math.isfinite(result.number):
        raise wrong(f"expected a finite number, got {result.number}")
    if abs(result.number) > 1e300:
        raise wrong("number too large")
    return result


def _kind(value: object) -> str:
    names = {"dict": "a mapping", "list": "a list", "bool": "a truth value", "NoneType": "nothing"}
    return names.get(type(value).__name__, type(value).__name__)
