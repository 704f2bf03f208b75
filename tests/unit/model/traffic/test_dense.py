"""Network options and overbooking, by direct enumeration."""

from __future__ import annotations

import pytest

import sparseloop as sl
from sparseloop.model.density import Uniform

SYSTOLIC = """
workload: {einsum: "O[p] = I[p+r] * W[r]", shape: {p: 8, r: 4}}
architecture:
  levels:
    - {name: GLB, class: sram, capacity: 64 words, network: {forwarding: FORWARDING, energy_per_hop: 1}}
    - {fanout: {x: 4}}
    - {name: PE, class: regfile, capacity: 4 words}
    - {name: MAC, class: mac}
mapping:
  - GLB: for p=8
  - par: x r=4
  - PE: keep I W | bypass O
"""


def words_received(steps: int, children: int) -> tuple[int, int]:
    """(read from the parent, passed on): child r needs word p + r at step p; its neighbour had it one step before."""
    parent = passed = 0
    held: dict[int, int] = {}
    for p in range(steps):
        needs = {r: p + r for r in range(children)}
        for r, word in needs.items():
            if held.get(r + 1) == word:
                passed += 1
            else:
                parent += 1
        held = needs
    return parent, passed


def test_systolic_forwarding() -> None:
    plain = sl.evaluate(sl.loads(SYSTOLIC.replace("FORWARDING", "false")))
    systolic = sl.evaluate(sl.loads(SYSTOLIC.replace("FORWARDING", "true")))
    inputs = [next(k for k in r.cost.sparse.links if k.dense.link.name == "I") for r in (plain, systolic)]
    parent, passed = words_received(8, 4)
    assert float(inputs[0].reads.actual) == 8 * 4
    assert float(inputs[1].reads.actual) == parent == 8 + 4 - 1
    assert float(inputs[1].forwarded) == passed
    assert float(inputs[1].fills.actual) == 8 * 4
    assert systolic.cost.networks[0].energy_pj < plain.cost.networks[0].energy_pj


OVERBOOKED = """
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 4, k: 16, n: 8}, density: {B: 0.25}}
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: GLB, class: sram, capacity: CAPACITY words, capacity_rule: RULE}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for n=4
  - GLB: for m=4 k=16 n=2 | keep B | bypass A Z
sparse:
  DRAM: {formats: {B: CP(*)}}
  GLB: {formats: {B: CP(*)}}
"""


OVERBOOKED_ROWS = """
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 4, n: 4, k: 8}, density: {A: 0.5}}
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: GLB, class: sram, capacity: CAPACITY words, capacity_rule: 0.01}
    - {name: MAC, class: mac}
sparse:
  DRAM: {formats: {A: "B(*)"}}
  GLB: {formats: {A: "B(*)"}}
mapping:
  - DRAM: for m=4
  - GLB: for n=4 k=8 | keep A
"""


def overbooked(rule: str, capacity: int) -> sl.Result:
    return sl.evaluate(sl.loads(OVERBOOKED.replace("RULE", rule).replace("CAPACITY", str(capacity))))


def test_overbooking_streams_what_does_not_fit() -> None:
    tile = Uniform((16, 8), 0.25).occupancy(32, (16, 2))
    held = tile.quantile(0.6)
    result = overbooked("0.6", int(held))
    link = next(k for k in result.cost.sparse.links if k.dense.link.name == "B")
    excess = sum(w * max(0.0, k - held) for k, w in zip(tile.values, tile.weights, strict=True))
    uses = 4.0  # every word is read once per m
    reads, fills, _ = link.overflow
    assert float(fills) == pytest.approx(4 * excess * (uses - 1))
    assert float(reads) == pytest.approx(float(fills))
    actions = result.cost.levels[0].actions
    assert float(next(a.count for a in actions if a.tensor == "B" and a.action == "read")) == pytest.approx(
        float(link.reads.actual + reads)
    )


@pytest.mark.parametrize(("capacity", "reads"), [(2, 40.2), (3, 29.6), (4, 21.7), (5, 17.6), (1000, 16)])
def test_only_what_does_not_fit_is_streamed(capacity: int, reads: float) -> None:
    """4 rows of 8 words, 16 non-zeros in all: 16 + 12 E[max(0, k - capacity)], whatever quantile the test counts."""
    text = OVERBOOKED_ROWS.replace("CAPACITY", str(capacity))
    actions = sl.evaluate(sl.loads(text)).cost.levels[0].actions
    assert float(next(a.count for a in actions if a.tensor == "A" and a.action == "read")) == pytest.approx(reads, abs=0.05)


def test_room_is_what_others_leave() -> None:
    """The column of B takes 8 words of the room; 4 of 12 are left for a row of A."""
    text = OVERBOOKED_ROWS.replace("CAPACITY", "12").replace("keep A", "keep A B").replace("for m=4", "for m=4 n=4")
    cost = sl.evaluate(sl.loads(text.replace("for n=4 k=8", "for k=8"))).cost
    inner = {k.dense.link.name: k for k in cost.sparse.links if k.dense.link.parent == 1}
    assert inner["A"].room == 4


def test_capacity_rules() -> None:
    tile = Uniform((16, 8), 0.25).occupancy(32, (16, 2))
    worst, expected, usual = int(tile.values[-1]), 8, int(tile.quantile(0.6))
    assert overbooked("worst", worst).valid
    assert not overbooked("worst", worst - 1).valid
    assert overbooked("expected", expected).valid
    assert not overbooked("expected", expected - 1).valid
    assert overbooked("0.6", usual).valid
    assert not overbooked("0.6", usual - 1).valid
