"""Points evaluated together: the rows that they have one by one, and fewer evaluations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import sparseloop as sl
from sparseloop.explore.grouping.dependence import OF_ALL_LEVELS, OF_ONE_LEVEL
from sparseloop.explore.grouping.together import FEWEST, GroupedDesigns
from sparseloop.explore.point import Designs, Job, JobOutcome

SPEC = """\
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 8, n: 8, k: 8}, density: {A: 0.5, B: 0.25}}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, bandwidth: 4}
    - {name: GLB, class: sram, capacity: 2 KiB, bandwidth: {read: 8, write: 8}}
    - {name: array, fanout: {x: 4, y: 1}}
    - {name: RF, class: regfile, capacity: 64 words, bandwidth: 2}
    - {name: MAC, class: mac}
sparse:
  DRAM: {formats: {A: csr}}
  GLB: {formats: {A: csr}, skip: [B <- A, Z <- A]}
  RF: {gate: [B <- A]}
mapping: [{DRAM: for m=2 n=2}, {GLB: for m=4 k=2}, {array: n=4}, {RF: for k=4}]
"""
LEVELS = "architecture.levels."
CHANGES: dict[str, tuple[str, Any]] = {
    "capacity": (LEVELS + "GLB.capacity", [128, 256, 512, 1024]),
    "room of a tile": (LEVELS + "RF.capacity", [4, 8, 64]),
    "bandwidth": (LEVELS + "DRAM.bandwidth", [1, 2, 4.5]),
    "read bandwidth": (LEVELS + "GLB.bandwidth.read", [1, 8, 16]),
    "no bandwidth": (LEVELS + "DRAM.bandwidth", [None, 8, 16]),
    "node of a level": (LEVELS + "RF.node", ["45nm", "32nm", "22nm"]),
    "banks": (LEVELS + "GLB.banks", [1, 2, 4]),
    "price": (LEVELS + "GLB.energy.read", [0, 5, 7]),
    "area": (LEVELS + "MAC.area", [100, 200, 300]),
    "technology": ("architecture.node", ["45nm", "32nm", "16nm"]),
    "supply": ("architecture.vdd", [0.8, 0.9, 1.0]),
    "clock": ("architecture.clock", [1e9, 5e8]),
    "density": ("workload.density.A", [0.1, 0.5]),
    "position": ("architecture.levels[1].capacity", [256, 512, 1024]),
    "fanout": (LEVELS + "array.fanout.x", [4, 8]),
    "word": (LEVELS + "GLB.word_bits", [16, 32]),
    "wrong": (LEVELS + "GLB.capacity", [256, -1, "many"]),
}
"""What varies: a path and its values."""
PAIRS = [
    ("capacity", "bandwidth"), ("room of a tile", "technology"), ("read bandwidth", "price"), ("no bandwidth", "area"),
    ("node of a level", "supply"), ("banks", "clock"), ("density", "capacity"), ("position", "room of a tile"),
    ("fanout", "bandwidth"), ("word", "banks"), ("wrong", "bandwidth"),
]  # fmt: skip


def designs_of(*names: str, spec: str = SPEC) -> tuple[Designs, list[Job]]:
    """The designs of a study, and all its points."""
    parameters = {f"p{i}": {"path": CHANGES[name][0], "values": CHANGES[name][1]} for i, name in enumerate(names)}
    study = sl.Study.of({"name": "s", "spec": sl.loads(spec), "parameters": parameters, "mapping": "fixed"})
    designs = study.definition.designs
    return designs, [Job(number, 0, values) for number, values in enumerate(designs.space.grid())]


def compared(outcome: JobOutcome) -> JobOutcome:
    """Without what differs from run to run; numbers to twelve digits."""
    if outcome.row is None:
        return outcome
    return replace(outcome, row={name: _rounded(value) for name, value in outcome.row.items() if name != "seconds"})


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [{name: _rounded(part) for name, part in level.items()} for level in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


@pytest.mark.parametrize("names", PAIRS)
def test_the_rows_are_those_of_one_by_one(names: tuple[str, str]) -> None:
    designs, jobs = designs_of(*names)
    jobs = (jobs * FEWEST)[: max(len(jobs), 2 * FEWEST)]
    assert [compared(one) for one in GroupedDesigns(designs).evaluated(jobs)] == [
        compared(designs.evaluated(job)) for job in jobs
    ]


@pytest.mark.parametrize("rule", ["expected", 0.9])
def test_so_they_are_where_tiles_may_be_larger_than_their_room(rule: str | float) -> None:
    spec = SPEC.replace("capacity: 64 words", f"capacity: 64 words, capacity_rule: {rule}")
    designs, jobs = designs_of("room of a tile", "bandwidth", spec=spec)
    rows = [compared(one) for one in GroupedDesigns(designs).evaluated(jobs)]
    assert rows == [compared(designs.evaluated(job)) for job in jobs]
    assert {one.row["valid"] for one in rows if one.row} == {True, False}


def test_points_that_differ_in_numbers_of_levels_are_evaluated_together(monkeypatch: pytest.MonkeyPatch) -> None:
    designs, jobs = designs_of("capacity", "bandwidth", "technology", "price")
    built = list[Any]()
    spec = Designs.spec
    monkeypatch.setattr(Designs, "evaluated", lambda *_: pytest.fail("one by one"))
    monkeypatch.setattr(Designs, "spec", lambda self, *given: built.append(given) or spec(self, *given))
    grouped = GroupedDesigns(designs)
    rows = [one.row for one in grouped.evaluated(jobs)]
    assert len(built) < len(jobs) / 2
    assert [grouped.key(job) for job in jobs] == [row["key"] for row in rows if row]


@pytest.mark.parametrize("field", sorted(OF_ONE_LEVEL))
def test_a_field_of_a_level_changes_that_level_alone(field: str) -> None:
    values = {"capacity": "300 words", "bandwidth": 3, "banks": 2, "node": "22nm", "vdd": 0.8, "energy": "{read: 9}", "area": 7}
    base = sl.design_of(sl.loads(SPEC))
    for number, name in enumerate(("DRAM", "GLB", "RF", "MAC")):
        if name == "MAC" and field in ("capacity", "bandwidth", "banks"):
            continue
        value = values[field] if (name, field) != ("MAC", "energy") else "{compute: 9}"
        design = sl.design_of(sl.loads(SPEC, overrides=[f"{LEVELS}{name}.{field}={value}"]))
        assert (design.einsum, design.sparse, design.mapping) == (base.einsum, base.sparse, base.mapping)
        changed = [one != other for one, other in zip(design.arch.levels, base.arch.levels, strict=True)]
        assert changed == [place == number and changed[number] for place in range(4)]
        assert changed[number] or (name, field) in (("DRAM", "capacity"), ("DRAM", "banks"), ("RF", "banks"), ("MAC", "vdd"))


@pytest.mark.parametrize("field", sorted(OF_ALL_LEVELS))
def test_a_field_of_the_machine_changes_levels_alone(field: str) -> None:
    value = {"node": "22nm", "vdd": 0.8, "clock": "500 MHz"}[field]
    base, design = sl.design_of(sl.loads(SPEC)), sl.design_of(sl.loads(SPEC, overrides=[f"architecture.{field}={value}"]))
    assert (design.einsum, design.sparse, design.mapping) == (base.einsum, base.sparse, base.mapping)
