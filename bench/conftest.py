"""Prints the figures that benchmarks collect in `extra_info`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

FIGURES = pytest.StashKey[dict[str, dict[str, Any]]]()


@pytest.fixture
def figures(request: pytest.FixtureRequest, benchmark: Any) -> Callable[[dict[str, Any]], None]:
    """Notes figures of a benchmark: in its `extra_info`, and printed at the end."""

    def note(values: dict[str, Any]) -> None:
        benchmark.extra_info.update(values)
        request.config.stash.setdefault(FIGURES, {})[request.node.name] = values

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    noted = terminalreporter.config.stash.get(FIGURES, {})
    if noted:
        terminalreporter.section("figures")
    for name, values in noted.items():
        terminalreporter.write_line(f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items()))
