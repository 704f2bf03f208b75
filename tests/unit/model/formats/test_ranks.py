"""Units of ranks and the metadata of resident tiles, by hand: A[m,k] with 4 rows of 8 words, 8 non-zeros among the 32."""

from __future__ import annotations

import math

import pytest

from sparseloop.model.density import Uniform
from sparseloop.model.design.sparse import RankFormat, Sparse, TensorFormat
from sparseloop.model.formats.occupancy import TileWords, least_bits_counted
from sparseloop.model.formats.ranks import FormatRanks, LeastUnits, entry_bits, least_bits, least_costly_format, rank_units
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.sparsity.emptiness import NONE
from sparseloop.model.traffic.tiles import Tiles
from tests.helpers.plans import link, planned
from tests.helpers.walks import fmt, matmul

PROBLEM = matmul(m=4, n=1, k=8)
ROW = 1 - math.comb(24, 8) / math.comb(32, 8)
"""P(a row of 8 words holds one of the 8 non-zeros)."""


def resident(form: TensorFormat, loops: str = "m4 k8", density: float = 0.25):
    plan, mapping = planned(PROBLEM, loops, "ABZ", sparse=Sparse(formats={(0, "A"): form}), A=density)
    return evaluate_plan(plan, mapping.bounds).sparse.links[link(plan, 0, "A").index].resident


@pytest.mark.parametrize(
    ("kinds", "bits"),
    [
        (("CP",), 8 * (4 * ROW + 8)),  # both loops are CP: a coordinate per non-empty row, one per non-zero
        (("B",), 4 * 1 + 4 * ROW * 8),  # 4 bits for the rows, 8 for each non-empty one
        (("UOP", "CP"), 8 * 5 + 8 * 8),  # 4 + 1 offsets and 8 coordinates of 8 bits
        (("UOP", "B"), 8 * 5 + 4 * ROW * 8),
        (("U", "CP"), 8 * 8),
        (("UB", "UB"), 4 + 32 + 8 * 4),  # a bit per position, a payload of 8 bits per row
        (("U", "U"), 0),
    ],
)
def test_expected_metadata_of_a_tile(kinds: tuple[str, ...], bits: float) -> None:
    tile = resident(fmt(*kinds))
    found = float(tile.metadata_bits)
    if kinds == ("CP",):  # the payload of a row's coordinate is the list below
        found -= 8 * 4 * ROW
    if kinds == ("B",):
        found -= 8 * 4 * ROW
    assert found == pytest.approx(bits)


@pytest.mark.parametrize(
    ("kinds", "bits"),
    [
        (("UOP", "CP"), 8 * 9 + 8 * 2),  # 8 + 1 offsets, and 2 coordinates of lists of one element
        (("UOP", "B"), 8 * 9 + 2),
        (("CP", "UOP", "CP"), 8 * (2 * 2 + 2 * 2 + 2)),  # coordinate and offset of 2 words, 2 offsets and a coordinate for each
        (("UB", "UB"), 8 + 8 * 8 + 8),
    ],
)
def test_ranks_without_loops_have_fibers_of_one_element(kinds: tuple[str, ...], bits: float) -> None:
    """8 words, 2 of them non-zero."""
    plan, mapping = planned(matmul(m=1, n=1, k=8), "k8", "ABZ", sparse=Sparse(formats={(0, "A"): fmt(*kinds)}), A=0.25)
    tile = evaluate_plan(plan, mapping.bounds).sparse.links[link(plan, 0, "A").index].resident
    assert float(tile.metadata_bits) == pytest.approx(bits)


def test_metadata_at_worst() -> None:
    """8 non-zeros may lie in all 4 rows."""
    assert float(resident(fmt("UOP", "CP")).metadata_bits_worst) == 8 * 5 + 8 * 8
    assert float(resident(fmt("UOP", "B")).metadata_bits_worst) == 8 * 5 + 4 * 8
    assert float(resident(fmt("UOP", "B"), density=1 / 32).metadata_bits_worst) == 8 * 5 + 1 * 8


def test_conditions_of_positions_and_fibers() -> None:
    plan, mapping = planned(PROBLEM, "m4 k8", "ABZ", sparse=Sparse(formats={(0, "A"): fmt("UOP", "B")}), A=0.25)
    tiles = Tiles(plan, mapping.bounds)
    rows, words = [r for r in FormatRanks.of(tiles).at(link(plan, 0, "A")) if bool(r.there)]
    assert (rows.length, words.length) == (4, 8)
    assert [tiles.size(*c) for c in (rows.position, rows.fiber, words.position, words.fiber)] == [8, 32, 1, 8]
    assert rank_units(rows).entries is None
    offsets = rank_units(rows).payloads
    assert offsets is not None
    assert (offsets.per_position, offsets.exist) == (1 + 1 / 4, {rows.fiber})
    bits, data = rank_units(words)
    assert bits is not None
    assert (bits.per_position, bits.exist, data) == (1, {words.fiber}, None)
    assert FormatRanks.of(tiles) is FormatRanks.of(tiles)


def test_words_that_a_fit_test_counts() -> None:
    def words(rule: str | float, compressed: bool = True) -> TileWords:
        return TileWords(model=Uniform((32,), 0.25), size=16.0, average=16.0, sides=(16.0,), compressed=compressed, rule=rule)

    assert words("worst").counted == 8
    assert words("expected").counted == 4
    assert words(0.5).counted == 4
    assert words("worst", compressed=False).counted == 16


def test_widths_and_bounds() -> None:
    assert entry_bits(RankFormat(kind="B"), 8) == 1
    assert entry_bits(RankFormat(kind="CP"), 8) == 8
    assert entry_bits(RankFormat(kind="CP", metadata_bits=5), 8) == 5
    assert least_bits(fmt("CP"), 8) == (8, LeastUnits(per_word=1))
    assert least_bits(fmt("B"), 8) == (1, LeastUnits(per_word=1, zeros_too=True))
    assert least_bits(fmt("UOP", "CP"), 8) == least_bits(fmt("CP", "RLE"), 8) == (8, LeastUnits(per_word=1))
    assert least_bits(fmt("B", "B"), 8) == least_bits(fmt("CP", "B"), 8) == (1, LeastUnits(per_word=1))
    assert least_bits(fmt("CP", "UOP"), 8)[0] == least_bits(None, 8)[0] == 0
    assert least_bits(fmt("UOP", "CP"), 8, bare=False)[0] == 0
    assert least_bits(fmt("CP", "B"), 8, bare=False) == (1, LeastUnits(per_word=1))
    assert float(least_bits_counted(fmt("UOP", "CP"), (16.0, 8.0), 4.0, 8)) == 8 * 8 + 8 * 4, "8 coordinates, 4 fibers"
    assert float(least_bits_counted(fmt("UOP", "CP"), (16.0, 2.0), 1.0, 8)) == 2 * 8 + 8 * 4, "2 fibers of one offset and its end"
    assert float(least_bits_counted(fmt("CP", "B"), (16.0, 8.0), 4.0, 8)) == 8
    assert least_costly_format([None, fmt("U")], ("m", "k")) is None
    bare = least_costly_format([None, fmt("UOP", "CP")], ("m", "k"))
    assert bare is not None
    assert float(resident(bare).metadata_bits) == 0
    assert float(resident(bare).occupancy) == 8
    assert frozenset() == NONE
