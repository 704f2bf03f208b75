"""DSTC's cycles against density: outer products whose operands take whole waves of lanes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from sparseloop.model.density.slices import binomial
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import error, run, table

WORST = 0.208
"""Sparseloop's own worst error (MICRO 2022, Fig. 13, digitised)."""


def findings(_: ExternalData) -> Findings:
    """Cycles relative to dense at every published pair of densities."""
    published = table("dstc_fig13")
    dense = float(published[0]["cycles"])
    ours = run("dstc", "architecture dense matmul_dense").cycles
    rows = tuple(
        PublishedFigure(
            case=f"A {row_published['density_a']}, B {row_published['density_b']}",
            figure="cycles / dense",
            published=float(row_published["cycles"]) / dense,
            ours=_cycles(row_published["density_a"], row_published["density_b"]) / ours,
            limit=WORST,
        )
        for row_published in published[1:]
    )
    compared = [row.error for row, row_published in zip(rows, published[1:], strict=True) if row_published["sparseloop"]]
    note = (
        f"the {len(compared)} points that Sparseloop's study shows: {error(compared)}; Sparseloop's own: mean 7.6 %, worst 20.8 %"
    )
    points = [(float(row["density_a"]), float(row["density_b"]), float(row["cycles"]) / dense) for row in published[1:]]
    lengths = ", ".join(_with_columns_of(length, points) for length in (32, 64, 256))
    return Findings(
        rows=rows,
        notes=(
            note,
            "no load imbalance between the cores of the chip",
            f"waves by hand, mean and worst of all points: columns {lengths}",
        ),
    )


def _with_columns_of(length: int, points: Sequence[tuple[float, float, float]]) -> str:
    """Errors if columns and rows of so many words were packed: E[ceil(k / lanes)] over its greatest value, for either operand."""

    def waves(density: float, lanes: int) -> float:
        found = binomial(length, density)
        return float(np.ceil(found.values / lanes) @ found.weights) / (length / lanes)

    errors = [abs(waves(a, 8) * waves(b, 16) / cycles - 1) for a, b, cycles in points]
    return f"of {length} words {100 * fmean(errors):.1f} %, {100 * max(errors):.1f} %"


def _cycles(a: str, b: str) -> float:
    return run("dstc", "architecture sparse matmul", f"workload.density.A={a}", f"workload.density.B={b}").cycles


TARGET = Target(
    name="dstc",
    title="DSTC: cycles of a product of 4096 x 4096 matrices by density",
    citation="Wang, Zhang, Xie et al., ISCA 2021, Fig. 21, as digitised for Sparseloop (MICRO 2022, Fig. 13)",
    run=findings,
)
