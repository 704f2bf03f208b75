"""Energy, cycles, utilization and packing of small mappings by hand: every action costs 1 pJ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparseloop.model.cost.cost import Cost
from sparseloop.model.design.arch import Network
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import Sparse
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.status import Status
from tests.helpers.plans import PRICES, link, planned
from tests.helpers.walks import DENSE, conv1d, fmt, matmul, saf

PROBLEM = matmul(m=4, n=4, k=4)
OWN = Sparse(formats={(0, "A"): fmt("CP", "CP")}, safs=(saf("spatial_skip", 0, "A", "A"),))
FREE = {action: replace(price, energy_pj=0.0) for action, price in PRICES.items()}


def only(*actions: str):
    """Prices of 1 pJ for these actions, 0 for all others."""
    return FREE | {action: PRICES[action] for action in actions}


def evaluated(loops: str, keep: str, levels=(), sparse: Sparse = DENSE, problem: Einsum = PROBLEM, **densities) -> Cost:
    plan, mapping = planned(problem, loops, keep, sparse=sparse, levels=levels, **densities)
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


def test_a_block_has_words_of_one_delivery() -> None:
    """16 tiles of A of one word, then of three: none share a block, whatever the format; at the compute link 18 words fill 3."""
    levels, lists = ({"block_size": 8}, {"block_size": 8}), Sparse(formats={(at, "A"): fmt("RLE") for at in (0, 1)})
    for sparse in (DENSE, lists):
        single = evaluated("m16|", "ABZ|ABZ", levels, sparse, problem=matmul(m=16, n=1, k=1))
        triple = evaluated("m16|k3", "ABZ|ABZ", levels, sparse, problem=matmul(m=16, n=1, k=3))
        for cost in (single, triple):
            assert (count(cost, 0, "A", "read"), count(cost, 1, "A", "fill")) == (16, 16)
        assert count(single, 1, "A", "read") == 2
        assert count(triple, 1, "A", "read") == 6
        whole = evaluated("m18", "ABZ", levels, problem=matmul(m=18, n=1, k=1))
        assert count(whole, 0, "A", "read") == count(whole, 0, "Z", "update") == 3


def test_siblings_share_the_blocks_of_a_delivery() -> None:
    """Four lanes with a word of A each, and B[n,k] the same for all: 4 words and 1 word are sent in each of 2 steps of k."""
    levels = ({"block_size": 8}, {"block_size": 8})
    cost = evaluated("k2 m4x|", "ABZ|ABZ", levels, problem=matmul(m=4, n=1, k=2))
    assert (count(cost, 0, "A", "read"), count(cost, 1, "A", "fill")) == (2, 8)
    assert (count(cost, 0, "B", "read"), count(cost, 1, "B", "fill")) == (2, 8)
    assert count(cost, 0, "Z", "update") == 1  # stays over k


def test_what_is_left_of_a_delivery_opens_one_block() -> None:
    """Half of the 4 words of A in a step are left, P(none) = C(4,4) / C(8,4) = 1/70; a step in which one is costs an access."""
    cost = evaluated("k2 m4x|", "ABZ|ABZ", ({"block_size": 8},), OWN, problem=matmul(m=4, n=1, k=2), A=0.5)
    assert count(cost, 0, "A", "read") == pytest.approx(2 * (1 - 1 / 70))


def test_deliveries_that_end_early_are_shorter() -> None:
    """m = 5 in tiles of 3 and of 2 words: two accesses of blocks of 4, in which 5 words fill 1.25."""
    assert count(evaluated("m2|m3,2", "ABZ|ABZ", ({"block_size": 4},), problem=matmul(m=5, n=1, k=1)), 0, "A", "read") == 2


def test_a_window_that_slides_starts_a_block_for_what_it_brings() -> None:
    """I[p + r], r = 3 at the child: a window of 3 words, then 7 times one word: 8 accesses of 8 words, not 10 / 8."""
    cost = evaluated("p8|r3", "IWO|IWO", ({"block_size": 8},), problem=conv1d(r=3, p=8))
    assert count(cost, 0, "I", "read") == 8


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
