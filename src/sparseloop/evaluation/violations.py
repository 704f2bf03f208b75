"""Why one mapping is not valid: a sentence for every requirement that it does not respect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparseloop.model.cost.cost import Cost
from sparseloop.model.cost.requirements import Demand, Kind, Requirement
from sparseloop.model.plan import Link
from sparseloop.model.status import Status

ORDER = (Status.BAD_FACTORS, Status.OVER_FANOUT, Status.OVER_CAPACITY, Status.UNDER_UTILIZED, Status.NO_SUCH_PATH)
"""The flags in the order of the sentences."""


def reasons(cost: Cost, *, at: int | None = None) -> tuple[str, ...]:
    """One clear sentence per violated requirement of a single mapping, of a batch of that at a place; none if it is valid."""
    every = cost.requirements if at is None else [one.at(at) for one in cost.requirements if np.any(one.violated)]
    violated = [one for one in every if bool(one.violated)]
    return tuple(sentence(cost, one) for flag in ORDER for one in violated if one.flag == flag)


def sentence(cost: Cost, violated: Requirement) -> str:
    """What is needed, and what there is, of a requirement that a mapping does not respect."""
    return _SENTENCES[violated.kind](cost, violated)


def number(value: float) -> str:
    """A count with thousands apart: 12 800, 0.25."""
    value = float(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", " ")
    return f"{value:,.1f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.4g}"


# --- factors and fanout -------------------------------------------------------------------------------------


def _factors(cost: Cost, violated: Requirement) -> str:
    rank, bounds = violated.subject, cost.dense.tiles.bounds
    factors = " × ".join(number(bounds[i]) for i, loop in enumerate(cost.plan.loops) if loop.rank == rank) or "1"
    return f"factors of rank {rank} multiply to {number(violated.needed)} ({factors}), but {rank} is {number(violated.available)}"


def _fanout(cost: Cost, violated: Requirement) -> str:
    plan, level, axis = cost.plan, _level(violated), violated.subject
    ranks = ", ".join(f"{plan.loops[i].rank}={int(cost.dense.tiles.bounds[i])}" for i in plan.along(level, axis))
    names = [spec.name for spec in plan.arch.levels[level : level + 2]]
    return (
        f"the loops along {axis} below {names[0]} ({ranks}) use {number(violated.needed)} instances of "
        f"{names[1]}, but there are {number(violated.available)}"
    )


def _parallelism(cost: Cost, violated: Requirement) -> str:
    return f"{float(violated.available):.1%} of the compute instances are used, but at least {float(violated.needed):.1%} must be"


# --- capacity -----------------------------------------------------------------------------------------------


def _level(violated: Requirement) -> int:
    assert violated.level is not None
    return violated.level


def _rule(rule: str | float) -> str:
    named = {"worst": "in the worst case", "expected": "on average"}
    return named[rule] if isinstance(rule, str) else f"in {rule:.4g} of the cases"


def _parts(demands: tuple[Demand, ...]) -> str:
    return " + ".join(f"{one.tensor} {number(one.amount)}" for one in demands if float(one.amount))


def _room(what: str) -> Callable[[Cost, Requirement], str]:
    def told(cost: Cost, violated: Requirement) -> str:
        spec = cost.plan.arch.levels[_level(violated)]
        return (
            f"{spec.name} must hold {number(violated.needed)} {what} {_rule(spec.capacity_rule)} ({_parts(violated.demands)}), "
            f"but one instance has room for {number(violated.available)}"
        )

    return told


def _utilization(cost: Cost, violated: Requirement) -> str:
    spec, held = cost.plan.arch.levels[_level(violated)], float(violated.available)
    assert spec.capacity_words is not None
    return (
        f"{spec.name} holds {number(held)} words ({_parts(violated.demands)}), {held / spec.capacity_words:.1%} of its capacity, "
        f"but at least {spec.min_utilization:.1%} must be used"
    )


# --- formats ------------------------------------------------------------------------------------------------


def _link(cost: Cost, violated: Requirement) -> Link:
    return cost.plan.link_of[_level(violated), cost.plan.einsum.index[violated.subject]]


def _conversion(cost: Cost, violated: Requirement) -> str:
    link, levels = _link(cost, violated), cost.plan.arch.levels
    child = levels[link.child]
    abilities = {"decompress": child.decompression, "compress": child.compression or not link.output}
    missing = " and ".join(verb for verb, able in abilities.items() if not able)
    return f"{link.name} is compressed in {levels[link.parent].name} but not in {child.name}, which cannot {missing} it"


def _format(cost: Cost, violated: Requirement) -> str:
    """Either the formats of parent and child differ where they describe the same loops, or loops are left over."""
    plan, link = cost.plan, _link(cost, violated)
    outer, inner = link.parent_format, link.child_format
    assert outer is not None
    levels, bounds = plan.arch.levels, cost.dense.tiles.bounds
    mine = [rank.kind for rank in outer.ranks]
    theirs = [rank.kind for rank in inner.ranks] if inner else []
    head = f"the format of {link.name} in {levels[link.parent].name} ({' '.join(mine)})"
    if theirs and (mine[:1] * len(theirs) + mine)[-len(theirs) :] != theirs:
        return f"{head} does not end like the one in {levels[link.child].name} ({' '.join(theirs)})"

    def met(slots: range) -> list[int]:
        return [s for s in slots if s in link.relevant and int(bounds[s]) > 1]

    within = met(range(plan.starts[link.child], len(plan.loops)))
    if inner and inner.automatic and len(within) > len(theirs) and not any(rank.groups for rank in inner.ranks):
        repeated = theirs[:1] * (len(within) - len(theirs)) + theirs
        if (mine[:1] * len(repeated) + mine)[-len(repeated) :] != repeated:
            loops = " ".join(f"{plan.loops[s].rank}={int(bounds[s])}" for s in within)
            return (
                f"{head} does not end like the one in {levels[link.child].name}: {' '.join(theirs)}, its outermost rank "
                f"repeated, is {' '.join(repeated)} for the loops {loops}"
            )
    left = met(range(plan.starts[link.parent], plan.starts[link.child]))
    loops = ", ".join(f"{plan.loops[s].rank}={int(bounds[s])} at {levels[plan.loops[s].level].name}" for s in left)
    rest = f" besides the tile in {levels[link.child].name}" if not link.to_compute else ""
    return f"{head} has too few ranks for the loops {loops or 'of the mapping'}{rest}"


_SENTENCES: dict[Kind, Callable[[Cost, Requirement], str]] = {
    "factors": _factors,
    "fanout": _fanout,
    "capacity": _room("words"),
    "metadata": _room("bits of metadata"),
    "utilization": _utilization,
    "parallelism": _parallelism,
    "format": _format,
    "conversion": _conversion,
}
