"""Libraries that only an extra installs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sparseloop.input.diagnostics import Diagnostic, SpecError


def import_extra(module: str, extra: str = "study") -> Any:
    """A module of a library that only the extra installs; without it `SpecError` says how to install that."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package
        hint = f"pip install 'sparseloop[{extra}]'" if missing else None
        what = "which is not installed" if missing else f"which cannot be loaded ({error})"
        raise SpecError([Diagnostic(message=f"this needs the package {package}, {what}", hint=hint)]) from None
