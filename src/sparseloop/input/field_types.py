"""Types of fields: numbers, counts, sizes and rates, each written as a number or as an expression with a unit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from sparseloop.input.expressions import NotationError, Quantity, Value, written_value, wrong

LARGEST_COUNT = 2**53
LARGEST, SMALLEST = 1e30, 1e-30
"""Limits of measured values other than 0; whatever is computed from them stays finite."""


def _in_units(value: object, scales: Mapping[str, float], meaning: str) -> float:
    """The number behind `value` in a fixed unit; `scales` maps accepted units ('' = bare) to factors."""
    result = written_value(value)
    if result.unit not in scales:
        given = f"has unit '{result.unit}'" if result.unit else "has no unit"
        raise wrong(f"{str(value).strip()!r} {given}, expected {meaning}")
    if result.number < 0:
        raise wrong(f"expected {meaning if 'between' in meaning else f'{meaning} >= 0'}, got {value}")
    number = _measured(result.number * scales[result.unit], value)
    return float(f"{number:.15g}") if scales[result.unit] != 1 and result.unit else number


def _measured(number: float, value: object) -> float:
    if number and not SMALLEST <= abs(number) <= LARGEST:
        size = "large" if abs(number) > 1 else "small"
        raise wrong(f"{str(value)[:40]} is too {size}", f"0, or from {SMALLEST:g} to {LARGEST:g}")
    return float(number)


def _refused(value: object, expected: str) -> NoReturn:
    raise wrong(f"expected {expected}, got {value}")


def parse_number(value: object) -> float:
    """A finite number >= 0 without unit."""
    return _in_units(value, {"": 1}, "a plain number")


def parse_fill(value: object) -> str | float:
    """'systolic', or a number of cycles."""
    if value == "systolic":
        return "systolic"
    try:
        return parse_number(value)
    except NotationError:
        raise wrong(f"expected 'systolic' or a number of cycles, got {value!r}") from None


def parse_positive(value: object) -> float:
    """A finite number > 0 without unit."""
    return parse_number(value) or _refused(value, "a number above 0")


def parse_variable(value: object) -> float | str:
    """A number, or a quantity with a unit, which stays as written."""
    result = written_value(value)
    return str(value) if result.unit else float(result.number)


def parse_fraction(value: object) -> float:
    """A number between 0 and 1; '60%' is 0.6."""
    result = _in_units(value, {"": 1}, "a fraction between 0 and 1")
    if result > 1:
        hint = f"did you mean {value}%?" if 2 <= result <= 100 else None
        raise wrong(f"expected a fraction between 0 and 1, got {value}", hint)
    return result


def parse_ratio(value: object) -> str:
    """'2:4': n of m."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*", value)):
        return f"{int(match[1])}:{int(match[2])}"
    _refused(value, "n:m, as 2:4")


def parse_count(value: object, least: int = 1) -> int:
    """A whole number from 1 (or `least`) to 2**53."""
    result = written_value(value)
    if result.unit or result.number != math.floor(result.number) or result.number < least:
        raise wrong(f"expected a whole number >= {least}, got {value}" + _shown(value, result))
    if result.number > LARGEST_COUNT:
        raise wrong(f"{str(value)[:40]} is too large (limit 2**53)")
    return int(result.number)


def _shown(value: object, result: Value) -> str:
    shown = f"{result.number:g} {result.unit}".rstrip()
    return f" = {shown}" if isinstance(value, str) and value.strip() != shown else ""


def parse_energy(value: object) -> float:
    """An energy in pJ; bare numbers are pJ."""
    return _in_units(value, {"": 1, "J": 1e12}, "an energy (pJ)")


def parse_frequency(value: object) -> float:
    """A frequency in Hz; bare numbers are Hz."""
    return _in_units(value, {"": 1, "1/s": 1}, "a frequency (Hz)") or _refused(value, "a frequency above 0")


def parse_length(value: object) -> float:
    """A length in mm; bare numbers are mm."""
    return _in_units(value, {"": 1, "m": 1e3}, "a length (mm)")


def parse_node(value: object) -> float:
    """A technology node in nm; bare numbers are nm."""
    result = _in_units(value, {"": 1, "m": 1e9}, "a technology node (nm)")
    if not 1 <= result <= 1000:
        raise wrong(f"expected a technology node between 1nm and 1000nm, got {value}", "write e.g. 45nm")
    return result


def parse_capacity(value: object) -> Quantity:
    """A size in words or bits; bare numbers are words."""
    return _with_unit(value, {"": "words", "words": "words", "bits": "bits"}, "a size ('224 words', '108 KiB')")


def parse_bandwidth(value: object) -> Quantity:
    """A rate in words/cycle, bits/cycle or bits/s; bare numbers are words/cycle."""
    units = {"": "words/cycle", "words/cycle": "words/cycle", "bits/cycle": "bits/cycle", "bits/s": "bits/s"}
    result = _with_unit(value, {**units, "words/s": "words/s"}, "a bandwidth ('16 words/cycle', '25.6 GB/s')")
    return result if result.value else _refused(value, "a bandwidth above 0 (leave it out: unlimited)")


def _with_unit(value: object, units: Mapping[str, str], meaning: str) -> Quantity:
    result = written_value(value)
    if result.unit not in units:
        given = "is a size" if result.unit in ("bits", "words") else f"has unit '{result.unit}'"
        raise wrong(f"{str(value).strip()!r} {given}, expected {meaning}")
    if result.number < 0:
        raise wrong(f"expected {meaning if 'between' in meaning else f'{meaning} >= 0'}, got {value}")
    return Quantity(_measured(result.number, value), units[result.unit])


def _schema(kind: str, description: str) -> Any:
    return WithJsonSchema({"anyOf": [{"type": kind, "description": description}, {"type": "string"}]})  # kept beside a field's


Number = Annotated[float, BeforeValidator(parse_number), _schema("number", "number >= 0 or expression")]
Fill = Annotated[
    Literal["systolic"] | float, BeforeValidator(parse_fill, json_schema_input_type=Literal["systolic"] | float | str)
]
Positive = Annotated[float, BeforeValidator(parse_positive), _schema("number", "number > 0 or expression")]
Variable = Annotated[float | str, BeforeValidator(parse_variable), _schema("number", "number, quantity or expression")]
Fraction = Annotated[float, BeforeValidator(parse_fraction), _schema("number", "0..1, '60%' or expression")]
Whole = Annotated[int, BeforeValidator(partial(parse_count, least=0)), _schema("integer", "whole number >= 0 or expression")]
Count = Annotated[int, BeforeValidator(parse_count), _schema("integer", "whole number >= 1 or expression")]
Ratio = Annotated[str, BeforeValidator(parse_ratio), _schema("string", "n:m, as 2:4")]
Energy = Annotated[float, BeforeValidator(parse_energy), _schema("number", "pJ, or with a unit")]
Frequency = Annotated[float, BeforeValidator(parse_frequency), _schema("number", "Hz, or with a unit: 1 GHz")]
Length = Annotated[float, BeforeValidator(parse_length), _schema("number", "mm, or with a unit")]
TechnologyNode = Annotated[float, BeforeValidator(parse_node), _schema("number", "nm, or with a unit: 45nm")]
_AsText = PlainSerializer(str, return_type=str)
Capacity = Annotated[Quantity, BeforeValidator(parse_capacity), _AsText, _schema("number", "words, or with a unit: 8 KiB")]
Bandwidth = Annotated[
    Quantity, BeforeValidator(parse_bandwidth), _AsText, _schema("number", "words/cycle, or with a unit: 25.6 GB/s")
]
