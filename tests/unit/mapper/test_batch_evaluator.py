"""Batches evaluated in portions."""

from __future__ import annotations

import numpy as np

import sparseloop as sl
from sparseloop.mapper.batch_evaluator import Glance, portions
from sparseloop.mapper.task import Batch
from tests.helpers.tiny_spaces import CONSTRAINED, spec_of


def test_portions_grow_as_long_as_they_take_little_time() -> None:
    sample = sl.mapspace(spec_of(CONSTRAINED)).sample(20, seed=1)
    glance, found = Glance(1.0, 8), list[Batch]()
    for portion in portions(sample, glance):
        found.append(portion)
        glance.took(len(portion), 0.25 * len(portion))
    assert [len(part) for part in found] == [1, 4, 8, 7]
    energy = [sl.mapspace(spec_of(CONSTRAINED)).columns(part, ("energy_pj",))["energy_pj"] for part in (sample, *found)]
    assert np.concatenate(energy[1:]).tolist() == energy[0].tolist()
