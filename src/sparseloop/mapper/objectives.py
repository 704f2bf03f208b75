"""Objectives as values: what a search minimizes, by name or combined; Pareto fronts over several of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.input.diagnostics import Diagnostic, SpecError, did_you_mean

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A quantity to be minimized; of several parts the first that differs decides."""

    name: str
    needs: tuple[str, ...]
    """Columns of a batch that it is computed from."""
    parts: tuple[Callable[[Columns], Floats], ...]

    def values(self, columns: Columns) -> Floats:
        """Shape (parts, mappings)."""
        return np.stack([np.asarray(part(columns), dtype=np.float64) for part in self.parts])

    def scalars(self, columns: Columns) -> Floats:
        """The first part: the one number that searchers learn from; shape (mappings,)."""
        return np.asarray(self.parts[0](columns), dtype=np.float64)


def _single(name: str, needs: tuple[str, ...], part: Callable[[Columns], Floats]) -> Objective:
    return Objective(name=name, needs=needs, parts=(part,))


OBJECTIVES: dict[str, Objective] = {
    one.name: one
    for one in (
        _single("energy", ("energy_pj",), lambda c: c["energy_pj"]),
        _single("cycles", ("cycles",), lambda c: c["cycles"]),
        _single("edp", ("energy_pj", "cycles"), lambda c: c["energy_pj"] * c["cycles"]),
        _single("ed2p", ("energy_pj", "cycles"), lambda c: c["energy_pj"] * c["cycles"] ** 2),
        _single("edap", ("energy_pj", "cycles", "area_um2"), lambda c: c["energy_pj"] * c["cycles"] * c["area_um2"]),
        _single("area_cycles", ("cycles", "area_um2"), lambda c: c["cycles"] * c["area_um2"]),
        _single("area", ("area_um2",), lambda c: c["area_um2"]),
        _single("power", ("energy_pj", "cycles"), lambda c: c["energy_pj"] / c["cycles"]),
        _single("idleness", ("utilization",), lambda c: 1 - c["utilization"]),
    )
}
"""Objectives by name; add your own `Objective` here."""

ALIASES = {"delay": "cycles", "latency": "cycles", "energy_pj": "energy", "area_um2": "area", "power_w": "power"}


def weighted(weights: Mapping[str, float]) -> Objective:
    """The sum of objectives times weights."""
    terms = [(objective(name), weight) for name, weight in weights.items()]

    def total(columns: Columns) -> Floats:
        return np.sum([weight * term.scalars(columns) for term, weight in terms], axis=0)

    name = " + ".join(f"{weight:g}*{term.name}" for term, weight in terms)
    return Objective(name=name, needs=_needs_of([term for term, _ in terms]), parts=(total,))


def lexicographic(*names: str | Objective) -> Objective:
    """The first objective decides, the second where the first is equal, and so on."""
    goals = [objective(name) for name in names]
    parts = tuple(part for goal in goals for part in goal.parts)
    return Objective(name=",".join(goal.name for goal in goals), needs=_needs_of(goals), parts=parts)


def _needs_of(goals: list[Objective]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(need for goal in goals for need in goal.needs))


def objective(given: str | Objective) -> Objective:
    """An objective by name: 'edp', 'energy,cycles' (lexicographic), '0.7*energy + 2e3*cycles' (weighted sum)."""
    if isinstance(given, Objective):
        return given
    words = [word.strip() for word in given.split(",")]
    if len(words) > 1:
        return lexicographic(*words)
    if terms := _terms(words[0]):
        return weighted(terms)
    name = words[0].lower().replace("-", "_")
    name = ALIASES.get(name, name)
    if name not in OBJECTIVES:
        hint = did_you_mean(name, (*OBJECTIVES, *ALIASES))
        raise SpecError([Diagnostic(message=f"unknown objective '{words[0]}'", hint=hint)])
    return OBJECTIVES[name]


def _terms(text: str) -> dict[str, float]:
    """'0.7*energy + cycles' as weights; nothing if it is a plain name."""
    if "*" not in text and "+" not in text:
        return {}
    weights: dict[str, float] = {}
    for term in re.split(r"(?<![eE])\+", text):
        weight, star, name = term.strip().rpartition("*")
        name = name.strip()
        try:
            weights[name] = weights.get(name, 0.0) + (float(weight) if star else 1.0)
            if not math.isfinite(weights[name]):
                raise ValueError
        except ValueError:
            raise SpecError(
                [Diagnostic(message=f"cannot read '{term.strip()}' as weight*objective", hint="0.7*energy")]
            ) from None
    return weights


def objectives(given: str | tuple[str | Objective, ...]) -> tuple[Objective, ...]:
    """Several objectives: 'energy,cycles' or a tuple."""
    return tuple(objective(name) for name in (given.split(",") if isinstance(given, str) else given))


# --- Pareto -------------------------------------------------------------------------------------------------


def pareto(points: Floats) -> Ints:
    """Positions of the points on the front, sorted by the first row; `points` of shape (objectives, points).

    A point is on the front if no other is at least as good in every objective; of equal points the first is.
    """
    order: Ints = np.lexsort(np.concatenate([np.arange(len(points[0]))[None], points[::-1]]))
    if len(points) == 1:
        return order[:1]
    if len(points) == 2:
        second = points[1, order]
        before = np.minimum.accumulate(np.concatenate([[np.inf], second]))[:-1]
        return order[second < before]
    kept: list[int] = []
    for i in order:
        if not kept or not bool((points[:, kept] <= points[:, i, None]).all(axis=0).any()):
            kept.append(int(i))
    return np.array(kept, dtype=np.int64)
