"""What README.md shows is what comes out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sparseloop.cli.app import main

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
Run = Callable[..., list[str]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command beside the example's file: the lines it prints."""
    (tmp_path / "matmul.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def once(*arguments: str) -> list[str]:
        assert main(arguments) == 0
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return once


def test_evaluation(run: Run) -> None:
    """The block is a part of the output: every line of it, in order."""
    remaining = iter(run("eval", "matmul.yaml", "--summary"))
    for line in blocks("text")[0].splitlines():
        assert line in remaining, line


def test_the_figure_shows_these_energies(run: Run) -> None:
    drawn = (Path(__file__).parents[2] / "docs/figures/readme_breakdown.svg").read_text(encoding="utf-8")
    for change in ((), ("--set", "sparse.RF.skip=null"), ("--set", "sparse=null")):
        total = json.loads("".join(run("eval", "matmul.yaml", "-f", "json", *change)))["totals"]["energy_pj"]
        assert f">{total / 1e6:.0f}</text>" in drawn


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_commands_after_the_example(run: Run) -> None:
    commands = re.findall(r"^    sparseloop (.*?)(?: +#.*)?$", README, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["why", "map", "report"]
    for command in commands:
        words = command.replace("-o best", "--method random --budget 200 -o best").split()  # it is to be quick
        run(*words)


def test_every_page_and_figure_it_names_exists() -> None:
    root = Path(__file__).parents[2]
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 20
    assert [link for link in links if not (root / link).is_file()] == []


def test_python(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    table = "\n".join(run("eval", "matmul.yaml"))
    exec(blocks("python")[0], {})
    energy, cycles, valid, _ = capsys.readouterr().out.splitlines()[0].split(" ", 3)
    assert f"{float(energy) / 1e6:.3g} uJ" in table
    assert f"{float(cycles) / 1e3:.3g} k" in table
    assert valid == "True"
