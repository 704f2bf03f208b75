"""The macro `maximize_dims`: the factors that fill a fanout (or a capacity) best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from sparseloop.input.timeloop.directives import Factor
from sparseloop.input.timeloop.groups import Group, remaining
from sparseloop.input.timeloop.problem import Problem
from sparseloop.input.timeloop.sections import Log

Choice = tuple[float, tuple[tuple[str, int], ...]]
"""Mean number of busy children, and (dimension, factor) pairs."""


def fill(groups: list[Group], fanouts: Mapping[str, int], problem: Problem, log: Log) -> None:
    """Fixes the factors of every group that asks for it: spatial ones first, the innermost first."""
    inner_first = [group for group in reversed(groups) if group.maximize]
    spatial = [group for group in inner_first if group.kind == "spatial"]
    for group in [*spatial, *(group for group in inner_first if group.kind != "spatial")]:
        capacity = group.capacity or (fanouts.get(group.target) if group.kind == "spatial" else None)
        if capacity is None:
            log.error(group.path, f"maximize_dims ({group.kind}) of '{group.target}' needs maximize_dims_capacity")
            continue
        for dimensions in group.maximize:
            _fill(group, dimensions, capacity, remaining(groups, problem.loops), log)
        group.maximize = []


def _fill(group: Group, dimensions: list[str], capacity: int, free: Mapping[str, int], log: Log) -> None:
    for (name, relation), factor in group.factors.items():
        if relation in ("=", ">="):
            capacity //= factor.bound
        if name in dimensions:
            log.error(group.path, f"maximize_dims: '{name}' of '{group.target}' has a factor already")
            return
    found = dict(best(tuple((name, free[name]) for name in dimensions), capacity)[1])
    for name in dimensions:
        group.factors[name, "="] = Factor(name=name, relation="=", bound=found.get(name, 1))


@lru_cache(maxsize=4096)
def best(sizes: tuple[tuple[str, int], ...], capacity: int) -> Choice:
    """Factors whose product is at most `capacity` with the most busy children on average.

    The last factor may be imperfect: 7 along at most 4 children is 4 (and 3 in the second round), 3.5 on average.

    >>> best((("M", 7), ("C", 3)), 4)
    (3.5, (('M', 4),))
    """
    found: Choice = (1.0, ())
    if capacity <= 1:
        return found
    for i, (name, size) in enumerate(sizes):
        if size > capacity:
            rounds = -(-size // capacity)
            factor = -(-size // rounds)
            found = max(found, (size / rounds, ((name, factor),)), key=lambda choice: choice[0])
        for prime in _primes(size):
            if prime <= capacity:
                inner = best((*sizes[:i], (name, size // prime), *sizes[i + 1 :]), capacity // prime)
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
