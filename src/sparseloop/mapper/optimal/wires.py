"""Networks in the bounds: how the spatial factors of a level may lie on its mesh, and what a word costs there at least.

A crossing injects words into the network of every level from its parent to right outside its child. Words that come from
further inside are merged where lanes share them, so of W words W / M enter a network with M lanes that share, each for the least
energy of all ways to lay the factors on the mesh; partial sums are added W / M times M - 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparseloop.mapper.optimal.quantities import Floats, Ints
from sparseloop.mapper.space.constraints import spatial_ranks, switches
from sparseloop.mapper.space.mapspace import Mapspace, forwards, laid_on_loops
from sparseloop.model.cost.networks import SpreadLoop, hop_pj, hops_across


def hops_matter(space: Mapspace, level: int) -> bool:
    """True if a word costs more on the network of the level the farther it goes."""
    n = space.design.arch.levels[level].network
    return n is not None and bool(hop_pj(space.design.arch, level) or n.router_pj)


def axes_matter(space: Mapspace, level: int) -> bool:
    """True if more than hops depends on the axes of spatial loops: ranks of formats, packed lanes, words passed to neighbours."""
    n = space.design.arch.levels[level].network
    passed_on = n is not None and n.forwarding and forwards(space.design)
    return laid_on_loops(space.design) or space.design.sparse.packs(level) or passed_on


def hops_of_ways(space: Mapspace, level: int, ways: Ints) -> Floats:
    """Mean hops of a word of every tensor, shape (tensors, ways); `ways`: bounds of the level's spatial loops, (ways, loops)."""
    tensors, loops = space.design.einsum.tensors, [loop for loop in space.loops if loop.level == level and loop.spatial]
    found = np.zeros((len(tensors), len(ways)))
    if not hops_matter(space, level) or not loops:
        return found
    place = {(loop.axis, loop.rank): i for i, loop in enumerate(loops)}
    ranks, unshared = spatial_ranks(space.design, space.rules[level]), switches(space.rules)["no_multicast"]
    order = [(axis, rank) for axis in ("y", "x") for rank in ranks if (axis, rank) in place]
    for t, tensor in enumerate(tensors):
        alone = (level, tensor.name) in unshared
        spread = [
            SpreadLoop(axis == "y", ways[:, place[axis, rank]], not alone and rank not in tensor.ranks) for axis, rank in order
        ]
        found[t] = hops_across(spread, space.design.arch.fanout(level), packed=space.design.sparse.packs(level))
    return found


def best_ways(hops: Floats) -> list[int]:
    """Those of some ways, hops of shape (tensors, ways), that no other one beats: one of those with equal hops."""
    _, first = np.unique(hops, axis=1, return_index=True)
    rows: Any = hops[:, np.sort(first)].T
    beaten = ((rows[None] <= rows[:, None]).all(axis=2) & (rows[None] < rows[:, None]).any(axis=2)).any(axis=1)
    return [int(i) for i in np.sort(first)[~beaten]]
