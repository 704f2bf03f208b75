"""What workers do in tests: functions that a spawned process can import."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sparseloop.mapper.workers import interruptible, was_interrupted


def started(file: Path) -> list[int]:
    """What a worker holds: a list of its own; `file` gets a line for every worker that starts."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"{os.getpid()}\n")
    return []


def counted(calls: list[int], number: int) -> tuple[int, list[int]]:
    """Remembers a number; the worker and all that it has remembered."""
    calls.append(number)
    return os.getpid(), list(calls)


def killed(calls: list[int]) -> None:
    """Ends the worker as a kill would."""
    os._exit(9)


def endless(calls: list[int], begun: Path) -> str:
    """Works until it is interrupted, and tells when it begins."""
    if was_interrupted():
        return "not begun"
    try:
        with interruptible():
            begun.touch()
            time.sleep(600)
    except KeyboardInterrupt:
        return "interrupted"
    return "finished"


def stubborn(calls: list[int], begun: Path) -> None:
    """Works for a long time and cannot be interrupted."""
    begun.touch()
    time.sleep(600)


def process(_: None) -> int:
    """The number of the process."""
    return os.getpid()
