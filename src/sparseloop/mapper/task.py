"""What a search is asked and what it answers: task, budget, goal, tally, best."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.evaluate import design_of, evaluate_mapping
from sparseloop.evaluation.result import Result
from sparseloop.mapper.objectives import Columns, Objective, pareto
from sparseloop.mapper.space.mapspace import Mapspace
from sparseloop.mapper.space.members import mapping_key
from sparseloop.model.design.mapping import Mapping, MappingBatch, Sample
from sparseloop.model.status import Status

CHUNK = 16384
"""Mappings asked at a time: the same for every number of workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When a search ends: after so many mappings, so many seconds, or None: when the method is done."""

    mappings: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is looked for: the best by `objective`, the `top` best, and the front over `pareto`."""

    objective: Objective
    top: int = 1
    pareto: tuple[Objective, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns to be evaluated."""
        wanted = ("status", *self.objective.needs, *(need for one in self.pareto for need in one.needs))
        return tuple(dict.fromkeys(name for name in wanted if name != "area_um2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One search."""

    space: Mapspace
    goal: Goal
    method: str = "random"
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    workers: int = 1
    below: float = math.inf
    """Of interest are only values of the objective (its first part) below this; the optimal method ends where there are none."""
    enough: float = -math.inf
    """Any mapping with a value below this will do for the optimal method."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mapping with the values of what was minimized."""

    mapping: Mapping
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Best:
    """What a search found; `mapping` and `result` are None where no valid mapping was met."""

    task: Task
    top: tuple[Candidate, ...]
    """The best mappings, best first."""
    front: tuple[Candidate, ...] = ()
    """The Pareto front of what was evaluated, by its first objective."""
    evaluated: int = 0
    valid: int = 0
    failures: dict[Status, int] = field(default_factory=dict[Status, int])
    """How many mappings each status flag was raised for."""
    seconds: float = 0.0
    stopped: str = "budget"
    """'budget', 'done' (the method has nothing left) or 'interrupted'."""
    lower_bound: float | None = None
    proven_optimal: bool = False

    @property
    def mapping(self) -> Mapping | None:
        """The best mapping."""
        return self.top[0].mapping if self.top else None

    @property
    def value(self) -> float | None:
        """The objective of the best mapping."""
        return self.top[0].values[0] if self.top else None

    @cached_property
    def result(self) -> Result | None:
        """The best mapping evaluated with its whole breakdown."""
        return self.evaluated_as(self.top[0]) if self.top else None

    def evaluated_as(self, found: Candidate) -> Result:
        """The whole breakdown of one of the mappings found."""
        design = design_of(self.task.space.spec)
        return evaluate_mapping(replace(design, mapping=found.mapping), found.mapping)


class Watch(Protocol):
    """Shows how a search proceeds."""

    def __call__(self, tally: SearchTally, budget: Budget) -> None:
        """After every batch."""
        ...


def silent(tally: SearchTally, budget: Budget) -> None:
    """Shows nothing."""


@dataclass
class SearchTally:
    """Folds batches in the order in which they were asked: counts, the best, the front."""

    space: Mapspace
    goal: Goal
    started: float = field(default_factory=time.monotonic)
    evaluated: int = 0
    valid: int = 0
    failures: dict[Status, int] = field(default_factory=dict[Status, int])
    top: list[Candidate] = field(default_factory=list[Candidate])
    front: list[Candidate] = field(default_factory=list[Candidate])
    lower_bound: float | None = None
    """Proven so far, where a method proves anything."""

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def add(self, batch: Batch, columns: Columns) -> None:
        """Takes over one evaluated batch."""
        status = columns["status"]
        good = np.flatnonzero(status == 0)
        self.evaluated += len(status)
        self.valid += len(good)
        for flag in Status:
            if flag and (count := int(((status & int(flag)) != 0).sum())):
                self.failures[flag] = self.failures.get(flag, 0) + count
        if len(good):
            chosen = {name: column[good] for name, column in columns.items()}
            self._add_best(batch, good, self.goal.objective.values(chosen))
            if self.goal.pareto:
                self._add_front(batch, good, np.stack([one.scalars(chosen) for one in self.goal.pareto]))

    def _add_best(self, batch: Batch, good: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        """Merges the best of a batch; of equal values the earlier mapping wins, equal mappings count once."""
        if len(self.top) >= self.goal.top:
            near = np.flatnonzero(values[0] <= self.top[-1].values[0])
            good, values = good[near], values[:, near]
        known = {mapping_key(self.space, one.mapping) for one in self.top}
        found = list(self.top)
        for i in np.lexsort((np.arange(len(good)), *reversed(values))):
            mapping, mine = batch[int(good[i])], tuple(float(v) for v in values[:, i])
            if len(found) >= 2 * self.goal.top or (len(self.top) >= self.goal.top and mine >= self.top[-1].values):
                break
            if (key := mapping_key(self.space, mapping)) not in known:
                known.add(key)
                found.append(Candidate(mapping, mine))
        self.top = sorted(found, key=lambda one: one.values)[: self.goal.top]

    def _add_front(self, batch: Batch, good: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        mine = [Candidate(batch[int(good[i])], tuple(float(v) for v in values[:, i])) for i in pareto(values)]
        both = [*self.front, *mine]
        self.front = [both[i] for i in pareto(np.array([one.values for one in both]).T)]

    def best(self, task: Task, stopped: str, complete: bool) -> Best:
        """The outcome."""
        proven = complete and bool(self.top)
        return Best(
            task=task,
            top=tuple(self.top),
            front=tuple(self.front),
            evaluated=self.evaluated,
            valid=self.valid,
            failures=self.failures,
            seconds=self.seconds,
            stopped=stopped,
            lower_bound=self.top[0].values[0] if proven else None,
            proven_optimal=proven,
        )


Batch = MappingBatch | Sample
