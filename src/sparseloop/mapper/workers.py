"""Batches of mappings evaluated in pieces, here or in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.input.spec import Spec
from sparseloop.mapper.space.mapspace import Mapspace, mapspace
from sparseloop.mapper.task import Batch, Task
from sparseloop.model.design.mapping import MappingBatch, Sample

PIECE = 8192
"""Mappings evaluated by one worker at a time."""


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
