"""The query that an estimator gets and the answer that it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

Attribute = float | str | bool
Kind = Literal["storage", "compute", "network", "unit"]

DEFAULT_NODE_NM = 45.0
"""The technology node if none is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One piece of hardware: what does each of its actions cost, how large is it, what does it leak?"""

    class_name: str
    """The user's class of a level, or adder, intersection, decoder, wire, ... for what a level is made of."""
    kind: Kind
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    """Sizes and whatever else the user wrote; see docs/energy.md for the names."""
    node_nm: float = DEFAULT_NODE_NM
    vdd: float | None = None
    """Supply in volts; None: the nominal one of the node."""
    clock_hz: float = 1e9

    def number(self, name: str, default: float = 0.0) -> float:
        """An attribute that is a number."""
        value = self.attributes.get(name, default)
        return default if isinstance(value, str) else float(value)

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is a word, in lower case."""
        return str(self.attributes.get(name, default)).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its source and its confidence (0 to 1)."""

    value: float
    source: str
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The numbers that an estimator knows of one piece of hardware; missing numbers are asked of the next estimator."""

    energy_pj: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])
    """Energy by action: `read`, `write`, `compute`, `intersect`, ... (any name that energy tables may use)."""
    area_um2: Estimate | None = None
    leak_mw: Estimate | None = None
    """Leakage power; 1 mW is 1 pJ per ns."""


@runtime_checkable
class Estimator(Protocol):
    """What an estimator must have; packages register theirs under the entry-point group `sparseloop.estimators`."""

    name: str
    priority: float
    """Breaks ties between equal confidences, the higher one first."""

    def estimate(self, query: Query) -> Answer | None:
        """What is known of the hardware; None if it is not of a kind this estimator knows."""
        ...


def total(estimates: Iterable[Estimate]) -> Estimate:
    """The sum of several estimates, with the lowest of their confidences."""
    parts = list(estimates)
    sources = "; ".join(dict.fromkeys(source for part in parts for source in part.source.split("; ")))
    return Estimate(value=sum(p.value for p in parts), source=sources, confidence=min(p.confidence for p in parts))


def times(factor: float, estimate: Estimate, *, trust: float = 1.0) -> Estimate:
    """A multiple of an estimate; its confidence is multiplied by `trust`."""
    return Estimate(value=factor * estimate.value, source=estimate.source, confidence=estimate.confidence * trust)
