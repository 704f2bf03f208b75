"""Error bars of load imbalance: does the slowest PE of drawn tensors lie within the model's P10 to P90?"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from ..api import evaluate
from ..loading import load
from ..result import Result
from .records import Findings, Row, Sources, Target
from .walking import placed, walker

CASES = ("intersection", "rows", "reduction", "halves", "crossed", "channels", "positions")
DRAWS = 200
SEED = 1
HELD = 0.8
"""Share of all draws that lies between P10 and P90."""


def evaluated(case: str) -> Result:
    """One shipped case."""
    folder = files("sparseloop.validation").joinpath("specs/imbalance")
    return evaluate(load(str(folder.joinpath("machine.yaml")), str(folder.joinpath(f"{case}.yaml"))))


def drawn(result: Result, draws: int = DRAWS) -> list[float]:
    """Steps of the slowest PE, walked on so many draws of uniform tensors."""
    dice = np.random.default_rng(SEED)
    walk = walker(result.design).walk
    models = {t.name: t.density for t in result.design.einsum.tensors}
    found: list[float] = []
    for _ in range(draws):
        data = {name: placed(m.shape, round(m.density * m.total), dice) for name, m in models.items()}
        found.append(max(walk(data).lane_work))
    return found


def rows_of(case: str) -> tuple[Row, Row]:
    """The median of the slowest PE, and how many draws lie between our P10 and P90 (in whole steps)."""
    result = evaluated(case)
    lag, seen = result.slowest, drawn(result)
    assert lag is not None
    low, middle, high = lag.compute
    held = sum(low - 0.5 <= steps <= high + 0.5 for steps in seen) / len(seen)
    return (
        Row(case=case, figure="slowest PE, steps", published=float(np.median(seen)), ours=middle, low=low, high=high),
        Row(case=case, figure="share of draws within P10-P90", published=HELD, ours=held),
    )


def run(_: Sources) -> Findings:
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
    title="Load imbalance: the slowest PE within the error bars of the density models",
    citation="the walker on random tensors",
    run=run,
)
