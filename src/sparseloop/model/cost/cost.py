"""From sparse traffic to energy, cycles, area and validity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

from sparseloop.model import ops
from sparseloop.model.cost.actions import ActionCost, actions_of_compute, actions_of_level
from sparseloop.model.cost.networks import NetworkTraffic, network_traffic
from sparseloop.model.formats.occupancy import ResidentTile
from sparseloop.model.ops import Array
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import LinkSparse, SparseTraffic
from sparseloop.model.status import Status
from sparseloop.model.traffic.dense import Traffic


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelCost:
    """Cost of one level over all its instances."""

    instances_used: Array
    cycles: Array
    energy_pj: Array
    actions: tuple[ActionCost, ...]
    tiles: tuple[ResidentTile, ...]
    """What one instance holds, per tensor kept (none at the compute level)."""

    @cached_property
    def capacity_expected(self) -> Array:
        """Expected data of one instance in words of the level."""
        return ops.total(t.occupancy * t.width for t in self.tiles)

    @cached_property
    def capacity_worst(self) -> Array:
        """Data of one instance at worst, in words of the level."""
        return ops.total(t.worst * t.width for t in self.tiles)

    @cached_property
    def metadata_bits_expected(self) -> Array:
        """Expected metadata bits of one instance."""
        return ops.total(t.metadata_bits for t in self.tiles)

    @cached_property
    def metadata_bits_worst(self) -> Array:
        """Metadata bits of one instance at worst."""
        return ops.total(t.metadata_bits_worst for t in self.tiles)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cost:
    """Everything a mapping costs; arrays over the batch."""

    plan: Plan
    dense: Traffic
    sparse: SparseTraffic
    levels: tuple[LevelCost, ...]
    networks: tuple[NetworkTraffic, ...]
    energy_pj: Array
    cycles: Array
    area_um2: float

    @property
    def edp(self) -> Array:
        """Energy-delay product in pJ cycles."""
        return self.energy_pj * self.cycles

    @cached_property
    def utilization(self) -> Array:
        """(actual + gated computes) / (compute instances * total cycles)."""
        return ops.ratio(self.sparse.computes.busy, self.plan.arch.compute.instances * self.cycles)

    @cached_property
    def status(self) -> Array:
        """Status flags as integers, 0 = valid."""
        return status(self.plan, self.dense, self.sparse)


def cost(plan: Plan, dense: Traffic, sparse: SparseTraffic) -> Cost:
    """Energy = sum of action counts times prices; cycles = the slowest level; area = sum over all instances."""
    arch = plan.arch
    used = _instances_used(plan, dense, sparse)
    compute_cycles = _compute_cycles(plan, dense, sparse, used)
    level_cycles = [_storage_cycles(plan, sparse, level, used[level]) for level in range(plan.compute)]
    cycles = compute_cycles
    for value in level_cycles:
        cycles = ops.maximum(cycles, value)
    cycles = cycles + sum(n.fill_latency + n.drain_latency for lv in arch.storage if (n := lv.network) is not None)
    networks = network_traffic(plan, dense.tiles, sparse)
    levels = [
        _level_cost(plan, dense, sparse, (level, used[level], level_cycles[level], cycles)) for level in range(plan.compute)
    ]
    actions = actions_of_compute(plan, sparse, cycles)
    levels.append(
        LevelCost(
            instances_used=used[-1],
            cycles=compute_cycles,
            energy_pj=ops.total(a.energy_pj for a in actions),
            actions=actions,
            tiles=(),
        )
    )
    return Cost(
        plan=plan,
        dense=dense,
        sparse=sparse,
        levels=tuple(levels),
        networks=networks,
        energy_pj=ops.total(level.energy_pj for level in levels) + ops.total(n.energy_pj for n in networks),
        cycles=cycles,
        area_um2=sum(level.area_um2 * level.instances for level in arch.levels),
    )


def _packs(plan: Plan, level: int) -> bool:
    return any(s.kind == "spatial_skip" and s.level == level for s in plan.sparse.safs)


def _instances_used(plan: Plan, dense: Traffic, sparse: SparseTraffic) -> list[Array]:
    """Instances that ever work; positions dropped by a spatial skip are packed onto the children of the same parent."""
    if not any(_packs(plan, level) for level in range(plan.compute)):
        return list(dense.instances)
    used: list[Array] = [1]
    for level in range(plan.compute):
        children = dense.instances[level + 1] / dense.instances[level]
        if _packs(plan, level):
            x, y = plan.arch.fanout(level)
            children = ops.minimum(children * sparse.packing[level], x * y)
        used.append(used[-1] * children)
    return used


def _compute_cycles(plan: Plan, dense: Traffic, sparse: SparseTraffic, used: list[Array]) -> Array:
    """Temporal steps times the share of computes that are not skipped, spread over the used lanes, or longer in waves."""
    busy = sparse.computes.busy / dense.computes
    cycles = dense.steps * busy * ops.ratio(dense.instances[-1], used[-1])
    for level in range(plan.compute):
        if plan.arch.levels[level].waves and _packs(plan, level):
            children = dense.instances[level + 1] / dense.instances[level]
            cycles = cycles * ops.maximum(1.0, sparse.waves[level] * used[level + 1] / (used[level] * children))
    return ops.minimum(cycles, _most_steps(plan, dense)) if any(map(partial(_packs, plan), range(plan.compute))) else cycles


def _most_steps(plan: Plan, dense: Traffic) -> Array:
    """Steps if no position is dropped: more than there are instances of a packed axis take their turns."""
    steps = dense.steps
    for level in range(plan.compute):
        for axis, width in zip("xy", plan.arch.fanout(level), strict=True):
            if _packs(plan, level):
                slots = [i for i, s in enumerate(plan.loops) if s.level == level and s.axis == axis]
                steps = steps * ops.maximum(1.0, ops.ceil(dense.tiles.product(slots) / width))
    return steps


def _links_at(sparse: SparseTraffic, level: int) -> tuple[list[LinkSparse], list[LinkSparse]]:
    """Links whose parent, and whose child, is this level."""
    return (
        [k for k in sparse.links if k.dense.link.parent == level],
        [k for k in sparse.links if k.dense.link.child == level],
    )


def _storage_cycles(plan: Plan, sparse: SparseTraffic, level: int, used: Array) -> Array:
    """Words that keep their slot (actual and gated, metadata by bits) over the bandwidth of one instance."""
    spec = plan.arch.levels[level]
    below, above = _links_at(sparse, level)
    if spec.read_bandwidth is None and spec.write_bandwidth is None and spec.shared_bandwidth is None:
        return 0.0
    reads: Array = 0.0
    writes: Array = 0.0
    for k in below:
        width = plan.width(k.dense.link.tensor, level)
        reads = reads + (k.reads.busy + k.overflow[0]) * width
        writes = writes + k.updates.busy * width
        for rank in k.ranks:
            reads = reads + rank.bits("reads").busy / spec.word_bits
            writes = writes + (rank.bits("fills").busy + rank.bits("updates").busy) / spec.word_bits
    for k in above:
        width = plan.width(k.dense.link.tensor, level)
        writes = writes + (k.fills.busy + k.overflow[1]) * width
        reads = reads + k.forwarded * width
    cycles: Array = 0.0 * reads
    for words, bandwidth in (
        (reads, spec.read_bandwidth),
        (writes, spec.write_bandwidth),
        (reads + writes, spec.shared_bandwidth),
    ):
        if bandwidth is not None:
            cycles = ops.maximum(cycles, words / used / bandwidth)
    return cycles


def _level_cost(plan: Plan, dense: Traffic, sparse: SparseTraffic, at: tuple[int, Array, Array, Array]) -> LevelCost:
    level, used, level_cycles, cycles = at
    below, above = _links_at(sparse, level)
    actions = actions_of_level(plan, level, (below, above), (used, cycles))
    return LevelCost(
        instances_used=used,
        cycles=level_cycles,
        energy_pj=ops.total(a.energy_pj for a in actions),
        actions=actions,
        tiles=tuple(k.resident for k in below),
    )


# --- validity -----------------------------------------------------------------------------------------------


def status(plan: Plan, dense: Traffic, sparse: SparseTraffic) -> Array:
    """Status flags: factors, fanout, capacity of data and metadata, formats that fit, minimum use."""
    tiles = dense.tiles
    flags: Array = 0
    for rank, size in zip(plan.einsum.ranks, plan.einsum.shape, strict=True):
        slots = [i for i, s in enumerate(plan.loops) if s.rank == rank]
        if dense.perfect:
            flags = _flag(flags, tiles.product(slots) != size, Status.BAD_FACTORS)
    for level in range(plan.compute):
        flags = _fanout_flag(plan, dense, level, flags)
        flags = _capacity_flag(plan, sparse, level, flags)
    for k in sparse.links:
        flags = _flag(flags, k.misfit, Status.NO_SUCH_PATH)
        if not path_exists(plan, k):
            flags = _flag(flags, True, Status.NO_SUCH_PATH)
    return flags


def path_exists(plan: Plan, k: LinkSparse) -> bool:
    """False if the child would have to decompress, or to compress for the parent, and cannot."""
    link = k.dense.link
    if link.to_compute or not link.compressed or link.child_compressed:
        return True
    child = plan.arch.levels[link.child]
    return child.decompression and (child.compression or not link.output)


def _flag(flags: Array, condition: Array, flag: Status) -> Array:
    if condition is False:
        return flags
    return flags | ops.zero_unless(condition, int(flag))


def _fanout_flag(plan: Plan, dense: Traffic, level: int, flags: Array) -> Array:
    if _packs(plan, level):
        return flags
    for axis, limit in zip("xy", plan.arch.fanout(level), strict=True):
        slots = [i for i, s in enumerate(plan.loops) if s.level == level and s.axis == axis]
        if slots:
            flags = _flag(flags, dense.tiles.product(slots) > limit, Status.OVER_FANOUT)
    return flags


def _capacity_flag(plan: Plan, sparse: SparseTraffic, level: int, flags: Array) -> Array:
    spec = plan.arch.levels[level]
    below, _ = _links_at(sparse, level)
    if spec.capacity_words is not None and below:
        words = ops.total(k.resident.counted * plan.width(k.dense.link.tensor, level) for k in below)
        flags = _flag(flags, words > spec.capacity_words * (1 + 1e-12), Status.OVER_CAPACITY)
        if spec.min_utilization:
            flags = _flag(flags, words < spec.capacity_words * spec.min_utilization, Status.UNDER_UTILIZED)
    if spec.metadata_capacity_bits is not None and below:
        bits = ops.total(k.resident.metadata_bits_counted for k in below)
        flags = _flag(flags, bits > spec.metadata_capacity_bits * (1 + 1e-12), Status.OVER_CAPACITY)
    return flags
