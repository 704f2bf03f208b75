"""(F6) Words and energy on the networks between neighbouring levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparseloop.model import ops
from sparseloop.model.design.arch import Arch, Network
from sparseloop.model.memo import memo
from sparseloop.model.plan import Link, LinkEnds, Plan
from sparseloop.model.sparse_traffic import LinkSparse, SparseTraffic
from sparseloop.model.traffic.tiles import Tiles
from sparseloop.model.units import Bits, Count, Pj, Words


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkTraffic:
    """What one network carries, in words over all instances; each number is computed when first read."""

    plan: Plan
    tiles: Tiles
    level: int
    passing: tuple[LinkSparse, ...]
    """The tensors whose words pass: kept at or outside the level, and next used further inside."""

    @property
    def network(self) -> Network:
        """The hardware."""
        network = self.plan.arch.levels[self.level].network
        assert network is not None
        return network

    @property
    def name(self) -> str:
        """Its name."""
        return self.network.name

    def _partial(self, k: LinkSparse) -> bool:
        """Partial sums also travel down where the parent cannot add in place."""
        link = k.dense.link
        return not link.output or (link.partials != "add" and not self.plan.arch.levels[link.parent].reduction)

    @cached_property
    def words_down(self) -> dict[str, Words]:
        """Words injected downwards: reads.actual, times the copies made by multicast further out."""
        return {
            k.dense.link.name: k.reads.actual * self._spread(k) if self._partial(k) else 0.0 * k.updates.total
            for k in self.passing
        }

    @cached_property
    def words_up(self) -> dict[str, Words]:
        """Reduced words going up: updates.actual."""
        return {k.dense.link.name: k.updates.actual * self._spread(k) for k in self.passing}

    @cached_property
    def metadata_bits(self) -> dict[str, Bits]:
        """Metadata that travels with the words."""
        return {k.dense.link.name: _metadata_bits(k, self._partial(k)) * self._spread(k) for k in self.passing}

    @cached_property
    def hops(self) -> dict[str, Count]:
        """Mean number of hops of an injected word."""
        return {k.dense.link.name: mean_hops(self.plan, self.tiles, k.dense.link, self.level) for k in self.passing}

    @cached_property
    def additions(self) -> Count:
        """Spatial reductions: partial sums added on the way up, (M - 1) per reduced word."""
        merged = {k.dense.link.name: self._group(k) - 1 for k in self.passing if k.dense.link.output}
        return ops.total(self.words_up[name] * m for name, m in merged.items())

    def _group(self, k: LinkSparse) -> Count:
        """Partial sums that this network adds into one."""
        return self.tiles.product(i for i in k.dense.link.multicast if self.plan.loops[i].level == self.level)

    def _spread(self, k: LinkSparse) -> Count:
        """Copies of a parent's word that enter the network of an inner, bypassed level: multicast higher up."""
        return self.tiles.product(i for i in k.dense.link.multicast if self.plan.loops[i].level < self.level)

    @cached_property
    def energy_pj(self) -> Pj:
        """Wires, routers, ingress and additions; a free network is not even counted."""
        n, hop = self.network, self._hop_pj
        energy: Pj = self.additions * n.adder_pj if ops.some(n.adder_pj) else 0.0
        if not any(map(ops.some, (hop, n.router_pj, n.ingress_pj))):
            return energy
        for k in self.passing:
            if k.dense.link.child == self.level + 1:
                energy = energy + k.forwarded * (hop + 2.0 * n.router_pj)
            energy = energy + self.energy_of(k, self.hops[k.dense.link.name])
        return energy

    @cached_property
    def _hop_pj(self) -> float:
        return hop_pj(self.plan.arch, self.level)

    def energy_of(self, k: LinkSparse, hops: Count) -> Pj:
        """Energy of a tensor's words that enter the network, if each makes that many hops: wires, routers, ingress."""
        n, name = self.network, k.dense.link.name
        bits = self.plan.einsum.tensors[k.dense.link.tensor].word_bits or n.word_bits
        words = self.words_down[name] + self.words_up[name] + (k.overflow.reads + k.overflow.updates) * self._spread(k)
        words = words * (bits / n.word_bits) + self.metadata_bits[name] / n.word_bits
        return words * word_pj(n, self._hop_pj, hops)


def network_traffic(plan: Plan, tiles: Tiles, sparse: SparseTraffic) -> tuple[NetworkTraffic, ...]:
    """(F6) Down: reads.actual, up: updates.actual reduced words; metadata travels along; the rest is not on the wires."""
    return tuple(
        NetworkTraffic(
            plan=plan,
            tiles=tiles,
            level=level,
            passing=tuple(k for k in sparse.links if k.dense.link.parent <= level < k.dense.link.child),
        )
        for level in range(plan.compute)
    )


def _metadata_bits(k: LinkSparse, partial: bool) -> Bits:
    """Metadata that leaves or enters the parent over the network: what its accesses of inner ranks moved."""
    total: Bits = 0.0
    for rank in k.ranks:
        total = total + rank.bits("updates").actual
        if partial:
            total = total + rank.bits("reads").actual
    return total


def hop_pj(arch: Arch, level: int) -> Pj:
    """Energy of the wires of one hop on the network below a level, per word of the network."""
    n = arch.levels[level].network
    assert n is not None
    if n.energy_per_hop_pj is not None:
        return n.energy_per_hop_pj
    return n.wire_pj_per_bit_mm * n.word_bits * tile_width_mm(arch, level) if ops.some(n.wire_pj_per_bit_mm) else 0.0


def word_pj(n: Network, hop: Pj, hops: Count) -> Pj:
    """Energy of a word of the network that makes so many hops at `hop` pJ each: wires, routers, ingress."""
    routers = n.router_pj * (1.0 + np.floor(hops + 1e-9)) if ops.some(n.router_pj) else 0.0
    return hops * hop + routers + n.ingress_pj


def tile_width_mm(arch: Arch, level: int) -> float:
    """Edge of one child of `level`: given, else the root of the area of everything inside the child."""
    network = arch.levels[level].network
    assert network is not None
    if network.tile_width_mm is not None:
        return network.tile_width_mm
    area, compute = 0.0, len(arch.levels) - 1
    for inner in range(compute, level, -1):
        x, y = arch.fanout(inner) if inner < compute else (1, 1)
        area = arch.levels[inner].area_um2 + x * y * area
    return ops.root(area) / 1000.0


def mean_hops(plan: Plan, tiles: Tiles, link: Link, level: int) -> Count:
    """Mean hops of a word from the parent to all children that share it, below one level; see `hops_across`."""
    slots = [i for i in link.between if plan.loops[i].level == level]
    spread = [SpreadLoop(plan.loops[i].axis == "y", tiles.bounds[i], i in link.multicast) for i in slots]
    return hops_across(spread, plan.arch.fanout(level), packed=plan.sparse.packs(level))


@dataclass(frozen=True, slots=True)
class SpreadLoop:
    """A spatial loop as the words of one tensor see it."""

    vertical: bool
    """It lies along y."""
    bound: Count
    shared: bool
    """All its children take the same words."""


def hops_across(loops: Sequence[SpreadLoop], fanout: tuple[int, int], *, packed: bool) -> Count:
    """Mean hops of a word from the middle of the left edge of a mesh to all children that share it; loops outermost first.

    Along x to the farthest column, then in every used column to the rows above and below. Positions that a spatial skip packs
    onto fewer lanes lie as densely as the lanes allow.
    """
    if not loops:
        return 0.0
    farthest: Count = 0.0
    columns: Count = 1
    stride: Count = 1
    rows: list[Count] = [fanout[1]]
    for loop in reversed(loops):
        n = loop.bound
        if loop.vertical:
            rows += [n, 1 if loop.shared else 0]
        else:
            farthest = farthest + stride * (n - 1) * (1.0 if loop.shared else 0.5)
            columns = columns * n if loop.shared else columns
            stride = stride * n
    vertical = ops.lattice("rows", rows)
    if packed:
        wide, high = (
            _folding([lp.bound for lp in loops if lp.vertical == along_y], fanout[along_y]) for along_y in (False, True)
        )
        farthest, columns, vertical = farthest / wide, columns / wide, vertical / high
    return farthest + columns * vertical


def _folding(bounds: Sequence[Count], lanes: int) -> Count:
    """Positions per lane along an axis, at least 1."""
    return ops.maximum(ops.product(bounds) / lanes, 1.0)


@memo(1 << 12)
def _row_hops(height: int, *loops: int) -> float:
    """Mean vertical hops in one column; loops along y as (bound, shared), innermost first."""
    lows, reach, stride = np.zeros(1), 0, 1
    for bound, shared in zip(loops[::2], loops[1::2], strict=True):
        if shared:
            reach += stride * (bound - 1)
        else:
            lows = (lows[:, None] + stride * np.arange(bound)).reshape(-1)
        stride *= bound
    centre = (max(height, stride) - 1) / 2
    return float(np.mean(np.maximum(0, centre - lows) + np.maximum(0, lows + reach - centre)))


ops.LATTICE["rows"] = _row_hops


# --- bounds -------------------------------------------------------------------------------------------------


def least_word_pj(ends: LinkEnds, level: int, hops: Count) -> Pj:
    """Beside `NetworkTraffic.energy_of`: energy at least of one word of a link that makes that many hops below a level.

    Metadata and words of overbooked tiles come on top.
    """
    n = ends.arch.levels[level].network
    if n is None:
        return 0.0 * hops
    bits = ends.einsum.tensors[ends.tensor].word_bits or n.word_bits
    return word_pj(n, hop_pj(ends.arch, level), hops) * (bits / n.word_bits)


def least_sum_pj(ends: LinkEnds, level: int) -> Pj:
    """Beside `NetworkTraffic.additions`: energy of adding one partial sum on the way up through the network below a level."""
    n = ends.arch.levels[level].network
    return n.adder_pj if n is not None and ends.output else 0.0


def sees_partial_sums(ends: LinkEnds) -> bool:
    """True if partial sums also travel down."""
    return ends.output and ends.partials != "add" and not ends.arch.levels[ends.parent].reduction
