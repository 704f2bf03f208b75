"""Cells within cells against all their patterns."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.evaluation.humanize import density_text
from sparseloop.model.density import (
    Block,
    CellGrid,
    CellModel,
    Clustered,
    Hierarchical,
    Lattice,
    Layered,
    Rows,
    Structured,
    Tile,
    Uniform,
)
from sparseloop.model.density.nested import lognormal, power_law
from sparseloop.model.density.slices import Slices, nonempty_slices
from tests.unit.model.density.test_lattice import SIDES, tiles_of


def all_of(levels: tuple[CellGrid, ...]) -> Iterator[tuple[np.ndarray, float]]:
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


def patterns(levels: tuple[CellGrid, ...], size: int) -> list[tuple[np.ndarray, float]]:
    """Every pattern of a tensor of one axis."""
    roots = list(all_of(levels))
    every = itertools.product(roots, repeat=-(-size // roots[0][0].size))
    return [(np.concatenate([p for p, _ in some])[:size], math.prod(w for _, w in some)) for some in every]


RATIOS = [((1, 2), (1, 2)), ((2, 3), (1, 2)), ((1, 3), (2, 4)), ((1, 2), (1, 2), (1, 2)), ((2, 2), (1, 4))]
SMALL: list[CellModel] = [
    *(Hierarchical((12,), ratios, 0) for ratios in RATIOS),
    Layered((12,), (CellGrid((4,), ((0, 0.3), (3, 0.7))),)),
    Layered((12,), (CellGrid((3,), ((1, 0.5), (3, 0.5))), CellGrid((2,), ((1, 0.3), (2, 0.7))))),
]


@pytest.mark.parametrize("model", SMALL, ids=repr)
@pytest.mark.parametrize("side", SIDES, ids=lambda side: str([loop.covered for loop in side.loops]))
def test_statistics_are_those_of_all_patterns(model: CellModel, side: Lattice) -> None:
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
def test_pairs_of_tiles_with_a_common_point(model: CellModel) -> None:
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


# --- rows, clusters, products -------------------------------------------------------------------------------


def test_rows_by_hand() -> None:
    """Half of the rows are zero, the others have 2 of 8 words."""
    model = Rows((6, 8), (0,), ((0, 0.5), (2, 0.5)))
    one = 0.5 + 0.5 * math.comb(4, 2) / math.comb(8, 2)
    assert model.density == 1 / 8
    assert model.empty(4, (1, 4)) == pytest.approx(one)
    assert model.empty(12, (3, 4)) == pytest.approx(one**3)
    assert model.empty(15, (3, 5)) == pytest.approx((0.5 + 0.5 * math.comb(3, 2) / math.comb(8, 2)) ** 3)
    assert model.variance(48, (6, 8)) == pytest.approx(6 * 1.0)
    assert (model.maximum(12, (3, 4)), model.minimum(48, (6, 8))) == (6, 0)
    assert model.quantile(8, (1, 8), 0.4) == 0
    assert model.quantile(8, (1, 8), 0.6) == 2


def test_rows_of_one_number_are_uniform_in_each() -> None:
    model, one = Rows((6, 8), (0,), ((2, 1.0),)), Uniform((8,), 0.25)
    for words in range(1, 9):
        assert model.empty(words, (1, words)) == pytest.approx(float(one.empty(words, (words,))))
        assert model.variance(words, (1, words)) == pytest.approx(float(one.variance(words, (words,))))


def test_channels_are_rows_of_several_axes() -> None:
    model = Rows((3, 4, 5), (1,), ((0, 0.25), (15, 0.75)))
    assert model.empty(6, (2, 1, 3)) == pytest.approx(0.25)
    assert model.empty(12, (2, 2, 3)) == pytest.approx(0.25**2)


@pytest.mark.parametrize(("mean", "variation"), [(0.1, 0.5), (0.02, 3.0), (0.6, 1.0), (0.3, 0.0), (1.0, 2.0), (0.0, 1.0)])
def test_lognormal_rows_have_the_density(mean: float, variation: float) -> None:
    shares, densities = np.array(lognormal(mean, variation)).T
    assert shares.sum() == pytest.approx(1)
    assert shares @ densities == pytest.approx(mean)
    assert densities.max() <= 1
    if 0 < mean * math.exp(6 * math.sqrt(math.log1p(variation**2))) < 1:  # none is cut off at 1
        assert math.sqrt(shares @ (densities / mean - 1) ** 2) == pytest.approx(variation, rel=0.01)


@pytest.mark.parametrize(("mean", "exponent"), [(0.1, 1.5), (0.01, 2.0), (0.01, 2.5), (0.001, 1.0), (0.3, 3.0), (0.2, 4.6)])
def test_rows_of_a_power_law_have_the_density(mean: float, exponent: float) -> None:
    """Over a tenfold range of densities above the smallest, the number beyond x falls as x^(1 - exponent)."""
    shares, densities = np.array(power_law(mean, exponent, 1e-4)).T
    assert shares.sum() == pytest.approx(1)
    assert shares @ densities == pytest.approx(mean)
    ratio = shares[10:50] / densities[10:50] ** (1 - exponent)  # classes of equal width on a logarithmic scale
    assert ratio.max() / ratio.min() == pytest.approx(1, rel=0.02)
    assert Rows.of_density((4, 1000), (0,), mean, exponent=exponent).density == pytest.approx(mean)


def test_clusters_by_hand() -> None:
    """Beta(1, 1), that is any density as likely as any other: n of n words are zero with probability 1 / (n + 1)."""
    model = Clustered((8, 8), (4, 4), 0.5, 1 / 3)
    for words, extents in ((1, (1, 1)), (2, (1, 2)), (16, (4, 4))):
        assert model.empty(words, extents) == pytest.approx(1 / (words + 1))
    assert model.empty(32, (8, 4)) == pytest.approx(1 / 17**2)
    assert model.variance(16, (4, 4)) == pytest.approx(256 / 12 + 16 / 6)
    assert Clustered((8, 8), (4, 4), 0.3, 0.0).empty(4, (2, 2)) == pytest.approx(0.7**4)
    assert Clustered((8, 8), (4, 4), 0.3, 1.0).empty(4, (2, 2)) == pytest.approx(0.7)


def test_layers_of_blocks_are_blocks() -> None:
    plain = Block((8, 12), (2, 3), 0.4, inner=0.5)
    layers = (CellGrid((4, 4), ((plain.occupied, 1.0),)), CellGrid((2, 3), ((plain.filling, 1.0),)))
    nested = Layered((8, 12), layers)
    assert nested.density == pytest.approx(plain.density)
    for extents in itertools.product((1, 2, 4, 8), (1, 2, 3, 5, 12)):
        ask = (math.prod(extents), extents)
        for name in ("empty", "variance", "maximum", "minimum"):
            assert getattr(nested, name)(*ask) == pytest.approx(getattr(plain, name)(*ask), abs=1e-9), (name, extents)
        assert nested.quantile(*ask, 0.7) == plain.quantile(*ask, 0.7)
        assert nested.excess(*ask, 2.0) == pytest.approx(plain.excess(*ask, 2.0))


def test_two_of_four_inside_blocks_by_hand() -> None:
    """Half of the blocks of 4 x 4 hold 2:4 rows."""
    model = Layered((8, 8), (CellGrid((2, 2), ((2, 1.0),)), CellGrid((4, 1), ((4, 1.0),)), CellGrid((1, 4), ((2, 1.0),))))
    assert model.density == 0.25
    assert model.empty(2, (1, 2)) == pytest.approx(1 / 2 + 1 / 2 * 1 / 6)
    assert model.empty(4, (1, 4)) == pytest.approx(1 / 2)
    assert model.empty(4, (2, 2)) == pytest.approx(1 / 2 + 1 / 2 * 1 / 36)


DRAWN = [
    Rows((6, 8), (0,), ((0, 0.3), (3, 0.5), (7, 0.2))),
    Clustered((6, 7), (4, 4), 0.4, 0.4),
    Hierarchical((3, 12), ((1, 2), (2, 3)), 1),
    Layered((8, 6), (CellGrid((4, 2), ((3, 1.0),)), CellGrid((2, 3), ((2, 0.5), (6, 0.5))))),
]


@pytest.mark.parametrize("model", DRAWN, ids=lambda model: type(model).__name__)
def test_drawn_patterns_are_as_likely_as_the_model_says(model: CellModel) -> None:
    dice, many = np.random.default_rng(3), 2000
    patterns = np.array([model.drawn(dice) for _ in range(many)])
    for extents in ((1, 1), (2, 3), (3, 1)):
        parts = patterns[:, : model.shape[0] // extents[0] * extents[0], : model.shape[1] // extents[1] * extents[1]]
        rows, columns = (size // extent for size, extent in zip(parts.shape[1:], extents, strict=True))
        counts = parts.reshape(many, rows, extents[0], columns, extents[1]).sum(axis=(2, 4)).reshape(many, -1)
        assert (counts == 0).mean() == pytest.approx(
            float(model.empty(math.prod(extents), extents)), abs=5 * 0.5 / math.sqrt(many)
        )
        assert counts.mean() == pytest.approx(math.prod(extents) * model.density, rel=0.1)


def test_large_tensors_are_quick_and_nearly_normal() -> None:
    model = Rows.of_density((20000, 20000), (0,), 0.002, exponent=2.2)
    assert model.density == pytest.approx(0.002)
    assert 0 < model.empty(32 * 32, (32, 32)) < 1
    assert model.quantile(20000 * 128, (128, 20000), 0.99) > model.mean(20000 * 128)
    block = Layered((4096, 4096), (CellGrid((1024, 1024), ((2**19, 1.0),)), CellGrid((4, 4), ((8, 1.0),))))
    tile = block.occupancy(256 * 256, (256, 256))
    assert tile.mean == pytest.approx(256 * 256 / 4, rel=1e-3)
    assert tile.variance == pytest.approx(float(block.variance(256 * 256, (256, 256))), rel=1e-2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hierarchical((4,), ((5, 4),), 0), "structure 5:4"),
        (lambda: Hierarchical((4,), (), 0), "at least one"),
        (lambda: Hierarchical((4,), ((1, 2),), 1), "axis 1"),
        (lambda: Rows((4, 4), (2,), ((0, 1.0),)), "axes"),
        (lambda: Rows((4, 4), (0,), ((5, 1.0),)), "at most 4"),
        (lambda: Rows((4, 4), (0,), ((1, 0.5), (2, 0.4))), "add up to 1"),
        (lambda: Clustered((4, 4), (2,), 0.5, 0.5), "needs 2 numbers"),
        (lambda: Clustered((4, 4), (2, 2), 0.5, 2.0), "correlation"),
        (lambda: Clustered((400, 400), (300, 300), 0.5, 0.5), "65536"),
        (lambda: Layered((4, 4), (CellGrid((2,), ((1, 1.0),)),)), "needs 2 numbers"),
    ],
)
def test_models_that_make_no_sense(make: Callable[[], CellModel], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# --- in a specification -------------------------------------------------------------------------------------

TEXT = """
workload: {{einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {{m: 16, n: 2, k: 64}}, density: {{A: {density}}}}}
architecture: {{levels: [{{name: L0, class: buffer}}, {{name: MAC, class: mac}}]}}
mapping: [{{L0: for m=16 n=2 k=64}}]
"""
HIGHLIGHT = Hierarchical((16, 64), ((4, 8), (2, 4)), 1, size=1024)
GROUPS = CellGrid((1, 4), ((2, 1.0),))


@pytest.mark.parametrize(
    ("density", "model", "text"),
    [
        ("4:8 over 2:4 k", HIGHLIGHT, "4:8 over 2:4 along k"),
        ("{model: hierarchical, ratios: [4:8, 2:4], rank: k}", HIGHLIGHT, "4:8 over 2:4 along k"),
        ("{model: rows, rank: m, histogram: {8: 0.5, 0: 0.5}}", Rows((16, 64), (0,), ((0, 0.5), (8, 0.5))), "m of different"),
        ("rows k 0.1 variation 1.5", Rows.of_density((16, 64), (1,), 0.1, variation=1.5), "k of different"),
        ("rows m 10% exponent 2.5", Rows.of_density((16, 64), (0,), 0.1, exponent=2.5), "m of different"),
        ("clustered 4x8 0.6 correlation 0.3", Clustered((16, 64), (4, 8), 0.6, 0.3), "clusters of 4x8, correlation 0.3"),
        (
            "{model: clustered, block: {k: 4}, density: 0.6, correlation: 1}",
            Clustered((16, 64), (1, 4), 0.6, 1.0),
            "clusters of 1x4",
        ),
        ("4x4 0.25", Block((16, 64), (4, 4), 0.25), "blocks of 4x4"),
        (
            "4x4 0.25 over 2:4 k",
            Layered((16, 64), (CellGrid((4, 16), ((16, 1.0),)), CellGrid((4, 1), ((4, 1.0),)), GROUPS)),
            "4x4 0.25 over 2:4 k, density 0.125",
        ),
        ("2:4 k over 4x4 over 0.5", Layered((16, 64), (GROUPS, CellGrid((4, 4), ((8, 1.0),)))), "2:4 k over 4x4 over 0.5"),
        ("2:4 k over 1:2 m", Layered((16, 64), (GROUPS, CellGrid((2, 1), ((1, 1.0),)))), "2:4 k over 1:2 m"),
    ],
)
def test_in_a_specification(density: str, model: CellModel, text: str) -> None:
    tensor = sl.design_of(sl.loads(TEXT.format(density=density))).einsum.tensor("A")
    assert tensor.density == model
    assert density_text(tensor).startswith(text)


@pytest.mark.parametrize(
    ("density", "message"),
    [
        ("{model: hierarchical, ratios: [4:x], rank: k}", "expected n:m"),
        ("{model: rows, rank: m}", "needs a histogram, or a density with a variation or an exponent"),
        ("{model: rows, rank: m, histogram: {0: 0.5, 8: 0.4}}", "add up to 0.9"),
        ("rows q 0.1 variation 2", "no rank 'q'"),
        ("2:4 k over 0.5", "stands in no block"),
        ("{model: layered, layers: [{ratio: 2:4}]}", "2:4 needs a rank"),
        ("{model: layered, layers: [{rank: k}]}", "either a ratio or a block"),
        ("{model: layered, layers: [{ratio: 2:4, rank: k}, {block: [4, 4], occupied: 0.5}]}", "the first layer"),
        ("{model: layered, layers: [{block: [4, 4], density: 0.5}, {ratio: 2:4, rank: k}]}", "only the last block"),
        ("{model: layered, layers: [{block: [4, 6]}, {ratio: 2:4, rank: k}]}", "multiples of what is inside"),
    ],
)
def test_mistakes_in_a_specification(density: str, message: str) -> None:
    with pytest.raises(sl.SpecError, match=message):
        sl.design_of(sl.loads(TEXT.format(density=density)))


# --- equal patterns -----------------------------------------------------------------------------------------

TWINS = """
workload: {{einsum: "{einsum}", shape: {{m: 8, n: 4, k: 16}}, density: {{A: 0.25, M: {mask}}}}}
architecture: {{levels: [{{name: L0, class: buffer}}, {{name: L1, class: regfile}}, {{name: MAC, class: mac}}]}}
mapping: [{{L0: for m=8 n=4}}, {{L1: for k=16}}]
sparse: {{L0: {{formats: {{A: UOP CP, M: UOP CP}}}}, L1: {{formats: {{A: CP(*), M: CP(*)}}, skip: [B <- A, B <- M]}}}}
"""
MASKED = "Z[m,n] = A[m,k] * M[m,k] * B[k,n]"


def test_a_mask_that_is_used_twice_decides_once() -> None:
    """8 x 16 x 4 points: a quarter is computed if both masks are the same, a sixteenth if they are independent."""
    once, twice = (sl.evaluate(sl.loads(TWINS.format(einsum=MASKED, mask=mask))) for mask in ("same as A", "0.25"))
    assert once.cycles == pytest.approx(512 / 4)
    assert twice.cycles == pytest.approx(512 / 16)
    word = once.design.einsum.tensor("Z").density
    assert word.density == pytest.approx(1 - float(Uniform((8, 16), 0.25).empty(16, (1, 16))))
    assert density_text(once.design.einsum.tensor("M")) == "zeros of A, density 0.25"


def test_a_matrix_times_itself_differs_from_two_matrices_on_the_diagonal_alone() -> None:
    """Z[m,n] = A[m,k] A[n,k] of random A, drawn: what the model says of all words holds off the diagonal."""
    model, dice = Uniform((16, 16), 0.3), np.random.default_rng(1)
    drawn = [np.asarray(model.drawn(dice)).astype(int) for _ in range(400)]
    results = np.array([a @ a.T > 0 for a in drawn])
    off = ~np.eye(16, dtype=bool)
    text = """
workload: {einsum: "Z[m,n] = A[m,k] * B[n,k]", shape: {m: 16, n: 16, k: 16}, density: {A: 0.3, B: 0.3}}
architecture: {levels: [{name: L0, class: buffer}, {name: MAC, class: mac}]}
mapping: [{L0: for m=16 n=16 k=16}]
"""
    said = sl.design_of(sl.loads(text)).einsum.tensor("Z").density.density
    assert results[:, off].mean() == pytest.approx(said, abs=0.01)
    assert results[:, ~off].mean() == pytest.approx(1 - float(model.empty(16, (1, 16))), abs=0.002)
    assert said < 0.8


def test_equal_operands_with_different_indices_are_told_to_count_as_independent() -> None:
    text = """
workload: {{einsum: "Z[m,n] = A[m,k] * M[n,k]", shape: {{m: 8, n: 8, k: 16}}, density: {{A: {density}, M: same as A}}}}
architecture: {{levels: [{{name: L0, class: buffer}}, {{name: MAC, class: mac}}]}}
mapping: [{{L0: for m=8 n=8 k=16}}]
"""
    design = sl.design_of(sl.loads(text.format(density=0.25)))
    assert any("counted as independent" in warning for warning in design.warnings)
    assert design.einsum.tensor("M").same_as is None
    assert design.einsum.tensor("M").density.density == 0.25
    assert not any(
        "independent" in w for w in sl.design_of(sl.loads(text.format(density="{model: banded, half_width: 1}"))).warnings
    )


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("same as Q", "unknown tensor 'Q'"),
        ("same as M", "no zeros of its own"),
        ("same as Z", "the zeros of a result"),
        ("same as B", "different shapes: 8x16 and 16x4"),
    ],
)
def test_mistakes_about_equal_patterns(mask: str, message: str) -> None:
    with pytest.raises(sl.SpecError, match=message):
        sl.evaluate(sl.loads(TWINS.format(einsum=MASKED, mask=mask)))
