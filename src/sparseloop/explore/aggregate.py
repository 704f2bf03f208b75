"""The evaluations of one point taken together over all workloads: a row of `points`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparseloop.explore.definition import NUMBERS, StudyDefinition, objective_columns
from sparseloop.explore.space import Values
from sparseloop.explore.store import POINT_COLUMNS, Row
from sparseloop.mapper.objectives import Columns, Objective, objective

_PLAIN = ("energy", "cycles", "edp")


class Aggregation:
    """How a study takes its workloads together, and what it forbids."""

    def __init__(self, definition: StudyDefinition) -> None:
        self.how = definition.spec.combine
        self.weights = [workload.weight for workload in definition.designs.workloads]
        self.names = [workload.name for workload in definition.designs.workloads]
        self.columns = objective_columns(definition.objectives)
        """Of every objective."""
        self._objectives = [objective(name) for name in _PLAIN]
        self._objectives += [workload for workload in definition.objectives if self.columns[workload.name] not in POINT_COLUMNS]
        results = [*NUMBERS, *self.columns.values()]
        self._before = [rule for rule in definition.constraints if not rule.names(results)]
        self._after = [rule for rule in definition.constraints if rule.names(results)]
        self._bounded = len(self.weights) == 1 and self.weights[0] == 1

    def refused(self, values: Values) -> str:
        """The constraint on parameters that a point breaks; '' if it satisfies all."""
        broken = next((rule for rule in self._before if not rule.holds(values)), None)
        return f"{broken.text} does not hold" if broken else ""

    def row(self, point: int, values: Values, rows: Sequence[Row | None], why: Sequence[str]) -> Row:
        """One point; without all evaluations it has no numbers."""
        evaluated = [row for row in rows if row is not None]
        bad = [(name, row["why"]) for name, row in zip(self.names, rows, strict=False) if row is not None and not row["valid"]]
        reasons = [*why, *(f"{name}: {reason}" if len(self.names) > 1 else reason for name, reason in bad)]
        combined: Row = {"point": point, **values, "keys": [None if row is None else row["key"] for row in rows]}
        combined["mappings"] = sum(row["mappings"] for row in evaluated)
        combined["seconds"] = sum(row["seconds"] for row in evaluated)
        proofs = [row["proven"] for row in evaluated]
        combined["proven"] = None if None in proofs or not evaluated else all(proofs)
        if evaluated and len(evaluated) == len(rows) and all(row.get("energy_pj") is not None for row in evaluated):
            combined |= self._numbers(evaluated)
            for rule in self._after:
                if not rule.holds({**values, **combined}):
                    numbers = ", ".join(f"{name} {combined[name]:.4g}" for name in sorted(rule.names(NUMBERS)))
                    reasons.append(f"{rule.text} does not hold ({numbers})")
        valid = bool(evaluated) and not reasons
        return combined | {"valid": valid, "why": None if valid else "; ".join(reasons)}

    def _numbers(self, rows: Sequence[Row]) -> Row:
        """Energy, cycles, what follows from them, and every objective."""
        each = {name: np.array([row[name] for row in rows]) for name in ("energy_pj", "cycles", "area_um2", "utilization")}
        numbers = {self.columns.get(goal.name, _column(goal)): self._value(goal, each) for goal in self._objectives}
        seconds = each["cycles"] / np.array([row["clock_hz"] for row in rows])
        latency = self._together(seconds)
        watts = each["energy_pj"] * 1e-12 / seconds
        power = numbers["energy_pj"] * 1e-12 / latency if self.how == "sum" else self._together(watts)
        busy = float(np.average(each["utilization"], weights=each["cycles"] * self.weights))
        bound = rows[0].get("lower_bound") if self._bounded else None
        numbers |= {"latency_s": latency, "power_w": power, "utilization": busy, "lower_bound": bound}
        return numbers | {"area_um2": float(each["area_um2"].max())}

    def _value(self, goal: Objective, each: Columns) -> float:
        """sum: the objective of the sums; otherwise of every workload, then taken together."""
        if self.how != "sum":
            return self._together(goal.scalars(each))
        sums: dict[str, Any] = {name: np.array([self._together(each[name])]) for name in ("energy_pj", "cycles")}
        sums["area_um2"] = each["area_um2"].max(keepdims=True)
        sums["utilization"] = np.average(each["utilization"], weights=each["cycles"] * self.weights, keepdims=True)
        return float(goal.scalars(sums)[0])

    def _together(self, values: Any) -> float:
        if self.how == "sum":
            return float(np.dot(values, self.weights))
        if self.how == "worst":
            return float(np.max(values))
        return math.exp(float(np.average(np.log(np.maximum(values, 1e-300)), weights=self.weights)))


def _column(goal: Objective) -> str:
    return objective_columns([goal])[goal.name]
