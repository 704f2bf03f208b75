"""Joint search of strategies and mappings: against trying them all, and the machines that stand for sets."""

from __future__ import annotations

import json
from itertools import count, product
from pathlib import Path

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.cli.app import main
from sparseloop.evaluation.evaluate import design_of, evaluate_batch
from sparseloop.evaluation.humanize import objective_text
from sparseloop.explore import definition as studyfile
from sparseloop.explore.codesign.relaxation import Sets, Strategies
from sparseloop.input.diagnostics import SpecError
from sparseloop.mapper.space.mapspace import mapspace

SPEC = """\
  workload:
    einsum: Z[m,n] = P[m,k] * Q[k,n]
    shape: {m: 4, k: 6, n: 4}
    density: {P: 0.3, Q: 0.5, Z: 0.6}
  architecture:
    node: 45nm
    levels:
      - {name: DRAM, class: dram, type: LPDDR4, bandwidth: 4, block_size: 4}
      - {name: RF, class: regfile, capacity: 24 words, bandwidth: 4, metadata: 16 B}
      - {name: MAC, class: mac}
  constraints:
    DRAM: {order: n m k}
    RF: {order: k n m, keep: [P, Q, Z]}
"""
PARAMETERS = """\
parameters:
  P:
    choices:
      none: {}
      mask to DRAM: {sparse.DRAM.formats.P: B(*)}
      mask to RF: {sparse.DRAM.formats.P: B(*), sparse.RF.formats.P: B(*)}
      list to RF: {sparse.DRAM.formats.P: UOP(m) CP(k;4), sparse.RF.formats.P: UOP(m) CP(k;4)}
  Q: {choices: {none: {}, bitmap: {sparse.DRAM.formats.Q: UB(*;1)}, runs: {sparse.DRAM.formats.Q: RLE(*;3)}}}
  RF:
    choices: {none: {}, gate: {sparse.RF.gate: [Q <- P]}, skip: {sparse.RF.skip: [Q <- P]}, both: {sparse.RF.skip: [P <-> Q]}}
  MAC: {choices: {none: {}, skip: {sparse.MAC.skip: true}}, when: P != none}
"""
END = "minimize: edp\nmapping: optimal\n"


def study(folder: Path, parameters: str = PARAMETERS, end: str = END) -> Path:
    file = folder / "study.yaml"
    file.write_text(f"spec:\n{SPEC}{parameters}{end}")
    return file


def members(strategies: Strategies, sets: Sets) -> list[Sets]:
    """All strategies of a set whose values make a design."""
    found: dict[Sets, None] = {}
    for numbers in product(*sets):
        one = strategies.settled(tuple((n,) for n in numbers))
        if strategies.single(one):
            try:
                design_of(strategies.exact(one))
            except SpecError:
                continue
            found[one] = None
    return list(found)


def test_no_mapping_costs_more_than_under_any_strategy_of_the_set(tmp_path: Path) -> None:
    strategies = Strategies(studyfile.read_study(study(tmp_path)).designs)
    rng, everything = np.random.default_rng(0), members(strategies, strategies.all)
    assert len(everything) > 40
    sample = strategies.space.sample(200, seed=1)
    names = ("energy_pj", "cycles", "status")
    exact = {one: evaluate_batch(design_of(strategies.exact(one)), sample, names) for one in everything}
    compared = 0
    for _ in range(25):
        sets = strategies.settled(tuple(
            tuple(sorted({int(n) for n in rng.choice(numbers, size=int(rng.integers(1, 4)))})) for numbers in strategies.all
        ))  # fmt: skip
        least = evaluate_batch(strategies.machine(sets), sample, names)
        for one in members(strategies, sets):
            valid = exact[one]["status"] == 0
            assert (least["status"][valid] == 0).all(), (sets, one)
            for name in names[:2]:
                assert (least[name][valid] <= exact[one][name][valid] * (1 + 1e-9)).all(), (sets, one, name)
            compared += int(valid.sum())
    assert compared > 5000


@pytest.mark.parametrize("goal", ["energy", "edp"])
def test_equals_trying_every_strategy(tmp_path: Path, goal: str) -> None:
    file = study(tmp_path, end=f"minimize: {goal}\nmapping: optimal\n")
    found = sl.codesign(file)
    strategies = Strategies(studyfile.read_study(file).designs)
    values = [sl.search(mapspace(strategies.exact(one)), minimize=goal, method="optimal").value
              for one in members(strategies, strategies.all)]  # fmt: skip
    assert found.proven
    assert found.value == pytest.approx(min(value for value in values if value is not None), rel=1e-9)
    assert found.lower_bound == pytest.approx(found.value)
    assert found.strategies == 4 * 3 * 4 * 3
    assert dict(found.to_pandas().itertuples(index=False)) == {k: None if v is None else str(v) for k, v in found.values.items()}
    assert found.to_polars().columns == ["parameter", "value"]


def test_content_with_less(tmp_path: Path) -> None:
    exact = sl.codesign(study(tmp_path))
    rough = sl.codesign(study(tmp_path), sl.CodesignOptions(within=0.2))
    assert exact.value is not None
    assert rough.value is not None
    assert rough.proven
    assert rough.lower_bound <= exact.value * (1 + 1e-9)
    assert rough.gap <= 0.2 + 1e-9
    assert rough.bounded <= exact.bounded


def test_two_workers_find_the_same(tmp_path: Path) -> None:
    one, two = (sl.codesign(study(tmp_path), sl.CodesignOptions(workers=workers)) for workers in (1, 2))
    assert (one.values, one.value, one.mapping, one.bounded) == (two.values, two.value, two.mapping, two.bounded)


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = tmp_path / "best.yaml"
    assert main(["codesign", str(study(tmp_path)), "-o", str(best), "-f", "json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    unit = "edp " + objective_text("edp", record["value"], 1e9)
    assert f"proven: no design costs less than {unit}" in err
    assert record["warnings"] == record["result"]["warnings"]
    written = sl.evaluate(sl.load(best))
    assert written.valid
    assert written.energy_pj * written.cycles == pytest.approx(record["value"])
    assert record["values"].keys() == {"P", "Q", "RF", "MAC"}


def test_a_budget_leaves_an_answer_and_a_bound(tmp_path: Path) -> None:
    """By a clock that shows a second more at every look: the budget is over before the first wave of sets is cut."""
    exact, seconds = sl.codesign(study(tmp_path)), count()
    best = sl.codesign(study(tmp_path), sl.CodesignOptions(seconds=2.0, clock=lambda: float(next(seconds))))
    assert best.stopped == "budget"
    assert not best.proven
    assert best.value is not None
    assert exact.value is not None
    assert best.lower_bound <= exact.value <= best.value * (1 + 1e-9)
    assert best.bounded < exact.bounded


def test_the_command_takes_a_budget_of_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codesign", str(study(tmp_path)), "--budget", "10min"]) == 0
    assert "proven: no design costs less than" in capsys.readouterr().err


def test_nothing_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(study(tmp_path))
    assert main(["codesign", file, "--set", "spec.architecture.levels.RF.capacity=1 words"]) == 1
    assert "no strategy has a valid mapping" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("parameters.Q={path: workload.shape.m, values: [2, 4]}", "'Q' changes more than sparse features"),
        ("parameters.Q={path: workload.density.P, range: [0.1, 0.5], points: 3}", "'Q' has no list of values"),
        ("parameters.RF={choices: {a: {sparse.RF.spatial_skip: [Q <- P]}}}", "'RF': spatial skips and options"),
        ("mapping=fixed", "mapping"),
        ("minimize=area", "strategies are not searched for area"),
        ("minimize=power", "strategies are not searched for power"),
        ("minimize=idleness", "strategies are not searched for idleness"),
        ("mapping=genetic", "error: codesign searches the mapping together with the features, with a proof"),
        ("spec.sparse={RF: {spatial_skip: [P <- Q]}}", "spatial skips and options cannot be searched jointly"),
        ("search={method: random, points: 3}", "'search' is of use for sparseloop sweep only"),
        ("parameters={}", "there are no strategies to choose between"),
        ("constraints=['area_um2 < 1']", "without constraints"),
    ],
)
def test_what_is_no_strategy_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, said: str) -> None:
    assert main(["codesign", str(study(tmp_path)), "--set", change]) == 2
    assert said in capsys.readouterr().err


def test_wrong_options_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codesign", str(study(tmp_path)), "--budget", "10k", "-f", "csv", "-o", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert all(text in err for text in ("is no time", "neither table nor json", "is a folder"))


def test_a_place_that_cannot_be_written_is_told_before_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codesign", str(study(tmp_path)), "-o", str(tmp_path / "none" / "best.yaml")]) == 2
    err = capsys.readouterr().err
    assert "cannot write into the folder" in err
    assert "sets bounded" not in err
