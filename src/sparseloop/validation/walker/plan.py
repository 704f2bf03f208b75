"""Everything about a specification that can be found before the tensors are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.design.sparse import Sparse
from sparseloop.validation.walker.checks import LeaderCondition, Stages, saf_conditions
from sparseloop.validation.walker.entries import RankBuilder
from sparseloop.validation.walker.points import enumerate_points
from sparseloop.validation.walker.tensor_path import TensorPath, build_path
from sparseloop.validation.walker.tiles import Visits, tiles_of


class EventPlan:
    """The events of one mapped, sparse einsum and the conditions on them: all that does not depend on the tensors' values."""

    def __init__(self, einsum: Einsum, blocks: Sequence[int], mapping: Mapping, sparse: Sparse) -> None:
        self.einsum, self.sparse, self.blocks = einsum, sparse, tuple(blocks)
        self.points = enumerate_points(einsum, mapping)
        self.compute = len(mapping.nest.keep)
        if len(blocks) != self.compute:
            raise ValueError(f"{len(blocks)} block sizes for {self.compute} storage levels")
        self.paths = {t.name: build_path(self.points, t) for t in einsum.tensors}
        self._check_formats()
        self.inputs = [t.name for t in einsum.tensors if not t.output]
        self.conditions = saf_conditions(sparse, self.paths, blocks)
        self.compute_skips = self._compute_conditions([n for n in self.inputs if sparse.compute_skip and self._tagged(n)])
        self.compute_gates = self._compute_conditions([n for n in self.inputs if sparse.compute_gate])
        self.tiles = {
            (level, n): tiles_of(self.points.instance(level), self.points.step(level), c.word)
            for n, c in self.paths.items()
            for level in c.levels
        }
        self._visits = dict[tuple[int, str], Visits]()
        self.stages = {(level, n): self._stages(c, level) for n, c in self.paths.items() for level in c.levels}
        # tiles that differ in padding only are equal
        words = {n: np.where(c.inside, c.word, -1) for n, c in self.paths.items()}
        self.ranks = {
            (level, n): RankBuilder(self.paths[n], level, sparse, self.conditions, stages).build(words)
            for (level, n), stages in self.stages.items()
        }

    def visits(self, level: int, name: str) -> Visits:
        """What a level that is filled from an outer one holds of a tensor in each of its visits; found once."""
        if (level, name) not in self._visits:
            parent = self.paths[name].parent(level)
            assert parent is not None
            self._visits[level, name] = self.paths[name].visits(parent)
        return self._visits[level, name]

    def _tagged(self, name: str) -> bool:
        """Does the tensor have metadata where the compute level reads it?"""
        form = self.sparse.format(self.paths[name].levels[-1], name)
        return form is not None and form.has_metadata

    def compressed(self, level: int, name: str) -> bool:
        """Does the level store (and move and read) only the non-zeros of the tensor?"""
        form = self.sparse.format(level, name)
        return form is not None and form.compressed

    def _check_formats(self) -> None:
        """Rejects a compressed level below an uncompressed one."""
        for name, path in self.paths.items():
            for level in path.levels:
                parent = path.parent(level)
                if parent is not None and self.compressed(level, name) and not self.compressed(parent, name):
                    raise ValueError(f"{name} is compressed at level {level} but not at level {parent} outside it")

    def _compute_conditions(self, operands: list[str]) -> list[int]:
        """Appends one condition of the compute level per operand."""
        first = len(self.conditions)
        self.conditions += [LeaderCondition(leader=name) for name in operands]
        return list(range(first, len(self.conditions)))

    def _of(self, name: str, gate: bool) -> list[int]:
        """The conditions on accesses of a tensor: its gates, or its skips."""
        return [n for n, c in enumerate(self.conditions) if c.follower == name and (c.kind == "gate") == gate]

    def _stages(self, path: TensorPath, level: int) -> Stages:
        """The conditions on accesses of a tensor at a level."""
        name = path.tensor.name
        skips = self._of(name, gate=False)
        inherited: list[int] = []
        if self.sparse.implied_skips and path.child(level) == self.compute:
            inherited = [n for other in self.inputs for n in self._of(other, gate=False)]
            inherited += self.compute_skips if path.tensor.output else []
        return Stages(
            outer=tuple(n for n in skips if self.conditions[n].level < level),
            local=tuple(n for n in skips if self.conditions[n].level == level),
            inherited=tuple(inherited),
            gates=tuple(n for n in self._of(name, gate=True) if self.conditions[n].level <= level),
        )

    def compute_stages(self) -> Stages:
        """The conditions on computes."""
        skips = [n for name in self.inputs for n in self._of(name, gate=False)]
        gates = [n for name in self.inputs for n in self._of(name, gate=True)]
        return Stages(local=(*skips, *self.compute_skips), gates=(*gates, *self.compute_gates))
