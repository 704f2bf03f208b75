"""One nest that hosts the orders of many templates."""

from __future__ import annotations

import pytest

from sparseloop.evaluation import host_nest
from sparseloop.evaluation.host_nest import Hosts, extended_host


@pytest.mark.parametrize(
    ("host", "orders", "longer"),
    [
        ((), [], ()),
        ((), [("a", "b")], ("a", "b")),
        (("a", "b"), [("b",)], ("a", "b")),
        (("a", "b"), [("b", "a")], ("a", "b", "a")),
        ((), [("b",), ("a", "b", "c"), ("a", "c")], ("a", "b", "c")),
    ],
)
def test_a_host_grows_no_more_than_it_must(host: tuple[str, ...], orders: list[tuple[str, ...]], longer: tuple[str, ...]) -> None:
    assert extended_host(host, orders) == longer


def test_a_known_host_is_used_again_unless_it_is_far_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_nest, "SPARE", 0)
    hosts = Hosts(1)
    assert hosts.fitting([[("a", "b")]]) == (("a", "b"),)
    assert hosts.fitting([[("a", "c", "b")]]) == (("a", "c", "b"),)
    assert hosts.fitting([[("a", "b")]]) == (("a", "c", "b"),)
    assert hosts.fitting([[("b",)]]) == (("b",),)
    assert hosts.fitting([[("c", "b")]]) == (("a", "c", "b"),)
    assert hosts.known == [(("a", "c", "b"),), (("b",),)]
