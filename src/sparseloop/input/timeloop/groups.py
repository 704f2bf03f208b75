"""Collects the constraints of one target: macros of the v0.4 front end are spelled out, several statements combined."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sparseloop.input.diagnostics import Path
from sparseloop.input.timeloop.directives import Factor, known_tensors, parse_factors
from sparseloop.input.timeloop.problem import Problem
from sparseloop.input.timeloop.sections import ImportLog, PlacedMapping, Plain, Section

CONSTRAINT_KINDS = {
    "spatial": "spatial",
    "temporal": "temporal",
    "dataspace": "dataspace",
    "datatype": "dataspace",
    "bypass": "dataspace",
    "bypassing": "dataspace",
    "max_overbooked_proportion": "max_overbooked_proportion",
    "utilization": "utilization",
    "parallelism": "parallelism",
}
_LOOPS = ("spatial", "temporal")
_TENSORS = ("no_reuse", "no_temporal_reuse", "no_multicast_no_reduction", "no_link_transfer", "no_coalesce", "rmw_first_update")
_MACROS = ("factors_only", "no_iteration_over_dataspaces", "must_iterate_over_dataspaces")


@dataclass(kw_only=True)
class Group:
    """All constraints of one kind (spatial, temporal, dataspace, ...) at one target."""

    target: str
    kind: str
    path: Path
    factors: dict[tuple[str, str], Factor] = field(default_factory=dict[tuple[str, str], Factor])
    """(dimension, relation) to the factor."""
    keep: list[str] = field(default_factory=list[str])
    bypass: list[str] = field(default_factory=list[str])
    rest: dict[str, Plain] = field(default_factory=dict[str, Plain])
    maximize: list[list[str]] = field(default_factory=list[list[str]])
    capacity: int | None = None

    def fixed(self, bounds: Mapping[str, int]) -> Group:
        """What a mapping takes over: equal factors that the dimension admits, order and bypass, but no limits."""
        factors = {key: factor for key, factor in self.factors.items() if key[1] == "=" and factor.bound <= bounds[key[0]]}
        limits = ("default_max_factor", "default_min_factor", "remainders")
        rest = {key: value for key, value in self.rest.items() if key not in limits}
        return replace(self, factors=factors, rest=rest, keep=[*self.keep], bypass=[*self.bypass], maximize=[])

    def placed(self) -> PlacedMapping:
        """The group as one directive of Timeloop's v0.3."""
        data: dict[str, Plain] = {"target": self.target, "type": self.kind, **self.rest}
        if self.factors:
            data["factors"] = [_text(factor) for factor in self.factors.values()]
        if self.kind == "dataspace":
            data |= {"keep": self.keep, "bypass": self.bypass}
        return PlacedMapping(data, self.path)


def _text(factor: Factor) -> str:
    residual = "" if factor.residual is None else f",{factor.residual}"
    return f"{factor.name}{factor.relation}{factor.bound}{residual}"


def read_group(section: Section, target: str, kind: str, problem: Problem) -> Group:
    """One statement with its macros spelled out."""
    group = Group(target=target, kind=kind, path=section.path)
    section.used |= {"target", "name", "type"}
    if kind in _LOOPS:
        _read_loops(section, group, problem)
    elif kind == "dataspace":
        _read_spaces(section, group, problem)
    for key in section.data:
        name = str(key).replace("-", "_")
        if name not in section.used and name != "!":
            group.rest[name] = section.take(name)
    return group


def tensors_of(section: Section, key: str, problem: Problem) -> list[str]:
    """Names of data spaces; '*' stands for all of them."""
    if "*" in (section.names(key) or ()):
        return list(problem.tensors)
    return list(known_tensors(section, key, problem.tensors))


def _read_loops(section: Section, group: Group, problem: Problem) -> None:
    names = problem.loops
    for key in ("factors", "factors_only"):
        if section.has(key):
            for factor in parse_factors(section.factors(key), names, section.key_path(key), section.log):
                _add(group, factor, section)
    ones = set[str]()
    if section.has("factors_only"):
        ones |= {name for name in names if not any(name == known for known, _ in group.factors)}
    if section.has("no_iteration_over_dataspaces"):
        ones |= _dimensions(tensors_of(section, "no_iteration_over_dataspaces", problem), problem)
    if section.has("must_iterate_over_dataspaces"):
        ones |= set(names) - _dimensions(tensors_of(section, "must_iterate_over_dataspaces", problem), problem)
    for name in names:
        if name in ones:
            _add(group, Factor(name=name, relation="=", bound=1), section)
    section.used |= set(_MACROS) | {"factors"}
    _read_maximized(section, group, problem)
    spatial = group.kind == "spatial"
    for key in _TENSORS:
        if section.has(key) and (found := tensors_of(section, key, problem)):
            ours = ("no_multicast_no_reduction" if spatial else "no_temporal_reuse") if key == "no_reuse" else key
            group.rest[ours] = found
        section.used.add(key)


def _read_maximized(section: Section, group: Group, problem: Problem) -> None:
    lists = section.items("maximize_dims")
    group.capacity = section.count("maximize_dims_capacity")
    if lists and not isinstance(lists[0], list):
        lists = [lists]
    for wanted in lists:
        known = [str(name) for name in wanted if str(name) in problem.loops]
        if len(known) < len(wanted):
            section.log.error(section.key_path("maximize_dims"), f"unknown dimension among {wanted}")
        group.maximize.append(known)


def _dimensions(tensors: Collection[str], problem: Problem) -> set[str]:
    """The loops that index one of the tensors."""
    inside = {d for name in tensors for d in problem.tensors[name]}
    return {name for name in problem.loops if inside & set(problem.dimensions(name))}


def _read_spaces(section: Section, group: Group, problem: Problem) -> None:
    group.keep, group.bypass = tensors_of(section, "keep", problem), tensors_of(section, "bypass", problem)
    for key, named, others in (("keep_only", group.keep, group.bypass), ("bypass_only", group.bypass, group.keep)):
        if section.has(key):
            only = tensors_of(section, key, problem)
            named += only
            others += [name for name in problem.tensors if name not in only]
    section.used |= {"keep_only", "bypass_only"}
    group.keep, group.bypass = list(dict.fromkeys(group.keep)), list(dict.fromkeys(group.bypass))
    if both := set(group.keep) & set(group.bypass):
        section.log.error(section.path, f"'{group.target}' both keeps and bypasses {', '.join(sorted(both))}")


def _add(group: Group, factor: Factor, section: Section) -> None:
    key = (factor.name, factor.relation)
    known = group.factors.get(key)
    if known is not None and (known.bound, known.residual) != (factor.bound, factor.residual):
        message = f"{group.kind} factors of '{group.target}' contradict each other: {_text(known)} and {_text(factor)}"
        section.log.error(section.path, message)
    group.factors[key] = factor


def combine(group: Group, other: Group, section: Section, *, override: bool = False) -> None:
    """Adds a later statement; what contradicts is a mistake, except order and marks where `override` is given."""
    group.path = other.path
    for factor in other.factors.values():
        _add(group, factor, section)
    for key, value in other.rest.items():
        if not override and key in group.rest and group.rest[key] != value:
            section.log.error(section.path, f"'{key}' ({group.kind}) of '{group.target}' is given twice, with different values")
        group.rest[key] = value
    group.keep += [name for name in other.keep if name not in group.keep]
    group.bypass += [name for name in other.bypass if name not in group.bypass]
    if both := set(group.keep) & set(group.bypass):
        section.log.error(section.path, f"'{group.target}' both keeps and bypasses {', '.join(sorted(both))}")
    group.maximize += other.maximize
    group.capacity = group.capacity if other.capacity is None else other.capacity


def remaining(groups: Collection[Group], bounds: Mapping[str, int]) -> dict[str, int]:
    """The part of each dimension that is not fixed by factors with '='."""
    result = dict(bounds)
    for group in groups:
        for (name, relation), factor in group.factors.items():
            if relation == "=":
                result[name] = -(-result[name] // factor.bound)
    return result


# --- maximize_dims ------------------------------------------------------------------------------------------

FactorChoice = tuple[float, tuple[tuple[str, int], ...]]
"""Mean number of busy children, and (dimension, factor) pairs."""


def maximize_factors(groups: list[Group], fanouts: Mapping[str, int], problem: Problem, log: ImportLog) -> None:
    """Fixes the factors of all groups with `maximize_dims`: spatial groups first, from the innermost outwards."""
    inner_first = [group for group in reversed(groups) if group.maximize]
    spatial = [group for group in inner_first if group.kind == "spatial"]
    for group in [*spatial, *(group for group in inner_first if group.kind != "spatial")]:
        capacity = group.capacity or (fanouts.get(group.target) if group.kind == "spatial" else None)
        if capacity is None:
            log.error(group.path, f"maximize_dims ({group.kind}) of '{group.target}' needs maximize_dims_capacity")
            continue
        for dimensions in group.maximize:
            _maximize(group, dimensions, capacity, remaining(groups, problem.loops), log)
        group.maximize = []


def _maximize(group: Group, dimensions: list[str], capacity: int, free: Mapping[str, int], log: ImportLog) -> None:
    for (name, relation), factor in group.factors.items():
        if relation in ("=", ">="):
            capacity //= factor.bound
        if name in dimensions:
            log.error(group.path, f"maximize_dims: '{name}' of '{group.target}' has a factor already")
            return
    found = dict(best_factors(tuple((name, free[name]) for name in dimensions), capacity)[1])
    for name in dimensions:
        group.factors[name, "="] = Factor(name=name, relation="=", bound=found.get(name, 1))


@lru_cache(maxsize=4096)
def best_factors(sizes: tuple[tuple[str, int], ...], capacity: int) -> FactorChoice:
    """Factors whose product is at most `capacity` with the most busy children on average.

    The last factor may be imperfect: 7 along at most 4 children is 4 (and 3 in the second round), 3.5 on average.

    >>> best_factors((("M", 7), ("C", 3)), 4)
    (3.5, (('M', 4),))
    """
    found: FactorChoice = (1.0, ())
    if capacity <= 1:
        return found
    for i, (name, size) in enumerate(sizes):
        if size > capacity:
            rounds = -(-size // capacity)
            factor = -(-size // rounds)
            found = max(found, (size / rounds, ((name, factor),)), key=lambda choice: choice[0])
        for prime in _primes(size):
            if prime <= capacity:
                inner = best_factors((*sizes[:i], (name, size // prime), *sizes[i + 1 :]), capacity // prime)
                found = max(found, (inner[0] * prime, _times(inner[1], name, prime)), key=lambda choice: choice[0])
    return found


def _times(pairs: tuple[tuple[str, int], ...], name: str, prime: int) -> tuple[tuple[str, int], ...]:
    factors = dict(pairs)
    factors[name] = factors.get(name, 1) * prime
    return tuple(factors.items())


def _primes(number: int) -> Iterator[int]:
    """The different prime factors."""
    divisor = 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            yield divisor
            while number % divisor == 0:
                number //= divisor
        divisor += 1
    if number > 1:
        yield number
