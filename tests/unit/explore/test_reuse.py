"""Evaluations that are not done again, and specifications that are built and hashed once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import sparseloop as sl
from sparseloop.explore.point import Designs, Job
from sparseloop.explore.reuse import EvaluationCache
from tests.helpers import studies

GRID = """\
spec: spec.yaml
workloads: [{name: a, set: {workload.density.B: 0.5}}, {name: b}]
parameters:
  bw: {path: architecture.levels.DRAM.bandwidth, values: [1, 8, 64, 512]}
  A: {path: workload.density.A, values: [0.2, 0.4]}
mapping: optimal
"""


def begun(study: sl.Study, folder: Path) -> sl.Store:
    """A folder for the results of a study, with none in it."""
    store = sl.Store(folder)
    store.begin(study.described())
    return store


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter[Any]]:
    """How often each specification was built, and hashed: by values and workload, by identity."""
    counts: dict[str, Counter[Any]] = {"built": Counter(), "hashed": Counter()}
    spec, key = Designs.spec, Designs.key

    def built(designs: Designs, values: Any, workload: int) -> sl.Spec:
        counts["built"][*values.values(), workload] += 1
        return spec(designs, values, workload)

    def hashed(designs: Designs, one: sl.Spec) -> str:
        counts["hashed"][id(one)] += 1
        return key(designs, one)

    monkeypatch.setattr(Designs, "spec", built)
    monkeypatch.setattr(Designs, "key", hashed)
    return counts


def test_a_point_is_built_and_hashed_once(
    tmp_path: Path, calls: dict[str, Counter[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its neighbours ask for it and it is evaluated later."""
    study = sl.Study.load(studies.written(tmp_path, GRID))
    monkeypatch.setattr(sl.Study, "check", lambda study: None)
    study.id  # noqa: B018  # hashes the files of the study
    calls["built"].clear()
    calls["hashed"].clear()
    study.run(tmp_path / "out")
    assert len(calls["built"]) == 4 * 2 * 2
    assert set(calls["built"].values()) == {1}
    assert sum(calls["hashed"].values()) == 4 * 2 * 2


def test_a_fixed_mapping_is_built_and_hashed_by_whoever_evaluates_it(tmp_path: Path, calls: dict[str, Counter[Any]]) -> None:
    study = sl.Study.load(studies.written(tmp_path))
    cache = EvaluationCache(study.definition.designs, begun(study, tmp_path / "out"), repeats=False)
    calls["built"].clear()
    prepared = cache.prepared(Job(0, 0, {"glb": 256, "bw": 1.0, "A": 0.5}))
    assert prepared.identity is None
    assert not calls["built"]


def test_values_that_make_no_design_have_no_identity(tmp_path: Path) -> None:
    study = sl.Study.load(studies.written(tmp_path, GRID))
    cache = EvaluationCache(study.definition.designs, begun(study, tmp_path / "out"))
    assert cache.prepared(Job(0, 0, {"bw": 1.0, "A": 7.0})).identity is None
    good = cache.prepared(Job(1, 0, {"bw": 1.0, "A": 0.2}))
    again = cache.prepared(Job(9, 0, {"bw": 1.0, "A": 0.2}))
    assert good.identity == again.identity == good.job.key
    assert again.job.spec is good.job.spec
    assert again.job.point == 9
