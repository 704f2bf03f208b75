"""Accesses of whole blocks, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import sparseloop as sl

WINDOW = """
workload:
  einsum: Z[p] = I[p+r] * W[r]
  shape: {p: 4, r: 1}
architecture: {levels: [{name: L0, class: buffer, block_size: 2}, {name: L1, class: buffer}, {name: MAC, class: mac}]}
mapping: [{L0: for p=2}, {L1: LOOPS}]
"""


@pytest.mark.parametrize("loops", ["for p=2 r=1", "for p=2 r=5~1"])
def test_windows_that_end_early_are_sent_in_blocks(loops: str) -> None:
    """Two windows of two words: a block each; the loop over r has one iteration of five that exists."""
    cost = sl.evaluate(sl.loads(WINDOW.replace("LOOPS", loops))).cost
    reads = {a.tensor: a.count for a in cost.levels[0].actions if a.action == "read"}
    assert reads["I"] == pytest.approx(2)


def reads_of(text: str, tensor: str) -> float:
    """Read accesses of a tensor at the outermost level."""
    actions = sl.evaluate(sl.loads(text)).cost.levels[0].actions
    return next(float(a.count) for a in actions if (a.tensor, a.action) == (tensor, "read"))


def test_words_on_a_diagonal_fill_one_block() -> None:
    """(0,0), (2,1) and (4,2) lie in the band and are sent at once: three words, where most boxes of 5 x 3 have more."""
    text = """
workload:
  einsum: "Z[j] = A[i] * B[2*i,i]"
  shape: {i: 3, j: 1}
  density: {B: {model: banded, half_width: 2}}
architecture: {levels: [{name: L0, class: buffer, block_size: 8}, {name: L1, class: buffer}, {name: MAC, class: mac}]}
mapping: [{L0: }, {L1: for i=3}]
sparse: {L0: {formats: {B: CP(*)}}}
"""
    assert reads_of(text, "B") == 1


@pytest.mark.parametrize(("feature", "accesses"), [("", 2), ("skip: [I <- A]", 1)])
def test_what_is_left_of_every_delivery_of_given_data_fills_blocks(tmp_path: Path, feature: str, accesses: int) -> None:
    """Windows 0-1, 2, 3, 4 bring words 0 and 1 (a block), nothing, word 3 (a block), nothing; A leaves what p = 0 needs."""
    (tmp_path / "i.txt").write_text("11010")
    (tmp_path / "a.txt").write_text("1000")
    text = f"""
workload:
  einsum: "Z[p] = I[p+r] * A[p]"
  shape: {{p: 4, r: 2}}
  density: {{I: i.txt, A: a.txt, Z: dense}}
architecture: {{levels: [{{name: L0, class: buffer, block_size: 2}}, {{name: L1, class: buffer}}, {{name: MAC, class: mac}}]}}
mapping: [{{L0: for p=4}}, {{L1: for r=2}}]
sparse: {{L0: {{formats: {{I: CP(*), A: CP(*)}}, {feature}}}}}
"""
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    actions = sl.evaluate(sl.load(path)).cost.levels[0].actions
    assert next(float(a.count) for a in actions if (a.tensor, a.action) == ("I", "read")) == accesses
