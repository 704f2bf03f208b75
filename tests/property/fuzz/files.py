"""The model by way of a file: what a user would write, read, resolved and evaluated."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import sparseloop as sl
from sparseloop.input.diagnostics import SpecError
from sparseloop.model.cost.cost import Cost
from tests.property.fuzz.judging import Refused
from tests.property.fuzz.native import expressible, written
from tests.property.fuzz.specification import Specification


def through_files(spec: Specification) -> bool:
    """Can the whole specification be written down?"""
    return not expressible(spec)


def from_files(spec: Specification) -> Cost:
    """The cost of the written specification; what is refused with a diagnostic is none that should be judged."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(spec, Path(folder))
        try:
            return sl.evaluate(sl.load(path)).cost
        except SpecError as error:
            raise Refused("input: " + _general(error)) from None


def _general(error: SpecError) -> str:
    """The first message without names and numbers."""
    message = error.diagnostics[0].message
    return re.sub(r"\b[A-Z]\b|\bL\d\b|'\w+'|\d+", "_", message)[:100]
