"""The index of a sparse pattern, and joint emptiness from lists of non-empty tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseloop.density import Actual, Banded, Coordinates, load_data


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 7), min_size=1, max_size=3), st.data())
def test_counts_equal_those_of_the_array(seed: int, shape: list[int], draw: st.DataObject) -> None:
    pattern = np.random.default_rng(seed).random(shape) < 0.3
    dense, listed = Actual(pattern), Actual(Coordinates.of_pattern(pattern))
    assert dense == listed
    assert (listed.mask() == pattern).all()
    for _ in range(3):  # later grids are counted from earlier ones
        extents = tuple(draw.draw(st.integers(1, s)) for s in shape)
        assert [x.tolist() for x in dense.histogram(extents)] == [x.tolist() for x in listed.histogram(extents)]


@pytest.mark.parametrize(("shape", "half_width"), [((7, 5), 1), ((4, 9), 0), ((6, 6), 9)])
def test_places_of_a_band(shape: tuple[int, int], half_width: int) -> None:
    band = Banded(shape, half_width)
    assert (band.coordinates().pattern() == band.mask()).all()


def test_a_large_matrix_is_never_dense(tmp_path: Path) -> None:
    n, dice = 10**6, np.random.default_rng(1)
    rows, columns = dice.integers(0, n, 5000), dice.integers(0, n, 5000)
    np.savez(tmp_path / "a.npz", format=np.array("coo"), shape=np.array([n, n]), row=rows, col=columns, data=np.ones(5000))
    model = Actual(load_data(tmp_path / "a.npz"))
    assert model.nonzeros == len(set(zip(rows.tolist(), columns.tolist(), strict=True)))
    blocks = len(set(zip((rows // 1000).tolist(), (columns // 1000).tolist(), strict=True)))
    assert model.empty(10**6, (1000, 1000)) == pytest.approx(1 - blocks / 10**6, rel=1e-12)
