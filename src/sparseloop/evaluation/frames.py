"""Rows as tables of pandas and polars, with named columns; where a library is missing, the error says what to install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparseloop.input.extras import import_extra

Rows = Sequence[Mapping[str, Any]]
"""Rows with equal keys: the names of the columns."""


def pandas_frame(rows: Rows, columns: Sequence[str]) -> Any:
    """A `pandas.DataFrame`; it has all columns also where there is no row."""
    return import_extra("pandas", "frames").DataFrame([dict(row) for row in rows], columns=list(columns))


def polars_frame(rows: Rows, columns: Sequence[str]) -> Any:
    """A `polars.DataFrame`; it has all columns also where there is no row."""
    polars = import_extra("polars", "frames")
    return (
        polars.DataFrame([dict(row) for row in rows], infer_schema_length=None)
        if rows
        else polars.DataFrame(schema=list(columns))
    )
