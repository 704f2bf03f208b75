"""Batches of mappings evaluated in pieces of fixed size, here or in worker processes, with the same answer."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.objectives import Columns
from sparseloop.mapper.space.mapspace import Mapspace
from sparseloop.mapper.task import Batch, Task
from sparseloop.mapper.workers import WorkerPool
from sparseloop.model.design.mapping import MappingBatch, Sample

PIECE = 8192
"""Mappings evaluated by one worker at a time."""

Pending = list[Future[Columns] | Sample]
"""The pieces of a batch: under way in workers, or still to be evaluated here."""


def _same_space(space: Mapspace) -> Mapspace:
    """What a worker holds: the mapspace of the task, its design included."""
    return space


def _columns(space: Mapspace, piece: Sample, needs: tuple[str, ...]) -> Columns:
    return space.columns(piece, needs)


def _pieces(parts: Sequence[MappingBatch]) -> Iterator[Sample]:
    """The mappings of all parts in their order, PIECE at a time."""
    gathered, room = list[MappingBatch](), PIECE
    for part in parts:
        start = 0
        while start < len(part):
            gathered.append(part.chosen(slice(start, start + room)))
            start += len(gathered[-1])
            room -= len(gathered[-1])
            if not room:
                yield Sample.listed(gathered)
                gathered, room = [], PIECE
    if gathered:
        yield Sample.listed(gathered)


def portions(batch: Batch, glance: Glance) -> Iterator[Batch]:
    """The mappings of a batch in its order, at a time as many as `glance` says by then."""
    start = 0
    while start < len(batch):
        part = slice(start, start + glance.mappings)
        start = part.stop
        if part.start == 0 and start >= len(batch):
            yield batch
        else:
            yield batch.chosen(part) if isinstance(batch, MappingBatch) else _chosen(batch, batch.place[part])


def _chosen(sample: Sample, places: npt.NDArray[np.int64]) -> Sample:
    """The mappings at these places among those of all parts, in this order."""
    ends = np.cumsum([len(part) for part in sample.parts])
    order = np.argsort(places, kind="stable")
    cuts = np.searchsorted(places[order], ends)
    parts, start = list[MappingBatch](), 0
    for part, end, stop in zip(sample.parts, ends, cuts, strict=True):
        if stop > start:
            parts.append(part.chosen(places[order[start:stop]] - (end - len(part))))
        start = stop
    rank = np.empty(len(places), dtype=np.int64)
    rank[order] = np.arange(len(places))
    return Sample(tuple(parts), rank)


@final
class Glance:
    """How many mappings are evaluated between two looks at a budget of time, `seconds` apart if possible (None: no such budget).

    One at first: over large given tensors, or with imperfect factors, a mapping can take seconds.
    """

    def __init__(self, seconds: float | None, most: int) -> None:
        self.seconds, self.most = seconds, most
        self.mappings = most if seconds is None else 1

    def took(self, count: int, seconds: float) -> None:
        """Learns how long the evaluation of so many mappings took.

        The number at least doubles while that is below a second: what a batch costs whatever its size must not keep it small.
        """
        if self.seconds is None:
            return
        fitting = int(count * self.seconds / max(seconds, 1e-9))
        if seconds > max(1.0, 4 * self.seconds):
            self.mappings = max(1, fitting)
        elif count >= self.mappings:
            self.mappings = min(self.most, max(2 * count, fitting))


@final
class BatchEvaluator:
    """Evaluates the batches of one task: `begin` starts one, `columns` waits for it."""

    def __init__(self, task: Task) -> None:
        self.task, self.pool = task, None
        if task.workers > 1:
            self.pool = WorkerPool(task.workers, _same_space, task.space)

    def begin(self, batch: Batch) -> Pending:
        """The pieces of a batch, under way in the workers if there are any."""
        pieces = list(_pieces(batch.parts if isinstance(batch, Sample) else (batch,)))
        if self.pool is None:
            return list(pieces)
        return [self.pool.submit(_columns, piece, self.task.goal.needs) for piece in pieces]

    def columns(self, batch: Batch, pending: Pending) -> dict[str, npt.NDArray[Any]]:
        """What the goal needs of a batch, by column name: arrays of shape (mappings,) in the order of the batch."""
        space, needs = self.task.space, self.task.goal.needs
        parts = [piece.result() if isinstance(piece, Future) else space.columns(piece, needs) for piece in pending]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in needs}
        if isinstance(batch, Sample):
            columns = {name: column[batch.place] for name, column in columns.items()}
        area = sum(level.area_um2 * level.instances for level in space.design.arch.levels)
        return columns | {"area_um2": np.full(len(batch), area)}

    def close(self) -> None:
        """Ends the workers."""
        if self.pool:
            self.pool.close()


@contextmanager
def batch_evaluator(task: Task) -> Generator[BatchEvaluator]:
    """An evaluator for the time of a search."""
    evaluator = BatchEvaluator(task)
    try:
        yield evaluator
    finally:
        evaluator.close()
