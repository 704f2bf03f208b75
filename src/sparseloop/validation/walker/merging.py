"""How often the words of a result pass a merger that takes a limited number of lists at once."""

from __future__ import annotations

import numpy as np

from sparseloop.validation.walker.plan import EventPlan
from sparseloop.validation.walker.points import BoolArray, IntArray, numbered


def mean_passes(plan: EventPlan, level: int, radix: int, contributes: BoolArray) -> float:
    """Mean over the words with a contribution that arrive at a level.

    Words of one copy that differ along the last axis only are a fiber. What of it arrives for the same first point of the
    contraction is a list; lists are merged `radix` at a time, and so are the lists that this leaves.
    """
    points, path = plan.points, plan.paths[plan.einsum.tensors[-1].name]
    accesses = path.links[level].accesses
    arrives = accesses.any(contributes)
    if not arrives.any():
        return 1.0
    contracted = [i for i, loop in enumerate(points.nest.loops) if loop.rank not in path.tensor.ranks]
    first = np.full(len(accesses.point), np.iinfo(np.int64).max)
    np.minimum.at(first, accesses.of_point, points.code(contracted))
    fiber = numbered(points.instance(level), _stay(plan, level), *(points.coordinate(a) for a in path.tensor.axes[:-1]))
    fiber, first = fiber[accesses.point][arrives], first[arrives]
    of_list = np.unique(numbered(fiber, first), return_index=True)[1]
    lists = np.bincount(fiber[of_list], minlength=int(fiber.max()) + 1)[fiber]
    passes = np.ones(len(fiber))
    limit = radix
    while (lists > limit).any():
        passes += lists > limit
        limit *= radix
    return float(passes.mean())


def _stay(plan: EventPlan, level: int) -> IntArray:
    """Per point what arrived at the level together with the copy that serves it; the outermost copies stay for good."""
    path = plan.paths[plan.einsum.tensors[-1].name]
    parent = path.parent(level)
    if parent is None:
        return np.zeros(len(plan.points), dtype=np.int64)
    link = path.links[parent]
    return link.arrival[link.copies.of_point]
