"""Wires, routers and crossbars."""

from __future__ import annotations

from sparseloop.energy.estimators import scaling
from sparseloop.energy.estimators.arithmetic import bits_of
from sparseloop.energy.estimators.constants import cited, value
from sparseloop.energy.estimators.query import Answer, Query
from sparseloop.energy.estimators.scaling import SUPPLY, factor

ROUTER_BITS, CROSSBAR_BITS, CROSSBAR_PORTS = 256, 32, 4
"""Sizes of the published router and crossbar."""


def wire(query: Query) -> Answer:
    """`bits` (1) over `length_mm` (1) of a wire with repeaters, random data: C V^2 / 4."""
    supply = query.vdd or factor(SUPPLY, query.node_nm)
    per_bit = value("wire capacitance") * supply**2 / 4 / 1000
    return Answer(
        energy_pj={"transfer": cited(per_bit * query.number("bits", 1) * query.number("length_mm", 1), "wire capacitance")}
    )


def router(query: Query) -> Answer:
    """One flit of `bits` through a mesh router."""
    share = query.number("bits", 32) / ROUTER_BITS
    return Answer(
        energy_pj={"transfer": scaling.energy("router", share, query)}, area_um2=scaling.area("router area", share, query)
    )


def crossbar(query: Query) -> Answer:
    """One word of `bits` through a crossbar of `inputs` (1) and `outputs` (4): energy by the outputs, area by the crossings."""
    words = bits_of(query) / CROSSBAR_BITS
    inputs, outputs = query.number("inputs", 1), query.number("outputs", CROSSBAR_PORTS)
    energy = scaling.energy("crossbar", words * outputs / CROSSBAR_PORTS, query)
    crossings = words * inputs * outputs / CROSSBAR_PORTS
    area, leak = scaling.area("crossbar area", crossings, query), scaling.leakage("crossbar leakage", crossings, query)
    return Answer(energy_pj={"transfer": energy}, area_um2=area, leak_mw=leak)
