"""Where jobs are evaluated: what every executor promises, and what becomes of jobs whose worker dies."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster
from distributed.security import Security

import sparseloop as sl
from sparseloop.explore import executors
from sparseloop.explore.executors import ATTEMPTS, LOST, Executor, InProcess, LocalProcesses, batch_cluster, executor
from sparseloop.explore.point import Designs, Job, JobOutcome
from sparseloop.explore.schema import ClusterSpec
from sparseloop.input.diagnostics import SpecError
from tests.helpers import studies


@pytest.fixture(scope="module")
def designs(tmp_path_factory: pytest.TempPathFactory) -> Designs:
    return sl.Study.load(studies.written(tmp_path_factory.mktemp("study"))).definition.designs


def job(number: int, glb: int = 256) -> Job:
    return Job(number, 0, {"glb": glb, "bw": 1.0, "A": 0.5})


def finished(chosen: Executor) -> list[JobOutcome]:
    """All that is under way, evaluated."""
    outcomes: list[JobOutcome] = []
    while chosen.busy:
        outcomes += chosen.collect()
    return outcomes


def numbers(outcome: JobOutcome) -> dict[str, object]:
    assert outcome.row is not None
    return {name: value for name, value in outcome.row.items() if name != "seconds"}


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_come_back_with_their_rows(designs: Designs, workers: int) -> None:
    with executor(designs, "local", workers, ClusterSpec()) as chosen:
        assert chosen.capacity == workers
        chosen.submit((job(1), job(2)))
        chosen.submit((job(3, glb=16),))
        assert chosen.busy == 2
        outcomes = {outcome.job.point: outcome for outcome in finished(chosen)}
        assert chosen.busy == 0
    assert {point: numbers(outcome)["valid"] for point, outcome in outcomes.items()} == {1: True, 2: True, 3: False}
    assert numbers(outcomes[1]) == numbers(designs.evaluated(job(1)))


def test_a_job_with_its_specification_is_not_built_again(designs: Designs, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = designs.spec(job(1).values, 0)
    ready = Job(1, 0, job(1).values, spec=spec, key=designs.key(spec))
    expected = numbers(designs.evaluated(job(1)))
    monkeypatch.setattr(Designs, "spec", lambda *_: pytest.fail("built again"))
    monkeypatch.setattr(Designs, "key", lambda *_: pytest.fail("hashed again"))
    outcome = designs.evaluated(ready)
    assert numbers(outcome) == expected
    assert outcome.job.spec is None, "it is not sent back"


def test_values_that_make_no_design_and_faults_of_ours_are_told_apart(
    designs: Designs, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    wrong = designs.evaluated(Job(1, 0, {"glb": 256, "bw": 1.0, "A": 7.0}))
    assert "expected a fraction between 0 and 1, got 7.0" in wrong.wrong
    assert not wrong.fault
    monkeypatch.setattr(executors.Designs, "key", lambda *_: 1 / 0)
    fault = designs.evaluated(job(2))
    assert fault.fault == "ZeroDivisionError: division by zero"
    assert not fault.wrong


class DyingPool:
    """Workers that die on certain points, for ever; the others do their jobs at once."""

    def __init__(self, designs: Designs, deadly: set[int]) -> None:
        self.designs, self.deadly, self.count = designs, deadly, 2
        self.restarts = 0
        self.begun: list[tuple[int, ...]] = []
        self.ended: list[str] = []

    def submit(self, function: object, jobs: tuple[Job, ...]) -> Future[list[JobOutcome]]:
        self.begun.append(tuple(one.point for one in jobs))
        future = Future[list[JobOutcome]]()
        if self.deadly & {one.point for one in jobs}:
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result([self.designs.evaluated(one) for one in jobs])
        return future

    def restart(self) -> None:
        self.restarts += 1

    def terminate(self) -> None:
        self.ended.append("terminated")

    def close(self) -> None:
        self.ended.append("closed")


@pytest.fixture
def dying(designs: Designs, monkeypatch: pytest.MonkeyPatch) -> tuple[LocalProcesses, DyingPool]:
    pool = DyingPool(designs, {2})
    monkeypatch.setattr(executors, "WorkerPool", lambda *_: pool)
    return LocalProcesses(designs, 2), pool


def test_a_job_that_kills_its_worker_is_given_up_after_some_attempts(dying: tuple[LocalProcesses, DyingPool]) -> None:
    chosen, pool = dying
    chosen.submit((job(2),))
    (outcome,) = finished(chosen)
    assert (outcome.job.point, outcome.fault, outcome.row) == (2, LOST, None)
    assert pool.begun == [(2,)] * ATTEMPTS


def test_jobs_that_shared_a_worker_with_it_are_evaluated(dying: tuple[LocalProcesses, DyingPool]) -> None:
    chosen, pool = dying
    chosen.submit((job(1), job(2), job(3)))
    outcomes = {outcome.job.point: outcome for outcome in finished(chosen)}
    assert {point: outcome.fault for point, outcome in outcomes.items()} == {1: "", 2: LOST, 3: ""}
    assert pool.begun[:ATTEMPTS] == [(1, 2, 3)] * ATTEMPTS
    assert pool.begun.count((1,)) == pool.begun.count((3,)) == 1


@pytest.mark.parametrize(("under_way", "ended"), [(True, ["terminated"]), (False, ["closed"])])
def test_closing_does_not_wait_for_jobs_under_way(
    dying: tuple[LocalProcesses, DyingPool], under_way: bool, ended: list[str]
) -> None:  # fmt: skip
    chosen, pool = dying
    if under_way:
        chosen.submit((job(1),))
    chosen.close()
    assert pool.ended == ended


def test_an_unknown_executor_is_a_mistake(designs: Designs) -> None:
    with (
        pytest.raises(sl.SpecError, match=r"unknown executor 'cloud'(.|\n)*local, dask, slurm"),
        executor(designs, "cloud", 1, ClusterSpec()),
    ):
        pass
    with (
        pytest.raises(sl.SpecError, match="no Dask scheduler answers"),
        executor(designs, "tcp//://nowhere:1", 1, ClusterSpec()),
    ):
        pass


def test_one_worker_needs_no_process(designs: Designs, tmp_path: Path) -> None:
    with executor(designs, "local", 1, ClusterSpec()) as chosen:
        assert isinstance(chosen, InProcess)


# --- encrypted connections ----------------------------------------------------------------------------------


def test_a_scheduler_with_keys_is_joined_with_keys_only(tmp_path: Path) -> None:
    """Keys made here, self-signed; Dask's configuration names them."""
    security, study = Security.temporary(), studies.written(tmp_path)
    texts = {"ca-file": security.tls_ca_file, "client.cert": security.tls_client_cert, "client.key": security.tls_client_key}
    keys = {}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        keys[f"distributed.comm.tls.{name}"] = str(tmp_path / name)
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(protocol="tls", security=security, **options) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(SpecError, match="there are no keys for tls://"):
            sl.Study.load(study).run(tmp_path / "none", sl.RunOptions(executor=address))
        with pytest.raises(SpecError, match="no Dask scheduler answers at tcp://"):
            sl.Study.load(study).run(tmp_path / "plain", sl.RunOptions(executor=address.replace("tls", "tcp")))
        with dask.config.set(keys):
            explored = sl.Study.load(study).run(tmp_path / "out", sl.RunOptions(executor=address))
    assert explored.tally.points == 120
    assert explored.tally.faults == []


@pytest.mark.filterwarnings("ignore:Using a temporary security object")
def test_jobs_of_a_batch_system_talk_with_keys_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are files of the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    with batch_cluster("slurm", ClusterSpec(tls=True), 0) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        assert "--tls-key" in cluster.job_script()
