"""Timeloop's architecture and mapspace constraints become `Spec.constraints`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from sparseloop.input.timeloop.directives import MARKS, known_tensors, one_string, parse_factors, parse_order, target_level
from sparseloop.input.timeloop.levels import Machine, fanout_name
from sparseloop.input.timeloop.problem import Problem
from sparseloop.input.timeloop.sections import Plain, Section

_ROOT_KEYS = ("arch_constraints", "architecture_constraints", "mapspace_constraints", "mapspace")


def read_constraints(root: Section, problem: Problem, machine: Machine) -> dict[str, dict[str, Plain]]:
    """All constraints by level or fanout; different values for one thing are a mistake."""
    result = dict[str, dict[str, Plain]]()
    for item in _items(root):
        level = target_level(item, machine)
        grouped = item.sections("constraints")
        for part in grouped or [item]:
            if level is not None:
                _read(part, level, result, problem, machine)
        if grouped:
            item.unused(what="a constraint")
    return result


def _items(root: Section) -> Iterator[Section]:
    """The constraints of every list, from the root keys and from inside the architecture."""
    holders = [(root, key) for key in _ROOT_KEYS]
    if architecture := root.section("architecture", "arch"):
        holders.append((architecture, "constraints"))
    for holder, key in holders:
        value = holder.take(key)
        if isinstance(value, list):
            yield from holder.sections(key)
        elif isinstance(value, dict) and (section := holder.section(key)):
            yield from _nested(section, root)


def _nested(section: Section, root: Section) -> Iterator[Section]:
    """Constraints of a map: `targets`, or `constraints` (a list, or a string naming another root key)."""
    named = section.take("constraints")
    if isinstance(named, str):
        yield from root.sections(f"constraints_{named}")
    elif named is not None:
        yield from section.sections("constraints")
    yield from section.sections("targets")
    if section.text("template") not in (None, "uber"):
        message = "the mapspace template is not taken over: `map --padded` also tries imperfect factors"
        section.log.note(section.key_path("template"), message)
    section.unused({"version": "format"}, "the mapspace")


def _read(item: Section, level: str, result: dict[str, dict[str, Plain]], problem: Problem, machine: Machine) -> None:
    kind = item.required("type", "a constraint").replace("-", "_")
    values = item.section("attributes") or item
    target = level
    found: dict[str, Plain] = {}
    if kind == "spatial" and level not in machine.fanouts:
        _single_child(values, level, problem)
    elif kind in ("temporal", "spatial"):
        target = fanout_name(level) if kind == "spatial" else level
        found = _loops(item, values, problem)
    elif kind in ("datatype", "bypass", "bypassing", "dataspace"):
        found = {key: list(known_tensors(values, key, problem.tensors)) for key in ("keep", "bypass") if values.has(key)}
    elif kind in ("utilization", "parallelism"):
        found = {f"min_{kind}": values.number("min")}
    elif kind == "max_overbooked_proportion":
        found = {"max_overbooked": values.number("proportion")}
    elif kind:
        item.log.error(item.key_path("type"), f"unknown constraint '{kind}'")
    for section in dict.fromkeys(map(id, (values, item))):
        value = values if section == id(values) else item
        value.unused({"name": "target", "type": "kind", "target": "target"}, "a constraint")
    _merge(result.setdefault(target, {}), found, item)


def _merge(into: dict[str, Plain], found: dict[str, Plain], item: Section) -> None:
    """Adds to what is known of a target; factors of different dimensions add up, and the same may be said again."""
    for key, value in found.items():
        known = into.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            old, new = cast("dict[str, Plain]", known), cast("dict[str, Plain]", value)
            different = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
            into[key] = old | new
        elif isinstance(known, list) and key in ("keep", "bypass"):
            different, into[key] = list[str](), list(dict.fromkeys([*cast("list[str]", known), *cast("list[str]", value)]))
        else:
            different = [key] if key in into and known != value else []
            into[key] = value
        if different:
            item.log.error(item.path, f"constraint given twice, differently: {key} of {', '.join(different)}")


def _single_child(values: Section, level: str, problem: Problem) -> None:
    """A spatial constraint below a single child can only ask for factors of 1."""
    factors = parse_factors(values.factors("factors") or "", problem.loops, values.key_path("factors"), values.log)
    values.used |= {"permutation", "split", *MARKS}
    for factor in factors:
        if factor.relation == "=" and factor.bound > 1:
            values.log.error(values.key_path("factors"), f"spatial factors at '{level}', which has a single child")


def _loops(item: Section, values: Section, problem: Problem) -> dict[str, Plain]:
    """Factors, order and marks of a temporal or spatial constraint."""
    result: dict[str, Plain] = {}
    names, path = problem.loops, values.key_path("factors")
    for factor in parse_factors(values.factors("factors") or "", names, path, values.log):
        key = {"=": "factors", "<=": "max", ">=": "min"}[factor.relation]
        if key == "factors" and factor.bound > names[factor.name]:
            message = f"factor {factor.name}={factor.bound} is larger than the dimension ({names[factor.name]}) and is ignored"
            values.log.note(path, message)
        elif factor.name in problem.flattened:
            values.log.error(path, f"constraints on the flattened dimension '{factor.name}' are not modelled")
        else:
            result.setdefault(key, {})[factor.name] = factor.bound
    if values.has("permutation"):
        result["order"] = _order(one_string(values.take("permutation")), values, problem)
    if (limit := values.integer("default_max_factor")) is not None:
        result["default_max"] = limit
    for section in (item, values):
        if (split := section.integer("split")) is not None:
            result["split"] = split
        if (remainder := section.integer("remainders")) is not None:
            result["max_remainder"] = remainder
        for key, ours in MARKS.items():
            if tensors := known_tensors(section, key, problem.tensors):
                result[ours] = list(tensors)
    return result


def _order(text: str, values: Section, problem: Problem) -> str:
    """'AB_CD' (innermost first, the free ones at '_') becomes 'd c ... b a' (outermost first)."""
    inner, _, outer = text.partition("_")
    path = values.key_path("permutation")
    first, last = (parse_order(part, problem.loops, path, values.log) for part in (inner, outer))
    for name in (*first, *last):
        if name in problem.flattened:
            values.log.error(path, f"constraints on the flattened dimension '{name}' are not modelled")
    free = ["..."] if len(first) + len(last) < len(problem.loops) else []
    return " ".join([*last[::-1], *free, *first[::-1]])
