"""Given data: seconds and peak memory of one evaluation, and mappings per second. Numbers only, nothing is asserted about time.

Graphs in Matrix Market files (`*.mtx`, `*.mtx.gz`) are read from bench/graphs if there are any; none are shipped.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GRAPHS = sorted((Path(__file__).parent / "graphs").glob("*.mtx*"))
ORDERS = {"Gustavson": "m k n", "inner product": "m n k", "outer product": "k m n"}
SQUARE = """
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {{m: {size}, n: {size}, k: {size}}}
  density: {{A: {file}, B: {file}}}
architecture:
  levels:
    - {{name: DRAM, class: dram, bandwidth: 16}}
    - {{name: GLB, class: sram, capacity: 64 MiB}}
    - {{name: MAC, class: mac}}
mapping:
  - DRAM: for {outer}={size}
  - GLB: for {inner}
sparse:
  DRAM: {{formats: {{A: UOP(m) CP(k), B: UOP(k) CP(n)}}, skip: [B <- A]}}
  GLB: {{formats: {{A: UOP(m) CP(k), B: UOP(k) CP(n)}}, skip: [B <- A, A <- B, Z <- A B]}}
"""
PRODUCED = SQUARE.replace("B: UOP(k) CP(n)}}", "B: UOP(k) CP(n), Z: UOP(m) CP(n)}}")
"""The same with the result computed from the operands, and stored compressed."""
TILED = """
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {{m: {size}, n: 64, k: {size}}}
  density: {{A: {file}}}
architecture:
  levels:
    - {{name: DRAM, class: dram, bandwidth: 16}}
    - {{name: GLB, class: sram, capacity: 64 MiB}}
    - {{name: RF, class: regfile, capacity: 64}}
    - {{name: MAC, class: mac}}
{mapping}sparse:
  DRAM: {{formats: {{A: UOP(m) CP(k)}}, skip: [B <- A]}}
  GLB: {{formats: {{A: UOP(m) CP(k)}}, skip: [B <- A, Z <- A]}}
"""
EVALUATED = """
import json, resource, sys, time
import sparseloop as sl
spec = sl.load(sys.argv[1])
start = time.process_time()
result = sl.evaluate(spec).to_dict()
seconds = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"CPU seconds": round(seconds, 2), "peak MB": round(peak), "computes": result["totals"]["computes"]["actual"]}))
"""
SEARCHED = """
import json, resource, sys, time
import sparseloop as sl
space = sl.mapspace(sl.load(sys.argv[1]))
start = time.process_time()
sl.search(space, method="random", budget=int(sys.argv[2]), seed=1)
seconds = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"mappings per CPU-second": round(int(sys.argv[2]) / seconds), "peak MB": round(peak)}))
"""


def measured(program: str, *arguments: object) -> dict[str, Any]:
    """What a program in a fresh interpreter says of itself."""
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def random_graph(folder: Path, size: int, nonzeros: int) -> Path:
    """A square pattern with so many places drawn, some of them twice."""
    rng = np.random.default_rng(1)
    places = {"row": rng.integers(0, size, nonzeros), "col": rng.integers(0, size, nonzeros)}
    file = folder / "graph.npz"
    np.savez(file, format=np.array("coo"), shape=np.array([size, size]), data=np.ones(nonzeros, dtype=bool), **places)
    return file


def unpacked(graph: Path, folder: Path) -> tuple[Path, int]:
    """A graph as a plain file, and its size."""
    content = gzip.decompress(graph.read_bytes()) if graph.suffix == ".gz" else graph.read_bytes()
    file = folder / "graph.mtx"
    file.write_bytes(content)
    return file, next(int(line.split()[0]) for line in content.decode().splitlines() if not line.startswith("%"))


@pytest.mark.parametrize("text", [SQUARE, PRODUCED], ids=["result dense", "result produced"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("graph", [None, *GRAPHS], ids=lambda graph: "random" if graph is None else graph.name)
def test_square_of_a_graph(benchmark: Any, figures: Any, tmp_path: Path, graph: Path | None, order: str, text: str) -> None:
    file, size = (random_graph(tmp_path, 8320, 103_689), 8320) if graph is None else unpacked(graph, tmp_path)
    outer, *inner = ORDERS[order].split()
    inside = " ".join(f"{rank}={size}" for rank in inner)
    (tmp_path / "spec.yaml").write_text(text.format(size=size, file=file.name, outer=outer, inner=inside))
    figures(benchmark.pedantic(measured, args=(EVALUATED, tmp_path / "spec.yaml"), rounds=1))


def test_ten_million_nonzeros(benchmark: Any, figures: Any, tmp_path: Path) -> None:
    file, mapping = (
        random_graph(tmp_path, 2**20, 10**7),
        "mapping:\n  - DRAM: for m=1024 k=64\n  - GLB: for m=1024 k=16384 n=64\n",
    )
    (tmp_path / "spec.yaml").write_text(TILED.format(size=2**20, file=file.name, mapping=mapping))
    figures(benchmark.pedantic(measured, args=(EVALUATED, tmp_path / "spec.yaml"), rounds=1))


@pytest.mark.parametrize(("size", "nonzeros"), [(2**14, 10**5), (2**16, 10**6)])
def test_search(benchmark: Any, figures: Any, tmp_path: Path, size: int, nonzeros: int) -> None:
    file = random_graph(tmp_path, size, nonzeros)
    (tmp_path / "spec.yaml").write_text(TILED.format(size=size, file=file.name, mapping=""))
    figures(benchmark.pedantic(measured, args=(SEARCHED, tmp_path / "spec.yaml", 3000), rounds=1))
