"""Replaces loops over flattened dimensions by loops over the dimensions themselves, if they split exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sparseloop.input.timeloop.problem import Problem
from sparseloop.input.timeloop.sections import Section

if TYPE_CHECKING:
    from sparseloop.input.timeloop.mapping import Directive, NestLoop

    Target = tuple[str, list[NestLoop], Directive]


def digit_loops(bound: int, stride: int, radices: list[tuple[str, int]]) -> list[tuple[str, int]] | None:
    """The mixed-radix digits a loop runs over: (dimension, bound), fastest first; None if it cuts a digit unevenly.

    The loop takes the values 0, stride, ..., (bound - 1) * stride of a variable x = d0 + n0 * (d1 + n1 * ...).

    >>> pieces(8, 2, [("h", 8), ("v", 2)])
    [('h', 4), ('v', 2)]
    """
    result, low, place = list[tuple[str, int]](), stride, 1
    end = stride * bound
    for name, size in radices:
        top = place * size
        if low < top and low < end:
            high = min(end, top)
            if low % place or high % low:
                return None
            result.append((name, high // low))
            low = high
        place = top
    return result if low == end else None


def split_loops(ordered: list[Target], problem: Problem, section: Section) -> tuple[list[Target], frozenset[str]]:
    """Replaces every loop over a flattened variable, and names the variables of which a loop became several.

    What does not split exactly is a mistake.
    """
    strides, several = dict.fromkeys(problem.flattened, 1), set[str]()
    result = list[tuple[str, list["NestLoop"], "Directive"]]()
    for target, loops, directive in reversed(ordered):
        inner_first = list["NestLoop"]()
        for loop in reversed(loops):
            found = list(_split(loop, strides, problem, section))
            several |= {loop.rank} if len(found) > 1 else set()
            inner_first += found
        result.append((target, inner_first[::-1], directive))
    return result[::-1], frozenset(several)


def _split(loop: NestLoop, strides: dict[str, int], problem: Problem, section: Section) -> Iterator[NestLoop]:
    """The loops that stand for one loop, innermost first; counts up the stride of its variable."""
    if loop.rank not in problem.flattened:
        yield loop
        return
    radices = [(d, problem.bounds[d]) for d in problem.flattened[loop.rank]]
    found = digit_loops(loop.bound, strides[loop.rank], radices) if loop.residual == loop.bound else None
    strides[loop.rank] *= loop.bound
    if found is None:
        sizes = " x ".join(f"{d}={n}" for d, n in radices)
        message = f"loop {loop.rank}={loop.bound} cuts the flattened dimensions {sizes} unevenly: this is not modelled"
        section.log.error(section.path[:-1], message)
        return
    for rank, bound in found:
        if bound > 1:
            yield type(loop)(rank=rank, bound=bound, residual=bound, axis=loop.axis)


def flattened_ranks(group: tuple[str, ...], flattened: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """A group of format ranks with flattened variables replaced by their dimensions."""
    return tuple(d for name in group for d in flattened.get(name, (name,)))
