"""Python functions answer a wrong argument with its name, what is expected, and how it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sparseloop as sl
from tests.helpers.samples import DENSE

FUNCTIONS = {name: getattr(sl, name) for name in sl.__all__ if inspect.isfunction(getattr(sl, name))}
FUNCTIONS |= {
    f"{kind.__name__}.{name}": getattr(kind, name)
    for kind, names in (
        (sl.Study, ("load", "of", "opened", "run", "spec", "result")),
        (sl.Store, ("__init__", "opened", "query", "points")),
        (sl.Mapspace, ("sample", "neighbours", "columns")),
    )
    for name in names
}
ANYTHING = {"what", "figure"}
"""Parameters whose class is not said by their annotation."""


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_argument_is_held_against_its_annotation(name: str) -> None:
    function: Callable[..., Any] = FUNCTIONS[name]
    parameters = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    given = {one.name: object() for one in parameters if one.kind != one.VAR_POSITIONAL}
    rest = [object() for one in parameters if one.kind == one.VAR_POSITIONAL]
    bound = [object()] if "self" in inspect.signature(function).parameters else []
    if not parameters or {one.name for one in parameters} <= ANYTHING:
        return
    with pytest.raises(sl.SpecError) as wrong:
        function(*bound, *rest, **given)
    named = {str(diagnostic.path[0]) for diagnostic in wrong.value.diagnostics}
    assert named == {one.name for one in parameters} - ANYTHING
    assert all(diagnostic.message.startswith("expected ") for diagnostic in wrong.value.diagnostics)


def test_lists_and_records_are_looked_into() -> None:
    spec = sl.loads(DENSE)
    for call, message in (
        (lambda: sl.load(["a.yaml"]), "paths[0]: error: expected a text or a path, got a list"),  # pyright: ignore
        (lambda: sl.loads(DENSE, overrides=["a=1", 3]), "overrides[1]: error: expected a text, got 3"),  # pyright: ignore
        (lambda: sl.load("a.yaml", overrides={"a": 1}), "texts as with --set: overrides=["),  # pyright: ignore
        (lambda: sl.search(spec, seed="a"), "seed: error: expected a whole number from 0, got 'a'"),  # pyright: ignore
        (lambda: sl.search(spec, workers=0), "workers: error: expected a whole number from 1, got 0"),
        (lambda: sl.SearchOptions(memory_gb=float("nan")), "memory_gb: error: expected a number from 0, got nan"),
        (lambda: sl.SearchOptions(padded="yes"), "padded: error: expected True or False, got 'yes'"),  # pyright: ignore
        (lambda: sl.why(sl.evaluate(spec), "cycles"), "spec: error: expected a Spec, got a Result"),  # pyright: ignore
        (lambda: sl.Loops("GLB", x={"m": 1.5}), "x.m: error: expected a whole number, got 1.5"),  # pyright: ignore
        (lambda: sl.map_machines({1: spec}), "machines: error: expected a text as a key, got 1"),  # pyright: ignore
        (lambda: sl.plot(3), "cannot draw what is no result: int"),
    ):
        with pytest.raises(sl.SpecError) as wrong:
            call()
        assert message in str(wrong.value)


def test_numbers_of_numpy_are_numbers() -> None:
    space = sl.mapspace(sl.loads(DENSE))
    assert len(space.sample(np.int64(3), np.int32(1))) == 3  # pyright: ignore[reportArgumentType]
    assert sl.Budget(seconds=np.float32(2)).seconds == 2  # pyright: ignore[reportArgumentType]


def test_swapped_arguments_of_build_are_told_with_their_order() -> None:
    work = sl.Workload("Z[m] = A[m]", {"m": 4})
    machine = sl.Architecture([sl.Storage("DRAM", "dram"), sl.Compute("MAC")])
    with pytest.raises(sl.SpecError) as wrong:
        sl.build(machine, work)  # pyright: ignore
    assert [str(one.path[0]) for one in wrong.value.diagnostics] == ["workload", "architecture"]
    assert all("build(workload, architecture, mapping)" in str(one.hint) for one in wrong.value.diagnostics)
