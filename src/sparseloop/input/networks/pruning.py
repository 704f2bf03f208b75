"""Weights pruned by magnitude: n of m along the input channels, or a share of the blocks or of the weights that stays.

The share holds in every layer, or (`across`) in all of them together: then one threshold decides, and layers of large weights
keep more than others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from sparseloop.input.networks.densities import block_view

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """Which weights become zero, by magnitude: n of m along c, or a share of blocks or of single weights that stays."""

    n: int = 0
    m: int = 0
    block: tuple[int, int] = (1, 1)
    """Rows (m) and columns (c)."""
    keep: float = 1.0
    across: bool = False
    """The share that stays is that of all layers together."""
    layers: str = ""
    """Pattern of the names of the layers that are pruned ('Conv*'); '': all."""

    def selects(self, name: str) -> bool:
        """True if the layer of that name is pruned."""
        return not self.layers or fnmatchcase(name, self.layers)

    @property
    def needs(self) -> str:
        """What the channels of a layer must be, in words."""
        return f"input channels a multiple of {self.m}" if self.n else f"channels a multiple of {'x'.join(map(str, self.block))}"


def parse_pruning(text: str, *, across: bool = False, layers: str = "") -> Pruning:
    """'2:4', '4x4:0.25' (a quarter of the blocks stays) or '0.3' (of the weights stays); raises ValueError."""
    if match := re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text):
        n, m = int(match[1]), int(match[2])
        if not 0 < n < m:
            raise ValueError
        return Pruning(n=n, m=m, across=across, layers=layers)
    match = re.fullmatch(r"\s*(?:(\d+)x(\d+):)?\s*(0?\.\d+|1|1\.0)\s*", text)
    if match is None or (match[1] and 0 in (int(match[1]), int(match[2]))):
        raise ValueError
    block = (int(match[1]), int(match[2])) if match[1] else (1, 1)
    return Pruning(block=block, keep=float(match[3]), across=across, layers=layers)


def pruned(weights: Array, how: Pruning) -> Array | None:
    """Weights [g, m, c, r, s] with the smallest ones zero; None if channels are no multiple of the groups or blocks."""
    return pruned_layers([weights], how)[0]


def pruned_layers(layers: Sequence[Array], how: Pruning) -> list[Array | None]:
    """The weights of layers with the smallest ones zero; None for one whose channels are no multiple of the groups or blocks."""
    if how.n:
        return [_of_groups(weights, how) for weights in layers]
    sums = [_block_sums(weights, how.block) for weights in layers]
    whole = [one.ravel() for one in sums if one is not None]
    parts = [np.concatenate(whole)] if how.across and whole else whole
    stays = np.concatenate([_largest(part, how.keep) for part in parts]) if parts else np.zeros(0, bool)
    found, at = list[Array | None](), 0
    for weights, one in zip(layers, sums, strict=True):
        size = 0 if one is None else one.size
        found.append(None if one is None else _where(weights, stays[at : at + size].reshape(one.shape), how.block))
        at += size
    return found


def _of_groups(weights: Array, how: Pruning) -> Array | None:
    """n of m along the input channels."""
    if weights.shape[2] % how.m:
        return None
    size: Array = np.moveaxis(np.abs(weights.astype(np.float64)), 2, -1)
    groups: Array = size.reshape(-1, how.m)
    order = np.argsort(-groups, axis=1, kind="stable")
    stays: Array = np.zeros(groups.shape, bool)
    np.put_along_axis(stays, order[:, : how.n], True, axis=1)
    return np.where(np.moveaxis(stays.reshape(size.shape), -1, 2), weights, 0)


def _block_sums(weights: Array, block: tuple[int, int]) -> Array | None:
    """Magnitude of every block [others, m blocks, c blocks]."""
    blocks = block_view(np.abs(weights.astype(np.float64)), *block)
    return None if blocks is None else blocks.sum(axis=(2, 4))


def _largest(sums: Array, keep: float) -> Array:
    """True for the largest ones, as many as stay."""
    stays: Array = np.zeros(sums.size, bool)
    stays[np.argsort(-sums, kind="stable")[: round(keep * sums.size)]] = True
    return stays


def _where(weights: Array, stays: Array, block: tuple[int, int]) -> Array:
    """The weights of the blocks that stay."""
    spread: Array = np.repeat(np.repeat(stays, block[0], axis=1), block[1], axis=2)
    g, m, c, *kernel = weights.shape
    return np.where(np.moveaxis(spread.reshape(g, *kernel, m, c), (-2, -1), (1, 2)), weights, 0)
