"""Lanes that wait, by hand: the fullest of a few lanes; and what cannot be asked for."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.model.barriers import dealt, fullest

SPEC = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 4, n: 8, k: 4}
  density: {A: A.npy}
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: lanes, fanout: {x: 4}}
    - {name: RF, class: regfile, capacity: 64 words}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for n=8
  - lanes: m=4
  - RF: "for k=4 | bypass A Z"
sparse:
  DRAM: {formats: {A: CP}}
  RF: {skip: [B <- A]}
"""
ROWS = [[1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
"""4, 1, 1 and 0 non-zeros: columns 3, 1, 1, 1."""


def cycles(tmp_path, *overrides: str) -> float:
    np.save(tmp_path / "A.npy", np.array(ROWS, dtype=bool))
    (tmp_path / "spec.yaml").write_text(
        SPEC.replace("skip: [B <- A, Z <- A]", "").replace("sparse:", "sparse:\n  RF: {skip: [B <- A]}")
    )
    return float(sl.evaluate(sl.load(tmp_path / "spec.yaml", overrides=list(overrides))).cost.levels[-1].cycles)


def test_lanes_wait_for_the_fullest(tmp_path) -> None:
    """8 columns of B, 4 steps each; a tile of B moves below in every one of the 8: the fullest lane has all 4 steps."""
    assert cycles(tmp_path) == 8 * 6 / 4
    assert cycles(tmp_path, "architecture.levels.lanes.sync=pass") == 8 * 4
    assert cycles(tmp_path, "architecture.levels.lanes.sync=step") == 8 * 4  # no column of A is empty in all rows
    assert cycles(tmp_path, "architecture.levels.lanes.sync=pass", "architecture.levels.lanes.balance=greedy") == 8 * 2
    assert cycles(tmp_path, "architecture.levels.lanes.balance=greedy") == 12


@pytest.mark.parametrize(("units", "chance", "lanes"), [(3, 0.4, 2), (4, 0.25, 3), (1, 0.5, 4)])
def test_the_fullest_of_all_outcomes(units: int, chance: float, lanes: int) -> None:
    weigh = [[chance ** sum(lane) * (1 - chance) ** (units - sum(lane)) for lane in product((0, 1), repeat=units)]] * lanes
    sums = [[sum(lane) for lane in product((0, 1), repeat=units)]] * lanes
    every = list(zip(product(*sums), product(*weigh), strict=True))
    assert fullest(units, chance, lanes) == pytest.approx(sum(max(k) * np.prod(p) for k, p in every))
    assert dealt(units, chance, lanes) == pytest.approx(sum(-(-sum(k) // lanes) * np.prod(p) for k, p in every))


def test_many_units_are_nearly_normal() -> None:
    exact, normal = fullest(16_000, 0.3, 64), fullest(17_000, 0.3, 64)
    assert normal - 17_000 * 0.3 == pytest.approx((exact - 16_000 * 0.3) * (17 / 16) ** 0.5, rel=0.005)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["architecture.levels.lanes.sync=never"], "expected 'step', 'pass' or 'end'"),
        (["architecture.levels.lanes.balance=fair"], "expected 'none' or 'greedy'"),
        (["architecture.levels.lanes.sync=pass", "sparse.DRAM.spatial_skip=[Z <- A]"], "not modelled"),
    ],
)
def test_mistakes(tmp_path, overrides: list[str], message: str) -> None:
    with pytest.raises(sl.SpecError, match=message):
        cycles(tmp_path, *overrides)
