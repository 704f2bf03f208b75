"""What the constraints leave free: slots and groups of every rank, orders of every level, levels every tensor may bypass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from sparseloop.input.spec import ConstraintSpec, LevelSpec, Spec
from sparseloop.mapper.space.factorizations import Factorizations, SlotGroup, padded_sizes
from sparseloop.mapper.space.loop_orders import LevelOrder, level_order
from sparseloop.model.design import Design
from sparseloop.model.design.mapping import Loop

NOTHING = ConstraintSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The constraints of one storage level: of its temporal loops, and of the fanout below it."""

    level: ConstraintSpec = NOTHING
    fanout: ConstraintSpec = NOTHING


def rules_of(spec: Spec) -> tuple[Rules, ...]:
    """Per storage level, outermost first."""
    rules = list[Rules]()
    entries = spec.architecture.levels
    for i, entry in enumerate(entries):
        if not isinstance(entry, LevelSpec):
            continue
        below = list[str]()
        for after in entries[i + 1 :]:
            if isinstance(after, LevelSpec):
                break
            below.append(after.name)
        fanout = next((spec.constraints[name] for name in below if name in spec.constraints), NOTHING)
        rules.append(Rules(level=spec.constraints.get(entry.name, NOTHING), fanout=fanout))
    return tuple(rules[:-1])


# --- factors ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSpace:
    """One rank: its loops (outermost first) and the factorizations of its size over them."""

    rank: str
    size: int
    loops: tuple[Loop, ...]
    factors: Factorizations


def rank_spaces(design: Design, rules: tuple[Rules, ...], *, padded: bool) -> tuple[RankSpace, ...]:
    """Every rank larger than 1, or constrained; a rank of size 1 has no loops."""
    return tuple(
        _rank_space(rank, size, design, rules, padded)
        for rank, size in zip(design.einsum.ranks, design.einsum.shape, strict=True)
        if size > 1
    )


def _rank_space(rank: str, size: int, design: Design, rules: tuple[Rules, ...], padded: bool) -> RankSpace:
    loops, groups, lanes = list[Loop](), list[SlotGroup](), list[int]()
    for level, rule in enumerate(rules):
        places: list[tuple[list[Loop], SlotGroup]] = [([Loop(rank=rank, level=level)], _group(level, rule.level, rank, None))]
        axes = _axes(rank, design.arch.fanout(level), rule.fanout, design.einsum.ranks)
        if axes:
            spatial = [Loop(rank=rank, level=level, axis="y" if axis == "y" else "x") for axis in axes]
            limits: tuple[int | None, ...] = tuple(axes.values())
            lanes += [*axes.values(), *([math.prod(axes.values())] if len(axes) > 1 else [])]
            if design.sparse.packs(level):
                limits = (None,) * len(limits)  # positions are packed: there may be more of them than lanes
            places.append((spatial, _group(level, rule.fanout, rank, limits)))
        for slots, group in places:
            if group.fixed != 1 and group.high != 1:
                loops += slots
                groups.append(group)
    free = any(group.fixed is None for group in groups)
    sizes = padded_sizes(size, tuple(lanes)) if padded and free else (size,)
    return RankSpace(rank=rank, size=size, loops=tuple(loops), factors=Factorizations(sizes=sizes, groups=tuple(groups)))


def _group(level: int, rule: ConstraintSpec, rank: str, limits: tuple[int | None, ...] | None) -> SlotGroup:
    """The temporal slot of a level (no limits), or the slots of its fanout."""
    high = rule.max.get(rank, rule.default_max)
    low = rule.min.get(rank, 1)
    return SlotGroup(
        level=level, temporal=limits is None, limits=limits or (None,), fixed=rule.factors.get(rank), low=low, high=high
    )


def _axes(rank: str, fanout: tuple[int, int], rule: ConstraintSpec, ranks: tuple[str, ...]) -> dict[str, int]:
    """Axes along which a rank may be spread, y outside x, with their instances.

    A split says how many of the innermost ranks lie along x; ranks whose place the order leaves open may lie along both.
    """
    axes = {axis: limit for axis, limit in (("y", fanout[1]), ("x", fanout[0])) if limit > 1}
    if rule.split is None:
        return axes
    named = [word for word in (rule.order or "").replace("...", " ").replace(",", " ").split() if word != "*"]
    every = (*ranks, *(word for word in named if word not in ranks))  # ranks that the einsum lacks keep their place
    order = level_order(rule.order, every)
    inner_first = [*reversed(order.inner), *order.free, *reversed(order.outer)]
    fixed = rank not in order.free or rule.split <= len(order.inner) or rule.split >= len(every) - len(order.outer)
    if not fixed:
        return axes
    wanted = "x" if inner_first.index(rank) < rule.split else "y"
    return {axis: limit for axis, limit in axes.items() if axis == wanted}


def spatial_ranks(design: Design, rule: Rules) -> tuple[str, ...]:
    """The order in which spatial loops of one axis stand, outermost first: as constrained, else as in the einsum."""
    order = level_order(rule.fanout.order, design.einsum.ranks)
    return order.ranks


# --- orders and bypass --------------------------------------------------------------------------------------


def level_orders(ranks: tuple[RankSpace, ...], rules: tuple[Rules, ...]) -> tuple[LevelOrder, ...]:
    """Per storage level: orders of the temporal loops that may have a bound above 1."""
    orders: list[LevelOrder] = []
    for level, rule in enumerate(rules):
        names = [space.rank for space in ranks if any(loop.level == level and not loop.spatial for loop in space.loops)]
        orders.append(level_order(rule.level.order, names))
    return tuple(orders)


Keep = tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """The tensors that each level keeps, and per level the order of its temporal loops (outermost first)."""

    orders: tuple[tuple[str, ...], ...]
    keep: Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Bypass:
    """Per tensor the sets of storage levels that may hold it."""

    options: Mapping[str, tuple[frozenset[int], ...]]
    levels: int

    @property
    def count(self) -> int:
        """Number of choices."""
        total = 1
        for choices in self.options.values():
            total *= len(choices)
        return total

    def every(self) -> Iterator[Keep]:
        """All choices: per level the tensors it keeps."""
        for chosen in product(*self.options.values()):
            yield self.keep(chosen)

    def keep(self, chosen: tuple[frozenset[int], ...]) -> Keep:
        """Per level the tensors it keeps, from the levels of every tensor."""
        pairs = list(zip(self.options, chosen, strict=True))
        return tuple(frozenset(name for name, levels in pairs if level in levels) for level in range(self.levels))

    def allows(self, keep: Keep) -> bool:
        """True if this choice is one of them."""
        levels_of = {name: frozenset(i for i, names in enumerate(keep) if name in names) for name in self.options}
        return len(keep) == self.levels and all(levels_of[name] in choices for name, choices in self.options.items())


def bypasses(design: Design, rules: tuple[Rules, ...]) -> Bypass:
    """The outermost level not told to bypass a tensor keeps it; further inside `keep` and `bypass` decide, else it is free."""
    options = dict[str, tuple[frozenset[int], ...]]()
    for tensor in design.einsum.tensors:
        choices: list[tuple[bool, ...]] = []
        for rule in rules:
            forced = [
                *([True] if tensor.name in (rule.level.keep or ()) else []),
                *([False] if tensor.name in (rule.level.bypass or ()) else []),
            ]
            first = not any(True in choice for choice in choices)
            choices.append(tuple(forced[:1]) or ((True,) if first else (True, False)))
        sets = product(*choices)
        options[tensor.name] = tuple(frozenset(i for i, kept in enumerate(kept_at) if kept) for kept_at in sets if any(kept_at))
    return Bypass(options=options, levels=len(rules))


def switches(rules: tuple[Rules, ...]) -> dict[str, frozenset[tuple[int, str]]]:
    """no_temporal_reuse, no_multicast, no_forwarding of every template."""
    names = ("no_temporal_reuse", "no_multicast", "no_forwarding")
    return {
        name: frozenset((i, t) for i, rule in enumerate(rules) for part in (rule.level, rule.fanout) for t in getattr(part, name))
        for name in names
    }
