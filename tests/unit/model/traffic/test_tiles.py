"""Covers and the sizes of their tiles, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.model.memo import forget
from sparseloop.model.traffic.dense import traffic
from sparseloop.model.traffic.tiles import FIXED, FULL, Tiles, join, within
from tests.helpers.plans import planned
from tests.helpers.walks import conv1d, einsum, matmul, tensor

A, B, Z = range(3)
W, I, O = range(3)  # noqa: E741


def tiles_of(problem, loops: str, keep: str, bounds=None) -> Tiles:
    plan, mapping = planned(problem, loops, keep)
    return Tiles(plan, mapping.bounds if bounds is None else bounds, mapping.residuals)


def strided(stride: int):
    return einsum([tensor("W", "r"), tensor("I", f"{stride}p+r"), tensor("O", "p", output=True)], p=2, r=2)


def coordinates(stride: int, p: int, r: int) -> set[int]:
    return {stride * i + j for i in range(p) for j in range(r)}


# --- sizes --------------------------------------------------------------------------------------------------


def test_sizes_and_strides_of_a_matrix_product() -> None:
    tiles = tiles_of(matmul(m=4, n=2, k=8), "m2 k2|n2 m2 k4", "ABZ|ABZ")
    assert tiles.stride == [2, 4, 1, 1, 1]
    assert [tiles.size(t, tiles.inside(1)) for t in (A, B, Z)] == [2 * 4, 2 * 4, 2 * 2]
    assert tiles.extents(A, tiles.inside(1)) == (2, 4)
    assert tiles.size(A, tiles.inside(0)) == 32
    assert tiles.size(A, tiles.point) == 1
    assert tiles.size(A, tiles.covering([1, 4])) == 2 * 4  # k alone
    assert tiles.extents(A, tiles.covering([0])) == (3, 1)  # rows 0 and 2: one row apart
    assert tiles.product([0, 1, 4]) == 2 * 2 * 4


def test_sizes_of_a_batch() -> None:
    bounds = np.array([[2, 4], [2, 1], [2, 2], [2, 1], [4, 8]])
    tiles = tiles_of(matmul(m=4, n=2, k=8), "m2 k2|n2 m2 k4", "ABZ|ABZ", bounds)
    np.testing.assert_array_equal(tiles.size(A, tiles.inside(1)), [8, 8])
    np.testing.assert_array_equal(tiles.size(Z, tiles.inside(1)), [4, 2])


@pytest.mark.parametrize(("p", "r"), [(4, 3), (4, 1), (1, 3)])
def test_a_sliding_window_touches_overlapping_words_once(p: int, r: int) -> None:
    tiles = tiles_of(conv1d(r=r, p=p), f"p{p} r{r}", "WIO")
    assert tiles.size(I, tiles.inside(0)) == p + r - 1
    assert tiles.extents(I, tiles.inside(0)) == (p + r - 1,)


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_a_stride_leaves_holes(stride: int) -> None:
    tiles = tiles_of(strided(stride), "p2 r2", "WIO")
    assert tiles.size(I, tiles.inside(0)) == len(coordinates(stride, 2, 2))
    assert tiles.extents(I, tiles.inside(0)) == (stride + 2,)


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("shift", range(8))
def test_overlap_of_a_window_with_itself(stride: int, shift: int) -> None:
    tiles = tiles_of(strided(stride), "p2 r2", "WIO")
    here = coordinates(stride, 2, 2)
    assert tiles.overlap(I, 0, tiles.inside(0), shift) == len(here & {x + shift for x in here})


def test_one_step_of_a_loop() -> None:
    tiles = tiles_of(strided(3), "p2|r2", "WIO|WIO")
    assert (tiles.step(I, 0, 0), tiles.step(I, 0, 1), tiles.step(W, 0, 0)) == (3, 1, 0)


def test_a_partial_last_tile_ends_with_its_rank() -> None:
    """m = 5 in tiles of 3: all of it is 5, not 6."""
    tiles = tiles_of(matmul(m=5, n=1, k=2), "m2|m3,2 k2", "ABZ|ABZ")
    assert tiles.clipped
    assert tiles.size(A, tiles.inside(1)) == 6
    assert tiles.size(A, tiles.inside(0)) == 10
    assert tiles.extents(A, tiles.inside(0)) == (5, 2)


def test_the_common_part_of_two_tiles() -> None:
    """Rows 0..3 of columns 0..1, and row 0 of all 8 columns, share 1 x 2 words."""
    tiles = tiles_of(matmul(m=4, n=1, k=8), "k4 m4 k2", "ABZ")
    tall, wide = tiles.covering([1, 2]), tiles.covering([0, 2])
    assert tiles.pair(A, tall, wide) == ((8, (4, 2)), (8, (1, 8)), (2, (1, 2)))
    assert tiles.tile(A, tall) == (8, (4, 2))


# --- covers -------------------------------------------------------------------------------------------------


def test_joins_and_containment() -> None:
    x, y = frozenset({"x"}), frozenset({"y"})
    a, b = (FIXED, x, FULL), (FULL, y, FIXED)
    assert join(a, b) == (FULL, x | y, FULL)
    assert within(a, join(a, b))
    assert not within(join(a, b), a)
    forget()
    assert join(a, b) == (FULL, x | y, FULL)


def test_a_partial_cover_counts_what_it_was_given() -> None:
    tiles = tiles_of(matmul(m=4, n=2, k=8), "m2 k2|n2 m2 k4", "ABZ|ABZ")
    some = tiles.partial_cover("some", {0: 2, 4: 3})
    more = tiles.partial_cover("more", {4: 2, 3: 2})
    assert tiles.size(A, some) == 2 * 3
    assert tiles.size(A, join(some, more)) == 2 * 2 * 3  # at every slot the larger one
    assert tiles.size(A, join(some, tiles.inside(1))) == 2 * 2 * 4
    assert tiles.passes(some) == 6
    assert tiles.restrict(some, B) == (FIXED, FIXED, FIXED, FIXED, frozenset({"some"}))


def test_a_name_stands_for_one_cover() -> None:
    """Sizes are remembered by name: a second cover of the same name would have the size of the first."""
    tiles = tiles_of(matmul(m=4, n=2, k=8), "m4 n2 k8", "ABZ")
    tiles.partial_cover("walk0", {0: 2})
    with pytest.raises(AssertionError, match="there is a cover walk0 already"):
        tiles.partial_cover("walk0", {0: 4})


def test_what_is_made_once_is_kept_by_its_key() -> None:
    tiles = tiles_of(matmul(m=4, n=2, k=8), "m4 n2 k8", "ABZ")
    made = [tiles.once(("some place", i), lambda: object()) for i in (1, 2, 1)]
    assert made[0] is made[2]
    assert made[0] is not made[1]


def test_diagonals_are_counted_once() -> None:
    """A[i,i] of i = 6 has 6 words, 3 of them in a tile of 3; A[i+j,j] has a word per pair, also where sums are equal."""
    diagonal = einsum([tensor("A", "i", "i"), tensor("Z", output=True)], i=6)
    tiles = tiles_of(diagonal, "i2 i3", "AZ")
    inner, whole = tiles.covering([1]), tiles.covering([0, 1])
    assert (tiles.size(A, inner), tiles.size(A, whole)) == (3, 6)
    assert tiles.extents(A, inner) == (3, 3)
    assert tiles.overlap(A, 0, inner, tiles.step(A, 0, 0)) == 0  # the next tile has other words
    slanted = tiles_of(einsum([tensor("A", "i+j", "j"), tensor("Z", output=True)], i=3, j=2), "i3 j2", "AZ")
    assert slanted.size(A, slanted.covering([0, 1])) == 6


def test_reads_and_updates_of_diagonals() -> None:
    """Four words of Z are written once, none is read; four lanes read the four words of A."""
    result = einsum([tensor("A", "i"), tensor("Z", "i", "i", output=True)], i=4)
    made = traffic(*compiled(result, "i4", "AZ")).links[1]
    assert (made.reads, made.updates) == (0, 4)
    trace = einsum([tensor("A", "i", "i"), tensor("Z", output=True)], i=4)
    assert traffic(*compiled(trace, "i4x", "AZ")).links[0].reads == 4


def compiled(problem, loops: str, keep: str):
    plan, mapping = planned(problem, loops, keep)
    return plan, mapping.bounds
