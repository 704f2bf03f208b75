"""The meaning of a whole specification: what the model evaluates."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparseloop.model.design.arch import Arch
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.design.sparse import Sparse


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A resolved specification; `mapping` is None when the spec has none (a mapper is to find it)."""

    einsum: Einsum
    arch: Arch
    mapping: Mapping | None
    sparse: Sparse
    warnings: tuple[str, ...] = field(default=())
    """What was understood differently than written, missing prices, and the like; one line each."""
