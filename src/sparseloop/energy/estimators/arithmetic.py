"""Arithmetic of any width: adders, multipliers, MACs of integers and floats, accumulators, comparators, counters, shifters.

Default: Horowitz's anchors at 32 bits with the exponents of the width they imply. `library: aladdin` takes Aladdin's table, as
Accelergy does: adders linear, multipliers quadratic in the width.
"""

from __future__ import annotations

from collections.abc import Callable

from sparseloop.energy.estimators import scaling
from sparseloop.energy.estimators.constants import value
from sparseloop.energy.estimators.query import Answer, Estimate, Query, total

ACCUMULATOR_BITS = 32
"""Least width of the adder in an integer MAC."""


def is_float(query: Query) -> bool:
    """By the name of the class: fp, float, bf16."""
    name = query.class_name.lower()
    return "fp" in name or "float" in name or "bf16" in name


def bits_of(query: Query) -> float:
    """Width of an operand."""
    return query.number("bits") or query.number("word_bits", 32)


# --- adders and multipliers -----------------------------------------------------------------------------------


def _operation(operation: str, query: Query, bits: float) -> Answer:
    """An `add` or `multiply` of this width."""
    if query.text("library") == "aladdin":
        return _aladdin(operation, query, bits)
    kind = f"{'float' if is_float(query) else 'int'} {operation}"
    energy = scaling.energy(f"{kind} 32", (bits / 32) ** value(f"{kind} exponent"), query)
    area = scaling.area(f"{kind} area 32", (bits / 32) ** value(f"{kind} area exponent"), query)
    return Answer(energy_pj={operation: energy}, area_um2=area, leak_mw=_leakage(_unit(operation, query), energy))


def _unit(operation: str, query: Query) -> str:
    return f"aladdin {'float ' if is_float(query) else ''}{'adder' if operation == 'add' else 'multiplier'}"


def _leakage(unit: str, energy: Estimate) -> Estimate:
    """Leakage in the ratio to the energy of an operation that the unit of Aladdin's library has."""
    ratio = value(f"{unit} leakage") / value(unit)
    source = f"{value(f'{unit} leakage'):g} mW per {value(unit):g} pJ of an {unit}"
    return Estimate(value=ratio * energy.value, source=source, confidence=min(0.3, energy.confidence))


def _aladdin(operation: str, query: Query, bits: float) -> Answer:
    unit, size = _unit(operation, query), (bits / 32) ** (1 if operation == "add" else 2)
    return _listed(unit, operation, size, query)


def _listed(unit: str, action: str, size: float, query: Query) -> Answer:
    """`size` times a unit of Aladdin's library."""
    energy, area = scaling.energy(unit, size, query), scaling.area(f"{unit} area", size, query)
    return Answer(energy_pj={action: energy}, area_um2=area, leak_mw=scaling.leakage(f"{unit} leakage", size, query))


def combined(action: str, parts: list[Answer]) -> Answer:
    """Units that work together in one action."""
    energies = [next(iter(part.energy_pj.values())) for part in parts]
    areas = [part.area_um2 for part in parts if part.area_um2 is not None]
    leaks = [part.leak_mw for part in parts if part.leak_mw is not None]
    return Answer(energy_pj={action: total(energies)}, area_um2=total(areas), leak_mw=total(leaks))


def adder(query: Query) -> Answer:
    """One addition of `bits`."""
    return _operation("add", query, bits_of(query))


def multiplier(query: Query) -> Answer:
    """One multiplication of `bits`."""
    return _operation("multiply", query, bits_of(query))


def mac(query: Query) -> Answer:
    """A multiplier of the word width and an adder, of integers at least 32 bits wide."""
    bits = bits_of(query)
    sum_bits = bits if is_float(query) else max(ACCUMULATOR_BITS, bits)
    return combined("compute", [_operation("multiply", query, bits), _operation("add", query, sum_bits)])


def accumulator(query: Query) -> Answer:
    """An adder and the register it adds to."""
    return combined("accumulate", [adder(query), register(query)])


# --- small units ----------------------------------------------------------------------------------------------


def register(query: Query) -> Answer:
    """One register of `bits`, written or read."""
    bits = bits_of(query)
    energy, area = scaling.energy("register", bits, query), scaling.area("register area", bits, query)
    return Answer(energy_pj={"access": energy}, area_um2=area, leak_mw=scaling.leakage("register leakage", bits, query))


def comparator(query: Query) -> Answer:
    """Two numbers compared."""
    return _listed("aladdin comparator", "compare", bits_of(query) / 32, query)


def counter(query: Query) -> Answer:
    """One step of a counter."""
    return _listed("aladdin counter", "count", bits_of(query) / 32, query)


def shifter(query: Query) -> Answer:
    """One shift."""
    return _listed("aladdin shifter", "shift", bits_of(query) / 32, query)


def bitwise(query: Query) -> Answer:
    """AND, OR, XOR of two words."""
    return _listed("aladdin bitwise", "operate", bits_of(query) / 32, query)


# --- compute levels -------------------------------------------------------------------------------------------


def compute(query: Query) -> Answer:
    """A compute level by its class: a multiplier, an adder, else a MAC."""
    name = query.class_name.lower()
    kind: Callable[[Query], Answer] = mac
    if "mac" not in name:
        kind = multiplier if "mul" in name else adder if "add" in name else mac
    return combined("compute", [kind(query)])
