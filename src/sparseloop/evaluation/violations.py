"""Why one mapping is not valid: for every status flag which level, which tensor, what is needed and what there is."""

from __future__ import annotations

from collections.abc import Iterator

from sparseloop.model.cost.cost import Cost, path_exists
from sparseloop.model.formats.metadata import RankTraffic
from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.model.status import Status

SLACK = 1 + 1e-12


def reasons(plan: Plan, cost: Cost) -> tuple[str, ...]:
    """One clear sentence per violated limit; none if the mapping is valid."""
    status = Status(int(cost.status))
    found: list[str] = []
    for flag, explain in (
        (Status.BAD_FACTORS, _factors),
        (Status.OVER_FANOUT, _fanout),
        (Status.OVER_CAPACITY, _capacity),
        (Status.UNDER_UTILIZED, _utilization),
        (Status.NO_SUCH_PATH, _paths),
    ):
        if flag in status:
            found += list(explain(plan, cost)) or [_UNKNOWN[flag]]
    return tuple(found)


_UNKNOWN = {
    Status.BAD_FACTORS: "the factors of some rank do not multiply to its size",
    Status.OVER_FANOUT: "more instances are used than there are",
    Status.OVER_CAPACITY: "a level holds more than its capacity",
    Status.UNDER_UTILIZED: "a level is used less than its minimum utilization",
    Status.NO_SUCH_PATH: "a format does not fit the loops, or a level would have to (de)compress and cannot",
}


def number(value: float) -> str:
    """A count with thousands apart: 12 800, 0.25."""
    value = float(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", " ")
    return f"{value:,.1f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.4g}"


# --- factors and fanout -------------------------------------------------------------------------------------


def _bounds(cost: Cost, slots: list[int]) -> str:
    return " × ".join(number(cost.dense.tiles.bounds[i]) for i in slots) or "1"


def _product(cost: Cost, slots: list[int]) -> int:
    return int(cost.dense.tiles.product(slots))


def _factors(plan: Plan, cost: Cost) -> Iterator[str]:
    for rank, size in zip(plan.einsum.ranks, plan.einsum.shape, strict=True):
        slots = [i for i, loop in enumerate(plan.loops) if loop.rank == rank]
        if (covered := _product(cost, slots)) != size:
            yield f"factors of rank {rank} multiply to {number(covered)} ({_bounds(cost, slots)}), but {rank} is {number(size)}"


def _fanout(plan: Plan, cost: Cost) -> Iterator[str]:
    levels = plan.arch.levels
    for level in range(plan.compute):
        if any(s.kind == "spatial_skip" and s.level == level for s in plan.sparse.safs):
            continue
        for axis, limit in zip("xy", plan.arch.fanout(level), strict=True):
            slots = [i for i, loop in enumerate(plan.loops) if loop.level == level and loop.axis == axis]
            if slots and (used := _product(cost, slots)) > limit:
                ranks = ", ".join(f"{plan.loops[i].rank}={int(cost.dense.tiles.bounds[i])}" for i in slots)
                yield (
                    f"the loops along {axis} below {levels[level].name} ({ranks}) use {number(used)} instances of "
                    f"{levels[level + 1].name}, but there are {number(limit)}"
                )


# --- capacity -----------------------------------------------------------------------------------------------


def below(cost: Cost, level: int) -> list[LinkSparse]:
    """What a level keeps, tensor by tensor."""
    return [k for k in cost.sparse.links if k.dense.link.parent == level]


def _rule(rule: str | float) -> str:
    named = {"worst": "in the worst case", "expected": "on average"}
    return named[rule] if isinstance(rule, str) else f"in {rule:.4g} of the cases"


def _parts(parts: dict[str, float]) -> str:
    return " + ".join(f"{name} {number(words)}" for name, words in parts.items() if words)


def _capacity(plan: Plan, cost: Cost) -> Iterator[str]:
    for level, spec in enumerate(plan.arch.storage):
        kept = below(cost, level)
        rule = _rule(spec.capacity_rule)
        words = {k.dense.link.name: float(k.resident.counted) * k.resident.width for k in kept}
        if spec.capacity_words is not None and (needed := sum(words.values())) > spec.capacity_words * SLACK:
            yield (
                f"{spec.name} must hold {number(needed)} words {rule} ({_parts(words)}), "
                f"but one instance has room for {number(spec.capacity_words)}"
            )
        bits = {k.dense.link.name: float(k.resident.metadata_bits_counted) for k in kept}
        room = spec.metadata_capacity_bits
        if room is not None and (needed := sum(bits.values())) > room * SLACK:
            yield (
                f"{spec.name} must hold {number(needed)} bits of metadata {rule} ({_parts(bits)}), "
                f"but one instance has room for {number(room)}"
            )


def _utilization(plan: Plan, cost: Cost) -> Iterator[str]:
    for level, spec in enumerate(plan.arch.storage):
        kept = below(cost, level)
        if not spec.min_utilization or spec.capacity_words is None or not kept:
            continue
        words = {k.dense.link.name: float(k.resident.counted) * k.resident.width for k in kept}
        needed, held = spec.capacity_words * spec.min_utilization, sum(words.values())
        if held < needed:
            yield (
                f"{spec.name} holds {number(held)} words ({_parts(words)}), {held / spec.capacity_words:.1%} of its capacity, "
                f"but at least {spec.min_utilization:.1%} must be used"
            )


# --- formats ------------------------------------------------------------------------------------------------


def _paths(plan: Plan, cost: Cost) -> Iterator[str]:
    for k in cost.sparse.links:
        link = k.dense.link
        if bool(k.misfit):
            yield _unlaid(plan, cost, link)
        if not path_exists(plan, k):
            can = plan.arch.levels[link.child]
            abilities = {"decompress": can.decompression, "compress": can.compression or not link.output}
            missing = " and ".join(verb for verb, able in abilities.items() if not able)
            parent = plan.arch.levels[link.parent].name
            yield f"{link.name} is compressed in {parent} but not in {can.name}, which cannot {missing} it"


def _unlaid(plan: Plan, cost: Cost, link: Link) -> str:
    """Either the formats of parent and child differ where they describe the same loops, or loops are left over."""
    given, inner = link.parent_format, link.child_format
    assert given is not None
    levels, bounds = plan.arch.levels, cost.dense.tiles.bounds
    mine = [rank.kind for rank in given.ranks]
    theirs = [rank.kind for rank in inner.ranks] if inner else []
    head = f"the format of {link.name} in {levels[link.parent].name} ({' '.join(mine)})"
    if theirs and (mine[:1] * len(theirs) + mine)[-len(theirs) :] != theirs:
        return f"{head} does not end like the one in {levels[link.child].name} ({' '.join(theirs)})"
    slots = range(plan.starts[link.parent], plan.starts[link.child])
    met = [s for s in slots if s in link.relevant and int(bounds[s]) > 1]
    loops = ", ".join(f"{plan.loops[s].rank}={int(bounds[s])} at {levels[plan.loops[s].level].name}" for s in met)
    rest = f" besides the tile in {levels[link.child].name}" if not link.to_compute else ""
    return f"{head} has too few ranks for the loops {loops or 'of the mapping'}{rest}"


def lost_metadata(plan: Plan, cost: Cost) -> Iterator[str]:
    """Compressed tensors that carry no coordinates because the loops went to ranks above the compressed ones."""
    for level, spec in enumerate(plan.arch.storage):
        for k in below(cost, level):
            words = float(k.resident.footprint)
            bare = k.dense.link.compressed and words > 1 and float(k.reads.total + k.updates.total) > 0
            if bare and not any(_has_entries(rank) for rank in k.ranks):
                yield (
                    f"{spec.name}: the compressed ranks of {k.dense.link.name} take no loop of this mapping, so its "
                    f"{number(words)} words carry no metadata; name the rank's loops, e.g. B(*)"
                )


def _has_entries(rank: RankTraffic) -> bool:
    return any(float(classes.total) > 0 for part in (rank.entries, rank.payloads) for classes in part.values())
