"""A study run: points asked, evaluated somewhere, combined over workloads, kept. The answers depend on no worker."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.explore.aggregate import Aggregation
from sparseloop.explore.definition import StudyDefinition
from sparseloop.explore.executors import Executor
from sparseloop.explore.point import FIXED, Job, JobOutcome
from sparseloop.explore.reuse import EvaluationCache
from sparseloop.explore.samplers import SAMPLERS, Feedback, Point, Sampler
from sparseloop.explore.space import Values
from sparseloop.explore.store import Row, Store, Table, Writer
from sparseloop.explore.transfer import Hint, bandwidth_parameters, widest_point

TASK_SECONDS, LARGEST_TASK = 0.5, 256
"""Jobs that are done together take about so long, and are at most so many."""
AHEAD = 2
"""Submissions under way for every worker: one is done, one waits."""


@dataclass
class StudyTally:
    """How a study proceeds."""

    total: int | None
    started: float = field(default_factory=time.monotonic)
    points: int = 0
    """Points that are finished, those of earlier runs included."""
    before: int = 0
    """Of these, finished by earlier runs."""
    valid: int = 0
    evaluated: int = 0
    """Designs and workloads evaluated by this run."""
    reused: int = 0
    """Those that were known."""
    faults: list[str] = field(default_factory=list[str])
    """What went wrong in evaluations that are not kept, so that they are tried again."""
    wrong: list[str] = field(default_factory=list[str])
    """The first reasons why points make no design."""
    best: float = math.inf
    """Of the first objective."""

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started


Watch = Callable[[StudyTally], None]


class PointNumbers:
    """A set of numbers of points, one byte each."""

    def __init__(self, numbers: npt.NDArray[np.int64]) -> None:
        self._held = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=bool)
        self._held[numbers] = True

    def __contains__(self, number: int) -> bool:
        return number < len(self._held) and bool(self._held[number])


def hinted(job: Job, values: Values, row: Row | None) -> Job:
    """A job with the proof of its neighbour, if there is one."""
    if row is None or not row["proven"] or not row["valid"] or row["value"] is None:
        return replace(job, hint=None)
    return replace(job, hint=Hint(values, row["value"], row["mapping"]))


@dataclass
class _Pending:
    """A point under way."""

    number: int
    values: Point
    rows: list[Row | None]
    left: int
    why: dict[int, str] = field(default_factory=dict[int, str])
    """By workload."""
    faulty: bool = False


class Sweep:
    """One run of a study into a store."""

    def __init__(
        self, definition: StudyDefinition, store: Store, known: EvaluationCache, executor: Executor, watch: Watch
    ) -> None:
        self.definition, self.designs, self.store = definition, definition.designs, store
        self.executor, self.watch, self.known = executor, watch, known
        self.combined = Aggregation(definition)
        search = definition.spec.search
        goals = definition.objectives if definition.spec.pareto else definition.objectives[:1]
        self.search: Sampler = SAMPLERS[search.method](self.designs.space, search, len(goals))
        self.columns = [self.combined.columns[one.name] for one in goals]
        self.tally = StudyTally(self.search.total)
        self.queue: deque[Job] = deque()
        self.pending: dict[int, _Pending] = {}
        self.told: dict[int, Feedback] = {}
        self.waiting: dict[Any, list[Job]] = {}
        """Jobs that are equal to one under way, by what identifies that."""
        self.identity: dict[tuple[int, int], Any] = {}
        self.lines = (
            bandwidth_parameters(self.designs.space) if search.method == "grid" and self.designs.mapper.method != FIXED else ()
        )
        self.leaning: dict[Any, list[Job]] = {}
        """Jobs whose richer neighbour is not finished, by what identifies that."""
        self.job_seconds = 0.0

    def run(self, study: str) -> StudyTally:
        """Until all points are finished; an interrupt leaves what is finished in the store."""
        before, number = self._finished_before(), 0
        with Writer(self.store, study) as self.writer:
            while portion := self.search.ask():
                points = list(enumerate(portion, number))
                number += len(portion)
                for one in points:
                    self._enter(*one, before)
                self._work(everything=self.search.learns)
                if self.search.learns:
                    self.search.tell([self.told.pop(n) for n, _ in points])
            self._work(everything=True)
        self.store.compact(study)
        self.watch(self.tally)
        return self.tally

    def _finished_before(self) -> dict[int, Feedback] | PointNumbers:
        """The points that earlier runs finished; with what came of them if the search learns."""
        if not self.search.learns:
            table = self.store.points(["point", "valid", self.columns[0]])
            valid = np.asarray(table["valid"].fill_null(False))
            values = np.asarray(table[self.columns[0]], dtype=float)[valid]
            self.tally.valid = int(valid.sum())
            self.tally.best = float(np.nanmin(values)) if len(values) else math.inf
            self.tally.before = self.tally.points = len(valid)
            return PointNumbers(np.asarray(table["point"]))
        found: dict[int, Feedback] = {}
        for row in self.store.points(["point", "valid", *self.columns]).to_pylist():
            found[row["point"]] = self._told(row)
            self._count(row)
        self.tally.before = self.tally.points
        return found

    # --- points ---------------------------------------------------------------------------------------------

    def _enter(self, number: int, values: Point, before: dict[int, Feedback] | PointNumbers) -> None:
        """A point that was asked: finished, refused, or made jobs of."""
        if number in before:
            if isinstance(before, dict):
                self.told[number] = before[number]
            return
        if broken := self.combined.refused(values):
            self._finish(self.combined.row(number, values, [], [broken]))
            return
        count = len(self.designs.workloads)
        self.pending[number] = _Pending(number, values, [None] * count, count)
        for workload in range(count):
            self._job(Job(number, workload, values))

    def _job(self, job: Job) -> None:
        """Evaluates a job, unless an equal one is known or under way."""
        identity = self.known.identity(self.designs, job)
        if identity is not None:
            if (row := self.known.row(identity)) is not None:
                self.tally.reused += 1
                self._settle(JobOutcome(job, row), new=self.known.foreign(identity))
                return
            if identity in self.waiting:
                self.waiting[identity].append(job)
                return
            self.waiting[identity] = []
            self.identity[job.point, job.workload] = identity
        self._queue(job)

    def _queue(self, job: Job) -> None:
        """A job is done after its neighbour with the largest bandwidths, whose proof may hold for it too."""
        rich = widest_point(job.values, self.lines) if self.lines else job.values
        if rich == job.values or self.combined.refused(rich):
            self.queue.append(job)
            return
        neighbour = self.known.identity(self.designs, Job(-1, job.workload, rich))
        row = None if neighbour is None else self.known.row(neighbour)
        if neighbour is None or row is not None:
            self.queue.append(hinted(job, rich, row))
        else:
            self.leaning.setdefault(neighbour, []).append(replace(job, hint=Hint(rich, 0.0, "")))

    def _work(self, *, everything: bool) -> None:
        """Keeps the workers busy; returns when nothing is left to be submitted, or when everything is finished."""
        while self.queue or (everything and (self.executor.busy or self.leaning)):
            if not self.queue and not self.executor.busy:  # their neighbours make no designs
                self._lean(next(iter(self.leaning)), None)
            while self.queue and self.executor.busy < AHEAD * self.executor.capacity:
                size = min(len(self.queue), self._task_size())
                self.executor.submit(tuple(self.queue.popleft() for _ in range(size)))
            for _, outcomes in self.executor.collect():
                for outcome in outcomes:
                    self._finished(outcome)
            self.watch(self.tally)

    def _task_size(self) -> int:
        if self.designs.mapper.method != FIXED or not self.job_seconds:
            return 1
        return max(1, min(LARGEST_TASK, int(TASK_SECONDS / self.job_seconds)))

    def _finished(self, outcome: JobOutcome) -> None:
        """An evaluation, for its point and for all that wait for the same."""
        self.tally.evaluated += 1
        if outcome.row is not None:
            self.job_seconds += 0.1 * (outcome.row["seconds"] - self.job_seconds)
        identity = self.identity.pop((outcome.job.point, outcome.job.workload), None)
        if identity is not None and outcome.row is not None:
            self.known.learn(identity, outcome.row)
            self._lean(identity, outcome.row)
        self._settle(outcome, new=True)
        for job in self.waiting.pop(identity, ()) if identity is not None else ():
            self.tally.reused += outcome.row is not None
            self._settle(JobOutcome(job, outcome.row, outcome.wrong, outcome.fault), new=False)

    def _lean(self, identity: Any, row: Row | None) -> None:
        """The neighbour of some jobs is finished."""
        for job in self.leaning.pop(identity, ()):
            assert job.hint is not None
            self.queue.append(hinted(job, job.hint.values, row))

    def _settle(self, outcome: JobOutcome, *, new: bool) -> None:
        """Keeps an evaluation, and its point if it was the last one."""
        pending = self.pending[outcome.job.point]
        pending.rows[outcome.job.workload] = outcome.row
        pending.left -= 1
        name = self.designs.workloads[outcome.job.workload].name
        if outcome.wrong:
            pending.why[outcome.job.workload] = f"{name}: {outcome.wrong}"
            if len(self.tally.wrong) < 3 and outcome.wrong not in self.tally.wrong:
                self.tally.wrong.append(outcome.wrong)
        if outcome.fault:
            pending.faulty = True
            self.tally.faults.append(f"point {pending.number}, {name}: {outcome.fault}")
        rows: list[tuple[Table, Row]] = [("evaluations", outcome.row)] if new and outcome.row is not None else []
        if pending.left:
            self.writer.add(rows)
            return
        del self.pending[pending.number]
        row = self.combined.row(pending.number, pending.values, pending.rows, [pending.why[i] for i in sorted(pending.why)])
        if pending.faulty:
            self.writer.add(rows)
            self.told[pending.number] = Feedback(None, False)
        else:
            self._finish(row, rows)

    def _finish(self, row: Row, rows: Iterable[tuple[Table, Row]] = ()) -> None:
        self.writer.add([*rows, ("points", row)])
        self._count(row)
        if self.search.learns:
            self.told[row["point"]] = self._told(row)

    def _count(self, row: Row) -> None:
        self.tally.points += 1
        if row["valid"]:
            self.tally.valid += 1
            self.tally.best = min(self.tally.best, row[self.columns[0]])

    def _told(self, row: Row) -> Feedback:
        values: Sequence[Any] = [row.get(name) for name in self.columns]
        return Feedback(None if None in values else tuple(values), bool(row["valid"]))
