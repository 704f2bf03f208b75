"""Imports AccelForge's architectures and workloads as native specifications; every einsum is a layer, and nothing is fused.

Read are memories, containers, fanouts, compute units and einsums; what has no counterpart here is listed in the notes. This
module, which recognises files, is loaded with every specification; the readers are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.yaml.nodes import TAG

__all__ = ["is_accelforge", "refuse_looptree"]

_OWN_TAGS = frozenset({"Memory", "Compute", "Toll", "Fanout", "Fork", "Array", "Network"})


def is_accelforge(data: Mapping[str, Any]) -> bool:
    """True if the top-level keys are those of AccelForge's files."""
    workload, arch = data.get("workload"), data.get("arch")
    if isinstance(workload, dict) and "einsums" in workload:
        return True
    nodes: Any = cast("dict[str, Any]", arch).get("nodes") if isinstance(arch, dict) else None
    listed = cast("list[Any]", nodes) if isinstance(nodes, list) else []
    return any(isinstance(node, dict) and cast("dict[str, Any]", node).get(TAG) in _OWN_TAGS for node in listed)


def refuse_looptree(data: Mapping[str, Any]) -> None:
    """Raises `SpecError` for the fused workloads and mappings of LoopTree, which are not read."""
    problem, mapping = data.get("problem"), data.get("mapping")
    fused = isinstance(mapping, dict) and cast("dict[str, Any]", mapping).get("type") in ("fused", "fused-layer", "looptree")
    key = "problem" if isinstance(problem, list) else "mapping" if fused else None
    if key is not None:
        message = f"'{key}' is in LoopTree's form (fused layers), which is not read"
        hint = "import the einsums of AccelForge's form, or write each one as a layer of its own: layers:"
        raise SpecError([Diagnostic(path=(key,), message=message, hint=hint, key=True)])
