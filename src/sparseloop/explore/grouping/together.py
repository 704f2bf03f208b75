"""Jobs of a study evaluated together: what differs in numbers of levels only is one evaluation of arrays.

The rows are those of `Designs.evaluated`, one by one; whatever cannot be done together is done so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sparseloop.evaluation.evaluate import design_of
from sparseloop.evaluation.stacked import LevelChoices, StackedResults, UnlikeRecordsError, price_stacked
from sparseloop.explore.conditions import Value
from sparseloop.explore.grouping.dependence import Dependence, PartedValues
from sparseloop.explore.grouping.known_levels import DesignGroup, KnownLevel, PutTogether
from sparseloop.explore.point import Designs, Job, JobOutcome
from sparseloop.explore.store import Row
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.spec import Spec
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.pipeline import EventTotals, event_totals, plan_of

FEWEST = 8
"""Jobs of a group from which on they are evaluated together."""
GROUPS = 4096
"""Groups that are remembered."""

GroupKey = tuple[int, tuple[Value, ...]]
"""Workload, and the values that may change anything."""


@dataclass
class GroupedDesigns:
    """The designs of a study with all levels of them that are known so far."""

    designs: Designs
    _groups: dict[GroupKey, DesignGroup] = field(default_factory=dict[GroupKey, DesignGroup])
    _totals: dict[GroupKey, EventTotals] = field(default_factory=dict[GroupKey, EventTotals])

    @cached_property
    def _dependences(self) -> tuple[Dependence, ...]:
        """Per workload: what the parameters that are for it reach."""
        parameters = self.designs.space.parameters
        return tuple(
            Dependence(tuple(p for p in parameters if not p.only or workload.names & p.only))
            for workload in self.designs.workloads
        )

    def __reduce__(self) -> tuple[type[GroupedDesigns], tuple[Designs]]:
        """Another process learns anew."""
        return GroupedDesigns, (self.designs,)

    def evaluated(self, jobs: Sequence[Job]) -> list[JobOutcome]:
        """The rows of some points and workloads, in order."""
        if not self.designs.fixed or len(jobs) < FEWEST:
            return [self.designs.evaluated(job) for job in jobs]
        grouped = dict[GroupKey, list[int]]()
        parted = [self._dependences[job.workload].parted(job.values) for job in jobs]
        for number, (job, values) in enumerate(zip(jobs, parted, strict=True)):
            grouped.setdefault((job.workload, values.structure), []).append(number)
        outcomes = dict[int, JobOutcome]()
        for key, numbers in grouped.items():
            done = self._group_evaluated(key, [jobs[i] for i in numbers], [parted[i] for i in numbers])
            outcomes.update(zip(numbers, done, strict=True))
        return [outcomes[number] for number in range(len(jobs))]

    def key(self, job: Job) -> str | None:
        """What identifies an evaluation, made of parts that are known; None where its values make no design."""
        values = self._dependences[job.workload].parted(job.values)
        found = self._put_together((job.workload, values.structure), job, values)
        return found.parts.key(self.designs.settings)[:32] if found else None

    # --- one group --------------------------------------------------------------------------------------------

    def _group_evaluated(self, key: GroupKey, jobs: Sequence[Job], parted: Sequence[PartedValues]) -> list[JobOutcome]:
        if len(jobs) < FEWEST:
            return [self.designs.evaluated(job) for job in jobs]
        started = time.perf_counter()
        together = [self._put_together(key, job, values) for job, values in zip(jobs, parted, strict=True)]
        known = [(job, one) for job, one in zip(jobs, together, strict=True) if one is not None]
        try:
            rows = iter(self._rows(key, known, started))
        except UnlikeRecordsError:
            return [self.designs.evaluated(job) for job in jobs]
        return [
            self.designs.evaluated(job) if one is None else JobOutcome(replace(job, spec=None, hint=None), next(rows))
            for job, one in zip(jobs, together, strict=True)
        ]

    def _put_together(self, key: GroupKey, job: Job, values: PartedValues) -> PutTogether | None:
        """The levels of a job's design; None where its values make none, or one whose counts are a question of prices."""
        group = self._groups.get(key)
        if group is not None and (found := group.put_together(values)):
            return found
        try:
            spec = job.spec or self.designs.spec(job.values, job.workload)
            design = design_of(spec)
        except (SpecError, OSError):
            return None
        if design.mapping is None or any(saf.choice is not None for saf in design.sparse.safs):
            return None
        if group is None:
            group = self._new_group(key, spec)
        group.learn(values, spec, design)
        return group.put_together(values)

    def _new_group(self, key: GroupKey, spec: Spec) -> DesignGroup:
        if len(self._groups) >= GROUPS:
            self._groups.clear()
            self._totals.clear()
        group = DesignGroup.of(spec, design_of(spec), self._dependences[key[0]].places)
        self._groups[key] = group
        return group

    def _totals_of(self, key: GroupKey, mapping: Mapping) -> EventTotals:
        if key not in self._totals:
            design = self._groups[key].design
            self._totals[key] = event_totals(plan_of(design, mapping.nest), mapping.bounds, mapping.residuals)
        return self._totals[key]

    def _rows(self, key: GroupKey, known: Sequence[tuple[Job, PutTogether]], started: float) -> list[Row]:
        """The rows of jobs whose levels are known."""
        if not known:
            return []
        group = self._groups[key]
        if not group.alike:
            raise UnlikeRecordsError
        design = group.design
        assert design.mapping is not None
        choices = [_choices([one.levels[number] for _, one in known]) for number in range(len(design.arch.levels))]
        results = price_stacked(design, self._totals_of(key, design.mapping), choices)
        name = self.designs.workloads[key[0]].name
        fixed = {"workload": name, "mappings": 1, "proven": None, "lower_bound": None}
        seconds = (time.perf_counter() - started) / len(known)
        rows = list[Row]()
        for (job, one), measured in zip(known, _measured(results), strict=True):
            identified = job.key or one.parts.key(self.designs.settings)[:32]
            rows.append({"key": identified, "clock_hz": one.machine.clock_hz, **fixed, **measured, "seconds": seconds})
        return rows


def _choices(levels: Sequence[KnownLevel]) -> LevelChoices:
    """The different records among the levels, and which is where."""
    numbers = dict[int, int]()
    chosen = [numbers.setdefault(id(level.record), len(numbers)) for level in levels]
    first = {number: i for i, number in reversed(list(enumerate(chosen)))}
    return LevelChoices(tuple(levels[first[number]].record for number in range(len(numbers))), np.array(chosen))


def _measured(results: StackedResults) -> list[Row]:
    """The numbers of every design as `point` writes them."""
    levels, networks = results.cost.plan.arch.levels, results.cost.networks
    names = [(level.name, level.kind) for level in levels]
    per_level = [
        results.level_energy_pj.T.tolist(),
        results.level_cycles.T.tolist(),
        results.level_area_um2.T.tolist(),
        results.network_energy_pj.T.tolist(),
    ]
    totals = [getattr(results, name).tolist() for name in ("valid", "energy_pj", "cycles", "utilization", "area_um2")]
    rows = list[Row]()
    for number, (valid, energy, cycles, utilization, area) in enumerate(zip(*totals, strict=True)):
        energies, times, areas, wires = (column[number] for column in per_level)
        parts = [
            {"name": name, "kind": kind, "energy_pj": e, "cycles": c, "area_um2": a}
            for (name, kind), e, c, a in zip(names, energies, times, areas, strict=True)
        ]
        parts += [{"name": one.name, "kind": "network", "energy_pj": e} for one, e in zip(networks, wires, strict=True)]
        rows.append({
            "valid": valid,
            "why": None if valid else "; ".join(results.reasons_at(number)),
            "energy_pj": energy,
            "cycles": cycles,
            "utilization": utilization,
            "area_um2": area,
            "levels": parts,
        })  # fmt: skip
    return rows
