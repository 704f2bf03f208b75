"""What a plug-in imports: questions about hardware and their answers (`sparseloop.energy.estimators`)."""

from __future__ import annotations

from sparseloop.energy.estimators import Answer, Attribute, Estimate, Estimator, Kind, Query, times, total

__all__ = ["Answer", "Attribute", "Estimate", "Estimator", "Kind", "Query", "times", "total"]
