"""EIE: padding entries of 4-bit runs, and the times of its layers."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from ..api import evaluate
from ..density import DensityModel
from ..loading import load
from ..result import Result
from .records import Findings, Row, Sources, Target
from .runs import table

PES = 64
CLOCK_MHZ = 800
LONGEST = 15
"""Zeros that one 4-bit run can say; a longer run needs an entry of its own per 16 zeros (ISCA 2016, section III)."""


def padding(model: DensityModel, fibre: int, longest: int = LONGEST) -> float:
    """Expected padding entries per non-zero of a fibre of so many elements, coded as (zeros before, value).

    Sum over j >= 1 and places i of P(value at i non-zero, the run = (longest + 1) j before it zero and inside the fibre)
    = sum_j (fibre - j run)+ (e(j run) - e(j run + 1)), e the model's probability of an empty tile; over fibre * density.
    For models in which a tile's place does not matter (uniform).
    """
    run = longest + 1
    entries = 0.0
    for zeros in range(run, fibre, run):
        entries += (fibre - zeros) * float(model.empty(zeros, (1, zeros)) - model.empty(zeros + 1, (1, zeros + 1)))
    return entries / (fibre * model.density)


@lru_cache(maxsize=16)
def layer(file: str) -> Result:
    """The shipped machine on one layer."""
    package = files("sparseloop")
    machine = package.joinpath("designs/eie")
    parts = (machine.joinpath("architecture.yaml"), machine.joinpath("sparse.yaml"), package.joinpath(f"{file}.yaml"))
    return evaluate(load(*(str(part) for part in parts)))


def run(_: Sources) -> Findings:
    """Entries walked per non-zero weight, and the two times of every layer."""
    return Findings(rows=tuple(row for line in table("eie_table4") for row in rows_of(line)), notes=NOTES)


def rows_of(line: dict[str, str]) -> list[Row]:
    """One layer: ours are the effectual computes of the model times the entries per non-zero weight of its density model."""
    result = layer(line["file"])
    weights = result.plan.einsum.tensors[result.plan.einsum.index["W"]]
    columns = dict(zip(result.plan.einsum.ranks, result.plan.einsum.shape, strict=True))
    fibre = -(-columns["m"] // PES)
    entries = 1 + padding(weights.density, fibre)
    work = float(result.cost.sparse.computes.actual)
    theoretical, actual = float(line["theoretical_us"]), float(line["actual_us"])
    return [
        Row(
            case=line["layer"],
            figure="entries per non-zero weight",
            published=theoretical * CLOCK_MHZ * PES / work,
            ours=entries,
        ),
        Row(
            case=line["layer"], figure="theoretical time", unit="us", published=theoretical, ours=work * entries / PES / CLOCK_MHZ
        ),
        Row(case=line["layer"], figure="actual time", unit="us", published=actual, ours=result.cycles * entries / CLOCK_MHZ),
    ]


NOTES = (
    "entries per non-zero weight: published is the theoretical time x 64 PEs x 800 MHz over the layer's effectual products; the "
    "densities behind it are whole per cents (4 % may be 3.5 to 4.5 %)",
    "`eval` adds no padding entries for long runs; their expectation is computed here from its density model and multiplied on",
    "the closed form 1 + q^16 / (1 - q^16) is that of an endless column; a PE's part of a column has 10 to 138 rows and needs no "
    "entry after its last non-zero",
)

TARGET = Target(
    name="eie",
    title="EIE: padding entries and time per layer",
    citation="Han, Liu, Mao et al., ISCA 2016, tables III and IV (times and the last five layers quoted second-hand)",
    run=run,
)
