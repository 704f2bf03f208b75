"""Which part of a design the parameters of a study reach: one level, all levels, or everything.

A price, a size or a bandwidth of a level changes the record of that level and nothing else of a design; technology and clock
change the records of all levels. So a design with known such values is put together from records of levels that are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sparseloop.evaluation.cache_key import MACHINE
from sparseloop.explore.conditions import Value
from sparseloop.explore.space import Parameter, Values
from sparseloop.input.diagnostics import Path

LEVELS: Path = ("architecture", "levels")
OF_ONE_LEVEL = frozenset({"capacity", "bandwidth", "banks", "node", "vdd", "energy", "area"})
"""Fields of a level that change no other level, no count and no tile."""
OF_ALL_LEVELS = frozenset(MACHINE)
"""Fields of the architecture that change nothing but numbers of levels."""

Place = str | int
"""A level as a path names it: its name, or its position among all entries."""


@dataclass(frozen=True, slots=True)
class PartedValues:
    """The values of a point by what they reach."""

    structure: tuple[Value, ...]
    """Those that may change anything."""
    machine: tuple[Value, ...]
    """Those that change numbers of all levels."""
    levels: tuple[tuple[Value, ...], ...]
    """By the places of `Dependence`: those that change numbers of one level."""


@dataclass(frozen=True)
class Dependence:
    """What the parameters of a study that concern one workload reach."""

    parameters: tuple[Parameter, ...]

    @cached_property
    def _reached(self) -> dict[str, Path]:
        """Name of a parameter to the level that it changes: (place,); (): all levels. Others may change anything."""
        found = {parameter.name: _reach(parameter) for parameter in self.parameters}
        return {name: reach for name, reach in found.items() if reach is not None}

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The levels that parameters change."""
        return tuple(dict.fromkeys(reach[0] for reach in self._reached.values() if reach))

    @cached_property
    def _names(self) -> tuple[tuple[str, ...], ...]:
        """Names of the parameters that reach everything, all levels, and each of the places."""
        reached = self._reached
        structure = tuple(parameter.name for parameter in self.parameters if parameter.name not in reached)
        machine = tuple(name for name, reach in reached.items() if not reach)
        return (structure, machine, *(tuple(name for name, reach in reached.items() if reach == (p,)) for p in self.places))

    def parted(self, values: Values) -> PartedValues:
        """The values of a point by what they reach."""
        structure, machine, *levels = (tuple([values[name] for name in names]) for names in self._names)
        return PartedValues(structure, machine, tuple(levels))


def _reach(parameter: Parameter) -> Path | None:
    """The one level that a parameter changes, () for all levels, None where it may change more."""
    paths = [path for changes in parameter.changes for path, _ in changes] or list(parameter.paths)
    found = {_reach_of(path) for path in paths}
    return found.pop() if len(found) == 1 else None


def _reach_of(path: Sequence[str | int]) -> Path | None:
    if tuple(path[:2]) == LEVELS and len(path) > 3 and path[3] in OF_ONE_LEVEL:
        return (path[2],)
    if len(path) == 2 and path[0] == LEVELS[0] and path[1] in OF_ALL_LEVELS:
        return ()
    return None
