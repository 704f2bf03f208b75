"""Parallel lanes outside the steps of their rank: the tiles of a step are words that lie far apart."""

from __future__ import annotations

import pytest

import sparseloop as sl

TEXT = """\
workload: {{einsum: "Z[m,n] = W[m,k] * B[k,n]", shape: {{m: 2, n: 2, k: {size}}}, density: {{W: {density}}}}}
architecture:
  levels:
    - {{name: L1, class: buffer, energy: {{read: 1, write: 1}}}}
    - {{fanout: {lanes}, name: PE}}
    - {{name: L0, class: buffer, energy: {{read: 1, write: 1}}}}
    - {{name: MAC, class: mac, energy: {{compute: 1}}}}
sparse:
  L1: {{formats: {{W: B(*)}}}}
  L0: {{formats: {{W: B(*)}}, skip: [B <- W]}}
mapping:
  - L1: for m=2 n=2
  - PE: k={lanes}
  - L0: for k={steps} | keep W B
"""


def result_updates(density: str, lanes: int, steps: int) -> float:
    cost = sl.evaluate(sl.loads(TEXT.format(density=density, lanes=lanes, steps=steps, size=lanes * steps))).cost
    return sum(float(link.updates.actual) for link in cost.sparse.links if link.dense.link.name == "Z")


@pytest.mark.parametrize(
    ("density", "lanes", "steps", "updates"),
    [
        ("2:4 k", 2, 4, 12.0),  # 16 * (1 - (2/4)^2)
        ("1:4 k", 2, 4, 7.0),  # 16 * (1 - (3/4)^2)
        ("2:8 k", 2, 8, 14.0),  # 32 * (1 - (6/8)^2)
        ("2:4 k", 4, 2, 8 * 35 / 36),  # lanes 0, 2, 4, 6: two words in each of two groups: 8 * (1 - (1/6)^2)
        ("1:8 k", 2, 8, 7.5),  # 32 * (1 - (7/8)^2)
    ],
)
def test_updates_of_a_step_need_any_lane(density: str, lanes: int, steps: int, updates: float) -> None:
    """Z is reduced over the lanes: an update per step in which any lane has a non-zero."""
    assert result_updates(density, lanes, steps) == pytest.approx(updates)


@pytest.mark.parametrize(("lanes", "steps"), [(2, 4), (4, 2), (8, 1), (1, 8)])
def test_blocks_of_one_word_are_uniform(lanes: int, steps: int) -> None:
    blocks = result_updates("{model: block, block: [1, 1], density: 0.25}", lanes, steps)
    assert blocks == pytest.approx(result_updates("0.25", lanes, steps))
