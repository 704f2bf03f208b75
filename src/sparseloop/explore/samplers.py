"""Which points of a design space are evaluated: all, random ones, or those that Optuna asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np

from sparseloop.explore.conditions import Value
from sparseloop.explore.schema import SearchSpec
from sparseloop.explore.space import DesignSpace, Parameter
from sparseloop.input.extras import import_extra

Point = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Feedback:
    """What came of a point: the objectives, nothing if it has no valid mapping; whether all constraints hold."""

    values: tuple[float, ...] | None
    valid: bool


class Sampler(Protocol):
    """Asks for points; `tell` gets what came of them, in the order in which they were asked."""

    learns: bool
    """False: what is asked does not depend on what was told."""

    @property
    def total(self) -> int | None:
        """How many points there will be, if that is known."""
        ...

    def ask(self) -> Sequence[Point]:
        """The next points; none if there are no more. One that learns asks again only when it was told of all."""
        ...

    def tell(self, told: Sequence[Feedback]) -> None:
        """What came of the points asked last."""
        ...


PORTION = 256
"""Points that a search which does not learn gives at a time."""


class ListedPoints:
    """Points that do not depend on results."""

    learns = False

    def __init__(self, points: Iterator[Point], total: int | None) -> None:
        self._points, self.total = points, total

    def ask(self) -> Sequence[Point]:
        """The next portion."""
        return list(islice(self._points, PORTION))

    def tell(self, told: Sequence[Feedback]) -> None:
        """Nothing is learnt."""


def grid_sampler(space: DesignSpace, search: SearchSpec, objectives: int) -> Sampler:
    """Every combination, the last parameter fastest."""
    return ListedPoints(space.grid(), space.size)


def random_sampler(space: DesignSpace, search: SearchSpec, objectives: int) -> Sampler:
    """Points drawn one by one, each from its own number: the first hundred of a thousand are the same hundred."""

    def random_point(number: int) -> Point:
        rng = np.random.default_rng((search.seed, number))
        return space.point(lambda parameter: _random_value(parameter, rng))

    count = search.points or 0
    return ListedPoints((random_point(number) for number in range(count)), count)


def _random_value(parameter: Parameter, rng: np.random.Generator) -> Value:
    if parameter.values is not None:
        return parameter.values[int(rng.integers(len(parameter.values)))]
    low, high = (math.log(parameter.low), math.log(parameter.high)) if parameter.log else (parameter.low, parameter.high)
    number = float(rng.uniform(low, high))
    number = math.exp(number) if parameter.log else number
    return round(number) if parameter.whole else min(max(number, parameter.low), parameter.high)


# --- Optuna -------------------------------------------------------------------------------------------------

NOTHING = 700.0
"""Logarithm of an objective that is worse than any."""


def _samplers() -> dict[str, Callable[[SearchSpec], Any]]:
    optuna = import_extra("optuna")
    of = optuna.samplers
    return {
        "tpe": lambda search: of.TPESampler(seed=search.seed, constant_liar=True),
        "nsga2": lambda search: of.NSGAIISampler(seed=search.seed, population_size=max(2, search.batch)),
        "nsga3": lambda search: of.NSGAIIISampler(seed=search.seed, population_size=max(2, search.batch)),
        "gp": lambda search: of.GPSampler(seed=search.seed, deterministic_objective=True),
    }


@dataclass
class OptunaSampler:
    """Optuna by its ask and tell: batches of fixed size, told in order, so that workers do not matter."""

    space: DesignSpace
    search: SearchSpec
    study: Any
    left: int
    worst: list[float]
    """Of each objective, as a logarithm."""
    trials: list[Any] = field(default_factory=list[Any])
    learns: bool = True

    @property
    def total(self) -> int | None:
        """As many as the study wants."""
        return self.search.points

    def ask(self) -> Sequence[Point]:
        """The next batch."""
        self.trials = [self.study.ask() for _ in range(min(self.left, self.search.batch))]
        self.left -= len(self.trials)
        return [self.space.point(lambda parameter, trial=trial: suggested_value(parameter, trial)) for trial in self.trials]

    def tell(self, told: Sequence[Feedback]) -> None:
        """Objectives as logarithms; a design without any is a little worse than the worst one met so far."""
        for trial, result in zip(self.trials, told, strict=True):
            logs = None if result.values is None else [math.log(max(value, 1e-300)) for value in result.values]
            if logs is not None:
                before = [-math.inf if worst == NOTHING else worst for worst in self.worst]
                self.worst = [max(pair) for pair in zip(before, logs, strict=True)]
            trial.set_constraint("valid", 0.0 if result.valid else 1.0)
            self.study.tell(trial, [worst + 1 for worst in self.worst] if logs is None else logs)


def optuna_sampler(space: DesignSpace, search: SearchSpec, objectives: int) -> Sampler:
    """One of Optuna's samplers."""
    optuna = import_extra("optuna")
    if search.method == "gp":
        import_extra("torch", "gp")
        import_extra("scipy", "gp")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        sampler = _samplers()[search.method](search)
    study = optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
    return OptunaSampler(space, search, study, search.points or 0, [NOTHING] * objectives)


def suggested_value(parameter: Parameter, trial: Any) -> Value:
    """A value that Optuna chooses: numbers by their place among the values, so that near ones are near."""
    if parameter.values is None:
        if parameter.whole:
            return int(trial.suggest_int(parameter.name, round(parameter.low), round(parameter.high), log=parameter.log))
        return float(trial.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log))
    if len(parameter.values) == 1:
        return parameter.values[0]
    last = len(parameter.values) - 1
    place = (
        trial.suggest_int(parameter.name, 0, last)
        if parameter.numeric
        else trial.suggest_categorical(parameter.name, list(range(last + 1)))
    )
    return parameter.values[int(place)]


SAMPLERS: dict[str, Callable[[DesignSpace, SearchSpec, int], Sampler]] = {
    "grid": grid_sampler,
    "random": random_sampler,
    "tpe": optuna_sampler,
    "nsga2": optuna_sampler,
    "nsga3": optuna_sampler,
    "gp": optuna_sampler,
}
"""What `search: {method: ...}` names; the number is that of the objectives."""
