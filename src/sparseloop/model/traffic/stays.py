"""How long a tile stays at the child of a link: the covers and counts that follow from its temporal loops.

From the inside out, the first temporal loop that indexes the tensor and has more than one iteration moves the tile (the innermost
moving loop). Inside it the tile stays; it and every loop outside bring a tile. Which loop that is depends on the bounds, so there
are flags instead of a position.
"""

from __future__ import annotations

from sparseloop.model import ops
from sparseloop.model.plan import Link
from sparseloop.model.traffic.tiles import Cover, Tiles, join
from sparseloop.model.units import Count, Flag


def child_tile(tiles: Tiles, link: Link) -> Cover:
    """The tile at the child of a link: one element at the compute level."""
    return tiles.point if link.to_compute else tiles.inside(link.child)


def stationary(tiles: Tiles, link: Link) -> Cover:
    """The temporal loops over which the tile stays at the child: those inside the innermost moving loop."""
    if link.to_compute or link.no_reuse:
        return tiles.point
    return tiles.once(("stationary", link.index), lambda: _stationary(tiles, link))


def _stationary(tiles: Tiles, link: Link) -> Cover:
    counts: dict[int, Count] = {}
    full: set[int] = set()
    moved: Flag = False
    for slot in link.temporal:
        if slot in link.relevant:
            moved = ops.either(moved, tiles.bounds[slot] > 1)
        elif moved is False:
            full.add(slot)
        else:
            counts[slot] = ops.one_unless(ops.negate(moved), tiles.bounds[slot])
    return join(tiles.covering(full), tiles.partial_cover(f"stationary{link.index}", counts))


def visits(tiles: Tiles, link: Link) -> Count:
    """V: deliveries to one child = product of the temporal bounds from the innermost moving loop outwards."""
    if link.to_compute or link.no_reuse:
        return tiles.product(link.temporal)
    return ops.product(visit_counts(tiles, link).values())


def visit_counts(tiles: Tiles, link: Link) -> dict[int, Count]:
    """The temporal loops that bring a tile, with their bounds; 1 for those inside the innermost moving one."""
    if link.to_compute or link.no_reuse:
        return {slot: tiles.bounds[slot] for slot in link.temporal}
    counts: dict[int, Count] = {}
    moved: Flag = False
    for slot in link.temporal:
        if slot in link.relevant:
            moved = ops.either(moved, tiles.bounds[slot] > 1)
        if moved is not False:
            counts[slot] = ops.one_unless(moved, tiles.bounds[slot])
    return counts


def repeats(tiles: Tiles, link: Link, of_parent: bool) -> Cover:
    """The irrelevant loops among those of `visits`: all at index 0 when a word is touched for the first time.

    At the parent also the lanes that are served one by one: only one of them is the first.
    """
    return tiles.once(("repeats", link.index, of_parent), lambda: _repeats(tiles, link, of_parent))


def _repeats(tiles: Tiles, link: Link, of_parent: bool) -> Cover:
    counts: dict[int, Count] = {}
    if of_parent:
        counts = {s: tiles.bounds[s] for s in link.unshared if s not in link.relevant}
    moved: Flag = link.to_compute or link.no_reuse
    for slot in link.temporal:
        if slot in link.relevant:
            moved = ops.either(moved, tiles.bounds[slot] > 1)
        else:
            counts[slot] = ops.one_unless(moved, tiles.bounds[slot])
    return tiles.partial_cover(f"repeats{link.index}:{of_parent}", counts)
