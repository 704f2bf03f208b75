"""Metadata traffic: the coordinate information that compressed and uncompressed formats store, move and look up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

from sparseloop.model import ops
from sparseloop.model.formats.layout import Layout, Masks
from sparseloop.model.formats.ranks import EntryUnits, Fibertrees, RankFibers, Units, any_of, entry_bits, entry_units
from sparseloop.model.ops import Array
from sparseloop.model.plan import Link
from sparseloop.model.sparsity.emptiness import Condition, Conditions, Emptiness, widen
from sparseloop.model.sparsity.events import NO_EVENTS, Events
from sparseloop.model.sparsity.features import LinkConditions, SafConditions, access_events, fill_events, split_events
from sparseloop.model.traffic.dense import LinkTraffic
from sparseloop.model.traffic.tiles import FIXED, Cover, Tiles, join


@dataclass(frozen=True, kw_only=True, eq=False)
class RankTraffic:
    """Entries and payloads of one rank at one level, in units; widths in bits."""

    kind: str
    entry_bits: float
    payload_bits: float
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """How often the entries of an own rank are looked at."""

    count: Array
    stay: Cover
    repeats: Cover
    """Irrelevant loops among those that advance: all at index 0 when an entry is looked at for the first time."""


class Metadata:
    """Metadata of all tensors at all levels for one batch; use `at(link)`."""

    def __init__(self, safs: SafConditions, dense: tuple[LinkTraffic, ...]) -> None:
        self.safs = safs
        self.tiles: Tiles = safs.tiles
        self.emptiness: Emptiness = safs.emptiness
        self.dense = dense
        self.trees = Fibertrees(safs.tiles, safs.emptiness)
        self._walks: dict[str, Lookups] = {}

    # --- own ranks ------------------------------------------------------------------------------------------

    def walk(self, link: Link, rank: RankFibers) -> Lookups:
        """Looks at the entries of an own rank: whenever its loop, or any loop outside, advances.

        At the compute link there is no operand register: the innermost rank is looked at with every access.
        """
        plan, tiles, masks, name = self.safs.plan, self.tiles, rank.masks, rank.name
        at_or_outside = _reached(rank, len(tiles.bounds))
        seen_always: Array = rank.innermost if link.to_compute else False
        seen = seen_always
        steps: list[int] = []
        count: Array = 1.0
        stay: dict[int, Array] = {}
        again: dict[int, Array] = {}
        whole: list[int] = []
        for slot in link.temporal:
            if slot in link.relevant:
                moves = masks.get(slot) is True or ops.both(at_or_outside[slot], tiles.bounds[slot] > 1)
                seen = ops.either(seen, moves)
            elif seen is not False:
                again[slot] = ops.one_unless(seen, tiles.bounds[slot])
            if seen is True:
                steps.append(slot)
            elif seen is False:
                whole.append(slot)
            else:
                count = count * ops.one_unless(seen, tiles.bounds[slot])
                stay[slot] = ops.one_unless(ops.negate(seen), tiles.bounds[slot])
        for slot in plan.spatial(link.child):
            between = slot in link.between
            if between and slot not in link.relevant:
                apart = seen_always if slot in link.unshared else False
                count = count * ops.one_unless(apart, tiles.bounds[slot])
                again[slot] = ops.one_unless(apart, tiles.bounds[slot])
                stay[slot] = ops.one_unless(ops.negate(apart), tiles.bounds[slot])
            elif between and slot in link.relevant and at_or_outside[slot] is not True:
                count = count * ops.one_unless(at_or_outside[slot], tiles.bounds[slot])
                stay[slot] = ops.one_unless(ops.negate(at_or_outside[slot]), tiles.bounds[slot])
            else:
                steps.append(slot)
        inside = tiles.point if link.to_compute else tiles.inside(link.child)
        cover = join(join(inside, tiles.covering(whole)), tiles.named(f"walk{name}", stay))
        return Lookups(count=count * tiles.product(steps), stay=cover, repeats=tiles.named(f"again{name}", again))

    def known_before(self, masks: Masks, condition: Condition) -> Array:
        """True where the leader is known before the fibre is entered.

        Every loop of the leader at or inside the rank's outermost loop is covered by the condition.
        """
        tensor, cover = condition
        entered: Array = False
        known: Array = True
        for slot in range(len(self.tiles.bounds)):
            entered = ops.either(entered, masks.get(slot, False))
            if slot in self.safs.plan.relevant[tensor] and entered is not False:
                covered = (
                    self.tiles.count(cover[slot], slot) == self.tiles.bounds[slot]
                    if cover[slot] != FIXED
                    else (self.tiles.bounds[slot] == 1)
                )
                known = ops.both(known, ops.either(ops.negate(entered), covered))
        return known

    def own_rank_events(
        self, c: LinkConditions, masks: Masks, walk: Lookups, unit: tuple[Array, Conditions], again: bool
    ) -> Events:
        """(F3) Events of the looks at an own rank's entries: outer conditions, and local ones known in time."""
        factor, there = unit
        count = walk.count * factor
        if again:
            count = count * (1.0 - 1.0 / self.tiles.passes(walk.repeats))
        o = widen(c.outer, walk.stay, self.tiles) | there
        sure_skips, skips = self._local(c, masks, c.local, gates=False)
        sure_gates, gates = self._local(c, masks, c.local_gates, gates=True)
        optional = [(*item, True) for item in skips] + [(*item, False) for item in gates]
        jumping = self._jumping(c)
        result = NO_EVENTS
        for applies in product((False, True), repeat=len(optional)):
            chosen = [item for item, on in zip(optional, applies, strict=True) if on]
            k = o | widen(sure_skips | {c for c, _, skip in chosen if skip}, walk.stay, self.tiles)
            g = k | widen(c.outer_gates | sure_gates | {c for c, _, skip in chosen if not skip}, walk.stay, self.tiles)
            weight: Array = True
            met: Array = 1.0
            for (condition, known, _), on in zip(optional, applies, strict=True):
                weight = ops.both(weight, known if on else ops.negate(known))
                if not on and condition in jumping:
                    met = met * self._met(widen(frozenset({condition}), walk.stay, self.tiles), there)
            if weight is not False:
                part = split_events(count, self.emptiness, (o, k, k, g), walk.repeats if again else None)
                part = part.thinned(met) if jumping else part
                result = result + (part if weight is True else part * ops.zero_unless(weight, 1.0))
        return result

    def _jumping(self, c: LinkConditions) -> frozenset[Condition]:
        """Local conditions whose intersection unit jumps to the other list's next coordinate."""
        index = self.safs.plan.einsum.index
        return frozenset(
            self.emptiness.condition(index[leader], self.safs.granule(c.link, saf))
            for saf in self.safs.acting(c.link)
            if saf.jumps
            for leader in saf.leaders
        )

    def _met(self, leader: Conditions, own: Conditions) -> Array:
        """Share of a list's entries that a unit jumping ahead looks at.

        Entries with some leader entry since the previous own one; for independent lists of densities a and b in long
        fibres: b / (a + b - a b).
        """
        a, b = self.emptiness.non_emptiness(own), self.emptiness.non_emptiness(leader)
        return ops.ratio(b, a + b - a * b)

    def _local(
        self, c: LinkConditions, masks: Masks, conditions: Conditions, gates: bool
    ) -> tuple[Conditions, list[tuple[Condition, Array]]]:
        """Local conditions that surely apply to an own rank's entries, and the others with where they do."""
        plan = self.safs.plan
        followed: set[Condition] = set()
        for saf in self.safs.acting(c.link):
            if saf.saves_time != gates and saf.looks_up:
                granule = self.safs.granule(c.link, saf)
                followed |= {self.emptiness.condition(plan.einsum.index[u], granule) for u in saf.leaders}
        sure = frozenset(k for k in conditions if k in followed)
        others = sorted(conditions - sure, key=str)
        return sure, [(k, self.known_before(masks, k)) for k in others]

    # --- one level ------------------------------------------------------------------------------------------

    def at(self, link: Link) -> list[RankTraffic]:
        """Metadata reads and updates at the link's parent, and fills from its own parent; outermost rank first."""
        layout = self.trees.layouts[link.index]
        if layout is None:
            return []
        c = self.safs.conditions(link)
        width = self.safs.plan.arch.levels[link.parent].metadata_word_bits
        counts: list[dict[str, tuple[Events, Events]]] = [
            dict.fromkeys(("reads", "fills", "updates"), (NO_EVENTS, NO_EVENTS)) for _ in layout.given.ranks
        ]
        for rank in self.trees.at(link):
            for action, (entries, payloads) in self._actions(c, layout, rank).items():
                before = counts[rank.number][action]
                counts[rank.number][action] = (before[0] + entries, before[1] + payloads)
        self._add_lone(c, layout, counts)
        return [
            RankTraffic(
                kind=given.kind,
                entry_bits=entry_bits(given, width),
                payload_bits=width if given.payload_bits is None else given.payload_bits,
                entries={k: v[0] for k, v in count.items()},
                payloads={k: v[1] for k, v in count.items()},
            )
            for given, count in zip(layout.given.ranks, counts, strict=True)
        ]

    def _actions(self, c: LinkConditions, layout: Layout, rank: RankFibers) -> dict[str, tuple[Events, Events]]:
        """(entries, payloads) of one rank per action; a first touch of an output's entry needs no read."""
        output = c.link.output
        units = entry_units(rank)
        made = {
            "reads": self._accesses(c, layout, (rank, units), again=output),
            "fills": self._fills(c.link, rank, units),
        }
        if output:
            made["updates"] = self._accesses(c, layout, (rank, units), again=False)
        return made

    def _accesses(
        self, c: LinkConditions, layout: Layout, what: tuple[RankFibers, EntryUnits], again: bool
    ) -> tuple[Events, Events]:
        """Looks at one rank at the parent; `again`: only those that are not the first touch."""
        rank, units = what
        if rank.inner:
            entries, payloads = (NO_EVENTS if u is None else self._delivered(c, rank, u, again) for u in units)
            return entries, payloads
        if all(u is None for u in units):
            return NO_EVENTS, NO_EVENTS
        walk = self._walk(c.link, rank)
        absorbed = self._absorbed(layout, rank.masks)
        entries, payloads = (
            NO_EVENTS if u is None else self.own_rank_events(c, rank.masks, walk, (u[0] * absorbed, u[1]), again) for u in units
        )
        return entries, payloads

    def _walk(self, link: Link, rank: RankFibers) -> Lookups:
        if rank.name not in self._walks:
            self._walks[rank.name] = self.walk(link, rank)
        return self._walks[rank.name]

    def _absorbed(self, layout: Layout, masks: Masks) -> Array:
        """Positions that the child's loops add to one look at a rank (UB, UOP over merged loops)."""
        if not layout.absorbed:
            return 1.0
        extra: Array = 1.0
        reached: Array = False
        for slot in range(len(self.tiles.bounds) - 1, -1, -1):
            reached = ops.either(reached, masks.get(slot, False))
            if slot in layout.absorbed:
                exists = any_of({r: i.masks.get(slot, False) for r, i in enumerate(layout.items)})
                extra = extra * ops.one_unless(ops.both(reached, exists), layout.absorbed[slot])
        return extra

    def _delivered(self, c: LinkConditions, rank: RankFibers, unit: Units, again: bool) -> Events:
        """Entries of an inner rank: they travel with every delivery of the child's tile."""
        dense = self.dense[c.link.index]
        accesses = dense.updates if c.link.output and not again else dense.reads
        positions = dense.tile / self.tiles.size(*rank.below)
        factor, there = unit
        o, k, g = (widen(x, c.stay, self.tiles) for x in (c.outer, c.local, c.gates))
        o = o | there
        count = accesses / dense.tile * positions * factor
        return split_events(count, self.emptiness, (o, o | k, o | k, o | k | g), c.repeats if again else None)

    def _fills(self, link: Link, rank: RankFibers, units: EntryUnits) -> tuple[Events, Events]:
        """Entries and payloads written into the link's parent from the next outer level that keeps the tensor."""
        source = self._source(link)
        if source is None or all(u is None for u in units):
            return NO_EVENTS, NO_EVENTS
        c = self.safs.conditions(source)
        dense = self.dense[source.index]
        positions = dense.fills / self.tiles.size(*rank.below)
        o, k, g = (widen(x, c.arrival, self.tiles) for x in (c.outer, c.local, c.gates))
        result: list[Events] = []
        for unit in units:
            if unit is None:
                result.append(NO_EVENTS)
                continue
            sets = (o | unit[1], o | unit[1] | k, o | unit[1] | k, o | unit[1] | k | g)
            repeats = c.repeated_fills if link.output else None
            result.append(split_events(positions * unit[0], self.emptiness, sets, repeats))
        return result[0], result[1]

    def _source(self, link: Link) -> Link | None:
        outer = self.safs.plan.outer[link.index]
        return self.safs.plan.links[outer[-1]] if outer else None

    def _add_lone(self, c: LinkConditions, layout: Layout, counts: list[dict[str, tuple[Events, Events]]]) -> None:
        """A tile of one word keeps one entry in its lowest compressed rank; it arrives and is read with the word."""
        bottom = max((r for r, f in enumerate(layout.given.ranks) if f.compressed), default=None)
        link = c.link
        lone = ops.both(bottom is not None, self.tiles.size(link.tensor, self.tiles.inside(link.parent)) == 1)
        if bottom is None or lone is False:
            return
        dense, source = self.dense[link.index], self._source(link)
        weight = ops.zero_unless(lone, 1.0)
        found = {"reads": access_events(dense.reads * weight, self.emptiness, c, True, link.output)}
        if link.output:
            found["updates"] = access_events(dense.updates * weight, self.emptiness, c, True, False)
        if source is not None:
            arriving = self.dense[source.index].fills * weight
            found["fills"] = fill_events(arriving, self.emptiness, self.safs.conditions(source), True, link.output)
        for action, entry in found.items():
            entries, payloads = counts[bottom][action]
            counts[bottom][action] = (entries + entry, payloads)


def _reached(rank: RankFibers, slots: int) -> list[Array]:
    """Per slot: does it lie at or outside the rank's innermost loop?"""
    if rank.span is not None:
        return [slot < rank.span[1] for slot in range(slots)]
    reached: list[Array] = [False] * slots
    seen: Array = False
    for slot in range(slots - 1, -1, -1):
        seen = reached[slot] = ops.either(seen, rank.masks.get(slot, False))
    return reached
