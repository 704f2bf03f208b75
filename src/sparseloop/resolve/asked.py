"""The estimator that a specification asks for by name: one that is installed, or another tool."""

from __future__ import annotations

from typing import NamedTuple

from ..backends import BACKENDS, Backend
from ..errors import Path
from ..estimators import registry
from .findings import Findings

DEFAULT: Path = ("energy", "estimator")
"""Where the estimator of all levels is named."""


class Asked(NamedTuple):
    """Whom to ask first, and that estimator itself if it answers on request only."""

    name: str | None = None
    backend: Backend | None = None


def asked(path: Path, name: str | None, found: Findings) -> Asked:
    """The estimator named at `path`, else that of all levels; a tool that is not there is skipped with a warning."""
    path, name = (path, name) if name else (DEFAULT, found.spec.energy.estimator)
    if not name:
        return Asked()
    known = (*registry().names, *(other for other in BACKENDS if other not in registry().names))
    if name not in known:
        found.unknown(path, "estimator", name, known)
        return Asked()
    if not found.native:
        found.warn(f"estimator '{name}' is not asked: the rules of Timeloop price these files (reading: native asks it)")
        return Asked()
    if name in registry().names:
        return Asked(name)
    missing = BACKENDS[name].missing()
    if missing:
        found.warn(f"estimator '{name}' is skipped: {missing}")
        return Asked()
    return Asked(name, BACKENDS[name])
