"""Probabilities of non-empty tiles by hand, and conditions as sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparseloop.model.density import Actual
from sparseloop.model.sparsity.emptiness import NONE, Emptiness, in_order, minimal, tile_condition, widen
from sparseloop.model.traffic.tiles import FIXED, Tiles, join
from tests.helpers.plans import planned
from tests.helpers.walks import einsum, matmul, tensor

A, B, Z = range(3)


def asked(problem, loops: str, **densities) -> Emptiness:
    plan, mapping = planned(problem, loops, "ABZ", **densities)
    return Emptiness(Tiles(plan, mapping.bounds))


def some(total: int, full: int, size: int) -> float:
    """P(a tile of `size` of `total` elements, `full` of them non-zero, holds one)."""
    return 1 - math.comb(total - size, full) / math.comb(total, full)


def test_tiles_of_random_tensors() -> None:
    """A has 2 non-zeros among 8 words, B 4 among 16; tensors are independent."""
    emptiness = asked(matmul(m=2, n=4, k=4), "m2 k2 k2 n4", A=0.25, B=0.25)
    tiles = emptiness.tiles
    pair = tile_condition(tiles, A, tiles.covering([2]))
    block = tile_condition(tiles, B, tiles.covering([2, 3]))
    assert emptiness.non_emptiness(NONE) == 1
    assert emptiness.empty(A, tiles.covering([2])) == pytest.approx(15 / 28)
    assert emptiness.non_emptiness(frozenset({pair})) == pytest.approx(some(8, 2, 2))
    assert emptiness.non_emptiness(frozenset({pair, block})) == pytest.approx(some(8, 2, 2) * some(16, 4, 8))


def test_two_tiles_of_one_tensor_that_cross() -> None:
    """One non-zero among 2 x 2: row 0 and column 0 both hold one only if it is their common word."""
    emptiness = asked(matmul(m=2, n=1, k=2), "m2 k2 n1", A=0.25)
    row, column = (tile_condition(emptiness.tiles, A, emptiness.tiles.covering([s])) for s in (0, 1))
    assert emptiness.non_emptiness(frozenset({row, column})) == pytest.approx(0.25)
    assert emptiness.non_emptiness(frozenset({row})) == pytest.approx(0.5)


def test_a_tile_inside_another_one_decides() -> None:
    emptiness = asked(matmul(m=2, n=1, k=4), "m2 k4 n1", A=0.25)
    tiles = emptiness.tiles
    inner, outer = tiles.covering([1]), tiles.covering([0, 1])
    assert minimal([outer, inner, inner]) == [inner]
    both = frozenset({tile_condition(tiles, A, inner), tile_condition(tiles, A, outer)})
    assert emptiness.non_emptiness(both) == emptiness.non_emptiness(frozenset({tile_condition(tiles, A, inner)}))


def test_widening_asks_for_any_member() -> None:
    emptiness = asked(matmul(m=2, n=1, k=4), "m2 k4 n1", A=0.25)
    tiles = emptiness.tiles
    word, row = tile_condition(tiles, A, tiles.point), tile_condition(tiles, A, tiles.covering([1]))
    assert widen(frozenset({word}), tiles.covering([1, 2]), tiles) == {row}
    assert widen(frozenset({word}), tiles.covering([1, 2]), tiles, but=word) == {word}
    assert row[1] == join(tiles.point, tiles.covering([1]))
    assert word[1] == (FIXED, FIXED, FIXED)


def test_the_order_of_conditions_is_the_same_in_every_run() -> None:
    tiles = asked(matmul(m=2, n=2, k=4), "m2 k4 n2").tiles
    mixed = join(tiles.partial_cover("x", {0: 2}), tiles.partial_cover("y", {0: 2, 1: 2}))
    ordered = [tile_condition(tiles, A, tiles.point), tile_condition(tiles, A, mixed), tile_condition(tiles, B, tiles.point)]
    assert in_order(frozenset(ordered)) == ordered


# --- known patterns -----------------------------------------------------------------------------------------


def dot(a: list[int], b: list[int], loops: str) -> Emptiness:
    problem = einsum([tensor("A", "k"), tensor("B", "k"), tensor("Z", output=True)], k=len(a))
    return asked(problem, loops, A=Actual(np.array(a, bool)), B=Actual(np.array(b, bool)))


def test_known_patterns_are_met_where_they_are() -> None:
    """Both have half of their words, but never at the same place; in tiles of 2 they meet in one of two."""
    emptiness = dot([1, 0, 1, 0], [0, 1, 0, 1], "k2 k2")
    tiles = emptiness.tiles
    words = frozenset(tile_condition(tiles, t, tiles.point) for t in (A, B))
    pairs = widen(words, tiles.covering([1]), tiles)
    assert emptiness.non_emptiness(words) == 0
    assert emptiness.non_emptiness(pairs) == 1
    emptiness = dot([1, 1, 0, 0], [0, 1, 0, 1], "k2 k2")
    assert emptiness.non_emptiness(words) == 0.25
    assert emptiness.non_emptiness(pairs) == 0.5


def test_first_visits_can_be_left_out() -> None:
    """Of the words 1 0 1 1 the first is left out: 2 of the 3 others are non-zero."""
    emptiness = dot([1, 0, 1, 1], [1, 1, 1, 1], "k4")
    tiles = emptiness.tiles
    word, later = frozenset({tile_condition(tiles, A, tiles.point)}), tiles.covering([0])
    assert emptiness.non_emptiness(word) == 0.75
    assert emptiness.non_emptiness(word, later) == pytest.approx(2 / 3)
