"""Objectives as values, and Pareto fronts."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.input.diagnostics import SpecError
from sparseloop.mapper.objectives import OBJECTIVES, lexicographic, objective, objectives, pareto

COLUMNS = {
    "energy_pj": np.array([2.0, 3.0, 2.0]),
    "cycles": np.array([5.0, 1.0, 4.0]),
    "area_um2": np.full(3, 10.0),
    "utilization": np.array([0.5, 1.0, 0.0]),
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("energy", [2, 3, 2]),
        ("cycles", [5, 1, 4]),
        ("delay", [5, 1, 4]),
        ("EDP", [10, 3, 8]),
        ("ed2p", [50, 3, 32]),
        ("edap", [100, 30, 80]),
        ("area-cycles", [50, 10, 40]),
        ("idleness", [0.5, 0, 1]),
        ("area", [10, 10, 10]),
        ("energy + 0.5*area", [7, 8, 7]),
        ("0.5*energy + 2e+0*cycles", [11, 3.5, 9]),
        ("energy + cycles", [7, 4, 6]),
        ("energy + cycles + energy", [9, 7, 8]),
    ],
)
def test_values(name: str, values: list[float]) -> None:
    one = objective(name)
    assert one.values(COLUMNS).tolist() == [values]
    assert one.scalars({need: COLUMNS[need] for need in one.needs}).tolist() == values


def test_lexicographic_objectives_have_one_row_per_part() -> None:
    assert objective("energy,cycles").values(COLUMNS).tolist() == [[2, 3, 2], [5, 1, 4]]
    assert lexicographic("edp", OBJECTIVES["cycles"]).needs == ("energy_pj", "cycles")
    assert [one.name for one in objectives("energy, edp")] == ["energy", "edp"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("enregy", "did you mean 'energy'"), ("x*energy", "cannot read"), ("", "unknown"), ("inf*edp", "cannot")],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        objective(text)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_front_is_what_no_other_point_is_as_good_as(rows: int) -> None:
    points = np.random.default_rng(rows).integers(0, 6, (rows, 60)).astype(float)
    front = pareto(points)

    def beaten(i: int) -> bool:
        as_good = (points <= points[:, i, None]).all(axis=0)
        better = as_good & ((points < points[:, i, None]).any(axis=0) | (np.arange(60) < i))
        return bool(better.any())

    assert sorted(front.tolist()) == [i for i in range(60) if not beaten(i)]
    assert (np.diff(points[0, front]) >= 0).all()
