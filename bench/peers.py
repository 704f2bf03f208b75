"""`python bench/peers.py [--environment FOLDER] [SIZE...]`: dense optima and their CPU time beside those of AccelForge.

Products of matrices of these sizes on DRAM, a buffer of 65536 words, 16 x 16 lanes with 64 words each. AccelForge is installed
from PyPI into an environment of its own (it needs Python 3.12); where that fails, a note says so. Both run in turns, twice each,
and a line of JSON says the CPU seconds of every run, the ratio of their sums, and the optima.

The prices are matched: words cost the same for reads and writes, wires nothing. AccelForge also counts a read of the inner level
for every result that leaves it; here that read is part of the price of what receives it: 6 pJ of an update of DRAM, and 0.5 pJ of
an update of the buffer and of each addition on the way there. What still differs is the space: here several ranks may share an
axis of the mesh, there every tensor may have a tile of its own at a level.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import sparseloop as sl

OURS = """\
workload: {{einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {{m: {n}, k: {n}, n: {n}}}, word_bits: {{A: 16, B: 16, Z: 16}}}}
architecture:
  levels:
    - {{name: DRAM, class: dram, word_bits: 16, energy: {{read: 64, fill: 64, update: 70, {free}}},
       network: {{energy_per_hop: 0}}}}
    - {{name: GLB, class: sram, capacity: 65536 words, word_bits: 16, energy: {{read: 6, fill: 6, update: 6.5, {free}}},
       network: {{energy_per_hop: 0, adder: 0.5}}}}
    - {{name: PE, fanout: {{x: 16, y: 16}}}}
    - {{name: RF, class: regfile, capacity: 64 words, word_bits: 16, energy: {{read: 0.5, fill: 0.5, update: 0.5, {free}}},
       network: {{energy_per_hop: 0}}}}
    - {{name: MAC, class: mac, energy: {{compute: 1, leak: 0}}}}
constraints: {{{more}GLB: {{keep: [A, B, Z]}}, RF: {{keep: [A, B, Z]}}}}
"""
THEIRS = """\
workload:
  iteration_space_shape: {{m: 0 <= m < {n}, n: 0 <= n < {n}, k: 0 <= k < {n}}}
  bits_per_value: {{All: 16}}
  einsums:
  - name: Product
    tensor_accesses:
    - {{name: A, projection: [m, k]}}
    - {{name: B, projection: [k, n]}}
    - {{name: Z, projection: [m, n], output: True}}
arch:
  nodes:
  - !Memory {{name: DRAM, size: inf, leak_power: 0, area: 0, tensors: {{keep: All}}, actions: [{dram}]}}
  - !Memory {{name: GLB, size: 65536*16, leak_power: 0, area: 0, tensors: {{keep: All}}, actions: [{glb}]}}
  - !Container {{name: PE, spatial: [{{name: X, fanout: 16}}, {{name: Y, fanout: 16}}]}}
  - !Memory {{name: RF, size: 64*16, leak_power: 0, area: 0, tensors: {{keep: All}}, actions: [{rf}]}}
  - !Compute {{name: MAC, leak_power: 0, area: 0, actions: [{{name: compute, energy: 1, throughput: 1}}]}}
"""
RUN = """\
import json, resource, sys
import accelforge
from accelforge.mapper.FFM.main import map_workload_to_arch

def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)

accelforge.set_n_parallel_jobs(1)
spec = accelforge.Spec.from_yaml(sys.argv[1])
spec.mapper.metrics = accelforge.Metrics.ENERGY
begun = cpu()
found = map_workload_to_arch(spec, print_progress=False, eval_in_detail=False)
print(json.dumps([cpu() - begun, float(found.data["Total<SEP>energy"].min())]))
"""


def installed(environment: Path) -> Path | None:
    """The Python of an environment with AccelForge; None, with a note, where there is none and none can be made."""
    python = environment / "bin" / "python"
    try:
        if not python.exists():
            base = next((path for name in ("python3.12", "python3.13") if (path := shutil.which(name))), None)
            if base is None:
                raise OSError("AccelForge needs Python 3.12")
            subprocess.run([base, "-m", "venv", str(environment)], check=True, capture_output=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", "accelforge"], check=True, capture_output=True)
        subprocess.run([str(python), "-c", "import accelforge"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"skipped: AccelForge cannot be installed ({error})", file=sys.stderr)
        return None
    return python


def ours(size: int, more: str = "") -> tuple[float, float]:
    """CPU seconds and the proven optimum (pJ) here."""
    spec = sl.loads(OURS.format(n=size, more=more, free="address_generation: 0, leak: 0"))
    begun = time.process_time()
    best = sl.search(sl.mapspace(spec), minimize="energy", method="optimal")
    assert best.proven_optimal
    assert best.value is not None
    return time.process_time() - begun, best.value


def alone_on_each_axis(size: int) -> float:
    """The optimum if every axis of the mesh has one rank."""
    values: list[float] = []
    for y, x in product("mnk", repeat=2):
        others = [rank for rank in "mnk" if rank not in (x, y)]
        laid = f"order: {others[0]} {y} {x}, split: 1, " if x != y else ""
        limits = ", ".join(f"{rank}: 1" for rank in others)
        values.append(ours(size, f"PE: {{{laid}max: {{{limits}}}}}, ")[1])
    return min(values)


def theirs(python: Path, size: int, folder: Path) -> tuple[float, float]:
    """CPU seconds and the optimum (pJ) of AccelForge."""

    def priced(pj: float) -> str:
        return ", ".join(f"{{name: {action}, energy: {pj}/16, throughput: inf}}" for action in ("read", "write"))

    file = folder / f"product{size}.yaml"
    file.write_text(THEIRS.format(n=size, dram=priced(64), glb=priced(6), rf=priced(0.5)))
    done = subprocess.run([str(python), "-c", RUN, str(file)], check=True, capture_output=True, text=True, cwd=folder)
    seconds, value = json.loads(done.stdout.splitlines()[-1])
    return seconds, value


def compared(python: Path, size: int, folder: Path) -> dict[str, Any]:
    """Both in turns, twice each."""
    runs = [(ours(size), theirs(python, size, folder)) for _ in range(2)]
    mine, other = runs[0][0][1], runs[0][1][1]
    figures: dict[str, Any] = {
        "product": size,
        "cpu_s": [round(run[0][0], 2) for run in runs],
        "accelforge_cpu_s": [round(run[1][0], 2) for run in runs],
        "ratio": round(sum(run[1][0] for run in runs) / sum(run[0][0] for run in runs), 1),
        "pj": mine,
        "accelforge_pj": other,
        "difference_percent": round(100 * (other / mine - 1), 3),
    }
    if abs(other / mine - 1) > 0.001:
        figures["pj_one_rank_on_each_axis"] = alone = alone_on_each_axis(size)
        same = abs(other / alone - 1) < 1e-6
        figures["because"] = "one rank on each axis there" if same else "other tiles for every tensor there, too"
    return figures


def main() -> None:
    """All sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[256, 1024])
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "sparseloop-accelforge")
    options = parser.parse_args()
    python = installed(options.environment)
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            if python is not None:
                print(json.dumps(compared(python, size, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
