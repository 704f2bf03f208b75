"""Means over the places of tiles that reach over the borders of their tensor: there they have fewer words, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.plan import Link
from sparseloop.model.traffic.stays import child_tile
from sparseloop.model.traffic.tiles import FIXED, Cover, Tiles, places_met
from sparseloop.model.units import Array, Count, Share, Words


class Seen(NamedTuple):
    """Events of a padded tensor that are not alike at every place: true words of a tile, or of entries those above true words."""

    tensor: int
    cover: Cover
    words: bool
    """At every place as many as the tile has true words there; else one where it has any."""


def words_crossing(tiles: Tiles, link: Link) -> Seen | None:
    """The true words of the tiles that cross a link; None where nothing is padding."""
    if not tiles.plan.padded[link.tensor]:
        return None
    return Seen(link.tensor, tiles.restrict(child_tile(tiles, link), link.tensor), words=True)


class PlaceKind(NamedTuple):
    """Places along one group of axes at which every one of some tiles has so many true words."""

    share: Share
    words: tuple[Words, ...]


Value = Callable[[Sequence[Words]], Array]
"""A number from the true words of some tiles."""


def mean_over_places(tiles: Tiles, tensor: int, covers: Sequence[Cover], first: Cover | None, value: Value) -> Array:
    """The mean over all places of a number that depends on the true words of some tiles around a common point.

    `first`: loops that stand at index 0.
    """
    groups = [_kinds(tiles, tensor, group, tuple(covers), first) for group in range(len(tiles.plan.groups[tensor]))]
    parts: list[Array] = []
    for choice in product(*groups):
        words = [ops.product(kind.words[at] for kind in choice) for at in range(len(covers))]
        parts.append(ops.product(kind.share for kind in choice) * value(words))
    return ops.total(parts)


def mean_words(tiles: Tiles, tensor: int, cover: Cover) -> Words:
    """Mean number of true words under a cover."""
    cover = tiles.restrict(cover, tensor)
    if not tiles.plan.padded[tensor]:
        return tiles.size(tensor, cover)
    return tiles.once(("mean words", tensor, cover), lambda: mean_over_places(tiles, tensor, [cover], None, lambda n: n[0]))


def _kinds(tiles: Tiles, tensor: int, group: int, covers: tuple[Cover, ...], first: Cover | None) -> list[PlaceKind]:
    if tiles.plan.borders[tensor][group] is None:
        return [PlaceKind(1.0, tuple(places_met(tiles, tensor, group, cover) for cover in covers))]
    key = ("kinds of places", tensor, group, covers, first)
    return tiles.once(key, lambda: _kinds_at_border(tiles, tensor, group, covers, first))


def _kinds_at_border(tiles: Tiles, tensor: int, group: int, covers: Sequence[Cover], first: Cover | None) -> list[PlaceKind]:
    border = tiles.plan.borders[tensor][group]
    assert border is not None
    loops: list[Count] = []
    for slot, coefficient in tiles.plan.moves[tensor][group]:
        fixed = 0 if first is None or first[slot] == FIXED else ops.zero_unless(tiles.count(first[slot], slot) > 1, 1)
        loops += [coefficient * tiles.stride[slot], tiles.bounds[slot], fixed]
        loops += [tiles.count(cover[slot], slot) for cover in covers]
    numbers = [*border, len(covers), *loops]
    many = ops.lattice("kinds of places", numbers)
    tiles.peaks.append((many, ops.peak(many)))
    return [
        PlaceKind(
            ops.lattice("share of places", [kind, *numbers]),
            tuple(ops.lattice("words at places", [kind, at, *numbers]) for at in range(len(covers))),
        )
        for kind in range(ops.peak(many))
    ]
