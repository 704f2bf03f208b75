"""Conditions whose sides do not fit are mistakes when a study is read, not in the middle of a run."""

from __future__ import annotations

import pytest

from sparseloop.explore.conditions import parse_condition
from sparseloop.input.expressions import NotationError

VALUES = {"bw": 4, "kind": "csr", "edp": 1.0, "fast": True}
LABELS = {"kind": ["csr", "bitmask"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('bw < "a"', "'bw' is a number, 'a' is none"),
        ("kind < 3", "'kind' is a label, '3' is none"),
        ("kind == 3", "'kind' is a label, '3' is none"),
        ("kind < bitmask", "labels have no order"),
        ("bw in [4, 'x']", "'bw' is a number, 'x' is none"),
        ("kind in [csr, 3]", "'kind' is a label, '3' is none"),
        ("edp <= bw * 1e999", "'bw * 1e999' is no finite number"),
        ("edp <= 1e999", "'1e999' is no finite number"),
        ("bw > 1 and kind < 2", "'kind' is a label, '2' is none"),
        ("not kind >= csr", "labels have no order"),
    ],
)
def test_sides_that_do_not_fit(text: str, message: str):
    with pytest.raises(NotationError) as caught:
        parse_condition(text).check(VALUES, LABELS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", ["bw < 3", "kind == csr", "kind in [csr, 'bitmask']", "edp <= bw * 1e9", "fast == true", "bw in [4, 8]"]
)
def test_sides_that_fit(text: str):
    parse_condition(text).check(VALUES, LABELS)
