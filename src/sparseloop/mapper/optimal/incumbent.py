"""The best known mappings of a proof, and which bounds they exclude."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.optimal.quantities import Flags, Floats
from sparseloop.mapper.task import SearchTally, Task

SLACK = 1e-9
"""Relative difference below which two values of an objective are the same."""


@dataclass
class Incumbent:
    """The best known values, and which bounds cannot beat them."""

    tally: SearchTally
    monotone: bool
    """True if the objective never falls when energy and cycles rise."""
    timed: bool
    """True if the objective sees the cycles."""
    extra: dict[str, float] = field(default_factory=dict[str, float])
    """Columns that are equal for all mappings, or follow from the cycles."""
    limit: float = np.inf
    """Nothing above this first part of the objective is looked for at present."""
    below: float = np.inf
    """Nothing that is not below this is looked for at all."""

    @property
    def deciding(self) -> bool:
        """True if bounds can tell anything: not for fronts."""
        return self.monotone and not self.tally.goal.pareto

    @property
    def worst(self) -> tuple[float, ...] | None:
        """What a mapping must undercut to be among the wanted ones."""
        top = self.tally.top
        return top[-1].values if len(top) >= self.tally.goal.top else None

    def values(self, energy: Floats, cycles: Floats) -> Floats:
        """The objective of (energy, cycles) at least: shape (parts, columns), as in `Objective.values`."""
        columns: dict[str, npt.NDArray[Any]] = {
            "energy_pj": energy,
            "cycles": cycles,
            "area_um2": np.full(len(cycles), self.extra["area_um2"]),
            "utilization": self.extra["utilization"] / np.maximum(cycles, 1e-200),  # no cycles at least: finite all the same
        }
        with np.errstate(invalid="ignore"):  # nothing fits: infinite energy; what is not a number is never pruned
            return self.tally.goal.objective.values(columns)

    def score(self, energy: Floats, cycles: Floats) -> Floats:
        """The first part of the objective."""
        return self.values(energy, cycles)[0]

    def beats(self, energy: Floats, cycles: Floats) -> Flags:
        """True where nothing with at least this energy and these cycles is better than what is known, or below the limit."""
        if not self.deciding:
            return np.zeros(len(energy), dtype=bool)
        values = self.values(energy, cycles)
        dead, same = values[0] > self.limit * (1 + SLACK), np.ones(len(energy), dtype=bool)
        dead |= values[0] >= self.below * (1 - SLACK)
        if self.worst is None:
            return dead
        for row, best in zip(values, self.worst, strict=True):
            margin = SLACK * abs(best)
            dead |= same & (row > best + margin)
            same &= row >= best - margin
        return dead | same


def incumbent_of(task: Task, tally: SearchTally) -> Incumbent:
    """Of a search that begins: whether its objective is monotone and timed is found by trying it on a grid."""
    design = task.space.design
    area = float(sum(level.area_um2 * level.instances for level in design.arch.levels))
    extra = {"area_um2": area, "utilization": design.einsum.computes / design.arch.compute.instances}
    incumbent = Incumbent(tally, True, True, extra, below=task.below)
    energy, cycles = np.meshgrid(np.geomspace(1, 1e15, 31), np.geomspace(1, 1e12, 25))
    values = incumbent.values(energy.reshape(-1), cycles.reshape(-1)).reshape(-1, *energy.shape)
    by_cycles = np.diff(values, axis=1)
    incumbent.monotone = bool((by_cycles >= 0).all() and (np.diff(values, axis=2) >= 0).all())
    incumbent.timed = bool((by_cycles != 0).any())
    return incumbent
