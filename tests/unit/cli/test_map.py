"""`sparseloop map`: what is printed, what is written, exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.cli import app as cli
from sparseloop.report.search_text import scatter_plot
from tests.helpers.tiny_spaces import CONSTRAINED, TINY

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
    found = json.loads(shown.out)
    search = found.pop("search")
    assert sl.evaluate(sl.load(best)).to_dict() == found
    assert search["proven"]
    assert search["gap"] == 0
    assert search["value"] == search["lower_bound"] == found["totals"]["edp_pj_cycles"]
    assert sl.design_of(sl.load(best)).mapping in sl.mapspace(sl.load(best))
    assert cli.main(["map", str(best), "--method", "random", "--budget", "1"]) == cli.OK
    assert "warning: the mapping in the files is better than what was found: " in capsys.readouterr().err
    assert cli.main(["map", str(best), "--summary"]) == cli.OK
    assert "the mapping in the files" not in capsys.readouterr().err


def test_data_files_are_found_from_where_the_mapping_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one file with comments, and of layers."""
    there, out = tmp_path / "there", tmp_path / "out"
    there.mkdir(), out.mkdir()
    np.save(there / "mask.npy", np.eye(2))
    machine = "architecture: {levels: [{name: DRAM, class: dram}, {name: MAC, class: mac}]}  # small\n"
    work = "{name: NAME, einsum: 'Z[m] = A[m,k]', shape: {m: 2, k: 2}, density: {A: mask.npy}}"
    (there / "one.yaml").write_text(machine + f"workload: {work}\n")
    (there / "two.yaml").write_text(machine + f"layers:\n- {work.replace('NAME', 'a')}\n- {work.replace('NAME', 'b')}\n")
    for name in ("one", "two"):
        assert cli.main(["map", str(there / f"{name}.yaml"), "-o", str(out / f"{name}.yaml"), "-q"]) == cli.OK
    for written in ("one", "two-a", "two-b"):
        assert cli.main(["eval", str(out / f"{written}.yaml")]) == cli.OK
    capsys.readouterr()
    assert cli.main(["map", str(there / "one.yaml"), "-o", str(there / "best.yaml"), "-q"]) == cli.OK
    assert "# small" in (there / "best.yaml").read_text()


def test_tables_front_and_top(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["map", file(tmp_path), "--budget", "3k", "--method", "random", "--pareto", "energy,cycles", "--top", "3"]
    assert cli.main(given) == cli.OK
    shown = capsys.readouterr()
    assert "Mapping\n  DRAM: holds" in shown.out
    assert "the mapping is valid" in shown.out
    assert "one mapping is the best in energy and cycles" in shown.out
    assert "random: 3000 evaluated" in shown.err


def test_a_front_is_drawn_on_logarithmic_axes() -> None:
    lines = scatter_plot([(1.0, 1000.0), (10.0, 100.0), (100.0, 10.0)], ["energy", "cycles"], width=21, height=5).splitlines()
    assert lines[0] == "  cycles (log) up to 1e+03"
    assert [(i, line.index("*")) for i, line in enumerate(lines) if "*" in line] == [(1, 3), (3, 13), (5, 23)]
    assert lines[-1].startswith("   1 ")
    assert lines[-1].endswith("100 (log)")


def test_a_padded_mapping_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = tmp_path / "best.yaml"
    rules = "constraints: {par: {factors: {m: 2}}, RF: {factors: {m: 1}}}\n"
    text = file(tmp_path, rules)
    given = ["map", text, "--set", "workload.shape.m=5", "--padded", "--budget", "300", "-f", "json", "-o", str(best)]
    assert cli.main(given) == cli.OK
    found = json.loads(capsys.readouterr().out)
    assert found.pop("search")["gap"] is None
    assert sl.evaluate(sl.load(best)).to_dict() == found


def test_nothing_found_is_status_1_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "constraints: {RF: {keep: [A, B, Z], factors: {m: 4, n: 2}}}\n"
    assert cli.main(["map", file(tmp_path, rules), "--method", "random", "--budget", "1k"]) == cli.INFEASIBLE
    shown = capsys.readouterr()
    assert "nearest miss: RF must hold" in shown.err
    assert "no valid mapping among 1000 evaluated" in shown.err


def test_nothing_found_is_an_empty_list_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "constraints: {RF: {keep: [A, B, Z], factors: {m: 4, n: 2}}}\n"
    given = ["map", file(tmp_path, rules), "-q", "--method", "random", "--budget", "10", "-f", "json"]
    assert cli.main(given) == cli.INFEASIBLE
    shown = capsys.readouterr()
    assert json.loads(shown.out) == []
    assert "no valid mapping among 10 evaluated" in shown.err  # also where quiet is asked for: nothing else would tell


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--minimize", "speed", "unknown objective 'speed'"),
        ("--minimize", "nan*energy", "cannot read 'nan*energy'"),
        ("--pareto", "energy", "two different objectives or more"),
        ("--pareto", "energy,energy_pj", "two different objectives or more"),
        ("--pareto", "x,y", "unknown objective 'x'"),
        ("--method", "genetics", "did you mean 'genetic'?"),
        ("--budget", "soon", "cannot read the budget 'soon'"),
        ("--budget", "1e999", "cannot read the budget"),
        ("--budget", "-5", "a budget of '-5' allows no search"),
        ("--budget", "0", "a budget of '0' allows no search"),
        ("--budget", "0s", "a budget of '0s' allows no search"),
        ("--workers", "0", "--workers"),
        ("--top", "0", "--top"),
        ("--seed", "abc", "--seed"),
        ("--seed", "-1", "--seed"),
        ("--output", "missing/best.yaml", "cannot write into the folder missing"),
        ("--output", "spec.yaml/best.yaml", "cannot write into the folder spec.yaml"),
        ("--output", ".", "is a folder"),
        ("-o", ".", "is a folder"),
        ("--resume", "spec.yaml", "'spec.yaml' is not a folder"),
        ("--resume", "spec.yaml/kept", "cannot write into the folder spec.yaml/kept"),
        ("--resume", "", "is not a folder"),
    ],
)
def test_mistakes_are_status_2_before_any_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:  # fmt: skip
    file(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["map", "spec.yaml", option, value]) == cli.WRONG_INPUT
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len([line for line in shown.err.splitlines() if option in line]) == 1
    assert "1 error" in shown.err or "Error: Invalid value" in shown.err
    assert "mapspace" not in shown.err


def test_all_mistakes_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["map", file(tmp_path), "--minimize", "speed", "--budget", "soon"]) == cli.WRONG_INPUT
    assert "2 errors" in capsys.readouterr().err


def test_fronts_stay_out_of_results_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["map", file(tmp_path), "--budget", "300", "--pareto", "energy,cycles", "--top", "2", "-f", "json"]
    assert cli.main(given) == cli.OK
    shown = capsys.readouterr()
    assert json.loads(shown.out)["status"]["valid"]
    assert "cycles (log)" in shown.err


def test_an_output_that_fails_late_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    given = ["map", file(tmp_path), "--budget", "300", "-f", "json", "-o", str(tmp_path / "best.yaml")]
    monkeypatch.setattr("sparseloop.input.yaml.whole_files.write_text_whole", full)
    assert cli.main(given) == cli.WRONG_INPUT
    shown = capsys.readouterr()
    assert json.loads(shown.out)["status"]["valid"]
    assert "No space left on device" in shown.err
