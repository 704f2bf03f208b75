"""The stated approximations: their error against the walker is measured, and must not grow.

Each figure is |model - walker| summed over the actual reads, fills, updates and computes of one specification, divided
by the walker's sum; the walker averages over 60 draws (given data: one). `pytest -s` prints mean and worst.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import sparseloop as sl
from sparseloop.evaluation.approximations import rests_on
from sparseloop.model.density import Actual, Uniform
from sparseloop.validation import against_walker
from tests.property.compare import model_counts, walk_counts, walker
from tests.property.specs import AFFINE, PLAIN, Case, cases, data, features, imperfect_cases
from tests.property.test_walker import placed

DRAWS = 60


@st.composite
def imperfect_sparse(draw: st.DrawFn) -> Case:
    case = draw(imperfect_cases(PLAIN))
    return replace(case, sparse=draw(features(case.problem, case.mapping, formats=False)))


@st.composite
def uneven_blocks(draw: st.DrawFn) -> Case:
    case = draw(cases(formats=False, blocks=False))
    return replace(case, blocks=tuple(draw(st.sampled_from([1, 2, 4])) for _ in case.blocks))


def actual(counts: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in counts.items() if name.endswith(" actual") and " md " not in name}


def error(ours: dict[str, float], theirs: dict[str, float]) -> float:
    mine = actual(ours)
    total = sum(theirs.get(name, 0.0) for name in mine)
    return sum(abs(value - theirs.get(name, 0.0)) for name, value in mine.items()) / max(total, 1.0)


def random_error(case: Case, number: int) -> float:
    rng = np.random.default_rng(number)
    models = {n: Uniform(case.data_shape(n), 0.4) for n in case.problem.tensors}
    walk, mean = walker(case), dict[str, float]()
    for _ in range(DRAWS):
        patterns = {n: placed(m.shape, round(m.density * m.total), rng) for n, m in models.items()}
        for name, value in walk_counts(case, walk.walk(patterns), False).items():
            mean[name] = mean.get(name, 0.0) + value / DRAWS
    return error(model_counts(case, models, False), mean)  # type: ignore[arg-type]


def given_error(case: Case, number: int) -> float:
    patterns = data(case, number, 0.4)
    ours = model_counts(case, {n: Actual(p) for n, p in patterns.items()}, False)  # type: ignore[arg-type]
    return error(ours, walk_counts(case, walker(case).walk(patterns), False))


def errors(strategy: st.SearchStrategy[Case], measure: Callable[[Case, int], float], count: int) -> list[float]:
    found: list[float] = []

    @seed(7)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy, st.integers(0, 10**6))
    def collect(case: Case, number: int) -> None:
        try:
            found.append(measure(case, number))
        except ValueError:
            found.append(0.0)  # the walker refuses the specification

    collect()
    return found


LIMITS = {
    "imperfect factors, sparse": (imperfect_sparse(), random_error, 0.005, 0.2),
    "blocks that do not divide the loops": (uneven_blocks(), random_error, 0.007, 0.12),
    # no approximations: every event is looked at
    "given data with sliding windows": (cases(AFFINE, formats=False, blocks=False), given_error, 1e-9, 1e-9),
    "windows shared along a diagonal": (cases(AFFINE, formats=False, blocks=False, diagonal=True), given_error, 1e-9, 1e-9),
    "given data with imperfect factors": (imperfect_sparse(), given_error, 1e-9, 1e-9),
}


@pytest.mark.parametrize("name", LIMITS)
def test_error_of_the_approximation(name: str) -> None:
    strategy, measure, mean, worst = LIMITS[name]
    found = errors(strategy, measure, 60 if measure is random_error else 200)
    print(f"\n{name}: mean {np.mean(found):.4f}, worst {max(found):.4f} over {len(found)} specifications")
    assert np.mean(found) <= mean
    assert max(found) <= worst


WINDOWS = (
    (4, 2, 3, 0.5),
    (1, 2, 3, 0.33),
    (3, 3, 3, 0.4),
    (4, 3, 4, 0.3),
    (2, 2, 4, 0.6),
    (8, 2, 3, 0.5),
    (4, 2, 3, 0.17),
    (3, 4, 4, 0.3),
)
"""Sizes of q, s, r and the density of W."""


def window_error(q: int, s: int, r: int, density: float) -> float:
    """W decides about a window that two loops move: a word of (s, r) and (s + 1, r - 2) is needed if either is non-zero."""
    result = sl.evaluate(
        sl.loads(f"""
workload: {{einsum: "Z[q] = W[s,r] * I[q+2*s+r]", shape: {{q: {q}, s: {s}, r: {r}}}, density: {{W: {density}}}}}
architecture: {{levels: [{{name: DRAM, class: dram}}, {{name: L1, class: regfile}}, {{name: MAC, class: mac}}]}}
mapping: [DRAM: for s={s} r={r}, L1: for q={q}]
sparse: {{DRAM: {{formats: {{W: B(*)}}, skip: [I <- W]}}, L1: {{formats: {{W: B(*)}}}}}}
""")
    )
    assert [one.name for one in rests_on(result.plan, result.cost)] == ["windows moved by two loops"]
    rng, walk, mean = np.random.default_rng(0), against_walker.walker(result.design), dict[str, float]()
    for _ in range(100):
        models = {tensor.name: tensor.density for tensor in result.design.einsum.tensors}
        data = {name: placed(m.shape, round(m.density * math.prod(m.shape)), rng) for name, m in models.items()}
        for name, value in against_walker.walker_activities(result.design, walk.walk(data)).items():
            mean[name] = mean.get(name, 0.0) + value / 100
    ours = {name: value for name, value in against_walker.model_activities(result).items() if "metadata" not in name}
    return sum(abs(value - mean[name]) for name, value in ours.items()) / sum(mean[name] for name in ours)


def test_windows_moved_by_two_loops() -> None:
    found = [window_error(*sizes) for sizes in WINDOWS]
    print(f"\nwindows moved by two loops: mean {np.mean(found):.4f}, worst {max(found):.4f} over {len(found)} specifications")
    assert np.mean(found) <= 0.14
    assert max(found) <= 0.24
