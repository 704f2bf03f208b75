"""Exact dense counts of tensors with padding: which true words cross a link, step by step.

The words of a tile are a product over the groups of its axes, and no loop moves two of them. So is the sum over all places where
a loop advances: of each group the words that lie in the tensor, summed over the places of its own loops.
"""

from __future__ import annotations

from collections.abc import Mapping

from sparseloop.model import borders, ops
from sparseloop.model.plan import Link
from sparseloop.model.traffic.imperfect import FirstTouches, LinkDeliveries
from sparseloop.model.traffic.stays import child_tile
from sparseloop.model.traffic.tiles import Cover, Tiles, at_border, places_met
from sparseloop.model.units import Count, Words

WORDS, KEPT = "words inside the borders", "words kept inside the borders"
Stand = Mapping[int, int]
"""Slot of a loop outside the tile to what it does there (`model.borders`)."""


def padded_counts(tiles: Tiles, link: Link) -> LinkDeliveries:
    """True words delivered to all children, accesses of all parents, and the first touches in both."""
    delivered, accesses = _crossing(tiles, link, apart=True), _crossing(tiles, link, apart=False)
    if not link.output:
        return LinkDeliveries(delivered, accesses, FirstTouches(0.0, 0.0))
    fills = delivered if link.to_compute else _ever(tiles, link, link.child)
    return LinkDeliveries(delivered, accesses, FirstTouches(_ever(tiles, link, link.parent), fills))


def _crossing(tiles: Tiles, link: Link, *, apart: bool) -> Words:
    """Words delivered to all children; unless `apart`, those for children that receive the same words count once."""
    stand = dict.fromkeys(tiles.plan.spatial(link.child), borders.ALL)
    if not apart:
        stand |= {slot: borders.SHARED for slot in link.between if slot not in link.unshared}
    cover = child_tile(tiles, link)
    if link.to_compute or link.no_reuse:
        return _words(tiles, link, WORDS, cover, stand | dict.fromkeys(link.temporal, borders.ALL))
    total = _words(tiles, link, WORDS, cover, stand | dict.fromkeys(link.temporal, borders.FIRST))
    for position, slot in enumerate(link.temporal):
        inside = dict.fromkeys(link.temporal[:position], borders.WRAPS)
        outside = dict.fromkeys(link.temporal[position + 1 :], borders.ALL)
        moved = {**stand, **inside, slot: borders.ADVANCES, **outside}
        total = total + _words(tiles, link, WORDS, cover, moved) - _words(tiles, link, KEPT, cover, moved)
    return total


def _ever(tiles: Tiles, link: Link, level: int) -> Words:
    """Words that an instance of a level ever touches, summed over the instances."""
    outside = tiles.plan.spatial(level)
    cover = tiles.covering([i for i in range(len(tiles.bounds)) if i not in outside])
    return _words(tiles, link, WORDS, cover, dict.fromkeys(outside, borders.ALL))


def _words(tiles: Tiles, link: Link, operation: str, cover: Cover, stand: Stand) -> Words:
    """True words, or those of them that a movement kept, summed over all places of the tile."""
    groups = range(len(tiles.plan.groups[link.tensor]))
    alone = ops.product(_iterations(tiles, slot, place) for slot, place in stand.items() if slot not in link.relevant)
    return alone * ops.product(_of_group(tiles, link.tensor, group, operation, cover, stand) for group in groups)


def _iterations(tiles: Tiles, slot: int, place: int) -> Count:
    """How often a loop that moves nothing brings the movement about."""
    if place == borders.ALL:
        return tiles.bounds[slot]
    return tiles.bounds[slot] - 1 if place == borders.ADVANCES else 1


def _of_group(tiles: Tiles, tensor: int, group: int, operation: str, cover: Cover, stand: Stand) -> Words:
    """The same along one group of axes."""
    mine = {slot: stand[slot] for slot, _ in tiles.plan.moves[tensor][group] if slot in stand}
    key = ("padding", tensor, group, operation, tiles.restrict(cover, tensor), tuple(sorted(mine.items())))
    return tiles.once(key, lambda: _of_loops(tiles, tensor, group, operation, cover, mine))


def _of_loops(tiles: Tiles, tensor: int, group: int, operation: str, cover: Cover, stand: Stand) -> Words:
    if tiles.plan.borders[tensor][group] is not None:
        return at_border(tiles, operation, tensor, group, cover, stand)
    number = ops.product(_iterations(tiles, slot, place) for slot, place in stand.items() if place != borders.SHARED)
    shared = {slot for slot, place in stand.items() if place == borders.SHARED}
    number = number * places_met(tiles, tensor, group, tiles.covering(shared))
    if operation == WORDS:
        return number * places_met(tiles, tensor, group, cover)
    steps = {slot: tiles.step(tensor, group, slot) for slot in stand}
    shift = ops.total(step for slot, step in steps.items() if stand[slot] == borders.ADVANCES)
    back = ops.total((tiles.bounds[s] - 1) * step for s, step in steps.items() if stand[s] == borders.WRAPS)
    return number * tiles.overlap(tensor, group, cover, shift - back)
