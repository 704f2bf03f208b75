"""DRAM by type: energy per bit of the device and its interface, without controller; area and background power are off chip."""

from __future__ import annotations

from sparseloop.energy.estimators.constants import cited, constants
from sparseloop.energy.estimators.query import Answer, Estimate, Query

DEFAULT_TYPE = "LPDDR4"


BACKGROUND = Estimate(value=0.0, source="background power of the DRAM is off chip and not counted", confidence=0.1)
"""A level's own `energy: {leak: ...}` counts it."""


def dram(query: Query) -> Answer:
    """Reads and writes of `width_bits` at the device's pJ per bit; no energy for an unknown type."""
    kind = str(query.attributes.get("type", "") or DEFAULT_TYPE)
    key = "dram " + kind.lower().replace("-", "").replace("_", "")
    area = Estimate(value=0.0, source="off chip", confidence=1.0)
    if key not in constants():
        return Answer(area_um2=area, leak_mw=BACKGROUND)
    access = cited(constants()[key].value * query.number("width_bits", 64), key)
    named = Estimate(value=access.value, source=f"{kind}: {access.source}", confidence=access.confidence)
    return Answer(energy_pj={"read": named, "write": named}, area_um2=area, leak_mw=BACKGROUND)
