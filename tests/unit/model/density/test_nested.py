"""Cells within cells against all their patterns."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.evaluation.humanize import density_text
from sparseloop.model.density import Hierarchical, Lattice, Structured, Tile
from sparseloop.model.density.cells import Level
from sparseloop.model.density.slices import Slices, nonempty_slices
from tests.unit.model.density.test_lattice import SIDES, tiles_of


def all_of(levels: tuple[Level, ...]) -> Iterator[tuple[np.ndarray, float]]:
    """Every pattern of one cell, and how likely it is."""
    if not levels:
        yield np.ones((1,) * 1, bool), 1.0
        return
    level, inner = levels[0], list(all_of(levels[1:]))
    (grid,) = level.grid
    width = inner[0][0].size
    for count, share in level.counts:
        choices = list(itertools.combinations(range(grid), count))
        for chosen, filled in itertools.product(choices, itertools.product(inner, repeat=count)):
            pattern = np.zeros(grid * width, bool)
            for at, (part, _) in zip(chosen, filled, strict=True):
                pattern[at * width : (at + 1) * width] = part
            yield pattern, share / len(choices) * math.prod(weight for _, weight in filled)


def patterns(levels: tuple[Level, ...], size: int) -> list[tuple[np.ndarray, float]]:
    """Every pattern of a tensor of one axis."""
    roots = list(all_of(levels))
    every = itertools.product(roots, repeat=-(-size // roots[0][0].size))
    return [(np.concatenate([p for p, _ in some])[:size], math.prod(w for _, w in some)) for some in every]


RATIOS = [((1, 2), (1, 2)), ((2, 3), (1, 2)), ((1, 3), (2, 4)), ((1, 2), (1, 2), (1, 2)), ((2, 2), (1, 4))]
SMALL = [Hierarchical((12,), ratios, 0) for ratios in RATIOS]


@pytest.mark.parametrize("model", SMALL, ids=repr)
@pytest.mark.parametrize("side", SIDES, ids=lambda side: str([loop.covered for loop in side.loops]))
def test_statistics_are_those_of_all_patterns(model: Hierarchical, side: Lattice) -> None:
    counts = defaultdict[int, float](float)
    for pattern, weight in patterns(model.levels, 12):
        for words in tiles_of(side):
            counts[int(pattern[words].sum())] += weight
    total = sum(counts.values())
    ask = (side.size, (side,))
    assert model.empty(*ask) == pytest.approx(counts[0] / total)
    assert (model.minimum(*ask), model.maximum(*ask)) == (min(counts), max(counts))
    for block in (1, 2, 4):
        assert model.blocks(*ask, block) == pytest.approx(sum(-(-k // block) * c for k, c in counts.items()) / total)
    assert model.excess(*ask, 1.0) == pytest.approx(sum(max(0, k - 1) * c for k, c in counts.items()) / total)
    within = sum((k - side.size * model.density) ** 2 * c for k, c in counts.items()) / total
    assert model.variance(*ask) == pytest.approx(within)


@pytest.mark.parametrize("model", SMALL, ids=repr)
def test_pairs_of_tiles_with_a_common_point(model: Hierarchical) -> None:
    every = patterns(model.levels, 12)
    for one, two in itertools.combinations(SIDES, 2):
        pairs = list(zip(tiles_of(one), tiles_of(two), strict=True))
        share = sum(weight for pattern, weight in every for a, b in pairs if not pattern[a + b].any()) / len(pairs)
        assert model.empty_union(*(Tile(side.size, (side,)) for side in (one, two, one))) == pytest.approx(share)


def test_one_level_is_structured() -> None:
    """The same numbers in another way, aligned with the groups and not, on one line and on several."""
    nested, plain = Hierarchical((4, 64), ((2, 4),), 1), Structured((4, 64), 2, 4, 1)
    for lines, width in itertools.product((1, 3, 4), (1, 2, 3, 4, 6, 8, 64)):
        ask = (lines * width, (lines, width))
        for name in ("empty", "variance", "maximum", "minimum"):
            assert getattr(nested, name)(*ask) == pytest.approx(getattr(plain, name)(*ask), abs=1e-12), name
        assert nested.blocks(*ask, 3) == pytest.approx(plain.blocks(*ask, 3))
        assert [nested.quantile(*ask, c) for c in (0.1, 0.5, 0.9)] == [plain.quantile(*ask, c) for c in (0.1, 0.5, 0.9)]


def test_highlight_by_hand() -> None:
    """4:8 over 2:4: a word 1/4; a group of 4 words empty in half of all cases; 4 of 8 groups hold something."""
    model = Hierarchical((2, 64), ((4, 8), (2, 4)), 1)
    assert model.density == 0.25
    assert model.empty(4, (1, 4)) == pytest.approx(1 / 2)
    assert model.empty(8, (1, 8)) == pytest.approx(math.comb(6, 4) / math.comb(8, 4))
    assert model.empty(2, (1, 2)) == pytest.approx(1 / 2 + 1 / 2 * 1 / 6)
    assert model.empty(4, (2, 2)) == pytest.approx((7 / 12) ** 2)
    assert (model.minimum(32, (1, 32)), model.maximum(32, (1, 32))) == (8, 8)


@pytest.mark.parametrize(
    ("width", "whole", "filled"),
    [
        (1, 4, {0: 1 / 2, 2: 1 / 2}),  # words of a group
        (2, 4, {0: 1 / 2, 1: 1 / 2 * 2 / 6, 2: 1 / 2 * 4 / 6}),  # halves of one: both non-zeros in one half, or one in each
        (4, 32, {4: 1.0}),  # groups
        (4, 8, {0: 15 / 70, 1: 40 / 70, 2: 15 / 70}),  # two of eight groups, four of which hold something
        (32, 64, {2: 1.0}),
    ],
)
def test_slices_that_hold_something(width: int, whole: int, filled: dict[int, float]) -> None:
    model = Hierarchical((64,), ((4, 8), (2, 4)), 0)
    chance = 1.0 - float(model.empty(width, (width,)))
    found = nonempty_slices(model, Slices(whole // width, width, (width,), (whole,)), chance)
    assert {int(k): w for k, w in zip(found.values, found.weights, strict=True) if w > 1e-12} == pytest.approx(filled)


def test_structures_that_make_no_sense() -> None:
    for ratios, axis, message in ((((5, 4),), 0, "structure 5:4"), ((), 0, "at least one"), (((1, 2),), 1, "axis 1")):
        with pytest.raises(ValueError, match=message):
            Hierarchical((4,), ratios, axis)


def test_in_a_specification() -> None:
    text = """
workload: {{einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {{m: 4, n: 2, k: 64}}, density: {{A: {density}}}}}
architecture: {{levels: [{{name: L0, class: buffer}}, {{name: MAC, class: mac}}]}}
mapping: [{{L0: for m=4 n=2 k=64}}]
"""
    for density in ("4:8 over 2:4 k", "{model: hierarchical, ratios: [4:8, 2:4], rank: k}"):
        spec = sl.loads(text.format(density=density))
        tensor = sl.design_of(spec).einsum.tensor("A")
        assert tensor.density == Hierarchical((4, 64), ((4, 8), (2, 4)), 1, size=256)
        assert density_text(tensor) == "4:8 over 2:4 along k"
    with pytest.raises(sl.SpecError, match="expected n:m"):
        sl.loads(text.format(density="{model: hierarchical, ratios: [4:x], rank: k}"))
