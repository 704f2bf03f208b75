"""Searchers by themselves: how much they propose, and that the exhaustive one leaves nothing out."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.mapper.searchers import SEARCHERS, Exhaustive, Moves
from tests.helpers.tiny_spaces import CONSTRAINED, FIXED, spec_of

METHODS = ("exhaustive", "random", "annealing", "genetic")


@pytest.mark.parametrize("method", METHODS)
def test_a_searcher_asks_for_no_more_than_it_may(method: str) -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    searcher = SEARCHERS[method](space, 0)
    for count in (100, 7, 1):
        batch = searcher.ask(count)
        assert 1 <= len(batch) <= count
        assert all(batch[i] in space for i in range(len(batch)))
        searcher.tell(batch, np.arange(len(batch), dtype=float))


def test_exhaustive_lists_all_orders_where_classes_are_not_exact() -> None:
    spec = sl.loads(sl.dumps(spec_of(FIXED, "sparse: {GLB: {formats: {A: csr}}}\n")))
    space = sl.mapspace(spec)
    assert not space.exact_classes
    searcher = Exhaustive(space)
    assert sum(len(batch) for batch in iter(lambda: searcher.ask(5000), None)) == space.size
    assert searcher.complete


def test_batches_of_the_exhaustive_searcher_cover_the_space() -> None:
    space = sl.mapspace(spec_of(FIXED))
    searcher = Exhaustive(space)
    total = sum(len(batch) for batch in islice(iter(lambda: searcher.ask(333), None), 10**6))
    assert total == space.distinct_size


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_proposes_the_same(method: str) -> None:
    def proposed(seed: int) -> list[sl.Mapping]:
        searcher, found = SEARCHERS[method](sl.mapspace(spec_of(CONSTRAINED)), seed), list[sl.Mapping]()
        for _ in range(3):
            batch = searcher.ask(40)
            searcher.tell(batch, np.arange(len(batch), dtype=float))
            found += [batch[i] for i in range(len(batch))]
        return found

    assert proposed(5) == proposed(5)
    assert (proposed(5) == proposed(6)) == (method == "exhaustive")


def test_steps_stay_in_the_space_and_move_a_little() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    moves = Moves(space, 0)
    factors = space.drawn_factors(500, np.random.default_rng(1))
    stepped = moves.small_steps(factors)
    assert space.legal(stepped).all()
    changed = (stepped != factors).sum(axis=0)
    assert (changed > 0).mean() > 0.5
    assert changed.max() <= len(space.loops)
    assert np.median(changed[changed > 0]) <= 4, "a prime moved changes two slots; two of them at most four"


@pytest.mark.parametrize("method", ["genetic", "annealing"])
def test_a_search_that_begins_with_one_mapping_grows(method: str) -> None:
    """Under a budget of time the first batch is one mapping; then as many islands and members as there is time for."""
    searcher = SEARCHERS[method](sl.mapspace(spec_of(CONSTRAINED)), 1)
    sizes: list[int] = []
    for count in (1, 40, 800):
        batch = searcher.ask(count)
        assert batch is not None
        sizes.append(len(batch))
        searcher.tell(batch, np.arange(1.0, len(batch) + 1))
    assert sizes == [1, 40, 800]
