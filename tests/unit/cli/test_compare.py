"""`sparseloop compare`: what Timeloop prints is read back, set beside ours, and the fault behind a difference named."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparseloop.cli.app import main
from sparseloop.cli.compare import ComparedFigure, comparison
from sparseloop.input.diagnostics import SpecError
from sparseloop.validation.timeloop import stats_output as stats
from tests.helpers.timeloop_files import CONV, CONV_STATS

SPARSE = """
problem:
  shape:
    name: matmul
    dimensions: [M, N, K]
    data_spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [[[K]], [[N]]]}
    - {name: Z, projection: [[[M]], [[N]]], read_write: true}
  instance: {M: 4, N: 4, K: 4, densities: {A: {distribution: fixed_structured, density: 0.5}}}
architecture:
  version: 0.3
  subtree:
  - name: system
    local:
    - {name: DRAM, class: DRAM, attributes: {word-bits: 16, metadata-storage-width: 8, metadata-storage-depth: 64}}
    - name: Buffer
      class: SRAM
      attributes: {word-bits: 16, depth: 64, width: 16, metadata-storage-width: 8, metadata-storage-depth: 64}
    - {name: MAC, class: intmac, attributes: {datawidth: 16}}
mapping:
- {target: DRAM, type: temporal, factors: M=1 N=1 K=1, permutation: MNK}
- {target: Buffer, type: temporal, factors: M=4 N=4 K=4, permutation: NKM}
sparse_optimizations:
  targets:
  - name: DRAM
    representation_format:
      data_spaces:
      - {name: A, ranks: [{format: UOP, payload_word_bits: 4}, {format: CP, metadata_word_bits: 4}]}
  - name: Buffer
    representation_format:
      data_spaces:
      - {name: A, ranks: [{format: UOP, payload_word_bits: 4}, {format: CP, metadata_word_bits: 4}]}
    action_optimization:
    - {type: gating, options: [{target: B, condition_on: [A]}]}
"""

SPARSE_STATS = """=== MAC ===
    STATS
    -----
    Utilized instances (max)     : 1
    Utilized instances (average) : 1.00
    Cycles                       : 32
    Algorithmic Computes (total) : 64
    Actual Computes (total)      : 32
    Gated Computes (total)       : 0
    Skipped Computes (total)     : 0
=== Buffer ===
    STATS
    -----
    Cycles               : 32
    A:
        Data tile shape                                             : 16
        Representation format                                       : uop cp
        Max utilized Repr format storage capacity
            Rank 1 (metadata, payload): (0, 5)
            Rank 0 (metadata, payload): (8, 0)
        Utilized instances (max)                                    : 1
        Utilized instances (average)                                : 1.00
        Actual scalar format fills (per-instance)
            Rank 1 (metadata, payload): (0,  5)
            Rank 0 (metadata, payload): (8,  0)
        Gated scalar format fills (per-instance)                    : 0
        Actual scalar fills (per-instance)                          : 8
    B:
        Utilized instances (max)                                    : 1
        Utilized instances (average)                                : 1.00
        Algorithmic scalar reads (per-instance)                     : 64
        Actual scalar reads (per-instance)                          : 32
        Gated scalar reads (per-instance)                           : 32
Networks
--------
DRAM <==> Buffer
    STATS
    -----
    A:
        Ingresses                               : 16.00
"""
"""Sparse: gated computes are nowhere and take no cycle (Q39); the network carries the dense words (Q11)."""

HIDDEN = "<keep><PerDataSpace><item>0</item><item>1</item><item>1</item></PerDataSpace></keep>"
ITEMS = "<PerDataSpace><item>{}</item><item>{}</item><item>{}</item></PerDataSpace>"
RANKS = "<count>2</count><item><count>2</count><item>8</item><item>0</item></item><item><item>0</item><item>5</item></item>"
LEVEL = "<specs_><LevelSpecs><level_name>{}</level_name></LevelSpecs></specs_>"
XML = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes" ?>\n<!DOCTYPE boost_serialization>\n<boost_serialization><engine>'
    "<topology_><levels_><count>2</count><item><px>" + LEVEL.format("MAC") + "<cycles_>24</cycles_>"
    "<algorithmic_computes_>24</algorithmic_computes_><random_computes_>24</random_computes_></px></item>"
    "<item><px>"
    + LEVEL.format("Buffer")
    + "<stats_>"
    + HIDDEN
    + "<utilized_instances>"
    + ITEMS.format(1, 1, 1)
    + "</utilized_instances>"
    "<fills>" + ITEMS.format(7, 24, 12) + "</fills><random_reads>" + ITEMS.format(7, 24, 24) + "</random_reads>"
    "<random_format_fills>" + ITEMS.format("", RANKS, "") + "</random_format_fills>"
    "<cycles>24</cycles></stats_></px></item></levels_></topology_></engine></boost_serialization>\n"
)
"""Data spaces in the problem's order: Outputs, Weights, Inputs; Outputs bypass the buffer here."""

ODD = ("0", "1e308", "18446744073709551599", "-5", "nan", "inf", "abc", "")

Files = Callable[..., list[str]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    def write(**texts: str) -> list[str]:
        paths = [tmp_path / name.replace("__", ".") for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        return [str(path) for path in paths]

    return write


def _different(paths: list[str], native: bool = False) -> dict[tuple[str, str, str], ComparedFigure]:
    found = comparison(paths[:-1], Path(paths[-1]), native=native)
    assert found.left_out
    return {(row.level, row.tensor, row.figure): row for row in found.different}


def test_text_is_read_with_metadata_networks_and_summary(tmp_path: Path) -> None:
    dense = stats.of_text(CONV_STATS, tmp_path / "x.stats.txt")
    assert [(level["name"], level["type"]) for level in dense["levels"]] == [("MAC", "arithmetic"), ("Buffer", "storage")]
    assert dense["overall"] | {"energy_pJ": 50000.0, "cycles": 24.0} == dense["overall"]
    buffer = dense["levels"][1]
    assert buffer["stats"] == {"cycles": 24.0, "bandwidth_throttling": 1.0}
    assert buffer["dataspaces"]["Inputs"]["scalar_fills_per_instance"] == 12.0
    assert dense["networks"][0]["dataspaces"] == {"Weights": {"fanout": 1.0, "ingresses": 24.0}, "Inputs": {"ingresses": 6.0}}
    sparse = stats.of_text(SPARSE_STATS, tmp_path / "x.stats.txt")
    found = sparse["levels"][1]["dataspaces"]["A"]
    assert found["actual_scalar_format_fills_per_instance"] == {"rank1": [0.0, 5.0], "rank0": [8.0, 0.0]}
    assert found["gated_scalar_format_fills_per_instance"] == 0.0
    assert sparse["overall"]["cycles"] == 32.0


def test_xml_says_the_same_as_text(tmp_path: Path) -> None:
    figures = stats.of_xml(XML, tmp_path / "x.xml", ("Outputs", "Weights", "Inputs"))
    assert figures["overall"]["cycles"] == 24.0
    assert figures["levels"][0]["stats"]["actual_computes_total"] == 24.0
    assert set(figures["levels"][1]["dataspaces"]) == {"Weights", "Inputs"}
    assert figures["levels"][1]["dataspaces"]["Inputs"]["algorithmic_scalar_fills_per_instance"] == 12.0
    metadata = figures["levels"][1]["dataspaces"]["Weights"]["actual_scalar_format_fills_per_instance"]
    assert metadata == {"rank0": [8.0, 0.0], "rank1": [0.0, 5.0]}


@pytest.mark.parametrize("given", [{"x__stats__txt": CONV_STATS}, {"x__map_stats__xml": XML}], ids=["text", "xml"])
def test_a_window_fetched_whole_is_named(files: Files, given: dict[str, str]) -> None:
    different = _different(files(conv__yaml=CONV, **given))
    fills = next(row for (_, tensor, figure), row in different.items() if tensor == "Inputs" and "fills" in figure)
    assert (fills.theirs, fills.ours, fills.ratio, fills.faults) == (12.0, 6.0, 2.0, ("D1",))
    assert [row for row in different.values() if row.tensor == "Weights"] == []


def test_faults_of_sparse_designs_are_named(files: Files) -> None:
    different = _different(files(sparse__yaml=SPARSE, x__stats__txt=SPARSE_STATS))
    found = {where: (row.theirs, row.ours, row.faults) for where, row in different.items() if row.faults}
    assert found == {
        ("(all)", "", "cycles"): (32.0, 64.0, ("Q39",)),
        ("MAC", "", "cycles"): (32.0, 64.0, ("Q39",)),
        ("Buffer", "", "cycles"): (32.0, 64.0, ("Q39",)),
        ("MAC", "", "gated computes (total)"): (0.0, 32.0, ("Q39",)),
        ("DRAM <==> Buffer", "A", "ingresses"): (16.0, 8.0, ("Q11",)),
    }
    assert set(different) == set(found)


def test_native_reading_may_differ_more(files: Files) -> None:
    paths = files(sparse__yaml=SPARSE, x__stats__txt=SPARSE_STATS)
    assert set(_different(paths)) <= set(_different(paths, native=True))


def test_an_output_that_is_cut_off_is_told(files: Files) -> None:
    paths = files(conv__yaml=CONV, x__stats__txt=CONV_STATS.partition("Summary Stats")[0])
    assert any("is it cut off?" in text for text in comparison(paths[:-1], Path(paths[-1])).left_out)
    whole = files(conv__yaml=CONV, y__stats__txt=CONV_STATS)
    assert not any("is it cut off?" in text for text in comparison(whole[:-1], Path(whole[-1])).left_out)


def test_the_output_is_told_from_the_design_by_its_name(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """In any order; the output alone, where a design is asked for, is told as such."""
    design, output = files(conv__yaml=CONV, x__stats__txt=CONV_STATS)
    said = list[str]()
    for order in ((design, output), (output, design)):
        assert main(["compare", *order, "--summary", "-q"]) == 0
        said.append(capsys.readouterr().out)
    first, second = said
    assert first == second
    assert main(["eval", design, output]) == 2
    assert "this is no input but an output" in capsys.readouterr().err


def test_json_csv_and_table_say_the_same(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    paths = files(conv__yaml=CONV, x__stats__txt=CONV_STATS)
    assert main(["compare", *paths, "-f", "json"]) == 0
    shown = capsys.readouterr()
    record: dict[str, Any] = json.loads(shown.out)
    assert record["different"] == len(record["rows"]) < record["compared"]
    assert "level DRAM is not in x.stats.txt" in shown.err
    assert "D1" in record["faults"]
    assert main(["compare", *paths, "-f", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["level"], row["figure"], float(row["theirs"])) for row in rows] == [
        (row["level"], row["figure"], row["theirs"]) for row in record["rows"]
    ]
    assert main(["compare", *paths]) == 0
    table = capsys.readouterr().out
    agreeing = record["compared"] - record["different"]
    assert f"{agreeing} of {record['compared']} numbers agree" in table
    assert "D1: a step that moves no tile" in table
    assert main(["compare", *paths, "--all", "-f", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == record["compared"] + 1


WRONG = [
    ("no levels here\n", "is no stats file of Timeloop: it names no level"),
    (
        CONV_STATS.replace("Computes (total)", "Additions"),
        "one level must state 'Computes (total)' (older: 'Energy-per-op'), here: none",
    ),
    (CONV_STATS.replace("Cycles ", "Time ").replace("Cycles:", "Time:"), "no level states its cycles"),
    (CONV_STATS.replace("=== Buffer", "=== GLB"), "no storage level in common: theirs GLB; ours DRAM, Buffer"),
    ('<?xml version="1.0"?>\n<a><b></a>', "is no complete XML (mismatched tag)"),
    (
        XML.replace("<keep>" + ITEMS.format(0, 1, 1), "<keep>" + ITEMS.format(0, 1, 1).replace("<item>0</item>", "")),
        "2 data spaces",
    ),
    (XML.replace("<cycles>24<", "<cycles>many<"), "has a word where a number belongs ('many')"),
    ("", "is no stats file of Timeloop"),
    ("\x00\x01", "is no stats file of Timeloop"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_output_is_a_diagnostic(files: Files, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    assert main(["compare", *files(conv__yaml=CONV, x__stats__txt=text)]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "internal error" not in shown.err
    assert shown.out == ""


def test_mistakes_of_both_sides_are_told_at_once(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = files(conv__yaml=CONV.replace("factors: R=1 P=4", "factors: R=1 P=five"))
    assert main(["compare", *paths, str(tmp_path / "nothing.stats.txt")]) == 2
    error = capsys.readouterr().err
    assert "conv.yaml" in error
    assert "nothing.stats.txt cannot be read (No such file or directory)" in error
    assert main(["compare", *paths]) == 2
    assert "too few arguments" in capsys.readouterr().err


def test_bytes_and_folders_are_no_stats(files: Files, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"\xff\xfe\x00\xd8")
    for path in (tmp_path / "raw", tmp_path):
        with pytest.raises(SpecError, match=r"is not text|cannot be read"):
            comparison(files(conv__yaml=CONV), path)


@pytest.mark.parametrize(
    ("design", "text"), [(CONV, CONV_STATS), (SPARSE, SPARSE_STATS), (CONV, XML)], ids=["text", "sparse", "xml"]
)
def test_spoilt_output_is_a_diagnostic_or_compared(files: Files, design: str, text: str) -> None:
    rng = random.Random(0)
    (path,) = files(design__yaml=design)
    outcomes = set[bool]()
    for _ in range(60):
        at = rng.randrange(len(text))
        spoilt = rng.choice(
            (
                text[:at],
                text[at:],
                text[:at] + rng.choice("x0:()<=-\x00") + text[at + 1 :],
                re.sub(r"\b24\b", rng.choice(ODD), text),
            )
        )
        try:
            comparison([path], Path(files(x__stats__txt=spoilt)[0]))
            outcomes.add(True)
        except SpecError:
            outcomes.add(False)
    assert outcomes == {True, False}


# --- versions up to 3.0.0 -----------------------------------------------------------------------------------

OLD = (
    CONV_STATS.replace("    Compute energy        : 9.99 pJ\n", "    Energy-per-op         : 9.99 pJ\n")
    .replace("    Computes (total)        : 24\n", "")
    .replace("Computes = 24", "MACCs = 24")
)
"""The arithmetic level states no computes: they stand in the summary."""


def test_older_output_is_read(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Computes" not in OLD
    old = comparison(files(conv__yaml=CONV)[:1], Path(files(old__stats__txt=OLD)[0]))
    new = comparison(files(conv__yaml=CONV)[:1], Path(files(new__stats__txt=CONV_STATS)[0]))
    assert old.rows == new.rows
    assert next(row for row in old.rows if row.figure == "computes (total)").theirs == 24


# --- conventions --------------------------------------------------------------------------------------------

CONVENTIONS = """
Networks
--------
Network 0
---------
DRAM <==> Buffer

    SPECS
    -----
        Type            : Legacy

    STATS
    -----
    Weights:
        Fanout                                  : 1
        Ingresses                               : 6.00
        Average number of hops                  : 0.50
"""


def test_hops_and_leakage_stand_beside_ours(files: Files) -> None:
    leak = "  - {name: DRAM, actions: [{name: leak, energy: 2}]}\n  - {name: MAC, actions: [{name: leak, energy: 3}]}\n"
    text = CONV + f"ERT:\n  version: 0.4\n  tables:\n{leak}"
    assert "\nSummary Stats" in CONV_STATS
    theirs = CONV_STATS.replace(
        "    Cycles                  : 24\n", "    Cycles : 24\n    Leakage energy (total) : 0.00 pJ\n", 1
    )
    theirs = theirs.replace("\nSummary Stats", f"{CONVENTIONS}\nSummary Stats", 1)
    compared = comparison(files(conv__yaml=text)[:1], Path(files(x__stats__txt=theirs)[0]))
    hops = next(row for row in compared.rows if row.figure == "average number of hops")
    assert (hops.tensor, hops.theirs, hops.ours, hops.faults) == ("Weights", 0.5, 0.0, ("D30",))
    leaked = next(row for row in compared.rows if row.figure == "leakage energy (total)")
    assert (leaked.level, leaked.theirs, leaked.ours, leaked.faults) == ("MAC", 0.0, 3 * 24.0, ("D31",))
