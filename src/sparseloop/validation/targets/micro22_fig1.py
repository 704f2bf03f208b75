"""Bitmask with gating against coordinate list with skipping (MICRO'22, Fig. 1), in Timeloop's reading and in ours."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from math import exp, log
from pathlib import Path

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import table

SPECS = Path(__file__).parents[1] / "specs" / "fig1"
READINGS = {"timeloop": "Timeloop's reading", "native": "our reading"}
CYCLES = 0.01
"""One in 128 cycles of the bitmask writes first partial sums in the study's build."""
FILL = "the study's build writes the first partial sums into the register (128 x 128 cycles); Timeloop v3.0.3 and ours do not"
ENERGY = {
    "timeloop": "first partial sums (as above), and gated and metadata accesses without a price, which v3.0.3 counts otherwise",
    "native": "both masks and both lists are read to their ends, decoders and addresses are priced, tiles are random; each word "
    "of Z that the register sends back is an access of 8 words",
}
LISTS = "an intersection reads both lists to their ends; the study counts the common coordinates only"

Curve = list[tuple[float, float]]
"""(density, list over bitmask)."""


@cache
def run(features: str, density: str, reading: str) -> Result:
    """Evaluates one set of features at one density of both operands: tiles hold their share (Timeloop) or are random (ours)."""
    model = "even" if reading == "timeloop" else "uniform"
    overrides = [f"workload.density.{tensor}={{model: {model}, density: {density}}}" for tensor in "AB"]
    files = [SPECS / f"{name}.yaml" for name in ("machine", features)]
    return evaluate(load(*files, overrides=[f"reading={reading}", *overrides]))


def findings(_: ExternalData) -> Findings:
    """Cycles, energy and the densities at which the list becomes slower and dearer."""
    rows = [row for reading in READINGS for row in _figures(reading)]
    rows += [row for reading in READINGS for row in _crossings(reading)]
    return Findings(rows=tuple(rows), notes=("crossings: between the study's eight densities, straight in logarithms",))


def _figures(reading: str) -> Iterator[PublishedFigure]:
    native = reading == "native"
    for row in table("fig1"):
        ours, case = run(row["features"], row["given"], reading), f"{row['features'].replace('_', ' ')}, {row['density']}"
        whole = row["features"] == "bitmask"
        yield PublishedFigure(
            case=case,
            figure=f"cycles, {READINGS[reading]}",
            published=float(row["cycles"]),
            ours=ours.cycles,
            limit=None if native and not whole else CYCLES,
            why=FILL if whole else LISTS if native else "",
        )
        energy = float(row["energy_pj"])
        yield PublishedFigure(
            case=case,
            figure=f"energy, {READINGS[reading]}",
            published=energy,
            ours=ours.energy_pj,
            unit="pJ",
            why=ENERGY[reading],
        )


def _crossings(reading: str) -> Iterator[PublishedFigure]:
    for quantity in ("cycles", "energy_pj"):
        published, ours = Curve(), Curve()
        both = {(row["density"], row["features"]): row for row in table("fig1")}
        for density in dict.fromkeys(density for density, _ in both):
            one, other = both[density, "coordinate_list"], both[density, "bitmask"]
            at = float(one["given"])
            published.append((at, float(one[quantity]) / float(other[quantity])))
            found = [getattr(run(each["features"], each["given"], reading), quantity) for each in (one, other)]
            ours.append((at, found[0] / found[1]))
        case = f"{'slower' if quantity == 'cycles' else 'dearer'}, {READINGS[reading]}"
        why = LISTS if reading == "native" and quantity == "cycles" else ENERGY[reading] if quantity == "energy_pj" else ""
        yield PublishedFigure(
            case=case, figure="density where the list becomes", published=_one(published), ours=_one(ours), why=why
        )


def _one(curve: Curve) -> float:
    """Where the ratio passes 1; NaN if it never does."""
    for (low, before), (high, after) in pairwise(curve):
        if before <= 1 < after:
            return low * exp(log(high / low) * log(1 / before) / log(after / before))
    return float("nan")


TARGET = Target(
    name="fig1",
    title="Bitmask with gating against coordinate list with skipping, by density",
    citation="Wu, Tsai, Parashar, Sze, Emer, MICRO 2022, Fig. 1 (reference outputs of its artifact)",
    run=findings,
)
