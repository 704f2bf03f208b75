"""Studies run: the same points for every executor and number of workers, whoever is killed on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sparseloop as sl
from sparseloop.explore.executors import batch_cluster
from sparseloop.explore.run import StudyTally
from sparseloop.explore.schema import ClusterSpec
from sparseloop.explore.study import Study
from tests.helpers import studies

TPE = studies.STUDY.replace("mapping: fixed", "mapping: fixed\nsearch: {method: tpe, points: 40, batch: 8, seed: 3}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The small study, run in one process without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    return studies.run(studies.written(folder), folder / "out")


def test_every_point_equals_its_evaluation(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    assert len(whole) == 3 * 4 * 10
    assert [row["point"] for row in whole] == list(range(120))
    row = whole[77]
    sets = [f"architecture.levels.GLB.capacity={row['glb']}", f"architecture.levels.DRAM.bandwidth={row['bw']}"]
    studies.written(tmp_path)
    result = sl.evaluate(sl.load(tmp_path / "spec.yaml", overrides=[*sets, f"workload.density.A={row['A']}"]))
    assert (row["energy_pj"], row["cycles"], row["valid"]) == (result.energy_pj, result.cycles, result.valid)
    assert row["edp"] == result.edp
    assert row["power_w"] == pytest.approx(result.energy_pj * 1e-12 / result.latency_s)
    refused = [one for one in whole if one["glb"] == 16]
    assert not any(one["valid"] for one in refused)
    assert "GLB must hold" in refused[0]["why"]


def test_a_point_becomes_a_specification_and_a_result_again(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    file = studies.written(tmp_path)
    studies.run(file, tmp_path / "out")
    file.unlink()  # the folder is enough
    (tmp_path / "spec.yaml").unlink()
    store = sl.Store.opened(tmp_path / "out")
    study = Study.opened(store)
    row = store.points().to_pylist()[77]
    result = study.result(row, "einsum", store)
    assert (result.energy_pj, result.cycles) == (whole[77]["energy_pj"], whole[77]["cycles"])


def killer(victim: Callable[[], int]) -> tuple[Callable[[StudyTally], None], list[int]]:
    """Kills a process once, as soon as a few points are finished."""
    killed: list[int] = []

    def watch(tally: StudyTally) -> None:
        if tally.evaluated and not killed:
            killed.append(victim())
            os.kill(killed[0], signal.SIGKILL)

    return watch, killed


def test_workers_do_not_matter_and_a_killed_one_is_replaced(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    others = set(multiprocessing.active_children())
    watch, killed = killer(lambda: next(one.pid or 0 for one in multiprocessing.active_children() if one not in others))
    how = sl.RunOptions(workers=2, watch=watch)
    assert studies.run(studies.written(tmp_path), tmp_path / "out", how) == whole
    assert killed


def test_dask_gives_the_same_and_survives_a_killed_worker(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        watch, killed = killer(lambda: next(iter(client.run(os.getpid).values())))
        how = sl.RunOptions(executor=cluster.scheduler_address, watch=watch)
        assert studies.run(studies.written(tmp_path), tmp_path / "out", how) == whole
        assert killed
        searched = studies.written(tmp_path, TPE)
        clustered = studies.run(searched, tmp_path / "tpe", sl.RunOptions(executor=cluster.scheduler_address))
    assert clustered == studies.run(searched, tmp_path / "alone")


def started(file: Path, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sparseloop", "sweep", str(file), "-o", str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(folder: Path) -> dict[int, float]:
    """The points of a study under way, with what each took."""
    try:
        table = sl.Store.opened(folder).points(["point", "seconds"])
    except sl.SpecError:
        return {}
    return dict(zip(table["point"].to_pylist(), table["seconds"].to_pylist(), strict=True))


def test_a_killed_study_goes_on_and_loses_no_finished_point(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    file, folder = studies.written(tmp_path), tmp_path / "out"
    held: dict[int, float] = {}
    for options, enough in (((), 1), (("--resume", "--workers", "2"), 30)):
        process = started(file, folder, *options)
        while process.poll() is None and len(finished(folder)) < enough:
            time.sleep(0.1)
        process.kill()
        process.wait()
        now = finished(folder)
        assert held.items() <= now.items()  # not evaluated again either
        held = now
    explored = Study.load(file).run(folder, sl.RunOptions(resume=True))
    assert explored.tally.before == len(held) > 0
    assert explored.tally.evaluated + explored.tally.reused == 120 - len(held)
    assert held.items() <= finished(folder).items()
    assert studies.points(folder) == whole


def test_a_learning_study_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    file = studies.written(tmp_path, TPE)
    alone = studies.run(file, tmp_path / "alone")

    def stop(tally: StudyTally) -> None:
        if tally.points >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Study.load(file).run(tmp_path / "out", sl.RunOptions(watch=stop))
    assert 20 <= len(studies.points(tmp_path / "out")) < 40
    assert studies.run(file, tmp_path / "out", sl.RunOptions(resume=True)) == alone


def test_two_writers_in_one_folder(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    file, folder = studies.written(tmp_path), tmp_path / "out"
    both = [started(file, folder, "--resume") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert studies.points(folder) == whole


def test_nothing_is_evaluated_twice(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    file, folder = studies.written(tmp_path), tmp_path / "out"
    studies.run(file, folder)
    wider = studies.written(tmp_path, studies.STUDY.replace("[16, 256, 1024]", "[16, 128, 256, 1024]"))
    explored = Study.load(wider).run(folder, sl.RunOptions(resume=True))  # the same folder, another study
    assert (explored.tally.evaluated, explored.tally.reused) == (40, 120)
    explored = Study.load(wider).run(tmp_path / "other", sl.RunOptions(reuse=(folder,)))  # another folder
    assert (explored.tally.evaluated, explored.tally.reused) == (0, 160)
    assert explored.store.query("select count(*) as n from layers where levels is not null").to_pylist() == [{"n": 160}]
    with pytest.raises(sl.SpecError, match="holds a study already"):
        Study.load(wider).run(folder)


def test_a_batch_system_gets_its_job_script() -> None:
    asked = ClusterSpec(cores=4, memory="8 GiB", walltime="02:00:00", queue="long", account="arch", directives=("--exclusive",),
                        prologue=("module load python",))  # fmt: skip
    for kind, lines in {
        "slurm": (
            "#SBATCH -p long",
            "#SBATCH -A arch",
            "#SBATCH --cpus-per-task=4",
            "#SBATCH -t 02:00:00",
            "#SBATCH --exclusive",
        ),
        "pbs": ("#PBS -q long", "#PBS -l walltime=02:00:00"),
        "sge": ("#$ -q long", "#$ -l h_rt=02:00:00"),
    }.items():
        cluster = batch_cluster(kind, asked, 0)
        script = cluster.job_script()
        cluster.close()
        for line in (*lines, "module load python"):
            assert line in script.splitlines()
        assert "--nworkers 4" in script
        assert "--nthreads 1" in script
