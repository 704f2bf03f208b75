"""Packed positions as Timeloop counts them: positions that are never active need no instances, and save no time by it.

Of b positions at most max(k) are ever active at once; they take min(max(k), H) instances, over which the work is spread. Native
specifications count turns instead (`packing`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.plan import Plan
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.traffic.tiles import Cover, Tiles, join
from sparseloop.model.units import Count, Share


class _Decider(NamedTuple):
    """A tensor whose tile decides whether a position is active."""

    tensor: int
    position: Cover
    """What one position holds."""


def positions_taken(safs: SafConditions, level: int) -> Share:
    """Share of the spatial positions of a level that are ever active at once, after its spatial skips.

    At most max(k) of the b positions of a leader's loops survive, k the non-zeros of the leader's tile over them, and one is
    always taken. Shares of two leaders multiply where they have no loop in common (of more than one position), else the smaller
    one holds.
    """
    tiles, shares = safs.tiles, dict[frozenset[int], Share]()
    for leader, position in _deciders(safs, level):
        loops = frozenset(
            i for i in tiles.plan.relevant[leader] if tiles.plan.loops[i].level == level and tiles.plan.loops[i].spatial
        )
        tile = tiles.restrict(join(position, tiles.covering(loops)), leader)
        model = tiles.plan.einsum.tensors[leader].density
        most = ops.maximum(1.0, model.maximum(tiles.size(leader, tile), tiles.sides(leader, tile)))
        share = ops.minimum(1.0, most / tiles.product(loops))
        shares[loops] = ops.minimum(shares.get(loops, 1.0), share)
    result: Share = 1.0
    for share in shares.values():
        result = ops.minimum(result, share)
    for (one, share), (other, another) in combinations(shares.items(), 2):
        apart = tiles.product(one & other) == 1
        result = ops.minimum(result, ops.where(apart, share * another, 1.0))
    return result


def _deciders(safs: SafConditions, level: int) -> Iterator[_Decider]:
    """The leaders of the spatial skips of a level."""
    plan = safs.tiles.plan
    for link in plan.links:
        for saf in safs.acting(link):
            if saf.packs and saf.level == level:
                for name in safs.leaders(saf):
                    yield _Decider(plan.einsum.index[name], safs.granule(link, saf))


def time_on_instances_taken(tiles: Tiles, taken: tuple[Share, ...], busy: Share) -> Share:
    """Steps times the share of computes that is left, spread over the instances taken; at most as long as without skips."""
    plan = tiles.plan
    time, most = busy, 1.0
    for level in range(plan.compute):
        if not plan.sparse.packs(level):
            continue
        positions = tiles.product(i for i, loop in enumerate(plan.loops) if loop.level == level and loop.spatial)
        time = time * ops.ratio(positions, instances_taken(plan, level, positions, taken[level]))
        for axis, width in zip("xy", plan.arch.fanout(level), strict=True):
            most = most * ops.maximum(1.0, ops.ceil(tiles.product(plan.along(level, axis)) / width))
    return ops.minimum(time, most)


def instances_taken(plan: Plan, level: int, positions: Count, taken: Share) -> Count:
    """Instances below one parent over which positions are spread."""
    return ops.minimum(positions * taken, math.prod(plan.arch.fanout(level)))
