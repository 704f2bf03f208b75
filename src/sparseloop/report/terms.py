"""Terms of a formula in normal form, and their text with names or with numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

from sparseloop.evaluation.humanize import exact_text

TermKind = Literal["number", "symbol", "sum", "product", "call"]
Parts = tuple[tuple[int, "FormulaTerm"], ...]


@final
@dataclass(frozen=True)
class FormulaTerm:
    """A number, a name, or a sum (parts with signs), product (parts with powers 1 or -1) or function of terms."""

    kind: TermKind
    value: float
    name: str = ""
    parts: Parts = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.kind, self.value, self.name, self.parts))

    @cached_property
    def leaves(self) -> int:
        """How many names and numbers stand in it."""
        return sum(p.leaves for _, p in self.parts) if self.parts else 1

    def rebuilt(self, parts: Sequence[tuple[int, FormulaTerm]]) -> FormulaTerm:
        """The same operation on other parts of equal values."""
        return FormulaTerm(self.kind, self.value, self.name, tuple(parts)) if self.parts else self


def number_term(value: Any) -> FormulaTerm:
    """A plain number."""
    return FormulaTerm("number", float(value))


def symbol_term(name: str, value: Any) -> FormulaTerm:
    """A name with its value."""
    return FormulaTerm("symbol", float(value), name)


def call_term(name: str, arguments: Sequence[FormulaTerm], value: Any) -> FormulaTerm:
    """A function; of numbers only, just its value."""
    if all(a.kind == "number" for a in arguments):
        return number_term(value)
    return FormulaTerm("call", float(value), name, tuple((1, a) for a in arguments))


def power_term(base: FormulaTerm, exponent: FormulaTerm, value: Any) -> FormulaTerm:
    """base ** exponent."""
    if exponent.kind == "number" and exponent.value == 1:
        return base
    return call_term("power", [base, exponent], value)


def product_term(factors: Iterable[tuple[int, FormulaTerm]]) -> FormulaTerm:
    """A flat product without ones; equal factors above and below the line cancel; with a zero in it, the zero."""
    powers: Counter[FormulaTerm] = Counter()
    above = below = 1.0
    for sign, term in _flat("product", factors):
        if term.value == 0 and sign > 0:
            return term
        if term.kind == "number":
            above, below = (above * term.value, below) if sign > 0 else (above, below * term.value)
        elif term.value != 1 or term.kind not in ("symbol", "call"):
            powers[term] += sign
    above, below = _reduced(above, below)
    parts: list[tuple[int, FormulaTerm]] = [(1, number_term(above))] if above != 1 else []
    for term, times in powers.items():
        parts += [(1 if times > 0 else -1, term)] * abs(times)
    parts += [(-1, number_term(below))] if below != 1 else []
    parts.sort(key=lambda part: -part[0])
    if not parts:
        return number_term(1.0)
    if len(parts) == 1 and parts[0][0] > 0:
        return parts[0][1]
    return FormulaTerm("product", math.prod(t.value**s for s, t in parts), "", tuple(parts))


def _reduced(above: float, below: float) -> tuple[float, float]:
    """A coefficient as a whole number over a whole number where it is one."""
    if below != 1 and above % below == 0:
        return above / below, 1.0
    inverse = below / above if above else 0.0
    if above != 1 and 1 < inverse < 1e9 and abs(inverse - round(inverse)) < 1e-12 * inverse:
        return 1.0, float(round(inverse))
    return above, below


Complement = Callable[[FormulaTerm], FormulaTerm | None]


def sum_term(terms: Iterable[tuple[int, FormulaTerm]], complement: Complement | None = None) -> FormulaTerm:
    """A flat sum without zeros; equal terms of opposite sign cancel, common factors stand in front of it.

    1 - x is `complement(x)` if there is one.
    """
    counts: Counter[FormulaTerm] = Counter()
    constant = 0.0
    for sign, term in _flat("sum", terms):
        if term.kind == "number":
            constant += sign * term.value
        elif term.value != 0:
            counts[term] += sign
    parts: list[tuple[int, FormulaTerm]] = [(1 if constant > 0 else -1, number_term(abs(constant)))] if constant else []
    for term, times in counts.items():
        if times:
            parts.append((1 if times > 0 else -1, product_term([(1, number_term(abs(times))), (1, term)])))
    parts.sort(key=lambda part: -part[0])
    if not parts:
        return number_term(0.0)
    if len(parts) == 1 and parts[0][0] > 0:
        return parts[0][1]
    if complement and constant == 1 and len(parts) == 2 and parts[1][0] < 0 and (other := complement(parts[1][1])):
        return other
    return _factored(parts, complement) or FormulaTerm("sum", sum(s * t.value for s, t in parts), "", tuple(parts))


def _factored(parts: Sequence[tuple[int, FormulaTerm]], complement: Complement | None) -> FormulaTerm | None:
    """The factors common to all parts of a sum times the sum of what is left; None if there are none."""
    factors = [Counter(term.parts if term.kind == "product" else [(1, term)]) for _, term in parts]
    common = factors[0]
    for other in factors[1:]:
        common = common & other
    shared = list(common.elements())
    if len(parts) < 2 or not shared:
        return None
    left = [(sign, product_term((of - Counter(shared)).elements())) for (sign, _), of in zip(parts, factors, strict=True)]
    return product_term([*shared, (1, sum_term(left, complement))])


def _flat(kind: TermKind, parts: Iterable[tuple[int, FormulaTerm]]) -> list[tuple[int, FormulaTerm]]:
    flat: list[tuple[int, FormulaTerm]] = []
    for sign, term in parts:
        if term.kind == kind:
            flat += [(sign * inner, part) for inner, part in term.parts]
        else:
            flat.append((sign, term))
    return flat


# --- text ---------------------------------------------------------------------------------------------------


def formula_text(term: FormulaTerm, *, numbers: bool = False) -> str:
    """The formula with names, or with the numbers put in."""
    if term.kind == "number" or (numbers and term.kind == "symbol"):
        return exact_text(term.value)
    if term.kind == "symbol":
        return term.name
    if term.kind == "call":
        inside = ", ".join(formula_text(p, numbers=numbers) for _, p in term.parts)
        return f"{term.name}({inside})"
    if term.kind == "sum":
        return _sum_text(term, numbers)
    return _product_text(term, numbers)


def _sum_text(term: FormulaTerm, numbers: bool) -> str:
    result = ""
    for sign, part in term.parts:
        shown = formula_text(part, numbers=numbers)
        shown = f"({shown})" if part.kind == "sum" else shown
        lead = (" + " if sign > 0 else " − ") if result else ("" if sign > 0 else "−")
        result += lead + shown
    return result


def _product_text(term: FormulaTerm, numbers: bool) -> str:
    above = [_factor(p, numbers) for s, p in term.parts if s > 0]
    below = [_factor(p, numbers) for s, p in term.parts if s < 0]
    return " / ".join([" × ".join(above) or "1", *below])


def _factor(term: FormulaTerm, numbers: bool) -> str:
    shown = formula_text(term, numbers=numbers)
    return f"({shown})" if term.kind == "sum" else shown


def symbols(term: FormulaTerm) -> list[FormulaTerm]:
    """The names in a term, in order of appearance, each once."""
    found: dict[str, FormulaTerm] = {}

    def visit(one: FormulaTerm) -> None:
        if one.kind == "symbol":
            found.setdefault(one.name, one)
        for _, part in one.parts:
            visit(part)

    visit(term)
    return list(found.values())
