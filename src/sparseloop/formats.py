"""Metadata traffic: the coordinate information that compressed and uncompressed formats store, move and look up.

Units per position of a rank, as conditions on the tensor itself (`below`: the tile of one position, `fibre`: of all
positions of the fibre):

    CP, RLE   one entry and one payload if `below` is non-empty
    B         one bit if `fibre`, one payload if `below` is non-empty
    UOP       (1 + 1/F) payloads if `fibre` is non-empty (F = fibre length)
    UB        one bit and one payload, always
    U         nothing

The payload of the innermost rank that has loops is the data itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from . import ops
from .emptiness import NONE, Condition, Conditions, Emptiness, widen
from .layout import Layout, Masks, lay_out
from .ops import Array
from .plan import Link
from .saf import NOTHING, Classes, Features, LinkConditions, classes, event_classes, fill_classes
from .sparse import RankFormat
from .tiles import FIXED, Cover, Tiles, join
from .traffic import LinkTraffic


@dataclass(frozen=True, kw_only=True, eq=False)
class RankTraffic:
    """Entries and payloads of one rank at one level, in units; widths in bits."""

    kind: str
    entry_bits: float
    payload_bits: float
    entries: dict[str, Classes]
    """Action (reads, fills, updates) to coordinate entries."""
    payloads: dict[str, Classes]

    def bits(self, action: str) -> Classes:
        """Metadata bits of one action."""
        return self._bits[action]

    @cached_property
    def _bits(self) -> dict[str, Classes]:
        return {
            action: self.entries[action] * self.entry_bits + self.payloads[action] * self.payload_bits
            for action in self.entries
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How often the entries of an own rank are looked at."""

    count: Array
    stay: Cover
    repeats: Cover
    """Irrelevant loops among those that advance: all at index 0 when an entry is looked at for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankPlace:
    """A rank with its numbers: where it lies and how long its fibres are."""

    format: RankFormat
    has_loops: Array
    innermost: Array
    length: Array
    """F: fibre length."""
    below: Conditions
    fibre: Conditions


class Metadata:
    """Metadata of all tensors at all levels for one batch; use `at(link)`."""

    def __init__(self, features: Features, dense: tuple[LinkTraffic, ...]) -> None:
        self.features = features
        self.tiles: Tiles = features.tiles
        self.emptiness: Emptiness = features.emptiness
        self.dense = dense
        self.layouts: dict[int, Layout | None] = {}
        self._places: dict[int, list[RankPlace]] = {}
        for link in reversed(features.plan.links):
            child = None if link.to_compute else features.plan.link_of[link.child, link.tensor]
            self.layouts[link.index] = lay_out(self.tiles, link, None if child is None else self.layouts[child.index])

    # --- places ---------------------------------------------------------------------------------------------

    def _any(self, masks: Masks) -> Array:
        result: Array = False
        for mask in masks.values():
            result = ops.either(result, mask)
        return result

    def places(self, link: Link) -> list[RankPlace]:
        """The ranks of a tensor at the link's parent with loops, lengths and emptiness conditions."""
        if link.index not in self._places:
            self._places[link.index] = self._find_places(link)
        return self._places[link.index]

    def _find_places(self, link: Link) -> list[RankPlace]:
        layout = self.layouts[link.index]
        assert layout is not None
        has = [self._any(layout.masks(r)) for r in range(len(layout.formats))]
        result: list[RankPlace] = []
        for r, rank_format in enumerate(layout.formats):
            deeper: Array = False
            for other in has[r + 1 :]:
                deeper = ops.either(deeper, other)
            masks = layout.masks(r)
            result.append(
                RankPlace(
                    format=rank_format,
                    has_loops=has[r],
                    innermost=ops.both(has[r], ops.negate(deeper)),
                    length=ops.product(ops.one_unless(m, layout.bounds[s]) for s, m in masks.items()),
                    below=self._tile(link, f"below{link.index}:{r}", masks, with_loops=False),
                    fibre=self._tile(link, f"fibre{link.index}:{r}", masks, with_loops=True),
                )
            )
        return result

    def _tile(self, link: Link, name: str, masks: Masks, with_loops: bool) -> Conditions:
        """Non-emptiness of one position (or of one fibre) of a rank."""
        layout = self.layouts[link.index]
        assert layout is not None
        start = self.features.plan.starts[link.parent]
        counts: dict[int, Array] = {}
        reached: Array = False
        for slot in range(len(self.tiles.n) - 1, start - 1, -1):
            mine = masks.get(slot, False)
            reached = ops.either(reached, mine)
            if slot not in link.relevant:
                continue
            outside = ops.both(reached, ops.negate(mine)) if with_loops else reached
            counts[slot] = ops.one_unless(ops.negate(outside), self.tiles.n[slot])
        if layout.absorbed:
            self._uncover_merged(link, layout, counts)
        return frozenset({self.emptiness.condition(link.tensor, self.tiles.named(name, counts))})

    def _uncover_merged(self, link: Link, layout: Layout, counts: dict[int, Array]) -> None:
        """Loops of the child lie where the own loop lies that absorbed them: fixed if that one is."""
        plan = self.features.plan
        for slot in [s for s in counts if s >= plan.starts[link.child]]:
            fixed: Array = False
            for own, holds in layout.holders.items():
                if own < slot and plan.slots[own].rank == plan.slots[slot].rank:
                    here = ops.both(self.tiles.n[own] > 1, counts[own] == 1)
                    fixed = ops.either(fixed, ops.both(holds, here))
            counts[slot] = ops.one_unless(ops.negate(fixed), counts[slot])

    def entry_units(self, place: RankPlace) -> tuple[list[tuple[Array, Conditions]], list[tuple[Array, Conditions]]]:
        """Units per position with their conditions: (entries, payloads); terms add up."""
        there = ops.zero_unless(place.has_loops, 1.0)
        payload = ops.zero_unless(ops.both(place.has_loops, ops.negate(place.innermost)), 1.0)
        match place.format.kind:
            case "CP" | "RLE":
                return [(there, place.below)], [(payload, place.below)]
            case "B":
                return [(there, place.fibre)], [(payload, place.below)]
            case "UOP":
                return [], [(payload * (1.0 + 1.0 / place.length), place.fibre)]
            case "UB":
                return [(there, NONE)], [(payload, NONE)]
            case _:
                return [], []

    # --- own ranks ------------------------------------------------------------------------------------------

    def walk(self, link: Link, masks: Masks, innermost: Array, name: str) -> Walk:
        """Looks at the entries of an own rank: whenever its loop, or any loop outside, advances.

        At the compute link there is no operand register: the innermost rank is looked at with every access.
        """
        plan, tiles = self.features.plan, self.tiles
        reached, at_or_outside = False, {}
        for slot in range(len(tiles.n) - 1, -1, -1):
            reached = ops.either(reached, masks.get(slot, False))
            at_or_outside[slot] = reached
        always = innermost if link.to_compute else False
        seen: Array = always
        count: Array = 1.0
        counts: dict[int, Array] = {}
        again: dict[int, Array] = {}
        for slot in link.temporal:
            if slot in link.relevant:
                seen = ops.either(seen, ops.both(at_or_outside[slot], tiles.n[slot] > 1))
            else:
                again[slot] = ops.one_unless(seen, tiles.n[slot])
            count = count * ops.one_unless(seen, tiles.n[slot])
            counts[slot] = ops.one_unless(ops.negate(seen), tiles.n[slot])
        for slot in plan.spatial(link.child):
            if slot in link.between and slot not in link.unshared:
                if slot in link.relevant:
                    count = count * ops.one_unless(at_or_outside[slot], tiles.n[slot])
                    counts[slot] = ops.one_unless(ops.negate(at_or_outside[slot]), tiles.n[slot])
                else:
                    counts[slot] = tiles.n[slot]
            else:
                count = count * tiles.n[slot]
        inside = tiles.point if link.to_compute else tiles.inside(link.child)
        return Walk(
            count=count, stay=join(inside, tiles.named(name, counts)), repeats=tiles.named(f"{name}+", again)
        )

    def known_before(self, masks: Masks, condition: Condition) -> Array:
        """True where the leader is known before the fibre is entered.

        Every loop of the leader at or inside the rank's outermost loop is covered by the condition.
        """
        tensor, cover = condition
        entered: Array = False
        known: Array = True
        for slot in range(len(self.tiles.n)):
            entered = ops.either(entered, masks.get(slot, False))
            if slot in self.features.plan.relevant[tensor] and entered is not False:
                covered = self.tiles.count(cover[slot], slot) == self.tiles.n[slot] if cover[slot] != FIXED else (
                    self.tiles.n[slot] == 1
                )
                known = ops.both(known, ops.either(ops.negate(entered), covered))
        return known

    def own_classes(
        self, c: LinkConditions, masks: Masks, walk: Walk, unit: tuple[Array, Conditions], again: bool
    ) -> Classes:
        """(F3) Classes of the looks at an own rank's entries: outer conditions, and local ones known in time."""
        factor, there = unit
        count = walk.count * factor
        if again:
            count = count * (1.0 - 1.0 / self.tiles.passes(walk.repeats))
        o = widen(c.outer, walk.stay, self.tiles) | there
        sure_skips, skips = self._local(c, masks, c.local, gates=False)
        sure_gates, gates = self._local(c, masks, c.local_gates, gates=True)
        optional = [(item, True) for item in skips] + [(item, False) for item in gates]
        result: Classes | None = None
        for size in range(len(optional) + 1):
            for chosen in combinations(optional, size):
                known_skips = frozenset(item[0] for item, skip in chosen if skip)
                known_gates = frozenset(item[0] for item, skip in chosen if not skip)
                k = o | widen(sure_skips | known_skips, walk.stay, self.tiles)
                g = k | widen(c.outer_gates | sure_gates | known_gates, walk.stay, self.tiles)
                part = classes(count, self.emptiness, (o, k, k, g), walk.repeats if again else None)
                weight: Array = True
                for choice in optional:
                    applies = choice[0][1]
                    weight = ops.both(weight, applies if choice in chosen else ops.negate(applies))
                part = part * (1.0 if weight is True else ops.zero_unless(weight, 1.0))
                result = part if result is None else result + part
        assert result is not None
        return result

    def _local(
        self, c: LinkConditions, masks: Masks, conditions: Conditions, gates: bool
    ) -> tuple[Conditions, list[tuple[Condition, Array]]]:
        """Local conditions that surely apply to an own rank's entries, and the others with where they do."""
        plan = self.features.plan
        followed: set[Condition] = set()
        for saf in self.features.acting(c.link):
            if (saf.kind == "gate") == gates and saf.intersection == "leader_follower":
                granule = self.features.granule(c.link, saf)
                followed |= {self.emptiness.condition(plan.einsum.index[u], granule) for u in saf.leaders}
        sure = frozenset(k for k in conditions if k in followed)
        others = sorted(conditions - sure, key=str)
        return sure, [(k, self.known_before(masks, k)) for k in others]

    # --- one level ------------------------------------------------------------------------------------------

    def at(self, link: Link) -> list[RankTraffic]:
        """Metadata reads and updates at the link's parent, and fills from its own parent."""
        layout = self.layouts[link.index]
        if layout is None:
            return []
        c = self.features.conditions(link)
        width = self.features.plan.arch.levels[link.parent].metadata_word_bits
        places = self.places(link)
        lone = ops.negate(self._any({r: p.has_loops for r, p in enumerate(places)}))
        bottom = max((r for r, f in enumerate(layout.formats) if f.compressed), default=None)
        ranks: list[RankTraffic] = []
        for r, place in enumerate(places):
            actions = self._actions(c, layout, r, place)
            if r == bottom and lone is not False:
                actions = {k: (v[0] + self._lone(c, k) * ops.zero_unless(lone, 1.0), v[1]) for k, v in actions.items()}
            given = place.format
            one_bit = 1.0 if given.kind == "B" else width
            ranks.append(
                RankTraffic(
                    kind=given.kind,
                    entry_bits=one_bit if given.metadata_bits is None else given.metadata_bits,
                    payload_bits=width if given.payload_bits is None else given.payload_bits,
                    entries={k: v[0] for k, v in actions.items()},
                    payloads={k: v[1] for k, v in actions.items()},
                )
            )
        return ranks

    def _actions(
        self, c: LinkConditions, layout: Layout, rank: int, place: RankPlace
    ) -> dict[str, tuple[Classes, Classes]]:
        """(entries, payloads) of one rank per action; a first touch of an output's entry needs no read."""
        output = c.link.output
        nothing = (NOTHING, NOTHING)
        return {
            "reads": self._accesses(c, (layout, rank), place, again=output),
            "fills": self._fills(c.link, place),
            "updates": self._accesses(c, (layout, rank), place, again=False) if output else nothing,
        }

    def _accesses(
        self, c: LinkConditions, at: tuple[Layout, int], place: RankPlace, again: bool
    ) -> tuple[Classes, Classes]:
        """Looks at one rank at the parent; `again`: only those that are not the first touch."""
        layout, rank = at
        own, inner = layout.own[rank], layout.inner[rank]
        result: list[Classes] = []
        for terms in self.entry_units(place):
            count = NOTHING
            for factor, there in terms:
                if own:
                    walk = self.walk(c.link, own, place.innermost, f"walk{c.link.index}:{rank}")
                    here = ops.zero_unless(self._any(own), factor) * self._absorbed(layout, own)
                    count = count + self.own_classes(c, own, walk, (here, there), again)
                if inner:
                    here = ops.zero_unless(self._any(inner), factor)
                    count = count + self._delivered(c, place, (here, there), again)
            result.append(count)
        return result[0], result[1]

    def _absorbed(self, layout: Layout, masks: Masks) -> Array:
        """Positions that the child's loops add to one look at a rank (UB, UOP over merged loops)."""
        extra: Array = 1.0
        reached: Array = False
        for slot in range(len(self.tiles.n) - 1, -1, -1):
            reached = ops.either(reached, masks.get(slot, False))
            if slot in layout.absorbed:
                exists = self._any({r: m.get(slot, False) for r, m in enumerate(layout.own)})
                extra = extra * ops.one_unless(ops.both(reached, exists), layout.absorbed[slot])
        return extra

    def _delivered(
        self, c: LinkConditions, place: RankPlace, unit: tuple[Array, Conditions], again: bool
    ) -> Classes:
        """Entries of an inner rank: they travel with every delivery of the child's tile."""
        dense = self.dense[c.link.index]
        accesses = dense.updates if c.link.output and not again else dense.reads
        tensor, below = next(iter(place.below))
        positions = dense.tile / self.tiles.size(tensor, below)
        factor, there = unit
        o, k, g = (widen(x, c.stay, self.tiles) for x in (c.outer, c.local, c.gates))
        o = o | there
        count = accesses / dense.tile * positions * factor
        return classes(count, self.emptiness, (o, o | k, o | k, o | k | g), c.repeats if again else None)

    def _fills(self, link: Link, place: RankPlace) -> tuple[Classes, Classes]:
        """Entries and payloads written into the link's parent from the next outer level that keeps the tensor."""
        source = self._source(link)
        if source is None:
            return NOTHING, NOTHING
        c = self.features.conditions(source)
        dense = self.dense[source.index]
        tensor, below = next(iter(place.below))
        positions = dense.tile / self.tiles.size(tensor, below)
        o, k, g = (widen(x, c.arrival, self.tiles) for x in (c.outer, c.local, c.gates))
        result: list[Classes] = []
        for terms in self.entry_units(place):
            count = NOTHING
            for factor, there in terms:
                number = dense.fills / dense.tile * positions * factor
                sets = (o | there, o | there | k, o | there | k, o | there | k | g)
                count = count + classes(number, self.emptiness, sets, c.repeats if link.output else None)
            result.append(count)
        return result[0], result[1]

    def _source(self, link: Link) -> Link | None:
        outer = self.features.plan.outer[link.index]
        return self.features.plan.links[outer[-1]] if outer else None

    def _lone(self, c: LinkConditions, action: str) -> Classes:
        """A tile of one word keeps one entry, which arrives with the word and is read with it (same classes)."""
        link = c.link
        dense = self.dense[link.index]
        if action == "fills":
            source = self._source(link)
            if source is None:
                return NOTHING
            count = self.dense[source.index].fills
            return fill_classes(count, self.emptiness, self.features.conditions(source), True, link.output)
        count = dense.reads if action == "reads" else dense.updates
        return event_classes(count, self.emptiness, c, True, link.output and action == "reads")
