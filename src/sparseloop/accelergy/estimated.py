"""Prices of primitives from the built-in estimates: the one place that knows how these are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .. import estimates, expr
from ..estimates import Component, Estimate
from ..expr import LARGEST_COUNT
from .records import Attributes, Found, Plain, Primitive

Energy = Callable[[Primitive, str, Attributes], Found | None]
Area = Callable[[Primitive], Found | None]


@dataclass(frozen=True, slots=True)
class Estimated:
    """Prices from two functions."""

    energy_of: Energy
    area_of: Area

    def energy(self, primitive: Primitive, action: str, arguments: Attributes) -> Found | None:
        """Energy of one action in pJ."""
        return self.energy_of(primitive, action, arguments)

    def area(self, primitive: Primitive) -> Found | None:
        """Area of one instance in um2."""
        return self.area_of(primitive)


def built_in() -> Estimated:
    """The built-in estimates of `estimates`."""
    return Estimated(_energy, _area)


# --- how the estimates are asked ----------------------------------------------------------------------------

_WIDTHS = ("datawidth", "width", "n_bits", "precision", "width_a", "multiplier_width")
_STORAGE = ("sram", "regfile", "dram", "register", "storage", "cache", "buffer")
_READS = ("read",)
_WRITES = ("write", "fill", "update")
_IDLE = ("idle", "leak")
_ADDERS = ("add", "count", "compar", "shift", "alu")
DEFAULT_WIDTH = 16


def _number(primitive: Primitive, *names: str) -> float | None:
    """The first of these attributes that is a number; own ones only, since those of a buffer are not those of its adder."""
    values = (primitive.attributes.get(name) for name in names)
    numbers = (float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= LARGEST_COUNT)
    return next(numbers, None)


def _node(primitive: Primitive) -> float | None:
    """The technology node in nm."""
    value: Plain = primitive.value("technology")
    try:
        return None if value is None else expr.node(value)
    except expr.NotationError:
        return None


def _kind(primitive: Primitive) -> str | None:
    """The word that makes a class a storage."""
    return next((word for word in _STORAGE if word in primitive.class_name.lower()), None)


def _storage(primitive: Primitive, word: str) -> Component | None:
    """The storage, if its width is known; a register without one has one bit."""
    width = _number(primitive, "width", "memory_width", "datawidth")
    single = word == "register" and "depth" not in primitive.attributes
    if width is None and not single:
        return None
    return Component(
        name=primitive.class_name,
        kind="storage",
        class_name={"register": "regfile", "cache": "sram", "storage": "sram", "buffer": "sram"}.get(word, word),
        type=str(primitive.value("type")) if primitive.value("type") else None,
        node_nm=_node(primitive),
        word_bits=1 if width is None else width,
        capacity_words=1 if single else _number(primitive, "depth", "memory_depth"),
    )


def _unit(primitive: Primitive) -> Component:
    """An arithmetic unit of the primitive's width."""
    real = _number(primitive, "exponent") is not None
    width = _number(primitive, *_WIDTHS)
    if real:
        width = sum(_number(primitive, part) or 0 for part in ("exponent", "mantissa", "sign"))
    return Component(
        name=primitive.class_name,
        kind="compute",
        class_name="fpmac" if real or primitive.class_name.lower().startswith("fp") else "intmac",
        node_nm=_node(primitive),
        word_bits=DEFAULT_WIDTH if width is None else width,
    )


def _energy(primitive: Primitive, action: str, arguments: Attributes) -> Found | None:
    """One action in pJ; with arguments of Accelergy's storages (address_delta, data_delta), 0 of both is idle."""
    if word := _kind(primitive):
        storage = _storage(primitive, word)
        return _of_storage(storage, action, arguments) if storage else None
    unit = _unit(primitive)
    if unit.word_bits <= 0:
        return Found(value=0.0, source="a unit of 0 bits")
    whole = _of_unit(primitive, unit)
    if action in _IDLE or action.endswith(("gated", "skipped")):
        share = estimates.CONSTANTS["gated compute"]
        text = f"{share.value:g} of: {whole.source}" if whole else ""
        return Found(value=share.value * whole.value, source=text, confidence=share.confidence) if whole else None
    return whole


def _of_storage(storage: Component, action: str, arguments: Attributes) -> Found | None:
    if storage.word_bits <= 0 or storage.capacity_words == 0:
        return Found(value=0.0, source="a storage of 0 bits")
    still = arguments.get("address_delta") == 0 and arguments.get("data_delta") == 0
    if action in _IDLE or still:
        name = "gated_read"
    elif action in _READS or action in _WRITES:
        name = "read" if action in _READS else "fill"
    else:
        return None
    read = estimates.energy(storage, "read", {})
    return _found(estimates.energy(storage, name, {"read": read} if read else {}))


def _of_unit(primitive: Primitive, unit: Component) -> Found | None:
    """One operation: a MAC, its multiplier (the MAC without its adder), or an adder of the width."""
    name = primitive.class_name.lower()
    adder = estimates.energy(unit, "reduction", {})
    if "mac" in name:
        return _found(estimates.energy(unit, "compute", {}))
    if "mult" in name:
        wide = replace(unit, word_bits=max(32, unit.word_bits))
        return _difference(estimates.energy(unit, "compute", {}), estimates.energy(wide, "reduction", {}))
    return _found(adder) if any(word in name for word in _ADDERS) else None


def _difference(whole: Estimate | None, adder: Estimate | None) -> Found | None:
    """A MAC without its adder."""
    if whole is None or adder is None:
        return None
    return Found(value=max(0.0, whole.value - adder.value), source=whole.source, confidence=whole.confidence)


def _area(primitive: Primitive) -> Found | None:
    """Area of one instance in um2."""
    if word := _kind(primitive):
        storage = _storage(primitive, word)
        if storage is None:
            return None
        if storage.word_bits <= 0 or storage.capacity_words == 0:
            return Found(value=0.0, source="a storage of 0 bits")
        return _found(estimates.area(storage))
    unit, name = _unit(primitive), primitive.class_name.lower()
    if unit.word_bits <= 0:
        return Found(value=0.0, source="a unit of 0 bits")
    if "mac" in name:
        return _found(estimates.area(unit))
    if "mult" in name:
        return _difference(estimates.area(unit), _adder_area(replace(unit, word_bits=max(32, unit.word_bits))))
    return _found(_adder_area(unit)) if any(word in name for word in _ADDERS) else None


def _adder_area(unit: Component) -> Estimate:
    kind = "float" if unit.family == "float" else "int"
    anchor, exponent = estimates.CONSTANTS[f"area add {kind} 32"], estimates.CONSTANTS[f"area add {kind} exponent"]
    value = anchor.value * (unit.word_bits / 32) ** exponent.value * estimates.scale("area", unit.node_nm)
    return Estimate(value=value, source=anchor.citation, confidence=anchor.confidence)


def _found(estimate: Estimate | None) -> Found | None:
    if estimate is None:
        return None
    return Found(value=estimate.value, source=estimate.source, confidence=estimate.confidence)
