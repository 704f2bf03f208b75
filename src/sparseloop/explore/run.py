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
from sparseloop.explore.point import Job, JobOutcome
from sparseloop.explore.reuse import EvaluationCache, Identity
from sparseloop.explore.samplers import SAMPLERS, Feedback, Point, Sampler
from sparseloop.explore.store import Row, Store, TableRow, Writer
from sparseloop.explore.transfer import Hint, bandwidth_parameters, widest_point

TASK_SECONDS, LARGEST_TASK = 0.5, 4096
"""Jobs are submitted together until they take about that long, at most that many."""
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
        self._has = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=bool)
        self._has[numbers] = True

    def __contains__(self, number: int) -> bool:
        return number < len(self._has) and bool(self._has[number])


Finished = dict[int, Feedback] | PointNumbers
"""The points that earlier runs finished; with what came of them if the sampler learns."""


def with_proof(job: Job, hint: Hint, row: Row | None) -> Job:
    """A job with the proof that the row of its neighbour holds, if it holds one."""
    if row is None or not row["proven"] or not row["valid"] or row["value"] is None:
        return replace(job, hint=None)
    return replace(job, hint=Hint(hint.spec, row["value"], row["mapping"]))


@dataclass
class _Pending:
    """A point under way."""

    number: int
    values: Point
    rows: list[Row | None]
    """By workload."""
    left: int
    """Workloads not yet evaluated."""
    why: dict[int, str] = field(default_factory=dict[int, str])
    """By workload."""
    faulty: bool = False


class Sweep:
    """One run of a study into a store."""

    def __init__(
        self, definition: StudyDefinition, store: Store, cache: EvaluationCache, executor: Executor, watch: Watch
    ) -> None:  # fmt: skip
        self.designs, self.store = definition.designs, store
        self.executor, self.watch, self.cache = executor, watch, cache
        self.aggregation = Aggregation(definition)
        search = definition.spec.search
        goals = definition.objectives if definition.spec.pareto else definition.objectives[:1]
        self.sampler: Sampler = SAMPLERS[search.method](self.designs.space, search, len(goals))
        self.columns = [self.aggregation.columns[one.name] for one in goals]
        self.tally = StudyTally(self.sampler.total)
        self.queue: deque[Job] = deque()
        self.pending: dict[int, _Pending] = {}
        """Points under way, by number."""
        self.feedback: dict[int, Feedback] = {}
        """What came of points that the sampler has not been told yet, by number."""
        self.equal: dict[Identity, list[Job]] = {}
        """Jobs that wait for an equal one under way, by what identifies that."""
        self.identities: dict[tuple[int, int], Identity] = {}
        """Of jobs under way, by point and workload."""
        transfers = search.method == "grid" and not self.designs.fixed
        self.bandwidths = bandwidth_parameters(self.designs.space) if transfers else ()
        self.behind: dict[Identity, list[Job]] = {}
        """Jobs that wait for their neighbour with the largest bandwidths, by what identifies that."""
        self.job_seconds = 0.0
        """Running mean of what a job takes."""

    def run(self, study: str) -> StudyTally:
        """Until all points are finished; an interrupt leaves what is finished in the store."""
        before, number = self._finished_before(), 0
        with Writer(self.store, study) as self.writer:
            while portion := self.sampler.ask():
                points = list(enumerate(portion, number))
                number += len(portion)
                for point_number, values in points:
                    self._enter(point_number, values, before)
                self._work(everything=self.sampler.learns)
                if self.sampler.learns:
                    self.sampler.tell([self.feedback.pop(point_number) for point_number, _ in points])
            self._work(everything=True)
        self.store.compact(study)
        self.watch(self.tally)
        return self.tally

    def _finished_before(self) -> Finished:
        if not self.sampler.learns:
            table = self.store.points(["point", "valid", self.columns[0]])
            valid = np.asarray(table["valid"].fill_null(False))
            values = np.asarray(table[self.columns[0]], dtype=float)[valid]
            self.tally.valid = int(valid.sum())
            self.tally.best = float(np.nanmin(values)) if len(values) else math.inf
            self.tally.before = self.tally.points = len(valid)
            return PointNumbers(np.asarray(table["point"]))
        finished: dict[int, Feedback] = {}
        for row in self.store.points(["point", "valid", *self.columns]).to_pylist():
            finished[row["point"]] = self._feedback_of(row)
            self._count(row)
        self.tally.before = self.tally.points
        return finished

    # --- points become jobs ---------------------------------------------------------------------------------

    def _enter(self, number: int, values: Point, before: Finished) -> None:
        """A point that was asked: finished, refused, or made jobs of."""
        if number in before:
            if isinstance(before, dict):
                self.feedback[number] = before[number]
            return
        if broken := self.aggregation.refused(values):
            self._finish(self.aggregation.row(number, values, [], [broken]))
            return
        count = len(self.designs.workloads)
        self.pending[number] = _Pending(number, values, [None] * count, count)
        for workload in range(count):
            self._begin(Job(number, workload, values))

    def _begin(self, job: Job) -> None:
        """Evaluates a job, unless an equal one is known or under way."""
        prepared = self.cache.prepared(job)
        identity = prepared.identity
        if identity is not None:
            if (row := self.cache.row(identity)) is not None:
                self.tally.reused += 1
                self._settle(JobOutcome(job, row), new=self.cache.foreign(identity))
                return
            if identity in self.equal:
                self.equal[identity].append(job)
                return
            self.equal[identity] = []
            self.identities[job.point, job.workload] = identity
        self._queue(prepared.job)

    def _queue(self, job: Job) -> None:
        """A job is done after its neighbour with the largest bandwidths, whose proof may hold for it too."""
        widest = widest_point(job.values, self.bandwidths) if self.bandwidths else job.values
        if widest == job.values or self.aggregation.refused(widest):
            self.queue.append(job)
            return
        neighbour = self.cache.prepared(Job(-1, job.workload, widest))
        if neighbour.identity is None or neighbour.job.spec is None:
            self.queue.append(job)
            return
        hint, row = Hint(neighbour.job.spec, 0.0, ""), self.cache.row(neighbour.identity)
        if row is not None:
            self.queue.append(with_proof(job, hint, row))
        else:
            self.behind.setdefault(neighbour.identity, []).append(replace(job, hint=hint))

    # --- jobs become rows -----------------------------------------------------------------------------------

    def _work(self, *, everything: bool) -> None:
        """Keeps the workers busy; returns when nothing is left to be submitted, or when everything is finished."""
        while self.queue or (everything and (self.executor.busy or self.behind)):
            if not self.queue and not self.executor.busy:  # their neighbours make no designs
                self._release(next(iter(self.behind)), None)
            while self.queue and self.executor.busy < AHEAD * self.executor.capacity:
                size = min(len(self.queue), self._task_size())
                self.executor.submit(tuple(self.queue.popleft() for _ in range(size)))
            for outcome in self.executor.collect():
                self._take_outcome(outcome)
            self.watch(self.tally)

    def _task_size(self) -> int:
        if not self.designs.fixed or not self.job_seconds:
            return 1
        return max(1, min(LARGEST_TASK, int(TASK_SECONDS / self.job_seconds)))

    def _take_outcome(self, outcome: JobOutcome) -> None:
        """An evaluation, for its point and for all that wait for the same."""
        self.tally.evaluated += 1
        if outcome.row is not None:
            self.job_seconds += 0.1 * (outcome.row["seconds"] - self.job_seconds)
        identity = self.identities.pop((outcome.job.point, outcome.job.workload), None)
        if identity is not None and outcome.row is not None:
            self.cache.learn(identity, outcome.row)
            self._release(identity, outcome.row)
        self._settle(outcome, new=True)
        for job in self.equal.pop(identity, ()) if identity is not None else ():
            self.tally.reused += outcome.row is not None
            self._settle(JobOutcome(job, outcome.row, outcome.wrong, outcome.fault), new=False)

    def _release(self, identity: Identity, row: Row | None) -> None:
        """Queues the jobs that waited for a neighbour: it is finished, or makes no design."""
        for job in self.behind.pop(identity, ()):
            assert job.hint is not None
            self.queue.append(with_proof(job, job.hint, row))

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
        rows = [TableRow("evaluations", outcome.row)] if new and outcome.row is not None else []
        if pending.left:
            self.writer.add(rows)
            return
        del self.pending[pending.number]
        if pending.faulty:
            self.writer.add(rows)
            self.feedback[pending.number] = Feedback(None, False)
        else:
            reasons = [pending.why[workload] for workload in sorted(pending.why)]
            self._finish(self.aggregation.row(pending.number, pending.values, pending.rows, reasons), rows)

    def _finish(self, row: Row, rows: Iterable[TableRow] = ()) -> None:
        self.writer.add([*rows, TableRow("points", row)])
        self._count(row)
        if self.sampler.learns:
            self.feedback[row["point"]] = self._feedback_of(row)

    def _count(self, row: Row) -> None:
        self.tally.points += 1
        if row["valid"]:
            self.tally.valid += 1
            self.tally.best = min(self.tally.best, row[self.columns[0]])

    def _feedback_of(self, row: Row) -> Feedback:
        values: Sequence[Any] = [row.get(name) for name in self.columns]
        return Feedback(None if None in values else tuple(values), bool(row["valid"]))
