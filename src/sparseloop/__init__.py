"""Analytical energy, cycle, area and traffic model of sparse tensor accelerators."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .api import design_of, evaluate
    from .codesign import Codesigned, Effort, codesign
    from .design import Design
    from .errors import Diagnostic, SpecError, Status
    from .explain import why
    from .figures import plot
    from .loading import dumps, load, loads, schema
    from .mapping import Loop, LoopNest, Mapping, MappingBatch, Sample
    from .mapspace import Mapspace, mapspace
    from .objectives import Objective
    from .result import Result
    from .search import Best, Budget, Goal, search
    from .spec import Spec
    from .store import Store
    from .study import Running, Study

__all__ = [
    "Best",
    "Budget",
    "Codesigned",
    "Design",
    "Diagnostic",
    "Effort",
    "Goal",
    "Loop",
    "LoopNest",
    "Mapping",
    "MappingBatch",
    "Mapspace",
    "Objective",
    "Result",
    "Running",
    "Sample",
    "Spec",
    "SpecError",
    "Status",
    "Store",
    "Study",
    "__version__",
    "codesign",
    "design_of",
    "dumps",
    "evaluate",
    "load",
    "loads",
    "mapspace",
    "plot",
    "schema",
    "search",
    "why",
]

__version__ = "0.1.0"

_HOME = {
    "Best": "search",
    "Budget": "search",
    "Codesigned": "codesign",
    "Design": "design",
    "Diagnostic": "errors",
    "Effort": "codesign",
    "Goal": "search",
    "Loop": "mapping",
    "LoopNest": "mapping",
    "Mapping": "mapping",
    "MappingBatch": "mapping",
    "Mapspace": "mapspace",
    "Objective": "objectives",
    "Result": "result",
    "Running": "study",
    "Sample": "mapping",
    "Spec": "spec",
    "SpecError": "errors",
    "Status": "errors",
    "Store": "store",
    "Study": "study",
    "codesign": "codesign",
    "design_of": "api",
    "dumps": "loading",
    "evaluate": "api",
    "load": "loading",
    "loads": "loading",
    "mapspace": "mapspace",
    "plot": "figures",
    "schema": "loading",
    "search": "search",
    "why": "explain",
}
"""Public name to the module that defines it; imported at first use, so that `import sparseloop` is quick."""


class _Package(ModuleType):
    """The package: importing the submodule `evaluate` does not hide the function of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparseloop' has no attribute '{name}'")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


sys.modules[__name__].__class__ = _Package
