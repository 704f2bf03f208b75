"""Members of a mapspace: what is one, which keys are equal, which members are one step away."""

from __future__ import annotations

from dataclasses import replace

import pytest

import sparseloop as sl
from sparseloop.mapper.space.members import coordinates, mapping_key
from tests.helpers.tiny_spaces import CONSTRAINED, spec_of


def test_neighbours_are_other_members_one_step_away() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    start = space.sample(1, seed=2)[0]
    near = space.neighbours(start)
    found = [near[i] for i in range(len(near))]
    assert len(found) > 3
    assert all(mapping in space for mapping in found)
    keys = {mapping_key(mapping) for mapping in found}
    assert mapping_key(start) not in keys
    assert len(keys) == len(found)


def test_what_breaks_a_constraint_is_no_member() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    member = space.sample(1, seed=0)[0]
    assert member in space
    assert "mapping" not in space
    assert replace(member, bounds=tuple(2 * n for n in member.bounds)) not in space
    nothing = replace(member.nest, keep=tuple(frozenset[str]() for _ in member.nest.keep))
    assert replace(member, nest=nothing) not in space
    fresh = replace(member.nest, no_temporal_reuse=frozenset({(1, "A")}))
    assert replace(member, nest=fresh) not in space
    with pytest.raises(ValueError, match="no member"):
        space.neighbours(replace(member, nest=nothing))


def test_loops_of_bound_1_do_not_matter_for_membership() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    member = space.sample(1, seed=0)[0]
    real = [i for i, bound in enumerate(member.bounds) if bound > 1]
    nest = replace(member.nest, loops=tuple(member.nest.loops[i] for i in real))
    assert sl.Mapping(nest=nest, bounds=tuple(member.bounds[i] for i in real)) in space


def test_coordinates_give_the_member_back() -> None:
    space = sl.mapspace(spec_of(CONSTRAINED))
    for member in (space.sample(20, seed=4)[i] for i in range(20)):
        at = coordinates(space, member)
        assert at is not None
        again = space.batch(at.template, at.factors[:, None])[0]
        assert mapping_key(again) == mapping_key(member)


def test_keys_of_mappings_that_differ_in_loops_of_bound_1_are_equal() -> None:
    member = sl.mapspace(spec_of(CONSTRAINED)).sample(1, seed=0)[0]
    real = [i for i, bound in enumerate(member.bounds) if bound > 1]
    nest = replace(member.nest, loops=tuple(member.nest.loops[i] for i in real))
    assert mapping_key(sl.Mapping(nest=nest, bounds=tuple(member.bounds[i] for i in real))) == mapping_key(member)
    assert mapping_key(replace(member, bounds=tuple(2 * n for n in member.bounds))) != mapping_key(member)
