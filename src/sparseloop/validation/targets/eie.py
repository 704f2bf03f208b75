"""EIE: padding entries of 4-bit runs, and the times of its layers."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load
from sparseloop.model.density import DensityModel
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import table

PES = 64
CLOCK_MHZ = 800
LONGEST = 15
"""Zeros that one 4-bit run can say; a longer run needs an entry of its own per 16 zeros (ISCA 2016, section III)."""
QUEUE = 8
"""Activations that wait in front of a PE (ISCA 2016, section IV)."""
SEED = 0


def padding(model: DensityModel, fiber: int, longest: int = LONGEST) -> float:
    """Expected padding entries per non-zero of a fiber of so many elements, coded as (zeros before, value).

    Sum over j >= 1 and places i of P(value at i non-zero, the run = (longest + 1) j before it zero and inside the fiber)
    = sum_j (fiber - j run)+ (e(j run) - e(j run + 1)), e the model's probability of an empty tile; over fiber * density.
    For models in which a tile's place does not matter (uniform).
    """
    run = longest + 1
    entries = 0.0
    for zeros in range(run, fiber, run):
        entries += (fiber - zeros) * float(model.empty(zeros, (1, zeros)) - model.empty(zeros + 1, (1, zeros + 1)))
    return entries / (fiber * model.density)


@lru_cache(maxsize=16)
def layer(file: str) -> Result:
    """The shipped machine on one layer."""
    package = files("sparseloop")
    machine = package.joinpath("designs/eie")
    parts = (machine.joinpath("architecture.yaml"), machine.joinpath("sparse.yaml"), package.joinpath(f"{file}.yaml"))
    return evaluate(load(*(str(part) for part in parts)))


def entries_drawn(rows: int, columns: int, density: float) -> npt.NDArray[np.int64]:
    """Entries, padding included, of every column in every PE, for a random matrix whose rows are dealt to the PEs in turn."""
    dice = np.random.default_rng(SEED)
    share = -(-rows // PES)
    nonzero = dice.random((columns, PES, share), dtype=np.float32) < density
    nonzero[:, np.arange(PES) >= rows - PES * (share - 1), -1] = False
    at = np.where(nonzero, np.arange(share), -1)
    before = np.maximum.accumulate(at, axis=2)
    before = np.concatenate([np.full((columns, PES, 1), -1), before[:, :, :-1]], axis=2)
    runs = np.where(nonzero, (np.arange(share) - before - 1) // (LONGEST + 1), 0)
    return (nonzero + runs).sum(axis=2)


def queued(entries: npt.NDArray[np.int64]) -> float:
    """Cycles until the last PE is done: one column a cycle goes to all queues of 8, none while one is full.

    A PE takes a column from its queue when it is done with the one before, and at least a cycle for each.
    """
    given, done = 0.0, np.zeros(PES)
    taken: list[float] = []
    for column, work in enumerate(np.maximum(entries, 1)):
        given = max(given + 1.0, taken[column - QUEUE] if column >= QUEUE else 0.0)
        start = np.maximum(done, given)
        done = start + work
        taken.append(float(start.max()))
    return float(done.max())


def run(_: ExternalData) -> Findings:
    """Entries walked per non-zero weight, and the two times of every layer."""
    return Findings(rows=tuple(row for line in table("eie_table4") for row in rows_of(line)), notes=NOTES)


def rows_of(line: dict[str, str]) -> list[PublishedFigure]:
    """One layer: ours are the effectual computes of the model times the entries per non-zero weight of its density model."""
    result = layer(line["file"])
    weights = result.plan.einsum.tensors[result.plan.einsum.index["W"]]
    sizes = dict(zip(result.plan.einsum.ranks, result.plan.einsum.shape, strict=True))
    entries = 1 + padding(weights.density, -(-sizes["m"] // PES))
    work, lag = float(result.cost.sparse.computes.actual), result.slowest
    assert lag is not None
    low, middle, high = (cycles * entries / CLOCK_MHZ for cycles in lag.cycles)
    told, took = float(line["theoretical_us"]), float(line["actual_us"])
    drawn = entries_drawn(sizes["m"], round(sizes["k"] * float(line["activations"])), float(line["weights"]))
    waited = queued(drawn) * PES / float(drawn.sum())
    case = line["layer"]
    return [
        PublishedFigure(case=case, figure="entries per non-zero weight", published=told * CLOCK_MHZ * PES / work, ours=entries),
        PublishedFigure(case=case, figure="theoretical time", unit="us", published=told, ours=work * entries / PES / CLOCK_MHZ),
        PublishedFigure(case=case, figure="actual time", unit="us", published=took, ours=middle, low=low, high=high),
        PublishedFigure(case=case, figure="actual / theoretical, queues", published=took / told, ours=waited),
    ]


NOTES = (
    "entries per non-zero weight: published is the theoretical time x 64 PEs x 800 MHz over the layer's effectual products; the "
    "densities behind it are whole per cents (4 % may be 3.5 to 4.5 %)",
    "`eval` adds no padding entries for long runs; their expectation is computed here from its density model and multiplied on",
    "the closed form 1 + q^16 / (1 - q^16) holds for an endless column; a PE's part of a column has 10 to 138 rows and needs no "
    "entry after its last non-zero",
    "actual time: that of the slowest PE, P50 (P10-P90) of the density model, without waiting in between: a lower bound",
    "queues: drawn columns, a queue of 8 in front of each PE, at least a cycle per column and PE; they explain most of the lag "
    "where columns are short (NT-We: a PE has 10 rows, one weight a column)",
)

TARGET = Target(
    name="eie",
    title="EIE: padding entries and time per layer",
    citation="Han, Liu, Mao et al., ISCA 2016, tables III and IV (times and the last five layers quoted second-hand)",
    run=run,
)
