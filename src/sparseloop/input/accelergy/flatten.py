"""Architectures of versions 0.2 to 0.4 as a list of components with dotted names, classes and inherited attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sparseloop.input.accelergy.attributes import Reported, Scope, Written
from sparseloop.input.accelergy.classes import attributes_of, leftover, version_of
from sparseloop.input.accelergy.records import Scalar
from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.timeloop.architecture import component_kind
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.timeloop.v04_tree import CONTAINERS, NODE_KINDS
from sparseloop.input.yaml.nodes import TAG

TOP = "system_top_level"
"""First part of the names that components of a v0.4 tree have in tables of Timeloop's front end."""

_COMPONENT = ("name", "class", "subclass", "attributes", "required_actions", "enabled", "area_scale", "energy_scale")
_NODE = ("name", "attributes", "local", "subtree", "enabled")
_MAPPING = ("constraints", "sparse_optimizations")
"""Keys of v0.4 nodes that say nothing about the hardware's cost."""
_REQUIRED: Mapping[str, tuple[str, ...]] = {"storage": ("read", "write", "update", "leak"), "compute": ("compute", "leak")}
"""What the front end asks of components in a tree of nodes, by their kind, where they do not say it."""


@dataclass(frozen=True, kw_only=True)
class AccelergyComponent:
    """One component: `class_name` is its subclass where one is given."""

    name: str
    class_name: str
    version: str
    path: Path
    attributes: Mapping[str, Written]
    """Inherited from the outside in; the inner one wins."""
    required: tuple[str, ...] = ()
    """Actions that v0.4 asks of it."""
    energy_factors: tuple[Written, ...] = ()
    area_factors: tuple[Written, ...] = ()


def components_of(root: Section) -> list[AccelergyComponent]:
    """All components of the architecture in the files, outermost first; mistakes are logged."""
    architecture = root.section("architecture", "arch")
    if architecture is None:
        root.log.error((), "no 'architecture' in the files")
        return []
    version = version_of(architecture, "architecture")
    variables = attributes_of(root, "variables")
    if architecture.has("levels"):
        hint = "Accelergy's form has subtree and local (v0.2, v0.3) or nodes (v0.4)"
        root.log.error(architecture.key_path("levels"), "a native architecture: its levels have no classes of Accelergy", hint)
        return []
    if architecture.has("nodes"):
        found = list(_nodes(architecture, variables))
    else:
        tree = _Tree(version, root.log)
        found = [*tree.locals(architecture, "", variables), *tree.below(architecture, "", variables)]
        leftover(architecture, "the architecture", ("version", "name", *_NODE))
    _check_names(found, root.log)
    return found


def _check_names(found: list[AccelergyComponent], log: ImportLog) -> None:
    names = set[str]()
    for component in found:
        if component.name in names:
            log.error(component.path, f"component '{component.name}' is defined twice")
        names.add(component.name)


# --- v0.2 and v0.3 ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tree:
    """Walks `subtree` and `local`."""

    version: str
    log: ImportLog

    def below(self, node: Section, prefix: str, inherited: Mapping[str, Written]) -> Iterator[AccelergyComponent]:
        """The components of all nodes under one."""
        for child in node.sections("subtree"):
            if child.flag("enabled") is False:
                continue
            name = child.text("name")
            if not name:
                child.log.error(child.path, "a node needs a name")
            path, attributes = f"{prefix}{name}.", {**inherited, **attributes_of(child)}
            yield from self.locals(child, path, attributes)
            yield from self.below(child, path, attributes)
            leftover(child, f"node {name}", _NODE)

    def locals(self, node: Section, prefix: str, inherited: Mapping[str, Written]) -> Iterator[AccelergyComponent]:
        """The components that stand in one node."""
        for item in node.sections("local"):
            if item.flag("enabled") is not False:
                yield _component(item, prefix, inherited, self.version)
            leftover(item, "a component", _COMPONENT)


def _component(item: Section, prefix: str, inherited: Mapping[str, Written], version: str) -> AccelergyComponent:
    name, class_name = item.text("name"), item.text("subclass", "class")
    if not name or not class_name:
        item.log.error(item.path, "a component needs a name and a class")
    return AccelergyComponent(
        name=f"{prefix}{name}",
        class_name=class_name or "?",
        version=version,
        path=item.path,
        attributes={**inherited, **attributes_of(item)},
        required=item.names("required_actions") or (),
        energy_factors=_factor(item, "energy_scale"),
        area_factors=_factor(item, "area_scale"),
    )


def _factor(item: Section, key: str) -> tuple[Written, ...]:
    return (Written(item.take(key), item.key_path(key)),) if item.has(key) else ()


# --- v0.4 ---------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Place:
    """Where the walk is: what components further in inherit, and how many of them there are."""

    attributes: dict[str, Written]
    instances: int = 1


def _nodes(architecture: Section, variables: Mapping[str, Written]) -> Iterator[AccelergyComponent]:
    """Containers hand their attributes and meshes to all that follows; branches of a !Parallel do so to themselves."""
    place = _Place(attributes=dict(variables))
    for node in architecture.sections("nodes"):
        yield from _walk(node, place)
    leftover(architecture, "the architecture", ("version", "name", "nodes", TAG))


def _walk(node: Section, place: _Place) -> Iterator[AccelergyComponent]:
    kind = node.text(TAG) or ""
    if kind not in NODE_KINDS:
        message = f"unknown node !{kind}" if kind else "a node needs a tag that says what it is"
        node.log.error(node.path, message, did_you_mean(kind, NODE_KINDS) or f"known: !{', !'.join(NODE_KINDS)}")
    elif node.flag("enabled") is False or kind == "Nothing":
        return
    elif kind in ("Component", *CONTAINERS):
        yield from _leaf(node, kind, place)
    else:
        for child in node.sections("nodes"):
            inner = _Place(attributes=dict(place.attributes), instances=place.instances) if kind == "Parallel" else place
            yield from _walk(child, inner)
        leftover(node, f"a node !{kind}", ("name", "nodes", "enabled", TAG))


def _leaf(node: Section, kind: str, place: _Place) -> Iterator[AccelergyComponent]:
    instances = place.instances * _mesh(node, place)
    if kind in CONTAINERS:
        place.instances = instances
        place.attributes |= attributes_of(node)
        leftover(node, f"a !{kind}", ("name", "attributes", "spatial", "enabled", TAG, *_MAPPING))
        return
    found = _component(node, f"{TOP}.", place.attributes, "0.4")
    required = found.required or _REQUIRED.get(component_kind(node.text("class") or "") or "", ())
    yield replace(found, name=f"{found.name}[1..{instances}]", required=required)
    leftover(node, "a component", (*_COMPONENT, "spatial", TAG, *_MAPPING))


def _mesh(node: Section, place: _Place) -> int:
    """Instances for each one of the parent, from `spatial`."""
    spatial, count = node.section("spatial"), 1
    scope = Scope(place.attributes, node.log)
    for key in ("meshX", "meshY") if spatial else ():
        raw: Scalar = spatial.take(key) if spatial else None
        try:
            number = 1 if raw is None or spatial is None else scope.number(raw, spatial.key_path(key), key)
        except Reported:
            continue
        if number < 1 or number != int(number):
            node.log.error(node.path, f"{key} must be a whole number >= 1, not {number}")
        count *= max(1, int(number))
    if spatial:
        leftover(spatial, "spatial", ("meshX", "meshY"))
    return count
