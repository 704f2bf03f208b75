"""Gating and skipping: which events survive, and in which class the others fall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sparseloop.model import ops
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import Saf, Sparse
from sparseloop.model.plan import Link, LinkEnds, Plan
from sparseloop.model.sparsity.emptiness import (
    NONE,
    Condition,
    Conditions,
    Emptiness,
    in_order,
    random_only,
    tile_condition,
    widen,
)
from sparseloop.model.sparsity.events import EventPart, EventParts
from sparseloop.model.sparsity.known_events import (
    ComputeSurvival,
    Decision,
    Decisions,
    KnownEvents,
    LinkSurvival,
    Stages,
    Survival,
    is_needed,
)
from sparseloop.model.sparsity.padding import Seen, words_crossing
from sparseloop.model.sparsity.partial_sums import Progress, Stays, progress_held, progress_of
from sparseloop.model.sparsity.windows import Window, sliding_slots, windows
from sparseloop.model.traffic.stays import child_tile, repeats, stationary
from sparseloop.model.traffic.tiles import Cover, Tiles, join, words_met
from sparseloop.model.units import Count, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConditions:
    """(F2) What must hold for an event of a link to survive; covers as in `traffic.tiles`."""

    link: Link
    stay: Cover
    """R: what one access of the parent serves."""
    arrival: Cover
    """Stay of a fill: R, or that of a single copy when lanes are skipped one by one."""
    local: Conditions
    """K: skips on this link."""
    outer: Conditions
    """O: skips on the outer links of the tensor."""
    gates: Conditions
    """G: gates of this and all outer links."""
    local_gates: Conditions
    """Those of G that belong to this link."""
    outer_gates: Conditions
    """Those of G that belong to outer links."""
    inherited: Conditions
    """I: skips of the other operands, at the compute link."""
    word: Condition
    repeats: Cover
    """Loops that all stand at index 0 at the parent's first touch of a word."""
    repeated_fills: Cover
    """The same for a child."""
    progress: Progress | None = None  # of a result: how far it has come
    words: Seen | None = None  # of a padded tensor: its true words
    known: LinkSurvival | None = None
    """What known patterns leave, event by event; None where covers say it exactly."""

    def visits(
        self, repeats: Cover | None, stored: bool, progress: Progress | None = None, known: Survival | None = None
    ) -> Visits:
        """All visits, or those that are not first touches.

        `stored`: the event is of something that exists only where the result has come that far; what leads is the finished
        result. `progress`: another one than the link's words have.
        """
        made = (progress or self.progress) if stored else None
        return Visits(repeats, made if made is None or repeats is not None else made.at_updates(), known)


class SafConditions:
    """The conditions of every link under one choice among alternative features.

    `staying`: link index to the cover of the stay of the word in question, where the link's window slides.
    """

    def __init__(
        self, tiles: Tiles, emptiness: Emptiness, active: frozenset[Saf], staying: Mapping[int, Cover] | None = None
    ) -> None:
        self.tiles = tiles
        self.plan: Plan = tiles.plan
        self.emptiness = emptiness
        self.active = active
        self._conditions: dict[int, LinkConditions] = {}
        links, longer = self.plan.links, staying or dict[int, Cover]()
        self.copy_stay = [join(join(child_tile(tiles, k), stationary(tiles, k)), longer.get(k.index, tiles.point)) for k in links]
        """Per link: what one copy of a word serves while it stays at the child."""
        self.stay = [join(cover, tiles.covering(k.multicast)) for k, cover in zip(links, self.copy_stay, strict=True)]
        """Per link R: what one access of the parent serves, all copies together."""
        self.skips = [self._fired(link, saves_time=True) for link in self.plan.links]
        self.gates = [self._fired(link, saves_time=False) for link in self.plan.links]
        self.known: KnownEvents | None = tiles.once(("known events", active), self._known_events)
        """Where known patterns decide and covers do not say exactly what checks see."""

    def acting(self, link: Link) -> list[Saf]:
        """The features on this link that take effect."""
        return [s for s in link.safs if s in self.active and self.leaders(s)]

    def leaders(self, saf: Saf) -> tuple[str, ...]:
        """The leaders that are looked at.

        Timeloop's files: a spatial skip knows nothing of a leader that has no format where it is looked up.
        """
        if not saf.packs or not self.plan.sparse.timeloop_reading:
            return saf.leaders
        return tuple(leader for leader in saf.leaders if _known_at(self.plan, saf.level, leader))

    def _fired(self, link: Link, *, saves_time: bool) -> Conditions:
        return frozenset(
            tile_condition(self.tiles, self.plan.einsum.index[leader], self.granule(link, saf))
            for saf in self.acting(link)
            if saf.saves_time == saves_time
            for leader in self.leaders(saf)
        )

    def _known_events(self) -> KnownEvents | None:
        decisions = self.decisions()
        return KnownEvents(self.tiles, decisions) if is_needed(self.tiles, decisions) else None

    def decisions(self) -> Decisions:
        """What decides on every event, leader by leader: the conditions before covers are made of them."""
        links, index = self.plan.links, self.plan.einsum.index

        def of(link: Link, saves_time: bool) -> tuple[Decision, ...]:
            block = self.plan.arch.levels[link.parent].block_size
            return tuple(
                Decision(index[leader], link.index, saf.packs, 1 if saf.packs else block, saf.jumps)
                for saf in self.acting(link)
                if saf.saves_time == saves_time
                for leader in self.leaders(saf)
            )

        skips, gates = ([of(link, saves_time) for link in links] for saves_time in (True, False))
        operands = [link.index for link in links if not link.output]
        own = tuple(Decision(t) for t, _ in in_order(self.compute_skips()))

        def stages(link: Link) -> Stages:
            outer, inherited = self.plan.outer[link.index], tuple[Decision, ...]()
            if link.to_compute and self.plan.sparse.implied_skips:
                inherited = _joined(skips, operands) + (own if link.output else ())
            above = _joined(gates, outer)
            return Stages(
                outer=_joined(skips, outer), local=skips[link.index], inherited=inherited, gates=gates[link.index] + above
            )

        awake = tuple(Decision(t) for t, _ in in_order(self.compute_gates()))
        every = {link.index: stages(link) for link in links}
        return Decisions(every, _joined(skips, operands), own, _joined(gates, operands) + awake)

    def granule(self, link: Link, saf: Saf) -> Cover:
        """S: the part of the nest whose leader elements decide, widened to one access of the parent's block.

        A spatial skip is decided lane by lane and never widened.
        """
        own = saf.packs
        cover = self.copy_stay[link.index] if own else self.stay[link.index]
        block = self.plan.arch.levels[link.parent].block_size
        if block <= 1 or own:
            return cover
        return join(cover, self.tiles.once(("block", link.index), lambda: self._block(link, block)))

    def _block(self, link: Link, block: int) -> Cover:
        """The follower's loops met by one access of `block` words, innermost first, if the child's tile is smaller."""
        tiles = self.tiles
        left: Words = block / words_met(tiles, link.tensor, child_tile(tiles, link))
        counts: dict[int, Count] = {}
        for slot in reversed(range(self.plan.starts[link.parent], self.plan.starts[link.child])):
            if slot in link.relevant:
                counts[slot] = ops.minimum(tiles.bounds[slot], ops.maximum(1, ops.ceil(left)))
                left = left / counts[slot]
        return tiles.partial_cover(f"block{link.index}", counts)

    def conditions(self, link: Link) -> LinkConditions:
        """(F2) K, O, G and I of a link."""
        if link.index not in self._conditions:
            self._conditions[link.index] = self._conditions_of(link)
        return self._conditions[link.index]

    def _conditions_of(self, link: Link) -> LinkConditions:
        outer = self.plan.outer[link.index]
        at = link.index
        outer_gates = frozenset[Condition]().union(*(self.gates[o] for o in outer))
        local_gates = self.gates[at]
        spatial = any(s.packs for s in self.acting(link))
        return LinkConditions(
            link=link,
            stay=self.stay[at],
            arrival=self.copy_stay[at] if spatial else self.stay[at],
            local=self.skips[at],
            outer=frozenset[Condition]().union(*(self.skips[o] for o in outer)),
            gates=local_gates | outer_gates,
            local_gates=local_gates,
            outer_gates=outer_gates,
            inherited=self._inherited(link),
            word=tile_condition(self.tiles, link.tensor, self.tiles.point),
            repeats=repeats(self.tiles, link, of_parent=True),
            repeated_fills=repeats(self.tiles, link, of_parent=False),
            known=self.known.link(link) if self.known is not None and self.known.tells(link) else None,
            progress=self.progress(link, self.stay[at]),
            words=words_crossing(self.tiles, link),
        )

    def progress(self, link: Link, stay: Cover) -> Progress | None:
        """How far a result has come at events of a link with this stay; None where its density is given."""
        made = self.plan.einsum.tensors[link.tensor].density.produced
        return progress_of(self.tiles, link, Stays(self.stay, self.copy_stay), stay) if made else None

    def held(self, link: Link) -> Progress | None:
        """What an instance of the link's parent holds of a result at the end of a visit; None if that is as if finished."""
        stays = Stays(self.stay, self.copy_stay)
        if not self.plan.einsum.tensors[link.tensor].density.produced:
            return None
        return self.tiles.once(("held", link.index, self.copy_stay[link.index]), lambda: progress_held(self.tiles, link, stays))

    def _inherited(self, link: Link) -> Conditions:
        if not link.to_compute or not self.plan.sparse.implied_skips:
            return NONE
        skips = self.operand_conditions(self.skips)
        return skips | self.compute_skips() if link.output else skips

    def operand_conditions(self, of_links: list[Conditions]) -> Conditions:
        """Union over the links of all operands (read-only tensors)."""
        return frozenset[Condition]().union(*(of_links[k.index] for k in self.plan.links if not k.output))

    def compute_skips(self) -> Conditions:
        """Conditions of the compute unit's own skip: operands whose innermost level stores metadata."""
        if not self.plan.sparse.compute_skip:
            return NONE
        return frozenset(
            tile_condition(self.tiles, k.tensor, self.tiles.point)
            for k in self.plan.links
            if k.to_compute and not k.output and k.parent_format is not None and k.parent_format.has_metadata
        )

    def compute_gates(self) -> Conditions:
        """Conditions of the compute unit's own gate: every operand's value."""
        if not self.plan.sparse.compute_gate:
            return NONE
        return frozenset(
            tile_condition(self.tiles, k.tensor, self.tiles.point) for k in self.plan.links if k.to_compute and not k.output
        )

    @cached_property
    def left_of_computes(self) -> ComputeSurvival | None:
        """What known patterns leave of the computes, one by one; None where covers say it."""
        return self.known.computes() if self.known is not None and self.known.tells_computes() else None

    def windows(self, link: Link) -> list[Window]:
        """The groups of words by length of stay in a sliding window; empty where no leader notices the difference."""
        conditions = self.skips[link.index] | self.gates[link.index]
        if self.known is not None and all(map(self.known.tells, self.plan.links)):
            conditions = random_only(self.plan, conditions)
        leaders = {t for t, _ in conditions}
        if any(s in self.plan.relevant[t] for s in sliding_slots(self.tiles, link) for t in leaders):
            return windows(self.tiles, link)
        return []


def _joined(decisions: Sequence[tuple[Decision, ...]], links: Iterable[int]) -> tuple[Decision, ...]:
    """The decisions of several links, each once."""
    return tuple(dict.fromkeys(decision for link in links for decision in decisions[link]))


def _known_at(plan: Plan, level: int, tensor: str) -> bool:
    """True if the innermost level at or outside `level` that keeps the tensor stores a format for it."""
    at = next((i for i in range(level, -1, -1) if tensor in plan.nest.keep[i]), None)
    return at is not None and plan.sparse.format(at, tensor) is not None


@dataclass(frozen=True, slots=True)
class Visits:
    """Which visits events are averaged over."""

    repeats: Cover | None = None
    """Not those at which all of these loops stand at index 0."""
    progress: Progress | None = None
    """How far a result has come at them."""
    known: Survival | None = None
    """What known patterns leave after each step; then covers are asked for random tensors only."""
    seen: Seen | None = None
    """Events of a padded tensor that are not alike at every place."""


EVERY_VISIT = Visits()


def split_events(count: Count, emptiness: Emptiness, steps: Sequence[Conditions], visits: Visits = EVERY_VISIT) -> EventParts:
    """(F3) Split a dense count by the growing sets of conditions O, O+K, O+K+I, O+K+I+G."""
    if visits.known is None:
        return EventParts((EventPart(count, *emptiness.survival(steps, visits.repeats, visits.progress, visits.seen)),))
    random = [random_only(emptiness.tiles.plan, step) for step in steps]
    shares = emptiness.survival(random, None, visits.progress, visits.seen)
    return EventParts((EventPart(count, *(share * left for share, left in zip(shares, visits.known, strict=True))),))


def access_events(count: Count, emptiness: Emptiness, c: LinkConditions, word: bool, repeats: bool) -> EventParts:
    """(F3) Reads and updates of the parent: stay R; `word`: the parent stores no zeros."""
    own = frozenset({c.word}) if word else NONE
    o = widen(c.outer | own, c.stay, emptiness.tiles, but=c.word if word else None)
    k, i, g = (widen(x, c.stay, emptiness.tiles) for x in (c.local, c.inherited, c.gates))
    known = None if c.known is None else c.known.repeated if repeats else c.known.accesses
    visits = replace(c.visits(c.repeats if repeats else None, word, known=known), seen=c.words)
    return split_events(count, emptiness, (o, o | k, o | k | i, o | k | i | g), visits)


def fill_events(count: Count, emptiness: Emptiness, c: LinkConditions, word: bool, repeats: bool) -> EventParts:
    """(F3) Fills of the child: the link's own features decide; `word`: it stores no zeros. None where copies start empty."""
    own = frozenset({c.word}) if word else NONE
    o = widen(c.outer | own, c.arrival, emptiness.tiles, but=c.word if word else None)
    k, g = (widen(x, c.arrival, emptiness.tiles) for x in (c.local, c.gates))
    again, known = c.repeated_fills if repeats else None, None if c.known is None else c.known.fills
    visits = replace(c.visits(again, word, known=known), seen=c.words)
    found = split_events(count, emptiness, (o, o | k, o | k, o | k | g), visits)
    return found if c.link.partials != "add" else found.removed()


def compute_events(safs: SafConditions, computes: Count) -> EventParts:
    """(F5) Computes: skipped if any skip of an operand's link fires, else gated if any gate fires, else actual."""
    skips = safs.operand_conditions(safs.skips) | safs.compute_skips()
    gates = safs.operand_conditions(safs.gates) | safs.compute_gates()
    left = safs.left_of_computes
    if left is not None:
        skips, gates = random_only(safs.plan, skips), random_only(safs.plan, gates)
    kept, awake = safs.emptiness.survival((skips, skips | gates), None, None)
    if left is not None:
        kept, awake = kept * left.kept, awake * left.awake
    return EventParts((EventPart(computes, 1.0, kept, kept, awake),))


def skipped_at_compute(safs: SafConditions, computes: Count) -> Count:
    """Computes removed by the compute unit's own skip and by no skip of an operand's link."""
    outer = safs.operand_conditions(safs.skips)
    own = safs.compute_skips()
    if not own:
        return 0.0
    left = safs.left_of_computes
    if left is not None:
        outer, own = random_only(safs.plan, outer), random_only(safs.plan, own)
    reached, kept = safs.emptiness.survival((outer, outer | own), None, None)
    if left is not None:
        reached, kept = reached * left.reached, kept * left.kept
    return computes * (reached - kept)


# --- bounds: what may remove an event, whatever the loops ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaders:
    """Tensors whose tiles decide whether an event happens.

    Every condition's tile contains what the event itself needs: the child's tile, or at the compute level one element. So the
    share that happens is at least the product of the densities' `least_nonempty` of that tile.
    """

    all: frozenset[int]
    """For the event to happen these must not be empty."""
    timed: frozenset[int]
    """For it to take time these must not: what is only gated keeps its time."""

    def without(self, tensor: int) -> Leaders:
        """Without the conditions on one tensor."""
        return Leaders(self.all - {tensor}, self.timed - {tensor})


def link_leaders(ends: LinkEnds) -> Leaders:
    """Leaders of the accesses and fills of a link: O, K and G of `SafConditions`, and I at the compute level."""
    safs = [saf for saf in ends.sparse.safs if saf.follower == ends.name and saf.level < ends.child]
    inherited = _inherited_leaders(ends) if ends.to_compute else frozenset[int]()
    return Leaders(_named(ends.einsum, safs) | inherited, _named(ends.einsum, _timed(safs)) | inherited)


@dataclass(frozen=True, slots=True)
class LeastSurvival:
    """What is left at least of the dense events of a link."""

    leaders: Leaders
    """Conditions on tiles."""
    read: float  # share of the parent's words that are read
    stored: float  # of those that it stores
    arriving: float  # of the words for the child that it stores


def least_survival(ends: LinkEnds) -> LeastSurvival:
    """Beside `access_events` and `fill_events`: the conditions, and the word itself where zeros are not stored."""
    nonzero, leaders = ends.einsum.least_beside(ends.tensor, link_leaders(ends).all), link_leaders(ends)
    if ends.compressed and (ends.to_compute or ends.child_compressed):
        leaders = leaders.without(ends.tensor)  # where the word is not zero, no tile that contains it is empty
    stored, arriving = (nonzero if compressed else 1.0 for compressed in (ends.compressed, ends.child_compressed))
    read, arriving = (stored, arriving) if ends.partials != "add" else (0.0, 0.0)  # what returns may meet nothing
    return LeastSurvival(leaders, read, stored, arriving)


def compute_leaders(einsum: Einsum, sparse: Sparse) -> Leaders:
    """Leaders of the computes, as in `compute_events`."""
    safs = _of_operands(einsum, sparse)
    none = frozenset[int]()
    timed = _named(einsum, _timed(safs)) | (_operands(einsum) if sparse.compute_skip else none)
    return Leaders(timed | _named(einsum, safs) | (_operands(einsum) if sparse.compute_gate else none), timed)


def earlier_leaders(ends: LinkEnds) -> frozenset[int]:
    """Leaders of skips that remove an access before the features of its own level are asked."""
    einsum, sparse = ends.einsum, ends.sparse
    mine = features_at(ends)
    others = [saf for saf in _timed(sparse.safs) if saf not in mine and (saf.follower == ends.name or ends.to_compute)]
    at_compute = _operands(einsum) if ends.to_compute and sparse.compute_skip else frozenset[int]()
    return _named(einsum, others) | at_compute


def features_at(ends: LinkEnds) -> tuple[Saf, ...]:
    """The features of a link that stand at its parent."""
    return tuple(saf for saf in ends.sparse.safs if saf.follower == ends.name and saf.level == ends.parent)


def _inherited_leaders(ends: LinkEnds) -> frozenset[int]:
    if not ends.sparse.implied_skips:
        return frozenset()
    found = _named(ends.einsum, _timed(_of_operands(ends.einsum, ends.sparse)))
    return found | _operands(ends.einsum) if ends.output and ends.sparse.compute_skip else found


def _timed(safs: Iterable[Saf]) -> list[Saf]:
    return [saf for saf in safs if saf.saves_time]


def _of_operands(einsum: Einsum, sparse: Sparse) -> list[Saf]:
    return [saf for saf in sparse.safs if not einsum.tensor(saf.follower).output]


def _operands(einsum: Einsum) -> frozenset[int]:
    return frozenset(i for i, tensor in enumerate(einsum.tensors) if not tensor.output)


def _named(einsum: Einsum, safs: Iterable[Saf]) -> frozenset[int]:
    return frozenset(einsum.index[leader] for saf in safs for leader in saf.leaders)
