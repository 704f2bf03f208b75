"""Timeloop's architecture tree (or legacy list) becomes a chain of components with instance counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sparseloop.input.diagnostics import closest
from sparseloop.input.timeloop.sections import ImportLog, Section

ComponentKind = Literal["storage", "compute", "network"]

_CLASSES: tuple[tuple[ComponentKind, tuple[str, ...]], ...] = (
    ("storage", ("DRAM", "SRAM", "regfile", "smartbuffer", "storage")),
    ("compute", ("mac", "intmac", "fpmac", "compute")),
    ("network", ("XY_NoC", "Legacy", "ReductionTree", "SimpleMulticast")),
)
_NO_PART = "is not part of the model"
_OTHER_RANGE = re.compile(r"^(.*?)\s*\[\s*(?:0\s*[-:,]\s*(\d{1,15})|(\d{1,15}))\s*\]$")
"""What looks like a range, 'PE[0-15]' or 'PE[16]', and is a name of one instance to Timeloop."""
_RANGE = re.compile(r"^(.*?)\s*\[\s*(\d{1,15})\s*\.\.\s*(\d{1,15})\s*\]$")
_IGNORED = {
    "version": "format",
    "required_actions": "a request to the energy estimator",
    "subclass": "read by the energy estimator only",
    "area_scale": "used by the energy estimator only",
    "energy_scale": "used by the energy estimator only",
}
_NODE_IGNORED = {"attributes": "of a container: read by the energy estimator only, except technology and cycle time"}


@dataclass(frozen=True, kw_only=True)
class TimeloopComponent:
    """One component of the chain."""

    name: str
    kind: ComponentKind
    class_name: str
    subclass: str
    section: Section
    """Its attributes."""
    instances: int
    mesh_x: int
    mesh_y: int


@dataclass(frozen=True, kw_only=True)
class TimeloopChain:
    """The machine: storage levels outermost first, the compute level, and explicit networks by name."""

    storage: tuple[TimeloopComponent, ...]
    compute: TimeloopComponent
    networks: dict[str, TimeloopComponent] = field(default_factory=dict[str, TimeloopComponent])
    node: str | None = None
    cycle_seconds: float | None = None

    @property
    def levels(self) -> tuple[TimeloopComponent, ...]:
        """Storage levels and the compute level."""
        return (*self.storage, self.compute)


def split_range(name: str) -> tuple[str, int]:
    """'PE[0..15]' is ('PE', 16): a trailing range is stripped and counted."""
    match = _RANGE.match(name.strip())
    return (match[1], int(match[3]) - int(match[2]) + 1) if match else (name.strip(), 1)


def component_kind(class_name: str) -> ComponentKind | None:
    """Timeloop's classification of components by substrings of their class, storage first."""
    return next((kind for kind, words in _CLASSES if any(w in class_name for w in words)), None)


def read_architecture(architecture: Section) -> TimeloopChain | None:
    """Reads the tree form or the legacy form; None (with mistakes logged) if there is no chain."""
    log = architecture.log
    architecture.take("constraints")
    node, cycle = None, None
    if architecture.has("arithmetic", "storage"):
        found = list(_legacy(architecture))
    else:
        containers = list(_containers(architecture))
        found = [c for container, count in containers for c in _locals(container, count)]
        attributes = [a for container, _ in containers if (a := container.section("attributes"))]
        node = next((t for a in attributes if (t := a.text("technology"))), None)
        cycle = next((t for a in attributes if (t := a.number("global_cycle_seconds"))), None)
        if architecture.has("local"):
            log.note(architecture.key_path("local"), "'local' of the root is not read by Timeloop and was left out")
    architecture.unused({"version": "format", "name": "label", "local": "noted above"}, "the architecture")
    storage = tuple(c for c in found if c.kind == "storage")
    computes = [c for c in found if c.kind == "compute"]
    if len(computes) != 1 or not storage:
        message = f"one compute component and at least one storage are needed, here {len(computes)} and {len(storage)}"
        unknown = next((note for note in log.notes if note.endswith(_NO_PART)), None)
        log.error(architecture.path, message, unknown)
        return None
    networks = {c.name: c for c in found if c.kind == "network"}
    return TimeloopChain(storage=storage, compute=computes[0], networks=networks, node=node, cycle_seconds=cycle)


def _containers(root: Section) -> Iterator[tuple[Section, int]]:
    """Every node below the root with its running instance count, from the outside in."""
    node, count = root, 1
    while children := node.sections("subtree"):
        if len(children) > 1:
            node.log.error(node.key_path("subtree"), "only one subtree per node is modelled (the machine is a chain)")
        node = children[0]
        _, more = _named(node, "a node")
        count *= _at_least_one(more, node)
        yield node, count
    return


def _named(item: Section, what: str) -> tuple[str, int]:
    """Name and count of a node or a component; a mistake where the brackets are not what Timeloop counts by."""
    text = item.required("name", what)
    if wrong := _OTHER_RANGE.match(text.strip()):
        count = int(wrong[2]) + 1 if wrong[2] else int(wrong[3])
        message = f"'{text}' has no range that Timeloop reads: it would be one instance"
        item.log.error(item.key_path("name"), message, f"{count} instances: {wrong[1]}[0..{max(count, 1) - 1}]")
    return split_range(text)


def _at_least_one(count: int, named: Section) -> int:
    """The length of the range in a name; a mistake if nothing is in it."""
    if count < 1:
        named.log.error(named.key_path("name"), f"the range of '{named.text('name')}' is empty")
    return max(1, count)


def _locals(container: Section, count: int) -> Iterator[TimeloopComponent]:
    """The components of one node."""
    for item in container.sections("local"):
        if item.flag("enabled") is not False:
            yield from _component(item, item.section("attributes") or Section({}, item.path, item.log), count)
        item.unused(_IGNORED, "a component")
    container.unused(_NODE_IGNORED, "a node")


def _component(item: Section, attributes: Section, count: int) -> Iterator[TimeloopComponent]:
    name, own = _named(item, "a component")
    class_name = item.required("class", f"component '{name}'")
    kind = component_kind(class_name)
    if kind is None:
        if meant := closest(class_name, [word for _, words in _CLASSES for word in words], 0.7):
            item.log.error(
                item.key_path("class"), f"unknown class '{class_name}' of component '{name}'", f"did you mean '{meant}'?"
            )
        item.log.note(item.key_path("class"), f"component '{name}' of class '{class_name}' {_NO_PART}")
        return
    instances, mesh_x, mesh_y = _mesh(attributes, count * _at_least_one(own, item), name, item.log)
    yield TimeloopComponent(
        name=name,
        kind=kind,
        class_name=class_name,
        subclass=item.text("subclass") or "",
        section=attributes,
        instances=instances,
        mesh_x=mesh_x,
        mesh_y=mesh_y,
    )


def _mesh(attributes: Section, counted: int | None, name: str, log: ImportLog) -> tuple[int, int, int]:
    """(instances, mesh x, mesh y): two of them determine the third; from the instances alone Timeloop makes one row."""
    given = attributes.count("instances")
    instances = given if given is not None else counted
    x, y = attributes.count("meshX"), attributes.count("meshY")
    if instances is None:
        if x is None and y is None:
            log.error(attributes.path, f"'{name}' needs instances, or meshX and meshY")
        instances = (x or 1) * (y or 1)
    x = x if x is not None else instances if y is None else instances // y
    y = y if y is not None else instances // x
    if x * y != instances or y == 0:
        log.error(attributes.path, f"'{name}' has {instances} instances, but its mesh is {x} x {y}")
    return instances, x, max(1, y)


def _legacy(architecture: Section) -> Iterator[TimeloopComponent]:
    """The form with `arithmetic` and `storage` (innermost first), attributes inline."""
    levels = [(s, "storage") for s in reversed(architecture.sections("storage"))]
    arithmetic = architecture.section("arithmetic")
    for section, kind in [*levels, *([(arithmetic, "compute")] if arithmetic else [])]:
        named = section.has("name") or kind == "storage"
        name, _ = split_range(section.required("name", "a storage") if named else "MAC")
        class_name = section.text("class") or ""
        instances, mesh_x, mesh_y = _mesh(section, None, name, section.log)
        yield TimeloopComponent(
            name=name,
            kind="storage" if kind == "storage" else "compute",
            class_name=class_name,
            subclass=section.text("subclass") or "",
            section=section,
            instances=instances,
            mesh_x=mesh_x,
            mesh_y=mesh_y,
        )
