"""The pattern of a result of known operands: their Boolean product."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from sparseloop.model.density import Actual, Banded, Contributor, GivenResult, IndexStep
from sparseloop.model.density import given_result as module

SIZES = (("m", 6), ("n", 5), ("k", 7))


def index(*steps: tuple[str, int]) -> tuple[IndexStep, ...]:
    return tuple(IndexStep(rank, coefficient) for rank, coefficient in steps)


def axes(ranks: str) -> tuple[tuple[IndexStep, ...], ...]:
    return tuple(index((rank, 1)) for rank in ranks)


def drawn(shape: tuple[int, ...], share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


A, B, S = drawn((6, 7), 0.3, 1), drawn((7, 5), 0.3, 2), drawn((6, 5), 0.4, 3)


def given(pattern: np.ndarray, ranks: str) -> Contributor:
    return Contributor(Actual(pattern), axes(ranks))


def places(model: GivenResult) -> np.ndarray:
    return np.asarray(model.mask())


def test_a_matrix_product_by_hand() -> None:
    a, b = np.array([[1, 0], [0, 1]]), np.array([[0, 1], [0, 0]])
    model = GivenResult((2, 2), axes("mn"), (given(a, "mk"), given(b, "kn")), (("m", 2), ("n", 2), ("k", 2)))
    assert places(model).tolist() == [[False, True], [False, False]]
    assert model.nonzeros == 1
    assert model.density == 0.25


@pytest.mark.parametrize("piece", [1, 3, 2**21])
@pytest.mark.parametrize(
    ("contributors", "expected"),
    [
        ((given(A, "mk"), given(B, "kn")), np.einsum("mk,kn->mn", A.astype(int), B.astype(int)) > 0),
        (
            (given(S, "mn"), given(A, "mk"), given(B, "kn")),
            np.einsum("mn,mk,kn->mn", S.astype(int), A.astype(int), B.astype(int)) > 0,
        ),
        ((given(A, "mk"),), np.repeat(A.any(axis=1)[:, None], 5, axis=1)),  # B dense: rows of the result are alike
        ((given(A[:, 0], "m"), given(B[0], "n")), np.outer(A[:, 0], B[0])),
        ((given(np.zeros((6, 7)), "mk"), given(B, "kn")), np.zeros((6, 5), dtype=bool)),
    ],
)
def test_products(
    monkeypatch: pytest.MonkeyPatch, piece: int, contributors: tuple[Contributor, ...], expected: np.ndarray
) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    model = GivenResult((6, 5), axes("mn"), contributors, SIZES)
    assert (places(model) == expected).all()
    assert model.nonzeros == expected.sum()
    assert model.produced
    assert model.deterministic
    truth = Actual(expected)
    for extents in [(1, 1), (2, 5), (4, 3), (6, 5)]:
        size = float(np.prod(extents))
        assert float(model.empty(size, extents)) == pytest.approx(float(truth.empty(size, extents)), abs=1e-15)
        assert float(model.maximum(size, extents)) == float(truth.maximum(size, extents))
        assert float(model.quantile(size, extents, 0.7)) == float(truth.quantile(size, extents, 0.7))


def test_indices_that_are_sums_and_strides() -> None:
    """O[p+r] = I[2*p] * W[r,r]: the words that some point with non-zeros writes."""
    i, w = drawn((7,), 0.6, 4), drawn((3, 3), 0.5, 5)
    model = GivenResult(
        (6,),
        (index(("p", 1), ("r", 1)),),
        (Contributor(Actual(i), (index(("p", 2)),)), Contributor(Actual(w), axes("rr"))),
        (("p", 4), ("r", 3)),
    )
    expected = np.zeros(6, dtype=bool)
    for p in range(4):
        for r in range(3):
            expected[p + r] |= i[2 * p] & w[r, r]
    assert (places(model) == expected).all()


def test_results_with_holes_and_negative_steps() -> None:
    """Z[2*m,-n] = A[m,k]: every second row, columns alike."""
    model = GivenResult((11, 5), (index(("m", 2)), index(("n", -1))), (given(A, "mk"),), SIZES)
    expected = np.zeros((11, 5), dtype=bool)
    expected[::2] = A.any(axis=1)[:, None]
    assert (places(model) == expected).all()
    values, tiles = model.histogram((3, 2))
    truth_values, truth_tiles = Actual(expected).histogram((3, 2))
    assert (values.tolist(), tiles.tolist()) == (truth_values.tolist(), truth_tiles.tolist())


def test_a_band_contributes_and_models_are_equal_by_content() -> None:
    def made() -> GivenResult:
        return GivenResult((6, 6), axes("mn"), (Contributor(Banded((6, 6), 1), axes("mk")), given(np.eye(6), "kn")), SIZES[:1])

    sizes = (("m", 6), ("n", 6), ("k", 6))
    one = GivenResult((6, 6), axes("mn"), (Contributor(Banded((6, 6), 1), axes("mk")), given(np.eye(6), "kn")), sizes)
    assert (places(one) == Banded((6, 6), 1).mask()).all()
    again = pickle.loads(pickle.dumps(one))
    assert again == one
    assert hash(again) == hash(one)
    assert made() != one
