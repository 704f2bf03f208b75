"""Imports AccelForge's architectures and workloads as native specifications; every einsum is a layer, and nothing is fused.

Read are memories, containers, fanouts, compute units and einsums. What has no counterpart here is listed in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sparseloop.input.accelforge.architecture import read_machine
from sparseloop.input.accelforge.workload import read_workload
from sparseloop.input.diagnostics import Diagnostic, Locator, SpecError
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.yaml.nodes import TAG, Plain

__all__ = ["is_accelforge", "native_data", "refuse_looptree"]

_OWN_TAGS = frozenset({"Memory", "Compute", "Toll", "Fanout", "Fork", "Array", "Network"})
_IGNORED = {
    "renames": "read with the workload",
    "variables": "names for expressions",
}


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


def native_data(data: Mapping[str, Plain], source: Locator | None = None) -> dict[str, Plain]:
    """The same as plain data in the native format; raises `SpecError` with every mistake."""
    variables = data.get("variables")
    log = ImportLog(source=source, variables=cast("dict[str, Plain]", variables) if isinstance(variables, dict) else {})
    root = Section(data, (), log)
    einsums = read_workload(root)
    log.raise_errors()
    machine = read_machine(root, einsums)
    if root.has("mapping"):
        root.take("mapping")
        log.note(root.key_path("mapping"), "mappings of AccelForge are not read: search one (sparseloop map)")
    root.unused(_IGNORED, "the files")
    log.raise_errors()
    result: dict[str, Plain] = {"architecture": machine.architecture, "notes": list(log.notes)}
    layers = [
        {**einsum.native, "constraints": constraints} if constraints else einsum.native
        for einsum, constraints in zip(einsums, machine.constraints, strict=True)
    ]
    if len(layers) == 1:
        only = dict(layers[0])
        return result | {"constraints": only.pop("constraints", {}), "workload": only}
    return result | ({"layers": layers} if layers else {})
