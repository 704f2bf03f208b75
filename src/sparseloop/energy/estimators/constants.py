"""Published numbers with their sources: data/constants.csv, read at first use."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sparseloop.energy.estimators.query import DEFAULT_NODE_NM, Estimate

DATA_FOLDER = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One published number: value, unit, the node it holds for, citation, and how far to trust it (0..1)."""

    value: float
    unit: str
    node_nm: float
    citation: str
    confidence: float


def rows(name: str) -> list[dict[str, str]]:
    """The rows of one file of the package's data."""
    with (DATA_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def constants() -> Mapping[str, Constant]:
    """Key to constant."""
    return {
        row["key"]: Constant(
            value=float(row["value"]),
            unit=row["unit"],
            node_nm=float(row["node_nm"] or DEFAULT_NODE_NM),
            citation=row["citation"],
            confidence=float(row["confidence"]),
        )
        for row in rows("constants.csv")
    }


def value(key: str) -> float:
    """The number behind a key."""
    return constants()[key].value


def cited(number: float, key: str) -> Estimate:
    """A value derived from the constant `key`, with its source and confidence."""
    constant = constants()[key]
    return Estimate(value=number, source=constant.citation, confidence=constant.confidence)
