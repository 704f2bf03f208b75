"""The list of approximations: on the page, in the random comparison, and told where a result rests on one."""

from __future__ import annotations

import pytest

from sparseloop.evaluation.approximations import APPROXIMATIONS, NOTICED_ABOVE, rests_on
from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import loads
from tests.property.accuracy_page import PAGE, written
from tests.property.fuzz.registry import APPROXIMATIONS as COMPARED

DESIGN = """
workload: {{einsum: "{einsum}", shape: {{{shape}}}, density: {density}}}
architecture:
  levels:
    - {{name: DRAM, class: dram, block_size: {block}}}
    - {{name: L1, class: regfile, capacity: 1024 words}}
    - {{name: LANES, fanout: {{x: 4, y: 4}}}}
    - {{name: MAC, class: mac}}
mapping:
{mapping}
sparse: {{DRAM: {{formats: {{A: B(*), B: B(*)}}{more}}}}}
"""
MATRIX = {
    "einsum": "Z[m] = A[m,k] * B[k]",
    "shape": "m: 6, k: 8",
    "density": "{A: 0.5, B: 0.5}",
    "block": "1",
    "mapping": "  - DRAM: for m=6 k=4\n  - L1: for k=2",
    "more": ", skip: [B <- A]",
}
WINDOW = MATRIX | {"einsum": "Z[p] = A[p+r] * B[r]", "shape": "p: 4, r: 4"}
IMPERFECT = {"mapping": "  - DRAM: for m=6 k=3\n  - L1: for k=3~2"}


def result(fields: dict[str, str]) -> Result:
    return evaluate(loads(DESIGN.format(**fields)))


def names(found: Result) -> list[str]:
    return [one.name for one in rests_on(found.plan, found.cost)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (MATRIX, []),
        (MATRIX | IMPERFECT, ["random patterns with imperfect factors"]),
        (MATRIX | IMPERFECT | {"density": "{A: 1, B: 1}"}, []),
        (MATRIX | {"block": "2"}, []),
        (MATRIX | {"block": "3"}, ["access blocks that end early"]),
        (WINDOW | {"mapping": "  - DRAM: for p=4 r=4\n  - L1: for p=1"}, ["metadata of windows", "windows moved by two loops"]),
        (WINDOW | {"mapping": "  - DRAM: for r=4\n  - L1: for p=4"}, ["metadata of windows"]),
        (
            WINDOW | {"mapping": "  - DRAM: for p=1\n  - LANES: x p=4, y r=4"},
            ["metadata of windows", "windows shared along a diagonal"],
        ),
    ],
)
def test_what_a_result_rests_on(fields: dict[str, str], expected: list[str]):
    assert names(result(fields)) == expected


def test_a_large_worst_case_is_told_in_one_line():
    found = result(MATRIX | IMPERFECT)
    large = [one for one in rests_on(found.plan, found.cost) if one.worst > NOTICED_ABOVE]
    told = [text for text in found.warnings if text.startswith("counts rest on an approximation")]
    assert len(told) == bool(large)
    assert all(f"{one.name} (mean {one.mean:.1%}, worst {one.worst:.0%})" in told[0] for one in large)
    assert set(told) <= set(found.to_dict()["warnings"])
    assert not [text for text in result(MATRIX).warnings if "approximation" in text]


def test_the_page_has_every_row():
    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text), "python -m tests.property.accuracy_page"


def test_the_random_comparison_measures_the_listed_ones():
    assert {kind.name for kind in COMPARED} <= {one.name for one in APPROXIMATIONS}
    assert all(0 <= one.mean <= one.worst and one.specifications > 0 for one in APPROXIMATIONS)
