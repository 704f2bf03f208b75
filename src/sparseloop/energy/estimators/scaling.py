"""From the node and supply of a published number to those asked for: data/scaling.csv, 7 to 130 nm.

Between the nodes of a table factors are interpolated log-log. Outside, energy goes with the root of the node below and with its
square above (the rule of hwcomponents, after the IRDS), area with the node below and its square above, leakage stays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from sparseloop.energy.estimators.constants import cited, constants, rows
from sparseloop.energy.estimators.query import Estimate, Query, times

SUPPLY = "nominal supply in V"
OUTSIDE_TRUST = 0.7
"""Confidence of a factor outside its table, relative to one inside."""
NEAR_SUPPLY = (0.6, 1.4)
"""Supplies over the nominal one that the square law is trusted for."""
NODES_NM = (7.0, 130.0)
"""Nodes that some table reaches."""


@cache
def scaling_tables() -> Mapping[str, tuple[tuple[float, float], ...]]:
    """Quantity to (node in nm, factor relative to 45 nm), by node; the supply in volts."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows("scaling.csv"):
        found.setdefault(row["quantity"], []).append((float(row["node_nm"]), float(row["factor"])))
    return {quantity: tuple(sorted(points)) for quantity, points in found.items()}


def factor(quantity: str, node_nm: float) -> float:
    """The quantity at a node relative to 45 nm."""
    table = scaling_tables()[quantity]
    (lowest, at_lowest), (highest, at_highest) = table[0], table[-1]
    below, above = _powers(quantity)
    if node_nm <= lowest:
        return at_lowest * (node_nm / lowest) ** below
    if node_nm >= highest:
        return at_highest * (node_nm / highest) ** above
    return next(_between(a, b, node_nm) for a, b in itertools.pairwise(table) if node_nm <= b[0])


def _between(a: tuple[float, float], b: tuple[float, float], node_nm: float) -> float:
    """Log-log interpolation."""
    t = math.log(node_nm / a[0]) / math.log(b[0] / a[0])
    return a[1] ** (1 - t) * b[1] ** t


def _powers(quantity: str) -> tuple[float, float]:
    """Powers of the node below and above a table."""
    if quantity == SUPPLY:
        (low, at_low), (high, at_high) = scaling_tables()[SUPPLY][-2:]
        return 0.0, math.log(at_high / at_low) / math.log(high / low)
    return (0.0, 0.0) if "leakage" in quantity else (1.0, 2.0) if "area" in quantity else (0.5, 2.0)


def trust(quantity: str, node_nm: float) -> float:
    """1 inside the table, less outside."""
    table = scaling_tables()[quantity]
    return 1.0 if table[0][0] <= node_nm <= table[-1][0] else OUTSIDE_TRUST


def overdrive(query: Query) -> float:
    """Supply over the nominal one of the node."""
    return query.vdd / factor(SUPPLY, query.node_nm) if query.vdd else 1.0


def supply_trust(query: Query) -> float:
    """1 near the nominal supply, less far from it: near the threshold and under stress no square law holds."""
    return 1.0 if NEAR_SUPPLY[0] <= overdrive(query) <= NEAR_SUPPLY[1] else OUTSIDE_TRUST


def at_node(estimate: Estimate, quantity: str, query: Query, published_nm: float) -> Estimate:
    """An estimate for `published_nm` at the node and supply of the query: energy goes with the square of the supply, leakage
    with the supply."""
    power = 0 if "area" in quantity else 1 if "leakage" in quantity else 2
    change = factor(quantity, query.node_nm) / factor(quantity, published_nm) * overdrive(query) ** power
    sure = min(trust(quantity, query.node_nm), trust(quantity, published_nm), supply_trust(query) if power else 1)
    scaled = times(change, estimate, trust=sure)
    beyond = [note for note in (_beyond(quantity, query.node_nm), _far(query) if power else "") if note]
    return replace(scaled, source=f"{scaled.source} ({', '.join(beyond)})") if beyond else scaled


def _beyond(quantity: str, node_nm: float) -> str:
    """Says that a node is outside the table; leakage is that of the nearest node."""
    (lowest, _), *_, (highest, _) = scaling_tables()[quantity]
    if lowest <= node_nm <= highest:
        return ""
    nearest = lowest if node_nm < lowest else highest
    return f"of {nearest:g} nm" if "leakage" in quantity else f"extrapolated from {nearest:g} to {node_nm:g} nm"


def _far(query: Query) -> str:
    """Says that a supply is far from the nominal one."""
    return "" if supply_trust(query) == 1 else f"scaled from {factor(SUPPLY, query.node_nm):.3g} to {query.vdd:g} V"


# --- logic: `amount` times a published number ----------------------------------------------------------------


def energy(key: str, amount: float, query: Query) -> Estimate:
    """pJ at the query's node and supply."""
    constant = constants()[key]
    return at_node(cited(amount * constant.value, key), "logic energy", query, constant.node_nm)


def area(key: str, amount: float, query: Query) -> Estimate:
    """um2 at the query's node."""
    constant = constants()[key]
    return at_node(cited(amount * constant.value, key), "logic area", query, constant.node_nm)


def leakage(key: str, amount: float, query: Query) -> Estimate:
    """mW; no published ratio says how leakage of logic changes with the node, so it does not."""
    constant = constants()[key]
    at_home = 1.0 if query.node_nm == constant.node_nm else OUTSIDE_TRUST
    return times(amount * overdrive(query), cited(constant.value, key), trust=min(at_home, supply_trust(query)))
