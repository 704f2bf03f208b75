"""Prints the measured agreement at the end of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .agreement import Agreement

sys.path.insert(0, str(Path(__file__).parents[1] / "property"))  # the walker's specifications, for test_labels

REPORTS: list[Agreement] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for agreement in REPORTS:
        terminalreporter.section(f"agreement with Timeloop v3.0.3: {agreement.name}")
        for line in agreement.report():
            terminalreporter.line(line)
