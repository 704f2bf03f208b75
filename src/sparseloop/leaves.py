"""From complete chains of tiles to mappings: mesh axes, and the orders of loops that may still be good enough."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from .bounds import Floats, Ints
from .charges import Pending
from .distinct import completed
from .mapping import MappingBatch, Sample
from .mapspace import Template, forwards, laid_on_loops
from .tilings import Chain, Chains

Choice = tuple[tuple[str, ...], tuple[int, ...]]
"""An order of all loops of a level (outermost first), and its class."""


class Leaves:
    """The mappings of the chains of one choice of bypasses."""

    def __init__(self, chains: Chains) -> None:
        self.chains, self.bounds = chains, chains.bounds
        self.space = chains.bounds.space
        self.pruned = 0
        """Mappings that fell away by the bound of their own orders."""
        self.alike = 0
        """Mappings that cost the same as another one: an order of the same class, or other axes of a free mesh."""
        self.laid = laid_on_loops(chains.bounds.design)
        self.forwards = forwards(chains.bounds.design)
        self._orders: dict[tuple[int, int], list[Choice]] = {}
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
        rows = [i for i, loop in enumerate(self.space.slots) if loop.level == level and loop.spatial]
        splits = self.chains.steps[level].spread.splits
        if not self._axes_matter(level):
            splits = tuple(ways[:1] for ways in splits)
        flat = [[n for rank in way for n in rank] for ways in splits for way in ways]
        starts = np.concatenate([[0], np.cumsum([len(ways) for ways in splits])])
        return np.array(rows, dtype=np.int64), starts.astype(np.int64), np.array(flat, dtype=np.int64).reshape(len(flat), -1)

    def _factors(self, chain: Chain) -> tuple[Ints, Ints]:
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
        found = np.ones((len(self.space.slots), len(origin)), dtype=np.int64)
        for level, (rows, _, table) in enumerate(self._split_tables):
            if len(rows):
                found[rows] = table[ways[level]].T
        names = list(self.chains.table.ranks)
        for i, loop in enumerate(self.space.slots):
            if not loop.spatial:
                found[i] = chain.factors[loop.level][names.index(loop.rank), origin]
        return origin, found

    # --- orders -------------------------------------------------------------------------------------------------

    def _order_seen(self, level: int) -> bool:
        """True if anything depends on the order of a level's loops."""
        if self.laid or self.forwards:
            return True
        return bool(self.bounds.classes[level].relevant)

    def _choices(self, level: int, loops: int) -> list[Choice]:
        """Orders of the loops that exist at a level: one of a class where classes cost the same."""
        key = (level, loops)
        if key not in self._orders:
            classes, names = self.bounds.classes[level], self.chains.table.ranks
            if self.space.exact_classes or not self._order_seen(level):
                inner_first = list(classes.known.get(loops, {}).values())[: None if self._order_seen(level) else 1]
            else:
                existing = [i for i in range(len(names)) if loops >> i & 1]
                allowed = self.space.orders[level].allows
                inner_first = [p for p in permutations(existing) if allowed([names[i] for i in reversed(p)])]
                if not self.laid:
                    inner_first = list({self._key(level, p): p for p in reversed(inner_first)}.values())
            found: list[Choice] = []
            for one in inner_first:
                order = completed(self.space, level, [names[i] for i in reversed(one)])
                if order is not None:
                    found.append((order, classes.signature(one)))
            self._orders[key] = found
        return self._orders[key]

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

    def samples(self, chain: Chain) -> Iterator[Sample]:
        """Mappings of the chains that their own bound admits, by template."""
        if all(order.count == 1 for order in self.space.orders):
            template = Template(tuple(next(order.every()) for order in self.space.orders), self.bounds.keep)
            batch = self.space.batch(template, self._factors(chain)[1])
            yield Sample((batch,), np.arange(len(batch)))
            return
        chosen: dict[Template, list[Ints]] = {}
        bits = 1 << np.arange(len(self.chains.table.ranks))
        loops = np.stack([((f > 1) * bits[:, None]).sum(axis=0) for f in chain.factors])
        groups, member = np.unique(loops, axis=1, return_inverse=True)
        for g in range(groups.shape[1]):
            at = np.flatnonzero(member.reshape(-1) == g)
            for orders, picked in self._combined(chain, at, [int(n) for n in groups[:, g]]):
                chosen.setdefault(Template(orders, self.bounds.keep), []).append(picked)
        parts: list[MappingBatch] = []
        for template, picks in chosen.items():
            _, factors = self._factors(_subset(chain, np.concatenate(picks)))
            parts.append(self.space.batch(template, factors))
        if parts:
            yield Sample(tuple(parts), np.arange(sum(len(p) for p in parts)))

    def _combined(self, chain: Chain, at: Ints, loops: list[int]) -> list[tuple[tuple[tuple[str, ...], ...], Ints]]:
        """Products of orders of the levels, outermost first, with the chains that may still be good under them."""
        states: list[tuple[tuple[tuple[str, ...], ...], Ints, Floats, Floats]] = []
        states.append(((), np.arange(len(at)), np.zeros(len(at)), np.zeros(len(at))))
        parts = self._costs(chain, at, loops)
        floors = [[np.min([c[k] for _, c in part], axis=0) if part else np.zeros(len(at)) for k in (0, 1)] for part in parts]
        base = chain.cycles[at] - self.bounds.latency
        for level, part in enumerate(parts):
            rest = sum((floors[i][0] for i in range(level + 1, len(parts))), np.zeros(len(at)))
            after: list[tuple[tuple[tuple[str, ...], ...], Ints, Floats, Floats]] = []
            for orders, pick, energy, cycles in states:
                for order, (e, c) in part:
                    mine, time = energy + e[pick], np.maximum(cycles, c[pick])
                    low = np.maximum(time, base[pick])
                    dead = self.chains.prune(self.chains.total_energy(mine + rest[pick], low), low + self.bounds.latency)
                    self.pruned += int(dead.sum())
                    if not dead.all():
                        after.append(((*orders, order), pick[~dead], mine[~dead], time[~dead]))
            states = after
        return [(orders, at[pick]) for orders, pick, _, _ in states]

    def _costs(self, chain: Chain, at: Ints, loops: list[int]) -> list[list[tuple[tuple[str, ...], tuple[Floats, Floats]]]]:
        """Per level and order what the level is charged at least."""
        found: list[list[tuple[tuple[str, ...], tuple[Floats, Floats]]]] = []
        pending: Pending = {}
        for level in reversed(range(self.bounds.levels)):
            cost, child, spread = self.chains.costs[level], self._child(chain, at, level), chain.spread[level][at]
            pending = pending | cost.started(child)
            factors = chain.factors[level][:, at].astype(np.float64)
            known = {signature: (e, c) for signature, e, c in cost.charges(child, spread, factors, loops[level], pending)}
            found.append([(order, known[signature]) for order, signature in self._choices(level, loops[level])])
            pending = {c: cost.waits(c, carry, spread) for c, carry in pending.items() if cost.open(c, loops[level])}
        return found[::-1]

    def _child(self, chain: Chain, at: Ints, level: int) -> Ints:
        """Code of the tile inside a level."""
        table = self.chains.table
        extents = np.ones((len(table.ranks), len(at)), dtype=np.int64)
        for inner in range(level + 1, self.bounds.levels):
            extents *= chain.factors[inner][:, at] * self.chains.steps[inner].spread.factors[chain.spread[inner][at]].T
        return table.code(extents)


def _subset(chain: Chain, at: Ints) -> Chain:
    return Chain(tuple(s[at] for s in chain.spread), tuple(f[:, at] for f in chain.factors), chain.energy[at], chain.cycles[at])
