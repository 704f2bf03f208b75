"""Answers that are remembered row by row are those of the function."""

import numpy as np
import pytest

from sparseloop.model import rows
from sparseloop.model.rows import by_rows, known_rows


def test_remembered_answers_are_those_of_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "KNOWN_ROWS", 700)  # less than are asked for: some are forgotten in between
    asked = list[tuple[float, ...]]()

    def answer(*row: float) -> float:
        asked.append(row)
        return row[0] + 2 * row[1] + 0.5 * row[2]

    dice = np.random.default_rng(1)
    for turn in range(6):
        columns = [dice.integers(0, 12, (3, 100)).astype(float), 2.0 ** dice.integers(0, 9, 100), float(turn % 2)]
        found = known_rows(("here", 3), columns, answer)
        assert found.shape == (3, 100)
        assert (found == by_rows(columns, answer)).all()
        asked.clear()
        assert (known_rows(("here", 3), columns, answer) == found).all()
        assert not asked


def test_rows_of_zeros_and_numbers_without_axes() -> None:
    assert known_rows("zeros", [np.zeros(2), 0.0], lambda *row: 3.0 + sum(row)).tolist() == [3.0, 3.0]
    assert known_rows("zeros", [np.array([0.0, 0.5]), 0.0], lambda *row: 3.0 + sum(row)).tolist() == [3.0, 3.5]
    assert known_rows("one", [2, 0.5], lambda *row: sum(row)) == 2.5
    assert known_rows("one", [np.int64(2), np.array(0.5)], lambda *row: sum(row)) == 2.5
    assert known_rows("none", [np.zeros(0)], lambda *row: sum(row)).shape == (0,)
