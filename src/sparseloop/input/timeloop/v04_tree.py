"""Turns Timeloop's v0.4 tree (`architecture.nodes`) into the v0.3 form that its front end writes.

A node with several children per parent stands behind a dummy storage `inter_<node>_spatial`, which keeps nothing and
has the node's spatial loops: the levels, and the targets of mappings, are those of Timeloop's own output.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from sparseloop.input.diagnostics import did_you_mean
from sparseloop.input.timeloop.architecture import component_kind
from sparseloop.input.timeloop.directives import Factor
from sparseloop.input.timeloop.groups import CONSTRAINT_KINDS, Group, combine, maximize_factors, read_group, tensors_of
from sparseloop.input.timeloop.problem import Problem
from sparseloop.input.timeloop.sections import NO_ITEMS, ImportLog, PlacedMapping, Plain, Section
from sparseloop.input.yaml.nodes import TAG

NODE_KINDS = ("Component", "Container", "ArrayContainer", "Parallel", "Hierarchical", "Pipelined", "Nothing")
CONTAINERS = ("Container", "ArrayContainer")
"""CiMLoop's !ArrayContainer is a container whose copies are the rows or columns of a memory array."""
_BRANCHES = ("Parallel", "Hierarchical", "Pipelined")


_DUMMY = {"datawidth": 1, "depth": 1, "width": 1, "cluster_size": 1, "reduction_supported": True}
_STORAGE_DEFAULTS = {"cluster_size": 1, "reduction_supported": True}
_COPIED = ("subclass", "required_actions", "area_scale", "energy_scale")
_HARDWARE = ("constraints", "architecture_constraints", "arch_constraints", "extra_mapping_constraints")
_SEARCH = ("mapspace_constraints", "mapspace")
_LISTS = (*_HARDWARE, *_SEARCH)
"""Root keys that hold constraints in `targets`: those that every mapping obeys, and those of a search only."""


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A component or a container."""

    section: Section
    name: str
    container: bool
    mesh: tuple[int, int]
    bypassed: frozenset[str]
    """Data spaces that other branches of a `!Parallel` keep."""


@dataclass(kw_only=True)
class _Chain:
    """The chain while it is built, from the outside in."""

    problem: Problem
    log: ImportLog
    mesh: tuple[int, int] = (1, 1)
    inherited: dict[str, Plain] = field(default_factory=dict[str, Plain])
    """Attributes of the containers so far."""
    scope: dict[str, Plain] = field(default_factory=dict[str, Plain])
    """'component.attribute' of the components so far, for expressions."""
    local: list[PlacedMapping] = field(default_factory=list[PlacedMapping])
    groups: dict[tuple[str, str], Group] = field(default_factory=dict[tuple[str, str], Group])
    sparse: list[PlacedMapping] = field(default_factory=list[PlacedMapping])
    dummies: dict[str, str] = field(default_factory=dict[str, str])
    """Node to the dummy storage that has its spatial loops."""
    fanouts: dict[str, int] = field(default_factory=dict[str, int])
    names: list[str] = field(default_factory=list[str])

    def add(self, section: Section, target: str, kind: str) -> None:
        """One statement about one target."""
        target = self.dummies.get(target, target) if kind == "spatial" else target
        group = read_group(section, target, kind, self.problem)
        known = self.groups.setdefault((target, kind), Group(target=target, kind=kind, path=group.path))
        combine(known, group, section)


def as_v03(root: Section, problem: Problem) -> dict[str, Plain]:
    """The files' top-level keys with the tree, its constraints and its sparse features in the v0.3 form."""
    architecture = root.section("architecture", "arch")
    assert architecture is not None
    chain = _Chain(problem=problem, log=root.log)
    for leaf in leaves_of(architecture, problem):
        _enter(chain, leaf)
    _read_lists(root, chain, _HARDWARE)
    mapping = _mapping(items, chain) if (items := root.sections("mapping")) else []
    _read_lists(root, chain, _SEARCH)
    attributes = {**root.log.variables, **chain.inherited}
    top = PlacedMapping({"name": "top", "attributes": attributes, "local": chain.local}, architecture.path)
    result = {key: value for key, value in root.data.items() if key not in (*_LISTS, "arch", "architecture", "components")}
    version = architecture.take("version")
    result["architecture"] = PlacedMapping({"version": version, "subtree": [top]}, architecture.path)
    result["architecture_constraints"] = {"targets": [group.placed() for group in chain.groups.values()]}
    if mapping:
        result["mapping"] = mapping
    if chain.sparse:
        given = root.section("sparse_optimizations")
        targets = given.items("targets") if given else []
        result["sparse_optimizations"] = {"targets": [*targets, *chain.sparse]}
    if (components := root.section("components")) and components.take("classes"):
        result["compound_components"] = dict(components.data)
    architecture.unused({"nodes": "read above", TAG: "tag", "name": "label"}, "the architecture")
    return result


# --- the walk --------------------------------------------------------------------------------------------


def leaves_of(architecture: Section, problem: Problem) -> Iterator[Leaf]:
    """All components and containers, outermost first; the last component must compute (checked by the reader)."""
    for node in architecture.sections("nodes"):
        yield from _walk(node, problem, frozenset(), parallel=False)


def _walk(node: Section, problem: Problem, bypassed: frozenset[str], *, parallel: bool) -> Iterator[Leaf]:
    kind = node.text(TAG) or ""
    if kind not in NODE_KINDS:
        message = f"unknown node !{kind}" if kind else "a node needs a tag that says what it is"
        node.log.error(node.path, message, did_you_mean(kind, NODE_KINDS) or f"known: !{', !'.join(NODE_KINDS)}")
    elif node.flag("enabled") is False or kind == "Nothing":
        return
    elif kind == "Parallel":
        yield from _side_by_side(node, problem, bypassed)
    elif kind in _BRANCHES:
        for child in node.sections("nodes"):
            yield from _walk(child, problem, bypassed, parallel=parallel)
        node.unused({"name": "label", "enabled": "read above"}, f"a node !{kind}")
    else:
        yield _leaf(node, "Container" if kind in CONTAINERS else kind, bypassed, parallel)


def _leaf(node: Section, kind: str, bypassed: frozenset[str], parallel: bool) -> Leaf:
    name = node.text("name")
    if name is None:
        node.log.error(node.path, f"a !{kind} needs a name")
    mesh = (1, 1)
    if spatial := node.section("spatial"):
        mesh = (spatial.count("meshX") or 1, spatial.count("meshY") or 1)
        spatial.unused(what="spatial")
    if parallel and (kind == "Container" or mesh != (1, 1)):
        what = f"container '{name}'" if kind == "Container" else f"'{name}' with several instances"
        message = f"{what} below !Parallel: its branches cannot be laid out one after the other"
        node.log.error(node.path, message, "move the container or the mesh before the !Parallel node")
    return Leaf(section=node, name=name or "?", container=kind == "Container", mesh=mesh, bypassed=bypassed)


def _side_by_side(node: Section, problem: Problem, bypassed: frozenset[str]) -> Iterator[Leaf]:
    """Branches one after the other; each bypasses what another one keeps, and every data space is kept in one of them."""
    branches = node.sections("nodes")
    kept = [_kept(branch, problem) for branch in branches]
    everything = frozenset(problem.tensors)
    for tensor in problem.tensors:
        count = sum(tensor in names for names in kept)
        if count > 1:
            node.log.error(node.path, f"'{tensor}' is kept in {count} branches of a !Parallel node: it may be in one only")
        elif count == 0 and tensor not in bypassed:
            hint = f"keep it in one branch, or add: - !Nothing {{constraints: {{dataspace: {{keep: [{tensor}]}}}}}}"
            node.log.error(node.path, f"no branch of the !Parallel node keeps '{tensor}'", hint)
    for branch, names in zip(branches, kept, strict=True):
        yield from _walk(branch, problem, everything - names, parallel=True)
    node.unused({"name": "label", "enabled": "read above"}, "a node !Parallel")


def _kept(node: Section, problem: Problem) -> frozenset[str]:
    """What a branch keeps, by the constraints of all its nodes."""
    if node.flag("enabled") is False:
        return frozenset()
    found = set[str]()
    for child in Section(node.data, node.path, node.log).sections("nodes") if node.has("nodes") else ():
        found |= _kept(child, problem)
    constraints = Section(node.data, node.path, node.log).section("constraints")
    spaces = constraints.section("dataspace", "datatype", "bypass") if constraints else None
    if spaces is not None:
        found |= {*tensors_of(spaces, "keep", problem), *tensors_of(spaces, "keep_only", problem)}
        if spaces.has("bypass_only"):
            found |= set(problem.tensors) - set(tensors_of(spaces, "bypass_only", problem))
    return frozenset(found)


# --- nodes --------------------------------------------------------------------------------------------------


def _enter(chain: _Chain, leaf: Leaf) -> None:
    """Adds one component or container to the chain: its mesh, itself, and its constraints."""
    node, name = leaf.section, leaf.name
    chain.names.append(name)
    x, y = leaf.mesh
    if x * y > 1:
        _add_dummy(chain, leaf)
        chain.mesh = (chain.mesh[0] * x, chain.mesh[1] * y)
    given = node.section("attributes")
    own: Mapping[str, Plain] = given.data if given else {}
    if leaf.container:
        chain.inherited |= own
    else:
        _place(chain, leaf, own)
    _read_constraints(chain, leaf)
    if sparse := node.section("sparse_optimizations"):
        chain.sparse.append(PlacedMapping({"name": name, **{k: v for k, v in sparse.data.items() if k != "target"}}, sparse.path))
    ignored = dict.fromkeys(_COPIED, "copied") | {TAG: "tag"}
    node.unused(ignored, f"node {name}")


def _add_dummy(chain: _Chain, leaf: Leaf) -> None:
    name, path = f"inter_{leaf.name}_spatial", leaf.section.path
    chain.dummies[leaf.name], chain.fanouts[name] = name, leaf.mesh[0] * leaf.mesh[1]
    attributes = PlacedMapping({**_DUMMY, **_instances(chain.mesh)}, path)
    chain.local.append(PlacedMapping({"name": name, "class": "dummy_storage", "attributes": attributes}, path))
    chain.names.append(name)
    ones = {(d, "="): Factor(name=d, relation="=", bound=1) for d in chain.problem.loops}
    chain.groups[name, "temporal"] = Group(target=name, kind="temporal", path=path, factors=ones)
    chain.groups[name, "dataspace"] = Group(target=name, kind="dataspace", path=path, bypass=list(chain.problem.tensors))


def _instances(mesh: tuple[int, int]) -> dict[str, int]:
    return {"instances": mesh[0] * mesh[1], "meshX": mesh[0], "meshY": mesh[1]}


def _place(chain: _Chain, leaf: Leaf, own: Mapping[str, Plain]) -> None:
    node, name = leaf.section, leaf.name
    class_name = node.text("class") or ""
    storage = component_kind(class_name) == "storage"
    defaults = _STORAGE_DEFAULTS if storage else {}
    values = {**defaults, **chain.inherited, **own}
    if storage and values.get("datawidth") is None:
        node.log.error(node.path, f"storage '{name}' needs the attribute datawidth")
    scope = {**chain.log.variables, **chain.scope, **values}
    chain.scope |= {f"{name}.{key}": value for key, value in values.items()}
    path = node.key_path("attributes")
    items_at = own.items_at if isinstance(own, PlacedMapping) else NO_ITEMS
    attributes = PlacedMapping({**values, **_instances(chain.mesh)}, path, scope, items_at)
    copied = {key: node.take(key) for key in _COPIED if node.has(key)}
    chain.local.append(PlacedMapping({"name": name, "class": class_name, "attributes": attributes, **copied}, node.path))


def _read_constraints(chain: _Chain, leaf: Leaf) -> None:
    node, name = leaf.section, leaf.name
    group = node.section("constraints")
    for key in group.data if group else ():
        kind = CONSTRAINT_KINDS.get(str(key).replace("-", "_"))
        if group is None or not group.has(str(key).replace("-", "_")):
            continue
        if kind is None or (leaf.container and kind != "spatial"):
            known = ("spatial",) if leaf.container else ("spatial", "temporal", "dataspace", "max_overbooked_proportion")
            message = f"constraint '{key}' cannot stand at {'a container' if leaf.container else 'a component'}"
            node.log.error(group.key_path(str(key)), message, did_you_mean(str(key), known))
        elif section := group.section(str(key).replace("-", "_")):
            _add_at(chain, leaf, section, kind)
    kept_out = [tensor for tensor in chain.problem.tensors if tensor in leaf.bypassed]
    if kept_out and not leaf.container and component_kind(node.text("class") or "") == "storage":
        chain.add(Section({"bypass": kept_out}, node.path, node.log), name, "dataspace")


def _add_at(chain: _Chain, leaf: Leaf, section: Section, kind: str) -> None:
    """A constraint; spatial ones need a fanout, unless all they say is that there are no loops."""
    if kind == "spatial" and leaf.name not in chain.dummies:
        group = read_group(section, leaf.name, kind, chain.problem)
        if any(factor.bound > 1 for (_, relation), factor in group.factors.items() if relation != "<="):
            section.log.error(section.path, f"spatial factors at '{leaf.name}', which has no spatial mesh")
        return
    chain.add(section, leaf.name, kind)


# --- lists --------------------------------------------------------------------------------------------------


def _read_lists(root: Section, chain: _Chain, keys: Collection[str]) -> None:
    """Reads constraints outside the tree, each with its target, then resolves `maximize_dims`."""
    for key in keys:
        holder = root.take(key)
        if isinstance(holder, list):
            items = root.sections(key)
        elif section := root.section(key):
            items = section.sections("targets")
            template = section.take("template")
            if template not in (None, "uber"):
                message = "the mapspace template is not taken over: `map --padded` also tries imperfect factors"
                section.log.note(section.key_path("template"), message)
            section.unused({"version": "format"}, key)
        else:
            continue
        for item, target, kind in _statements(items, chain):
            chain.add(item, target, kind)
    maximize_factors(list(chain.groups.values()), chain.fanouts, chain.problem, chain.log)


def _statements(items: Collection[Section], chain: _Chain) -> Iterator[tuple[Section, str, str]]:
    for item in items:
        target = item.text("target", "name") or item.required("target", "a directive")
        word = item.required("type", "a directive")
        kind = CONSTRAINT_KINDS.get(word.replace("-", "_"))
        if not target or not word:
            continue
        if target not in chain.names:
            key = "target" if item.has("target") else "name"
            item.log.error(item.key_path(key), f"unknown level '{target}'", did_you_mean(target, chain.names))
        elif kind is None:
            item.log.error(item.key_path("type"), f"unknown type '{word}'", did_you_mean(word, CONSTRAINT_KINDS))
        else:
            yield item, target, kind


def _mapping(items: Collection[Section], chain: _Chain) -> list[PlacedMapping]:
    """The directives, completed by what the constraints fix; contradictions are mistakes."""
    bounds, kinds = chain.problem.loops, ("spatial", "temporal", "dataspace")
    groups = {key: group.fixed(bounds) for key, group in chain.groups.items() if key[1] in kinds}
    for item, target, kind in _statements(items, chain):
        target = chain.dummies.get(target, target) if kind == "spatial" else target
        group = read_group(item, target, kind, chain.problem)
        known = groups.setdefault((target, kind), Group(target=target, kind=kind, path=group.path))
        combine(known, group, item, override=True)
    return [group.placed() for group in groups.values()]
