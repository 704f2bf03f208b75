"""(F6) Words and energy on the networks between neighbouring levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import ops
from .arch import Network
from .ops import Array
from .plan import Link, Plan
from .sparse_traffic import LinkSparse, SparseTraffic
from .tiles import Tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTraffic:
    """What one network carries for every tensor that passes it, in words over all instances."""

    level: int
    name: str
    words_down: dict[str, Array]
    words_up: dict[str, Array]
    metadata_bits: dict[str, Array]
    additions: Array
    """Spatial reductions: partial sums added on the way up."""
    hops: dict[str, Array]
    """Mean number of hops of an injected word."""
    energy_pj: Array


def network_traffic(plan: Plan, tiles: Tiles, sparse: SparseTraffic) -> tuple[NetworkTraffic, ...]:
    """(F6) Down: reads.actual, up: updates.actual reduced words; metadata travels along; the rest is not on the wires."""
    return tuple(_network(plan, tiles, sparse, level) for level in range(plan.compute))


def _network(plan: Plan, tiles: Tiles, sparse: SparseTraffic, level: int) -> NetworkTraffic:
    network = plan.arch.levels[level].network
    assert network is not None
    passing = [k for k in sparse.links if k.dense.link.parent <= level < k.dense.link.child]
    down: dict[str, Array] = {}
    up: dict[str, Array] = {}
    bits: dict[str, Array] = {}
    hops: dict[str, Array] = {}
    additions: Array = 0.0
    energy: Array = 0.0
    for k in passing:
        link = k.dense.link
        spread = _spread(plan, tiles, link, level)
        partial = not plan.arch.levels[link.parent].reduction or not link.output
        down[link.name] = k.reads.actual * spread if partial else 0.0 * k.reads.actual
        up[link.name] = k.updates.actual * spread
        bits[link.name] = _metadata_bits(k, partial) * spread
        hops[link.name] = mean_hops(plan, tiles, link, level)
        merged = tiles.product(i for i in link.multicast if plan.slots[i].level == level) - 1
        added = up[link.name] * merged
        additions = additions + added
        words = down[link.name] + up[link.name] + bits[link.name] / network.word_bits
        energy = energy + _energy(plan, level, network, (words, hops[link.name])) + added * network.adder_pj
    return NetworkTraffic(
        level=level,
        name=network.name,
        words_down=down,
        words_up=up,
        metadata_bits=bits,
        additions=additions,
        hops=hops,
        energy_pj=energy,
    )


def _spread(plan: Plan, tiles: Tiles, link: Link, level: int) -> Array:
    """Copies of a parent's word that enter the network of an inner, bypassed level: multicast higher up."""
    return tiles.product(i for i in link.multicast if plan.slots[i].level < level)


def _metadata_bits(k: LinkSparse, partial: bool) -> Array:
    """Metadata that leaves or enters the parent over the network: what its accesses of inner ranks moved."""
    total: Array = 0.0
    for rank in k.ranks:
        total = total + rank.bits("updates").actual
        if partial:
            total = total + rank.bits("reads").actual
    return total


def _energy(plan: Plan, level: int, network: Network, load: tuple[Array, Array]) -> Array:
    """Wires, routers and ingress of `load` = (words, mean hops)."""
    words, hops = load
    hop = network.energy_per_hop_pj
    if hop is None:
        hop = network.wire_pj_per_bit_mm * network.word_bits * tile_width_mm(plan, level)
    routers = network.router_pj * (1.0 + np.floor(hops + 1e-9)) if network.router_pj else 0.0
    return words * (hops * hop + routers + network.ingress_pj)


def tile_width_mm(plan: Plan, level: int) -> float:
    """Edge of one child of `level`: given, else the root of the area of everything inside the child."""
    network = plan.arch.levels[level].network
    assert network is not None
    if network.tile_width_mm is not None:
        return network.tile_width_mm
    area = 0.0
    for inner in range(plan.compute, level, -1):
        x, y = plan.arch.fanout(inner) if inner < plan.compute else (1, 1)
        area = plan.arch.levels[inner].area_um2 + x * y * area
    return math.sqrt(area) / 1000.0


def mean_hops(plan: Plan, tiles: Tiles, link: Link, level: int) -> Array:
    """Mean hops of a word from the parent at the middle of the left edge to all children that share it.

    h_max + per used column the rows above and below the injection row.
    """
    slots = [i for i in link.between if plan.slots[i].level == level]
    if not slots:
        return 0.0
    fan = plan.arch.fanout(level)
    flat: list[Array] = [fan[0], fan[1]]
    for i in slots:
        shared = i in link.multicast
        flat += [tiles.n[i], 1 if plan.slots[i].axis == "x" else 0, 1 if shared else 0]
    return ops.lattice("hops", flat)


def _hops(width: int, height: int, *loops: int) -> float:
    """Mean over the multicast classes of one spatial group; loops: (bound, along x, shared), outermost first."""
    bounds, along_x, shared = loops[::3], loops[1::3], loops[2::3]
    logical = {1: 1, 0: 1}
    for bound, x in zip(bounds, along_x, strict=True):
        logical[x] *= bound
    centre = (max(height, logical[0]) - 1) / 2
    grid = np.indices(bounds).reshape(len(bounds), -1)
    column, row = np.zeros(grid.shape[1], int), np.zeros(grid.shape[1], int)
    for k, x in enumerate(along_x):
        if x:
            column = column * bounds[k] + grid[k]
        else:
            row = row * bounds[k] + grid[k]
    group = np.zeros(grid.shape[1], int)
    for k, same in enumerate(shared):
        group = group if same else group * bounds[k] + grid[k]
    hops: list[float] = []
    for g in np.unique(group):
        mine = group == g
        length = float(column[mine].max())
        for c in np.unique(column[mine]):
            rows = row[mine & (column == c)]
            length += max(0.0, centre - rows.min()) + max(0.0, rows.max() - centre)
        hops.append(length)
    return float(np.mean(hops))


ops.LATTICE["hops"] = _hops
