"""`sparseloop map`: what is printed, what is written, exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tinyspaces import CONSTRAINED, TINY

import sparseloop as sl
from sparseloop import cli

KEEPS_COMMENTS = "# my machine\n"


def file(tmp_path: Path, *extra: str) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(KEEPS_COMMENTS + TINY + "".join(extra), encoding="utf-8")
    return str(path)


def test_the_best_mapping_is_written_and_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = tmp_path / "best.yaml"
    given = ["map", file(tmp_path, CONSTRAINED), "--budget", "3k", "-f", "json", "-o", str(best)]
    assert cli.main(given) == cli.OK
    shown = capsys.readouterr()
    assert "best edp" in shown.err
    assert best.read_text(encoding="utf-8").startswith(KEEPS_COMMENTS)
    assert sl.evaluate(sl.load(best)).to_dict() == json.loads(shown.out)
    assert sl.design_of(sl.load(best)).mapping in sl.mapspace(sl.load(best))


def test_tables_front_and_top(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["map", file(tmp_path), "--budget", "3k", "--method", "random", "--pareto", "energy,cycles", "--top", "3"]
    assert cli.main(given) == cli.OK
    shown = capsys.readouterr()
    assert "Mapping\n  DRAM: holds" in shown.out
    assert "the mapping is valid" in shown.out
    assert "cycles (log)" in shown.out
    assert "random: 3000 evaluated" in shown.err


def test_a_padded_mapping_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = tmp_path / "best.yaml"
    rules = "constraints: {par: {factors: {m: 2}}, RF: {factors: {m: 1}}}\n"
    text = file(tmp_path, rules)
    given = ["map", text, "--set", "workload.shape.m=5", "--padded", "--budget", "300", "-f", "json", "-o", str(best)]
    assert cli.main(given) == cli.OK
    assert sl.evaluate(sl.load(best)).to_dict() == json.loads(capsys.readouterr().out)


def test_nothing_found_is_status_1_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "constraints: {RF: {keep: [A, B, Z], factors: {m: 4, n: 2}}}\n"
    assert cli.main(["map", file(tmp_path, rules), "--budget", "1k"]) == cli.INFEASIBLE
    shown = capsys.readouterr()
    assert "nearest miss: RF must hold" in shown.err
    assert "no valid mapping among 1000 evaluated" in shown.err


@pytest.mark.parametrize(("option", "value"), [("--minimize", "speed"), ("--method", "luck"), ("--budget", "soon")])
def test_mistakes_are_status_2(tmp_path: Path, option: str, value: str) -> None:
    assert cli.main(["map", file(tmp_path), option, value]) == cli.WRONG_INPUT
