"""Density models against exact fractions, enumeration of all placements, and direct counting; pattern files."""

from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseloop.model.density import (
    Actual,
    Banded,
    Block,
    Clustered,
    DensityModel,
    Even,
    Hierarchical,
    Occupancy,
    Rows,
    Structured,
    Tile,
    Uniform,
)
from sparseloop.model.density.uniform import _continued, probability_empty

pytestmark = pytest.mark.filterwarnings("error")

MODELS = [
    Uniform((64,), 0.3),
    Uniform((1000, 1000), 0.05),
    Even((64,), 0.3),
    Structured((4, 64), 2, 4, 1),
    Hierarchical((4, 64), ((2, 4), (1, 2)), 1),
    Clustered((16, 16), (4, 2), 0.3, 0.2),
    Rows((16, 8), (0,), ((2, 0.5), (4, 0.5))),
    Block((16, 16), (4, 2), 0.3),
    Block((16, 16), (4, 2), 0.3, inner=0.5),
    Banded((20, 30), 3),
    Actual(np.arange(48).reshape(4, 12) % 5 == 1),
]


def exact_empty(total: int, full: int, size: int) -> Fraction:
    """C(N-n, r) / C(N, r)."""
    return Fraction(math.comb(total - size, full), math.comb(total, full))


def distribution(counts: list[int]) -> Occupancy:
    """The distribution of equally likely outcomes."""
    tally = sorted(Counter(counts).items())
    return Occupancy(np.array([k for k, _ in tally], float), np.array([n for _, n in tally]) / len(counts))


def check_against(model: DensityModel, size: int, extents: tuple[int, ...], truth: Occupancy) -> None:
    """All statistics of one tile equal those of the true distribution."""
    close = {"rel": 1e-9, "abs": 1e-9}
    assert model.empty(size, extents) == pytest.approx(truth.empty, **close)
    assert model.variance(size, extents) == pytest.approx(truth.variance, **close)
    assert model.maximum(size, extents) == truth.values[-1]
    assert model.minimum(size, extents) == truth.values[0]
    for confidence in (0.1, 0.5, 0.9, 1.0):
        assert model.quantile(size, extents, confidence) == truth.quantile(confidence)
    for block in (1, 2, 3, 8):
        assert model.blocks(size, extents, block) == pytest.approx(truth.blocks(block), **close)
    for capacity in (0, 1, 2.5):
        assert model.excess(size, extents, capacity) == pytest.approx(truth.excess(capacity), **close)
    tile = model.occupancy(size, extents)
    assert (tile.mean, tile.variance) == pytest.approx((truth.mean, truth.variance), **close)


# --- uniform


@pytest.mark.parametrize(("total", "full"), [(n, r) for n in range(1, 8) for r in range(n + 1)])
def test_uniform_equals_all_placements(total: int, full: int) -> None:
    model = Uniform((total,), full / total)
    for size in range(total + 1):
        counts = [sum(i < size for i in chosen) for chosen in itertools.combinations(range(total), full)]
        check_against(model, size, (size,), distribution(counts))
        assert model.mean(size) == pytest.approx(np.mean(counts))


CASES = [(1, 1, 1), (21, 5, 9), (64, 16, 30), (64, 60, 4), (65536, 6554, 40), (70000, 1, 69999), (70000, 69990, 7)]
CASES += [(10**6, 300_000, 200), (10**6, 200, 300_000), (10**8, 10**7, 3000), (10**8, 10**8 - 100, 50), (10**8, 30, 10**8 - 40)]


@pytest.mark.parametrize(("total", "full", "size"), CASES)
def test_empty_within_1e9_of_the_fraction(total: int, full: int, size: int) -> None:
    few, many = sorted((full, size))
    exact = math.perm(total - many, few) / math.perm(total, few)
    assert Uniform((total,), full / total).empty(size, (size,)) == pytest.approx(exact, rel=1e-9)
    if full < total:
        assert _continued(total, full, np.array(size)) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("total", "full"), [(2, 1), (23, 3), (23, 20), (45, 22), (200, 7), (3000, 2900)])
def test_table_and_formula_agree_for_all_sizes(total: int, full: int) -> None:
    sizes = np.arange(total + 3)
    exact = [float(exact_empty(total, full, min(n, total))) for n in range(total + 3)]
    np.testing.assert_allclose(probability_empty(total, full, sizes), exact, rtol=1e-12)
    np.testing.assert_allclose(_continued(total, full, sizes), exact, rtol=1e-11)


def test_table_of_a_large_tensor_ends_where_e_underflows() -> None:
    model = Uniform((10**8,), 0.3)
    values = model.empty(np.array([1.0, 2000.0, 2050.0, 2500.0, 10**6, 10**8, 2e8]), ())
    exact = [math.perm(7 * 10**7, n) / math.perm(10**8, n) for n in (1, 2000, 2050)]
    np.testing.assert_allclose(values[:3], exact, rtol=1e-9)
    assert values[3:].tolist() == [0] * 4


def test_binomial_is_rejected() -> None:
    model = Uniform((100,), 0.1)
    assert model.empty(30, ()) == pytest.approx(float(exact_empty(100, 10, 30)), rel=1e-12)
    assert abs(model.empty(30, ()) / 0.9**30 - 1) > 0.4
    large = Uniform((1 << 24,), 0.1)
    assert 1e-5 < abs(large.empty(2000, ()) / 0.9**2000 - 1) < 1e-1


@pytest.mark.parametrize("total", [1, 2, 50, 10**6])
def test_uniform_edges(total: int) -> None:
    sizes = np.array([0, 0.5, 1, total - 0.25, total, total + 7.0])
    dense, nothing = Uniform((total,), 1.0), Uniform((total,), 0.0)
    assert nothing.empty(sizes, ()).tolist() == [1] * 6
    assert dense.empty(sizes, ())[[0, 2, 4, 5]].tolist() == [1, 0, 0, 0]
    assert (dense.variance(sizes, ()) == 0).all()
    assert dense.density == 1
    assert nothing.density == 0
    single = Uniform((total,), 1 / total)
    assert single.empty(np.array([0.0, total, 2.0 * total]), ()).tolist() == [1, 0, 0]


def test_number_of_nonzeros_is_snapped() -> None:
    assert Uniform((1000,), 0.1 + 1e-14).nonzeros == 100
    assert Uniform((10**9,), 0.1 * 3).nonzeros == 3 * 10**8
    assert Uniform((10,), 0.11).nonzeros == 2
    assert Uniform((10,), 0.11).density == 0.2
    strided = Uniform((9,), 0.5, size=6)
    assert (strided.nonzeros, strided.total, strided.density) == (3, 6, 0.5)
    assert strided.empty(2, ()) == pytest.approx(0.2)


def test_normal_forms_of_wide_distributions() -> None:
    model = Uniform((100_000,), 0.2)
    sizes = np.array([200, 1000, 5000, 40_000])
    for size in sizes.tolist():
        truth = model.occupancy(size, ())
        sigma = math.sqrt(truth.variance)
        assert truth.mean == pytest.approx(model.mean(size), rel=1e-9)
        assert model.blocks(size, (), 4) == pytest.approx(truth.blocks(4), rel=5e-4)
        for z in (-1.0, 0.0, 2.0):
            cap = truth.mean + z * sigma
            assert model.excess(size, (), cap) == pytest.approx(truth.excess(cap), abs=0.011 * sigma)
        for confidence in (0.01, 0.5, 0.999):
            assert abs(model.quantile(size, (), confidence) - truth.quantile(confidence)) <= 1


@settings(deadline=None)
@given(st.integers(1, 400), st.floats(0, 1), st.lists(st.floats(0, 400), min_size=2, max_size=20))
def test_uniform_decreases_with_size(total: int, fraction: float, sizes: list[float]) -> None:
    values = Uniform((total,), fraction).empty(np.sort(sizes), ())
    assert (np.diff(values) <= 1e-13).all()
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()


@settings(deadline=None)
@given(st.integers(1, 10**7), st.floats(0, 1), st.integers(0, 10**7), st.integers(0, 10**7))
def test_uniform_is_symmetric_in_size_and_nonzeros(total: int, fraction: float, size: int, other: int) -> None:
    model = Uniform((total,), fraction)
    size = min(size, total)
    mirrored = probability_empty(total, size, model.nonzeros)
    assert model.empty(size, ()) == pytest.approx(mirrored, rel=1e-9, abs=1e-290)


# --- all models


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_array_equals_numbers(model: DensityModel) -> None:
    rng = np.random.default_rng(1)
    extents = tuple(rng.integers(1, s + 1, (2, 15)) for s in model.shape)
    size = np.prod(np.broadcast_arrays(*extents), axis=0).astype(float)
    size[0, :3] = 0
    if isinstance(model, Uniform):
        size[1, :7] -= 0.3
    calls = {
        "empty": model.empty,
        "variance": model.variance,
        "maximum": model.maximum,
        "minimum": model.minimum,
        "quantile": lambda n, e: model.quantile(n, e, 0.8),
        "blocks": lambda n, e: model.blocks(n, e, 4),
        "excess": lambda n, e: model.excess(n, e, 3.0),
        "union": lambda n, e: model.empty_union(Tile(n, e), Tile(n / 2, e), Tile(n / 2, e)),
    }
    for name, call in calls.items():
        whole = call(size, extents)
        assert whole.shape == size.shape, name
        for place in np.ndindex(*size.shape):
            alone = call(float(size[place]), tuple(int(e[place]) for e in extents))
            assert np.ndim(alone) == 0, name
            assert alone == pytest.approx(whole[place], rel=1e-12, abs=1e-300), name


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_laws(model: DensityModel) -> None:
    one, whole = (1,) * len(model.shape), model.shape
    assert model.empty(0, one) == 1
    assert model.empty(1, one) == pytest.approx(1 - model.density)
    assert model.empty(model.total, whole) == pytest.approx(0, abs=1e-20)  # every word of a cluster may be zero
    assert model.maximum(0, one) == 0
    assert model.blocks(0, one, 8) == 0
    assert model.excess(model.total, whole, 0) == pytest.approx(model.mean(model.total))
    assert model.occupancy(1, one).mean == pytest.approx(model.density)
    assert hash(model) == hash(pickle.loads(pickle.dumps(model)))
    assert model == pickle.loads(pickle.dumps(model))
    nested = model.empty_union(Tile(model.total, whole), Tile(1, one), Tile(1, one))
    assert nested == pytest.approx(0, abs=1e-20)
    assert model.deterministic == (model.mask() is not None)


DENSE = [
    Uniform((8, 8), 1.0),
    Even((8, 8), 1.0),
    Structured((8, 8), 4, 4, 0),
    Hierarchical((8, 8), ((2, 2), (4, 4)), 0),
    Block((8, 8), (2, 4), 1.0),
    Banded((8, 8), 8),
    Actual(np.ones((8, 8))),
]


@pytest.mark.parametrize("model", DENSE, ids=repr)
def test_density_one_is_never_empty(model: DensityModel) -> None:
    extents = (np.array([1, 2, 8, 8]), np.array([1, 1, 4, 8]))
    size = extents[0] * extents[1]
    assert model.density == 1
    assert model.empty(size, extents).tolist() == [0] * 4
    assert model.quantile(size, extents, 0.5).tolist() == size.tolist()
    np.testing.assert_allclose(model.blocks(size, extents, 4), np.ceil(size / 4))


def test_capacity_may_be_an_array() -> None:
    size, capacity = np.array([2.0, 3.0, 30.0]), np.array([0.0, 1.0, 2.0])
    for model in (Uniform((40,), 0.5), Even((40,), 0.5), Structured((40,), 1, 2, 0), Block((40,), (2,), 0.5)):
        values = model.excess(size, (size,), capacity)
        alone = [model.excess(n, (n,), c) for n, c in zip(size.tolist(), capacity.tolist(), strict=True)]
        np.testing.assert_allclose(values, alone)


def test_union_of_overlapping_tiles_is_exact_for_uniform() -> None:
    model = Uniform((20,), 0.25)
    assert model.empty_union(Tile(6, ()), Tile(5, ()), Tile(2, ())) == pytest.approx(float(exact_empty(20, 5, 9)))
    assert Even((20,), 0.1).empty_union(Tile(6, ()), Tile(5, ()), Tile(2, ())) == pytest.approx(0.1)


# --- even, structured, block


def test_even_holds_floor_or_ceiling() -> None:
    model = Even((100,), 0.3)
    check_against(model, 10, (10,), Occupancy(np.array([3.0]), np.ones(1)))
    check_against(model, 12, (12,), Occupancy(np.array([3.0, 4.0]), np.array([0.4, 0.6])))
    assert Even((100,), 0.1).maximum(30, ()) == 3  # 30 * 0.1 is 3.0000000000000004
    assert model.empty(2, ()) == pytest.approx(0.4)


@pytest.mark.parametrize(("n", "m"), [(0, 2), (1, 2), (2, 2), (1, 4), (2, 4), (3, 4), (2, 3)])
def test_structured_equals_all_placements(n: int, m: int) -> None:
    model = Structured((2, 2 * m), n, m, 1)
    groups = list(itertools.combinations(range(m), n))
    for lines, width in itertools.product((1, 2), range(1, 2 * m + 1)):
        counts = [
            sum(first <= m * (g % 2) + i < first + width for g, chosen in enumerate(choice) for i in chosen)
            for choice in itertools.product(groups, repeat=2 * lines)
            for first in range(0, 2 * m - width + 1, width)
        ]
        check_against(model, lines * width, (lines, width), distribution(counts))


def test_structured_many_lines() -> None:
    model = Structured((4096, 4), 1, 4, 1)
    tile = model.occupancy(2 * 4096, (4096, 2))
    assert (tile.mean, tile.variance) == pytest.approx((2048, 1024), rel=1e-9)
    assert model.empty(20, (20, 1)) == pytest.approx(0.75**20)
    assert model.blocks(2 * 4096, (4096, 2), 128) == pytest.approx(tile.blocks(128), rel=1e-9)


@pytest.mark.parametrize("inner", [1.0, 0.5])
@pytest.mark.parametrize("tile", [(1, 2), (2, 2), (2, 4), (4, 4), (2, 1), (1, 1), (4, 2)])
def test_block_equals_all_placements(tile: tuple[int, int], inner: float) -> None:
    model = Block((4, 4), (2, 2), 0.5, inner=inner)
    places = list(itertools.product(range(2), range(2)))
    fills = list(itertools.combinations(places, round(4 * inner)))
    counts = []
    for chosen in itertools.combinations(places, 2):
        for filling in itertools.product(fills, repeat=2):
            cells = [(2 * i + a, 2 * j + b) for (i, j), cell in zip(chosen, filling, strict=True) for a, b in cell]
            counts.append(sum(i < tile[0] and j < tile[1] for i, j in cells))
    check_against(model, tile[0] * tile[1], tile, distribution(counts))
    assert model.mean(tile[0] * tile[1]) == pytest.approx(np.mean(counts))


# --- banded, given data


def tile_counts(pattern: np.ndarray, extents: tuple[int, ...]) -> list[int]:
    """Non-zeros of all aligned tiles, counted one by one."""
    corners = itertools.product(*(range(0, s, e) for s, e in zip(pattern.shape, extents, strict=True)))
    return [int(pattern[tuple(slice(c, c + e) for c, e in zip(corner, extents, strict=True))].sum()) for corner in corners]


@settings(deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 16), st.integers(1, 15), st.integers(1, 15))
def test_band_statistics_are_those_of_its_tiles(rows: int, columns: int, half_width: int, height: int, width: int) -> None:
    model = Banded((rows, columns), half_width)
    pattern = model.mask()
    assert pattern.tolist() == [[abs(i - j) <= half_width for j in range(columns)] for i in range(rows)]
    assert model.nonzeros == pattern.sum()
    extents = (min(height, rows), min(width, columns))
    truth = distribution(tile_counts(pattern, extents))
    check_against(model, extents[0] * extents[1], (height, width), truth)


def test_large_band_needs_no_mask() -> None:
    model = Banded((10**6, 10**6), 500)
    assert model.empty(1000 * 1000, (1000, 1000)) == pytest.approx(1 - (3 * 1000 - 2) / 10**6)
    assert model.nonzeros == 10**6 * 1001 - 500 * 501


@settings(deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.data())
def test_actual_statistics_are_those_of_its_tiles(seed: int, shape: list[int], data: st.DataObject) -> None:
    pattern = np.random.default_rng(seed).random(shape) < 0.3
    extents = tuple(data.draw(st.integers(1, s)) for s in shape)
    check_against(Actual(pattern), math.prod(extents), extents, distribution(tile_counts(pattern, extents)))


def test_actual_is_a_value() -> None:
    data = np.eye(4, dtype=np.float32)
    model = Actual(data)
    data[0, 0] = 0
    assert model.mask()[0, 0]
    assert model == Actual(np.eye(4, dtype=bool))
    assert len({model, Actual(np.eye(4)), Actual(np.eye(4)[:, ::-1]), Actual(np.eye(4).reshape(2, 8))}) == 3
    assert model.density == 0.25
    with pytest.raises(ValueError, match=r"element \(1, 0\) is NaN"):
        Actual(np.array([[1.0], [np.nan]]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Uniform((4,), 1.5), r"density 1.5: must lie between 0 and 1"),
        (lambda: Uniform((4,), math.nan), r"density nan"),
        (lambda: Even((0, 4), 0.5), r"shape \(0, 4\)"),
        (lambda: Uniform((4,), 0.5, size=5), r"size 5: must lie between 1 and 4"),
        (lambda: Structured((4,), 5, 4, 0), r"structure 5:4"),
        (lambda: Structured((4,), 2, 4, 1), r"axis 1"),
        (lambda: Block((4, 4), (2,), 0.5), r"needs 2 numbers"),
        (lambda: Banded((4, 4, 4), 1), r"2 axes, not 3"),
        (lambda: Banded((4, 4), -1), r"half width -1"),
        (lambda: Actual(np.array(["a"])), r"of type <U1"),
        (lambda: Actual(np.array(3)), r"data 3: is a single number"),
    ],
)
def test_bad_parameters(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()  # type: ignore[operator]
