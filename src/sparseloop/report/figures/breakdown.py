"""Energy by level and tensor, or by action, of one result or of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparseloop.report import borders
from sparseloop.report.figures import style

OTHER = "other"
"""What belongs to no tensor: computes, leakage."""
NETWORKS = "networks"
REST = "rest"
SMALLEST = 0.004
"""Share of the largest bar below which parts are put together."""
ENERGY_UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "uJ"), (1e3, "nJ"), (1.0, "pJ"))
"""pJ and the unit."""
SYMBOLS = {"uJ": "\N{GREEK SMALL LETTER MU}J"}


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked bars: per result its parts, in pJ."""

    names: tuple[str, ...]
    parts: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    """By result and part."""
    valid: tuple[bool, ...]

    @property
    def totals(self) -> tuple[float, ...]:
        """Heights of the bars."""
        return tuple(sum(row) for row in self.values)


def bars(results: Mapping[str, Mapping[str, Any]], by: str = "level") -> Bars:
    """The energy of results (as in the result file) by 'level', 'tensor' or 'action'; parts that no bar shows are joined."""
    split = {name: _split(result, by) for name, result in results.items()}
    parts = list(dict.fromkeys(part for found in split.values() for part in found))
    largest = max((sum(found.values()) for found in split.values()), default=0.0)
    shown = [part for part in parts if any(found.get(part, 0.0) > SMALLEST * largest for found in split.values())]
    rest = [part for part in parts if part not in shown]
    rows = [tuple(found.get(part, 0.0) for part in shown) for found in split.values()]
    if rest:
        rows = [(*row, sum(found.get(part, 0.0) for part in rest)) for row, found in zip(rows, split.values(), strict=True)]
        shown.append(REST if len(rest) > 1 else rest[0])
    valid = tuple(bool(result["status"]["valid"]) for result in results.values())
    return Bars(tuple(split), tuple(shown), tuple(rows), valid)


def _split(result: Mapping[str, Any], by: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for level in result["levels"]:
        for action in level["actions"]:
            names = {"level": level["name"], "tensor": action["tensor"] or OTHER, "action": action["action"].replace("_", " ")}
            found[names[by]] = found.get(names[by], 0.0) + action["energy_pj"]
    networks = sum(network["energy_pj"] or 0.0 for network in result["networks"])
    if networks:
        found[NETWORKS] = networks
    return found


def unit_of(largest: float) -> tuple[float, str]:
    """(pJ per unit, unit) for numbers up to this one."""
    return next(((scale, unit) for scale, unit in ENERGY_UNITS if largest >= scale), ENERGY_UNITS[-1])


def draw(data: Bars, *, relative: bool = False) -> Any:
    """The bars as a figure; `relative`: the first result is 1."""
    count = len(data.names)
    width = min(style.PAGE, max(style.COLUMN, 1.6 + 0.5 * count))
    fig, axes = style.figure(width, 2.5)
    scale, unit = unit_of(max(data.totals, default=0.0))
    if relative:
        scale = data.totals[0] or 1.0
    base = [0.0] * count
    for i, part in enumerate(data.parts):
        heights = [row[i] / scale for row in data.values]
        plain = part == REST
        shade, lines = ("#bbbbbb", "") if plain else (style.colour(i), style.hatch(i))
        look = {"color": shade, "hatch": lines, "edgecolor": "white", "linewidth": 0.4}
        axes.bar(range(count), heights, 0.62, bottom=base, label=borders.figure(part), **look)
        base = [low + high for low, high in zip(base, heights, strict=True)]
    for x, (top, total, valid) in enumerate(zip(base, data.totals, data.valid, strict=True)):
        text = f"{total / scale:.3g}" + ("" if valid else "\nnot valid")
        axes.annotate(text, (x, top), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=6.5)
    long = count > 1 and (count > 6 or max(map(len, data.names)) > 40 // count)
    axes.set_xticks(
        range(count), [borders.figure(name) for name in data.names], rotation=35 if long else 0, ha="right" if long else "center"
    )
    axes.set_xlim(-0.6, count - 0.4)
    axes.margins(y=0.12)
    axes.set_ylabel(f"energy relative to {borders.figure(data.names[0])}" if relative else f"energy ({SYMBOLS.get(unit, unit)})")
    axes.grid(axis="y")
    _legend(axes, len(data.parts))
    return fig


def _legend(axes: Any, parts: int) -> None:
    """Beside the bars, in the order in which they are stacked."""
    handles, labels = axes.get_legend_handles_labels()
    order: Sequence[int] = range(len(handles) - 1, -1, -1)
    style_ = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "handlelength": 1.2, "labelspacing": 0.3}
    axes.legend([handles[i] for i in order], [labels[i] for i in order], ncols=1 + (parts > 12), **style_)
