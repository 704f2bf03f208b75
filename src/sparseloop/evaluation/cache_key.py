"""What identifies an evaluation or a search: a digest of everything it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparseloop import __version__
from sparseloop.input.spec import Spec


def digest(data: object) -> str:
    """SHA-256 of plain data: of its JSON with sorted keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


MACHINE = ("node", "vdd", "clock")
"""Fields of the architecture that concern all of its levels."""


@dataclass(frozen=True, slots=True)
class KeyParts:
    """Digests of the parts of a specification; specifications with equal parts have equal keys."""

    levels: tuple[str, ...]
    """Of every level and fanout."""
    machine: str
    """Of what concerns all levels."""
    rest: str
    """Of all else, and of the files that it names."""

    def key(self, settings: Dict[str, Any]) -> str:
        """What identifies the evaluation with these settings, in this version."""
        return digest([self.rest, self.machine, self.levels, dict(settings), __version__])


def key_parts(spec: Spec) -> KeyParts:
    """Digests of a specification but for name, times and roles of the layer."""
    data = spec.model_dump(mode="json", by_alias=True)
    for name in ("name", "times", "roles"):
        del data["workload"][name]
    levels, machine = data["architecture"].pop("levels"), {name: data["architecture"].pop(name) for name in MACHINE}
    files = {where: _file_digest(file) for where, file in _files(spec)}
    return KeyParts(tuple(map(digest, levels)), digest(machine), digest({"spec": data, "files": files}))


def evaluation_key(spec: Spec, settings: Dict[str, Any]) -> str:
    """Equal for equal searches: the specification but for name, times and roles of the layer, its files, the settings."""
    return key_parts(spec).key(settings)


def _files(spec: Spec) -> list[tuple[str, Path]]:
    """The files whose content is part of a specification, by where they are named."""
    named = [(("density", tensor), (*spec.workload_path, "density", tensor, "file"), one.file)
             for tensor, one in spec.workload.density.items()]  # fmt: skip
    named += [(("energy", name), ("energy", name), table) for name, table in (("ert", spec.energy.ert), ("art", spec.energy.art))
              if isinstance(table, str)]  # fmt: skip
    return [("/".join(where), spec.source.directory(path) / name) for where, path, name in named if name]


def _file_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
