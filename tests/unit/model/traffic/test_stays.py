"""How long tiles stay, by hand: A[m,k] at level 1 under temporal loops over m, n, k in different orders."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.model.traffic.stays import child_tile, repeats, stationary, visits
from sparseloop.model.traffic.tiles import Tiles
from tests.helpers.plans import link, planned
from tests.helpers.walks import matmul

PROBLEM = matmul(m=2, n=3, k=4)


@pytest.mark.parametrize(
    ("loops", "delivered", "stays", "again"),
    [
        ("m2 k4 n3", 8, 3, 1),  # n inside the innermost moving loop, k: the tile stays over it
        ("n3 m2 k4", 24, 1, 3),  # n outside: every tile comes three times
        ("m2 n3 k4", 24, 1, 3),
        ("k4 n3 m1", 4, 3, 1),  # a loop of bound 1 moves nothing
    ],
)
def test_visits_and_stays(loops: str, delivered: int, stays: int, again: int) -> None:
    plan, mapping = planned(PROBLEM, loops + "|m1", "ABZ|ABZ")
    tiles, outer = Tiles(plan, mapping.bounds), link(plan, 0, "A")
    assert visits(tiles, outer) == delivered
    assert tiles.passes(stationary(tiles, outer)) == stays
    assert tiles.passes(repeats(tiles, outer, of_parent=False)) == again


def test_which_loop_moves_depends_on_the_mapping() -> None:
    """In the second mapping k has one iteration, so m is the innermost moving loop and n lies inside it."""
    plan, _ = planned(PROBLEM, "m2 n3 k4|k4", "ABZ|ABZ")
    tiles, outer = Tiles(plan, np.array([[2, 2], [3, 3], [4, 1], [1, 4]])), link(plan, 0, "A")
    np.testing.assert_array_equal(visits(tiles, outer), [24, 2])
    np.testing.assert_array_equal(tiles.passes(stationary(tiles, outer)), [1, 3])
    np.testing.assert_array_equal(tiles.passes(repeats(tiles, outer, of_parent=False)), [3, 1])


def test_nothing_stays_at_the_compute_level() -> None:
    plan, mapping = planned(PROBLEM, "m2 k4 n3", "ABZ")
    tiles, only = Tiles(plan, mapping.bounds), link(plan, 0, "A")
    assert child_tile(tiles, only) == stationary(tiles, only) == tiles.point
    assert visits(tiles, only) == 24


def test_covers_of_a_link_are_made_once() -> None:
    plan, mapping = planned(PROBLEM, "m2 n3 k4|m1", "ABZ|ABZ")
    tiles = Tiles(plan, mapping.bounds)
    for one in plan.links:
        assert stationary(tiles, one) is stationary(tiles, one)
        assert repeats(tiles, one, of_parent=True) is repeats(tiles, one, of_parent=True)
