"""SCNN: activities beside the walker's, cycles of a channel beside drawn ones, the sweep."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.validation.targets import scnn


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
def test_cycles_of_a_channel_equal_drawn_ones(density: float) -> None:
    dice = np.random.default_rng(3)
    total, size = 64 * 56 * 56, 49
    full = round(density * total)
    drawn = []
    for _ in range(2000):
        planes = dice.hypergeometric(full, total - full, size, 64)  # of a large tensor: nearly independent
        weights = dice.hypergeometric(round(density * 192 * 576), round((1 - density) * 192 * 576), 72)
        drawn.append(np.ceil(planes / 4).max() * np.ceil(weights / 4))
    assert abs(scnn.cycles_of_channel(density) - np.mean(drawn)) < 4 * np.std(drawn) / len(drawn) ** 0.5


def test_dense_operands_fill_vectors_of_four() -> None:
    assert scnn.cycles_of_channel(1.0) == 13 * 18  # 49 and 72 in fours


def test_energy_falls_with_density() -> None:
    assert scnn.energy(0.1) > scnn.energy(0.5) > 1 > scnn.energy(1.0)
