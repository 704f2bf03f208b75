"""The points of a study as a table: parameters, objectives and what else is asked first, in the units of every other table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sparseloop.evaluation import humanize
from sparseloop.report.datatable import Cell, DataTable, columns

NAMES = {"energy_pj": "energy", "edp": "EDP", "area_um2": "area"}
"""Columns of the store that are shown with their units, under other names."""


def points_table(study: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], title: str) -> DataTable:
    """Some points (rows of the store) of a study (as in `study.json`): one row each."""
    units = {one["name"]: one["unit"] for one in study["parameters"]}
    metrics = dict.fromkeys([*(goal["column"] for goal in study["objectives"]), "energy_pj", "cycles", "area_um2"])
    marked = ["mapping"] if any(row["proven"] is not None for row in rows) else []
    names = [*(f"*{name} ({unit})" if unit else f"*{name}" for name, unit in units.items()), *(NAMES.get(m, m) for m in metrics)]
    goal = study["objectives"][0]["column"]
    return DataTable(
        title=title,
        columns=columns("*point", *names, *(f"<{name}" for name in marked)),
        rows=tuple(
            (
                str(row["point"]),
                *(_parameter(row[name]) for name in units),
                *(_metric(row, name) for name in metrics),
                *([certainty_text(row, goal)] if marked else []),
            )
            for row in rows
        ),
    )


def certainty_text(row: Mapping[str, Any], goal: str) -> str:
    """How far a point is known to be optimal in the column `goal`: 'proven', 'gap 5 %' or 'not bounded'."""
    if row["proven"]:
        return "proven"
    bound, value = row["lower_bound"], row[goal]
    return f"gap {humanize.percent_text(value / bound - 1)}" if bound and value is not None else "not bounded"


def _parameter(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _metric(row: Mapping[str, Any], name: str) -> Cell:
    value = row[name]
    if value is None:
        return "-"
    if name == "energy_pj":
        return partial(humanize.energy_text, value)
    if name == "cycles":
        return partial(humanize.count_text, value)
    if name == "area_um2":
        return humanize.total_area_text(value)
    if name == "edp" and row["latency_s"]:
        return humanize.edp_text(value, row["cycles"] / row["latency_s"])
    return f"{value:.4g}"
