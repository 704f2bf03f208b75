"""Tables of one result: totals, energy, traffic, savings, speed, capacity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

from rich.text import Text

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.facts import subject, totals
from sparseloop.evaluation.result import Result, fills_of, metadata_bits
from sparseloop.input import terminal
from sparseloop.input.terminal import visible
from sparseloop.model.design.arch import Level
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.sparsity.events import Events
from sparseloop.report.datatable import LIMITS, Bar, Cell, DataTable, columns, table_text
from sparseloop.report.savings import Saving, savings

MANY = 10_000
"""Columns of what is as wide as it needs to be."""


def result_text(result: Result, *, mapping: Mapping | None = None, width: int = 100) -> str:
    """All tables as plain text."""
    return _plain(_everything(result, mapping, width))


def summary_text(result: Result, *, width: int = 100) -> str:
    """What was evaluated, whether it is valid, and the totals."""
    return _plain(head(result, width))


def print_result(result: Result, stream: TextIO, *, width: int, summary: bool = False) -> None:
    """Writes all tables, or the totals alone: in colour to a terminal, as plain text elsewhere."""
    shown = head(result, width) if summary else _everything(result, None, width)
    print_text(shown, stream)


def print_text(shown: Text, stream: TextIO) -> None:
    """Writes a text: in colour to a terminal, plain elsewhere."""
    if stream.isatty():
        terminal.console(stream).print(shown, soft_wrap=True)
    else:
        print(_plain(shown), file=stream)


def _plain(shown: Text) -> str:
    return "\n".join(line.rstrip() for line in shown.plain.splitlines())


def _everything(result: Result, mapping: Mapping | None, width: int) -> Text:
    parts = [head(result, width), *(table_text(table, width) for table in result_tables(result, mapping=mapping))]
    return Text("\n").join(parts)


def result_tables(result: Result, *, mapping: Mapping | None = None) -> tuple[DataTable, ...]:
    """All tables below the totals; `mapping` if it is not the design's own."""
    saved = savings_table(result, mapping or result.design.mapping)
    first = (energy_table(result), traffic_table(result))
    return (*first, *((saved,) if saved else ()), speed_table(result), capacity_table(result))


# --- pieces -------------------------------------------------------------------------------------------------


def _count(value: Any, digits: int = 3) -> str:
    plain = float(value)
    return wording.count_text(plain, digits) if plain > 1e-9 else ""


def _part(value: Any, whole: Any, digits: int = 3) -> str:
    """A share of a dense count; nothing where it is nothing."""
    share = float(value) / float(whole) if float(whole) else 0.0
    return wording.percent_text(share, digits) if share > 1e-12 else ""


# --- totals -------------------------------------------------------------------------------------------------


def head(result: Result, width: int = 100) -> Text:
    """Design, validity, totals."""
    lines = [
        Text(text, style="bold" if number == 0 else "dim" if number > 1 else "") for number, text in enumerate(subject(result))
    ]
    lines.append(Text())
    if result.valid:
        lines.append(Text("the mapping is valid", style="green"))
    else:
        lines.append(Text("the mapping is NOT valid:", style="bold red"))
        lines += [Text(f"  {visible(reason)}", style="red") for reason in result.reasons]
    lines.append(Text())
    found = totals(result)
    label_width = max(len(fact.label) for fact in found)
    lines += [Text.assemble((fact.label.ljust(label_width), "bold"), "  ", fact.text) for fact in found]
    return Text("\n").join([*(part for line in lines for part in _wrapped(line, width)), Text()])


def _wrapped(line: Text, width: int) -> list[Text]:
    """A long line on several, the later ones moved to the right."""
    if line.cell_len <= width:
        return [line]
    first, *rest = line.wrap(terminal.console(width=width), width)
    first.rstrip()
    return [first, *(Text.assemble("  ", part) for part in Text(" ").join(rest).wrap(terminal.console(width=width), width - 2))]


# --- energy -------------------------------------------------------------------------------------------------


def energy_table(result: Result) -> DataTable:
    """Energy by level and tensor; networks only where they cost anything."""
    tensors = [t.name for t in result.plan.einsum.tensors]
    total = result.energy_pj or 1.0
    found: list[tuple[str, float, list[float]]] = []
    for level, cost in zip(result.plan.arch.levels, result.cost.levels, strict=True):
        split = [sum(float(a.energy_pj) for a in cost.actions if a.tensor == t) for t in [*tensors, None]]
        found.append((level.name, float(cost.energy_pj), split))
    found += [(n.name, float(n.energy_pj), [0.0] * (len(tensors) + 1)) for n in result.cost.networks if float(n.energy_pj)]
    rows: list[tuple[Cell, ...]] = []
    for name, energy, split in found:
        shown: list[Cell] = [partial(wording.energy_text, pj) if pj else "" for pj in split]
        share = energy / total
        rows.append((name, partial(wording.energy_text, energy), partial(wording.percent_text, share), Bar(share), *shown))
    return DataTable(title="Energy", columns=columns("*level", "energy", "share", "<", *tensors, "other"), rows=tuple(rows))


# --- traffic ------------------------------------------------------------------------------------------------


def traffic_table(result: Result) -> DataTable:
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
    drawn: list[tuple[Cell, ...]] = []
    for level, tensor, action, split, held in rows:
        counts: list[Cell] = [partial(_count, split.total), partial(_count, split.actual) if float(split.actual) > 1e-9 else "0"]
        parts: list[Cell] = [partial(_part, getattr(split, name), split.total) for name in fates]
        drawn.append((level, tensor, action, *counts, *parts, *([partial(_count, held)] if bits else [])))
    names = columns("*level", "*tensor", "*", "dense", "actual", *fates, *bits)
    return DataTable(title="Traffic", columns=names, rows=tuple(drawn), note=note)


# --- savings ------------------------------------------------------------------------------------------------


def savings_table(result: Result, mapping: Mapping | None) -> DataTable | None:
    """Every sparse feature: events it removes, energy and cycles against the same mapping without it, area of its units."""
    found = savings(result, mapping) if mapping is not None else ()
    if not found:
        return None
    units = any(saving.area_um2 for saving in found)
    rows: list[tuple[Cell, ...]] = []
    for saving in found:
        area = [wording.area_text(saving.area_um2) if saving.area_um2 else "-"] if units else []
        rows.append((saving.feature, partial(_removed, saving), *_saved(result, saving), *area))
    names = columns("*by", "removed there", "energy saved", "cycles saved", *(["its units"] if units else []))
    return DataTable(title="Saved", columns=names, rows=tuple(rows), note="against the same mapping without the feature")


def _removed(saving: Saving, digits: int = 3) -> str:
    if not saving.removed:
        return "nothing"
    share = wording.percent_text(saving.removed / saving.dense, digits)
    return f"{share} of {wording.count_text(saving.dense, digits)} {saving.what}"


def _saved(result: Result, saving: Saving) -> list[Cell]:
    def energy(digits: int) -> str:
        return _difference(saving.energy_pj, result.energy_pj, wording.energy_text, digits)

    def cycles(digits: int) -> str:
        return _difference(saving.cycles, result.cycles, wording.count_text, digits)

    return [energy, cycles]


def _difference(without: float, now: float, humane: Callable[[float, int], str], digits: int) -> str:
    saved = without - now
    share = saved / without if without else 0.0
    return f"{humane(saved, digits)} ({wording.percent_text(share, digits)})" if abs(share) > 1e-9 else "-"


# --- speed --------------------------------------------------------------------------------------------------


def speed_table(result: Result) -> DataTable:
    """What limits the speed: cycles every level needs at least, beside the cycles of the whole."""
    total = result.cycles or 1.0
    levels = list(zip(result.plan.arch.levels, result.cost.levels, strict=True))
    slowest = max(float(cost.cycles) for _, cost in levels)
    rows: list[tuple[Cell, ...]] = []
    for level, cost in levels:
        cycles = float(cost.cycles)
        limit = _lanes(result) if level.kind == "compute" else wording.bandwidth_text(level)
        if not cycles and level.kind != "compute":
            rows.append((level.name, "", "", "", limit))
            continue
        share = cycles / total
        shown = (partial(wording.count_text, cycles), partial(wording.percent_text, share), Bar(share))
        rows.append((level.name, *shown, f"{limit}  {LIMITS}" if cycles == slowest else limit))
    for wait in result.cost.waits:
        cycles = float(wait.cycles)
        shown = (partial(wording.count_text, cycles), partial(wording.percent_text, cycles / total), "")
        rows.append(
            (wording.wait_text(result.plan.arch, wait), *shown, f"all inside {result.plan.arch.levels[wait.parent].name} waits")
        )
    for unit in result.cost.units:
        cycles, level = float(unit.cycles), result.plan.arch.levels[unit.level]
        shown = (partial(wording.count_text, cycles), partial(wording.percent_text, cycles / total), "")
        rows.append((f"{unit.kind} of {level.name}", *shown, wording.unit_rate_text(level, unit.kind)))
    if (extra := result.cycles - slowest) > 1e-9 * total:
        rows.append(("networks", partial(wording.count_text, extra), "", "", "fill and drain"))
    names = columns("*level", "cycles", "busy", "<", "~bandwidth of one instance")
    return DataTable(title="Speed", columns=names, rows=tuple(rows))


def _lanes(result: Result) -> str:
    """ "compute", and how long the slowest instance takes where some wait for it."""
    lag = result.slowest
    if lag is None or lag.instances < 2 or lag.compute[2] <= 1.001 * lag.balanced:
        return "compute"
    low, middle, high = map(wording.count_text, lag.compute)
    spread = f", P10-P90 {low}-{high}" if low != high else ""
    return f"compute; slowest of {lag.instances}: {middle}{spread}"


# --- capacity -----------------------------------------------------------------------------------------------


def capacity_table(result: Result) -> DataTable:
    """Words and metadata held by one instance, expected and at worst, beside its capacity."""
    rows: list[tuple[Cell, ...]] = []
    for index, (level, cost) in enumerate(zip(result.plan.arch.storage, result.cost.levels, strict=False)):
        held = [k.resident for k in result.cost.sparse.links_from(index)]
        words = (cost.capacity_expected, cost.capacity_worst, sum(r.level_words for r in held))
        rows.append((level.name, _instances(cost.instances_used, level), "words", *_room(level.capacity_words, words)))
        if float(cost.metadata_bits_worst):
            bits = (cost.metadata_bits_expected, cost.metadata_bits_worst, sum(r.metadata_bits_counted for r in held))
            rows.append(("", "", "metadata", *_room(level.metadata_capacity_bits, bits)))
    compute = result.plan.arch.compute
    rows.append((compute.name, _instances(result.cost.levels[-1].instances_used, compute), *[""] * 6))
    names = columns("*level", "instances", "*holds", "capacity", "expected", "worst", "used", "<")
    return DataTable(title="Capacity", columns=names, rows=tuple(rows), note="of one instance; metadata in bits")


def _instances(used: Any, level: Level) -> str:
    return f"{wording.count_text(used)} of {wording.count_text(level.instances)}"


def _room(capacity: float | None, held: tuple[Any, Any, Any]) -> list[Cell]:
    expected, worst, counted = (float(value) for value in held)
    shown: list[Cell] = [partial(wording.count_text, expected), partial(wording.count_text, worst)]
    if capacity is None:
        return ["-", *shown, "", ""]
    share = counted / capacity if capacity else 0.0
    return [partial(wording.count_text, capacity), *shown, partial(wording.percent_text, share), Bar(share, 0.5)]
