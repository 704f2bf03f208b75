"""One list of requirements: its rule by hand, and its views (flags, sentences, distances, pruning) against each other."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.evaluation.evaluate import evaluate_mapping
from sparseloop.evaluation.tracing import traced_cost, value_of
from sparseloop.mapper.infeasibility import overshoot
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.tile_table import TileTable
from sparseloop.mapper.space.factorizations import divisors
from sparseloop.model.cost.requirements import FLAGS, TOLERANCE, Demand, Kind, Requirement, data_requirements, status_of
from sparseloop.model.design.arch import Level
from sparseloop.model.status import Status
from tests.helpers.samples import MATMUL
from tests.helpers.tiny_spaces import SPARSE, spec_of


def test_every_kind_has_a_flag() -> None:
    assert set(FLAGS) == set(get_args(Kind))


def test_needs_may_exceed_by_rounding_errors_alone() -> None:
    needed = 100.0 * np.array([1.0, 1 + 0.5 * TOLERANCE, 1 + 4 * TOLERANCE, 2.0])
    room = Requirement(kind="capacity", level=0, needed=needed, available=100.0)
    assert room.violated.tolist() == [False, False, True, True]
    assert status_of([room]).tolist() == [0, 0, int(Status.OVER_CAPACITY), int(Status.OVER_CAPACITY)]


def test_what_must_be_equal_is_compared_exactly() -> None:
    factors = Requirement(kind="factors", subject="m", needed=np.array([64.0, 32.0, 128.0]), available=64)
    assert factors.violated.tolist() == [False, True, True]
    assert not Requirement(kind="format", level=0, subject="A", needed=False, available=False).violated


def test_room_and_use_of_a_level_by_hand() -> None:
    """10 + 30 words in 64: there is room, but 0.7 * 64 = 44.8 words would have to be used."""
    spec = Level(name="GLB", kind="storage", capacity_words=64, min_utilization=0.7, prices={})
    room, use = data_requirements(1, spec, [Demand("A", 10), Demand("B", 30)])
    assert (room.kind, room.level, room.needed, room.available, room.violated) == ("capacity", 1, 40, 64, False)
    assert (use.kind, use.needed, use.available, use.violated) == ("utilization", pytest.approx(44.8), 40, True)
    assert status_of([room, use]) == Status.UNDER_UTILIZED


@pytest.mark.parametrize(
    "extra",
    ["", SPARSE, "constraints: {GLB: {min_utilization: 0.6}}\n", "sparse: {GLB: {formats: {A: 'B B', B: 'UOP CP'}}}\n"],
)
def test_flags_sentences_and_distances_agree(extra: str) -> None:
    """A mapping has flags if and only if there are sentences, and if and only if its distance from validity is above 0."""
    space = sl.mapspace(spec_of(extra))
    seen = set[bool]()
    for batch in space.sample(60, seed=5, templates=6).parts:
        distances, flags = overshoot(space, batch), space.columns(batch, ("status",))["status"]
        for i in range(len(batch)):
            result = evaluate_mapping(space.design, batch[i])
            assert int(result.status) == flags[i]
            assert bool(result.reasons) == (flags[i] != 0) == (distances[i] > 0)
            seen.add(result.valid)
    assert seen == {True, False}


COMPRESSED = "sparse: {RF: {formats: {A: 'B B', B: 'UOP CP'}}}\n"
USED = "constraints: {RF: {min_utilization: 0.4}}\n"


@pytest.mark.parametrize("extra", ["", COMPRESSED + USED])
def test_pruned_tiles_are_those_with_the_flag(extra: str) -> None:
    """The table of tiles and the evaluation of mappings decide alike whether the data of a level fit."""
    space = sl.mapspace(spec_of(extra))
    table = TileTable(
        space.design, [r.rank for r in space.ranks], [r.size for r in space.ranks], [divisors(r.size) for r in space.ranks]
    )
    seen = set[bool]()
    for batch in space.sample(60, seed=7, templates=6).parts:
        fits = LowerBounds(space, table, batch.nest.keep).fits(2)
        for i in range(len(batch)):
            cost = evaluate_mapping(space.design, batch[i]).cost
            inside = [
                np.prod(
                    [n for n, loop in zip(batch[i].bounds, batch.nest.loops, strict=True) if loop.rank == r and loop.level > 1]
                )
                for r in table.ranks
            ]
            tile = int(table.code(np.array(inside, dtype=np.int64)[:, None])[0])
            misses = any(
                bool(one.violated) for one in cost.requirements if one.kind in ("capacity", "utilization") and one.level == 2
            )
            assert fits[tile] == (not misses)
            seen.add(misses)
    assert seen == {True, False}


def test_requirements_of_traced_values() -> None:
    design = sl.design_of(sl.loads(MATMUL))
    cost = traced_cost(design, design.mapping)
    own = evaluate_mapping(design, design.mapping).cost
    assert len(cost.requirements) == len(own.requirements)
    for traced, plain in zip(cost.requirements, own.requirements, strict=True):
        assert (traced.kind, traced.level, traced.subject) == (plain.kind, plain.level, plain.subject)
        assert value_of(traced.needed) == pytest.approx(float(plain.needed))
        assert bool(value_of(traced.violated)) == bool(plain.violated)
