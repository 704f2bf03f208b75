"""Units with a rate on given data: what they process is counted by the walker, or by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.evaluation.evaluate import design_of
from sparseloop.validation.against_walker import walker

SPEC = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 4, n: 6, k: 8}
  density: {A: A.npy, B: B.npy}
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: GLB, class: sram, capacity: 4 KiB}
    - {fanout: {x: 2}}
    - {name: RF, class: regfile, capacity: 64 words}
    - {name: MAC, class: mac}
mapping:
  - DRAM: ""
  - GLB: for m=4 n=3
  - par: n=2
  - RF: for k=8
sparse:
  DRAM: {formats: {A: CP, B: CP, Z: CP}}
  GLB: {formats: {A: CP, B: CP, Z: CP}}
  RF: {formats: {A: CP, B: CP}, skip: [A <-> B]}
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    patterns = {"A": rng.random((4, 8)) < 0.4, "B": rng.random((8, 6)) < 0.5}
    for name, pattern in patterns.items():
        np.save(f"{name}.npy", pattern)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return patterns


def evaluated(*overrides: str) -> sl.Result:
    return sl.evaluate(sl.load("spec.yaml", overrides=list(overrides)))


def test_intersections_look_at_both_lists(files) -> None:
    result = evaluated("architecture.levels.RF.units={intersection: {count: 2, rate: 0.5}}")
    walk = walker(design_of(sl.load("spec.yaml"))).walk(files)
    looked = sum(r.metadata.actual + r.metadata.gated for t in "AB" for r in walk.tensors[2, t].metadata_reads)
    (unit,) = result.to_dict()["units"]
    assert unit["processed"] == pytest.approx(looked)
    assert looked > 0
    assert unit["cycles"] == pytest.approx(looked / 2 / 2 / 0.5)  # two RFs, two units, half an entry a cycle
    assert result.cost.levels[2].cycles == unit["cycles"]
    assert result.cycles == max(float(level.cycles) for level in result.cost.levels)


def test_decoders_take_the_words_that_computes_read(files) -> None:
    result = evaluated("architecture.levels.RF.units={decode: {rate: 4}}")
    walk = walker(design_of(sl.load("spec.yaml"))).walk(files)
    words = sum(walk.tensors[2, t].reads.actual for t in "AB")
    (unit,) = result.to_dict()["units"]
    assert unit["processed"] == pytest.approx(words)
    assert unit["cycles"] == pytest.approx(words / 2 / 4)


def test_lookups_are_made_where_the_leader_is_looked_up(files) -> None:
    overrides = ("sparse.RF.skip=[B <- A]", "sparse.RF.intersection=leader_follower")
    result = evaluated(*overrides, "architecture.levels.RF.units={index: {count: 1}}")
    walk = walker(design_of(sl.load("spec.yaml", overrides=list(overrides)))).walk(files)
    reads = walk.tensors[2, "B"].reads
    (unit,) = result.to_dict()["units"]
    assert unit["processed"] == pytest.approx(reads.actual + reads.gated + reads.skipped)


@pytest.mark.parametrize(("radix", "passes"), [(2, 3), (3, 2), (8, 1), (64, 1), (None, 1)])
def test_many_parts_pass_a_merger_several_times(radix: int | None, passes: int) -> None:
    """k is outside: 8 dense parts come together for each of 24 words of Z; 8 of them take log_radix 8 passes."""
    text = SPEC.replace("  density: {A: A.npy, B: B.npy}\n", "").partition("sparse:")[0]
    text = (
        text.replace('DRAM: ""', "DRAM: for k=8")
        .replace("RF: for k=8", 'RF: "| bypass Z"')
        .replace("GLB: for m=4 n=3", "GLB: for m=4 n=3 | bypass Z")
    )
    merge = "{count: 2}" if radix is None else f"{{count: 2, radix: {radix}}}"
    result = sl.evaluate(sl.loads(text, overrides=[f"architecture.levels.DRAM.units={{merge: {merge}}}"]))
    (unit,) = result.to_dict()["units"]
    assert unit["processed"] == 8 * 24 * passes
    (merged,) = (action for level in result.cost.levels for action in level.actions if action.action == "merge")
    assert merged.count == 8 * 24 * passes
    assert merged.energy_pj_each > 0
    assert unit["cycles"] == 8 * 24 * passes / 2
    assert passes == max(1, math.ceil(math.log(8, radix) - 1e-9)) if radix else passes == 1


def test_a_number_of_units_is_a_number_of_parts(files) -> None:
    few, many = (
        evaluated(f"architecture.levels.RF.units={{intersection: {{count: {n}}}, merge: {{count: {n}}}}}") for n in (1, 3)
    )
    parts = {p.name: p.count for p in many.plan.arch.levels[2].parts}
    assert parts["intersection of A and B"] == parts["mergers"] == 3
    assert many.area_um2 > few.area_um2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("architecture.levels.MAC.units={merge: {count: 2}}", "the compute level has no such units"),
        ("architecture.levels.RF.units={decode: {radix: 2}}", "only mergers have a radix"),
        ("architecture.levels.RF.units={merge: {radix: 1}}", "greater than or equal to 2"),
        ("architecture.levels.RF.units={merger: {radix: 4}}", "expected 'intersection', 'index', 'decode' or 'merge'"),
    ],
)
def test_mistakes(files, override: str, message: str) -> None:
    with pytest.raises(sl.SpecError, match=message):
        evaluated(override)
