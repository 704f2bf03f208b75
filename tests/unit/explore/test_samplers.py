"""Which points a sampler asks for: all of them, a prefix of the same random ones, or those that a search learns to like."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from sparseloop.explore.conditions import parse_condition
from sparseloop.explore.samplers import PORTION, SAMPLERS, Feedback, Point, Sampler, suggested_value
from sparseloop.explore.schema import SearchSpec
from sparseloop.explore.space import DesignSpace, Parameter

BANKS = Parameter(name="banks", kind="choice", values=(1, 2, 4, 8))
FORMAT = Parameter(name="format", kind="choice", values=("none", "csr"))
WIDTH = Parameter(name="width", kind="range", low=1.0, high=1000.0, log=True)
LANES = Parameter(name="lanes", kind="range", low=4, high=9, whole=True)
TWICE = Parameter(name="twice", kind="expression", expression="2 * banks")
ONLY_CSR = Parameter(name="gate", kind="choice", values=(True, False), when=parse_condition("format == csr"))


def points_of(sampler: Sampler, value: object = None) -> list[Point]:
    """All points that a sampler asks for; each is worth `value(point)`, nothing if that is None."""
    points: list[Point] = []
    while asked := sampler.ask():
        points += asked
        sampler.tell([Feedback(None if value is None else (value(point),), value is not None) for point in asked])
    return points


def sampler(method: str, *parameters: Parameter, points: int | None = None, seed: int = 0, batch: int = 8) -> Sampler:
    search = SearchSpec.model_validate({"method": method, "points": points, "seed": seed, "batch": batch})
    return SAMPLERS[method](DesignSpace(parameters), search, 1)


def test_a_grid_has_every_combination_once_the_last_parameter_fastest() -> None:
    grid = sampler("grid", BANKS, FORMAT, TWICE)
    points = points_of(grid)
    assert len(points) == grid.total == 8
    assert [(point["banks"], point["format"]) for point in points[:3]] == [(1, "none"), (1, "csr"), (2, "none")]
    assert all(point["twice"] == 2 * point["banks"] for point in points)


def test_a_parameter_without_its_condition_does_not_vary() -> None:
    points = points_of(sampler("grid", FORMAT, ONLY_CSR))
    assert [(point["format"], point["gate"]) for point in points] == [("none", None), ("csr", True), ("csr", False)]


def test_a_large_grid_comes_in_portions() -> None:
    many = Parameter(name="many", kind="choice", values=tuple(range(3 * PORTION // 2)))
    grid = sampler("grid", many)
    assert [len(grid.ask()) for _ in range(3)] == [PORTION, PORTION // 2, 0]


def test_random_points_are_the_same_whatever_their_number() -> None:
    few, many = (points_of(sampler("random", BANKS, WIDTH, LANES, points=count, seed=5)) for count in (10, 600))
    assert many[:10] == few
    assert len(many) == 600
    assert many != points_of(sampler("random", BANKS, WIDTH, LANES, points=600, seed=6))


def test_random_values_are_spread_over_their_range() -> None:
    points = points_of(sampler("random", BANKS, WIDTH, LANES, points=600, seed=1))
    counts = Counter(point["banks"] for point in points)
    assert set(counts) == {1, 2, 4, 8}
    assert min(counts.values()) > 100  # 150 expected, standard deviation 11
    assert all(1 <= point["width"] <= 1000 for point in points)
    below = sum(point["width"] < math.sqrt(1000) for point in points)  # the middle of a logarithmic range
    assert 230 < below < 370  # 300 expected, standard deviation 12
    assert {point["lanes"] for point in points} == set(range(4, 10))


@pytest.mark.parametrize("method", ["tpe", "nsga2"])
def test_optuna_asks_in_batches_and_for_no_more_than_it_may(method: str) -> None:
    asking = sampler(method, BANKS, WIDTH, points=20, batch=8)
    assert asking.total == 20
    sizes: list[int] = []
    while asked := asking.ask():
        sizes.append(len(asked))
        asking.tell([Feedback((1.0,), True)] * len(asked))
    assert sizes == [8, 8, 4]


@pytest.mark.parametrize("method", ["tpe", "nsga2"])
def test_the_same_seed_and_answers_give_the_same_points(method: str) -> None:
    def value(point: Point) -> float:
        return float(point["banks"]) * float(point["width"])

    first, again = (points_of(sampler(method, BANKS, WIDTH, points=40, seed=3), value) for _ in range(2))
    assert first == again
    assert first != points_of(sampler(method, BANKS, WIDTH, points=40, seed=4), value)


def test_tpe_learns() -> None:
    """Where 8 banks and a small width are best, later points have them more often than earlier ones."""
    points = points_of(sampler("tpe", BANKS, WIDTH, points=120, seed=0), lambda p: float(p["width"]) / float(p["banks"]) + 1)
    good = [point["banks"] == 8 and point["width"] < 10 for point in points]
    assert sum(good[-40:]) > 2 * sum(good[:40])


def test_points_without_a_valid_mapping_are_told_as_worse_than_all_others() -> None:
    asking = sampler("tpe", BANKS, points=8, batch=4)
    asking.ask()
    asking.tell([Feedback(None, False), Feedback((100.0,), True), Feedback((1e4,), False), Feedback(None, False)])
    told = [trial.values for trial in asking.study.trials[:4]]
    assert told[1:3] == [[math.log(100.0)], [math.log(1e4)]]
    assert told[0][0] > told[2][0]
    assert told[3] == [math.log(1e4) + 1]


class Trial:
    """Answers like Optuna's, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object, object]] = []

    def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> int:
        self.asked.append(("int", low, high))
        return high

    def suggest_float(self, name: str, low: float, high: float, log: bool) -> float:
        self.asked.append(("log" if log else "float", low, high))
        return low

    def suggest_categorical(self, name: str, values: list[int]) -> int:
        self.asked.append(("choice", values[0], values[-1]))
        return values[0]


@pytest.mark.parametrize(
    ("parameter", "asked", "value"),
    [
        (BANKS, [("int", 0, 3)], 8),
        (FORMAT, [("choice", 0, 1)], "none"),
        (WIDTH, [("log", 1.0, 1000.0)], 1.0),
        (LANES, [("int", 4, 9)], 9),
        (Parameter(name="x", kind="choice", values=("only",)), [], "only"),
    ],
    ids=["numbers by their place", "labels", "a logarithmic range", "whole numbers", "a single value"],
)
def test_what_is_suggested(parameter: Parameter, asked: list[tuple[str, object, object]], value: object) -> None:
    trial = Trial()
    assert suggested_value(parameter, trial) == value
    assert trial.asked == asked
