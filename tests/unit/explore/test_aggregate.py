"""Workloads taken together: by hand for two of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import sparseloop as sl
from sparseloop.explore.aggregate import Aggregation
from tests.helpers import studies

STUDY = """\
spec: spec.yaml
workloads: [{name: a}, {name: b, set: {workload.density.B: 0.5}, weight: 3}]
parameters:
  bw: {path: architecture.levels.DRAM.bandwidth, values: [1, 8]}
mapping: fixed
pareto: [energy, power]
combine: HOW
constraints: [bw < 4, cycles <= 1000]
"""


def aggregation(folder: Path, how: str) -> Aggregation:
    return Aggregation(sl.Study.load(studies.written(folder, STUDY.replace("HOW", how))).definition)


def evaluation(energy: float, cycles: float, **more: Any) -> dict[str, Any]:
    row = {"key": "k", "workload": "w", "valid": True, "why": None, "energy_pj": energy, "cycles": cycles, "utilization": 0.5}
    return row | {"area_um2": 7.0, "clock_hz": 1e9, "proven": True, "mappings": 2, "seconds": 0.5, "lower_bound": None} | more


@pytest.mark.parametrize(
    ("how", "energy", "cycles", "edp"),
    [
        ("sum", 10 + 3 * 40, 100 + 3 * 200, 130 * 700),
        ("worst", 40, 200, 40 * 200),
        ("geomean", (10 * 40**3) ** 0.25, (100 * 200**3) ** 0.25, (1000 * 8000**3) ** 0.25),
    ],
)
def test_energy_cycles_and_edp(tmp_path: Path, how: str, energy: float, cycles: float, edp: float) -> None:
    row = aggregation(tmp_path, how).row(5, {"bw": 1}, [evaluation(10.0, 100.0), evaluation(40.0, 200.0)], [])
    assert (row["point"], row["bw"], row["valid"], row["why"]) == (5, 1, True, None)
    assert row["energy_pj"] == pytest.approx(energy)
    assert row["cycles"] == pytest.approx(cycles)
    assert row["edp"] == pytest.approx(edp)
    assert (row["area_um2"], row["mappings"], row["seconds"], row["proven"]) == (7.0, 4, 1.0, True)


def test_power_latency_and_utilization_of_the_sum(tmp_path: Path) -> None:
    rows = [evaluation(10.0, 100.0, utilization=1.0), evaluation(40.0, 200.0, utilization=0.5, clock_hz=2e9)]
    row = aggregation(tmp_path, "sum").row(0, {"bw": 1}, rows, [])
    seconds = 100e-9 + 3 * 100e-9
    assert row["latency_s"] == pytest.approx(seconds)
    assert row["power_w"] == pytest.approx(130e-12 / seconds)
    assert row["utilization"] == pytest.approx((100 * 1.0 + 600 * 0.5) / 700)


def test_what_a_point_breaks_is_said(tmp_path: Path) -> None:
    combined = aggregation(tmp_path, "sum")
    assert combined.refused({"bw": 8}) == "bw < 4 does not hold"
    assert combined.refused({"bw": 1}) == ""
    row = combined.row(0, {"bw": 1}, [evaluation(10.0, 500.0), evaluation(40.0, 200.0)], [])
    assert (row["valid"], row["why"]) == (False, "cycles <= 1000 does not hold (cycles 1100)")


def test_one_workload_that_fails_leaves_no_numbers(tmp_path: Path) -> None:
    failed = {**evaluation(0.0, 0.0), "energy_pj": None, "valid": False, "why": "no valid mapping was found", "proven": None}
    row = aggregation(tmp_path, "sum").row(0, {"bw": 1}, [evaluation(10.0, 100.0), failed], [])
    assert (row["valid"], row["why"]) == (False, "b: no valid mapping was found")
    assert "energy_pj" not in row
    assert row["proven"] is None
    missing = aggregation(tmp_path, "sum").row(0, {"bw": 1}, [evaluation(10.0, 100.0), None], ["b: values make no design"])
    assert (missing["valid"], missing["why"], missing["keys"]) == (False, "b: values make no design", ["k", None])
    assert not math.isnan(missing["seconds"])
