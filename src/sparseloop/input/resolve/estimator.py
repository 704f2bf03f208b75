"""The estimator that a specification names: an installed one, or another tool."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from sparseloop.energy.estimators import OPTIONS, registry
from sparseloop.energy.tools import Backend
from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.spec import LevelSpec

DEFAULT: Path = ("energy", "estimator")
"""Where the estimator of all levels is named."""


class WantedEstimator(NamedTuple):
    """The name of the estimator to ask first, and the estimator itself if it is one that is asked only by name."""

    name: str | None = None
    backend: Backend | None = None


def wanted_estimator(path: Path, name: str | None, log: ResolveLog) -> WantedEstimator:
    """The estimator named at `path`, else that of all levels; a tool that is not installed is skipped with a warning."""
    path, name = (path, name) if name else (DEFAULT, log.spec.energy.estimator)
    if not name:
        return WantedEstimator()
    known = (*registry().names, *(other for other in backends() if other not in registry().names))
    if name not in known:
        log.unknown(path, "estimator", name, known)
        return WantedEstimator()
    if not log.native:
        log.warn(f"estimator '{name}' is not asked: the rules of Timeloop price these files (reading: native asks it)")
        return WantedEstimator()
    if name in registry().names:
        return WantedEstimator(name)
    missing = backends()[name].missing()
    if missing:
        log.warn(f"estimator '{name}' is skipped: {missing}")
        return WantedEstimator()
    return WantedEstimator(name, backends()[name])


def check_attributes(spec: LevelSpec, path: Path, whom: WantedEstimator, log: ResolveLog) -> None:
    """Reports attributes of a level that the built-in estimator does not know; with other estimators nothing is checked,
    they may know more.
    """
    if whom.backend or not log.native or registry().names != ("builtin",):
        return
    for name, value in spec.attributes.items():
        at = (*path, "attributes", name)
        if name not in OPTIONS:
            log.warn(f"{spec.name}: no estimator knows the attribute '{name}': {did_you_mean(name, OPTIONS)}")
        elif OPTIONS[name] and (value.lower() if isinstance(value, str) else value) not in OPTIONS[name]:
            shown = repr(value) if isinstance(value, str) else f"{value:g}"
            log.error(at, f"unknown {name} {shown}", f"known: {', '.join(map(str, OPTIONS[name]))}")
        elif not OPTIONS[name] and (isinstance(value, str) or value <= 0):
            log.error(at, f"{name} must be a number above 0, not {value!r}")


@cache
def backends() -> Mapping[str, Backend]:
    """Other tools by name; loaded where one is named, as few specifications do."""
    from sparseloop.energy.tools.hwcomponents import Hwcomponents
    from sparseloop.input.accelergy.installed import Accelergy

    return {backend.name: backend for backend in (Hwcomponents(), Accelergy())}
