"""What ends a command beside mistakes of the user: interrupts, a system that refuses, and faults of ours are told apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sparseloop.cli import app as cli
from sparseloop.input import extras
from sparseloop.input.diagnostics import SpecError
from tests.helpers.tiny_spaces import TINY

FULL = Path("/dev/full")


@pytest.fixture
def spec(tmp_path: Path) -> str:
    file = tmp_path / "spec.yaml"
    file.write_text(TINY, encoding="utf-8")
    return str(file)


def program(*arguments: str, stdout: object = subprocess.PIPE) -> subprocess.Popen[str]:
    """The program as a process of its own."""
    command = [sys.executable, "-m", "sparseloop", *arguments]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it, and so would its children
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, preexec_fn=heard)  # pyright: ignore


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "the system refused: too little memory"),
        (OSError(28, "No space left on device", "out.txt"), 2, "the system refused: No space left on device (out.txt)"),
        (OSError(36, "File name too long"), 2, "the system refused: File name too long"),
        (ZeroDivisionError("x\x1b[31m"), 3, r"internal error: ZeroDivisionError: x\x1b[31m"),
        (BrokenPipeError(), 2, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_statuses(
    error: BaseException, status: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sparseloop.input.load.schema", raising(error))
    assert cli.main(["schema"]) == status
    shown = capsys.readouterr().err
    assert message in shown
    assert ("bug of ours" in shown) == (status == 3)
    assert "Traceback" not in shown


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_stdout():
    with FULL.open("w") as full:
        done = program("schema", stdout=full)
        _, err = done.communicate()
    assert done.returncode == 2
    assert err == "sparseloop: the system refused: No space left on device\n"


def test_nobody_reads_on():
    done = program("schema")
    assert done.stdout is not None
    done.stdout.close()
    assert done.stderr is not None
    assert done.stderr.read() == ""
    assert done.wait() == 2


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupted_search_shows_its_best_and_says_130(spec: str):
    done = program("map", spec, "--method", "random", "--budget", "60s")
    time.sleep(6)
    done.send_signal(signal.SIGINT)
    out, err = done.communicate(timeout=60)
    assert done.returncode == 130
    if "best edp" in err:  # it had begun to search
        assert "Mapping" in out
    assert err.rstrip().endswith("interrupted")


def test_a_library_that_cannot_be_loaded_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_library.py").write_text("raise ImportError('libx.so: cannot allocate memory')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=r"broken_library, which cannot be loaded \(libx.so: cannot allocate memory\)"):
        extras.import_extra("broken_library")
    with pytest.raises(SpecError, match="no_such_library, which is not installed"):
        extras.import_extra("no_such_library")


def test_warnings_of_libraries_have_no_places_in_the_source(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def warned() -> dict[str, str]:
        warnings.warn("a part is damaged", stacklevel=1)
        return {}

    monkeypatch.setattr("sparseloop.input.load.schema", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert cli.main(["schema"]) == 0
    assert capsys.readouterr().err == "warning: a part is damaged\n"
