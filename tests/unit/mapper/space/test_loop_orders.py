"""Orders of loops: what constraints leave free, and classes of orders with the same traffic."""

from __future__ import annotations

from itertools import permutations

import pytest

from sparseloop.mapper.space.loop_orders import level_order, order_classes

A, B, Z = frozenset("mk"), frozenset("kn"), frozenset("mn")
CONV = tuple(map(frozenset, ("ncpqrs", "mcrs", "nmpq")))


def test_orders_per_level_fall_into_the_classes_counted_by_hand() -> None:
    """GEMM 6 to 3, convolution 5040 to 15."""
    gemm = order_classes(level_order(None, "mnk"), "mnk", (A, B, Z))
    assert gemm.count(0b111) == 3
    convolution = order_classes(level_order(None, "nmcpqrs"), "nmcpqrs", CONV)
    assert convolution.count(0b1111111) == 15
    assert gemm.count(0b001) == 1
    fixed = order_classes(level_order("m n k", "mnk"), "mnk", (A, B, Z))
    assert [fixed.count(loops) for loops in range(8)] == [1] * 8


@pytest.mark.parametrize("text", [None, "k ...", "... m", "n ... k", "k m n"])
def test_the_library_represents_every_class_once(text: str | None) -> None:
    found = order_classes(level_order(text, "mnkl"), "mnkl", (A, B, frozenset("lm")))
    owned = [(loops, found.signature([found.ranks.index(r) for r in reversed(order) if loops >> found.ranks.index(r) & 1]))
             for order, sets in found.library() for loops in sets]  # fmt: skip
    assert len(owned) == len(set(owned)) == sum(map(len, found.representatives.values()))
    for order, sets in found.library():
        for loops in sets:
            assert found.order.allows([r for r in order if loops >> found.ranks.index(r) & 1])


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (None, 6),
        ("k ...", 2),
        ("... k", 2),
        ("k ... m", 1),
        ("m n k", 1),
    ],
)
def test_a_constraint_fixes_ends_of_the_order(text: str | None, allowed: int) -> None:
    order = level_order(text, "mnk")
    every = set(order.every())
    assert len(every) == order.count == allowed
    assert every == {ranks for ranks in permutations("mnk") if order.allows(ranks)}


def test_loops_that_do_not_exist_leave_an_order_as_it_is() -> None:
    order = level_order("k ... m", "mnk")
    assert order.allows(["k", "m"])
    assert order.allows(["n", "m"])
    assert not order.allows(["m", "k"])
    assert not order.allows(["k", "k"])
    assert not order.allows(["k", "z"])


def test_a_signature_says_what_stands_inside_the_innermost_relevant_loop() -> None:
    """For A[m,k], B[k,n], Z[m,n] and loops k, n, m from the inside: A waits inside no loop, B too, Z inside k."""
    classes = order_classes(level_order(None, "mnk"), "mnk", (A, B, Z))
    m, n, k = range(3)
    assert classes.signature([k, n, m]) == (0, 0, 1 << k)
    assert classes.signature([n, m, k]) == (1 << n, 0, 0)
    assert classes.signature([]) == (-1, -1, -1)
