"""The shipped study of sparse features: what docs/features_study.md says of a few of its points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sparseloop as sl
from sparseloop import designs as examples
from sparseloop.cli import app as cli

FILE = examples.path_of("features_study")


@pytest.fixture(scope="module")
def energy(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[float, str], float]:
    """By density and features, of n = 1."""
    folder: Path = tmp_path_factory.mktemp("features")
    some = ["parameters.n.values=[1]", "parameters.density.values=[0.03, 0.3, 1.0]"]
    sl.Study.load(FILE, some).run(folder)
    rows: list[dict[str, Any]] = sl.Store.opened(folder).points().to_pylist()
    assert all(row["proven"] for row in rows)
    return {(row["density"], row["features"]): row["energy_pj"] for row in rows}


def best(energy: dict[tuple[float, str], float], density: float) -> str:
    return min((value, name) for (at, name), value in energy.items() if at == density)[1]


def test_all_of_it_is_understood(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["sweep", str(FILE), "--check"]) == cli.OK
    assert capsys.readouterr().out == "520 points x 1 workload by grid: n 5, density 13, features 8\n"


@pytest.mark.slow
def test_run_lengths_then_bitmasks_then_nothing(energy):
    assert [best(energy, density) for density in (0.03, 0.3, 1.0)] == ["runs+skip", "bitmask+skip", "dense"]


def test_formats_save_what_can_be_saved_where_traffic_decides(energy):
    dense, coded, skipping = (energy[0.3, name] for name in ("dense", "bitmask", "bitmask+skip"))
    assert (1 - coded / dense) / (1 - skipping / dense) > 0.95
    assert energy[0.3, "gate"] > 0.98 * dense
    assert dense / skipping == pytest.approx(2.72, abs=0.02)


def test_every_feature_has_a_price(energy):
    assert all(
        energy[1.0, name] > energy[1.0, "dense"] for name in ("map+skip", "bitmask", "bitmask+skip", "runs+skip", "lists+skip")
    )
