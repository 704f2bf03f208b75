"""Speed and memory: start-up, one mapping, many mappings. Numbers only, nothing is asserted about time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from batches import EYERISS, spec_of

import sparseloop as sl

BATCH = 100_000


def run(*arguments: str) -> str:
    """A fresh interpreter."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def milliseconds(*arguments: str, rounds: int = 7) -> float:
    def once() -> float:
        start = time.perf_counter()
        run(*arguments)
        return (time.perf_counter() - start) * 1e3

    return median(once() for _ in range(rounds))


@pytest.mark.parametrize("statement", ["import sparseloop", "import sparseloop; sparseloop.evaluate"])
def test_import(benchmark: Any, figures: Any, statement: str) -> None:
    benchmark.pedantic(run, args=("-c", statement), rounds=7)
    bare, numpy, ours = (milliseconds("-c", text) for text in ("pass", "import numpy", statement))
    figures({"ms_above_bare_python": round(ours - bare, 1), "numpy_ms": round(numpy - bare, 1)})


@pytest.mark.parametrize("command", ["--version", "eval"])
def test_command_line(benchmark: Any, figures: Any, command: str) -> None:
    arguments = ("-m", "sparseloop", command, *(EYERISS if command == "eval" else ()))
    benchmark.pedantic(run, args=arguments, rounds=5)
    figures({"ms": round(milliseconds(*arguments, rounds=5)), "bare_python_ms": round(milliseconds("-c", "pass", rounds=5))})


@pytest.mark.parametrize("name", ["matmul", "eyeriss"])
def test_one_mapping(benchmark: Any, figures: Any, name: str) -> None:
    """Warm: the specification is resolved and its template compiled; energy, cycles and status are read."""
    spec = spec_of(name)

    def once() -> tuple[float, float, bool]:
        result = sl.evaluate(spec)
        return result.energy_pj, result.cycles, result.valid

    once()
    energy, cycles, valid = benchmark(once)
    figures({"energy_pj": f"{energy:.6g}", "cycles": f"{cycles:.6g}", "valid": valid})


@pytest.mark.parametrize("name", ["matmul", "eyeriss"])
def test_batch(benchmark: Any, figures: Any, name: str) -> None:
    """In a process of its own, so that the peak memory is that of the batch."""
    script = Path(__file__).with_name("batches.py")
    figures(json.loads(benchmark.pedantic(run, args=(str(script), name, str(BATCH)), rounds=1)))


def test_load_300_lines(benchmark: Any) -> None:
    level = "    - {{name: L{0}, class: sram,   # comment\n       capacity: {0} KiB,\n"
    level += "       bandwidth: {{read: 16, write: 16}},\n       word_bits: 16}}\n"
    levels = "".join(level.format(i) for i in range(1, 76))
    head = 'workload: {einsum: "Z[m] = A[m]", shape: {m: 4}}\narchitecture:\n  levels:\n    - {name: DRAM, class: dram}\n'
    spec = benchmark(sl.loads, head + levels + "    - {name: MAC, class: mac}\n")
    assert len(spec.architecture.levels) == 77
