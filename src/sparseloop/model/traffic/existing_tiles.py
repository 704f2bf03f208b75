"""How many tiles of a kind exist under imperfect factors, and how large they are on average."""

from __future__ import annotations

from collections.abc import Mapping

from sparseloop.model import ops
from sparseloop.model.traffic.tiles import Cover, Tiles
from sparseloop.model.units import Count, Words


def existing(tiles: Tiles, counts: Mapping[int, Count]) -> Count:
    """Index tuples of some loops that exist. `counts`: by slot its bound, or 1 where the loop is none of those."""
    if tiles.residuals is None:
        return ops.product(counts.values())
    result: Count = 1
    for slots in tiles.plan.of_rank.values():
        if any(slot in counts for slot in slots):
            loops = ((tiles.bounds[s], tiles.residuals[s], counts.get(s, 1)) for s in reversed(slots))
            result = result * ops.lattice("existing", [x for loop in loops for x in loop])
    return result


def mean_size(tiles: Tiles, tensor: int, cover: Cover) -> Words:
    """Mean number of words of the tiles under a cover, the smaller ones at the end of a rank counted as what they are.

    Along axes whose index is a sum of ranks, and of padded tensors, all tiles count as whole ones. A part of a loop (a block of
    words) is as much smaller on average as the whole loop.
    """
    plan = tiles.plan
    size = tiles.size(tensor, cover)
    if tiles.residuals is None or plan.padded[tensor]:
        return size
    outside = _loops_outside(tiles, tensor, cover)
    for rank in (group.terms[0].rank for group in plan.groups[tensor] if len(group.terms) == 1):
        slots = plan.of_rank.get(rank, ())
        whole = ops.product(ops.where(tiles.count(cover[s], s) > 1, tiles.bounds[s], 1) for s in slots)
        size = size * plan.einsum.extents[rank] / (whole * existing(tiles, {s: outside[s] for s in slots}))
    return size


def mean_length(tiles: Tiles, longest: Count, fiber: tuple[int, Cover], position: Cover) -> Count:
    """Mean length of the fibers of a rank, of which whole ones are the longest: those at the end of a rank are what they are.

    `fiber`: the tensor with the tile of a whole fiber; `position`: the tile of one position of it.
    """
    tensor, whole = fiber
    if tiles.residuals is None:
        return longest
    of_positions, of_fibers = (_loops_outside(tiles, tensor, cover) for cover in (position, whole))
    existing_share = existing(tiles, of_positions) / ops.product(of_positions.values())
    return longest * existing_share * ops.product(of_fibers.values()) / existing(tiles, of_fibers)


def _loops_outside(tiles: Tiles, tensor: int, cover: Cover) -> dict[int, Count]:
    """Of the tensor's loops the iterations that tell the tiles under a cover apart."""
    return {s: ops.where(tiles.count(cover[s], s) > 1, 1, tiles.bounds[s]) for s in tiles.plan.relevant[tensor]}
