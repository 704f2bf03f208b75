"""Admissible bounds for parts of a mapping: what the links across one boundary cost at least, whatever lies around.

The boundary above level c separates c's tile from the loops of level c - 1. For a tensor without halos the words delivered
across it are

    D = |T| * prod over ranks d that do not index it of N_d / (tile_d * run_d)

with run the innermost run of irrelevant temporal loops; the parent's accesses are D / M, M the spatial loops that share a word.
Both are known from the tile of c and the loops of level c - 1, but for a run that reaches further out (then it is taken to reach
all the way) and sharing further out (taken at its largest). An access survives with probability NE of its conditions, and every
condition's tile contains the child's tile, so NE >= prod of (1 - e(tile of the child)). Metadata, networks, gated and skipped
actions cost at least nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.space.constraints import Keep
from sparseloop.mapper.space.loop_orders import OrderClasses, order_classes
from sparseloop.mapper.space.mapspace import Mapspace
from sparseloop.model.cost.requirements import Demand, data_requirements
from sparseloop.model.density import Even, Uniform
from sparseloop.model.design import Design
from sparseloop.model.design.einsum import Tensor
from sparseloop.model.design.mapping import Loop, LoopNest
from sparseloop.model.design.sparse import Saf
from sparseloop.model.formats.occupancy import TileWords
from sparseloop.model.plan import Plan, compile_plan
from sparseloop.model.traffic.tiles import Tiles

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
T = TypeVar("T")
NOTICED = 0.01
"""Leakage per compute, relative to its price, from which it is worth to bound the time for its sake."""


class TileTable:
    """All tiles whose extents divide the shape, numbered; sizes and the like are arrays over them."""

    def __init__(self, design: Design, ranks: Sequence[str], shape: Sequence[int], divisors: Sequence[Sequence[int]]) -> None:
        self.design = design
        self.ranks = tuple(ranks)
        self.shape = tuple(shape)
        self.divisors = tuple(np.array(d, dtype=np.int64) for d in divisors)
        counts = [len(d) for d in self.divisors]
        self.radix = tuple(math.prod(counts[i + 1 :]) for i in range(len(counts)))
        self.count = math.prod(counts)
        grid = np.indices(counts).reshape(len(counts), self.count)
        self.extents: Ints = np.stack([d[i] for d, i in zip(self.divisors, grid, strict=True)])
        """Rank by tile."""
        self.plan = self._flat_plan()
        self.tiles = Tiles(self.plan, self.extents.astype(np.float64))
        self._chains = [all(b % a == 0 for a, b in pairwise(d)) for d in divisors]
        self._alive: dict[int, Floats] = {}
        self._counted: dict[tuple[int, int, bool], Floats] = {}
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, made: Callable[[], T]) -> T:
        """What several choices of bypasses ask for, made by the first that does."""
        if key not in self._known:
            self._known[key] = made()
        return self._known[key]

    def least_around(self, values: Floats) -> Floats:
        """By tile: the least value of all tiles that contain it, that is whose extents are multiples of its own."""
        grid = values.reshape([len(d) for d in self.divisors])
        for axis, (divisors, chain) in enumerate(zip(self.divisors, self._chains, strict=True)):
            if chain:
                grid = np.flip(np.minimum.accumulate(np.flip(grid, axis), axis), axis)
            else:
                grid = np.stack([grid.take(np.flatnonzero(divisors % d == 0), axis).min(axis) for d in divisors], axis)
        return grid.reshape(-1)

    def _flat_plan(self) -> Plan:
        """One level that holds everything, one loop per rank: its tile is the tile."""
        names = frozenset(t.name for t in self.design.einsum.tensors)
        keep = (names, *(frozenset[str]() for _ in self.design.arch.storage[1:]))
        nest = LoopNest(loops=tuple(Loop(rank=r, level=0) for r in self.ranks), keep=keep)
        return compile_plan(self.design.einsum, self.design.arch, nest, self.design.sparse)

    def size(self, tensor: int) -> Floats:
        """|T(tile)|."""
        return self._full(self.tiles.size(tensor, self.tiles.inside(0)))

    def code(self, extents: Ints) -> Ints:
        """Numbers of tiles by their extents, rank by column."""
        located: Any = cast("Any", np.searchsorted)
        terms = [located(d, row) * r for d, row, r in zip(self.divisors, extents, self.radix, strict=True)]
        return cast("Any", sum)(terms, np.zeros(extents.shape[1], dtype=np.int64))

    def _full(self, value: object) -> Floats:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.count,))

    def counted(self, tensor: int, level: int, compressed: bool) -> Floats:
        """Words of the level that the fit test counts for a tile."""
        key = (tensor, level, compressed)
        if key not in self._counted:
            words = TileWords(
                model=self.design.einsum.tensors[tensor].density,
                size=self.size(tensor),
                extents=self.tiles.extents(tensor, self.tiles.inside(0)),
                compressed=compressed,
                rule=self.design.arch.levels[level].capacity_rule,
            )
            self._counted[key] = self._full(words.counted) * self.plan.width(tensor, level)
        return self._counted[key]

    def alive(self, tensor: int) -> Floats:
        """At most P(a cover that contains the tile is not empty): monotone models by size, others by a single element."""
        if tensor not in self._alive:
            model = self.design.einsum.tensors[tensor].density
            if model.deterministic:
                self._alive[tensor] = np.zeros(self.count)
            elif isinstance(model, Uniform | Even):
                extents = self.tiles.extents(tensor, self.tiles.inside(0))
                self._alive[tensor] = 1.0 - self._full(model.empty(self.size(tensor), extents))
            else:
                self._alive[tensor] = np.full(self.count, element_alive(self.design, tensor))
        return self._alive[tensor]

    def delivered(self, tensor: int) -> Floats:
        """Words delivered to all holders of a tile if nothing stays: |T(tile)| * prod_d N_d / tile_d."""
        return self.size(tensor) * (float(math.prod(self.shape)) / self.extents.astype(np.float64).prod(axis=0))


def _plain_ranks(tensor: Tensor) -> frozenset[str]:
    """Ranks that have an axis of the tensor of their own: one step takes a tile to wholly different words."""
    every = [term.rank for axis in tensor.axes for term in axis.terms]
    return frozenset(axis.terms[0].rank for axis in tensor.axes if len(axis.terms) == 1 and every.count(axis.terms[0].rank) == 1)


def element_alive(design: Design, tensor: int) -> float:
    """P(an element is not zero), 0 where the pattern is known (its zeros may coincide with those of others)."""
    one = design.einsum.tensors[tensor]
    if one.density.deterministic:
        return 0.0
    return float(min(1.0, max(0.0, 1.0 - float(one.density.empty(1.0, (1.0,) * len(one.axes))))))


@dataclass(frozen=True, slots=True)
class Crossing:
    """One tensor across one boundary: prices (pJ per dense word, survival of fixed conditions included) and bandwidth words."""

    tensor: int
    parent: int
    child: int
    output: bool
    plain: bool
    reads: float
    updates: float
    fills: float
    masks: float
    """Of reads, for outputs of updates, at the parent per dense word: bits of a mask, which zeros have, too."""
    leaders: tuple[int, ...]
    """Tensors whose tile must not be empty: conditions of the features on this and the outer links."""
    skippers: tuple[int, ...]
    """Those of skipping features: an access that is only gated still takes its slot."""
    read_words: float
    fill_words: float
    """Words of bandwidth at the parent and at the child per dense word."""
    sharing: float
    """Most children, by spatial loops of levels between that are bypassed, that share a word of the parent."""
    spread: float
    """Most copies of the tensor at instances of the parent."""
    whole: float
    """|T|."""
    checks: float
    """Energy per dense access of an intersection unit: it looks at what its own leaders remove, too."""
    forwarded: bool
    """A mesh neighbour may pass on words of a sliding window, so the parent may be spared any number of reads."""


class LowerBounds:
    """What can be said about a mapping with given bypasses before its loops are known."""

    def __init__(self, space: Mapspace, tiles: TileTable, keep: Keep, *, timed: bool = True) -> None:
        self.space, self.tiles, self.keep = space, tiles, keep
        self.design = space.design
        self.levels = len(self.design.arch.storage)
        self.plain_ranks = [_plain_ranks(t) for t in self.design.einsum.tensors]
        self.classes = self._classes()
        self.spatial_most = [tiles.once(("most", i), lambda i=i: self._spatial_most(i)) for i in range(self.levels)]
        self.crossings: list[list[Crossing]] = [[] for _ in range(self.levels)]
        """Per level the crossings whose cost is known with its factors: links that end right inside it; those to the compute
        level, where nothing stays, belong to the level at or inside their parent that may share most."""
        for child in range(1, self.levels + 1):
            for crossing, charged in self._crossings(child):
                self.crossings[charged].append(crossing)
        self.latency = sum(n.fill_latency + n.drain_latency for lv in self.design.arch.storage if (n := lv.network) is not None)
        self.compute_energy, self.busy = self._computes()
        self.leak = sum(lv.prices["leak"].energy_pj * lv.instances for lv in self.design.arch.levels)
        limited = any(lv.read_bandwidth or lv.write_bandwidth or lv.shared_bandwidth for lv in self.design.arch.storage)
        compute = self.design.arch.compute
        self.timed = limited and (timed or self.leak / compute.instances > NOTICED * compute.prices["compute"].energy_pj)
        """False: cycles of storage levels are not bounded, for the objective sees them at most through a little leakage."""

    # --- static -------------------------------------------------------------------------------------------------

    def _classes(self) -> tuple[OrderClasses, ...]:
        """Per level the classes of orders: loops inside the innermost one that is sure to bring a whole new tile.

        Of a tensor with halos that is a loop over a rank with an axis of its own: no other keeps all the old tile out.
        """
        found: list[OrderClasses] = []
        for level, order in enumerate(self.space.orders):
            inner = frozenset[str]().union(*self.keep[level + 1 :])
            waiting = [self.plain_ranks[i] for i, t in enumerate(self.design.einsum.tensors) if t.name in inner]
            key = ("classes", order, *waiting)
            found.append(self.tiles.once(key, lambda o=order, w=waiting: order_classes(o, self.tiles.ranks, w)))
        return tuple(found)

    def _spatial_most(self, level: int) -> dict[str, int]:
        """Largest spatial factor of every rank at a level."""
        most: dict[str, int] = {}
        for space in self.space.ranks:
            for group in space.factors.groups:
                if group.level == level and not group.temporal:
                    options = [d for d in self.tiles.divisors[self.tiles.ranks.index(space.rank)] if group.allows(int(d))]
                    most[space.rank] = max((int(d) for d in options if any(True for _ in group.splits(int(d)))), default=1)
        return most

    def _packed(self, level: int) -> bool:
        return self.design.sparse.packs(level)

    def most_shared(self, tensor: Tensor, levels: range) -> float:
        """Largest product of irrelevant spatial factors at these levels."""
        return self.tiles.once(("shared", tensor.name, levels), lambda: self._most_shared(tensor, levels))

    def _most_shared(self, tensor: Tensor, levels: range) -> float:
        most = 1.0
        for level in levels:
            x, y = self.design.arch.fanout(level)
            free = math.prod(n for r, n in self.spatial_most[level].items() if r not in self._separate(tensor))
            most *= free if self._packed(level) else min(free, x * y)
        return most

    def _separate(self, tensor: Tensor) -> frozenset[str]:
        """Ranks whose spatial loops never share a word: all that index a tensor without halos."""
        return self.plain_ranks[self.design.einsum.index[tensor.name]]

    def most_lanes(self, levels: range) -> float:
        """Largest product of all spatial factors at these levels."""
        most = 1.0
        for level in levels:
            x, y = self.design.arch.fanout(level)
            free = math.prod(self.spatial_most[level].values())
            most *= free if self._packed(level) else min(free, x * y)
        return most

    def _leaders(self, tensor: Tensor, child: int, kinds: tuple[str, ...]) -> set[int]:
        mine = [s for s in self.design.sparse.safs if s.follower == tensor.name and s.level < child]
        safs: list[Saf] = [s for s in mine if s.kind in kinds]
        found = {self.design.einsum.index[u] for s in safs for u in s.leaders}
        return found | self._inherited(tensor) if child == self.levels else found

    def _inherited(self, tensor: Tensor) -> set[int]:
        """Leaders of the skips that the compute link of every tensor inherits."""
        sparse, einsum = self.design.sparse, self.design.einsum
        if not sparse.implied_skips:
            return set()
        operands = {t.name for t in einsum.tensors if not t.output}
        found = {einsum.index[u] for s in sparse.safs if s.kind != "gate" and s.follower in operands for u in s.leaders}
        return found | {einsum.index[n] for n in operands} if tensor.output and sparse.compute_skip else found

    def _computes(self) -> tuple[float, float]:
        """Energy of the computes at least, and the share of them that take a slot at least."""
        sparse, einsum = self.design.sparse, self.design.einsum
        operands = {t.name for t in einsum.tensors if not t.output}
        everyone = {einsum.index[n] for n in operands}
        safs = [s for s in sparse.safs if s.follower in operands]
        skips = {einsum.index[u] for s in safs if s.kind != "gate" for u in s.leaders}
        skips |= everyone if sparse.compute_skip else set[int]()
        gates = skips | {einsum.index[u] for s in safs for u in s.leaders}
        gates |= everyone if sparse.compute_gate else set[int]()
        price = self.design.arch.compute.prices["compute"].energy_pj
        busy = math.prod(element_alive(self.design, u) for u in skips)
        return einsum.computes * price * math.prod(element_alive(self.design, u) for u in gates), busy

    def _crossings(self, child: int) -> list[tuple[Crossing, int]]:
        found: list[tuple[Crossing, int]] = []
        for t, tensor in enumerate(self.design.einsum.tensors):
            held = [i for i, names in enumerate(self.keep) if tensor.name in names]
            outer = [i for i in held if i < child]
            if outer and (child == self.levels or child in held):
                charged = child - 1
                if child == self.levels:
                    charged = max(range(outer[-1], child), key=lambda i: (self.most_shared(tensor, range(i, i + 1)), i))
                found.append((self._crossing(t, tensor, (outer[-1], child), charged), charged))
        return found

    def _crossing(self, t: int, tensor: Tensor, ends: tuple[int, int], charged: int) -> Crossing:
        parent, child = ends
        arch, sparse, plan = self.design.arch, self.design.sparse, self.tiles.plan
        to_compute = child == self.levels
        leaders = self._leaders(tensor, child, ("skip", "spatial_skip", "gate"))
        skippers = self._leaders(tensor, child, ("skip", "spatial_skip"))
        own, inner = sparse.format(parent, tensor.name), sparse.format(child, tensor.name) if not to_compute else None
        stored = element_alive(self.design, t) if own is not None and own.compressed else 1.0
        arriving = element_alive(self.design, t) if inner is not None and inner.compressed else 1.0
        own_zeros = leaders & {t}
        if own is not None and own.compressed and (to_compute or (inner is not None and inner.compressed)):
            leaders, skippers = leaders - {t}, skippers - {t}  # where the word is not zero, no tile that contains it is empty
        up = self._per_word(t, parent)
        prices = arch.levels[parent].prices
        output = tensor.output
        visible = prices["address_generation"].energy_pj / arch.levels[parent].cluster_size
        adds = not to_compute and arch.levels[parent].reduction
        reduced = prices["reduction"].energy_pj / arch.levels[parent].cluster_size if adds else 0.0
        changes = not to_compute and own is not None and own.compressed and not (inner is not None and inner.compressed)
        looked, updated = (self._entries(parent, tensor, f"metadata_{action}") for action in ("read", "update"))
        looked += self._entries(parent, tensor, "decode") if to_compute else 0.0
        masks = 0.0
        if self._mask(parent, tensor) and t not in own_zeros:  # zeros have bits, too
            masks, looked, updated = (looked, 0.0, updated) if not output else (updated, looked, 0.0)
        packing = prices["compress"].energy_pj / arch.levels[parent].cluster_size if changes else 0.0
        return Crossing(
            tensor=t,
            parent=parent,
            child=child,
            output=output,
            plain=plan.plain[t],
            reads=(prices["read"].energy_pj * up + (reduced if output else visible) + looked) * stored,
            updates=(prices["update"].energy_pj * up + visible + packing + updated) * stored if output else 0.0,
            fills=0.0 if to_compute else self._fill(tensor, child, unpacked=changes) * arriving,
            masks=masks,
            leaders=tuple(sorted(leaders)),
            skippers=tuple(sorted(skippers)),
            read_words=plan.width(t, parent) * stored,
            fill_words=0.0 if to_compute else plan.width(t, child) * arriving,
            sharing=math.prod(self.most_shared(tensor, range(i, i + 1)) for i in range(parent, child) if i != charged),
            spread=self.most_shared(tensor, range(parent)),
            whole=float(self.tiles.size(t)[-1]),
            checks=self._checks(tensor, ends) * stored,
            forwarded=not plan.plain[t] and any(self._forwards(i, tensor) for i in range(parent, child)),
        )

    def _fill(self, tensor: Tensor, level: int, *, unpacked: bool) -> float:
        """Energy per word written into a level; `unpacked`: by a decompressor."""
        spec = self.design.arch.levels[level]
        once = spec.prices["address_generation"].energy_pj + (spec.prices["decompress"].energy_pj if unpacked else 0.0)
        written = spec.prices["fill"].energy_pj * self._per_word(self.design.einsum.index[tensor.name], level)
        return written + once / spec.cluster_size + self._entries(level, tensor, "metadata_fill")

    def _entries(self, level: int, tensor: Tensor, action: str) -> float:
        """Metadata per non-zero word at least, priced: the entry that the word has in a format of one rank.

        Lists of several ranks may leave the innermost loop to one without entries. A unit that jumps ahead passes entries over.
        """
        spec, given = self.design.arch.levels[level], self.design.sparse.format(level, tensor.name)
        jumps = any(s.intersection == "skip_ahead" and s.level == level for s in self.design.sparse.safs)
        if given is None or len(given.ranks) != 1 or not given.compressed or jumps or not spec.metadata_access_bits:
            return 0.0
        rank = given.ranks[0]
        width = rank.metadata_bits if rank.metadata_bits is not None else 1.0 if rank.kind == "B" else spec.metadata_word_bits
        return width / spec.metadata_access_bits * spec.prices[action].energy_pj / spec.cluster_size

    def _mask(self, level: int, tensor: Tensor) -> bool:
        """True for a bitmask of one rank."""
        given = self.design.sparse.format(level, tensor.name)
        return given is not None and len(given.ranks) == 1 and given.ranks[0].kind == "B"

    def _checks(self, tensor: Tensor, ends: tuple[int, int]) -> float:
        """Intersections per dense access at least, priced: what outer skips remove, the unit does not see."""
        parent, child = ends
        level, sparse, index = self.design.arch.levels[parent], self.design.sparse, self.design.einsum.index
        mine = [s for s in sparse.safs if s.follower == tensor.name and s.level == parent]
        if not any(s.kind != "gate" and s.intersection != "leader_follower" and set(s.leaders) - {tensor.name} for s in mine):
            return 0.0
        if any(s.choice is not None for s in mine):
            return 0.0
        others = {
            s for s in sparse.safs if s.kind != "gate" and s not in mine and (s.follower == tensor.name or child == self.levels)
        }
        seen = {index[u] for s in others for u in s.leaders}
        if child == self.levels and sparse.compute_skip:
            seen |= {index[t.name] for t in self.design.einsum.tensors if not t.output}
        share = math.prod(element_alive(self.design, u) for u in seen)
        return level.prices["intersect"].energy_pj * share / level.cluster_size

    def _forwards(self, level: int, tensor: Tensor) -> bool:
        network = self.design.arch.levels[level].network
        spread = any(n > 1 and r in tensor.ranks for r, n in self.spatial_most[level].items())
        return network is not None and network.forwarding and spread

    def _per_word(self, t: int, level: int) -> float:
        """Physical accesses per word at least: 1 / block."""
        spec = self.design.arch.levels[level]
        return self.tiles.plan.width(t, level) / spec.block_size / spec.cluster_size

    def total_energy(self, energy: Floats, cycles: Floats) -> Floats:
        """With computes and leakage."""
        return energy + self.compute_energy + self.leak * (cycles + self.latency)

    def floor(self, energy: Floats, cycles: Floats) -> tuple[Floats, Floats]:
        """Totals at least, if the storage levels take at least that much energy and that many cycles."""
        most = min(self.most_lanes(range(self.levels)), self.design.arch.compute.instances)
        cycles = np.maximum(cycles, self.design.einsum.computes * self.busy / most)
        return self.total_energy(energy, cycles), cycles + self.latency

    # --- capacity -----------------------------------------------------------------------------------------------

    def fits(self, level: int) -> npt.NDArray[np.bool_]:
        """Tiles that respect the level's capacity and the use asked of it (data alone)."""
        return self.tiles.once(("fits", level, self.keep[level]), lambda: self._fits(level))

    def _fits(self, level: int) -> npt.NDArray[np.bool_]:
        spec, fitting = self.design.arch.levels[level], np.ones(self.tiles.count, dtype=bool)
        demands: list[Demand] = []
        for t, tensor in enumerate(self.design.einsum.tensors):
            if tensor.name in self.keep[level]:
                stored = self.design.sparse.format(level, tensor.name)
                demands.append(Demand(tensor.name, self.tiles.counted(t, level, stored is not None and stored.compressed)))
        for one in data_requirements(level, spec, demands) if demands else ():
            fitting &= ~one.violated
        return fitting
