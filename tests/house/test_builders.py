"""The records for Python have every key of a file: a key that is added to a specification belongs into its builder."""

from __future__ import annotations

from dataclasses import fields

import pytest

from sparseloop.designs import builders
from sparseloop.input import spec

LEFT_OUT = {"kind"}
"""`Storage` and `Compute` say it."""


@pytest.mark.parametrize(
    ("records", "keys"),
    [
        ((builders.Workload,), spec.WorkloadSpec),
        ((builders.Storage, builders.Compute), spec.LevelSpec),
        ((builders.Architecture,), spec.ArchSpec),
        ((builders.Loops,), spec.MappingEntry),
        ((builders.Features,), spec.LevelSparseSpec),
    ],
)
def test_every_key_of_a_file_can_be_written_in_python(records: tuple[type, ...], keys: type) -> None:
    written = {field.name for record in records for field in fields(record)}
    assert written - {"x", "y"} == set(keys.model_fields) - LEFT_OUT


def test_a_fanout_can_be_written_in_python() -> None:
    assert {field.name for field in fields(builders.Fanout)} - {"x", "y"} | {"fanout"} == set(spec.FanoutSpec.model_fields)
