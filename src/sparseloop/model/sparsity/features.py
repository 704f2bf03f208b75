"""Gating and skipping: which events survive, and in which class the others fall."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sparseloop.model import ops
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import Saf, Sparse
from sparseloop.model.ops import Array
from sparseloop.model.plan import Link, LinkEnds, Plan
from sparseloop.model.sparsity.emptiness import NONE, Condition, Conditions, Emptiness, widen
from sparseloop.model.sparsity.events import EventPart, EventParts
from sparseloop.model.traffic.tiles import Cover, Tiles, join


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Words that stay for a number of steps of a sliding window."""

    delivered: Array
    """Their share of the delivered words."""
    used: Array
    """Their share of the words in use at a random step: delivered, weighted by the length of the stay."""
    cover: Cover


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConditions:
    """(F2) What must hold for an event of a link to survive; covers as in the covers module."""

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


class SafConditions:
    """The conditions of every link under one choice among alternative features.

    `windows`: link index to the cover of the stay of the word in question, where the link's window slides.
    """

    def __init__(
        self, tiles: Tiles, emptiness: Emptiness, active: frozenset[Saf], windows: dict[int, Cover] | None = None
    ) -> None:
        self.tiles = tiles
        self.plan: Plan = tiles.plan
        self.emptiness = emptiness
        self.active = active
        self._conditions: dict[int, LinkConditions] = {}
        staying = {} if windows is None else windows
        self.copy_stay = [
            join(join(self._tile(link), tiles.stationary(link)), staying.get(link.index, tiles.point)) for link in self.plan.links
        ]
        self.stay = [
            join(cover, tiles.covering(link.multicast)) for link, cover in zip(self.plan.links, self.copy_stay, strict=True)
        ]
        self.skips = [self._fired(link, saves_time=True) for link in self.plan.links]
        self.gates = [self._fired(link, saves_time=False) for link in self.plan.links]

    def _tile(self, link: Link) -> Cover:
        return self.tiles.point if link.to_compute else self.tiles.inside(link.child)

    def acting(self, link: Link) -> list[Saf]:
        """The features on this link that take effect."""
        return [s for s in link.safs if s in self.active and not self._ineffective(s)]

    def _ineffective(self, saf: Saf) -> bool:
        """Timeloop's files: a spatial skip whose leader has no format where it is looked up does nothing."""
        if not saf.packs or not self.plan.sparse.timeloop_reading:
            return False
        return not all(_known_at(self.plan, saf.level, leader) for leader in saf.leaders)

    def _fired(self, link: Link, *, saves_time: bool) -> Conditions:
        return frozenset(
            self.emptiness.condition(self.plan.einsum.index[leader], self.granule(link, saf))
            for saf in self.acting(link)
            if saf.saves_time == saves_time
            for leader in saf.leaders
        )

    def granule(self, link: Link, saf: Saf) -> Cover:
        """S: the part of the nest whose leader elements decide, widened to one access of the parent's block.

        A spatial skip is decided lane by lane and never widened.
        """
        own = saf.packs
        cover = self.copy_stay[link.index] if own else self.stay[link.index]
        block = self.plan.arch.levels[link.parent].block_size
        return join(cover, self._block(link, block)) if block > 1 and not own else cover

    def _block(self, link: Link, block: int) -> Cover:
        """The follower's loops met by one access of `block` words, innermost first, if the child's tile is smaller."""
        tiles = self.tiles
        left: Array = block / tiles.size(link.tensor, self._tile(link))
        counts: dict[int, Array] = {}
        for slot in reversed(range(self.plan.starts[link.parent], self.plan.starts[link.child])):
            if slot in link.relevant:
                counts[slot] = ops.minimum(tiles.bounds[slot], ops.maximum(1, ops.ceil(left)))
                left = left / counts[slot]
        return tiles.named(f"block{link.index}", counts)

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
            word=self.emptiness.condition(link.tensor, self.tiles.point),
            repeats=self.tiles.repeats(link, of_parent=True),
            repeated_fills=self.tiles.repeats(link, of_parent=False),
        )

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
            self.emptiness.condition(k.tensor, self.tiles.point)
            for k in self.plan.links
            if k.to_compute and not k.output and k.parent_format is not None and k.parent_format.has_metadata
        )

    def compute_gates(self) -> Conditions:
        """Conditions of the compute unit's own gate: every operand's value."""
        if not self.plan.sparse.compute_gate:
            return NONE
        return frozenset(
            self.emptiness.condition(k.tensor, self.tiles.point) for k in self.plan.links if k.to_compute and not k.output
        )

    # --- sliding windows ------------------------------------------------------------------------------------

    def windows(self, link: Link) -> list[Window]:
        """The groups of words by length of stay in a sliding window; empty where no leader notices the difference."""
        slots = [] if link.to_compute or link.no_reuse else self._sliding_slots(link)
        leaders = {t for conditions in (self.skips[link.index], self.gates[link.index]) for t, _ in conditions}
        if not any(s in self.plan.relevant[t] for s in slots for t in leaders):
            return []
        shares, moving = self._stays(link, slots)
        used = ops.total(share * visits for visits, share in enumerate(shares, start=1))
        name = f"window{link.index}"
        return [
            Window(
                delivered=share,
                used=share * visits / used,
                cover=self.tiles.named(f"{name}:{visits}", {s: ops.one_unless(moving[s], visits) for s in slots}),
            )
            for visits, share in enumerate(shares, start=1)
        ]

    def _sliding_slots(self, link: Link) -> list[int]:
        if self.plan.plain[link.tensor]:
            return []
        return [
            s
            for s in link.temporal
            if any(len(axis) > 1 and any(i == s for i, _ in axis) for axis in self.plan.axes[link.tensor])
        ]

    def _stays(self, link: Link, slots: list[int]) -> tuple[list[Array], dict[int, Array]]:
        """Share of the words that stay 1, 2, ... visits, and where each slot is the innermost moving loop.

        h_v = A_v - 2 A_(v+1) + A_(v+2), A_v = (n - v + 1) * words common to v consecutive windows, n the mean number
        of steps of one sweep.
        """
        tiles, longest = self.tiles, 1
        moving: dict[int, Array] = {}
        moved: Array = False
        for slot in link.temporal:
            if slot in link.relevant:
                if slot in slots:
                    moving[slot] = ops.both(ops.negate(moved), tiles.bounds[slot] > 1)
                    stays = ops.where(moving[slot], self._longest(link, slot), 1)
                    longest = max(longest, ops.peak(stays))
                    tiles.peaks.append((stays, longest))
                moved = ops.either(moved, tiles.bounds[slot] > 1)
        shares: list[Array] = [1.0] + [0.0] * (longest - 1)
        for slot in slots:
            common = [self._common(link, slot, v) for v in range(1, longest + 3)]
            words = common[0] - common[1]
            for v in range(longest):
                h = (common[v] - 2 * common[v + 1] + common[v + 2]) / words
                shares[v] = ops.where(moving[slot], h, shares[v])
        return shares, moving

    def _axis(self, link: Link, slot: int) -> int:
        return next(a for a, axis in enumerate(self.plan.axes[link.tensor]) if any(i == slot for i, _ in axis))

    def _common(self, link: Link, slot: int, visits: int) -> Array:
        axis = self._axis(link, slot)
        shift = ops.absolute(self.tiles.step(link.tensor, axis, slot)) * (visits - 1)
        common = self.tiles.axis_overlap(link.tensor, axis, self._tile(link), shift)
        return ops.maximum(0, self._sweep(link, slot) - visits + 1) * common

    def _sweep(self, link: Link, slot: int) -> Array:
        """Mean number of steps of the window that starts with loop `slot`.

        A sweep goes on where an outer loop moves the tile on by the same step; exact if no sweep is shorter than a stay.
        """
        tiles = self.tiles
        start = link.temporal.index(slot)
        goes_on: Array = 0.0
        for place in range(start, len(link.temporal)):
            same: Array = True
            for axis in range(len(self.plan.axes[link.tensor])):
                shift = tiles.step(link.tensor, axis, link.temporal[place]) - ops.total(
                    (tiles.bounds[h] - 1) * tiles.step(link.tensor, axis, h) for h in link.temporal[:place]
                )
                same = ops.both(same, shift == tiles.step(link.tensor, axis, slot))
            advances = (tiles.bounds[link.temporal[place]] - 1) * tiles.product(link.temporal[place + 1 :])
            goes_on = goes_on + ops.zero_unless(same, advances)
        steps = tiles.product(link.temporal[start:])
        return steps / (steps - goes_on)

    def _longest(self, link: Link, slot: int) -> Array:
        axis = self._axis(link, slot)
        extent = self.tiles.extents(link.tensor, self._tile(link))[axis]
        step = ops.absolute(self.tiles.step(link.tensor, axis, slot))
        return ops.ceil(ops.minimum(self._sweep(link, slot), (extent + step - 1) // step))


def _known_at(plan: Plan, level: int, tensor: str) -> bool:
    """True if the innermost level at or outside `level` that keeps the tensor stores a format for it."""
    at = next((i for i in range(level, -1, -1) if tensor in plan.nest.keep[i]), None)
    return at is not None and plan.sparse.format(at, tensor) is not None


def split_events(count: Array, emptiness: Emptiness, steps: Iterable[Conditions], repeats: Cover | None = None) -> EventParts:
    """(F3) Split a dense count by the growing sets of conditions O, O+K, O+K+I, O+K+I+G."""
    a0, a1, a2, a3 = (emptiness.non_emptiness(s, repeats) for s in steps)
    return EventParts((EventPart(count, a0, a1, a2, a3),))


def access_events(count: Array, emptiness: Emptiness, c: LinkConditions, word: bool, repeats: bool) -> EventParts:
    """(F3) Reads and updates of the parent: stay R; `word`: the parent stores no zeros."""
    own = frozenset({c.word}) if word else NONE
    o = widen(c.outer | own, c.stay, emptiness.tiles, but=c.word if word else None)
    k, i, g = (widen(x, c.stay, emptiness.tiles) for x in (c.local, c.inherited, c.gates))
    return split_events(count, emptiness, (o, o | k, o | k | i, o | k | i | g), c.repeats if repeats else None)


def fill_events(count: Array, emptiness: Emptiness, c: LinkConditions, word: bool, repeats: bool) -> EventParts:
    """(F3) Fills of the child: the link's own features decide; `word`: the child stores no zeros."""
    own = frozenset({c.word}) if word else NONE
    o = widen(c.outer | own, c.arrival, emptiness.tiles, but=c.word if word else None)
    k, g = (widen(x, c.arrival, emptiness.tiles) for x in (c.local, c.gates))
    return split_events(count, emptiness, (o, o | k, o | k, o | k | g), c.repeated_fills if repeats else None)


def compute_events(safs: SafConditions, computes: Array) -> EventParts:
    """(F5) Computes: skipped if any skip of an operand's link fires, else gated if any gate fires, else actual."""
    skips = safs.operand_conditions(safs.skips) | safs.compute_skips()
    gates = safs.operand_conditions(safs.gates) | safs.compute_gates()
    kept = safs.emptiness.non_emptiness(skips)
    return EventParts((EventPart(computes, 1.0, kept, kept, safs.emptiness.non_emptiness(skips | gates)),))


def skipped_at_compute(safs: SafConditions, computes: Array) -> Array:
    """Computes removed by the compute unit's own skip and by no skip of an operand's link."""
    outer = safs.operand_conditions(safs.skips)
    own = safs.compute_skips()
    if not own:
        return 0.0
    emptiness = safs.emptiness
    return computes * (emptiness.non_emptiness(outer) - emptiness.non_emptiness(outer | own))


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
    stored: float
    """Share of the parent's words that it stores."""
    arriving: float
    """Share of the words for the child that it stores."""


def least_survival(ends: LinkEnds) -> LeastSurvival:
    """Beside `access_events` and `fill_events`: the conditions, and the word itself where zeros are not stored."""
    nonzero, leaders = ends.einsum.tensors[ends.tensor].density.least_nonzero, link_leaders(ends)
    if ends.compressed and (ends.to_compute or ends.child_compressed):
        leaders = leaders.without(ends.tensor)  # where the word is not zero, no tile that contains it is empty
    stored, arriving = (nonzero if compressed else 1.0 for compressed in (ends.compressed, ends.child_compressed))
    return LeastSurvival(leaders, stored, arriving)


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
