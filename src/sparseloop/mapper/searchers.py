"""Searchers: each proposes batches of mappings (`ask`) and may learn from what they cost (`tell`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparseloop.mapper.space.constraints import Template
from sparseloop.mapper.space.factorizations import Ints, primes
from sparseloop.mapper.space.mapspace import TEMPLATES, Mapspace
from sparseloop.mapper.task import Batch
from sparseloop.model.design.mapping import MappingBatch, Sample

Floats = npt.NDArray[np.float64]


class Searcher(Protocol):
    """Proposes batches until it has nothing left (None); `tell` gets the cost of every mapping, inf if it is not valid."""

    learns: bool
    """False: what is asked does not depend on what was told, so that several batches may be under way."""
    complete: bool
    """True once everything has been asked: the best found is the best there is."""

    def ask(self, count: int) -> Batch | None:
        """At most `count` mappings."""
        ...

    def tell(self, batch: Batch, cost: Floats) -> None:
        """The costs of a batch, in the order in which batches were asked."""
        ...


# --- exhaustive ---------------------------------------------------------------------------------------------


class Exhaustive:
    """Every mapping; where orders of one class cost the same, one of each class."""

    learns = False

    def __init__(self, space: Mapspace, seed: int = 0) -> None:
        self.complete = False
        chunks = space.distinct_chunks() if space.exact_classes else space.chunks()
        self._waiting: Iterator[MappingBatch] = chunks if space.factor_count else iter(())

    def ask(self, count: int) -> Batch | None:
        """The next mappings."""
        batch = next(self._waiting, None)
        self.complete = batch is None
        if batch is not None and len(batch) > count:
            self._waiting = chain([batch.chosen(slice(count, None))], self._waiting)
            batch = batch.chosen(slice(0, count))
        return batch

    def tell(self, batch: Batch, cost: Floats) -> None:
        """Learns nothing."""


# --- random -------------------------------------------------------------------------------------------------


class Random:
    """Uniform draws; chunk k is drawn with the seed (seed, k), under few templates at a time."""

    learns = False
    complete = False
    templates = 8

    def __init__(self, space: Mapspace, seed: int = 0) -> None:
        self.space, self.seed, self.chunk = space, seed, 0

    def ask(self, count: int) -> Batch | None:
        """The next chunk."""
        derived = int(np.random.SeedSequence([self.seed, self.chunk]).generate_state(1)[0])
        self.chunk += 1
        enough = min(TEMPLATES, count // max(1, self.space.factor_count))
        return self.space.sample(count, derived, templates=max(self.templates, enough))

    def tell(self, batch: Batch, cost: Floats) -> None:
        """Learns nothing."""


DRAWN = 4096


def smallest_tiles(space: Mapspace, count: int, seed: int) -> Sample:
    """Of DRAWN random choices of factors those with the smallest tiles inside the outermost level, which fit most likely."""
    rng = np.random.default_rng([seed, 11])
    factors = space.drawn_factors(DRAWN, rng)
    factors = factors[:, space.legal(factors)]
    outer = [i for i, loop in enumerate(space.loops) if loop.level == 0 and not loop.spatial]
    best = np.argsort(-factors[outer].astype(np.float64).prod(axis=0), kind="stable")[:count]
    return space.gathered([space.drawn_template(rng)], np.zeros(len(best), dtype=np.int64), factors[:, best])


# --- islands ------------------------------------------------------------------------------------------------


@dataclass
class Island:
    """Mappings under one template, and their costs."""

    template: Template
    factors: Ints
    cost: Floats

    @property
    def best(self) -> float:
        """The lowest cost on the island."""
        return float(self.cost.min(initial=np.inf))


class Moves:
    """Random steps on many mappings at once."""

    def __init__(self, space: Mapspace, seed: int) -> None:
        self.space = space
        self.rng: np.random.Generator = np.random.default_rng([seed, 7])
        free = [(space_of, rows) for space_of, rows in zip(space.ranks, space.rows, strict=True) if space_of.factors.count > 1]
        self._ranks = [(s, rows, np.array(sorted({p for size in s.factors.sizes for p in primes(size)}))) for s, rows in free]

    def island(self, count: int) -> Island:
        """A random template with random factors."""
        factors = self.space.drawn_factors(count, self.rng)
        return Island(self.space.drawn_template(self.rng), factors, np.full(count, np.inf))

    def small_steps(self, factors: Ints) -> Ints:
        """One or two prime factors of every column moved to another slot; a column stays where that is not allowed."""
        found, count = self._primes_moved(factors), int(factors.shape[1])
        again = self.rng.random(count) < 0.4
        found[:, again] = self._primes_moved(found[:, again])
        return self._redrawn(found)

    def _redrawn(self, factors: Ints) -> Ints:
        """All factors of one rank drawn anew in every twentieth column."""
        chosen = np.flatnonzero(self.rng.random(int(factors.shape[1])) < 0.05)
        for column in np.array_split(chosen, len(self._ranks)) if self._ranks else ():
            space, rows, _ = self._ranks[int(self.rng.integers(len(self._ranks)))]
            factors[rows, column] = space.factors.drawn(len(column), self.rng)
        return factors

    def _primes_moved(self, factors: Ints) -> Ints:
        moved, count = factors.copy(), int(factors.shape[1])
        if not self._ranks:
            return moved
        undone = np.arange(count)
        for _ in range(6):
            which = self.rng.integers(0, len(self._ranks), len(undone))
            for r, (_, rows, prime) in enumerate(self._ranks):
                columns = undone[which == r]
                source, target = self.rng.integers(rows.start, rows.stop, (2, len(columns)))
                factor = prime[self.rng.integers(0, len(prime), len(columns))]
                fits = (moved[source, columns] % factor == 0) & (source != target)
                columns, source, target, factor = columns[fits], source[fits], target[fits], factor[fits]
                moved[source, columns] //= factor
                moved[target, columns] *= factor
            legal = self.space.legal(moved[:, undone])
            moved[:, undone[~legal]] = factors[:, undone[~legal]]
            undone = undone[(moved[:, undone] == factors[:, undone]).all(axis=0)]
        return moved

    def mutated(self, template: Template) -> Template:
        """One thing changed: the order of a level drawn anew, two loops of it exchanged, or one tensor kept elsewhere."""
        free = [i for i, order in enumerate(self.space.orders) if order.count > 1]
        choices = [name for name, mine in self.space.bypass.options.items() if len(mine) > 1]
        if choices and (not free or self.rng.random() < 0.3):
            return Template(template.orders, self._rekept(template, str(self.rng.choice(choices))))
        if not free:
            return template
        level = int(self.rng.choice(free))
        order = list(template.orders[level])
        places = [i for i, rank in enumerate(order) if rank in self.space.orders[level].free]
        if self.rng.random() < 0.3:
            changed = self.space.orders[level].drawn(self.rng)
        else:
            i, j = self.rng.choice(places, 2, replace=False)
            order[i], order[j] = order[j], order[i]
            changed = tuple(order)
        return Template((*template.orders[:level], changed, *template.orders[level + 1 :]), template.keep)

    def _rekept(self, template: Template, name: str) -> tuple[frozenset[str], ...]:
        options = self.space.bypass.options[name]
        chosen = options[int(self.rng.integers(len(options)))]
        return tuple(kept - {name} | ({name} if level in chosen else set[str]()) for level, kept in enumerate(template.keep))

    def sample_of(self, islands: list[Island]) -> Sample:
        """All mappings of the islands, one island after the other."""
        sizes = [island.factors.shape[1] for island in islands]
        which = np.repeat(np.arange(len(islands)), sizes)
        return self.space.gathered([i.template for i in islands], which, np.concatenate([i.factors for i in islands], axis=1))


ISLANDS = 8
MEMBERS = 512
"""Mappings of one island, at most."""


class Islands:
    """Groups of mappings that share a template; from every group a round of new ones is proposed."""

    learns, complete = True, False

    def __init__(self, space: Mapspace, seed: int = 0) -> None:
        self.moves, self.round = Moves(space, seed), 0
        self.islands: list[Island] = []
        self.proposed: list[Island] = []

    def ask(self, count: int) -> Batch | None:
        """A round of proposals; the first time the mappings themselves."""
        size = max(1, min(MEMBERS, count // ISLANDS))
        if not self.islands:
            self.proposed = [self.moves.island(size) for _ in range(min(ISLANDS, count))]
        else:
            self.round += 1
            self._grow(size, count)
            self.proposed = self._proposals(size)[: max(1, count // size)]
        return self.moves.sample_of(self.proposed)

    def _grow(self, size: int, count: int) -> None:
        """Random mappings where there are fewer than can be looked at now: the first rounds under a budget of time are small."""
        for number, island in enumerate(self.islands):
            if (more := size - len(island.cost)) > 0:
                drawn = self.moves.space.drawn_factors(more, self.moves.rng)
                factors, cost = np.concatenate([island.factors, drawn], axis=1), np.append(island.cost, np.full(more, np.inf))
                self.islands[number] = Island(island.template, factors, cost)
        self.islands += [self.moves.island(size) for _ in range(min(ISLANDS, count) - len(self.islands))]

    def _proposals(self, size: int) -> list[Island]:
        """At most `size` new mappings for every island."""
        raise NotImplementedError


class Annealing(Islands):
    """Simulated annealing of many mappings at once: each takes a step, and keeps it if it is better or by Metropolis' chance.

    Steps of one island share a template; now and then the template itself is changed for all of them. The cost is its logarithm,
    the temperature falls by 7 % a round and rises again when it is low.
    """

    def __init__(self, space: Mapspace, seed: int = 0) -> None:
        super().__init__(space, seed)
        self.heat = 1.0

    def _proposals(self, size: int) -> list[Island]:
        return [self._proposal(i, min(size, island.factors.shape[1])) for i, island in enumerate(self.islands)]

    def _proposal(self, number: int, size: int) -> Island:
        island = self.islands[number]
        changes = (self.round + number) % 3 == 0
        template = self.moves.mutated(island.template) if changes else island.template
        return Island(template, self.moves.small_steps(island.factors[:, :size]), np.full(size, np.inf))

    def tell(self, batch: Batch, cost: Floats) -> None:
        """Takes over the accepted steps; cools down."""
        for number, island in enumerate(_with_costs(self.proposed, cost)):
            if number >= len(self.islands):
                self.islands.append(island)
                continue
            old, size = self.islands[number], len(island.cost)
            chance = self.moves.rng.random(size)
            with np.errstate(invalid="ignore", divide="ignore"):
                better = np.log(island.cost) - np.log(old.cost[:size]) <= -self.heat * np.log(chance)
            accepted = better | ((island.cost == np.inf) & (old.cost[:size] == np.inf))
            if island.template == old.template:
                old.factors[:, :size][:, accepted] = island.factors[:, accepted]
                old.cost[:size][accepted] = island.cost[accepted]
            elif island.best <= old.best * (1 + self.heat * 0.1) or old.best == np.inf:
                self.islands[number] = Island(island.template, island.factors, island.cost)
        self.heat = self.heat * 0.93 if self.heat > 1e-3 else 0.3


class Genetic(Islands):
    """A genetic algorithm on islands: parents win tournaments, children take every rank's factors from one of two, then mutate.

    The better half of parents and children stays. The worst island starts anew from a changed template of a better one every
    fourth round; the worse half does every round where there are fewer choices of factors than members.
    """

    def _proposals(self, size: int) -> list[Island]:
        self._replace_worst()
        return [self._children(island, min(size, island.factors.shape[1])) for island in self.islands]

    def _replace_worst(self) -> None:
        few = self.moves.space.factor_count <= MEMBERS
        if (self.round % 4 and not few) or len(self.islands) < 2:
            return
        ranked = sorted(range(len(self.islands)), key=lambda i: (self.islands[i].best, i))
        half = len(ranked) // 2
        for worst in ranked[half:] if few else ranked[-1:]:
            donor = self.islands[ranked[int(self.moves.rng.integers(half))]]
            template = self.moves.mutated(donor.template)
            self.islands[worst] = Island(template, donor.factors.copy(), np.full(len(donor.cost), np.inf))

    def _children(self, island: Island, size: int) -> Island:
        rng, members = self.moves.rng, len(island.cost)
        one, other = rng.integers(0, members, (2, 2, size))
        parents = one + (other - one) * (island.cost[one] > island.cost[other])
        factors = island.factors[:, parents[0]].copy()
        for rows in self.moves.space.rows:
            swap = rng.random(size) < 0.5
            factors[rows, swap] = island.factors[rows][:, parents[1][swap]]
        return Island(island.template, self.moves.small_steps(factors), np.full(size, np.inf))

    def tell(self, batch: Batch, cost: Floats) -> None:
        """The best of parents and children survive, of equal ones the younger."""
        for number, island in enumerate(_with_costs(self.proposed, cost)):
            if number >= len(self.islands):
                self.islands.append(island)
                continue
            old = self.islands[number]
            everyone = np.concatenate([island.cost, old.cost])
            factors = np.concatenate([island.factors, old.factors], axis=1)
            chosen = np.argsort(everyone, kind="stable")[: len(old.cost)]
            self.islands[number] = Island(old.template, factors[:, chosen], everyone[chosen])


def _with_costs(proposed: list[Island], cost: Floats) -> list[Island]:
    """The proposals with their costs."""
    ends = np.cumsum([0, *(island.factors.shape[1] for island in proposed)])
    return [Island(i.template, i.factors, cost[a:b].copy()) for i, a, b in zip(proposed, ends, ends[1:], strict=False)]


SEARCHERS: Mapping[str, Callable[[Mapspace, int], Any]] = {
    "exhaustive": Exhaustive,
    "random": Random,
    "annealing": Annealing,
    "genetic": Genetic,
}
"""Searchers by name: made from a mapspace and a seed."""
