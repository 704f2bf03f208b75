"""AccelForge's files as plain data in the native format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sparseloop.input.accelforge.architecture import read_machine
from sparseloop.input.accelforge.workload import read_workload
from sparseloop.input.diagnostics import Locator
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.yaml.nodes import Plain

_IGNORED = {
    "renames": "read with the workload",
    "variables": "names for expressions",
}


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
