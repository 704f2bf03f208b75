"""Which figures of a case are compared: those without a label, with the consequences of a label made explicit.

Every rule has a name and a reason; the tests print how many figures each of them leaves out.
"""

from __future__ import annotations

import re

from sparseloop.validation.timeloop.compare import Figure
from sparseloop.validation.timeloop.corpus import EVERY_PATH, SPARSE_PATHS, GoldenCase

RULES = {
    "labelled": "the path itself has a label of a fault: the walker decides",
    "every path": "a label on '*': one wrong size or abort spoils the whole case (Q26, Q14, D-link of fuzz-02545)",
    "unchecked": "the corpus's authors did not compare the sparse figures of imperfect or flattened problems",
    "dense": "D-labels stand on the dense count or tile; classes, capacity, metadata and network words derived from it"
    " inherit them",
    "metadata class": "the reference calls no unit gated or skipped here: it lets those of a SAF's own level and of fills"
    " vanish (Q45); the actual ones are compared, and gated and skipped ones wherever it prints any",
    "cycles": "the compute's cycles are labelled; those of every level are at least as many and inherit the label",
    "energy": "energies inherit the labels of the counts they weigh, on the same tensor and level; not Q37, which moves a"
    " factor from the counts to the number of instances and leaves their product",
}

INHERITED_COUNTS = re.compile(r"(actual_|algorithmic_)?scalar_|\w*computes_total")
"""Counts whose labels an energy inherits; gated and skipped accesses cost nothing or little."""


def rule_for(case: GoldenCase, figure: Figure) -> str | None:
    """Name of the rule that leaves this figure out, or None: it must agree."""
    labels, path = case.labels, figure.path
    if path in labels:
        return "labelled"
    if EVERY_PATH in labels:
        return "every path"
    if SPARSE_PATHS in labels and _is_sparse(figure):
        return "unchecked"
    if _dense_labelled(labels, figure):
        return "dense"
    if figure.kind == "metadata" and figure.theirs == 0 and not path.split("/")[4].startswith("actual"):
        return "metadata class"
    if figure.kind == "cycles" and f"levels/{case.arithmetic}/stats/cycles" in labels:
        return "cycles"
    if figure.kind == "energy" and _counts_labelled(labels, path):
        return "energy"
    return None


def _is_sparse(figure: Figure) -> bool:
    """True unless the figure is a dense count."""
    return "algorithmic" not in figure.path and "data_tile_shape" not in figure.path and figure.kind != "network"


def _dense_labelled(labels: dict[str, frozenset[str]], figure: Figure) -> bool:
    return any(label.startswith("D") for label in labels.get(figure.dense, ()))


def _counts_labelled(labels: dict[str, frozenset[str]], path: str) -> bool:
    folder = path.rpartition("/")[0] + "/"
    mine = {p.removeprefix(folder): found for p, found in labels.items() if p.startswith(folder)}
    return any(found - {"Q37"} and INHERITED_COUNTS.match(name) for name, found in mine.items())
