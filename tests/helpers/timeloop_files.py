"""Timeloop's files that tests of the import share, and what they ask of them."""

from __future__ import annotations

import pytest

from sparseloop.input import timeloop
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.spec import LevelSpec, Spec
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


def convert(*texts: str) -> Spec:
    data, source = yamlio.load_text("\n".join(texts), name="all.yaml")
    return timeloop.to_spec(data, source)


def mistakes(*texts: str) -> str:
    with pytest.raises(SpecError) as caught:
        convert(*texts)
    return str(caught.value)


def line_of(word: str, *texts: str) -> int:
    return next(i for i, line in enumerate("\n".join(texts).splitlines(), 1) if word in line)


def level(spec: Spec, name: str) -> LevelSpec:
    return next(x for x in spec.architecture.levels if isinstance(x, LevelSpec) and x.name == name)
