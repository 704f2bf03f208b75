"""Where the points of a study are evaluated: in this process, in worker processes, on a Dask cluster. All give the same rows."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, final

from sparseloop.explore.grouping.together import GroupedDesigns
from sparseloop.explore.point import SYSTEM, Designs, Job, JobOutcome
from sparseloop.explore.schema import ClusterSpec
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.extras import import_extra
from sparseloop.mapper.workers import WorkerPool

Jobs = tuple[Job, ...]
"""What one worker evaluates together, in order."""
Outcomes = list[JobOutcome]
ATTEMPTS = 3
"""How often jobs are begun whose worker process ends unexpectedly."""
LOST = "the worker process ended unexpectedly (out of memory?)"


def is_system_failure(fault: str) -> bool:
    """True if a fault is the system's (memory, disk), not one of the program."""
    return LOST in fault or SYSTEM in fault


class Executor(Protocol):
    """Evaluates jobs; what is submitted together is evaluated by one worker, in order."""

    @property
    def capacity(self) -> int:
        """How many submissions keep all workers busy."""
        ...

    @property
    def busy(self) -> int:
        """Submissions under way."""
        ...

    def submit(self, jobs: Jobs) -> None:
        """Begins jobs."""
        ...

    def collect(self) -> Outcomes:
        """What has been finished since the last call; waits for something."""
        ...

    def close(self) -> None:
        """Ends at once, whatever is under way."""
        ...


def lost_jobs(jobs: Jobs, why: str = LOST) -> Outcomes:
    """Jobs that came to nothing."""
    return [JobOutcome(job, fault=why) for job in jobs]


def _evaluate(designs: GroupedDesigns, jobs: Jobs) -> Outcomes:
    return designs.evaluated(jobs)


# --- this process -------------------------------------------------------------------------------------------


@final
@dataclass
class InProcess:
    """Evaluates in this process."""

    designs: GroupedDesigns
    waiting: list[Jobs] = field(default_factory=list[Jobs])

    @property
    def capacity(self) -> int:
        """One at a time."""
        return 1

    @property
    def busy(self) -> int:
        """Submissions not yet collected."""
        return len(self.waiting)

    def submit(self, jobs: Jobs) -> None:
        """Remembers jobs."""
        self.waiting.append(jobs)

    def collect(self) -> Outcomes:
        """Does the jobs that were submitted first."""
        return _evaluate(self.designs, self.waiting.pop(0))

    def close(self) -> None:
        """There is nothing to end."""


# --- worker processes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Jobs under way, begun for the first time (1), the second ..."""

    jobs: Jobs
    number: int


@final
class LocalProcesses:
    """Worker processes on this machine."""

    def __init__(self, designs: Designs, workers: int) -> None:
        self._pool = WorkerPool(workers, GroupedDesigns, designs)
        self._running: dict[Future[Outcomes], _Attempt] = {}

    @property
    def capacity(self) -> int:
        """One submission for each worker."""
        return self._pool.count

    @property
    def busy(self) -> int:
        """Submissions under way."""
        return len(self._running)

    def submit(self, jobs: Jobs) -> None:
        """Begins jobs."""
        self._begin(_Attempt(jobs, 1))

    def _begin(self, attempt: _Attempt) -> None:
        try:
            future = self._pool.submit(_evaluate, attempt.jobs)
        except BrokenProcessPool as broken:
            future = Future[Outcomes]()
            future.set_exception(broken)
        self._running[future] = attempt

    def collect(self) -> Outcomes:
        """What is finished; where a worker was killed, all that was under way begins anew in new workers."""
        finished: Outcomes = []
        while not finished:
            broken: list[_Attempt] = []
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                attempt = self._running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    broken.append(attempt)
                else:
                    finished += future.result()
            if broken:
                finished += self._again(broken)
        return finished

    def _again(self, broken: list[_Attempt]) -> Outcomes:
        """New workers; of jobs that met a death several times only those that are alone are given up, others are parted."""
        left = [*broken, *self._running.values()]
        self._running.clear()
        self._pool.restart()
        given_up: Outcomes = []
        for attempt in left:
            if attempt.number < ATTEMPTS:
                self._begin(_Attempt(attempt.jobs, attempt.number + 1))
            elif len(attempt.jobs) == 1:
                given_up += lost_jobs(attempt.jobs)
            else:
                for job in attempt.jobs:
                    self._begin(_Attempt((job,), attempt.number - 1))
        return given_up

    def close(self) -> None:
        """Ends the workers, in the middle of what they do."""
        if self._running:
            self._pool.terminate()
        else:
            self._pool.close()


# --- Dask ---------------------------------------------------------------------------------------------------


def _loaded(designs: bytes) -> GroupedDesigns:
    return GroupedDesigns(pickle.loads(designs))


@final
class DaskExecutor:
    """Workers of a Dask cluster; what a dead worker had begun is begun anew by another one."""

    def __init__(self, designs: Designs, client: Any, owned: Sequence[Any] = ()) -> None:
        distributed = import_extra("distributed", "dask")
        self.client, self._owned = client, owned
        self._designs = client.submit(_loaded, pickle.dumps(designs), pure=True)  # a task, so that it can be done again
        self._running: dict[Any, Jobs] = {}
        self._done = distributed.as_completed(loop=client.loop)

    @property
    def capacity(self) -> int:
        """As many as there are threads now; at least one, so that something waits for the first worker."""
        return max(1, sum(self.client.nthreads().values()))

    @property
    def busy(self) -> int:
        """Submissions under way."""
        return len(self._running)

    def submit(self, jobs: Jobs) -> None:
        """Begins jobs."""
        future = self.client.submit(_evaluate, self._designs, jobs, pure=False)
        self._running[future] = jobs
        self._done.add(future)

    def collect(self) -> Outcomes:
        """What is finished."""
        finished: Outcomes = []
        for future in [next(self._done), *(self._done.next_batch(block=False) if not self._done.is_empty() else ())]:
            jobs = self._running.pop(future)
            error = future.exception()
            finished += future.result() if error is None else lost_jobs(jobs, f"{type(error).__name__}: {error}")
        return finished

    def close(self) -> None:
        """Cancels what is under way; ends the cluster if it was started for this study."""
        self.client.cancel(list(self._running), force=True)
        self.client.close()
        for cluster in self._owned:
            cluster.close()


NO_DASHBOARD = "127.0.0.1:0"
"""Dask serves its state over HTTP even without a dashboard: to this machine only, at a free port instead of 8787."""


def local_cluster(workers: int) -> Any:
    """A Dask cluster of processes on this machine."""
    return import_extra("distributed", "dask").LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": NO_DASHBOARD},
    )


SCHEDULERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster"}


def batch_cluster(kind: str, wanted: ClusterSpec, workers: int) -> Any:
    """Jobs of a batch system whose processes are the workers; `.job_script()` is what is submitted for each."""
    make: Callable[..., Any] = getattr(import_extra("dask_jobqueue", "dask"), SCHEDULERS[kind])
    cluster = make(
        cores=wanted.cores,
        processes=wanted.cores,
        memory=wanted.memory,
        walltime=wanted.walltime,
        queue=wanted.queue,
        **{"project" if kind == "sge" else "account": wanted.account},
        interface=wanted.interface,
        job_script_prologue=list(wanted.prologue),
        job_extra_directives=list(wanted.directives),
        python=wanted.python,
        scheduler_options={"dashboard": False, "dashboard_address": NO_DASHBOARD},
        security=wanted.tls or None,
    )
    if workers:
        cluster.scale(jobs=-(-workers // wanted.cores))
    return cluster


def _client(address: str) -> Any:
    """A client of a scheduler that runs already."""
    try:
        return import_extra("distributed", "dask").Client(address)
    except (OSError, ValueError) as error:
        raise SpecError([Diagnostic(message=f"no Dask scheduler answers at {address} ({error})")]) from None
    except TypeError:  # what Dask raises where it has no keys
        hint = "distributed.comm.tls in Dask's configuration: ca-file, client.cert, client.key"
        raise SpecError([Diagnostic(message=f"there are no keys for {address}", hint=hint)]) from None


EXECUTORS = ("local", "dask", *SCHEDULERS)


@contextmanager
def executor(designs: Designs, name: str, workers: int, cluster: ClusterSpec) -> Generator[Executor]:
    """Workers for the time of a study; `name` is one of `EXECUTORS`, or the address of a Dask scheduler."""
    chosen: Executor
    if name == "local":
        chosen = LocalProcesses(designs, workers) if workers > 1 else InProcess(GroupedDesigns(designs))
    elif "://" in name:
        chosen = DaskExecutor(designs, _client(name))
    elif name in EXECUTORS:
        started = local_cluster(workers) if name == "dask" else batch_cluster(name, cluster, workers)
        chosen = DaskExecutor(designs, import_extra("distributed", "dask").Client(started), [started])
    else:
        hint = f"known: {', '.join(EXECUTORS)}, or the address of a Dask scheduler: tcp://host:8786"
        raise SpecError([Diagnostic(message=f"unknown executor '{name}'", hint=hint)])
    try:
        yield chosen
    finally:
        chosen.close()
