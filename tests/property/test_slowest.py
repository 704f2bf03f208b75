"""Quantiles of the slowest instance against the walker: random specifications without windows, uniformly random tensors."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from sparseloop.model.cost.imbalance import CONFIDENCES, slowest
from sparseloop.model.density import Uniform
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import compile_plan
from tests.property.compare import walker
from tests.property.specs import PLAIN, Case, cases
from tests.property.test_walker import placed

DRAWS = 40


def holds(seen: np.ndarray, value: float, confidence: float, draws: int) -> bool:
    """Is it this quantile of what the walker saw, in whole steps, within 4.5 standard errors of both samples?"""
    error = 4.5 * math.sqrt(confidence * (1 - confidence) * (1 / draws + 1 / len(seen)))
    return np.mean(seen < value - 1) <= confidence + error and np.mean(seen <= value + 1) >= confidence - error


@settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=75,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(cases(PLAIN), st.integers(0, 10**6), st.sampled_from([0.2, 0.5, 0.8]))
def test_the_median_lies_between_p10_and_p90(case: Case, seed: int, fraction: float) -> None:
    skips = [s.kind for s in case.sparse.safs if s.kind != "gate"]
    assume((skips or case.sparse.compute_skip) and "spatial_skip" not in skips)
    dice = np.random.default_rng(seed)
    models = {name: Uniform(case.data_shape(name), fraction) for name in case.problem.tensors}
    plan = compile_plan(case.einsum(dict(models)), case.arch(), case.mapping.nest, case.sparse)
    lag = slowest(evaluate_plan(plan, case.mapping.bounds))
    if lag is None:
        return
    loops = zip(case.mapping.nest.loops, case.mapping.bounds, strict=True)
    assert 0 <= lag.compute[0] <= lag.compute[1] <= lag.compute[2] <= math.prod(n for loop, n in loops if not loop.spatial) + 1e-9
    walk = walker(case).walk
    seen = [max(walk({n: placed(m.shape, m.nonzeros, dice) for n, m in models.items()}).lane_work) for _ in range(DRAWS)]
    if lag.draws:
        assert all(holds(np.array(seen), value, c, lag.draws) for value, c in zip(lag.compute, CONFIDENCES, strict=True))
    assert lag.compute[0] - 0.75 <= np.median(seen) <= lag.compute[2] + 0.75  # in whole steps; the median of 40 draws
