"""Accesses of whole blocks where all that decides is known: every delivery is filled word by word, mapping by mapping."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparseloop.model.formats.known_entries import comes_to_be, constant_of, is_known, without_sure_leaders
from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparsity.features import SafConditions
from sparseloop.model.sparsity.known_events import Looked, Stages, WordsCrossing, decided_ranks
from sparseloop.model.sparsity.nest_points import ByMapping, Nest, NestPoints, few_points, numbered
from sparseloop.model.units import Count, Floats, Integers, Words

MOST_OF_BLOCKS = 2**14
"""Points that are looked at for blocks alone."""
ACTIONS = ("read", "fill", "update")


class BlockWords(NamedTuple):
    """Words of a tensor in a block at the two ends of a link."""

    parent: float
    child: float


class KnownBlocks:
    """Accesses of blocks at all levels for one batch under one choice of features; every mapping is looked at once."""

    def __init__(self, safs: SafConditions) -> None:
        self.safs, self.tiles, self.plan = safs, safs.tiles, safs.plan
        self.decisions = safs.decisions()
        self._mappings = ByMapping(safs.tiles, "accesses of blocks in the data", self._look)

    def tells(self, link: Link) -> bool:
        """True if blocks are not all alike, what crosses the link and what decides is known, and the points are few enough."""
        plan, tensor = self.plan, link.tensor
        choices = any(saf.choice is not None for saf in plan.sparse.safs)
        if choices or plan.sparse.timeloop_reading or max(self._blocks(link)) <= 1 or _forwards(plan, link):
            return False
        stages = self._stages(link)
        leaders = {d.leader for d in stages.all}
        stored = link.compressed or link.child_compressed
        asked = leaders | {tensor} if stored else leaders
        density = plan.einsum.tensors[tensor].density
        if not all(is_known(plan, t) for t in asked) or (stored and density.produced and not density.deterministic):
            return False
        of_data = any(plan.einsum.tensors[t].density.deterministic or plan.padded[t] for t in asked)
        windows = not plan.plain[tensor] and (link.output or plan.padded[tensor])
        if not of_data and not windows:
            return False  # nothing is given; of the windows of a result, only words that come back are read and filled
        alike = not leaders and not link.to_compute and plan.plain[tensor] and self.tiles.residuals is None
        return not alike and few_points(plan, self._ranks(link, stages), MOST_OF_BLOCKS)

    def _ranks(self, link: Link, stages: Stages) -> frozenset[str]:
        if comes_to_be(self.plan, link.tensor):
            return frozenset(self.plan.einsum.ranks)
        return decided_ranks(self.plan, {link.tensor}, stages.all)

    def _stages(self, link: Link) -> Stages:
        return without_sure_leaders(self.plan, self.decisions.links[link.index])

    def _blocks(self, link: Link) -> BlockWords:
        levels, width = self.plan.arch.levels, self.plan.width
        here = levels[link.parent].block_size / width(link.tensor, link.parent)
        return BlockWords(here, 0.0 if link.to_compute else levels[link.child].block_size / width(link.tensor, link.child))

    def accesses(self, link: Link, action: str) -> Count:
        """Blocks read or updated at the parent of a link, or filled at its child."""
        return self._mappings.number(lambda found: found[link.index][ACTIONS.index(action)])

    def _look(self, nest: Nest) -> dict[int, tuple[float, ...]]:
        looked = Looked(nest)
        return {k.index: self._found(looked, k) for k in self.plan.links if self.tells(k)}

    def _found(self, looked: Looked, link: Link) -> tuple[float, ...]:
        """The three numbers of a link."""
        stages, plan = self._stages(link), self.plan
        none = [d for d in stages.all if constant_of(plan, d.leader) is False]
        crossing, blocks = looked.crossing(link, stages.without(none)), self._blocks(link)
        empty = constant_of(plan, link.tensor) is False
        kept = 0.0 if none or (empty and link.compressed) else 1.0
        filled = 0.0 if [d for d in none if d not in stages.inherited] or (empty and link.child_compressed) else 1.0
        packed = _Packed(crossing, link, blocks)
        return (
            kept * packed.sent(crossing.reads),
            filled * packed.received() if not link.to_compute else 0.0,
            kept * packed.returned(crossing.updates) if link.output else 0.0,
        )


def known_blocks(safs: SafConditions) -> KnownBlocks:
    """Those of a batch, made once."""
    return safs.tiles.once(("known blocks", safs.active), lambda: KnownBlocks(safs))


class _Packed:
    """The blocks of one link of one mapping."""

    def __init__(self, crossing: WordsCrossing, link: Link, blocks: BlockWords) -> None:
        self.crossing, self.link, self.blocks = crossing, link, blocks
        points, found = crossing.points, crossing.found
        step = points.code(reversed(link.temporal))
        first = np.empty(int(found.visit.max()) + 1, dtype=np.int64)
        first[found.visit] = np.arange(len(points))
        self.step, self.weight = step[first], points.weight(link.temporal)[first]
        """Per visit."""
        lone = [s for s in link.unshared if s not in link.relevant]
        spatial = points.plan.spatial
        self.parent = numbered(points.code(spatial(link.parent)), points.code(lone))
        self.instance = numbered(points.code(spatial(link.parent)))
        self.alike = _not_told(points, spatial(link.parent)), _not_told(points, spatial(link.child))

    def sent(self, reads: Floats) -> Count:
        """Blocks of what instances of the parent send."""
        if self.link.to_compute:
            return self._without_a_break(reads)
        return self._at(self.crossing.found.begin, reads)

    def returned(self, updates: Floats) -> Count:
        """Blocks of what instances of the parent get back as stays end."""
        if self.link.to_compute:
            return self._without_a_break(updates)
        return self._at(self.crossing.found.end, updates)

    def _without_a_break(self, words: Floats) -> Count:
        of_instance = np.bincount(self.instance[self.crossing.found.access_point], weights=words)
        return float(np.ceil(np.round(of_instance, 6) / self.blocks.parent).sum()) * self.alike[0]

    def _at(self, visit: Integers, words: Floats) -> Count:
        """Blocks of accesses that happen together; `visit`: per copy. That of its latest copy is the one of an access."""
        found, latest = self.crossing.found, np.zeros(len(self.crossing.found.access_point), dtype=np.int64)
        np.maximum.at(latest, found.access_of_copy, self.step[visit])
        weight = np.empty(int(self.step.max()) + 1)
        weight[self.step] = self.weight
        together = numbered(self.parent[found.access_point], latest)
        return self._filled(together, words, weight[latest], self.blocks.parent) * self.alike[0]

    def received(self) -> Count:
        """Blocks of what instances of the child receive."""
        found = self.crossing.found
        weight = self.weight[found.begin]
        return self._filled(numbered(found.begin), self.crossing.fills, weight, self.blocks.child) * self.alike[1]

    def _filled(self, together: Integers, words: Floats, weight: Floats, block: Words) -> float:
        times = np.empty(int(together.max()) + 1)
        times[together] = weight
        return float((times * np.ceil(np.bincount(together, weights=words > 0) / block)).sum())


def _not_told(points: NestPoints, slots: tuple[int, ...]) -> int:
    """Instances along loops that are not told apart."""
    return int(np.prod([points.nest.bounds[s] for s in slots if points.passes[s] == 1]))


def _forwards(plan: Plan, link: Link) -> bool:
    """Do neighbours pass the tensor on?"""
    networks = [plan.arch.levels[level].network for level in range(link.parent, link.child)]
    return any(network is not None and network.forwarding for network in networks)
