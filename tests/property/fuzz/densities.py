"""How the non-zeros of a drawn tensor are distributed: the model's record, and patterns drawn from first principles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sparseloop.model.density import (
    Actual,
    Banded,
    Block,
    CellGrid,
    Clustered,
    DensityModel,
    Even,
    Hierarchical,
    Layered,
    Rows,
    Structured,
    Uniform,
)

Pattern = npt.NDArray[np.bool_]
DensityKind = Literal[
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
    "given",
    "produced",
]
RANDOM = ("structured", "hierarchical", "rows", "clustered", "layered", "same")
"""Kinds of which no draw is like the other, whatever their numbers."""


@dataclass(frozen=True)
class Layer:
    """One of the models of a product: of m cells along an axis n hold something, or a block of what is inside."""

    n: int = 1
    m: int = 1
    axis: int = 0
    block: tuple[int, ...] = ()
    occupied: float | None = None
    """A block of the first layer: share of the blocks that are not zero."""
    fraction: float | None = None
    """A block of the last layer: share of its words that are not zero."""


@dataclass(frozen=True)
class Density:
    """One choice; the fields that its kind does not name mean nothing."""

    kind: DensityKind = "uniform"
    fraction: float = 1.0
    """uniform, even: of the words; block: of the blocks."""
    n: int = 1
    m: int = 1
    axis: int = 0
    """structured, hierarchical: axis along which groups of m lie."""
    ratios: tuple[tuple[int, int], ...] = ()
    """hierarchical: n and m of each level, that of the largest groups first."""
    block: tuple[int, ...] = ()
    inner: float = 1.0
    of: str = ""
    """same: the operand whose pattern it has."""
    correlation: float = 0.0
    """clustered: of two words of a block."""
    histogram: tuple[tuple[int, float], ...] = ()
    """rows: non-zeros of a row (of all words with the same coordinate along the axis), and the share of such rows."""
    layers: tuple[Layer, ...] = ()
    """layered: the outermost first."""
    half_width: int = 0
    bits: tuple[bool, ...] = ()
    """given: the pattern, last axis fastest, of the shape `bits_shape`."""
    bits_shape: tuple[int, ...] = ()

    @property
    def dense(self) -> bool:
        """True if no word is zero, whatever the shape."""
        return self.kind == "uniform" and self.fraction == 1

    @property
    def produced(self) -> bool:
        """True for a result that is non-zero where its operands make it so."""
        return self.kind == "produced"

    def fixed(self, shape: tuple[int, ...]) -> bool:
        """True if every draw gives the same pattern."""
        if self.kind in ("given", "banded", "produced"):
            return True  # what is produced follows from the operands
        return self.kind not in RANDOM and self.fraction in (0.0, 1.0) and self.inner == 1.0

    def model(self, shape: tuple[int, ...], words: int) -> DensityModel:
        """The record that the model evaluates; `words`: of the tensor, those of the box that no index can meet left out."""
        match self.kind:
            case "uniform":
                return Uniform(shape, self.fraction, size=words)
            case "even":
                return Even(shape, self.fraction)
            case "structured":
                return Structured(shape, self.n, self.m, self.axis, size=words)
            case "hierarchical":
                return Hierarchical(shape, self.ratios, self.axis, size=words)
            case "block":
                return Block(shape, self.block, self.fraction, inner=self.inner)
            case "rows":
                return Rows(shape, (self.axis,), self.histogram)
            case "clustered":
                return Clustered(shape, self.block, self.fraction, self.correlation)
            case "layered":
                return Layered(shape, _levels(self.layers, shape))
            case "banded":
                return Banded(shape, self.half_width)
            case "produced" | "same":
                return Uniform(shape, 1.0, size=words)  # the model has no density of its own for results yet
            case "given":
                return Actual(self.given(shape)) if shape else Uniform((), float(self.given(shape)))

    def given(self, shape: tuple[int, ...]) -> Pattern:
        """The given pattern cut to a shape; what lies outside the stored one is non-zero."""
        stored = np.array(self.bits, dtype=bool).reshape(self.bits_shape)
        result = np.ones(shape, dtype=bool)
        common = tuple(slice(0, min(a, b)) for a, b in zip(shape, self.bits_shape, strict=True))
        result[common] = stored[common]
        return result


def share(fraction: float, words: int) -> int:
    """The least whole number not below fraction * words, rounding errors forgiven."""
    return min(words, math.ceil(fraction * words - 1e-9 * max(1.0, fraction * words)))


def chosen(words: int, count: int, rng: np.random.Generator) -> Pattern:
    """`count` of `words` places, every choice equally likely."""
    places = np.zeros(words, dtype=bool)
    places[rng.permutation(words)[:count]] = True
    return places


@dataclass(frozen=True, eq=False)
class Words:
    """The words of one tensor that a pattern is drawn for."""

    shape: tuple[int, ...]
    present: npt.NDArray[np.int64]
    """Flat positions of the words of the tensor."""
    order: npt.NDArray[np.int64]
    """The same words, such that every tile that anything depends on is an interval (for evenly spread words)."""


def sample(density: Density, words: Words, rng: np.random.Generator) -> Pattern:
    """One pattern of the whole box; words that no point uses are filled in as the kind says, else zero."""
    shape = words.shape
    match density.kind:
        case "uniform":
            flat = np.zeros(math.prod(shape), dtype=bool)
            count = share(density.fraction, len(words.present))
            flat[words.present[chosen(len(words.present), count, rng)]] = True
            return flat.reshape(shape)
        case "even":
            flat = np.zeros(math.prod(shape), dtype=bool)
            flat[words.order[_evenly(len(words.order), density.fraction, rng)]] = True
            return flat.reshape(shape)
        case "structured":
            return _structured(density, shape, rng)
        case "hierarchical":
            return _hierarchical(density, shape, rng)
        case "block":
            return _blocks(density, shape, rng)
        case "rows":
            return _rows(density, shape, rng)
        case "clustered":
            return _clusters(density, shape, rng)
        case "layered":
            return _layers(density.layers, shape, rng)
        case "banded":
            rows, columns = np.indices(shape)
            return np.abs(rows - columns) <= density.half_width
        case "given":
            return density.given(shape)
        case "produced" | "same":
            raise ValueError("what is produced, or the same as another pattern, is not drawn")


def _evenly(words: int, fraction: float, rng: np.random.Generator) -> Pattern:
    """Systematic sampling: every interval of n words holds floor(n d) or ceil(n d), n d on average."""
    edges = np.floor(np.arange(words + 1) * fraction + rng.random() + 1e-12)
    return np.diff(edges) > 0


def _structured(density: Density, shape: tuple[int, ...], rng: np.random.Generator) -> Pattern:
    """Exactly n non-zeros in every whole aligned group of m; the last group is the part of a whole one that fits."""
    groups = -(-shape[density.axis] // density.m)
    lines = math.prod(shape) // shape[density.axis]
    ranked = np.argsort(rng.random((lines, groups, density.m)), axis=2)
    full = (ranked < density.n).reshape(lines, groups * density.m)[:, : shape[density.axis]]
    moved = tuple(s for i, s in enumerate(shape) if i != density.axis)
    return np.moveaxis(full.reshape(*moved, shape[density.axis]), -1, density.axis)


def _hierarchical(density: Density, shape: tuple[int, ...], rng: np.random.Generator) -> Pattern:
    """n of m groups of n of m groups ..., line by line; the last of the largest groups is the part of a whole one that fits."""
    extent = shape[density.axis]
    length = math.prod(m for _, m in density.ratios)
    lines = [
        np.concatenate([_group(density.ratios, rng) for _ in range(-(-extent // length))])[:extent]
        for _ in range(math.prod(shape) // extent)
    ]
    moved = tuple(s for i, s in enumerate(shape) if i != density.axis)
    return np.moveaxis(np.array(lines).reshape(*moved, extent), -1, density.axis)


def _group(ratios: tuple[tuple[int, int], ...], rng: np.random.Generator) -> Pattern:
    if not ratios:
        return np.ones(1, dtype=bool)
    n, m = ratios[0]
    inside = [_group(ratios[1:], rng) if some else None for some in chosen(m, n, rng)]
    nothing = np.zeros(math.prod(m for _, m in ratios[1:]), dtype=bool)
    return np.concatenate([nothing if one is None else one for one in inside])


def _blocks(density: Density, shape: tuple[int, ...], rng: np.random.Generator) -> Pattern:
    """Blocks chosen uniformly; a chosen one holds its share of its whole volume, even where the edge cuts it."""
    grid = tuple(-(-s // b) for s, b in zip(shape, density.block, strict=True))
    occupied = chosen(math.prod(grid), share(density.fraction, math.prod(grid)), rng).reshape(grid)
    whole = np.zeros(tuple(g * b for g, b in zip(grid, density.block, strict=True)), dtype=bool)
    volume = math.prod(density.block)
    for place in np.argwhere(occupied):
        inside = chosen(volume, share(density.inner, volume), rng).reshape(density.block)
        whole[tuple(slice(p * b, (p + 1) * b) for p, b in zip(place, density.block, strict=True))] = inside
    return whole[tuple(slice(0, s) for s in shape)]


def _rows(density: Density, shape: tuple[int, ...], rng: np.random.Generator) -> Pattern:
    """Row by row a number of non-zeros, and where they are."""
    words = math.prod(shape) // shape[density.axis]
    counts = rng.choice([n for n, _ in density.histogram], size=shape[density.axis], p=[share for _, share in density.histogram])
    lines = np.array([chosen(words, int(count), rng) for count in counts])
    others = tuple(s for i, s in enumerate(shape) if i != density.axis)
    return np.moveaxis(lines.reshape(shape[density.axis], *others), 0, density.axis)


def _clusters(density: Density, shape: tuple[int, ...], rng: np.random.Generator) -> Pattern:
    """Block by block a density, and every word by itself."""
    odds = (1 - density.correlation) / density.correlation
    grid = tuple(-(-s // b) for s, b in zip(shape, density.block, strict=True))
    local = rng.beta(density.fraction * odds, (1 - density.fraction) * odds, size=grid)
    for axis, side in enumerate(density.block):
        local = np.repeat(local, side, axis=axis)
    return rng.random(shape) < local[tuple(slice(0, s) for s in shape)]


def _levels(layers: tuple[Layer, ...], shape: tuple[int, ...]) -> tuple[CellGrid, ...]:
    """What the model is told of layers."""
    sides, levels = (1,) * len(shape), list[CellGrid]()
    for layer in reversed(layers):
        if not layer.block:
            grid = tuple(layer.m if axis == layer.axis else 1 for axis in range(len(shape)))
            levels.insert(0, CellGrid(grid, ((layer.n, 1.0),)))
        else:
            grid = tuple(b // s for b, s in zip(layer.block, sides, strict=True))
            filled = share(1.0 if layer.fraction is None else layer.fraction, math.prod(grid))
            levels.insert(0, CellGrid(grid, ((filled, 1.0),)))
        sides = tuple(g * s for g, s in zip(grid, sides, strict=True))
        if layer.occupied is not None:
            grid = tuple(-(-s // side) for s, side in zip(shape, sides, strict=True))
            levels.insert(0, CellGrid(grid, ((share(layer.occupied, math.prod(grid)), 1.0),)))
    return tuple(levels)


def _layers(layers: tuple[Layer, ...], shape: tuple[int, ...], rng: np.random.Generator) -> Pattern:
    """Cells of the first layer, side by side; those that reach over the end are cut."""
    side = _side(layers, len(shape))
    grid = tuple(-(-s // b) for s, b in zip(shape, side, strict=True))
    occupied = layers[0].occupied
    held = (
        np.ones(grid, bool) if occupied is None else chosen(math.prod(grid), share(occupied, math.prod(grid)), rng).reshape(grid)
    )
    whole = np.zeros(tuple(g * b for g, b in zip(grid, side, strict=True)), dtype=bool)
    for place in np.argwhere(held):
        whole[tuple(slice(p * b, (p + 1) * b) for p, b in zip(place, side, strict=True))] = _cell(layers, len(shape), rng)
    return whole[tuple(slice(0, s) for s in shape)]


def _side(layers: tuple[Layer, ...], axes: int) -> tuple[int, ...]:
    if not layers:
        return (1,) * axes
    inner = _side(layers[1:], axes)
    return layers[0].block or tuple(s * (layers[0].m if axis == layers[0].axis else 1) for axis, s in enumerate(inner))


def _cell(layers: tuple[Layer, ...], axes: int, rng: np.random.Generator) -> Pattern:
    """One cell that holds something."""
    if not layers:
        return np.ones((1,) * axes, dtype=bool)
    layer, inner = layers[0], _side(layers[1:], axes)
    side = _side(layers, axes)
    if layer.fraction is not None:
        return chosen(math.prod(side), share(layer.fraction, math.prod(side)), rng).reshape(side)
    grid = tuple(a // b for a, b in zip(side, inner, strict=True))
    held = np.ones(grid, dtype=bool) if layer.block else chosen(layer.m, layer.n, rng).reshape(grid)
    whole = np.zeros(side, dtype=bool)
    for place in np.argwhere(held):
        whole[tuple(slice(p * b, (p + 1) * b) for p, b in zip(place, inner, strict=True))] = _cell(layers[1:], axes, rng)
    return whole
