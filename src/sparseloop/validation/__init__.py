"""Validation: published figures beside ours. Every target is a module with `TARGET`, shipped specs and a small table."""

from __future__ import annotations

from importlib import import_module

from .records import Findings, Row, Sources, Table, Target

MODULES: dict[str, str] = {
    "dstc": "dstc",
    "timeloop": "timeloop.target",
}
"""Name of a target and its module here."""


def target(name: str) -> Target:
    """The target of that name; its module is imported only now."""
    found = import_module(f".{MODULES[name]}", __name__).TARGET
    assert isinstance(found, Target)
    return found


__all__ = ["MODULES", "Findings", "Row", "Sources", "Table", "Target", "target"]
