"""Libraries that only an extra installs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sparseloop.input.diagnostics import Diagnostic, SpecError


def import_extra(module: str, extra: str = "study") -> Any:
    """A module of a library that only the extra installs; without it `SpecError` says how to install that."""
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        hint = f"pip install 'sparseloop[{extra}]'"
        raise SpecError([Diagnostic(message=f"this needs the package {package}, which is not installed", hint=hint)]) from None
