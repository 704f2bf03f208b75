"""A mapping: the template (loop order, spatial split, bypass) and the bounds that fill it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One loop slot of the nest; its bound lives in the bounds array at the same position."""

    rank: str
    level: int
    """Index of the owning level, 0 = outermost storage. The spatial loops of a level lie directly inside
    its temporal loops and spread its tile over the instances of the next level."""
    axis: Literal["x", "y"] | None = None
    """None for a temporal loop, else the mesh axis of a spatial loop."""

    @property
    def spatial(self) -> bool:
        """True for a loop over instances."""
        return self.axis is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopNest:
    """A mapping template: loops outermost first (by level; temporal before spatial in a level) and who keeps what.

    Knows no bounds: those are an array of shape (len(loops), *batch).
    """

    loops: tuple[Loop, ...]
    keep: tuple[frozenset[str], ...]
    """Per storage level, outermost first: names of the tensors it holds; all others bypass it."""
    no_temporal_reuse: frozenset[tuple[int, str]] = frozenset()
    """(level, tensor) pairs whose tile is fetched anew at every step."""
    no_multicast: frozenset[tuple[int, str]] = frozenset()
    """(level, tensor): equal words for several children of this level are sent (or reduced) one by one."""
    no_forwarding: frozenset[tuple[int, str]] = frozenset()
    """(level, tensor): children of this level never pass the tensor to a neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A template with its bounds: one number per loop; `residuals` are the last-pass bounds of imperfect factors."""

    nest: LoopNest
    bounds: tuple[int, ...]
    residuals: tuple[int, ...] | None = None
    """None when every factor is perfect; else one last-pass bound per loop (a loop runs `residual` times
    when all outer loops of its rank stand at their last index)."""


@dataclass(frozen=True, slots=True, eq=False)
class MappingBatch:
    """Many mappings under one template: `bounds` has shape (loops, mappings); perfect factors."""

    nest: LoopNest
    bounds: npt.NDArray[Any]

    def __post_init__(self) -> None:
        if self.bounds.ndim != 2 or self.bounds.shape[0] != len(self.nest.loops):
            wanted = f"({len(self.nest.loops)}, mappings)"
            raise ValueError(f"bounds have shape {self.bounds.shape}, the template wants {wanted}")
        if not np.issubdtype(self.bounds.dtype, np.integer) or bool((self.bounds < 1).any()):
            raise ValueError("bounds are integers of at least 1")

    def __len__(self) -> int:
        return int(self.bounds.shape[1])

    def __getitem__(self, index: int) -> Mapping:
        return Mapping(nest=self.nest, bounds=tuple(int(n) for n in self.bounds[:, index]))
