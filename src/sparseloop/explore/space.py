"""The design space of a study: parameters with their values, in which order they are chosen, and what they change."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from sparseloop.explore.conditions import Condition, Value, arithmetic
from sparseloop.input.diagnostics import Path
from sparseloop.input.yaml.files import Node

Kind = Literal["choice", "range", "expression"]
Change = tuple[Path, Node]
Values = Mapping[str, Value]
Chooser = Callable[["Parameter"], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Something that varies; `value` below is always what stands in its column of the results."""

    name: str
    kind: Kind
    values: tuple[Value, ...] | None = None
    """All values, in order; None: any number of the range, or computed."""
    changes: tuple[tuple[Change, ...], ...] = ()
    """choice: what each value changes."""
    paths: tuple[Path, ...] = ()
    """range, expression: where the number is written."""
    node: Node | None = None
    """Its place in the study file."""
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    expression: str = ""
    when: Condition | None = None
    only: frozenset[str] = frozenset()
    """Workloads it is for; empty: all."""

    @property
    def column(self) -> str:
        """Type of its column, as Arrow names it."""
        if self.kind == "expression":
            return "double"
        if self.values is None:
            return "int64" if self.whole else "double"
        kinds = {type(value) for value in self.values}
        columns = {str: "string", float: "double", int: "int64", bool: "bool"}
        return next(name for kind, name in columns.items() if kind in kinds)

    @property
    def numeric(self) -> bool:
        """True if its values are numbers."""
        return self.column in ("int64", "double")

    def changed(self, value: Value) -> Sequence[Change]:
        """What a value writes into the specification."""
        if value is None:
            return ()
        if self.changes:
            assert self.values is not None
            return self.changes[self.values.index(value)]
        assert self.node is not None
        written = replace(self.node, data=f"{value} {self.unit}" if self.unit else value, kids=None, quoted=-1)
        return [(path, written) for path in self.paths]

    def needs(self, names: Sequence[str]) -> frozenset[str]:
        """The parameters that must be chosen before."""
        words = {word for word in re.findall(r"[^\W\d]\w*", self.expression) if word in names}
        return frozenset(words) | (self.when.names(names) if self.when else frozenset[str]())


@dataclass(frozen=True)
class DesignSpace:
    """All parameters, as written, and the rules that points must satisfy before they are evaluated."""

    parameters: tuple[Parameter, ...]

    @cached_property
    def order(self) -> tuple[Parameter, ...]:
        """The parameters such that each comes after those that it depends on; `ValueError` names a circle."""
        names = [parameter.name for parameter in self.parameters]
        left, ordered = list(self.parameters), list[Parameter]()
        while left:
            settled = {parameter.name for parameter in ordered}
            ready = next((parameter for parameter in left if parameter.needs(names) <= settled), None)
            if ready is None:
                raise ValueError(left[0].name)
            left.remove(ready)
            ordered.append(ready)
        return tuple(ordered)

    def point(self, choose: Chooser) -> dict[str, Value]:
        """One point, parameter by parameter; `choose` is asked for those that are free."""
        values: dict[str, Value] = {}
        for parameter in self.order:
            values[parameter.name] = (
                self._dependent_value(parameter, values)
                if parameter.kind == "expression" or not _varies(parameter, values)
                else choose(parameter)
            )
        return values

    def grid(self) -> Iterator[dict[str, Value]]:
        """All points, the last parameter fastest; every parameter has a list of values."""
        yield from self._below(0, {})

    def _below(self, depth: int, values: dict[str, Value]) -> Iterator[dict[str, Value]]:
        if depth == len(self.order):
            yield dict(values)
            return
        parameter = self.order[depth]
        if parameter.kind == "expression" or not _varies(parameter, values):
            choices: Sequence[Value] = (self._dependent_value(parameter, values),)
        else:
            choices = parameter.values or ()
        for value in choices:
            values[parameter.name] = value
            yield from self._below(depth + 1, values)
        del values[parameter.name]

    def _dependent_value(self, parameter: Parameter, values: Values) -> Value:
        """The value of a parameter that is not free."""
        if not _varies(parameter, values):
            return None
        number = arithmetic(parameter.expression, values)
        return int(number) if number is not None and float(number).is_integer() else number

    @cached_property
    def size(self) -> int | None:
        """How many points the grid has; None if a parameter may take any number."""
        free = [parameter for parameter in self.parameters if parameter.kind != "expression"]
        if any(parameter.values is None for parameter in free):
            return None
        if any(parameter.when for parameter in self.parameters):
            return sum(1 for _ in self.grid())
        return math.prod(len(parameter.values or ()) for parameter in free)

    def changes(self, values: Values, workload: frozenset[str]) -> list[Change]:
        """What a point writes into the specification of a workload, given by its names."""
        return [
            change
            for parameter in self.parameters
            if not parameter.only or workload & parameter.only
            for change in parameter.changed(values[parameter.name])
        ]


def _varies(parameter: Parameter, values: Values) -> bool:
    return parameter.when is None or parameter.when.holds(values)


# --- values of ranges ---------------------------------------------------------------------------------------


def range_values(low: float, high: float, *, step: float | None, points: int | None, log: bool) -> list[float]:
    """The values of a range from low to high by a step (log: a factor), or `points` of them."""
    if points is not None:
        shares = [i / (points - 1) if points > 1 else 0.0 for i in range(points)]
        numbers = [low * (high / low) ** share if log else low + (high - low) * share for share in shares]
    else:
        assert step is not None
        room = math.log(high / low) / math.log(step) if log else (high - low) / step
        numbers = [low * step**i if log else low + step * i for i in range(math.floor(room + 1e-9) + 1)]
    return list(dict.fromkeys(float(f"{value:.12g}") for value in numbers))


def column_values(numbers: Sequence[float], *, whole: bool) -> tuple[Value, ...]:
    """The numbers as they stand in a column: whole ones as whole numbers if all are, or if they must be."""
    if whole or all(number == round(number) for number in numbers):
        return tuple(dict.fromkeys(round(number) for number in numbers))
    return tuple(float(number) for number in numbers)
