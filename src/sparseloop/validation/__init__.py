"""Validation: published figures beside ours. Every target is a module with `TARGET`, shipped specs and a small table."""

from __future__ import annotations

from importlib import import_module

from .records import Findings, Row, Sources, Table, Target

_OWN = ("eyeriss_v2_pe", "eyeriss_v1", "eie", "scnn", "dstc", "fig1", "fig15", "spmspm", "imbalance")
MODULES: dict[str, str] = {name: name for name in _OWN} | {"timeloop": "timeloop.target"}
"""Name of a target and its module here."""


def target(name: str) -> Target:
    """The target of that name; its module is imported only now."""
    found = import_module(f".{MODULES[name]}", __name__).TARGET
    assert isinstance(found, Target)
    return found


__all__ = ["MODULES", "Findings", "Row", "Sources", "Table", "Target", "target"]
