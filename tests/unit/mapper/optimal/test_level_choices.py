"""The choices of a level, counted by hand on a tiny machine with a fanout of 2 by 2 below GLB."""

from __future__ import annotations

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.mapper.optimal.level_choices import LevelChoices
from sparseloop.mapper.optimal.lower_bounds import TileTable
from sparseloop.mapper.optimal.wires import best_ways
from sparseloop.mapper.space.factorizations import divisors
from tests.helpers.tiny_spaces import CONSTRAINED, spec_of

DRAM, GLB, RF = range(3)


def choices_of(*extra: str) -> tuple[sl.Mapspace, LevelChoices]:
    space = sl.mapspace(spec_of(*extra))
    sizes = [rank.size for rank in space.ranks]
    return space, LevelChoices(space, TileTable(space.design, [r.rank for r in space.ranks], sizes, [divisors(n) for n in sizes]))


def test_spatial_factors_fit_the_fanout() -> None:
    """m is 1, 2 or 4 (2 by 2), n is 1 or 2, k is 1 (3 fits no axis): m * n is at most 4."""
    _, choices = choices_of()
    spatial = choices.by_level[GLB].spatial
    assert sorted(map(tuple, spatial.factors.tolist())) == [(1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1), (4, 1, 1)]
    assert spatial.lanes.tolist() == spatial.factors.prod(axis=1).tolist()
    ways = dict(zip(map(tuple, spatial.factors.tolist()), spatial.ways.tolist(), strict=True))
    assert ways == {(1, 1, 1): 1, (2, 1, 1): 2, (1, 2, 1): 2, (4, 1, 1): 1, (2, 2, 1): 2}, "a 2 lies along x or y"
    assert choices.by_level[DRAM].spatial.factors.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("extra", ["", CONSTRAINED])
def test_ways_from_the_point_count_all_factorizations(extra: str) -> None:
    """Walking all levels from the innermost tile, the ways add up to the factorizations of each rank."""
    space, choices = choices_of(extra)
    for rank, factors in enumerate(space.ranks):
        ways = np.array([1.0, *[0.0] * (len(divisors(factors.size)) - 1)])
        for level in (RF, GLB, DRAM):
            after = np.zeros_like(ways)
            index = {d: i for i, d in enumerate(divisors(factors.size))}
            groups = {group.temporal: group for group in factors.factors.groups if group.level == level}
            for d, i in index.items():
                for larger, j in index.items():
                    for spatial in divisors(larger // d) if larger % d == 0 else ():
                        splits = len(list(groups[False].splits(spatial))) if False in groups else spatial == 1
                        temporal = larger // d // spatial
                        allowed = groups[True].allows(temporal) if True in groups else temporal == 1
                        fits = groups[False].allows(spatial) if False in groups else True
                        after[j] += ways[i] * splits * allowed * fits
            outside = choices.by_level[level].ways_outside[rank]
            assert float(after @ outside) == factors.factors.count, (factors.rank, level)
            ways = after


def test_of_the_ways_on_a_priced_mesh_only_those_are_kept_that_nothing_beats() -> None:
    """2 by 2 lanes, words enter half a hop from either row.

    m = 2: along y, A[m,k] makes 1/2 hop, B[k,n] 1, Z[m,n] 1/2; along x 1, 2 and 1. m, n = 2, 2: with m along x A makes 1.5 and
    B 2, with n there the other way round; Z 1 in both.
    """
    space, choices = choices_of()
    spatial = choices.by_level[GLB].spatial
    kept = {tuple(f): len(ways) for f, ways in zip(spatial.factors.tolist(), spatial.splits, strict=True)}
    assert kept == {(1, 1, 1): 1, (2, 1, 1): 1, (1, 2, 1): 1, (4, 1, 1): 1, (2, 2, 1): 2}
    hops = dict(zip(kept, spatial.hops.T.tolist(), strict=True))
    order = [[tensor.name for tensor in space.design.einsum.tensors].index(name) for name in "ABZ"]
    assert [hops[2, 1, 1][t] for t in order] == [0.5, 1, 0.5]
    assert [hops[2, 2, 1][t] for t in order] == [1.5, 1.5, 1]


def test_a_way_that_is_longer_for_one_tensor_only_is_kept_where_another_tensor_gains() -> None:
    assert best_ways(np.array([[3.0, 1.0, 2.0, 1.0], [1.0, 3.0, 3.0, 3.0]])) == [0, 1]
