"""Prints the measured agreement at the end of a run."""

from __future__ import annotations

import pytest

from sparseloop.validation.timeloop.agreement import Agreement

REPORTS: list[Agreement] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for agreement in REPORTS:
        terminalreporter.section(f"agreement with Timeloop v3.0.3: {agreement.name}")
        for line in agreement.report():
            terminalreporter.line(line)
