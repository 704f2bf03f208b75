"""Searches as a notebook shows them, in a line, as HTML and as rows with named columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.notebook_view import result_view
from sparseloop.input.markup import heading, markup, small_table, stacked_bars
from sparseloop.input.resolve import mapping_lines

if TYPE_CHECKING:
    from sparseloop.mapper.network import LayerResult, NetworkResult
    from sparseloop.mapper.task import Best, Candidate

SHOWN = 20
"""Rows of a table at most."""


def proof_text(best: Best) -> str:
    """How far the best mapping can be from the optimum: 'proven optimal', 'gap 3 %' or 'not bounded'."""
    if best.proven_optimal:
        return "proven optimal"
    if best.lower_bound and best.value is not None:
        return f"gap {wording.percent_text(best.value / best.lower_bound - 1)}"
    return "not bounded"


def search_sentence(best: Best) -> str:
    """'energy 6286.92 pJ, proven optimal; optimal, 1234 evaluated, 0.2 s'."""
    name, spent = best.task.goal.objective.name, f"{best.task.method}, {best.evaluated} evaluated, {best.seconds:.1f} s"
    if best.value is None:
        return f"no valid mapping; {spent}"
    value = wording.objective_text(name, best.value, best.task.space.design.arch.clock_hz)
    return f"{name} {value}, {proof_text(best)}; {spent}"


def search_view(best: Best) -> str:
    """A search as HTML: what is proven, the best mappings where there are several, the best one evaluated."""
    told = heading("Search", search_sentence(best))
    rows = candidate_rows(best)
    several = ""
    if len(rows) > 1:
        names = [name for name in rows[0] if name not in ("kind", "rank", "mapping")]
        cells = [[row["kind"], row["rank"], *(f"{row[name]:.5g}" for name in names)] for row in rows[:SHOWN]]
        several = small_table(("kind", "rank", *names), cells)
    return told + several + (result_view(best.result) if best.result is not None else "")


def candidate_rows(best: Best) -> list[dict[str, Any]]:
    """One row per mapping of `top` and of `front`."""
    goal = best.task.goal
    rows = [_row(best, "top", i, c, goal.objective.name.split(",")) for i, c in enumerate(best.top, 1)]
    front = [one.name for one in goal.pareto]
    return rows + [_row(best, "front", i, c, front) for i, c in enumerate(best.front, 1)]


def _row(best: Best, kind: str, rank: int, candidate: Candidate, names: list[str]) -> dict[str, Any]:
    result = best.evaluated_as(candidate)
    entries = (entry for line in mapping_lines(candidate.mapping, best.task.space.spec) for entry in line.items())
    numbers = {"energy_pj": result.energy_pj, "cycles": result.cycles, "edp": result.edp}
    values = {name: value for name, value in zip(names, candidate.values, strict=False) if name not in ("energy", *numbers)}
    loops = " / ".join(f"{level}: {text}" for level, text in entries)
    return {"kind": kind, "rank": rank, **numbers, **values, "mapping": loops}


# --- networks -------------------------------------------------------------------------------------------------


def layer_rows(network: NetworkResult) -> list[dict[str, Any]]:
    """One row per layer; None where it has no mapping."""
    return [_layer(layer) for layer in network.layers]


def _layer(layer: LayerResult) -> dict[str, Any]:
    result, best = layer.result, layer.best
    return {
        "layer": layer.name,
        "energy_pj": result.energy_pj if result else None,
        "cycles": result.cycles if result else None,
        "edp": result.edp if result else None,
        "utilization": result.utilization if result else None,
        "value": best.value if best else None,
        "lower_bound": best.lower_bound if best else None,
        "proven": best.proven_optimal if best else None,
        "evaluated": best.evaluated if best else None,
        "seconds": best.seconds if best else None,
        "same_as": layer.same_as,
    }


def network_view(network: NetworkResult) -> str:
    """The layers as HTML: a table with the totals, bars of the energy by level."""
    totals = network.totals
    rows = [
        (layer.name, *_words(layer.result), layer.same_as or (proof_text(layer.best) if layer.best else layer.missing))
        for layer in network.layers
    ]
    rows.append((f"{totals.layers} of {totals.of} layers", *_words(totals), ""))
    energies = {
        layer.name: {
            level.name: float(cost.energy_pj)
            for level, cost in zip(layer.result.plan.arch.levels, layer.result.cost.levels, strict=True)
        }
        for layer in network.layers[:SHOWN]
        if layer.result is not None
    }
    left_out = f"<p>{markup(f'bars of the first {SHOWN} layers')}</p>" if len(network.layers) > SHOWN else ""
    return small_table(("layer", "energy", "cycles", "utilization", "proof"), rows) + stacked_bars(energies) + left_out


def _words(row: Any) -> tuple[str, str, str]:
    if row is None:
        return "", "", ""
    return wording.energy_text(row.energy_pj), wording.count_text(row.cycles), wording.percent_text(row.utilization)
