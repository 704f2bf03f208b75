"""Lower bounds of cost for parts of a mapping: what the links across one boundary cost at least, whatever lies around.

The boundary above level c separates c's tile from the loops of level c - 1. A crossing is one tensor moving across it. For a
tensor without halos the words delivered are

    D = |T| * prod over ranks d that do not index it of N_d / (tile_d * run_d)

with run the innermost run of irrelevant temporal loops; the parent's accesses are D / M, M the spatial loops that share a word.
Both are known from the tile of c and the loops of level c - 1, but for a run that reaches further out (then it is taken to reach
all the way) and sharing further out (taken at its largest). An access survives with probability NE of its conditions, and every
condition's tile contains the child's tile, so NE >= prod of (1 - e(tile of the child)).

What an event costs at least is said beside each rule of the model and only combined here: `least_energy` of actions,
`least_survival` of features, `least_nonempty` of density models, `least_word_pj` of networks. Gated and skipped actions cost at
least nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.optimal.crossings import Crossing
from sparseloop.mapper.optimal.tile_table import TileTable
from sparseloop.mapper.optimal.windows import plain_ranks, separate_ranks, window_of
from sparseloop.mapper.space.constraints import Keep, switches
from sparseloop.mapper.space.loop_orders import LevelOrder, OrderClasses, order_classes
from sparseloop.mapper.space.mapspace import Mapspace
from sparseloop.model.cost.actions import leak_per_cycle, least_compute_energy, least_energy
from sparseloop.model.cost.networks import hop_pj, least_sum_pj, least_word_pj, sees_partial_sums
from sparseloop.model.cost.requirements import Demand, data_requirements
from sparseloop.model.design.einsum import Tensor
from sparseloop.model.plan import LinkEnds
from sparseloop.model.sparsity.features import compute_leaders, earlier_leaders, least_survival

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
NOTICED = 0.01
"""Leakage per compute, relative to its price, from which it is worth to bound the time for its sake."""


class LowerBounds:
    """What is known of the cost of every mapping with given bypasses before its loops are known.

    `timed`: the objective looks at cycles; else those of storage levels matter only where they leak. `only`: the tiles of a
    level to which the bounds are confined.
    """

    def __init__(
        self, space: Mapspace, tiles: TileTable, keep: Keep, *, timed: bool = True, only: Mapping[int, Flags] | None = None
    ) -> None:  # fmt: skip
        self.space, self.tiles, self.keep, self.only = space, tiles, keep, only or {}
        self.design = space.design
        self.levels = len(self.design.arch.storage)
        self.plain_ranks = [plain_ranks(t) for t in self.design.einsum.tensors]
        shape = dict(zip(tiles.ranks, tiles.shape, strict=True))
        self.separate_ranks = [
            separate_ranks(t, lambda rank: shape.get(rank, 1)) - tiles.coinciding(t) for t in self.design.einsum.tensors
        ]
        self.windows = [window_of(self.design.einsum, t, tiles.ranks, tiles.shape) for t in self.design.einsum.tensors]
        """Of the tensors with halos or padding."""
        self.unshared = switches(space.rules)["no_multicast"]
        """Levels and tensors without multicast."""
        self.classes = self._classes()
        self.spatial_most = [tiles.once(("most", i), lambda i=i: self._spatial_most(i)) for i in range(self.levels)]
        self.crossings: list[list[Crossing]] = [[] for _ in range(self.levels)]
        """Per level the crossings that are charged to it."""
        for child in range(1, self.levels + 1):
            for crossing in self._crossings(child):
                self.crossings[crossing.charged].append(crossing)
        to_compute = [c for of_level in self.crossings for c in of_level if c.child == self.levels and c.output and c.plain]
        self.returning = [
            [
                c
                for c in to_compute
                if c.parent > i and self.most_shared(self.design.einsum.tensors[c.tensor], range(i, i + 1)) > 1
            ]
            for i in range(self.levels)
        ]
        """Per level the crossings to the compute level whose partial sums the level's lanes hold copies of."""
        self.latency = sum(n.fill_latency + n.drain_latency for lv in self.design.arch.storage if (n := lv.network) is not None)
        einsum, arch, sparse = self.design.einsum, self.design.arch, self.design.sparse
        self.compute_energy = least_compute_energy(einsum, arch, sparse)
        self.busy = einsum.least_nonzero(compute_leaders(einsum, sparse).timed)
        """Share of the computes that take time, at least."""
        self.leak = leak_per_cycle(arch)
        limited = any(lv.read_bandwidth or lv.write_bandwidth or lv.shared_bandwidth for lv in self.design.arch.storage)
        compute = self.design.arch.compute
        self.timed = limited and (timed or self.leak / compute.instances > NOTICED * compute.prices["compute"].energy_pj)
        """False: cycles of storage levels are not bounded, as they change the objective by a little leakage at most."""

    # --- static -------------------------------------------------------------------------------------------------

    def _classes(self) -> tuple[OrderClasses, ...]:
        """Per level the classes of orders that the bounds tell apart."""
        found: list[OrderClasses] = []
        for level, order in enumerate(self.space.orders):
            inner = frozenset[str]().union(*self.keep[level + 1 :])
            found.append(self.order_classes(order, [i for i, t in enumerate(self.design.einsum.tensors) if t.name in inner]))
        return tuple(found)

    def order_classes(self, order: LevelOrder, tensors: Sequence[int]) -> OrderClasses:
        """The classes that these tensors tell apart.

        Orders are alike if every tensor has the same loops inside its innermost moving one: a loop over a rank with an axis of
        its own, or over the largest rank of a sliding window (and then over the same one). Tensors with windows come once more
        after all tensors: the loops inside the innermost one over any of their ranks.
        """
        windows = [t for t in tensors if self.windows[t] is not None]
        moving = [*(self.separate_ranks[t] for t in tensors), *(self.design.einsum.tensors[t].ranks for t in windows)]
        sliding = [mine - self.plain_ranks[t] for t, mine in zip((*tensors, *windows), moving, strict=True)]
        key = ("classes", order, *moving, *sliding)
        return self.tiles.once(key, lambda: order_classes(order, self.tiles.ranks, moving, sliding))

    def _spatial_most(self, level: int) -> dict[str, int]:
        """Largest spatial factor of every rank at a level."""
        most: dict[str, int] = {}
        for space in self.space.ranks:
            for group in space.factors.groups:
                if group.level == level and not group.temporal:
                    options = [d for d in self.tiles.divisors[self.tiles.ranks.index(space.rank)] if group.allows(int(d))]
                    most[space.rank] = max((int(d) for d in options if any(True for _ in group.splits(int(d)))), default=1)
        return most

    def most_shared(self, tensor: Tensor, levels: range) -> float:
        """Largest product of irrelevant spatial factors at these levels."""
        return self.tiles.once(("shared", tensor.name, levels), lambda: self._most_shared(tensor, levels))

    def _most_shared(self, tensor: Tensor, levels: range) -> float:
        most = 1.0
        for level in levels:
            x, y = self.design.arch.fanout(level)
            free = math.prod(n for r, n in self.spatial_most[level].items() if r not in self._separate(tensor))
            most *= free if self.design.sparse.packs(level) else min(free, x * y)
        return most

    def _separate(self, tensor: Tensor) -> frozenset[str]:
        """Ranks whose spatial loops never share a tile."""
        return self.separate_ranks[self.design.einsum.index[tensor.name]]

    def shared(self, c: Crossing, level: int, factors: Floats) -> Floats:
        """Lanes at most that share a word, by choice of spatial factors of a level, (choices, ranks); the result: (choices,).

        Lanes at p and r of a window p + r have as many tiles as there are sums, at least n_p + n_r - 1 of n_p n_r, if lanes of
        other levels do not add to them. Of lanes in the padding nothing is known.
        """
        tensor, ranks = self.design.einsum.tensors[c.tensor], self.tiles.ranks
        terms = [term.rank for axis in tensor.axes for term in axis.terms]
        sliding = tensor.ranks - self.plain_ranks[c.tensor]
        others = [i for i in range(c.parent, c.child) if i != level]
        repeated = len(set(terms)) < len(terms) or self.tiles.plan.padded[c.tensor]
        if repeated or any(self.spatial_most[i].get(rank, 1) > 1 for i in others for rank in sliding):
            return factors[:, [i for i, r in enumerate(ranks) if r not in self.separate_ranks[c.tensor]]].prod(axis=1)
        result = factors[:, [i for i, r in enumerate(ranks) if r not in tensor.ranks]].prod(axis=1)
        for axis in tensor.axes:
            lanes = factors[:, [ranks.index(t.rank) for t in axis.terms if t.rank in ranks]]
            if lanes.shape[1] > 1:
                result = result * lanes.prod(axis=1) / (lanes.sum(axis=1) - (lanes.shape[1] - 1))
        return result

    def returned(self, c: Crossing, level: int, copies: Floats) -> Floats:
        """Partial sums read at least beyond those charged with a crossing to the compute level, if lanes hold so many copies.

        What is charged there takes the copies outside the parent at their most: first touches need no read.
        """
        if c.uneven or c.known_leader:
            return 0.0 * copies
        tensor = self.design.einsum.tensors[c.tensor]
        most, outside = self.most_shared(tensor, range(level, level + 1)), self.most_shared(tensor, range(level))
        surely = self.design.einsum.computes / (c.sharing * self.most_shared(tensor, range(c.charged, c.charged + 1)))
        if surely >= c.whole * c.spread:
            return c.whole * outside * (most - copies)
        if c.spread > most:
            return 0.0 * copies
        return np.clip(np.minimum(c.whole * (most - copies), surely - c.whole * copies), 0.0, None)

    def most_lanes(self, levels: range) -> float:
        """Largest product of all spatial factors at these levels."""
        most = 1.0
        for level in levels:
            x, y = self.design.arch.fanout(level)
            free = math.prod(self.spatial_most[level].values())
            most *= free if self.design.sparse.packs(level) else min(free, x * y)
        return most

    def _crossings(self, child: int) -> list[Crossing]:
        """The crossings of the boundary above a level, or above the compute level."""
        found: list[Crossing] = []
        einsum, arch, sparse = self.design.einsum, self.design.arch, self.design.sparse
        for t, tensor in enumerate(einsum.tensors):
            keepers = [i for i, names in enumerate(self.keep) if tensor.name in names]
            outer = [i for i in keepers if i < child]
            if outer and (child == self.levels or child in keepers):
                link = LinkEnds(einsum=einsum, arch=arch, sparse=sparse, tensor=t, parent=outer[-1], child=child)
                found.append(self._crossing(link, self._charged(tensor, link)))
        return found

    def _charged(self, tensor: Tensor, link: LinkEnds) -> int:
        """The level right outside the child; of the compute level, where nothing stays, that which may share most."""
        if not link.to_compute:
            return link.child - 1
        return max(range(link.parent, link.child), key=lambda i: (self.most_shared(tensor, range(i, i + 1)), i))

    def _crossing(self, link: LinkEnds, charged: int) -> Crossing:
        t, parent, child, plan = link.tensor, link.parent, link.child, self.tiles.plan
        tensor = link.einsum.tensors[t]
        energy, left = least_energy(link), least_survival(link)
        earlier = earlier_leaders(link)
        looked_at = self.design.einsum.least_nonzero(earlier)
        looked_at *= self.design.einsum.least_beside(t, earlier) if link.compressed else 1.0
        return Crossing(
            tensor=t,
            parent=parent,
            child=child,
            charged=charged,
            output=tensor.output,
            plain=plan.plain[t],
            reads=energy["reads"] * left.read,
            updates=energy["updates"] * left.stored,
            fills=energy["fills"] * left.arriving,
            entries=energy["entries"],
            leaders=tuple(sorted(left.leaders.all)),
            timed_leaders=tuple(sorted(left.leaders.timed)),
            read_words=link.width(parent) * left.read,
            update_words=link.width(parent) * left.stored,
            fill_words=0.0 if link.to_compute else link.width(child) * left.arriving,
            sharing=math.prod(self.most_shared(tensor, range(i, i + 1)) for i in range(parent, child) if i != charged),
            spread=self.most_shared(tensor, range(parent)),
            whole=float(self.tiles.size(t)[-1]),
            comparisons=energy["comparisons"] * looked_at,
            forwarded=(forwarded := not plan.plain[t] and any(self._forwards(i, tensor) for i in range(parent, child))),
            uneven=tensor.output and any(plan.padded[u] for u in (t, *left.leaders.all)),
            known_leader=any(link.einsum.tensors[u].density.deterministic for u in left.leaders.all),
            stored=left.stored,
            wired=not forwarded and any(self._priced(i) for i in range(parent, child)),
            both_ways=sees_partial_sums(link) and not any(least_sum_pj(link, i) for i in range(parent, child)),
        )

    def _priced(self, level: int) -> bool:
        """True if words or sums cost something on the network of a level."""
        n = self.design.arch.levels[level].network
        return n is not None and bool(hop_pj(self.design.arch, level) or n.router_pj or n.ingress_pj or n.adder_pj)

    def _ends(self, c: Crossing) -> LinkEnds:
        design = self.design
        return LinkEnds(
            einsum=design.einsum, arch=design.arch, sparse=design.sparse, tensor=c.tensor, parent=c.parent, child=c.child
        )

    def word_pj(self, c: Crossing, level: int, hops: Floats) -> Floats:
        """Energy at least of a dense word that makes so many hops on the network of a level."""
        return np.asarray(least_word_pj(self._ends(c), level, hops)) * c.stored

    def sum_pj(self, c: Crossing, level: int) -> float:
        """Energy at least of adding two partial sums there."""
        alone = (level, self.design.einsum.tensors[c.tensor].name) in self.unshared
        return 0.0 if alone else least_sum_pj(self._ends(c), level) * c.stored

    def wires(self, c: Crossing, levels: range) -> float:
        """Energy at least of a word that passes the networks of these levels on its way out, whatever their spatial factors."""
        energy, outermost, tensor = 0.0, levels.stop, self.design.einsum.tensors[c.tensor]
        for level in levels:
            shared = self.most_shared(tensor, range(level, outermost))
            energy += float(self.word_pj(c, level, np.zeros(1))[0]) / shared
        return energy

    def _forwards(self, level: int, tensor: Tensor) -> bool:
        """True if children of a level may pass words of the tensor on to a neighbour."""
        network = self.design.arch.levels[level].network
        spread = any(n > 1 and r in tensor.ranks for r, n in self.spatial_most[level].items())
        return network is not None and network.forwarding and spread

    def total_energy(self, energy: Floats, cycles: Floats) -> Floats:
        """Energy of the whole at least: that of the storage levels, of computes, and leakage over the cycles."""
        return energy + self.compute_energy + self.leak * (cycles + self.latency)

    def floor(self, energy: Floats, cycles: Floats) -> tuple[Floats, Floats]:
        """Energy and cycles of the whole at least, if the storage levels take at least `energy` and `cycles`."""
        most = min(self.most_lanes(range(self.levels)), self.design.arch.compute.instances)
        cycles = np.maximum(cycles, self.design.einsum.computes * self.busy / most)
        return self.total_energy(energy, cycles), cycles + self.latency

    # --- capacity -----------------------------------------------------------------------------------------------

    def admitted(self, level: int) -> Flags:
        """Tiles that fit a level, of those to which the bounds are confined."""
        return self.fits(level) & self.only[level] if level in self.only else self.fits(level)

    def fits(self, level: int) -> Flags:
        """Tiles that respect the level's capacity and the use asked of it (data alone)."""
        return self.tiles.once(("fits", level, self.keep[level]), lambda: self._fits(level))

    def _fits(self, level: int) -> Flags:
        spec, fitting = self.design.arch.levels[level], np.ones(self.tiles.count, dtype=bool)
        demands: list[Demand] = []
        least = False  # what is counted of some tile is a lower bound: it says nothing of too little use
        for t, tensor in enumerate(self.design.einsum.tensors):
            if tensor.name in self.keep[level]:
                compressed = (stored := self.design.sparse.format(level, tensor.name)) is not None and stored.compressed
                least |= compressed and tensor.density.produced
                demands.append(Demand(tensor.name, self.tiles.counted(t, level, compressed)))
        for one in data_requirements(level, spec, demands) if demands else ():
            if one.kind != "utilization" or not least:
                fitting &= ~one.violated
        return fitting
