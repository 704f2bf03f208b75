"""The records of a density."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from sparseloop.input.densities.words import parse_density
from sparseloop.input.field_types import Count, Fraction, Number, Ratio, Whole
from sparseloop.input.records import Names, Record, Sizes


class LayerSpec(Record):
    """One of the models whose product is a `layered` density: n:m along a rank of what is inside, or a block of it."""

    ratio: Ratio | None = Field(
        default=None, description="n:m: of m cells inside, side by side along the rank, n hold something."
    )
    rank: str | None = Field(default=None, description="Of a ratio: rank variable along which the cells lie.")
    block: Sizes = Field(default=(), description="Shape of a block in words, by rank variable or one number per axis.")
    occupied: Fraction | None = Field(default=None, description="First layer, a block: share of the blocks that are not zero.")
    density: Fraction | None = Field(
        default=None, description="Last layer, a block: share of its words that are not zero; None: all."
    )
    correlation: Fraction | None = Field(
        default=None, description="With a density: as of `clustered`; None: the same in each block."
    )


class DensitySpec(Record):
    """Distribution of a tensor's non-zeros. 0.6 is short for {density: 0.6}, '2:4 c' for {model: structured, n: 2, ...}."""

    model: (
        Literal[
            "uniform",
            "even",
            "structured",
            "hierarchical",
            "block",
            "rows",
            "clustered",
            "layered",
            "same",
            "banded",
            "actual",
            "produced",
        ]
        | None
    ) = Field(
        default=None,
        description="None: actual with a file, else uniform (Timeloop's files: even). produced: as its operands make it.",
    )
    density: Fraction | None = Field(default=None, description="Fraction of non-zeros (uniform, even, block, rows, clustered).")
    n: Count | None = Field(default=None, description="structured: non-zeros per group.")
    m: Count | None = Field(default=None, description="structured: group length.")
    rank: str | None = Field(
        default=None, description="structured, hierarchical: along which groups lie; rows: whose values are rows."
    )
    ratios: tuple[Ratio, ...] = Field(
        default=(), description="hierarchical: n:m of each level, that of the largest groups first: [4:8, 2:4]."
    )
    block: Sizes = Field(default=(), description="block, clustered: shape of a block, by rank variable or one number per axis.")
    variation: Number | None = Field(default=None, description="rows: lognormal densities, standard deviation / mean.")
    exponent: Number | None = Field(default=None, description="rows: densities x as likely as x^-exponent.")
    histogram: dict[int, Fraction] = Field(
        default_factory=dict[int, float], description="rows: non-zeros of a row and the share of the rows that have so many."
    )
    correlation: Fraction | None = Field(
        default=None, description="clustered: of two words of a block; 0: independent, 1: all of a block or nothing."
    )
    layers: tuple[LayerSpec, ...] = Field(default=(), description="layered: models inside one another, the outermost first.")
    inner: Fraction = Field(default=1.0, description="block: density inside occupied blocks; density / inner of the blocks are.")
    same_as: str | None = Field(default=None, description="same: the operand whose zeros are at the same places.")
    half_width: Whole | None = Field(default=None, description="banded: non-zero iff |i - j| <= half_width.")
    file: str | None = Field(default=None, description="actual: .npy, .npz, .mtx, .safetensors or a text file of 0 and 1.")
    array: str | None = Field(default=None, description="actual: which array of a .npz or .safetensors file with several.")
    axes: Names = Field(default=(), description="actual: rank variables of the axes in the file, where their order is another.")
    layout: Literal["first_fastest", "last_fastest"] = Field(
        default="last_fastest", description="actual, text files: which rank varies fastest."
    )


DensityField = Annotated[DensitySpec, BeforeValidator(parse_density)]
