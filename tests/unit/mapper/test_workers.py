"""The one pool of worker processes: what workers hold, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from sparseloop.mapper import workers
from sparseloop.mapper.workers import WorkerPool, nothing, worker_pool
from tests.helpers import worker_functions as work

POSIX = pytest.mark.skipif(os.name != "posix", reason="sends signals")


def waited(condition: Callable[[], bool]) -> None:
    """Until it holds; a test that would hang fails."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_every_worker_makes_its_object_once_and_keeps_it(tmp_path: Path) -> None:
    with worker_pool(2, work.started, tmp_path / "starts") as pool:
        answers = [pool.submit(work.counted, number).result() for number in range(6)]
    starts = [int(line) for line in (tmp_path / "starts").read_text().splitlines()]
    assert len(set(starts)) == len(starts) <= 2
    assert {process for process, _ in answers} <= set(starts) - {os.getpid()}
    for process in starts:
        seen = [calls for mine, calls in answers if mine == process]
        assert [len(calls) for calls in seen] == list(range(1, len(seen) + 1))


def test_workers_are_spawned_even_where_processes_are_forked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a process with threads was forked"), raising=False)
    with worker_pool(1, nothing) as pool:
        assert pool.submit(work.process).result() != os.getpid()


def test_a_mistake_comes_back_and_the_worker_goes_on(tmp_path: Path) -> None:
    with worker_pool(1, work.started, tmp_path / "starts") as pool:
        with pytest.raises(TypeError):
            pool.submit(work.counted).result()
        assert pool.submit(work.counted, 3).result()[1] == [3]


def test_a_killed_worker_breaks_the_pool_until_it_starts_anew(tmp_path: Path) -> None:
    with worker_pool(1, work.started, tmp_path / "starts") as pool:
        with pytest.raises(BrokenProcessPool):
            pool.submit(work.killed).result()
        with pytest.raises(BrokenProcessPool):
            pool.submit(work.counted, 1).result()
        pool.restart()
        assert pool.submit(work.counted, 2).result()[1] == [2]
    assert len((tmp_path / "starts").read_text().splitlines()) == 2


@POSIX
def test_an_interrupt_ends_what_is_interruptible_and_nothing_else(tmp_path: Path) -> None:
    with worker_pool(1, work.started, tmp_path / "starts", interruptible=True) as pool:
        first, second = (pool.submit(work.endless, tmp_path / name) for name in ("first", "second"))
        waited((tmp_path / "first").exists)
        pool.interrupt([first, second])
        assert [first.result(), second.result()] == ["interrupted", "not begun"]
        assert pool.submit(work.counted, 1).result()[1] == [1]


@POSIX
def test_a_second_interrupt_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(running: object) -> None:
        raise KeyboardInterrupt

    with worker_pool(1, work.started, tmp_path / "starts", interruptible=True) as pool:
        running = pool.submit(work.stubborn, tmp_path / "begun")
        waited((tmp_path / "begun").exists)
        monkeypatch.setattr(workers, "wait", interrupted)
        pool.interrupt([running])
        with pytest.raises(BrokenProcessPool):
            running.result(timeout=60)


@POSIX
def test_workers_are_deaf_to_interrupts_of_the_terminal(tmp_path: Path) -> None:
    with worker_pool(1, work.started, tmp_path / "starts") as pool:
        (process, _), others = pool.submit(work.counted, 1).result(), multiprocessing.active_children()
        os.kill(process, signal.SIGINT)
        assert pool.submit(work.counted, 2).result() == (process, [1, 2])
        assert process in {child.pid for child in others}


def test_terminated_workers_end_in_the_middle_of_their_work(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    pool = WorkerPool(1, work.started, tmp_path / "starts")
    running = pool.submit(work.stubborn, tmp_path / "begun")
    waited((tmp_path / "begun").exists)
    pool.terminate()
    assert set(multiprocessing.active_children()) <= before
    assert running.done()
