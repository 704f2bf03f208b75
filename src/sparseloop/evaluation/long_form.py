"""A result file as tidy rows: one number a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class TidyRow(NamedTuple):
    """One number of a result; texts are empty where they do not apply."""

    level: str
    """Or the network; empty for totals."""
    tensor: str
    quantity: str
    event_class: str
    """total, actual, gated, skipped or absent of a count; p10, p50 or p90; count, energy, area or leak."""
    value: Any
    unit: str


COLUMNS = ("level", "tensor", "quantity", "class", "value", "unit")
"""The fields of a row as a table names them."""
Cells = tuple[str, str, str, str, Any, str]

_TOTALS = (("energy_pj", "pJ"), ("cycles", "cycles"), ("edp_pj_cycles", "pJ cycles"), ("area_um2", "um2"), ("utilization", "1"))
_LEVEL = (("instances", "1"), ("instances_used", "1"), ("energy_pj", "pJ"), ("cycles", "cycles"), ("area_um2", "um2"))
_TILE = (("footprint", "words"), ("density", "1"), *((name, "words") for name in ("occupancy", "p10", "p50", "p90")))
_CAPACITY = {"words": "words", "expected": "words", "worst": "words", "metadata_words": "words"}


def tidy_rows(record: dict[str, Any]) -> list[TidyRow]:
    """Every number in a result file; what does not apply is left out."""
    return [row for row in (TidyRow(*cells) for cells in _rows(record)) if row.value is not None]


def _rows(record: dict[str, Any]) -> Iterator[Cells]:
    totals = record["totals"]
    yield "", "", "valid", "", float(record["status"]["valid"]), "1"
    for name, unit in _TOTALS:
        yield "", "", name, "", totals[name], unit
    yield from _slowest(totals["slowest"])
    yield from _classes("", "", "computes", totals["computes"], "computes")
    for level in record["levels"]:
        yield from _level(level)
    for network in record["networks"]:
        yield network["name"], "", "energy_pj", "", network["energy_pj"], "pJ"
        for quantity, unit in (("words_down", "words"), ("words_up", "words"), ("metadata_bits", "bits")):
            for tensor, value in network[quantity].items():
                yield network["name"], tensor, quantity, "", value, unit


def _slowest(found: dict[str, Any] | None) -> Iterator[Cells]:
    if found is not None:
        yield "", "", "slowest.instances", "", found["instances"], "1"
        for quantity in ("compute", "cycles"):
            for quantile, value in found[quantity].items():
                yield "", "", f"slowest.{quantity}", quantile, value, "cycles"


def _level(level: dict[str, Any]) -> Iterator[Cells]:
    name = level["name"]
    for quantity, unit in _LEVEL:
        yield name, "", quantity, "", level[quantity], unit
    for part in level["parts"]:
        at = (name, "", f"part.{part['name']}")
        yield *at, "count", part["count"], "1"
        yield *at, "area", part["area_um2"], "um2"
        yield *at, "leak", part["leak_pj"], "pJ/cycle"
    for quantity, value in level.get("capacity", {}).items():
        yield name, "", f"capacity.{quantity}", "", value, _CAPACITY.get(quantity, "bits")
    if "computes" in level:
        yield from _classes(name, "", "computes", level["computes"], "computes")
    for tensor, of in level.get("tensors", {}).items():
        yield from _tensor(name, tensor, of)
    for action in level["actions"]:
        at = (name, action["tensor"] or "", f"action.{action['action']}")
        yield *at, "count", action["count"], "1"
        yield *at, "energy", action["energy_pj"], "pJ"


def _tensor(level: str, tensor: str, of: dict[str, Any]) -> Iterator[Cells]:
    for quantity, unit in _TILE:
        yield level, tensor, f"tile.{quantity}", "", of["tile"][quantity], unit
    for action in ("reads", "fills", "updates"):
        yield from _classes(level, tensor, action, of[action], "words")
        yield from _classes(level, tensor, f"metadata_bits.{action}", of["metadata_bits"][action], "bits")
    yield level, tensor, "energy_pj", "", of["energy_pj"], "pJ"


def _classes(level: str, tensor: str, quantity: str, record: dict[str, float], unit: str) -> Iterator[Cells]:
    for name, value in record.items():
        yield level, tensor, quantity, name, value, unit
