"""Timeloop's files that tests of the import share, and what they ask of them."""

from __future__ import annotations

import pytest

from sparseloop.input.diagnostics import SpecError
from sparseloop.input.spec import LevelSpec, Spec
from sparseloop.input.timeloop import importer
from sparseloop.input.yaml import files as yamlio

PROBLEM = """
problem:
  shape:
    name: matmul
    dimensions: [M, N, K]
    data-spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [K, N]}
    - {name: Z, projection: [[[M]], [[N]]], read-write: true}
  instance: {M: 8, N: 6, K: 4}
"""
ARCHITECTURE = """
architecture:
  version: 0.3
  subtree:
  - name: system
    local:
    - {name: DRAM, class: DRAM, attributes: {word-bits: 16, block-size: 4}}
    - {name: GLB, class: SRAM, attributes: {word-bits: 8, depth: 1024, width: 32, technology: 45nm}}
    subtree:
    - name: PE[0..7]
      local:
      - {name: RF, class: regfile, attributes: {datawidth: 8, entries: 64, meshX: 4}}
      - {name: MAC, class: intmac, attributes: {datawidth: 8, meshX: 4}}
"""
MAPPING = """
mapping:
- {target: DRAM, type: temporal, factors: M=2 N=3 K=1, permutation: KNM}
- {target: GLB, type: temporal, factors: "K4", permutation: KMN}
- {target: GLB, type: spatial, factors: "M4,N2", permutation: MNK, split: 1}
- {target: RF, type: bypass, keep: [Z], bypass: [A, B]}
"""
CONV = """
problem:
  shape:
    name: conv1d
    dimensions: [R, P, K]
    data_spaces:
    - {name: Outputs, projection: [[[P]], [[K]]], read_write: true}
    - {name: Weights, projection: [[[R]], [[K]]]}
    - {name: Inputs, projection: [[[R], [P]]]}
  instance: {R: 3, P: 4, K: 2}
architecture:
  version: 0.3
  subtree:
  - name: system
    local:
    - {name: DRAM, class: DRAM, attributes: {word-bits: 16}}
    - {name: Buffer, class: SRAM, attributes: {word-bits: 16, depth: 64, width: 16}}
    - {name: MAC, class: intmac, attributes: {datawidth: 16}}
mapping:
- {target: DRAM, type: temporal, factors: R=1 P=4 K=2, permutation: KPR}
- {target: Buffer, type: temporal, factors: R=3 P=1 K=1, permutation: RPK}
"""
"""Inputs: a window of 3 moves 3 times by 1: 6 words. With K inside P, v3.0.3 fetches each of the 4 windows."""

CONV_STATS = """Buffer and Arithmetic Levels
----------------------------
Level 0
-------
=== MAC ===

    SPECS
    -----
    Word bits             : 16
    Compute energy        : 9.99 pJ

    STATS
    -----
    Utilized instances      : 1
    Computes (total)        : 24
    Cycles                  : 24

Level 1
-------
=== Buffer ===

    SPECS
    -----
        Size                 : 64
        Shared bandwidth     : -

    MAPPING
    -------
    Loop nest:
      for R in [0:3)

    STATS
    -----
    Cycles               : 24
    Bandwidth throttling : 1.00
    Weights:
        Partition size                           : 6
        Utilized capacity                        : 3
        Utilized instances (max)                 : 1
        Scalar reads (per-instance)              : 24
        Scalar fills (per-instance)              : 24
    Inputs:
        Utilized capacity                        : 3
        Utilized instances (max)                 : 1
        Scalar reads (per-instance)              : 24
        Scalar fills (per-instance)              : 12

Networks
--------
Network 0
---------
DRAM <==> Buffer

    SPECS
    -----
        Type            : Legacy

    STATS
    -----
    Weights:
        Fanout                                  : 1
        Ingresses                               : 24.00
            @multicast 1 @scatter 1: 24.00
    Inputs:
        Ingresses                               :
            @multicast 1 @scatter 1: 4.00
            @multicast 1 @scatter 2: 2.00

Summary Stats
-------------
Utilization: 1.00
Cycles: 24
Energy: 0.05 uJ
Area: 0.00 mm^2

Computes = 24
"""


def convert(*texts: str) -> Spec:
    data, source = yamlio.load_text("\n".join(texts), name="all.yaml")
    return importer.to_spec(data, source)


def mistakes(*texts: str) -> str:
    with pytest.raises(SpecError) as caught:
        convert(*texts)
    return str(caught.value)


def line_of(word: str, *texts: str) -> int:
    return next(i for i, line in enumerate("\n".join(texts).splitlines(), 1) if word in line)


def level(spec: Spec, name: str) -> LevelSpec:
    return next(x for x in spec.architecture.levels if isinstance(x, LevelSpec) and x.name == name)
