"""`python bench/mapper.py FOLDER [OBJECTIVE...]`: `optimal` on every case of a folder, as one line of JSON each.

A case is a folder of YAML files. A `best.json` beside them lists mappings that another mapper found: entries with `case`,
`minimize` and `mapping` (Timeloop's form); they are evaluated by this model. `matmul` instead of a folder: dense matrix products;
`conv`: a convolution with sliding windows, and products of sizes with many divisors.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sparseloop as sl

MATMUL = """\
workload: {{einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {{m: {n}, k: {n}, n: {n}}}}}
architecture:
  node: 45nm
  levels:
    - {{name: DRAM, class: dram, type: LPDDR4, bandwidth: 16, word_bits: 16, block_size: 4}}
{middle}    - {{name: GLB, class: sram, capacity: 128 KiB, bandwidth: 64, word_bits: 16}}
    - {{name: PE, fanout: {{x: 16, y: 16}}}}
    - {{name: RF, class: regfile, capacity: 64 words, word_bits: 16}}
    - {{name: MAC, class: mac}}
"""
MIDDLE = "    - {name: L2, class: sram, capacity: 1 MiB, bandwidth: 64, word_bits: 16}\n"
KEEP = "{keep: [A, B, Z]}"


def matmul(size: int, levels: int, free: bool) -> sl.Spec:
    """A dense matrix product on three or four storage levels; `free`: any tensor may bypass any inner level."""
    text = MATMUL.format(n=size, middle=MIDDLE if levels == 4 else "")
    names = ["L2"] * (levels == 4) + ["GLB", "RF"]
    return sl.loads(text if free else text + "constraints: {" + ", ".join(f"{name}: {KEEP}" for name in names) + "}\n")


def proven(name: str, spec: sl.Spec, objective: str, budget: str = "120s") -> dict[str, Any]:
    """Figures of one proof."""
    space = sl.mapspace(spec)
    wall, cpu = time.perf_counter(), time.process_time()
    best = sl.search(space, minimize=objective, method="optimal", budget=budget)
    return {
        "case": name,
        "minimize": objective,
        "mappings": f"{space.size:.3g}",
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "proven": best.proven_optimal,
        "value": best.value,
        "lower_bound": best.lower_bound,
        "evaluated": best.evaluated,
        "pruned": {k: f"{v:.3g}" for k, v in best.certificate.pruned.items()},
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def other_best(files: list[str], entry: dict[str, Any]) -> float | None:
    """The value of another mapper's mapping by this model; None where it does not fit."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"mapping": entry["mapping"]}, file)
        file.flush()
        result = sl.evaluate(sl.load(*files, file.name))
    value = {"energy": result.energy_pj, "cycles": result.cycles, "edp": result.edp}[entry["minimize"]]
    return value if result.valid else None


def cases(folder: Path, objectives: list[str]) -> Iterator[dict[str, Any]]:
    """All cases of a folder."""
    found = folder / "best.json"
    others = json.loads(found.read_text()) if found.is_file() else []
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [str(path) for path in sorted(case.glob("*.yaml"))]
        for objective in objectives:
            figures = proven(case.name, sl.load(*files), objective)
            for entry in others:
                if entry["case"] == case.name and entry["minimize"] == objective:
                    figures["other"] = other_best(files, entry)
            yield figures


CONV = 'workload: {einsum: "O[m,p,q] = W[m,c,r,s] * I[c,p+r,q+s]", shape: {m: 256, c: 128, p: 56, q: 56, r: 3, s: 3}}\n'
KEEP_CONV = "constraints: {GLB: {keep: [O, W, I]}, RF: {keep: [O, W, I]}}\n"


def convolutions(objectives: list[str]) -> Iterator[dict[str, Any]]:
    """256 x 128 channels of 56 x 56 on three levels that keep everything; products of 2520 and 5040 there."""
    machine = MATMUL.format(n=1, middle="").partition("\n")[2]
    for objective in objectives:
        yield proven("conv 256x128x56x56x3x3", sl.loads(CONV + machine + KEEP_CONV), objective)
        for size in (2520, 5040):
            yield proven(f"matmul {size} 3 levels", matmul(size, 3, False), objective)


def products(objectives: list[str]) -> Iterator[dict[str, Any]]:
    """Dense matrix products by size, levels and freedom to bypass."""
    for size in (256, 1024, 4096):
        for levels in (3, 4):
            for free in (False, True):
                for objective in objectives:
                    yield proven(f"matmul {size} {levels} levels{' free' if free else ''}", matmul(size, levels, free), objective)


if __name__ == "__main__":
    wanted = sys.argv[2:] or ["energy", "cycles", "edp"]
    made = {"matmul": products, "conv": convolutions}.get(sys.argv[1])
    for line in made(wanted) if made else cases(Path(sys.argv[1]), wanted):
        print(json.dumps(line), flush=True)
