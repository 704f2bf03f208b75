"""Conditions over parameters and results."""

from __future__ import annotations

from typing import Any

import pytest

from sparseloop.explore.conditions import parse_condition
from sparseloop.input.expressions import NotationError

VALUES: dict[str, Any] = {"format": "csr", "banks": 8, "glb": 64, "idle": None, "packed": True, "area_um2": 3e6}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("banks >= 8", True),
        ("banks * glb <= 511", False),
        ("glb * 1024 * 8 <= 64 KiB", True),
        ("area_um2 <= 2e6", False),
        ("format == csr", True),
        ("format != 'csr'", False),
        ("format in [U, csr]", True),
        ("banks in [2, 4]", False),
        ("packed == true", True),
        ("not format == U and (banks < 4 or glb == 64)", True),
        ("format == U or banks > 8 and glb > 0", False),
        ("idle < 3", False),
        ("idle in [3]", False),
        ("not idle < 3", True),
    ],
)
def test_conditions_hold_as_read(text: str, holds: bool) -> None:
    assert parse_condition(text).holds(VALUES) is holds


@pytest.mark.parametrize(
    "text", ["", "banks", "banks >", "banks = 4", "1 < banks < 9", "banks in 4", "banks > 4 and", "(banks > 4"]
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        parse_condition(text).holds(VALUES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bank >= 8", "'bank >= 8' speaks of nothing that varies"),
        ("bank >= glb", "unknown name 'bank'"),
        ("format == crs", "'format' is never 'crs'"),
        ("format in [U, B]", "'format' is never 'B'"),
        ("banks * two > 4", "unknown name 'two'"),
    ],
)
def test_unknown_names_and_labels_are_found(text: str, message: str) -> None:
    with pytest.raises(NotationError, match=message.replace("[", r"\[")):
        parse_condition(text).check(VALUES, {"format": ["U", "csr"]})


def test_names_of_a_condition() -> None:
    assert parse_condition("format == csr and banks * 2 > glb").names(VALUES) == {"format", "banks", "glb"}
