"""What a template may cost: a sandbox whose arithmetic, time and memory are bounded."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence, Sized
from pathlib import Path
from types import FrameType
from typing import Any

from sparseloop.input.yaml.nodes import MAX_BYTES

SECONDS = 10.0
"""For one template with all that it includes."""
MEMORY_BYTES = 2**30
"""Beyond what the program has when the template begins."""
MAX_BITS = 4096
"""Of a whole number."""


class TooLong(Exception):
    """A template costs more than it may."""


def environment(folders: Sequence[str]) -> Any:
    """Jinja2's sandbox, which calls no methods with effects, with bounded arithmetic; raises ImportError without Jinja2."""
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    class Bounded(SandboxedEnvironment):
        """Jinja2's sandbox asks it before every operation that can make something large of something small."""

        intercepted_binops = frozenset({"*", "**", "%", "+"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _check_size(operator, left, right)
            return super().call_binop(context, operator, left, right)

    return Bounded(undefined=StrictUndefined, keep_trailing_newline=True, loader=FileSystemLoader(folders))


def _check_size(operator: str, left: Any, right: Any) -> None:
    """Raises `TooLong` if the result would be larger than any template needs."""
    sizes: list[int | None] = [len(side) if isinstance(side, Sized) else None for side in (left, right)]
    bits = [side.bit_length() if isinstance(side, int) else None for side in (left, right)]
    too_large = False
    if operator == "**" and bits[0] is not None and isinstance(right, int | float):
        too_large = bits[0] * abs(right) > MAX_BITS
    elif operator == "*" and bits[0] is not None and bits[1] is not None:
        too_large = bits[0] + bits[1] > MAX_BITS
    elif operator == "*":
        size = next((size for size in sizes if size is not None), 0)
        times = next((side for side in (left, right) if isinstance(side, int)), 1)
        too_large = size * times > MAX_BYTES
    elif operator == "+":
        too_large = sum(size or 0 for size in sizes) > MAX_BYTES
    elif operator == "%" and isinstance(left, str):  # '%999999999d'
        too_large = any(len(word) > 4 for word in "".join(c if c.isdigit() else " " for c in left).split()) or "*" in left
    if too_large:
        raise TooLong(f"the result of '{operator}' is too large")


@contextlib.contextmanager
def bounded() -> Generator[None]:
    """Ends what runs inside with `TooLong` after its time, and with MemoryError beyond its memory (on Linux)."""
    with _memory(), _time():
        yield


Trace = Callable[[FrameType, str, Any], Any]


@contextlib.contextmanager
def _time() -> Generator[None]:
    """Looks at the clock at every line of Python, because a loop without output gives no other occasion; inside of another
    template its end holds.
    """
    before, outer = sys.gettrace(), _running.end
    end = time.monotonic() + SECONDS if outer is None else outer

    def look(frame: FrameType, event: str, argument: Any) -> Trace:
        if time.monotonic() > end:
            raise TooLong(f"it takes longer than {SECONDS:g} s")
        return look

    _running.end = end
    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)
        _running.end = outer


class _Running(threading.local):
    end: float | None = None
    """When the template that is being rendered has to be done."""


_running = _Running()


@contextlib.contextmanager
def unwatched() -> Generator[None]:
    """Does not look at the clock inside: for work that has limits of its own and would be slower for it."""
    before = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def _memory() -> Generator[None]:
    """Lowers the limit of the address space to what is used and a bit more; where the system has no such limit, none."""
    used = _address_space()
    if used is None:
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    wanted = used + MEMORY_BYTES
    if before[0] != resource.RLIM_INFINITY and before[0] <= wanted:
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (wanted, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _address_space() -> int | None:
    """Bytes of the address space of this process; None where Linux does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        import resource
    except (OSError, ValueError, ImportError):
        return None
    return pages * resource.getpagesize()
