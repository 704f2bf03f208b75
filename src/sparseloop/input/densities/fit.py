"""Which density model describes given data best: each is fitted, and judged by the share of empty tiles that it predicts.

What a sparse machine skips are tiles, so a model is as good as its P(a tile is empty), over tiles of all shapes: the sides are
powers of two and the whole of each axis. The measured share is that of the aligned tiles of the data, whose last ones may be cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from sparseloop.model.density import (
    Actual,
    Block,
    Clustered,
    Coordinates,
    DensityModel,
    Hierarchical,
    Rows,
    Structured,
    Uniform,
)
from sparseloop.model.units import Floats

MOST_TILES = 256
"""Shapes of tiles by which a model is judged; of more, every so many-th."""
MOST_CELLS = 48
"""Shapes of blocks and of clusters that are tried."""
WIDEST_CELL, LARGEST_CELL = 64, 4096
"""Longest side, and most words, of a block or a cluster that is tried."""
KINDS = ("uniform", "structured", "block", "rows, lognormal", "rows, power law", "clustered", "rows, measured")
"""Kinds of models, the simplest first."""
ALIKE, NOISE = 0.1, 0.0005
"""Of models whose mean errors differ by less the simplest is the best: the data is but one draw."""
ENTRIES = 24
"""Numbers of non-zeros that a histogram tells apart."""
RATIOS = ((1, 2), (1, 4), (2, 4), (3, 4), (1, 8), (2, 8), (4, 8), (6, 8), (4, 16), (8, 16), (2, 3), (2, 6))
"""n:m that are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """A density model, and how well it predicts the share of empty tiles."""

    text: str
    """As the native format writes it."""
    model: DensityModel
    mean_error: float
    """Mean over the shapes of tiles of |predicted - measured| share of empty tiles."""
    worst_error: float
    worst_tile: tuple[int, ...]
    """The shape with the largest error, and the shares there."""
    measured: float
    predicted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityFit:
    """Given data and the models that were fitted to it: the best one first, the others by their mean errors."""

    shape: tuple[int, ...]
    nonzeros: int
    tiles: int
    """Shapes of tiles by which the models are judged."""
    models: tuple[FittedModel, ...]

    @property
    def density(self) -> float:
        """Non-zeros over words."""
        return self.nonzeros / math.prod(self.shape)

    @property
    def best(self) -> FittedModel:
        """The simplest model that is about as good as the one with the smallest mean error."""
        return self.models[0]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A model that was fitted, before it is judged."""

    text: str
    model: DensityModel
    kind: str
    """Of each kind the best one is kept."""


def fit_density(data: np.ndarray[Any, Any] | Coordinates, *, ranks: Sequence[str] = ()) -> DensityFit:
    """Fits every model to an array, or to the coordinates of its non-zeros; `ranks`: names of the axes in what is written."""
    given = Actual(data)
    names = tuple(ranks) or default_ranks(len(given.shape))
    if len(names) != len(given.shape):
        raise ValueError(f"ranks {', '.join(names)}: needed is one for each of the {len(given.shape)} axes")
    if len(set(names)) < len(names):
        raise ValueError(f"ranks {', '.join(names)}: every axis needs a rank of its own")
    tiles = tile_shapes(given.shape)
    columns = tuple(np.array(side, dtype=np.float64) for side in zip(*tiles, strict=True)) if tiles else ()
    sizes = np.array([math.prod(tile) for tile in tiles], dtype=np.float64)
    truth: Floats = np.asarray(given.empty(sizes, columns)) if tiles else np.zeros(0)
    best: dict[str, FittedModel] = {}
    for one in _candidates(given, names):
        judged = _judged(one, tiles, truth, _predicted(one.model, columns) if tiles else truth)
        if one.kind not in best or judged.mean_error < best[one.kind].mean_error - 1e-12:
            best[one.kind] = judged
    ranked = sorted(best.values(), key=lambda fit: fit.mean_error)
    enough = ranked[0].mean_error * (1.0 + ALIKE) + NOISE
    simplest = next(best[kind] for kind in KINDS if kind in best and best[kind].mean_error <= enough)
    models = (simplest, *(fit for fit in ranked if fit is not simplest))
    return DensityFit(shape=given.shape, nonzeros=given.nonzeros, tiles=len(tiles), models=models)


def default_ranks(axes: int) -> tuple[str, ...]:
    """Names of ranks where none are given."""
    return {1: ("k",), 2: ("m", "k"), 4: ("m", "c", "r", "s")}.get(axes, tuple("abcdefgh"[:axes]))


def tile_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Tiles of more than one word and less than the whole."""
    every = [tile for tile in product(*map(_sides, shape)) if 1 < math.prod(tile) < math.prod(shape)]
    return every[:: -(-len(every) // MOST_TILES)] if every else []


def _sides(extent: int) -> list[int]:
    """1, 2, 4 ... and the extent itself."""
    return sorted({2**power for power in range(extent.bit_length()) if 2**power <= extent} | {extent})


def _predicted(model: DensityModel, sides: Sequence[Floats]) -> Floats:
    """Share of empty tiles that a model expects of the aligned tiles of a tensor: those that its end cuts are smaller."""
    every = np.zeros(len(sides[0]))
    for cut in product((False, True), repeat=len(sides)):
        share, parts = np.ones(len(sides[0])), list[Floats]()
        for end, side, extent in zip(cut, sides, model.shape, strict=True):
            rest = extent % side
            share = share * np.where(rest > 0, 1.0 if end else extent // side, 0.0 if end else extent // side)
            parts.append(np.where(rest > 0, rest, side) if end else side)
        if (some := share > 0).any():
            there = tuple(part[some] for part in parts)
            every[some] += share[some] * np.asarray(model.empty(np.prod(there, axis=0), there))
    return every / np.prod([np.ceil(extent / side) for side, extent in zip(sides, model.shape, strict=True)], axis=0)


def _judged(one: Proposal, tiles: Sequence[tuple[int, ...]], truth: Floats, predicted: Floats) -> FittedModel:
    if not len(truth):
        return FittedModel(
            text=one.text, model=one.model, mean_error=0.0, worst_error=0.0, worst_tile=(), measured=0.0, predicted=0.0
        )
    errors: Floats = np.abs(predicted - truth)
    at = int(errors.argmax())
    return FittedModel(
        text=one.text,
        model=one.model,
        mean_error=float(errors.mean()),
        worst_error=float(errors[at]),
        worst_tile=tiles[at],
        measured=float(truth[at]),
        predicted=float(predicted[at]),
    )


# --- candidates, the simplest first -------------------------------------------------------------------------


def _candidates(given: Actual, ranks: tuple[str, ...]) -> Iterator[Proposal]:
    density = _short(given.density)
    yield Proposal(f"{density:g}", Uniform(given.shape, density), "uniform")
    if not 0 < given.density < 1:
        return
    for axis, rank in enumerate(ranks):
        yield from _structured(given, axis, rank)
    cells = cell_shapes(given.shape)
    for cell in cells:
        yield from _blocks(given, cell)
    for axis, rank in enumerate(ranks):
        if given.total > given.shape[axis] > 1:
            yield from _rows(given, axis, rank)
    for cell in cells:
        yield from _clusters(given, cell)


def cell_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Blocks and clusters that are tried."""
    sides = [[side for side in _sides(extent) if side <= WIDEST_CELL] for extent in shape]
    every = [cell for cell in product(*sides) if 1 < math.prod(cell) <= LARGEST_CELL and cell != shape]
    return every[:: -(-len(every) // MOST_CELLS)] if every else []


def _counts(given: Actual, cell: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Non-zeros of the aligned cells, and the share of the cells that have so many."""
    values, tiles = given.histogram(cell)
    return values.astype(np.float64), tiles / tiles.sum()


def _structured(given: Actual, axis: int, rank: str) -> Iterator[Proposal]:
    """n:m, and n:m of n:m, where every group is as it says."""

    def all_have(m: int, among: tuple[int, ...]) -> bool:
        if given.shape[axis] % m:
            return False
        values, _ = given.histogram(tuple(m if at == axis else 1 for at in range(len(given.shape))))
        return set(values.tolist()) <= set(among)

    plain = [(n, m) for n, m in RATIOS if all_have(m, (n,))]
    for n, m in plain:
        yield Proposal(f"{n}:{m} {rank}", Structured(given.shape, n, m, axis), "structured")
    for n, m in RATIOS:
        if not plain and all_have(m, (0, n)):
            share = given.density * m / n
            for outer in RATIOS:
                if math.isclose(outer[0] / outer[1], share) and all_have(m * outer[1], (n * outer[0],)):
                    text = f"{outer[0]}:{outer[1]} over {n}:{m} {rank}"
                    yield Proposal(text, Hierarchical(given.shape, (outer, (n, m)), axis), "structured")


def _blocks(given: Actual, cell: tuple[int, ...]) -> Iterator[Proposal]:
    """As many blocks that hold something, and as many non-zeros in them on average, as there are."""
    values, shares = _counts(given, cell)
    occupied = 1.0 - float(shares[values == 0].sum())
    if occupied == 1.0:
        return
    density, inner = _short(given.density), _short(min(1.0, given.density / occupied), up=True)
    sides = "x".join(map(str, cell))
    if inner == 1.0:
        text = f"{sides} {density:g}" if len(cell) > 1 else f"{{model: block, block: [{sides}], density: {density:g}}}"
    else:
        text = f"{{model: block, block: [{', '.join(map(str, cell))}], density: {density:g}, inner: {inner:g}}}"
    yield Proposal(text, Block.of_density(given.shape, cell, min(density, inner), inner=inner), "block")


def _rows(given: Actual, axis: int, rank: str) -> Iterator[Proposal]:
    """Lognormal and power law by their moments, and the histogram."""
    values, shares = _counts(given, tuple(1 if at == axis else extent for at, extent in enumerate(given.shape)))
    mean = float(values @ shares)
    variation = _short(math.sqrt(float((values - mean) ** 2 @ shares)) / mean)
    density = _short(given.density)
    if variation > 0:
        model = Rows.of_density(given.shape, (axis,), density, variation=variation)
        yield Proposal(f"rows {rank} {density:g} variation {variation:g}", model, "rows, lognormal")
        some = values > 0
        tail = float(np.log(values[some] / (values[some].min() - 0.5)) @ shares[some]) / float(shares[some].sum())
        exponent = _short(1.0 + 1.0 / tail)
        model = Rows.of_density(given.shape, (axis,), density, exponent=exponent)
        yield Proposal(f"rows {rank} {density:g} exponent {exponent:g}", model, "rows, power law")
    histogram = _few(values, shares)
    text = ", ".join(f"{count}: {share:g}" for count, share in histogram)
    total = math.fsum(share for _, share in histogram)
    model = Rows(given.shape, (axis,), tuple((count, share / total) for count, share in histogram))
    yield Proposal(f"{{model: rows, rank: {rank}, histogram: {{{text}}}}}", model, "rows, measured")


def _few(values: Floats, shares: Floats) -> list[tuple[int, float]]:
    """At most `ENTRIES` numbers: zero, and equal parts of the rest at their means."""
    if len(values) <= ENTRIES:
        return [(int(v), _short(s)) for v, s in zip(values.tolist(), shares.tolist(), strict=True) if _short(s) > 0]
    found = dict[int, float]()
    for zero in (values == 0, values > 0):
        v, s = values[zero], shares[zero]
        if not len(v):
            continue
        part = np.minimum((np.cumsum(s) - s / 2) / s.sum() * (ENTRIES - 1), ENTRIES - 2).astype(int)
        for group in np.unique(part).tolist():
            weight = float(s[part == group].sum())
            count = round(float(v[part == group] @ s[part == group]) / weight)
            found[count] = found.get(count, 0.0) + weight
    return [(count, _short(share)) for count, share in sorted(found.items()) if _short(share) > 0]


def _clusters(given: Actual, cell: tuple[int, ...]) -> Iterator[Proposal]:
    """The correlation from the variance of the cells: var = B d (1 - d) (1 + (B - 1) c); another from the share of empty ones."""
    values, shares = _counts(given, cell)
    words, density = math.prod(cell), _short(given.density)
    mean = float(values @ shares)
    spread = float((values - mean) ** 2 @ shares) / (words * given.density * (1.0 - given.density))
    found = [(spread - 1.0) / (words - 1.0)]
    empty = float(shares[values == 0].sum())
    if empty > 0:
        found.append(_correlation(words, density, empty))
    for correlation in found:
        if correlation >= 0.0005:
            c = min(_short(correlation), 1.0)
            text = f"clustered {'x'.join(map(str, cell))} {density:g} correlation {c:g}"
            yield Proposal(text, Clustered(given.shape, cell, density, c), "clustered")


def _correlation(words: int, density: float, empty: float) -> float:
    """The correlation with which so many cells are empty."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        odds = (1.0 - middle) / middle
        a, b = density * odds, (1.0 - density) * odds
        logs = math.lgamma(b + words) - math.lgamma(b) + math.lgamma(a + b) - math.lgamma(a + b + words)
        low, high = (middle, high) if math.exp(logs) < empty else (low, middle)
    return high


def _short(number: float, *, up: bool = False) -> float:
    """Four digits."""
    if number <= 0:
        return 0.0
    digits = 3 - math.floor(math.log10(number))
    rounded = math.ceil(number * 10**digits) / 10**digits if up else round(number, digits)
    return min(rounded, 1.0) if number <= 1 else rounded
