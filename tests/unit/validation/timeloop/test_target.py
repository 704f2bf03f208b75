"""`sparseloop validate timeloop`: the shipped corpus, agreement per feature, the list of faults and their effects."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path

import pytest

from sparseloop.cli.app import main
from sparseloop.validation.timeloop import target
from sparseloop.validation.timeloop.agreement import Agreement, measure
from sparseloop.validation.timeloop.compare import Figure
from sparseloop.validation.timeloop.corpus import COMMITTED, GoldenCase, read_cases
from sparseloop.validation.timeloop.faults import NO_FAULT, FaultEffect, known_faults

PAGE = Path(__file__).parents[4] / "docs" / "timeloop_faults.md"
FEW = 60
CASES = 1259


@cache
def _cases() -> tuple[GoldenCase, ...]:
    return tuple(read_cases(COMMITTED))


@cache
def _few() -> tuple[list[GoldenCase], Agreement]:
    chosen = list(islice(_cases(), 0, None, CASES // FEW))
    return chosen, measure(chosen, "few")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[GoldenCase]:
    """The command on every 20th case, evaluated once for all forms of output."""
    chosen, agreement = _few()
    monkeypatch.setattr(target, "read_cases", lambda _: iter(chosen))
    monkeypatch.setattr(target, "measure", lambda cases, name: agreement)
    return chosen


def test_the_corpus_is_part_of_the_package() -> None:
    assert COMMITTED.parent == Path(target.__file__).parent
    assert len(_cases()) == CASES


def test_every_label_of_the_corpus_is_a_fault_and_the_other_way_round() -> None:
    faults = known_faults()
    assert max(Counter(fault.name for fault in faults).values()) == 1
    labels = {label for case in _cases() for given in case.given_labels.values() for label in given}
    assert labels - NO_FAULT == {label for fault in faults for label in fault.labels}
    assert all(fault.timeloop and fault.right for fault in faults)


def test_json_has_figures_and_tables(few: list[GoldenCase], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "timeloop", "-f", "json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert {row["figure"]: row["ours"] for row in record["rows"]}["differences without explanation"] == 0
    counts = next(row for row in record["rows"] if row["case"] == "count")
    assert counts["figure"] == f"figures of {len(few)} cases that agree"
    assert 0.99 * counts["published"] <= counts["ours"] <= counts["published"] > 1000
    tables = {table["title"]: table["rows"] for table in record["tables"]}
    assert [row["fault"] for row in tables[target.FAULTS]] == [fault.name for fault in known_faults()]
    networks = next(row for row in tables[target.FAULTS] if row["fault"] == "Q11")
    assert networks["median"] > 1
    assert networks["cases"] >= sum("Q11" in case.given_labels["faults"] for case in few) - 1  # one may be refused
    spatial = next(row for row in tables[target.AGREEMENT] if row["feature"] == "spatial")
    assert spatial["cases"] == sum("spatial" in case.features for case in few)
    assert spatial["share"] == spatial["agreeing"] / spatial["compared"]


def test_csv_and_table_hold_them_too(few: list[GoldenCase], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "timeloop", "-f", "csv"]) == 0
    first, *tables = capsys.readouterr().out.split("\n\n")
    assert "differences without explanation" in first
    read = {row["table"]: row for text in tables for row in csv.DictReader(io.StringIO(text))}
    assert set(read) == {target.AGREEMENT, target.FAULTS, target.LEFT_OUT} | set(read)
    assert read[target.FAULTS]["fault"] == known_faults()[-1].name
    assert main(["validate", "timeloop"]) == 0
    assert all(f"\n{fault.name} " in table for table in [capsys.readouterr().out] for fault in known_faults())


def test_a_difference_that_nobody_explains_fails() -> None:
    found = Agreement(name="one")
    found.disagreements.append(("case", Figure(path="levels/GLB/stats/cycles", kind="cycles", ours=1.0, theirs=9.0)))
    rows = target.findings(found).rows
    assert [row.within for row in rows] == [False]


def test_the_effect_of_a_fault_is_what_it_does_alone() -> None:
    effect = FaultEffect()
    for theirs, alone in ((20.0, True), (300.0, True), (5.0, False), (10.0, True), (0.0, True)):
        figure = Figure(path="levels/GLB/dataspaces/A/actual_scalar_reads_per_instance", kind="count", ours=10.0, theirs=theirs)
        effect.add(figure, figure.ours, alone)
    assert (effect.figures, effect.alone, effect.beside, effect.zeros) == (5, [2.0, 30.0], [0.5], 1)
    assert (effect.median, effect.farthest) == (16.0, 30.0)
    assert FaultEffect(beside=[0.01, 2.0]).farthest == 0.01
    assert FaultEffect().median is None


def test_the_page_tells_every_fault() -> None:
    """Its numbers are compared in tests/golden."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for fault in known_faults():
        row = next(line for line in lines if line.startswith(f"| {fault.name} |"))
        told = [cell.strip().replace("\\", "") for cell in row.split(" | ")]
        assert told[1:3] == [fault.timeloop, fault.right]
