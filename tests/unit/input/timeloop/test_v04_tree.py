"""Timeloop's v0.4 tree: tags, inheritance, expressions, parallel branches, macros, and mapping by printed nests."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparseloop.cli.app import main
from sparseloop.evaluation.evaluate import evaluate
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.load import load, loads
from sparseloop.input.spec import FanoutSpec, LevelSpec, Spec
from sparseloop.input.timeloop.groups import best_factors
from tests.helpers.timeloop_files import convert, mistakes

PROBLEM = """
problem:
  version: 0.4
  shape:
    name: matmul
    dimensions: [M, N, K]
    data_spaces:
    - {name: A, projection: [M, K]}
    - {name: B, projection: [K, N]}
    - {name: Z, projection: [M, N], read_write: true}
  instance: {M: 8, N: 6, K: 4}
"""
TREE = """
variables: {version: 0.4, ROWS: 2, WIDTH: 8, technology: "45nm"}
architecture:
  version: 0.4
  nodes:
  - !Container {name: system, attributes: {datawidth: WIDTH}}
  - !Component {name: DRAM, class: DRAM, attributes: {width: 8 * WIDTH}}
  - !Component
    name: GLB
    class: smartbuffer_SRAM
    attributes: {depth: 2 ** 10, width: DRAM.width / 2}
    constraints: {dataspace: {bypass_only: [B]}}
  - !Container
    name: PE
    spatial: {meshX: 2 * ROWS}
    constraints: {spatial: {factors_only: [M=4], split: 1}}
  - !Parallel
    nodes:
    - !Component
      name: a_reg
      class: regfile
      attributes: {depth: "max(ROWS, ceil(log2(5)))", width: 8}
      constraints: {dataspace: {keep: [A]}, temporal: {no_iteration_over_dataspaces: [A], factors_only: [N=6]}}
      sparse_optimizations:
        action_optimization: [{type: gating, options: [{target: A, condition_on: [B]}]}]
    - !Component
      name: z_reg
      class: regfile
      attributes: {depth: 64, width: 8}
      constraints: {dataspace: {keep_only: [Z]}}
    - !Nothing {constraints: {dataspace: {keep: [B]}}}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 8}}
"""
MAPPING = """
mapping:
- {target: DRAM, type: temporal, factors: [K=4], permutation: [K]}
- {target: PE, type: spatial, permutation: [M, N, K]}
- {target: z_reg, type: temporal, factors: [M=2]}
"""
PRINTED = """
DRAM [ A:32 (32) B:24 (24) Z:48 (48) ]
--------------------------------------
| for K in [0:4)

GLB [ A:8 (8) Z:48 (48) ]
inter_PE_spatial [ ]
--------------------
|   for M in [0:4) (Spatial-X)

a_reg [ A:2 (2) ]
-----------------
|     for N in [0:6)

z_reg [ Z:2 (2) ]
-----------------
|       for M in [0:2)
|         << Compute >>
"""


def levels(spec: Spec) -> dict[str, LevelSpec]:
    return {level.name: level for level in spec.architecture.levels if isinstance(level, LevelSpec)}


# --- the tree -----------------------------------------------------------------------------------------------


def test_the_chain_has_the_levels_of_timeloops_own_output():
    spec = convert(PROBLEM, TREE, MAPPING)
    assert list(levels(spec)) == ["DRAM", "GLB", "inter_PE_spatial", "a_reg", "z_reg", "mac"]
    fanout = next(one for one in spec.architecture.levels if isinstance(one, FanoutSpec))
    assert fanout.fanout == {"x": 4, "y": 1}


def test_attributes_are_inherited_and_computed():
    found = levels(convert(PROBLEM, TREE))
    assert found["GLB"].word_bits == 8
    assert found["DRAM"].block_size == 8
    assert found["GLB"].block_size == 4
    assert str(found["GLB"].capacity) == "4096 words"
    assert str(found["a_reg"].capacity) == "3 words"
    assert found["DRAM"].reduction


def test_constraints_come_from_the_nodes():
    constraints = convert(PROBLEM, TREE).constraints
    assert constraints["GLB"].bypass == ("B",)
    assert constraints["GLB"].keep == ("A", "Z")
    assert constraints["inter_PE_spatial_fanout"].factors == {"M": 4, "N": 1, "K": 1}
    assert constraints["a_reg"].factors == {"M": 1, "N": 6, "K": 1}
    assert constraints["a_reg"].bypass == ("B", "Z")


def test_a_mapping_takes_over_what_the_constraints_fix():
    result = evaluate(convert(PROBLEM, TREE, MAPPING))
    assert result.valid
    assert result.cycles == 48
    assert result.to_dict()["totals"]["computes"]["total"] == 192


def test_a_mapping_that_contradicts_a_constraint():
    text = mistakes(PROBLEM, TREE, "mapping: [{target: PE, type: spatial, factors: [M=2]}]")
    assert "spatial factors of 'inter_PE_spatial' contradict each other: M=4 and M=2" in text


def test_features_of_nodes_and_of_the_list():
    action = "{type: skipping, target: A, condition_on: [A]}"
    listed = f"sparse_optimizations: {{targets: [{{target: GLB, action_optimization: [{action}]}}]}}"
    spec = convert(PROBLEM, TREE, listed)
    assert set(spec.sparse) == {"a_reg", "GLB"}


def test_settings_that_change_nothing_here_are_noted():
    switches = "{TIMELOOP_HIDE_INCONSEQUENTIAL_STATS: 1, TIMELOOP_ENABLE_FIRST_READ_ELISION: 0}"
    text = f"globals: {{environment_variables: {switches}, expression_custom_functions: [f.py]}}"
    notes = "\n".join(convert(PROBLEM, TREE, text).notes)
    assert "TIMELOOP_ENABLE_FIRST_READ_ELISION of Timeloop has no effect here" in notes
    assert "functions written in Python are never run" in notes
    assert "TIMELOOP_HIDE" not in notes


def test_disabled_nodes_vanish():
    text = TREE.replace("name: GLB\n", "name: GLB\n    enabled: false\n")
    assert "GLB" not in levels(convert(PROBLEM, text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("!Component {name: DRAM", "!Komponent {name: DRAM", "did you mean 'Component'?"),
        ("!Component {name: DRAM", "{name: DRAM", "a node needs a tag that says what it is"),
        ("8 * WIDTH", "8 * WIDHT", "unknown name 'WIDHT'"),
        ("DRAM.width / 2", "DRAM.width / 0", "division by zero"),
        ("keep: [A]}", "keep: [A, B]}", "'B' is kept in 2 branches"),
        ("    - !Nothing {constraints: {dataspace: {keep: [B]}}}\n", "", "no branch of the !Parallel node keeps 'B'"),
        ("name: a_reg\n", "name: a_reg\n      spatial: {meshX: 2}\n", "cannot be laid out one after the other"),
        ("datawidth: WIDTH", "other: WIDTH", "storage 'DRAM' needs the attribute datawidth"),
        ("bypass_only: [B]", "bypass_only: [C]", "unknown data space 'C'"),
        ("constraints: {spatial:", "constraints: {temporal:", "cannot stand at a container"),
        ("meshX: 2 * ROWS", "meshX: __import__('os')", "unknown function"),
    ],
)
def test_mistakes_in_the_tree(old: str, new: str, message: str):
    assert old in TREE
    assert message in mistakes(PROBLEM, TREE.replace(old, new))


def test_targets_of_lists():
    constraint = "constraints: {version: 0.4, targets: [{target: %s, type: temporal, factors: [K=4]}]}"
    assert convert(PROBLEM, TREE, constraint % "DRAM").constraints["DRAM"].factors == {"K": 4}
    assert "unknown level 'DRAN'" in mistakes(PROBLEM, TREE, constraint % "DRAN")


# --- macros -------------------------------------------------------------------------------------------------


def test_maximized_dimensions():
    text = TREE.replace("factors_only: [M=4], split: 1", "maximize_dims: [[N, K]]")
    assert convert(PROBLEM, text).constraints["inter_PE_spatial_fanout"].factors == {"N": 1, "K": 4}


@pytest.mark.parametrize(
    ("sizes", "capacity", "busy", "factors"),
    [
        ((("M", 8), ("N", 6)), 4, 4.0, {"M": 4}),
        ((("M", 7),), 4, 3.5, {"M": 4}),
        ((("M", 3), ("N", 5)), 15, 15.0, {"M": 3, "N": 5}),
        ((("M", 3),), 1, 1.0, {}),
    ],
)
def test_best_factors(sizes: tuple[tuple[str, int], ...], capacity: int, busy: float, factors: dict[str, int]):
    assert best_factors(sizes, capacity)[0] == busy
    assert dict(best_factors(sizes, capacity)[1]) == factors


# --- shapes, mappings ---------------------------------------------------------------------------------------

SHAPE = """
shape:
  name: my_matmul
  dimensions: [M, K]
  data_spaces: [{name: A, projection: [M, K]}, {name: B, projection: [K]}, {name: Z, projection: [M], read_write: true}]
"""


def test_named_shapes():
    named = "problem: {shape: %s, instance: {M: 8, N: 6, K: 4}}"
    assert convert(named % "gemm_ABZ", TREE).workload.einsum == "Z[M, N] = A[M, K] * B[N, K]"
    tree = TREE.replace("factors_only: [N=6]", "factors_only: []")
    assert convert(named % "my-matmul", SHAPE, tree).workload.einsum == "Z[M] = A[M, K] * B[K]"
    assert "its definition is not in the files" in mistakes(named % "my_matmul", TREE)


def test_a_printed_nest_is_the_mapping_it_shows(tmp_path: Path):
    files = {"design.yaml": PROBLEM + TREE, "a.map.txt": PRINTED, "map.yaml": MAPPING}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    from_text = load(tmp_path / "design.yaml", tmp_path / "a.map.txt")
    from_yaml = load(tmp_path / "design.yaml", tmp_path / "map.yaml")
    assert evaluate(from_text).to_dict() == evaluate(from_yaml).to_dict()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("for K in [0:4)", "for K in 0..4", "a.map.txt:4:1: error: neither a level"),
        ("GLB [", "GLC [", "a.map.txt:6:1: error: unknown level 'GLC'"),
        ("for N in [0:6)", "for Q in [0:6)", "cannot read factors at 'Q=6'"),
        ("|   for M in [0:4) (Spatial-X)", "|   for M in [0:2) (Spatial-X)\n| for M in [0:2)", "not in Timeloop's order"),
    ],
)
def test_mistakes_in_a_printed_nest(tmp_path: Path, old: str, new: str, message: str):
    assert old in PRINTED
    (tmp_path / "design.yaml").write_text(PROBLEM + TREE)
    (tmp_path / "a.map.txt").write_text(PRINTED.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "design.yaml", tmp_path / "a.map.txt")
    assert message in str(caught.value)


def test_an_empty_mapping_gives_way_to_the_one_in_its_own_file(tmp_path: Path):
    (tmp_path / "design.yaml").write_text(PROBLEM + TREE + "\nmapping: []\n")
    (tmp_path / "map.yaml").write_text(MAPPING)
    for order in (("design.yaml", "map.yaml"), ("map.yaml", "design.yaml")):
        assert load(*(tmp_path / name for name in order)).mapping


def test_a_mapping_alone():
    with pytest.raises(SpecError, match="a mapping alone"):
        loads(MAPPING)


# --- sparseloop import --------------------------------------------------------------------------------------


def test_import_writes_one_native_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source, target = tmp_path / "design.yaml", tmp_path / "out" / "native.yaml"
    target.parent.mkdir()
    source.write_text(PROBLEM + TREE + MAPPING)
    assert main(["import", str(source), "-o", str(target)]) == 0
    assert evaluate(load(target)).energy_pj == evaluate(load(source)).energy_pj
    capsys.readouterr()
    assert main(["import", str(source)]) == 0
    assert capsys.readouterr().out == target.read_text()


def test_import_rewrites_file_names(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("10" * 16)
    density = "\n    densities: {A: {distribution: real-data, data_file_path: a.txt}}"
    text = PROBLEM.replace("  instance: {M: 8, N: 6, K: 4}", "  instance:\n    M: 8\n    N: 6\n    K: 4" + density)
    (tmp_path / "in" / "design.yaml").write_text(text + TREE + MAPPING)
    target = tmp_path / "native.yaml"
    assert main(["import", str(tmp_path / "in" / "design.yaml"), "-o", str(target)]) == 0
    assert "file: in/a.txt" in target.read_text()
    assert evaluate(load(target)).cycles == evaluate(load(tmp_path / "in" / "design.yaml")).cycles


def test_import_to_a_place_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "design.yaml").write_text(PROBLEM + TREE + MAPPING)
    assert main(["import", str(tmp_path / "design.yaml"), "-o", str(tmp_path / "no" / "x.yaml")]) == 2
    assert "cannot write the file: No such file or directory" in capsys.readouterr().err
