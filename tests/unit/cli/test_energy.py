"""`sparseloop energy`: prices of designs, and of architectures alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparseloop.cli.app import main
from sparseloop.input.accelergy import read_ert

TREE = """
architecture:
  version: 0.3
  subtree:
  - name: chip
    attributes: {technology: 45nm}
    local:
    - {name: cache, class: storage, subclass: scratch, attributes: {width: 16, depth: 128}}
    - {name: mask, class: bitwise, attributes: {datawidth: 16}}
"""
CLASSES = """
compound_components:
  version: 0.3
  classes:
  - name: scratch
    attributes: {technology: must_specify, width: must_specify, depth: must_specify}
    subcomponents:
    - {name: cells, class: SRAM, attributes: {technology: technology, width: width, depth: depth}}
    actions:
    - {name: read, subcomponents: [{name: cells, actions: [{name: read}]}]}
"""
NATIVE = """
architecture:
  node: 45nm
  levels:
  - {name: DRAM, class: dram}
  - {name: Buffer, class: sram, capacity: 1 KiB}
  - {name: MAC, class: mac}
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "tree.yaml").write_text(TREE)
    (tmp_path / "classes.yaml").write_text(CLASSES)
    monkeypatch.chdir(tmp_path)
    return ["tree.yaml", "classes.yaml"]


def test_a_tree_without_problem_and_compute_has_prices(tree: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["energy", *tree, "-f", "json"]) == 0
    shown = capsys.readouterr()
    components = {one["name"]: one for one in json.loads(shown.out)["components"]}
    assert [action["action"] for action in components["chip.cache"]["actions"]] == ["read"]
    assert components["chip.cache"]["actions"][0]["energy_pj"] > 0
    assert "bitwise" in components["chip.mask"]["actions"][0]["source"].lower() or components["chip.mask"]["area_um2"] > 0
    assert "priced without the loop model (no 'problem' in the files)" in shown.err


def test_the_table_and_rows_say_the_same(tree: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["energy", *tree]) == 0
    assert "chip.cache\n  read " in capsys.readouterr().out
    assert main(["energy", *tree, "-f", "csv"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("component,quantity,name,value,unit")
    assert any(row.startswith("chip.cache,energy,read,") for row in rows)
    assert any(row.startswith("chip.mask,area,,") for row in rows)


def test_an_energy_table_beside_it_is_taken(tree: list[str], capsys: pytest.CaptureFixture[str]):
    entry = "{name: chip.cache, actions: [{name: read, arguments: {}, energy: 7.5}]}"
    Path("ert.yaml").write_text(f"ERT:\n  version: 0.4\n  tables:\n  - {entry}\n")
    assert main(["energy", *tree, "ert.yaml", "-f", "json"]) == 0
    cache = next(one for one in json.loads(capsys.readouterr().out)["components"] if one["name"] == "chip.cache")
    assert [(action["action"], action["energy_pj"]) for action in cache["actions"]] == [("read", 7.5)]


def test_what_is_written_reads_back(tree: list[str]):
    assert main(["energy", *tree, "--ert", "out.yaml"]) == 0
    assert ("chip.cache", "read") in {(row.component, row.action) for row in read_ert(["out.yaml"]).rows}


def test_a_native_architecture_needs_no_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "machine.yaml"
    file.write_text(NATIVE)
    assert main(["energy", str(file), "-f", "json"]) == 0
    names = [one["name"] for one in json.loads(capsys.readouterr().out)["components"]]
    assert names == ["DRAM", "Buffer", "MAC"]


def test_mistakes_of_the_architecture_stay_mistakes(tree: list[str], capsys: pytest.CaptureFixture[str]):
    Path("tree.yaml").write_text(TREE.replace("{name: mask, ", "{"))
    assert main(["energy", *tree]) == 2
    assert "tree.yaml:9" in capsys.readouterr().err
