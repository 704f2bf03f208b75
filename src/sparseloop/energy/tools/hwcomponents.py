"""Estimates of hwcomponents, the successor of Accelergy's plug-ins: https://github.com/Accelergy-Project/hwcomponents.

Asked by its public functions of version 1.0: `get_model(component, attributes)` gives the model that fits best, with `area` in
m2, `leak_power` in W, and actions that return costs with an `energy` in J.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from importlib import metadata
from typing import Any, final

from sparseloop.energy.estimators import Answer, Attribute, Estimate, Query
from sparseloop.energy.tools.common import DEFAULT_TYPE, DRAM, at_supply, class_of, estimates, tool_attributes, whole

PACKAGE = "hwcomponents"
CONFIDENCE = 0.8
PJ, UM2, MW, NM_PER_M = 1e12, 1e12, 1e3, 1e9
ACTION_NAMES = {"storage": ("read", "write", "update"), "compute": ("compute", "mac", "multiply", "add")}
"""Actions to be asked for; of those of a compute level the first that the model has."""


@final
class Hwcomponents:
    """The models of all installed packages `hwcomponents_*`."""

    name = PACKAGE
    priority = 0.0

    def missing(self) -> str | None:
        """Why it cannot be asked: not installed, or not importable by this Python."""
        if importlib.util.find_spec(PACKAGE) is None:
            return f"no package {PACKAGE} is installed (it needs Python 3.12, and packages with models like hwcomponents-cacti)"
        try:
            importlib.import_module(PACKAGE)
        except Exception as error:  # whatever is wrong with a package of others is no mistake of the specification
            return f"the package {PACKAGE} cannot be imported: {type(error).__name__}: {error}"
        return None

    def estimate(self, query: Query) -> Answer | None:
        """What the model that fits says of an array or of arithmetic; raises `RuntimeError` with what hwcomponents says."""
        component = _component(query)
        if component is None:
            return None
        try:
            answer = _answer(importlib.import_module(PACKAGE).get_model(component, _attributes(query)), query)
        except Exception as error:  # a class without a model, sizes it refuses, a program of it that does not run here
            raise RuntimeError(_told(str(error)) or type(error).__name__) from error
        return at_supply(answer, query)


def _answer(model: Any, query: Query) -> Answer:
    """Area, leakage and the energies of the actions that the model has."""
    known: list[str] = model.get_action_names()
    names = {name: name for name in ACTION_NAMES[query.kind] if name in known}
    if query.kind == "compute":
        names = dict(zip(["compute"], names, strict=False))
    energies = {ours: PJ * float(getattr(model, theirs)().energy) for ours, theirs in names.items()}
    source = _source(model)
    return Answer(
        energy_pj=estimates(energies, source, CONFIDENCE),
        area_um2=Estimate(value=UM2 * float(model.area), source=source, confidence=CONFIDENCE),
        leak_mw=Estimate(value=MW * float(model.leak_power), source=source, confidence=CONFIDENCE),
    )


def _told(text: str) -> str:
    """Of a log of many lines the errors in it, else the first line."""
    lines = [line.strip("| \t") for line in text.splitlines()]
    errors = [line for line in lines if re.match(r"\w*(Error|Exception): ", line)]
    return "; ".join(dict.fromkeys(errors)) or next((line for line in lines if line), "")


def _component(query: Query) -> str | None:
    """Its name of the hardware: a DRAM is asked for by type, a file of one row as a register."""
    name = class_of(query)
    if query.kind == "storage" and query.class_name.lower() == DRAM:
        return f"DRAM_{query.attributes.get('type') or DEFAULT_TYPE}"
    return "register" if name == "regfile" and query.number("depth") == 1 else name


def _attributes(query: Query) -> dict[str, Attribute]:
    size = whole(query.number("width_bits") * query.number("depth"))  # CACTI's model needs it beside width and depth
    sizes: dict[str, Attribute] = {"size": size} if size else {}
    return {"tech_node": query.node_nm / NM_PER_M} | tool_attributes(query) | sizes


def _source(model: object) -> str:
    """'SRAM of hwcomponents_cacti 1.0.40'."""
    kind = type(model)
    package = kind.__module__.partition(".")[0]
    try:
        return f"{kind.__name__} of {package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{kind.__name__} of {package}"
