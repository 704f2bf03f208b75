"""What a study found, on disk: Parquet parts for everybody to read, journals so that nothing is lost, SQL for questions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

from sparseloop.explore.schema import ColumnType, rows_table, stored_study
from sparseloop.explore.sql import answer, database, identifier, literal, lock
from sparseloop.input.diagnostics import Diagnostic, Span, SpecError, check_arguments
from sparseloop.input.extras import import_extra
from sparseloop.input.markup import heading, small_table
from sparseloop.input.yaml.whole_files import write_whole

BEST_SHOWN = 10
"""Points that a notebook shows."""
PART = 20_000
"""Rows of a journal that become a part."""
LARGE, SMALL_PARTS = 200_000, 16
"""Parts of fewer rows than this are put together once there are more of them than that."""

Table = Literal["points", "evaluations"]
TABLES: tuple[Table, ...] = ("points", "evaluations")
Row = dict[str, Any]

EVALUATION_COLUMNS: Mapping[str, str] = {
    "key": "string",
    "workload": "string",
    "valid": "bool",
    "why": "string",
    "energy_pj": "double",
    "cycles": "double",
    "utilization": "double",
    "area_um2": "double",
    "clock_hz": "double",
    "value": "double",
    "lower_bound": "double",
    "proven": "bool",
    "mappings": "int64",
    "seconds": "double",
    "mapping": "string",
    "levels": "levels",
}
"""Of `evaluations`: one row per design and workload that was evaluated; `key` is the hash of all its inputs."""

POINT_COLUMNS: Mapping[str, str] = {
    "point": "int64",
    "valid": "bool",
    "why": "string",
    "energy_pj": "double",
    "cycles": "double",
    "edp": "double",
    "latency_s": "double",
    "power_w": "double",
    "area_um2": "double",
    "utilization": "double",
    "lower_bound": "double",
    "proven": "bool",
    "mappings": "int64",
    "seconds": "double",
    "keys": "keys",
}
"""Of `points`, beside the study's parameters and objectives: one row per point of the study."""


# --- the folder ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, init=False)
class Store:
    """A folder with the results of studies; reading concerns the study that ran into it last."""

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_arguments(Store.__init__, locals())
        object.__setattr__(self, "path", Path(path))

    @staticmethod
    def opened(path: str | os.PathLike[str]) -> Store:
        """A folder that holds a study; `SpecError` if it does not."""
        check_arguments(Store.opened, locals())
        store = Store(Path(path))
        if store.described() is None:
            hint = "it is written by: sparseloop sweep STUDY.yaml -o DIR"
            raise SpecError([Diagnostic(message=f"there is no study in the folder '{path}'", hint=hint)])
        return store

    @property
    def study(self) -> dict[str, Any]:
        """The study as it was understood: parameters, workloads, objectives (see `docs/explore.md`)."""
        record = self.described()
        assert record is not None
        return record

    def described(self) -> dict[str, Any] | None:
        """As `study`; None if nothing was written yet."""
        file = self.path / "study.json"
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise SpecError([Diagnostic(message=f"cannot read {file} ({getattr(error, 'strerror', None) or error})")]) from None
        study = stored_study(record, file)
        missing = [name for name in POINT_COLUMNS if name not in study["columns"]]
        if missing:
            raise SpecError([Diagnostic(span=Span(str(file), None, None), message=f"columns lacks {', '.join(missing)}")])
        return study

    def describe(self, study: Mapping[str, Any]) -> None:
        """Makes a study the one that the folder holds."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / "study.json", json.dumps(study, indent=1, ensure_ascii=False).encode())

    # --- reading --------------------------------------------------------------------------------------------

    def points(self, columns: Sequence[str] | None = None) -> Any:
        """One row per point of the study, by `point`: a `pyarrow.Table` (`.to_pandas()`, `polars.from_arrow(...)`)."""
        check_arguments(Store.points, locals())
        return self._rows("points", columns)

    def evaluations(self, columns: Sequence[str] | None = None) -> Any:
        """One row per evaluated design and workload, of all studies that ran into the folder."""
        check_arguments(Store.evaluations, locals())
        return self._rows("evaluations", columns)

    def _rows(self, table: Table, columns: Sequence[str] | None) -> Any:
        chosen = ", ".join(map(identifier, columns)) if columns else "*"
        return self.query(f"select {chosen} from {table} order by {'point' if table == 'points' else 'key'}")

    def to_pandas(self, table: Table = "points") -> Any:
        """One row per point (or evaluation) with named columns, as a `pandas.DataFrame` (extra `frames`)."""
        check_arguments(Store.to_pandas, locals())
        import_extra("pandas", "frames")
        return self._rows(table, None).to_pandas()

    def to_polars(self, table: Table = "points") -> Any:
        """As `to_pandas`, as a `polars.DataFrame` (extra `frames`)."""
        check_arguments(Store.to_polars, locals())
        return import_extra("polars", "frames").from_arrow(self._rows(table, None))

    def _repr_html_(self) -> str:
        """What a notebook shows: the best points by the first objective."""
        study = self.study
        goals = list(dict.fromkeys(goal["column"] for goal in study["objectives"]))
        parameters = [parameter["name"] for parameter in study["parameters"]]
        shown = list(dict.fromkeys(["point", *parameters, *goals, "energy_pj", "cycles", "area_um2", "proven"]))
        listed, first = ", ".join(map(identifier, shown)), identifier(goals[0])
        (counts,) = self.query("select count(*) as points, count(*) filter (where valid) as valid from points").to_pylist()
        rows = self.query(f"select {listed} from points where valid order by {first}, point limit {BEST_SHOWN}").to_pylist()
        note = f"{counts['points']} points, {counts['valid']} valid; minimized: {', '.join(goals)}"
        cells = [[f"{value:.5g}" if isinstance(value, float) else value for value in row.values()] for row in rows]
        return heading(study["name"], note) + small_table(shown, cells)

    def query(self, question: str) -> Any:
        """The answer of SQL over the tables `points`, `evaluations` and `layers` (points x workloads) as a `pyarrow.Table`."""
        check_arguments(Store.query, locals())
        duckdb = import_extra("duckdb")
        for attempt in range(3):
            try:
                with contextlib.closing(self.connected()) as connection:
                    return answer(connection, question)
            except duckdb.IOException:  # a part was put into a larger one meanwhile
                if attempt == 2:
                    raise
            except duckdb.Error as error:
                said = " | ".join(line.strip() for line in str(error).splitlines() if line.strip(" ^"))
                hint = "tables: points, layers, evaluations; columns: select * from points limit 1"
                raise SpecError([Diagnostic(message=f"SQL: {said}", hint=hint)]) from None
        raise AssertionError

    def connected(self) -> Any:
        """A DuckDB connection that knows the tables `points`, `evaluations` and `layers`, and reads no other file."""
        study = self.study
        self.quarantine(study["id"])
        connection, files = database(), list[str]()
        for table in TABLES:
            columns = study["columns"] if table == "points" else EVALUATION_COLUMNS
            late = [row for file in self._journals() for row in _journal_rows(file, table, study["id"])]
            connection.register(f"late_{table}", rows_table(late, columns))
            sources = [f"select * from late_{table}"]
            if parts := [str(part.resolve()) for part in self.parts(table, study["id"])]:
                files += parts
                sources.append(f"select * from read_parquet([{', '.join(map(literal, parts))}])")
            unique = "point" if table == "points" else "key"
            both = " union all by name ".join(sources)
            connection.execute(f"create view {table} as select distinct on ({unique}) * from ({both})")
        names = [entry["name"] for entry in study["workloads"]]
        connection.register(
            "workload_names", import_extra("pyarrow").table({"workload": names, "at": list(range(1, len(names) + 1))})
        )
        left = ", ".join(f"e.{identifier(name)}" for name in EVALUATION_COLUMNS if name not in ("key", "workload"))
        parameters = "".join(f"p.{identifier(entry['name'])}, " for entry in study["parameters"])
        connection.execute(
            f"create view layers as select p.point, w.workload, {parameters}e.key, {left} "
            "from points p cross join workload_names w join evaluations e on e.key = p.keys[w.at]"
        )
        lock(connection, files)
        return connection

    def parts(self, table: Table, study: str) -> list[Path]:
        """The Parquet files of a table."""
        return sorted(self._folder(table, study).glob("*.parquet"))

    def _folder(self, table: Table, study: str) -> Path:
        return self.path / "points" / study if table == "points" else self.path / "evaluations"

    def _journals(self) -> list[Path]:
        return sorted((self.path / "journals").glob("*.jsonl"))

    # --- damage ---------------------------------------------------------------------------------------------

    def quarantine(self, study: str) -> None:
        """Puts parts that are cut or changed aside, with a warning: what they held is evaluated again with --resume."""
        for table in TABLES:
            for part in self.parts(table, study):
                if not _intact(part):
                    aside = self.path / "quarantine" / part.name
                    aside.parent.mkdir(exist_ok=True)
                    with contextlib.suppress(FileNotFoundError):  # somebody else did it
                        os.replace(part, aside)
                        again = "--resume evaluates what it held again" if table == "points" else "what it held is unknown now"
                        warnings.warn(f"{part} is damaged and was put into {aside.parent}: {again}", stacklevel=2)

    # --- order in the house ---------------------------------------------------------------------------------

    def recover(self) -> int:
        """Makes parts of the journals that killed writers left; how many rows there were."""
        filelock, count = import_extra("filelock"), 0
        for writer in sorted({file.name.partition("-")[0] for file in self._journals()}):
            lock = filelock.FileLock(self.path / "journals" / f"{writer}.lock")
            with contextlib.suppress(filelock.Timeout), lock.acquire(timeout=0):  # held: the writer lives
                count += sum(self._journal_to_parts(file) for file in self._journals() if file.name.startswith(f"{writer}-"))
                (self.path / "journals" / f"{writer}.lock").unlink(missing_ok=True)
        return count

    def _journal_to_parts(self, journal: Path) -> int:
        """One journal as parts; done twice it gives the same files."""
        rows: dict[tuple[Table, str], list[Row]] = {}
        for table, study, row in _entries(journal):
            rows.setdefault((table, study if table == "points" else ""), []).append(row)
        for (table, study), of_table in rows.items():
            self.write_part(table, study, journal.stem, of_table)
        journal.unlink(missing_ok=True)
        return sum(map(len, rows.values()))

    def write_part(self, table: Table, study: str, name: str, rows: Sequence[Row]) -> None:
        """One Parquet file, there as a whole or not at all."""
        columns = EVALUATION_COLUMNS if table == "evaluations" else self._columns(study)
        self._write(rows_table(rows, columns), table, study, name)

    def _write(self, content: Any, table: Table, study: str, name: str) -> Path:
        """One Parquet file; its name ends with the hash of what is in it."""
        sink = import_extra("pyarrow").BufferOutputStream()
        import_extra("pyarrow.parquet").write_table(content, sink, compression="zstd")
        held: bytes = sink.getvalue().to_pybytes()
        folder = self._folder(table, study)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.{_hash(held)}.parquet"
        write_whole(file, held)
        return file

    def _columns(self, study: str) -> Mapping[str, str]:
        file = self.path / "points" / study / "columns.json"
        try:
            columns = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise SpecError([Diagnostic(message=f"cannot read {file} ({getattr(error, 'strerror', None) or error})")]) from None
        known = get_args(ColumnType)
        if not isinstance(columns, dict) or any(kind not in known for kind in columns.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            raise SpecError([Diagnostic(message=f"{file} does not list columns with their types")])
        return columns  # pyright: ignore[reportUnknownVariableType]

    def begin(self, study: Mapping[str, Any]) -> None:
        """Prepares the folder for the points of a study."""
        folder = self._folder("points", study["id"])
        folder.mkdir(parents=True, exist_ok=True)
        (self.path / "journals").mkdir(exist_ok=True)
        write_whole(folder / "columns.json", json.dumps(study["columns"]).encode())
        self.describe(study)

    def compact(self, study: str) -> None:
        """Puts small parts together; a lock keeps other writers from doing so too, and readers find every row at any time."""
        filelock = import_extra("filelock")
        with contextlib.suppress(filelock.Timeout), filelock.FileLock(self.path / "compaction.lock").acquire(timeout=0):
            for table in TABLES:
                self._compacted(table, study)

    def _compacted(self, table: Table, study: str) -> None:
        pa, parquet = import_extra("pyarrow"), import_extra("pyarrow.parquet")
        self.quarantine(study)
        small = [part for part in self.parts(table, study) if parquet.read_metadata(part).num_rows < LARGE]
        if len(small) <= SMALL_PARTS:
            return
        together = self._write(pa.concat_tables([parquet.read_table(part) for part in small]), table, study, uuid.uuid4().hex)
        for part in small:
            if part != together:
                part.unlink(missing_ok=True)


# --- what is trusted ----------------------------------------------------------------------------------------


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _intact(part: Path) -> bool:
    """True if a part is as it was written; parts without a hash in their name must have a readable end."""
    try:
        state = part.stat()
    except FileNotFoundError:  # it was put into a larger one
        return True
    return _verified(part, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _verified(part: Path, size: int, written_ns: int) -> bool:
    """As `_intact`, remembered as long as the file has this size and time."""
    name = part.name.split(".")
    if len(name) == 3:
        try:
            return _hash(part.read_bytes()) == name[1]
        except FileNotFoundError:
            return True
    try:
        import_extra("pyarrow.parquet").read_metadata(part)
    except (OSError, ValueError):  # pyarrow's errors are of these kinds
        return False
    return True


# --- journals -----------------------------------------------------------------------------------------------


class TableRow(NamedTuple):
    """A row with the table it belongs to."""

    table: Table
    row: Row


class JournalEntry(NamedTuple):
    """One line of a journal."""

    table: Table
    study: str
    row: Row


def _entries(journal: Path) -> Iterator[JournalEntry]:
    """Every line that was written to its end."""
    try:
        text = journal.read_bytes()
    except FileNotFoundError:  # it has become a part
        return
    for line in text.splitlines(keepends=True):
        if line.endswith(b"\n"):
            with contextlib.suppress(ValueError, RecursionError):  # torn in the middle by a kill: its row was not finished
                if (entry := _entry(json.loads(line))) is not None:
                    yield entry


def _entry(read: Any) -> JournalEntry | None:
    """A line of a journal; None if it is something else."""
    if not isinstance(read, list) or len(cast("list[Any]", read)) != 3:
        return None
    table, study, row = cast("list[Any]", read)
    named = isinstance(study, str) and study.isalnum() and study.isascii()
    return JournalEntry(table, study, row) if table in TABLES and named and isinstance(row, dict) else None


def _journal_rows(journal: Path, table: Table, study: str) -> list[Row]:
    """The rows of a table; evaluations are those of all studies."""
    return [entry.row for entry in _entries(journal) if entry.table == table and (table == "evaluations" or entry.study == study)]


@dataclass
class Writer:
    """Appends the rows of one process: at once to a journal, which outlives a kill, and in portions to Parquet parts."""

    store: Store
    study: str
    name: str = ""
    number: int = 0
    unrolled: list[TableRow] = field(default_factory=list[TableRow])
    """The rows of the present journal."""
    journal: int = -1
    """File descriptor."""
    lock: Any = None

    def __enter__(self) -> Writer:
        self.store.recover()
        self.name = uuid.uuid4().hex[:16]
        self.lock = import_extra("filelock").FileLock(self._file(".lock"))
        self.lock.acquire()
        return self

    def __exit__(self, *problem: object) -> None:
        try:
            self.roll()
        finally:
            self.lock.release()
            self._file(".lock").unlink(missing_ok=True)

    def _file(self, end: str) -> Path:
        return self.store.path / "journals" / f"{self.name}{end}"

    def add(self, rows: Iterable[TableRow]) -> None:
        """Writes rows to the journal: once this returns, no kill loses them."""
        new = list(rows)
        lines = "".join(json.dumps((table, self.study, row), separators=(",", ":")) + "\n" for table, row in new).encode()
        if self.journal < 0:
            self.journal = os.open(self._file(f"-{self.number}.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        while lines:  # a disk that is nearly full takes a part of it
            lines = lines[os.write(self.journal, lines) :]
        self.unrolled += new
        if len(self.unrolled) >= PART:
            self.roll()

    def roll(self) -> None:
        """Makes parts of the journal and begins a new one."""
        if self.journal < 0:
            return
        os.close(self.journal)
        self.journal = -1
        for table in TABLES:
            if rows := [row for kind, row in self.unrolled if kind == table]:
                self.store.write_part(table, self.study, f"{self.name}-{self.number}", rows)
        self._file(f"-{self.number}.jsonl").unlink(missing_ok=True)
        self.unrolled, self.number = [], self.number + 1
