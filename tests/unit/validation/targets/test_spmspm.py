"""Products of real matrices: given data equal to the walker, uniform not; without PyAMG the target says so."""

from __future__ import annotations

import pytest

from sparseloop.validation.records import ExternalData
from sparseloop.validation.registry import TARGETS
from sparseloop.validation.targets import spmspm


def test_without_pyamg_the_target_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spmspm, "find_spec", lambda name: None)
    findings = TARGETS["spmspm"].run(ExternalData())
    assert findings.rows == ()
    assert "PyAMG is not installed" in findings.skipped[0]


def test_small_matrices() -> None:
    pytest.importorskip("pyamg")
    for case, matrix in spmspm.small().items():
        assert matrix.shape == (36, 36)
        exact, *blind = spmspm.walked_rows(case, matrix)
        assert exact.within, (case, exact)
        errors = {row.figure: row.error for row in blind}
        assert errors["coordinates read, uniform"] > 0.3
        assert errors["words read from LLB, uniform"] > 0.2
