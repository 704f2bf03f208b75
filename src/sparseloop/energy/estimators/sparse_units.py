"""What sparse features are made of: intersection units, decoders, (de)compressors, address generators, zero detectors.

All are put together from registers, comparators, adders and gates, as ExTensor's intersection unit is in the artefact of TeAAL
(two 32-bit registers and a comparator: 0.61 pJ at 40 nm; 32 8-bit comparators and a register to skip: 0.31 pJ).
"""

from __future__ import annotations

import math
from dataclasses import replace

from sparseloop.energy.estimators import scaling
from sparseloop.energy.estimators.arithmetic import adder, bits_of, bitwise, combined, comparator, register
from sparseloop.energy.estimators.constants import value
from sparseloop.energy.estimators.query import Answer, Query, times

SKIP_LANES = 32
"""Coordinates that a skip-to unit looks at in one step."""
TRUST = 0.6
"""How sure a unit is that we put together, relative to its least sure part."""


def _of(unit: Query, bits: float) -> Query:
    """The same query with another width."""
    return replace(unit, attributes={**unit.attributes, "bits": bits})


def _assembled(action: str, parts: list[Answer]) -> Answer:
    """A unit assembled here from parts: its confidence is lower than that of the parts."""
    answer = combined(action, parts)
    assert answer.area_um2 is not None
    assert answer.leak_mw is not None
    return Answer(
        energy_pj={name: times(1, energy, trust=TRUST) for name, energy in answer.energy_pj.items()},
        area_um2=times(1, answer.area_um2, trust=TRUST),
        leak_mw=times(1, answer.leak_mw, trust=TRUST),
    )


def intersection(query: Query) -> Answer:
    """Do the fibers meet here? `style`: coordinate (two heads compared), bitmask (two masks of `bits` ANDed, the first one
    found), skip_to (up to 32 coordinates passed in one step)."""
    bits, style = bits_of(query), query.text("style", "coordinate")
    if style == "bitmask":
        return _assembled("intersect", [bitwise(_of(query, 2 * bits)), adder(_of(query, bits)), register(_of(query, 2 * bits))])
    compared = combined("intersect", [register(_of(query, 2 * bits)), comparator(_of(query, bits))])
    energy = scaling.energy("intersection", bits / 32, query)
    if style != "skip_to":
        return replace(compared, energy_pj={"intersect": energy})
    scanner = combined("skip_to", [comparator(_of(query, SKIP_LANES * bits)), register(_of(query, bits))])
    step = scaling.energy("skip to", bits / 8, query)
    both = combined(
        "intersect", [replace(compared, energy_pj={"intersect": energy}), replace(scanner, energy_pj={"skip_to": step})]
    )
    return replace(both, energy_pj={**both.energy_pj, "skip_to": step})


def decoder(query: Query) -> Answer:
    """One entry of `bits` of a rank turned into a position. `format`: rle (the run added up), cp (held), b or ub (next bit of
    the mask found, ones counted), uop (two offsets subtracted)."""
    bits, kind = bits_of(query), query.text("format", "cp")
    parts = {
        "rle": [adder(_of(query, bits)), register(_of(query, bits))],
        "uop": [adder(_of(query, bits)), register(_of(query, 2 * bits))],
        "b": [bitwise(_of(query, bits)), adder(_of(query, bits)), register(_of(query, bits))],
    }
    return _assembled("decode", parts.get("b" if kind == "ub" else kind, [register(_of(query, bits))]))


def decompressor(query: Query) -> Answer:
    """One word put in its place: an addition on its coordinate or run of `bits`."""
    return combined("decompress", [adder(query)])


def compressor(query: Query) -> Answer:
    """One word taken from its place: an addition on its coordinate or run of `bits`."""
    return combined("compress", [adder(query)])


def address_generator(query: Query) -> Answer:
    """The next address of `bits`: an addition."""
    return combined("address_generation", [adder(query)])


def merger(query: Query) -> Answer:
    """The next entry of `radix` sorted lists of entries of `bits`: a tree of radix - 1 comparators with a register each.

    For one entry the log2(radix) nodes between a list and the root work.
    """
    radix, bits = max(2.0, query.number("radix", 2)), bits_of(query)

    def nodes(count: float) -> Answer:
        return _assembled("merge", [comparator(_of(query, count * bits)), register(_of(query, count * bits))])

    return replace(nodes(radix - 1), energy_pj=nodes(math.log2(radix)).energy_pj)


def index(query: Query) -> Answer:
    """Where the element of a coordinate of `bits` lies: the coordinates before it counted by an addition, and held."""
    return _assembled("look_up", [adder(query), register(query)])


def zero_detector(query: Query) -> Answer:
    """Is a word of `bits` zero? A comparator."""
    return combined("detect", [comparator(query)])


def gated_share(family: str) -> tuple[float, str]:
    """What a gated action costs of an actual one, and the constant that says so; `family`: dram, regfile, sram, compute."""
    key = f"gated {family}"
    return value(key), key
