"""The sparse tensor cores of MICRO'22, Fig. 15: six designs, four layers, four densities, in Timeloop's reading and in ours."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import error, table

SPECS = Path(__file__).parents[1] / "specs" / "fig15"
READINGS = {"timeloop": "Timeloop's reading", "native": "our reading"}
CYCLES = 0.001
"""Model against model: Sparseloop rounds cycles up, nothing else."""
ENERGY = 0.01
"""Relative to the dense cores: what `BUFFERS` tells moves them and the others alike, but for the share of the register file."""
ALIKE = 0.005
"""Designs closer than this count as equal where they are ordered."""
DSTC = (
    "DSTC: position skipping was a feature of the study's private build; here a spatial skip of each operand on itself, "
    "whose lanes are packed in waves"
)
BUFFERS = {
    "timeloop": "energy: the study's build writes the first partial sums into the register file; Timeloop v3.0.3 and ours do not",
    "native": "energy: the same, and what the shared memory sends in one step starts a new row",
}
ROWS = "energy: every step sends a column of A and a row of B, which compressed fill rows of the shared memory in part"

Figures = dict[tuple[str, str], tuple[float, float]]
"""(density of the weights, design) to cycles and pJ, sums over the four layers."""


@cache
def run(index: int, reading: str) -> Result:
    """Evaluates the row of the table with that number."""
    row = table("fig15")[index]
    file = {"dense": "tc", "DSTC": "dstc"}.get(row["design"], "stc")
    settings: dict[str, Any] = {
        "reading": reading,
        "workload": {
            "einsum": "Z[m,n] = A[m,k] * B[n,k]",
            "shape": {rank: int(row[rank]) for rank in "mkn"},
            "density": {"A": _density(row), "B": {"model": "uniform", "density": float(row["density_b"])}},
            "word_bits": 8,
        },
        "mapping": _mapping(row),
        "sparse": _features(row),
    }
    return evaluate(load(SPECS / f"{file}.yaml", overrides=[f"{key}={json.dumps(value)}" for key, value in settings.items()]))


def _density(row: dict[str, str]) -> Any:
    return {"model": "uniform" if row["design"] == "DSTC" else "even", "density": float(row["density_a"])}


def _mapping(row: dict[str, str]) -> list[dict[str, str]]:
    def loops(level: str, kept: str) -> dict[str, str]:
        return {level: f"{'for ' + row[level.lower()] if row[level.lower()] else ''} | keep {kept}"}

    dstc = row["design"] == "DSTC"
    m, other = row["cores"].split()
    inner = loops("LRF", "A B" if dstc else "A")
    if dstc and _packed(row):  # the tile of a core in one step: lanes go to whatever is not zero in it
        at = {rank: int(count) for rank, count in (loop.split("=") for loop in row["lrf"].split())}
        m, other, inner = f"m={16 * at['m']}", f"n={16 * at['n']}", {"LRF": "| keep A B"}
    cores = [{"rows": f"y {m}"}, {"row": "| bypass A B Z"}, {"cores": f"x {other}"}] if dstc else [{"cores": f"y {m}, x {other}"}]
    ends = [inner, *cores] if dstc else [*cores, inner]
    lanes = {"subpartitions": "m=2 n=2" if dstc else "m=4"}
    return [loops("DRAM", "A B Z"), loops("SMEM", "A B"), lanes, loops("RF", "Z"), *ends]


def _features(row: dict[str, str]) -> dict[str, Any]:
    outer = {"kind": "UOP", "payload_bits": 0}
    mask = {"ranks": [outer, {"kind": "B", "ranks": [["n", "k"]], "metadata_bits": 1}], "automatic": True}
    if row["design"] == "DSTC":
        return _dual_side(_packed(row))
    formats: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if float(row["density_a"]) < 1:
        kind, bits = _position(row)
        formats["A"] = {"ranks": [outer, {"kind": kind, "ranks": [["k"]], "metadata_bits": bits}], "automatic": True}
        found["LRF"] = {"formats": {"A": {"ranks": [{"kind": kind, "metadata_bits": bits}]}}}
        found["RF"] = {"spatial_skip": ["B <- A", "Z <- A"]}
    if row["design"] == "dual":
        formats["B"] = mask
    return {**found, "DRAM": {"formats": formats}, "SMEM": {"formats": formats}} if formats else {}


def _position(row: dict[str, str]) -> tuple[str, int]:
    """Format of the weights' positions and its width: three bits of a coordinate are stored two to a byte."""
    density = float(row["density_a"])
    if row["design"] in ("2:4", "flexible"):
        return "CP", 2 if density > 0.4 else 4
    return "RLE", 2 if density > 0.3 else 4


def _packed(row: dict[str, str]) -> list[str]:
    """Operands that DSTC compresses: the study leaves activations of 82 % as they are where the weights are dense."""
    a, b = float(row["density_a"]), float(row["density_b"])
    return [*(["A"] if a < 1 else []), *(["B"] if a < 1 or b < 0.8 else [])]


def _dual_side(tensors: list[str]) -> dict[str, Any]:
    ranks = {"A": ["m", "k"], "B": ["n", "k"]}
    outer = {"kind": "UOP", "payload_bits": 0}
    formats = {t: {"ranks": [outer, {"kind": "B", "ranks": [ranks[t]], "metadata_bits": 1}], "automatic": True} for t in tensors}
    inner = {t: {"ranks": [{"kind": "B", "ranks": [ranks[t][:1]], "metadata_bits": 1}]} for t in tensors}
    levels: dict[str, Any] = {level: {"formats": formats} for level in ("DRAM", "SMEM")}
    levels["LRF"] = {"formats": inner, "spatial_skip": [f"{t} <- {t}" for t in tensors if t == "A"]}
    levels["row"] = {"spatial_skip": [f"{t} <- {t}" for t in tensors if t == "B"]}
    levels["RF"] = {"skip": [f"Z <- {' & '.join(tensors)}"]} if tensors else {}
    return levels


def findings(_: ExternalData) -> Findings:
    """Sums over the layers relative to the dense cores, their order, and the worst of the single figures."""
    rows, notes = list[PublishedFigure](), list[str]()
    published = _sums(lambda _, row: (float(row["cycles"]), float(row["energy_pj"])))
    for reading, title in READINGS.items():
        ours = _sums(lambda i, _, reading=reading: (run(i, reading).cycles, run(i, reading).energy_pj))
        rows += _relative(published, ours, reading)
        rows += _order(published, ours, title)
        notes += [f"{title}, single figures: {text}" for text in _singles(reading)]
    return Findings(rows=tuple(rows), notes=tuple(notes))


def _sums(figures: Callable[[int, dict[str, str]], tuple[float, float]]) -> Figures:
    found: Figures = defaultdict(lambda: (0.0, 0.0))
    for i, row in enumerate(table("fig15")):
        key, more = (row["weights"], row["design"]), figures(i, row)
        found[key] = (found[key][0] + more[0], found[key][1] + more[1])
    return dict(found)


def _relative(published: Figures, ours: Figures, reading: str) -> Iterator[PublishedFigure]:
    for which, quantity in enumerate(("cycles", "energy")):
        for (weights, design), theirs in published.items():
            if design == "dense":
                continue
            dense, own = (sums[weights, "dense"][which] for sums in (published, ours))
            limit, why = (ENERGY, BUFFERS[reading]) if which else (CYCLES, "")
            if design == "DSTC" and not which:
                limit, why = None, DSTC
            elif design == "DSTC" and reading == "native":
                limit, why = None, ROWS  # the study's share of a row is no claim of ours
            yield PublishedFigure(
                case=f"{design}, weights {weights}",
                figure=f"{quantity} / dense, {READINGS[reading]}",
                published=theirs[which] / dense,
                ours=ours[weights, design][which] / own,
                limit=limit,
                why=why,
            )


def _order(published: Figures, ours: Figures, title: str) -> Iterator[PublishedFigure]:
    for which, quantity in enumerate(("cycles", "energy")):
        for weights in dict.fromkeys(key[0] for key in published):
            pairs = list(combinations([design for at, design in published if at == weights], 2))
            same = sum(_sign(published, (weights, a, b), which) == _sign(ours, (weights, a, b), which) for a, b in pairs)
            figure = f"pairs of designs in the study's order, {title}"
            yield PublishedFigure(
                case=f"{quantity}, weights {weights}", figure=figure, published=len(pairs), ours=same, limit=0.0
            )


def _sign(sums: Figures, what: tuple[str, str, str], which: int) -> int:
    weights, first, second = what
    a, b = sums[weights, first][which], sums[weights, second][which]
    return 0 if abs(a - b) <= ALIKE * max(a, b) else 1 if a > b else -1


def _singles(reading: str) -> Iterator[str]:
    errors = defaultdict[str, list[float]](list)
    for i, row in enumerate(table("fig15")):
        kind = "DSTC" if row["design"] == "DSTC" else "the other five"
        errors[f"cycles of {kind}"].append(run(i, reading).cycles / float(row["cycles"]) - 1)
        errors[f"energy of {kind}"].append(run(i, reading).energy_pj / float(row["energy_pj"]) - 1)
    for what, found in errors.items():
        yield f"{what} ({len(found)}): {error(found)}"


TARGET = Target(
    name="fig15",
    title="Sparse tensor cores on ResNet-50: six designs by density of the weights, four layers",
    citation="Wu, Tsai, Parashar, Sze, Emer, MICRO 2022, Fig. 15 (reference outputs of its artifact)",
    run=findings,
)
