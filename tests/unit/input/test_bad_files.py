"""Bad input by name: the exit status, the message, the place. What is read never runs."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sparseloop.cli.app import main
from sparseloop.input.yaml import nodes as yamlnodes

BASE = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 8, n: 8, k: 8}
  density: {A: 0.25, B: 0.5}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, bandwidth: 16}
    - {name: GLB, class: sram, capacity: 16 KiB, metadata: 8 KiB}
    - {fanout: {x: 2, y: 2}}
    - {name: RF, class: regfile, capacity: 64 words}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for m=4
  - GLB: for n=4
  - par: x n=2, y m=2
  - RF: for k=8
sparse:
  DRAM: {formats: {A: csr}}
  GLB: {formats: {A: csr}, skip: [B <- A]}
"""
LINES = {name: f"spec.yaml:{line}:" for name, line in (("einsum", 2), ("shape", 3), ("density", 4), ("DRAM", 8), ("GLB", 9))}
LINES |= {"fanout": "spec.yaml:10:", "m=4": "spec.yaml:14:"}
VALID, INFEASIBLE, WRONG = 0, 1, 2

Case = tuple[str, str, str, str]
CHANGED: list[Case] = [  # what is written, what instead, place, message
    ("{m: 8, n: 8, k: 8}", "[8, 8]", LINES["shape"], "expected a mapping"),
    ("capacity: 16 KiB", "capacity: [16]", LINES["GLB"], "got a list"),
    ("name: GLB", "name: 12", LINES["GLB"], "expected text, got 12"),
    ("name: GLB", "name: ''", LINES["GLB"], "is empty or cannot be printed"),
    ("capacity: 16 KiB", "capasity: 16 KiB", LINES["GLB"], "did you mean 'capacity'?"),
    ("capacity: 16 KiB", "capacity: 16 KiloB", LINES["GLB"], "unknown unit 'KiloB'"),
    ("capacity: 16 KiB", "bandwidth: 16 GBps", LINES["GLB"], "did you mean 'GB/s'?"),
    ("capacity: 16 KiB", "bandwidth: 16 Mbitps", LINES["GLB"], "did you mean 'Mb/s'?"),
    ("A: 0.25", "A: w.mtx.gz", LINES["density"], "unpack the file first"),
    ("A: 0.25", "Q: 0.25", LINES["density"], "unknown tensor 'Q'"),
    ("k: 8}", "k: 8, z: 4}", LINES["shape"], "unknown rank 'z'"),
    ("- DRAM: for", "- DRAN: for", LINES["m=4"], "did you mean 'DRAM'?"),
    ("m=4", "m=3", "spec.yaml:16:", "factors of rank m multiply to 6, but m is 8"),
    ("m=4", "m=4~5", LINES["m=4"], "the last pass (5) is longer than the bound (4)"),
    ("m=4", "m=4~3", "spec.yaml:16:", "factors of rank m cover 6, but m is 8"),
    ("m=4", "m=4 " + "k=1 " * 300, "spec.yaml:13:", "at most 256"),
    ("m=4", "m=1000000000000000000", LINES["m=4"], "too large"),
    ("m=4", "m=0", LINES["m=4"], "a bound is at least 1"),
    ("m=4", "m=-4", LINES["m=4"], "cannot read loop"),
    (
        "  DRAM: {formats: {A: csr}}\n  GLB: {formats: {A: csr}, ",
        "  GLB: {",
        "spec.yaml:19:",
        "no level that holds A has metadata",
    ),
    ("B <- A", "B <-", "spec.yaml:20:", "is not a tensor name"),
    ("A: csr}}", "A: zip}}", "spec.yaml:19:", "unknown format 'zip'"),
    ("A: 0.25", "A: 1.5", LINES["density"], "between 0 and 1"),
    ("A: 0.25", "A: -0.25", LINES["density"], "expected a fraction between 0 and 1, got -0.25"),
    ("A: 0.25", "A: .nan", LINES["density"], "expected a finite number"),
    ("A: 0.25", "A: .inf", LINES["density"], "expected a finite number"),
    ("A: 0.25", "A: '4:2 k'", LINES["density"], "4:2"),
    ("A: 0.25", "A: weights.h5", LINES["density"], "files ending in .h5 are not read as data of a tensor"),
    ("A: 0.25", "A: {model: banded, half_width: 10**30}", LINES["density"], "too large"),
    ("A: 0.25", "A: {model: block, block: {m: 2**53, k: 2**53}, density: 0.5}", LINES["density"], "larger than 2**62"),
    ("A: 0.25", "A: nowhere.npy", LINES["density"], "No such file"),
    ("A: 0.25", "A: {model: actual, file: /}", LINES["density"], "not a regular file"),
    ("A: 0.25", "A: {model: actual, file: /dev/zero}", LINES["density"], "not a regular file"),
    ("m: 8", "m: 10**30", LINES["shape"], "too large (limit 2**53)"),
    ("m: 8", "m: " + "9" * 350, LINES["shape"], "too large"),
    ("m: 8, n: 8, k: 8", "m: 2**53, n: 2**53, k: 8", LINES["shape"], "Z has more than 2**62 words"),
    ("m=4", "m=" + "9" * 5000, LINES["m=4"], "longer than 1000 characters"),
    ("{x: 2, y: 2}", "9" * 5000 + "x2", LINES["fanout"], "longer than 1000 characters"),
    ("A: 0.25", f"A: '2:{'9' * 5000} k'", LINES["density"], "longer than 1000 characters"),
    ("[B <- A]", "[{options: []}]", "spec.yaml:20:", "'options' is a list of features"),
    ("A: csr}, skip", "A: 'UOP(m) CP(k,k)'}, skip", "spec.yaml:20:", "names rank 'k' twice"),
    (
        "    - {fanout: {x: 2, y: 2}}\n",
        "    - {fanout: 2**53}\n    - {fanout: 2}\n",
        "spec.yaml:11:",
        "more than 2**53 instances",
    ),
    ("mapping:\n", f"energy: {{ert: {'x' * 300}}}\nmapping:\n", "spec.yaml:13:", "there is no file"),
    ("m: 8", "m: 0", LINES["shape"], "expected a whole number >= 1, got 0"),
    ("m: 8", "m: 9**9**9**9", LINES["shape"], "power too large"),
    ("m: 8", "m: -2**1090", LINES["shape"], "power too large"),
    ("A[m,k]", f"A[{'9' * 40}*m,k]", LINES["shape"], "A has more than 2**62 words"),
    ("A[m,k]", f"A[{'9' * 5000}*m,k]", LINES["einsum"], "too large"),
    ("A[m,k] * B[k,n]", "", LINES["einsum"], "expected a tensor"),
    ("B[k,n]", "A[k,n]", LINES["einsum"], "'A' appears twice"),
    ("bandwidth: 16", "bandwidth: 0", LINES["DRAM"], "a bandwidth above 0 (leave it out: unlimited), got 0"),
    ("bandwidth: 16", "bandwidth: 1e-320", LINES["DRAM"], "too small"),
    ("class: sram", "class: sram, energy: {read: 1e308}", LINES["GLB"], "too large"),
    ("class: sram", "class: sram, word_bits: 0", LINES["GLB"], "above 0"),
    ("x: 2, y: 2", "x: 0", LINES["fanout"], "whole number >= 1"),
    ("workload:\n", "workload: {}\nworkload:\n", "spec.yaml:2:", "defined twice (first in"),
    ("workload:\n", "workload:\n\teinsum: x\n", "spec.yaml:2:", "cannot start any token"),
    ("GLB: for n=4\n  - par: x n=2, y m=2\n  - RF: for k=8", "RF: for k=8\n  - GLB: for n=4", "spec.yaml:16:", "but outside it"),
]
INFEASIBLE_MAPPINGS = [
    ("capacity: 64 words", "capacity: 8 words", "RF"),
    ("capacity: 64 words", "capacity: 0", "RF"),
    ("{x: 2, y: 2}", "{x: 2, y: 1}", "RF"),
    ("metadata: 8 KiB", "metadata: 1 B", "GLB"),
]
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
FILES = {
    "empty": (b"", "file is empty"),
    "only a comment": (b"# nothing\n", "file is empty"),
    "binary": (bytes(range(256)), "not a text file"),
    "zero bytes": (b"a\0b", "zero bytes"),
    "a list": (b"- a\n- b\n", "the top level must be a mapping"),
    "a word": (b"hello\n", "the top level must be a mapping"),
    "bomb": (BOMB.encode(), "aliases expanded"),
    "merge bomb": (
        BOMB.replace("[", "{<<: [").replace("]", "]}").replace("[x, x, x, x, x, x, x, x, x]", "[{p: 1}]").encode(),
        "alias",
    ),
    "cycle": (b"workload: &a\n  x: *a\n", "contains itself"),
    "merge of itself": (b"workload: &a\n  <<: *a\n", "contains itself"),
    "unknown alias": (b"workload: *nobody\n", "unknown alias *nobody"),
    "deep": (b"[" * 100_000, "nested deeper than 100 levels"),
    "deep mappings": (b"{a: " * 5000, "nested deeper than 100 levels"),
    "python object": (b"workload: !!python/object/apply:os.system ['touch ran']\n", "is not allowed"),
    "cut off": (BASE.encode()[:60], "error: "),
    "not finite": (b"workload: {density: {A: .nan}}\n", "expected a finite number"),
    "variables that grow": (
        (BASE + f"variables: {{{', '.join(f'v{i}: v{i + 1} + v{i + 1}' for i in range(60))}, v60: 1.5e300}}\n").encode(),
        "variable 'v",
    ),
    "variables in a long chain": (
        (BASE + f"variables: {{{', '.join(f'v{i}: v{i + 1} + 1' for i in range(2000))}, v2000: 1}}\n").encode(),
        "nested too deeply",
    ),
    "variable of itself": ((BASE + "variables: {a: b, b: a}\n").encode(), "defined by itself"),
}


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str):
        status = main(list(arguments))
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return status, shown.out, shown.err

    return command


@pytest.mark.parametrize(("old", "new", "place", "message"), CHANGED, ids=[f"{new[:24]}" for _, new, _, _ in CHANGED])
def test_wrong_input(run, old, new, place, message) -> None:
    assert BASE.count(old) == 1
    Path("spec.yaml").write_text(BASE.replace(old, new))
    status, out, err = run("eval", "spec.yaml")
    assert (status, out) == (WRONG, "")
    lines = [line for line in err.splitlines() if line.startswith(place) and ": error: " in line]
    assert lines, err
    assert message in err


@pytest.mark.parametrize(("old", "new", "level"), INFEASIBLE_MAPPINGS)
def test_mappings_that_do_not_fit(run, old, new, level) -> None:
    assert BASE.count(old) == 1
    Path("spec.yaml").write_text(BASE.replace(old, new))
    status, _, err = run("eval", "spec.yaml", "-f", "csv")
    assert status == INFEASIBLE
    assert any(line.startswith("the mapping is not valid: ") and level in line for line in err.splitlines()), err
    status, out, _ = run("check", "spec.yaml")
    assert status == INFEASIBLE
    assert "the mapping is not valid" in out


def test_the_unchanged_specification_is_valid(run) -> None:
    Path("spec.yaml").write_text(BASE)
    assert run("eval", "spec.yaml")[0] == VALID


@pytest.mark.parametrize("name", FILES)
def test_whole_files(run, name) -> None:
    content, message = FILES[name]
    Path("spec.yaml").write_bytes(content)
    status, out, err = run("eval", "spec.yaml")
    assert (status, out) == (WRONG, "")
    assert err.startswith("spec.yaml")
    assert message in err
    assert not Path("ran").exists()


def test_a_bomb_of_sums_is_computed_once(run) -> None:
    """2^60 terms, if every variable were computed wherever it is named."""
    sums = ", ".join(f"v{i}: v{i + 1} + v{i + 1}" for i in range(50))
    Path("spec.yaml").write_text(BASE.replace("m: 8", "m: v48 * 2") + f"variables: {{{sums}, v50: 1}}\n")
    assert run("eval", "spec.yaml")[0] == VALID


def test_a_mistake_of_the_first_layer_is_told_once_at_its_place(run) -> None:
    Path("net.yaml").write_text("layers:\n  - {name: a, einsum: 'Z[m] = A[m]', shape: {m: 2.5}}\n")
    told = run("eval", "net.yaml")[2]
    assert "net.yaml:2:49: error: expected a whole number >= 1, got 2.5" in told
    assert told.count("expected a whole number") == 1


def test_a_file_that_is_not_there_is_looked_for_nearby(run) -> None:
    Path("matmul.yaml").write_text(BASE)
    assert "did you mean 'matmul.yaml'?" in run("eval", "matmull.yaml")[2]
    assert "did you mean 'matmul.yaml'?" in run("eval", "matmul.yml")[2]
    assert "shipped designs: sparseloop example;" in run("eval", "eyeriss")[2]
    assert "name the files in it" in run("eval", ".")[2]
    assert "a pattern is not expanded here" in run("eval", "*.yml")[2]
    Path("arch.yaml").write_text(BASE.replace("architecture:", "arch:"))
    assert "a native file, as its 'workload' is, has 'architecture'" in run("eval", "arch.yaml")[2]
    Path("machine.yaml").write_text(
        "architecture: {levels: [{name: DRAM, class: dram}, {fanout: [2, 2]}, {name: MAC, class: mac}]}"
    )
    told = run("eval", "machine.yaml")[2]
    assert "for the prices of an architecture alone: sparseloop energy FILE" in told
    assert "expected 14, 14x12 or {x: 14, y: 12}, got [2, 2]" in told
    assert "'yaml' is not one of 'table', 'json', 'csv'" in run("eval", "matmul.yaml", "-f", "yaml")[2]
    assert "Value error" not in run("eval", "matmul.yaml", "-f", "yaml")[2]


def test_data_that_is_not_there_or_not_read_is_told(run) -> None:
    Path("matmul.yaml").write_text(BASE.replace("A: 0.25", "A: mask.npz"))
    Path("masks.npz").write_bytes(b"")
    assert "did you mean 'masks.npz'?" in run("eval", "matmul.yaml")[2]
    status, _, told = run("density", "mask.npz")
    assert status == WRONG
    assert "cannot read the file: No such file or directory\n     did you mean 'masks.npz'?" in told
    assert "No such file" in run("density", "mask.tab")[2]
    Path("mask.mtx.gz").write_bytes(b"\x1f\x8b")
    assert "is compressed and not read as it is; unpack it first" in run("density", "mask.mtx.gz")[2]


def test_no_file_a_folder_and_a_device(run, tmp_path) -> None:
    for name, message in (
        ("nowhere.yaml", "No such file"),
        (str(tmp_path), "Is a directory"),
        ("/dev/zero", "larger than 8 MiB"),
    ):
        status, _, err = run("eval", name)
        assert status == WRONG
        assert err.startswith(f"{name}: error: ")
        assert message in err


def test_ten_million_lines(run, monkeypatch) -> None:
    """Refused by size; below it by the number of values; of many mistakes the first are shown."""
    Path("spec.yaml").write_text("\n" * 10**7)
    status, _, err = run("eval", "spec.yaml")
    assert status == WRONG
    assert "larger than 8 MiB" in err
    Path("spec.yaml").write_text("".join(f"k{i}: b\n" for i in range(500)))
    status, _, err = run("eval", "spec.yaml")
    assert status == WRONG
    assert err.endswith("502 errors, the first 100 are shown\n")
    assert err.count(": error: ") + err.count("\nerror: ") + err.startswith("error: ") == 100
    monkeypatch.setattr(yamlnodes, "MAX_NODES", 1000)
    Path("spec.yaml").write_text("".join(f"k{i}: b\n" for i in range(2000)))
    status, _, err = run("eval", "spec.yaml")
    assert status == WRONG
    assert "more than 1000 values" in err


def test_a_table_that_names_itself(run) -> None:
    Path("spec.yaml").write_text(BASE + "energy: {ert: spec.yaml}\n")
    status, _, err = run("eval", "spec.yaml")
    assert status == WRONG
    assert "holds no ERT and no ART" in err


def test_named_pipes_are_no_tables_and_no_data(run) -> None:
    """A pipe nobody writes to would block for ever."""
    os.mkfifo("pipe")
    for text in (BASE + "energy: {ert: pipe}\n", BASE.replace("A: 0.25", "A: {model: actual, file: pipe}")):
        Path("spec.yaml").write_text(text)
        assert run("eval", "spec.yaml")[0] == WRONG


def test_a_specification_through_a_pipe(run) -> None:
    os.mkfifo("pipe.yaml")
    writer = threading.Thread(target=Path("pipe.yaml").write_text, args=(BASE,))
    writer.start()
    assert run("eval", "pipe.yaml")[0] == VALID
    writer.join()


class Runs:
    """An object whose unpickling leaves a file behind."""

    def __reduce__(self):
        return open, ("ran", "w")


@pytest.mark.parametrize("name", ["evil.npy", "evil.npz"])
def test_given_data_runs_nothing(run, name) -> None:
    pickled = np.array([Runs()], dtype=object)
    with open(name, "wb") as file:
        (np.save if name.endswith("y") else np.savez)(file, pickled)
    Path("spec.yaml").write_text(BASE.replace("A: 0.25", f"A: {name}"))
    status, _, err = run("eval", "spec.yaml")
    assert status == WRONG
    assert err.startswith("spec.yaml:4:")
    assert not Path("ran").exists()
    pickle.loads(pickle.dumps(Runs()))
    assert Path("ran").exists()


@pytest.mark.parametrize(
    ("change", "message"), [("a", "cannot read 'a'"), ("a.b=1", "a"), ("workload.shape.m=", "m"), ("=", "=")]
)
def test_overrides(run, change, message) -> None:
    Path("spec.yaml").write_text(BASE)
    status, _, err = run("eval", "spec.yaml", "--set", change)
    assert status == WRONG
    assert "error: " in err
    assert message in err


def test_exit_status_of_the_program(tmp_path) -> None:
    """The contract holds for the process, with everything it prints."""
    path = tmp_path / "spec.yaml"
    for text, status in ((BASE, VALID), (BASE.replace("64 words", "8 words"), INFEASIBLE), ("", WRONG)):
        path.write_text(text)
        done = subprocess.run([sys.executable, "-m", "sparseloop", "eval", path], capture_output=True, check=False)
        assert done.returncode == status
        assert b"Traceback" not in done.stderr


def test_a_bug_of_ours_is_said_to_be_one(run, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> io.BytesIO:
        raise RuntimeError("oops")

    monkeypatch.setattr("sparseloop.input.load.load", broken)
    status, _, err = run("eval", "spec.yaml")
    assert status == 3
    assert "internal error: RuntimeError: oops" in err
