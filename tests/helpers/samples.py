"""Specifications that tests of the public face share."""

from __future__ import annotations

MATMUL = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 64, n: 64, k: 64}
  density: {A: 0.25, B: 0.5}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, type: LPDDR4, bandwidth: 16}
    - {name: GLB, class: sram, capacity: 16 KiB, bandwidth: {read: 16, write: 16}, metadata: 8 KiB}
    - {fanout: {x: 8, y: 8}}
    - {name: RF, class: regfile, capacity: 64 words, bandwidth: 2}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for m=4
  - GLB: for n=8 k=8
  - par: x n=8, y m=8
  - RF: for m=2 k=8
sparse:
  DRAM: {formats: {A: csr, B: csr}}
  GLB: {formats: {A: csr, B: csr}, skip: [B <- A]}
  RF: {formats: {A: csr}, skip: [B <- A], gate: [Z <- A & B]}
  MAC: {gate: true}
"""

CONVOLUTION = """\
workload:
  name: conv
  einsum: O[n,m,p,q] = I[n,c,2*p+r,2*q+s] * W[m,c,r,s]
  shape: {n: 2, m: 8, c: 4, p: 5, q: 14, r: 3, s: 5}
  density: {I: 0.6, W: 2:4 c}
  word_bits: {I: 8, W: 8, O: 24}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, type: LPDDR4, bandwidth: 16 words/cycle, block_size: 4}
    - name: GLB
      class: sram
      capacity: 108 KiB
      bandwidth: {read: 16, write: 16}
      metadata: 8 KiB
      network: {energy_per_hop: 0.1}
    - {fanout: {x: 14, y: 12}}
    - {name: spad, class: regfile, capacity: 224 words}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for m=2 n=2
  - GLB: for c=4 p=5 | keep I O
  - par: x q=14, y r=3 m=2
  - spad: for m=2 s=5
sparse:
  DRAM: {formats: {I: RLE(5), O: RLE(5)}}
  spad: {skip: [W <- I], gate: [O <- I & W], intersection: leader_follower}
"""

IMPERFECT = CONVOLUTION.replace("q: 14", "q: 13").replace("x q=14", "x q=14~13")
OPTIONS = MATMUL.replace("skip: [B <- A]}", "skip: [{options: [B <- A, A <- B]}]}", 1)
GIVEN = MATMUL.replace("B: 0.5", "B: {model: banded, half_width: 3}")
LITERAL = MATMUL + "reading: timeloop\n"
DENSE = MATMUL.partition("sparse:")[0]

ALL = {
    "matmul": MATMUL,
    "convolution": CONVOLUTION,
    "imperfect": IMPERFECT,
    "options": OPTIONS,
    "given data": GIVEN,
    "literal": LITERAL,
    "dense": DENSE.replace("  density: {A: 0.25, B: 0.5}\n", ""),
}

INVALID = [
    "architecture.levels.GLB.capacity=512 words",
    "architecture.levels.GLB.metadata=100 B",
    "architecture.levels[2].fanout={x: 4, y: 8}",
    "architecture.levels.RF.decompression=false",
    "architecture.levels.RF.min_utilization=90%",
    "sparse.GLB.formats.A={ranks: [{kind: CP}], automatic: false}",
]
"""Overrides of MATMUL that violate every limit a mapping can violate."""
