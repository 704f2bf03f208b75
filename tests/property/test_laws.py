"""Laws of the model that need no walker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sparseloop.evaluation.recorded_batch import Program
from sparseloop.model.density import Actual, Banded, DensityModel, Even, Hierarchical, Structured, Uniform
from sparseloop.model.design.sparse import Saf, Sparse
from sparseloop.model.pipeline import COLUMNS, evaluate_plan
from sparseloop.model.plan import compile_plan
from tests.property.compare import CLASSES, model_counts
from tests.property.specs import AFFINE, PLAIN, Case, cases, factors

LAWS = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=80,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
FRACTIONS = st.sampled_from([0.05, 0.3, 0.7, 1.0])


def densities(case: Case, fraction: float, kind: type[Uniform | Even] = Uniform) -> dict[str, DensityModel]:
    return {name: kind(case.data_shape(name), fraction) for name in case.problem.tensors}


@LAWS
@given(cases((*PLAIN, *AFFINE)))
def test_density_one_gives_the_dense_numbers(case: Case) -> None:
    dense = model_counts(replace(case, sparse=Sparse(formats={})), densities(case, 1.0), metadata=False)
    sparse = model_counts(case, densities(case, 1.0), metadata=False)
    for name, value in dense.items():
        if not name.endswith("compress"):
            assert abs(sparse[name] - value) <= 1e-9 * max(1.0, abs(value)), name


@LAWS
@given(cases((*PLAIN, *AFFINE)), FRACTIONS, st.sampled_from([Uniform, Even]))
def test_classes_sum_to_the_total(case: Case, fraction: float, kind: type[Uniform | Even]) -> None:
    counts = model_counts(case, densities(case, fraction, kind))
    for name, total in counts.items():
        if name.endswith(" total"):
            parts = [counts[name.removesuffix("total") + c] for c in CLASSES[1:]]
            assert abs(sum(parts) - total) <= 1e-9 * max(1.0, total), name
            assert min(parts) >= -1e-9 * max(1.0, total), name


@LAWS
@given(cases(blocks=False), FRACTIONS)
def test_fills_are_reads_times_multicast_where_formats_agree(case: Case, fraction: float) -> None:
    plan = compile_plan(case.einsum(densities(case, fraction)), case.arch(), case.mapping.nest, case.sparse)
    cost = evaluate_plan(plan, case.mapping.bounds)
    for k in cost.sparse.links:
        link = k.dense.link
        packed = any(s.kind == "spatial_skip" for s in plan.sparse.safs)
        if not link.to_compute and link.compressed == link.child_compressed and not packed:
            assert abs(k.reads.actual * k.dense.sharing - k.fills.actual) <= 1e-9 * max(1.0, float(k.fills.actual))


@LAWS
@given(cases(blocks=False), FRACTIONS, st.sampled_from(["skip", "gate"]), st.integers(0, 2), st.data())
def test_another_feature_never_raises_an_actual_count(
    case: Case, fraction: float, kind: str, level: int, choice: st.DataObject
) -> None:
    names = list(case.problem.tensors)
    follower, leader = choice.draw(st.sampled_from(names)), choice.draw(st.sampled_from(names[:-1]))
    more = Saf(kind=kind, level=min(level, case.levels - 1), follower=follower, leaders=(leader,))  # type: ignore[arg-type]
    before = model_counts(case, densities(case, fraction))
    richer = replace(case, sparse=replace(case.sparse, safs=(*case.sparse.safs, more)))
    after = model_counts(richer, densities(case, fraction))
    for name, value in after.items():
        if name.endswith(" actual"):
            assert value <= before[name] * (1 + 1e-9) + 1e-9, name


KINDS = ("uniform", "even", "structured", "hierarchical", "actual", "banded")


@LAWS
@given(cases((*PLAIN, *AFFINE)), FRACTIONS, st.sampled_from(KINDS), st.data())
def test_batch_equals_scalar(case: Case, fraction: float, kind: str, choice: st.DataObject) -> None:
    """The same code on a batch, on each of its mappings and recorded; a batch of other factors under the same template."""
    models: dict[str, DensityModel] = densities(case, fraction, Even if kind == "even" else Uniform)
    for name in case.problem.tensors:
        shape = case.data_shape(name)
        if kind == "actual":
            models[name] = Actual(np.random.default_rng(1).random(shape) < fraction)
        elif kind == "banded" and len(shape) == 2:
            models[name] = Banded(shape, 1)
        elif kind == "structured" and shape[-1] % 2 == 0:
            models[name] = Structured(shape, 1, 2, len(shape) - 1)
        elif kind == "hierarchical":
            models[name] = Hierarchical(shape, ((1, 2), (1, 2)), len(shape) - 1)
    loops = case.mapping.nest.loops
    columns = [list(case.mapping.bounds)]
    for _ in range(4):
        column = [1] * len(loops)
        for rank, size in case.shape.items():
            mine = [i for i, loop in enumerate(loops) if loop.rank == rank]
            if mine:
                for i, n in zip(mine, choice.draw(factors(size, len(mine))), strict=True):
                    column[i] = n
        columns.append(column)
    plan = compile_plan(case.einsum(models), case.arch(), case.mapping.nest, case.sparse)
    bounds = np.array(columns, dtype=np.float64).T
    whole = evaluate_plan(plan, bounds)
    for i, column in enumerate(columns):
        one = evaluate_plan(plan, column)
        for name in ("energy_pj", "cycles", "status", "utilization"):
            both = np.broadcast_to(getattr(whole, name), (len(columns),))[i], getattr(one, name)
            assert abs(both[0] - both[1]) <= 1e-9 * max(1.0, abs(both[1])), (name, i)
    same = {i: int(row[0]) for i, row in enumerate(bounds) if (row == row[0]).all()}
    for fixed in ({}, same):
        replayed = Program(plan, bounds[:, 0], fixed, COLUMNS).run(bounds)
        for name, values in zip(COLUMNS, replayed or [], strict=replayed is not None):
            np.testing.assert_allclose(values, getattr(whole, name), rtol=1e-13, err_msg=name)
