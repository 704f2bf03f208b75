"""Every command that evaluates says the warnings that `check` says, also to programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparseloop.cli.app import main

FREE = """
architecture:
  version: 0.4
  nodes:
  - !Component {name: Far, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component {name: Free, class: smartbuffer_SRAM, attributes: {width: 64, datawidth: 8, technology: 45nm}}
  - !Component {name: Unit, class: intmac, attributes: {datawidth: 8}}
problem: {shape: gemm-ABZ, instance: {M: 4, N: 4, K: 4}}
"""
MAPPING = """
mapping:
- {target: Far, type: temporal, factors: M=1 N=1 K=1}
- {target: Free, type: temporal, factors: M=4 N=4 K=4}
"""
WARNING = "Free: no price for read, fill, update: 0 pJ (no capacity given)"
STUDY = """
spec: free.yaml
parameters: {size: {path: workload.shape.M, values: [2, 4]}}
minimize: edp
mapping: {method: random, budget: 20}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "free.yaml").write_text(FREE)
    (tmp_path / "mapped.yaml").write_text(FREE + MAPPING)
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("check", "free.yaml"),
        ("map", "free.yaml", "--method", "random", "--budget", "20"),
        ("eval", "mapped.yaml"),
        ("why", "mapped.yaml", "cycles"),
        ("energy", "free.yaml"),
        ("sweep", "study.yaml", "--check"),
        ("sweep", "study.yaml", "-o", "out"),
    ],
    ids=lambda command: " ".join(command[:3]),
)
@pytest.mark.usefixtures("files")
def test_once_on_stderr(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert main(command) == 0
    assert capsys.readouterr().err.count(f"warning: {WARNING}\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("map", "free.yaml", "--method", "random", "--budget", "20"),
        ("eval", "mapped.yaml"),
        ("energy", "free.yaml"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.usefixtures("files")
def test_in_json(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert main([*command, "-f", "json"]) == 0
    assert WARNING in json.loads(capsys.readouterr().out)["warnings"]


@pytest.mark.usefixtures("files")
def test_a_template_with_imperfect_factors_names_the_option(capsys: pytest.CaptureFixture[str]):
    Path("ruby.yaml").write_text("mapspace: {template: ruby}\n")
    assert main(["map", "free.yaml", "ruby.yaml", "--method", "random", "--budget", "20"]) == 0
    assert "ruby.yaml:1: the mapspace template is not taken over: `map --padded`" in capsys.readouterr().err
