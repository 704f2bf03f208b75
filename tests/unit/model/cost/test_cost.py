"""Energy, cycles, utilization and packing of small mappings by hand: every action costs 1 pJ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparseloop.model.cost.cost import Cost
from sparseloop.model.design.arch import Network
from sparseloop.model.design.sparse import Sparse
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.status import Status
from tests.helpers.plans import PRICES, link, planned
from tests.helpers.walks import DENSE, fmt, matmul, saf

PROBLEM = matmul(m=4, n=4, k=4)
FREE = {action: replace(price, energy_pj=0.0) for action, price in PRICES.items()}


def only(*actions: str):
    """Prices of 1 pJ for these actions, 0 for all others."""
    return FREE | {action: PRICES[action] for action in actions}


def evaluated(loops: str, keep: str, levels=(), sparse: Sparse = DENSE, **densities) -> Cost:
    plan, mapping = planned(PROBLEM, loops, keep, sparse=sparse, levels=levels, **densities)
    return evaluate_plan(plan, mapping.bounds, mapping.residuals)


def count(cost: Cost, level: int, tensor: str | None, action: str) -> float:
    (found,) = [a for a in cost.levels[level].actions if (a.tensor, a.action) == (tensor, action)]
    return float(found.count)


def test_energy_is_the_sum_of_counts_times_prices() -> None:
    """64 computes; A and B read each time, Z written each time and read but for the first of its 16 words."""
    cost = evaluated("m4 n4 k4", "ABZ", levels=({"prices": only("read", "update")}, {"prices": only("compute")}))
    assert [count(cost, 0, t, "read") for t in "ABZ"] == [64, 64, 48]
    assert count(cost, 0, "Z", "update") == 64
    assert count(cost, 1, None, "compute") == 64
    assert float(cost.energy_pj) == 64 + 64 + 48 + 64 + 64
    assert float(cost.edp) == float(cost.energy_pj) * 64


def test_blocks_clusters_and_widths_share_accesses() -> None:
    levels = ({"block_size": 4},)
    assert count(evaluated("m4 n4 k4", "ABZ", levels), 0, "A", "read") == 64 / 4
    levels = ({}, {"cluster_size": 4})
    assert count(evaluated("m4x|n4 k4", "ABZ|ABZ", levels), 1, "A", "read") == 64 / 4


def test_the_slowest_level_sets_the_pace() -> None:
    """Reads 64 + 64 + 48, writes 64 words: 88 cycles at 2 words a cycle, 64 of writes, 64 of computes, 80 of both at 3."""
    assert float(evaluated("m4 n4 k4", "ABZ").cycles) == 64
    assert float(evaluated("m4 n4 k4", "ABZ", ({"read_bandwidth": 2},)).cycles) == 88
    assert float(evaluated("m4 n4 k4", "ABZ", ({"write_bandwidth": 0.5},)).cycles) == 128
    assert float(evaluated("m4 n4 k4", "ABZ", ({"shared_bandwidth": 3},)).cycles) == 80
    network = Network(name="net", word_bits=16, fill_latency=5, drain_latency=7)
    assert float(evaluated("m4 n4 k4", "ABZ", ({"network": network},)).cycles) == 64 + 12


def test_lanes_work_at_the_same_time_and_leak_all_the_time() -> None:
    cost = evaluated("m4x|n4 k4", "ABZ|ABZ", ({}, {}, {"instances": 8, "mesh_x": 8, "prices": only("leak")}))
    assert [float(level.instances_used) for level in cost.levels] == [1, 4, 4]
    assert float(cost.cycles) == 16
    assert float(cost.utilization) == 64 / (8 * 16)
    assert count(cost, 2, None, "leak") == 8 * 16


def test_gated_events_keep_their_time_skipped_ones_do_not() -> None:
    gate, skip = (Sparse(formats={}, safs=(saf(kind, 0, "A", "B"),)) for kind in ("gate", "skip"))
    gated = evaluated("m4 n4 k4", "ABZ", ({"read_bandwidth": 2},), gate, B=0.5)
    assert [count(gated, 0, "A", a) for a in ("read", "gated_read", "skipped_read")] == [32, 32, 0]
    assert float(gated.cycles) == 88
    skipped = evaluated("m4 n4 k4", "ABZ", ({"read_bandwidth": 2},), skip, B=0.5)
    assert [count(skipped, 0, "A", a) for a in ("read", "gated_read", "skipped_read")] == [32, 0, 32]
    assert count(skipped, 0, "A", "intersect") == 64
    assert float(skipped.cycles) == max(32, (32 + 32 + 24) / 2)  # B and Z inherit the skip


def test_compressed_words_and_their_metadata() -> None:
    """8 of 16 words are stored, each with 8 bits read in accesses of 16; a decompressor writes all 16 into the next level."""
    sparse = Sparse(formats={(0, "A"): fmt("U", "CP")})
    cost = evaluated("m4 k4|n4", "ABZ|BZ", ({"metadata_access_bits": 16},), sparse, A=0.5)
    assert count(cost, 0, "A", "read") == 8 * 4
    assert count(cost, 0, "A", "metadata_read") == count(cost, 0, "A", "decode") == 8 * 4 / 2
    words = evaluated("m4 k4|n4", "ABZ|ABZ", sparse=sparse, A=0.5)
    assert count(words, 0, "A", "read") == 8
    assert count(words, 1, "A", "fill") == count(words, 1, "A", "decompress") == 16


def test_spatial_skips_pack_the_lanes_that_are_left() -> None:
    """4 lanes, one value of A each; 4 of 16 are non-zero: no lane can be saved for sure, time can."""
    sparse = Sparse(formats={}, safs=(saf("spatial_skip", 0, "B", "A"),))
    cost = evaluated("n4 k4 m4x|", "ABZ|BZ", sparse=sparse, A=0.25)
    assert [float(level.instances_used) for level in cost.levels] == [1, 4, 4]
    assert float(cost.cycles) == pytest.approx(4)
    rare = evaluated("n4 k4 m4x|", "ABZ|BZ", sparse=sparse, A=1 / 16)
    assert float(rare.cycles) == pytest.approx(1)
    assert float(rare.levels[-1].instances_used) == 4


def test_a_batch_has_one_number_a_mapping() -> None:
    plan, _ = planned(PROBLEM, "m4 n4 k4|m1 n1 k1", "ABZ|ABZ", levels=({}, {"capacity_words": 20}))
    bounds = np.array([[4, 1], [4, 1], [4, 4], [1, 4], [1, 4], [1, 1]], dtype=float)
    cost = evaluate_plan(plan, bounds)
    np.testing.assert_array_equal(np.broadcast_to(cost.cycles, 2), [64, 64])
    np.testing.assert_array_equal(cost.status, [0, int(Status.OVER_CAPACITY)])  # 4 + 4 + 16 words at level 1
    alone = [evaluate_plan(plan, bounds[:, i]) for i in range(2)]
    np.testing.assert_allclose(cost.energy_pj, [float(one.energy_pj) for one in alone], rtol=1e-15)
    assert link(plan, 0, "A").child == 1
