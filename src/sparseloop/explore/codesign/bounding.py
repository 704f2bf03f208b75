"""Sets of strategies bounded from below: by the optimal mapping of one machine each, here or in worker processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from sparseloop.evaluation.evaluate import design_of, evaluate_mapping
from sparseloop.explore.codesign.relaxation import Sets, Strategies
from sparseloop.explore.point import Designs
from sparseloop.input.diagnostics import SpecError
from sparseloop.mapper.objectives import Objective
from sparseloop.mapper.search import run_search
from sparseloop.mapper.space.mapspace import mapspace
from sparseloop.mapper.task import Best, Budget, Goal, Task
from sparseloop.mapper.workers import WorkerPool
from sparseloop.model.design.mapping import Mapping


@dataclass(frozen=True, slots=True)
class BoundedSet:
    """A set of strategies and what its best mapping costs at least; of a single strategy, what it costs."""

    sets: Sets
    bound: float
    value: float
    """Of the best mapping that was found; inf if none is below what was known."""
    mapping: Mapping | None
    evaluated: int
    """Mappings evaluated for it."""
    finished: bool
    """False: the budget ended first."""
    single: bool


class SetBounder:
    """Bounds sets of strategies; one of them lives in each worker process."""

    def __init__(self, designs: Designs) -> None:
        self.designs, self.strategies = designs, Strategies(designs)
        self.goal: Objective = designs.goal
        self.padded = designs.mapper.padded

    def bounded(self, sets: Sets, below: float, budget: Budget) -> BoundedSet:
        """The least that any strategy of the set costs with its best mapping, if that is below a known value."""
        single = self.strategies.single(sets)
        try:
            best = self._best(sets, below, budget)
        except SpecError:
            if not single:
                raise
            return BoundedSet(sets, math.inf, math.inf, None, 0, True, single)  # values that make no design
        finished = best.stopped == "done"
        value = best.value if best.value is not None and best.value < below else math.inf
        bound = value if finished else min(value, best.lower_bound or 0.0)
        return BoundedSet(sets, bound, value, best.mapping if value < math.inf else None, best.evaluated, finished, single)

    def _best(self, sets: Sets, below: float, budget: Budget) -> Best:
        if self.strategies.single(sets):
            space = mapspace(self.strategies.exact(sets), padded=self.padded)
        else:
            space = replace(self.strategies.space, design=self.strategies.machine(sets))
        task = Task(space=space, goal=Goal(objective=self.goal), method="optimal", budget=budget, below=below)
        if math.isfinite(below) and not self.strategies.single(sets):
            task = replace(task, enough=below)  # the set is cut anyway
        best = run_search(task)
        if best.stopped == "interrupted":
            raise KeyboardInterrupt
        return best

    def trial(self, sets: Sets, mapping: Mapping) -> float:
        """What a mapping costs at least under any strategy of the set; inf where it is not valid."""
        try:
            single = self.strategies.single(sets)
            design = design_of(self.strategies.exact(sets)) if single else self.strategies.machine(sets)
        except SpecError:
            return math.inf
        result = evaluate_mapping(design, mapping)
        columns: dict[str, Any] = {
            name: np.array([getattr(result, name)]) for name in ("energy_pj", "cycles", "area_um2", "utilization")
        }
        return float(self.goal.scalars(columns)[0]) if result.valid else math.inf


@final
class SetPool:
    """Bounds sets side by side; results come back in the order of the sets."""

    def __init__(self, bounder: SetBounder, workers: int) -> None:
        self.bounder, self.pool = bounder, None
        if workers > 1:
            self.pool = WorkerPool(workers, SetBounder, bounder.designs)

    def bounded(self, every: Sequence[Sets], below: float, left: Callable[[], Budget]) -> Generator[BoundedSet]:
        """The sets bounded, in their order; each has the budget that is left when it begins."""
        if self.pool is None:
            for sets in every:
                yield self.bounder.bounded(sets, below, left())
            return
        for future in [self.pool.submit(SetBounder.bounded, sets, below, left()) for sets in every]:
            yield future.result()

    def close(self) -> None:
        """Ends the workers."""
        if self.pool:
            self.pool.close()


@contextmanager
def bounding_pool(bounder: SetBounder, workers: int) -> Generator[SetPool]:
    """Workers for the time of a search."""
    pool = SetPool(bounder, workers)
    try:
        yield pool
    finally:
        pool.close()
