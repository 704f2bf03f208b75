"""How many entries of a rank a level meets where windows slide, and an entry stays while its window keeps its first word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.plan import Link
from sparseloop.model.traffic.tiles import Cover, Tiles
from sparseloop.model.units import Coordinate, Count, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """How often the entries of an own rank are looked up."""

    count: Count
    first: Count
    """Those of them that are the first of an entry."""
    stay: Cover
    """What one lookup serves."""
    repeats: Cover
    """Irrelevant loops among those that advance: all at index 0 when an entry is looked up for the first time."""


@dataclass(frozen=True, slots=True)
class LookupCounts:
    """By slot the iterations that lookups of a rank are told apart by."""

    told: dict[int, Count]
    passed: dict[int, Count]
    """1 for loops inside the rank's."""
    again: dict[int, Count]
    """Of loops that are irrelevant to the tensor."""


class Keys(NamedTuple):
    """The first words of the entries in a tile."""

    name: str
    """Tells questions of one batch apart."""
    link: Link
    below: Cover
    """What lies under one entry."""
    holder: int
    """The level whose instance has them: loops of the tensor inside it, if they are spatial or the child's, tell them apart."""


@dataclass(frozen=True, slots=True)
class Met:
    """Entries, by one instance over the run."""

    visits: Words
    """An entry counts again if it was not there one step before."""
    distinct: Words


def entries_met(tiles: Tiles, keys: Keys, temporal: Sequence[int], counts: Mapping[int, Count]) -> Met:
    """The entries of a tile and those that each step adds, as `traffic.dense.delivered_words` has it of words.

    `temporal`: loops outside the holder's tile, innermost first; `counts`: of some loops the iterations at which something is
    met, instead of their bounds.
    """
    return tiles.once(("entries met", keys.name), lambda: _entries_met(tiles, keys, temporal, counts))


def _entries_met(tiles: Tiles, keys: Keys, temporal: Sequence[int], counts: Mapping[int, Count]) -> Met:
    link, plan = keys.link, tiles.plan
    tensor, groups = link.tensor, range(len(plan.moves[link.tensor]))

    def apart(slot: int) -> Count:
        return ops.where(tiles.count(keys.below[slot], slot) > 1, 1, tiles.bounds[slot])

    inside = {s for s in link.relevant if s >= plan.starts[keys.holder]}.difference(temporal)
    moving = {s for s in temporal if s in link.relevant}
    cover = tiles.partial_cover(f"keys {keys.name}", {s: apart(s) for s in sorted(inside)})
    every = tiles.partial_cover(f"all keys {keys.name}", {s: apart(s) for s in sorted(inside | moving)})
    size = tiles.size(tensor, cover)
    visits: Words = size
    wrapped: list[Coordinate] = [0] * len(groups)
    outer = [apart(slot) if slot in link.relevant else counts.get(slot, tiles.bounds[slot]) for slot in temporal]
    for position, slot in enumerate(temporal):
        steps = [tiles.step(tensor, group, slot) for group in groups]
        shifts = [step - w for step, w in zip(steps, wrapped, strict=True)]
        kept = ops.product(tiles.overlap(tensor, group, cover, shifts[group]) for group in groups)
        visits = visits + (outer[position] - 1) * ops.product(outer[position + 1 :]) * (size - kept)
        if slot in link.relevant:
            wrapped = [w + (outer[position] - 1) * s for w, s in zip(wrapped, steps, strict=True)]
    return Met(visits, tiles.size(tensor, every))
