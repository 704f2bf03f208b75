"""Options of a search: budgets as users write them, what identifies the outcome, the task they make."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import sparseloop as sl
from sparseloop.input.diagnostics import SpecError
from sparseloop.mapper.options import DEFAULT_MAPPINGS, parse_budget
from sparseloop.mapper.task import Budget
from tests.helpers.tiny_spaces import spec_of


@pytest.mark.parametrize(
    ("given", "mappings", "seconds"),
    [(100, 100, None), ("10k", 10_000, None), ("1.5M", 1_500_000, None), ("10s", None, 10.0), ("2 min", None, 120.0)],
)
def test_budgets(given: int | str, mappings: int | None, seconds: float | None) -> None:
    assert parse_budget(given, "random") == Budget(mappings=mappings, seconds=seconds)


def test_default_budgets() -> None:
    assert parse_budget(None, "exhaustive") == parse_budget(None, "optimal") == Budget()
    assert parse_budget(None, "random").mappings is not None
    with pytest.raises(SpecError, match="cannot read the budget"):
        parse_budget("soon", "random")


@pytest.mark.parametrize("given", [0, -5, "0.0001k", "-2 min", "0s"])
def test_budgets_that_allow_nothing(given: int | str) -> None:
    with pytest.raises(SpecError, match="allows no search"):
        parse_budget(given, "random")


def test_options_make_the_task_of_a_search() -> None:
    options = sl.SearchOptions(
        minimize="energy, cycles", pareto="energy,edp", top=3, method="genetic", budget="10k", seed=4, padded=True, workers=2
    )  # fmt: skip
    task = options.task(spec_of())
    assert task.goal.objective.name == "energy,cycles"
    assert [one.name for one in task.goal.pareto] == ["energy", "edp"]
    assert (task.goal.top, task.method, task.seed, task.workers) == (3, "genetic", 4, 2)
    assert task.budget == Budget(mappings=10_000)
    assert task.space.padded
    assert task.below == math.inf


@pytest.mark.parametrize(
    "change",
    [{"minimize": "energy"}, {"pareto": "energy,cycles"}, {"top": 2}, {"method": "genetic"}, {"budget": "1s"}, {"seed": 1},
     {"padded": True}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_settings_differ_where_outcomes_may(change: dict[str, object]) -> None:
    options = sl.SearchOptions()
    assert replace(options, **change).settings != options.settings


def test_settings_are_equal_where_outcomes_are() -> None:
    options = sl.SearchOptions(minimize="0.5*energy + cycles", method="random", budget=DEFAULT_MAPPINGS)
    assert replace(options, workers=4).settings == options.settings
    assert replace(options, minimize="0.5*energy+cycles", budget=None).settings == options.settings


@pytest.mark.parametrize("wrong", [{"minimize": "speed"}, {"pareto": "energy,speed"}, {"budget": "soon"}])
def test_mistakes_are_told_by_the_task(wrong: dict[str, str]) -> None:
    with pytest.raises(SpecError):
        sl.SearchOptions(**wrong).task(spec_of())
