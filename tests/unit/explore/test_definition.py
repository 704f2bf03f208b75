"""Study files: what may be written, what it means, and every mistake with its place."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.cli.app import main
from sparseloop.explore import conditions
from sparseloop.explore.definition import _with_empty_entries, read_study  # pyright: ignore[reportPrivateUsage]
from sparseloop.explore.schema import StudySpec
from sparseloop.explore.space import DesignSpace
from sparseloop.explore.study import Study
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.yaml import files as yamlio
from tests.helpers import studies
from tests.helpers.timeloop_files import ARCHITECTURE, MAPPING, PROBLEM


def space(tmp_path: Path, parameters: str, more: str = "mapping: fixed\n") -> DesignSpace:
    """The design space of parameters written in YAML."""
    file = studies.written(tmp_path, f"spec: spec.yaml\nparameters:\n{parameters}\n{more}")
    return Study.load(file).definition.designs.space


GLB = "  glb: {path: architecture.levels.GLB.capacity, values: [64, 256]}\n"
BW = "architecture.levels.DRAM.bandwidth"


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (f"{{path: {BW}, values: [1, 2, 4]}}", [1, 2, 4]),
        (f"{{path: {BW}, values: [1, 2.5]}}", [1.0, 2.5]),
        (f"{{path: {BW}, values: ['1 words/cycle', 2]}}", ["1 words/cycle", "2"]),
        (f"{{path: {BW}, range: [1, 4], step: 1}}", [1, 2, 3, 4]),
        (f"{{path: {BW}, range: [1, 2], points: 3}}", [1.0, 1.5, 2.0]),
        (f"{{path: {BW}, range: [1, 16], scale: log, step: 2}}", [1, 2, 4, 8, 16]),
        (f"{{path: {BW}, range: [1, 100], scale: log, points: 3}}", [1, 10, 100]),
        (f"{{path: {BW}, range: [1, 3], whole: true}}", [1, 2, 3]),
        ("{path: sparse.GLB.formats.A, values: [null, bitmask, csr]}", ["none", "bitmask", "csr"]),
        ("{path: sparse.MAC.gate, values: [true, false]}", [True, False]),
        ("{path: constraints.GLB.bypass, values: [[], [A], [A, B]]}", ["none", "A", "A, B"]),
    ],
)
def test_values_in_order(tmp_path: Path, written: str, values: list[Any]) -> None:
    (one,) = space(tmp_path, f"  x: {written}").parameters
    assert list(one.values or ()) == values
    assert [type(value) for value in one.values or ()] == [type(value) for value in values]


@pytest.mark.parametrize("name", ["architecture", "workload", "layers"])
def test_a_specification_is_no_study(tmp_path: Path, name: str) -> None:
    (tmp_path / "spec.yaml").write_text(f"{name}: {{}}\nmapping: [DRAM: for m=3]\n")
    with pytest.raises(SpecError) as told:
        read_study(str(tmp_path / "spec.yaml"))
    assert [one.message for one in told.value.diagnostics] == ["this is a specification, not a study"]


def test_a_study_is_no_specification() -> None:
    with pytest.raises(SpecError) as told:
        sl.loads("spec: [a.yaml]\nparameters: {}\nmapping: {method: genetic}\nminimize: edp\n")
    assert [one.message for one in told.value.diagnostics] == ["this is a study, not a specification"]


def test_a_result_is_no_specification() -> None:
    with pytest.raises(SpecError) as told:
        sl.loads('{"schema": "sparseloop.result/1", "workload": {}, "totals": {}}')
    assert [one.message for one in told.value.diagnostics] == ["this is a result (sparseloop.result/1), not a specification"]


def test_conditions_and_expressions(tmp_path: Path) -> None:
    points = list(
        space(
            tmp_path,
            "  twice: {path: architecture.levels.GLB.capacity, value: 2 * bw * 32}\n"
            f"  bw: {{path: {BW}, values: [1, 2]}}\n"
            "  format: {path: sparse.DRAM.formats.A, values: [null, csr]}\n"
            "  bits: {path: architecture.levels.DRAM.metadata.word_bits, values: [4, 8], when: format == csr and bw > 1}\n",
        ).grid()
    )
    assert points == [
        {"bw": 1, "twice": 64, "format": "none", "bits": None},
        {"bw": 1, "twice": 64, "format": "csr", "bits": None},
        {"bw": 2, "twice": 128, "format": "none", "bits": None},
        {"bw": 2, "twice": 128, "format": "csr", "bits": 4},
        {"bw": 2, "twice": 128, "format": "csr", "bits": 8},
    ]


def test_structural_choices_change_several_places(tmp_path: Path) -> None:
    file = studies.written(
        tmp_path,
        "spec: spec.yaml\nmapping: fixed\nparameters:\n"
        "  saf:\n    choices:\n      none:\n      skip:\n"
        "        sparse.DRAM.formats.A: bitmask\n        sparse.GLB: {formats: {A: bitmask}, gate: [B <- A]}\n",
    )
    study = Study.load(file)
    none, skip = (study.spec({"saf": label}) for label in ("none", "skip"))
    assert none == sl.load(tmp_path / "spec.yaml")
    assert skip.sparse["GLB"].gate[0].follower == "B"  # pyright: ignore
    assert skip.sparse["DRAM"].formats["A"].ranks[0].kind == "B"


def test_variables_units_and_several_paths(tmp_path: Path) -> None:
    spec = studies.SPEC.replace("capacity: 256", "capacity: BANKS * 1 KiB") + "variables: {BANKS: 4}\n"
    text = "spec: spec.yaml\nmapping: fixed\nparameters:\n  BANKS: [1, 2]\n"
    text += f"  bw: {{path: [{BW}.read, {BW}.write], values: [16, 32], unit: bits/cycle}}\n"
    text = text.replace(f"[{BW}.read, {BW}.write]", f"[{BW}, architecture.levels.GLB.bandwidth]")
    study = Study.load(studies.written(tmp_path, text, spec))
    levels: Any = study.spec({"BANKS": 2, "bw": 32}).architecture.levels
    assert str(levels[1].capacity) == "16384 bits"
    assert [str(level.bandwidth.shared) for level in levels[:2]] == ["32 bits/cycle", "32 bits/cycle"]


def test_workloads_names_weights_and_what_is_only_for_one(tmp_path: Path) -> None:
    (tmp_path / "fc.yaml").write_text("workload: {name: fc}\n")
    text = """\
spec: spec.yaml
mapping: fixed
workloads:
  - {name: dense, set: {workload.density: {A: 1.0}}}
  - {name: thin, set: {workload.density.A: 0.1}, weight: 3}
combine: sum
parameters:
  B: {path: workload.density.B, values: [0.1, 0.9], only: [thin]}
"""
    rows = studies.run(studies.written(tmp_path, text), tmp_path / "out")
    keys = [row["keys"] for row in rows]
    assert keys[0][0] == keys[1][0]  # evaluated once
    assert keys[0][1] != keys[1][1]
    spec = tmp_path / "spec.yaml"
    dense = sl.evaluate(sl.load(spec, overrides=["workload.density={A: 1.0}"]))
    thin = sl.evaluate(sl.load(spec, overrides=["workload.density.A=0.1", "workload.density.B=0.9"]))
    energy, cycles = dense.energy_pj + 3 * thin.energy_pj, dense.cycles + 3 * thin.cycles
    assert (rows[1]["energy_pj"], rows[1]["cycles"]) == pytest.approx((energy, cycles))
    assert rows[1]["edp"] == pytest.approx(energy * cycles)
    for how, edp in (("worst", max(dense.edp, thin.edp)), ("geomean", (dense.edp * thin.edp**3) ** 0.25)):
        combined = studies.run(studies.written(tmp_path, text.replace("sum", how)), tmp_path / how)
        assert combined[1]["edp"] == pytest.approx(edp)


def test_layers_are_workloads(tmp_path: Path) -> None:
    spec = studies.SPEC.replace("architecture:", "layers: [{name: a}, {name: b, density: {A: 0.1}}]\narchitecture:")
    study = Study.load(studies.written(tmp_path, studies.STUDY, spec))
    assert [one.name for one in study.definition.designs.workloads] == ["a", "b"]
    studies.run(tmp_path / "study.yaml", tmp_path / "out")
    row = studies.points(tmp_path / "out")[50]
    again = Study.opened(tmp_path / "out")
    results = [again.result(row, name, sl.Store.opened(tmp_path / "out")) for name in ("a", "b")]
    assert sum(one.energy_pj for one in results) == pytest.approx(row["energy_pj"])


def test_constraints_and_objectives(tmp_path: Path) -> None:
    text = studies.STUDY + "constraints: [glb * bw <= 2048, power_w <= 0.2, cycles < 400]\npareto: [energy, cycles, ed2p]\n"
    file = studies.written(tmp_path, text)
    explored = Study.load(file).run(tmp_path / "out")
    rows = studies.points(tmp_path / "out")
    for row in rows:
        if row["glb"] * row["bw"] > 2048:
            assert (row["why"], row["keys"], row["cycles"]) == ("glb * bw <= 2048 does not hold", [], None)
        elif row["energy_pj"] is not None and "GLB must" not in (row["why"] or ""):
            assert row["valid"] == (row["power_w"] <= 0.2 and row["cycles"] < 400)
            assert row["ed2p"] == pytest.approx(row["energy_pj"] * row["cycles"] ** 2)
    good = [row for row in rows if row["valid"]]
    assert 0 < len(good) < 70
    better = [a for a in good if not any(b["energy_pj"] <= a["energy_pj"] and b["cycles"] < a["cycles"] for b in good)]
    front = {(row["energy_pj"], row["cycles"]) for row in explored.best()}
    assert front <= {(row["energy_pj"], row["cycles"]) for row in better}
    assert len(front) > 1


@pytest.mark.parametrize("method", ["random", "tpe", "nsga2", "nsga3"])
def test_searches_stay_in_the_space_and_learn(tmp_path: Path, method: str) -> None:
    text = studies.STUDY.replace(", points: 10", "") + f"search: {{method: {method}, points: 60, batch: 10, seed: 1}}\n"
    rows = studies.run(studies.written(tmp_path, text + "constraints: [A >= 0.3]\n"), tmp_path / "out")
    assert len(rows) == 60
    assert all(row["glb"] in (16, 256, 1024) and row["bw"] in (1, 2, 4, 8) and 0.1 <= row["A"] <= 1 for row in rows)
    assert all(row["valid"] == (row["A"] >= 0.3 and row["glb"] > 16) for row in rows)
    good = [row["edp"] for row in rows[-20:] if row["valid"]]
    first = [row["edp"] for row in rows[:20] if row["valid"]]
    assert method == "random" or sum(good) / len(good) < sum(first) / len(first)


def test_designs_are_mapped_and_proven(tmp_path: Path) -> None:
    text = studies.STUDY.replace("mapping: fixed", "mapping: {method: optimal, minimize: energy}").replace(
        "points: 10", "points: 2"
    )
    rows = studies.run(studies.written(tmp_path, text), tmp_path / "out")
    assert all(row["proven"] and row["valid"] and row["lower_bound"] is not None for row in rows)
    store, study = sl.Store.opened(tmp_path / "out"), Study.opened(tmp_path / "out")
    row = rows[-1]
    best = sl.search(study.spec(row), minimize="energy", method="optimal")
    assert row["energy_pj"] == best.value == study.result(row, 0, store).energy_pj
    assert row["lower_bound"] == pytest.approx(row["energy_pj"])
    assert row["mappings"] == best.evaluated


WRONG = {
    "parameters:\n  glb: {path: architecture.levels.GLBB.capacity, values: [1]}": "3:15: error: architecture.levels.GLBB",
    "parameters:\n  glb: {path: architecture.levels.GLB.capcity, values: [1]}": "3:39: error: unknown field 'capcity'",
    "parameters:\n  glb: {path: architecture.levels.GLB.depth, values: [1]}": "^^^^^  studies name native keys",
    "parameters:\n  m: {path: problem.instance.M, values: [1]}": "^^^^^^^  studies name native keys",
    "parameters:\n  g: {path: architecture.levels.GLB.capacity, values: [1, 64 parsecs]}": "3:62: error: unknown unit 'parsecs'",
    "parameters:\n  glb: {path: architecture.levels.GLB.capacity, values: [1, 1]}": "'1' stands twice",
    "parameters:\n  glb: {path: architecture.levels.GLB.capacity}": "'glb' has no values",
    "parameters:\n  glb:": "'glb' has no values",
    "parameters:\n  workload.density.A: [1]": "A: {path: workload.density.A, values: [...]}",
    "parameters:\n  A: {path: workload.density.A, values: range(0, 1, 0.1)}": "in steps are written range: [0.1, 0.9], step: 0.2",
    "parameters:\n  A: range(0, 1, 0.1)": "^^^^^^^^^^^^^^^^  numbers in steps are written range: [0.1, 0.9], step: 0.2",
    "parameters:\n  glb: {path: architecture.levels.GLB.capacity, values: [1], range: [1, 2]}": "has values and range",
    "parameters:\n  glb: {path: architecture.levels.GLB.capacity, range: [4, 2], step: 1}": "the range must rise",
    "parameters:\n  glb: {path: architecture.levels.GLB.capacity, range: [0, 2], points: 3, scale: log}": "begins above 0",
    "parameters:\n  glb: {path: architecture.levels.GLB.capacity, range: [1, 2]}": "a grid needs the values of 'glb'",
    "parameters:\n  glb: {path: architecture.levels.GLB.capacity, values: [1], step: 2}": "'step' means nothing beside 'values'",
    "parameters:\n  glb: {values: [1]}": "parameter 'glb' changes nothing",
    "parameters:\n  edp: {path: workload.density.A, values: [1]}": "'edp' means something in the results",
    "parameters:\n  a-b: {path: workload.density.A, values: [1]}": "'a-b' cannot be the name of a parameter",
    "parameters:\n  A: {path: workload.density.A, values: [1], when: B > 2}": "speaks of nothing that varies",
    "parameters:\n  A: {path: workload.density.A, values: [1], when: A > 2}": "'A' depends on itself",
    "parameters:\n  A: {path: workload.density.A, value: 2 * x}": "unknown name 'x'",
    "parameters:\n  A: {path: workload.density.A, values: [1], only: [fc]}": "unknown workload 'fc'",
    "parameters:\n  A: {path: workload..A, values: [1]}": "cannot read the path",
    "parameters:\n  A: {choices: {x: {workload.shap.k: 3}}}": "unknown field 'shap' in 'workload'",
    "parameters: {}\nconstraints: [area <= 3]": "'area <= 3' speaks of nothing that varies",
    "parameters: {}\nconstraints: [area_um2 = 3]": "is not one comparison",
    "parameters: {}\nminimise: edp": "unknown field 'minimise' in the study",
    "parameters: {}\ncluster: {walltime: 8h}": "'8h' is no time of a job",
    "parameters: {}\nminimize: epd": "unknown objective 'epd'",
    "parameters: {}\npareto: [energy]": "a front needs two",
    "parameters: {}\nminimize: edp\npareto: [energy, area]": "minimize or pareto, not both",
    "parameters: {}\nmapping: {method: best}": "unknown method 'best'",
    "parameters: {}\nmapping: {method: fixed, budget: 3s}": "'budget' means nothing",
    "parameters: {}\nmapping: {budget: 3 parsecs}": "cannot read the budget",
    "parameters: {}\nsearch: tpe": "needs a number of points",
    "parameters: {}\nsearch: {method: grid, points: 3}": "a grid has points of its own",
    "parameters: {}\nworkloads: [nothing.yaml]": "3:13: error: cannot read the file",
    "parameters: {}\nworkloads: [{set: {workload.shape.q: 2}}]\ncombine: max": "expected 'sum', 'geomean' or 'worst'",
}


@pytest.mark.parametrize("text", WRONG)
def test_mistakes_have_words_and_places(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    studies.written(tmp_path)
    (tmp_path / "study.yaml").write_text(f"spec: spec.yaml\n{text}\n")
    assert main(["sweep", str(tmp_path / "study.yaml"), "--check"]) == 2
    shown = capsys.readouterr().err
    assert WRONG[text] in shown
    assert ".yaml" in shown


def test_a_path_that_does_not_exist_is_told_once_not_for_every_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studies.written(tmp_path)
    text = "spec: spec.yaml\nparameters:\n  glb: {path: architecture.levels.GLB.capcity, values: [1, 2, 4]}\n"
    (tmp_path / "study.yaml").write_text(text)
    assert main(["sweep", str(tmp_path / "study.yaml"), "--check"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "1 error"


def test_all_mistakes_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studies.written(tmp_path)
    text = "spec: spec.yaml\nparameters:\n  a: {path: workload.density.A, range: [3, 1], points: 2}\n  b: {values: []}\n"
    text += "pareto: [energy]\n"
    (tmp_path / "study.yaml").write_text(text)
    assert main(["sweep", str(tmp_path / "study.yaml")]) == 2
    shown = capsys.readouterr().err
    assert "3 errors" in shown
    assert f"{tmp_path}/study.yaml:3:" in shown
    assert "^" in shown


def test_the_example_of_the_documentation_is_understood() -> None:
    page = (Path(__file__).parents[3] / "docs" / "explore.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(# buffers.*?)^```", page, re.MULTILINE | re.DOTALL)
    spec = StudySpec.model_validate(_with_empty_entries(yamlio.load_text(text)[0]))
    assert list(spec.parameters) == ["glb", "bw", "spad", "weights", "saf"]
    for condition in (*spec.constraints, spec.parameters["saf"].when or ""):
        conditions.parse_condition(condition)


def test_methods_that_need_more_say_what_to_install(tmp_path: Path) -> None:
    if find_spec("torch"):
        pytest.skip("PyTorch is installed")
    text = studies.STUDY + "search: {method: gp, points: 4}\n"
    with pytest.raises(sl.SpecError, match=r"pip install 'sparseloop\[gp\]'"):
        Study.load(studies.written(tmp_path, text)).run(tmp_path / "out")


def test_files_of_timeloop_are_the_base_of_a_study_in_native_paths(tmp_path: Path) -> None:
    names = {"problem.yaml": PROBLEM, "arch.yaml": ARCHITECTURE, "map.yaml": MAPPING}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    text = f"spec: [{', '.join(names)}]\nmapping: fixed\nparameters:\n"
    text += "  glb: {path: architecture.levels.GLB.capacity, values: [1024, 4096]}\n"
    text += "  A: {path: workload.density.A, values: [1.0, 0.5]}\n"
    rows = studies.run(studies.written(tmp_path, text), tmp_path / "out")
    base = sl.evaluate(sl.load(*(tmp_path / name for name in names)))
    assert (rows[2]["energy_pj"], rows[2]["cycles"]) == (base.energy_pj, base.cycles)
    assert len({row["energy_pj"] for row in rows}) > 1


def test_studies_built_in_python(tmp_path: Path) -> None:
    spec = sl.loads(studies.SPEC)
    values = {"path": "workload.density.A", "values": np.linspace(0.25, 0.75, 3)}
    study = Study.of(
        {"spec": spec, "parameters": {"A": values, "bw": {"path": BW, "values": (1, np.int64(2))}}, "mapping": "fixed"}
    )
    assert [list(one.values or ()) for one in study.definition.designs.space.parameters] == [[0.25, 0.5, 0.75], [1, 2]]
    row = study.run(tmp_path / "out").store.points().to_pylist()[3]
    assert row["cycles"] == sl.evaluate(study.spec({"A": 0.5, "bw": 2})).cycles
    with pytest.raises(sl.SpecError, match=r"parameters.A: error: a study cannot hold a object"):
        Study.of({"spec": spec, "parameters": {"A": object()}})
