"""Tables read and written, the user's prices of primitives, and prices found in tables and summaries."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparseloop.input import accelergy
from sparseloop.input.accelergy import ErtRow, FirstOf, Primitive, ReferenceTables, read_ert, read_user_table, write_ert
from sparseloop.input.accelergy.ert import expanded, priced
from sparseloop.input.accelergy.inverse import equations, solved
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.yaml import files as yamlio
from tests.helpers.accelergy_files import ARCHITECTURE, CLASSES, Counting, energies, made

V02 = """
ERT:
  version: 0.2
  tables:
    chip.PE[12..25].buf:
      read: [{arguments: {data_delta: 0}, energy: 0.5}, {arguments: {data_delta: 1}, energy: 2}]
      idle: {energy: 0.1}
"""
V03 = """
ERT:
  version: 0.3
  tables:
  - name: chip.PE[12..25].buf
    actions:
    - {name: read, arguments: {data_delta: 0}, energy: 0.5}
    - {name: read, arguments: {data_delta: 1}, energy: 2}
    - {name: idle, arguments: null, energy: 0.1}
ART: {version: 0.3, tables: [{name: 'chip.PE[12..25].buf', area: 7}]}
"""


def file(tmp_path: Path, text: str, name: str = "t.yaml") -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def keys(tables: ReferenceTables) -> dict[object, float]:
    return {row.key: row.energy_pj for row in tables.rows}


def wrong(path: str) -> str:
    with pytest.raises(SpecError) as caught:
        read_user_table(path)
    return str(caught.value)


# --- ERT and ART --------------------------------------------------------------------------------------------


def test_all_versions_say_the_same(tmp_path: Path):
    old, new = read_ert([file(tmp_path, V02)]), read_ert([file(tmp_path, V03)])
    text = V03.replace("0.3", "'0.4'").replace("null", "{}")
    assert keys(old) == keys(new) == keys(read_ert([file(tmp_path, text)]))
    assert len(new.rows) == 3
    assert new.rows[0].source.endswith("t.yaml:7")
    assert new.areas[0].area_um2 == 7


@pytest.mark.parametrize("version", ["0.3", "0.4"])
def test_what_is_written_is_read_again(tmp_path: Path, version: str):
    tables = made(CLASSES, ARCHITECTURE)
    odd = ErtRow(component="a b", action="no", arguments=(("t", 1e-9), ("mode", "on"), ("n", 3)), energy_pj=1.25e-7)
    tables = ReferenceTables(rows=(*tables.rows, odd), areas=tables.areas)
    path = tmp_path / "out.yaml"
    write_ert(tables, path, version)
    again = read_ert([path])
    assert keys(again) == keys(tables)
    assert [(a.component, a.area_um2) for a in again.areas] == [(a.component, a.area_um2) for a in tables.areas]
    assert again.notes == ()
    data, _ = yamlio.load_files([path])
    assert data["ERT"]["version"] == ("0.4" if version == "0.4" else 0.3)  # text in 0.4, a number before
    assert data["ERT"]["tables"][0]["actions"][0]["arguments"] == ({} if version == "0.4" else None)
    assert "1.25e-07" in path.read_text()


def test_an_energy_that_is_none_is_a_mistake(tmp_path: Path):
    with pytest.raises(SpecError, match="expected a number"):
        read_ert([file(tmp_path, V02.replace("{energy: 0.1}", "[[1]]"))])


def test_the_writer_refuses_other_versions(tmp_path: Path):
    with pytest.raises(ValueError, match=r"cannot write version '0\.2'"):
        write_ert(ReferenceTables(), tmp_path / "x.yaml", "0.2")
    with pytest.raises(SpecError, match="cannot write the file"):
        write_ert(ReferenceTables(), tmp_path / "missing" / "x.yaml")


def test_a_summary_is_no_table(tmp_path: Path):
    text = "ERT_summary: {version: 0.3, table_summary: [{name: a.b, actions: [{name: read, energy: 1}]}]}"
    with pytest.raises(SpecError, match="no ERT and no ART") as caught:
        read_ert([file(tmp_path, text)])
    assert "ERT_summary is a summary, not a table" in str(caught.value)


# --- the user's tables --------------------------------------------------------------------------------------

CSV = """\
# my 45 nm library
class, action, width, technology, energy, area, source
SRAM,  read,   8,     45nm,       1.0,    100,  bench
SRAM,  read,   64,    45nm,       6.0,    800,  bench
SRAM,  read,   8,     *,          3.0,    ,     guess
SRAM,  write,  *,     ,           0.5 * width, ,
*,     idle,   *,     *,          1 fJ,   ,
"""


def primitive(**attributes: object) -> Primitive:
    return Primitive(class_name="SRAM", attributes=attributes)


def test_exact_rows_then_the_nearest(tmp_path: Path):
    table = read_user_table(file(tmp_path, CSV, "t.csv"))
    exact = table.energy(primitive(width=8, technology="45nm"), "read", {})
    assert exact is not None
    assert (exact.value, exact.confidence) == (1.0, 1.0)
    assert exact.source.startswith("bench, ")
    assert exact.source.endswith("t.csv:3")
    other = table.energy(primitive(width=8, technology="7nm"), "read", {})
    assert other is not None
    assert other.value == 3.0
    near = table.energy(primitive(width=40, technology="45nm"), "read", {})
    assert near is not None
    assert (near.value, near.confidence) == (6.0, 0.5)
    assert near.source.endswith("nearest row: width 64 for 40")
    area = table.area(primitive(width=10, technology="45nm"))
    assert area is not None
    assert area.value == 100


def test_expressions_wildcards_and_what_is_unknown(tmp_path: Path):
    table = read_user_table(file(tmp_path, CSV, "t.csv"))
    written = table.energy(primitive(width=20), "write", {})
    assert written is not None
    assert written.value == 10.0
    idle = table.energy(Primitive(class_name="adder"), "idle", {})
    assert idle is not None
    assert idle.value == pytest.approx(0.001)
    assert table.energy(Primitive(class_name="adder"), "add", {}) is None
    assert table.energy(primitive(technology="45nm"), "read", {}) is None  # no width to compare
    assert table.area(Primitive(class_name="adder")) is None
    assert table.energy(primitive(width=[8]), "read", {}) is None
    with pytest.raises(SpecError, match=r"t\.csv:6: cannot compute the energy"):
        table.energy(primitive(depth=1), "write", {})


YAML = """
primitives:
- class: SRAM
  attributes: {width: 8}
  area: 100
  actions:
    read: [{arguments: {data_delta: 0}, energy: 0.25}, {arguments: {data_delta: 1}, energy: 1.5}]
    write: {energy: 2 * width}
    idle: 0.1
"""


def test_the_same_in_yaml(tmp_path: Path):
    table = read_user_table(file(tmp_path, YAML))
    found = [table.energy(primitive(width=8), a, arguments) for a, arguments in (("read", {"data_delta": 1}), ("write", {}))]
    assert [f.value for f in found if f] == [1.5, 16.0]
    assert len(table.rows) == 5
    assert table.rows[0].source.endswith("t.yaml:3")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("class, action", "klass, action", "t.csv:2:1: error: column 'klass' would be an attribute"),
        ("action, width", "action, action", "column 'action' is there twice"),
        ("1.0,    100", "-1,    100", "t.csv:3:35: error: energy must be a number >= 0, not -1"),
        ("SRAM,  write", "SRAM,  ", "an energy needs an action"),
        ("0.5 * width, ,", "0.5, , , 9", "8 cells, but the header has 7 columns"),
        ("*,     idle", ",     idle", "the row names no class"),
        ("energy, area", "cost, space", "neither a column 'energy' nor 'area'"),
    ],
)
def test_mistakes_in_csv(tmp_path: Path, old: str, new: str, message: str):
    assert old in CSV
    assert message in wrong(file(tmp_path, CSV.replace(old, new), "t.csv"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("class: SRAM", "clas: SRAM", "an entry needs a class"),
        ("idle: 0.1", "idle: -0.1", "expected a price >= 0 or an expression, got -0.1"),
        ("primitives:", "primitive:", "has no 'primitives'"),
        ("area: 100", "arae: 100", "unknown key 'arae' of an entry"),
    ],
)
def test_mistakes_in_yaml(tmp_path: Path, old: str, new: str, message: str):
    assert message in wrong(file(tmp_path, YAML.replace(old, new)))


def test_an_empty_table_and_no_table(tmp_path: Path):
    assert "the table is empty" in wrong(file(tmp_path, "# nothing\n", "t.csv"))
    assert "cannot read the file" in wrong(str(tmp_path / "none.csv"))


# --- prices found in tables ---------------------------------------------------------------------------------


def test_the_first_source_that_knows_a_price(tmp_path: Path):
    table = read_user_table(file(tmp_path, "class, action, energy\nSRAM, read, 7\n", "t.csv"))
    data, source = yamlio.load_text(CLASSES + ARCHITECTURE)
    tables = accelergy.reference_tables_of(data, source, FirstOf((table, Counting())))
    assert next(row.energy_pj for row in tables.rows if row.component.endswith("buf")) == 8.0


def test_tables_give_back_the_prices_they_were_made_of():
    data, source = yamlio.load_text(CLASSES + ARCHITECTURE)
    components, _ = expanded(data, source)
    first = priced(components, Counting())
    found = solved(equations(components, first))
    assert priced(components, found).rows[-2].energy_pj == pytest.approx(2.0)
    assert {key[0] for key in found.split} == {"SRAM", "intadder"}  # storage.read + counter.add: only the sum is known
    known = solved(equations(components, first, known=Counting("SRAM", "DRAM")))
    assert not known.split


def test_prices_from_summaries(tmp_path: Path):
    summary = """
ERT_summary:
  version: 0.3
  table_summary:
  - name: chip.DRAM
    actions: [{name: read, energy: 512}, {name: write, energy: 500}, {name: idle, energy: 0}]
    primitive_estimation(s): [{name: chip.DRAM, estimator: bench}]
  - name: chip.PE[0..11].buf
    actions: [{name: read, energy: 3}, {name: idle, energy: 0.5}]
ART_summary:
  version: 0.3
  table_summary: [{name: chip.DRAM, area: 0, primitive_estimations: bench}]
"""
    data, source = yamlio.load_text(CLASSES + ARCHITECTURE)
    components, _ = expanded(data, source)
    found = accelergy.primitives_of_summary([file(tmp_path, summary)], components)
    tables = priced(components, found)
    assert energies(tables, "chip.DRAM") == {"read": 512, "write": 500, "idle": 0}
    assert energies(tables, "chip.PE[0..11].buf") == {"read": pytest.approx(3), "idle": 0.5}
    assert "chip.PE[0..11].buf: no area" in tables.notes[-1]
