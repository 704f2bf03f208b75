"""What an import loads: the library works without its command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIBRARY = "sparseloop.explore, sparseloop.explore.study, sparseloop.explore.codesign.search, sparseloop.mapper.network"


def loaded(statement: str) -> set[str]:
    """The modules that are there after a statement in a fresh interpreter."""
    program = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize(
    "statement", ["import sparseloop.explore", f"import {LIBRARY}", "import sparseloop as sl; sl.map_network"]
)
def test_the_library_never_imports_a_command(statement: str) -> None:
    modules = loaded(statement)
    assert "sparseloop.explore" in modules or "sparseloop.mapper.network" in modules
    assert not modules & {"typer", "rich", "sparseloop.cli", "sparseloop.report"}
