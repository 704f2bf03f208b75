"""Classes of levels: a misspelt one is a mistake, one that says nothing is priced with a warning."""

from __future__ import annotations

import pytest

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.load import loads


def warnings(storage: str, compute: str, capacity: str = "4 KiB", energy: str = "") -> list[str]:
    text = f"""
workload: {{einsum: "Z[m] = A[m] * B[m]", shape: {{m: 4}}}}
architecture: {{levels: [{{name: GLB, class: {storage}, capacity: {capacity}{energy}}}, {{name: MAC, class: {compute}}}]}}
mapping: [GLB: for m=4]
"""
    return [text for text in evaluate(loads(text)).warnings if "class" in text]


@pytest.mark.parametrize(
    ("storage", "compute", "meant"),
    [("srma", "mac", "sram"), ("DRM", "mac", "dram"), ("regfil3", "mac", None), ("sram", "mca", "mac")],
)
def test_a_misspelt_class_is_a_mistake(storage: str, compute: str, meant: str | None):
    if meant is None:
        assert warnings(storage, compute) == []
        return
    with pytest.raises(SpecError, match=f"unknown class .*\n.*\n.*did you mean '{meant}'"):
        warnings(storage, compute)


def test_a_class_that_says_nothing_is_priced_with_a_warning():
    assert warnings("foo", "mac") == ["GLB: nothing is known of the class 'foo': priced as SRAM"]
    assert warnings("sram", "gizmo") == ["MAC: nothing is known of the class 'gizmo': priced as a MAC"]
    assert warnings("foo", "mac", energy=", energy: {read: 1, fill: 1, update: 1}") == []
    assert warnings("scratchpad", "fma") == []


@pytest.mark.parametrize(
    ("capacity", "meant"), [("4kib", "'KiB' or 'Kib'"), ("4 gb", "'GB' or 'Gb'"), ("4 mib", "'MiB' or 'Mib'")]
)
def test_bytes_and_bits_are_both_suggested(capacity: str, meant: str):
    with pytest.raises(SpecError, match=f"did you mean {meant}\\? \\(B: bytes, b: bits\\)"):
        warnings("sram", "mac", capacity)
