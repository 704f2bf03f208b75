"""The same activities counted by the model and by the walker, under the same names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.evaluate import own_mapping
from sparseloop.evaluation.result import Result
from sparseloop.model.design import Design
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.validation.walker import RankUnits, Walk, WalkedCounts, Walker

Pattern = npt.NDArray[np.bool_]
ACTIONS_COUNTED = ("reads", "fills", "updates")


def walker(design: Design) -> Walker:
    """The walker of a design's own mapping."""
    blocks = [level.block_size for level in design.arch.storage]
    return Walker(design.einsum, blocks, own_mapping(design), design.sparse)


def model_activities(result: Result) -> dict[str, float]:
    """Actual events of the model: computes, words and metadata entries by level, tensor and kind."""
    links = result.cost.sparse.links
    found = {"computes": float(result.cost.sparse.computes.actual)}
    for k in links:
        source = next((other for other in links if other.child is k), None)
        words = (float(k.reads.actual), float(source.fills.actual) if source else 0.0, float(k.updates.actual))
        for kind, number in zip(ACTIONS_COUNTED, words, strict=True):
            found[_name(result.design, k.dense.link.parent, k.dense.link.name, kind)] = number
            found[_name(result.design, k.dense.link.parent, k.dense.link.name, f"metadata {kind}")] = _entries(k, kind)
    return found


def _entries(k: LinkSparse, kind: str) -> float:
    return sum(float(part[kind].actual) for rank in k.ranks for part in (rank.entries, rank.payloads))


def walker_activities(design: Design, walk: Walk) -> dict[str, float]:
    """The same names for one walk."""
    found = {"computes": walk.computes.actual}
    for (level, tensor), counts in walk.tensors.items():
        words: tuple[WalkedCounts, ...] = (counts.reads, counts.fills, counts.updates)
        units = (counts.metadata_reads, counts.metadata_fills, counts.metadata_updates)
        for kind, number, ranks in zip(ACTIONS_COUNTED, words, units, strict=True):
            found[_name(design, level, tensor, kind)] = number.actual
            found[_name(design, level, tensor, f"metadata {kind}")] = _units(ranks)
    return found


def _units(ranks: Iterable[RankUnits]) -> float:
    return sum(rank.metadata.actual + rank.payload.actual for rank in ranks)


def _name(design: Design, level: int, tensor: str, kind: str) -> str:
    return f"{design.arch.levels[level].name} {tensor} {kind}"


def random_pattern(shape: tuple[int, ...], nonzeros: int, rng: np.random.Generator) -> Pattern:
    """So many non-zeros, every placement equally likely."""
    flat = np.zeros(int(np.prod(shape)), dtype=np.bool_)
    flat[rng.choice(flat.size, nonzeros, replace=False)] = True
    return flat.reshape(shape)
