"""The store: nothing that was added is lost, whoever dies, and everybody can read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest

import sparseloop as sl
from sparseloop.explore import store as stores
from sparseloop.explore.schema import SCHEMA
from sparseloop.explore.store import POINT_COLUMNS, Row, Store, TableRow, Writer

STUDY: dict[str, Any] = {
    "schema": SCHEMA,
    "id": "s1",
    "name": "study",
    "version": sl.__version__,
    "parameters": [{"name": "glb", "kind": "values", "values": [1, 2], "unit": None, "numeric": True, "log": False}],
    "workloads": [{"name": "conv1", "weight": 1.0}, {"name": "conv2", "weight": 2}],
    "combine": "sum",
    "objectives": [{"name": "edp", "column": "edp"}],
    "goal": "minimize",
    "constraints": [],
    "mapping": {"method": "optimal"},
    "search": {"method": "grid"},
    "columns": {"point": "int64", "glb": "double", **{k: v for k, v in POINT_COLUMNS.items() if k != "point"}},
    "source": {"study": {}, "file": "study.yaml"},
}


def point(number: int) -> Row:
    return {"point": number, "glb": number / 2, "valid": True, "keys": [f"k{number}", "k0"]}


def evaluation(key: str) -> Row:
    levels = [{"name": "GLB", "kind": "storage", "energy_pj": 1.5, "cycles": 2.0, "area_um2": 0.0}]
    return {"key": key, "workload": "conv1", "valid": True, "energy_pj": 1.5, "levels": levels}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.begin(STUDY)
    return made


def test_rows_are_read_from_journals_and_parts_alike(store: Store) -> None:
    with Writer(store, "s1") as writer:
        writer.add([TableRow("evaluations", evaluation("k0")), TableRow("points", point(0))])
        writer.roll()
        writer.add([TableRow("evaluations", evaluation("k1")), TableRow("points", point(1))])
        held = store.points().to_pylist()
        assert [row["point"] for row in held] == [0, 1]
        assert len(store.parts("points", "s1")) == 1
    assert store.points().to_pylist() == held
    assert held[1]["glb"] == 0.5
    assert held[1]["energy_pj"] is None
    layers = store.query("select point, workload, key, glb from layers order by all").to_pylist()
    assert layers[2:] == [
        {"point": 1, "workload": "conv1", "key": "k1", "glb": 0.5},
        {"point": 1, "workload": "conv2", "key": "k0", "glb": 0.5},
    ]
    assert store.query("select unnest(levels).name as level from evaluations where key = 'k0'").to_pylist() == [{"level": "GLB"}]


def test_pandas_and_polars_read_the_parts(store: Store) -> None:
    with Writer(store, "s1") as writer:
        writer.add(TableRow("points", point(i)) for i in range(3))
    (part,) = store.parts("points", "s1")
    assert pandas.read_parquet(part)["glb"].tolist() == [0.0, 0.5, 1.0]
    assert polars.read_parquet(part)["keys"].to_list()[2] == ["k2", "k0"]


def test_a_killed_writer_loses_nothing(store: Store) -> None:
    code = (
        "import os, sys; from pathlib import Path; from sparseloop.explore.store import Store, Writer\n"
        "with Writer(Store(Path(sys.argv[1])), 's1') as writer:\n"
        "    for i in range(50):\n"
        "        writer.add([('points', {'point': i, 'valid': True})])\n"
        "        if i == 30: writer.roll()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.path)], check=False)
    assert done.returncode == -9
    (journal,) = (store.path / "journals").glob("*.jsonl")
    with journal.open("a") as torn:
        torn.write('["points", "s1", {"point": 99')  # killed in the middle of a line
    assert len(store.points()) == 50
    assert store.recover() == 19
    assert not list((store.path / "journals").iterdir())
    assert store.points()["point"].to_pylist() == list(range(50))


def test_a_living_writer_is_left_alone_and_a_double_recovery_is_none(store: Store, tmp_path: Path) -> None:
    with Writer(store, "s1") as writer:
        writer.add([TableRow("points", point(0))])
        assert store.recover() == 0
        (journal,) = (store.path / "journals").glob("*.jsonl")
        copy = journal.read_bytes()
    journal.write_bytes(copy)  # as if killed after the part was written and before the journal went
    assert store.recover() == 1
    assert store.points()["point"].to_pylist() == [0]
    assert len(store.parts("points", "s1")) == 1


def test_small_parts_are_put_together(store: Store) -> None:
    for i in range(stores.SMALL_PARTS + 1):
        with Writer(store, "s1") as writer:
            writer.add([TableRow("points", point(i))])
    before = store.points().to_pylist()
    store.compact("s1")
    assert len(store.parts("points", "s1")) == 1
    assert store.points().to_pylist() == before


def test_a_full_journal_becomes_a_part(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PART", 10)
    with Writer(store, "s1") as writer:
        for i in range(25):
            writer.add([TableRow("points", point(i))])
        assert len(store.parts("points", "s1")) == 2
    assert len(store.points()) == 25


def test_wrong_questions_and_folders_are_mistakes(store: Store, tmp_path: Path) -> None:
    for question in ("selct 1", "select nothing from points", "select * from point", ""):
        with pytest.raises(sl.SpecError, match="SQL"):
            store.query(question)
    with pytest.raises(sl.SpecError, match="no study in the folder"):
        Store.opened(tmp_path / "nowhere")
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(sl.SpecError, match="cannot read"):
        Store.opened(tmp_path)


def test_folders_and_parameters_may_have_any_name(tmp_path: Path) -> None:
    """Both stand in questions in SQL."""
    folder, name = tmp_path / 'd\'étude "1"', 'it\'s; "a" -- name'
    columns = {name if key == "glb" else key: kind for key, kind in STUDY["columns"].items()}
    store = Store(folder)
    folder.mkdir()
    store.begin({**STUDY, "parameters": [{**STUDY["parameters"][0], "name": name}], "columns": columns})
    with Writer(store, "s1") as writer:
        writer.add(
            [
                TableRow("evaluations", evaluation("k0")),
                TableRow("points", {"point": 0, name: 0.5, "valid": True, "keys": ["k0", "k0"]}),
            ]
        )
    assert store.points([name]).to_pylist() == [{name: 0.5}]
    assert [row[name] for row in store.query("select * from layers").to_pylist()] == [0.5, 0.5]


# --- strangers' folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        "select * from read_csv('{outside}')",
        "select * from read_text('{outside}')",
        "select * from '{outside}'",
        "select * from glob('{outside}*')",
        "copy (select 1) to '{outside}.new'",
        "copy points to '{folder}/new.parquet'",
        "attach '{outside}.db'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma threads=1",
        "create table mine (a int)",
        "drop view points",
        "select 1; select 2",
        "select * from STUDY",
    ],
)
def test_questions_only_ask(store: Store, tmp_path_factory: pytest.TempPathFactory, question: str) -> None:
    with Writer(store, "s1") as writer:
        writer.add([TableRow("points", point(0))])
    outside = tmp_path_factory.mktemp("outside") / "secret.csv"
    outside.write_text("word\nsecret\n")
    before = sorted(path.name for path in (*outside.parent.iterdir(), *store.path.iterdir()))
    with pytest.raises(sl.SpecError, match="SQL") as caught:
        store.query(question.format(outside=outside, folder=store.path))
    assert "secret\n" not in str(caught.value)
    assert sorted(path.name for path in (*outside.parent.iterdir(), *store.path.iterdir())) == before
    assert store.query("explain select * from points").num_rows


WRONG: list[tuple[str, Any, str]] = [
    ("id", "../../..", "id"),
    ("id", 7, "id"),
    ("schema", "sparseloop.study/99", "not a study of this version"),
    ("schema", None, "not a study of this version"),
    ("version", "99.0.0", "written by sparseloop 99.0.0"),
    ("version", 1, "version"),
    ("parameters", [{"name": "glb"}], "lacks 'kind'"),
    ("parameters", [{**STUDY["parameters"][0], "name": "else"}], "parameter 'else' has no column"),
    ("parameters", "glb", "parameters"),
    ("workloads", [{"name": ["conv1"], "weight": 1}], "workloads[0].name"),
    ("workloads", [{"name": "a", "weight": 1}] * 2, "workload 'a' is there twice"),
    ("columns", {**STUDY["columns"], "edp": "struct<a int>"}, "columns.edp"),
    ("columns", ["point"], "columns"),
    ("columns", {**STUDY["columns"], "valid": None}, "column 'valid' has no type"),
    ("columns", {"point": "int64", "glb": "double", "edp": "double"}, "columns lacks valid, why"),
    ("objectives", [{"name": "edp", "column": 'edp" from points; --'}], "has no column"),
    ("search", 3, "search"),
    ("source", None, "source"),
    ("extra", 1, "unknown field 'extra'"),
]


@pytest.mark.parametrize(("field", "value", "message"), WRONG, ids=[f"{field}-{i}" for i, (field, _, _) in enumerate(WRONG)])
def test_a_changed_study_is_a_diagnostic(store: Store, field: str, value: Any, message: str) -> None:
    (store.path / "study.json").write_text(json.dumps({**STUDY, field: value}))
    with pytest.raises(sl.SpecError) as caught:
        Store.opened(store.path)
    assert message in str(caught.value)
    assert "study.json" in str(caught.value)


@pytest.mark.parametrize("field", [name for name in STUDY if name != "schema"])
def test_a_study_without_a_field_is_a_diagnostic(store: Store, field: str) -> None:
    (store.path / "study.json").write_text(json.dumps({name: value for name, value in STUDY.items() if name != field}))
    with pytest.raises(sl.SpecError, match=f"lacks '{field}'"):
        Store.opened(store.path)


def test_lines_of_journals_that_are_no_rows_are_left_out(store: Store) -> None:
    lines = ["null", "7", "[]", '["points", "s1", null]', '["points", "../s1", {}]', '["other", "s1", {}]', "{", "[" * 5000]
    good = json.dumps(["points", "s1", point(1)])
    (store.path / "journals" / "w-0.jsonl").write_text("\n".join([*lines, good, '["points", "s1", {"point": "x"}]\n']))
    with pytest.warns(UserWarning, match="1 rows of a journal are damaged"):
        assert store.points()["point"].to_pylist() == [1]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_part_is_put_aside_and_the_others_are_read(store: Store, damage: str) -> None:
    for number in range(2):
        with Writer(store, "s1") as writer:
            writer.add([TableRow("points", point(number))])
    part, _ = store.parts("points", "s1")
    held = part.read_bytes()
    middle = len(held) // 2
    changed = {"cut": held[:middle], "empty": b"", "flipped": held[:middle] + bytes([held[middle] ^ 1]) + held[middle + 1 :]}
    part.write_bytes(changed[damage])
    with pytest.warns(UserWarning, match="is damaged and was put into .*quarantine: --resume evaluates"):
        assert len(store.points()) == 1
    assert (store.path / "quarantine" / part.name).read_bytes() == changed[damage]
    assert len(store.points()) == 1
