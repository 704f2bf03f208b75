"""Mapspaces: counted, drawn, listed, asked for members and neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
import pytest

import sparseloop as sl
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


def test_the_mapping_of_the_file_need_not_fit_what_is_searched() -> None:
    mapped = spec_of("mapping: [DRAM: for m=5 | keep Q]")
    assert sl.mapspace(mapped).size == sl.mapspace(spec_of("")).size
    with pytest.raises(sl.SpecError):
        sl.evaluate(mapped)


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


# --- classes of orders --------------------------------------------------------------------------------------


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


# --- padding, constraints -----------------------------------------------------------------------------------


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
    with pytest.raises(sl.SpecError, match="empty"):
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
