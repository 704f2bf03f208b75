"""What counts depend on: all of a design but what only prices, limits and time look at."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

from sparseloop.model.design import Design
from sparseloop.model.design.arch import Arch, Level, Network
from sparseloop.model.design.sparse import Sparse

PRICE_ONLY: Mapping[type, frozenset[str]] = {
    Design: frozenset({"mapping", "warnings"}),
    Sparse: frozenset(),
    Arch: frozenset({"clock_hz"}),
    Level: frozenset({
        *("capacity_words", "metadata_capacity_bits", "min_utilization", "read_bandwidth", "write_bandwidth", "shared_bandwidth"),
        *("prices", "parts", "area_um2", "area_source", "serial", "rates"),
    }),
    Network: frozenset({
        *("name", "word_bits", "energy_per_hop_pj", "wire_pj_per_bit_mm", "tile_width_mm", "router_pj", "ingress_pj", "adder_pj"),
        *("fill_latency", "drain_latency", "systolic", "pass_latency", "source", "confidence"),
    }),
}  # fmt: skip
"""Fields that no count depends on; all others belong to the key, those of tomorrow too. The mapping is a key of its own."""


def counting_key(part: Design | Level) -> Hashable:
    """Designs with equal keys have equal counts under every mapping, unless prices choose between alternative features.

    Of a level: designs that differ in levels with equal keys only have equal keys.
    """
    return _key(part)


def _key(value: Any) -> Hashable:
    """A record listed above as the tuple of its remaining fields, a dictionary as the set of its items, all else as it is."""
    left_out = next((names for kind, names in PRICE_ONLY.items() if isinstance(value, kind)), None)
    if left_out is not None:
        assert is_dataclass(value)
        if isinstance(value, Level) and isinstance(value.capacity_rule, float):
            left_out = left_out - {"capacity_words"}  # what does not fit is streamed
        return (type(value), *((f.name, _key(getattr(value, f.name))) for f in fields(value) if f.name not in left_out))
    if isinstance(value, tuple):
        return tuple(_key(one) for one in cast("tuple[Any, ...]", value))
    if isinstance(value, Mapping):
        return frozenset((key, _key(one)) for key, one in cast("Mapping[Any, Any]", value).items())
    return value
