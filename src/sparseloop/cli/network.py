"""All layers of a specification mapped: equal ones once, different ones side by side, finished ones kept."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparseloop.cli.map import Options, best_line, progress, settings, status_line, summary, task_of
from sparseloop.evaluation.cache_key import evaluation_key
from sparseloop.input.spec import Spec
from sparseloop.mapper.infeasibility import why_infeasible
from sparseloop.mapper.naming import unique_names
from sparseloop.mapper.saved import DamagedFile, SavedSearches, search_from_record, search_record
from sparseloop.mapper.search import run_search
from sparseloop.mapper.task import Best, silent
from sparseloop.mapper.workers import end_with_parent, held_back

INTERRUPTED = "not searched (interrupted)"
LOST = "not searched: a worker process ended unexpectedly (out of memory?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer with what was found for it."""

    spec: Spec
    name: str
    """As in the specification; of equal names the second is 'conv-2'."""
    best: Best | None = None
    """None: it was not searched."""
    same_as: str = ""
    """The layer that was searched in its place."""
    taken_from: str = ""
    """The folder in which it was finished before."""
    notes: tuple[str, ...] = ()
    """What is to be said about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one search, as data that crosses processes."""

    search: dict[str, Any]
    why: tuple[str, ...] = ()
    """Why nothing was found."""
    trouble: str = ""
    """Why it could not be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Layers that are equal but for their names: their places, the first of which is searched."""

    key: str
    members: tuple[int, ...]

    @property
    def first(self) -> int:
        """The layer that stands for all."""
        return self.members[0]


def mapped(specs: Sequence[Spec], options: Options, tell: Callable[[Layer], None]) -> list[Layer]:
    """Every layer in its place; `tell` hears of each as soon as it is known."""
    return Network(specs, options, tell).run()


class Network:
    """The layers of one command: which of them are equal, and what is known so far."""

    def __init__(self, specs: Sequence[Spec], options: Options, tell: Callable[[Layer], None]) -> None:
        self.options, self.tell = options, tell
        self.names = unique_names([spec.workload.name for spec in specs])
        self.tasks = [task_of(spec, options) for spec in specs]
        members: dict[str, list[int]] = {}
        for i, spec in enumerate(specs):
            members.setdefault(evaluation_key(spec, settings(options)), []).append(i)
        self.problems = [Problem(key=key, members=tuple(found)) for key, found in members.items()]
        self.warnings: dict[str, str] = {}
        self.layers: dict[int, Layer] = {}

    def run(self) -> list[Layer]:
        """First what is in the folder, then the searches."""
        waiting = [problem for problem in self.problems if not self._taken(problem)]
        if self.options.workers > 1 and len(waiting) > 1:
            self._side_by_side(waiting)
        else:
            self._one_by_one(waiting)
        return [self.layers[i] for i in range(len(self.tasks))]

    # --- what is known --------------------------------------------------------------------------------------

    def _taken(self, problem: Problem) -> bool:
        """True if the folder has it."""
        if self.options.resume is None:
            return False
        try:
            held = SavedSearches(Path(self.options.resume)).read(problem.key)
        except DamagedFile as damage:
            self.warnings[problem.key] = f"warning: {damage}: searched again"
            return False
        if held is not None:
            why = _why(search_from_record(held, self.tasks[problem.first]))
            self._settle(problem, Outcome(search=held, why=why), taken=self.options.resume)
        return held is not None

    def _settle(self, problem: Problem, outcome: Outcome | None, *, taken: str = "", lacking: str = INTERRUPTED) -> None:
        """Tells of all layers of a problem; no outcome: of none of them anything is known."""
        for i in problem.members:
            best = search_from_record(outcome.search, self.tasks[i]) if outcome else None
            same = self.names[problem.first] if i != problem.first else ""
            layer = Layer(spec=self.tasks[i].space.spec, name=self.names[i], best=best, same_as=same, taken_from=taken)
            lines = [lacking] if outcome is None else _lines(layer, outcome)
            if not same and problem.key in self.warnings:
                lines.insert(0, self.warnings[problem.key])
            prefix = f"{layer.name}: " if len(self.tasks) > 1 else ""
            layer = replace(layer, notes=tuple(prefix + line for line in lines))
            self.tell(layer)
            self.layers[i] = layer

    def _progress(self, running: Sequence[Problem]) -> str:
        """'2 of 6 layers done; searching conv3, conv4'; nothing if there is but one layer."""
        names = ", ".join(self.names[problem.first] for problem in running)
        return f"{len(self.layers)} of {len(self.tasks)} layers done; searching {names}" if len(self.tasks) > 1 else ""

    # --- searches -------------------------------------------------------------------------------------------

    def _one_by_one(self, waiting: Sequence[Problem]) -> None:
        """In this process; an interrupt ends the search under way and leaves the rest out."""
        interrupted = False
        for problem in waiting:
            outcome, line = None, self._progress([problem])
            try:
                if not interrupted:
                    with progress(f"{line}: " if line else "") as watch:
                        best = run_search(self.tasks[problem.first], watch)
                    interrupted = best.stopped == "interrupted"
                    outcome = kept(best, problem.key, self.options.resume)
                    outcome = replace(outcome, why=_why(best))
            except KeyboardInterrupt:
                interrupted = True
            self._settle(problem, outcome)

    def _side_by_side(self, waiting: Sequence[Problem]) -> None:
        """In worker processes, one layer each; workers left over help inside the layers."""
        count = min(self.options.workers, len(waiting))
        options = replace(self.options, workers=self.options.workers // count)
        left, running = deque(waiting), dict[Future[Outcome | None], Problem]()
        lacking = INTERRUPTED
        with _workers(count) as workers, status_line() as show:
            try:
                while left or running:
                    while left and len(running) < count:
                        problem = left.popleft()
                        spec = self.tasks[problem.first].space.spec
                        running[workers.started(spec, options, problem.key)] = problem
                    show(self._progress(list(running.values())))
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._settle(running[future], future.result())
                        del running[future]  # not before: an interrupt may come in between
            except KeyboardInterrupt:
                workers.interrupt(list(running))
            except BrokenProcessPool:
                lacking = LOST
        begun = {problem.key: future for future, problem in running.items()}
        for problem in waiting:
            if problem.members[-1] not in self.layers:
                self._settle(problem, _result(begun.get(problem.key)), lacking=lacking)


def _result(future: Future[Outcome | None] | None) -> Outcome | None:
    """What is there when the workers have ended."""
    done = future is not None and future.done() and not future.cancelled() and future.exception() is None
    return future.result() if future is not None and done else None


def _lines(layer: Layer, outcome: Outcome) -> list[str]:
    if layer.same_as:
        return [f"same as {layer.same_as}"]
    assert layer.best is not None
    lines = [f"taken from {layer.taken_from}", *best_line(layer.best)] if layer.taken_from else summary(layer.best)
    return [*lines, *outcome.why, *([f"warning: not kept: {outcome.trouble}"] if outcome.trouble else [])]


def _why(best: Best) -> tuple[str, ...]:
    """Why nothing was found; nobody waits for that after an interrupt."""
    if best.top:
        return ()
    if best.stopped == "interrupted":
        return (f"no valid mapping among {best.evaluated} evaluated",)
    return tuple(why_infeasible(best).lines())


def kept(best: Best, key: str, folder: str | None) -> Outcome:
    """A search as data, written into the folder if it is finished."""
    search, trouble = search_record(best), ""
    if folder is not None and best.stopped != "interrupted":
        try:
            SavedSearches(Path(folder)).write(key, best.task.space.spec.workload.name, search)
        except OSError as error:
            trouble = f"{folder}: {error.strerror}"
    return Outcome(search=search, trouble=trouble)


# --- worker processes ---------------------------------------------------------------------------------------

_worker = {"searching": False, "interrupted": False}
"""In a worker process: what it does, and whether it was told to stop."""


def _on_interrupt(number: int, frame: object) -> None:
    """The first interrupt ends a search that is under way; more may come, from the terminal and from the parent."""
    again, _worker["interrupted"] = _worker["interrupted"], True
    if _worker["searching"] and not again:
        raise KeyboardInterrupt


def _start_worker() -> None:
    signal.signal(signal.SIGINT, _on_interrupt)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    end_with_parent()


@contextmanager
def _interruptible() -> Generator[None]:
    _worker["searching"] = True
    try:
        yield
    finally:
        _worker["searching"] = False


def _in_worker(spec: Spec, options: Options, key: str) -> Outcome | None:
    """One layer; None if an interrupt came before there was anything. What is found is kept before it is explained."""
    outcome = None
    if not _worker["interrupted"]:
        try:
            with _interruptible():
                best = run_search(task_of(spec, options), silent)
            outcome = kept(best, key, options.resume)
            with _interruptible():
                outcome = replace(outcome, why=_why(best))
        except KeyboardInterrupt:
            pass
    return outcome


class _Workers:
    """Processes that search one layer each; spawned, because forks of a process with threads may hang."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.others = set(multiprocessing.active_children())
        self.pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker)

    def started(self, spec: Spec, options: Options, key: str) -> Future[Outcome | None]:
        """A layer under way."""
        with held_back():
            return self.pool.submit(_in_worker, spec, options, key)

    def interrupt(self, running: Sequence[Future[Outcome | None]]) -> None:
        """Lets every worker end its search with what it has; a second interrupt does not wait for that."""
        mine = [child for child in multiprocessing.active_children() if child not in self.others]
        try:
            for child in mine:
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGINT)
            wait(running)
        except KeyboardInterrupt:
            for child in mine:
                child.kill()


@contextmanager
def _workers(count: int) -> Generator[_Workers]:
    workers = _Workers(count)
    try:
        yield workers
    finally:
        workers.pool.shutdown(cancel_futures=True)
