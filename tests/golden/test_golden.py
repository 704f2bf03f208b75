"""Agreement with the golden corpus of Timeloop v3.0.3 outputs on every path without a label."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from sparseloop.validation.timeloop.agreement import REJECTED, Agreement, measure
from sparseloop.validation.timeloop.corpus import COMMITTED, read_cases
from sparseloop.validation.timeloop.target import findings
from tests.golden import conftest, faults_page

FULL = Path(__file__).parents[3] / "shared" / "golden" / "corpus.jsonl.gz"
COUNTS = ("count", "metadata", "network", "capacity")
ENOUGH_CLOSE = 0.95
"""At least so many counts agree within 1e-3; the others are small numbers that the reference rounds."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(COMMITTED, id="fuzz"),
        pytest.param(FULL, id="rest of the full corpus"),
    ],
)
def agreement(request: pytest.FixtureRequest) -> Agreement:
    if not request.param.exists():
        pytest.skip(f"{request.param} is not there: only the committed cases are compared")
    return _measured(request.param)


@cache
def _measured(path: Path) -> Agreement:
    committed = {case.id for case in read_cases(COMMITTED)} if path != COMMITTED else set[str]()
    result = measure((case for case in read_cases(path) if case.id not in committed), path.name)
    conftest.REPORTS.append(result)
    return result


def test_every_case_is_evaluated(agreement: Agreement) -> None:
    assert agreement.rejected == set(REJECTED) & agreement.seen
    assert agreement.seen


def test_every_mapping_is_valid(agreement: Agreement) -> None:
    """The reference evaluated all of them."""
    assert not agreement.invalid


def test_unlabelled_figures_agree(agreement: Agreement) -> None:
    assert agreement.unexplained() == []


def test_every_exception_is_needed(agreement: Agreement) -> None:
    assert agreement.idle_exceptions() == []


@pytest.mark.parametrize("kind", COUNTS)
def test_most_counts_are_equal(agreement: Agreement, kind: str) -> None:
    tally = agreement.kinds[kind]
    assert tally.close / tally.compared >= ENOUGH_CLOSE


def test_the_page_shows_what_the_command_says() -> None:
    """docs/timeloop_faults.md; `python -m tests.golden.faults_page` writes it."""
    page = faults_page.PAGE.read_text(encoding="utf-8")
    assert faults_page.written(page, findings(_measured(COMMITTED)).tables) == page
