"""From dense to sparse traffic: every event in its class, with the metadata it needs.

    apply_safs      one result per mapping
      _for_choice   ... under one choice among the features that are alternatives
        _under      ... for one length of stay in each sliding window
          _link     the sparse counts of one link

Alternatives and lengths of stay are evaluated in all combinations: the work grows with the product of the numbers of alternatives
and with that of the lengths of stay. Both are small: specifications have at most a few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.barriers import barrier_level, waiting_time
from sparseloop.model.design.sparse import Saf
from sparseloop.model.formats.metadata import Metadata, RankTraffic
from sparseloop.model.formats.occupancy import ResidentTile
from sparseloop.model.plan import Link, Plan
from sparseloop.model.sparsity.emptiness import Emptiness, tile_condition
from sparseloop.model.sparsity.events import Events, mixed_events
from sparseloop.model.sparsity.features import SafConditions, access_events, compute_events, fill_events, skipped_at_compute
from sparseloop.model.sparsity.packing import packed_time
from sparseloop.model.sparsity.timeloop_packing import positions_taken, time_on_instances_taken
from sparseloop.model.sparsity.windows import Window
from sparseloop.model.traffic.dense import Advance, LinkTraffic, Traffic, advances
from sparseloop.model.traffic.stays import child_tile
from sparseloop.model.traffic.tiles import join
from sparseloop.model.units import Array, Count, Flag, Pj, Share, Words

Mix = Callable[[Sequence[Array]], Array]
"""One number from the same number under every alternative: a weighted sum, or an elementwise choice."""


class Mixes(NamedTuple):
    """How the numbers of one link are put together."""

    all: Mix
    reads: Mix
    """Of results: without the first touch of a word."""
    fills: Mix


class Overflow(NamedTuple):
    """Words of tiles that are larger than the room kept for them."""

    reads: Words
    """Of the parent."""
    fills: Words
    """Into the child."""
    updates: Words = 0.0
    """Of the parent."""


class DeliveriesLeft(NamedTuple):
    """Shares of the deliveries of a link of which features leave something."""

    reads: Share
    fills: Share
    updates: Share


WHOLE = DeliveriesLeft(1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinkSparse:
    """Sparse traffic of one link: accesses of the parent and fills of the child, in words over all instances."""

    dense: LinkTraffic
    reads: Events
    fills: Events
    """Words written into the child."""
    updates: Events
    ranks: tuple[RankTraffic, ...]
    """Metadata of the tensor at the parent: its reads and updates, and the fills from the next outer level."""
    left: DeliveriesLeft
    """All where no level is accessed by blocks."""
    resident: ResidentTile
    """The tile held by one instance of the parent."""
    decompress: Words
    """Words a decompressor writes into the child."""
    compress: Words
    """Words a compressor writes into the parent."""
    returned: Words
    """Words of a result that leave the child, zeros that it stores and the parent does not among them; 0 where all fit."""
    misfit: Flag
    """True where the parent's format cannot be laid on the loops."""
    child: LinkSparse | None = None
    """The tensor's next inner link; None at the compute link."""
    neighbours: tuple[ResidentTile, ...] = ()
    """Tiles of other tensors in the same instance of the parent."""

    @cached_property
    def forwarded(self) -> Words:
        """Words a child passed on to its neighbour: the dense number, thinned like the fills."""
        return self.dense.forwarded * ops.ratio(self.fills.actual, self.fills.total)

    @cached_property
    def room(self) -> Words | None:
        """Words of the tensor that an instance of the parent has room for beside what its fit test counts of other tensors.

        None if no tile that passes the test can be larger: the level is unlimited, or what is tested is no quantile.
        """
        spec = self.resident.level
        capacity = spec.capacity_words
        if capacity is None or not isinstance(spec.capacity_rule, float):
            return None
        taken = ops.total(tile.level_words for tile in self.neighbours)
        return ops.maximum(0.0, capacity - taken) / self.resident.width

    @cached_property
    def overflow(self) -> Overflow:
        """What crosses the link beyond `reads` and `fills`: words of overbooked tiles streamed at each use.

        A child that is checked by a quantile may hold tiles W that are larger than its room; of the k words of one the excess
        x(W) = max(0, k - room) is fetched anew at each use, the child's reads * E[x] / E[k] in all. One use of those that
        arrive is served by `fills`: of a tile that still has the words O of the one before that is x(W) - x(O), because the
        room keeps as many of O as it can. Words of results return at each use, too, and once of themselves.
        """
        if self.child is None or (room := self.child.room) is None:
            return Overflow(0.0, 0.0)
        tile, moved = self.child.resident.words, self.child
        excess = tile.excess(room)
        arriving: Words = ops.ratio(excess, tile.size)
        if not (self.dense.link.no_reuse or self.resident.safs.plan.plain[self.dense.link.tensor]):
            steps = advances(self.resident.safs.tiles, self.dense.link)
            served = ops.total(step.times * (excess - self._kept_excess(step, excess, room)) for step in steps)
            arriving = ops.ratio(excess + served, tile.size + ops.total(step.times * step.fresh for step in steps))

        def streamed(used: Words, once: Words) -> Words:
            tiles_used, tiles_moved = (ops.ratio(words, tile.expected) for words in (used, once))
            return ops.maximum(0.0, tiles_used * excess - tiles_moved * tile.size * arriving)

        fills = streamed(moved.reads.actual, self.fills.actual)
        reads = fills * ops.ratio(self.reads.actual, self.fills.actual)
        if not self.dense.link.output:
            return Overflow(reads, fills)
        stored = ops.ratio(self.updates.actual, self.returned)
        back = streamed(moved.updates.actual, self.returned) * stored
        if self.dense.link.partials == "add":  # copies start from nothing each time, and the parent has what returned before
            return Overflow(back, 0.0, back)
        return Overflow(ops.where(self.fills.actual > 0, reads, fills * stored), fills, back)

    def _kept_excess(self, step: Advance, excess: Words, room: Words) -> Words:
        """Of the excess of a tile, what was in excess of the tile before: at most all, as `kept` counts padding, too."""
        assert self.child is not None
        return ops.minimum(excess, self.child.resident.words.part(step.kept).excess(room))


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseTraffic:
    """All sparse counts of a mapping."""

    links: tuple[LinkSparse, ...]
    computes: Events
    skipped_at_compute: Count
    """Computes that reach the compute level and are skipped there; the others never come up."""
    time: Share
    """Time of the computes that take some, over the steps of the nest; packed positions take turns."""
    taken: tuple[Share, ...]
    """Per storage level: share of its positions that need an instance; below 1 only in Timeloop's reading of spatial skips."""

    def links_from(self, level: int) -> list[LinkSparse]:
        """The links whose parent is this level: what it keeps, tensor by tensor."""
        return [k for k in self.links if k.dense.link.parent == level]

    def links_into(self, level: int) -> list[LinkSparse]:
        """The links whose child is this level."""
        return [k for k in self.links if k.dense.link.child == level]


@dataclass(frozen=True, slots=True)
class _Mapped:
    """What all alternatives have in common."""

    plan: Plan
    dense: Traffic
    emptiness: Emptiness


def apply_safs(plan: Plan, dense: Traffic) -> SparseTraffic:
    """Classify every dense event; where features are alternatives, the one that saves most energy is taken."""
    mapped = _Mapped(plan, dense, Emptiness(dense.tiles))
    fixed = frozenset(s for s in plan.sparse.safs if s.choice is None)
    groups: dict[int, list[Saf]] = {}
    for saf in plan.sparse.safs:
        if saf.choice is not None:
            groups.setdefault(saf.choice, []).append(saf)
    best = [_best(mapped, group) for group in groups.values()]
    if all(isinstance(number, int) for number in best):  # one mapping: no other combination is looked at
        chosen = frozenset(group[int(number)] for group, number in zip(groups.values(), best, strict=True))
        return _for_choice(mapped, fixed | chosen)
    index: Count = 0
    for number, group in zip(best, groups.values(), strict=True):
        index = index * len(group) + number
    return _selected(index, [_for_choice(mapped, fixed | {*chosen}) for chosen in product(*groups.values())])


def _best(mapped: _Mapped, group: list[Saf]) -> Count:
    """Index of the alternative with the largest read price * words * removed fraction at its own link."""
    plan, dense, emptiness = mapped.plan, mapped.dense, mapped.emptiness
    best: Pj = -1.0
    index: Count = 0
    for number, saf in enumerate(group):
        link = next((k for k in plan.links if saf in k.safs), None)
        if link is None:
            continue
        counts = dense.links[link.index]
        safs = SafConditions(dense.tiles, emptiness, frozenset({saf}))
        words = counts.updates if link.output else counts.reads
        split = access_events(words, emptiness, safs.conditions(link), link.compressed, False)
        level = plan.arch.levels[link.parent]
        price = level.prices["read"].energy_pj / level.block_size
        saved = price * (split.gated + split.skipped)
        better = saved > best
        index, best = ops.where(better, number, index), ops.where(better, saved, best)
    return index


# --- alternatives -------------------------------------------------------------------------------------------


def _selected(index: Count, alternatives: Sequence[SparseTraffic]) -> SparseTraffic:
    """Elementwise alternatives[index]."""

    def mix(values: Sequence[Array]) -> Array:
        result = values[0]
        for number, value in enumerate(values[1:], start=1):
            result = ops.where(index == number, value, result)
        return result

    return SparseTraffic(
        links=_chained(
            [_mixed_link(Mixes(mix, mix, mix), column) for column in zip(*(a.links for a in alternatives), strict=True)]
        ),
        computes=mixed_events(mix, [a.computes for a in alternatives]),
        skipped_at_compute=mix([a.skipped_at_compute for a in alternatives]),
        time=mix([a.time for a in alternatives]),
        taken=tuple(mix(column) for column in zip(*(a.taken for a in alternatives), strict=True)),
    )


def _mixed_link(mixes: Mixes, links: Sequence[LinkSparse]) -> LinkSparse:
    """One link from the same link under every alternative; the tile, its format and the dense counts do not differ."""
    mix, reads, fills = mixes
    return replace(
        links[0],
        reads=mixed_events(reads, [k.reads for k in links]),
        fills=mixed_events(fills, [k.fills for k in links]),
        updates=mixed_events(mix, [k.updates for k in links]),
        ranks=tuple(_mixed_rank(mixes, ranks) for ranks in zip(*(k.ranks for k in links), strict=True)),
        left=DeliveriesLeft(*(mix(shares) for shares in zip(*(k.left for k in links), strict=True))),
        decompress=mix([k.decompress for k in links]),
        compress=mix([k.compress for k in links]),
        returned=mix([k.returned for k in links]),
    )


def _mixed_rank(mixes: Mixes, ranks: Sequence[RankTraffic]) -> RankTraffic:
    """One rank from the same rank under every alternative; widths too, so that bits round like all that is mixed."""
    first, mix = ranks[0], mixes.all
    of_action = {"reads": mixes.reads, "fills": mixes.fills, "updates": mix}
    return replace(
        first,
        entry_bits=mix([r.entry_bits for r in ranks]),
        payload_bits=mix([r.payload_bits for r in ranks]),
        entries={action: mixed_events(of_action[action], [r.entries[action] for r in ranks]) for action in first.entries},
        payloads={action: mixed_events(of_action[action], [r.payloads[action] for r in ranks]) for action in first.payloads},
    )


# --- sliding windows ----------------------------------------------------------------------------------------


def _for_choice(mapped: _Mapped, active: frozenset[Saf]) -> SparseTraffic:
    """Classes under one set of features; words that stay unequally long in a sliding window are averaged.

    Every combination of lengths of stay is a group. A link's own words are weighted by their share of what is delivered over
    it; everything else by their share of what is in use at a random step.
    """
    plan, tiles = mapped.plan, mapped.dense.tiles
    base = SafConditions(tiles, mapped.emptiness, active)
    sliding = {link.index: windows for link in plan.links if (windows := base.windows(link))}
    if not sliding:
        return _under(mapped, base)
    groups = [dict(zip(sliding, choice, strict=True)) for choice in product(*sliding.values())]
    parts = [
        _under(mapped, SafConditions(tiles, mapped.emptiness, active, {k: w.cover for k, w in group.items()})) for group in groups
    ]
    used = [ops.product(w.used for w in group.values()) for group in groups]
    links: list[LinkSparse] = []
    for at in range(len(plan.links)):
        shares = [_stays_in_use(mapped, at, group) for group in groups]
        mixes = Mixes(*(_weighted([ops.product(of_group) for of_group in column]) for column in zip(*shares, strict=True)))
        links.append(_mixed_link(mixes, [part.links[at] for part in parts]))
    mix = _weighted(used)
    return replace(
        parts[0],
        links=_chained(links),
        computes=mixed_events(mix, [part.computes for part in parts]),
        skipped_at_compute=mix([part.skipped_at_compute for part in parts]),
        time=mix([part.time for part in parts]),
    )


def _stays_in_use(mapped: _Mapped, at: int, group: Mapping[int, Window]) -> tuple[list[Share], list[Share], list[Share]]:
    """Of all words that cross a link, of those read, and of those filled: the share with these lengths of stay, window by window.

    Every word that arrives in a window of a result is touched for the first time once, however long it stays; so reads and fills
    further in, which leave first touches out, are of words that stay long more often than all touches are.
    """
    dense = mapped.dense.links[at]
    delivered = dense.words_per_child * dense.children
    every, reads, fills = list[Share](), list[Share](), list[Share]()
    for k, window in group.items():
        share = window.delivered if k == at else window.used
        every.append(share)
        again = dense.link.output and k in mapped.plan.outer[at]
        reads.append(_without_first(window, dense.updates, dense.reads) if again else share)
        fills.append(_without_first(window, delivered, dense.fills) if again else share)
    return every, reads, fills


def _without_first(window: Window, touches: Count, again: Count) -> Share:
    """Share of words that stay so long among touches but the first of each word."""
    share = ops.ratio(touches * window.used - (touches - again) * window.delivered, again)
    return ops.where(again > 0, share, window.used)


def _weighted(weights: Sequence[Share]) -> Mix:
    return lambda values: ops.total(v * w for v, w in zip(values, weights, strict=True))


# --- one set of conditions ----------------------------------------------------------------------------------


def _under(mapped: _Mapped, safs: SafConditions) -> SparseTraffic:
    dense = mapped.dense
    metadata = Metadata(safs, dense.links)
    computes = compute_events(safs, dense.computes)
    plan, busy = mapped.plan, computes.busy / dense.computes
    packing = [level for level in range(plan.compute) if plan.sparse.packs(level)]
    timeloop = plan.sparse.timeloop_reading and not any(plan.arch.levels[level].waves for level in packing)
    taken = tuple(positions_taken(safs, level) if timeloop and level in packing else 1.0 for level in range(plan.compute))
    return SparseTraffic(
        links=_chained([_link(safs, metadata, counts) for counts in dense.links]),
        computes=computes,
        skipped_at_compute=skipped_at_compute(safs, dense.computes),
        time=time_on_instances_taken(dense.tiles, taken, busy) if timeloop else _time(safs, busy),
        taken=taken,
    )


def _time(safs: SafConditions, busy: Share) -> Share:
    """Time of what is left of the computes: packed, between barriers, or evened out."""
    level = barrier_level(safs.plan)
    return packed_time(safs, busy) if level is None else waiting_time(safs, level, busy)


def _chained(links: Sequence[LinkSparse]) -> tuple[LinkSparse, ...]:
    """The links, each knowing the next inner one of its tensor, and the tiles beside its own."""
    chained: dict[int, LinkSparse] = {}
    for k in reversed(links):
        link = k.dense.link
        below = next((c for c in chained.values() if _feeds(link, c.dense.link)), None)
        beside = tuple(o.resident for o in links if o.dense.link.parent == link.parent and o.dense.link.tensor != link.tensor)
        chained[link.index] = replace(k, child=below, neighbours=beside)
    return tuple(chained[k.dense.link.index] for k in links)


def _feeds(outer: Link, inner: Link) -> bool:
    return inner.tensor == outer.tensor and inner.parent == outer.child


def _link(safs: SafConditions, metadata: Metadata, dense: LinkTraffic) -> LinkSparse:
    link, emptiness = dense.link, safs.emptiness
    c = safs.conditions(link)
    fills = fill_events(dense.fills, emptiness, c, link.child_compressed, link.output)
    updates = access_events(dense.updates, emptiness, c, link.compressed, False)
    layout = metadata.ranks.layouts[link.index]
    changes = link.compressed and not link.child_compressed and not link.to_compute
    return LinkSparse(
        dense=dense,
        reads=access_events(dense.reads, emptiness, c, link.compressed, link.output),
        fills=fills,
        updates=updates,
        ranks=tuple(metadata.at(link)),
        left=_left(safs, dense),
        resident=ResidentTile(safs=safs, metadata=metadata, link=link),
        decompress=fills.actual if changes else 0.0,
        compress=updates.actual if changes and link.output else 0.0,
        returned=_returned(safs, dense),
        misfit=False if layout is None else ops.either(layout.leftover, layout.mismatch),
    )


def _returned(safs: SafConditions, dense: LinkTraffic) -> Words:
    link, plan = dense.link, safs.plan
    if not link.output or link.to_compute or not isinstance(plan.arch.levels[link.child].capacity_rule, float):
        return 0.0
    words = dense.updates * dense.sharing
    return fill_events(words, safs.emptiness, safs.conditions(link), link.child_compressed, False).actual


def _left(safs: SafConditions, dense: LinkTraffic) -> DeliveriesLeft:
    """Left is a delivery of which a child is left, and of stored words one of them; parts of windows are judged without words."""
    link, tiles, plan = dense.link, safs.tiles, safs.plan
    blocks = [plan.arch.levels[at].block_size > plan.width(link.tensor, at) for at in (link.parent, link.child)]
    if link.to_compute or plan.sparse.timeloop_reading or not any(blocks):
        return WHOLE
    c, one, all_children = safs.conditions(link), child_tile(tiles, link), tiles.covering(link.between)
    sent = replace(
        c, stay=join(c.stay, all_children), word=tile_condition(tiles, link.tensor, join(one, all_children)), known=None
    )
    received = replace(c, word=tile_condition(tiles, link.tensor, one), known=None)
    by_word, output = plan.plain[link.tensor], link.output
    stored, arriving = by_word and link.compressed, by_word and link.child_compressed
    return DeliveriesLeft(
        reads=access_events(1.0, safs.emptiness, sent, stored, output).actual if blocks[0] else 1.0,
        fills=fill_events(1.0, safs.emptiness, received, arriving, output).actual if blocks[1] else 1.0,
        updates=access_events(1.0, safs.emptiness, sent, stored, False).actual if blocks[0] and output else 1.0,
    )
