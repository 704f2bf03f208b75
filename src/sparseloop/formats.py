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
from itertools import product

from . import ops
from .emptiness import NONE, Condition, Conditions, Emptiness, widen
from .layout import Item, Layout, Masks, lay_out
from .ops import Array
from .plan import Link
from .saf import NOTHING, Classes, Features, LinkConditions, classes, event_classes, fill_classes
from .sparse import RankFormat
from .tiles import FIXED, Cover, Tiles, join
from .traffic import LinkTraffic


Units = tuple[Array, Conditions]
"""Units per position, and the condition under which they exist."""
PlaceUnits = tuple[Units | None, Units | None]


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
    """A rank on loops it may take, with its numbers."""

    name: str
    rank: int
    format: RankFormat
    inner: bool
    """It travels with a delivery of the child's tile; else the level walks it."""
    masks: Masks
    """The loops; for a single loop True: what follows holds where the rank takes it."""
    span: tuple[int, int] | None
    """First and last+1 slot if the rank takes every loop of the tensor between."""
    has_loops: Array
    innermost: Array
    length: Array
    """F: fibre length."""
    below: Condition
    fibre: Condition


class Metadata:
    """Metadata of all tensors at all levels for one batch; use `at(link)`."""

    def __init__(self, features: Features, dense: tuple[LinkTraffic, ...]) -> None:
        self.features = features
        self.tiles: Tiles = features.tiles
        self.emptiness: Emptiness = features.emptiness
        self.dense = dense
        self.layouts: dict[int, Layout | None] = {}
        self._places: dict[int, list[RankPlace]] = {}
        self._walks: dict[str, Walk] = {}
        for link in reversed(features.plan.links):
            child = None if link.to_compute else features.plan.link_of[link.child, link.tensor]
            self.layouts[link.index] = lay_out(self.tiles, link, None if child is None else self.layouts[child.index])

    # --- places ---------------------------------------------------------------------------------------------

    def places(self, link: Link) -> list[RankPlace]:
        """The ranks of a tensor at the link's parent with loops, lengths and emptiness conditions."""
        if link.index not in self._places:
            layout = self.layouts[link.index]
            assert layout is not None
            places: list[RankPlace] = []
            for number, item in enumerate(layout.items):
                if item.span is not None:
                    places.append(self._spanning(link, layout, item, number))
                elif item.slot is not None and not layout.absorbed:
                    places += self._single(link, layout, item, number)
                else:
                    places.append(self._flattened(link, layout, item, number))
            self._places[link.index] = places
        return self._places[link.index]

    def _single(self, link: Link, layout: Layout, item: Item, number: int) -> list[RankPlace]:
        """A rank of one loop; at the compute link apart for "it is the innermost one" and "it is not"."""
        slot = item.slot
        assert slot is not None
        mask = item.masks[slot]
        inside = [s for s in sorted(link.relevant) if s > slot]
        alone: Array = True
        for s in inside:
            alone = ops.both(alone, self.tiles.n[s] == 1)
        condition = self.emptiness.condition

        def place(has: Array, innermost: Array, variant: str) -> RankPlace:
            return RankPlace(
                name=f"{link.index}:{number}{variant}",
                rank=item.rank,
                format=layout.given.ranks[item.rank],
                inner=item.inner,
                masks={slot: True},
                span=None,
                has_loops=has,
                innermost=innermost,
                length=self.tiles.n[slot],
                below=condition(link.tensor, self.tiles.covering(inside)),
                fibre=condition(link.tensor, self.tiles.covering([slot, *inside])),
            )

        if not link.to_compute or isinstance(alone, bool):
            return [place(mask, ops.both(mask, alone) if alone is not True else True, "")]
        return [
            place(ops.both(mask, alone), True, "i"),
            place(ops.both(mask, ops.negate(alone)), False, "o"),
        ]

    def _spanning(self, link: Link, layout: Layout, item: Item, number: int) -> RankPlace:
        """A rank that takes every loop of the tensor in a range of slots."""
        assert item.span is not None
        start, stop = item.span
        mine = [s for s in sorted(link.relevant) if start <= s < stop]
        inside = [s for s in sorted(link.relevant) if s >= stop]
        length = self.tiles.product(mine)
        return RankPlace(
            name=f"{link.index}:{number}",
            rank=item.rank,
            format=layout.given.ranks[item.rank],
            inner=item.inner,
            masks=item.masks,
            span=item.span,
            has_loops=length > 1,
            innermost=self.tiles.product(inside) == 1 if inside else True,
            length=length,
            below=self.emptiness.condition(link.tensor, self.tiles.covering(inside)),
            fibre=self.emptiness.condition(link.tensor, self.tiles.covering([*mine, *inside])),
        )

    def _flattened(self, link: Link, layout: Layout, item: Item, number: int) -> RankPlace:
        """A rank of several loops, or of loops merged with the child's."""
        has = _any(item.masks)
        deeper: Array = False
        for other in layout.items[number + 1 :]:
            deeper = ops.either(deeper, _any(other.masks))
        name = f"{link.index}:{number}"
        return RankPlace(
            name=name,
            rank=item.rank,
            format=layout.given.ranks[item.rank],
            inner=item.inner,
            masks=item.masks,
            span=None,
            has_loops=has,
            innermost=ops.both(has, ops.negate(deeper)),
            length=ops.product(ops.one_unless(m, layout.bounds[s]) for s, m in item.masks.items()),
            below=self._tile(link, f"below{name}", item.masks, with_loops=False),
            fibre=self._tile(link, f"fibre{name}", item.masks, with_loops=True),
        )

    def _tile(self, link: Link, name: str, masks: Masks, with_loops: bool) -> Condition:
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
        return self.emptiness.condition(link.tensor, self.tiles.named(name, counts))

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

    def entry_units(self, place: RankPlace) -> tuple[Units | None, Units | None]:
        """(entries, payloads): units per position and the condition under which they exist; None if there are none."""
        there = ops.zero_unless(place.has_loops, 1.0)
        payload = 0.0
        if place.innermost is not True:
            payload = ops.zero_unless(ops.both(place.has_loops, ops.negate(place.innermost)), 1.0)
        data = None if place.innermost is True else (payload, frozenset({place.below}))
        match place.format.kind:
            case "CP" | "RLE":
                return (there, frozenset({place.below})), data
            case "B":
                return (there, frozenset({place.fibre})), data
            case "UOP":
                offsets = payload * (1.0 + 1.0 / place.length)
                return None, None if data is None else (offsets, frozenset({place.fibre}))
            case "UB":
                return (there, NONE), None if data is None else (payload, NONE)
            case _:
                return None, None

    # --- own ranks ------------------------------------------------------------------------------------------

    def walk(self, link: Link, place: RankPlace) -> Walk:
        """Looks at the entries of an own rank: whenever its loop, or any loop outside, advances.

        At the compute link there is no operand register: the innermost rank is looked at with every access.
        """
        plan, tiles, masks, name = self.features.plan, self.tiles, place.masks, place.name
        at_or_outside = _reached(place, len(tiles.n))
        seen: Array = place.innermost if link.to_compute else False
        steps: list[int] = []
        count: Array = 1.0
        stay: dict[int, Array] = {}
        again: dict[int, Array] = {}
        whole: list[int] = []
        for slot in link.temporal:
            if slot in link.relevant:
                moves = masks.get(slot) is True or ops.both(at_or_outside[slot], tiles.n[slot] > 1)
                seen = ops.either(seen, moves)
            elif seen is not False:
                again[slot] = ops.one_unless(seen, tiles.n[slot])
            if seen is True:
                steps.append(slot)
            elif seen is False:
                whole.append(slot)
            else:
                count = count * ops.one_unless(seen, tiles.n[slot])
                stay[slot] = ops.one_unless(ops.negate(seen), tiles.n[slot])
        for slot in plan.spatial(link.child):
            shared = slot in link.between and slot not in link.unshared
            if shared and slot not in link.relevant:
                whole.append(slot)
            elif shared and at_or_outside[slot] is not True:
                count = count * ops.one_unless(at_or_outside[slot], tiles.n[slot])
                stay[slot] = ops.one_unless(ops.negate(at_or_outside[slot]), tiles.n[slot])
            else:
                steps.append(slot)
        inside = tiles.point if link.to_compute else tiles.inside(link.child)
        cover = join(join(inside, tiles.covering(whole)), tiles.named(f"walk{name}", stay))
        return Walk(count=count * tiles.product(steps), stay=cover, repeats=tiles.named(f"again{name}", again))

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
        optional = [(*item, True) for item in skips] + [(*item, False) for item in gates]
        result = NOTHING
        for applies in product((False, True), repeat=len(optional)):
            chosen = [item for item, on in zip(optional, applies, strict=True) if on]
            k = o | widen(sure_skips | {c for c, _, skip in chosen if skip}, walk.stay, self.tiles)
            g = k | widen(
                c.outer_gates | sure_gates | {c for c, _, skip in chosen if not skip}, walk.stay, self.tiles
            )
            weight: Array = True
            for (_, known, _), on in zip(optional, applies, strict=True):
                weight = ops.both(weight, known if on else ops.negate(known))
            if weight is not False:
                part = classes(count, self.emptiness, (o, k, k, g), walk.repeats if again else None)
                result = result + (part if weight is True else part * ops.zero_unless(weight, 1.0))
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
        """Metadata reads and updates at the link's parent, and fills from its own parent; outermost rank first."""
        layout = self.layouts[link.index]
        if layout is None:
            return []
        c = self.features.conditions(link)
        width = self.features.plan.arch.levels[link.parent].metadata_word_bits
        counts: list[dict[str, tuple[Classes, Classes]]] = [
            dict.fromkeys(("reads", "fills", "updates"), (NOTHING, NOTHING)) for _ in layout.given.ranks
        ]
        for place in self.places(link):
            for action, (entries, payloads) in self._actions(c, layout, place).items():
                before = counts[place.rank][action]
                counts[place.rank][action] = (before[0] + entries, before[1] + payloads)
        self._add_lone(c, layout, counts)
        return [
            RankTraffic(
                kind=given.kind,
                entry_bits=(1.0 if given.kind == "B" else width) if given.metadata_bits is None else given.metadata_bits,
                payload_bits=width if given.payload_bits is None else given.payload_bits,
                entries={k: v[0] for k, v in count.items()},
                payloads={k: v[1] for k, v in count.items()},
            )
            for given, count in zip(layout.given.ranks, counts, strict=True)
        ]

    def _actions(self, c: LinkConditions, layout: Layout, place: RankPlace) -> dict[str, tuple[Classes, Classes]]:
        """(entries, payloads) of one rank per action; a first touch of an output's entry needs no read."""
        output = c.link.output
        units = self.entry_units(place)
        made = {
            "reads": self._accesses(c, layout, (place, units), again=output),
            "fills": self._fills(c.link, place, units),
        }
        if output:
            made["updates"] = self._accesses(c, layout, (place, units), again=False)
        return made

    def _accesses(
        self, c: LinkConditions, layout: Layout, what: tuple[RankPlace, PlaceUnits], again: bool
    ) -> tuple[Classes, Classes]:
        """Looks at one rank at the parent; `again`: only those that are not the first touch."""
        place, units = what
        if place.inner:
            entries, payloads = (NOTHING if u is None else self._delivered(c, place, u, again) for u in units)
            return entries, payloads
        if all(u is None for u in units):
            return NOTHING, NOTHING
        walk = self._walk(c.link, place)
        absorbed = self._absorbed(layout, place.masks)
        entries, payloads = (
            NOTHING if u is None else self.own_classes(c, place.masks, walk, (u[0] * absorbed, u[1]), again) for u in units
        )
        return entries, payloads

    def _walk(self, link: Link, place: RankPlace) -> Walk:
        if place.name not in self._walks:
            self._walks[place.name] = self.walk(link, place)
        return self._walks[place.name]

    def _absorbed(self, layout: Layout, masks: Masks) -> Array:
        """Positions that the child's loops add to one look at a rank (UB, UOP over merged loops)."""
        if not layout.absorbed:
            return 1.0
        extra: Array = 1.0
        reached: Array = False
        for slot in range(len(self.tiles.n) - 1, -1, -1):
            reached = ops.either(reached, masks.get(slot, False))
            if slot in layout.absorbed:
                exists = _any({r: i.masks.get(slot, False) for r, i in enumerate(layout.items)})
                extra = extra * ops.one_unless(ops.both(reached, exists), layout.absorbed[slot])
        return extra

    def _delivered(
        self, c: LinkConditions, place: RankPlace, unit: Units, again: bool
    ) -> Classes:
        """Entries of an inner rank: they travel with every delivery of the child's tile."""
        dense = self.dense[c.link.index]
        accesses = dense.updates if c.link.output and not again else dense.reads
        positions = dense.tile / self.tiles.size(*place.below)
        factor, there = unit
        o, k, g = (widen(x, c.stay, self.tiles) for x in (c.outer, c.local, c.gates))
        o = o | there
        count = accesses / dense.tile * positions * factor
        return classes(count, self.emptiness, (o, o | k, o | k, o | k | g), c.repeats if again else None)

    def _fills(self, link: Link, place: RankPlace, units: PlaceUnits) -> tuple[Classes, Classes]:
        """Entries and payloads written into the link's parent from the next outer level that keeps the tensor."""
        source = self._source(link)
        if source is None or all(u is None for u in units):
            return NOTHING, NOTHING
        c = self.features.conditions(source)
        dense = self.dense[source.index]
        positions = dense.fills / self.tiles.size(*place.below)
        o, k, g = (widen(x, c.arrival, self.tiles) for x in (c.outer, c.local, c.gates))
        result: list[Classes] = []
        for unit in units:
            if unit is None:
                result.append(NOTHING)
                continue
            sets = (o | unit[1], o | unit[1] | k, o | unit[1] | k, o | unit[1] | k | g)
            repeats = c.repeats if link.output else None
            result.append(classes(positions * unit[0], self.emptiness, sets, repeats))
        return result[0], result[1]

    def _source(self, link: Link) -> Link | None:
        outer = self.features.plan.outer[link.index]
        return self.features.plan.links[outer[-1]] if outer else None

    def _add_lone(
        self, c: LinkConditions, layout: Layout, counts: list[dict[str, tuple[Classes, Classes]]]
    ) -> None:
        """A tile of one word keeps one entry in its lowest compressed rank; it arrives and is read with the word."""
        bottom = max((r for r, f in enumerate(layout.given.ranks) if f.compressed), default=None)
        link = c.link
        lone = ops.both(bottom is not None, self.tiles.size(link.tensor, self.tiles.inside(link.parent)) == 1)
        if bottom is None or lone is False:
            return
        dense, source = self.dense[link.index], self._source(link)
        weight = ops.zero_unless(lone, 1.0)
        found = {"reads": event_classes(dense.reads * weight, self.emptiness, c, True, link.output)}
        if link.output:
            found["updates"] = event_classes(dense.updates * weight, self.emptiness, c, True, False)
        if source is not None:
            arriving = self.dense[source.index].fills * weight
            found["fills"] = fill_classes(arriving, self.emptiness, self.features.conditions(source), True, link.output)
        for action, entry in found.items():
            entries, payloads = counts[bottom][action]
            counts[bottom][action] = (entries + entry, payloads)


def _reached(place: RankPlace, slots: int) -> list[Array]:
    """Per slot: does it lie at or outside the rank's innermost loop?"""
    if place.span is not None:
        return [slot < place.span[1] for slot in range(slots)]
    reached: list[Array] = [False] * slots
    seen: Array = False
    for slot in range(slots - 1, -1, -1):
        seen = reached[slot] = ops.either(seen, place.masks.get(slot, False))
    return reached


def _any(masks: Masks) -> Array:
    result: Array = False
    for mask in masks.values():
        result = ops.either(result, mask)
    return result
