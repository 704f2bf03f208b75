"""Accelergy's files that tests of compounds share, and what they ask of them."""

from __future__ import annotations

import pytest

from sparseloop.energy.estimators import Estimate
from sparseloop.input.accelergy import Primitive, ReferenceTables, reference_tables_of
from sparseloop.input.accelergy.records import Attributes
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.yaml import files as yamlio

CLASSES = """
compound_components:
  version: 0.3
  classes:
  - name: spad
    attributes: {technology: must_specify, width: must_specify, depth: must_specify, counter_width: log(depth)}
    subcomponents:
    - {name: storage, class: SRAM, attributes: {technology: technology, width: width, depth: depth}}
    - {name: "counters[0..1]", class: intadder, attributes: {technology: technology, datawidth: counter_width}}
    actions:
    - name: read
      subcomponents:
      - {name: storage, actions: [{name: read}]}
      - {name: "counters[0]", actions: [{name: add}]}
    - {name: idle, subcomponents: [{name: "counters[0..1]", actions: [{name: idle}]}]}
"""
ARCHITECTURE = """
architecture:
  version: 0.3
  subtree:
  - name: chip
    attributes: {technology: 45nm}
    local:
    - {name: DRAM, class: DRAM, attributes: {width: 64}}
    subtree:
    - name: PE[0..11]
      local:
      - {name: buf, class: storage, subclass: spad, attributes: {width: 2 * 8, depth: 1000}}
"""


class Counting:
    """Every action of a primitive costs 1 pJ (idle 0.25), every instance 10 um2; classes in `unknown` have no price."""

    def __init__(self, *unknown: str) -> None:
        self.unknown, self.asked = unknown, list[tuple[str, Attributes, str, Attributes]]()

    def energy(self, primitive: Primitive, action: str, arguments: Attributes) -> Estimate | None:
        self.asked.append((primitive.class_name, primitive.attributes, action, arguments))
        known = primitive.class_name not in self.unknown
        return Estimate(value=0.25 if action == "idle" else 1.0, source="one") if known else None

    def area(self, primitive: Primitive) -> Estimate | None:
        return Estimate(value=10.0, source="ten") if primitive.class_name not in self.unknown else None


def made(*texts: str, prices: Counting | None = None) -> ReferenceTables:
    data, source = yamlio.load_text("\n".join(texts), name="all.yaml")
    return reference_tables_of(data, source, prices or Counting())


def energies(tables: ReferenceTables, component: str) -> dict[str, float]:
    """Action with its arguments to energy."""
    rows = [row for row in tables.rows if row.component == component]
    return {row.action + "".join(f" {k}={v}" for k, v in row.arguments): row.energy_pj for row in rows}


def areas(tables: ReferenceTables) -> dict[str, float]:
    return {area.component: area.area_um2 for area in tables.areas}


def mistakes(*texts: str) -> str:
    with pytest.raises(SpecError) as caught:
        made(*texts)
    return str(caught.value)


def one(class_text: str, attributes: str = "{}", version: str = "0.4") -> ReferenceTables:
    """The tables of a single component `c` of the class `x` in the given text."""
    component = f"{{name: c, class: x, attributes: {attributes}}}"
    tree = f"architecture: {{version: '{version}', subtree: [{{name: s, local: [{component}]}}]}}"
    return made(f"compound_components:\n  version: '{version}'\n  classes:\n" + class_text, tree)
