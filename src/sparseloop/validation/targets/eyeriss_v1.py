"""Eyeriss v1 on AlexNet: DRAM compression, DRAM traffic, what gating saves in the PEs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sparseloop.designs import FOLDER
from sparseloop.input.load import load
from sparseloop.input.resolve import resolve
from sparseloop.model.pipeline import cost_of_design
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import error, table

DESIGN = "eyeriss_v1"
WORD_BITS = 16
PAIR_BITS = 64 / 3
"""Three pairs of 5-bit run and 16-bit value per 64-bit word."""
RATIO = 0.02
"""Sparseloop's ratios within 2 %: the stretch between 16/21 and the 0.76 its study uses, and one digit of print."""
TRAFFIC = 0.05
"""DRAM traffic of the chip: two digits, 1.3 MB may be 1.25 to 1.35."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is read of one evaluation."""

    status: int
    dram_words: dict[str, float]
    """Dense."""
    dram_bits: dict[str, float]
    """Data and metadata, reads and writes."""
    macs: float
    gated: float
    cycles: float
    pes: float
    pe_pj: float
    """Spads and MACs."""
    energy_pj: float
    cycles_of: dict[str, float]


@cache
def run(layer: str, sparse: str) -> Run:
    """Evaluates one layer of the design."""
    design = resolve(load(*(FOLDER / DESIGN / f"{name}.yaml" for name in ("architecture", sparse, layer))))
    plan, cost = cost_of_design(design)
    dram = [link for link in cost.sparse.links if link.dense.link.parent == 0]
    energy = {level.name: float(c.energy_pj) for level, c in zip(plan.arch.levels, cost.levels, strict=True)}
    return Run(
        status=int(cost.status),
        dram_words={k.dense.link.name: float(k.dense.reads + k.dense.updates) for k in dram},
        dram_bits={k.dense.link.name: _bits(k) for k in dram},
        macs=float(cost.sparse.computes.total),
        gated=float(cost.sparse.computes.gated),
        cycles=float(cost.cycles),
        pes=float(cost.levels[-1].instances_used),
        pe_pj=sum(pj for name, pj in energy.items() if name.endswith("_spad") or name == "MAC"),
        energy_pj=float(cost.energy_pj),
        cycles_of={level.name: float(c.cycles) for level, c in zip(plan.arch.levels, cost.levels, strict=True)},
    )


def _bits(link: LinkSparse) -> float:
    metadata = sum(float(rank.bits(action).actual) for rank in link.ranks for action in ("reads", "updates"))
    return WORD_BITS * float(link.reads.actual + link.updates.actual) + metadata


def sparse_of(layer: str) -> str:
    """The file of sparse features: the image of layer 1 is not compressed."""
    return "sparse_conv1" if layer == "conv1" else "sparse"


def compression_ratio(layer: str, sparse: str) -> float:
    """Dense over compressed DRAM bits, all tensors."""
    return sum(run(layer, "dense").dram_bits.values()) / sum(run(layer, sparse).dram_bits.values())


def megabytes(layer: str, sparse: str) -> float:
    """DRAM traffic, data and metadata."""
    return sum(run(layer, sparse).dram_bits.values()) / 8e6


def saved(layer: str) -> float:
    """Share of the PEs' energy that gating saves."""
    return 1 - run(layer, sparse_of(layer)).pe_pj / run(layer, "dense").pe_pj


def findings(_: ExternalData) -> Findings:
    """Ratios against Sparseloop and chip, DRAM traffic, share of energy saved."""
    rows = [row for layer in table(DESIGN) for row in _layer(layer)]
    digits = "the chip's figure has one digit behind the point"
    mapped = "conv2 in the chip's mapping: 64 filters and all 27 rows per pass"
    rows.append(
        PublishedFigure(
            case="conv2, chip's mapping", figure=CHIP, published=1.4, ours=compression_ratio("conv2_chip", "sparse"), why=digits
        )
    )
    rows.append(
        PublishedFigure(
            case="conv2, chip's mapping", figure=DRAM, published=4.0, ours=megabytes("conv2_chip", "sparse"), limit=TRAFFIC
        )
    )
    figure = "share of PE energy saved by gating"
    why = "the paper says 45 % without naming layers; conv1 and conv2 have few zeros and save less"
    rows += [
        PublishedFigure(case=layer, figure=figure, published=0.45, ours=saved(layer), why=why)
        for layer in ("conv3", "conv4", "conv5")
    ]
    against = [row.error for row in rows if row.figure == SPARSELOOP]
    return Findings(rows=tuple(rows), notes=(f"compression against Sparseloop: {error(against)}", f"DRAM MB of conv2: {mapped}"))


SPARSELOOP = "DRAM compression / Sparseloop"
CHIP = "DRAM compression / chip"
DRAM = "DRAM MB / chip"


def _layer(one: dict[str, str]) -> list[PublishedFigure]:
    layer = one["layer"]
    sparse = sparse_of(layer)
    ours = compression_ratio(layer, sparse)
    theirs, chip = float(one["sparseloop_ratio"]), float(one["chip_ratio"])
    spare = "Sparseloop's study divides compressed words by 0.76; 16/21 and a spare bit per 64-bit word are 3/4"
    digits = "the chip's figure has one digit behind the point"
    rows = [
        PublishedFigure(case=layer, figure=SPARSELOOP, published=theirs, ours=ours, limit=RATIO, why=spare),
        PublishedFigure(case=layer, figure=CHIP, published=chip, ours=ours, why=digits),
    ]
    if layer != "conv2":
        rows.append(
            PublishedFigure(
                case=layer, figure=DRAM, published=float(one["chip_dram_mb"]), ours=megabytes(layer, sparse), limit=TRAFFIC
            )
        )
    return rows


TARGET = Target(
    name=DESIGN,
    title="Eyeriss v1: DRAM compression and traffic, gating, on AlexNet",
    citation="Chen, Krishna, Emer, Sze, JSSC 52(1), 2017 (second-hand); Sparseloop: Wu et al., MICRO 2022, Table 7",
    run=findings,
)
