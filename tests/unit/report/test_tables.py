"""Tables and pictures: what they say, and that they fit."""

from __future__ import annotations

import io
import re

import pytest

import sparseloop as sl
from sparseloop.evaluation import humanize as wording
from sparseloop.report.datatable import Bar, DataTable, bar_text, columns, table_html, table_text
from sparseloop.report.networks.layers import results_table
from sparseloop.report.pictures import PARTS, show_parts
from sparseloop.report.savings import savings
from sparseloop.report.tables import print_result, result_tables, result_text, summary_text
from tests.helpers.samples import ALL, CONVOLUTION, DENSE, INVALID, MATMUL


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", [60, 70, 80, 100, 140])
def test_tables_fit(name, width):
    """No line is too long, nothing is cut, and every row keeps its key, whatever the width."""
    result = sl.evaluate(sl.loads(ALL[name]))
    shown = result_text(result, width=width)
    assert all(len(line) <= width for line in shown.splitlines())
    assert "…" not in shown
    for table in result_tables(result):
        lines = table_text(table, width).plain.splitlines()
        for row in table.rows:
            keys = [str(cell) for cell, column in zip(row, table.columns, strict=True) if column.key and cell]
            assert any(all(key in line for key in keys) for line in lines), keys
    for title in ("Energy", "Traffic", "Speed", "Capacity"):
        assert f"\n{title}" in shown


def test_totals_come_first():
    lines = result_text(sl.evaluate(sl.loads(MATMUL))).splitlines()
    assert lines[0] == "Z[m, n] = A[m, k] * B[k, n]"
    assert "the mapping is valid" in lines
    labels = ["energy", "cycles", "EDP", "area", "computes", "utilization"]
    assert [line.split()[0] for line in lines if line.split(" ")[0] in labels] == labels


def test_traffic_rows():
    lines = [line.split() for line in result_text(sl.evaluate(sl.loads(MATMUL))).splitlines()]
    assert ["updates", "262", "k", "32.8", "k", "12.5", "%", "75", "%"] in lines
    assert ["DRAM", "A", "reads", "4096", "1024", "75", "%", "16.9", "k"] in lines


def test_dense_designs_have_no_sparse_columns():
    shown = result_text(sl.evaluate(sl.loads(ALL["dense"])))
    assert "Saved" not in shown
    assert not any(word in shown for word in ("gated", "skipped", "absent"))
    assert "Traffic  words\n" in shown


def test_what_limits_the_speed():
    shown = result_text(sl.evaluate(sl.loads(MATMUL)))
    assert next(line for line in shown.splitlines() if "<- limits" in line).startswith("RF")


def test_invalid_mappings_say_why():
    result = sl.evaluate(sl.loads(MATMUL, overrides=INVALID))
    shown = " ".join(result_text(result).split())
    assert "the mapping is NOT valid" in shown
    assert all(" ".join(reason.split()) in shown for reason in result.reasons)


def test_savings():
    result = sl.evaluate(sl.loads(MATMUL))
    found = {s.feature: s for s in savings(result, result.design.mapping)}
    assert list(found) == [
        "GLB: skip B <- A", "RF: skip B <- A", "RF: gate Z <- A & B", "MAC: gate", "A compressed", "B compressed", "all together",
    ]  # fmt: skip
    skip = found["RF: skip B <- A"]
    assert (skip.what, skip.removed, skip.dense) == ("reads", 196608, 262144)
    assert skip.cycles > result.cycles
    assert found["MAC: gate"].cycles == result.cycles
    free = [one.feature for one in found.values() if not one.area_um2]
    assert free == ["RF: gate Z <- A & B"]  # looks at metadata that is there for the skips
    units = sum(p.count * p.area_um2 * lv.instances for lv in result.plan.arch.levels for p in lv.parts if p.unit)
    assert found["all together"].area_um2 == pytest.approx(units)
    dense = sl.evaluate(sl.loads(DENSE))
    assert found["all together"].energy_pj == pytest.approx(dense.energy_pj)
    assert found["all together"].cycles == dense.cycles
    assert savings(dense, dense.design.mapping) == ()


def test_colour_only_for_terminals():
    stream = io.StringIO()
    print_result(sl.evaluate(sl.loads(MATMUL)), stream, width=80)
    assert "\x1b" not in stream.getvalue()
    assert not any(line.endswith(" ") for line in stream.getvalue().splitlines())

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    print_result(sl.evaluate(sl.loads(MATMUL)), terminal, width=80)
    assert "Energy" in terminal.getvalue()


def test_bars():
    assert [bar_text(part, 4) for part in (0, 0.5, 1, 2)] == ["", "██", "████", "████"]
    assert bar_text(1 / 8, 1) == "▏"


def _narrow_table() -> DataTable:
    names = columns("*level", "energy", "<", "~remark")
    rows = ((lambda digits: f"{1.2345:.{digits}f} uJ"),)
    return DataTable(title="Energy", columns=names, rows=(("GLB", rows[0], Bar(0.5), "a remark of several words"),))


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (52, "GLB    1.234 uJ  ████████  a remark of several words"),
        (48, "GLB    1.234 uJ  ████  a remark of several words"),
        (46, "GLB    1.234 uJ  ██  a remark of several words"),
        (45, "GLB    1.23 uJ  ██  a remark of several words"),
        (42, "GLB    1.23 uJ  a remark of several words"),
        (38, "GLB    1.234 uJ  ██  a remark of"),
        (31, "GLB    1.23 uJ  a remark of"),
    ],
)
def test_bars_give_way_first_then_digits_then_remarks_are_broken(width, row):
    lines = table_text(_narrow_table(), width).plain.splitlines()
    assert row in lines
    assert all(len(line) <= width for line in lines)


def test_a_table_that_does_not_fit_goes_on_below_with_its_keys():
    names = columns("*level", *"ABCDEF")
    table = DataTable(title="Energy", columns=names, rows=(("GLB", *["1.25 uJ"] * 6), ("RF", *["2.25 uJ"] * 6)))
    shown = table_text(table, 30).plain
    assert shown.count("GLB") == shown.count("RF") == shown.count("level") == 3
    assert shown.count("1.25 uJ") == 6
    assert all(len(line) <= 30 for line in shown.splitlines())


def test_tables_as_html():
    names = columns("*level", "energy", "<")
    table = DataTable(title="Energy", columns=names, rows=(("<GLB>", lambda digits: f"{digits} digits", Bar(0.5)),))
    shown = table_html(table)
    assert "<td>&lt;GLB&gt;</td><td class=n>3 digits</td>" in shown
    assert "width:50.0%" in shown


def test_one_line_a_layer():
    results = [sl.evaluate(sl.loads(ALL[name])) for name in ("dense", "matmul")]
    lines = table_text(results_table(results), 100).plain.splitlines()
    assert lines[-1].startswith("2 layers")
    assert lines[1].split() == ["layer", "energy", "cycles", "EDP", "utilization"]
    energy = sum(result.energy_pj for result in results)
    assert wording.energy_text(energy) in lines[-1]


def test_layers_that_run_several_times_count_so_often():
    result = sl.evaluate(sl.loads(ALL["dense"]))
    first, second, whole = table_text(results_table([result, result], [3, 1]), 100).plain.splitlines()[-3:]
    assert "x 3" in first
    assert "x" not in second
    assert wording.energy_text(4 * result.energy_pj) in whole
    assert wording.edp_text(16 * result.edp, result.plan.arch.clock_hz) in whole


def test_the_summary_is_the_head_of_the_tables():
    result = sl.evaluate(sl.loads(MATMUL))
    shown = summary_text(result)
    assert result_text(result).startswith(shown)
    assert shown.splitlines()[-1].startswith("utilization")


def test_units_of_the_energy_delay_product():
    result = sl.evaluate(sl.loads(MATMUL))
    line = next(line for line in result_text(result).splitlines() if line.startswith("EDP"))
    _, joule_seconds, unit, picojoule_cycles, other = line.split()
    assert (unit, other) == ("J*s", "pJ*cycles)")
    clock = result.plan.arch.clock_hz
    assert float(joule_seconds) == pytest.approx(result.energy_pj * 1e-12 * result.cycles / clock, rel=0.005)
    assert float(picojoule_cycles.lstrip("(")) == pytest.approx(result.edp, rel=0.001)


# --- pictures -----------------------------------------------------------------------------------------------


def test_show_everything():
    shown = show_parts(sl.loads(CONVOLUTION))
    assert "O[n, m, p, q] = I[n, c, 2p+r, 2q+s] * W[m, c, r, s]" in shown
    assert "uniform, density 0.6" in shown
    assert "2:4 along c" in shown
    assert "14 x 12 of" in shown
    assert "108 KiB (36864 words of 24 bits)" in shown
    assert "DRAM: I is stored compressed as RLE(5)" in shown
    assert "spad: skip W <- I: does not fetch W" in shown
    assert "parallel along x q in 0..13" in shown
    assert "Mapspace" not in shown


def test_the_loop_nest_is_indented():
    lines = show_parts(sl.loads(MATMUL), ["mapping"]).splitlines()
    loops = [line for line in lines if " in 0.." in line]
    assert [line.split(" in ")[0].split()[-1] for line in loops] == ["m", "n", "k", "n", "m", "m", "k"]
    indents = [len(line) - len(line.lstrip()) for line in loops]
    assert indents == list(range(4, 18, 2))
    tiles = "A 16x64 (1024 words, 256 stored), B 64x64 (4096 words, 2048 stored), Z 16x64 (1024 words)"
    assert f"  GLB: holds {tiles}" in lines


@pytest.mark.parametrize("width", [60, 70, 80, 100, 140])
def test_pictures_fit_and_numbers_keep_their_units(width):
    whole = show_parts(sl.loads(CONVOLUTION))
    shown = show_parts(sl.loads(CONVOLUTION), width=width)
    assert shown.split() == whole.split()
    assert max(map(len, shown.splitlines())) <= max(width, max(len(line) for line in whole.splitlines() if " in 0.." in line))
    assert not re.search(r"\d\n\s*(KiB|bits|words?|mm2|k)\b", shown)


@pytest.mark.parametrize("part", PARTS)
def test_show_one_part(part):
    shown = show_parts(sl.loads(MATMUL + "constraints: {GLB: {keep: [A]}}\n"), [part])
    assert shown.count("\n\n") == (2 if part == "workload" else 0)
    assert show_parts(sl.loads(ALL["dense"].partition("mapping:")[0]), [part])


# --- numbers in words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.count_text(9999), "9999"),
        (wording.count_text(1_234_567), "1.23 M"),
        (wording.count_text(999_949), "1 M"),
        (wording.count_text(0.125), "0.125"),
        (wording.energy_text(1.3e8), "130 uJ"),
        (wording.energy_text(0.05), "0.05 pJ"),
        (wording.time_text(5.07e-5), "50.7 us"),
        (wording.area_text(999), "999 um2"),
        (wording.area_text(7.2e6), "7.2 mm2"),
        (wording.total_area_text(7.2e6), "7.2 mm2"),
        (wording.total_area_text(0.0), "not known"),
        (wording.percent_text(0.1234), "12.3 %"),
        (wording.percent_text(0.00312), "0.31 %"),
        (wording.percent_text(1e-7), "<0.01 %"),
        (wording.exact_text(262144.0), "262144"),
        (wording.exact_text(0.4376543), "0.437654"),
        (wording.bits_text(24), "3 B"),
        (wording.bits_text(8192 * 16), "16 KiB"),
        (wording.bits_text(5), "5 bits"),
    ],
)
def test_humane_numbers(shown, expected):
    assert shown == expected


def test_used_counts_words_of_the_level():
    """A word of 32 bits takes four of a level of 8 bits: 8 x 8 of them and 2 x 64 of one fill 384 of 512."""
    spec = """
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 8, n: 8, k: 8}, word_bits: {A: 8, B: 8, Z: 32}}
architecture: {levels: [{name: GLB, class: sram, word_bits: 8, capacity: 512 words}, {name: MAC, class: mac}]}
mapping: [GLB: for m=8 n=8 k=8]
"""
    (table,) = [table for table in result_tables(sl.evaluate(sl.loads(spec))) if table.title == "Capacity"]
    line = next(line for line in table_text(table, 100).plain.splitlines() if line.startswith("GLB"))
    assert line.split()[4:] == ["words", "512", "384", "384", "75", "%", "██████"]
