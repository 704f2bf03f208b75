"""The search: searcher, budget, workers and what is kept, spelled out once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from sparseloop.input.diagnostics import Diagnostic, SpecError, did_you_mean
from sparseloop.input.spec import Spec
from sparseloop.mapper.objectives import Objective, objective
from sparseloop.mapper.searchers import SEARCHERS, Searcher
from sparseloop.mapper.space.mapspace import Mapspace, mapspace
from sparseloop.mapper.task import CHUNK, Batch, Best, Budget, Goal, SearchTally, Task, Watch, silent
from sparseloop.mapper.workers import Evaluator, evaluator

DEFAULT_MAPPINGS = 200_000


# --- what is kept -------------------------------------------------------------------------------------------


# --- evaluation ---------------------------------------------------------------------------------------------


# --- the loop -----------------------------------------------------------------------------------------------


def run_search(task: Task, watch: Watch = silent) -> Best:
    """Runs a search: by a searcher of `SEARCHERS`, or by a method of its own."""
    if task.method in METHODS:
        return METHODS[task.method](task, watch)
    known_method(task.method)
    return ask_and_tell(task, SEARCHERS[task.method](task.space, task.seed), watch)


def ask_and_tell(task: Task, searcher: Searcher, watch: Watch = silent) -> Best:
    """Ask, evaluate, tell, until the budget is spent; an interrupt (Ctrl-C) ends it with what is there."""
    tally, stopped = SearchTally(task.space, task.goal), "budget"
    if task.space.size == 0:
        return tally.best(task, "done", complete=False)
    try:
        with evaluator(task) as workers:
            stopped = _loop(task, searcher, tally, workers, watch)
    except KeyboardInterrupt:
        stopped = "interrupted"
    return tally.best(task, stopped, complete=searcher.complete and stopped == "done")


def _loop(task: Task, searcher: Searcher, tally: SearchTally, workers: Evaluator, watch: Watch) -> str:
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

    from sparseloop.mapper.optimal.branch_and_bound import optimal

    method: Callable[[Task, Watch], Best] = optimal
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
    return run_search(Task(space=space, goal=goal, method=method, budget=budget_of(budget, method), seed=seed, workers=workers))


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
