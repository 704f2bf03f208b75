"""What results cost that are not given: CPU time with the density that operands make, over that of a dense result.

`python bench/produced.py [COUNT]` prints a line for each workload: one mapping (warm: the specification is resolved, its template
compiled), and a batch of random mappings, of which the first run and a later one, which finds tiles that were asked for before.
Every number is the median of runs that take turns.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median

from batches import KEEP, random_batch

import sparseloop as sl

ROUNDS = 7
LEVELS = """
architecture:
  node: 45nm
  levels:
    - {{name: DRAM, class: dram, type: LPDDR4, bandwidth: 16, word_bits: 16, block_size: 4}}
    - {{name: GLB, class: sram, capacity: 128 KiB, bandwidth: 64, word_bits: 16, metadata: 64 KiB}}
    - {{fanout: {{x: 16, y: 16}}}}
    - {{name: RF, class: regfile, capacity: 64 words, word_bits: 16, metadata: 64 B}}
    - {{name: MAC, class: mac}}
mapping:
{mapping}
sparse:
  DRAM: {{formats: {{{formats}}}}}
  GLB: {{formats: {{{formats}}}, skip: [B <- A]}}
  RF: {{formats: {{{formats}}}, skip: [A <-> B, Z <- A B]}}
  MAC: {{gate: true}}
"""
PRODUCT = """workload:
  einsum: "Z[m,n] = A[m,k] * B[k,n]"
  shape: {{m: 1024, k: 1024, n: 1024}}
  density: {{A: {a}, B: 0.3{result}}}
"""
PRODUCT_LOOPS = """\
  - DRAM: for m=8 n=8 k=8
  - GLB: for m=4 n=4 k=16
  - par: x m=16, y n=16
  - RF: for m=2 n=2 k=8"""
CONVOLUTION = """workload:
  einsum: "Z[m,p,q] = A[c,p+r,q+s] * B[m,c,r,s]"
  shape: {{m: 64, c: 64, p: 16, q: 16, r: 3, s: 3}}
  density: {{A: {a}, B: 0.3{result}}}
"""
CONVOLUTION_LOOPS = """\
  - DRAM: for m=4 c=8
  - GLB: for q=16
  - par: x p=16, y m=4 r=3
  - RF: for m=4 c=8 s=3"""
TEXTS = {
    "product": (PRODUCT, PRODUCT_LOOPS, "csr", "0.1"),
    "product, n:m": (PRODUCT, PRODUCT_LOOPS, "csr", "'2:4 k'"),
    "convolution": (CONVOLUTION, CONVOLUTION_LOOPS, "RLE(*)", "0.3"),
}


def text_of(name: str, result: str) -> str:
    """A specification with the density of its result added."""
    workload, mapping, form, a = TEXTS[name]
    formats = ", ".join(f"{tensor}: {form}" for tensor in "ABZ")
    return workload.format(a=a, result=result) + LEVELS.format(mapping=mapping, formats=formats)


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ratio(produced: Callable[[], object], dense: Callable[[], object], rounds: int) -> float:
    """Median CPU time of the one over that of the other."""
    pairs = [(seconds(produced), seconds(dense)) for _ in range(rounds)]
    return round(median(one for one, _ in pairs) / median(other for _, other in pairs), 2)


def measured(name: str, count: int) -> dict[str, float]:
    """The ratios of one workload."""
    specs = [sl.loads(text_of(name, result)) for result in ("", ", Z: dense")]
    batch = random_batch(sl.design_of(specs[0]), count, seed=0)

    def one_mapping(spec: sl.Spec) -> None:
        for _ in range(20):
            result = sl.evaluate(spec)
            _ = result.energy_pj, result.cycles, result.valid

    def many(spec: sl.Spec) -> object:
        return sl.evaluate(spec, batch, keep=KEEP)

    produced, dense = specs
    one_mapping(produced), one_mapping(dense)
    return {
        "one mapping": ratio(lambda: one_mapping(produced), lambda: one_mapping(dense), ROUNDS),
        "batch, first run": ratio(lambda: many(produced), lambda: many(dense), 1),
        "batch": ratio(lambda: many(produced), lambda: many(dense), 3),
    }


if __name__ == "__main__":
    for named in TEXTS:
        print(json.dumps({"workload": named, **measured(named, int(sys.argv[1]) if sys.argv[1:] else 20_000)}))
