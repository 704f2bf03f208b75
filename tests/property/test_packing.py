"""Cycles of lanes packed in waves against counting them on every matrix there can be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import ceil

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparseloop as sl

Mask = npt.NDArray[np.int64]

SPEC = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[n,k]
  shape: {{m: {m}, n: {n}, k: {k}}}
  density: {{A: {a}, B: {b}}}
architecture:
  levels:
    - {{name: DRAM, class: dram}}
    - {{name: buffer, class: regfile}}
    - {{name: lanes, fanout: {{x: {x}, y: {y}}}, packing: {packing}}}
    - {{name: MAC, class: mac}}
sparse:
  DRAM: {{formats: {{A: B(*;1), B: B(*;1)}}}}
  buffer: {{formats: {{A: B(*;1), B: B(*;1)}}, spatial_skip: [{skips}]}}
mapping:
  - DRAM: for k={k}
  - buffer: ""
  - lanes: x n={n}, y m={m}
"""


def cycles(**fields: object) -> float:
    return sl.evaluate(sl.loads(SPEC.format(**fields))).to_dict()["levels"][-1]["cycles"]


def masks(rows: int, columns: int, nonzeros: int) -> Iterator[Mask]:
    for places in combinations(range(rows * columns), nonzeros):
        mask = np.zeros(rows * columns, np.int64)
        mask[list(places)] = 1
        yield mask.reshape(rows, columns)


def mean_waves(rows: int, columns: int, nonzeros: int, width: int) -> npt.NDArray[np.float64]:
    """Expected waves of each column."""
    every = [np.ceil(mask.sum(0) / width) for mask in masks(rows, columns, nonzeros)]
    return np.mean(every, axis=0)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_waves_are_those_counted_on_all_matrices(data: st.DataObject) -> None:
    m, n, k = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)), data.draw(st.integers(1, 2)))
    a, b = data.draw(st.integers(0, m * k)), data.draw(st.integers(0, n * k))
    x, y = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    skips = "A <- A, B <- B"
    ours = cycles(m=m, n=n, k=k, a=a / (m * k), b=b / (n * k), x=x, y=y, packing="waves", skips=skips)
    truth = float(mean_waves(m, k, a, y) @ mean_waves(n, k, b, x))
    assert ours == pytest.approx(truth, rel=1e-9, abs=1e-12)
    balanced = cycles(m=m, n=n, k=k, a=a / (m * k), b=b / (n * k), x=x, y=y, packing="balanced", skips=skips)
    assert ours >= balanced * (1 - 1e-9)


@pytest.mark.parametrize("packing", ["balanced", "waves"])
def test_one_side_only(packing: str) -> None:
    """Lanes of the other axis stay as they are; 3 of 6 positions on 2 lanes are 2 waves or 1.5 steps."""
    found = cycles(m=6, n=2, k=1, a=0.5, b=1, x=2, y=2, packing=packing, skips="A <- A")
    assert found == pytest.approx(ceil(3 / 2) if packing == "waves" else 1.5)


def test_structured_weights_fill_their_waves() -> None:
    spec = SPEC.format(m=8, n=2, k=1, a="2:4 m", b=1, x=2, y=4, packing="waves", skips="A <- A")
    assert sl.evaluate(sl.loads(spec)).to_dict()["levels"][-1]["cycles"] == pytest.approx(1)


def test_a_batch_gives_the_same() -> None:
    fields = {"m": 12, "n": 6, "k": 4, "a": 0.4, "b": 0.5, "x": 2, "y": 3, "packing": "waves", "skips": "A <- A, B <- B"}
    spec = sl.loads(SPEC.format(**fields).partition("mapping:")[0])
    found = sl.mapspace(spec).sample(200, seed=1)
    columns = sl.evaluate(spec, found)
    for i in range(0, len(found), 20):
        assert columns["cycles"][i] == pytest.approx(sl.evaluate(spec, found[i]).cycles, rel=1e-12)


def test_an_optimal_mapping_is_the_best_of_all() -> None:
    fields = {"m": 12, "n": 6, "k": 2, "a": 0.4, "b": 0.5, "x": 2, "y": 3, "packing": "waves", "skips": "A <- A, B <- B"}
    space = sl.mapspace(sl.loads(SPEC.format(**fields).partition("mapping:")[0]))
    best = sl.search(space, minimize="cycles", method="optimal")
    other = sl.search(space, minimize="cycles", method="exhaustive")
    assert best.value == pytest.approx(other.value)


@pytest.mark.parametrize("written", ["wave", "3"])
def test_unknown_packing(written: str) -> None:
    with pytest.raises(sl.SpecError, match="expected 'balanced' or 'waves'") as raised:
        sl.loads(SPEC.format(m=1, n=1, k=1, a=1, b=1, x=1, y=1, packing=written, skips="A <- A"))
    (one,) = raised.value.diagnostics
    assert one.path == ("architecture", "levels", 2, "packing")


SKIPS = ["A <- A", "A <- A, B <- B", "B <- A", "B <- A, Z <- A", "Z <- A & B", "A <- B"]


@given(st.data())
@settings(max_examples=12, deadline=None)
def test_waves_never_save_time_whatever_the_mapping(data: st.DataObject) -> None:
    m, n, k = (data.draw(st.sampled_from([2, 4, 6])) for _ in range(3))
    densities = (0.1, 0.5, 1, *(["2:4 k"] if k == 4 else []))
    a, b = data.draw(st.sampled_from(densities)), data.draw(st.sampled_from(densities))
    fields = {"m": m, "n": n, "k": k, "a": a, "b": b, "skips": data.draw(st.sampled_from(SKIPS)), "x": 2, "y": 3}
    texts = [SPEC.format(**fields, packing=packing).partition("mapping:")[0] for packing in ("waves", "balanced")]
    waves, balanced = (sl.loads(text.replace("B[n,k]", "B[k,n]")) for text in texts)
    found = sl.mapspace(waves).sample(50, seed=0)
    slow, fast = (sl.evaluate(spec, found)["cycles"] for spec in (waves, balanced))
    assert np.isfinite(slow).all()
    assert (slow >= fast * (1 - 1e-9)).all()


def test_leaders_with_a_common_loop_leave_more_lanes_than_the_product_of_their_shares() -> None:
    """A single non-zero each of A and B in one row: one position of k may work, not an eighth of one."""
    spec = SPEC.format(m=1, n=1, k=8, a=0.125, b=0.125, x=8, y=1, packing="balanced", skips="Z <- A & B")
    spec = spec.replace("x n=1, y m=1", "x k=8").replace("for k=8", "").replace('buffer: ""', "buffer: for m=1")
    level = sl.evaluate(sl.loads(spec)).to_dict()["levels"][-1]
    assert level["instances_used"] == 1


@pytest.mark.parametrize("packing", ["balanced", "waves"])
@pytest.mark.parametrize("skips", ["Z <- A & B", "Z <- A", "B <- A, Z <- A"])
def test_no_slower_than_without_the_feature(packing: str, skips: str) -> None:
    """Three positions fit on four instances, whatever is dropped of them."""
    fields = {"m": 4, "n": 4, "k": 24, "a": 0.5, "b": 0.1, "x": 4, "y": 1, "packing": packing, "skips": skips}
    spec = (
        SPEC.format(**fields).partition("mapping:")[0]
        + "mapping:\n  - DRAM: for k=8 n=2\n  - buffer: for n=2 m=4\n  - lanes: x k=3\n"
    )
    assert cycles_of(spec) <= cycles_of(spec, "sparse={}") * (1 + 1e-9)


def cycles_of(spec: str, *overrides: str) -> float:
    return sl.evaluate(sl.loads(spec, overrides=list(overrides))).to_dict()["levels"][-1]["cycles"]
