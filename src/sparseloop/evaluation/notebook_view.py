"""A result as a notebook shows it: totals, levels, where the energy goes, and the loop nest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.facts import mapping_picture, subject, totals
from sparseloop.input.markup import heading, markup, preformatted, small_table, stacked_bars

if TYPE_CHECKING:
    from sparseloop.evaluation.result import Result

LEVEL_COLUMNS = ("level", "energy", "share", "cycles", "busy", "holds at worst", "capacity")


def result_view(result: Result) -> str:
    """The result as HTML: a table of totals, one of levels, stacked bars of the energy, the loop nest."""
    title, *about = subject(result)
    validity = "valid" if result.valid else "<b>NOT valid</b>: " + "; ".join(map(markup, result.reasons))
    facts = small_table(("", ""), [(fact.label, fact.text) for fact in totals(result)], left=2)
    nest = mapping_picture(result) if result.design.mapping is not None else ""
    return "".join(
        (
            heading(title, "; ".join(about)),
            f"<p>The mapping is {validity}.</p>",
            facts,
            small_table(LEVEL_COLUMNS, _levels(result)),
            stacked_bars(_energies(result)),
            f"<details open><summary>loop nest</summary>{preformatted(nest)}</details>" if nest else "",
        )
    )


def _levels(result: Result) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for level, cost in zip(result.plan.arch.levels, result.cost.levels, strict=True):
        energy, cycles = float(cost.energy_pj), float(cost.cycles)
        share = wording.percent_text(energy / (result.energy_pj or 1.0))
        busy = wording.percent_text(cycles / (result.cycles or 1.0)) if cycles else ""
        held = wording.count_text(float(cost.capacity_worst)) if level.kind == "storage" else ""
        room = "" if level.capacity_words is None else f"{wording.count_text(level.capacity_words)} words"
        rows.append(
            (level.name, wording.energy_text(energy), share, wording.count_text(cycles) if cycles else "", busy, held, room)
        )
    return rows


def _energies(result: Result) -> dict[str, dict[str, float]]:
    """Energy in pJ by level and tensor."""
    found: dict[str, dict[str, float]] = {}
    for level, cost in zip(result.plan.arch.levels, result.cost.levels, strict=True):
        parts: dict[str, float] = {}
        for action in cost.actions:
            name = action.tensor or "other"
            parts[name] = parts.get(name, 0.0) + float(action.energy_pj)
        found[level.name] = parts
    networks = sum(float(network.energy_pj) for network in result.cost.networks)
    return {**found, "networks": {"networks": networks}} if networks else found
