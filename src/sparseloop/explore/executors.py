"""Where the points of a study are evaluated: in this process, in worker processes, on a Dask cluster. All give the same rows."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sparseloop._optional import import_extra
from sparseloop.explore.point import Designs, Job, JobOutcome
from sparseloop.explore.schema import ClusterSpec
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.mapper.workers import end_with_parent, held_back

Jobs = tuple[Job, ...]
Done = tuple[Jobs, list[JobOutcome]]
ATTEMPTS = 3
"""How often jobs are begun whose worker process ends unexpectedly."""
LOST = "the worker process ended unexpectedly (out of memory?)"


class Executor(Protocol):
    """Evaluates jobs; what is submitted together is evaluated by one worker, in order."""

    @property
    def capacity(self) -> int:
        """So many submissions keep all workers busy."""
        ...

    @property
    def busy(self) -> int:
        """Submissions under way."""
        ...

    def submit(self, jobs: Jobs) -> None:
        """Begins jobs."""
        ...

    def collect(self) -> list[Done]:
        """What has been finished since; waits until that is something."""
        ...

    def close(self) -> None:
        """Ends at once, whatever is under way."""
        ...


def lost_jobs(jobs: Jobs, why: str = LOST) -> Done:
    """Jobs that came to nothing."""
    return jobs, [JobOutcome(job, fault=why) for job in jobs]


# --- this process -------------------------------------------------------------------------------------------


@dataclass
class InProcess:
    """Evaluates in this process."""

    designs: Designs
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

    def collect(self) -> list[Done]:
        """Does the jobs that were submitted first."""
        jobs = self.waiting.pop(0)
        return [(jobs, [self.designs.evaluated(job) for job in jobs])]

    def close(self) -> None:
        """There is nothing to end."""


# --- worker processes ---------------------------------------------------------------------------------------

_held: dict[str, Designs] = {}
"""In a worker process: the designs of its study."""


def _start_worker(designs: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupts are the parent's business
    end_with_parent()
    _held["study"] = pickle.loads(designs)


def _in_worker(jobs: Jobs) -> list[JobOutcome]:
    return [_held["study"].evaluated(job) for job in jobs]


class LocalProcesses:
    """Worker processes on this machine; spawned, because forks of a process with threads may hang."""

    def __init__(self, designs: Designs, workers: int) -> None:
        self.workers = workers
        self._designs = pickle.dumps(designs)
        self._running: dict[Future[list[JobOutcome]], tuple[Jobs, int]] = {}
        self._others = set(multiprocessing.active_children())
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker, initargs=(self._designs,))

    @property
    def capacity(self) -> int:
        """One submission for each worker."""
        return self.workers

    @property
    def busy(self) -> int:
        """Submissions under way."""
        return len(self._running)

    def submit(self, jobs: Jobs) -> None:
        """Begins jobs."""
        self._begin(jobs, 1)

    def _begin(self, jobs: Jobs, attempt: int) -> None:
        try:
            with held_back():
                future = self._pool.submit(_in_worker, jobs)
        except BrokenProcessPool as broken:
            future = Future[list[JobOutcome]]()
            future.set_exception(broken)
        self._running[future] = (jobs, attempt)

    def collect(self) -> list[Done]:
        """What is finished; where a worker was killed, all that was under way begins anew in new workers."""
        found: list[Done] = []
        while not found:
            broken: list[tuple[Jobs, int]] = []
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                jobs, attempt = self._running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    broken.append((jobs, attempt))
                else:
                    found.append((jobs, future.result()))
            if broken:
                found += self._again(broken)
        return found

    def _again(self, broken: list[tuple[Jobs, int]]) -> list[Done]:
        """New workers; of jobs that met a death several times only those that are alone are given up, others are parted."""
        left = [*broken, *self._running.values()]
        self._running.clear()
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._started()
        gone: list[Done] = []
        for jobs, attempt in left:
            if attempt < ATTEMPTS:
                self._begin(jobs, attempt + 1)
            elif len(jobs) == 1:
                gone.append(lost_jobs(jobs))
            else:
                for job in jobs:
                    self._begin((job,), attempt - 1)
        return gone

    def close(self) -> None:
        """Ends the workers, in the middle of what they do."""
        if self._running:
            for child in multiprocessing.active_children():
                if child not in self._others:
                    child.terminate()
        self._pool.shutdown(cancel_futures=True)


# --- Dask ---------------------------------------------------------------------------------------------------


def _loaded(designs: bytes) -> Designs:
    return pickle.loads(designs)


def _on_cluster(designs: Designs, jobs: Jobs) -> list[JobOutcome]:
    return [designs.evaluated(job) for job in jobs]


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
        """As many as there are workers now; at least one, so that something waits for the first."""
        return max(1, sum(self.client.nthreads().values()))

    @property
    def busy(self) -> int:
        """Submissions under way."""
        return len(self._running)

    def submit(self, jobs: Jobs) -> None:
        """Begins jobs."""
        future = self.client.submit(_on_cluster, self._designs, jobs, pure=False)
        self._running[future] = jobs
        self._done.add(future)

    def collect(self) -> list[Done]:
        """What is finished."""
        found: list[Done] = []
        for future in [next(self._done), *(self._done.next_batch(block=False) if not self._done.is_empty() else ())]:
            jobs = self._running.pop(future)
            error = future.exception()
            found.append((jobs, future.result()) if error is None else lost_jobs(jobs, f"{type(error).__name__}: {error}"))
        return found

    def close(self) -> None:
        """Cancels what is under way; ends the cluster if it was started for this study."""
        self.client.cancel(list(self._running), force=True)
        self.client.close()
        for one in self._owned:
            one.close()


def local_cluster(workers: int) -> Any:
    """A Dask cluster of processes on this machine."""
    return import_extra("distributed", "dask").LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    )


SCHEDULERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster"}


def batch_cluster(kind: str, asked: ClusterSpec, workers: int) -> Any:
    """Jobs of a batch system whose processes are the workers; `.job_script()` is what is submitted for each."""
    make: Callable[..., Any] = getattr(import_extra("dask_jobqueue", "dask"), SCHEDULERS[kind])
    cluster = make(
        cores=asked.cores,
        processes=asked.cores,
        memory=asked.memory,
        walltime=asked.walltime,
        queue=asked.queue,
        **{"project" if kind == "sge" else "account": asked.account},
        interface=asked.interface,
        job_script_prologue=list(asked.prologue),
        job_extra_directives=list(asked.directives),
        python=asked.python,
        scheduler_options={"dashboard_address": None},
    )
    if workers:
        cluster.scale(jobs=-(-workers // asked.cores))
    return cluster


def _joined(address: str) -> Any:
    """A client of a scheduler that runs already."""
    try:
        return import_extra("distributed", "dask").Client(address)
    except (OSError, ValueError) as error:
        raise SpecError([Diagnostic(message=f"no Dask scheduler answers at {address} ({error})")]) from None


EXECUTORS = ("local", "dask", *SCHEDULERS)


@contextmanager
def executor(designs: Designs, name: str, workers: int, cluster: ClusterSpec) -> Generator[Executor]:
    """Workers for the time of a study; `name` is one of `EXECUTORS`, or the address of a Dask scheduler."""
    made: Executor
    if name == "local":
        made = LocalProcesses(designs, workers) if workers > 1 else InProcess(designs)
    elif "://" in name:
        made = DaskExecutor(designs, _joined(name))
    elif name in EXECUTORS:
        started = local_cluster(workers) if name == "dask" else batch_cluster(name, cluster, workers)
        made = DaskExecutor(designs, import_extra("distributed", "dask").Client(started), [started])
    else:
        hint = f"known: {', '.join(EXECUTORS)}, or the address of a Dask scheduler: tcp://host:8786"
        raise SpecError([Diagnostic(message=f"unknown executor '{name}'", hint=hint)])
    try:
        yield made
    finally:
        made.close()
