"""Error bars: do the slowest PE and the tiles of drawn tensors lie within the model's P10 to P90?"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import numpy as np

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load
from sparseloop.model.formats.occupancy import ResidentTile
from sparseloop.validation.against_walker import random_pattern, walker
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target

CASES = ("intersection", "rows", "reduction", "halves", "crossed", "channels", "positions")
DRAWS = 200
SEED = 1
HELD = 0.8
"""Share of all draws that lies between P10 and P90."""


def evaluated(case: str) -> Result:
    """One shipped case."""
    folder = files("sparseloop.validation").joinpath("specs/imbalance")
    return evaluate(load(str(folder.joinpath("machine.yaml")), str(folder.joinpath(f"{case}.yaml"))))


def tiles_of(result: Result) -> dict[str, ResidentTile]:
    """What a PE's memory holds of the compressed operands."""
    level = result.plan.compute - 1
    held = (k for k in result.cost.sparse.links if k.dense.link.parent == level and k.dense.link.compressed)
    return {k.dense.link.name: k.resident for k in held if not k.dense.link.output}


def drawn(result: Result, draws: int = DRAWS) -> dict[str, list[float]]:
    """Walked on so many draws of uniform tensors: steps of the slowest PE, words of the first tile of each operand."""
    dice = np.random.default_rng(SEED)
    walk = walker(result.design).walk
    models = {t.name: t.density for t in result.design.einsum.tensors if not t.density.produced}  # the walker makes the result
    boxes = {name: tuple(slice(0, int(e)) for e in tile.extents) for name, tile in tiles_of(result).items()}
    found: dict[str, list[float]] = {"slowest PE": [], **{name: [] for name in boxes}}
    for _ in range(draws):
        data = {name: random_pattern(m.shape, round(m.density * m.total), dice) for name, m in models.items()}
        found["slowest PE"].append(max(walk(data).lane_work))
        for name, box in boxes.items():
            found[name].append(float(data[name][box].sum()))
    return found


def rows_of(case: str) -> Iterator[PublishedFigure]:
    """The medians of the slowest PE and of the tiles, and how many draws lie between our P10 and P90 (in whole numbers)."""
    result = evaluated(case)
    lag, tiles = result.slowest, tiles_of(result)
    assert lag is not None
    for name, seen in drawn(result).items():
        low, middle, high = (float(tiles[name].quantile(c)) for c in (0.1, 0.5, 0.9)) if name in tiles else lag.compute
        figure = f"tile of {name}, words" if name in tiles else f"{name}, steps"
        held = sum(low - 0.5 <= number <= high + 0.5 for number in seen) / len(seen)
        yield PublishedFigure(case=case, figure=figure, published=float(np.median(seen)), ours=middle, low=low, high=high)
        yield PublishedFigure(case=case, figure=f"share of draws within, {figure.split(',')[0]}", published=HELD, ours=held)


def run(_: ExternalData) -> Findings:
    """All cases."""
    rows = tuple(row for case in CASES for row in rows_of(case))
    medians = [row for row in rows if row.low is not None and row.high is not None]
    inside = sum(row.low <= row.published <= row.high for row in medians if row.low is not None and row.high is not None)
    error = (HELD * (1 - HELD) / DRAWS) ** 0.5
    return Findings(
        rows=rows,
        notes=(
            f"published: here the walker's median of {DRAWS} draws of uniform tensors; {inside} of {len(medians)} medians lie "
            f"between our P10 and P90; a share of {DRAWS} draws has a standard error of {error:.3f}",
            "PEs are taken as exchangeable and nearly normal; where rows of them are alike (crossed) it is overstated",
        ),
    )


TARGET = Target(
    name="imbalance",
    title="Error bars: the slowest PE and the words of a tile within P10 and P90 of the density models",
    citation="the walker on random tensors",
    run=run,
)
