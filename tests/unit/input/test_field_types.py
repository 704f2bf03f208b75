"""Expressions and units."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseloop.input import expressions as expr
from sparseloop.input import field_types
from sparseloop.input.expressions import NotationError, Quantity
from tests.helpers.calls import calls_of


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (field_types.parse_capacity, "108 KiB", Quantity(108 * 1024 * 8, "bits")),
        (field_types.parse_capacity, "1 kB", Quantity(8000, "bits")),
        (field_types.parse_capacity, "1 KB", Quantity(8000, "bits")),
        (field_types.parse_capacity, "2 MiB", Quantity(2**24, "bits")),
        (field_types.parse_capacity, "2 * KiB * BANKS", Quantity(2 * 1024 * 8 * 4, "bits")),
        (field_types.parse_capacity, "224 words", Quantity(224, "words")),
        (field_types.parse_capacity, 224, Quantity(224, "words")),
        (field_types.parse_capacity, "64 Ki words", Quantity(65536, "words")),
        (field_types.parse_capacity, "64k", Quantity(64000, "words")),
        (field_types.parse_bandwidth, "16 words/cycle", Quantity(16, "words/cycle")),
        (field_types.parse_bandwidth, 16, Quantity(16, "words/cycle")),
        (field_types.parse_bandwidth, "64 bits/cycle", Quantity(64, "bits/cycle")),
        (field_types.parse_bandwidth, "8 B/cycle", Quantity(64, "bits/cycle")),
        (field_types.parse_bandwidth, "25.6 GB/s", Quantity(25.6e9 * 8, "bits/s")),
        (field_types.parse_node, "45nm", 45.0),
        (field_types.parse_node, 65, 65.0),
        (field_types.parse_length, "100 um", 0.1),
        (field_types.parse_length, 0.5, 0.5),
        (field_types.parse_energy, "1.5 nJ", 1500.0),
        (field_types.parse_energy, "200 fJ", 0.2),
        (field_types.parse_energy, 0.3, 0.3),
        (field_types.parse_frequency, "1 GHz", 1e9),
        (field_types.parse_frequency, "200 MHz", 2e8),
        (field_types.parse_count, "M", 8),
        (field_types.parse_count, "3e2", 300),
        (field_types.parse_count, 4.0, 4),
        (field_types.parse_count, "2**53", 2**53),
        (field_types.parse_count, "10 // 3", 3),
        (field_types.parse_count, "max(2, min(7, 5)) % 3", 2),
        (field_types.parse_count, "ceil(log2(100))", 7),
        (field_types.parse_count, "floor(sqrt(17))", 4),
        (field_types.parse_fraction, "60%", 0.6),
        (field_types.parse_fraction, "1/4", 0.25),
        (field_types.parse_number, "017", 17.0),
        (field_types.parse_number, "1e-12", 1e-12),
        (field_types.parse_number, "-2 + 3", 1.0),
    ],
)
def test_values(field, text, value):
    with expr.variables({"BANKS": 4, "M": "BANKS * 2"}):
        result = field(text)
    if isinstance(value, Quantity):
        assert result.unit == value.unit
        assert result.value == pytest.approx(value.value, rel=1e-12)
    else:
        assert result == pytest.approx(value, rel=1e-12)
        assert type(result) is type(value)


@pytest.mark.parametrize(
    ("field", "text", "part", "offset"),
    [
        (field_types.parse_count, "9**9**9", "too large", None),
        (field_types.parse_count, "10.0**400", "too large", 0),
        (field_types.parse_count, 2**53 + 1, "too large", None),
        (field_types.parse_count, 0, "whole number >= 1", None),
        (field_types.parse_count, 1.5, "whole number >= 1", None),
        (field_types.parse_count, True, "truth value", None),
        (field_types.parse_count, "2 KiB", "16384 bits", None),
        (field_types.parse_count, "BANK", "unknown name", 0),
        (field_types.parse_count, "2 * BANK", "unknown name", 4),
        (field_types.parse_count, "LOOP", "defined by itself", 0),
        (field_types.parse_count, "BAD + 1", "division by zero", 0),
        (field_types.parse_number, float("nan"), "finite", None),
        (field_types.parse_number, float("inf"), "finite", None),
        (field_types.parse_number, "1e400", "finite", None),
        (field_types.parse_number, -1, ">= 0", None),
        (field_types.parse_number, "1/0", "division by zero", 2),
        (field_types.parse_number, "__import__('os')", "unknown function", 0),
        (field_types.parse_number, "(1).real", "unexpected character", 3),
        (field_types.parse_number, "[1]", "only numbers", 0),
        (field_types.parse_number, "exec(1)", "unknown function", 0),
        (field_types.parse_number, "max(1, 2", "cannot read", 3),
        (field_types.parse_number, "", "cannot read", None),
        (field_types.parse_number, "(" * 1500, "longer", None),
        (field_types.parse_number, "sqrt(-1)", "sqrt", 0),
        (field_types.parse_number, "3 words", "plain number", None),
        (field_types.parse_capacity, "3 KiX", "unknown unit", 2),
        (field_types.parse_capacity, "8 KiB + 3 words", "cannot add", None),
        (field_types.parse_capacity, "3 pJ", "expected a size", None),
        (field_types.parse_bandwidth, "3 KiB", "expected a bandwidth", None),
        (field_types.parse_fraction, 1.5, "between 0 and 1", None),
        (field_types.parse_node, "45 um", "between 1nm", None),
        (field_types.parse_frequency, 0, "above 0", None),
        (field_types.parse_energy, "3 nm", "expected an energy", None),
    ],
)
def test_mistakes(field, text, part, offset):
    with expr.variables({"BANKS": 4, "LOOP": "LOOP + 1", "BAD": "1/0"}), pytest.raises(NotationError) as caught:
        field(text)
    assert part in caught.value.mistakes[0].message
    assert caught.value.mistakes[0].offset == offset


@given(st.text(alphabet="0123456789+-*/%(). KiBMkmaxin,_e", max_size=80))
def test_any_text_ends_soon_with_a_value_or_a_notation_error(text):
    def parse() -> None:
        with contextlib.suppress(NotationError):
            field_types.parse_number(text)

    assert calls_of(parse) < 5_000


@given(st.integers(-1000, 1000), st.integers(1, 1000), st.integers(0, 8))
def test_arithmetic_is_python_s(a, b, c):
    for text in (f"{a}+{b}*{c}", f"({a}-{b})*{c}", f"{a}//{b}", f"{a}%{b}", f"{b}**{c}", f"{a}/{b}"):
        value = eval(text)
        if value >= 0:
            assert field_types.parse_number(text) == pytest.approx(value, rel=1e-15)


def test_units_directly_after_a_number_are_not_variables():
    with expr.variables({"k": 5}):
        assert field_types.parse_count("2k") == 2000
        assert field_types.parse_count("2 * k") == 10
