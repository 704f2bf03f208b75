"""Timeloop's built-in energies, for its files where they have no tables: a line through the capacity, scaled by the width."""

from __future__ import annotations

from sparseloop.energy.components import Component
from sparseloop.energy.estimators import Estimate
from sparseloop.energy.estimators.constants import cited, value


def timeloop_energy(component: Component) -> Estimate | None:
    """Price of one vector access or compute in pJ (PAT, Timeloop's energy tables); None without a size."""
    word = component.word_bits / value("timeloop word")
    if component.kind == "compute":
        return cited(word**2, "timeloop word")
    if component.family == "dram":
        return cited(value("timeloop dram") * word * component.block_size, "timeloop dram")
    if component.capacity_words is None:
        return None
    if component.capacity_words == 0:
        return cited(0.0, "timeloop buffer")
    kilobytes = component.array_bits / 8192
    smallest, largest = value("timeloop register size"), value("timeloop buffer size")
    per_word = (value("timeloop buffer") - 1) / (largest - smallest) * (kilobytes - smallest) + 1
    accesses = component.access_bits / value("timeloop word") / component.cluster_size
    return cited(per_word * accesses, "timeloop buffer")
