"""Turns the entries of a specification's mapping into a `Mapping`: loops by level, bounds, and the tensors that each level
keeps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.notation import parse_einsum
from sparseloop.input.resolve.architecture import Hierarchy
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.spec import FanoutSpec, LevelSpec, LoopSpec, MappingEntry, Spec
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.mapping import Loop, LoopNest, Mapping

MeshAxis = Literal["x", "y"]


@dataclass(frozen=True, kw_only=True)
class PlacedLoop:
    """One loop as written, with the level it belongs to."""

    loop: LoopSpec
    level: int
    axis: MeshAxis | None
    path: Path


@dataclass
class _Lines:
    """Loops, kept tensors and switches read so far."""

    loops: list[PlacedLoop] = field(default_factory=list[PlacedLoop])
    keep: dict[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])
    switches: dict[str, set[tuple[int, str]]] = field(default_factory=dict[str, set[tuple[int, str]]])


SWITCHES = ("no_temporal_reuse", "no_multicast", "no_forwarding")
MAX_LOOPS = 256
"""At most this many loops: the model compares every loop with every other."""


def resolve_mapping(hierarchy: Hierarchy, einsum: Einsum, log: ResolveLog) -> Mapping | None:
    """The mapping, or None if the specification has none."""
    if not log.spec.mapping:
        return None
    lines, seen, unknown = _Lines(), dict[str, int](), False
    tensors = [t.name for t in einsum.tensors]
    for i, entry in enumerate(log.spec.mapping):
        path = _entry_path(entry, i, log)
        level = _target(entry, path, hierarchy, log)
        if level is None:
            unknown = True
            continue
        if log.native:
            _check_order(entry.target, level, path, seen, log)
        _read_loops(entry, level, path, hierarchy, lines, log)
        _read_tensors(entry, level, path, tensors, lines, log)
    if len(lines.loops) > MAX_LOOPS:
        message = f"the mapping has {len(lines.loops)} loops, at most {MAX_LOOPS} are possible"
        log.error(("mapping",), message, "leave out those of bound 1", key=True)
    if not unknown:
        _check_factors(lines.loops, einsum, hierarchy, log)
    keep = tuple(lines.keep.get(i, frozenset(tensors)) for i in range(len(hierarchy.storage_names)))
    _check_kept(keep, tensors, log)
    return _mapping(lines, keep)


def _mapping(lines: _Lines, keep: tuple[frozenset[str], ...]) -> Mapping:
    """Loops outermost first: by level, temporal before spatial, else as written."""
    ordered = sorted(lines.loops, key=lambda placed: (placed.level, placed.axis is not None))
    nest = LoopNest(
        loops=tuple(Loop(rank=p.loop.rank, level=p.level, axis=p.axis) for p in ordered),
        keep=keep,
        no_temporal_reuse=frozenset(lines.switches.get("no_temporal_reuse", ())),
        no_multicast=frozenset(lines.switches.get("no_multicast", ())),
        no_forwarding=frozenset(lines.switches.get("no_forwarding", ())),
    )
    perfect = all(p.loop.residual is None for p in ordered)
    residuals = None if perfect else tuple(p.loop.residual or p.loop.bound for p in ordered)
    return Mapping(nest=nest, bounds=tuple(p.loop.bound for p in ordered), residuals=residuals)


# --- targets ------------------------------------------------------------------------------------------------


def _entry_path(entry: MappingEntry, i: int, log: ResolveLog) -> Path:
    """Path of the line or record of an entry as the user wrote it."""
    path: Path = ("mapping", i)
    _, node, _ = log.source.walk(path)
    if isinstance(node.kids, dict) and entry.target in node.kids and "target" not in node.kids:
        return (*path, entry.target)
    _, whole, _ = log.source.walk(("mapping",))
    return ("mapping", entry.target) if isinstance(whole.kids, dict) and entry.target in whole.kids else path


_SPATIAL = ("par", "spatial", "parallel", "fanout")
"""Words for what a fanout does."""


def _target(entry: MappingEntry, path: Path, hierarchy: Hierarchy, log: ResolveLog) -> int | None:
    """Index of the storage level an entry belongs to (for a fanout: the level above it)."""
    name = entry.target
    if name in hierarchy.storage:
        return hierarchy.storage[name]
    where = (*path, "target") if path[-1] != name else path
    if name in hierarchy.fanouts:
        owners = list(hierarchy.fanouts[name])
        if len(owners) > 1:
            log.error(where, f"there are {len(owners)} fanouts called '{name}'", "give each a name", key=True)
        elif owners[0] < 0:
            log.error(where, f"no storage level stands above the fanout '{name}'", key=True)
        else:
            return owners[0]
    elif name in (stage.name for stage in hierarchy.stages):
        log.error(where, f"'{name}' computes: it has no loops and keeps nothing", key=True)
    else:
        hint = did_you_mean(name, (*hierarchy.storage, *hierarchy.fanouts))
        if name in _SPATIAL and hierarchy.fanouts:
            hint = f"a fanout goes by its name, here {' or '.join(hierarchy.fanouts)} ('par' if it has none)"
        log.error(where, f"unknown level or fanout '{name}' in the mapping", hint, key=True)
    return None


def _check_order(name: str, level: int, path: Path, seen: dict[str, int], log: ResolveLog) -> None:
    """In the native reading each target has one entry, in the order of the architecture, so that the lines read as the
    loop nest.
    """
    if name in seen:
        log.error(path, f"'{name}' has two entries in the mapping", "put all its loops on one line", key=True)
    elif seen and level < max(seen.values()):
        hint = "entries go from the outermost level to the innermost"
        log.error(path, f"'{name}' stands below '{next(reversed(seen))}' in the mapping, but outside it", hint, key=True)
    seen[name] = level


# --- loops --------------------------------------------------------------------------------------------------


def _read_loops(entry: MappingEntry, level: int, path: Path, hierarchy: Hierarchy, lines: _Lines, log: ResolveLog) -> None:
    for i, loop in enumerate(entry.loops):
        axis = loop.axis
        if entry.target in hierarchy.fanouts and axis is None:
            axis = _only_axis(entry.target, loop, path, hierarchy, log)
        elif axis is not None and level not in (owner for owners in hierarchy.fanouts.values() for owner in owners):
            hint = "without x or y it is a temporal loop"
            log.error(path, f"there is no fanout below '{entry.target}' for the spatial loop {loop.rank}", hint, word=loop.rank)
        if loop.residual is not None and loop.residual > loop.bound:
            message = f"loop {loop.rank}: the last pass ({loop.residual}) is longer than the bound ({loop.bound})"
            log.error(path, message, word=loop.rank)
        where = (*path, "loops", i) if log.source.walk((*path, "loops", i))[2] == (*path, "loops", i) else path
        lines.loops.append(PlacedLoop(loop=loop, level=level, axis=axis, path=where))


def _only_axis(target: str, loop: LoopSpec, path: Path, hierarchy: Hierarchy, log: ResolveLog) -> MeshAxis:
    """The axis of a fanout that has only one; with two the user must say which."""
    axes = hierarchy.axes[target]
    if len(axes) > 1:
        log.error(
            path,
            f"loop {loop.rank} over the fanout '{target}': along x or y?",
            f"write 'x {loop.rank}={loop.bound}'",
            word=loop.rank,
        )
    return "y" if axes == ("y",) else "x"


def visited_points(loops: Sequence[LoopSpec]) -> int:
    """Number of values of a rank that its loops (outermost first) visit: the product of their bounds, less with residuals."""
    full, last = 1, 1
    for loop in reversed(loops):
        last += (min(loop.residual or loop.bound, loop.bound) - 1) * full
        full *= loop.bound
    return last


def _check_factors(loops: Sequence[PlacedLoop], einsum: Einsum, hierarchy: Hierarchy, log: ResolveLog) -> None:
    """The loops over a rank must visit every point of it exactly once."""
    ordered = sorted(loops, key=lambda placed: (placed.level, placed.axis is not None))
    extents = einsum.extents
    for placed in ordered:
        if placed.loop.rank not in extents:
            log.unknown(placed.path, "rank", placed.loop.rank, extents)
    padded = next((t.name for t in einsum.tensors if einsum.has_padding(t)), None)
    for placed in ordered:
        if padded is not None and placed.loop.residual is not None:
            message = f"imperfect factors are not modelled where a tensor has padding, as {padded} has"
            log.error(placed.path, message, word=placed.loop.rank)
    for rank, size in extents.items():
        own = [placed for placed in ordered if placed.loop.rank == rank]
        visited = visited_points([placed.loop for placed in own])
        if visited == size or rank not in log.spec.workload.shape:
            continue
        if not own:
            log.error(
                ("mapping",), f"rank {rank} of size {size} has no loop in the mapping", f"add {rank}={size} to a level", key=True
            )
            continue
        imperfect = any(placed.loop.residual is not None for placed in own)
        verb = "cover" if imperfect else "multiply to"
        log.error(
            own[-1].path, f"factors of rank {rank} {verb} {visited}, but {rank} is {size}", _so_far(own, hierarchy), word=rank
        )


def _so_far(own: Sequence[PlacedLoop], hierarchy: Hierarchy) -> str:
    """'levels so far: DRAM 1 · GLB 8 · PE 12': the product of the rank's loops at every level."""
    parts = list[str]()
    for name, level in hierarchy.storage.items():
        for spatial in (False, True):
            bounds = [p.loop.bound for p in own if p.level == level and (p.axis is not None) == spatial]
            if bounds or not spatial:
                parts.append(f"{name}{' fanout' * spatial} {math.prod(bounds)}")
    return "levels so far: " + " · ".join(parts)


# --- tensors ------------------------------------------------------------------------------------------------


def _read_tensors(
    entry: MappingEntry, level: int, path: Path, tensors: Sequence[str], lines: _Lines, log: ResolveLog
) -> None:  # fmt: skip
    for name in ("keep", "bypass", *SWITCHES):
        for tensor in getattr(entry, name) or ():
            if tensor not in tensors:
                where = (*path, name) if log.source.walk((*path, name))[2] == (*path, name) else path
                log.unknown(where, "tensor", tensor, tensors)
    for name in SWITCHES:
        lines.switches.setdefault(name, set()).update((level, t) for t in getattr(entry, name))
    if entry.keep is None and entry.bypass is None:
        return
    if both := set(entry.keep or ()) & set(entry.bypass or ()):
        log.error(path, f"{', '.join(sorted(both))} is both kept and bypassed at '{entry.target}'")
    kept = frozenset(tensors if entry.keep is None else entry.keep) - frozenset(entry.bypass or ())
    lines.keep[level] = kept & frozenset(tensors)


def _check_kept(keep: Sequence[frozenset[str]], tensors: Sequence[str], log: ResolveLog) -> None:
    for tensor in tensors:
        if not any(tensor in names for names in keep):
            log.error(("mapping",), f"{tensor} is bypassed at every level", "keep it at one at least (the outermost)", key=True)


# --- back to text -------------------------------------------------------------------------------------------


def mapping_lines(mapping: Mapping, spec: Spec) -> list[dict[str, str]]:
    """A mapping in the short notation of the native format, to be written into a file: [{DRAM: 'for m=3'}, ...]."""
    storage = [entry.name for entry in spec.architecture.levels if isinstance(entry, LevelSpec)][:-1]
    below = _fanouts_below(spec)
    tensors = [access.name for access in parse_einsum(spec.workload.einsum).tensors]
    lines = list[dict[str, str]]()
    for level, name in enumerate(storage):
        temporal, spatial = _loop_text(mapping, level, spatial=False), _loop_text(mapping, level, spatial=True)
        fanout = below.get(level, "")
        parts = [f"for {temporal}" if temporal else "", spatial if spatial and not fanout else ""]
        kept = [t for t in tensors if t in mapping.nest.keep[level]]
        bypassed = [t for t in tensors if t not in kept]
        parts = [", ".join(part for part in parts if part), *([f"bypass {' '.join(bypassed)}"] if bypassed else [])]
        parts += [f"{key} {' '.join(t for at, t in sorted(pairs) if at == level)}" for key, pairs in _switches(mapping, level)]
        lines.append({name: " | ".join(parts).strip()})
        if fanout and spatial:
            lines.append({fanout: spatial})
    return lines


def _fanouts_below(spec: Spec) -> dict[int, str]:
    """Storage level to the name of the fanout below it, where there is exactly one of that name."""
    names, level = list[tuple[int, str]](), -1
    for entry in spec.architecture.levels:
        level += isinstance(entry, LevelSpec)
        if isinstance(entry, FanoutSpec):
            names.append((level, entry.name))
    every = [name for _, name in names]
    return {at: name for at, name in reversed(names) if every.count(name) == 1}


def _loop_text(mapping: Mapping, level: int, *, spatial: bool) -> str:
    """'m=3 n=4' or 'x q=14, y r=3 m=4'; loops of bound 1 are left out."""
    words, axis = list[str](), None
    residuals = mapping.residuals or mapping.bounds
    for loop, bound, last in zip(mapping.nest.loops, mapping.bounds, residuals, strict=True):
        if loop.level != level or loop.spatial != spatial or bound == 1:
            continue
        word = f"{loop.rank}={bound}" + (f"~{last}" if last != bound else "")
        words += [f", {loop.axis} {word}" if loop.axis != axis else f" {word}"]
        axis = loop.axis
    return "".join(words).removeprefix(", ").strip()


def _switches(mapping: Mapping, level: int) -> list[tuple[str, frozenset[tuple[int, str]]]]:
    """The switches that are set at a level."""
    nest = mapping.nest
    pairs = zip(SWITCHES, (nest.no_temporal_reuse, nest.no_multicast, nest.no_forwarding), strict=True)
    return [(key, chosen) for key, chosen in pairs if any(at == level for at, _ in chosen)]
