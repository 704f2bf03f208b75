"""Metadata traffic: the coordinate information that compressed and uncompressed formats store, move and look up.

at(link)          what a level reads, writes and gets of a tensor's metadata, rank by rank
  _accesses       ... at the level: own ranks are looked up as the loops advance, inner ranks travel with the child's tile
  _fills          ... that arrive from the next outer level that keeps the tensor
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.formats.entries_met import Keys, LookupCounts, Lookups, entries_met
from sparseloop.model.formats.known_entries import ACTIONS, Action, KnownEntries
from sparseloop.model.formats.layout import Layout
from sparseloop.model.formats.ranks import (
    FormatRanks,
    Offsets,
    RankOnLoops,
    StoredUnits,
    Units,
    entry_bits,
    known_before,
    rank_units,
    touched_alone,
)
from sparseloop.model.plan import Link
from sparseloop.model.sparsity.emptiness import NONE, Condition, Conditions, Emptiness, in_order, tile_condition, widen
from sparseloop.model.sparsity.events import NO_EVENTS, EventParts, Events
from sparseloop.model.sparsity.features import LinkConditions, SafConditions, Visits, access_events, fill_events, split_events
from sparseloop.model.sparsity.padding import Seen, mean_words
from sparseloop.model.traffic.dense import LinkTraffic
from sparseloop.model.traffic.existing_tiles import existing, mean_size
from sparseloop.model.traffic.stays import child_tile
from sparseloop.model.traffic.tiles import FIXED, Cover, Tiles, join, words_met
from sparseloop.model.units import Bits, Count, Flag, Share, Words


class RankEvents(NamedTuple):
    """Coordinate entries and payloads of one rank, in units."""

    entries: EventParts
    payloads: EventParts


NOTHING = RankEvents(NO_EVENTS, NO_EVENTS)


@dataclass(frozen=True, kw_only=True, eq=False)
class RankTraffic:
    """Entries and payloads of one rank at one level, in units; widths in bits."""

    kind: str
    entry_bits: Bits
    payload_bits: Bits
    entries: dict[str, Events]
    """Action (reads, fills, updates) to coordinate entries."""
    payloads: dict[str, Events]

    def bits(self, action: str) -> Events:
        """Metadata bits of one action."""
        return self._bits[action]

    @cached_property
    def _bits(self) -> dict[str, Events]:
        return {
            action: self.entries[action] * self.entry_bits + self.payloads[action] * self.payload_bits for action in self.entries
        }


class Metadata:
    """Metadata of all tensors at all levels for one batch; use `at(link)`."""

    def __init__(self, safs: SafConditions, dense: tuple[LinkTraffic, ...]) -> None:
        self.safs = safs
        self.tiles: Tiles = safs.tiles
        self.emptiness: Emptiness = safs.emptiness
        self.dense = dense
        self.ranks = FormatRanks.of(safs.tiles)
        self.known: KnownEntries = self.tiles.once(("known entries", safs.active), lambda: KnownEntries(safs))

    # --- own ranks ------------------------------------------------------------------------------------------

    def lookups(self, link: Link, rank: RankOnLoops) -> Lookups:
        """Lookups of the entries of an own rank: whenever its loop, or any loop outside, advances.

        At the compute link there is no operand register: the innermost rank is looked up with every access.
        """
        return self.tiles.once(("lookups", rank.name), lambda: self._lookups(link, rank))

    def _lookups(self, link: Link, rank: RankOnLoops) -> Lookups:
        tiles, reached = self.tiles, rank.reached
        seen: Flag = rank.innermost if link.to_compute else rank.travels if link.no_reuse else False
        stepping = list[int]()
        passed = list[int]()
        told: dict[int, Count] = {}
        stay, again = dict[int, Count](), dict[int, Count]()
        for slot in link.temporal:
            if slot in link.relevant:
                seen = ops.either(seen, slot == rank.slot or ops.both(reached[slot], tiles.bounds[slot] > 1))
            elif seen is not False:
                again[slot] = ops.one_unless(seen, tiles.bounds[slot])
            if seen is True:
                stepping.append(slot)
            elif seen is False:
                passed.append(slot)
            else:
                told[slot] = ops.one_unless(seen, tiles.bounds[slot])
                stay[slot] = ops.one_unless(ops.negate(seen), tiles.bounds[slot])
        for slot in self.safs.plan.spatial(link.child):
            one_by_one = (rank.innermost if link.to_compute else rank.travels) if slot in link.unshared else False
            apart: Flag = reached[slot] if slot in link.between else True
            if slot in link.between:
                apart = one_by_one if slot not in link.relevant else ops.either(apart, one_by_one)
                repeated = apart if slot not in link.relevant else ops.both(one_by_one, ops.negate(reached[slot]))
                again[slot] = ops.one_unless(repeated, tiles.bounds[slot])
            if apart is True:
                stepping.append(slot)
                continue
            told[slot] = ops.one_unless(apart, tiles.bounds[slot])
            stay[slot] = ops.one_unless(ops.negate(apart), tiles.bounds[slot])
        cover = join(join(child_tile(tiles, link), tiles.covering(passed)), tiles.partial_cover(f"walk{rank.name}", stay))
        repeats = tiles.partial_cover(f"again{rank.name}", again)
        counts = LookupCounts(told | {slot: tiles.bounds[slot] for slot in stepping}, dict.fromkeys(passed, 1), again)
        count, first = self._numbers(link, rank, counts, repeats)
        return Lookups(count=count, first=first, stay=cover, repeats=repeats)

    def _numbers(self, link: Link, rank: RankOnLoops, counts: LookupCounts, repeats: Cover) -> tuple[Count, Count]:
        """Lookups of all instances, and those of them that are the first of an entry."""
        tiles = self.tiles
        words = link.to_compute and not rank.padded
        if words and rank.innermost is True:
            return self._accesses_of_words(link)
        if self._slides(link):
            outside = tiles.product(self.safs.plan.spatial(link.parent))
            keys = Keys(f"walked {rank.name}", link, rank.position[1], link.parent)
            met = entries_met(tiles, keys, link.temporal, counts.told | counts.passed)
            count, first = met.visits * outside / rank.along, met.distinct * outside / rank.along
            if rank.travels is not False and not (link.to_compute or link.no_reuse):
                sent, again = (self._sent(link, rank, again=only) / rank.along for only in (False, True))
                count, first = ops.where(rank.travels, sent, count), ops.where(rank.travels, sent - again, first)
        elif tiles.residuals is None:
            count = ops.product(counts.told.values())
            first = count / tiles.passes(repeats)
        else:
            again = counts.again
            new = {slot: ops.where(again[slot] > 1, 1, n) if slot in again else n for slot, n in counts.told.items()}
            count, first = existing(tiles, counts.told), existing(tiles, new)
            if rank.travels is not False and not link.to_compute:  # as many as there are words, the last tiles being shorter
                entry = tuple(FIXED if s in link.unshared else span for s, span in enumerate(rank.position[1]))
                each, dense = mean_size(tiles, link.tensor, entry) * rank.along, self.dense[link.index]
                sent, again = (dense.updates, dense.reads) if link.output else (dense.reads, dense.reads)
                count = ops.where(rank.travels, sent / each, count)
                first = ops.where(rank.travels, (sent - again) / each, first)
        if words and rank.innermost is not False:
            every, new_ones = self._accesses_of_words(link)
            count, first = ops.where(rank.innermost, every, count), ops.where(rank.innermost, new_ones, first)
        return count, first

    def _accesses_of_words(self, link: Link) -> tuple[Count, Count]:
        """Accesses of the compute level, which keeps nothing, and the first ones of a result."""
        dense = self.dense[link.index]
        return (dense.updates, dense.updates - dense.reads) if link.output else (dense.reads, 0.0)

    def own_rank_events(self, c: LinkConditions, rank: RankOnLoops, units: Units, again: bool) -> EventParts:
        """(F3) Lookups of an own rank's entries: outer conditions, and local ones known in time.

        `again`: only lookups that are not the first of an entry. What goes with the words of the compute level is not looked
        up where they are not.
        """
        alone = units
        if units.exist and touched_alone(c.link, again=again):
            alone = units._replace(exist=frozenset({rank.position}))
        inherited = c.inherited if c.link.to_compute else NONE
        if rank.travels is False or not (inherited or alone.exist != units.exist):
            return self._looked_up(c, rank, alone, again)
        words = self._looked_up(c, rank, units, again, inherited)
        if rank.travels is True:
            return words
        others = self._looked_up(c, rank, alone, again)
        return EventParts(
            (words * ops.zero_unless(rank.travels, 1.0)).parts + (others * ops.zero_unless(ops.negate(rank.travels), 1.0)).parts
        )

    def _looked_up(
        self, c: LinkConditions, rank: RankOnLoops, units: Units, again: bool, inherited: Conditions = NONE
    ) -> EventParts:
        """A local condition removes a lookup where it is known before the fiber is entered, elsewhere it comes too late.

        Both cases are evaluated, in all combinations of conditions.
        """
        lookups = self.lookups(c.link, rank)
        count = lookups.count - lookups.first if again else lookups.count
        o = widen(c.outer, lookups.stay, self.tiles) | units.exist
        sure_skips, skips = self._local(c, rank, c.local, gates=False)
        sure_gates, gates = self._local(c, rank, c.local_gates, gates=True)
        optional = [*skips, *gates]
        made = self.safs.progress(c.link, lookups.stay)
        visits = c.visits(lookups.repeats if again else None, c.link.compressed and bool(units.exist), made)
        jumping = self._jumping(c)
        result = NO_EVENTS
        for applies in product((False, True), repeat=len(optional)):
            chosen = [one for one, on in zip(optional, applies, strict=True) if on]
            skipped = sure_skips | {one.condition for one in chosen if not one.gates}
            gated = c.outer_gates | sure_gates | {one.condition for one in chosen if one.gates}
            k = o | widen(skipped, lookups.stay, self.tiles)
            i = k | widen(inherited, lookups.stay, self.tiles)
            g = i | widen(gated, lookups.stay, self.tiles)
            here: Flag = True
            left: list[Share] = [1.0, 1.0]  # by skips, by gates
            for one, on in zip(optional, applies, strict=True):
                here = ops.both(here, one.known if on else ops.negate(one.known))
                # what is left by a skip leaves nothing to a gate that jumps over the same entries
                spared = one.gates and (one.condition in skipped or (one.condition, False) in jumping)
                if not on and (one.condition, one.gates) in jumping and not spared:
                    left[one.gates] *= self._met(widen(frozenset({one.condition}), lookups.stay, self.tiles), units.exist)
            if here is not False:
                part = self._split(count, units, (o, k, i, g), visits)
                part = part.thinned(*left) if jumping else part
                result = EventParts(result.parts + (part if here is True else part * ops.zero_unless(here, 1.0)).parts)
        return result

    def _jumping(self, c: LinkConditions) -> frozenset[tuple[Condition, bool]]:
        """Local conditions whose intersection unit jumps to the other list's next coordinate; does it gate, or else skip?"""
        index = self.safs.plan.einsum.index
        return frozenset(
            (tile_condition(self.tiles, index[leader], self.safs.granule(c.link, saf)), not saf.saves_time)
            for saf in self.safs.acting(c.link)
            if saf.jumps
            for leader in self.safs.leaders(saf)
        )

    def _met(self, leader: Conditions, own: Conditions) -> Share:
        """Share of a list's entries that a unit jumping ahead looks at.

        Entries with some leader entry since the previous own one; for independent lists of densities a and b in long
        fibers: b / (a + b - a b).
        """
        a, b = self.emptiness.non_emptiness(own), self.emptiness.non_emptiness(leader)
        return ops.ratio(b, a + b - a * b)

    def _local(
        self, c: LinkConditions, rank: RankOnLoops, conditions: Conditions, gates: bool
    ) -> tuple[Conditions, list[_LocalCondition]]:
        """Local conditions that surely apply to an own rank's entries, and the others with where they do."""
        plan = self.safs.plan
        followed: set[Condition] = set()
        for saf in self.safs.acting(c.link):
            if saf.saves_time != gates and saf.looks_up:
                granule = self.safs.granule(c.link, saf)
                followed |= {tile_condition(self.tiles, plan.einsum.index[u], granule) for u in self.safs.leaders(saf)}
        sure = frozenset(k for k in conditions if k in followed)
        return sure, [
            _LocalCondition(k, ops.either(rank.travels, known_before(self.tiles, rank.entered, k)), gates)
            for k in in_order(conditions - sure)
        ]

    # --- one level ------------------------------------------------------------------------------------------

    def at(self, link: Link) -> list[RankTraffic]:
        """Metadata reads and updates at the link's parent, and fills from its own parent; outermost rank first."""
        layout = self.ranks.layouts[link.index]
        if layout is None:
            return []
        c = self.safs.conditions(link)
        width = self.safs.plan.arch.levels[link.parent].metadata_word_bits
        found: list[dict[Action, RankEvents]] = [dict.fromkeys(ACTIONS, NOTHING) for _ in layout.format.ranks]
        if self.known.tells(link):
            for number, action in product(range(len(found)), ACTIONS):
                found[number][action] = RankEvents(*(self.known.events(link, number, action, part) for part in (0, 1)))
        else:
            for rank in self.ranks.at(link):
                for action, events in self._actions(c, rank).items():
                    found[rank.number][action] = _together(found[rank.number][action], events)
        if self.safs.plan.sparse.timeloop_reading:
            self._add_lone(c, layout, found)
        return [
            RankTraffic(
                kind=form.kind,
                entry_bits=entry_bits(form, width),
                payload_bits=width if form.payload_bits is None else form.payload_bits,
                entries={action: events.entries for action, events in of_rank.items()},
                payloads={action: events.payloads for action, events in of_rank.items()},
            )
            for form, of_rank in zip(layout.format.ranks, found, strict=True)
        ]

    def _actions(self, c: LinkConditions, rank: RankOnLoops) -> dict[Action, RankEvents]:
        """Entries and payloads of one rank per action; a first touch of an output's entry needs no read."""
        output = c.link.output
        made: dict[Action, RankEvents] = {
            "reads": self._accesses(c, rank, again=output),
            "fills": self._fills(c.link, rank),
        }
        if output:
            made["updates"] = self._accesses(c, rank, again=False)
        return made

    def _accesses(self, c: LinkConditions, rank: RankOnLoops, again: bool) -> RankEvents:
        """Lookups of one rank at the parent; `again`: only those that are not the first touch."""
        units = rank_units(rank)
        if rank.inner:
            return _of_each(units, lambda one: self._delivered(c, rank, one, again))
        if all(one is None for one in units):
            return NOTHING
        return _of_each(
            units, lambda one: self.own_rank_events(c, rank, one._replace(per_position=one.per_position * rank.along), again)
        )

    def _delivered(self, c: LinkConditions, rank: RankOnLoops, units: Units, again: bool) -> EventParts:
        """Entries of an inner rank: they travel with every delivery of the child's tile."""
        dense = self.dense[c.link.index]
        accesses = dense.updates if c.link.output and not again else dense.reads
        positions = self._positions(c.link, rank)
        o, k, g = (widen(x, c.stay, self.tiles) for x in (c.outer, c.local, c.gates))
        o = o | units.exist
        count = ops.ratio(accesses, self._delivered_tile(c.link)) * positions
        if self._slides(c.link) and not c.link.no_reuse:
            count = self._sent(c.link, rank, again)
        visits = c.visits(c.repeats if again else None, c.link.compressed and bool(units.exist))
        return self._split(count, units, (o, o | k, o | k, o | k | g), visits)

    def _slides(self, link: Link) -> bool:
        """Do windows of the tensor share words, so that entries stay while their window moves on?"""
        plan = self.safs.plan
        return self.tiles.residuals is None and not plan.plain[link.tensor] and not plan.padded[link.tensor]

    def _sent(self, link: Link, rank: RankOnLoops, again: bool) -> Count:
        """Entries of an inner rank that windows bring to the children; `again`: but the first ones of the parent."""
        tiles, dense = self.tiles, self.dense[link.index]
        keys = Keys(f"sent {rank.name}", link, rank.position[1], link.child)
        served = (s for s in link.between if s in link.relevant and s not in link.unshared)
        lanes = ops.product(tiles.count(rank.position[1][s], s) for s in served)  # that use the same entries
        count = entries_met(tiles, keys, link.temporal, {}).visits * dense.children / (dense.sharing * lanes)
        if not again:
            return count
        ever = Keys(f"ever {rank.name}", link, rank.position[1], link.parent)
        return count - entries_met(tiles, ever, link.temporal, {}).distinct * tiles.product(self.safs.plan.spatial(link.parent))

    def _delivered_tile(self, link: Link) -> Words:
        """Words of a delivered tile: of padded tensors the mean over the places."""
        if self.safs.plan.padded[link.tensor]:
            return mean_words(self.tiles, link.tensor, child_tile(self.tiles, link))
        return self.dense[link.index].tile

    def _positions(self, link: Link, rank: RankOnLoops) -> Count:
        """Positions of a rank in a delivered tile, those in the padding too."""
        if self.safs.plan.padded[link.tensor]:
            return words_met(self.tiles, link.tensor, child_tile(self.tiles, link)) / words_met(self.tiles, *rank.position)
        return self.dense[link.index].tile / mean_size(self.tiles, *rank.position)

    def _split(self, positions: Count, units: Units, steps: Sequence[Conditions], visits: Visits) -> EventParts:
        """The units of some positions; those of positions that are padding are none."""
        if units.true is None:
            return split_events(positions * units.per_position, self.emptiness, steps, visits)
        seen = Seen(*units.true, words=False)
        true = self.emptiness.true_share(seen, visits.repeats)
        return split_events(positions * units.per_position * true, self.emptiness, steps, replace(visits, seen=seen))

    def _fills(self, link: Link, rank: RankOnLoops) -> RankEvents:
        """Entries and payloads written into the link's parent from the next outer level that keeps the tensor."""
        source, units = self._source(link), rank_units(rank)
        if source is None or all(one is None for one in units):
            return NOTHING
        c = self.safs.conditions(source)
        positions = self._arriving(source, rank)
        o, k, g = (widen(x, c.arrival, self.tiles) for x in (c.outer, c.local, c.gates))
        again = c.repeated_fills if link.output else None

        def arriving(one: Units) -> EventParts:
            sets = (o | one.exist, o | one.exist | k, o | one.exist | k, o | one.exist | k | g)
            found = self._split(positions, one, sets, c.visits(again, link.compressed and bool(one.exist)))
            return found.removed() if source.partials == "add" else found

        return _of_each(units, arriving)

    def _arriving(self, source: Link, rank: RankOnLoops) -> Count:
        """Positions of a rank that arrive over a link, those in the padding too."""
        words = self.dense[source.index].fills
        if self._slides(source) and not source.no_reuse:
            keys = Keys(f"come {rank.name}", source, rank.position[1], source.child)
            met = entries_met(self.tiles, keys, source.temporal, {})
            return (met.visits - met.distinct if source.output else met.visits) * self.dense[source.index].children
        if self.safs.plan.padded[source.tensor]:
            return ops.ratio(words, self._delivered_tile(source)) * self._positions(source, rank)
        return words / mean_size(self.tiles, *rank.position)

    def _source(self, link: Link) -> Link | None:
        """The link over which the tensor arrives at the parent."""
        outer = self.safs.plan.outer[link.index]
        return self.safs.plan.links[outer[-1]] if outer else None

    def _add_lone(self, c: LinkConditions, layout: Layout, found: list[dict[Action, RankEvents]]) -> None:
        """Timeloop's reading: a tile of one word keeps one entry in its lowest compressed rank, which goes with the word."""
        bottom = max((r for r, f in enumerate(layout.format.ranks) if f.compressed), default=None)
        link = c.link
        lone = ops.both(bottom is not None, words_met(self.tiles, link.tensor, self.tiles.inside(link.parent)) == 1)
        if bottom is None or lone is False:
            return
        dense, source = self.dense[link.index], self._source(link)
        weight = ops.zero_unless(lone, 1.0)
        entries: dict[Action, EventParts] = {"reads": access_events(dense.reads * weight, self.emptiness, c, True, link.output)}
        if link.output:
            entries["updates"] = access_events(dense.updates * weight, self.emptiness, c, True, False)
        if source is not None:
            arriving = self.dense[source.index].fills * weight
            entries["fills"] = fill_events(arriving, self.emptiness, self.safs.conditions(source), True, link.output)
        for action, events in entries.items():
            found[bottom][action] = _together(found[bottom][action], RankEvents(events, NO_EVENTS))


class _LocalCondition(NamedTuple):
    """A local condition that removes a lookup only where it is known before the fiber is entered."""

    condition: Condition
    known: Flag
    gates: bool
    """It gates; else it skips."""


def _of_each(units: StoredUnits, count: Callable[[Units], EventParts]) -> RankEvents:
    """Events of entries and of payloads, where there are any."""
    entries, payloads = units
    both = payloads if isinstance(payloads, Offsets) else () if payloads is None else (payloads,)
    return RankEvents(
        NO_EVENTS if entries is None else count(entries),
        EventParts(tuple(part for one in both for part in count(one).parts)),
    )


def _together(a: RankEvents, b: RankEvents) -> RankEvents:
    return RankEvents(EventParts(a.entries.parts + b.entries.parts), EventParts(a.payloads.parts + b.payloads.parts))
