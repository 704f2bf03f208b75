"""Designs of different origin in every dialect: each is parsed, evaluated, and checked against numbers known by hand."""

from __future__ import annotations

import pytest

import sparseloop as sl
from tests.helpers.field_designs import FIELD_DESIGNS, WRITERS, FieldDesign

MAPPED = [design for design in FIELD_DESIGNS if design.dialect != "accelforge"]
UNMAPPED = [design for design in FIELD_DESIGNS if design.dialect == "accelforge"]


def name_of(design: FieldDesign) -> str:
    return f"{design.dialect} {design.name}"


def test_there_are_forty_and_every_dialect():
    assert len({design.name for design in FIELD_DESIGNS}) == len(FIELD_DESIGNS) >= 40
    assert {design.dialect for design in FIELD_DESIGNS} == set(WRITERS)


def main_words(result: sl.Result) -> dict[str, float]:
    """Dense words that cross the outermost memory."""
    tensors = result.to_dict()["levels"][0]["tensors"]
    return {name: (tensors[name]["updates"] if name == "Z" else tensors[name]["reads"])["total"] for name in "ABZ"}


@pytest.mark.parametrize("design", MAPPED, ids=name_of)
def test_a_mapped_design(design: FieldDesign):
    result = sl.evaluate(sl.loads(design.text()))
    computes = result.cost.sparse.computes
    assert result.valid, result.reasons
    assert float(computes.total) == design.computes
    assert main_words(result) == design.main_words
    if design.dialect == "native":  # its features skip every product of a zero of A
        assert float(computes.actual) == pytest.approx(design.computes * design.density, rel=1e-9)
    lanes = 1
    for _, _, count in design.spatial:
        lanes *= count
    assert result.plan.arch.levels[-1].instances == lanes
    assert {level.word_bits for level in result.plan.arch.storage} >= {design.bits}


@pytest.mark.parametrize("design", UNMAPPED, ids=name_of)
def test_an_imported_design_is_mapped(design: FieldDesign):
    spec = sl.loads(design.text())
    best = sl.search(spec, method="random", budget=300, seed=0)
    assert best.result is not None
    assert float(best.result.cost.sparse.computes.total) == design.computes
    capacities = [level.capacity_words for level in best.result.plan.arch.storage]
    assert capacities == [None, *(buffer.words for buffer in design.buffers)]
    for tensor, least in design.main_words.items():
        assert main_words(best.result)[tensor] >= least


@pytest.mark.parametrize("design", FIELD_DESIGNS, ids=name_of)
def test_what_is_written_in_the_native_form_says_the_same(design: FieldDesign):
    spec = sl.loads(design.text())
    again = sl.loads(sl.dumps(spec))
    assert again == spec
