"""SRAM arrays and register files: one access in pJ, area in um2, leakage in mW.

SRAM: a table of 490 geometries at 45 nm, interpolated log-log in capacity, width and banks; where the table ends a sum of
positive monomials that is monotone, scaled to meet it. Wider accesses than the table's 512 bits take equal arrays side by side.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from sparseloop.energy.estimators import scaling
from sparseloop.energy.estimators.constants import cited, constants, rows, value
from sparseloop.energy.estimators.query import Answer, Estimate, Query, times, total

QUANTITIES = ("read_pj", "write_pj", "area_mm2", "leak_mw")
SCALING_KEYS = {
    "read_pj": "sram read energy",
    "write_pj": "sram write energy",
    "area_mm2": "sram area",
    "leak_mw": "sram leakage",
}
OPTION_FACTORS = {"read_pj": "read", "write_pj": "write", "area_mm2": "area", "leak_mw": "leakage"}
SMALLEST_BYTES, SMALLEST_ROWS = 512, 32
"""A memory smaller than one of these is built of registers if that is cheaper."""
PUBLISHED_NM = 45.0

Geometry = tuple[float, float, float]
"""Capacity in bytes, width in bits, banks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SramTable:
    """The table: its axes and the values at their crossings, where there are any."""

    axes: tuple[tuple[float, ...], ...]
    values: Mapping[Geometry, Mapping[str, float]]


@cache
def sram_table() -> SramTable:
    """data/sram_45nm.csv."""
    values: dict[Geometry, dict[str, float]] = {}
    for row in rows("sram_45nm.csv"):
        point = (float(row["capacity_bytes"]), float(row["width_bits"]), float(row["banks"]))
        values[point] = {quantity: float(row[quantity]) for quantity in QUANTITIES}
    return SramTable(axes=tuple(tuple(sorted({point[i] for point in values})) for i in range(3)), values=values)


@cache
def monomials() -> Mapping[str, tuple[tuple[float, float, float, float], ...]]:
    """data/sram_form.csv: (power of width / 32, of KB per bank, of banks, factor) by quantity."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in rows("sram_form.csv"):
        powers = float(row["width_power"]), float(row["capacity_power"]), float(row["banks_power"])
        found.setdefault(row["quantity"], []).append((*powers, float(row["factor"])))
    return {quantity: tuple(terms) for quantity, terms in found.items()}


def form(quantity: str, point: Geometry) -> float:
    """Sum of factor * (width / 32) ** a * (KB per bank) ** b * banks ** c."""
    capacity, width, banks = point
    kilobytes = capacity / 1024 / banks
    return sum(k * (width / 32) ** a * kilobytes**b * banks**c for a, b, c, k in monomials()[quantity])


def interpolated(quantity: str, point: Geometry) -> float | None:
    """Log-log multilinear interpolation; None outside the table."""
    corners: list[tuple[tuple[float, float], ...]] = []
    for x, axis in zip(point, sram_table().axes, strict=True):
        if not axis[0] <= x <= axis[-1]:
            return None
        i = min(bisect_right(axis, x), len(axis) - 1)
        t = math.log(x / axis[i - 1]) / math.log(axis[i] / axis[i - 1])
        corners.append(tuple((at, weight) for at, weight in ((axis[i - 1], 1 - t), (axis[i], t)) if weight > 0))
    logarithm = 0.0
    for (c, wc), (w, ww), (b, wb) in itertools.product(*corners):
        known = sram_table().values.get((c, w, b))
        if known is None:
            return None
        logarithm += wc * ww * wb * math.log(known[quantity])
    return math.exp(logarithm)


def array(quantity: str, point: Geometry) -> tuple[float, str]:
    """The quantity of one array at 45 nm, and the key of the constant that is its source."""
    inside = interpolated(quantity, point)
    if inside is not None:
        return inside, "sram table"
    edge = _edge(quantity, point)
    known = interpolated(quantity, edge)
    assert known is not None
    return form(quantity, point) * known / form(quantity, edge), "sram form"


def _edge(quantity: str, point: Geometry) -> Geometry:
    """The closest point of the table: every coordinate inside its axis, then as much capacity as the table needs there."""
    axes = sram_table().axes
    capacity, width, banks = (min(max(x, axis[0]), axis[-1]) for x, axis in zip(point, axes, strict=True))
    larger = (capacity, *(c for c in axes[0] if c > capacity))
    return next((c, width, banks) for c in larger if interpolated(quantity, (c, width, banks)) is not None)


# --- answers --------------------------------------------------------------------------------------------------


def sram(query: Query) -> Answer | None:
    """An SRAM of `capacity_bits`, `width_bits`, `banks`, `ports` and `cell`; None without a capacity."""
    if query.number("capacity_bits") <= 0:
        return None
    found = {quantity: _of_sram(quantity, query) for quantity in QUANTITIES}
    area = times(1e6, found["area_mm2"])
    return Answer(energy_pj={"read": found["read_pj"], "write": found["write_pj"]}, area_um2=area, leak_mw=found["leak_mw"])


def _of_sram(quantity: str, query: Query) -> Estimate:
    """One quantity at the node, supply, ports and cells asked for."""
    width = query.number("width_bits", 32)
    slices = max(1, math.ceil(width / sram_table().axes[1][-1]))
    point = (query.number("capacity_bits") / 8 / slices, width / slices, max(query.number("banks", 1), 1))
    number, key = array(quantity, point)
    estimate = scaling.at_node(cited(slices * number, key), SCALING_KEYS[quantity], query, PUBLISHED_NM)
    for option in (f"ports {query.number('ports', 1):g}", f"cell {query.text('cell', 'lstp').removeprefix('itrs-')}"):
        if option not in ("ports 1", "cell lstp"):
            if f"{option} read" not in constants():
                raise ValueError(f"no SRAM with {option} is known: ports are 1 to 4, cells lstp, lop, hp")
            estimate = _changed(estimate, f"{option} {OPTION_FACTORS[quantity]}")
    return estimate


def _changed(estimate: Estimate, key: str) -> Estimate:
    """The estimate for several ports or other cells: a ratio with a low confidence."""
    ratio = cited(value(key), key)
    both = total([estimate, ratio])
    return replace(both, value=estimate.value * ratio.value)


def registers(query: Query) -> Answer:
    """A register file: energy per bit, and a decoder of depth * log2(depth) comparators."""
    bits, rows_ = query.number("width_bits", 32), max(query.number("depth", 1), 1)
    read = total(
        [scaling.energy("register", bits, query), scaling.energy("register decode", rows_ * math.log2(rows_) / 32, query)]
    )
    if rows_ == 1:
        read = scaling.energy("register", bits, query)
    capacity = max(query.number("capacity_bits"), bits)
    area, leak = scaling.area("register area", capacity, query), scaling.leakage("register leakage", capacity, query)
    return Answer(energy_pj={"read": read, "write": read}, area_um2=area, leak_mw=leak)


def memory(query: Query) -> Answer | None:
    """SRAM or registers, as the class says; for a small SRAM and a large register file whichever reads cheaper."""
    tiny = query.number("capacity_bits") < 8 * SMALLEST_BYTES or query.number("depth") < SMALLEST_ROWS
    named = "reg" in query.class_name.lower()
    if named and (tiny or not query.number("capacity_bits")):
        return registers(query)
    array_ = sram(query)
    if array_ is None or not (named or tiny):
        return array_
    return min(array_, registers(query), key=lambda answer: answer.energy_pj["read"].value)
