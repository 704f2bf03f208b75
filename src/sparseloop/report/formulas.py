"""Turns traced values into readable formulas: terms without effect are removed, choices are made, repeated parts get names."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from sparseloop.evaluation.tracing import PassesQuestion, Question, Traced, value_of
from sparseloop.report.terms import FormulaTerm, call_term, number_term, power_term, product_term, sum_term, symbol_term

LARGEST = 10
"""Names and numbers in one formula; larger ones are folded."""

_EXTREMES: dict[str, Callable[..., float]] = {"maximum": max, "minimum": min}
_ASKED = {
    "empty": "P({tile} empty)",
    "empty_union": "P(both tiles of {tensor} empty)",
    "most": "most non-zeros of {tile}",
    "least": "fewest non-zeros of {tile}",
    "quantile": "quantile of the non-zeros of {tile}",
    "blocks": "packed accesses of {tile}",
    "excess": "expected overflow of {tile}",
    "variance": "variance of {tile}",
    "mean": "non-zeros of {tile}",
    "mean empty": "P({tile} so far empty)",
}


@final
@dataclass(frozen=True, slots=True)
class SymbolDefinition:
    """What a symbol stands for: another traced value, a folded part of a formula, or an answer of a density model."""

    kind: Literal["value", "part", "density", "given"]
    node: Traced | None = None
    part: FormulaTerm | None = None


@final
class FormulaReader:
    """Turns traced values into terms; values with a name of their own become symbols."""

    def __init__(self, names: Mapping[int, tuple[str, Traced]]) -> None:
        self.names = names
        self.definitions: dict[str, SymbolDefinition] = {}
        self._formulas: dict[int, tuple[Traced, FormulaTerm]] = {}
        self._folded: dict[FormulaTerm, str] = {}

    def term(self, value: Any) -> FormulaTerm:
        """A symbol if the value has a name, else its formula."""
        value = core(value)
        if isinstance(value, Traced) and (known := self.names.get(id(value))):
            self.definitions.setdefault(known[0], SymbolDefinition("value", node=value))
            return symbol_term(known[0], value.value)
        return self.formula(value)

    def formula(self, value: Any) -> FormulaTerm:
        """How the value itself came about."""
        value = core(value)
        if not isinstance(value, Traced):
            return number_term(value)
        if id(value) not in self._formulas:
            self._formulas[id(value)] = (value, self._read(value))
        return self._formulas[id(value)][1]

    def _read(self, node: Traced) -> FormulaTerm:
        name, arguments = node.operation, node.arguments
        if name == "given":
            self.definitions.setdefault(node.label, SymbolDefinition("given", node=node))
            return symbol_term(node.label, node.value)
        if name == "where":
            return self.term(arguments[1] if value_of(arguments[0]) else arguments[2])
        if node.tensor:
            return self._asked(node)
        if name.startswith("imperfect["):
            return symbol_term("walk of the imperfect loops", node.value)
        if isinstance(node.value, bool) or str(getattr(node.value, "dtype", "")) == "bool" or name == "pick":
            return number_term(node.value)
        return self._operation(name, [self.term(a) for a in arguments], node)

    def _operation(self, name: str, terms: list[FormulaTerm], node: Traced) -> FormulaTerm:
        match name:
            case "multiply":
                return product_term([(1, t) for t in terms])
            case "divide":
                return product_term([(1, terms[0]), (-1, terms[1])])
            case "add":
                return sum_term([(1, t) for t in terms], self._complement)
            case "subtract":
                return sum_term([(1, terms[0]), (-1, terms[1])], self._complement)
            case "negative":
                return sum_term([(-1, terms[0])])
            case "absolute":
                return terms[0] if terms[0].value >= 0 else sum_term([(-1, terms[0])])
            case "maximum" | "minimum":
                return _extreme(name, terms, node.value)
            case "ceil" | "floor":
                return call_term(name, [_snapped(terms[0])], node.value)
            case "power":
                return power_term(terms[0], terms[1], node.value)
            case "floor_divide":
                return call_term("floor", [product_term([(1, terms[0]), (-1, terms[1])])], node.value)
            case _:
                return self._opaque(name, terms, node)

    def _opaque(self, name: str, terms: list[FormulaTerm], node: Traced) -> FormulaTerm:
        if " " in name:
            return symbol_term(name, node.value)
        return call_term(name, terms, node.value)

    def _asked(self, node: Traced) -> FormulaTerm:
        label = _ASKED[node.operation].format(tile=tile_text(node), tensor=node.tensor)
        if node.operation == "empty" and value_of(node.arguments[0]) == 1:
            label = f"P({node.tensor} zero)"
        if node.operation == "mean empty":
            label = self._apart(label, node)
        self.definitions.setdefault(label, SymbolDefinition("density", node=node))
        return symbol_term(label, node.value)

    def _apart(self, label: str, node: Traced) -> str:
        """A label of its own for every moment that the same tile is asked about."""
        start = label.removesuffix(" empty)")
        known = {d.node: text for text, d in self.definitions.items() if text.startswith(start) and text.endswith(" empty)")}
        return known.get(node) or (f"{start} {len(known) + 1} empty)" if known else label)

    def _complement(self, symbol: FormulaTerm) -> FormulaTerm | None:
        """P(tile non-empty) for 1 - P(tile empty), and the reverse."""
        if symbol.kind != "symbol" or not symbol.name.startswith("P(") or symbol.name.startswith("P(both"):
            return None
        label = symbol.name.replace(" non-", " ") if " non-" in symbol.name else " non-".join(symbol.name.rsplit(" ", 1))
        self.definitions.setdefault(label, self.definitions[symbol.name])
        return symbol_term(label, 1.0 - symbol.value)

    # --- folding --------------------------------------------------------------------------------------------

    def shown(self, term: FormulaTerm) -> FormulaTerm:
        """The term with repeated parts, and parts of formulas that are too large, replaced by symbols."""
        repeated = Counter(part for part in _parts(term) if part.leaves >= 3)
        chosen = {part for part, times in repeated.items() if times > 1}
        return self._fold(self._replaced(term, chosen) if chosen else term)

    def _replaced(self, term: FormulaTerm, chosen: set[FormulaTerm]) -> FormulaTerm:
        parts = [(sign, self._part(p) if p in chosen else self._replaced(p, chosen)) for sign, p in term.parts]
        return term.rebuilt(parts)

    def _fold(self, term: FormulaTerm) -> FormulaTerm:
        if term.kind == "call":
            term = term.rebuilt([(sign, self._part(p) if p.leaves > 4 else p) for sign, p in term.parts])
        while term.leaves > LARGEST:
            largest = max((p for _, p in term.parts), key=lambda p: p.leaves)
            if largest.leaves < 3:
                return term
            term = term.rebuilt([(sign, self._part(p) if p is largest else p) for sign, p in term.parts])
        return term

    def _part(self, term: FormulaTerm) -> FormulaTerm:
        if term not in self._folded:
            self._folded[term] = f"x{len(self._folded) + 1}"
            self.definitions[self._folded[term]] = SymbolDefinition("part", part=term)
        return symbol_term(self._folded[term], term.value)


def core(value: Any) -> Any:
    """The value without multiplications by a plain 1 and additions of a plain 0 around it."""
    while isinstance(value, Traced) and value.operation in ("multiply", "add"):
        neutral = 1 if value.operation == "multiply" else 0
        first, second = value.arguments
        if not isinstance(first, Traced) and first == neutral:
            value = second
        elif not isinstance(second, Traced) and second == neutral:
            value = first
        else:
            break
    return value


def tile_text(node: Traced) -> str:
    """A tile that a density model was asked about: A[2x8], or 'word of A'."""
    assert isinstance(node.function, Question | PassesQuestion)
    sides = [int(value_of(side)) for side in node.function.shape(*map(value_of, node.arguments))]
    shape = "x".join(map(str, sides)) if math.prod(sides) < 10**15 else "whole"
    return f"{node.tensor}[{shape or '1'}]"


def _parts(term: FormulaTerm) -> Iterator[FormulaTerm]:
    for _, part in term.parts:
        if part.kind in ("sum", "product", "call"):
            yield part
            yield from _parts(part)


def _extreme(name: str, terms: Sequence[FormulaTerm], value: Any) -> FormulaTerm:
    """max or min of the flattened arguments; constants that do not matter are left out."""
    short = {"maximum": "max", "minimum": "min"}[name]
    flat: dict[FormulaTerm, None] = {}
    for term in terms:
        for part in [p for _, p in term.parts] if term.kind == "call" and term.name == short else [term]:
            flat[part] = None
    best = float(value)
    kept = [t for t in flat if t.value == best or (t.kind != "number" and (short == "min" or t.value != 0))]
    attained = [t for t in kept if t.value == best]
    if len(kept) == 1 or any(t.kind == "number" for t in attained):
        return next((t for t in attained if t.kind == "number"), kept[0])
    return call_term(short, kept, best)


def _snapped(term: FormulaTerm) -> FormulaTerm:
    """The argument of a ceiling without the slack that keeps rounding errors away."""
    if term.kind != "sum":
        return term
    return sum_term([(sign, p) for sign, p in term.parts if p.kind != "number" or p.value > 1e-8])
