"""Proofs handed on between points: the same optima, with fewer searches."""

from __future__ import annotations

from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.explore.run import StudyTally
from sparseloop.explore.study import Study
from sparseloop.explore.transfer import Hint, differs_in_bandwidth_only, transferred_result
from sparseloop.mapper.objectives import objective
from tests.helpers import studies

STUDY = """\
spec: spec.yaml
parameters:
  bw: {path: architecture.levels.DRAM.bandwidth, values: [1, 8, 64, 512]}
  A: {path: workload.density.A, values: [0.2]}
mapping: optimal
"""


def test_the_same_optima_with_fewer_searches_for_every_number_of_workers(tmp_path: Path) -> None:
    file = studies.written(tmp_path, STUDY)
    rows = studies.run(file, tmp_path / "out")
    for row in rows:
        best = sl.search(Study.load(file).spec(row), minimize="edp", method="optimal")
        assert row["edp"] == best.value
        assert row["proven"]
        assert row["lower_bound"] == pytest.approx(row["edp"])
    saved = [row for row in rows if row["mappings"] == 1]
    assert saved
    assert all(row["bw"] < 512 for row in saved)
    assert any(row["mappings"] > 1 and row["bw"] < 512 for row in rows)  # where the mapping of the richest does not do
    assert studies.run(file, tmp_path / "two", sl.RunOptions(workers=2)) == rows

    def stop(tally: StudyTally) -> None:
        if tally.points >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Study.load(file).run(tmp_path / "cut", sl.RunOptions(watch=stop))
    assert studies.run(file, tmp_path / "cut", sl.RunOptions(resume=True)) == rows


def test_a_neighbour_that_makes_no_design_is_not_waited_for(tmp_path: Path) -> None:
    text = STUDY.replace("values: [1, 8, 64, 512]", "values: [1, 8]") + "constraints: [bw < 8]\n"
    rows = studies.run(studies.written(tmp_path, text), tmp_path / "refused")
    assert [row["valid"] for row in rows] == [True, False]
    other = "  x: {choices: {a: {}, b: {workload.density.A: missing.npz}}}\nmapping:"
    text = STUDY.replace("values: [1, 8, 64, 512]", "values: [1, 8]").replace("mapping:", other)
    rows = studies.run(studies.written(tmp_path, text), tmp_path / "wrong")
    assert [row["valid"] for row in rows] == [True, False] * 2


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ("architecture.levels.DRAM.bandwidth=3", True),
        ("architecture.levels.DRAM.bandwidth=4", True),
        ("architecture.levels.GLB.bandwidth={read: 8, shared: 8}", True),
        ("architecture.levels.DRAM.bandwidth=5", False),
        ("architecture.levels.GLB.capacity=128", False),
        ("architecture.levels.GLB.energy={read: 9, write: 9}", False),
        ("architecture.clock=2 GHz", False),
        ("workload.density.A=0.1", False),
        ("sparse.GLB.skip=[B <- A]", False),
    ],
)
def test_only_larger_bandwidths_are_richer(change: str, holds: bool) -> None:
    other, mine = sl.loads(studies.SPEC), sl.loads(studies.SPEC, overrides=[change])
    assert differs_in_bandwidth_only(sl.design_of(other), sl.design_of(mine)) is holds
    hint = Hint(other, 1e300, '[{"DRAM": "for m=2 n=2"}, {"GLB": "for m=4 n=4 k=8"}]')
    assert (transferred_result(mine, hint, objective("edp")) is not None) is holds
    assert transferred_result(mine, Hint(other, 1.0, hint.mapping), objective("edp")) is None
    assert transferred_result(mine, hint, objective("power")) is None  # falls with more cycles
