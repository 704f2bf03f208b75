"""Tiles that are no boxes: places, groups, pairs of tiles, by hand and against listed patterns."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.model.density import Block, DensityModel, Lattice, LatticeLoop, Structured, Tile, Uniform
from sparseloop.model.density.lattice import Groups


def lattice(*loops: tuple[int, int, int], axis: int = 0) -> Lattice:
    """One axis of (step, bound, covered) loops of one rank."""
    size = math.prod(covered for _, _, covered in loops)
    return Lattice((axis,), size, True, (0,), tuple(LatticeLoop((s,), n, c) for s, n, c in loops))


def lanes_outside_steps(lanes: int, steps: int) -> Lattice:
    """All lanes of one step: a spatial loop outside a temporal one."""
    return lattice((steps, lanes, lanes), (1, steps, 1))


@pytest.mark.parametrize(
    ("n", "m", "lanes", "steps", "alive"),
    [(2, 4, 2, 4, 3 / 4), (1, 4, 2, 4, 7 / 16), (2, 8, 2, 8, 7 / 16), (1, 8, 2, 8, 15 / 64)],
)
def test_lanes_take_words_of_different_groups(n: int, m: int, lanes: int, steps: int, alive: float) -> None:
    """Each lane's word is in a group of its own: 1 - (1 - n/m)^lanes."""
    model = Structured((lanes * steps,), n, m, 0)
    side = lanes_outside_steps(lanes, steps)
    assert 1 - model.empty(lanes, (side,)) == pytest.approx(alive)


def test_two_of_four_lanes_in_one_group() -> None:
    """Lanes 0, 2 of one group of 2:4: both empty if the non-zeros are the other two, 1 of 6 choices."""
    side = lattice((2, 2, 2), (1, 2, 1))
    assert Structured((4,), 2, 4, 0).empty(2, (side,)) == pytest.approx(1 / 6)


def test_tiles_of_three_in_groups_of_four() -> None:
    """Tiles at 0, 3, 6, 9 of 12: (3), (1, 2), (2, 1), (3) words per group; C(4-w, 2)/6 = 0, 1/2 * 1/6, 1/6 * 1/2, 0."""
    side = lattice((3, 4, 1), (1, 3, 3))
    assert Structured((12,), 2, 4, 0).empty(3, (side,)) == pytest.approx((0 + 1 / 12 + 1 / 12 + 0) / 4)


def test_blocks_of_one_word_are_uniform() -> None:
    """Lanes 0 and 4 of 8 words: two blocks whatever their distance."""
    side = lanes_outside_steps(2, 4)
    assert Block((8,), (1,), 0.75).empty(2, (side,)) == pytest.approx(float(Uniform((8,), 0.75).empty(2, (8,))))


def test_strided_words_in_blocks() -> None:
    """Words 0 and 4 are in two of the four blocks of two: P(both empty) = C(2, 2)/C(4, 2) with two occupied."""
    assert Block((8,), (2,), 0.5).empty(2, (lanes_outside_steps(2, 4),)) == pytest.approx(1 / 6)


def patterns(model: DensityModel) -> list[np.ndarray]:
    """All equally likely patterns of a small model of one axis."""
    (size,) = model.shape
    if isinstance(model, Structured):
        count = -(-size // model.m)
        choices = itertools.product(*[list(itertools.combinations(range(model.m), model.n))] * count)
        every = [[g * model.m + w for g, chosen in enumerate(choice) for w in chosen] for choice in choices]
    else:
        assert isinstance(model, Block)
        (side,) = model.block_shape
        inside = list(itertools.combinations(range(side), model.filling))
        every = [
            [b * side + w for b, words in zip(blocks, filled, strict=True) for w in words]
            for blocks in itertools.combinations(range(model.count), model.occupied)
            for filled in itertools.product(*[inside] * model.occupied)
        ]
    return [np.isin(np.arange(size), places) for places in every]


def tiles_of(side: Lattice) -> list[list[int]]:
    """The words of a tile at each of its places, place by place of the point that it contains."""
    found: list[list[int]] = []
    for point in itertools.product(*(range(int(loop.bound)) for loop in side.loops)):
        ranges = [
            range(at // loop.covered * loop.covered, at // loop.covered * loop.covered + loop.covered)
            for at, loop in zip(point, side.loops, strict=True)
        ]
        steps = [loop.steps[0] for loop in side.loops]
        found.append([int(np.dot(index, steps)) for index in itertools.product(*ranges)])
    return found


SIDES = [
    lattice((6, 2, 2), (3, 2, 1), (1, 3, 1)),
    lattice((6, 2, 1), (3, 2, 2), (1, 3, 1)),
    lattice((6, 2, 2), (3, 2, 2), (1, 3, 1)),
    lattice((6, 2, 1), (3, 2, 1), (1, 3, 3)),
    lattice((6, 2, 2), (3, 2, 1), (1, 3, 3)),
]
SMALL = [Structured((12,), 2, 4, 0), Structured((12,), 1, 5, 0), Block((12,), (4,), 0.5), Block((12,), (5,), 0.6, inner=0.5)]


@pytest.mark.parametrize("model", SMALL, ids=repr)
@pytest.mark.parametrize("side", SIDES, ids=lambda side: str([loop.covered for loop in side.loops]))
def test_statistics_are_those_of_all_patterns(model: DensityModel, side: Lattice) -> None:
    counts = Counter(int(pattern[words].sum()) for pattern in patterns(model) for words in tiles_of(side))
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
@pytest.mark.parametrize(("one", "two"), list(itertools.combinations(SIDES, 2)))
def test_pairs_of_tiles_with_a_common_point(model: DensityModel, one: Lattice, two: Lattice) -> None:
    """P(both empty), whether one contains the other or not."""
    every = patterns(model)
    pairs = list(zip(tiles_of(one), tiles_of(two), strict=True))
    share = sum(not pattern[a + b].any() for pattern in every for a, b in pairs) / len(every) / len(pairs)
    loops = tuple(a._replace(covered=min(a.covered, b.covered)) for a, b in zip(one.loops, two.loops, strict=True))
    common = one._replace(loops=loops, size=math.prod(loop.covered for loop in loops))
    tiles = [Tile(side.size, (side,)) for side in (one, two, common)]
    assert model.empty_union(*tiles) == pytest.approx(share)


SPEC = """
workload:
  einsum: Z[j] = A[2*k,j+i] * B[k] * C[i]
  shape: {k: 4, j: 2, i: 3}
  density: {A: {model: block, block: [2, 2], density: 0.1, inner: 0.5}, B: 0.25, Z: dense}
architecture: {levels: [{name: L0, class: buffer}, {name: PE, fanout: 2, packing: waves}, {name: MAC, class: mac}]}
mapping: [{L0: LOOPS}]
sparse: {L0: {formats: {A: FORMAT}, SAF: [B <- A]}}
"""


def test_tiles_end_where_their_ranks_end() -> None:
    """A loop of 8 of which 4 iterations exist is a loop of 4: its tiles touch no block beyond the tensor."""
    text = SPEC.replace("FORMAT", "CP CP").replace("SAF", "gate")
    perfect, imperfect = (
        sl.evaluate(sl.loads(text.replace("LOOPS", loops))).energy_pj for loops in ("for k=4 j=2 i=3", "for k=8~4 j=2 i=4~3")
    )
    assert imperfect == pytest.approx(perfect, rel=1e-12)
    offsets = SPEC.replace("FORMAT", "UOP CP").replace("SAF", "spatial_skip").replace("LOOPS", "for k=8~4 j=2 i=4~3")
    assert sl.evaluate(sl.loads(offsets)).cycles == pytest.approx(3)  # 24 computes, 4 of 32 words are there


def test_groups_beyond_the_last_are_those_with_fewest_words() -> None:
    groups = Groups(1.0, np.array([[1], [2], [4]]), np.array([3, 2, 2]))
    kept = groups.at_most(3)
    assert kept.words[:, 0].tolist() == [2, 4]
    assert kept.number.tolist() == [1, 2]
