"""One kind of worker processes, for searches, networks, studies and codesign: spawned, never forked.

Every worker makes one object when it starts (a mapspace, the designs of a study) and then applies functions to it. A fork of a
process with threads may hang, so processes are spawned: a script that asks for workers needs `if __name__ == "__main__":`.

An interrupt (Ctrl-C) is the parent's business: workers ignore it, unless the pool is `interruptible`. Then it ends what a worker
does inside `interruptible()`, and nothing else. A worker ends when its parent is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, final

Made = TypeVar("Made")
"""What every worker holds."""
Answer = TypeVar("Answer")


@final
class WorkerPool(Generic[Made]):
    """Worker processes that hold `make(*arguments)` each; `submit` applies a function to it in one of them."""

    def __init__(self, count: int, make: Callable[..., Made], *arguments: Any, interruptible: bool = False) -> None:
        self.count = count
        self._start = pickle.dumps((make, arguments)), interruptible
        self._older = set(multiprocessing.active_children())
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.count, mp_context=context, initializer=_start_worker, initargs=self._start)

    def submit(self, function: Callable[..., Answer], *arguments: Any) -> Future[Answer]:
        """`function(made, *arguments)` in the next free worker; the future has BrokenProcessPool if a worker was killed."""
        with _interrupts_held_back():
            return self._pool.submit(_in_worker, function, *arguments)

    def restart(self) -> None:
        """New workers in place of those of a broken pool; what was under way is lost."""
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._new_pool()

    def interrupt(self, running: Iterable[Future[Any]]) -> None:
        """Lets every worker end what is interruptible and waits for it; a second interrupt meanwhile kills the workers."""
        try:
            for child in self._processes():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGINT)
            wait(running)
        except KeyboardInterrupt:
            for child in self._processes():
                child.kill()

    def terminate(self) -> None:
        """Ends the workers in the middle of what they do."""
        for child in self._processes():
            child.terminate()
        self.close()

    def close(self) -> None:
        """Ends the workers when each has finished what it does; what has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)

    def _processes(self) -> list[Any]:
        """The workers of this pool: children of this process that are younger than the pool."""
        return [child for child in multiprocessing.active_children() if child not in self._older]


@contextmanager
def worker_pool(
    count: int, make: Callable[..., Made], *arguments: Any, interruptible: bool = False
) -> Generator[WorkerPool[Made]]:  # fmt: skip
    """Workers for the time of a block."""
    pool = WorkerPool(count, make, *arguments, interruptible=interruptible)
    try:
        yield pool
    finally:
        pool.close()


def nothing() -> None:
    """What a worker holds whose functions need nothing."""


@contextmanager
def _interrupts_held_back() -> Generator[None]:
    """A process started meanwhile is deaf to interrupts until it can answer them; Windows knows no such masks."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- in a worker process ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Worker:
    """What a worker process knows of itself."""

    made: Any = None
    may_end: bool = False
    """True inside `interruptible()`."""
    interrupted: bool = False


_worker = _Worker()
"""Of this process, if it is a worker."""


def _start_worker(start: bytes, may_be_interrupted: bool) -> None:
    signal.signal(signal.SIGINT, _on_interrupt if may_be_interrupted else signal.SIG_IGN)
    if may_be_interrupted and hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_parent()
    make, arguments = pickle.loads(start)
    _worker.made = make(*arguments)


def _in_worker(function: Callable[..., Answer], *arguments: Any) -> Answer:
    return function(_worker.made, *arguments)


def _on_interrupt(number: int, frame: object) -> None:
    """Only the first interrupt counts: more may come, from the terminal and from the parent."""
    again, _worker.interrupted = _worker.interrupted, True
    if _worker.may_end and not again:
        raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Ends this process when its parent is killed; left to itself it would wait for work for ever."""
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def was_interrupted() -> bool:
    """In a worker: True once an interrupt has come."""
    return _worker.interrupted


@contextmanager
def interruptible() -> Generator[None]:
    """In a worker of an interruptible pool: an interrupt ends the block with KeyboardInterrupt."""
    _worker.may_end = True
    try:
        yield
    finally:
        _worker.may_end = False
