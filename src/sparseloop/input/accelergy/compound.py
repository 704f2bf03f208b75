"""Compounds taken apart: every action of a component as a sum of actions of primitives, its area as a sum of areas.

Energy = sum of primitive energy x repeat x scales of the action x scales of the subcomponent x elements of the list;
area = sum of primitive area x scales of the subcomponent x elements of the list.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn, cast

from sparseloop.energy.estimators import Estimate
from sparseloop.input.accelergy.attributes import MUST_SPECIFY, Reported, Scope, Written
from sparseloop.input.accelergy.classes import Action, ComponentClass, IndexRange, SubAction, Subcomponent, Use, known_primitive
from sparseloop.input.accelergy.flatten import AccelergyComponent
from sparseloop.input.accelergy.records import NO_ATTRIBUTES, Attributes, Primitive, Primitives, Scalar
from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.timeloop.sections import ImportLog
from sparseloop.input.yaml.nodes import scalar

_MOST_ROWS, _MOST_TERMS = 10_000, 2_000
_NOTHING = Primitive(class_name="")
_INHERITED = ("technology", "global_cycle_seconds")
"""What primitives inherit from the compounds around them in v0.4; a register in a file of 32 bits still has its own width."""
_TIMING = ("global_cycle_seconds", "action_latency_cycles")
"""Arguments that tables of v0.4 give the actions of primitives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimitiveUse:
    """`count` times one action (or the area) of one primitive."""

    count: float
    primitive: Primitive
    label: str
    """The path of subcomponents to it: 'storage.address_generators'; '' for the component itself."""
    action: str = ""
    arguments: tuple[tuple[str, Scalar], ...] = ()
    parts: tuple[PrimitiveUse, ...] = ()
    """Of a compound with a `primitive_type`: what it is made of, if nobody knows its price as a whole."""


def price_of_use(term: PrimitiveUse, primitives: Primitives) -> Estimate | None:
    """The price of one action (or the area) that a term counts."""
    if term.action:
        return primitives.energy(term.primitive, term.action, dict(term.arguments))
    return primitives.area(term.primitive)


@dataclass(frozen=True, slots=True, kw_only=True)
class SumRow:
    """One action with one combination of arguments, as a sum."""

    action: str
    arguments: tuple[tuple[str, Scalar], ...]
    terms: tuple[PrimitiveUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """One component taken apart."""

    name: str
    class_name: str
    path: Path
    compound: bool
    rows: tuple[SumRow, ...]
    areas: tuple[PrimitiveUse, ...]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A class with the attributes of one component of it, and the classes that contain it."""

    kind: ComponentClass
    scope: Scope
    around: tuple[str, ...] = ()
    label: str = ""


def primitive_of(name: str, own: Attributes, inherited: Attributes, kind: ComponentClass | None) -> Primitive:
    """A primitive with what it inherits and the defaults of its class."""
    defaults = {key: entry.value for key, entry in kind.attributes.items() if entry.value != MUST_SPECIFY} if kind else {}
    return Primitive(class_name=name, attributes=own, inherited={**defaults, **inherited})


@dataclass(frozen=True)
class Expander:
    """Takes components apart; mistakes are logged."""

    classes: Mapping[str, ComponentClass]
    log: ImportLog
    primitives: dict[str, ComponentClass | None] = field(default_factory=dict[str, ComponentClass | None])

    def expanded(self, component: AccelergyComponent) -> Expanded:
        """One component of the architecture as sums over primitives."""
        kind = self.classes.get(component.class_name)
        before = len(self.log.diagnostics)
        scope = Scope(component.attributes, self.log, bits=component.version != "0.4")
        rows, areas = list[SumRow](), list[PrimitiveUse]()
        if kind is not None and kind.parts:
            holder = self._holder(kind, component.attributes, scope, component.path)
            if len(self.log.diagnostics) == before:
                for action in kind.actions.values():
                    rows += self._rows(action, holder)
                areas = self._whole_area(holder)
        else:
            rows, areas = self._primitive(component, scope)
        energy_scale, area_scale = (
            self._product(factors, scope, "a scale") for factors in (component.energy_factors, component.area_factors)
        )
        return Expanded(
            name=component.name,
            class_name=component.class_name,
            path=component.path,
            compound=kind is not None and bool(kind.parts),
            rows=tuple(replace(row, terms=_times(row.terms, energy_scale)) for row in rows),
            areas=_times(areas, area_scale),
        )

    # --- primitives -------------------------------------------------------------------------------------

    def _known(self, name: str) -> ComponentClass | None:
        """A primitive's class: from the files, else from the list of known ones."""
        if name not in self.primitives:
            self.primitives[name] = self.classes.get(name) or known_primitive(name, self.log)
        return self.primitives[name]

    def _primitive(self, component: AccelergyComponent, scope: Scope) -> tuple[list[SumRow], list[PrimitiveUse]]:
        """A component that is a primitive itself: the actions of its class, or those v0.4 requires."""
        kind = self._known(component.class_name)
        own = _values(component.attributes, scope)
        part = primitive_of(component.class_name, own, {}, kind)
        rows = list[SumRow]()
        if component.required or component.version == "0.4":
            timing = {_TIMING[0]: part.value(_TIMING[0]), _TIMING[1]: part.value(_TIMING[1]) or 1}
            arguments = tuple((key, value) for key, value in timing.items() if value is not None)
            rows = [_single(part, action, arguments) for action in component.required]
        elif kind is not None:
            holder = Holder(kind=kind, scope=Scope(kind.attributes, self.log, outer=scope))
            for action in kind.actions.values():
                rows += [_single(part, action.name, tuple(point.items())) for point in self._points(action, holder)]
        return rows, [PrimitiveUse(count=1.0, primitive=part, label="")]

    # --- compounds --------------------------------------------------------------------------------------

    def _holder(self, kind: ComponentClass, given: Mapping[str, Written], outer: Scope, path: Path) -> Holder:
        """The attributes of one component of a compound class: given ones over the defaults of the class."""
        written = dict(kind.attributes)
        for name, entry in given.items():
            written[name] = replace(entry, scope=entry.scope or outer)
        for name, entry in kind.attributes.items():
            if written[name].value == MUST_SPECIFY:
                del written[name]
                if kind.version != "0.4" or name not in outer:
                    hint = f"add it to its attributes: {{{name}: ...}}"
                    self.log.error(path, f"class '{kind.name}' needs the attribute '{name}', which is not given here", hint)
            elif entry.value == name and name not in given:
                written[name] = replace(entry, scope=outer)
        around = outer if kind.version == "0.4" else None
        return Holder(kind=kind, scope=Scope(written, self.log, outer=around, bits=kind.version != "0.4"))

    def _inside(self, part: Subcomponent, holder: Holder) -> Holder | Primitive | None:
        """A subcomponent: a compound again, or a primitive; None if it contains itself."""
        label = f"{holder.label}.{part.span.name}".lstrip(".")
        kind = self.classes.get(part.class_name)
        if kind is None or not kind.parts:
            inherited = _shared(holder.scope, _INHERITED) if holder.kind.version == "0.4" else {}
            own = _values(part.attributes, holder.scope)
            return primitive_of(part.class_name, own, inherited, self._known(part.class_name))
        around = (*holder.around, holder.kind.name)
        if kind.name in around:
            self.log.error(part.path, f"class '{kind.name}' contains itself", " -> ".join([*around, kind.name]))
            return None
        inner = self._holder(kind, part.attributes, holder.scope, part.path)
        return replace(inner, around=around, label=label)

    def _rows(self, action: Action, holder: Holder) -> list[SumRow]:
        """The rows of an action, one for each combination of its arguments."""
        result = list[SumRow]()
        for point in self._points(action, holder):
            try:
                terms = self._terms(action, holder, point, _own_scale(holder, "energy_scale"))
            except Reported:
                continue
            result.append(SumRow(action=action.name, arguments=tuple(point.items()), terms=tuple(terms)))
        return result

    def _points(self, action: Action, holder: Holder) -> list[dict[str, Scalar]]:
        """All combinations of the arguments."""
        try:
            choices = [self._choices(entry, holder.scope) for entry in action.arguments.values()]
        except Reported:
            return []
        count = 1
        for choice in choices:
            count *= len(choice)
        if count > _MOST_ROWS:
            self.log.error(action.path, f"action '{action.name}' has {count} combinations of arguments, more than {_MOST_ROWS}")
            return []
        return [dict(zip(action.arguments, point, strict=True)) for point in itertools.product(*choices)]

    def _choices(self, entry: Written, scope: Scope) -> Sequence[Scalar]:
        """The values of one argument: lo..hi, a list, or a single one."""
        raw: Scalar = entry.value
        if isinstance(raw, list):
            return [scope.value(value, entry.path) for value in cast("list[Scalar]", raw)]
        low, dots, high = str(raw).partition("..")
        if not dots or not isinstance(raw, str):
            return [scope.value(raw, entry.path)]
        first, last = self._whole(low, scope, entry.path), self._whole(high, scope, entry.path)
        if last < first or last - first >= _MOST_ROWS:
            what = "is empty" if last < first else f"has more than {_MOST_ROWS} values"
            self.log.error(entry.path, f"the range {raw} {what}")
            raise Reported
        return range(first, last + 1)

    def _whole(self, text: str, scope: Scope, path: Path) -> int:
        number = scope.number(scalar(text.strip()), path, f"'{text.strip()}'")
        if number != int(number):
            self.log.error(path, f"'{text.strip()}' must be a whole number, not {number}")
            raise Reported
        return int(number)

    def _terms(self, action: Action, holder: Holder, point: Attributes, factor: float) -> list[PrimitiveUse]:
        """The sum behind one action with given arguments."""
        entries = {name: Written(value, action.path) for name, value in point.items()}
        scope = Scope(entries, self.log, outer=holder.scope, bits=holder.scope.bits)
        result = list[PrimitiveUse]()
        for use in action.uses:
            part = holder.kind.parts.get(use.span.name)
            if part is None:
                continue
            count = factor * self._elements(use, part, holder.scope)
            count *= self._product(part.energy_factors, holder.scope, "a scale")
            for sub_action in use.actions:
                scaled = count * self._product(sub_action.factors, scope, "a scale or repeat")
                result += self._of_part(sub_action, part, replace(holder, scope=scope), scaled)
            if len(result) > _MOST_TERMS:
                self._error(action.path, f"action '{action.name}' is a sum of more than {_MOST_TERMS} terms")
        return self._or_whole(holder, PrimitiveUse(count=factor, primitive=_NOTHING, label="", action=action.name), point, result)

    def _or_whole(self, holder: Holder, whole: PrimitiveUse, point: Attributes, parts: list[PrimitiveUse]) -> list[PrimitiveUse]:
        """The parts, or with a `primitive_type` the compound as one primitive with its parts behind it."""
        kind = holder.kind
        if kind.primitive_type is None:
            return parts
        whole_scope = _shared(holder.scope, tuple(holder.scope))
        primitive = primitive_of(kind.primitive_type, whole_scope, {}, self._known(kind.primitive_type))
        arguments = tuple(point.items())
        return [replace(whole, primitive=primitive, label=holder.label, arguments=arguments, parts=tuple(parts))]

    def _of_part(self, sub_action: SubAction, part: Subcomponent, holder: Holder, factor: float) -> list[PrimitiveUse]:
        """What one action of one subcomponent adds; `holder` knows the arguments of the compound's action."""
        inside = self._inside(part, holder)
        given = {name: holder.scope.value(entry.value, entry.path) for name, entry in sub_action.arguments.items()}
        if inside is None:
            raise Reported
        if isinstance(inside, Primitive):
            label = f"{holder.label}.{part.span.name}".lstrip(".")
            arguments = tuple(given.items())
            return [PrimitiveUse(count=factor, primitive=inside, label=label, action=sub_action.name, arguments=arguments)]
        action = inside.kind.actions.get(sub_action.name)
        if action is None:
            hint = did_you_mean(sub_action.name, inside.kind.actions)
            self._error(sub_action.path, f"class '{inside.kind.name}' has no action '{sub_action.name}'", hint)
        if missing := [name for name in action.arguments if name not in given]:
            self._error(
                sub_action.path, f"action '{sub_action.name}' of class '{inside.kind.name}' needs the argument '{missing[0]}'"
            )
        return self._terms(action, inside, given, factor)

    def _error(self, path: Path, message: str, hint: str | None = None) -> NoReturn:
        self.log.error(path, message, hint)
        raise Reported

    def _whole_area(self, holder: Holder) -> list[PrimitiveUse]:
        """The area of a component of the architecture."""
        try:
            return self._areas(holder, _own_scale(holder, "area_scale"))
        except Reported:
            return []

    def _areas(self, holder: Holder, factor: float) -> list[PrimitiveUse]:
        """The sum behind the area of one component."""
        result = list[PrimitiveUse]()
        for part in holder.kind.parts.values():
            try:
                count = factor * self._length(part, holder.scope)
                count *= self._product(part.area_factors, holder.scope, "a scale")
                inside = self._inside(part, holder)
            except Reported:
                continue
            if isinstance(inside, Primitive):
                result.append(PrimitiveUse(count=count, primitive=inside, label=f"{holder.label}.{part.span.name}".lstrip(".")))
            elif inside is not None:
                result += self._areas(inside, count)
            if len(result) > _MOST_TERMS:
                self._error(part.path, f"the area of class '{holder.kind.name}' is a sum of more than {_MOST_TERMS} terms")
        return self._or_whole(holder, PrimitiveUse(count=factor, primitive=_NOTHING, label=""), NO_ATTRIBUTES, result)

    # --- counts -----------------------------------------------------------------------------------------

    def _product(self, factors: Sequence[Written], scope: Scope, what: str) -> float:
        result = 1.0
        for entry in factors:
            try:
                result *= scope.number(entry.value, entry.path, what)
            except Reported:
                continue
        return result

    def _length(self, part: Subcomponent, scope: Scope) -> int:
        """Elements of the list; 1 for a single subcomponent."""
        if part.span.low is None:
            return 1
        low, high = self._ends(part.span, part.path, scope)
        return high - low + 1

    def _ends(self, span: IndexRange, path: Path, scope: Scope) -> tuple[int, int]:
        at = (*path, "name")
        low, high = self._whole(span.low or "0", scope, at), self._whole(span.high or "0", scope, at)
        if high < low - 1:
            self._error(at, f"the range {low}..{high} of '{span.name}' runs backwards")
        return low, high

    def _elements(self, use: Use, part: Subcomponent, scope: Scope) -> int:
        """How many elements of a list take part in an action: those in its brackets, else all of them."""
        whole = self._length(part, scope)
        if use.span.low is None:
            return whole
        low, high = self._ends(use.span, use.path, scope)
        if part.span.low is None:
            self._error((*use.path, "name"), f"subcomponent '{part.span.name}' is no list")
        first, last = self._ends(part.span, part.path, scope)
        if high >= low and (low < first or high > last):
            self._error((*use.path, "name"), f"'{use.span.name}' has the elements {first}..{last}, not {low}..{high}")
        return high - low + 1


def _single(part: Primitive, action: str, arguments: tuple[tuple[str, Scalar], ...]) -> SumRow:
    term = PrimitiveUse(count=1.0, primitive=part, label="", action=action, arguments=arguments)
    return SumRow(action=action, arguments=arguments, terms=(term,))


def _times(terms: Sequence[PrimitiveUse], factor: float) -> tuple[PrimitiveUse, ...]:
    if factor == 1:
        return tuple(terms)
    return tuple(replace(term, count=term.count * factor, parts=_times(term.parts, factor)) for term in terms)


def _values(attributes: Mapping[str, Written], scope: Scope) -> dict[str, Scalar]:
    """Attributes of a subcomponent, computed in the compound around it; what means nothing there is left out."""
    result = dict[str, Scalar]()
    for name, entry in attributes.items():
        try:
            value = (entry.scope or scope).value(entry.value, entry.path)
        except Reported:
            continue
        if value == name == entry.value and name not in scope:
            scope.log.note(entry.path, f"attribute '{name}' stands for itself and is defined nowhere: left out")
            continue
        result[name] = value
    return result


def _shared(scope: Scope, names: Collection[str]) -> dict[str, Scalar]:
    """Those of the names that have a value."""
    return {name: value for name, value in scope.resolved().items() if name in names and value is not None}


def _own_scale(holder: Holder, name: str) -> float:
    """v0.4: an attribute area_scale or energy_scale scales a component of the architecture as a whole.

    Published area tables show this for area_scale, also that compounds inside compounds are not scaled by theirs.
    """
    entry = holder.scope.written.get(name)
    if holder.kind.version != "0.4" or entry is None:
        return 1.0
    return (entry.scope or holder.scope).number(entry.value, entry.path, f"attribute '{name}'")
