"""Densities of results: the probability that sums of products are zero, and the model made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations, pairwise, product
from math import comb

import numpy as np
import pytest

from sparseloop.model.density import (
    Actual,
    Block,
    DensityModel,
    OwnAxis,
    Passes,
    PositionAxis,
    Produced,
    ProducingOperand,
    Uniform,
)
from sparseloop.model.density.products import Grouped, Independent, Slices, closed_form, product_empty
from sparseloop.model.design.einsum import Axis, Tensor, Term
from sparseloop.model.design.result_density import produced_density


def counted(a: Slices, b: Slices, positions: int) -> float:
    """The exact form for two uniform operands, in fractions."""

    def zero(o: Slices, slices: int) -> Fraction:
        words = int(slices * o.words)
        return Fraction(comb(o.total - words, o.full), comb(o.total, o.full)) if words <= o.total - o.full else Fraction(0)

    value = Fraction(0)
    for j in range(positions + 1):
        thinned = sum((-1) ** s * comb(j, s) * zero(a, positions - j + s) for s in range(j + 1))
        value += comb(positions, j) * thinned * zero(b, j)
    return float(value)


def test_two_words_each_by_hand() -> None:
    """One non-zero in either operand of two words: they meet in one of two placements."""
    assert product_empty([Slices(2, 1, 1.0), Slices(2, 1, 1.0)], 2) == pytest.approx(1 / 2, abs=1e-15)
    assert product_empty([Slices(2, 1, 1.0), Slices(2, 2, 1.0)], 2) == pytest.approx(0.0, abs=1e-15)  # never all zero
    assert product_empty([Slices(2, 1, 1.0), Slices(2, 2, 1.0)], 1) == pytest.approx(1 / 2, abs=1e-15)


def test_all_placements_of_a_small_product() -> None:
    """Enumerates every placement of the non-zeros of A[3, k] and B[k, 2] over a contraction of 3."""
    a_total, a_full, b_total, b_full = 9, 3, 6, 2
    empty = 0
    for a in combinations(range(a_total), a_full):
        rows = {word // 3 for word in a}
        for b in combinations(range(b_total), b_full):
            empty += not rows & {word // 2 for word in b}
    whole = comb(a_total, a_full) * comb(b_total, b_full)
    assert product_empty([Slices(9, 3, 3.0), Slices(6, 2, 2.0)], 3) == pytest.approx(empty / whole, abs=1e-14)


@pytest.mark.parametrize(("positions", "error"), [(5, 1e-12), (16, 1e-9), (32, 1e-4)])  # alternating sums lose digits
@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 2), (6, 5)])
def test_thinning_is_exact(positions: int, error: float, a: int, b: int) -> None:
    one = Slices(2 * positions * a, positions * a // 5 + 1, float(a))
    two = Slices(positions * b, positions * b // 7 + 1, float(b))
    assert product_empty([one, two], positions) == pytest.approx(counted(one, two, positions), abs=error)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.6])
@pytest.mark.parametrize(("a", "b"), [(2, 3), (6, 5), (1, 4)])
def test_saddle_point_beyond_32_positions(share: float, a: int, b: int) -> None:
    """Within 0.003, as docs/accuracy.md says."""
    one = Slices(54 * a, max(1, round(54 * a * share)), float(a))
    two = Slices(108 * b, max(1, round(108 * b * share)), float(b))
    assert product_empty([one, two], 54) == pytest.approx(counted(one, two, 54), abs=0.003)


def test_more_positions_and_wider_slices_leave_less_empty() -> None:
    values = [product_empty([Slices(400, 20, 2.0), Slices(400, 30, 1.0)], k) for k in (0, 1, 10, 32, 33, 64, 200)]
    assert values[0] == 1.0
    assert all(x >= y - 0.003 for x, y in pairwise(values))
    assert product_empty([Slices(400, 20, 4.0), Slices(400, 30, 1.0)], 10) < values[2]


def test_closed_form_is_never_below() -> None:
    one, two = Slices(60, 12, 2.0), Slices(90, 9, 3.0)
    nonempty = [1.0 - o.empty(1) for o in (one, two)]
    assert product_empty([one, two], 20) <= closed_form(nonempty, 20) + 1e-12


def test_groups_along_the_contraction() -> None:
    """1:4 against a share of 0.3: two whole groups, and half of a third one, where its non-zero lies half of the time."""
    assert product_empty([Grouped(1, 4, 1.0), Independent(0.3)], 10) == pytest.approx(0.7 * 0.7 * 0.85, abs=1e-12)
    # 1:4 in one row against 1:4 in one column: they meet with probability 1/4 in every group
    assert product_empty([Grouped(1, 4, 1.0), Grouped(1, 4, 1.0)], 8) == pytest.approx(0.75**2, abs=1e-12)


def matrix_product(m: int, n: int, k: int, a: float, b: float) -> Produced:
    """Z[m, n] = A[m, k] * B[k, n]."""
    operands = (
        ProducingOperand(Uniform((m, k), a), (OwnAxis(0, 0),), positions=(PositionAxis("k", 1, 1, k, None),)),
        ProducingOperand(Uniform((k, n), b), (OwnAxis(1, 1),), positions=(PositionAxis("k", 0, 1, k, None),)),
    )
    return Produced((m, n), operands, (), k, (1, 1))


def test_a_large_sparse_product() -> None:
    """1024^3 at 0.001: 1073 of a million words, not all of them."""
    assert matrix_product(1024, 1024, 1024, 0.001, 0.001).density * 2**20 == pytest.approx(1074, abs=1)


def test_every_placement_of_a_2x2_product() -> None:
    """Mean, variance, empty tiles and partial sums against all placements of two non-zeros in each of two 2x2 operands."""
    model = matrix_product(2, 2, 2, 0.5, 0.5)
    patterns = [np.isin(np.arange(4), chosen).reshape(2, 2) for chosen in combinations(range(4), 2)]
    whole = [(a.astype(int) @ b.astype(int)) > 0 for a, b in product(patterns, patterns)]
    first = [np.outer(a[:, 0], b[0]) for a, b in product(patterns, patterns)]
    words = np.array([z.sum() for z in whole])
    assert model.density == pytest.approx(words.mean() / 4, abs=1e-12)
    assert model.variance(4.0, (2.0, 2.0)) == pytest.approx(words.var(), abs=1e-9)
    assert model.empty(4.0, (2.0, 2.0)) == pytest.approx((words == 0).mean(), abs=1e-12)
    assert model.empty(2.0, (1.0, 2.0)) == pytest.approx(np.mean([not z[0].any() for z in whole]), abs=1e-12)
    assert model.empty(1.0, (1.0, 1.0, 1.0)) == pytest.approx(1 - np.mean([z[0, 0] for z in first]), abs=1e-12)
    two_passes = Passes((2,), (1,), (1,), 0.0, again=False)
    so_far = np.mean([0.0, np.mean([z[0, 0] for z in first])])
    assert model.mean_empty((1.0, 1.0), two_passes, (0.0, 0.0)) == pytest.approx(1 - so_far, abs=1e-12)
    again = two_passes._replace(again=True)
    assert model.mean_empty((1.0, 1.0), again, (0.0, 0.0)) == pytest.approx(1 - np.mean([z[0, 0] for z in first]), abs=1e-12)


def test_many_passes_are_averaged_closely() -> None:
    model = matrix_product(64, 64, 4096, 0.02, 0.03)
    exact = np.mean([model.empty(1.0, (1.0, 1.0, float(8 * i))) for i in range(512)])
    assert model.mean_empty((1.0, 1.0), Passes((512,), (8,), (1,), 0.0, again=False), ()) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize(("total", "share", "words", "positions"), [(2**20, 0.1, 1024.0, 1024), (2**16, 0.5, 64.0, 200)])
def test_tiles_that_are_never_empty_are_not_searched_for(total: int, share: float, words: float, positions: int) -> None:
    """P(empty) is at most P(one position without a contribution), which has no digits left here."""
    operand = Slices(total, int(share * total), words)
    assert product_empty([operand, operand], positions) == pytest.approx(0.0, abs=1e-14)


Operands = Mapping[str, tuple[Sequence[str], float | DensityModel]]


def result_of(shape: dict[str, int], result: Sequence[str], operands: Operands) -> Produced:
    """The density model of a result; axes are ranks, or sums of them as `p+r`."""
    axes = {
        name: tuple(Axis(terms=tuple(Term(rank=rank) for rank in text.split("+"))) for text in of)
        for name, (of, _) in operands.items()
    }
    tensors = [
        Tensor(
            name=name,
            axes=axes[name],
            density=of if isinstance(of, DensityModel) else Uniform(tuple(axis.extent(shape) for axis in axes[name]), of),
        )
        for name, (_, of) in operands.items()
    ]
    made = Tensor(name="Z", axes=tuple(Axis(terms=(Term(rank=rank),)) for rank in result), output=True, density=Uniform((), 1.0))
    found = produced_density(made, tensors, shape)
    assert isinstance(found, Produced)
    return found


def test_a_window_of_one_step_is_the_tensor_itself() -> None:
    """Z[p] = I[p+r] with r = 1: one non-zero of four words is in all of them, in half of two, in a quarter of one."""
    model = result_of({"p": 4, "r": 1}, ["p"], {"I": (["p+r"], 0.25)})
    assert [model.empty(n, (n,)) for n in (1.0, 2.0, 4.0)] == pytest.approx([0.75, 0.5, 0.0], abs=1e-12)


def test_every_placement_of_a_convolution() -> None:
    """Z[p] = I[p+r] * W[r]: slices of neighbouring taps share words of I."""
    model = result_of({"p": 3, "r": 3}, ["p"], {"I": (["p+r"], 0.4), "W": (["r"], 0.5)})
    made = [
        [any(p + r in i and r in w for r in range(3)) for p in range(3)]
        for i in combinations(range(5), 2)
        for w in combinations(range(3), 2)
    ]
    for width in (1, 2, 3):
        empty = np.mean([not any(z[:width]) for z in made])
        assert model.empty(float(width), (float(width),)) == pytest.approx(empty, abs=1e-12)


def test_a_diagonal_of_results() -> None:
    """Z[i,i] = A[i]: as many words as A has, along both axes."""
    model = result_of({"i": 8}, ["i", "i"], {"A": (["i"], 0.25)})
    assert model.total == 8
    assert model.empty(3.0, (3.0, 3.0)) == pytest.approx(comb(5, 2) / comb(8, 2), abs=1e-12)


def test_blocks_that_are_added_up() -> None:
    """Z = A[j]: one of two blocks of two words has one non-zero. It is there after all four, after two in half of all cases."""
    model = result_of({"j": 4}, [], {"A": (["j"], Block((4,), (2,), 0.5, inner=0.5))})
    assert model.empty(1.0, ()) == pytest.approx(0.0, abs=1e-12)
    assert model.empty(1.0, (2.0,)) == pytest.approx(0.5, abs=1e-12)
    # the other two words are known to be zero: then it is surely among these
    assert model.mean_empty((), Passes((), (), (), 2.0, again=False), (2.0,)) == pytest.approx(0.0, abs=1e-12)


def test_parts_of_blocks_that_are_added_up() -> None:
    """Z[n] = P[k,n], two of four rows are blocks with one non-zero in four words: a word is missing in both, or is not."""
    model = result_of({"k": 4, "n": 4}, ["n"], {"P": (["k", "n"], Block((4, 4), (1, 4), 0.5, inner=0.25))})
    assert model.empty(1.0, (1.0,)) == pytest.approx((3 / 4) ** 2, abs=1e-12)
    assert model.empty(2.0, (2.0,)) == pytest.approx((2 / 4) ** 2, abs=1e-12)
    assert model.empty(4.0, (4.0,)) == pytest.approx(0.0, abs=1e-12)


def test_rows_of_known_data_are_not_alike() -> None:
    """Z[m,n] = A[m,k] * B[k,n], rows of A with 4 and 0 non-zeros, one word in four of B: the row has words, the other none."""
    known = Actual(np.array([[True] * 4, [False] * 4]))
    model = result_of({"m": 2, "n": 1, "k": 4}, ["m", "n"], {"A": (["m", "k"], known), "B": (["k", "n"], 0.25)})
    assert model.empty(1.0, (1.0, 1.0)) == pytest.approx(0.5, abs=1e-12)
    assert model.empty(1.0, (1.0, 1.0, 2.0)) == pytest.approx(0.75, abs=1e-12)


def test_operands_that_share_out_the_contraction() -> None:
    """Z[i,j] = A[i,k,l] * B[k,j] * C[l,j]: one k, one l and two of four (k, l) are not zero; they meet in half of all cases."""
    model = result_of(
        {"i": 1, "j": 1, "k": 2, "l": 2},
        ["i", "j"],
        {"A": (["i", "k", "l"], 0.5), "B": (["k", "j"], 0.5), "C": (["l", "j"], 0.5)},
    )
    assert model.empty(1.0, (1.0, 1.0)) == pytest.approx(0.5, abs=1e-12)


def test_one_word_serves_a_whole_row() -> None:
    """Z[i,j] = A[i,j] * C[i]: a row of three words is zero with the word of C, or with all of its own."""
    model = result_of({"i": 2, "j": 3}, ["i", "j"], {"A": (["i", "j"], 0.5), "C": (["i"], 0.5)})
    assert model.empty(3.0, (1.0, 3.0)) == pytest.approx(1 - 0.5 * (1 - 1 / 20), abs=1e-12)
