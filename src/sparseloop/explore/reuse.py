"""Evaluations that need not be done again: of this folder, of other studies, of this run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sparseloop.explore.point import FIXED, Designs, Job
from sparseloop.explore.store import EVALUATION_COLUMNS, Row, Store

_KEPT = tuple(name for name in EVALUATION_COLUMNS if name != "levels")


class EvaluationCache:
    """Rows of `evaluations` by what identifies them."""

    def __init__(self, store: Store, others: Sequence[str | Path] = (), *, repeats: bool = True) -> None:
        self._stores = [store, *(Store.opened(other) for other in others)]
        self._learnt: dict[Any, Row] = {}
        self._repeats = repeats

    @cached_property
    def _tables(self) -> list[Any]:
        """What the folders hold, by key; of this one only what points are made of. Read when it is first asked for."""
        return [one.evaluations(_KEPT if number == 0 else None) for number, one in enumerate(self._stores)]

    @cached_property
    def _keys(self) -> list[Any]:
        return [np.array(table["key"].to_pylist(), dtype="S32") for table in self._tables]

    def identity(self, designs: Designs, job: Job) -> Any:
        """What identifies a job: its key where that is worth its price, else the values that matter; None: it is unique."""
        if any(len(keys) for keys in self._keys) or designs.mapper.method != FIXED:
            try:
                return designs.key(designs.spec(job.values, job.workload))
            except Exception:  # whoever evaluates it says what is wrong
                return None
        if not self._repeats:
            return None
        names = designs.workloads[job.workload].names
        mine = (job.values[one.name] for one in designs.space.parameters if not one.only or names & one.only)
        return (job.workload, *mine)

    def row(self, identity: Any) -> Row | None:
        """The evaluation; None if it is not known."""
        if identity in self._learnt:
            return self._learnt[identity]
        place = self._place(identity)
        return None if place is None else self._tables[place[0]].slice(place[1], 1).to_pylist()[0]

    def foreign(self, identity: Any) -> bool:
        """True if it stands in the folder of another study only."""
        place = None if identity in self._learnt else self._place(identity)
        if place is None or place[0] == 0:
            return False
        row = self.row(identity)
        assert row is not None
        self.learn(identity, row)  # from now on it stands here too
        return True

    def _place(self, identity: Any) -> tuple[int, int] | None:
        """(table, row)."""
        if isinstance(identity, str):
            key = identity.encode()
            for number, keys in enumerate(self._keys):
                at = int(np.searchsorted(keys, key))
                if at < len(keys) and keys[at] == key:
                    return number, at
        return None

    def learn(self, identity: Any, row: Row) -> None:
        """An evaluation of this run; what only readers want is left out."""
        self._learnt[identity] = {name: row.get(name) for name in _KEPT}
