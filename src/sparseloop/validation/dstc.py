"""DSTC's cycles against density: the rounding of a tile's occupancy to the lanes of one outer-product step."""

from __future__ import annotations

import csv
from importlib.resources import files

from ..density import Uniform
from .records import Findings, Row, Sources, Target

SIDE = 4096
"""Rows, columns and depth of the product (MICRO 2022, Fig. 13)."""
TILE = 32
"""Rows and columns of a tile of sums (design `dstc`)."""
LANES_A, LANES_B = 8, 16
"""Non-zeros of A's column and B's row multiplied at once (design `dstc`: 16 x 8 lanes)."""
WORST = 0.208
"""Sparseloop's own worst error (MICRO 2022, Fig. 13, digitised)."""


def steps(density: float, lanes: int) -> float:
    """E[ceil(k / lanes)] over the tile's occupancy k, divided by its value at density 1."""
    if density == 1:
        return 1.0
    model = Uniform((SIDE, SIDE), density)
    return float(model.blocks(TILE, (TILE, 1), lanes)) / (TILE / lanes)


def run(_: Sources) -> Findings:
    """Cycles relative to dense at every published pair of densities."""
    text = files("sparseloop.validation").joinpath("tables/dstc_fig13.csv").read_text(encoding="utf-8")
    table = list(csv.DictReader(text.splitlines()))
    dense = float(table[0]["cycles"])
    rows = tuple(
        Row(
            case=f"A {one['density_a']}, B {one['density_b']}",
            figure="cycles / dense",
            published=float(one["cycles"]) / dense,
            ours=steps(float(one["density_a"]), LANES_A) * steps(float(one["density_b"]), LANES_B),
            limit=WORST,
        )
        for one in table[1:]
    )
    compared = [abs(row.error) for row, one in zip(rows, table[1:], strict=True) if one["sparseloop"]]
    return Findings(
        rows=rows,
        notes=(
            f"the {len(compared)} points that Sparseloop's study shows: mean error {100 * sum(compared) / len(compared):.1f} %, "
            f"worst {100 * max(compared):.1f} %; Sparseloop's own: 7.6 %, 20.8 %",
            "ours: E[ceil(kA/8)] E[ceil(kB/16)] of the density model, 32 x 32 tiles; not the cycles of `eval`, which packs lanes "
            "without rounding; no load imbalance",
        ),
    )


TARGET = Target(
    name="dstc",
    title="DSTC: cycles of a product of 4096 x 4096 matrices by density",
    citation="Wang, Zhang, Xie et al., ISCA 2021, Fig. 21, as digitised for Sparseloop (MICRO 2022, Fig. 13)",
    run=run,
)
