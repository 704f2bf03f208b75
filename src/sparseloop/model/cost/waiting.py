"""Time that nothing overlaps with: tiles loaded before work on them starts, results drained, systolic arrays filled again.

    cycles of a level = cycles of what overlaps with work + waits whose words come from the level or from further out

A load event is an iteration that delivers a tile for which the child waits; all that arrives in it is one load, as long as the
port with most to do takes. Iterations are told apart by the outermost loop that advances.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sparseloop.model import ops
from sparseloop.model.design.arch import Level
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import LinkSparse, SparseTraffic
from sparseloop.model.traffic.dense import Traffic, advances
from sparseloop.model.traffic.stays import visits
from sparseloop.model.units import Count, Cycles, Share, Words

WaitKind = Literal["load", "drain", "skew"]


class PortWords(NamedTuple):
    """What one instance reads and writes, in words of its level; metadata by bits."""

    reads: Words = 0.0
    writes: Words = 0.0

    def times(self, share: Share) -> PortWords:
        """A share of it."""
        return PortWords(self.reads * share, self.writes * share)

    def cycles(self, level: Level) -> Cycles:
        """Time of the port with most to do."""
        cycles: Cycles = 0.0 * self.reads
        for words, bandwidth in (
            (self.reads, level.read_bandwidth),
            (self.writes, level.write_bandwidth),
            (self.reads + self.writes, level.shared_bandwidth),
        ):
            if bandwidth is not None:
                cycles = ops.maximum(cycles, words / bandwidth)
        return cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Time for which everything inside a level waits for the words of a link."""

    kind: WaitKind
    parent: int
    """Level whose words are waited for; it and all levels inside wait."""
    child: int
    tensors: tuple[str, ...]
    cycles: Cycles


def is_serial(plan: Plan, k: LinkSparse) -> bool:
    """True if the child waits for the words of the link."""
    link = k.dense.link
    return link.name in plan.arch.levels[link.child].serial


def sent(plan: Plan, k: LinkSparse, used: Count) -> PortWords:
    """What one instance of the parent of a link reads and writes for its child."""
    link = k.dense.link
    width, bits = plan.width(link.tensor, link.parent), plan.arch.levels[link.parent].word_bits
    reads, writes = (k.reads.busy + k.overflow.reads) * width, (k.updates.busy + k.overflow.updates) * width
    for rank in k.ranks:
        reads = reads + rank.bits("reads").busy / bits
        writes = writes + rank.bits("updates").busy / bits
    return PortWords(reads / used, writes / used)


def received(plan: Plan, k: LinkSparse, used: Count) -> PortWords:
    """What one instance of the child of a link writes, and passes on to its neighbours."""
    link = k.dense.link
    width, bits = plan.width(link.tensor, link.child), plan.arch.levels[link.child].word_bits
    writes = (k.fills.busy + k.overflow.fills) * width
    for rank in k.child.ranks if k.child is not None else ():
        writes = writes + rank.bits("fills").busy / bits
    return PortWords(k.forwarded * width / used, writes / used)


def overlapped(plan: Plan, sparse: SparseTraffic, level: int, used: Count) -> Cycles:
    """Cycles of a storage level for the words that nobody waits for (actual and gated ones), at one instance."""
    spec = plan.arch.levels[level]
    if spec.read_bandwidth is None and spec.write_bandwidth is None and spec.shared_bandwidth is None:
        return 0.0
    parts = [sent(plan, k, used) for k in sparse.links_from(level) if not is_serial(plan, k)]
    parts += [received(plan, k, used) for k in sparse.links_into(level) if not is_serial(plan, k)]
    return PortWords(ops.total(p.reads for p in parts), ops.total(p.writes for p in parts)).cycles(spec)


def waiting(waits: Iterable[Wait], level: int) -> Cycles:
    """Time for which a level waits, or is itself waited for."""
    return ops.total(wait.cycles for wait in waits if wait.parent <= level)


def waits(plan: Plan, dense: Traffic, sparse: SparseTraffic, used: Sequence[Count]) -> tuple[Wait, ...]:
    """Everything that is waited for, outermost child first."""
    found: list[Wait] = []
    for child in range(1, plan.compute):
        links = [k for k in sparse.links_into(child) if is_serial(plan, k)]
        before: Cycles = 0.0
        for parent in sorted({k.dense.link.parent for k in links}):
            known = [k for k in links if k.dense.link.parent <= parent]
            names = tuple(k.dense.link.name for k in known if k.dense.link.parent == parent)
            cycles = _loads(plan, dense, known, used)
            found.append(Wait(kind="load", parent=parent, child=child, tensors=names, cycles=cycles - before))
            before = cycles
        found += _drains(plan, links, used)
    return (*found, *_skews(plan, dense, sparse))


def _loads(plan: Plan, dense: Traffic, links: Sequence[LinkSparse], used: Sequence[Count]) -> Cycles:
    """Sum over the kinds of iterations: how often times the time of the port with most to do."""
    if len(links) == 1:
        return _longest(plan, [(links[0], 1.0)], used)
    found: Cycles = 0.0
    for event in _events(dense, links):
        found = found + event.times * _longest(plan, list(zip(links, event.shares, strict=True)), used)
    return found


class _Event(NamedTuple):
    """One kind of iteration: how often it occurs, and which share of its words each link delivers in one."""

    times: Count
    shares: tuple[Share, ...]


def _events(dense: Traffic, links: Sequence[LinkSparse]) -> Iterator[_Event]:
    """The first iteration brings whole tiles; those in which a loop is the outermost to advance bring what is new then."""
    tiles, temporal = dense.tiles, links[0].dense.link.temporal
    fresh: list[dict[int, Words]] = []
    whole: list[Words] = []
    for k in links:
        steps = {a.slot: a for a in advances(tiles, k.dense.link)}
        every = k.dense.tile + ops.total(a.times * a.fresh for a in steps.values())
        fresh.append({slot: ops.ratio(a.fresh, every) for slot, a in steps.items()})
        whole.append(k.dense.tile / every)
    yield _Event(1.0, tuple(whole))
    for position, slot in enumerate(temporal):
        times = (tiles.bounds[slot] - 1) * tiles.product(temporal[position + 1 :])
        yield _Event(times, tuple(of_link.get(slot, 0.0) for of_link in fresh))


def _longest(plan: Plan, parts: Sequence[tuple[LinkSparse, Share]], used: Sequence[Count]) -> Cycles:
    """Time of the fullest port if each link delivers a share of its words."""
    ports: dict[int, PortWords] = {}
    for k, share in parts:
        parent, child = k.dense.link.parent, k.dense.link.child
        read = PortWords(sent(plan, k, used[parent]).reads)
        for level, words in ((parent, read), (child, received(plan, k, used[child]))):
            known, more = ports.get(level, PortWords()), words.times(share)
            ports[level] = PortWords(known.reads + more.reads, known.writes + more.writes)
    found: Cycles = 0.0
    for level, words in ports.items():
        found = ops.maximum(found, words.cycles(plan.arch.levels[level]))
    return found


def _drains(plan: Plan, links: Sequence[LinkSparse], used: Sequence[Count]) -> Iterator[Wait]:
    """Results that leave before anything is loaded: as long as the parent takes to write them."""
    for k in links:
        link = k.dense.link
        if link.output:
            words = PortWords(writes=sent(plan, k, used[link.parent]).writes)
            cycles = words.cycles(plan.arch.levels[link.parent])
            yield Wait(kind="drain", parent=link.parent, child=link.child, tensors=(link.name,), cycles=cycles)


def _skews(plan: Plan, dense: Traffic, sparse: SparseTraffic) -> Iterator[Wait]:
    """Cycles until the farthest child starts, whenever something kept below gets a new tile.

    A systolic network of x * y children takes (x - 1) + (y - 1). Positions that take turns fill the children in each turn.
    """
    tiles = dense.tiles
    for level in range(plan.compute):
        network = plan.arch.levels[level].network
        if network is None or not (network.systolic or network.pass_latency):
            continue
        each: Cycles = network.pass_latency
        if network.systolic:
            extents = [tiles.product(plan.along(level, axis)) for axis in ("x", "y")]
            if plan.sparse.packs(level):
                extents = [ops.minimum(n, most) for n, most in zip(extents, plan.arch.fanout(level), strict=True)]
            each = each + sum(extents) - len(extents)
        passes: Count = 1
        for link in plan.links:
            if link.parent <= level < link.child < plan.compute:
                passes = ops.maximum(passes, visits(tiles, link))
        if plan.sparse.packs(level):
            passes = passes * ops.maximum(1.0, sparse.time)
        yield Wait(kind="skew", parent=level, child=level + 1, tensors=(), cycles=each * passes)
