"""Networks: equal layers once, different ones side by side, finished ones never again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.cli import app as cli
from sparseloop.evaluation import humanize as wording
from sparseloop.mapper import network as networks
from sparseloop.mapper.task import Best, Task, Watch, silent
from tests.helpers.tiny_spaces import FIXED, SPARSE, TINY

MACHINE = TINY.partition("\n")[2]
SHARED = 'workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", density: {A: 0.5, B: 0.5}}\n'
SMALL = "{m: 4, n: 2, k: 3}"
OTHER = "{m: 2, n: 2, k: 4}"
ENDLESS = "{m: 40320, n: 40320, k: 40320}"
IMPOSSIBLE = "{m: 3, n: 2, k: 3}"
HALVES = "constraints: {par: {factors: {m: 2}}}\n"


class Shown(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Shown]
Outcome = networks.LayerOutcome | None


def network(folder: Path, *shapes: str, extra: str = FIXED) -> str:
    """A file with a layer of every shape, called a, b, c ..."""
    path = folder / "network.yaml"
    lines = [f"  - {{name: {name}, shape: {shape}}}\n" for name, shape in zip("abcdef", shapes, strict=False)]
    path.write_text(SHARED + "layers:\n" + "".join(lines) + MACHINE + extra, encoding="utf-8")
    return str(path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def once(*arguments: object) -> Shown:
        status = cli.main(["map", *map(str, arguments), "--budget", "300"])
        return Shown(status, *capsys.readouterr())

    return once


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the layers that are searched."""
    names: list[str] = []
    search = networks.run_search

    def noted(task: Task, watch: Watch = silent) -> Best:
        names.append(task.space.spec.workload.name)
        return search(task, watch)

    monkeypatch.setattr(networks, "run_search", noted)
    return names


def test_mappings_are_evaluated_with_the_data_they_were_not_searched_with(tmp_path: Path) -> None:
    """As if the specification gave the data; layers without data are as they were found."""
    spec = sl.load(network(tmp_path, SMALL, OTHER, extra=FIXED + SPARSE))
    found = sl.map_network(spec, sl.SearchOptions(budget="300"))
    assert found.data_totals is None
    zeros = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    measured = found.with_data({"a": {"A": zeros}})
    np.save(tmp_path / "zeros.npy", zeros)
    given = next(iter(sl.load(tmp_path / "network.yaml", overrides=[f"layers.a.density.A={tmp_path / 'zeros.npy'}"]).per_layer()))
    first, second = measured.layers
    assert first.best is not None
    assert first.on_data is not None
    expected = sl.evaluate(given, first.best.mapping)
    assert (first.on_data.energy_pj, first.on_data.cycles) == (expected.energy_pj, expected.cycles)
    assert first.result is not None
    assert first.on_data.energy_pj != first.result.energy_pj
    assert second.on_data is None
    assert measured.data_totals is not None
    assert second.result is not None
    assert measured.data_totals.energy_pj == pytest.approx(first.on_data.energy_pj + second.result.energy_pj)
    with pytest.raises(ValueError, match=r"A: expected the shape \(4, 3\), got \(3, 4\)"):
        found.with_data({"a": {"A": zeros.T}})


# --- equal layers, totals -----------------------------------------------------------------------------------


def test_equal_layers_are_searched_once(tmp_path: Path, run: Run, searched: list[str]) -> None:
    file = network(tmp_path, SMALL, OTHER, SMALL)
    shown = run(file, "-f", "json", "-o", tmp_path / "best.yaml")
    assert shown.status == 0
    assert searched == ["a", "b"]
    assert "c: same as a" in shown.err
    first, second, third = json.loads(shown.out)
    assert [one["workload"]["name"] for one in (first, second, third)] == ["a", "b", "c"]
    assert first | {"workload": third["workload"]} == third != second
    for name, result in zip("abc", (first, second, third), strict=True):
        best = sl.load(tmp_path / f"best-{name}.yaml")
        assert best.workload.name == name
        assert sl.evaluate(best).to_dict() == {key: value for key, value in result.items() if key != "search"}


def test_totals_are_the_last_table(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # all digits of all columns
    file = network(tmp_path, SMALL, OTHER, SMALL)
    shown = run(file)
    results = json.loads(run(file, "-f", "json").out)
    energy, cycles = (sum(one["totals"][name] for one in results) for name in ("energy_pj", "cycles"))
    computes = sum(one["totals"]["utilization"] * one["totals"]["cycles"] for one in results)
    table = shown.out[shown.out.index("Layers") :].splitlines()
    assert [line.split()[0] for line in table if line][-4:] == ["a", "b", "c", "3"]
    clock = next(iter(sl.load(file).per_layer())).architecture.clock
    expected = (wording.energy_text(energy), wording.count_text(cycles), wording.edp_text(energy * cycles, clock))
    total = [word for line in table if line.startswith("3 layers") for word in line.split()[2:]]  # a wide table goes on below
    assert total[:7] == " ".join((*expected, wording.percent_text(computes / cycles))).split()
    assert any("same as a" in line for line in table)
    assert "total of 3 layers: energy" in run(file, "-f", "csv").err


def test_the_table_says_how_good_the_mappings_are(tmp_path: Path, run: Run) -> None:
    table = run(network(tmp_path, SMALL, OTHER), "--method", "optimal", "--minimize", "ed2p").out
    head, _, first, *_ = table[table.index("layer  ") :].splitlines()
    assert head.split()[5:7] == ["ed2p", "optimal"]
    assert first[: head.index("optimal") + len("optimal")].endswith("proven")


def test_one_layer_needs_no_totals(tmp_path: Path, run: Run) -> None:
    shown = run(network(tmp_path, SMALL))
    assert "Layers" not in shown.out
    assert shown.err.startswith("mapspace")


def test_a_layer_without_mappings_does_not_stop_the_others(tmp_path: Path, run: Run) -> None:
    shown = run(network(tmp_path, IMPOSSIBLE, SMALL, extra=HALVES), "--resume", tmp_path / "kept")
    assert shown.status == cli.INFEASIBLE
    assert "a: the constraints admit no mapping" in shown.err
    assert re.search(r"^a .*no valid mapping$", shown.out, re.MULTILINE)
    assert "1 of 2 layers" in shown.out


def test_equal_names_and_odd_names_give_different_files(tmp_path: Path, run: Run) -> None:
    path = Path(network(tmp_path, SMALL, OTHER, SMALL))
    text = path.read_text(encoding="utf-8").replace("name: b", "name: a").replace("name: c", "name: s1/c")
    path.write_text(text, encoding="utf-8")
    assert run(path, "-f", "json", "-o", tmp_path / "best.yaml").status == 0
    assert sorted(file.name for file in tmp_path.glob("best*")) == ["best-a-2.yaml", "best-a.yaml", "best-s1_c.yaml"]


# --- from Python --------------------------------------------------------------------------------------------


def test_layers_are_mapped_from_python(tmp_path: Path) -> None:
    spec = sl.load(network(tmp_path, SMALL, OTHER, SMALL))
    steps: list[networks.NetworkProgress] = []
    options = sl.SearchOptions(method="random", budget=300)
    found = sl.map_network(spec, options, watch=steps.append)
    assert found.complete
    assert [layer.name for layer in found.layers] == ["a", "b", "c"]
    assert [layer.same_as for layer in found.layers] == ["", "", "a"]
    for layer, one in zip(found.layers, spec.per_layer(), strict=True):
        assert layer.result is not None
        assert layer.result.to_dict() == sl.search(one, method="random", budget=300).result.to_dict()
    results = [layer.result for layer in found.layers]
    assert found.totals.energy_pj == sum(result.energy_pj for result in results)
    assert found.totals.edp == found.totals.energy_pj * sum(result.cycles for result in results)
    assert [step.finished.name for step in steps if step.finished] == ["a", "c", "b"]
    assert [step.searching for step in steps if step.tally] == [("a",), ("b",)]


def test_a_specification_without_layers_is_a_network_of_one(tmp_path: Path) -> None:
    spec = next(iter(sl.load(network(tmp_path, SMALL)).per_layer()))
    found = sl.map_network(spec, sl.SearchOptions(method="exhaustive"), folder=tmp_path / "new" / "kept")
    assert found.totals.layers == found.totals.of == 1
    assert found.layers[0].best.proven_optimal
    again = sl.map_network(spec, sl.SearchOptions(method="exhaustive"), folder=tmp_path / "new" / "kept")
    assert again.layers[0].taken_from == str(tmp_path / "new" / "kept")
    assert again.totals == found.totals


# --- workers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_layers_in_processes_give_the_same(tmp_path: Path, run: Run, workers: int) -> None:
    """Workers left over (2 of 4) work inside the layers."""
    file = network(tmp_path, SMALL, OTHER, SMALL)
    alone, together = run(file, "-f", "json"), run(file, "-f", "json", "--workers", workers, "--resume", tmp_path / "kept")
    assert together.out == alone.out
    assert together.status == 0
    assert len(list((tmp_path / "kept").iterdir())) == 2


# --- resume -------------------------------------------------------------------------------------------------


def test_finished_layers_are_not_searched_again(tmp_path: Path, run: Run, searched: list[str]) -> None:
    kept, more = tmp_path / "new" / "kept", ("--top", "2", "--pareto", "energy,cycles")
    first = run(network(tmp_path, SMALL, OTHER), "--resume", kept, *more)
    assert searched == ["a", "b"]
    again = run(network(tmp_path, OTHER, SMALL, OTHER, "{m: 2, n: 2, k: 2}"), "--resume", kept, *more, "-o", tmp_path / "x.yaml")
    assert searched == ["a", "b", "d"]
    assert f"a: taken from {kept}" in again.err
    assert "c: same as a" in again.err
    assert len(list(tmp_path.glob("x-*.yaml"))) == 4
    for block in first.out.partition("Layers")[0].split("Mapping\n")[1:]:
        assert block.partition("a: ")[0].partition("b: ")[0] in again.out
    run(network(tmp_path, SMALL), "--resume", kept)
    assert searched[3:] == ["a"], "other settings"


def test_damaged_files_are_searched_again(tmp_path: Path, run: Run, searched: list[str]) -> None:
    file, kept = network(tmp_path, SMALL, OTHER), tmp_path / "kept"
    first = run(file, "--resume", kept, "-f", "json")
    damaged = next(kept.iterdir())
    whole = damaged.read_text(encoding="utf-8")
    damaged.write_text(whole[: len(whole) // 2], encoding="utf-8")
    again = run(file, "--resume", kept, "-f", "json")
    assert len(searched) == 3
    assert f"warning: {damaged} is damaged: searched again" in again.err
    assert again.out == first.out
    run(file, "--resume", kept)
    assert len(searched) == 3


def test_a_full_disk_costs_no_result(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    shown = run(network(tmp_path, SMALL), "--resume", tmp_path / "kept")
    assert shown.status == 0
    assert "warning: not kept" in shown.err


# --- interrupts and kills -----------------------------------------------------------------------------------


def test_an_interrupt_ends_the_search_and_leaves_out_the_rest(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def interrupted(task: Task, watch: Watch) -> Best:
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "run_search", interrupted)
    shown = run(network(tmp_path, SMALL, OTHER), "--resume", tmp_path / "kept")
    assert shown.status == cli.INTERRUPTED
    assert shown.err.endswith("a: not searched (interrupted)\nb: not searched (interrupted)\ninterrupted\n")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(("end", "said"), [(BrokenProcessPool, "ended unexpectedly"), (KeyboardInterrupt, "interrupted")])
def test_what_ends_the_workers_costs_only_layers_under_way(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, end: type[BaseException], said: str
) -> None:  # fmt: skip
    class Workers:
        """The first layer is done at once, the second never begins."""

        calls = 0

        def submit(self, function: object, spec: sl.Spec, options: sl.SearchOptions, key: str, folder: str) -> Future[Outcome]:
            self.calls += 1
            if self.calls == 2:
                raise end
            future = Future[Outcome]()
            future.set_result(networks.kept_outcome(networks.run_search(options.task(spec)), key, folder))
            return future

        def interrupt(self, running: object) -> None: ...

    monkeypatch.setattr(networks, "_layer_workers", lambda count: nullcontext(Workers()))
    shown = run(network(tmp_path, SMALL, OTHER, SMALL, ENDLESS), "--workers", 2)
    assert shown.status == (cli.INTERRUPTED if end is KeyboardInterrupt else cli.INFEASIBLE)
    assert "c: same as a" in shown.err
    assert [line[0] for line in shown.err.splitlines() if said in line and line != "interrupted"] == ["b", "d"]


def program(*arguments: object) -> subprocess.Popen[str]:
    """`sparseloop map` in a process group of its own, as a shell starts it."""
    words = [sys.executable, "-m", "sparseloop", "map", *map(str, arguments), "--method", "exhaustive"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def waited(condition: Callable[[], bool]) -> None:
    """Until it holds; a test that would hang fails."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def members(group: int) -> list[int]:
    """Processes of a process group that are alive."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, leader = stat.read_text().rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        found += [int(stat.parent.name)] if int(leader) == group and state != "Z" else []
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_killed_at_any_time_no_finished_layer_is_lost(tmp_path: Path, searched: list[str]) -> None:
    """And the workers end too."""
    kept = tmp_path / "kept"
    started = program(network(tmp_path, OTHER, ENDLESS), "--resume", kept, "--workers", 2)
    waited(lambda: any(kept.glob("*.json")))
    started.kill()
    started.communicate()
    waited(lambda: not members(started.pid))
    finished = cli.main(["map", network(tmp_path, OTHER), "--resume", str(kept), "--method", "exhaustive"])
    assert finished == 0
    assert searched == []


@pytest.mark.skipif(os.name != "posix", reason="sends signals to a process group")
def test_an_interrupt_ends_the_workers_and_reports(tmp_path: Path) -> None:
    """As from a terminal: the workers get the signal too."""
    kept = tmp_path / "kept"
    started = program(network(tmp_path, OTHER, ENDLESS, SMALL), "--resume", kept, "--workers", 2, "-f", "csv")
    waited(lambda: len(list(kept.glob("*.json"))) == 2)
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=120)
    assert "Traceback" not in err
    assert err.count("; search complete") == 2
    assert "b: mapspace" in err or "b: not searched" in err
    assert err.count("interrupted") in (2, 3)  # of the layer, twice if it had no mapping yet, and of the command
    assert {line.split(",")[0] for line in out.splitlines()} >= {"a", "c"}
    assert started.returncode == cli.INTERRUPTED
    assert len(list(kept.glob("*.json"))) == 2


def test_totals_count_a_layer_as_often_as_it_is_run(tmp_path: Path) -> None:
    file = Path(network(tmp_path, SMALL, OTHER))
    options = sl.SearchOptions(method="exhaustive")
    once = sl.map_network(sl.load(file), options)
    file.write_text(file.read_text().replace(OTHER, f"{OTHER}, times: 5"), encoding="utf-8")
    often = sl.map_network(sl.load(file), options)
    first, second = (layer.result for layer in once.layers)
    assert first is not None
    assert second is not None
    assert often.totals.energy_pj == pytest.approx(first.energy_pj + 5 * second.energy_pj)
    assert often.totals.cycles == pytest.approx(first.cycles + 5 * second.cycles)
    assert [layer.result.cycles for layer in often.layers if layer.result] == [first.cycles, second.cycles]


def test_layers_that_are_run_a_different_number_of_times_are_equal(tmp_path: Path) -> None:
    file = network(tmp_path, SMALL, f"{SMALL}, times: 5")
    assert [layer.same_as for layer in sl.map_network(sl.load(file), sl.SearchOptions(method="exhaustive")).layers] == ["", "a"]


def test_what_is_no_specification_is_told_with_the_ways_to_make_one() -> None:
    with pytest.raises(sl.SpecError, match=r"expected a Spec, got a list\n     a Spec comes from .*build\(\.\.\.\) of records"):
        sl.map_network([])  # pyright: ignore
