"""Hops, words and energy on networks by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.model.cost.networks import least_word_pj, mean_hops, sees_partial_sums, tile_width_mm
from sparseloop.model.design.arch import Network
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import LinkEnds
from sparseloop.model.traffic.tiles import Tiles
from tests.helpers.plans import PRICES, link, planned
from tests.helpers.walks import matmul

PROBLEM = matmul(m=4, n=4, k=4)


def hops(loops: str, tensor: str, height: int = 1) -> float:
    levels = ({}, {"instances": 4 * height, "mesh_x": 4, "mesh_y": height}) if height > 1 else ()
    plan, mapping = planned(PROBLEM, loops, "ABZ|ABZ", levels=levels)
    return float(mean_hops(plan, Tiles(plan, mapping.bounds), link(plan, 0, tensor), 0))


def test_a_word_goes_to_its_column() -> None:
    """A[m,k] over 4 columns of m: on average 0, 1, 2, 3 columns away."""
    assert hops("m4x|n4 k4", "A") == 1.5


def test_a_shared_word_goes_to_the_farthest_column() -> None:
    assert hops("m4x|n4 k4", "B") == 3
    assert hops("m1x|m4 n4 k4", "B") == 0


def test_groups_that_share_lie_side_by_side() -> None:
    """2 groups (n) of 2 neighbours (m, innermost): A is shared by the far columns of both, B by neighbours."""
    plan, mapping = planned(PROBLEM, "n2x m2x|m2 n2 k4", "ABZ|ABZ")
    tiles = Tiles(plan, mapping.bounds)
    assert float(mean_hops(plan, tiles, link(plan, 0, "A"), 0)) == 2 + 0.5  # n: 2 columns on; m: 0 or 1
    assert float(mean_hops(plan, tiles, link(plan, 0, "B"), 0)) == 1 + 1  # n: 0 or 2; m: 1 column on


def test_rows_lie_above_and_below_the_middle() -> None:
    """In a mesh of 3 rows, used in the first alone, every word goes one row from the middle."""
    assert hops("m4x|n4 k4", "A", height=3) == 1.5 + 1


def test_words_of_a_bypassed_level_pass_its_network() -> None:
    """B bypasses level 1: its words go from level 0 over both networks."""
    plan, mapping = planned(PROBLEM, "n4|m4 k4", "ABZ|AZ", levels=({}, {}, {}))
    cost = evaluate_plan(plan, mapping.bounds)
    outer, inner = cost.networks
    assert [k.dense.link.name for k in outer.passing] == ["A", "B", "Z"]
    assert [k.dense.link.name for k in inner.passing] == ["A", "B", "Z"]
    assert float(outer.words_down["B"]) == float(inner.words_down["B"]) == 64
    assert float(outer.words_down["A"]) == 16
    assert float(inner.words_up["Z"]) == 64
    assert float(outer.words_up["Z"]) == 16


def test_multicast_copies_words_on_the_way_in() -> None:
    """B goes from level 0 to 4 lanes past level 1 (which keeps none of it): one read, 4 words on the inner network."""
    plan, mapping = planned(PROBLEM, "m4x|n4 k4", "ABZ|AZ", levels=({}, {}, {}))
    cost = evaluate_plan(plan, mapping.bounds)
    outer, inner = cost.networks
    assert float(outer.words_down["B"]) == 16
    assert float(inner.words_down["B"]) == 64


def test_partial_sums_are_added_on_the_way_up() -> None:
    """k over 4 lanes: 4 partial sums of each of the 64 / 4 words become one with 3 additions."""
    network = Network(name="net", word_bits=16, adder_pj=2.0)
    plan, mapping = planned(PROBLEM, "k4x|m4 n4", "ABZ|AB", levels=({"network": network},))
    (outer, _) = evaluate_plan(plan, mapping.bounds).networks
    assert float(outer.words_up["Z"]) == 16
    assert float(outer.additions) == 3 * 16
    assert float(outer.energy_pj) == 2.0 * 3 * 16


def test_energy_of_wires_routers_and_entry() -> None:
    """A: 16 words, 1.5 hops; B: 16 words, 3 hops; Z: 16 words up, 1.5 hops. Routers on the way: 1 + whole hops."""
    network = Network(name="net", word_bits=16, energy_per_hop_pj=10.0, router_pj=1.0, ingress_pj=0.5)
    plan, mapping = planned(PROBLEM, "m4x|n4 k4", "ABZ|ABZ", levels=({"network": network},))
    (outer, _) = evaluate_plan(plan, mapping.bounds).networks
    routed = [(16, 1.5, 2), (16, 3.0, 4), (16, 1.5, 2)]
    assert float(outer.energy_pj) == sum(words * (h * 10.0 + routers * 1.0 + 0.5) for words, h, routers in routed)
    ends = [LinkEnds(einsum=plan.einsum, arch=plan.arch, sparse=plan.sparse, tensor=t, parent=0, child=1) for t in range(3)]
    assert [least_word_pj(end, 0, h) for end, (_, h, _) in zip(ends, routed, strict=True)] == [17.5, 34.5, 17.5]
    assert not any(map(sees_partial_sums, ends)), "the outer level adds in place"


def test_a_hop_is_as_long_as_a_child_is_wide() -> None:
    """4 lanes of 100 um2 registers and 300 um2 compute each: a child has 400 um2, so 20 um."""
    levels = ({}, {"area_um2": 100.0}, {"area_um2": 300.0})
    plan, _ = planned(PROBLEM, "m4x|n4 k4", "ABZ|ABZ", levels=levels)
    assert tile_width_mm(plan.arch, 0) == pytest.approx(0.020)
    assert tile_width_mm(plan.arch, 1) == pytest.approx(np.sqrt(300) / 1000)
    given = Network(name="net", word_bits=16, tile_width_mm=0.5)
    plan, _ = planned(PROBLEM, "m4x|n4 k4", "ABZ|ABZ", levels=({"network": given},))
    assert tile_width_mm(plan.arch, 0) == 0.5
    assert PRICES["read"].energy_pj == 1
