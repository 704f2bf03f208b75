"""The layers of a network in one table, with the totals of all."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich import box
from rich.table import Table
from rich.text import Text

from sparseloop.cli.map import gap_of
from sparseloop.cli.network import Layer
from sparseloop.evaluation.result import Result
from sparseloop.input import terminal
from sparseloop.input.terminal import visible

WIDE = 1000
"""Columns of what is no terminal: nothing is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the layers for which a mapping was found, run one after the other."""

    layers: int
    of: int
    energy_pj: float
    cycles: float
    utilization: float
    """Of the whole time: every layer's counts for its cycles."""

    @property
    def edp(self) -> float:
        """Energy of all times cycles of all; not the sum of the layers'."""
        return self.energy_pj * self.cycles

    @property
    def name(self) -> str:
        """'6 layers', '5 of 6 layers'."""
        return f"{self.layers} layers" if self.layers == self.of else f"{self.layers} of {self.of} layers"


def totals(layers: Sequence[Layer]) -> Totals:
    """The sums."""
    results = [result for layer in layers if (result := _result(layer)) is not None]
    cycles = sum(result.cycles for result in results)
    return Totals(
        layers=len(results),
        of=len(layers),
        energy_pj=sum(result.energy_pj for result in results),
        cycles=cycles,
        utilization=sum(result.utilization * result.cycles for result in results) / (cycles or 1.0),
    )


def sentence(layers: Sequence[Layer]) -> str:
    """The totals in one line."""
    whole = totals(layers)
    return (
        f"total of {whole.name}: energy {whole.energy_pj:.6g} pJ, cycles {whole.cycles:.6g}, edp {whole.edp:.6g}, "
        f"utilization {whole.utilization:.4g}"
    )


def printed(layers: Sequence[Layer], stream: TextIO) -> None:
    """Writes the table: in colour to a terminal, as plain text elsewhere."""
    if stream.isatty():
        terminal.console(stream).print(table(layers))
        return
    text = io.StringIO()
    terminal.console(text, width=max(WIDE, shutil.get_terminal_size().columns)).print(table(layers))
    print("\n".join(line.rstrip() for line in text.getvalue().splitlines()), file=stream)


def table(layers: Sequence[Layer]) -> Table:
    """One row per layer, and one for all."""
    objective = next((layer.best.task.goal.objective.name for layer in layers if layer.best), "")
    shown = objective if objective not in ("energy", "cycles", "edp") else ""
    found = Table(
        title=Text.assemble(("Layers", "bold"), ("  edp of all: energy of all times cycles of all", "dim")),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for name in ("layer", "energy_pj", "cycles", "edp", "utilization", *([shown] if shown else []), "optimal", "seconds", ""):
        found.add_column(name, justify="left" if name in ("layer", "") else "right", overflow="fold")
    for layer in layers:
        found.add_row(visible(layer.name), *_numbers(_result(layer)), *([_objective(layer)] if shown else []), *_search(layer))
    whole = totals(layers)
    numbers = [f"{value:.6g}" for value in (whole.energy_pj, whole.cycles, whole.edp)] + [f"{whole.utilization:.4g}"]
    spent = sum(layer.best.seconds for layer in layers if layer.best and not _known(layer))
    found.add_section()
    found.add_row(whole.name, *numbers, *([""] if shown else []), "", f"{spent:.1f}", "")
    return found


def _result(layer: Layer) -> Result | None:
    return layer.best.result if layer.best else None


def _numbers(result: Result | None) -> list[str]:
    if result is None:
        return [""] * 4
    return [f"{value:.6g}" for value in (result.energy_pj, result.cycles, result.edp)] + [f"{result.utilization:.4g}"]


def _objective(layer: Layer) -> str:
    return ", ".join(f"{value:.6g}" for value in layer.best.top[0].values) if layer.best and layer.best.top else ""


def _known(layer: Layer) -> bool:
    """True if this run did not search it."""
    return bool(layer.same_as or layer.taken_from)


def _search(layer: Layer) -> list[str]:
    """How good the mapping is at least, the seconds, and where it comes from."""
    best = layer.best
    if best is None:
        return ["", "", "not searched"]
    gap = gap_of(best)
    certain = "proven" if best.proven_optimal else f"gap {gap}" if gap else ""
    remarks = [
        "no valid mapping" if not best.top else "",
        "interrupted" if best.stopped == "interrupted" else "",
        f"same as {layer.same_as}" if layer.same_as else "",
        f"taken from {layer.taken_from}" if layer.taken_from and not layer.same_as else "",
    ]
    return [certain, "" if _known(layer) else f"{best.seconds:.1f}", ", ".join(text for text in remarks if text)]
