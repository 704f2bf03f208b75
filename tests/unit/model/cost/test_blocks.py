"""Accesses of whole blocks, by hand."""

from __future__ import annotations

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
