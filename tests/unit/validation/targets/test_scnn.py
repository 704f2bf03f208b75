"""SCNN: activities beside the walker's, cycles of layers beside drawn ones, the sweep."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.validation.targets import scnn
from sparseloop.validation.targets.scnn_network import ConvLayer, dense_cycles, inception_layers, network_speed, sparse_cycles


def test_every_activity_lies_within_the_walkers_errors() -> None:
    result = scnn.small(0.275, 0.35, 0.207)
    ours, seen = scnn.model_activities(result), scnn.drawn(result, 60)
    for name, value in ours.items():
        values = np.array([one[name] for one in seen])
        error = values.std() / len(values) ** 0.5
        assert abs(values.mean() - value) <= 5 * error + 1e-6 * max(value, 1.0), name  # rare: an empty tile


def test_a_layer_within_one_per_cent() -> None:
    rows = list(scnn.layer_rows("conv3", scnn.small(0.275, 0.35, 0.207), 40))
    assert [row.figure for row in rows] == ["computes", "reads", "writes"]
    assert all(row.within for row in rows)
    assert all(row.low is not None and row.high is not None and row.low < row.ours < row.high for row in rows)


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_cycles_of_a_layer_equal_drawn_ones(density: float) -> None:
    """8 x 8 PEs with 2 x 2 words or fewer of 64 channels: 36 of them have four; two groups of 64 channels, and one of 8."""
    layer = ConvLayer(side=14, inputs=64, outputs=136, filter=3)
    dice, drawn = np.random.default_rng(3), list[float]()
    total = 64 * 14 * 14
    for _ in range(200):
        planes = dice.hypergeometric(round(density * total), total - round(density * total), 4, (36, 64))
        slowest = np.ceil(planes / 4).sum(axis=1).max()
        weights = dice.binomial([9 * 64, 9 * 64, 9 * 8], density, (64, 3))
        drawn.append(slowest * np.ceil(weights / 4).mean(axis=0).sum())
    assert sparse_cycles(layer, density) == pytest.approx(np.mean(drawn), rel=0.02)


def test_dense_operands_fill_vectors_of_four() -> None:
    assert sparse_cycles(ConvLayer(56, 64, 8, 3), 1.0) == 64 * 13 * 18  # 49 and 72 in fours
    assert sparse_cycles(ConvLayer(7, 832, 48, 1), 1.0) == 832 * 1 * 12  # a word for a vector of four
    assert dense_cycles(ConvLayer(7, 832, 48, 1)) == 832 * 48 / 16


def test_the_network_is_near_the_published_sweep() -> None:
    """0.79 and 24 published; the network has 54 layers and 7 to 28 words a side."""
    assert len(inception_layers()) == 54
    assert network_speed(1.0) == pytest.approx(0.79, rel=0.06)
    assert network_speed(0.1) == pytest.approx(24, rel=0.07)


def test_energy_falls_with_density() -> None:
    assert scnn.energy(0.1) > scnn.energy(0.5) > 1 > scnn.energy(1.0)
