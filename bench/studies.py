"""`python bench/studies.py FIGURE [COUNT]`: what studies cost, one line of JSON each.

`rate`: evaluations per CPU-second, mapping fixed, five layers, by one worker and by two. `optimal`: the same, mapped optimally.
`resume`: what going on costs when everything is finished, and when nothing is but all is known. `memory`: peak memory of a study
of COUNT points whose evaluations take no time, so that what is measured is asking, combining and keeping them; `real`: evaluated.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sparseloop as sl
from sparseloop.explore import point

SPEC = """\
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", word_bits: 16}
layers:
  - {name: l1, shape: {m: 64, k: 64, n: 64}, density: {A: 0.5, B: 0.5}}
  - {name: l2, shape: {m: 128, k: 64, n: 64}, density: {A: 0.3, B: 0.5}}
  - {name: l3, shape: {m: 64, k: 128, n: 64}, density: {A: 0.5, B: 0.2}}
  - {name: l4, shape: {m: 64, k: 64, n: 128}, density: {A: 0.1, B: 0.5}}
  - {name: l5, shape: {m: 128, k: 128, n: 128}, density: {A: 0.6, B: 0.4}}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, type: LPDDR4, bandwidth: 8}
    - {name: GLB, class: sram, capacity: 64 KiB, bandwidth: 16}
    - {name: par, fanout: {x: 8, y: 8}}
    - {name: RF, class: regfile, capacity: 64 words}
    - {name: MAC, class: mac}
sparse:
  DRAM: {formats: {A: csr}}
  GLB: {formats: {A: csr}}
  RF: {formats: {A: csr}, skip: [B <- A]}
constraints: {GLB: {keep: [A, B, Z]}, RF: {keep: [A, B, Z]}}
"""
PARAMETERS = {
    "glb": {"path": "architecture.levels.GLB.capacity", "range": [32, 256], "points": 10, "unit": "KiB"},
    "bw": {"path": "architecture.levels.DRAM.bandwidth", "range": [4, 64], "points": 10},
    "rf": {"path": "architecture.levels.RF.capacity", "range": [32, 256], "points": 10, "unit": "words"},
    "node": {"path": "architecture.node", "range": [22, 65]},
}


def mapped(spec: sl.Spec) -> dict[str, Any]:
    """One mapping per layer is needed where mappings are fixed: layers become workloads with one each."""
    entries: list[dict[str, Any]] = []
    for layer in spec.per_layer():
        m, k, n = (layer.workload.shape[rank] for rank in "mkn")
        outer = [{"DRAM": f"for m={m // 64} n={n // 64}"}, {"GLB": f"for m=8 n=8 k={k // 8}"}]
        lines = [*outer, {"par": "x n=8, y m=8"}, {"RF": "for k=8"}]
        one = layer.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        entries.append({"name": layer.workload.name, "spec": {**one, "mapping": lines}})
    return {"spec": {}, "workloads": entries}


def study(count: int, method: str) -> sl.Study:
    """So many designs of five layers."""
    spec = sl.loads(SPEC)
    base = mapped(spec) if method == "fixed" else {"spec": spec}
    wanted = json.loads(json.dumps(PARAMETERS))
    wanted["node"]["points"] = max(1, count // 1000)
    if count < 1000:
        wanted["glb"]["points"], wanted["rf"]["points"] = max(1, count // 100), 10 if count >= 100 else max(1, count // 10)
    return sl.Study.of({"name": "bench", **base, "parameters": wanted, "mapping": {"method": method}})


def spent(what: Any) -> dict[str, float]:
    """Seconds of the clock and of processors, those of ended children included."""
    wall, before = time.perf_counter(), os.times()
    what()
    after = os.times()
    return {"wall_s": round(time.perf_counter() - wall, 2), "cpu_s": round(sum(after[:4]) - sum(before[:4]), 2)}


def rate(count: int, method: str = "fixed") -> None:
    """Evaluations per CPU-second; how much more processor time two workers need than one."""
    one = study(count, method)
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            found: list[Any] = []
            figures = spent(
                lambda w=workers, f=folder, found=found: found.append(one.run(f, sl.RunOptions(workers=w, resume=True)))
            )
            tally = found[0].tally
            per = round(tally.evaluated / figures["cpu_s"], 1)
            told = {"points": tally.points, "valid": tally.valid, "evaluations": tally.evaluated, "per_cpu_s": per}
            print(json.dumps({"method": method, "workers": workers, **figures, **told, "load": os.getloadavg()[0]}))


def resume(count: int) -> None:
    """What is paid again for what is finished, and for what is known."""
    one = study(count, "fixed")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        print(json.dumps({"run": "first", "points": count, **spent(lambda: one.run(folder, sl.RunOptions(resume=True)))}))
        print(json.dumps({"run": "finished", **spent(lambda: one.run(folder, sl.RunOptions(resume=True)))}))
        known = sl.RunOptions(resume=True, reuse=(folder,))
        print(json.dumps({"run": "known", **spent(lambda: one.run(other, known))}))


def memory(count: int, *, real: bool) -> None:
    """Peak memory of the process that asks, combines and keeps; `real`: it evaluates, too."""
    levels = [{"name": f"L{i}", "kind": "storage", "energy_pj": 1.5 * i, "cycles": 2.0, "area_um2": 3.0} for i in range(4)]
    numbers = {"valid": True, "why": None, "energy_pj": 1e9, "cycles": 1e6, "utilization": 0.5, "area_um2": 1e6, "levels": levels}
    fixed = {"workload": "l1", "clock_hz": 1e9, "mappings": 1, "proven": None, "lower_bound": None, "seconds": 1e-3, **numbers}

    def evaluated(designs: Any, job: Any) -> Any:
        return point.JobOutcome(job, {"key": f"{job.point:032x}", **fixed, "energy_pj": 1e9 + job.point})

    if not real:
        point.Designs.evaluated = evaluated

    data = {"name": "bench", "spec": {**mapped(sl.loads(SPEC))["workloads"][0]["spec"]}, "mapping": "fixed"}
    wanted = json.loads(json.dumps(PARAMETERS))
    wanted["node"]["points"] = max(1, count // 1000)

    one = sl.Study.of({**data, "parameters": wanted})
    with tempfile.TemporaryDirectory() as folder:
        figures = spent(lambda: one.run(folder, sl.RunOptions(resume=True)))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"points": count, **figures, "peak_mb": peak, "folder_mb": size // 2**20}))
        again = spent(lambda: one.run(folder, sl.RunOptions(resume=True)))
        asked = spent(lambda: sl.Store.opened(folder).query("select glb, min(edp) from points where valid group by glb"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"run": "resumed", **again, "query_s": asked["wall_s"], "peak_mb": peak}))


if __name__ == "__main__":
    figure, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if figure == "rate":
        rate(number or 10_000)
    elif figure == "optimal":
        rate(number or 20, "optimal")
    elif figure == "resume":
        resume(number or 1000)
    else:
        memory(number or 1_000_000, real=figure == "real")
