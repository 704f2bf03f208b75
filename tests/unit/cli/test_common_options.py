"""What all commands have in common: help with an example, --quiet, --summary, completion."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sparseloop.cli.app import app, main
from tests.helpers.samples import DENSE, INVALID, MATMUL
from tests.helpers.timeloop_files import CONV, CONV_STATS

COMMANDS = [command.name for command in app.registered_commands]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(MATMUL)
    layers = "layers:\n  - {name: first}\n  - {name: second, shape: {m: 32}}\nmapping: {DRAM: for m=2, GLB: for n=64 k=64 m=16}\n"
    (tmp_path / "layers.yaml").write_text(DENSE.partition("mapping:")[0] + layers.partition("mapping:")[0])

    def command(*arguments: str):
        status = main(arguments)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_is_for_and_shows_an_example(run, name):
    status, out, _ = run(name, "--help")
    assert status == 0
    assert f"Example: sparseloop {name} " in out
    assert "list[" not in out
    assert "<str>" not in out
    assert all(len(line) <= 100 for line in out.splitlines())
    purpose = out.partition("\n\n")[2]
    assert purpose.startswith("  ")


def test_the_list_of_commands_is_not_cut(run):
    _, out, _ = run("--help")
    assert "..." not in out.partition("Commands:")[2]
    assert all(f"  {name} " in out for name in COMMANDS)


WARNED = ("--set", "workload.density.A={model: block, block: {m: 2, k: 2}, density: 0.5, inner: 0.7}")
"""Whole words of a block have another density than was asked for: `eval` warns."""


def test_quiet(run):
    _, loud, warned = run("eval", "spec.yaml", *WARNED)
    status, out, err = run("eval", "spec.yaml", *WARNED, "--quiet")
    assert warned
    assert (status, out, err) == (0, loud, "")


def test_quiet_keeps_mistakes_and_the_reason_of_the_exit_status(run):
    status, _, err = run("eval", "missing.yaml", "-q")
    assert status == 2
    assert "missing.yaml" in err
    status, _, err = run("eval", "spec.yaml", "-q", "-f", "json", *(word for change in INVALID for word in ("--set", change)))
    assert status == 1
    assert err.startswith("the mapping is not valid: ")


def test_quiet_does_not_last(run):
    run("eval", "spec.yaml", *WARNED, "--quiet")
    assert run("eval", "spec.yaml", *WARNED)[2]


def test_summary_of_one_layer(run):
    _, whole, _ = run("eval", "spec.yaml")
    _, out, _ = run("eval", "spec.yaml", "--summary")
    assert whole.startswith(out.rstrip("\n"))
    assert out.splitlines()[-1].startswith("utilization")


def test_summary_of_several_layers_is_a_line_a_layer(run):
    _, out, _ = run("map", "layers.yaml", "--budget", "300", "--summary", "--quiet")
    lines = out.splitlines()
    assert lines[0].startswith("Layers")
    assert [line.split()[0] for line in lines[3:]] == ["first", "second", "2"]


STUDY = """
spec: spec.yaml
parameters: {a_rather_long_name: {path: architecture.levels.GLB.capacity, values: [16, 32], unit: KiB}}
mapping: fixed
"""
TIMELOOP = {"conv.yaml": CONV, "timeloop-model.stats.txt": CONV_STATS}


@pytest.mark.parametrize("width", [60, 70, 80, 100, 140])
@pytest.mark.parametrize(
    "words",
    [
        ("eval", "spec.yaml"),
        ("energy", "spec.yaml"),
        ("sweep", "study.yaml", "-o", "out", "--resume"),
        ("compare", *TIMELOOP, "--all"),
    ],
    ids=lambda words: words[0],
)
def test_tables_fit_the_terminal(run, monkeypatch, tmp_path, words, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for name, text in {"study.yaml": STUDY, **TIMELOOP}.items():
        (tmp_path / name).write_text(text)
    status, out, err = run(*words)
    assert status == 0, err
    assert max(map(len, out.splitlines())) <= width
    if words[0] == "sweep":
        assert all("a_rather_long_name (KiB)" in line for line in out.splitlines() if "point  " in line)


def test_summaries(run, tmp_path):
    for name, text in {"study.yaml": STUDY, **TIMELOOP}.items():
        (tmp_path / name).write_text(text)
    _, out, _ = run("compare", *TIMELOOP, "--summary", "-q")
    assert out.startswith("11 of 13 numbers agree; of the 2 others a known fault gives 1 exactly")
    status, out, err = run("sweep", "study.yaml", "-o", "out", "--summary", "--quiet")
    assert (status, err, len(out.splitlines())) == (0, "", 4)
    _, out, _ = run("energy", "spec.yaml", "--summary")
    assert [line.split()[0] for line in out.splitlines()] == ["DRAM", "GLB", "RF", "MAC"]


def test_a_figure_has_the_width_that_is_asked_for(run, tmp_path):
    from PIL import Image

    assert run("plot", "spec.yaml", "-o", "narrow.png", "--width", "3.5", "-q")[0] == 0
    assert run("plot", "spec.yaml", "-o", "wide.png", "--width", "7", "-q")[0] == 0
    assert [Image.open(tmp_path / f"{name}.png").width for name in ("narrow", "wide")] == [1050, 2100]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sparseloop ma", "map"),
        ("sparseloop example eyeriss_v1/conv3", "eyeriss_v1/conv3"),
        ("sparseloop map spec.yaml --method opt", "optimal"),
        ("sparseloop plot spec.yaml --kind roof", "roofline"),
        ("sparseloop validate dst", "dstc"),
    ],
)
def test_the_shell_completes_names(words, expected):
    completed = subprocess.run(
        [sys.executable, "-c", "from sparseloop.cli import main; main([])"],
        env={
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
            "_SPARSELOOP_COMPLETE": "complete_bash",
            "PYTHONPATH": ":".join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.stdout.split() == [expected]
