"""The key under which counts are shared: a field left out by mistake would give one machine the counts of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

import sparseloop as sl
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Arch, Level, Network
from sparseloop.model.design.counting_key import PRICE_ONLY, counting_key
from sparseloop.model.design.sparse import Sparse
from tests.helpers import studies

DESIGN = sl.design_of(sl.loads(studies.SPEC, overrides=["architecture.levels.DRAM.network={energy_per_hop: 3}"]))


def with_level(level: Level) -> Design:
    return replace(DESIGN, arch=replace(DESIGN.arch, levels=(level, *DESIGN.arch.levels[1:])))


def with_network(network: Network) -> Design:
    return with_level(replace(DESIGN.arch.levels[0], network=network))


OUTER = DESIGN.arch.levels[0]
assert OUTER.network is not None
RECORDS: dict[type, tuple[Any, Callable[[Any], Design]]] = {
    Design: (DESIGN, lambda design: design),
    Sparse: (DESIGN.sparse, lambda sparse: replace(DESIGN, sparse=sparse)),
    Arch: (DESIGN.arch, lambda arch: replace(DESIGN, arch=arch)),
    Level: (OUTER, with_level),
    Network: (OUTER.network, with_network),
}
"""A record of every kind, and the design with that record in its place."""
FIELDS = [(kind, f.name) for kind in RECORDS for f in fields(kind)]


def test_every_listed_record_is_tried_and_every_listed_field_exists() -> None:
    assert RECORDS.keys() == PRICE_ONLY.keys()
    for kind, names in PRICE_ONLY.items():
        assert names <= {f.name for f in fields(kind)}


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_every_field_changes_the_key_unless_only_prices_see_it(kind: type, name: str) -> None:
    record, placed = RECORDS[kind]
    changed = placed(replace(record, **{name: (object(),)}))
    assert (counting_key(changed) == counting_key(DESIGN)) == (name in PRICE_ONLY[kind])


@pytest.mark.parametrize("kind", [Design, Sparse, Arch, Level, Network])
def test_a_new_field_changes_the_key_without_being_listed(kind: type) -> None:
    record, placed = RECORDS[kind]

    @dataclass(frozen=True, kw_only=True)
    class Wider(kind):
        new: int

    old = {f.name: getattr(record, f.name) for f in fields(kind)}
    assert counting_key(placed(Wider(**old, new=1))) == counting_key(placed(Wider(**old, new=1)))
    assert counting_key(placed(Wider(**old, new=1))) != counting_key(placed(Wider(**old, new=2)))


def test_equal_designs_have_equal_keys() -> None:
    again = sl.design_of(sl.loads(studies.SPEC, overrides=["architecture.levels.DRAM.network={energy_per_hop: 3}"]))
    assert again is not DESIGN
    assert counting_key(again) == counting_key(DESIGN)
    assert hash(counting_key(again)) == hash(counting_key(DESIGN))
