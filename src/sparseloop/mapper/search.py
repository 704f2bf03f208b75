"""`sl.search`: the best mapping of one mapspace, by one of the methods."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from sparseloop.input.diagnostics import Diagnostic, Natural, Positive, SpecError, check_arguments, did_you_mean
from sparseloop.input.spec import Spec
from sparseloop.mapper.batch_evaluator import BatchEvaluator, Glance, Pending, batch_evaluator
from sparseloop.mapper.objectives import Objective, objective
from sparseloop.mapper.optimal.branch_and_bound import optimal, provable
from sparseloop.mapper.options import AUTO, DEFAULT_MAPPINGS, parse_budget
from sparseloop.mapper.searchers import SEARCHERS, Genetic, Searcher
from sparseloop.mapper.space.mapspace import Mapspace, mapspace
from sparseloop.mapper.task import CHUNK, Batch, Best, Budget, Goal, SearchTally, Task, Watch, silent

GLANCE = 0.2
"""Seconds that a batch may take under a budget of time."""

Method = Callable[[Task, Watch], Best]


def ask_and_tell(make: Callable[[Mapspace, int], Searcher], task: Task, watch: Watch = silent) -> Best:
    """Ask a searcher, evaluate, tell it, until the budget is spent; an interrupt (Ctrl-C) ends the search with what is there."""
    searcher = make(task.space, task.seed)
    tally, stopped = SearchTally(task), "budget"
    if task.space.size == 0:
        return tally.best("done", complete=False)
    try:
        with batch_evaluator(task) as evaluator:
            stopped = _loop(searcher, tally, evaluator, watch)
    except KeyboardInterrupt:
        stopped = "interrupted"
    return tally.best(stopped, complete=searcher.complete and stopped == "done")


def _loop(searcher: Searcher, tally: SearchTally, evaluator: BatchEvaluator, watch: Watch) -> str:
    """Keeps as many batches under way as the searcher allows; why it ended."""
    task = evaluator.task
    ahead = 1 if searcher.learns else max(1, task.workers)
    glance = Glance(None if task.budget.seconds is None else GLANCE, CHUNK)
    waiting: deque[tuple[Batch, Pending]] = deque()
    asked_for, limit, stopped = 0, task.budget.mappings, "budget"
    open_ended = True
    while open_ended or waiting:
        while open_ended and len(waiting) < ahead:
            count = glance.mappings if limit is None else min(glance.mappings, limit - asked_for)
            batch = searcher.ask(count) if count > 0 else None
            if batch is None:
                open_ended, stopped = False, "budget" if count <= 0 else "done"
                break
            asked_for += len(batch)
            waiting.append((batch, evaluator.begin(batch)))
        if waiting:
            batch, pending = waiting.popleft()
            begun = tally.seconds
            columns = evaluator.columns(batch, pending)
            glance.took(len(batch), tally.seconds - begun)
            tally.add(batch, columns)
            cost = np.where(columns["status"] == 0, task.goal.objective.scalars(columns), np.inf)
            searcher.tell(batch, cost)
            watch(tally)
        if task.budget.seconds is not None and tally.seconds >= task.budget.seconds:
            return "budget"
    return stopped


def auto(task: Task, watch: Watch = silent) -> Best:
    """`optimal` where bounds can tell anything or everything can be evaluated, else the genetic search."""
    if provable(task):
        return optimal(task, watch)
    limits = (
        replace(task.budget, seconds=None, mappings=DEFAULT_MAPPINGS)
        if replace(task.budget, memory_bytes=AUTO.memory_bytes) == AUTO
        else task.budget
    )
    return ask_and_tell(Genetic, replace(task, budget=limits), watch)


METHODS: Mapping[str, Method] = {
    "auto": auto,
    **{name: partial(ask_and_tell, make) for name, make in SEARCHERS.items()},
    "optimal": optimal,
}
"""Ways to search, by name."""


def known_method(name: str) -> str:
    """The name of a method; `SpecError` if there is no such method."""
    if name not in METHODS:
        raise SpecError([Diagnostic(message=f"unknown method '{name}'", hint=did_you_mean(name, METHODS))])
    return name


def run_search(task: Task, watch: Watch = silent) -> Best:
    """Runs a search by its method; `watch` hears of every batch."""
    return METHODS[known_method(task.method)](task, watch)


def search(
    spec: Spec | Mapspace,
    *,
    minimize: str | Objective | Goal = "edp",
    method: str = "auto",
    budget: int | float | str | Budget | None = None,
    seed: Natural = 0,
    workers: Positive = 1,
) -> Best:
    """The best mapping of a specification of one layer, or of a `Mapspace`.

    `minimize` is an objective as with `map` ('edp' in pJ*cycles, 'energy' in pJ, 'cycles', '0.7*energy + cycles'), an `Objective`
    or a `Goal`. `budget` is a number of mappings (100_000), a time ('10s'), or a `Budget`. The method `auto` proves the optimum
    within a budget of 20 s, and gives the best known mapping with its gap where that does not suffice; `best.proven_optimal` and
    `best.gap` say how good it is. The same `seed` gives the same answer, unless the budget is a time. With `workers` above 1 a
    script needs `if __name__ == "__main__":`, for worker processes import it. Where nothing fits, `best.mapping` is None. Raises
    `SpecError` for unknown names and for several layers (`map_network` takes these).

    >>> best = search(load("matmul.yaml"), minimize="energy", method="random", budget=1000)
    >>> best.evaluated, best.result.valid, best.proven_optimal
    (1000, True, False)
    """
    check_arguments(search, locals())
    goal = minimize if isinstance(minimize, Goal) else Goal(objective=objective(minimize))
    space = spec if isinstance(spec, Mapspace) else mapspace(spec)
    limits = parse_budget(budget, known_method(method))
    return run_search(Task(space=space, goal=goal, method=method, budget=limits, seed=seed, workers=workers))
