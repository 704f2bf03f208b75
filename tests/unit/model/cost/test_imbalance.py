"""The slowest of many instances: against the walker, known data, and limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.model.cost.imbalance import Work, largest
from sparseloop.validation.against_walker import random_pattern, walker
from sparseloop.validation.targets import imbalance

MACHINE = """
architecture:
  levels: [{name: DRAM, class: dram}, {name: PEs, fanout: {x: 8, y: 8}}, {name: RF, class: regfile}, {name: MAC, class: mac}]
"""


def product(a: str, b: str, sparse: str, mesh: str = "x n=4, y m=4", outer: str = "m=2 n=4", inner: str = "m=2 k=32") -> sl.Spec:
    return sl.loads(f"""
workload: {{einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {{m: 16, n: 16, k: 32}}, density: {{A: {a}, B: {b}}}}}
{MACHINE}
mapping:
  - DRAM: for {outer}
  - PEs: {mesh}
  - RF: for {inner}
sparse: {sparse}
""")


BOTH = "{DRAM: {formats: {A: CP CP, B: CP CP}}, RF: {formats: {A: CP CP, B: CP CP}, skip: [A <-> B]}}"


@pytest.mark.parametrize("case", imbalance.CASES)
def test_drawn_tensors_lie_within_the_error_bars(case: str) -> None:
    rows = list(imbalance.rows_of(case))
    error = (0.8 * 0.2 / imbalance.DRAWS) ** 0.5
    assert len(rows) in (4, 6)
    for median, held in zip(rows[::2], rows[1::2], strict=True):
        assert median.low is not None
        assert median.high is not None
        assert median.low <= median.published <= median.high
        # both are whole numbers of few words: the median of the draws may fall on the next one
        assert abs(median.ours - median.published) <= max(1.0, 0.05 * median.published + 0.5)
        assert held.ours >= 0.8 - 3 * error


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("mesh", ["x n=4, y m=4", "x n=2 k=2, y m=4"])
def test_known_data_are_counted_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lists: bool, mesh: str) -> None:
    monkeypatch.setattr("sparseloop.model.sparsity.known_patterns.is_better_listed", lambda plan, tensor: lists)
    dice = np.random.default_rng(0)
    data = {"A": dice.random((16, 32)) < 0.3, "B": dice.random((32, 16)) < 0.2, "Z": np.ones((16, 16), dtype=bool)}
    for name in "AB":
        np.save(tmp_path / f"{name}.npy", data[name])
    inner = "m=2 k=32" if "k=2" not in mesh else "m=2 n=2 k=16"
    result = sl.evaluate(product(f"{tmp_path}/A.npy", f"{tmp_path}/B.npy", BOTH, mesh, inner=inner))
    lanes = walker(result.design).walk(data).lane_work
    assert result.slowest is not None
    assert result.slowest.compute == pytest.approx((max(lanes),) * 3, rel=1e-12)
    assert result.cycles == pytest.approx(np.mean(lanes), rel=1e-12)


@pytest.mark.parametrize("lists", [False, True])
def test_a_band_keeps_the_instances_on_its_diagonal_busy(monkeypatch: pytest.MonkeyPatch, lists: bool) -> None:
    monkeypatch.setattr("sparseloop.model.sparsity.known_patterns.is_better_listed", lambda plan, tensor: lists)
    band = "{model: banded, half_width: 2}"
    spec = sl.loads(f"""
workload: {{einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {{m: 16, n: 16, k: 16}}, density: {{A: {band}, B: {band}}}}}
{MACHINE}
mapping:
  - DRAM:
  - PEs: x n=4, y m=4
  - RF: for m=4 n=4 k=16
sparse: {BOTH}
""")
    result = sl.evaluate(spec)
    walk = walker(result.design).walk(
        {t.name: t.density.mask() if not t.output else np.ones((16, 16), dtype=bool) for t in result.design.einsum.tensors}
    )
    assert result.slowest is not None
    assert result.slowest.compute[1] == pytest.approx(max(walk.lane_work), rel=1e-12)
    assert result.slowest.compute[1] > 2 * result.cycles


def test_one_known_operand_lies_within(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    known = dice.random((16, 32)) < 0.3
    np.save(tmp_path / "A.npy", known)
    result = sl.evaluate(product(f"{tmp_path}/A.npy", "0.2", BOTH))
    walk = walker(result.design).walk
    ones = np.ones((16, 16), dtype=bool)
    seen = [max(walk({"A": known, "B": random_pattern((32, 16), 103, dice), "Z": ones}).lane_work) for _ in range(100)]
    assert result.slowest is not None
    low, _, high = result.slowest.compute
    assert low < np.median(seen) < high


def test_nothing_to_tell() -> None:
    assert sl.evaluate(product("0.3", "0.2", "{}")).slowest is None  # nothing is skipped
    assert sl.evaluate(product("0.3", "0.2", "{RF: {gate: [B <- A]}}")).slowest is None  # gated cycles pass
    assert sl.evaluate(product("1", "1", BOTH)).slowest is None  # nothing is zero
    assert sl.evaluate(product("0", "0.2", BOTH)).slowest is None  # nothing is left


def test_whole_groups_of_two_in_four_leave_nobody_behind() -> None:
    sparse = "{DRAM: {formats: {A: CP CP}}, RF: {formats: {A: CP CP}, skip: [B <- A]}}"
    result = sl.evaluate(product("2:4 k", "1", sparse))
    assert result.slowest is not None
    assert result.slowest.instances == 4
    assert result.slowest.compute == pytest.approx((result.cycles,) * 3, rel=1e-9)


def test_few_steps_are_drawn() -> None:
    """Two PEs of two words each, two of the four words non-zero: the slower has 1 step in 4 of 6 placements, else 2."""
    spec = sl.loads(f"""
workload: {{einsum: "Z[m] = A[m,k] * B[k]", shape: {{m: 2, k: 2}}, density: {{A: 0.5, B: 1}}}}
{MACHINE}
mapping:
  - DRAM:
  - PEs: x m=2
  - RF: for k=2
sparse: {{DRAM: {{formats: {{A: CP CP}}}}, RF: {{formats: {{A: CP CP}}, skip: [B <- A]}}}}
""")
    result = sl.evaluate(spec)
    assert result.slowest is not None
    assert result.slowest.draws > 100
    assert result.slowest.compute == (1, 1, 2)
    assert result.to_dict()["totals"]["slowest"]["draws"] == result.slowest.draws
    assert sl.evaluate(spec).slowest == result.slowest


def test_less_than_one_expected_product_is_not_told() -> None:
    assert sl.evaluate(product("0.005", "0.2", BOTH)).slowest is None


def test_alike_instances_do_not_wait() -> None:
    sparse = "{DRAM: {formats: {A: CP CP}}, RF: {formats: {A: CP CP}, skip: [B <- A]}}"
    result = sl.evaluate(product("0.3", "1", sparse, mesh="x n=4, y n=4", outer="m=8"))
    assert result.slowest is not None
    assert result.slowest.instances == 1  # all of them see the same A
    assert result.slowest.compute == pytest.approx((result.cycles,) * 3, rel=1e-9)


def test_cycles_are_not_below_those_of_the_memory() -> None:
    result = sl.evaluate(sl.loads(sl.dumps(product("0.3", "0.2", BOTH)), overrides=["architecture.levels.DRAM.bandwidth=0.1"]))
    assert result.slowest is not None
    assert result.slowest.cycles == pytest.approx((result.cycles,) * 3)
    assert result.slowest.compute[0] < result.cycles


@pytest.mark.parametrize("number", [1, 2, 16, 1000])
def test_the_largest_of_independent_binomial_numbers(number: int) -> None:
    n, p = 400, 0.2
    dice = np.random.default_rng(number)
    drawn = dice.binomial(n, p, (4000, number)).max(axis=1)
    work = Work(mean=n * p, variance=n * p * (1 - p), common=0.0, quantum=1.0, most=n)
    assert largest(work, number) == pytest.approx(np.quantile(drawn, [0.1, 0.5, 0.9]), abs=1.5)


@pytest.mark.parametrize("shared", [0.0, 0.5, -1 / 7])
def test_the_largest_of_correlated_normal_numbers(shared: float) -> None:
    number, sigma = 8, 100.0
    dice = np.random.default_rng(5)
    z = dice.standard_normal((40000, number))
    if shared < 0:
        drawn = (z - z.mean(axis=1, keepdims=True)) * (number / (number - 1)) ** 0.5
    else:
        drawn = (1 - shared) ** 0.5 * z + shared**0.5 * dice.standard_normal((40000, 1))
    work = Work(mean=1e4, variance=sigma**2, common=shared * sigma**2, quantum=2 * sigma**2 * (1 - shared) / 1e4, most=1e9)
    expected = 1e4 + sigma * np.quantile(drawn.max(axis=1), [0.1, 0.5, 0.9])
    assert largest(work, number) == pytest.approx(expected, abs=0.05 * sigma)
