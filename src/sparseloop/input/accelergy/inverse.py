"""Prices of primitives found in the tables that were made of them: an ERT or ART, or their summaries.

A summary names the estimators of the primitives but not their prices. Each row is an equation, a sum over primitives:
rows with one unknown give it, those that are left are split evenly (least squares of least norm).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sparseloop.energy.estimators import Estimate
from sparseloop.input.accelergy.compound import Expanded, PrimitiveUse, price_of_use
from sparseloop.input.accelergy.records import Attributes, Primitive, Primitives, ReferenceTables, Scalar

Key = tuple[str, frozenset[tuple[str, str]], str, frozenset[tuple[str, str]]]
"""Class, attributes, action ('' for the area), arguments."""

Equation = tuple[Mapping[Key, float], float]
"""Primitive to how often it counts, and the sum."""

_INHERITED = ("technology", "global_cycle_seconds", "latency")
_SPLIT_CONFIDENCE = 0.3


def primitive_key(primitive: Primitive, action: str, arguments: Iterable[tuple[str, Scalar]]) -> Key:
    """Primitives with equal keys have equal prices."""
    inherited = {name: primitive.inherited[name] for name in _INHERITED if name in primitive.inherited}
    own = frozenset((name, str(value)) for name, value in {**inherited, **primitive.attributes}.items())
    return primitive.class_name, own, action, frozenset((name, str(value)) for name, value in arguments)


@dataclass(frozen=True, slots=True)
class Solved:
    """Prices that equations determine."""

    values: Mapping[Key, float]
    split: frozenset[Key] = field(default=frozenset[Key]())
    """Only their sum is determined."""
    source: str = "from the table"

    def energy(self, primitive: Primitive, action: str, arguments: Attributes) -> Estimate | None:
        """Energy of one action in pJ."""
        return self._found(primitive_key(primitive, action, arguments.items()))

    def area(self, primitive: Primitive) -> Estimate | None:
        """Area of one instance in um2."""
        return self._found(primitive_key(primitive, "", ()))

    def _found(self, key: Key) -> Estimate | None:
        if key not in self.values:
            return None
        if key in self.split:
            return Estimate(value=self.values[key], source=f"{self.source}, even share of a sum", confidence=_SPLIT_CONFIDENCE)
        return Estimate(value=self.values[key], source=self.source)


def equations(components: Sequence[Expanded], published: ReferenceTables, known: Primitives | None = None) -> list[Equation]:
    """One equation for every published row and area that a component has; prices that are `known` are subtracted."""
    rows = {row.key: row.energy_pj for row in published.rows}
    areas = {area.component: area.area_um2 for area in published.areas}
    result = list[Equation]()
    for component in components:
        for row in component.rows:
            key = (component.name, row.action, frozenset(row.arguments))
            if key in rows:
                result.append(_equation(row.terms, rows[key], known))
        if component.name in areas and component.areas:
            result.append(_equation(component.areas, areas[component.name], known))
    return result


def _equation(terms: Sequence[PrimitiveUse], total: float, known: Primitives | None) -> Equation:
    result = dict[Key, float]()
    for term in _leaves(terms):
        found = price_of_use(term, known) if known else None
        if found is not None:
            total -= term.count * found.value
            continue
        key = primitive_key(term.primitive, term.action, term.arguments)
        result[key] = result.get(key, 0.0) + term.count
    return result, total


def _leaves(terms: Sequence[PrimitiveUse]) -> Iterator[PrimitiveUse]:
    for term in terms:
        yield from _leaves(term.parts) if term.parts else (term,)


def solved(given: Sequence[Equation], source: str = "from the table") -> Solved:
    """The prices that satisfy the equations."""
    known, left = dict[Key, float](), list(given)
    while True:
        before = len(known)
        for counts, total in left:
            unknown = [key for key, count in counts.items() if key not in known and count]
            if len(unknown) == 1:
                rest = total - sum(count * known.get(key, 0.0) for key, count in counts.items())
                known[unknown[0]] = rest / counts[unknown[0]]
        left = [(counts, total) for counts, total in left if any(k not in known and n for k, n in counts.items())]
        if len(known) == before:
            break
    shared, split = _together(left, known)
    return Solved(values=known | shared, split=split, source=source)


def _together(left: Sequence[Equation], known: Mapping[Key, float]) -> tuple[dict[Key, float], frozenset[Key]]:
    """The prices that need several equations, and those of which only a sum is determined.

    Equations that share nothing are solved apart: areas are a million times larger than leakages.
    """
    reduced = list[tuple[dict[Key, float], float]]()
    for counts, total in left:
        unknown = {key: count for key, count in counts.items() if key not in known and count}
        reduced.append((unknown, total - sum(count * known[key] for key, count in counts.items() if key in known)))
    result, split = dict[Key, float](), set[Key]()
    for group in _groups(reduced):
        names = sorted({key for counts, _ in group for key in counts}, key=str)
        place = {key: i for i, key in enumerate(names)}
        matrix = np.zeros((len(group), len(names)))
        for i, (counts, _) in enumerate(group):
            for key, count in counts.items():
                matrix[i, place[key]] = count
        values = np.linalg.lstsq(matrix, np.array([total for _, total in group]), rcond=None)[0]
        result |= {key: float(values[i]) for key, i in place.items()}
        seen = np.linalg.pinv(matrix) @ matrix  # the identity where the equations determine the prices
        split |= {key for key, i in place.items() if abs(seen[i, i] - 1) > 1e-6}
    return result, frozenset(split)


def _groups(given: Sequence[Equation]) -> list[list[Equation]]:
    """Equations that are linked by unknowns they share."""
    groups = list[tuple[set[Key], list[Equation]]]()
    for equation in given:
        names, members = set(equation[0]), [equation]
        apart = list[tuple[set[Key], list[Equation]]]()
        for others, equations_there in groups:
            if others & names:
                names, members = names | others, equations_there + members
            else:
                apart.append((others, equations_there))
        groups = [*apart, (names, members)]
    return [members for _, members in groups]
