"""A misspelt key of Timeloop's files is never ignored in silence: whatever key it is, a mistake or a note names it."""

from __future__ import annotations

import re

import pytest

from sparseloop.input import load
from sparseloop.input.diagnostics import SpecError
from tests.helpers.timeloop_files import MAPPING, convert, mistakes

PROBLEM = """
problem:
  shape:
    name: convolution
    dimensions: [M, N, K]
    coefficients:
    - {name: stride, default: 2}
    data-spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [K, N]}
    - {name: Z, projection: [[[M]], [[N]]], read-write: true}
  instance:
    M: 8
    N: 6
    K: 4
    stride: 3
    densities:
      A: {distribution: hypergeometric, density: 0.5}
      B: {distribution: banded, band_width: 1}
"""
ARCHITECTURE = """
architecture:
  subtree:
  - name: system
    local:
    - {name: DRAM, class: DRAM, attributes: {word-bits: 16, block-size: 4, metadata_storage_width: 24, metadata_datawidth: 4}}
    - {name: GLB, class: SRAM, attributes: {word-bits: 8, depth: 1024, width: 32}}
    subtree:
    - name: PE[0..7]
      local:
      - {name: RF, class: regfile, attributes: {datawidth: 8, entries: 64, meshX: 4}}
      - {name: MAC, class: intmac, attributes: {datawidth: 8, meshX: 4}}
"""
SPARSE = """
sparse_optimizations:
  targets:
  - name: DRAM
    representation-format:
      data-spaces:
      - name: A
        rank-application-order: inner-to-outer
        ranks: [{format: uop, payload-word-bits: 0}, {format: CP, flattened-rankIDs: [[K, M]], metadata-word-bits: 6}]
    action-optimization:
    - {type: skipping, options: [{target: B, condition-on: [A]}, {target: A, condition-on: [B]}]}
    - {type: gating, target: Z, condition-on: [A, B]}
  - name: MAC
    compute-optimization: [{type: gate-on-zero-operand}]
"""
CONSTRAINTS = """
architecture_constraints:
  targets:
  - {target: GLB, type: temporal, factors: "M=2", permutation: KM_N, default_max_factor: 4}
  - {target: RF, type: bypass, keep: [Z], bypass: [A]}
  - {target: RF, type: utilization, attributes: {min: 0.5}}
"""
TABLES = """
ERT:
  version: '0.4'
  tables:
  - name: system.DRAM[1..1]
    actions:
    - {name: read, energy: 512}
ART:
  version: 0.3
  tables: [{name: 'system.PE[0..7].RF', area: 50}]
"""
WHOLE = "".join((PROBLEM, ARCHITECTURE, MAPPING, SPARSE, CONSTRAINTS, TABLES))
KEY = re.compile(r"([A-Za-z][\w-]+): ?")
KEYS = [match for match in KEY.finditer(WHOLE) if match[1] not in ("version",)]


def notes_of(text: str) -> tuple[str, ...] | None:
    """The notes of an import; None if the files are refused."""
    try:
        return convert(text).notes
    except SpecError:
        return None


def test_the_files_are_read_without_a_note():
    assert convert(WHOLE).notes == ()


@pytest.mark.parametrize("match", KEYS, ids=[f"{WHOLE[: m.start()].count(chr(10))}-{m[1]}" for m in KEYS])
def test_no_key_is_dropped_in_silence(match: re.Match[str]):
    wrong = f"{match[1][:-1]}qz"
    text = WHOLE[: match.start(1)] + wrong + WHOLE[match.end(1) :]
    notes = notes_of(text)
    assert notes is None or any(f"'{wrong}'" in note for note in notes)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("- name: A\n        rank", "- namqz: A\n        rank", "a format has no 'name'", "did you mean 'name' by 'namqz'?"),
        ("[{format: uop", "[{fromat: uop", "a rank has no 'format'", "did you mean 'format' by 'fromat'?"),
        ("condition-on: [A]}", "condition_no: [A]}", "unknown key 'condition_no' of an option", "did you mean 'condition_on'?"),
        ("{name: GLB, class: SRAM", "{name: GLB, class: SRMA", "unknown class 'SRMA' of component 'GLB'", "did you mean 'SRAM'?"),
        ("depth: 1024", "depht: 1024", "unknown key 'depht' of level GLB", "did you mean 'depth'?"),
        ("band_width: 1", "bandwidht: 1", "the density of B has no 'band_width'", "did you mean 'band_width' by 'bandwidht'?"),
        ("PE[0..7]", "PE[0-7]", "'PE[0-7]' has no range that Timeloop reads: it would be one instance", "8 instances: PE[0..7]"),
        ("PE[0..7]", "PE[8]", "'PE[8]' has no range that Timeloop reads: it would be one instance", "8 instances: PE[0..7]"),
        ("hypergeometric", "hypergeom", "unknown density distribution 'hypergeom'", "did you mean 'hypergeometric'?"),
        ("depth: 1024", "depth: 9 per row", "unknown unit 'per'", "a slash says it: 16 words/cycle"),
        ("- name: PE[0..7]", "- nmae: PE[0..7]", "a node has no 'name'", "did you mean 'name' by 'nmae'?"),
        ("{name: read, energy: 512}", "{name: read, enrgy: 512}", "unknown key 'enrgy' of an action", "did you mean 'energy'?"),
    ],
)
def test_what_was_meant_is_said(old: str, new: str, message: str, hint: str):
    assert old in WHOLE
    text = mistakes(WHOLE.replace(old, new, 1))
    assert message in text
    assert hint in text


def test_the_native_reading_of_timeloops_files():
    assert load.loads(WHOLE).reading == "timeloop"
    assert load.loads(WHOLE, overrides=["reading=native"]).reading == "native"
    with pytest.raises(SpecError, match="reading"):
        load.loads(WHOLE, overrides=["reading=natve"])


def test_native_keys_beside_timeloops_sections_are_mistakes():
    with pytest.raises(SpecError, match="'energy' is a key of the native form"):
        load.loads(WHOLE, overrides=["energy.estimator=builtin"])
