"""Zeros of stored weights: measured, described by the simplest density model that is exact.

n:m and blocks are recognised where every group and every block is as the model says. What is neither is `rows` (channels with
densities of their own) where that predicts the share of empty tiles clearly better, else `uniform`; the share of empty tiles
along each rank stands beside that of uniform zeros. `sparseloop density` compares more models, over tiles of all shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparseloop.model.density import Rows

Array = np.ndarray[Any, Any]
_AXES = {"m": 1, "c": 2}
"""Axis of a rank in weights [g, m, c, r, s]."""
_GROUPS = ((1, 2), (1, 4), (2, 4), (3, 4), (1, 8), (2, 8), (4, 8), (2, 6))
_BLOCKS = (16, 8, 4, 2)
CLEARLY = 0.01
"""By how much the predicted share of empty tiles must be nearer to the measured one."""
TILE = 8
"""Words of the tiles along a rank by which a density is judged."""


def fitted_density(weights: Array) -> Any:
    """The density of weights [g, m, c, r, s] as the native format writes it; None if there are no zeros."""
    full = weights != 0
    density = float(full.mean()) if full.size else 1.0
    if density == 1.0:
        return None
    for n, m in _GROUPS:
        for rank in ("c", "m"):
            counts = _group_counts(full, _AXES[rank], m)
            if counts is not None and bool((counts == n).all()):
                return {"model": "structured", "n": n, "m": m, "rank": rank}
    for size in _BLOCKS:
        blocks = block_view(full, size, size)
        if blocks is not None and bool(np.isin(blocks.sum(axis=(2, 4)), (0, size * size)).all()):
            return {"model": "block", "density": density, "block": {"m": size, "c": size}}
    return _uneven_channels(full, density) or {"density": density}


def _uneven_channels(full: Array, density: float) -> Any:
    """Output or input channels with densities of their own, if these predict empty tiles clearly better than uniform zeros."""
    best, model = CLEARLY, None
    if full.shape[0] > 1:
        return None
    measured = {one.rank: one for one in empty_tiles(full)}
    for rank, along in (("m", "c"), ("c", "m")):
        if rank not in measured or along not in measured:
            continue
        axis, tile = _AXES[rank], measured[along]
        counts = np.moveaxis(full, axis, 0).reshape(full.shape[axis], -1).sum(axis=1)
        variation = round(float(counts.std() / counts.mean()), 3)
        rows = Rows.of_density(full.shape, (axis,), density, variation=variation)
        sides = tuple(float(TILE) if at == _AXES[along] else 1.0 for at in range(full.ndim))
        gain = abs(tile.uniform - tile.measured) - abs(float(rows.empty(TILE, sides)) - tile.measured)
        if gain > best:
            best, model = gain, {"model": "rows", "rank": rank, "density": density, "variation": variation}
    return model


def _group_counts(full: Array, axis: int, m: int) -> Array | None:
    """Non-zeros of every group of m along an axis; None if its size is no multiple."""
    size = full.shape[axis]
    if size % m:
        return None
    return np.moveaxis(full, axis, -1).reshape(-1, m).sum(axis=-1)


def block_view(values: Array, rows: int, columns: int) -> Array | None:
    """Weights as [others, m, rows, c, columns], for blocks over output and input channels; None if m or c is no multiple."""
    m, c = values.shape[1:3]
    if m % rows or c % columns:
        return None
    plane = np.moveaxis(values, (1, 2), (-2, -1)).reshape(-1, m, c)
    return plane.reshape(len(plane), m // rows, rows, c // columns, columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyTiles:
    """Share of the tiles of some words along a rank that hold no non-zero."""

    rank: str
    words: int
    measured: float
    uniform: float
    """What zeros that lie anywhere would give."""


def empty_tiles(weights: Array) -> tuple[EmptyTiles, ...]:
    """Along output and input channels, if there are that many."""
    full: Array = weights != 0
    found = list[EmptyTiles]()
    for rank, axis in _AXES.items():
        size = full.shape[axis] // TILE * TILE
        if size == 0:
            continue
        whole: Array = full[(slice(None),) * axis + (slice(size),)]
        counts = _group_counts(whole, axis, TILE)
        assert counts is not None
        uniform = _none_of(full.size, int(full.sum()), TILE)
        found.append(EmptyTiles(rank=rank, words=TILE, measured=float((counts == 0).mean()), uniform=uniform))
    return tuple(found)


def _none_of(words: int, nonzeros: int, tile: int) -> float:
    """Probability that none of `nonzeros` among `words` lies in a tile: C(words - tile, nonzeros) / C(words, nonzeros)."""
    return math.prod(max(0, words - nonzeros - i) / (words - i) for i in range(tile))


def density_note(name: str, weights: Array, density: Mapping[str, Any]) -> str:
    """'conv1: weights 0.3 non-zero; 1x8 along c empty 0.128 (uniform 0.058), along m 0.105 (0.058)'."""
    share = float((weights != 0).mean())
    model = density.get("model", "uniform")
    tiles = ", ".join(f"along {one.rank} {one.measured:.3g} (uniform {one.uniform:.3g})" for one in empty_tiles(weights))
    return f"{name}: weights {share:.3g} non-zero, {model}" + (f"; empty tiles of {TILE} {tiles}" if tiles else "")
