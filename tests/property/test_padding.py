"""Tensors with padding: the model against the walker, on given data and on random ones."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseloop.input.resolve.padding import in_padding
from sparseloop.model.density import Actual, Uniform
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import compile_plan
from sparseloop.validation.walker import Walker
from tests.property.compare import counts_of, differences, walk_counts
from tests.property.specs import AFFINE, MATMUL, Case, Problem, cases, plain
from tests.property.test_walker import EXACT

PLANE = Problem({"I": ((("p", 1), ("r", 1)), (("q", 1), ("s", 1))), "W": plain("r", "s"), "O": plain("p", "q")})
BACKWARDS = Problem({"I": ((("p", 1), ("r", -1)),), "W": plain("m", "r"), "O": plain("m", "p")})
TRANSPOSED = Problem({"I": plain("m", "p"), "W": plain("r"), "O": ((("m", 1),), (("p", 1), ("r", 1)))})
FIRST_OPERAND = (*AFFINE, PLANE, BACKWARDS, MATMUL)


class Padded(NamedTuple):
    case: Case
    einsum: Einsum


@st.composite
def padded(draw: st.DrawFn, problems: tuple[Problem, ...], *, every: bool, **options: bool) -> Padded:
    """A case with true extents of the first operand, or of any tensor if `every`."""
    case = draw(cases(problems, **options))
    einsum = case.einsum()
    tensors = []
    for number, tensor in enumerate(einsum.tensors):
        axes = list(tensor.axes)
        for at, axis in enumerate(axes):
            if (every or number == 0) and draw(st.booleans()):
                offset = draw(st.integers(-2, 1))
                first = offset + sum(min(0, t.coefficient) * (einsum.extents[t.rank] - 1) for t in axis.terms)
                last = first + axis.extent(einsum.extents)
                size = draw(st.integers(max(1, first + 1), max(1, first + 1, last + 1)))
                if last > 0:
                    axes[at] = replace(axis, offset=offset, size=size)
        tensors.append(replace(tensor, axes=tuple(axes)))
    return Padded(case, replace(einsum, tensors=tuple(tensors)))


def compared(one: Padded, seed: int, fraction: float | None, words: bool = False) -> dict[str, tuple[float, float]]:
    """Counts of model and walker that differ; `fraction`: of non-zeros of given data, None: dense random tensors."""
    case, dice = one.case, np.random.default_rng(seed)
    data = {t.name: dice.random(one.einsum.true_shape(t)) < (2 if fraction is None else fraction) for t in one.einsum.tensors}
    models = {
        t.name: Uniform(data[t.name].shape, 1.0)
        if fraction is None
        else in_padding(Actual(data[t.name]), t.axes, one.einsum.extents)
        for t in one.einsum.tensors
    }
    einsum = replace(one.einsum, tensors=tuple(replace(t, density=models[t.name]) for t in one.einsum.tensors))
    plan = compile_plan(einsum, case.arch(), case.mapping.nest, case.sparse)
    ours = counts_of(evaluate_plan(plan, case.mapping.bounds), metadata=not words)
    walk = Walker(einsum, case.blocks, case.mapping, case.sparse).walk(data)
    return differences(ours, walk_counts(case, walk, metadata=not words))


@settings(EXACT, max_examples=150)
@given(padded((*FIRST_OPERAND, TRANSPOSED), every=True, sparse=False, diagonal=True))
def test_dense_counts(one: Padded) -> None:
    assert compared(one, 0, None) == {}


@settings(EXACT, max_examples=80)
@given(padded(FIRST_OPERAND, every=False, formats=False))
def test_features_know_padding_of_dense_tensors(one: Padded) -> None:
    assert compared(one, 0, None) == {}


@settings(EXACT, max_examples=60)
@given(padded(FIRST_OPERAND, every=False), st.integers(0, 2**30))
def test_words_of_compressed_tensors(one: Padded, seed: int) -> None:
    # without features: how long a word of a sliding window stays and whether its tile is padding are taken as independent
    one = one._replace(case=replace(one.case, sparse=replace(one.case.sparse, safs=())))
    assert compared(one, seed, None, words=True) == {}
    assert compared(one, seed, 0.5, words=True) == {}


@settings(EXACT, max_examples=80)
@given(padded((MATMUL,), every=False))
def test_metadata(one: Padded) -> None:
    assert compared(one, 0, None) == {}
