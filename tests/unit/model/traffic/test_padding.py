"""Dense counts of tensors with padding, by hand: I has coordinates 0 to 7, the index p + r - 1 meets -1 to 8."""

from __future__ import annotations

import pytest

from sparseloop import Result, SpecError, evaluate, loads
from sparseloop.evaluation.facts import subject

BASE = """
workload: {einsum: 'O[p] = I[p+r-1] * W[r]', shape: {p: 8, r: 3}, extent: {I: [8]}DENSITY}
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: GLB, class: sram, capacity: 100 words}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for OUTER
  - GLB: for INNER
"""


def evaluated(outer: str, inner: str, density: str = "") -> Result:
    return evaluate(loads(BASE.replace("OUTER", outer).replace("INNER", inner).replace("DENSITY", density)))


def of_inputs(result: Result, level: str) -> dict[str, dict[str, float]]:
    levels = {one["name"]: one for one in result.to_dict()["levels"]}
    return levels[level]["tensors"]["I"]


def words(result: Result, level: str, action: str) -> float:
    return of_inputs(result, level)[action]["total"]


def test_padding_is_computed_with_and_never_moved() -> None:
    result = evaluated("p=8", "r=3")
    assert result.to_dict()["totals"]["computes"]["actual"] == 24
    assert words(result, "DRAM", "reads") == words(result, "GLB", "fills") == 8
    assert words(result, "GLB", "reads") == 22  # 24 points, of which the first and the last meet padding


def test_a_window_that_comes_back_brings_true_words_alone() -> None:
    # r = 0, 1, 2 outside: the tiles are 0-6, 0-7 and 1-7; at the second step word 7 comes, at the third nothing
    assert words(evaluated("r=3", "p=8"), "GLB", "fills") == 8
    # four words at a time: 0-2, 3-6; then 0-3, 4-7, of which 3 is still there; then 1-4, 5-7, of which 4 is
    assert words(evaluated("r=3 p=2", "p=4"), "GLB", "fills") == (3 + 4) + (3 + 4) + (3 + 3)


def test_the_largest_tile_must_fit() -> None:
    assert of_inputs(evaluated("p=4", "p=2 r=3"), "GLB")["tile"]["footprint"] == 4
    assert of_inputs(evaluated("p=1", "p=8 r=3"), "GLB")["tile"]["footprint"] == 8


def test_density_is_that_of_the_true_words() -> None:
    result = evaluated("p=8", "r=3", ", density: {I: 0.25}")
    model = result.design.einsum.tensor("I").density
    assert (model.total, model.density) == (8, 0.25)


def test_the_head_of_the_tables_names_the_true_size() -> None:
    assert "I 8 and padding, dense; W dense" in subject(evaluated("p=8", "r=3"))[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("extent: {I: [8]}", None),
        ("extent: {I: {r: 8}}", None),
        ("extent: {}", "the index of I has a constant: which of its coordinates are padding?"),
        ("extent: {I: [8, 1]}", "I has 1 axes, extent has 2 numbers"),
        ("extent: {I: {s: 8}}", "unknown rank 's'"),
        ("extent: {J: [8]}", "unknown tensor 'J'"),
        ("extent: {I: [8], W: [2]}", "padding of both I and W along r is not modelled"),
    ],
)
def test_extents_are_checked(text: str, told: str | None) -> None:
    spec = BASE.replace("OUTER", "p=8").replace("INNER", "r=3").replace("DENSITY", "").replace("extent: {I: [8]}", text)
    if told is None:
        assert evaluate(loads(spec)).valid
        return
    with pytest.raises(SpecError) as caught:
        evaluate(loads(spec))
    assert told in str(caught.value)


@pytest.mark.parametrize("index", [("p+r-1", "p+r-10"), ("p+r-1]", "2*p+2*r-11]")])
def test_what_is_met_must_not_be_padding_alone(index: tuple[str, str]) -> None:
    """The second one steps over all true words: -11, -9, ..., of a tensor of one."""
    text = BASE.replace("OUTER", "p=8").replace("INNER", "r=3").replace("DENSITY", "").replace(*index)
    text = text.replace("extent: {I: [8]}", "extent: {I: [1]}") if "2*p" in text else text
    with pytest.raises(SpecError, match="meets padding alone"):
        evaluate(loads(text))


def test_imperfect_factors_are_refused() -> None:
    with pytest.raises(SpecError, match="imperfect factors are not modelled where a tensor has padding"):
        evaluated("p=3~2", "p=3 r=3")


@pytest.mark.parametrize("model", ["{model: banded, half_width: 1}", "{model: block, density: 0.5, block: [2]}"])
def test_models_that_know_places_are_refused(model: str) -> None:
    with pytest.raises(SpecError, match="is not modelled along an axis whose extent is given"):
        evaluated("p=8", "r=3", f", density: {{I: {model}}}")
