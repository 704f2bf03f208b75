"""Classes of components: compounds (made of subcomponents) and primitives, of versions 0.2 to 0.4."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sparseloop.input.accelergy.attributes import Written
from sparseloop.input.accelergy.records import Scalar
from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.timeloop.sections import ImportLog, Section, sections
from sparseloop.input.timeloop.tables import VERSIONS
from sparseloop.input.yaml.nodes import same_data

_RANGE = re.compile(r"^(?P<name>[^\[\]]+?)\s*\[(?P<inside>[^\[\]]*)\]$")
_SHARES = ("energy_scale", "energy_share", "action_share", "repeat")
_AREAS = ("area_scale", "area_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRange:
    """The name of a list 'x[lo..hi]', of one of its elements 'x[i]' (lo = hi), or of a single component."""

    name: str
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubAction:
    """An action of a subcomponent that belongs to an action of the compound."""

    name: str
    path: Path
    arguments: Mapping[str, Written] = field(default_factory=dict[str, Written])
    factors: tuple[Written, ...] = ()
    """Multiply its energy: repeat, energy_scale, energy_share, action_share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What an action of the compound asks of one subcomponent."""

    span: IndexRange
    path: Path
    actions: tuple[SubAction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action of a class; each combination of its arguments is a row of the energy table."""

    name: str
    path: Path
    arguments: Mapping[str, Written] = field(default_factory=dict[str, Written])
    uses: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcomponent:
    """A part of a compound, or a list of equal parts."""

    span: IndexRange
    class_name: str
    path: Path
    attributes: Mapping[str, Written]
    energy_factors: tuple[Written, ...] = ()
    area_factors: tuple[Written, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentClass:
    """A class of components; without subcomponents it is a primitive."""

    name: str
    version: str
    path: Path
    attributes: Mapping[str, Written]
    parts: Mapping[str, Subcomponent] = field(default_factory=dict[str, Subcomponent])
    actions: Mapping[str, Action] = field(default_factory=dict[str, Action])
    primitive_type: str | None = None


def read_classes(root: Section) -> dict[str, ComponentClass]:
    """All classes of `compound_components` (or `components`) and `primitive_components`."""
    found = dict[str, ComponentClass]()
    written = dict[str, Section]()
    for key in ("compound_components", "components", "primitive_components"):
        holder = root.section(key)
        version = version_of(holder, "class list") if holder else ""
        for section in holder.sections("classes") if holder else ():
            name = section.text("name") or "?"
            if name in written and same_data(written[name].data, section.data):
                continue
            if name in written:
                message = f"class '{name}' is defined twice, differently (first in {root.log.place(written[name].path)})"
                root.log.error(section.path, message)
            found[name], written[name] = _class(section, version), section
        if holder:
            leftover(holder, "a class list", ("version", "classes"))
    return found


def version_of(section: Section, what: str) -> str:
    """The format version, written as a number or as text; 0.4 if there is none."""
    version = section.take("version")
    text = "0.4" if version is None else str(version)
    if text not in VERSIONS:
        message = f"unknown version '{text}' of the {what}"
        section.log.error(section.key_path("version"), message, f"known: {', '.join(VERSIONS)}")
    return text


def leftover(section: Section, what: str, known: Collection[str] = ()) -> None:
    """A key that nobody read: a mistake if it looks like a known one, else a note."""
    for key in section.data:
        word = str(key).replace("-", "_")
        if word in section.used:
            continue
        hint = did_you_mean(word, known) if len(known) and word not in known else None
        if hint and hint.startswith("did you mean"):
            section.log.error((*section.path, key), f"unknown key '{key}' of {what}", hint, key=True)
        elif word not in known:
            section.log.note((*section.path, key), f"'{key}' of {what} is unknown and was left out")


def index_range_of(section: Section, what: str) -> IndexRange:
    """The name at `name`, with the range in its brackets."""
    text = section.text("name")
    if not text:
        section.log.error(section.path, f"{what} needs a name")
        return IndexRange(name="?")
    match = _RANGE.match(text.strip())
    if match is None:
        if "[" in text or "]" in text:
            section.log.error(section.key_path("name"), f"cannot read the range in '{text}'", "write name[0..3] or name[2]")
        return IndexRange(name=text.strip())
    low, dots, high = (part.strip() for part in match["inside"].partition(".."))
    if not low or (dots and not high):
        section.log.error(section.key_path("name"), f"cannot read the range in '{text}'", "write name[0..3] or name[2]")
    return IndexRange(name=match["name"], low=low, high=high if dots else low)


def attributes_of(section: Section, key: str = "attributes") -> dict[str, Written]:
    """The attributes of a section, as they are written."""
    inside = section.section(key)
    return {str(name): Written(value, inside.key_path(str(name))) for name, value in inside.data.items()} if inside else {}


# --- one class ----------------------------------------------------------------------------------------------


def _class(section: Section, version: str) -> ComponentClass:
    name = section.text("name")
    if not name:
        section.log.error(section.path, "a class needs a name")
    parts = dict[str, Subcomponent]()
    for item in _different(section.sections("subcomponents")):
        part = _part(item)
        if part.span.name in parts:
            item.log.error(item.key_path("name"), f"subcomponent '{part.span.name}' is defined twice, differently")
        parts[part.span.name] = part
    actions = dict[str, Action]()
    for item in _different(section.sections("actions")):
        action = _action(item, parts, version)
        if action.name in actions:
            item.log.error(item.key_path("name"), f"action '{action.name}' is defined twice, differently")
        actions[action.name] = action
    result = ComponentClass(
        name=name or "?",
        version=version,
        path=section.path,
        attributes=attributes_of(section),
        parts=parts,
        actions=actions,
        primitive_type=section.text("primitive_type"),
    )
    leftover(section, f"class {name}", ("name", "attributes", "subcomponents", "actions", "primitive_type"))
    return result


def _different(items: Collection[Section]) -> list[Section]:
    """The items of a list, equal ones once."""
    found = list[Section]()
    for item in items:
        if not any(same_data(item.data, known.data) for known in found):
            found.append(item)
    return found


def _part(section: Section) -> Subcomponent:
    span = index_range_of(section, "a subcomponent")
    class_name = section.text("class")
    if not class_name:
        section.log.error(section.path, f"subcomponent '{span.name}' needs a class")
    result = Subcomponent(
        span=span,
        class_name=class_name or "?",
        path=section.path,
        attributes=attributes_of(section),
        energy_factors=_factors(section, ("energy_scale", "energy_share")),
        area_factors=_factors(section, _AREAS),
    )
    leftover(section, f"subcomponent {span.name}", ("name", "class", "attributes", "energy_scale", "energy_share", *_AREAS))
    return result


def _factors(section: Section, keys: Collection[str]) -> tuple[Written, ...]:
    return tuple(Written(section.take(key), section.key_path(key)) for key in keys if section.has(key))


def _action(section: Section, parts: Mapping[str, Subcomponent], version: str) -> Action:
    name = section.text("name")
    if not name:
        section.log.error(section.path, "an action needs a name")
    uses = list[Use]()
    for item in section.sections("subcomponents"):
        use = _use(item)
        if use.span.name not in parts:
            hint = did_you_mean(use.span.name, parts)
            item.log.error(item.key_path("name"), f"action '{name}' uses unknown subcomponent '{use.span.name}'", hint)
        elif version != "0.4" and (same := [u for u in uses if u.span == use.span]):
            message = f"action '{name}' lists '{item.text('name')}' twice: counted once, as in tables published with v{version}"
            item.log.note(item.path, message)
            uses.remove(same[0])
        uses.append(use)
    result = Action(name=name or "?", path=section.path, arguments=attributes_of(section, "arguments"), uses=tuple(uses))
    leftover(section, f"action {name}", ("name", "arguments", "subcomponents"))
    return result


def _use(section: Section) -> Use:
    span = index_range_of(section, "a subcomponent of an action")
    actions = list[SubAction]()
    for item in section.sections("actions"):
        name = item.text("name")
        if not name:
            item.log.error(item.path, "an action needs a name")
        factors, arguments = _factors(item, _SHARES), attributes_of(item, "arguments")
        actions.append(SubAction(name=name or "?", path=item.path, arguments=arguments, factors=factors))
        leftover(item, f"action {name} of {span.name}", ("name", "arguments", *_SHARES))
    leftover(section, f"subcomponent {span.name} of an action", ("name", "actions"))
    return Use(span=span, path=section.path, actions=tuple(actions))


# --- classes that every installation knows ------------------------------------------------------------------

_DELTAS = {"address_delta": "0..1", "data_delta": "0..1"}
_STORAGE: Mapping[str, Mapping[str, str]] = {"read": _DELTAS, "write": _DELTAS, "idle": {}}
_MAC: Mapping[str, Mapping[str, str]] = {name: {} for name in ("mac_random", "mac_reused", "mac_gated", "idle")}
_ADD: Mapping[str, Mapping[str, str]] = {"add": {}, "idle": {}}
_MULTIPLY: Mapping[str, Mapping[str, str]] = {"multiply_random": {}, "multiply_reuse": {}, "idle": {}}
_WIRE: Mapping[str, Mapping[str, str]] = {"transfer_random": {}, "transfer_repeated": {}, "idle": {}}

PRIMITIVES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "SRAM": _STORAGE,
    "regfile": _STORAGE,
    "DRAM": {"read": {}, "write": {}, "idle": {}},
    "intmac": _MAC,
    "fpmac": _MAC,
    "intadder": _ADD,
    "fpadder": _ADD,
    "intmultiplier": _MULTIPLY,
    "fpmultiplier": _MULTIPLY,
    "counter": {"count": {}, "idle": {}},
    "comparator": {"compare": {}, "idle": {}},
    "bitwise": {"process": {}, "idle": {}},
    "wire": _WIRE,
}
"""Actions with their argument ranges of primitives up to v0.3, as tables of the survey show them."""

DEFAULTS: Mapping[str, Mapping[str, Scalar]] = {
    "SRAM": {"n_banks": 1, "n_rdwr_ports": 1, "n_rd_ports": 0, "n_wr_ports": 0, "latency": "5ns"},
    "intadder": {"datawidth": 16, "latency": "5ns"},
    "aladdin_register": {"width": 1},
}
"""Attributes a primitive has when nothing is written, as published flattened architectures and tables show them."""


def known_primitive(name: str, log: ImportLog) -> ComponentClass | None:
    """The class of a primitive that files need not define."""
    if name not in PRIMITIVES and name not in DEFAULTS:
        return None
    path: Path = ("primitive_components", name)
    items = [{"name": action, "arguments": dict(arguments)} for action, arguments in PRIMITIVES.get(name, {}).items()]
    actions = {item.text("name") or "": _action(item, {}, "0.3") for item in sections(items, path, log)}
    attributes = {key: Written(value, path) for key, value in DEFAULTS.get(name, {}).items()}
    return ComponentClass(name=name, version="0.3", path=path, attributes=attributes, actions=actions)
