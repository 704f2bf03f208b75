"""Factorizations of one rank: counted, numbered, drawn, checked."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.mapper.space.factorizations import Factorizations, SlotGroup, divisors, padded_sizes, primes


def test_factorizations_are_numbered_without_gaps() -> None:
    groups = (
        SlotGroup(level=0, temporal=True, limits=(None,)),
        SlotGroup(level=0, temporal=False, limits=(4, 3), high=6),
        SlotGroup(level=1, temporal=True, limits=(None,), low=2),
    )
    space = Factorizations(sizes=(24,), groups=groups)
    every = space.numbered(np.arange(space.count))
    assert (every.prod(axis=0) == 24).all()
    assert len({tuple(column) for column in every.T}) == space.count
    assert space.legal(every).all()
    brute = [(a, x, y, b) for a in range(1, 25) for x in range(1, 5) for y in range(1, 4) for b in range(2, 25)
             if a * x * y * b == 24 and x * y <= 6]  # fmt: skip
    assert sorted(map(tuple, every.T.tolist())) == sorted(brute)


def test_large_ranks_are_drawn_without_a_table() -> None:
    groups = tuple(SlotGroup(level=i, temporal=True, limits=(None,)) for i in range(9))
    space = Factorizations(sizes=(2**10 * 3**5,), groups=groups)
    assert space.count > 1 << 16
    drawn = space.drawn(500, np.random.default_rng(0))
    assert space.legal(drawn).all()
    assert len({tuple(column) for column in drawn.T}) > 450


def test_padded_sizes_use_the_lanes_in_the_fewest_passes() -> None:
    assert padded_sizes(13, (14,)) == (13,)
    assert padded_sizes(17, (16,)) == (17, 18)
    assert padded_sizes(100, (16, 14)) == (100, 104, 105)


@pytest.mark.parametrize(
    ("number", "of", "prime"), [(1, (1,), ()), (12, (1, 2, 3, 4, 6, 12), (2, 3)), (49, (1, 7, 49), (7,)), (13, (1, 13), (13,))]
)
def test_divisors_and_primes(number: int, of: tuple[int, ...], prime: tuple[int, ...]) -> None:
    assert divisors(number) == of
    assert primes(number) == prime


def test_patterns_count_factorizations_by_the_levels_that_have_a_loop() -> None:
    """6 over two temporal slots: 1x6 and 6x1 have a loop at one level, 2x3 and 3x2 at both."""
    groups = tuple(SlotGroup(level=level, temporal=True, limits=(None,)) for level in range(2))
    assert Factorizations(sizes=(6,), groups=groups).patterns({0: 0, 1: 1}) == {0b01: 1, 0b10: 1, 0b11: 2}
    assert Factorizations(sizes=(6,), groups=groups).patterns({1: 0}) == {0b0: 1, 0b1: 3}
