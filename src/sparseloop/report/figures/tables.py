"""The points of a study as rows, and the study's description of their columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sparseloop.explore.store import Store
from sparseloop.input.diagnostics import Diagnostic, SpecError

AXIS_LABELS = {
    "energy_pj": "energy (pJ)",
    "cycles": "cycles",
    "edp": "energy-delay product (pJ cycles)",
    "latency_s": "latency (s)",
    "power_w": "power (W)",
    "area_um2": "area (\N{GREEK SMALL LETTER MU}m\N{SUPERSCRIPT TWO})",
    "utilization": "utilization",
}


def label_of(column: str) -> str:
    """A column's name with its unit, for an axis."""
    return AXIS_LABELS.get(column, column)


@dataclass(frozen=True)
class StudyPoints:
    """The points of a study."""

    store: Store
    where: str = ""
    """SQL: only these points."""

    @cached_property
    def study(self) -> dict[str, Any]:
        """As in study.json."""
        return self.store.study

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row per point, as a dict."""
        if not self.where:
            return self.store.points().to_pylist()
        return self.store.query(f"select * from points where {self.where} order by point").to_pylist()

    @cached_property
    def valid(self) -> list[dict[str, Any]]:
        """The points that fit and fulfil the constraints."""
        return [row for row in self.rows if row["valid"]]

    @property
    def parameters(self) -> list[str]:
        """Names of what varies."""
        return [parameter["name"] for parameter in self.study["parameters"]]

    @property
    def objectives(self) -> list[str]:
        """Columns that are minimized."""
        return [objective["column"] for objective in self.study["objectives"]]

    def numeric(self, name: str) -> bool:
        """True if a parameter is a number."""
        return bool(self._parameter(name)["numeric"])

    def logarithmic(self, name: str) -> bool:
        """True if a parameter's values are better seen on a logarithmic axis."""
        numbers = [v for v in self.values(name) if isinstance(v, int | float)]
        return bool(self._parameter(name)["log"]) or (bool(numbers) and max(numbers) >= 20 * min(numbers) > 0)

    def values(self, name: str) -> list[Any]:
        """The values that occur, numbers by size, others in the order of the study."""
        found = {row[name] for row in self.rows if row[name] is not None}
        if self.numeric(name):
            return sorted(found)
        known = [v for v in self._parameter(name)["values"] or () if v in found]
        return [*known, *sorted(map(str, found - set(known)))]

    def _parameter(self, name: str) -> dict[str, Any]:
        return next(parameter for parameter in self.study["parameters"] if parameter["name"] == name)

    def column(self, name: str) -> str:
        """A column by its name, or by that of an objective; `SpecError` if there is none."""
        if name in self.study["columns"]:
            return name
        by_name = {objective["name"]: objective["column"] for objective in self.study["objectives"]}
        if name in by_name:
            return by_name[name]
        hint = f"there are: {', '.join(n for n in self.study['columns'] if n not in ('point', 'keys', 'why', 'valid'))}"
        raise SpecError([Diagnostic(message=f"the study has no column '{name}'", hint=hint)])

    def some(self, count: int) -> None:
        """Raises `SpecError` if there is nothing to draw."""
        if not count:
            raise SpecError([Diagnostic(message="the study has no valid point to draw")])
