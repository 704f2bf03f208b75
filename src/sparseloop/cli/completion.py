"""What the shell completes: names that the program knows. Files are completed by the shell itself."""

from __future__ import annotations


def example_names(incomplete: str) -> list[str]:
    """Shipped designs and notebooks."""
    from sparseloop import designs

    return _beginning(incomplete, [*designs.designs(), *designs.notebooks()])


def method_names(incomplete: str) -> list[str]:
    """Ways to search."""
    from sparseloop.mapper.search import METHODS

    return _beginning(incomplete, list(METHODS))


def objective_names(incomplete: str) -> list[str]:
    """What can be minimized."""
    from sparseloop.mapper.objectives import OBJECTIVES

    return _beginning(incomplete, list(OBJECTIVES))


def figure_kinds(incomplete: str) -> list[str]:
    """Kinds of figures."""
    from sparseloop.report.figures import FIGURE_KINDS

    return _beginning(incomplete, list(FIGURE_KINDS))


def target_names(incomplete: str) -> list[str]:
    """Published results."""
    from sparseloop.validation.registry import TARGETS

    return _beginning(incomplete, list(TARGETS))


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
