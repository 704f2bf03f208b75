"""The command line: outputs, streams, exit statuses."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest

import sparseloop as sl
from sparseloop import designs as examples
from sparseloop.cli.app import main
from tests.helpers.samples import DENSE, MATMUL


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def command(*arguments: object):
        status = main([str(a) for a in arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return command


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(MATMUL)
    return path


def test_eval_table(run, spec):
    status, out, err = run("eval", spec)
    assert status == 0
    assert err == ""
    assert "the mapping is valid" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_eval_json(run, spec):
    status, out, _ = run("eval", spec, "-f", "json")
    assert status == 0
    assert json.loads(out) == sl.evaluate(sl.load(spec)).to_dict()


def test_eval_csv(run, spec):
    status, out, _ = run("eval", spec, "-f", "csv")
    header, *rows = csv.reader(io.StringIO(out))
    assert status == 0
    assert header == ["level", "tensor", "quantity", "class", "value", "unit"]
    assert len(rows) == len(sl.evaluate(sl.load(spec)).to_rows())


def test_files_in_any_order_and_overrides(run, tmp_path):
    head, mapping, tail = MATMUL.partition("mapping:\n")
    (tmp_path / "a.yaml").write_text(head)
    (tmp_path / "b.yaml").write_text(mapping + tail)
    first = run("eval", tmp_path / "a.yaml", tmp_path / "b.yaml", "-f", "json", "--set", "workload.density.A=0.5")
    second = run("eval", tmp_path / "b.yaml", tmp_path / "a.yaml", "-f", "json", "--set", "workload.density.A=0.5")
    assert first == second
    data = json.loads(first[1])
    assert data["levels"][0]["tensors"]["A"]["tile"]["density"] == 0.5


def test_several_layers(run, tmp_path):
    text = MATMUL.replace("workload:\n", "workload:\n  name: one\n")
    layers = "layers:\n  - {name: fc1}\n  - {name: fc2, density: {A: 0.5}}\n"
    (tmp_path / "s.yaml").write_text(text + layers)
    status, out, _ = run("eval", tmp_path / "s.yaml", "-f", "json")
    assert status == 0
    assert [d["levels"][0]["tensors"]["A"]["tile"]["density"] for d in json.loads(out)] == [0.25, 0.5]
    _, out, _ = run("eval", tmp_path / "s.yaml", "-f", "csv")
    assert out.splitlines()[1].startswith("fc1,,,valid")


def test_infeasible(run, spec):
    status, out, _ = run("eval", spec, "--set", "architecture.levels.GLB.capacity=512 words")
    assert status == 1
    assert "the mapping is NOT valid" in out
    status, out, err = run("eval", spec, "-f", "json", "--set", "architecture.levels.GLB.capacity=512 words")
    assert status == 1
    assert not json.loads(out)["status"]["valid"]
    assert "GLB must hold" in err


def test_warnings_go_to_stderr(run, spec):
    block = "workload.density.A={model: block, density: 0.25, inner: 0.5, block: [3, 3]}"
    status, out, err = run("eval", spec, "-f", "json", "--set", block)
    assert status == 0
    assert "warning: density of A:" in err
    json.loads(out)


def test_features_of_bypassed_tensors_are_named_with_the_result(run, spec):
    changes = ["sparse.GLB.formats.Z=bitmask", "mapping[1].GLB=for n=8 k=8 | keep A B"]
    status, out, err = run("eval", spec, "--summary", *(word for change in changes for word in ("--set", change)))
    assert status == 0
    assert "bypass" not in err
    assert "no effect    GLB: format of Z (bypassed there)" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "workload.shape.n=5"], "factors of rank n multiply to 64, but n is 5"),
        (["--set", "nonsense"], "write path=value"),
        (["none.yaml"], "No such file or directory"),
    ],
)
def test_wrong_input(run, spec, arguments, words):
    status, out, err = run("eval", spec, *arguments)
    assert (status, out) == (2, "")
    assert words in err


def test_wrong_usage(run, spec):
    assert run("evall", spec)[0] == 2
    assert run("eval")[0] == 2
    assert run("eval", spec, "-f", "xml")[0] == 2
    assert run("why", spec)[0] == 2
    assert run("show", spec, "nonsense")[0] == 2


def test_no_mapping(run, tmp_path):
    (tmp_path / "s.yaml").write_text(DENSE.partition("mapping:")[0])
    status, _, err = run("eval", tmp_path / "s.yaml")
    assert status == 2
    assert "no mapping to evaluate" in err
    assert run("check", tmp_path / "s.yaml")[:2] == (0, "ok\n")


def test_check(run, spec):
    assert run("check", spec) == (0, "ok\n", "")
    status, out, _ = run("check", spec, "--set", "workload.shape.n=5", "--set", "sparse.GLBB.skip=[B <- A]")
    assert status == 2
    assert "factors of rank n" in out
    assert "did you mean 'GLB'?" in out
    status, out, _ = run("check", spec, "--set", "architecture.levels.GLB.capacity=512 words")
    assert status == 1
    assert out.startswith("the mapping is not valid: GLB must hold")


def test_check_warns_of_what_eval_warns_of(run, tmp_path):
    text = DENSE + "sparse: {DRAM: {formats: {A: csr}}, GLB: {formats: {A: csr}}, RF: {formats: {A: csr}, skip: [Z <- A]}}\n"
    (tmp_path / "s.yaml").write_text(text)
    (_, _, checked), (_, _, evaluated) = (run(command, tmp_path / "s.yaml") for command in ("check", "eval"))
    assert set(checked.splitlines()) == set(evaluated.splitlines())
    assert "warning:" in checked


def test_show(run, spec):
    status, out, _ = run("show", spec)
    assert status == 0
    titles = [line.split()[0] for line in out.splitlines() if line[:1].isupper()]
    assert titles == ["Workload", "Architecture", "Mapping", "Sparse"]
    assert run("show", spec, "arch")[1].startswith("Architecture")


def test_why(run, spec):
    status, out, _ = run("why", spec, "GLB.B.reads.actual")
    assert status == 0
    assert out.startswith("GLB.B.reads.actual = 8192 words")
    status, _, err = run("why", spec, "GLB.B.reads.actuall")
    assert status == 2
    assert "did you mean 'GLB.B.reads.actual'?" in err


def test_bugs_are_ours(run, spec, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("sparseloop.evaluation.evaluate.evaluate_plan", broken)
    status, out, err = run("eval", spec)
    assert (status, out) == (3, "")
    assert "internal error: ZeroDivisionError: oh" in err
    assert "please report" in err
    assert "Traceback" not in err
    with pytest.raises(ZeroDivisionError):
        main(["eval", str(spec), "--debug"])


def test_schema_and_version(run):
    status, out, _ = run("schema")
    assert status == 0
    printed = json.loads(out)
    assert printed == sl.schema()
    assert set(printed["properties"]) == set(sl.Spec.model_fields)
    assert printed["required"] == ["workload", "architecture"]
    assert {"name", "class", "capacity", "bandwidth"} <= set(printed["$defs"]["LevelSpec"]["properties"])
    assert run("--version")[:2] == (0, sl.__version__ + "\n")
    assert run("--help")[0] == 0


def test_examples(run, tmp_path, monkeypatch):
    (tmp_path / "chip").mkdir()
    (tmp_path / "chip" / "README.md").write_text("# The chip\n\ntext\n")
    (tmp_path / "chip" / "layer.yaml").write_text("# One layer. More.\na: 1\n")
    (tmp_path / "small.yaml").write_text("# A small one\nb: 1\n")
    monkeypatch.setattr(examples, "FOLDER", tmp_path)
    status, out, _ = run("example")
    assert status == 0
    assert out.splitlines() == ["chip        The chip", "chip/layer  One layer", "small       A small one"]
    assert run("example", "small")[1] == "# A small one\nb: 1\n"
    assert run("example", "chip")[1] == "# The chip\n\ntext\n"
    assert run("example", "chip/layer.yaml", "--path")[1].strip() == str(tmp_path / "chip" / "layer.yaml")
    status, _, err = run("example", "smal")
    assert status == 2
    assert "did you mean 'small'?" in err
    (tmp_path / "chip" / "README.md").unlink()
    assert run("example", "chip")[1] == "--- # layer.yaml\n# One layer. More.\na: 1\n"


def program(*arguments: object, **environment: str):
    words = [sys.executable, "-m", "sparseloop", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_as_a_program(spec):
    done = program("why", spec, "cycles")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("cycles = ")
    assert program("eval", spec, PYTHONIOENCODING="ascii").returncode == 0


def loaded_by(*arguments: object) -> set[str]:
    """The modules that a command loads."""
    words = list(map(str, arguments))
    program = f"import sys; from sparseloop.cli.app import main; main({words}); print(' '.join(sys.modules), file=sys.stderr)"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr.split())


def test_commands_load_only_what_they_need(spec):
    assert not loaded_by("--version") & {"numpy", "pydantic", "rich", "ruamel.yaml", "logging"}
    assert not loaded_by("schema") & {"numpy", "sparseloop.report.tables", "sparseloop.evaluation.tracing"}
    others = {"sparseloop.mapper.search", "sparseloop.input.accelergy.ert", "sparseloop.input.timeloop.importer"}
    assert not loaded_by("eval", spec) & others
