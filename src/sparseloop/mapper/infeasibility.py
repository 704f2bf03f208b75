"""Why a search found nothing: what fails how often, the nearest miss, limits that conflict and which of them to relax."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.evaluate import evaluate_mapping
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.spec import ConstraintSpec, LevelSpec, Spec
from sparseloop.mapper.searchers import Moves
from sparseloop.mapper.space.constraints import Template
from sparseloop.mapper.space.factorizations import Ints
from sparseloop.mapper.space.mapspace import Mapspace, mapspace, used_share
from sparseloop.mapper.task import Best
from sparseloop.model.cost.requirements import parallelism
from sparseloop.model.design.mapping import Mapping, MappingBatch
from sparseloop.model.pipeline import evaluate_plan, plan_of
from sparseloop.model.status import Status

Floats = npt.NDArray[np.float64]
BLOCKED = 50.0
"""Distance of a mapping whose formats do not fit, or whose factors are wrong: more than any sum of logarithms."""
NO_ROOM = 1e-9
"""What no room at all counts as, so that smaller needs are nearer."""
SECONDS, LEAST_SECONDS = 20.0, 2.0
"""Time for all of it (the nearest miss, and a set of limits that conflict), and the least of it under a short budget of time."""
GLANCE = 0.2
"""Seconds between two looks at the clock: imperfect factors and large given tensors are counted mapping by mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasible:
    """Why there seems to be no valid mapping."""

    evaluated: int
    failures: dict[Status, int]
    """How many of the mappings evaluated raised each flag."""
    nearest: Mapping | None = None
    """The mapping that misses by least."""
    misses: tuple[str, ...] = ()
    """What it violates: level, tensors, needed and available."""
    conflict: tuple[str, ...] = ()
    """Limits that seem to exclude each other, found with all others lifted."""
    helps: tuple[str, ...] = ()
    """Limits that help when they alone are lifted."""
    proven: bool = False
    """True: there is none for sure, the whole space was covered."""
    empty: bool = True
    """False: `nearest` is valid, the search only missed it."""

    def lines(self) -> list[str]:
        """The same in sentences."""
        found = [f"no valid mapping among {self.evaluated} evaluated"] if self.evaluated else ["the constraints admit no mapping"]
        for flag, count in sorted(self.failures.items(), key=lambda item: -item[1]):
            words = (flag.name or "").lower().replace("_", " ")
            found.append(f"  {words}: {count} ({count / max(1, self.evaluated):.1%})")
        found += [f"nearest miss: {text}" for text in self.misses]
        if not self.empty:
            found.append("there are valid mappings, but few: give a larger budget or another seed")
        if self.conflict:
            alone = len(self.conflict) == 1
            sure = "this alone admits none" if alone else "these exclude each other"
            if not self.proven:
                sure = "no mapping was found that respects " + ("this" if alone else "all of these")
            found.append(f"{sure}: " + "; ".join(self.conflict))
        if not self.proven and self.empty:
            found.append("nothing is proven by this search: --method optimal or a larger budget may still find a mapping")
        if self.helps:
            found.append("lifting any one of these helps: " + "; ".join(self.helps))
        return found


def why_infeasible(best: Best, *, seconds: float | None = None) -> Infeasible:
    """Looks for the nearest miss, and for the limits to blame; after `seconds` says what is known by then.

    Without `seconds` it takes no longer than the search had, if that was a time, and at most 20.
    """
    given = best.task.budget.seconds
    if seconds is None:
        seconds = SECONDS if given is None else min(SECONDS, max(LEAST_SECONDS, given))
    space, end = best.task.space, time.monotonic() + seconds
    near = nearest_miss(space, best.task.seed, until=end)
    misses: tuple[str, ...] = ()
    if near is not None and fits(space, near):
        return Infeasible(evaluated=best.evaluated, failures=best.failures, nearest=near, empty=False)
    if near is not None:
        misses = evaluate_mapping(space.design, near).reasons or ("too few instances are used",)
    conflict, helps = blamed(space, best.task.seed, end)
    return Infeasible(
        evaluated=best.evaluated,
        failures=best.failures,
        nearest=near,
        misses=misses,
        conflict=conflict,
        helps=helps,
        proven=best.stopped == "done",
    )


# --- how far off --------------------------------------------------------------------------------------------


def overshoot(space: Mapspace, batch: MappingBatch) -> Floats:
    """How far every mapping is from being valid; 0: valid. Shape: (mappings,).

    The sum of log(needed / available) over the requirements that are not respected, and BLOCKED if one is among them that holds
    or does not hold.
    """
    plan = plan_of(space.design, batch.nest)
    bounds = batch.bounds.astype(np.float64) if batch.residuals is None else batch.bounds
    asked = list(evaluate_plan(plan, bounds, batch.residuals).requirements)
    if space.min_parallelism:
        asked.append(parallelism(space.min_parallelism, used_share(batch, space.design.arch)))
    total, blocked = np.zeros(len(batch)), np.zeros(len(batch), dtype=bool)
    for one in asked:
        if one.exact:
            blocked |= one.violated
        else:
            ratio = np.asarray(one.needed, dtype=np.float64) / np.maximum(one.available, NO_ROOM)
            total += np.where(one.violated, np.log(np.maximum(ratio, 1.0)), 0.0)
    return total + np.where(blocked, BLOCKED, 0.0)


def nearest_miss(space: Mapspace, seed: int, *, until: float, templates: int = 6, rounds: int = 12) -> Mapping | None:
    """The mapping with the smallest overshoot that a short climb finds; a valid one if it meets one; None: the space is empty.

    The climb ends at `until`, in seconds of `time.monotonic`.
    """
    if space.size == 0:
        return None
    moves, members = Moves(space, seed), 256
    best: tuple[float, Template, Ints] | None = None
    for _ in range(templates):
        island = moves.island(members)
        score = _overshoots(space, island.template, island.factors, until)
        for _ in range(rounds):
            if score.min() == 0 or time.monotonic() > until:
                break
            half = np.argsort(score, kind="stable")[: members // 2]
            factors = np.concatenate([island.factors[:, half], moves.small_steps(island.factors[:, half])], axis=1)
            fresh = _overshoots(space, island.template, factors[:, len(half) :], until)
            island.factors, score = factors, np.concatenate([score[half], fresh])
        at = int(score.argmin())
        if best is None or score[at] < best[0]:
            best = (float(score[at]), island.template, island.factors[:, at])
        if best[0] == 0 or time.monotonic() > until:
            break
    assert best is not None
    return space.batch(best[1], best[2][:, None])[0]


def _overshoots(space: Mapspace, template: Template, factors: Ints, until: float) -> Floats:
    """`overshoot` of every column of factors; inf for those that the clock leaves out. At least some are looked at."""
    found = np.full(factors.shape[1], np.inf)
    at, step = 0, 1
    while at < len(found):
        begun = time.monotonic()
        found[at : at + step] = overshoot(space, space.batch(template, factors[:, at : at + step]))
        if found[at : at + step].min() == 0 or time.monotonic() > until:
            break
        pace = max(time.monotonic() - begun, 1e-6) / step
        at, step = at + step, max(1, int(GLANCE / pace))
    return found


def feasible(spec: Spec, seed: int, *, padded: bool, until: float) -> bool:
    """True if a short climb meets a valid mapping before `until`, in seconds of `time.monotonic`."""
    try:
        space = mapspace(spec, padded=padded)
    except SpecError:
        return False
    near = nearest_miss(space, seed, until=until)
    if near is None:
        return False
    return fits(space, near)


def fits(space: Mapspace, mapping: Mapping) -> bool:
    """True if a mapping is valid, utilization and parallelism included."""
    bounds = np.array(mapping.bounds, dtype=np.int64)[:, None]
    batch = MappingBatch(nest=mapping.nest, bounds=bounds, residuals=_column(mapping.residuals))
    return bool(space.columns(batch, ("status",))["status"][0] == 0)


def _column(values: tuple[int, ...] | None) -> Ints | None:
    return None if values is None else np.array(values, dtype=np.int64)[:, None]


# --- whom to blame ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that restricts mappings, and the specification without it."""

    name: str
    lifted: Callable[[Spec], Spec] = field(repr=False)


def limits(space: Mapspace) -> list[Limit]:
    """All capacities, utilizations and constraints."""
    spec, shape = space.spec, {} if space.padded else space.design.einsum.extents
    found: list[Limit] = []
    for i, entry in enumerate(spec.architecture.levels):
        if isinstance(entry, LevelSpec):
            found += [
                Limit(f"{words} of {entry.name}", _level_lifter(i, key)) for key, words in _ARCH.items() if _given(entry, key)
            ]
    for target, rule in spec.constraints.items():
        for key in rule.model_fields_set:
            value = getattr(rule, key)
            if key in ("factors", "max", "min"):
                sign = {"factors": "=", "max": "<=", "min": ">="}[key]
                for rank, bound in value.items():
                    uneven = key == "factors" and shape.get(rank, bound) % bound
                    hint = f" (does not divide {shape[rank]}; --padded admits other factors)" if uneven else ""
                    found.append(Limit(f"{target}: {rank}{sign}{bound}{hint}", _rule_lifter(target, key, rank)))
            elif value not in (None, ()) and key in _RULES:
                text = " ".join(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
                found.append(Limit(f"{target}: {_RULES[key]} {text}", _rule_lifter(target, key, None)))
    return found


_ARCH = {"capacity": "the capacity", "metadata": "the metadata capacity", "min_utilization": "the least utilization"}
_RULES = {
    "default_max": "every factor <=",
    "keep": "keep",
    "bypass": "bypass",
    "order": "order",
    "split": "split",
    "min_utilization": "utilization >=",
    "min_parallelism": "parallelism >=",
}


def _given(entry: LevelSpec, key: str) -> bool:
    return entry.metadata.capacity is not None if key == "metadata" else bool(getattr(entry, key))


def _level_lifter(index: int, key: str) -> Callable[[Spec], Spec]:
    def lifted(spec: Spec) -> Spec:
        levels = list(spec.architecture.levels)
        entry = levels[index]
        assert isinstance(entry, LevelSpec)
        changed: dict[str, Any] = {key: 0.0 if key == "min_utilization" else None}
        if key == "metadata":
            changed = {"metadata": entry.metadata.model_copy(update={"capacity": None})}
        levels[index] = entry.model_copy(update=changed)
        return spec.model_copy(update={"architecture": spec.architecture.model_copy(update={"levels": tuple(levels)})})

    return lifted


def _rule_lifter(target: str, key: str, rank: str | None) -> Callable[[Spec], Spec]:
    def lifted(spec: Spec) -> Spec:
        rule = spec.constraints[target]
        value = (
            {r: bound for r, bound in getattr(rule, key).items() if r != rank}
            if rank
            else ConstraintSpec.model_fields[key].default
        )
        changed = rule.model_copy(update={key: value})
        return spec.model_copy(update={"constraints": {**spec.constraints, target: changed}})

    return lifted


def blamed(space: Mapspace, seed: int, until: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A set of limits that conflict (found by lifting them one after the other for good), and those that help alone.

    Limits that are not looked at before `until` (seconds of `time.monotonic`) stay in the set, and none of them helps.
    """

    def works(lifted: list[Limit]) -> bool:
        spec = space.spec
        for limit in lifted:
            spec = limit.lifted(spec)
        return feasible(spec, seed, padded=space.padded, until=until)

    def needed(lifted: list[Limit]) -> bool:
        return time.monotonic() > until or works(lifted) or time.monotonic() > until

    every = limits(space)
    if not works(every):
        return (), ()
    dropped: list[Limit] = []
    conflict: list[Limit] = []
    for step in _blocks(every):
        if not needed([*dropped, *step]):
            dropped += step
        elif len(step) == 1:
            conflict += step
        else:
            for one in step:
                if needed([*dropped, one]):
                    conflict.append(one)
                else:
                    dropped.append(one)
    helps = [one for one in conflict if time.monotonic() < until and works([one])]
    return tuple(one.name for one in conflict), tuple(one.name for one in helps)


def _blocks(every: list[Limit]) -> list[list[Limit]]:
    """Limits of the same place together: most places have nothing to do with it."""
    found: dict[str, list[Limit]] = {}
    for limit in every:
        found.setdefault(limit.name.partition(":")[0], []).append(limit)
    return list(found.values())
