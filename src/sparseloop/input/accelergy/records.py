"""What the package passes around: primitives, what they cost, and tables of energies and areas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sparseloop.energy.estimators import Estimate

Scalar = Any
"""A number, text or truth value as it comes from YAML."""

Attributes = Mapping[str, Scalar]
"""Attribute (or argument) name to its value."""

NO_ATTRIBUTES: Attributes = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Primitive:
    """A component that is priced directly: its class, what is written at it, and what it inherits."""

    class_name: str
    attributes: Attributes = field(default_factory=dict[str, Scalar])
    inherited: Attributes = field(default_factory=dict[str, Scalar])
    """Technology and cycle time of the compounds around it (v0.4), and defaults of its class."""

    def value(self, name: str) -> Scalar:
        """An attribute: the own one, else the inherited one, else None."""
        return self.attributes.get(name, self.inherited.get(name))


class Primitives(Protocol):
    """Prices of primitive components."""

    def energy(self, primitive: Primitive, action: str, arguments: Attributes) -> Estimate | None:
        """Energy of one action in pJ; None if it is not known here."""
        ...

    def area(self, primitive: Primitive) -> Estimate | None:
        """Area of one instance in um2; None if it is not known here."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ErtRow:
    """One number of an energy table: an action of a component with one combination of arguments."""

    component: str
    action: str
    arguments: tuple[tuple[str, Scalar], ...] = ()
    energy_pj: float
    source: str = ""
    confidence: float = 1.0

    @property
    def key(self) -> tuple[str, str, frozenset[tuple[str, Scalar]]]:
        """Component, action and arguments; their order does not matter."""
        return self.component, self.action, frozenset(self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtRow:
    """Area of one instance of a component."""

    component: str
    area_um2: float
    source: str = ""
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTables:
    """An energy and an area table (ERT and ART), and what could not be priced or was left out."""

    rows: tuple[ErtRow, ...] = ()
    areas: tuple[ArtRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FirstOf:
    """Several sources of prices: the first one that knows a price gives it."""

    sources: tuple[Primitives, ...]

    def energy(self, primitive: Primitive, action: str, arguments: Attributes) -> Estimate | None:
        """Energy of one action in pJ."""
        found = (source.energy(primitive, action, arguments) for source in self.sources)
        return next((price for price in found if price is not None), None)

    def area(self, primitive: Primitive) -> Estimate | None:
        """Area of one instance in um2."""
        return next((price for source in self.sources if (price := source.area(primitive)) is not None), None)
