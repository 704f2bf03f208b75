"""The layers of a network in one table, with the totals of all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.result import Result
from sparseloop.mapper.network import LayerResult, NetworkResult, NetworkTotals
from sparseloop.report.datatable import Cell, DataTable, columns
from sparseloop.report.search_text import gap_text

NOTE = "EDP of all: energy of all times cycles of all"


def totals_sentence(network: NetworkResult) -> str:
    """The totals in one line."""
    totals, clock = network.totals, _clock([layer.result for layer in network.layers])
    return (
        f"total of {_name(totals)}: energy {wording.energy_text(totals.energy_pj)}, cycles {wording.count_text(totals.cycles)}, "
        f"EDP {wording.edp_text(totals.edp, clock)}, utilization {wording.percent_text(totals.utilization)}"
    )


def results_table(results: Sequence[Result], times: Sequence[int] = ()) -> DataTable:
    """One row per evaluated layer, and one for all; `times`: how often each layer is run, if not once."""
    often = tuple(times) or (1,) * len(results)
    totals, clock = _totals(results, often), _clock(results)
    repeated = [f"x {count}" if count > 1 else "" for count in often] if max(often, default=1) > 1 else []
    rows: list[tuple[Cell, ...]] = [
        (result.design.einsum.name, *repeated[i : i + 1], *_numbers(result, clock), "" if result.valid else "NOT valid")
        for i, result in enumerate(results)
    ]
    rows.append((_name(totals), *[""] * bool(repeated), *_numbers(totals, clock), ""))
    names = columns("*layer", *["times"] * bool(repeated), "energy", "cycles", "EDP", "utilization", "<")
    return DataTable(title="Layers", columns=names, rows=tuple(rows), note=NOTE)


def network_table(network: NetworkResult) -> DataTable:
    """One row per searched layer, and one for all."""
    layers, totals = network.layers, network.totals
    clock = _clock([layer.result for layer in layers])
    objective = next((layer.best.task.goal.objective.name for layer in layers if layer.best), "")
    extra = [objective] if objective not in ("", "energy", "cycles", "edp") else []
    repeated = ["times"] * any(layer.times > 1 for layer in layers)
    rows: list[tuple[Cell, ...]] = []
    for layer in layers:
        often = [f"x {layer.times}" if layer.times > 1 else ""] if repeated else []
        shown = [*_numbers(layer.result, clock), *([_values(layer)] if extra else []), *_search(layer)]
        rows.append((layer.name, *often, *shown))
    spent = sum(layer.best.seconds for layer in layers if layer.best and not _known(layer))
    rows.append((_name(totals), *[""] * len(repeated), *_numbers(totals, clock), *[""] * len(extra), "", f"{spent:.1f} s", ""))
    names = columns("*layer", *repeated, "energy", "cycles", "EDP", "utilization", *extra, "optimal", "search", "~")
    return DataTable(title="Layers", columns=names, rows=tuple(rows), note=NOTE)


def _clock(results: Sequence[Result | None]) -> float:
    """The clock of the machine, which all layers share."""
    return next((result.plan.arch.clock_hz for result in results if result is not None), 1e9)


def _totals(results: Sequence[Result], times: Sequence[int]) -> NetworkTotals:
    runs = list(zip(times, results, strict=True))
    cycles = sum(count * result.cycles for count, result in runs)
    return NetworkTotals(
        layers=len(results),
        of=len(results),
        energy_pj=sum(count * result.energy_pj for count, result in runs),
        cycles=cycles,
        utilization=sum(count * result.utilization * result.cycles for count, result in runs) / (cycles or 1.0),
    )


def _name(totals: NetworkTotals) -> str:
    """'6 layers', '5 of 6 layers'."""
    return f"{totals.layers} layers" if totals.layers == totals.of else f"{totals.layers} of {totals.of} layers"


def _numbers(row: Result | NetworkTotals | None, clock_hz: float) -> list[Cell]:
    if row is None:
        return [""] * 4
    energy, cycles = partial(wording.energy_text, row.energy_pj), partial(wording.count_text, row.cycles)
    return [energy, cycles, wording.edp_text(row.edp, clock_hz), partial(wording.percent_text, row.utilization)]


def _values(layer: LayerResult) -> str:
    return ", ".join(f"{value:.6g}" for value in layer.best.top[0].values) if layer.best and layer.best.top else ""


def _known(layer: LayerResult) -> bool:
    """True if this run did not search it."""
    return bool(layer.same_as or layer.taken_from)


def _search(layer: LayerResult) -> list[Cell]:
    """What is proven of the mapping, the seconds, and where it comes from."""
    best = layer.best
    if best is None:
        return ["", "", "not searched"]
    gap = gap_text(best)
    certain = "proven" if best.proven_optimal else f"gap {gap}" if gap else "not bounded" if best.top else ""
    remarks = [
        "" if best.top or best.stopped == "interrupted" else "no valid mapping",
        "" if best.stopped != "interrupted" else "interrupted" if best.top else "interrupted before a mapping was found",
        f"same as {layer.same_as}" if layer.same_as else "",
        f"taken from {layer.taken_from}" if layer.taken_from and not layer.same_as else "",
    ]
    return [certain, "" if _known(layer) else f"{best.seconds:.1f} s", ", ".join(text for text in remarks if text)]
