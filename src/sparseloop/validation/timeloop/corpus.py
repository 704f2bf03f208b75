"""The golden corpus: cases with the reference's figures, and the labels of paths on which it is not the standard."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

COMMITTED = Path(__file__).parent / "corpus.jsonl.gz"
"""Cases generated for this project, with only the figures and labels that are compared."""

LABEL_KINDS = ("faults", "dense_faults", "sound_differs")
EVERY_PATH = "*"
SPARSE_PATHS = "sparse"


@dataclass(frozen=True, kw_only=True)
class GoldenCase:
    """Inputs in Timeloop's form, what Timeloop v3.0.3 answers, and the labels."""

    id: str
    features: tuple[str, ...]
    inputs: dict[str, str]
    expected: dict[str, Any]
    given_labels: dict[str, dict[str, list[str]]]

    @cached_property
    def labels(self) -> dict[str, frozenset[str]]:
        """Path to the faults and differences noted for it."""
        found: dict[str, set[str]] = {}
        for kind in LABEL_KINDS:
            for label, paths in (self.given_labels.get(kind) or {}).items():
                for path in paths:
                    found.setdefault(path, set()).add(label)
        return {path: frozenset(labels) for path, labels in found.items()}

    @property
    def sparse(self) -> bool:
        """True if Timeloop's sparse analysis ran (its output then has other field names)."""
        return "algorithmic_computes_total" in self.expected["levels"][0]["stats"]

    @property
    def computes(self) -> float:
        """Computes of the dense problem, as the reference counts them."""
        stats = self.expected["levels"][0]["stats"]
        return stats["algorithmic_computes_total" if self.sparse else "computes_total"]

    @property
    def arithmetic(self) -> str:
        """Name of the compute level."""
        return self.expected["levels"][0]["name"]


def read_cases(path: Path) -> Iterator[GoldenCase]:
    """The cases of a corpus file, compact or full."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            yield GoldenCase(
                id=raw["id"],
                features=tuple(raw["features"]),
                inputs=raw["inputs"],
                expected=raw["expected"],
                given_labels={kind: raw.get(kind) or {} for kind in LABEL_KINDS},
            )
