"""The shipped notebooks run from top to bottom, and what they show can be drawn."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path
from typing import Any

import pytest

from sparseloop import designs
from sparseloop.cli.app import main

NAMES = ("design_space_study", "first_sparse_design", "formats_and_crossing_points", "mapping_with_proof")
SECONDS = 60
"""CPU time of one notebook at most; on the machine of the tests each takes a tenth of it."""


def cells(name: str) -> list[dict[str, Any]]:
    return json.loads(designs.notebook_of(name).read_text(encoding="utf-8"))["cells"]


def run_cell(source: str, names: dict[str, Any]) -> object:
    """Runs a cell; the value of its last expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if isinstance(last, ast.Expr) else None


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mpl.use("agg")
    started, names, shown = time.process_time(), dict[str, Any](), []
    for cell in cells(name):
        if cell["cell_type"] == "code":
            shown.append(run_cell("".join(cell["source"]), names))
    assert time.process_time() - started < SECONDS
    drawn = [value for value in shown if hasattr(value, "_repr_html_") and value._repr_html_()]
    assert drawn


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_shipped_without_output(name: str) -> None:
    first, *_ = cells(name)
    assert first["cell_type"] == "markdown"
    assert all(cell.get("outputs", []) == [] for cell in cells(name))
    assert len({cell["id"] for cell in cells(name)}) == len(cells(name))


def test_notebooks_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example", "--notebook"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(NAMES)
    assert main(["example", "--notebook", "mapping_with_proof"]) == 0
    assert json.loads(capsys.readouterr().out)["nbformat"] == 4
    assert main(["example", "--notebook", "mapping_with_prof"]) == 2
    assert "did you mean 'mapping_with_proof'?" in capsys.readouterr().err
