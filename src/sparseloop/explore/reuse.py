"""Evaluations that need not be done again: of this folder, of other studies, of this run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sparseloop.explore.grouping.together import GroupedDesigns
from sparseloop.explore.point import Designs, Job
from sparseloop.explore.store import EVALUATION_COLUMNS, Row, Store

_KEPT = tuple(name for name in EVALUATION_COLUMNS if name != "levels")
RECENT = 512
"""Jobs whose specifications and keys are remembered: neighbours of one line ask for them again."""

Identity = str | tuple[Any, ...]
"""What identifies an evaluation: its key, or the workload and the values that matter."""


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """A job with what is known of it before it is evaluated."""

    job: Job
    identity: Identity | None
    """None: nothing else can be equal to it, or its values make no design."""


class EvaluationCache:
    """Rows of `evaluations` by what identifies them."""

    def __init__(self, designs: Designs, store: Store, others: Sequence[str | Path] = (), *, repeats: bool = True) -> None:
        self._designs = designs
        self._stores = [store, *(Store.opened(other) for other in others)]
        self._learnt: dict[Identity, Row] = {}
        self._repeats = repeats
        """False: no two points of the study are equal."""
        self._grouped = GroupedDesigns(designs)
        self._recent: dict[tuple[Any, ...], PreparedJob] = {}

    @cached_property
    def _tables(self) -> list[Any]:
        """What the folders hold, by key; of this one only what points are made of. Read when it is first asked for."""
        return [one.evaluations(_KEPT if number == 0 else None) for number, one in enumerate(self._stores)]

    @cached_property
    def _keys(self) -> list[Any]:
        return [np.array(table["key"].to_pylist(), dtype="S32") for table in self._tables]

    # --- what identifies a job ------------------------------------------------------------------------------

    def prepared(self, job: Job) -> PreparedJob:
        """The job with its identity: its key where that is worth its price, else the values that matter.

        Where a key is needed it is put together from parts that are known, or the specification is built and hashed here, once,
        and goes to the worker with the job.
        """
        if not self._designs.fixed:
            return self._keyed(job)
        if any(len(keys) for keys in self._keys):
            key = self._grouped.key(job)
            return self._keyed(job) if key is None else PreparedJob(replace(job, key=key), key)
        if not self._repeats:
            return PreparedJob(job, None)
        names = self._designs.workloads[job.workload].names
        parameters = self._designs.space.parameters
        values = (job.values[one.name] for one in parameters if not one.only or names & one.only)
        return PreparedJob(job, (job.workload, *values))

    def _keyed(self, job: Job) -> PreparedJob:
        place = (job.workload, *job.values.values())
        if place not in self._recent:
            try:
                spec = self._designs.spec(job.values, job.workload)
                key = self._designs.key(spec)
            except Exception:  # the worker that evaluates the job reports it
                return PreparedJob(job, None)
            if len(self._recent) >= RECENT:
                del self._recent[next(iter(self._recent))]
            self._recent[place] = PreparedJob(replace(job, spec=spec, key=key), key)
        known = self._recent[place]
        return PreparedJob(replace(known.job, point=job.point, values=job.values), known.identity)

    # --- what is known --------------------------------------------------------------------------------------

    def row(self, identity: Identity) -> Row | None:
        """The evaluation; None if it is not known."""
        if identity in self._learnt:
            return self._learnt[identity]
        place = self._place(identity)
        return None if place is None else self._tables[place.table].slice(place.row, 1).to_pylist()[0]

    def foreign(self, identity: Identity) -> bool:
        """True if it stands in the folder of another study only."""
        place = None if identity in self._learnt else self._place(identity)
        if place is None or place.table == 0:
            return False
        row = self.row(identity)
        assert row is not None
        self.learn(identity, row)  # from now on it stands here too
        return True

    def _place(self, identity: Identity) -> _Place | None:
        if isinstance(identity, str):
            key = identity.encode()
            for number, keys in enumerate(self._keys):
                at = int(np.searchsorted(keys, key))
                if at < len(keys) and keys[at] == key:
                    return _Place(number, at)
        return None

    def learn(self, identity: Identity, row: Row) -> None:
        """An evaluation of this run; what only readers want is left out."""
        self._learnt[identity] = {name: row.get(name) for name in _KEPT}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row of `evaluations` stands: the number of the folder (0: this one), and of the row."""

    table: int
    row: int
