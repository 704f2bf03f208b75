"""All small committed cases by the walker: every count of the model, labelled or not, whatever the reference says."""

from __future__ import annotations

import pytest

from sparseloop.validation.timeloop.compare import Evaluation, evaluate_case
from sparseloop.validation.timeloop.corpus import COMMITTED, read_cases
from sparseloop.validation.timeloop.exceptions import REJECTED
from tests.golden.walked import walk_case

POINTS = 400
"""Computes of a case that is walked here: about 150 cases in 10 s."""
DRAWS = 20
LIMIT = 6.0
"""Standard errors: 15 000 counts, the seed is fixed."""

KNOWN: dict[str, str] = {}
"""Cases on which the model is known to differ, and why."""


def _differences(evaluation: Evaluation) -> list[str]:
    walked = walk_case(evaluation, DRAWS)
    found: list[str] = []
    for figure in walked.evaluation.figures:
        if figure.kind not in ("count", "metadata"):
            continue
        ours = figure.ours * figure.per
        mean, error = walked.count(figure.path)
        error = max(error, walked.coin_error(figure.path, ours))
        if abs(ours - mean) > LIMIT * error + 1e-6 * max(1.0, mean):
            found.append(f"{figure.path}: {ours:.6g}, walked {mean:.6g} ± {error:.2g}")
    return found


@pytest.mark.slow
def test_small_cases_are_what_the_walker_counts() -> None:
    differing: dict[str, list[str]] = {}
    for case in read_cases(COMMITTED):
        if case.computes > POINTS or case.id in REJECTED:
            continue
        evaluation = evaluate_case(case)
        alternatives = any(saf.choice is not None for saf in evaluation.plan.sparse.safs)
        if not alternatives and (found := _differences(evaluation)):
            differing[case.id] = found
    assert {case: found for case, found in differing.items() if case not in KNOWN} == {}
    assert set(differing) == set(KNOWN)
