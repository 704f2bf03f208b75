"""What targets share: shipped designs evaluated, published tables read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from sparseloop.designs import FOLDER
from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load


@cache
def run(design: str, names: str, *overrides: str) -> Result:
    """Evaluates files of a shipped design, named without their ending: `run("eie", "architecture sparse alex6")`."""
    return evaluate(load(*(FOLDER / design / f"{name}.yaml" for name in names.split()), overrides=list(overrides)))


def table(name: str) -> list[dict[str, str]]:
    """The rows of a published table, `tables/<name>.csv`."""
    text = files("sparseloop.validation").joinpath(f"tables/{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def error(figures: Sequence[float]) -> str:
    """'mean 1.2 %, worst 3.4 %' of relative errors."""
    sizes = [abs(figure) for figure in figures]
    return f"mean {100 * sum(sizes) / len(sizes):.1f} %, worst {100 * max(sizes):.1f} %"
