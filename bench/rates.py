"""`python bench/rates.py FOLDER [CASE...]`: how many random mappings are evaluated per CPU second, as one line of JSON a case.

A case is a folder of YAML files. A `results.json` beside them lists runs of another mapper: entries with `case` (the name of
a case, then the run) and `valid_per_cpu_s`. Evaluated are energy, cycles and status of mappings under one template, and of
a sample under many. A space with few different mappings says little: what its batch has in common is computed once.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import sparseloop as sl

COUNT = 200_000
ROUNDS = 3
KEEP = ("energy_pj", "cycles", "status")


def rate(space: Any, batch: Any) -> tuple[float, float]:
    """Mappings per CPU second, the best of some rounds, and the share of valid ones."""
    best, columns = 0.0, dict[str, Any]()
    for _ in range(ROUNDS):
        start = time.process_time()
        columns = space.columns(batch, KEEP)
        best = max(best, len(batch) / (time.process_time() - start))
    return best, float((columns["status"] == 0).mean())


def other_rate(folder: Path, case: str) -> float | None:
    """The best rate of the other mapper on a case."""
    found = folder / "results.json"
    runs: list[dict[str, Any]] = json.loads(found.read_text()) if found.is_file() else []
    return max((run["valid_per_cpu_s"] for run in runs if run["case"].startswith(f"{case}-")), default=None)


def measured(folder: Path, case: Path) -> dict[str, Any]:
    """Figures of one case; `ratio`: valid mappings per CPU second over those of the other mapper."""
    space = sl.mapspace(sl.load(*(str(path) for path in sorted(case.glob("*.yaml")))))
    rng = np.random.default_rng(0)
    other = other_rate(folder, case.name)
    figures: dict[str, Any] = {"case": case.name, "factor_choices": space.factor_count, "valid_per_cpu_s_other": other}
    one = space.batch(space.drawn_template(rng), space.drawn_factors(COUNT, rng))
    drawn = space.sample(COUNT, seed=0)
    for name, batch in (("one_template", one), ("sample", drawn)):
        speed, valid = rate(space, batch)
        figures[name] = {
            "templates": len(getattr(batch, "parts", [batch])),
            "per_cpu_s": round(speed),
            "valid": round(valid, 5),
            "ratio": round(speed * valid / other, 1) if other else None,
        }
    return figures


if __name__ == "__main__":
    at, names = Path(sys.argv[1]), sys.argv[2:]
    for one_case in sorted(path for path in at.iterdir() if path.is_dir() and (not names or path.name in names)):
        print(json.dumps(measured(at, one_case)), flush=True)
