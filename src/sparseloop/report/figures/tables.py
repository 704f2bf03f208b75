"""The points of a study as rows, and the study's description of their columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from sparseloop.explore.store import Row, Store
from sparseloop.input.diagnostics import Diagnostic, SpecError

MICRO, SQUARED, TIMES = "\N{GREEK SMALL LETTER MU}", "\N{SUPERSCRIPT TWO}", "\N{DOT OPERATOR}"
ENERGIES = ((1e12, "J"), (1e9, "mJ"), (1e6, f"{MICRO}J"), (1e3, "nJ"), (1.0, "pJ"))
"""pJ in a unit."""
ENERGY_DELAYS = tuple(
    (10.0**-power, f"{prefix}J{TIMES}s")
    for power, prefix in zip(range(0, 22, 3), ("", "m", MICRO, "n", "p", "f", "a", "z"), strict=True)
)
"""J*s in a unit."""
AREAS = ((1e4, f"mm{SQUARED}"), (0.0, f"{MICRO}m{SQUARED}"))
COUNTS = ((1e9, "10\N{SUPERSCRIPT NINE}"), (1e6, "10\N{SUPERSCRIPT SIX}"), (1e4, "10\N{SUPERSCRIPT THREE}"), (0.0, ""))
NAMES = {
    "energy_pj": "energy",
    "edp": "energy-delay product",
    "latency_s": "latency (s)",
    "power_w": "power (W)",
    "area_um2": "area",
}


def name_of(column: str) -> str:
    """A column in words, without its unit."""
    return NAMES.get(column, column).partition(" (")[0]


@dataclass(frozen=True, slots=True)
class Scale:
    """How a column is shown: its name with the unit, and what its numbers are divided by."""

    label: str
    divisor: float = 1.0


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
    def unproven(self) -> str:
        """A sentence on the valid points whose mapping is not proven optimal; nothing if there are none."""
        count = sum(row["proven"] is False for row in self.valid)
        return f"{count} of {len(self.valid)} points: mapping not proven optimal" if count else ""

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
        """True if a parameter's values are better seen on a logarithmic axis: far apart, or each by the same factor larger."""
        numbers = sorted(v for v in self.values(name) if isinstance(v, int | float))
        if self._parameter(name)["log"] or not numbers or numbers[0] <= 0:
            return bool(self._parameter(name)["log"])
        factors = [after / before for before, after in pairwise(numbers)]
        return numbers[-1] >= 20 * numbers[0] or (len(factors) > 1 and max(factors) < 1.02 * min(factors))

    def values(self, name: str) -> list[Any]:
        """The values that occur, numbers by size, others in the order of the study."""
        found = {row[name] for row in self.rows if row[name] is not None}
        if self.numeric(name):
            return sorted(found)
        known = [v for v in self._parameter(name)["values"] or () if v in found]
        return [*known, *sorted(map(str, found - set(known)))]

    def _parameter(self, name: str) -> dict[str, Any]:
        return next(parameter for parameter in self.study["parameters"] if parameter["name"] == name)

    def scale(self, name: str) -> Scale:
        """As a column is shown; looked up once."""
        if name not in self._scales:
            self._scales[name] = self._scale(name)
        return self._scales[name]

    @cached_property
    def _scales(self) -> dict[str, Scale]:
        return {}

    def _scale(self, name: str) -> Scale:
        """The unit in which a metric or a parameter is shown: energies in J, energy-delay products in J*s, areas in mm2."""
        if name in self.parameters:
            unit = self._parameter(name).get("unit")
            return Scale(f"{name} ({unit})" if unit else name)
        largest = max((abs(self._plain(row, name)) for row in self.valid if row.get(name) is not None), default=0.0)
        if name == "energy_pj":
            divisor, unit = next((s for s in ENERGIES if largest >= s[0]), ENERGIES[-1])
            return Scale(f"energy ({unit})", divisor)
        if name == "edp":
            divisor, unit = next((s for s in ENERGY_DELAYS if largest >= s[0]), ENERGY_DELAYS[-1])
            return Scale(f"{NAMES[name]} ({unit})", divisor)
        if name == "area_um2":
            least, unit = next(s for s in AREAS if largest >= s[0])
            return Scale(f"area ({unit})", 1e6 if least else 1.0)
        if name == "cycles":
            least, power = next(s for s in COUNTS if largest >= s[0])
            return Scale(f"cycles ({power})" if power else "cycles", {1e4: 1e3, 0.0: 1.0}.get(least, least))
        return Scale(NAMES.get(name, name))

    def shown(self, row: Row, name: str) -> float:
        """A number of a point in the unit of its column."""
        return self._plain(row, name) / self.scale(name).divisor

    def _plain(self, row: Row, name: str) -> float:
        """The number in its own unit; of an energy-delay product in J*s: a point has its own clock."""
        if name == "edp" and row.get("latency_s"):
            return row[name] * 1e-12 * row["latency_s"] / row["cycles"]
        return float(row[name])

    def column(self, name: str) -> str:
        """A column by its name, or by that of an objective; `SpecError` if there is none."""
        if name in self.study["columns"]:
            return name
        by_name = {objective["name"]: objective["column"] for objective in self.study["objectives"]}
        if name in by_name:
            return by_name[name]
        columns = [n for n in self.study["columns"] if n not in ("point", "keys", "why", "valid")]
        near = next((n for n in columns if n.lower() == name.lower() or n.startswith(f"{name.lower()}_")), None)
        hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(columns)}"
        raise SpecError([Diagnostic(message=f"the study has no column '{name}'", hint=hint)])

    def some(self, count: int) -> None:
        """Raises `SpecError` if there is nothing to draw."""
        if not count:
            raise SpecError([Diagnostic(message="the study has no valid point to draw")])
