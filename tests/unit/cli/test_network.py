"""Networks on the command line: imports, shipped ones, what they leave open."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import sparseloop as sl
from sparseloop.cli.app import INTERRUPTED, main
from sparseloop.mapper import network as networks
from tests.unit.input.networks.test_huggingface import SMALL

MACHINE = "architecture: {levels: [{name: DRAM, class: dram}, {name: MAC, class: mac}]}"


class Shown(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def once(*arguments: object) -> Shown:
        return Shown(main([str(a) for a in arguments]), *capsys.readouterr())

    return once


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    config, machine = tmp_path / "config.json", tmp_path / "machine.yaml"
    config.write_text(json.dumps(SMALL), encoding="utf-8")
    machine.write_text(MACHINE, encoding="utf-8")
    return config, machine


def test_import_writes_layers(run, files: tuple[Path, Path]) -> None:
    shown = run("import", files[0], "--dim", "seq=10", "--dim", "batch=5", "--phase", "decode")
    assert shown.status == 0
    assert "KV cache: 64 words per token and layer" in shown.err
    layers = sl.loads(shown.out + MACHINE).layers
    assert layers[0].name == "query"
    assert layers[0].shape["p"] == 5
    assert layers[0].times == 3


def test_every_command_takes_a_network(run, files: tuple[Path, Path]) -> None:
    assert run("check", *files, "--set", "dim.seq=10").out == "ok\n"
    spec = sl.load(*files, overrides=["dim.seq=10", "layers.query.times=7", "network.phase=decode"])
    assert (spec.layers[0].times, spec.layers[0].shape["p"]) == (7, 1)
    assert "Workload conv1" in run("show", "alexnet", files[1], "workload").out


def test_what_is_left_open_is_asked_for(run, files: tuple[Path, Path]) -> None:
    shown = run("check", *files)
    assert shown.status == 2
    assert "config.json:1:" in shown.out
    assert "--dim seq=2048" in shown.out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("dim.seq=none", "expected a size above 0, got 'none'"),
        ("dim.sequence=10", "no free axis 'sequence'"),
        ("network.phase=both", "expected prefill or decode, got 'both'"),
        ("network.fase=decode", "a network has no option 'fase'"),
    ],
)
def test_wrong_options(run, files: tuple[Path, Path], given: str, message: str) -> None:
    shown = run("import", *files, "--set", given)
    assert shown.status == 2
    assert message in shown.err


@pytest.mark.parametrize("command", [("import",), ("check",), ("network", "--on", "nvdla")])
def test_files_of_pytorch_are_not_loaded(run, tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(b"PK\x03\x04")
    shown = run(command[0], file, *command[1:])
    assert shown.status == 2
    assert "files of PyTorch are not read: loading one can run code" in shown.out + shown.err
    assert 'torch.onnx.export(module, inputs, "model.onnx")' in shown.out + shown.err


def test_options_of_a_network_without_one(run, files: tuple[Path, Path]) -> None:
    shown = run("check", files[1], "--set", "dim.seq=10")
    assert "there is no network among the files" in shown.out


def test_shipped_networks(run) -> None:
    shown = run("example", "--workloads")
    assert all(name in shown.out for name in ("alexnet", "mixtral_8x7b", "Krizhevsky"))
    one = run("example", "--workloads", "mobilenet-v1")
    assert len(sl.loads(one.out + MACHINE).layers) == 28
    wrong = run("example", "--workloads", "mobilenet_v9")
    assert wrong.status == 2
    assert "no shipped network 'mobilenet_v9'" in wrong.err


NET = """
layers:
  - {name: first, einsum: "O[n,g,m,p,q] = I[n,g,c,p+r,q+s] * W[g,m,c,r,s]",
     shape: {n: 1, g: 1, m: 4, c: 4, p: 2, q: 2, r: 1, s: 1}}
  - {name: second, times: 5, einsum: "O[n,g,m,p,q] = I[n,g,c,p+r,q+s] * W[g,m,c,r,s]",
     shape: {n: 1, g: 1, m: 4, c: 2, p: 2, q: 1, r: 1, s: 1}}
"""


def test_a_network_on_two_machines(run, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET, encoding="utf-8")
    page, keep = tmp_path / "page.html", tmp_path / "keep"
    options = ("--on", "nvdla", "--on", "fig1_formats", "--method", "genetic", "--budget", "500", "--resume", keep)
    shown = run("network", tmp_path / "net.yaml", *options, "-o", page)
    assert shown.status == 0, shown.err
    assert all(word in shown.out for word in ("first", "second", "nvdla", "fig1_formats", "wins"))
    assert re.search(r"^second +5 ", shown.out, re.MULTILINE)
    assert "sparseloop network" in page.read_text(encoding="utf-8")
    assert len(list(keep.glob("*.json"))) == 4
    again = run("network", tmp_path / "net.yaml", *options, "-f", "json", "--quiet")
    data = json.loads(again.out)
    assert [(row["machine"], row["layer"], row["times"]) for row in data["layers"]] == [
        ("nvdla", "first", 1), ("nvdla", "second", 5), ("fig1_formats", "first", 1), ("fig1_formats", "second", 5),
    ]  # fmt: skip
    table = run("network", tmp_path / "net.yaml", *options, "-f", "csv", "-q")
    assert table.out.splitlines()[0].startswith("machine,layer,times,energy_pj")


def test_machines_are_called_by_their_files_and_none_is_lost(run, tmp_path: Path) -> None:
    machine = "architecture: {levels: [{name: DRAM, class: dram}, {name: MAC, class: mac}]}"
    (tmp_path / "net.yaml").write_text(NET, encoding="utf-8")
    (tmp_path / "flow.yaml").write_text("constraints: {DRAM: {order: m ...}}", encoding="utf-8")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vx.yaml").write_text(machine, encoding="utf-8")
    again = f"{tmp_path / 'b' / 'vx.yaml'}"
    designs = (
        "--on",
        f"{tmp_path / 'a' / 'vx.yaml'}+{tmp_path / 'flow.yaml'}",
        "--on",
        tmp_path / "a" / "vx.yaml",
        "--on",
        again,
    )
    shown = run("network", tmp_path / "net.yaml", *designs, "--method", "random", "--budget", "5", "-f", "json", "-q")
    assert list(json.loads(shown.out)["machines"]) == ["vx+flow", "vx", again]


def test_an_interrupt_has_its_own_exit_status(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "run_search", interrupted)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "net.yaml").write_text(NET, encoding="utf-8")
    shown = run("network", tmp_path / "net.yaml", "--on", "nvdla")
    assert shown.status == INTERRUPTED
    assert re.search(r"^nvdla +(- +){6}0  0 of 2 proven; not searched: first,", shown.out, re.MULTILINE)
    assert shown.err.endswith("interrupted\n")


def test_what_is_read_is_said_once(run, files: tuple[Path, Path]) -> None:
    options = ("--dim", "seq=2", "--on", "nvdla", "--on", files[1], "--method", "random", "--budget", "50")
    shown = run("network", files[0], *options)
    assert shown.err.count("KV cache: 64 words per token and layer") == 1
    assert all(word in shown.out for word in ("lm_head", "machine"))
    assert re.search(r"^\S*query\S* +3 ", shown.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--on", "nvdle"), "there is no file, folder or shipped design 'nvdle'\n     did you mean 'nvdla'?"),
        (("--on", "nvdla", "--on", "nte.yaml+nvdla"), "shipped design 'nte.yaml'\n     did you mean 'net.yaml'?"),
        (("--on", "nvdla", "--budget", "never"), "cannot read the budget 'never'"),
        (("--on", "nvdla", "-o", "/nowhere/page.html"), "/nowhere"),
        (("--on", "nvdla", "--dim", "seq=4"), "there is no network among the files"),
    ],
)
def test_mistakes_before_a_search(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "net.yaml").write_text(NET, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shown = run("network", "net.yaml", *options)
    assert shown.status == 2
    assert message in shown.err
