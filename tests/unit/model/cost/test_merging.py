"""Passes through a merger of a limited number of lists, against the walker: known operands exactly, random ones nearly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import sparseloop as sl
from sparseloop.evaluation.evaluate import own_mapping
from sparseloop.model.cost.merging import binomial_passes, mean_passes
from sparseloop.model.density import Actual, DensityModel
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.result_density import produced_density
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import compile_plan
from sparseloop.validation.against_walker import random_pattern
from sparseloop.validation.walker import Machine, Walker
from tests.property.specs import PLAIN, Case, cases, data, imperfect_cases
from tests.property.test_walker import EXACT


def with_result(einsum: Einsum) -> Einsum:
    """The einsum with the density of its result as the operands make it."""
    *operands, result = einsum.tensors
    made = produced_density(result, operands, einsum.extents)
    return einsum if made is None else replace(einsum, tensors=(*operands, replace(result, density=made)))


def model_passes(case: Case, models: dict[str, DensityModel], radix: int) -> dict[int, float]:
    """Level to the passes of what arrives there."""
    plan = compile_plan(with_result(case.einsum(models)), case.arch(), case.mapping.nest, case.sparse)
    cost = evaluate_plan(plan, case.mapping.bounds, case.mapping.residuals)
    results = [k for k in cost.sparse.links if k.dense.link.output]
    return {k.dense.link.parent: float(mean_passes(k.resident.safs, k.dense.link, radix)) for k in results}


def walked_passes(case: Case, patterns: dict[str, np.ndarray], radix: int) -> dict[int, float]:
    keepers = [level for level, kept in enumerate(case.mapping.nest.keep) if case.output in kept]
    machine = Machine(radix=dict.fromkeys(keepers, radix))
    return dict(Walker(case.einsum(), case.blocks, case.mapping, case.sparse, machine).walk(patterns).passes)


@settings(EXACT, max_examples=30)
@given(
    st.one_of(cases(PLAIN, blocks=False, sparse=False), imperfect_cases()),
    st.sampled_from([2, 3]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.3, 0.7]),
)
def test_given_data(case: Case, radix: int, seed: int, fraction: float) -> None:
    assume(case.problem in PLAIN)
    patterns = {name: pattern for name, pattern in data(case, seed, fraction).items() if name != case.output}
    models: dict[str, DensityModel] = {name: Actual(pattern) for name, pattern in patterns.items()}
    assert model_passes(case, models, radix) == pytest.approx(walked_passes(case, patterns, radix), rel=1e-9)


SPEC = """\
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 6, n: 5, k: 12}, density: {A: 0.4, B: 0.5}}
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: row, class: buffer}
    - {name: MAC, class: mac}
mapping: [DRAM: for m=6, row: for k=12 n=5 | keep A Z]
sparse:
  DRAM: {formats: {A: CP CP, B: CP CP, Z: CP CP}}
  row: {formats: {A: CP, Z: CP}}
  MAC: {skip: true}
"""


def test_rows_by_hand() -> None:
    """Rows of A with 1, 4 and 5 non-zeros, of which one meets an empty row of B: 4 lists are two passes for two at a time."""
    a, b = np.zeros((6, 12), dtype=bool), np.ones((12, 5), dtype=bool)
    a[0, 3] = a[1, 2:6] = a[2, 4:9] = True
    b[8] = False
    b[7, 1:] = False  # a list of one word
    design = sl.evaluate(sl.loads(SPEC)).design
    words = np.array([5, 20, 16])
    machine = Machine(radix={0: 2, 1: 2})
    walker = Walker(design.einsum, [1, 1], own_mapping(design), design.sparse, machine)
    passes = walker.walk({"A": a, "B": b}).passes
    assert passes[1] == pytest.approx(words @ [1, 2, 2] / words.sum())
    assert passes[0] == 1.0  # a row arrives at the memory once


@pytest.mark.parametrize("radix", [2, 3, 4])
def test_random_data(radix: int) -> None:
    result = sl.evaluate(sl.loads(SPEC, overrides=[f"architecture.levels.row.units={{merge: {{radix: {radix}}}}}"]))
    ours = result.to_dict()["units"][0]["processed"]
    design = result.design
    walker = Walker(design.einsum, [1, 1], own_mapping(design), design.sparse, Machine(radix={1: radix}))
    rng, found = np.random.default_rng(1), list[float]()
    for _ in range(60):
        walk = walker.walk({"A": random_pattern((6, 12), 29, rng), "B": random_pattern((12, 5), 30, rng)})
        found.append(walk.tensors[1, "Z"].updates.actual * walk.passes[1])
    assert ours == pytest.approx(np.mean(found), rel=0.03)  # the number of lists is taken as binomial


@pytest.mark.parametrize(("lists", "there", "passes"), [(64, 1.0, 1), (65, 1.0, 2), (4096, 1.0, 2), (4097, 1.0, 3), (1, 0.2, 1)])
def test_all_lists_or_few(lists: int, there: float, passes: float) -> None:
    assert binomial_passes(lists, there, 64) == passes


def test_others_of_which_some_are_there() -> None:
    assert binomial_passes(3, 0.5, 2) == pytest.approx(1.25)  # both others
    assert binomial_passes(10**6, 0.25, 64) == pytest.approx(3.0)
