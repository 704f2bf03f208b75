"""From complete chains of tiles to mappings: mesh axes, and the orders of loops that may still be good enough."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from sparseloop.mapper.optimal.level_cost import Pending
from sparseloop.mapper.optimal.lower_bounds import Floats, Ints
from sparseloop.mapper.optimal.tile_chains import ChainSearch, TileChains
from sparseloop.mapper.space.mapspace import Template, forwards, laid_on_loops
from sparseloop.mapper.space.members import completed
from sparseloop.model.design.mapping import MappingBatch, Sample

Choice = tuple[str, ...]
"""An order of the loops that exist at a level, outermost first."""
Cost = tuple[list[Choice], tuple[Floats, Floats]]
"""Orders of one class, and by chain the energy and the cycles of the level at least."""


class Completion:
    """The mappings of the chains of one choice of bypasses."""

    def __init__(self, chains: ChainSearch, *, width: int = 0) -> None:
        self.chains, self.bounds, self.width = chains, chains.bounds, width
        """Of a chain at most so many combinations of orders, if given."""
        self.space = chains.bounds.space
        self.pruned = 0
        """Mappings that fell away by the bound of their own orders."""
        self.alike = 0
        """Mappings that cost the same as another one: an order of the same class, or other axes of a free mesh."""
        self.laid = laid_on_loops(chains.bounds.design)
        self.forwards = forwards(chains.bounds.design)
        self._orders: dict[tuple[int, int], dict[tuple[int, ...], list[Choice]]] = {}
        self._hosts: dict[tuple[int, Choice], tuple[str, ...]] = {}
        self._split_tables = [self._split_table(level) for level in range(self.bounds.levels)]

    # --- mesh axes ----------------------------------------------------------------------------------------------

    def _axes_matter(self, level: int) -> bool:
        """Ranks of formats, hops, or words passed to neighbours depend on the axes of spatial loops."""
        if self.laid:
            return True
        n = self.bounds.design.arch.levels[level].network
        if n is None:
            return False
        priced = n.energy_per_hop_pj or n.wire_pj_per_bit_mm or n.router_pj or n.ingress_pj or n.adder_pj
        return n.forwarding or bool(priced)

    def _split_table(self, level: int) -> tuple[Ints, Ints, Ints]:
        """(rows of the spatial slots of a level, first way of every choice, all ways as columns of factors)."""
        rows = [i for i, loop in enumerate(self.space.loops) if loop.level == level and loop.spatial]
        splits = self.chains.steps[level].spread.splits
        if not self._axes_matter(level):
            splits = tuple(ways[:1] for ways in splits)
        flat = [[n for rank in way for n in rank] for ways in splits for way in ways]
        starts = np.concatenate([[0], np.cumsum([len(ways) for ways in splits])])
        return np.array(rows, dtype=np.int64), starts.astype(np.int64), np.array(flat, dtype=np.int64).reshape(len(flat), -1)

    def _factors(self, chain: TileChains) -> tuple[Ints, Ints]:
        """(chain of every column, factors of all slots)."""
        origin = np.arange(len(chain))
        ways = [np.zeros(0, np.int64)] * self.bounds.levels
        for level, (_, starts, _) in enumerate(self._split_tables):
            choice = chain.spread[level][origin]
            counts = starts[choice + 1] - starts[choice]
            pick = np.repeat(np.arange(len(origin)), counts)
            local = np.arange(len(pick)) - (np.cumsum(counts) - counts)[pick]
            ways = [w[pick] if len(w) else w for w in ways]
            ways[level] = starts[choice[pick]] + local
            origin = origin[pick]
        found = np.ones((len(self.space.loops), len(origin)), dtype=np.int64)
        for level, (rows, _, table) in enumerate(self._split_tables):
            if len(rows):
                found[rows] = table[ways[level]].T
        names = list(self.chains.table.ranks)
        for i, loop in enumerate(self.space.loops):
            if not loop.spatial:
                found[i] = chain.factors[loop.level][names.index(loop.rank), origin]
        return origin, found

    # --- orders -------------------------------------------------------------------------------------------------

    def _order_seen(self, level: int) -> bool:
        """True if anything depends on the order of a level's loops."""
        if self.laid or self.forwards:
            return True
        return bool(self.bounds.classes[level].relevant)

    def _choices(self, level: int, loops: int) -> dict[tuple[int, ...], list[Choice]]:
        """Orders of the loops that exist at a level, by class: one of a class where classes cost the same."""
        key = (level, loops)
        if key not in self._orders:
            classes, names = self.bounds.classes[level], self.chains.table.ranks
            if self.space.exact_classes or not self._order_seen(level):
                inner_first = list(classes.representatives.get(loops, {}).values())[: None if self._order_seen(level) else 1]
            else:
                existing = [i for i in range(len(names)) if loops >> i & 1]
                allowed = self.space.orders[level].allows
                inner_first = [p for p in permutations(existing) if allowed([names[i] for i in reversed(p)])]
                if not self.laid:
                    inner_first = list({self._key(level, p): p for p in reversed(inner_first)}.values())
            found: dict[tuple[int, ...], list[Choice]] = {}
            for one in inner_first:
                found.setdefault(classes.signature(one), []).append(tuple(names[i] for i in reversed(one)))
            self._orders[key] = found
        return self._orders[key]

    def _hosted(self, level: int, order: Choice) -> tuple[str, ...]:
        """An order of all loops that has these in this order, the same one for as many as possible: templates cost time."""
        key = (level, order)
        if key not in self._hosts:
            wanted, mine = frozenset(order), (host for at, host in self._hosts.items() if at[0] == level)
            host = next((host for host in mine if tuple(rank for rank in host if rank in wanted) == order), None)
            host = host or completed(self.space, level, list(order))
            assert host is not None, "orders are chosen within the constraints"
            self._hosts[key] = host
        return self._hosts[key]

    def _key(self, level: int, inner_first: tuple[int, ...]) -> tuple[object, ...]:
        """Orders with equal keys cost the same if no format is laid on the loops.

        Outside the innermost loop that brings a wholly new tile every step does; inside it a sliding window sees the sequence.
        """
        inner = frozenset[str]().union(*self.bounds.keep[level + 1 :])
        names, found = self.chains.table.ranks, list[object]()
        for t, tensor in enumerate(self.bounds.design.einsum.tensors):
            if tensor.name in inner and not self.chains.table.plan.plain[t]:
                new = [i for i, r in enumerate(inner_first) if names[r] in self.bounds.plain_ranks[t]]
                found.append(inner_first[: new[0]] if new else inner_first)
        return self.bounds.classes[level].signature(inner_first), *found

    def sample(self, chain: TileChains) -> Sample | None:
        """The mappings of the chains that their own bound admits, by template."""
        found: dict[tuple[Choice, ...], list[Ints]] = {}
        if all(order.count == 1 for order in self.space.orders):
            found[tuple(next(order.every()) for order in self.space.orders)] = [np.arange(len(chain))]
        else:
            bits = 1 << np.arange(len(self.chains.table.ranks))
            loops = np.stack([((f > 1) * bits[:, None]).sum(axis=0) for f in chain.factors])
            groups, member = np.unique(loops, axis=1, return_inverse=True)
            for g in range(groups.shape[1]):
                at = np.flatnonzero(member.reshape(-1) == g)
                for orders, picked in self._combined(chain, at, [int(n) for n in groups[:, g]]):
                    found.setdefault(orders, []).append(picked)
        parts: list[MappingBatch] = []
        for orders, picks in self._by_hosts(found).items():
            _, factors = self._factors(chain.rows(np.concatenate(picks)))
            parts.append(self.space.batch(Template(orders, self.bounds.keep), factors))
        return Sample.listed(parts) if parts else None

    def _by_hosts(self, found: dict[tuple[Choice, ...], list[Ints]]) -> dict[tuple[Choice, ...], list[Ints]]:
        """The same under orders of all loops; long orders first, for shorter ones fit into them."""
        for level in range(self.bounds.levels):
            for order in sorted({orders[level] for orders in found}, key=lambda order: (-len(order), order)):
                self._hosted(level, order)
        merged: dict[tuple[Choice, ...], list[Ints]] = {}
        for orders, picks in found.items():
            hosts = tuple(self._hosted(level, order) for level, order in enumerate(orders))
            merged.setdefault(hosts, []).extend(picks)
        return merged

    def _combined(self, chain: TileChains, at: Ints, loops: list[int]) -> list[tuple[tuple[Choice, ...], Ints]]:
        """Products of orders of the levels, outermost first, with the chains that may still be good under them."""
        parts = self._costs(chain, at, loops)
        if not all(parts):
            return []
        tables = [(np.stack([e for _, (e, _) in part]), np.stack([c for _, (_, c) in part])) for part in parts]
        floors = [energy.min(axis=0) for energy, _ in tables]
        base = chain.cycles[at] - self.bounds.latency
        pick, energy, cycles = np.arange(len(at)), np.zeros(len(at)), np.zeros(len(at))
        path = np.empty((0, len(at)), dtype=np.int64)
        for level, table in enumerate(tables):
            rest = sum(floors[level + 1 :], np.zeros(len(at)))
            count, who = len(pick), np.tile(pick, len(table[0]))
            energy = (energy + table[0][:, pick]).reshape(-1)
            cycles = np.maximum(cycles, table[1][:, pick]).reshape(-1)
            low = np.maximum(cycles, base[who])
            totals = self.bounds.total_energy(energy + rest[who], low), low + self.bounds.latency
            dead = self.chains.judge.beats(*totals)
            self.pruned += int(dead.sum())
            ok = np.flatnonzero(~dead)
            ok = ok[self._narrowed(who[ok], self.chains.judge.score(*totals)[ok])] if self.width else ok
            path = np.concatenate([path[:, ok % count], (ok // count)[None]]) if len(ok) else np.empty((level + 1, 0), np.int64)
            pick, energy, cycles = who[ok], energy[ok], cycles[ok]
        combinations, member = np.unique(path, axis=1, return_inverse=True)
        found: list[tuple[tuple[Choice, ...], Ints]] = []
        for i, column in enumerate(combinations.T):
            classes = [part[int(n)][0] for part, n in zip(parts, column, strict=True)]
            mine = at[pick[member.reshape(-1) == i]]
            for orders in product(*classes):
                found.append((orders, mine))
        return found

    def _narrowed(self, chain: Ints, score: Floats) -> Ints:
        """Where the best few combinations of orders of every chain are."""
        ranked = np.lexsort((score, chain))
        place = np.arange(len(ranked)) - np.searchsorted(chain[ranked], chain[ranked])
        return np.sort(ranked[place < self.width])

    def _costs(self, chain: TileChains, at: Ints, loops: list[int]) -> list[list[Cost]]:
        """Per level and class of orders what the level is charged at least."""
        found: list[list[Cost]] = []
        pending: Pending = {}
        for level in reversed(range(self.bounds.levels)):
            cost, child, spread = self.chains.costs[level], self._child(chain, at, level), chain.spread[level][at]
            pending = pending | cost.started(child)
            factors = chain.factors[level][:, at].astype(np.float64)
            known = {signature: (e, c) for signature, e, c in cost.charges(child, spread, factors, loops[level], pending)}
            found.append([(orders, known[signature]) for signature, orders in self._choices(level, loops[level]).items()])
            pending = {c: cost.waits(c, carry, spread) for c, carry in pending.items() if cost.open(c, loops[level])}
        return found[::-1]

    def _child(self, chain: TileChains, at: Ints, level: int) -> Ints:
        """Code of the tile inside a level."""
        table = self.chains.table
        extents = np.ones((len(table.ranks), len(at)), dtype=np.int64)
        for inner in range(level + 1, self.bounds.levels):
            extents *= chain.factors[inner][:, at] * self.chains.steps[inner].spread.factors[chain.spread[inner][at]].T
        return table.code(extents)
