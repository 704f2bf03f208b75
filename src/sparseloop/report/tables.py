"""Tables of one result: totals, energy, traffic, savings, speed, capacity."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, Literal, TextIO

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.result import Result, fills_of, metadata_bits
from sparseloop.input import terminal
from sparseloop.input.terminal import visible
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.sparsity.events import Events
from sparseloop.report.savings import Saving, savings

BAR = 16
"""Width of a bar in characters."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def result_text(result: Result, *, mapping: Mapping | None = None, width: int = 100) -> str:
    """All tables as plain text."""
    stream = io.StringIO()
    terminal.console(stream, width=width).print(result_tables(result, mapping=mapping))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def print_result(result: Result, stream: TextIO, *, width: int) -> None:
    """Writes all tables: in colour to a terminal, as plain text without trailing blanks elsewhere."""
    if stream.isatty():
        terminal.console(stream).print(result_tables(result))
    else:
        print(result_text(result, width=width), file=stream)


def result_tables(result: Result, *, mapping: Mapping | None = None) -> Group:
    """All tables; `mapping` if it is not the design's own."""
    parts: list[RenderableType | None] = [
        head(result),
        energy_table(result),
        traffic_table(result),
        savings_table(result, mapping or result.design.mapping),
        speed_table(result),
        capacity_table(result),
    ]
    return Group(*(part for part in parts if part is not None))


# --- pieces -------------------------------------------------------------------------------------------------


def bar(part: float, *, width: int = BAR) -> Text:
    """A horizontal bar of a fraction."""
    eighths = round(min(max(part, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return Text("█" * full + (_EIGHTHS[rest] if rest else ""), style="cyan")


REMARK = "<bandwidth of one instance"
"""The column that gives way where the terminal is narrow."""


def _table(title: str, *columns: str, note: str = "") -> Table:
    """A table without frame; columns named with a leading '<' are left-aligned."""
    heading = Text.assemble((title, "bold"), (f"  {note}" if note else "", "dim"))
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for name in columns:
        side: Literal["left", "right"] = "left" if name.startswith("<") else "right"
        fold = name in ("<level", "<by")
        wraps = fold or name == REMARK
        table.add_column(name.removeprefix("<"), justify=side, no_wrap=not wraps, overflow="fold", header_style="dim")
    return table


def _count(value: Any) -> str:
    plain = float(value)
    return wording.count_text(plain) if plain > 1e-9 else ""


def _part(value: Any, whole: Any) -> str:
    """A share of a dense count; nothing where it is nothing."""
    share = float(value) / float(whole) if float(whole) else 0.0
    return wording.percent_text(share) if share > 1e-12 else ""


# --- totals -------------------------------------------------------------------------------------------------


def head(result: Result) -> Group:
    """Design, validity, totals."""
    einsum, arch = result.plan.einsum, result.plan.arch
    sizes = " ".join(f"{rank}={size}" for rank, size in zip(einsum.ranks, einsum.shape, strict=True) if size > 1)
    densities = "; ".join(f"{t.name} {wording.density_text(t)}" for t in einsum.tensors)
    title = "" if einsum.name == "einsum" else f"{visible(einsum.name)}: "
    lines: list[RenderableType] = [
        Text(f"{title}{wording.equation_text(einsum)}", style="bold"),
        Text(sizes),
        Text(densities, style="dim"),
        Text(" > ".join(_stage(level.name, level.instances) for level in arch.levels), style="dim"),
        Text(""),
    ]
    if result.valid:
        lines.append(Text("the mapping is valid", style="green"))
    else:
        lines.append(Text("the mapping is NOT valid:", style="bold red"))
        lines += [Padding(Text(visible(reason), style="red"), (0, 0, 0, 2)) for reason in result.reasons]
    return Group(*lines, Text(""), _totals(result), Text(""))


def _stage(name: str, instances: int) -> str:
    return visible(f"{name} x{instances}" if instances > 1 else name)


def _totals(result: Result) -> Table:
    computes, clock = result.cost.sparse.computes, result.plan.arch.clock_hz
    total = float(computes.total)
    split = ", ".join(
        f"{wording.percent_text(share)} {name}"
        for name in ("actual", "gated", "skipped", "absent")
        if (share := float(getattr(computes, name)) / total) > 1e-12
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("energy", f"{wording.energy_text(result.energy_pj)}   ({result.energy_pj / total:.3g} pJ per dense compute)")
    table.add_row(
        "cycles", f"{wording.count_text(result.cycles)}   ({wording.time_text(result.latency_s)} at {clock / 1e9:.4g} GHz)"
    )
    table.add_row("EDP", f"{result.edp * 1e-12 / clock:.3g} J s")
    table.add_row("area", wording.area_text(result.area_um2))
    table.add_row("computes", f"{wording.count_text(total)}: {split}")
    table.add_row("utilization", wording.percent_text(result.utilization))
    return table


# --- energy -------------------------------------------------------------------------------------------------


def energy_table(result: Result) -> Table:
    """Energy by level and tensor; networks only where they cost anything."""
    tensors = [t.name for t in result.plan.einsum.tensors]
    table = _table("Energy", "<level", "energy", "share", "<", *tensors, "other")
    total = result.energy_pj or 1.0
    rows: list[tuple[str, float, list[float]]] = []
    for level, cost in zip(result.plan.arch.levels, result.cost.levels, strict=True):
        split = [sum(float(a.energy_pj) for a in cost.actions if a.tensor == t) for t in [*tensors, None]]
        rows.append((level.name, float(cost.energy_pj), split))
    rows += [(n.name, float(n.energy_pj), []) for n in result.cost.networks if float(n.energy_pj)]
    for name, energy, split in rows:
        shown = [wording.energy_text(pj) if pj else "" for pj in split]
        table.add_row(
            visible(name), wording.energy_text(energy), wording.percent_text(energy / total), bar(energy / total), *shown
        )
    table.add_row("", "", "", "")
    return table


# --- traffic ------------------------------------------------------------------------------------------------


def traffic_table(result: Result) -> Table:
    """Dense and actual words per level, tensor and action, and the metadata that goes with them."""
    rows: list[tuple[str, str, str, Events, Any]] = []
    for index, level in enumerate(result.plan.arch.storage):
        first = level.name
        for k in result.cost.sparse.links_from(index):
            tensor = k.dense.link.name
            for action, split in (("reads", k.reads), ("fills", fills_of(result.cost, index, tensor)), ("updates", k.updates)):
                bits = metadata_bits(k, action).actual
                if float(split.total) or float(bits):
                    rows.append((first, tensor, action, split, bits))
                    first, tensor = "", ""
    fates = [name for name in ("gated", "skipped", "absent") if any(getattr(row[3], name) > 1e-12 * row[3].total for row in rows)]
    bits = ["metadata"] if any(float(row[4]) for row in rows) else []
    note = "words" + f"; {', '.join(fates)} in % of dense" * bool(fates) + "; metadata in bits" * bool(bits)
    table = _table("Traffic", "<level", "<tensor", "<", "dense", "actual", *fates, *bits, note=note)
    for level, tensor, action, split, held in rows:
        parts = [_part(getattr(split, name), split.total) for name in fates]
        counts = [_count(split.total), _count(split.actual) or "0", *parts, _count(held)]
        table.add_row(visible(level), tensor, action, *counts[: len(table.columns) - 3])
    table.add_row("")
    return table


# --- savings ------------------------------------------------------------------------------------------------


def savings_table(result: Result, mapping: Mapping | None) -> Table | None:
    """Every sparse feature: events it removes, energy and cycles against the same mapping without it, area of its units."""
    found = savings(result, mapping) if mapping is not None else ()
    if not found:
        return None
    note = "against the same mapping without the feature"
    units = any(saving.area_um2 for saving in found)
    table = _table("Saved", "<by", "removed there", "energy saved", "cycles saved", *(["its units"] if units else []), note=note)
    for saving in found:
        area = [wording.area_text(saving.area_um2) if saving.area_um2 else "-"] if units else []
        table.add_row(visible(saving.feature), _removed(saving), *_saved(result, saving), *area)
    table.add_row("")
    return table


def _removed(saving: Saving) -> str:
    if not saving.removed:
        return "nothing"
    return f"{wording.percent_text(saving.removed / saving.dense)} of {wording.count_text(saving.dense)} {saving.what}"


def _saved(result: Result, saving: Saving) -> list[str]:
    pairs = ((saving.energy_pj, result.energy_pj, wording.energy_text), (saving.cycles, result.cycles, wording.count_text))
    shown: list[str] = []
    for without, now, humane in pairs:
        saved = without - now
        share = saved / without if without else 0.0
        shown.append(f"{humane(saved)} ({wording.percent_text(share)})" if abs(share) > 1e-9 else "-")
    return shown


# --- speed --------------------------------------------------------------------------------------------------


def speed_table(result: Result) -> Table:
    """What limits the speed: cycles every level needs at least, beside the cycles of the whole."""
    table = _table("Speed", "<level", "cycles", "busy", "<", REMARK)
    total = result.cycles or 1.0
    levels = list(zip(result.plan.arch.levels, result.cost.levels, strict=True))
    slowest = max(float(cost.cycles) for _, cost in levels)
    for level, cost in levels:
        cycles = float(cost.cycles)
        limit = _lanes(result) if level.kind == "compute" else wording.bandwidth_text(level)
        if not cycles and level.kind != "compute":
            table.add_row(visible(level.name), "", "", "", limit)
            continue
        mark = Text.assemble(limit, ("  <- limits", "bold yellow") if cycles == slowest else "")
        table.add_row(
            visible(level.name), wording.count_text(cycles), wording.percent_text(cycles / total), bar(cycles / total), mark
        )
    if (extra := result.cycles - slowest) > 1e-9 * total:
        table.add_row("networks", wording.count_text(extra), "", "", "fill and drain")
    table.add_row("")
    return table


def _lanes(result: Result) -> str:
    """ "compute", and how long the slowest instance takes where some wait for it."""
    lag = result.slowest
    if lag is None or lag.instances < 2 or lag.compute[2] <= 1.001 * lag.balanced:
        return "compute"
    low, middle, high = map(wording.count_text, lag.compute)
    spread = f", P10-P90 {low}-{high}" if low != high else ""
    return f"compute; slowest of {lag.instances}: {middle}{spread}"


# --- capacity -----------------------------------------------------------------------------------------------


def capacity_table(result: Result) -> Table:
    """Words and metadata held by one instance, expected and at worst, beside its capacity."""
    names = ("<level", "instances", "<holds", "capacity", "expected", "worst", "used", "<")
    table = _table("Capacity", *names, note="of one instance; metadata in bits")
    for index, (level, cost) in enumerate(zip(result.plan.arch.storage, result.cost.levels, strict=False)):
        held = [k.resident for k in result.cost.sparse.links_from(index)]
        words = (cost.capacity_expected, cost.capacity_worst, sum(r.counted for r in held))
        used = f"{wording.count_text(cost.instances_used)} of {wording.count_text(level.instances)}"
        table.add_row(visible(level.name), used, "words", *_room(level.capacity_words, words))
        if float(cost.metadata_bits_worst):
            bits = (cost.metadata_bits_expected, cost.metadata_bits_worst, sum(r.metadata_bits_counted for r in held))
            table.add_row("", "", "metadata", *_room(level.metadata_capacity_bits, bits))
    compute = result.plan.arch.compute
    used = f"{wording.count_text(result.cost.levels[-1].instances_used)} of {wording.count_text(compute.instances)}"
    table.add_row(visible(compute.name), used)
    return table


def _room(capacity: float | None, held: tuple[Any, Any, Any]) -> Iterable[RenderableType]:
    expected, worst, counted = (float(value) for value in held)
    shown = [wording.count_text(expected), wording.count_text(worst)]
    if capacity is None:
        return ["-", *shown]
    share = counted / capacity if capacity else 0.0
    return [wording.count_text(capacity), *shown, wording.percent_text(share), bar(share, width=8)]
