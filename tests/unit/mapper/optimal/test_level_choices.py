"""The choices of a level, counted by hand on a tiny machine with a fanout of 2 by 2 below GLB."""

from __future__ import annotations

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.mapper.optimal.level_choices import LevelChoices, best_ways, metadata_fits
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.tile_table import TileTable
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


STORED = """\
workload: {{einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {{m: 8, n: 2, k: 12}}, density: {{A: {density}}}}}
architecture:
  levels:
    - {{name: DRAM, class: dram}}
    - {{name: GLB, class: sram, capacity: 4 KiB, capacity_rule: {rule}, metadata: {{word_bits: 4, capacity: {bits} b}}}}
    - {{fanout: {{x: 2, y: 2}}}}
    - {{name: RF, class: regfile, capacity: 1 KiB}}
    - {{name: MAC, class: mac}}
constraints:
  DRAM: {{order: n m k}}
  GLB: {{order: n {order}, keep: A, bypass: B Z}}
  RF: {{order: n {order}, keep: A B Z}}
sparse: {{GLB: {{formats: {{A: {list}}}}}, RF: {{formats: {{A: {list}}}}}}}
"""


@pytest.mark.parametrize("stored", ["UOP CP", "UOP UOP CP", "UOP B", "CP CP"])
@pytest.mark.parametrize(
    ("density", "rule", "order"), [("0.3", "worst", "m k"), ("2:4 k", "worst", "k m"), ("2x2 0.5", "0.9", "m k")]
)
def test_without_room_for_the_metadata_counted_at_least_no_mapping_fits(stored: str, density: str, rule: str, order: str) -> None:
    bits = 48 if stored in {"UOP B", "CP CP"} else 100
    space = sl.mapspace(sl.loads(STORED.format(list=stored, density=density, rule=rule, order=order, bits=bits)))
    sizes, names = [rank.size for rank in space.ranks], [rank.rank for rank in space.ranks]
    table = TileTable(space.design, names, sizes, [divisors(n) for n in sizes])
    refused = 0
    for batch in space.sample(2000, 1).parts:
        bounds = LowerBounds(space, table, batch.nest.keep)
        inner, outer = (np.ones((len(names), len(batch)), dtype=np.int64) for _ in range(2))
        for loop, bound in zip(batch.nest.loops, batch.bounds, strict=True):
            inner[names.index(loop.rank)] *= bound if loop.level >= RF else 1
            outer[names.index(loop.rank)] *= bound if loop.level >= GLB else 1
        fits = metadata_fits(bounds, GLB, table.code(inner), table.code(outer))
        refused += int((~fits).sum())
        assert (space.columns(batch, ("status",))["status"][~fits] != 0).all()
    assert refused > 10
