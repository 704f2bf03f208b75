"""A short, fixed set of random specifications: what `make fuzz` runs for as long as one likes."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from tests.property.fuzz.counting import model_counts
from tests.property.fuzz.densities import DensityKind
from tests.property.fuzz.drawing import Limits, draw, small
from tests.property.fuzz.files import from_files, through_files
from tests.property.fuzz.judging import Refused, from_records, judge, seed_of
from tests.property.fuzz.kinds import Kind
from tests.property.fuzz.registry import APPROXIMATIONS, OPEN
from tests.property.fuzz.run import Options, Tally, outcome_of, report

KNOWN = Options("ci")
SETS = range(8)
EACH = 20


@pytest.mark.parametrize("number", SETS)
def test_the_model_agrees_with_the_walker(number: int) -> None:
    tally = Tally()
    for i in range(EACH):
        outcome = outcome_of(f"ci:{number}:{i}", KNOWN)
        if outcome is not None:
            tally.add(outcome)
    assert not tally.found, "\n".join(report(tally, KNOWN))
    assert tally.compared > 1000


def test_every_draw_is_repeatable() -> None:
    assert [draw(f"again:{i}") for i in range(50)] == [draw(f"again:{i}") for i in range(50)]


def test_the_draws_have_everything() -> None:
    """What the comparison is to cover occurs among a thousand draws."""
    drawn = [spec for i in range(1000) if small(spec := draw(f"ci:{i}"))]
    assert {len(s.tensors) - 1 for s in drawn} == {0, 1, 2, 3, 4}
    assert {len(s.places) for s in drawn} == {1, 2, 3, 4, 5, 6}
    assert {t.density.kind for s in drawn for t in s.tensors} == set(get_args(DensityKind))
    assert {saf.kind for s in drawn for saf in s.sparse.safs} == {"skip", "gate", "spatial_skip"}
    assert any(s.imperfect and s.fixed and s.sparse.safs for s in drawn)
    assert any(not s.output.axes for s in drawn)
    assert {s.padded(s.output) for s in drawn if any(map(s.padded, s.tensors))} == {True, False}
    assert any(saf.follower in saf.leaders for s in drawn for saf in s.sparse.safs)
    assert any(s.output.name in saf.leaders for s in drawn for saf in s.sparse.safs)
    assert any(p.waves and p.lanes for s in drawn for p in s.places)
    assert any(isinstance(p.rule, float) and p.capacity for s in drawn for p in s.places)
    assert any({slot.axis for slot in s.slots if slot.level == at} >= {"x", "y"} for s in drawn for at in range(len(s.places)))
    assert all(any(k.applies(s) for s in drawn) for k in (*OPEN, *APPROXIMATIONS))


def test_a_file_says_what_the_records_say() -> None:
    """Blocks of which a share is occupied and filled, rounded up: the written density is that of the record."""
    compared = 0
    for spec in (draw(f"files:{i}") for i in range(400)):
        blocks = any(t.density.kind == "block" and t.density.inner < 1 for t in spec.tensors)
        if not (blocks and small(spec) and through_files(spec)):
            continue
        try:
            written = model_counts(from_files(spec))
        except Refused:
            continue
        recorded = model_counts(from_records(spec))
        assert written == pytest.approx({name: recorded[name] for name in written}, rel=1e-9)
        compared += 1
    assert compared >= 3


def test_a_wrong_model_is_found() -> None:
    """A model that forgets every second feature is caught."""
    found = 0
    for i in range(40):
        spec = draw(f"power:{i}", Limits(points=60, levels=2))
        forgetful = lambda s: from_records(replace(s, sparse=replace(s.sparse, safs=s.sparse.safs[1:])))  # noqa: E731
        if spec.fixed and spec.sparse.safs and small(spec):
            found += bool(judge(spec, seed_of("power"), forgetful).differences)
    assert found > 5


def test_open_kinds_have_names_of_their_own() -> None:
    kinds: tuple[Kind, ...] = (*OPEN, *APPROXIMATIONS)
    assert len({kind.name for kind in kinds}) == len(kinds)
    assert all(kind.error is None for kind in OPEN)
    assert all(kind.error is not None for kind in APPROXIMATIONS)
