"""Words of a sliding window that are new, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.mapper.optimal.windows import AxisPadding, Movement, Window, axis_padding, tiles_coincide
from sparseloop.mapper.space.loop_orders import SLIDING
from sparseloop.model.design.einsum import Axis, Einsum, Term

P, R, C = 0, 1, 2
SLID = 1 << P << SLIDING
WINDOW = Window(axes=((C,), (P, R)), exact=True, shape=(56, 3, 8))


def movement(inner: list[int], lanes: list[int], factors: list[int], run: int, joined: bool = False) -> Movement:
    arrays = (np.array(values, dtype=np.float64)[:, None] for values in (inner, lanes, factors))
    return Movement(*arrays, run=run, joined=joined)


@pytest.mark.parametrize(
    ("inner", "lanes", "factors", "run", "words"),
    [
        ([4, 3, 2], [1, 1, 1], [7, 1, 4], 0, 12),  # c moves: all 2 * (4 + 3 - 1) words
        ([4, 3, 2], [1, 1, 1], [7, 1, 4], SLID, 8),  # p moves: 4 new columns of 2
        ([1, 3, 2], [1, 1, 1], [7, 1, 4], SLID, 2),  # p moves by one: one new column
        ([1, 3, 2], [2, 1, 1], [7, 1, 4], SLID, 4),  # by two, as a neighbour has the other one
        ([1, 1, 2], [1, 1, 1], [8, 3, 4], SLID, 7 / 4),  # r outside moves, too, at one of eight steps
        ([1, 1, 2], [1, 1, 1], [8, 3, 4], SLID | 1 << R, 4),  # r inside: 3 positions, one of them still there
        ([1, 1, 2], [1, 1, 1], [8, 3, 4], 1 << R, 6),  # c outside r: all three
        ([1, 3, 2], [1, 1, 1], [1, 1, 4], SLID, 6),  # a loop of bound 1 moves nothing
    ],
)
def test_fresh_words(inner: list[int], lanes: list[int], factors: list[int], run: int, words: float) -> None:
    assert WINDOW.fresh(movement(inner, lanes, factors, run))[0] == pytest.approx(words)


def test_joined_loops_may_be_several() -> None:
    """Half of the steps of p at least move nothing else, whatever the parts of the joined loops are."""
    assert WINDOW.fresh(movement([1, 1, 2], [1, 1, 1], [8, 3, 4], SLID, joined=True))[0] == pytest.approx(1)
    assert WINDOW.fresh(movement([1, 3, 2], [1, 1, 1], [8, 1, 4], SLID, joined=True))[0] == pytest.approx(2)


def test_growth_of_a_tile_of_which_only_a_larger_one_is_known() -> None:
    """Any tile inside (4, 3): seven p steps bring at least 1 + 6 / 3 times its words, a step alone a quarter of its 4 of 6."""
    assert WINDOW.growth(movement([4, 3, 2], [1, 1, 1], [7, 1, 1], 1 << P))[0] == pytest.approx(3)
    assert WINDOW.growth(movement([4, 3, 2], [1, 1, 1], [2, 1, 1], SLID))[0] == pytest.approx(0.25 * 4 / 6)


@pytest.mark.parametrize(
    ("inner", "lanes", "factors", "words"),
    [
        ([4, 1, 2], [1, 1, 1], [1, 3, 1], 2 * 2),  # r to 1 and 2: a column of 2 each
        ([4, 1, 2], [1, 1, 1], [1, 3, 5], 14 * 2),  # and back to 0, forwards and back, five times over
        ([4, 1, 2], [1, 3, 1], [1, 3, 5], 14 * 6),  # steps of 3, as neighbours have the others
        ([4, 1, 2], [1, 1, 1], [2, 3, 5], 20 * 2),  # p may move back what r moves forwards: two of three steps of r
    ],
)
def test_words_of_a_window_that_slides_to_and_fro(inner: list[int], lanes: list[int], factors: list[int], words: float) -> None:
    assert WINDOW.slid(movement(inner, lanes, factors, 1 << R << SLIDING))[0] == pytest.approx(words)


def test_a_window_of_one_word_may_be_moved_back_by_another_rank() -> None:
    """r inside p, two steps each: the words 0, 1, 1, 2. Of four passes the two pure steps of r are sure to bring a new word."""
    assert WINDOW.growth(movement([1, 1, 1], [1, 1, 1], [2, 2, 1], 1 << R << SLIDING))[0] == pytest.approx(1 / 2)
    assert WINDOW.growth(movement([56, 1, 1], [1, 1, 1], [1, 3, 1], 1 << R << SLIDING))[0] <= 1 / 2


# --- padding ------------------------------------------------------------------------------------------------

EINSUM = Einsum(ranks=("p", "r"), shape=(56, 3), tensors=())
BORDERED = Axis(terms=(Term(rank="p", coefficient=1), Term(rank="r", coefficient=1)), offset=-1, size=56)
PADDING = AxisPadding(least=56 / 58, lost={P: 2 / 56, R: 2 / 3})
PADDED = Window(axes=((C,), (P, R)), exact=True, shape=(56, 3, 8), padding=(None, PADDING))


def test_padding_of_an_axis() -> None:
    """The values 0 of r and 2 of r meet one word of padding each; p has one of them at most, r at the first or last p, too."""
    assert axis_padding(EINSUM, BORDERED, {"p": P, "r": R}) == PADDING


@pytest.mark.parametrize(
    ("inner", "factors", "run", "words"),
    [
        ([4, 3, 2], [7, 1, 4], 0, 2 * 6),  # c moves: which of the 6 columns are padding is left to `true`
        ([4, 3, 2], [7, 1, 4], SLID, 2 * 4 * (1 - 2 / 56)),
        ([4, 3, 2], [1, 1, 4], SLID, 2 * 6 * 56 / 58),  # a loop of bound 1 moves nothing: all words of the tile
        ([1, 1, 2], [8, 3, 4], SLID, 2 * (7 / 8 - 2 / 56)),
        ([1, 1, 2], [8, 3, 4], SLID | 1 << R, 2 * (3 * 56 / 58 - 1)),
    ],
)
def test_fresh_words_without_padding(inner: list[int], factors: list[int], run: int, words: float) -> None:
    assert PADDED.fresh(movement(inner, [1, 1, 1], factors, run))[0] == pytest.approx(words)


def test_true_share_of_what_does_not_slide() -> None:
    assert PADDED.true(-1) == pytest.approx(56 / 58)
    assert PADDED.true(P) == 1.0


def test_steps_of_a_window_with_padding() -> None:
    """Of 15 places of r along the level 2 of 3 may be padding: nothing is left but 4 steps."""
    assert PADDED.slid(movement([4, 1, 2], [1, 1, 1], [1, 3, 5], 1 << R << SLIDING))[0] == pytest.approx(2 * (14 - 15 * 2 / 3))


def test_tiles_that_reach_over_both_borders_may_be_the_same() -> None:
    narrow = Axis(terms=BORDERED.terms, offset=-1, size=3)
    assert not tiles_coincide(EINSUM, BORDERED, "p", {"p": [1, 28, 56], "r": [1, 3]})
    assert tiles_coincide(EINSUM, narrow, "p", {"p": [1, 28, 56], "r": [1, 3]})
    assert not tiles_coincide(EINSUM, narrow, "p", {"p": [1, 56], "r": [1, 3]})
