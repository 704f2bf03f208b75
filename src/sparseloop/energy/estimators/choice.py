"""Chooses the estimate: that of the estimator asked for by name, else of the highest confidence, then priority, then name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, TypeVar, cast

from sparseloop.energy.estimators.builtin import Builtin
from sparseloop.energy.estimators.query import Answer, Estimate, Estimator, Query

T = TypeVar("T")
GROUP = "sparseloop.estimators"
"""Entry points of this group are estimators: instances, or classes that need no arguments."""


LONGEST_NOTE = 200
"""Longest text of an exception in a note, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The installed estimators by name, notes about those that cannot be used, and a memory of answers."""

    estimators: tuple[Estimator, ...]
    notes: tuple[str, ...] = ()
    answered: dict[str, Offer] = field(default_factory=dict[str, "Offer"], compare=False, repr=False)
    """Best answers by query: the designs of a study have most of their hardware in common."""
    priced: dict[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)
    """Prices of whole levels by request, for the same reason."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(estimator.name for estimator in self.estimators)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The best answer to a query, number by number, and notes about estimators that failed."""

    answer: Answer
    notes: tuple[str, ...] = ()
    asked: frozenset[str] = frozenset()
    """Names of the estimators that answered or failed."""


@cache
def registry() -> Registry:
    """The built-in estimator and those of installed packages, loaded at the first question."""
    found: dict[str, Estimator] = {}
    notes: list[str] = []
    points = sorted(metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    loaders = [("", Builtin), *((f"'{point.name}' ({point.value})", point.load) for point in points)]
    for label, load in loaders:  # not by the type of `point`: the backport importlib_metadata, once imported, gives its own
        try:
            loaded = cast("object", load())
            ready = cast("object", loaded() if isinstance(loaded, type) else loaded)
        except Exception as error:  # whatever a package does wrong, it is only left out
            notes.append(f"estimator {label} cannot be loaded: {_told(error)}")
            continue
        if not isinstance(ready, Estimator) or not _number(ready.priority):
            notes.append(f"estimator {label} is none: it needs name, priority and estimate(query)")
        elif str(ready.name) in found:
            notes.append(f"estimator {label} is left out: there is another one of the name '{ready.name}'")
        else:
            found[str(ready.name)] = ready
    return Registry(estimators=tuple(found[name] for name in sorted(found)), notes=tuple(notes))


MAX_REMEMBERED = 10_000
"""At most this many answers are remembered."""


def offer(query: Query, *, wanted: str | None = None, among: Registry | None = None, backend: Estimator | None = None) -> Offer:
    """Every number from the best estimator that has it; sources begin with the estimator's name. `backend`: one more."""
    registered, key = among or registry(), f"{wanted} {query!r}"
    if backend is not None:
        return _offer(query, wanted, (*registered.estimators, backend))
    if (known := registered.answered.get(key)) is not None:
        return known
    found = _offer(query, wanted, registered.estimators)
    if not found.notes:  # what failed may succeed the next time
        remember(registered.answered, key, found)
    return found


def remember(known: dict[str, T], key: str, answer: T) -> None:
    """Adds an answer; when there are too many, all are forgotten."""
    if len(known) >= MAX_REMEMBERED:
        known.clear()
    known[key] = answer


def _offer(query: Query, wanted: str | None, estimators: Sequence[Estimator]) -> Offer:
    answers: list[tuple[Estimator, Answer]] = []
    notes: list[str] = []
    names: set[str] = set()
    for estimator in estimators:
        try:
            answer = checked(estimator.estimate(query))
        except Exception as error:  # a plug-in that fails is passed over, and named
            notes.append(f"estimator '{estimator.name}' failed for {query.class_name}: {_told(error)}")
            names.add(estimator.name)
            continue
        if answer is not None:
            names.add(estimator.name)
            answers.append((estimator, answer))
    actions = sorted({action for _, answer in answers for action in answer.energy_pj})
    energies = {action: _best(((e, a.energy_pj.get(action)) for e, a in answers), wanted) for action in actions}
    return Offer(
        answer=Answer(
            energy_pj={action: energy for action, energy in energies.items() if energy is not None},
            area_um2=_best(((e, a.area_um2) for e, a in answers), wanted),
            leak_mw=_best(((e, a.leak_mw) for e, a in answers), wanted),
        ),
        notes=tuple(notes),
        asked=frozenset(names),
    )


def _told(error: Exception) -> str:
    """The text of an exception on one line."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return text if len(text) <= LONGEST_NOTE else text[:LONGEST_NOTE] + " ..."


def _best(candidates: Iterable[tuple[Estimator, Estimate | None]], wanted: str | None) -> Estimate | None:
    """The number of the estimator asked for; else the surest, of the highest priority, of the first name."""
    known: Sequence[tuple[Estimator, Estimate]] = [(e, n) for e, n in candidates if n is not None]
    if not known:
        return None
    estimator, best = min(known, key=lambda c: (c[0].name != wanted, -c[1].confidence, -c[0].priority, c[0].name))
    return Estimate(value=best.value, source=f"{estimator.name}: {best.source}", confidence=best.confidence)


def checked(answer: object) -> Answer | None:
    """The answer of an estimator if every number in it is one, none below zero; else `ValueError`."""
    if answer is None:
        return None
    if not isinstance(answer, Answer):
        raise ValueError(f"estimate() returned {type(answer).__name__}, neither an Answer nor None")
    for what, number in (*answer.energy_pj.items(), ("area_um2", answer.area_um2), ("leak_mw", answer.leak_mw)):
        if number is None:
            continue
        if not isinstance(cast("object", number), Estimate):
            raise ValueError(f"{what} is no Estimate")
        if not _number(number.value) or number.value < 0:
            raise ValueError(f"{what} is {number.value!r}, no number from 0")
        if not _number(number.confidence) or not 0 <= number.confidence <= 1:
            raise ValueError(f"the confidence of {what} is {number.confidence!r}, no number from 0 to 1")
    return answer


def _number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
