"""What the estimators that ask other tools have in common: when they can be asked, and our names in theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from sparseloop.energy.estimators import Answer, Attribute, Estimate, Query, scaling, times

DRAM, DEFAULT_TYPE = "dram", "LPDDR4"
STORAGE = {"sram": "SRAM", "buffer": "SRAM", "regfile": "regfile", DRAM: "DRAM"}
COMPUTE = {"mac": "intmac", "multiplier": "intmultiplier", "adder": "intadder"}
"""Classes of ours to those of Accelergy's libraries; all other names are passed on as they are."""
_OURS = ("word_bits", "width_bits", "capacity_bits", "banks", "type", "ports")


class Backend(Protocol):
    """An estimator that needs another tool."""

    name: str
    priority: float

    def missing(self) -> str | None:
        """Why the tool cannot be asked here; None if it can."""
        ...

    def estimate(self, query: Query) -> Answer | None:
        """What the tool says of arrays and arithmetic; None for anything else. Raises what goes wrong in it."""
        ...


def class_of(query: Query) -> str | None:
    """The name that the tools have for the hardware; None if it is neither storage nor arithmetic."""
    names = {"storage": STORAGE, "compute": COMPUTE}.get(query.kind)
    return None if names is None else names.get(query.class_name.lower(), query.class_name)


def tool_attributes(query: Query) -> dict[str, Attribute]:
    """Sizes by the names that the tools share, after what the user wrote."""
    found = {name: value for name, value in query.attributes.items() if name not in _OURS}
    if query.kind == "compute":
        bits = whole(query.number("word_bits"))
        return {"width": bits, "datawidth": bits, "multiplier_width": bits, "adder_width": max(bits, 32)} | found
    sizes: dict[str, Attribute] = {"width": whole(query.number("width_bits")), "n_banks": whole(query.number("banks", 1))}
    if query.number("depth"):
        sizes["depth"] = whole(query.number("depth"))
    if query.number("ports"):
        sizes["n_rw_ports"] = whole(query.number("ports"))
    return {name: value for name, value in found.items() if name != "depth"} | sizes


def whole(number: float) -> float:
    """Without a point where there is nothing behind it: the tools take counts."""
    return int(number) if float(number).is_integer() else number


def at_supply(answer: Answer, query: Query) -> Answer:
    """The answer, which holds at the nominal supply, at that of the query: energy by its square, leakage by it."""
    over = scaling.overdrive(query)
    if over == 1 or query.class_name.lower() == DRAM:
        return answer
    energies = {action: _supplied(energy, over**2, query) for action, energy in answer.energy_pj.items()}
    leak = None if answer.leak_mw is None else _supplied(answer.leak_mw, over, query)
    return replace(answer, energy_pj=energies, leak_mw=leak)


def _supplied(estimate: Estimate, change: float, query: Query) -> Estimate:
    return replace(times(change, estimate), source=f"{estimate.source}, times {change:.4g} for {query.vdd:g} V")


def estimates(energies: Mapping[str, float], source: str, confidence: float) -> dict[str, Estimate]:
    """One source for several actions."""
    return {action: Estimate(value=value, source=source, confidence=confidence) for action, value in energies.items()}
