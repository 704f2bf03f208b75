"""Dense traffic: how many words cross every link before any sparse feature acts."""

from __future__ import annotations

from dataclasses import dataclass

from sparseloop.model import ops
from sparseloop.model.plan import Link, Plan
from sparseloop.model.traffic.imperfect import FirstTouches, existing_steps, imperfect_counts, instances_used
from sparseloop.model.traffic.padding import padded_counts
from sparseloop.model.traffic.stays import child_tile, repeats, visits
from sparseloop.model.traffic.tiles import Tiles, words_met
from sparseloop.model.units import Coordinate, Count, Flag, LoopBounds, Share, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTraffic:
    """Dense counts of one link, in words, summed over all instances."""

    link: Link
    tile: Words
    """W: distinct words of the tile at the child (1 at the compute level)."""
    words_per_child: Words
    """Words delivered to one instance of the child over the run."""
    children: Count
    """I_c: instances used at the child."""
    sharing: Count
    """M: children (on average) served by one access of the parent."""
    reads: Words
    """Words read at the parent (outputs: partial sums)."""
    fills: Words
    """Words written into the child from the parent."""
    updates: Words
    """Words written into the parent by the child (outputs only)."""
    forwarded: Words
    """Words a child received from a neighbour instead of the parent (networks with forwarding)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Dense counts of a mapping."""

    tiles: Tiles
    links: tuple[LinkTraffic, ...]
    computes: Count
    steps: Count
    """Temporal steps of the compute level."""
    instances: tuple[Count, ...]
    """Instances used at each level, compute last."""
    perfect: bool
    """True if no factor is imperfect."""


def traffic(plan: Plan, bounds: LoopBounds, residuals: LoopBounds | None = None) -> Traffic:
    """Dense counts for loop bounds of shape (loops, *batch); `residuals` are last-pass bounds (None: perfect)."""
    tiles = Tiles(plan, bounds, residuals)
    slots = range(len(plan.loops))
    steps = tiles.product(i for i in slots if not plan.loops[i].spatial)
    if residuals is not None:
        steps = existing_steps(tiles, residuals)
    return Traffic(
        tiles=tiles,
        links=tuple(dense_counts(tiles, link, residuals) for link in plan.links),
        computes=float(plan.einsum.computes),
        steps=steps,
        instances=tuple(instances_used(tiles, level, residuals) for level in range(len(plan.arch.levels))),
        perfect=residuals is None,
    )


def dense_counts(tiles: Tiles, link: Link, residuals: LoopBounds | None = None) -> LinkTraffic:
    """(F4) Dense counts of one link.

    reads = accesses, fills = share * I_c; for outputs the first touch of a word needs neither a read nor a fill.
    """
    children = instances_used(tiles, link.child, residuals)
    forwarded: Words = 0.0
    if residuals is not None:
        if tiles.plan.padded[link.tensor]:
            raise ValueError(f"imperfect factors are not modelled where a tensor has padding, as {link.name} has")
        delivered, accesses, first = imperfect_counts(tiles, link, residuals)
        words_per_child = delivered / children
        sharing = ops.ratio(delivered, accesses)
    elif tiles.plan.padded[link.tensor]:
        delivered, accesses, first = padded_counts(tiles, link)
        words_per_child = delivered / children
        sharing = ops.ratio(delivered, accesses)
        forwarded = delivered * _share_forwarded(tiles, link)
        accesses = accesses - ops.ratio(forwarded, sharing)
    else:
        words_per_child = delivered_words(tiles, link)
        sharing = tiles.product(link.between) / distinct_positions(tiles, link)
        delivered = words_per_child * children
        forwarded = forwarded_words(tiles, link) * children
        accesses = (delivered - forwarded) / sharing
        first = first_touches(tiles, link, accesses, delivered)
    output = link.output
    return LinkTraffic(
        link=link,
        tile=tiles.size(link.tensor, tiles.inside(link.child)) if not link.to_compute else 1,
        words_per_child=words_per_child,
        children=children,
        sharing=sharing,
        reads=accesses - first.accesses if output else accesses,
        fills=delivered - first.fills if output else delivered,
        updates=accesses if output else 0.0 * accesses,
        forwarded=forwarded,
    )


def delivered_words(tiles: Tiles, link: Link) -> Words:
    """Words delivered to one child over the run.

    |T| + sum_j (n_j - 1) prod_{k outside j} n_k (|T| - overlap of the tile with itself one step of loop j later);
    without halos this is |T| times the bounds from the innermost moving loop outwards.
    """
    if link.to_compute:
        return tiles.product(link.temporal)
    size = words_met(tiles, link.tensor, tiles.inside(link.child))
    if link.no_reuse or tiles.plan.plain[link.tensor]:
        return size * visits(tiles, link)
    return ops.total([size, *(t.times * t.fresh for t in advances(tiles, link))])


@dataclass(frozen=True, slots=True)
class Advance:
    """The steps at which one temporal loop is the outermost that advances (the loops inside it wrap around)."""

    slot: int
    times: Count
    shift: tuple[Coordinate, ...]
    """Displacement of the tile, per group of axes."""
    fresh: Words
    """Words that were not in the tile before."""
    kept: tuple[Words, ...]
    """Places of the others, per group of axes."""


def advances(tiles: Tiles, link: Link) -> list[Advance]:
    """The kinds of steps outside the child that may move its tile.

    Displacement v_j - sum_h (n_h - 1) v_h over the loops h inside j; the compute level keeps nothing between steps.
    """
    groups = range(len(tiles.plan.moves[link.tensor]))
    cover = child_tile(tiles, link)
    size = words_met(tiles, link.tensor, cover)
    wrapped: list[Coordinate] = [0] * len(groups)
    found: list[Advance] = []
    for position, slot in enumerate(link.temporal):
        steps = [tiles.step(link.tensor, group, slot) for group in groups]
        if slot in link.relevant or found or link.to_compute:
            shift = tuple(step - w for step, w in zip(steps, wrapped, strict=True))
            kept: tuple[Words, ...] = (0,)
            if not (link.to_compute or link.no_reuse):
                kept = tuple(tiles.overlap(link.tensor, g, cover, shift[g]) for g in groups)
            times = (tiles.bounds[slot] - 1) * tiles.product(link.temporal[position + 1 :])
            found.append(Advance(slot, times, shift, size - ops.product(kept), kept))
        if slot in link.relevant:
            wrapped = [w + (tiles.bounds[slot] - 1) * s for w, s in zip(wrapped, steps, strict=True)]
    return found


def forwarded_words(tiles: Tiles, link: Link) -> Words:
    """Words one child receives from a mesh neighbour instead of the parent, over the run (systolic networks).

    A child passes on what it received one step ago. A tile that moves by exactly one step of the innermost spatial
    loop along a mesh axis comes from the neighbour for all children but those at the edge, (n_s - 1)/n_s; an operand
    that stays, and that a neighbour shares, comes from there for all.
    """
    slots = [i for i in link.between if i in link.relevant and i not in link.unshared and _forwards(tiles.plan, link, i)]
    if not slots:
        return 0.0
    words: Words = 0.0
    streaming, innermost = _streaming(tiles, link)
    for step in advances(tiles, link):
        share: Share = 0.0
        for slot in slots:
            passes = ops.both(_moves_to_neighbour(tiles, link, slot, step.shift), _innermost_on_axis(tiles, slot))
            part = (tiles.bounds[slot] - 1) / tiles.bounds[slot] if slot in link.relevant else tiles.bounds[slot] > 1
            share = ops.maximum(share, ops.zero_unless(passes, 1.0) * part)
        whole = step.fresh == words_met(tiles, link.tensor, child_tile(tiles, link))
        sliced = ops.zero_unless(
            innermost[step.slot], ops.ratio(ops.maximum(0, tiles.bounds[step.slot] - 2), tiles.bounds[step.slot] - 1)
        )
        usable = ops.where(whole, ops.zero_unless(streaming, 1.0), sliced)
        words = words + step.times * step.fresh * share * usable
    return words


def _share_forwarded(tiles: Tiles, link: Link) -> Share:
    """Share of the delivered words that come from a neighbour, padding taken for words."""
    if not any(_forwards(tiles.plan, link, slot) for slot in link.between):
        return 0.0
    return forwarded_words(tiles, link) / delivered_words(tiles, link)


def _moves_to_neighbour(tiles: Tiles, link: Link, slot: int, shift: tuple[Coordinate, ...]) -> Flag:
    """True where the displacement is one step of the spatial loop at `slot`, in either direction."""
    ahead: Flag = True
    behind: Flag = True
    for group, moved in enumerate(shift):
        offset = tiles.step(link.tensor, group, slot)
        ahead, behind = ops.both(ahead, moved == offset), ops.both(behind, moved == -offset)
    return ops.either(ahead, behind)


def _streaming(tiles: Tiles, link: Link) -> tuple[Flag, dict[int, Flag]]:
    """Was something received in the step before any movement? And: is a temporal slot the innermost non-trivial one?"""
    innermost: dict[int, Flag] = {}
    free: Flag = True
    streaming: Flag = link.to_compute
    for slot in link.temporal:
        innermost[slot] = ops.both(free, tiles.bounds[slot] > 1)
        if slot in link.relevant:
            streaming = ops.either(streaming, innermost[slot])
        free = ops.both(free, tiles.bounds[slot] == 1)
    return streaming, innermost


def _forwards(plan: Plan, link: Link, slot: int) -> bool:
    """True if neighbours along this loop pass the tensor on: side by side, with no fanout between them and the words.

    Timeloop's files: only if the next level keeps the tensor.
    """
    level = plan.loops[slot].level
    network = plan.arch.levels[level].network
    if network is None or not network.forwarding or (level, link.name) in plan.nest.no_forwarding:
        return False
    if plan.sparse.timeloop_reading:
        return level + 1 == link.child
    return all(plan.loops[i].level <= level for i in link.between)


def _innermost_on_axis(tiles: Tiles, slot: int) -> Flag:
    """True where no spatial loop further inside the same mesh axis separates neighbours."""
    plan = tiles.plan
    mine = plan.loops[slot]
    alone: Flag = True
    for other in range(slot + 1, len(plan.loops)):
        if plan.loops[other].level == mine.level and plan.loops[other].axis == mine.axis:
            alone = ops.both(alone, tiles.bounds[other] == 1)
    return alone


def distinct_positions(tiles: Tiles, link: Link) -> Count:
    """Number of different tiles among the children below one parent instance that are delivered at the same step."""
    plan = tiles.plan
    spread = [i for i in link.between if i in link.relevant]
    positions = tiles.product(link.unshared)
    shared = [i for i in spread if i not in link.unshared]
    if plan.plain[link.tensor]:
        return positions * tiles.product(shared)
    for loops in plan.moves[link.tensor]:
        moves = [(i, c) for i, c in loops if i in shared]
        if len(moves) == 1:
            positions = positions * tiles.bounds[moves[0][0]]
        elif moves:
            flat = [x for i, c in moves for x in (abs(c) * tiles.stride[i], tiles.bounds[i])]
            positions = positions * ops.lattice("distinct", flat)
    return positions


def first_touches(tiles: Tiles, link: Link, accesses: Words, delivered: Words) -> FirstTouches:
    """Accesses of the parent and fills of the child that touch a word for the first time (outputs).

    A fraction phi = 1 / prod {n_i : temporal, outside the innermost moving loop, irrelevant to the tensor}; with
    halos: the distinct words an instance ever touches.
    """
    if not link.output:
        return FirstTouches(0.0, 0.0)
    plan = tiles.plan
    if plan.plain[link.tensor]:
        return FirstTouches(
            accesses=accesses / tiles.passes(repeats(tiles, link, of_parent=True)),
            fills=delivered / tiles.passes(repeats(tiles, link, of_parent=False)),
        )

    def ever(level: int) -> Words:
        outside = set(plan.spatial(level))
        cover = tiles.covering([i for i in range(len(plan.loops)) if i not in outside])
        return tiles.size(link.tensor, cover) * tiles.product(outside)

    return FirstTouches(ever(link.parent), ever(link.child) if not link.to_compute else delivered)
