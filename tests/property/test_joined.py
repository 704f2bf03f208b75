"""Templates evaluated together give the numbers of the templates themselves, bit by bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseloop.evaluation import host_nest as joining
from sparseloop.evaluation import recorded_batch as program
from sparseloop.evaluation.evaluate import evaluate_batch
from sparseloop.model.design.mapping import MappingBatch, Sample
from sparseloop.model.pipeline import COLUMNS
from tests.property.mapspaces import random_space


def separately(design, batch: Sample):
    parts = [evaluate_batch(design, part, COLUMNS) for part in batch.parts]
    return {name: np.concatenate([part[name] for part in parts])[batch.place] for name in COLUMNS}


@given(seed=st.integers(0, 2**32), timeloop=st.booleans())
@settings(deadline=None, max_examples=30)
def test_joined_templates_give_the_same_numbers(seed, timeloop):
    space = random_space(seed)
    if space is None:
        return
    design = replace(space.design, sparse=replace(space.design.sparse, timeloop_reading=timeloop))
    batch = space.sample(200, seed=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(program, "RECORD_FROM", np.inf)  # recordings may differ in the last bit: tests/unit/test_program.py
        expected = separately(design, batch)
        for name, values in evaluate_batch(design, batch, COLUMNS).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)


@given(seed=st.integers(0, 2**32), small=st.integers(1, 60), portion=st.integers(1, 100))
@settings(deadline=None, max_examples=60)
def test_every_mapping_is_in_exactly_one_batch(seed, small, portion):
    space = random_space(seed)
    if space is None:
        return
    batch = space.sample(200, seed=2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(joining, "SMALL", small)
        patched.setattr(joining, "PORTION", portion)
        found = list(joining.hosted_batches(batch.parts))
    assert sorted(np.concatenate([place for _, place in found]).tolist()) == list(range(200))
    originals = [part[i] for part in batch.parts for i in range(len(part))]
    for part, place in found:
        assert len(part) == len(place)
        for i, at in enumerate(place.tolist()):
            assert existing(part, i) == existing(MappingBatch(originals[at].nest, np.array([originals[at].bounds]).T), 0)


def existing(batch: MappingBatch, column: int):
    """The loops of a mapping that exist, and what else its template says."""
    loops = [(loop, int(n)) for loop, n in zip(batch.nest.loops, batch.bounds[:, column], strict=True) if n > 1]
    return loops, replace(batch.nest, loops=())


@given(orders=st.lists(st.permutations("abcde").flatmap(lambda p: st.integers(0, 5).map(lambda n: tuple(p[:n]))), max_size=30))
def test_a_host_contains_every_order(orders):
    host = joining.extended_host((), orders)
    for order in orders:
        left = iter(host)
        assert all(rank in left for rank in order)
    assert len(host) <= 5 * max(map(len, orders), default=0)
