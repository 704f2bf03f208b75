"""Conditions of gating and skipping, and what they leave of the events, by hand."""

from __future__ import annotations

import math

import pytest

from sparseloop.model.design.sparse import Sparse
from sparseloop.model.plan import LinkEnds, Plan
from sparseloop.model.sparsity.emptiness import NONE, Emptiness, tile_condition
from sparseloop.model.sparsity.events import EventParts
from sparseloop.model.sparsity.features import (
    SafConditions,
    access_events,
    compute_events,
    compute_leaders,
    earlier_leaders,
    fill_events,
    least_survival,
    link_leaders,
    skipped_at_compute,
)
from sparseloop.model.sparsity.timeloop_packing import positions_taken
from sparseloop.model.traffic.tiles import Tiles
from tests.helpers.plans import link, planned
from tests.helpers.walks import conv1d, fmt, matmul, saf

A, B, Z = range(3)


def conditions(loops: str, keep: str, *safs, formats=None, levels=(), problem=None, **options) -> SafConditions:
    problem = problem or matmul(m=2, n=2, k=4)
    densities = options.pop("densities", {"A": 0.25, "B": 0.5})
    sparse = Sparse(formats=formats or {}, safs=safs, **options)
    plan, mapping = planned(problem, loops, keep, sparse=sparse, levels=levels, **densities)
    tiles = Tiles(plan, mapping.bounds)
    return SafConditions(tiles, Emptiness(tiles), frozenset(safs))


def split(events: EventParts) -> tuple[float, float, float, float]:
    return events.actual, events.gated, events.skipped, events.absent


def accesses(safs: SafConditions, level: int, tensor: str, count: float = 100.0) -> EventParts:
    one = link(safs.plan, level, tensor)
    return access_events(count, safs.emptiness, safs.conditions(one), one.compressed, False)


def fills(safs: SafConditions, level: int, tensor: str, count: float = 100.0) -> EventParts:
    one = link(safs.plan, level, tensor)
    return fill_events(count, safs.emptiness, safs.conditions(one), one.child_compressed, False)


def some(total: int, full: int, size: int) -> float:
    return 1 - math.comb(total - size, full) / math.comb(total, full)


# --- what a condition looks at ------------------------------------------------------------------------------


def test_a_skip_at_the_compute_level_looks_at_one_element() -> None:
    safs = conditions("m2 n2 k4", "ABZ", saf("skip", 0, "A", "B"))
    only = link(safs.plan, 0, "A")
    assert safs.conditions(only).local == {tile_condition(safs.tiles, B, safs.tiles.point)}
    assert safs.conditions(link(safs.plan, 0, "B")).local == NONE


def test_a_skip_of_tiles_looks_at_all_that_the_tile_meets_while_it_stays() -> None:
    """A's tile (k4) stays over n, inside m: the leader B is looked at under k and n, 8 words."""
    safs = conditions("m2 n2|k4", "ABZ|ABZ", saf("skip", 0, "A", "B"))
    ((tensor, cover),) = safs.conditions(link(safs.plan, 0, "A")).local
    assert (tensor, safs.tiles.size(B, cover)) == (B, 8)


def test_a_shared_access_looks_at_all_lanes_a_spatial_skip_at_one() -> None:
    """A is multicast to the 2 lanes of n: one read serves both; lane by lane, each has its own column of B."""
    for kind, size in (("skip", 8), ("spatial_skip", 4)):
        safs = conditions("m2 n2x|k4", "ABZ|ABZ", saf(kind, 0, "A", "B"))
        ((_, cover),) = safs.conditions(link(safs.plan, 0, "A")).local
        assert safs.tiles.size(B, cover) == size


def test_a_spatial_skip_in_timeloops_reading_looks_at_the_leaders_with_a_format() -> None:
    """Of two leaders the one without a format is not looked at, and does not stop the other."""
    skip = saf("spatial_skip", 0, "Z", "A", "B")
    for formats, leaders in (({}, []), ({(0, "A"): fmt("UB")}, [A]), ({(0, "A"): fmt("UB"), (0, "B"): fmt("UB")}, [A, B])):
        safs = conditions("m2 n2x|k4", "ABZ|ABZ", skip, formats=formats, timeloop_reading=True)
        assert sorted(t for t, _ in safs.conditions(link(safs.plan, 0, "Z")).local) == leaders


def test_one_instance_is_taken_even_where_a_leader_is_empty() -> None:
    """Timeloop's reading: of 4 positions at most max(k) are active; without a non-zero there is one all the same."""
    skip, sparse = saf("spatial_skip", 0, "B", "A"), {"formats": {(0, "A"): fmt("UB")}, "timeloop_reading": True}
    for density, taken in ((0.0, 1 / 4), (0.5, 2 / 4)):
        safs = conditions("m4x|", "ABZ|ABZ", skip, problem=matmul(m=4, n=1, k=1), densities={"A": density}, **sparse)
        assert positions_taken(safs, 0) == taken


def test_a_block_is_read_if_any_of_its_words_is_needed() -> None:
    """Blocks of 2 words of A along k: a read is needed if one of 2 words of B is."""
    safs = conditions("m2 n2 k4", "ABZ", saf("skip", 0, "A", "B"), levels=({"block_size": 2},))
    ((_, cover),) = safs.conditions(link(safs.plan, 0, "A")).local
    assert safs.tiles.size(B, cover) == 2


# --- what is left of events ---------------------------------------------------------------------------------


def test_skips_remove_and_gates_idle() -> None:
    """B has 4 non-zeros among 8 words: half of A's accesses meet a zero."""
    assert split(accesses(conditions("m2 n2 k4", "ABZ", saf("skip", 0, "A", "B")), 0, "A")) == (50, 0, 50, 0)
    assert split(accesses(conditions("m2 n2 k4", "ABZ", saf("gate", 0, "A", "B")), 0, "A")) == (50, 50, 0, 0)


def test_words_that_are_not_stored_never_come_up() -> None:
    """A holds 2 non-zeros among 8 words."""
    safs = conditions("m2 n2 k4", "ABZ", formats={(0, "A"): fmt("CP")})
    assert split(accesses(safs, 0, "A")) == (25, 0, 0, 75)


def test_an_outer_skip_makes_inner_events_absent() -> None:
    """What was skipped on the way to level 1 does not arrive: seen there, its accesses are absent."""
    safs = conditions("m2 n2|k4", "ABZ|ABZ", saf("skip", 0, "A", "B"))
    left = some(8, 4, 8)
    assert split(accesses(safs, 0, "A")) == pytest.approx((100 * left, 0, 100 * (1 - left), 0))
    safs = conditions("n2 m2|k4", "ABZ|ABZ", saf("skip", 0, "A", "B"))
    left = some(8, 4, 4)
    assert split(accesses(safs, 0, "A")) == pytest.approx((100 * left, 0, 100 * (1 - left), 0))
    assert split(fills(safs, 0, "A")) == pytest.approx((100 * left, 0, 100 * (1 - left), 0))
    assert split(accesses(safs, 1, "A")) == pytest.approx((100 * left, 0, 0, 100 * (1 - left)))


def test_computes_need_what_every_operand_needs() -> None:
    safs = conditions("m2 n2 k4", "ABZ", saf("skip", 0, "A", "B"), saf("gate", 0, "B", "A"))
    assert split(compute_events(safs, 100.0)) == pytest.approx((12.5, 37.5, 50, 0))
    assert skipped_at_compute(safs, 100.0) == 0
    safs = conditions("m2 n2 k4", "ABZ", saf("skip", 0, "A", "B"), compute_skip=True, formats={(0, "A"): fmt("CP")})
    assert split(compute_events(safs, 100.0)) == pytest.approx((12.5, 0, 87.5, 0))
    assert skipped_at_compute(safs, 100.0) == pytest.approx(50 - 12.5)


def test_accesses_for_skipped_computes_do_not_happen() -> None:
    """B inherits the skip of A at the compute level, unless files of Timeloop are read literally."""
    skip = saf("skip", 0, "A", "B")
    assert split(accesses(conditions("m2 n2 k4", "ABZ", skip), 0, "B")) == (50, 0, 0, 50)
    assert split(accesses(conditions("m2 n2 k4", "ABZ", skip, implied_skips=False), 0, "B")) == (100, 0, 0, 0)


def test_windows_of_a_convolution() -> None:
    """p6 with a tile of 1 + r3 inside: a word stays 1, 2 or 3 steps; of 8 words two stay 1, two stay 2, four stay 3."""
    safs = conditions("p6|r3", "WIO|WIO", saf("skip", 0, "I", "W"), problem=conv1d(r=3, p=6), densities={"W": 0.5})
    windows = safs.windows(link(safs.plan, 0, "I"))
    assert windows == []  # W does not change along p: no leader notices how long a word stays
    safs = conditions("p6|r3", "WIO|WIO", saf("skip", 0, "I", "O"), problem=conv1d(r=3, p=6), densities={"O": 0.5})
    windows = safs.windows(link(safs.plan, 0, "I"))
    assert [w.delivered for w in windows] == pytest.approx([2 / 8, 2 / 8, 4 / 8])
    assert [w.used for w in windows] == pytest.approx([2 / 18, 4 / 18, 12 / 18])


# --- bounds -------------------------------------------------------------------------------------------------


def ends(plan: Plan, tensor: int, parent: int, child: int) -> LinkEnds:
    return LinkEnds(einsum=plan.einsum, arch=plan.arch, sparse=plan.sparse, tensor=tensor, parent=parent, child=child)


def test_leaders_of_links_and_computes() -> None:
    sparse = (saf("skip", 0, "A", "B"), saf("gate", 1, "B", "A"), saf("gate", 1, "Z", "A", "B"))
    plan = conditions("m2 n2|k4", "ABZ|ABZ", *sparse).plan
    assert (link_leaders(ends(plan, A, 0, 1)).all, link_leaders(ends(plan, A, 0, 1)).timed) == ({B}, {B})
    assert link_leaders(ends(plan, B, 0, 1)).all == frozenset()
    at_compute = link_leaders(ends(plan, B, 1, 2))
    assert (at_compute.all, at_compute.timed) == ({A, B}, {B})  # its own gate by A, and the skip that A has
    computes = compute_leaders(plan.einsum, plan.sparse)
    assert (computes.all, computes.timed) == ({A, B}, {B})
    assert earlier_leaders(ends(plan, A, 1, 2)) == {B}
    assert earlier_leaders(ends(plan, A, 0, 1)) == frozenset()


def test_least_shares_of_stored_words() -> None:
    formats = {(0, "A"): fmt("CP"), (1, "A"): fmt("CP")}
    plan = conditions("m2 n2|k4", "ABZ|ABZ", saf("skip", 0, "A", "A", "B"), formats=formats).plan
    left = least_survival(ends(plan, A, 0, 1))
    assert (left.stored, left.arriving) == (0.25, 0.25)
    assert left.leaders.all == {B}  # where the word is not zero, no tile of A that contains it is empty
    assert least_survival(ends(plan, B, 0, 1)).stored == 1
