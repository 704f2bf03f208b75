"""The search: searcher, budget, workers and what is kept, spelled out once."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .api import design_of, evaluate_design
from .distinct import key_of
from .errors import Diagnostic, SpecError, Status, did_you_mean
from .mapping import Mapping, MappingBatch, Sample
from .mapspace import Mapspace, mapspace
from .objectives import Columns, Objective, objective, pareto
from .result import Result
from .searchers import SEARCHERS, Batch, Searcher
from .spec import Spec

CHUNK = 16384
"""Mappings asked at a time: the same for every number of workers."""
PIECE = 8192
"""Mappings evaluated by one worker at a time."""
DEFAULT_MAPPINGS = 200_000


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
class Found:
    """A mapping with the values of what was minimized."""

    mapping: Mapping
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Best:
    """What a search found; `mapping` and `result` are None where no valid mapping was met."""

    task: Task
    top: tuple[Found, ...]
    """The best mappings, best first."""
    front: tuple[Found, ...] = ()
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

    def evaluated_as(self, found: Found) -> Result:
        """The whole breakdown of one of the mappings found."""
        design = design_of(self.task.space.spec)
        return evaluate_design(replace(design, mapping=found.mapping), found.mapping)


class Watch(Protocol):
    """Shows how a search proceeds."""

    def __call__(self, tally: Tally, budget: Budget) -> None:
        """After every batch."""
        ...


def silent(tally: Tally, budget: Budget) -> None:
    """Shows nothing."""


# --- what is kept -------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Folds batches in the order in which they were asked: counts, the best, the front."""

    space: Mapspace
    goal: Goal
    started: float = field(default_factory=time.monotonic)
    evaluated: int = 0
    valid: int = 0
    failures: dict[Status, int] = field(default_factory=dict[Status, int])
    top: list[Found] = field(default_factory=list[Found])
    front: list[Found] = field(default_factory=list[Found])
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
        known = {key_of(self.space, one.mapping) for one in self.top}
        found = list(self.top)
        for i in np.lexsort((np.arange(len(good)), *reversed(values))):
            mapping, mine = batch[int(good[i])], tuple(float(v) for v in values[:, i])
            if len(found) >= 2 * self.goal.top or (len(self.top) >= self.goal.top and mine >= self.top[-1].values):
                break
            if (key := key_of(self.space, mapping)) not in known:
                known.add(key)
                found.append(Found(mapping, mine))
        self.top = sorted(found, key=lambda one: one.values)[: self.goal.top]

    def _add_front(self, batch: Batch, good: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        mine = [Found(batch[int(good[i])], tuple(float(v) for v in values[:, i])) for i in pareto(values)]
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


# --- evaluation ---------------------------------------------------------------------------------------------

_workspace: dict[str, Mapspace] = {}


def end_with_parent() -> None:
    """In a worker process: it ends when its parent is killed; left to itself it would wait for work for ever."""
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def held_back() -> Generator[None]:
    """A process started meanwhile is deaf to interrupts until it can answer them; Windows knows no such masks."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(spec: Spec, padded: bool) -> None:
    """In a worker process: the mapspace, once; interrupts are the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    _workspace["space"] = mapspace(spec, padded=padded)


def _in_worker(piece: Sample, needs: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    return _workspace["space"].columns(piece, needs)


def _pieces(parts: Sequence[MappingBatch]) -> Iterator[Sample]:
    """The mappings of all parts in their order, PIECE at a time."""
    some, left = list[MappingBatch](), PIECE
    for part in parts:
        start = 0
        while start < len(part):
            some.append(part.chosen(slice(start, start + left)))
            start += len(some[-1])
            left -= len(some[-1])
            if not left:
                yield Sample.listed(some)
                some, left = [], PIECE
    if some:
        yield Sample.listed(some)


class Evaluator:
    """Evaluates batches in pieces of fixed size, here or in worker processes; results come back in order."""

    def __init__(self, task: Task) -> None:
        self.task, self.pool = task, None
        if task.workers > 1:
            initial = (task.space.spec, task.space.padded)
            self.pool = ProcessPoolExecutor(task.workers, initializer=_start_worker, initargs=initial)

    def started(self, batch: Batch) -> list[Future[Any] | Sample]:
        """The pieces of a batch, under way in the workers if there are any."""
        pieces = list(_pieces(batch.parts if isinstance(batch, Sample) else (batch,)))
        if self.pool is None:
            return list(pieces)
        with held_back():
            return [self.pool.submit(_in_worker, piece, self.task.goal.needs) for piece in pieces]

    def finished(self, batch: Batch, pieces: list[Future[Any] | Sample]) -> dict[str, npt.NDArray[Any]]:
        """The columns of a batch in its own order."""
        space, needs = self.task.space, self.task.goal.needs
        done = [piece.result() if isinstance(piece, Future) else space.columns(piece, needs) for piece in pieces]
        columns = {name: np.concatenate([part[name] for part in done]) for name in needs}
        if isinstance(batch, Sample):
            columns = {name: column[batch.place] for name, column in columns.items()}
        area = sum(level.area_um2 * level.instances for level in space.design.arch.levels)
        return columns | {"area_um2": np.full(len(batch), area)}

    def close(self) -> None:
        """Ends the workers."""
        if self.pool:
            self.pool.shutdown(cancel_futures=True)


@contextmanager
def evaluator(task: Task) -> Generator[Evaluator]:
    """Workers for the time of a search."""
    made = Evaluator(task)
    try:
        yield made
    finally:
        made.close()


# --- the loop -----------------------------------------------------------------------------------------------


def run(task: Task, watch: Watch = silent) -> Best:
    """Runs a search: by a searcher of `SEARCHERS`, or by a method of its own."""
    if task.method in METHODS:
        return METHODS[task.method](task, watch)
    known_method(task.method)
    return asked(task, SEARCHERS[task.method](task.space, task.seed), watch)


def asked(task: Task, searcher: Searcher, watch: Watch = silent) -> Best:
    """Ask, evaluate, tell, until the budget is spent; an interrupt (Ctrl-C) ends it with what is there."""
    tally, stopped = Tally(task.space, task.goal), "budget"
    if task.space.size == 0:
        return tally.best(task, "done", complete=False)
    try:
        with evaluator(task) as workers:
            stopped = _loop(task, searcher, tally, workers, watch)
    except KeyboardInterrupt:
        stopped = "interrupted"
    return tally.best(task, stopped, complete=searcher.complete and stopped == "done")


def _loop(task: Task, searcher: Searcher, tally: Tally, workers: Evaluator, watch: Watch) -> str:
    """Keeps as many batches under way as the searcher allows."""
    ahead = 1 if searcher.learns else max(1, task.workers)
    waiting: deque[tuple[Batch, list[Any]]] = deque()
    asked_for, limit, stopped = 0, task.budget.mappings, "budget"
    open_ended = True
    while open_ended or waiting:
        while open_ended and len(waiting) < ahead:
            count = CHUNK if limit is None else min(CHUNK, limit - asked_for)
            batch = searcher.ask(count) if count > 0 else None
            if batch is None:
                open_ended, stopped = False, "budget" if count <= 0 else "done"
                break
            asked_for += len(batch)
            waiting.append((batch, workers.started(batch)))
        if waiting:
            batch, pieces = waiting.popleft()
            columns = workers.finished(batch, pieces)
            tally.add(batch, columns)
            cost = np.where(columns["status"] == 0, task.goal.objective.scalars(columns), np.inf)
            searcher.tell(batch, cost)
            watch(tally, task.budget)
        if task.budget.seconds is not None and tally.seconds >= task.budget.seconds:
            return "budget"
    return stopped


def _optimal(task: Task, watch: Watch) -> Best:
    """The provably best mapping; imported where it is used."""
    from importlib import import_module

    method: Callable[[Task, Watch], Best] = import_module(".optimal", __package__).optimal
    return method(task, watch)


METHODS: dict[str, Callable[[Task, Watch], Best]] = {"optimal": _optimal}
"""Methods that are no ask-and-tell searchers."""


def known_method(name: str) -> str:
    """The name of a method; `SpecError` if there is none such."""
    known = (*SEARCHERS, *METHODS)
    if name not in known:
        raise SpecError([Diagnostic(message=f"unknown method '{name}'", hint=did_you_mean(name, known))])
    return name


# --- what users call ----------------------------------------------------------------------------------------


def search(
    spec: Spec | Mapspace,
    *,
    minimize: str | Objective | Goal = "edp",
    method: str = "random",
    budget: int | float | str | Budget | None = None,
    seed: int = 0,
    workers: int = 1,
) -> Best:
    """The best mapping of a specification or mapspace; `budget` in mappings (100_000), in seconds ('10s'), or a `Budget`."""
    goal = minimize if isinstance(minimize, Goal) else Goal(objective=objective(minimize))
    space = spec if isinstance(spec, Mapspace) else mapspace(spec)
    return run(Task(space=space, goal=goal, method=method, budget=budget_of(budget, method), seed=seed, workers=workers))


def budget_of(given: int | float | str | Budget | None, method: str) -> Budget:
    """'100k', 100_000: mappings; '10s', '2min': seconds; nothing: until done (exhaustive, optimal), else 200 000 mappings."""
    if isinstance(given, Budget):
        return given
    if given is None:
        return Budget() if method in ("exhaustive", *METHODS) else Budget(mappings=DEFAULT_MAPPINGS)
    text = str(given).strip().lower().replace("_", "").replace(" ", "")
    units = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :]
    scale = {"": 1, "k": 1000, "m": 1_000_000}
    try:
        value = float(number) * (units[unit] if unit in units else scale[unit])
        if not math.isfinite(value):
            raise ValueError
    except (ValueError, KeyError):
        raise SpecError(
            [Diagnostic(message=f"cannot read the budget '{given}'", hint="mappings: 100k; or time: 10s, 2min")]
        ) from None
    if value <= 0 or (unit in scale and value < 1):
        raise SpecError([Diagnostic(message=f"a budget of '{given}' allows no search", hint="at least one mapping, or 0.1s")])
    return Budget(seconds=value) if unit in units else Budget(mappings=int(value))
