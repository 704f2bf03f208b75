"""Which loops the ranks of a format take, by hand: A[m,k] at the outer of two levels."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.model.design.sparse import RankFormat, Sparse, TensorFormat
from sparseloop.model.formats.layout import Layout, lay_out
from sparseloop.model.traffic.tiles import Tiles
from tests.helpers.plans import link, planned
from tests.helpers.walks import fmt, matmul

PROBLEM = matmul(m=4, n=1, k=8)


def laid(loops: str, form: TensorFormat, bounds=None, child: TensorFormat | None = None) -> Layout:
    """The layout at level 0; a second level, if the loops have one, holds the tile."""
    keep = "|".join(["ABZ"] * (loops.count("|") + 1))
    formats = {(0, "A"): form} | ({(1, "A"): child} if child else {})
    plan, mapping = planned(PROBLEM, loops, keep, sparse=Sparse(formats=formats))
    tiles = Tiles(plan, mapping.bounds if bounds is None else bounds)
    outer = link(plan, 0, "A")
    inner = None if outer.to_compute else lay_out(tiles, link(plan, 1, "A"), None)
    found = lay_out(tiles, outer, inner)
    assert found is not None
    return found


def taken(layout: Layout, slot: int) -> list[int]:
    """The ranks that take a loop, in a batch of one mapping or without a batch."""
    return [r.rank for r in layout.ranks if np.all(r.masks.get(slot, False))]


def test_one_loop_a_rank() -> None:
    layout = laid("m4 k8", fmt("UOP", "CP"))
    assert (taken(layout, 0), taken(layout, 1)) == ([0], [1])
    assert layout.leftover is False


def test_loops_left_over_repeat_the_outermost_format() -> None:
    layout = laid("m4 k2 k4", fmt("UOP", "CP"))
    assert [taken(layout, s) for s in range(3)] == [[0], [0], [1]]
    assert not layout.leftover


def test_without_repetition_loops_are_left_over() -> None:
    assert laid("m4 k2 k4", fmt("UOP", "CP", automatic=False)).leftover
    assert not laid("m4 k8", fmt("UOP", "CP", automatic=False)).leftover


def test_from_the_inside_out_the_outermost_ranks_stay_unused() -> None:
    layout = laid("k8", fmt("UOP", "CP", order="inner_to_outer"))
    assert taken(layout, 0) == [1]
    assert taken(laid("k8", fmt("UOP", "CP")), 0) == [0]


def test_loops_of_one_iteration_do_not_exist() -> None:
    """In the second mapping m has bound 1, so k takes the first rank."""
    layout = laid("m4 k8", fmt("UOP", "CP"), bounds=np.array([[4, 1], [8, 8]]))
    of_k = {r.rank: r.masks[1] for r in layout.ranks if 1 in r.masks}
    np.testing.assert_array_equal(of_k[0], [False, True])
    np.testing.assert_array_equal(of_k[1], [True, False])


def test_the_innermost_ranks_belong_to_the_tile_of_the_child() -> None:
    layout = laid("m4|k8", fmt("UOP", "CP"), child=fmt("CP"))
    assert taken(layout, 0) == [0]
    assert [(r.rank, r.inner) for r in layout.ranks if 1 in r.masks] == [(1, True)]
    assert not layout.mismatch


def test_a_child_without_a_format_is_one_rank() -> None:
    layout = laid("m4|k8", fmt("UOP", "CP"))
    (inner,) = [r for r in layout.ranks if r.inner]
    assert (inner.rank, inner.span, inner.slot) == (1, (1, 2), 1)


def test_formats_of_parent_and_child_must_end_alike() -> None:
    assert laid("m4|k8", fmt("UOP", "CP"), child=fmt("B")).mismatch
    assert not laid("m4 k8|k1", fmt("UOP", "CP"), child=fmt("B")).mismatch  # a tile of one word has no ranks


def test_a_flattened_rank_takes_consecutive_loops() -> None:
    """B(k) takes the loops over k together; the loop over m starts the other rank."""
    form = TensorFormat(ranks=(RankFormat(kind="UOP"), RankFormat(kind="B", groups=(("k",),))))
    layout = laid("m4 k2 k4", form)
    assert [taken(layout, s) for s in range(3)] == [[0], [1], [1]]
    everything = TensorFormat(ranks=(RankFormat(kind="B", groups=(("m", "k"),)),))
    (rank,) = laid("m4 k2 k4", everything).ranks
    assert rank.span == (0, 3)


def test_formats_without_compressed_ranks_take_the_loops_of_the_child_along() -> None:
    """UB: the loop over k at level 0 also takes the 4 positions of k inside the tile."""
    layout = laid("m4 k2|k4", fmt("UB", "UB"))
    assert [taken(layout, s) for s in (0, 1, 2)] == [[0], [1], [1]]
    assert layout.depth == 2


def test_a_rank_without_loops_keeps_its_place() -> None:
    inside, outside = laid("k8", fmt("UOP", "CP")), laid("k8", fmt("UOP", "CP", order="inner_to_outer"))
    assert [(r.rank, bool(r.bare)) for r in inside.ranks if not r.masks] == [(1, True)]
    assert [(r.rank, bool(r.bare)) for r in outside.ranks if not r.masks] == [(0, True)]
    grouped = TensorFormat(ranks=(RankFormat(kind="CP", groups=(("n",),)), RankFormat(kind="CP"), RankFormat(kind="CP")))
    assert [r.rank for r in laid("m4 k8", grouped).ranks if r.bare and not any(r.masks.values())] == [0]


def test_repetitions_at_an_inner_level_are_ranks_of_their_own_further_out() -> None:
    layout = laid("n1|m4 k8", fmt("UOP", "UOP", "CP"), child=fmt("UOP", "CP"))
    assert (taken(layout, 1), taken(layout, 2)) == ([1], [2])
    layout = laid("n1|m4 k2 k4", fmt("UOP", "UOP", "CP"), child=fmt("UOP", "CP"))
    assert [taken(layout, s) for s in (1, 2, 3)] == [[0], [1], [2]]
    assert laid("n1|m4 k2 k4", fmt("U", "UOP", "CP"), child=fmt("UOP", "CP")).mismatch


@pytest.mark.parametrize("kinds", [("U",), ("UOP",), ("UB",)])
def test_no_format_no_layout(kinds: tuple[str, ...]) -> None:
    plan, mapping = planned(PROBLEM, "m4 k8", "ABZ", sparse=Sparse(formats={(0, "B"): fmt(*kinds)}))
    assert lay_out(Tiles(plan, mapping.bounds), link(plan, 0, "A"), None) is None
