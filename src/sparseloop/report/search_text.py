"""Searches as text: their progress, their result, their front and their best mappings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparseloop.evaluation import humanize
from sparseloop.evaluation.result import Result
from sparseloop.input.resolve import mapping_lines
from sparseloop.mapper.network import LayerResult, NetworkProgress
from sparseloop.mapper.space.mapspace import Mapspace
from sparseloop.mapper.task import Best, Candidate, SearchTally

COUNTED = 4096
"""For more combinations of loops and bypasses than these it takes long to count the mappings of distinct traffic."""


# --- while it runs ------------------------------------------------------------------------------------------


def progress_line(tally: SearchTally) -> str:
    """'48.0 k of 200 k mappings, 36 % valid, best edp 1.04e+16 (lower bound 9.9e+15, gap 5 %), 96 k/s'."""
    budget = tally.task.budget.mappings
    of = f" of {humanize.count_text(budget)}" if budget else ""
    valid = humanize.percent_text(tally.valid / max(1, tally.evaluated))
    best = f", best {tally.goal.objective.name} {tally.top[0].values[0]:.4g}" if tally.top else ""
    if tally.top and tally.lower_bound:
        gap = humanize.percent_text(max(0.0, tally.top[0].values[0] / tally.lower_bound - 1))
        best += f" (lower bound {tally.lower_bound:.4g}, gap {gap})"
    rate = humanize.count_text(tally.evaluated / max(tally.seconds, 1e-9))
    return f"{humanize.count_text(tally.evaluated)}{of} mappings, {valid} valid{best}, {rate}/s"


def network_progress_line(progress: NetworkProgress) -> str:
    """'2 of 6 layers done; searching conv3: 48.0 k of 200 k mappings, ...'; of a single layer its search alone."""
    layers = f"{progress.done} of {progress.total} layers done; searching {', '.join(progress.searching)}"
    search = progress_line(progress.tally) if progress.tally else ""
    if progress.total == 1:
        return search or "searching ..."
    return ": ".join(part for part in (layers, search) if part)


# --- what came of it ----------------------------------------------------------------------------------------


def search_summary(best: Best) -> list[str]:
    """What was searched and what came of it, in two lines."""
    end = {
        "done": "search complete",
        "budget": "the budget is spent",
        "memory": "the memory limit is reached",
        "interrupted": "interrupted",
    }[best.stopped]
    searched = (
        f"mapspace {_sizes(best.task.space)}; {best.task.method}: "
        f"{best.evaluated} evaluated, {best.valid} valid, {best.seconds:.1f} s; {end}"
    )
    return [searched, *best_line(best)]


def best_line(best: Best) -> list[str]:
    """The values of the best mapping, and how far from the optimum they can be; nothing if there is none."""
    if not best.top:
        return []
    name, clock = best.task.goal.objective.name, best.task.space.design.arch.clock_hz
    names = name.split(",") if len(best.top[0].values) > 1 else [name]
    values = ", ".join(humanize.objective_text(one, value, clock) for one, value in zip(names, best.top[0].values, strict=True))
    bound = " (proven optimal)" if best.proven_optimal else " (not bounded)"
    if gap := gap_text(best):
        least = humanize.objective_text(names[0], best.lower_bound or 0.0, clock).partition(" (")[0]  # in the first unit only
        bound = f" (lower bound {least}, gap {gap})"
    return [f"best {name}: {values}{bound}"]


def given_is_better(best: Best, given: Result) -> str:
    """A sentence where the mapping that came with the files, which no search looks at, costs less than the best one found."""
    goal = best.task.goal.objective
    value = float(goal.scalars({name: np.array([getattr(given, name)]) for name in goal.needs})[0])
    if not given.valid or (best.value is not None and best.value <= value):
        return ""
    text = humanize.objective_text(goal.name.partition(",")[0], value, given.design.arch.clock_hz)
    return f"the mapping in the files is better than what was found: {text}; a larger --budget may find one as good"


def gap_text(best: Best) -> str:
    """By how much the best known may exceed the optimum, in percent of the lower bound; nothing if that is not known."""
    return "" if best.gap is None or best.proven_optimal else humanize.percent_text(best.gap)


def search_figures(best: Best) -> dict[str, Any]:
    """How good the mapping is and what was done to find it, for JSON; null: no bound is known."""
    return {
        "minimize": best.task.goal.objective.name,
        "method": best.task.method,
        "value": best.value,
        "proven": best.proven_optimal,
        "lower_bound": best.lower_bound,
        "gap": best.gap,
        "evaluated": best.evaluated,
        "stopped": best.stopped,
    }


def layer_lines(layer: LayerResult, *, several: bool) -> list[str]:
    """What is to be said about a layer; its name in front if there are several."""
    lines = [f"warning: {layer.damaged}: searched again"] if layer.damaged else []
    if layer.best is None:
        lines.append(layer.missing)
    elif layer.same_as:
        lines.append(f"same as {layer.same_as}")
    else:
        lines += [f"taken from {layer.taken_from}", *best_line(layer.best)] if layer.taken_from else search_summary(layer.best)
        lines += layer.why
        lines += [f"warning: not kept: {layer.unsaved}"] if layer.unsaved else []
    return [f"{layer.name}: {line}" for line in lines] if several else lines


def _sizes(space: Mapspace) -> str:
    if space.bypass.count << len(space.ranks) > COUNTED:
        return size_text(space.size)
    return f"{size_text(space.size)} ({size_text(space.distinct_size)} with distinct traffic)"


def size_text(number: int) -> str:
    """A whole number of any size: 123456, 1.23e+12, 10^400."""
    return str(number) if number < 10**6 else f"{number:.3g}" if number < 10**300 else f"10^{len(str(number)) - 1}"


# --- front and top ------------------------------------------------------------------------------------------


def front_texts(best: Best) -> list[str]:
    """The Pareto front with its picture, and the best mappings, where the goal asks for them."""
    goal, texts = best.task.goal, list[str]()
    if goal.pareto and best.front:
        names = [one.name for one in goal.pareto]
        texts.append(candidate_table(best, best.front, names))
        if len(best.front) > 1:
            texts.append(scatter_plot([candidate.values for candidate in best.front], names))
        else:
            texts.append(f"one mapping is the best in {' and '.join(names)}")
    if goal.top > 1 and best.top:
        texts.append(candidate_table(best, best.top, goal.objective.name.split(",")))
    return texts


def candidate_table(best: Best, candidates: Sequence[Candidate], names: Sequence[str]) -> str:
    """A row per mapping: its values under `names`, and its loops."""
    lines = ["  ".join(f"{name:>12}" for name in names) + "  mapping"]
    for candidate in candidates:
        entries = [entry for line in mapping_lines(candidate.mapping, best.task.space.spec) for entry in line.items()]
        loops = " / ".join(f"{level}: {text}" for level, text in entries)
        lines.append("  ".join(f"{value:>12.6g}" for value in candidate.values) + f"  {loops}")
    return "\n".join(lines)


def scatter_plot(points: Sequence[tuple[float, ...]], names: Sequence[str], *, width: int = 60, height: int = 16) -> str:
    """The first two values of every point on a grid of characters with logarithmic axes."""
    xs, ys = ([math.log(max(point[i], 1e-300)) for point in points] for i in (0, 1))
    grid = [[" "] * width for _ in range(height)]
    for x, y in zip(xs, ys, strict=True):
        column = round((x - min(xs)) / (max(xs) - min(xs) or 1) * (width - 1))
        row = round((y - min(ys)) / (max(ys) - min(ys) or 1) * (height - 1))
        grid[height - 1 - row][column] = "*"
    body = [f"  |{''.join(line).rstrip()}" for line in grid]
    left, right = (f"{end(point[0] for point in points):.3g}" for end in (min, max))
    bottom, top = (f"{end(point[1] for point in points):.3g}" for end in (min, max))
    axis = f"   {left}{names[0].center(max(1, width - len(left) - len(right)))}{right}"
    return "\n".join([f"  {names[1]} (log) up to {top}", *body, f"  +{'-' * width}  {bottom}", axis + " (log)"])
