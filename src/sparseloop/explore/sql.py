"""SQL over the results of studies: names and values quoted, and a database that can do nothing but answer questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparseloop.input.extras import import_extra

_NO_EXTENSIONS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
"""Nothing is installed or loaded on demand, and names in questions are tables, never variables of this program."""
_QUESTIONS = ("SELECT", "EXPLAIN")


def identifier(name: str) -> str:
    """A column or table: `"my ""best"" column"`."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text value: `'it''s'`."""
    return "'" + text.replace("'", "''") + "'"


def database() -> Any:
    """An empty DuckDB database in memory."""
    return import_extra("duckdb").connect(config=_NO_EXTENSIONS)


def lock(connection: Any, files: Sequence[str]) -> None:
    """From now on the database reads these files and no others, writes none, reaches no network, and keeps its settings."""
    connection.execute(f"set allowed_paths = [{', '.join(map(literal, files))}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def answer(connection: Any, question: str) -> Any:
    """The answer of one question as a `pyarrow.Table`; what is no question raises `duckdb.Error`."""
    statements = connection.extract_statements(question)
    if len(statements) != 1 or statements[0].type.name not in _QUESTIONS:
        raise import_extra("duckdb").Error("one question (select ...) has an answer, and nothing else is done")
    return connection.sql(question).to_arrow_table()
