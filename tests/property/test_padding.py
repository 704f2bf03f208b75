"""Tensors with padding: the model against the walker, with formats, features and densities of every kind."""

from __future__ import annotations

import pytest

from tests.property.fuzz.drawing import Limits, draw, small
from tests.property.fuzz.kinds import sort_differences
from tests.property.fuzz.run import Options, compared

EACH = 40
KNOWN = Options("padding")


@pytest.mark.parametrize("number", range(4))
def test_padding(number: int) -> None:
    judged = 0
    for i in range(EACH):
        seed = f"padding:{number}:{i}"
        spec = draw(seed, Limits(points=120, levels=3, padding=1.0))
        if not small(spec) or not any(map(spec.padded, spec.tensors)):
            continue
        verdict = compared(spec, seed, KNOWN)
        found = sort_differences(spec, verdict.differences, dict(verdict.walked), KNOWN.excuses)
        assert not found.left, (seed, list(map(str, found.left)))
        judged += not verdict.refused
    assert judged > EACH / 4
