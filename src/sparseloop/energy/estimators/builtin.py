"""The built-in estimator: every component from published numbers, in Python alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final

from sparseloop.energy.estimators import arithmetic, sparse_units, wires
from sparseloop.energy.estimators.dram import dram
from sparseloop.energy.estimators.query import Answer, Query
from sparseloop.energy.estimators.sram import memory

UNIT_MODELS: Mapping[str, Callable[[Query], Answer]] = {
    "adder": arithmetic.adder,
    "multiplier": arithmetic.multiplier,
    "mac": arithmetic.mac,
    "accumulator": arithmetic.accumulator,
    "register": arithmetic.register,
    "comparator": arithmetic.comparator,
    "counter": arithmetic.counter,
    "shifter": arithmetic.shifter,
    "bitwise": arithmetic.bitwise,
    "wire": wires.wire,
    "router": wires.router,
    "crossbar": wires.crossbar,
    "intersection": sparse_units.intersection,
    "decoder": sparse_units.decoder,
    "decompressor": sparse_units.decompressor,
    "compressor": sparse_units.compressor,
    "address_generator": sparse_units.address_generator,
    "zero_detector": sparse_units.zero_detector,
    "merger": sparse_units.merger,
    "index": sparse_units.index,
}
"""What levels and networks are made of; a number format may stand before the name: fpadder, intmultiplier."""


OPTIONS: Mapping[str, tuple[float | str, ...]] = {
    "ports": (1, 2, 3, 4),
    "cell": ("lstp", "lop", "hp", "itrs-lstp", "itrs-lop", "itrs-hp"),
    "library": ("horowitz", "aladdin"),
    "bits": (),
}
"""Attributes of a level that it knows, and what they may be; empty: any number."""


@final
class Builtin:
    """Estimates from the tables and constants in `energy/data`."""

    name = "builtin"
    priority = 0.0

    def estimate(self, query: Query) -> Answer | None:
        """Storage by dram, reg or anything else in the name of its class; compute levels by mult, add or anything else."""
        name = query.class_name.lower()
        if query.kind == "storage":
            return dram(query) if "dram" in name else memory(query)
        if query.kind == "compute":
            return arithmetic.compute(query)
        plain = next((name.removeprefix(p) for p in ("int", "fp", "float") if name.removeprefix(p) in UNIT_MODELS), name)
        unit = UNIT_MODELS.get(plain)
        return unit(query) if unit else None
