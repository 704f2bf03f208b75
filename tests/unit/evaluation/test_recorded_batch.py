"""Batches: recordings give the numbers of the model, whatever the batch has in common with the one recorded."""

from __future__ import annotations

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.evaluation import recorded_batch as program
from sparseloop.evaluation.recorded_batch import Program, Recordings
from sparseloop.mapper.space.mapspace import mapspace
from sparseloop.model.pipeline import COLUMNS, evaluate_plan, plan_of
from tests.helpers.samples import ALL, MATMUL

SLIDING = """\
workload: {einsum: "O[p] = I[p+r] * W[r]", shape: {p: 12, r: 6}, density: {W: 0.5, I: 0.5}}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, type: LPDDR4}
    - {name: RF, class: regfile, capacity: 64 words}
    - {name: MAC, class: mac}
mapping: [DRAM: for p=12 r=6, RF: for p=1 r=1]
sparse: {DRAM: {formats: {W: bitmask}, skip: [I <- W]}}
"""


def drawn(text: str, count: int):
    """A plan and bounds of its template."""
    space = mapspace(sl.loads(text))
    rng = np.random.default_rng(0)
    batch = space.batch(space.drawn_template(rng), space.drawn_factors(count, rng))
    return plan_of(space.design, batch.nest), batch.bounds


def same(found, plan, bounds):
    expected = evaluate_plan(plan, bounds.astype(np.float64))
    for name, values in zip(COLUMNS, found, strict=True):
        np.testing.assert_allclose(values, getattr(expected, name), rtol=1e-13, err_msg=name)


@pytest.mark.parametrize("name", ALL)
def test_replays_give_the_numbers_of_the_model(name):
    plan, bounds = drawn(ALL[name], 50 if "given" in name else 500)
    same(Program(plan, bounds[:, 0], {}, COLUMNS).run(bounds.astype(np.float64)), plan, bounds)


def test_a_program_is_recorded_anew_for_other_fixed_loops(monkeypatch):
    monkeypatch.setattr(program, "RECORD_FROM", 1)
    plan, bounds = drawn(MATMUL, 300)
    recordings = Recordings(plan)
    alike = bounds[:, bounds[0] == bounds[0, 0]]
    for batch in (alike, bounds[:, :1], alike, bounds, alike[:, :0]):
        same(recordings.columns(batch, COLUMNS).values(), plan, batch)


def test_few_mappings_are_evaluated_directly(monkeypatch):
    plan, bounds = drawn(MATMUL, 10)
    monkeypatch.setattr(program, "Program", None)
    same(Recordings(plan).columns(bounds, COLUMNS).values(), plan, bounds)


def test_a_window_that_slides_longer_than_recorded_is_noticed(monkeypatch):
    monkeypatch.setattr(program, "RECORD_FROM", 1)
    design = sl.design_of(sl.loads(SLIDING))
    assert design.mapping is not None
    plan = plan_of(design, design.mapping.nest)
    bounds = np.array([[12, 3, 1], [6, 6, 2], [1, 4, 12], [1, 1, 3]])
    first = Program(plan, bounds[:, 0], {}, COLUMNS)
    assert first.run(bounds[:, :1].astype(np.float64)) is not None
    assert first.run(bounds.astype(np.float64)) is None
    same(Recordings(plan).columns(bounds, COLUMNS).values(), plan, bounds)
