"""EIE: the padding expectation against drawn columns, and its queues."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.model.density import Actual, Uniform
from sparseloop.validation.targets.eie import entries_drawn, padding, queued


def counted(pattern: np.ndarray) -> float:
    """Padding entries per non-zero, column by column: one for every 16 zeros before a value."""
    entries = 0
    for column in pattern:
        at = np.flatnonzero(column)
        entries += sum((np.diff(at, prepend=-1) - 1) // 16)
    return entries / pattern.sum()


def test_padding_equals_the_mean_of_drawn_columns() -> None:
    rng = np.random.default_rng(7)
    shape, density = (200, 64), 0.04
    drawn = []
    for _ in range(200):
        flat = np.zeros(shape[0] * shape[1], dtype=bool)
        flat[rng.choice(flat.size, int(density * flat.size), replace=False)] = True
        drawn.append(counted(flat.reshape(shape)))
    error = np.std(drawn) / len(drawn) ** 0.5
    assert abs(padding(Uniform(shape, density), 64) - np.mean(drawn)) < 4 * error


def test_a_long_column_approaches_the_closed_form() -> None:
    q16 = 0.96**16
    assert padding(Uniform((10, 1_000_000), 0.04), 1_000_000) == pytest.approx(q16 / (1 - q16), rel=1e-3)


def test_known_columns() -> None:
    column = np.zeros((1, 40), dtype=bool)
    column[0, [3, 39]] = True  # 3 zeros, then 35: two entries of 16
    assert counted(column) == 1.0
    assert padding(Actual(np.ones((4, 64), dtype=bool)), 64) == 0.0


def test_queues() -> None:
    even = np.full((100, 64), 3)
    assert queued(even) == 301  # the first column arrives after a cycle
    assert queued(np.zeros((100, 64), dtype=int)) == 101  # a column a cycle, whatever is in it
    uneven = np.ones((100, 64), dtype=int)
    uneven[:, 5] = 10
    assert queued(uneven) == 1001


def test_drawn_entries_agree_with_the_expectation() -> None:
    drawn = entries_drawn(4096, 2000, 0.04)
    assert drawn.sum() / (4096 * 2000 * 0.04) == pytest.approx(1 + padding(Uniform((2000, 4096), 0.04), 64), rel=5e-3)
    assert entries_drawn(1000, 50, 1.0).sum(axis=0).tolist() == [50 * 16] * 40 + [50 * 15] * 24
