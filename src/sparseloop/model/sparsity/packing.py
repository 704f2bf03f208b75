"""What spatial skips leave of the positions of a fanout: how many instances work, and in how many waves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.traffic.tiles import Cover, join
from sparseloop.model.units import Count, Share


def packing(safs: SafConditions, level: int) -> Share:
    """Share of the spatial positions of a level that are ever active at once, after its spatial skips.

    At most max(k) of the b positions of a leader's loops survive, k the non-zeros of the leader's tile over them. Shares of two
    leaders multiply where they have no loop in common (of more than one position), else the smaller one holds.
    """
    tiles, shares = safs.tiles, dict[frozenset[int], Share]()
    for leader, position in _deciders(safs, level):
        loops = _loops(safs, level, "xy", leader)
        tile = tiles.restrict(join(position, tiles.covering(loops)), leader)
        model = tiles.plan.einsum.tensors[leader].density
        share = ops.minimum(1.0, model.maximum(tiles.size(leader, tile), tiles.sides(leader, tile)) / tiles.product(loops))
        shares[loops] = ops.minimum(shares.get(loops, 1.0), share)
    result: Share = 1.0
    for share in shares.values():
        result = ops.minimum(result, share)
    for (one, share), (other, another) in combinations(shares.items(), 2):
        apart = tiles.product(one & other) == 1
        result = ops.minimum(result, ops.where(apart, share * another, 1.0))
    return result


def waves(safs: SafConditions, level: int) -> Count:
    """Time of one step of the fanout below a level, in steps, over the share of its positions that are active.

    Positions along an axis of H instances are packed by themselves: E[ceil(k/H)] waves, k the active ones of b (sound.md, section
    7). Exact where one leader decides and each position holds one of its elements; else the larger of P(k > 0) and E[k]/H.
    """
    plan = safs.tiles.plan
    factors = list[Count]()
    for axis, width in zip("xy", plan.arch.fanout(level), strict=True):
        factor = ops.maximum(1.0, safs.tiles.product(_loops(safs, level, axis)) / width)
        for decider in _deciders(safs, level):
            factor = ops.maximum(factor, _axis(safs, decider, _loops(safs, level, axis), width))
        factors.append(factor)
    return ops.product(factors)


def _axis(safs: SafConditions, decider: _Decider, positions: frozenset[int], width: int) -> Count:
    """Waves along one axis over the share of active positions, as one leader decides."""
    leader, position = decider
    tiles = safs.tiles
    model = tiles.plan.einsum.tensors[leader].density
    one = tiles.restrict(position, leader)
    tile = tiles.restrict(join(position, tiles.covering(positions & frozenset(tiles.plan.relevant[leader]))), leader)
    size, extents, single = tiles.size(leader, tile), tiles.sides(leader, tile), tiles.size(leader, one)
    active = 1.0 - model.empty(single, tiles.sides(leader, one))
    rounded = ops.where(single == 1, model.blocks(size, extents, width), 1.0 - model.empty(size, extents))
    return ops.ratio(ops.maximum(rounded, active * tiles.product(positions) / width), active)


class _Decider(NamedTuple):
    """A tensor whose tile decides whether a position is active."""

    tensor: int
    position: Cover
    """What one position holds."""


def _deciders(safs: SafConditions, level: int) -> Iterator[_Decider]:
    """The leaders of the spatial skips of a level."""
    plan = safs.tiles.plan
    for link in plan.links:
        for saf in safs.acting(link):
            if saf.packs and saf.level == level:
                for name in saf.leaders:
                    yield _Decider(plan.einsum.index[name], safs.granule(link, saf))


def _loops(safs: SafConditions, level: int, axes: str, leader: int | None = None) -> frozenset[int]:
    """Spatial loops of a level along some axes, of a tensor only if one is named."""
    plan = safs.tiles.plan
    slots = range(len(plan.loops)) if leader is None else plan.relevant[leader]
    return frozenset(i for i in slots if plan.loops[i].level == level and plan.loops[i].axis in tuple(axes))
