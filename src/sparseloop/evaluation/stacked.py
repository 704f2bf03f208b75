"""Many designs that differ in numbers of their levels only, priced as one design whose numbers are arrays.

The counts of such designs are equal. What they cost is computed by the same code as for one: the designs are the batch axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.violations import reasons
from sparseloop.model.cost.cost import Cost
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Arch, Level
from sparseloop.model.pipeline import EventTotals, plan_of, price_events
from sparseloop.model.units import Floats, Integers

SOURCES = frozenset({"source", "area_source", "leak_source"})
"""Fields that say where a number is from: no number depends on them, so that of the first record stands for all."""


class UnlikeRecordsError(Exception):
    """Records differ in more than numbers."""


@dataclass(frozen=True, slots=True)
class LevelChoices:
    """One level of many designs."""

    records: tuple[Level, ...]
    """The different ones."""
    chosen: Integers
    """By design: which of them it has."""


@dataclass(frozen=True, slots=True)
class StackedResults:
    """Numbers of many designs, shape (designs,) or (levels, designs)."""

    cost: Cost
    energy_pj: Floats
    cycles: Floats
    utilization: Floats
    area_um2: Floats
    valid: npt.NDArray[np.bool_]
    level_energy_pj: Floats
    level_cycles: Floats
    level_area_um2: Floats
    network_energy_pj: Floats

    def reasons_at(self, number: int) -> tuple[str, ...]:
        """Why the mapping is not valid on one of the designs."""
        return reasons(self.cost, at=number)


def price_stacked(design: Design, totals: EventTotals, levels: Sequence[LevelChoices]) -> StackedResults:
    """What designs cost that are `design` but for the numbers of their levels; `totals` are the counts of its mapping.

    All have its counting key. Raises `UnlikeRecordsError` where levels differ in more than numbers: a bandwidth that only some
    have.
    """
    assert design.mapping is not None
    arch = Arch(levels=tuple(_stacked(one.records, one.chosen, "") for one in levels), clock_hz=design.arch.clock_hz)
    cost = price_events(plan_of(replace(design, arch=arch), design.mapping.nest), totals)
    count = len(levels[0].chosen)

    def column(value: Any) -> Floats:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))

    def rows(values: Sequence[Any]) -> Floats:
        return np.array([column(value) for value in values]).reshape(len(values), count)

    return StackedResults(
        cost=cost,
        energy_pj=column(cost.energy_pj),
        cycles=column(cost.cycles),
        utilization=column(cost.utilization),
        area_um2=column(cost.area_um2),
        valid=np.broadcast_to(np.asarray(cost.status == 0), (count,)),
        level_energy_pj=rows([level.energy_pj for level in cost.levels]),
        level_cycles=rows([level.cycles for level in cost.levels]),
        level_area_um2=rows([level.area_um2 * level.instances for level in arch.levels]),
        network_energy_pj=rows([network.energy_pj for network in cost.networks]),
    )


def _stacked(values: Sequence[Any], chosen: Integers, name: str) -> Any:
    """One value whose numbers are those of all: equal ones as they are, others as arrays over the designs."""
    first = values[0]
    if name in SOURCES or all(value is first or value == first for value in values[1:]):
        return first
    kinds: set[type] = {type(value) for value in values}
    if kinds <= {int, float}:
        return np.array(values)[chosen]
    if len(kinds) > 1:
        raise UnlikeRecordsError(name)
    if is_dataclass(first):
        made: Any = first
        return replace(made, **{f.name: _stacked([getattr(v, f.name) for v in values], chosen, f.name) for f in fields(made)})
    if isinstance(first, tuple) and len({len(value) for value in values}) == 1:
        return tuple(_stacked(each, chosen, name) for each in zip(*values, strict=True))
    if isinstance(first, Mapping) and all(value.keys() == cast("Mapping[Any, Any]", first).keys() for value in values):
        return {key: _stacked([value[key] for value in values], chosen, str(key)) for key in cast("Mapping[Any, Any]", first)}
    raise UnlikeRecordsError(name)
