"""The parameters of a study file understood: values, ranges, choices, expressions, and where each is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from sparseloop.explore.conditions import Condition, Value, parse_condition
from sparseloop.explore.point import Workload
from sparseloop.explore.schema import ParameterSpec
from sparseloop.explore.space import Change, Parameter, column_values, range_values
from sparseloop.explore.store import POINT_COLUMNS
from sparseloop.input.diagnostics import Diagnostic, Path, SpecError, did_you_mean
from sparseloop.input.expressions import NotationError
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml.files import Node, SourceMap

T = TypeVar("T")
_NAME = re.compile(r"[^\W\d]\w*")
_WORDS = frozenset({"and", "or", "not", "in", "true", "false", "points", "evaluations", "layers", "workload", "key"})
"""Names that mean something in conditions and questions."""


@dataclass
class Mistakes:
    """What is wrong about a study file: collected, never raised on the spot."""

    source: SourceMap
    found: list[Diagnostic] = field(default_factory=list[Diagnostic])

    def error(self, path: Path, message: str, hint: str | None = None, *, key: bool = False) -> None:
        """A mistake at a path of the study file."""
        self.found.append(Diagnostic(path=path, message=message, hint=hint, key=key))

    def attempt(self, path: Path, what: Callable[[], T]) -> T | None:
        """The outcome; None if it raised a mistake, which is noted at `path` unless it has a place in a file of its own."""
        try:
            return what()
        except NotationError as error:
            for mistake in error.mistakes:
                inside = Diagnostic(
                    path=path, message=mistake.message, hint=mistake.hint, offset=mistake.offset, length=mistake.length
                )
                self.found.append(inside)
        except SpecError as error:
            for mistake in error.diagnostics:
                placed = mistake if mistake.span and mistake.span.line else replace(mistake, path=path, span=None)
                if placed not in self.found:
                    self.found.append(placed)
        return None

    def condition(self, path: Path, text: str) -> Condition | None:
        """A condition; None if it cannot be read."""
        return self.attempt(path, lambda: parse_condition(text))

    def kids(self, path: Path) -> list[tuple[str, Node]]:
        """Keys and value nodes of a mapping of the study file."""
        _, node, way = self.source.walk(path)
        inside = node.kids if len(way) == len(path) and isinstance(node.kids, dict) else {}
        return [(name, pair[1]) for name, pair in inside.items()]

    def change(self, at: Path, text: str, node: Node) -> Change | None:
        """A value to be written at a path given as text."""
        parsed = yamlio.parse_path(text)
        if not parsed:
            self.error(at, f"cannot read the path '{text}'", "write e.g. architecture.levels.GLB.capacity", key=True)
        return (parsed, node) if parsed else None


@dataclass(frozen=True)
class ParameterReader:
    """One parameter of a study file."""

    name: str
    one: ParameterSpec
    mistakes: Mistakes
    workloads: Sequence[Workload]

    @property
    def at(self) -> Path:
        """Where it stands."""
        return ("parameters", self.name)

    def read(self) -> Parameter | None:
        """The parameter; None if anything is wrong about it."""
        spec, before = self.one, len(self.mistakes.found)
        self._check_name()
        ways: dict[str, Callable[[tuple[Path, ...]], Parameter | None]]
        ways = {"values": self._values, "range": self._range, "choices": self._choices, "value": self._expression}
        given = [way for way in ways if getattr(spec, way) is not None]
        if len(given) != 1:
            hint = "one of values: [32, 64], range: [1, 64], choices: {...} and value: 2 * other"
            said = f"has {' and '.join(given)}" if given else "has no values"
            self.mistakes.error(self.at, f"parameter '{self.name}' {said}", hint, key=True)
            return None
        self._check_fields(given[0])
        paths = self._paths()
        when = self.mistakes.condition((*self.at, "when"), spec.when) if spec.when is not None else None
        parameter = ways[given[0]](paths) if len(self.mistakes.found) == before else None
        if parameter is None or len(self.mistakes.found) > before:
            return None
        parameter = replace(parameter, when=when, only=frozenset(spec.only), unit=spec.unit or "")
        self._check_places(parameter)
        return parameter if len(self.mistakes.found) == before else None

    def _check_name(self) -> None:
        """Parameters are columns of the results and words of conditions."""
        if not _NAME.fullmatch(self.name):
            hint = "letters, digits and _, not a digit first"
            if "." in self.name:
                hint = f"a name of yours before it: {self.name.rsplit('.')[-1]}: {{path: {self.name}, values: [...]}}"
            self.mistakes.error(self.at, f"'{self.name}' cannot be the name of a parameter", hint, key=True)
        elif self.name in POINT_COLUMNS or self.name in _WORDS:
            hint = f"e.g. {self.name}_"
            self.mistakes.error(self.at, f"'{self.name}' means something in the results: choose another name", hint, key=True)

    def _check_fields(self, way: str) -> None:
        """Fields that say nothing for this kind of parameter."""
        for field_name in self.one.model_fields_set:
            kinds = {"step": ("range",), "points": ("range",), "scale": ("range",), "whole": ("range",)}
            kinds |= {"unit": ("values", "range", "value"), "path": ("values", "range", "value")}
            if way not in kinds.get(field_name, (way,)):
                self.mistakes.error((*self.at, field_name), f"'{field_name}' means nothing beside '{way}'", key=True)

    def _paths(self) -> tuple[Path, ...]:
        """Where it is written; without `path` in the variable of its name, if there is one."""
        if not self.one.path and self.one.choices is None:
            named = all("variables" in w.root.data and self.name in w.root.data["variables"] for w in self.workloads)
            return (("variables", self.name),) if named and self.workloads else ()
        changes = [self.mistakes.change((*self.at, "path"), text, Node(None, "")) for text in self.one.path]
        return tuple(change[0] for change in changes if change)

    def _values(self, paths: tuple[Path, ...]) -> Parameter | None:
        """A list of values, each written at all paths."""
        given, unit = self.one.values or (), self.one.unit
        node = self.mistakes.source.walk((*self.at, "values"))[1]
        nodes = node.kids if isinstance(node.kids, list) else []
        shown = labels(given)
        if not given:
            self.mistakes.error((*self.at, "values"), f"parameter '{self.name}' has no values", key=True)
        for i, value in enumerate(shown):
            if value in shown[:i]:
                self.mistakes.error((*self.at, "values", i), f"'{value}' stands twice among the values of '{self.name}'")
        if unit and not all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
            self.mistakes.error((*self.at, "unit"), "a unit stands behind numbers only", key=True)
        written = [replace(n, data=f"{n.data} {unit}", quoted=-1) if unit else n for n in nodes]
        changes = tuple(tuple((path, n) for path in paths) for n in written)
        return Parameter(name=self.name, kind="choice", values=shown, changes=changes)

    def _choices(self, paths: tuple[Path, ...]) -> Parameter | None:
        """Labels that stand for changes at several places."""
        at, given = (*self.at, "choices"), self.one.choices or {}
        if not given:
            self.mistakes.error(at, f"parameter '{self.name}' has no choices", key=True)
        changes = [
            tuple(c for text, n in self.mistakes.kids((*at, label)) if (c := self.mistakes.change((*at, label, text), text, n)))
            for label in given
        ]
        return Parameter(name=self.name, kind="choice", values=tuple(given), changes=tuple(changes))

    def _range(self, paths: tuple[Path, ...]) -> Parameter | None:
        """Numbers from the first to the last."""
        spec, at, log = self.one, (*self.at, "range"), self.one.scale == "log"
        assert spec.range is not None
        low, high = spec.range
        if low >= high:
            self.mistakes.error(at, f"the range must rise, got {low:g} to {high:g}")
        elif log and low <= 0:
            self.mistakes.error(at, f"a logarithmic range begins above 0, got {low:g}")
        elif spec.step is not None and spec.points is not None:
            self.mistakes.error((*self.at, "points"), "a range has a step or a number of points, not both", key=True)
        elif log and spec.step is not None and spec.step <= 1:
            self.mistakes.error((*self.at, "step"), "with scale: log the step is a factor, above 1", "2: doubled each time")
        elif spec.whole and (low != round(low) or high != round(high)):
            self.mistakes.error(at, "with whole: true the range begins and ends with whole numbers")
        else:
            values = None
            if spec.step is not None or spec.points is not None:
                values = column_values(range_values(low, high, step=spec.step, points=spec.points, log=log), whole=spec.whole)
            elif spec.whole and not log:
                values = tuple(range(round(low), round(high) + 1))
            node = self.mistakes.source.walk(at)[1]
            numbers = {"low": low, "high": high, "log": log, "whole": spec.whole}
            return replace(Parameter(name=self.name, kind="range", values=values, paths=paths, node=node), **numbers)
        return None

    def _expression(self, paths: tuple[Path, ...]) -> Parameter | None:
        """A number computed from other parameters."""
        node = self.mistakes.source.walk((*self.at, "value"))[1]
        return Parameter(name=self.name, kind="expression", paths=paths, node=node, expression=str(self.one.value))

    def _check_places(self, parameter: Parameter) -> None:
        """That what it changes can be written where it is to be written."""
        known = {name for workload in self.workloads for name in workload.names}
        for word in [word for word in self.one.only if word not in known]:
            self.mistakes.error((*self.at, "only"), f"unknown workload '{word}'", did_you_mean(word, known))
        number: tuple[Change, ...] = tuple((path, Node(1, "")) for path in parameter.paths)
        written = list(zip(parameter.values or (), parameter.changes, strict=False)) if parameter.changes else [("", number)]
        for choice, changes in written:
            for path, node in changes:
                at = self._spot(path, str(choice))
                for workload in self.workloads:
                    if not parameter.only or parameter.only & workload.names:
                        self.mistakes.attempt(at, lambda w=workload, p=path, n=node: yamlio.with_values(w.root, [(p, n)]))

    def _spot(self, path: Path, label: str) -> Path:
        """Where the study file names a path."""
        if self.one.choices is None:
            return (*self.at, "path")
        text = next(text for text in self.one.choices[label] if yamlio.parse_path(text) == path)
        return (*self.at, "choices", label, text)


def labels(given: Sequence[Any]) -> tuple[Value, ...]:
    """Values as they stand in a column: numbers if all are, truth values if all are, else texts."""
    if all(isinstance(value, bool) for value in given):
        return tuple(given)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        whole = all(value == round(value) for value in given)
        return tuple(round(value) if whole else float(value) for value in given)
    return tuple(_text(value) for value in given)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in cast("Sequence[Any]", value)) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
