"""Makes the shipped `corpus.jsonl.gz`: the corpus's `fuzz` cases with only what the comparison reads.

    python tests/golden/compact.py ../shared/golden/corpus.jsonl.gz

Cases of other origin are other people's files: they are used where the full corpus is present, never committed.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from typing import Any

from sparseloop.validation.timeloop.corpus import COMMITTED

STATS = re.compile(r"cycles|energy_total|(algorithmic_|actual_|gated_|skipped_)?computes_total")
TENSOR = re.compile(
    r"utilized_instances(_average|_max)?|utilized_capacity|data_tile_shape|max_utilized_data_storage_capacity"
    r"|energy_(total|per_instance)|(\w+_)?scalar_(format_)?(reads|fills|updates)_per_instance"
)
LABELLED = re.compile(
    r"\*|sparse|overall/(cycles|energy_pJ)|levels/[^/]+/stats/\w+|levels/[^/]+/dataspaces/.+|networks/.+/ingresses"
)


def compact_case(case: dict[str, Any]) -> dict[str, Any]:
    """One case without the figures and labels that are not compared."""
    expected = case["expected"]
    kept: dict[str, Any] = {key: case[key] for key in ("id", "features", "inputs")}
    kept["expected"] = {
        "overall": {key: expected["overall"][key] for key in ("cycles", "energy_pJ")},
        "levels": [_level(level) for level in expected["levels"]],
        "networks": [_network(network) for network in expected.get("networks", [])],
    }
    for kind in ("faults", "dense_faults", "sound_differs"):
        kept[kind] = _labels(case[kind] or {})
    return kept


def _level(level: dict[str, Any]) -> dict[str, Any]:
    kept = {key: level[key] for key in ("name", "type")}
    kept["stats"] = {key: value for key, value in level["stats"].items() if STATS.fullmatch(key)}
    kept["extra"] = {"op_energy": {key: value for key, value in level["extra"]["op_energy"].items() if value}}
    if "dataspaces" in level:
        kept["dataspaces"] = {
            name: {key: value for key, value in tensor.items() if TENSOR.fullmatch(key)}
            for name, tensor in level["dataspaces"].items()
        }
    return kept


def _network(network: dict[str, Any]) -> dict[str, Any]:
    tensors = network["dataspaces"].items()
    return {
        "name": network["name"],
        "dataspaces": {name: {"ingresses": tensor["ingresses"]} for name, tensor in tensors if "ingresses" in tensor},
    }


def _labels(labels: dict[str, list[str]]) -> dict[str, list[str]]:
    return {label: [path for path in paths if _compared(path)] for label, paths in labels.items()}


def _compared(path: str) -> bool:
    if not LABELLED.fullmatch(path):
        return False
    parts = path.split("/")
    if "dataspaces" in parts and parts[0] == "levels":
        return bool(TENSOR.fullmatch(parts[parts.index("dataspaces") + 2]))
    return len(parts) < 2 or parts[-2] != "stats" or bool(STATS.fullmatch(parts[-1]))


def main(corpus: str) -> None:
    """Writes the compact copy into the package."""
    target = COMMITTED
    with gzip.open(corpus, "rt", encoding="utf-8") as lines, target.open("wb") as raw:
        cases = (json.loads(line) for line in lines)
        text = "".join(json.dumps(compact_case(c), separators=(",", ":")) + "\n" for c in cases if c["origin"] == "fuzz")
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as packed:
            packed.write(text.encode())


if __name__ == "__main__":
    main(sys.argv[1])
