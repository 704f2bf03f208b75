"""Timeloop's mapping directives become our mapping entries, outermost first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sparseloop.input.timeloop.directives import MARKS, known_tensors, parse_factors, parse_order, target_level
from sparseloop.input.timeloop.flattened_dimensions import split_loops
from sparseloop.input.timeloop.levels import Machine, fanout_name
from sparseloop.input.timeloop.problem import Problem
from sparseloop.input.timeloop.sections import Section, as_names

_IGNORED = {"stream": "private key of the MICRO 2022 artifact, not read by Timeloop"}


@dataclass(kw_only=True)
class NestLoop:
    """One loop while the mapping is read."""

    rank: str
    bound: int
    residual: int
    axis: str | None = None


@dataclass(kw_only=True)
class Directive:
    """What all directives of one kind say about one level."""

    bounds: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    order: list[str] | None = None
    split: int | None = None
    marks: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """no_temporal_reuse, no_multicast, no_forwarding: tensors."""
    section: Section | None = None

    def loops(self, names: Mapping[str, int], *, spatial: bool) -> list[NestLoop]:
        """Non-trivial loops, outermost first; missing dimensions stand outside, in dimension order."""
        order = self.order or []
        order = order + [n for n in names if n not in order]
        split = len(order) if self.split is None else self.split
        result = list[NestLoop]()
        for i, name in enumerate(order):
            bound, residual = self.bounds.get(name, (1, 1))
            axis = ("x" if i < split else "y") if spatial else None
            if bound > 1:
                result.append(NestLoop(rank=name, bound=bound, residual=residual, axis=axis))
        return result[::-1]


@dataclass(frozen=True, kw_only=True)
class Nest:
    """Directives by level; bypassed tensors by level."""

    temporal: dict[str, Directive]
    spatial: dict[str, Directive]
    bypass: dict[str, set[str]]


@dataclass(frozen=True, kw_only=True)
class ReadMapping:
    """`Spec.mapping` as plain data, and the flattened variables of which a loop became several loops."""

    entries: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    several: frozenset[str] = frozenset()


def read_mapping(items: list[Section], problem: Problem, machine: Machine) -> ReadMapping:
    """Per level its loops and what it keeps, then the loops of the fanout below; no directives: no mapping."""
    if not items:
        return ReadMapping()
    nest = _collect(items, problem, machine)
    names, ordered = problem.loops, list[tuple[str, list[NestLoop], Directive]]()
    for level in machine.storage:
        temporal = nest.temporal.get(level, Directive())
        ordered.append((level, temporal.loops(names, spatial=False), temporal))
        spatial = nest.spatial.get(level, Directive())
        loops = spatial.loops(names, spatial=True)
        if level in machine.fanouts:
            ordered.append((fanout_name(level), loops, spatial))
        elif loops and spatial.section is not None:
            spatial.section.log.error(spatial.section.path, f"spatial loops at '{level}', which has a single child")
    ordered, several = split_loops(ordered, problem, items[0])
    entries = [_entry(target, loops, directive, nest, problem) for target, loops, directive in ordered]
    return ReadMapping(entries=entries, several=several)


def _entry(target: str, loops: list[NestLoop], directive: Directive, nest: Nest, problem: Problem) -> dict[str, object]:
    records = list[dict[str, object]]()
    for loop in loops:
        record: dict[str, object] = {"rank": loop.rank, "bound": loop.bound}
        record |= {"residual": loop.residual} if loop.residual != loop.bound else {}
        records.append(record | ({"axis": loop.axis} if loop.axis else {}))
    entry: dict[str, object] = {"target": target, "loops": records}
    if target in nest.bypass:
        bypassed = nest.bypass[target]
        entry["keep"] = [t for t in problem.tensors if t not in bypassed]
        entry["bypass"] = [t for t in problem.tensors if t in bypassed]
    return entry | {key: list(tensors) for key, tensors in directive.marks.items() if tensors}


def _collect(items: list[Section], problem: Problem, machine: Machine) -> Nest:
    nest = Nest(temporal={}, spatial={}, bypass={level: set() for level in machine.storage})
    for item in items:
        kind, level = item.required("type", "a mapping directive").replace("-", "_"), target_level(item, machine)
        if level is None or level not in machine.storage:
            item.used |= {"factors", "permutation", "split", "keep", "bypass", "keep_only", "bypass_only"}
        elif kind == "temporal":
            _loops(item, nest.temporal.setdefault(level, Directive()), problem)
        elif kind == "spatial":
            _loops(item, nest.spatial.setdefault(level, Directive()), problem)
        elif kind in ("datatype", "bypass", "bypassing", "dataspace"):
            if item.has("keep_only"):
                nest.bypass[level] = set(problem.tensors) - set(known_tensors(item, "keep_only", problem.tensors))
            if item.has("bypass_only"):
                nest.bypass[level] = set(known_tensors(item, "bypass_only", problem.tensors))
            nest.bypass[level] -= set(known_tensors(item, "keep", problem.tensors))
            nest.bypass[level] |= set(known_tensors(item, "bypass", problem.tensors))
        elif kind == "skew":
            item.log.note(item.path, "skew is not modelled: it changes distances in the network only, and was left out")
            item.used |= {"modulo", "terms"}
        elif kind:
            item.log.error(item.key_path("type"), f"unknown mapping directive '{kind}'", "temporal, spatial or bypass")
        item.unused(_IGNORED, "a mapping directive")
    return nest


def _loops(item: Section, directive: Directive, problem: Problem) -> None:
    """Takes over factors, permutation, split and the no_* lists of one temporal or spatial directive."""
    names = problem.loops
    directive.section = item
    if item.has("factors"):
        path = item.key_path("factors")
        factors = parse_factors(item.factors("factors"), names, path, item.log)
        for f in factors:
            if f.relation != "=":
                item.log.error(path, f"'{f.name}{f.relation}{f.bound}' is a constraint, not a factor of a mapping")
        directive.bounds = {f.name: (f.bound, f.bound if f.residual is None else f.residual) for f in factors}
    if item.has("permutation"):
        path = item.key_path("permutation")
        text = " ".join(as_names(item.take("permutation"), path, item.log))
        directive.order = parse_order(text, names, path, item.log)
    split = item.integer("split")
    directive.split = directive.split if split is None else split
    spatial = item.text("type") == "spatial"
    keys = MARKS | {"no_reuse": "no_multicast" if spatial else "no_temporal_reuse"}
    for key, ours in keys.items():
        if found := known_tensors(item, key, problem.tensors):
            directive.marks[ours] = found
