"""The index of a sparse pattern, and joint emptiness from lists of non-empty tiles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparseloop as sl
from sparseloop.model.density import Actual, Banded, Coordinates, load_data


@settings(deadline=None, max_examples=40)
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


def test_three_conditions_on_more_points_than_can_be_numbered(tmp_path: Path) -> None:
    n, dice = 4 * 10**6, np.random.default_rng(2)
    rows, columns = dice.integers(0, n, 5000), dice.integers(0, n, 5000)
    np.savez(tmp_path / "a.npz", format=np.array("coo"), shape=np.array([n, n]), row=rows, col=columns, data=np.ones(5000))
    text = f"""
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {{m: {n}, n: {n}, k: {n}}}
  density: {{A: {tmp_path}/a.npz, B: {tmp_path}/a.npz, Z: 1e-9}}
architecture: {{levels: [{{name: DRAM, class: dram}}, {{name: buffer, class: sram}}, {{name: MAC, class: mac}}]}}
mapping:
  - DRAM: for m=1000 n=1000 k=1000
  - buffer: for m=4000 n=4000 k=4000
sparse:
  DRAM: {{formats: {{A: CP CP, B: CP CP}}, skip: [A <-> B]}}
  buffer: {{formats: {{A: CP CP, B: CP CP}}, skip: [A <-> B]}}
"""
    result = sl.evaluate(sl.loads(text))
    places = set(zip(rows.tolist(), columns.tolist(), strict=True))
    in_row, in_column = Counter(row for row, _ in places), Counter(column for _, column in places)
    products = sum(many * in_row[k] for k, many in in_column.items())
    assert products > 0
    assert result.cost.sparse.computes.actual == pytest.approx(products, rel=1e-9)
