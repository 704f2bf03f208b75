"""Mapspaces: counted, drawn, listed, asked for members and neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.mapper.space.factorizations import Factorizations, SlotGroup, padded_sizes
from sparseloop.mapper.space.loop_orders import level_order, order_classes
from sparseloop.mapper.space.members import mapping_key
from sparseloop.model.design.mapping import MappingBatch
from tests.helpers.tiny_spaces import CONSTRAINED, FIXED, SPARSE, TINY, brute_size, spec_of

KEEP = ("energy_pj", "cycles", "status")
VERY_TINY = (
    FIXED.replace("order: k ... ,", "order: k m n, ")
    .replace("GLB: {", "GLB: {order: k m n, ")
    .replace("RF: {", "RF: {order: n m k, ")
)


@pytest.mark.parametrize("extra", ["", FIXED, CONSTRAINED, VERY_TINY])
def test_the_size_is_that_of_an_enumeration_from_first_principles(extra: str) -> None:
    spec = spec_of(extra)
    assert sl.mapspace(spec).size == brute_size(spec)


@pytest.mark.parametrize("extra", [FIXED, CONSTRAINED])
def test_everything_listed_is_a_member_once(extra: str) -> None:
    space = sl.mapspace(spec_of(extra))
    assert sum(len(batch) for batch in space.chunks(size=100)) == space.size
    found = list(islice(space.enumerate(), 3000))
    assert all(mapping in space for mapping in found)
    assert len(set(found)) == len(found)


def test_samples_are_members_and_uniform() -> None:
    """Chi-square over a space of few mappings: the statistic of k cells is about k - 1."""
    space = sl.mapspace(spec_of(VERY_TINY))
    numbers = {mapping: i for i, mapping in enumerate(space.enumerate())}
    count = 60 * space.size
    batch = space.sample(count, seed=3)
    drawn = np.bincount([numbers[batch[i]] for i in range(len(batch))], minlength=space.size)
    cells = space.size
    chi2 = float(((drawn - count / cells) ** 2 / (count / cells)).sum())
    assert abs(chi2 - (cells - 1)) < 5 * np.sqrt(2 * (cells - 1))


def test_samples_with_many_templates_are_uniform_over_orders_and_bypasses() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    batch = space.sample(4000, seed=1, templates=None)
    assert all(batch[i] in space for i in range(0, 4000, 37))
    kept = sum("B" in batch[i].nest.keep[1] for i in range(4000))
    assert abs(kept - 2000) < 5 * np.sqrt(1000)


def test_the_same_seed_draws_the_same_sample() -> None:
    space = sl.mapspace(spec_of())
    one, same, other = (space.sample(50, seed=seed) for seed in (1, 1, 2))
    assert [one[i] for i in range(50)] == [same[i] for i in range(50)] != [other[i] for i in range(50)]


@pytest.mark.parametrize("extra", ["", SPARSE])
def test_a_sample_of_many_templates_equals_its_mappings_one_by_one(extra: str) -> None:
    spec = spec_of(extra)
    batch = sl.mapspace(spec).sample(40, seed=5)
    assert len(batch) == 40
    columns = sl.evaluate(spec, batch, keep=KEEP)
    assert columns["status"].dtype == np.int64
    for i in range(40):
        result = sl.evaluate(spec, batch[i])
        assert columns["energy_pj"][i] == pytest.approx(result.energy_pj, rel=1e-12)
        assert columns["cycles"][i] == pytest.approx(result.cycles, rel=1e-12)
        assert columns["status"][i] == result.status
    with pytest.raises(IndexError):
        batch[40]


def test_neighbours_are_other_members_one_step_away() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    start = space.sample(1, seed=2)[0]
    near = space.neighbours(start)
    found = [near[i] for i in range(len(near))]
    assert len(found) > 3
    assert all(mapping in space for mapping in found)
    keys = {mapping_key(mapping) for mapping in found}
    assert mapping_key(start) not in keys
    assert len(keys) == len(found)


def test_what_breaks_a_constraint_is_no_member() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    member = space.sample(1, seed=0)[0]
    assert member in space
    assert "mapping" not in space
    assert replace(member, bounds=tuple(2 * n for n in member.bounds)) not in space
    nothing = replace(member.nest, keep=tuple(frozenset[str]() for _ in member.nest.keep))
    assert replace(member, nest=nothing) not in space
    fresh = replace(member.nest, no_temporal_reuse=frozenset({(1, "A")}))
    assert replace(member, nest=fresh) not in space
    with pytest.raises(ValueError, match="no member"):
        space.neighbours(replace(member, nest=nothing))


def test_loops_of_bound_1_do_not_matter_for_membership() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    member = space.sample(1, seed=0)[0]
    real = [i for i, bound in enumerate(member.bounds) if bound > 1]
    nest = replace(member.nest, loops=tuple(member.nest.loops[i] for i in real))
    assert sl.Mapping(nest=nest, bounds=tuple(member.bounds[i] for i in real)) in space


# --- classes of orders --------------------------------------------------------------------------------------

A, B, Z = frozenset("mk"), frozenset("kn"), frozenset("mn")
CONV = tuple(map(frozenset, ("ncpqrs", "mcrs", "nmpq")))


def test_orders_per_level_fall_into_the_classes_counted_by_hand() -> None:
    """GEMM 6 to 3, convolution 5040 to 15."""
    gemm = order_classes(level_order(None, "mnk"), "mnk", (A, B, Z))
    assert gemm.count(0b111) == 3
    convolution = order_classes(level_order(None, "nmcpqrs"), "nmcpqrs", CONV)
    assert convolution.count(0b1111111) == 15
    assert gemm.count(0b001) == 1
    fixed = order_classes(level_order("m n k", "mnk"), "mnk", (A, B, Z))
    assert [fixed.count(loops) for loops in range(8)] == [1] * 8


@pytest.mark.parametrize("text", [None, "k ...", "... m", "n ... k", "k m n"])
def test_the_library_represents_every_class_once(text: str | None) -> None:
    found = order_classes(level_order(text, "mnkl"), "mnkl", (A, B, frozenset("lm")))
    owned = [(loops, found.signature([found.ranks.index(r) for r in reversed(order) if loops >> found.ranks.index(r) & 1]))
             for order, sets in found.library() for loops in sets]  # fmt: skip
    assert len(owned) == len(set(owned)) == sum(map(len, found.representatives.values()))
    for order, sets in found.library():
        for loops in sets:
            assert found.order.allows([r for r in order if loops >> found.ranks.index(r) & 1])


def costs_of(spec: sl.Spec, batches: Iterable[MappingBatch]) -> set[tuple[str, str, int]]:
    found: set[tuple[str, str, int]] = set()
    for batch in batches:
        columns = sl.evaluate(spec, batch, keep=KEEP)
        found |= {(f"{e:.9g}", f"{c:.9g}", int(s)) for e, c, s in zip(*columns.values(), strict=True)}
    return found


@pytest.mark.parametrize("extra", [FIXED, FIXED + SPARSE, CONSTRAINED])
def test_mappings_of_one_class_cost_the_same(extra: str) -> None:
    """The set of costs of all mappings is that of the representatives, and there are `distinct_size` of these."""
    spec = spec_of(extra)
    space = sl.mapspace(spec)
    assert space.exact_classes
    few = list(space.distinct_chunks())
    assert sum(map(len, few)) == space.distinct_size < space.size
    assert costs_of(spec, few) == costs_of(spec, space.chunks())


def test_orders_of_one_class_differ_where_features_look_at_blocks() -> None:
    text = (TINY + FIXED + SPARSE).replace("capacity: 20 words", "capacity: 20 words, block_size: 2").replace("n: 2", "n: 4")
    spec = sl.loads(text)
    space = sl.mapspace(spec)
    assert not space.exact_classes
    assert costs_of(spec, space.distinct_chunks()) < costs_of(spec, space.chunks())


# --- factors ------------------------------------------------------------------------------------------------


def test_factorizations_are_numbered_without_gaps() -> None:
    groups = (
        SlotGroup(level=0, temporal=True, limits=(None,)),
        SlotGroup(level=0, temporal=False, limits=(4, 3), high=6),
        SlotGroup(level=1, temporal=True, limits=(None,), low=2),
    )
    space = Factorizations(sizes=(24,), groups=groups)
    every = space.numbered(np.arange(space.count))
    assert (every.prod(axis=0) == 24).all()
    assert len({tuple(column) for column in every.T}) == space.count
    assert space.legal(every).all()
    brute = [(a, x, y, b) for a in range(1, 25) for x in range(1, 5) for y in range(1, 4) for b in range(2, 25)
             if a * x * y * b == 24 and x * y <= 6]  # fmt: skip
    assert sorted(map(tuple, every.T.tolist())) == sorted(brute)


def test_large_ranks_are_drawn_without_a_table() -> None:
    groups = tuple(SlotGroup(level=i, temporal=True, limits=(None,)) for i in range(9))
    space = Factorizations(sizes=(2**10 * 3**5,), groups=groups)
    assert space.count > 1 << 16
    drawn = space.drawn(500, np.random.default_rng(0))
    assert space.legal(drawn).all()
    assert len({tuple(column) for column in drawn.T}) > 450


def test_padded_sizes_use_the_lanes_in_the_fewest_passes() -> None:
    assert padded_sizes(13, (14,)) == (13,)
    assert padded_sizes(17, (16,)) == (17, 18)
    assert padded_sizes(100, (16, 14)) == (100, 104, 105)


def test_padded_mappings_are_imperfect_and_evaluate() -> None:
    text = FIXED.replace("constraints: {", "constraints: {par: {factors: {n: 1, k: 1}}, ")
    spec = sl.loads(spec_text(text).replace("m: 4", "m: 5"))
    plain, padded = sl.mapspace(spec), sl.mapspace(spec, padded=True)
    assert padded.size > plain.size
    batch = padded.sample(60, seed=1)
    columns = sl.evaluate(spec, batch, keep=KEEP)
    imperfect = 0
    for i in range(0, 60, 3):
        mapping = batch[i]
        assert mapping in padded
        assert (mapping in plain) == (mapping.residuals is None)
        imperfect += mapping.residuals is not None
        result = sl.evaluate(spec, mapping)
        assert columns["energy_pj"][i] == pytest.approx(result.energy_pj, rel=1e-12)
        assert columns["status"][i] == result.status
    assert imperfect > 3


def spec_text(extra: str) -> str:
    return sl.dumps(spec_of(extra))


def test_constraints_that_contradict_each_other_leave_nothing() -> None:
    space = sl.mapspace(spec_of("constraints: {RF: {factors: {k: 2}}}\n"))
    assert space.size == 0
    assert space.distinct_size == 0
    assert list(space.enumerate()) == []
    with pytest.raises(ValueError, match="empty"):
        space.sample(1)


def test_parallelism_and_utilization_are_validity() -> None:
    spec = spec_of("constraints: {par: {min_parallelism: 1.0}, GLB: {min_utilization: 0.9}}\n")
    space = sl.mapspace(spec)
    batch = space.sample(2000, seed=0)
    wanted = space.columns(batch, ("status",))["status"]
    plain = sl.evaluate(spec, batch, keep=("status",))["status"]
    assert ((plain & sl.Status.UNDER_UTILIZED) == 0).all()
    under = (wanted & sl.Status.UNDER_UTILIZED) != 0
    assert 0 < under.sum() < len(under)
    full = [np.prod([b for loop, b in zip(m.nest.loops, m.bounds, strict=True) if loop.spatial]) >= 4
            for m in (batch[int(i)] for i in np.flatnonzero(~under))]  # fmt: skip
    assert all(full)


@pytest.mark.parametrize(("split", "along"), [(0, "y"), (3, "x")])
def test_a_split_decides_the_axis(split: int, along: str) -> None:
    space = sl.mapspace(spec_of(f"constraints: {{par: {{split: {split}}}}}\n"))
    assert {loop.axis for loop in space.loops if loop.spatial} == {along}
