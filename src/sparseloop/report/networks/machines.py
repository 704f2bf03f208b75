"""A network on several machines: totals, every layer on every machine, where each wins and why; as tables and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.evaluate import design_of
from sparseloop.evaluation.result import Result
from sparseloop.mapper.network import LayerResult, NetworkResult
from sparseloop.report.borders import html
from sparseloop.report.datatable import Bar, Cell, DataTable, columns, table_html
from sparseloop.report.search_text import gap_text

Machines = Mapping[str, NetworkResult]
STORED = "EDP, stored zeros"
DATA_NOTE = "; behind it, what the zeros as they are stored change"
NOTE = "machines differ in size and node: compare with what each is built of"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVerdict:
    """One layer on all machines."""

    name: str
    times: int
    computes: int
    results: Mapping[str, LayerResult]
    best: str = ""
    """The machine of the least EDP; nothing if none has a mapping, or some were not searched."""
    why: str = ""


def verdicts(machines: Machines) -> tuple[LayerVerdict, ...]:
    """Layer by layer: the machine with the least EDP in J*s (clocks differ), and by what it beats the next."""
    first = next(iter(machines.values()))
    found = list[LayerVerdict]()
    for i, layer in enumerate(first.layers):
        results = {name: network.layers[i] for name, network in machines.items()}
        searched = all(one.best is not None for one in results.values())  # else nobody knows who wins
        ranked = sorted((_joule_seconds(one.result), name) for name, one in results.items() if one.result is not None)
        names = [name for _, name in ranked]
        why = ""
        if len(names) > 1:
            winner, second = results[names[0]].result, results[names[1]].result
            why = _why(winner, second, names[1]) if winner is not None and second is not None else ""
        best = names[0] if names and searched else ""
        computes = design_of(layer.spec).einsum.computes
        found.append(
            LayerVerdict(
                name=layer.name, times=layer.times, computes=computes, results=results, best=best, why=why if searched else ""
            )
        )
    return tuple(found)


def _joule_seconds(result: Result) -> float:
    """Energy times time, up to a factor that all machines share."""
    return result.energy_pj * result.latency_s


def _why(winner: Result, other: Result, name: str) -> str:
    """'3.2 x faster than tpu (6.4 x fewer cycles, utilization 96 % against 30 %; there DRAM limits)': the larger factor.

    The cycles are named where the clocks differ.
    """
    fewer = other.cycles / winner.cycles if winner.cycles else 1.0
    cheaper = other.energy_pj / winner.energy_pj if winner.energy_pj else 1.0
    faster = other.latency_s / winner.latency_s if winner.latency_s else fewer
    if faster >= cheaper:
        shares = f"utilization {wording.percent_text(winner.utilization)} against {wording.percent_text(other.utilization)}"
        cycles = "" if abs(fewer - faster) < 1e-3 * faster else f"{fewer:.3g} x fewer cycles, "
        return f"{faster:.3g} x faster than {name} ({cycles}{shares}; there {_limiting(other)} limits)"
    return f"{cheaper:.3g} x less energy than {name} ({_spent(other)} there, {_spent(winner)} here)"


def _limiting(result: Result) -> str:
    """The level that takes most cycles."""
    levels = result.cost.levels
    at = max(range(len(levels)), key=lambda i: float(levels[i].cycles))
    return result.plan.arch.levels[at].name


def _spent(result: Result) -> str:
    """The level that takes most energy, with its share."""
    levels = result.cost.levels
    at = max(range(len(levels)), key=lambda i: float(levels[i].energy_pj))
    share = float(levels[at].energy_pj) / result.energy_pj if result.energy_pj else 0.0
    return f"{result.plan.arch.levels[at].name} {wording.percent_text(share)}"


# --- tables -------------------------------------------------------------------------------------------------


def totals_table(machines: Machines) -> DataTable:
    """One row per machine: sums over all layers as often as they are run, what is proven, and how many layers it wins."""
    wins = [verdict.best for verdict in verdicts(machines)]
    with_data = any(network.data_totals is not None for network in machines.values())
    rows = list[tuple[Cell, ...]]()
    for name, network in machines.items():
        totals, first = network.totals, next((one.result for one in network.layers if one.result is not None), None)
        if first is None:  # nothing is not a total of 0
            rows.append((name, *["-"] * (6 + with_data), str(wins.count(name)), _proven(network)))
            continue
        clock = first.plan.arch.clock_hz
        rows.append(
            (
                name,
                partial(wording.energy_text, totals.energy_pj),
                partial(wording.count_text, totals.cycles),
                wording.time_text(totals.cycles / clock),
                wording.edp_text(totals.edp, clock),
                *([wording.edp_text((network.data_totals or totals).edp, clock)] if with_data else []),
                partial(wording.percent_text, totals.utilization),
                wording.total_area_text(first.area_um2),
                str(wins.count(name)),
                _proven(network),
            )
        )
    edp = ("EDP", STORED) if with_data else ("EDP",)
    names = columns("*machine", "energy", "cycles", "time", *edp, "utilization", "area", "wins", "~mappings")
    return DataTable(title="Machines", columns=names, rows=tuple(rows), note=NOTE)


def _proven(network: NetworkResult) -> str:
    """'52 of 54 proven, the others within 3 %'; layers without a mapping by name."""
    found = [layer for layer in network.layers if layer.best is not None and layer.best.top]
    open_ones = [layer.best for layer in found if layer.best is not None and not layer.best.proven_optimal]
    text = f"{len(found) - len(open_ones)} of {len(network.layers)} proven"
    gaps = [best.top[0].values[0] / best.lower_bound - 1 for best in open_ones if best.lower_bound]
    if gaps:
        text += f", gaps up to {wording.percent_text(max(gaps))}"
    missing = [layer for layer in network.layers if layer.result is None]
    for what, unsearched in (("no mapping", False), ("not searched", True)):
        names = [layer.name for layer in missing if (layer.best is None) is unsearched]
        if names:
            text += f"; {what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
    return text


def layers_table(machines: Machines) -> DataTable:
    """One row per layer: its EDP on every machine, the best machine and why."""
    rows = list[tuple[Cell, ...]]()
    for verdict in verdicts(machines):
        cells = [_edp(verdict, name) for name in machines]
        times = str(verdict.times)
        computes = partial(wording.count_text, verdict.computes)
        rows.append((verdict.name, times, computes, *cells, verdict.best, verdict.why))
    data = any(network.data_totals is not None for network in machines.values())
    names = columns("*layer", "runs", "computes", *machines, "<best", "~why")
    return DataTable(
        title="Layers",
        columns=names,
        rows=tuple(rows),
        note="EDP of one run; * may be more than 1 % above the best mapping, or not bounded" + (DATA_NOTE if data else ""),
    )


def _edp(verdict: LayerVerdict, name: str) -> str:
    layer = verdict.results[name]
    if layer.result is None:
        return "-"
    best = layer.best
    far = best is not None and not best.proven_optimal and (not best.lower_bound or layer.result.edp > 1.01 * best.lower_bound)
    text = wording.edp_text(layer.result.edp, layer.result.plan.arch.clock_hz) + ("*" if far else "")
    if layer.on_data is None:
        return text
    change = round(100 * (layer.on_data.edp / layer.result.edp - 1), 1)
    return f"{text} {change or 0.0:+g} %"


# --- data ---------------------------------------------------------------------------------------------------

MACHINE_COLUMNS = (
    "machine", "layer", "times", "energy_pj", "cycles", "edp_pj_cycles", "utilization", "lower_bound", "proven_optimal", "best",
    "data_energy_pj", "data_cycles", "data_edp_pj_cycles"
)  # fmt: skip


def machine_rows(machines: Machines) -> list[dict[str, Any]]:
    """One record per machine and layer; None where there is no mapping."""
    winners = [verdict.best for verdict in verdicts(machines)]
    rows = list[dict[str, Any]]()
    for name, network in machines.items():
        for layer, winner in zip(network.layers, winners, strict=True):
            result, best, data = layer.result, layer.best, layer.on_data
            values = (
                name,
                layer.name,
                layer.times,
                *((result.energy_pj, result.cycles, result.edp, result.utilization) if result is not None else (None,) * 4),
                best.lower_bound if best is not None else None,
                best.proven_optimal if best is not None else False,
                winner == name,
                *((data.energy_pj, data.cycles, data.edp) if data is not None else (None,) * 3),
            )
            rows.append(dict(zip(MACHINE_COLUMNS, values, strict=True)))
    return rows


def _totals_record(network: NetworkResult) -> dict[str, Any]:
    """The sums over the layers that have a mapping; None where none has one."""
    totals = network.totals
    sums = (totals.energy_pj, totals.cycles, totals.edp, totals.utilization) if totals.layers else (None,) * 4
    names = ("energy_pj", "cycles", "edp_pj_cycles", "utilization")
    return {"layers": totals.layers, "of": totals.of, **dict(zip(names, sums, strict=True))}


def machines_data(machines: Machines) -> dict[str, Any]:
    """Totals and layers as plain data, schema sparseloop.network/1."""
    totals = {name: _totals_record(network) for name, network in machines.items()}
    results = [layer.result for network in machines.values() for layer in network.layers if layer.result is not None]
    warnings = list(dict.fromkeys(text for result in results for text in result.warnings))
    return {"schema": "sparseloop.network/1", "machines": totals, "layers": machine_rows(machines), "warnings": warnings}


# --- the page -----------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light }
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin: 2em 0 .4em; border-bottom: 1px solid #ccc }
.scroll { overflow-x: auto; border: 1px solid #e5e5e5 } table { border-collapse: collapse; font-size: .85em; min-width: 100% }
th, td { padding: .25em .6em; text-align: left; border-bottom: 1px solid #eee; vertical-align: top }
td:last-child { min-width: 15em } th.n, td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
td.bar { min-width: 8em } td.bar span { display: block; height: .9em; background: #4878a8 }
.note { color: #666; font-size: .85em } .roof { width: 100%; height: auto; max-width: 900px }
.roof text { font: 11px system-ui, sans-serif; fill: #444 }
"""
_COLOURS = ("#4878a8", "#d1742c", "#4f9d5b", "#b5485d", "#7a62a8", "#8a6d4b", "#c06fb0", "#777777")


def machines_page(title: str, machines: Machines, notes: Sequence[str] = ()) -> str:
    """One HTML page without scripts and without anything from the network."""
    told = "".join(f"<p class='note'>{html(text)}</p>" for text in notes)
    tables = [totals_table(machines), shares_table(machines), layers_table(machines)]
    parts = [f"<h2>{html(table.title)}</h2><p class='note'>{html(table.note)}</p>{table_html(table)}" for table in tables]
    parts.insert(2, f"<h2>Roofline</h2>{roofline_svg(machines)}")
    narrow = "<meta name='viewport' content='width=device-width'>"
    head = f"<meta charset='utf-8'>{narrow}<title>{html(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{html(title)}</h1>{told}{''.join(parts)}</body></html>\n"


def shares_table(machines: Machines) -> DataTable:
    """Where the time and the energy of each machine go: its five most expensive layers."""
    rows = list[tuple[Cell, ...]]()
    for name, network in machines.items():
        runs = [(layer.times * layer.result.edp**0.5, layer) for layer in network.layers if layer.result is not None]
        for _, layer in sorted(runs, key=lambda run: -run[0])[:5]:
            result = layer.result
            assert result is not None
            energy = layer.times * result.energy_pj / network.totals.energy_pj
            cycles = layer.times * result.cycles / network.totals.cycles
            gap = gap_text(layer.best) if layer.best is not None else ""
            rows.append(
                (name, layer.name, f"{layer.times}", Bar(energy), wording.percent_text(energy), Bar(cycles),
                 wording.percent_text(cycles), _limiting(result), _spent(result), gap and f"gap {gap}")
            )  # fmt: skip
    names = columns("*machine", "*layer", "runs", "energy", "", "cycles", "", "<limits", "<most energy", "~")
    note = "the five layers of each machine that cost most"
    return DataTable(title="What costs most", columns=names, rows=tuple(rows), note=note)


def roofline_svg(machines: Machines) -> str:
    """Computes per cycle over computes per word of the outermost level, both logarithmic; a point per layer, a line per peak."""
    points = list[tuple[str, float, float]]()
    peaks = dict[str, float]()
    for name, network in machines.items():
        for layer in network.layers:
            if layer.result is None:
                continue
            result = layer.result
            words = sum(float(link.reads.actual) + float(link.updates.actual) for link in result.cost.sparse.links_from(0))
            rate = result.design.einsum.computes / max(result.cycles, 1.0)
            points.append((name, result.design.einsum.computes / max(words, 1.0), rate))
            peaks[name] = float(result.plan.arch.levels[-1].instances)
    return _drawn(points, peaks) if points else ""


def _drawn(points: Sequence[tuple[str, float, float]], peaks: Mapping[str, float]) -> str:
    import math

    width, height, left, bottom = 900, 380, 60, 46
    xs = [math.log10(x) for _, x, _ in points]
    ys = [*(math.log10(max(y, 1e-3)) for _, _, y in points), *(math.log10(peak) for peak in peaks.values())]
    low_x, high_x, low_y, high_y = math.floor(min(xs)), math.ceil(max(xs) + 0.01), math.floor(min(ys)), math.ceil(max(ys) + 0.01)

    def across(x: float) -> float:
        return left + (x - low_x) / (high_x - low_x) * (width - left - 150)

    def up(y: float) -> float:
        return height - bottom - (y - low_y) / (high_y - low_y) * (height - bottom - 16)

    colour = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(peaks)}
    parts = [f"<svg class='roof' viewBox='0 0 {width} {height}' role='img' aria-label='roofline'>"]
    for x in range(low_x, high_x + 1):
        parts.append(f"<line x1='{across(x):.1f}' x2='{across(x):.1f}' y1='16' y2='{height - bottom}' stroke='#eee'/>")
        parts.append(f"<text x='{across(x):.1f}' y='{height - bottom + 16}' text-anchor='middle'>{10.0**x:g}</text>")
    for y in range(low_y, high_y + 1):
        parts.append(f"<line x1='{left}' x2='{width - 150}' y1='{up(y):.1f}' y2='{up(y):.1f}' stroke='#eee'/>")
        parts.append(f"<text x='{left - 6}' y='{up(y) + 4:.1f}' text-anchor='end'>{10.0**y:g}</text>")
    for i, (name, peak) in enumerate(peaks.items()):
        y = up(math.log10(peak))
        parts.append(
            f"<line x1='{left}' x2='{width - 150}' y1='{y:.1f}' y2='{y:.1f}' stroke='{colour[name]}' stroke-dasharray='5 4'/>"
        )
        parts.append(f"<circle cx='{width - 138}' cy='{24 + 18 * i}' r='5' fill='{colour[name]}'/>")
        parts.append(f"<text x='{width - 128}' y='{28 + 18 * i}'>{html(name)}</text>")
    for (name, _, y), x in zip(points, xs, strict=True):
        spot = f"cx='{across(x):.1f}' cy='{up(math.log10(max(y, 1e-3))):.1f}'"
        parts.append(f"<circle {spot} r='4' fill='{colour[name]}' fill-opacity='.65'/>")
    label = "computes per word to or from the outermost level (dashed: all instances busy)"
    parts.append(f"<text x='{(left + width - 150) / 2:.0f}' y='{height - 8}' text-anchor='middle'>{label}</text>")
    turned = f"transform='rotate(-90 14 {height / 2:.0f})' text-anchor='middle'"
    parts.append(f"<text x='14' y='{height / 2:.0f}' {turned}>computes per cycle</text>")
    return "".join(parts) + "</svg>"
