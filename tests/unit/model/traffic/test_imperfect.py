"""Dense counts of imperfect factors by hand: rank m of size 5 in tiles of 3, so one tile of 3 and one of 2."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.evaluation.tracing import traced_input, value_of
from sparseloop.model.traffic.dense import traffic
from sparseloop.model.traffic.existing_tiles import existing, mean_size
from sparseloop.model.traffic.tiles import Tiles
from tests.helpers.plans import link, planned
from tests.helpers.walks import conv1d, einsum, matmul, tensor


def counts(problem, loops: str, level: int, tensor: str):
    plan, mapping = planned(
        problem, loops, "|".join(["ABZ" if "A" in {t.name for t in problem.tensors} else "WIO"] * (loops.count("|") + 1))
    )
    dense = traffic(plan, mapping.bounds, mapping.residuals)
    return dense, dense.links[link(plan, level, tensor).index]


def test_steps_are_those_that_exist() -> None:
    dense, _ = counts(matmul(m=5, n=2, k=1), "m2 n2|m3,2", 0, "A")
    assert dense.steps == 5 * 2
    assert dense.instances == (1, 1, 1)
    assert not dense.perfect


@pytest.mark.parametrize(
    ("loops", "delivered"),
    [
        ("m2 n2|m3,2", 5),  # tiles of 3 and 2 words, each stays over n
        ("n2 m2|m3,2", 10),  # m advances for every n
        ("n2|m5", 5),  # one tile that stays
    ],
)
def test_a_short_last_tile_delivers_its_own_words(loops: str, delivered: int) -> None:
    _, a = counts(matmul(m=5, n=2, k=1), loops, 0, "A")
    assert (a.fills, a.reads, a.words_per_child) == (delivered, delivered, delivered)


def test_results_are_met_once() -> None:
    """Z[m,n] has 10 words, all written once; with k outside they come back: 10 more partial sums are read and filled."""
    _, z = counts(matmul(m=5, n=2, k=1), "m2 n2|m3,2", 0, "Z")
    assert (z.updates, z.reads, z.fills) == (10, 0, 0)
    _, z = counts(matmul(m=5, n=2, k=2), "k2 m2 n2|m3,2", 0, "Z")
    assert (z.updates, z.reads, z.fills) == (20, 10, 10)


def test_lanes_that_have_nothing_to_do_do_not_count() -> None:
    """m over 3 lanes in tiles of 2: lanes of 2, 2 and 1 words; and over 4 lanes, of which the last has none."""
    dense, a = counts(matmul(m=5, n=2, k=1), "m3x|m2,1 n2", 0, "A")
    assert dense.instances == (1, 3, 3)
    assert (a.children, a.fills) == (3, 5)
    dense, b = counts(matmul(m=5, n=2, k=1), "m3x|m2,1 n2", 0, "B")
    assert (b.fills, b.reads, b.sharing) == (3 * 2, 2, 3)  # B[n] is multicast to the 3 lanes
    dense, _ = counts(matmul(m=5, n=2, k=1), "m4,3x|m2,1 n2", 0, "A")
    assert dense.instances == (1, 3, 3)


@pytest.mark.parametrize(
    ("loops", "reached"),
    [
        ("m4,3x|m2,1", [3, 2]),  # no loop is further out: lane 4 never has anything to do
        ("m4,1|m4,3", [1, 3]),  # the inner loop never gets to its bound either
        ("m2|m3,2", [2, 3]),
    ],
)
def test_bounds_are_those_that_are_ever_reached(loops: str, reached: list[int]) -> None:
    plan, mapping = planned(matmul(m=5, n=1, k=1), loops, "ABZ|ABZ")
    assert mapping.residuals is not None
    assert Tiles(plan, mapping.bounds, mapping.residuals).bounds == reached
    batch = Tiles(plan, np.array(mapping.bounds)[:, None], np.array(mapping.residuals)[:, None])
    assert [int(bound[0]) for bound in batch.bounds] == reached


def test_a_window_of_a_partial_tile() -> None:
    """p = 5 in tiles of 3 with r = 2: inputs 0..3, then 3..5, of which 3 is there already."""
    _, i = counts(conv1d(r=2, p=5), "p2|p3,2 r2", 0, "I")
    assert i.fills == 4 + 2


def test_batches_and_traced_values_count_alike() -> None:
    plan, _ = planned(matmul(m=5, n=2, k=1), "m2 n2|m3,2", "ABZ|ABZ")
    bounds, residuals = np.array([[2, 5], [2, 2], [3, 1]]), np.array([[2, 5], [2, 2], [2, 1]])
    batch = traffic(plan, bounds, residuals).links[0]
    assert batch.fills.tolist() == [5, 5]
    named = [traced_input(n, f"loop {i}") for i, n in enumerate((2, 2, 3))]
    assert value_of(traffic(plan, named, (2, 2, 2)).links[0].fills) == 5


def test_index_tuples_that_exist_and_the_mean_tile() -> None:
    """m = 5 as 2 x 3: indices 00 01 02 10 11; k = 4 as 2 x 2. Tiles of A[m,k] have 3 x 2 or 2 x 2 words, 20 in 4 tiles."""
    plan, mapping = planned(matmul(m=5, n=1, k=4), "m2 k2|m3,2 k2", "ABZ|ABZ")
    tiles = Tiles(plan, mapping.bounds, mapping.residuals)
    slot = {(loop.rank, loop.level): i for i, loop in enumerate(plan.loops)}
    outer, inner = slot["m", 0], slot["m", 1]
    assert existing(tiles, {outer: 2}) == 2
    assert existing(tiles, {inner: 3}) == 3
    assert existing(tiles, {outer: 2, inner: 3}) == 5
    assert existing(tiles, {outer: 1, inner: 3, slot["k", 0]: 2}) == 3 * 2
    assert mean_size(tiles, 0, tiles.inside(1)) == 20 / 4
    assert mean_size(tiles, 0, tiles.covering([outer])) == 20 / (3 * 4)  # rows 0 and 3, 1 and 4, 2
    tiles.partial["block", inner] = 2  # two of the three rows of a tile: a part of 2.5 on average
    block = tuple(frozenset({"block"}) if slot == inner else span for slot, span in enumerate(tiles.point))
    assert mean_size(tiles, 0, block) == pytest.approx(2.5 * 2 / 3)


def test_results_with_steps_touch_the_words_they_have() -> None:
    """Z[2p] of p = 5 has 5 words in 9 places: all of them are written, none is read."""
    problem = einsum([tensor("A", "p"), tensor("Z", "2p", output=True)], p=5)
    plan, mapping = planned(problem, "p2|p3,2", "AZ|AZ")
    z = traffic(plan, mapping.bounds, mapping.residuals).links[link(plan, 0, "Z").index]
    assert (z.updates, z.reads, z.fills) == (5, 0, 0)


def test_children_along_a_diagonal_hold_the_same_word() -> None:
    """I[p + r], p over 3 and r over 2 lanes, p = 5: words 0 to 3 for six lanes, then 3 to 5 for the four of p = 3, 4."""
    _, i = counts(conv1d(r=2, p=5), "p2|p3,2x r2x|", 1, "I")
    assert (i.reads, i.sharing) == (4 + 3, 10 / 7)


def test_children_along_a_diagonal_with_tiles_of_two_sizes() -> None:
    """Tiles of p in lanes of 2 and, at the end, 1: the lanes (0, r = 2) and (1, r = 0) hold words 2 and 3, and word 2 alone."""
    _, i = counts(conv1d(r=3, p=3), "p2x r3x|p2,1", 0, "I")
    assert i.fills == 3 * 2 + 3 * 1
    assert i.reads == 3 * 2 + 3 * 1
