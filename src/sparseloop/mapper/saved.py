"""Finished searches as plain data, and a folder that keeps one file per search."""

from __future__ import annotations

import json
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparseloop.evaluation.cache_key import digest
from sparseloop.input.yaml.whole_files import write_whole
from sparseloop.mapper.task import Best, Candidate, Certificate, Task
from sparseloop.model.design.mapping import Loop, LoopNest, Mapping
from sparseloop.model.status import Status

SCHEMA = "sparseloop.search/1"
_SWITCHES = ("no_temporal_reuse", "no_multicast", "no_forwarding")


class DamagedFile(Exception):
    """A file of the folder is not what was written there."""


# --- a search as plain data ---------------------------------------------------------------------------------


def search_record(best: Best) -> dict[str, Any]:
    """Everything a search found, ready for JSON; the mappings are complete, so that evaluating them gives the same numbers."""
    return {
        "evaluated": best.evaluated,
        "valid": best.valid,
        "failures": {str(int(flag)): count for flag, count in best.failures.items()},
        "seconds": best.seconds,
        "stopped": best.stopped,
        "lower_bound": best.lower_bound,
        "proven_optimal": best.proven_optimal,
        "top": _candidate_records(best.top),
        "front": _candidate_records(best.front),
        "certificate": asdict(best.certificate) if best.certificate else None,
    }


def search_from_record(record: Dict[str, Any], task: Task) -> Best:
    """The search of `task`, from what was recorded of an equal one."""
    fields: dict[str, Any] = {
        "task": task,
        "top": _candidates(record["top"]),
        "front": _candidates(record["front"]),
        "failures": {Status(int(flag)): count for flag, count in record["failures"].items()},
    }
    for name in ("evaluated", "valid", "seconds", "stopped", "lower_bound", "proven_optimal"):
        fields[name] = record[name]
    proof = record["certificate"]
    return Best(**fields, certificate=None if proof is None else Certificate(**proof))


def _candidate_records(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    return [{"values": list(candidate.values), "mapping": _mapping_data(candidate.mapping)} for candidate in candidates]


def _candidates(data: Sequence[Dict[str, Any]]) -> tuple[Candidate, ...]:
    return tuple(Candidate(_mapping(entry["mapping"]), tuple(entry["values"])) for entry in data)


def _mapping_data(mapping: Mapping) -> dict[str, Any]:
    nest = mapping.nest
    return {
        "loops": [[loop.rank, loop.level, loop.axis] for loop in nest.loops],
        "bounds": list(mapping.bounds),
        "residuals": None if mapping.residuals is None else list(mapping.residuals),
        "keep": [sorted(kept) for kept in nest.keep],
        **{name: sorted([level, tensor] for level, tensor in getattr(nest, name)) for name in _SWITCHES},
    }


def _mapping(data: Dict[str, Any]) -> Mapping:
    nest = LoopNest(
        loops=tuple(Loop(rank=rank, level=level, axis=axis) for rank, level, axis in data["loops"]),
        keep=tuple(frozenset(kept) for kept in data["keep"]),
        **{name: frozenset((level, tensor) for level, tensor in data[name]) for name in _SWITCHES},
    )
    residuals = data["residuals"]
    return Mapping(nest=nest, bounds=tuple(data["bounds"]), residuals=None if residuals is None else tuple(residuals))


# --- the folder ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SavedSearches:
    """One file per finished search, named by its key; a file is there as a whole or not at all."""

    path: Path

    def read(self, key: str) -> dict[str, Any] | None:
        """What was written under a key, None if nothing was; raises `DamagedFile`."""
        file = self.path / f"{key}.json"
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            if record["schema"] != SCHEMA or record["key"] != key or record["sha256"] != digest(record["search"]):
                raise ValueError
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DamagedFile(f"{file} cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError):
            raise DamagedFile(f"{file} is damaged") from None
        return record["search"]

    def write(self, key: str, name: str, search: Dict[str, Any]) -> None:
        """Keeps a finished search; `name` is for people who look into the folder."""
        record = {"schema": SCHEMA, "key": key, "layer": name, "sha256": digest(search), "search": search}
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / f"{key}.json", json.dumps(record, indent=1).encode())
