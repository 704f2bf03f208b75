"""Files to specifications: recognition, diagnostics with exact places, writing back."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest

from sparseloop.input import load as loading
from sparseloop.input.densities.records import DensitySpec
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.expressions import Quantity
from sparseloop.input.resolve import resolve
from sparseloop.input.spec import LevelSpec, Spec

EXAMPLE = """\
workload:
  einsum: O[n,m,p,q] = I[n,c,2*p+r,2*q+s] * W[m,c,r,s]        # affine; any number of operands
  shape: {n: 4, m: 96, c: 4, p: 5, q: 56, r: 3, s: 11}
  density:
    I: 0.6                                                     # uniform
    W: {model: structured, n: 2, m: 4, rank: c}
  word_bits: {I: 8, W: 8, O: 24}

architecture:                                                  # outermost first
  node: 45nm
  clock: 1 GHz
  levels:
    - {name: DRAM, class: dram, type: LPDDR4, bandwidth: 16 words/cycle}
    - {name: GLB,  class: sram, capacity: 108 KiB, bandwidth: {read: 16, write: 16}, metadata: 8 KiB}
    - {fanout: {x: 14, y: 12}}                                 # what follows exists 168 times
    - {name: spad, class: regfile, capacity: 224 words}
    - {name: MAC,  class: mac}

mapping:                                                       # outermost first; loops as in the loop nest
  - DRAM: for m=3 n=4
  - GLB:  for c=4 p=5          | keep I O | bypass W
  - par:  x q=14, y r=3 m=4                                    # spatial, over the fanout
  - spad: for m=8 q=4 s=11

sparse:
  DRAM: {formats: {I: RLE(5), O: RLE(5)}}
  spad: {skip: [W <- I], gate: [O <- I & W], intersection: leader_follower}
  MAC:  {gate: true}

constraints:                                                   # for the mapper
  spad: {keep: [W], max: {m: 16}, order: "... q s"}
"""
"""The example of the contract, with sizes that the factors multiply to."""

BASE = """\
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 4, n: 4, k: 4}, density: {A: 0.5}}
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: GLB, class: sram}
    - {fanout: 2x4}
    - {name: MAC, class: mac}
"""


def test_the_example():
    spec = loading.loads(EXAMPLE)
    assert spec.architecture.node == 45
    levels = [level for level in spec.architecture.levels if isinstance(level, LevelSpec)]
    assert levels[1].capacity == Quantity(884736, "bits")
    assert spec.mapping[2].loops[2].axis == "y"
    assert spec.constraints["spad"].max == {"m": 16}
    design = resolve(spec)
    assert design.warnings == ()
    assert design.mapping
    assert design.mapping.bounds == (3, 4, 4, 5, 14, 3, 4, 8, 4, 11)


def test_files_in_any_order_give_the_same(tmp_path):
    parts = re.split(r"\n\n", EXAMPLE)
    for i, part in enumerate(parts):
        (tmp_path / f"{i}.yaml").write_text(part + "\n")
    files = [tmp_path / f"{i}.yaml" for i in range(len(parts))]
    assert loading.load(*files) == loading.load(*reversed(files)) == loading.loads(EXAMPLE)


TABLE = """\
ERT:
  version: 0.4
  tables: [{name: GLB, actions: [{name: read, arguments: {}, energy: 7}]}]
"""


def test_energy_tables_beside_a_native_file_are_those_that_it_names(tmp_path):
    for name, text in {"spec": BASE, "ert": TABLE, "names": "energy: {ert: ert.yaml}\n"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    beside = loading.load(tmp_path / "spec.yaml", tmp_path / "ert.yaml")
    assert resolve(beside).arch.levels[1].prices["read"].energy_pj == 7
    assert beside.energy.ert == str(tmp_path / "ert.yaml")
    with pytest.raises(SpecError) as caught:
        loading.load(*(tmp_path / f"{name}.yaml" for name in ("spec", "ert", "names")))
    assert str(caught.value).startswith(f"{tmp_path / 'ert.yaml'}:1:1: error: energy.ert names a table already")
    with pytest.raises(SpecError, match="must be a file of its own"):
        loading.loads(BASE + TABLE)


def test_there_and_back():
    spec = loading.loads(EXAMPLE)
    text = loading.dumps(spec)
    assert loading.loads(text) == spec
    assert "- GLB: for c=4 p=5 | keep I O | bypass W" in text
    assert "density: {I: 0.6, W: 2:4 c}" in text
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_schema_is_json_and_knows_the_fields():
    schema = loading.schema()
    assert {"workload", "architecture", "mapping", "sparse"} <= set(json.loads(json.dumps(schema))["properties"])


def test_overrides_and_variables():
    text = BASE.replace("{name: GLB, class: sram}", "{name: GLB, class: sram, capacity: 2 * KiB * BANKS}")
    spec = loading.loads("variables: {BANKS: 2, M: BANKS ** 2}\n" + text, overrides=["variables.BANKS=8", "workload.shape.m=M"])
    glb = spec.architecture.levels[1]
    assert isinstance(glb, LevelSpec)
    assert glb.capacity == Quantity(16 * 8192, "bits")
    assert spec.workload.shape["m"] == 64
    assert spec.variables == {"BANKS": 8, "M": 64}
    spec = loading.loads("variables: {BANKS: 2, SIZE: 2 KiB * BANKS}\n" + text.replace("2 * KiB * BANKS", "SIZE / 2"))
    assert spec.architecture.levels[1].capacity == Quantity(2 * 8192, "bits")  # pyright: ignore
    assert loading.loads(loading.dumps(spec)) == spec


def test_wrong_override_is_named():
    with pytest.raises(SpecError, match=r"^--set #1: error: expected a whole number"):
        loading.loads(BASE, overrides=["workload.shape.m=0"])


MISTAKES = [
    # change, line, column, message, hint
    (("shape: {m: 4", "shpe: {m: 4"), 1, 48, "unknown field 'shpe' in 'workload'", "did you mean 'shape'?"),
    (("shape: {m: 4", "shape: {m: 0"), 1, 59, "expected a whole number >= 1, got 0", None),
    (("shape: {m: 4", "shape: {m: 1e30"), 1, 59, "1e+30 is too large (limit 2**53)", None),
    (("shape: {m: 4", "shape: {m: 9**9**9"), 1, 59, "power too large: 9 ** 387420489", None),
    (("B[k,n]", "B[k;n]"), 1, 42, "cannot read index 'k;n'", "sums of coefficient*rank, e.g. 2*p+r"),
    (("A: 0.5", "A: 1.5"), 1, 88, "expected a fraction between 0 and 1, got 1.5", None),
    (("A: 0.5", "A: {model: unifrom}"), 1, 96,
     "expected 'uniform', 'even', 'structured', 'hierarchical', 'block', 'rows', 'clustered', 'layered', "
            "'same', 'banded', 'actual' or 'produced', got 'unifrom'",
     "did you mean 'uniform'?"),
    (("A: 0.5", "A: [1]"), 1, 88, "expected a mapping, got a list", None),
    (("{name: DRAM, class: dram}", "{name: DRAM}"), 4, 7, "level 'DRAM' lacks 'class'",
     "dram, sram, regfile, buffer, mac, or a class of your energy tables."),
    (("class: sram", "class: sram, widht: 3"), 5, 32, "unknown field 'widht' in level 'GLB'", None),
    (("class: sram", "class: sram, capacity: 3 KiX"), 5, 44, "unknown unit 'KiX'", "did you mean 'Ki'?"),
    (("class: sram", "class: sram, bandwidth: {raed: 2}"), 5, 44, "unknown field 'raed' in 'architecture.levels[1].bandwidth'",
     "did you mean 'read'?"),
    (("class: sram", "class: sram, block_size: 1.5"), 5, 44, "expected a whole number >= 1, got 1.5", None),
    (("class: sram", "class: sram, capacity_rule: wurst"), 5, 47,
     "expected 'worst', 'expected' or a quantile between 0 and 1, got 'wurst'", None),
    (("class: sram", "class: sram, decompression: maybe"), 5, 47,
     "expected true or false, unable to interpret input, got 'maybe'", None),
    (("fanout: 2x4", "fanout: {x: 2, z: 4}"), 6, 23, "expected 'x' or 'y', got 'z'", None),
    (("- {fanout: 2x4}", "- 3"), 6, 7, "expected a mapping, got 3", None),
    (("levels:", "level:"), 3, 3, "unknown field 'level' in 'architecture'", "did you mean 'levels'?"),
    (("$", "mapping:\n  - DRAM: for m=4 k\n"), 9, 19, "cannot read 'k'", "a loop is written rank=bound, e.g. m=3"),
    (("$", "mapping:\n  DRAM: for m=4 k\n"), 9, 17, "cannot read 'k'", "a loop is written rank=bound, e.g. m=3"),
    (("$", "mapping: [{DRAM: {loop: m=4}}]\n"), 8, 19, "unknown field 'loop' in 'mapping[0].DRAM'", "did you mean 'loops'?"),
    (("$", "mapping: [{DRAM: 'm=4 | keeep A'}]\n"), 8, 25, "unknown word 'keeep' after '|'", "did you mean 'keep'?"),
    (("$", "sparse: {GLB: {formats: {A: UOP RLEE}}}\n"), 8, 33, "unknown format 'RLEE'", "did you mean 'RLE'?"),
    (("$", "sparse: {GLB: {skip: [A <- B, A <> B]}}\n"), 8, 31, "cannot read feature 'A <> B'",
     "write 'W <- I & Z' (W is followed, I and Z lead) or 'A <-> B'"),
    (("$", "sparse: {GLB: {intersection: twofinger}}\n"), 8, 30,
     "expected 'two_finger', 'leader_follower' or 'skip_ahead', got 'twofinger'", "did you mean 'two_finger'?"),
    (("$", "variables: {X: Y + 1}\n"), 8, 16, "unknown name 'Y'", "known: X"),
    (("$", "energy: {ert: [{name: GLB, actions: {read: -1}}]}\n"), 8, 44, "expected an energy (pJ) >= 0, got -1", None),
    (("$", "maping: []\n"), 8, 1, "unknown field 'maping' in the specification", "did you mean 'mapping'?"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line", "col", "message", "hint"), MISTAKES)
def test_every_mistake_has_its_place(change, line, col, message, hint):
    old, new = change
    text = BASE + new if old == "$" else BASE.replace(old, new)
    assert text != BASE
    with pytest.raises(SpecError) as caught:
        loading.loads(text, name="spec.yaml")
    found = [d for d in caught.value.diagnostics if d.message == message]
    assert found, caught.value.render()
    assert found[0].span
    assert (found[0].span.file, found[0].span.line, found[0].span.col) == ("spec.yaml", line, col), caught.value.render()
    assert found[0].hint == hint


def test_all_mistakes_at_once_in_file_order():
    text = BASE.replace("m: 4", "m: 0").replace("class: sram", "clas: sram").replace("2x4", "{z: 1}")
    with pytest.raises(SpecError) as caught:
        loading.loads(text)
    assert [(d.span.line, d.span.col) for d in caught.value.diagnostics if d.span] == [(1, 59), (5, 7), (5, 19), (6, 17)]


def test_the_look():
    text = "workload: {einsum: 'Z[m] = A[m]', shape: {m: 4}}\narchitecture:\n  levels:\n    - name: Buffer\n      class: sram\n"
    text += "      blok_size: 64\n    - {name: MAC, class: mac}\n"
    with pytest.raises(SpecError) as caught:
        loading.loads(text, name="arch.yaml")
    assert caught.value.render() == (
        "arch.yaml:6:7: error: unknown field 'blok_size' in level 'Buffer'\n"
        "   6 |       blok_size: 64\n"
        "     |       ^^^^^^^^^  did you mean 'block_size'?\n"
        "1 error"
    )


def test_python_users_get_paths():
    with pytest.raises(SpecError) as caught:
        Spec.model_validate(
            {"workload": {"einsum": "Z[m] = A[m]", "shape": {"m": 0}}, "architecture": {"levels": [{"nam": "x"}]}}
        )
    lines = caught.value.render().splitlines()
    assert "workload.shape.m: error: expected a whole number >= 1, got 0" in lines
    assert "architecture.levels[0].nam: error: unknown field 'nam' in level 0" in lines
    with pytest.raises(SpecError, match="density: error: expected a fraction"):
        DensitySpec(density=3)


def test_an_array_as_density_is_told_how_to_be_given():
    workload = {"einsum": "Z[m] = A[m]", "shape": {"m": 2}, "density": {"A": np.ones(2)}}
    with pytest.raises(SpecError, match=r"(?s)workload.density.A: .*got ndarray.*numpy.save"):
        Spec.model_validate({"workload": workload, "architecture": {"levels": [{"name": "MAC", "class": "mac"}]}})


def test_spec_built_from_parts_is_the_loaded_one():
    spec = loading.loads(EXAMPLE)
    again = Spec(
        workload=spec.workload,
        architecture=spec.architecture,
        mapping=spec.mapping,
        sparse=spec.sparse,
        constraints=spec.constraints,
    )
    assert again == spec


def test_layers_share_what_the_workload_says():
    text = """
workload: {shape: {m: 4, k: 2}, word_bits: 8, density: {A: 0.5}}
layers:
  - {name: a, einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {n: 4}}
  - {name: b, einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {n: 8, k: 3}, density: {B: 0.1}}
""" + "\n".join(BASE.splitlines()[1:])
    spec = loading.loads(text)
    first, second = spec.per_layer()
    assert first.workload == spec.workload
    assert resolve(first).einsum.extents == {"m": 4, "n": 4, "k": 2}
    assert resolve(second).einsum.extents == {"m": 4, "n": 8, "k": 3}
    assert resolve(second).einsum.tensor("A").density.density == 0.5
    assert loading.loads(loading.dumps(spec)) == spec
    with pytest.raises(SpecError) as caught:
        loading.loads(text.replace("shape: {n: 8", "shape: {n: 0"))
    assert [(d.span.line, d.span.col) for d in caught.value.diagnostics if d.span] == [(5, 62)]
    with pytest.raises(SpecError) as caught:
        loading.loads(text.replace("k: 2}", "k: 0}"))
    assert {(d.span.line, d.span.col) for d in caught.value.diagnostics if d.span} == {(2, 29)}


def test_empty_values_mean_the_default():
    assert loading.loads(BASE + "mapping:\nsparse:\nnotes:\n") == loading.loads(BASE)


@pytest.mark.parametrize(
    "data",
    [
        {"problem": {}},
        {"sparse_optimizations": {}},
        {"ERT": {}},
        {"mapspace_constraints": {}},
        {"architecture": {"version": 0.3, "subtree": []}},
        {"architecture": {"nodes": []}},
        {"mapping": [{"target": "x", "type": "temporal", "factors": "M=1"}]},
    ],
)
def test_timeloop_is_recognised(data):
    assert loading.is_timeloop(data)


def test_native_is_not_timeloop():
    assert not loading.is_timeloop({"architecture": {"levels": []}, "mapping": [{"target": "x", "loops": []}]})
