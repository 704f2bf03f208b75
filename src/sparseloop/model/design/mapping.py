"""A mapping: the template (loop order, spatial split, bypass) and the bounds that fill it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
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

    Knows no bounds: those are an array of shape `(len(loops), *batch)`.
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

    def __str__(self) -> str:
        """The loop nest as text, outermost first; levels by number, loops of bound 1 left out."""
        lines, depth = list[str](), 0
        last = self.residuals or self.bounds
        for index, kept in enumerate(self.nest.keep):
            lines.append(f"level {index}: keeps {', '.join(sorted(kept)) or 'nothing'}")
            for loop, bound, end in zip(self.nest.loops, self.bounds, last, strict=True):
                if loop.level == index and bound > 1:
                    verb = f"parallel along {loop.axis}" if loop.axis else "for"
                    ending = f"   (last pass: {end})" if end != bound else ""
                    lines.append(f"{'  ' * (depth + 1)}{verb} {loop.rank} in 0..{bound - 1}{ending}")
                    depth += 1
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows: the loop nest."""
        return f"<pre style='text-align:left'>{escape(str(self))}</pre>"


@dataclass(frozen=True, slots=True, eq=False)
class MappingBatch:
    """Many mappings under one template: `bounds` has shape (loops, mappings)."""

    nest: LoopNest
    bounds: npt.NDArray[Any]
    residuals: npt.NDArray[Any] | None = None
    """None when every factor is perfect; else the last-pass bounds, in the shape of `bounds`."""

    def __post_init__(self) -> None:
        wanted = f"({len(self.nest.loops)}, mappings)"
        for name in ("bounds", "residuals"):
            array = getattr(self, name)
            if array is None:
                continue
            if array.ndim != 2 or array.shape[0] != len(self.nest.loops):
                raise ValueError(f"{name} have shape {array.shape}, the template wants {wanted}")
            if not np.issubdtype(array.dtype, np.integer) or bool((array < 1).any()):
                raise ValueError(f"{name} are integers of at least 1")
        if self.residuals is not None and (
            self.residuals.shape != self.bounds.shape or bool((self.residuals > self.bounds).any())
        ):
            raise ValueError("residuals have the shape of the bounds and are not larger")

    def __len__(self) -> int:
        return int(self.bounds.shape[1])

    def __getitem__(self, index: int) -> Mapping:
        bounds = tuple(int(n) for n in self.bounds[:, index])
        residuals = None if self.residuals is None else tuple(int(n) for n in self.residuals[:, index])
        return Mapping(nest=self.nest, bounds=bounds, residuals=None if residuals == bounds else residuals)

    def chosen(self, columns: npt.NDArray[Any] | slice) -> MappingBatch:
        """Some of the mappings, by position or by a mask."""
        last = None if self.residuals is None else self.residuals[:, columns]
        return MappingBatch(nest=self.nest, bounds=self.bounds[:, columns], residuals=last)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Mappings under several templates, evaluable like a `MappingBatch`; results are in the order of the sample."""

    parts: tuple[MappingBatch, ...]
    """The mappings by template."""
    place: npt.NDArray[np.int64]
    """For every mapping its position among those of all parts, put one after the other."""

    @classmethod
    def listed(cls, parts: Sequence[MappingBatch]) -> Sample:
        """All mappings of the parts, one part after the other."""
        return cls(tuple(parts), np.arange(sum(map(len, parts))))

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, index: int) -> Mapping:
        left = int(self.place[index])
        for part in self.parts:
            if left < len(part):
                return part[left]
            left -= len(part)
        raise IndexError(index)
