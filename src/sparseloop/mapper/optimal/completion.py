"""From complete chains of tiles to mappings: mesh axes, and the orders of loops that may still be good enough.

Every chain has one column in the arrays here. A level's loops that exist (bound above 1) are a set of ranks, written as bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, permutations, product

import numpy as np

from sparseloop.mapper.optimal.crossings import SpatialChoices, Waiting
from sparseloop.mapper.optimal.level_choices import hops_of_ways
from sparseloop.mapper.optimal.level_cost import LevelBound
from sparseloop.mapper.optimal.quantities import CostBound, Cycles, Energy, Factors, Floats, Ints, TileNumbers
from sparseloop.mapper.optimal.states import TileChains
from sparseloop.mapper.optimal.tile_chains import ChainSearch
from sparseloop.mapper.space.loop_orders import Signature
from sparseloop.mapper.space.mapspace import Template, forwards, laid_on_loops
from sparseloop.mapper.space.members import completed
from sparseloop.model.design.mapping import MappingBatch, Sample

LoopOrder = tuple[str, ...]
"""An order of the loops that exist at a level, outermost first."""
LevelOrders = tuple[LoopOrder, ...]
"""One order per level."""
OrdersByClass = dict[Signature, list[LoopOrder]]
SAMPLE = 4096
"""Chains under one order each that become mappings at a time."""


@dataclass(frozen=True, slots=True)
class ClassBound:
    """Orders of one class at a level, and what the level costs at least under them; arrays of shape (chains,)."""

    orders: list[LoopOrder]
    energy: Energy
    cycles: Cycles


@dataclass(frozen=True, slots=True)
class SplitTable:
    """The ways to lay the spatial factors of one level on the mesh axes."""

    rows: Ints
    """Rows of the level's spatial loops in an array of factors."""
    starts: Ints
    """Ways starts[i] to starts[i + 1] - 1 belong to choice i of spatial factors."""
    factors: Ints
    """Shape (ways, loops)."""
    laid: SpatialChoices
    """The ways as choices of their own."""


@dataclass(frozen=True, slots=True)
class OrderedChains:
    """Chains under the same orders."""

    orders: LevelOrders
    chains: Ints
    """Their columns."""


class Completion:
    """The mappings of the chains of one choice of bypasses."""

    def __init__(self, search: ChainSearch, *, width: int = 0) -> None:
        self.search, self.bounds, self.width = search, search.bounds, width
        """`width`: combinations of orders kept of one chain, 0 for all."""
        self.space = search.bounds.space
        self.pruned = 0
        """Mappings excluded by the bound of their own orders."""
        self.laid = laid_on_loops(search.bounds.design)
        self.forwards = forwards(search.bounds.design)
        self._orders: dict[tuple[int, int], OrdersByClass] = {}
        """By level and existing loops."""
        self._hosts: dict[tuple[int, LoopOrder], LoopOrder] = {}
        """By level and order of the existing loops: an order of all loops."""
        once = search.table.once
        self._splits = [once(("splits", i), lambda i=i: self._split_table(i)) for i in range(self.bounds.levels)]

    @cached_property
    def costs(self) -> list[LevelBound]:
        """Per level, by ways to lay the spatial factors on the axes."""
        return [LevelBound(self.bounds, level, table.laid) for level, table in enumerate(self._splits)]

    # --- mesh axes ----------------------------------------------------------------------------------------------

    def _split_table(self, level: int) -> SplitTable:
        rows = [i for i, loop in enumerate(self.space.loops) if loop.level == level and loop.spatial]
        spatial = self.search.choices[level].spatial
        flat = [[n for rank in way for n in rank] for ways in spatial.splits for way in ways]
        counts = np.array([len(ways) for ways in spatial.splits])
        table = np.array(flat, dtype=np.int64).reshape(len(flat), -1)
        laid = replace(spatial.rows(np.repeat(np.arange(len(counts)), counts)), hops=hops_of_ways(self.space, level, table))
        return SplitTable(np.array(rows, dtype=np.int64), np.cumsum([0, *counts]), table, laid)

    def _laid(self, chains: TileChains) -> TileChains:
        """Every chain with all ways to lay its spatial factors on the axes: `spatial` numbers the ways."""
        for level, table in enumerate(self._splits):
            choice = chains.spatial[level]
            counts = table.starts[choice + 1] - table.starts[choice]
            at = np.repeat(np.arange(len(chains)), counts)
            ways = table.starts[choice[at]] + np.arange(len(at)) - (np.cumsum(counts) - counts)[at]
            chains = chains.rows(at)
            chains = replace(chains, spatial=(*chains.spatial[:level], ways, *chains.spatial[level + 1 :]))
        return chains

    def _factors(self, chains: TileChains) -> Factors:
        """Factors of all loops, shape (loops, chains), of chains laid on the axes."""
        factors = np.ones((len(self.space.loops), len(chains)), dtype=np.int64)
        for level, table in enumerate(self._splits):
            if len(table.rows):
                factors[table.rows] = table.factors[chains.spatial[level]].T
        names = list(self.search.table.ranks)
        for i, loop in enumerate(self.space.loops):
            if not loop.spatial:
                factors[i] = chains.factors[loop.level][names.index(loop.rank)]
        return factors

    # --- orders -------------------------------------------------------------------------------------------------

    def _order_matters(self, level: int) -> bool:
        """True if anything depends on the order of a level's loops."""
        if self.laid or self.forwards:
            return True
        return bool(self.bounds.classes[level].relevant)

    def _orders_by_class(self, level: int, loops: int) -> OrdersByClass:
        """Orders of the loops that exist at a level, by class: one of a class where all of it cost the same."""
        key = (level, loops)
        if key not in self._orders:
            classes, names = self.bounds.classes[level], self.search.table.ranks
            if self.space.exact_classes or not self._order_matters(level):
                one = None if self._order_matters(level) else 1
                inner_first = list(classes.representatives.get(loops, {}).values())[:one]
            else:
                existing = [i for i in range(len(names)) if loops >> i & 1]
                allowed = self.space.orders[level].allows
                inner_first = [p for p in permutations(existing) if allowed([names[i] for i in reversed(p)])]
                if not self.laid:
                    inner_first = list({self._cost_key(level, p): p for p in reversed(inner_first)}.values())
            by_class: OrdersByClass = {}
            for order in inner_first:
                by_class.setdefault(classes.signature(order), []).append(tuple(names[i] for i in reversed(order)))
            self._orders[key] = by_class
        return self._orders[key]

    def _cost_key(self, level: int, inner_first: tuple[int, ...]) -> tuple[object, ...]:
        """Orders with equal keys cost the same if no format is laid on the loops.

        Outside the innermost loop that brings a wholly new tile every step does; inside it a sliding window sees the sequence.
        """
        inner = frozenset[str]().union(*self.bounds.keep[level + 1 :])
        names, seen = self.search.table.ranks, list[object]()
        for t, tensor in enumerate(self.bounds.design.einsum.tensors):
            if tensor.name in inner and not self.search.table.plan.plain[t]:
                new = [i for i, r in enumerate(inner_first) if names[r] in self.bounds.plain_ranks[t]]
                seen.append(inner_first[: new[0]] if new else inner_first)
        return self.bounds.classes[level].signature(inner_first), *seen

    def _host_of(self, level: int, order: LoopOrder) -> LoopOrder:
        """An order of all loops that has these in this order, the same one for as many as possible: templates cost time."""
        key = (level, order)
        if key not in self._hosts:
            wanted, hosts = frozenset(order), (host for at, host in self._hosts.items() if at[0] == level)
            host = next((host for host in hosts if tuple(rank for rank in host if rank in wanted) == order), None)
            host = host or completed(self.space, level, list(order))
            assert host is not None, "orders are chosen within the constraints"
            self._hosts[key] = host
        return self._hosts[key]

    # --- mappings -----------------------------------------------------------------------------------------------

    def samples(self, chains: TileChains) -> Iterator[Sample]:
        """The mappings of the chains that their own bound admits, by template, about SAMPLE chains with orders at a time."""
        by_orders: dict[LevelOrders, list[Ints]] = {}
        count, chains = 0, self._laid(chains)
        for ordered in self._ordered(chains):
            by_orders.setdefault(ordered.orders, []).append(ordered.chains)
            count += len(ordered.chains)
            if count >= SAMPLE:
                yield self._sample(chains, by_orders)
                by_orders, count = {}, 0
        if by_orders:
            yield self._sample(chains, by_orders)

    def _sample(self, chains: TileChains, by_orders: dict[LevelOrders, list[Ints]]) -> Sample:
        parts: list[MappingBatch] = []
        for orders, columns in self._by_hosts(by_orders).items():
            factors = self._factors(chains.rows(np.concatenate(columns)))
            parts.append(self.space.batch(Template(orders, self.bounds.keep), factors))
        return Sample.listed(parts)

    def _ordered(self, chains: TileChains) -> Iterator[OrderedChains]:
        """The chains under all orders that may be good; chains with the same loops are looked at together."""
        if all(order.count == 1 for order in self.space.orders):
            yield OrderedChains(tuple(next(order.every()) for order in self.space.orders), np.arange(len(chains)))
            return
        bits = 1 << np.arange(len(self.search.table.ranks))
        loops = np.stack([((f > 1) * bits[:, None]).sum(axis=0) for f in chains.factors])
        groups, member = np.unique(loops, axis=1, return_inverse=True)
        for g in range(groups.shape[1]):
            at = np.flatnonzero(member.reshape(-1) == g)
            yield from self._combined(chains, at, [int(n) for n in groups[:, g]])

    def _by_hosts(self, by_orders: dict[LevelOrders, list[Ints]]) -> dict[LevelOrders, list[Ints]]:
        """The same under orders of all loops; long orders first, for shorter ones fit into them."""
        for level in range(self.bounds.levels):
            for order in sorted({orders[level] for orders in by_orders}, key=lambda order: (-len(order), order)):
                self._host_of(level, order)
        merged: dict[LevelOrders, list[Ints]] = {}
        for orders, columns in by_orders.items():
            hosts = tuple(self._host_of(level, order) for level, order in enumerate(orders))
            merged.setdefault(hosts, []).extend(columns)
        return merged

    def _combined(self, chains: TileChains, at: Ints, loops: list[int]) -> Iterator[OrderedChains]:
        """Products of the orders of all levels, each with the chains (of those `at`) that may be good under it."""
        levels = self._class_bounds(chains, at, loops)
        if not all(levels):
            return
        tables = [CostBound(np.stack([c.energy for c in level]), np.stack([c.cycles for c in level])) for level in levels]
        floors = [table.energy.min(axis=0) for table in tables]
        base = chains.cycles[at] - self.bounds.latency
        picked, energy, cycles = np.arange(len(at)), np.zeros(len(at)), np.zeros(len(at))
        path = np.empty((0, len(at)), dtype=np.int64)
        """Numbers of the classes chosen so far, shape (levels, combinations)."""
        for level, table in enumerate(tables):
            rest = sum(floors[level + 1 :], np.zeros(len(at)))
            self.search.effort.add(len(picked) * len(table.energy))
            count, chain = len(picked), np.tile(picked, len(table.energy))
            energy = (energy + table.energy[:, picked]).reshape(-1)
            cycles = np.maximum(cycles, table.cycles[:, picked]).reshape(-1)
            slowest = np.maximum(cycles, base[chain])
            totals = self.bounds.total_energy(energy + rest[chain], slowest), slowest + self.bounds.latency
            dead = self.search.pruner.beats(*totals)
            self.pruned += int(dead.sum())
            ok = np.flatnonzero(~dead)
            ok = ok[self._narrowed(chain[ok], self.search.pruner.score(*totals)[ok])] if self.width else ok
            path = np.concatenate([path[:, ok % count], (ok // count)[None]]) if len(ok) else np.empty((level + 1, 0), np.int64)
            picked, energy, cycles = chain[ok], energy[ok], cycles[ok]
        combinations, member = np.unique(path, axis=1, return_inverse=True)
        for i, numbers in enumerate(combinations.T):
            orders_by_level = [level[int(n)].orders for level, n in zip(levels, numbers, strict=True)]
            columns = at[picked[member.reshape(-1) == i]]
            for orders in islice(product(*orders_by_level), self.width**2 or None):
                self.search.effort.add(len(columns))
                yield OrderedChains(orders, columns)

    def _narrowed(self, chain: Ints, score: Floats) -> Ints:
        """Places of the best `width` combinations of orders of every chain."""
        ranked = np.lexsort((score, chain))
        place = np.arange(len(ranked)) - np.searchsorted(chain[ranked], chain[ranked])
        return np.sort(ranked[place < self.width])

    def _class_bounds(self, chains: TileChains, at: Ints, loops: list[int]) -> list[list[ClassBound]]:
        """Per level and class of orders what is charged to the level at least, for the chains `at`; `loops` per level."""
        levels: list[list[ClassBound]] = []
        waiting: Waiting = {}
        for level in reversed(range(self.bounds.levels)):
            cost, inner, spatial = self.costs[level], self._inner_tile(chains, at, level), chains.spatial[level][at]
            waiting = waiting | cost.started(inner)
            factors = chains.factors[level][:, at].astype(np.float64)
            costs = {c.signature: c for c in cost.class_costs(inner, spatial, factors, loops[level], waiting)}
            by_class = self._orders_by_class(level, loops[level])
            levels.append([ClassBound(orders, costs[s].energy, costs[s].cycles) for s, orders in by_class.items()])
            waiting = {
                c: cost.past(c, w, spatial, cost.growth(c, -1, inner, spatial, factors))
                for c, w in waiting.items()
                if cost.stays_open(c, loops[level])
            }
        return levels[::-1]

    def _inner_tile(self, chains: TileChains, at: Ints, level: int) -> TileNumbers:
        """Number of the tile inside a level, of the chains `at`."""
        table = self.search.table
        extents = np.ones((len(table.ranks), len(at)), dtype=np.int64)
        for inner in range(level + 1, self.bounds.levels):
            spatial = self._splits[inner].laid.factors[chains.spatial[inner][at]].T
            extents *= chains.factors[inner][:, at] * spatial
        return table.code(extents)
