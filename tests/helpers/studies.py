"""A small study for tests: a matrix product on three levels with given prices, so that nothing is estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

import sparseloop as sl

SPEC = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 8, n: 8, k: 8}
  density: {A: 0.5, B: 0.25}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, bandwidth: 4, energy: {read: 100, write: 100, leak: 0}, area: 0}
    - {name: GLB, class: sram, capacity: 256, bandwidth: 8, energy: {read: 5, write: 5, leak: 0}, area: 1000}
    - {name: MAC, class: mac, energy: {compute: 1, leak: 0}, area: 100}
sparse:
  DRAM: {formats: {A: csr}}
  GLB: {formats: {A: csr}, skip: [B <- A, Z <- A]}
mapping:
  - DRAM: for m=2 n=2
  - GLB: for m=4 n=4 k=8
"""
STUDY = """\
name: small
spec: spec.yaml
parameters:
  glb: {path: architecture.levels.GLB.capacity, values: [16, 256, 1024]}
  bw: {path: architecture.levels.DRAM.bandwidth, range: [1, 8], scale: log, step: 2}
  A: {path: workload.density.A, range: [0.1, 1.0], points: 10}
mapping: fixed
"""


def written(folder: Path, study: str = STUDY, spec: str = SPEC) -> Path:
    """The study file in a folder, with its specification beside it."""
    (folder / "spec.yaml").write_text(spec)
    file = folder / "study.yaml"
    file.write_text(study)
    return file


def points(folder: Path) -> list[dict[str, Any]]:
    """All points of a study, without how long they took."""
    return sl.Store.opened(folder).points().drop_columns(["seconds"]).to_pylist()


def run(file: Path, folder: Path, how: sl.RunOptions | None = None) -> list[dict[str, Any]]:
    """The points of a study that is run to its end."""
    sl.Study.load(file).run(folder, how)
    return points(folder)


def parts(folder: Path) -> list[pa.Table]:
    """Every Parquet file of a study, as anybody reads it."""
    import pyarrow.parquet as parquet

    return [parquet.read_table(part) for part in sorted(folder.rglob("*.parquet"))]
