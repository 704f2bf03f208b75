"""`sparseloop sweep` and `sparseloop query`."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from sparseloop.cli.app import main
from sparseloop.cli.progress import study_progress_line
from sparseloop.explore.run import StudyTally
from tests.helpers import studies


def test_the_best_points_and_the_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = studies.written(tmp_path)
    assert main(["sweep", str(file), "--check"]) == 0
    assert capsys.readouterr().out == "120 points x 1 workload by grid: glb 3, bw 4, A 10\n"
    assert main(["sweep", str(file)]) == 0
    shown = capsys.readouterr()
    assert "120 points (80 valid); 120 evaluations" in shown.err
    assert "40 points are not valid:\n  24 x GLB must hold 80 words" in shown.err
    assert "others: sparseloop query" in shown.err
    assert shown.out.splitlines()[0] == "best of 80 points by edp"
    best = min((row for row in studies.points(tmp_path / "study-results") if row["valid"]), key=lambda row: row["edp"])
    assert shown.out.splitlines()[3].split()[0] == str(best["point"])
    assert main(["sweep", str(file)]) == 2
    assert "go on with --resume" in capsys.readouterr().err
    assert main(["sweep", str(file), "--set", "pareto=[energy, area]", "--resume", "-f", "json"]) == 0
    shown = capsys.readouterr()
    assert "0 evaluations, 120 known already" in shown.err
    found = json.loads(shown.out)
    assert len(found["points"]) == 1  # the area is the same for all
    assert found["warnings"] == [
        line.removeprefix("warning: ") for line in shown.err.splitlines() if line.startswith("warning: ")
    ]


def test_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studies.run(studies.written(tmp_path), tmp_path / "out")
    assert (
        main(["query", str(tmp_path / "out"), "select glb, count(*) as n from points group by glb order by glb", "-f", "csv"])
        == 0
    )
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["glb", "n"], ["16", "40"], ["256", "40"], ["1024", "40"]]
    assert main(["query", str(tmp_path / "out"), "select keys, why from points where point = 119"]) == 0
    assert '["' in capsys.readouterr().out
    assert main(["query", str(tmp_path / "out"), "select nothing"]) == 2
    assert "tables: points" in capsys.readouterr().err
    assert main(["query", str(tmp_path), "select 1"]) == 2


def test_no_valid_point_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = studies.written(tmp_path, studies.STUDY + "constraints: [area_um2 < 5]\n")
    assert main(["sweep", str(file), "-o", str(tmp_path / "out")]) == 1
    assert "area_um2 < 5 does not hold (area_um2 1100)" in capsys.readouterr().err
    assert main(["sweep", str(file), "-o", str(tmp_path / "out"), "--resume", "-f", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"points": [], "warnings": []}


def test_values_that_do_not_go_together_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "spec: spec.yaml\nmapping: fixed\nparameters:\n  m: {path: workload.shape.m, values: [8, 9]}\n"
    assert main(["sweep", str(studies.written(tmp_path, text)), "-o", str(tmp_path / "out")]) == 0
    assert "do not go together: " in capsys.readouterr().err
    why = studies.points(tmp_path / "out")[1]["why"]
    assert "m" in why
    assert "9" in why


def test_a_searched_study_varies_the_shape_whatever_the_mapping_of_the_file_is(tmp_path: Path) -> None:
    text = "spec: spec.yaml\nmapping: {method: random, budget: 50}\nparameters:\n  m: {path: workload.shape.m, values: [8, 9]}\n"
    assert main(["sweep", str(studies.written(tmp_path, text)), "-o", str(tmp_path / "out")]) == 0
    assert [row["valid"] for row in studies.points(tmp_path / "out")] == [True, True]


def test_unwritable_folders_are_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = studies.written(tmp_path)
    assert main(["sweep", str(file), "-o", str(file / "out")]) == 2
    assert "cannot write into" in capsys.readouterr().err
    assert main(["sweep", str(file), "-o", str(tmp_path / "out"), "--executor", "ray"]) == 2
    assert "unknown executor 'ray'" in capsys.readouterr().err
    assert main(["sweep", str(file), "-o", str(tmp_path / "no"), "--executor", "nothing://here"]) == 2
    assert "no Dask scheduler answers" in capsys.readouterr().err


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    many = studies.STUDY.replace("points: 10", "points: 1000")
    command = [sys.executable, "-m", "sparseloop", "sweep", str(studies.written(tmp_path, many)), "-o", str(tmp_path / "out")]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it, and so would its children
    options = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True, "preexec_fn": heard}
    process = subprocess.Popen([*command, "--workers", "2"], **options)
    while process.poll() is None and not any((tmp_path / "out").rglob("*.jsonl")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    shown = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "go on with --resume" in shown
    assert "Traceback" not in shown
    assert 0 < len(studies.points(tmp_path / "out")) < 12_000
    assert not list((tmp_path / "out" / "journals").iterdir())


def test_progress_line() -> None:
    tally = StudyTally(total=100, points=10, valid=5, evaluated=20, best=123456.0)
    assert study_progress_line(tally).startswith("points, 50 % valid, best 1.235e+05, 20 evaluated, ")
