"""What hardware costs: one question (`Query`), one answer (`Answer`), and estimators that give it.

Packages add their own under the entry-point group `sparseloop.estimators`; `builtin` is always there.
"""

from __future__ import annotations

from sparseloop.energy.estimators.builtin import OPTIONS
from sparseloop.energy.estimators.choice import GROUP, Offer, Registry, offer, registry, remember
from sparseloop.energy.estimators.query import DEFAULT_NODE_NM, Answer, Attribute, Estimate, Estimator, Kind, Query, times, total

__all__ = [
    "DEFAULT_NODE_NM",
    "GROUP",
    "OPTIONS",
    "Answer",
    "Attribute",
    "Estimate",
    "Estimator",
    "Kind",
    "Offer",
    "Query",
    "Registry",
    "offer",
    "registry",
    "remember",
    "times",
    "total",
]
