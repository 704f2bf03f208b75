"""The layers of a network in one table, with the totals of all."""

from __future__ import annotations

import io
import shutil
from typing import TextIO

from rich import box
from rich.table import Table
from rich.text import Text

from sparseloop.evaluation.result import Result
from sparseloop.input import terminal
from sparseloop.input.terminal import visible
from sparseloop.mapper.network import LayerResult, NetworkResult, NetworkTotals
from sparseloop.report.search_text import gap_text

WIDE = 1000
"""Columns of what is no terminal: nothing is folded."""


def totals_sentence(network: NetworkResult) -> str:
    """The totals in one line."""
    totals = network.totals
    return (
        f"total of {_name(totals)}: energy {totals.energy_pj:.6g} pJ, cycles {totals.cycles:.6g}, edp {totals.edp:.6g}, "
        f"utilization {totals.utilization:.4g}"
    )


def print_network(network: NetworkResult, stream: TextIO) -> None:
    """Writes the table: in colour to a terminal, as plain text elsewhere."""
    if stream.isatty():
        terminal.console(stream).print(network_table(network))
        return
    text = io.StringIO()
    terminal.console(text, width=max(WIDE, shutil.get_terminal_size().columns)).print(network_table(network))
    print("\n".join(line.rstrip() for line in text.getvalue().splitlines()), file=stream)


def network_table(network: NetworkResult) -> Table:
    """One row per layer, and one for all."""
    layers, totals = network.layers, network.totals
    objective = next((layer.best.task.goal.objective.name for layer in layers if layer.best), "")
    extra = [objective] if objective not in ("", "energy", "cycles", "edp") else []
    table = Table(
        title=Text.assemble(("Layers", "bold"), ("  edp of all: energy of all times cycles of all", "dim")),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for name in ("layer", "energy_pj", "cycles", "edp", "utilization", *extra, "optimal", "seconds", ""):
        table.add_column(name, justify="left" if name in ("layer", "") else "right", overflow="fold")
    for layer in layers:
        table.add_row(visible(layer.name), *_numbers(layer.result), *([_values(layer)] if extra else []), *_search(layer))
    spent = sum(layer.best.seconds for layer in layers if layer.best and not _known(layer))
    table.add_section()
    table.add_row(_name(totals), *_numbers(totals), *[""] * len(extra), "", f"{spent:.1f}", "")
    return table


def _name(totals: NetworkTotals) -> str:
    """'6 layers', '5 of 6 layers'."""
    return f"{totals.layers} layers" if totals.layers == totals.of else f"{totals.layers} of {totals.of} layers"


def _numbers(row: Result | NetworkTotals | None) -> list[str]:
    if row is None:
        return [""] * 4
    return [f"{value:.6g}" for value in (row.energy_pj, row.cycles, row.edp)] + [f"{row.utilization:.4g}"]


def _values(layer: LayerResult) -> str:
    return ", ".join(f"{value:.6g}" for value in layer.best.top[0].values) if layer.best and layer.best.top else ""


def _known(layer: LayerResult) -> bool:
    """True if this run did not search it."""
    return bool(layer.same_as or layer.taken_from)


def _search(layer: LayerResult) -> list[str]:
    """What is proven of the mapping, the seconds, and where it comes from."""
    best = layer.best
    if best is None:
        return ["", "", "not searched"]
    gap = gap_text(best)
    certain = "proven" if best.proven_optimal else f"gap {gap}" if gap else ""
    remarks = [
        "no valid mapping" if not best.top else "",
        "interrupted" if best.stopped == "interrupted" else "",
        f"same as {layer.same_as}" if layer.same_as else "",
        f"taken from {layer.taken_from}" if layer.taken_from and not layer.same_as else "",
    ]
    return [certain, "" if _known(layer) else f"{best.seconds:.1f}", ", ".join(text for text in remarks if text)]
