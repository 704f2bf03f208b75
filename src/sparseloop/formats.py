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
from itertools import combinations

from . import ops
from .emptiness import NONE, Conditions, Emptiness, widen
from .layout import Layout, Masks, lay_out
from .ops import Array
from .plan import Link
from .saf import NOTHING, Classes, Features, LinkConditions, classes
from .sparse import RankFormat
from .tiles import FIXED, Cover, Tiles, join
from .traffic import LinkTraffic


@dataclass(frozen=True, slots=True, kw_only=True)
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
        return self.entries[action] * self.entry_bits + self.payloads[action] * self.payload_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How often the entries of an own rank are looked at."""

    count: Array
    stay: Cover


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
                    length=ops.product(ops.where(m, layout.bounds[s], 1) for s, m in masks.items()),
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
            counts[slot] = ops.where(outside, 1, self.tiles.n[slot])
        if layout.absorbed:
            self._uncover_merged(link, layout, masks, (counts, with_loops))
        return frozenset({self.emptiness.condition(link.tensor, self.tiles.named(name, counts))})

    def _uncover_merged(
        self, link: Link, layout: Layout, masks: Masks, tile: tuple[dict[int, Array], bool]
    ) -> None:
        """Loops of the child that an own loop absorbed lie where that own loop lies."""
        counts, with_loops = tile
        plan = self.features.plan
        start = plan.starts[link.child]
        for slot in [s for s in counts if s >= start]:
            own = [s for s in masks if s < start and plan.slots[s].rank == plan.slots[slot].rank]
            fixed: Array = False
            for s in own:
                here = counts[s] == 1 if with_loops else ops.either(masks[s], counts[s] == 1)
                fixed = ops.either(fixed, ops.both(self.tiles.n[s] > 1, here))
            counts[slot] = ops.where(fixed, 1, counts[slot])

    def entry_units(self, place: RankPlace) -> tuple[list[tuple[Array, Conditions]], list[tuple[Array, Conditions]]]:
        """Units per position with their conditions: (entries, payloads); terms add up."""
        there = ops.where(place.has_loops, 1.0, 0.0)
        payload = ops.where(ops.both(place.has_loops, ops.negate(place.innermost)), 1.0, 0.0)
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
        for slot in link.temporal:
            if slot in link.relevant:
                seen = ops.either(seen, ops.both(at_or_outside[slot], tiles.n[slot] > 1))
            count = count * ops.where(seen, tiles.n[slot], 1)
            counts[slot] = ops.where(seen, 1, tiles.n[slot])
        for slot in plan.spatial(link.child):
            if slot in link.between and slot not in link.unshared:
                if slot in link.relevant:
                    count = count * ops.where(at_or_outside[slot], tiles.n[slot], 1)
                    counts[slot] = ops.where(at_or_outside[slot], 1, tiles.n[slot])
                else:
                    counts[slot] = tiles.n[slot]
            else:
                count = count * tiles.n[slot]
        inside = tiles.point if link.to_compute else tiles.inside(link.child)
        return Walk(count=count, stay=join(inside, tiles.named(name, counts)))

    def known_before(self, masks: Masks, condition: tuple[int, Cover]) -> Array:
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
        self, c: LinkConditions, masks: Masks, walk: Walk, unit: tuple[Array, Conditions]
    ) -> Classes:
        """(F3) Classes of the looks at an own rank's entries: outer conditions, gates, and local ones known in time."""
        factor, there = unit
        o = widen(c.outer, walk.stay, self.tiles) | there
        g = widen(c.gates, walk.stay, self.tiles)
        applies, optional = self._local(c, masks)
        result: Classes | None = None
        for size in range(len(optional) + 1):
            for chosen in combinations(optional, size):
                known = frozenset(condition for condition, _ in chosen)
                k = widen(applies | known, walk.stay, self.tiles)
                part = classes(walk.count * factor, self.emptiness, (o, o | k, o | k, o | k | g))
                weight: Array = True
                for item in optional:
                    weight = ops.both(weight, item[1] if item in chosen else ops.negate(item[1]))
                part = part * (1.0 if weight is True else ops.where(weight, 1.0, 0.0))
                result = part if result is None else result + part
        assert result is not None
        return result

    def _local(self, c: LinkConditions, masks: Masks) -> tuple[Conditions, list[tuple[tuple[int, Cover], Array]]]:
        """Local conditions that surely apply, and the others with where they do."""
        plan = self.features.plan
        followed: set[tuple[int, Cover]] = set()
        for saf in self.features.acting(c.link):
            if saf.kind != "gate" and saf.intersection == "leader_follower":
                granule = self.features.granule(c.link, saf)
                followed |= {self.emptiness.condition(plan.einsum.index[u], granule) for u in saf.leaders}
        sure = frozenset(k for k in c.local if k in followed)
        others = sorted(c.local - sure, key=str)
        return sure, [(k, self.known_before(masks, k)) for k in others]

    # --- one level ------------------------------------------------------------------------------------------

    def at(self, link: Link) -> list[RankTraffic]:
        """Metadata reads and updates at the link's parent, and fills from its own parent."""
        layout = self.layouts[link.index]
        if layout is None:
            return []
        c = self.features.conditions(link)
        level = self.features.plan.arch.levels[link.parent]
        places = self.places(link)
        lone = ops.negate(self._any({r: p.has_loops for r, p in enumerate(places)}))
        bottom = max((r for r, f in enumerate(layout.formats) if f.compressed), default=None)
        ranks: list[RankTraffic] = []
        for r, place in enumerate(places):
            counts = [self._rank_reads(c, layout, r, place), self._rank_fills(link, place)]
            if r == bottom:
                counts = [self._with_lone(item, self._lone(c, kind), lone) for kind, item in enumerate(counts)]
            entries = self._actions(link, counts, 0)
            payloads = self._actions(link, counts, 1)
            width = level.metadata_word_bits
            one_bit = 1.0 if place.format.kind == "B" else width
            ranks.append(
                RankTraffic(
                    kind=place.format.kind,
                    entry_bits=one_bit if place.format.metadata_bits is None else place.format.metadata_bits,
                    payload_bits=width if place.format.payload_bits is None else place.format.payload_bits,
                    entries=entries,
                    payloads=payloads,
                )
            )
        return ranks

    def _actions(self, link: Link, counts: list[list[Classes]], which: int) -> dict[str, Classes]:
        """reads, fills, updates of entries (which = 0) or payloads (1); first touches of outputs need no read."""
        accesses, fills = counts[0][which], counts[1][which]
        if not link.output:
            return {"reads": accesses, "fills": fills, "updates": NOTHING}
        dense = self.dense[link.index]
        again = ops.ratio(dense.reads, dense.updates)
        return {"reads": accesses * again, "fills": fills, "updates": accesses}

    def _rank_reads(self, c: LinkConditions, layout: Layout, rank: int, place: RankPlace) -> list[Classes]:
        """Accesses of one rank at the parent: entries and payloads."""
        link = c.link
        own, inner = layout.own[rank], layout.inner[rank]
        result: list[Classes] = []
        for terms in self.entry_units(place):
            count = NOTHING
            for factor, there in terms:
                if own:
                    walk = self.walk(link, own, place.innermost, f"walk{link.index}:{rank}")
                    here = ops.where(self._any(own), factor, 0.0) * self._absorbed(layout, own)
                    count = count + self.own_classes(c, own, walk, (here, there))
                if inner:
                    here = ops.where(self._any(inner), factor, 0.0)
                    count = count + self._delivered(c, place, (here, there))
            result.append(count)
        return result

    def _absorbed(self, layout: Layout, masks: Masks) -> Array:
        """Positions that the child's loops add to one look at a rank (UB, UOP over merged loops)."""
        extra: Array = 1.0
        reached: Array = False
        for slot in range(len(self.tiles.n) - 1, -1, -1):
            reached = ops.either(reached, masks.get(slot, False))
            if slot in layout.absorbed:
                exists = self._any({r: m.get(slot, False) for r, m in enumerate(layout.own)})
                extra = extra * ops.where(ops.both(reached, exists), layout.absorbed[slot], 1.0)
        return extra

    def _delivered(self, c: LinkConditions, place: RankPlace, unit: tuple[Array, Conditions]) -> Classes:
        """Entries of an inner rank: they travel with every delivery of the child's tile."""
        link, dense = c.link, self.dense[c.link.index]
        accesses = dense.updates if link.output else dense.reads
        tensor, below = next(iter(place.below))
        positions = dense.tile / self.tiles.size(tensor, below)
        factor, there = unit
        o, k, g = (widen(x, c.stay, self.tiles) for x in (c.outer, c.local, c.gates))
        o = o | there
        count = accesses / dense.tile * positions * factor
        return classes(count, self.emptiness, (o, o | k, o | k, o | k | g))

    def _rank_fills(self, link: Link, place: RankPlace) -> list[Classes]:
        """Entries and payloads written into the link's parent from the next outer level that keeps the tensor."""
        source = self._source(link)
        if source is None:
            return [NOTHING, NOTHING]
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
                count = count + classes(number, self.emptiness, sets)
            result.append(count)
        return result

    def _source(self, link: Link) -> Link | None:
        outer = self.features.plan.outer[link.index]
        return self.features.plan.links[outer[-1]] if outer else None

    def _lone(self, c: LinkConditions, kind: int) -> Classes:
        """A tile of one word keeps one entry, which arrives with the word (kind 1) and is read with it (kind 0)."""
        there = frozenset({c.word})
        if kind == 0:
            dense = self.dense[c.link.index]
            count, stay = (dense.updates if c.link.output else dense.reads), c.stay
        else:
            source = self._source(c.link)
            if source is None:
                return NOTHING
            c = self.features.conditions(source)
            count, stay = self.dense[source.index].fills, c.arrival
        o, k, g = (widen(x, stay, self.tiles) for x in (c.outer, c.local, c.gates))
        o = o | there
        return classes(count, self.emptiness, (o, o | k, o | k, o | k | g))

    def _with_lone(self, counts: list[Classes], lone_entry: Classes, lone: Array) -> list[Classes]:
        if lone is False:
            return counts
        return [counts[0] + lone_entry * ops.where(lone, 1.0, 0.0), counts[1]]

