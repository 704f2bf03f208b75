"""Accelergy's files: compound components to energy and area tables, tables read and written, prices of primitives."""

from __future__ import annotations

from .ert import tables, tables_of, with_tables
from .estimated import Estimated, built_in
from .export import tables_of_arch
from .files import ert_text, read_ert, write_ert
from .records import AreaRow, FirstOf, Found, Primitive, Primitives, Row, Tables
from .summary import primitives_of_summary
from .usertable import UserTable, read_user_table

__all__ = [
    "AreaRow",
    "Estimated",
    "FirstOf",
    "Found",
    "Primitive",
    "Primitives",
    "Row",
    "Tables",
    "UserTable",
    "built_in",
    "ert_text",
    "primitives_of_summary",
    "read_ert",
    "read_user_table",
    "tables",
    "tables_of",
    "tables_of_arch",
    "with_tables",
    "write_ert",
]
