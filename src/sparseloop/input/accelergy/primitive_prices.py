"""Prices of primitives from the estimators: the one place that knows how these are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sparseloop.energy.estimators import DEFAULT_NODE_NM, Answer, Attribute, Estimate, Query, offer
from sparseloop.energy.estimators.constants import cited, value
from sparseloop.input import expressions as expr
from sparseloop.input import field_types
from sparseloop.input.accelergy.records import Attributes, Primitive, Scalar
from sparseloop.input.field_types import LARGEST_COUNT

EnergyOf = Callable[[Primitive, str, Attributes], Estimate | None]
AreaOf = Callable[[Primitive], Estimate | None]


@dataclass(frozen=True, slots=True)
class Estimated:
    """Prices from two functions."""

    energy_of: EnergyOf
    area_of: AreaOf

    def energy(self, primitive: Primitive, action: str, arguments: Attributes) -> Estimate | None:
        """Energy of one action in pJ."""
        return self.energy_of(primitive, action, arguments)

    def area(self, primitive: Primitive) -> Estimate | None:
        """Area of one instance in um2."""
        return self.area_of(primitive)


def built_in() -> Estimated:
    """Those of `estimators`."""
    return Estimated(_energy, _area)


# --- how the estimates are asked ----------------------------------------------------------------------------

_WIDTHS = ("datawidth", "width", "n_bits", "precision", "width_a", "multiplier_width")
_STORAGE = ("sram", "regfile", "dram", "register", "storage", "cache", "buffer")
_WRITES = ("write", "fill", "update")
_UNITS = {
    "mac": "mac",
    "mult": "multiplier",
    "count": "counter",
    "compar": "comparator",
    "shift": "shifter",
    "crossbar": "crossbar",
    "router": "router",
    "bitwise": "bitwise",
    "add": "adder",
    "alu": "adder",
}
"""Part of a class's name to the unit that the estimators know."""
DEFAULT_WIDTH = 16


def _number(primitive: Primitive, *names: str) -> float | None:
    """The first of these attributes that is a number; own ones only, since those of a buffer are not those of its adder."""
    values = (primitive.attributes.get(name) for name in names)
    numbers = (float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= LARGEST_COUNT)
    return next(numbers, None)


def _node(primitive: Primitive) -> float:
    """The technology node in nm."""
    given: Scalar = primitive.value("technology")
    try:
        return DEFAULT_NODE_NM if given is None else field_types.parse_node(given) or DEFAULT_NODE_NM
    except expr.NotationError:
        return DEFAULT_NODE_NM


def _kind(primitive: Primitive) -> str | None:
    """The word that makes a class a storage."""
    return next((word for word in _STORAGE if word in primitive.class_name.lower()), None)


def _storage(primitive: Primitive, word: str) -> Query | None:
    """The storage, if its width is known; a register without one has one bit."""
    width = _number(primitive, "width", "memory_width", "datawidth")
    single = word == "register" and "depth" not in primitive.attributes
    if width is None and not single:
        return None
    bits, depth = 1.0 if width is None else width, 1.0 if single else _number(primitive, "depth", "memory_depth") or 0.0
    sizes: dict[str, Attribute] = {
        "word_bits": bits,
        "width_bits": bits,
        "depth": depth,
        "capacity_bits": bits * depth,
        "banks": _number(primitive, "n_banks") or 1.0,
    }
    if primitive.value("type"):
        sizes["type"] = str(primitive.value("type"))
    name = {"register": "regfile", "cache": "sram", "storage": "sram", "buffer": "sram"}.get(word, word)
    return Query(class_name=name, kind="storage", attributes=sizes, node_nm=_node(primitive))


def _unit(primitive: Primitive) -> Query | None:
    """An arithmetic unit of the primitive's width."""
    name = primitive.class_name.lower()
    known = next((unit for part, unit in _UNITS.items() if part in name), None)
    if known is None:
        return None
    real = _number(primitive, "exponent") is not None
    width = _number(primitive, *_WIDTHS)
    if real:
        width = sum(_number(primitive, part) or 0 for part in ("exponent", "mantissa", "sign"))
    bits = DEFAULT_WIDTH if width is None else width
    floating = (real or name.startswith("fp")) and known in ("mac", "multiplier", "adder")
    class_name = f"fp{known}" if floating else known
    sizes: dict[str, Attribute] = {"bits": bits}
    for ours, theirs in (("inputs", "n_inputs"), ("outputs", "n_outputs")):
        ways = _number(primitive, theirs)
        sizes |= {} if ways is None else {ours: ways}
    return Query(class_name=class_name, kind="unit", attributes=sizes, node_nm=_node(primitive))


def _empty(query: Query) -> bool:
    """True for hardware of no size, which costs nothing."""
    unlimited = query.class_name == "dram"
    return query.number("bits", query.number("width_bits")) <= 0 or (
        query.kind == "storage" and not unlimited and query.number("depth") <= 0
    )


def _answer(primitive: Primitive) -> tuple[Query, Answer] | None:
    """What the estimators say of a primitive."""
    word = _kind(primitive)
    query = _storage(primitive, word) if word else _unit(primitive)
    if query is None:
        return None
    return query, Answer() if _empty(query) else offer(query).answer


def _energy(primitive: Primitive, action: str, arguments: Attributes) -> Estimate | None:
    """One action in pJ; with arguments of Accelergy's storages (address_delta, data_delta), 0 of both is idle."""
    known = _answer(primitive)
    if known is None:
        return None
    query, answer = known
    if _empty(query):
        return Estimate(value=0.0, source="hardware of 0 bits")
    if action == "leak":
        return _leak(primitive, answer)
    still = arguments.get("address_delta") == 0 and arguments.get("data_delta") == 0
    idle = action == "idle" or still or action.endswith(("gated", "skipped"))
    if query.kind == "storage":
        if not idle and action != "read" and action not in _WRITES:
            return None
        whole = answer.energy_pj.get("write" if action in _WRITES and not idle else "read")
        return _share(whole, f"gated {query.class_name}") if idle else whole
    whole = next(iter(answer.energy_pj.values()), None)
    return _share(whole, "gated compute") if idle else whole


def _share(whole: Estimate | None, key: str) -> Estimate | None:
    """What an idle slot takes of an action."""
    if whole is None:
        return None
    share, known = value(key), cited(value(key), key)
    return Estimate(value=share * whole.value, source=f"{share:g} of: {whole.source}", confidence=known.confidence)


def _leak(primitive: Primitive, answer: Answer) -> Estimate | None:
    """Leakage of one cycle of the global clock, 1 ns where none is given: 1 mW over 1 ns is 1 pJ."""
    if answer.leak_mw is None:
        return None
    seconds = primitive.value("global_cycle_seconds")
    cycle_ns = float(seconds) * 1e9 if isinstance(seconds, int | float) and seconds > 0 else 1.0
    leak = answer.leak_mw
    return Estimate(value=leak.value * cycle_ns, source=leak.source, confidence=leak.confidence)


def _area(primitive: Primitive) -> Estimate | None:
    """Area of one instance in um2."""
    known = _answer(primitive)
    if known is None:
        return None
    query, answer = known
    return Estimate(value=0.0, source="hardware of 0 bits") if _empty(query) else answer.area_um2
