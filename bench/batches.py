"""Batches of random mappings of two sparse designs: `python bench/batches.py NAME COUNT` prints speed and memory as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import sparseloop as sl

EYERISS = tuple(
    str(Path(sl.__file__).parent / "designs" / "eyeriss_v1" / name) for name in ("architecture.yaml", "sparse.yaml", "conv3.yaml")
)
MATMUL = """\
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 1024, k: 1024, n: 1024}, density: {A: 0.2, B: 0.5}}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, type: LPDDR4, bandwidth: 16, word_bits: 16, block_size: 4}
    - {name: GLB, class: sram, capacity: 128 KiB, bandwidth: 64, word_bits: 16, metadata: 64 KiB}
    - {fanout: {x: 16, y: 16}}
    - {name: RF, class: regfile, capacity: 64 words, word_bits: 16, metadata: 64 B}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for m=8 n=8 k=8
  - GLB: for m=4 n=4 k=16
  - par: x m=16, y n=16
  - RF: for m=2 n=2 k=8
sparse:
  DRAM: {formats: {A: csr, B: csr}}
  GLB: {formats: {A: csr, B: csr}, skip: [B <- A]}
  RF: {formats: {A: csr, B: csr}, skip: [A <-> B]}
  MAC: {gate: true}
"""
KEEP = ("energy_pj", "cycles", "status")


def spec_of(name: str) -> sl.Spec:
    """'matmul' (three levels, A and B compressed, skipping) or 'eyeriss' (conv3 of AlexNet)."""
    return sl.load(*EYERISS) if name == "eyeriss" else sl.loads(MATMUL)


def with_all_ranks(design: sl.Design) -> sl.LoopNest:
    """The design's own template with a temporal loop for every rank at every level added."""
    assert design.mapping is not None
    nest, loops = design.mapping.nest, []
    for level in range(len(nest.keep)):
        mine = [loop for loop in nest.loops if loop.level == level]
        temporal = [loop for loop in mine if not loop.spatial]
        missing = [rank for rank in design.einsum.ranks if rank not in {loop.rank for loop in temporal}]
        loops += temporal + [sl.Loop(rank=rank, level=level) for rank in missing]
        loops += [loop for loop in mine if loop.spatial]
    return replace(nest, loops=tuple(loops))


def prime_factors(number: int) -> list[int]:
    found, factor = [], 2
    while number > 1:
        while number % factor == 0:
            found.append(factor)
            number //= factor
        factor += 1
    return found


def random_batch(design: sl.Design, count: int, seed: int) -> sl.MappingBatch:
    """Every prime factor of every rank goes to a random loop of the rank: most such mappings do not fit."""
    rng, nest = np.random.default_rng(seed), with_all_ranks(design)
    bounds = np.ones((len(nest.loops), count), dtype=np.int64)
    for rank, size in zip(design.einsum.ranks, design.einsum.shape, strict=True):
        slots = np.array([i for i, loop in enumerate(nest.loops) if loop.rank == rank])
        for factor in prime_factors(size):
            bounds[slots[rng.integers(0, len(slots), count)], np.arange(count)] *= factor
    return sl.MappingBatch(nest=nest, bounds=bounds)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(name: str, count: int) -> dict[str, float]:
    """Mappings per CPU second (the best of three runs, and the first) and peak memory of this process."""
    spec = spec_of(name)
    batch = random_batch(sl.design_of(spec), count, seed=0)
    before, rates, valid = peak_mb(), [], 0.0
    for _ in range(3):
        start = time.process_time()
        columns = sl.evaluate(spec, batch, keep=KEEP)
        rates.append(count / (time.process_time() - start))
        valid = float((columns["status"] == 0).mean())
    return {
        "mappings": count,
        "loops": len(batch.nest.loops),
        "mappings_per_cpu_second": round(max(rates)),
        "first_run": round(rates[0]),
        "peak_mb": round(peak_mb()),
        "peak_mb_before": round(before),
        "valid_fraction": round(valid, 4),
    }


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
