"""Accelergy's files: compound components to energy and area tables, tables read and written, prices of primitives."""

from __future__ import annotations

from sparseloop.input.accelergy.ert import reference_tables, reference_tables_of, tables_of_files, with_tables
from sparseloop.input.accelergy.export import reference_tables_of_arch
from sparseloop.input.accelergy.files import ert_text, read_ert, write_ert
from sparseloop.input.accelergy.primitive_prices import Estimated, built_in
from sparseloop.input.accelergy.records import ArtRow, ErtRow, FirstOf, Primitive, Primitives, ReferenceTables
from sparseloop.input.accelergy.summary import primitives_of_summary
from sparseloop.input.accelergy.usertable import UserTable, read_user_table

__all__ = [
    "ArtRow",
    "ErtRow",
    "Estimated",
    "FirstOf",
    "Primitive",
    "Primitives",
    "ReferenceTables",
    "UserTable",
    "built_in",
    "ert_text",
    "primitives_of_summary",
    "read_ert",
    "read_user_table",
    "reference_tables",
    "reference_tables_of",
    "reference_tables_of_arch",
    "tables_of_files",
    "with_tables",
    "write_ert",
]
