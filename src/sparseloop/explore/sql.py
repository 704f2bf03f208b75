"""Names and values inside a question in SQL: quoted, so that a name can hold anything."""

from __future__ import annotations


def identifier(name: str) -> str:
    """A column or table: `"my ""best"" column"`."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text value: `'it''s'`."""
    return "'" + text.replace("'", "''") + "'"
