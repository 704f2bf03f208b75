"""Tables of tiles and the bounds of links, by hand; `tests/property/test_optimal.py` tries them on real mappings."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.mapper.optimal.incumbent import Incumbent
from sparseloop.mapper.optimal.lower_bounds import Crossing, LowerBounds
from sparseloop.mapper.optimal.tile_table import TileTable
from sparseloop.mapper.space.factorizations import divisors
from sparseloop.mapper.task import SearchTally

SPEC = """\
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 4, n: 2, k: 6}, density: {A: 0.25, B: 0.5}}
architecture:
  node: 45nm
  levels:
    - name: DRAM
      class: dram
      bandwidth: 4
      block_size: 2
      metadata: {word_bits: 4, access_bits: 8}
      energy: {read: 10, write: 20, leak: 3, address_generation: 0, metadata_read: 6}
    - name: GLB
      class: sram
      capacity: 12 words
      energy: {read: 2, write: 4, leak: 0, address_generation: 1, reduction: 8, decompress: 16, intersect: 32}
    - {fanout: {x: 4}}
    - {name: MAC, class: mac, energy: {compute: 5, leak: 0}}
"""
A, B, Z = range(3)


def bounds_of(sparse: str = "", keep: tuple[str, str] = ("ABZ", "ABZ")) -> LowerBounds:
    space = sl.mapspace(sl.loads(SPEC + sparse))
    ranks = {r.rank: r.size for r in space.ranks}
    table = TileTable(space.design, list(ranks), list(ranks.values()), [divisors(n) for n in ranks.values()])
    return LowerBounds(space, table, tuple(frozenset(names) for names in keep))


def crossing(bounds: LowerBounds, tensor: int, child: int) -> Crossing:
    (found,) = [c for of_level in bounds.crossings for c in of_level if (c.tensor, c.child) == (tensor, child)]
    return found


# --- tiles --------------------------------------------------------------------------------------------------


def test_tiles_are_numbered_by_their_extents() -> None:
    table = bounds_of().tiles
    assert table.ranks == ("m", "n", "k")
    assert table.count == 3 * 2 * 4
    tile = table.code(np.array([[2], [1], [3]]))
    assert tile.tolist() == [1 * 8 + 0 * 4 + 2]
    np.testing.assert_array_equal(table.extents[:, tile[0]], [2, 1, 3])
    assert [float(table.size(t)[tile[0]]) for t in (A, B, Z)] == [6, 3, 2]


def test_the_least_of_all_tiles_around_a_tile() -> None:
    """k = 2 lies in tiles of 2 and 6 but not of 3."""
    table = bounds_of().tiles
    values = np.full(table.count, 9.0)
    around = {(4, 2, 3): 1.0, (4, 2, 6): 2.0, (1, 1, 2): 0.5}
    for extents, value in around.items():
        values[table.code(np.array(extents)[:, None])] = value

    def least(*extents: int) -> float:
        return float(table.least_around(values)[table.code(np.array(extents)[:, None])][0])

    assert least(1, 1, 2) == 0.5
    assert least(2, 1, 2) == 2.0
    assert least(1, 1, 3) == 1.0
    assert least(4, 2, 6) == 2.0


def test_words_that_fit() -> None:
    """12 words: of 4 x 2 x k, A takes 4 k, B 2 k and Z 8; with A as a list, its 6 non-zeros at most."""
    fits = bounds_of().fits(1)
    table = bounds_of().tiles

    def number(*extents: int) -> int:
        return int(table.code(np.array(extents)[:, None])[0])

    assert not fits[number(4, 2, 1)]  # 4 + 2 + 8
    assert fits[number(2, 2, 2)]  # 4 + 4 + 4
    assert not fits[number(2, 2, 3)]  # 6 + 6 + 4
    assert fits[number(2, 1, 3)]  # 6 + 3 + 2
    assert not fits[number(4, 1, 2)]  # 8 + 2 + 4
    assert bounds_of("sparse: {GLB: {formats: {A: CP}}}\n").fits(1)[number(4, 1, 2)]  # A has no more than 6
    assert bounds_of(keep=("ABZ", "A")).fits(1)[number(2, 2, 6)]


def test_shares_of_non_empty_tiles() -> None:
    """A has 6 non-zeros among 24."""
    table = bounds_of().tiles
    tile = int(table.code(np.array([[2], [1], [1]]))[0])
    assert table.nonempty([A])[tile] == pytest.approx(1 - (18 * 17) / (24 * 23))
    assert table.design.einsum.least_nonzero([A]) == 0.25


def test_shares_of_known_patterns_are_counted_and_not_multiplied() -> None:
    """Of the tiles of 2x3 of the diagonal A three of four have a word, of B's of 3x2 one of two: both in a quarter at least."""
    diagonal = "{model: banded, half_width: 0}"
    spec = sl.loads(SPEC.replace("{A: 0.25, B: 0.5}", f"{{A: {diagonal}, B: {diagonal}}}"))
    space = sl.mapspace(spec)
    ranks = {r.rank: r.size for r in space.ranks}
    table = TileTable(space.design, list(ranks), list(ranks.values()), [divisors(n) for n in ranks.values()])
    tile = int(table.code(np.array([[2], [2], [3]]))[0])
    assert [float(table.nonempty(some)[tile]) for some in ([A], [B], [A, B])] == [0.75, 0.5, 0.25]
    einsum = table.design.einsum
    assert [einsum.least_nonzero(some) for some in ([A], [B], [A, B])] == pytest.approx([1 / 6, 1 / 6, 0.0])
    assert [einsum.least_beside(A, some) for some in ([A], [B])] == pytest.approx([1 / 6, 0.0])


# --- links --------------------------------------------------------------------------------------------------


def test_prices_of_a_dense_link() -> None:
    """A read of DRAM: 10 pJ for a block of 2 words. A fill of GLB: 4 pJ and an address of 1 pJ."""
    a = crossing(bounds_of(), A, 1)
    assert (a.reads, a.updates, a.fills, a.entries, a.comparisons) == (5, 0, 5, 0, 0)
    assert (a.leaders, a.read_words, a.fill_words, a.whole) == ((), 1, 1, 24)
    z = crossing(bounds_of(), Z, 1)
    assert (z.updates, z.fills) == (10, 5)
    inner = crossing(bounds_of(), Z, 2)
    assert (inner.updates, inner.reads) == (4 + 1, 2)  # the compute unit adds what it is given: no reduction at the GLB
    assert inner.sharing * inner.spread == 1  # spatial loops right at its own level are known with it


def test_prices_of_compressed_words() -> None:
    """Lists in DRAM, plain words in GLB: a quarter is read, each with 4 of 8 bits for 6 pJ; a decompressor writes all."""
    a = crossing(bounds_of("sparse: {DRAM: {formats: {A: CP}}}\n"), A, 1)
    assert (a.reads, a.fills) == ((5 + 3) / 4, 4 + 1 + 16)
    assert (a.read_words, a.fill_words) == (0.25, 1)


def test_conditions_of_a_link() -> None:
    bounds = bounds_of("sparse: {DRAM: {formats: {B: bitmask}}, GLB: {formats: {B: bitmask}, skip: [A <- B], gate: [B <- A]}}\n")
    a, b = crossing(bounds, A, 2), crossing(bounds, B, 2)
    assert (a.leaders, a.timed_leaders) == ((B,), (B,))
    assert (b.leaders, b.timed_leaders) == ((A,), ())  # its gate; words of B that are stored meet the skip that A has
    assert a.comparisons == 32
    assert bounds.compute_energy == 48 * 5 * 0.25 * 0.5
    assert bounds.busy == 0.5


def test_totals_of_nothing() -> None:
    """48 computes of 5 pJ on 4 lanes: 12 cycles, in which DRAM leaks 3 pJ each."""
    energy, cycles = bounds_of().floor(np.zeros(1), np.zeros(1))
    assert cycles.tolist() == [12]
    assert energy.tolist() == [48 * 5 + 3 * 12]


def test_no_mapping_costs_less_than_the_totals_of_nothing() -> None:
    space = sl.mapspace(sl.loads(SPEC))
    energy, cycles = bounds_of().floor(np.zeros(1), np.zeros(1))
    columns = space.columns(space.sample(300, seed=1), ("energy_pj", "cycles", "status"))
    valid = columns["status"] == 0
    assert 10 < valid.sum() < 300
    assert columns["energy_pj"][valid].min() >= energy[0]
    assert columns["cycles"][valid].min() >= cycles[0]


def test_a_bound_of_no_cycles_says_nothing_on_the_terminal() -> None:
    task = sl.SearchOptions(method="optimal").task(sl.loads(SPEC))
    incumbent = Incumbent(SearchTally(task), True, True, {"area_um2": 1.0, "utilization": 1e12})
    with warnings.catch_warnings(action="error"):
        assert incumbent.score(np.array([3.0]), np.array([0.0])).tolist() == [0.0]
