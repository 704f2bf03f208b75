"""Walking the v0.4 tree: components and containers in the order of the chain, and who keeps what side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sparseloop.input.diagnostics import did_you_mean
from sparseloop.input.timeloop.groups import tensors_of
from sparseloop.input.timeloop.problem import Problem
from sparseloop.input.timeloop.sections import Section
from sparseloop.input.yaml.nodes import TAG

KINDS = ("Component", "Container", "Parallel", "Hierarchical", "Pipelined", "Nothing")
_BRANCHES = ("Parallel", "Hierarchical", "Pipelined")


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A component or a container."""

    section: Section
    name: str
    container: bool
    mesh: tuple[int, int]
    bypassed: frozenset[str]
    """Data spaces that other branches of a `!Parallel` keep."""


def leaves_of(architecture: Section, problem: Problem) -> Iterator[Leaf]:
    """All components and containers, outermost first; the last component must compute (checked by the reader)."""
    for node in architecture.sections("nodes"):
        yield from _walk(node, problem, frozenset(), parallel=False)


def _walk(node: Section, problem: Problem, bypassed: frozenset[str], *, parallel: bool) -> Iterator[Leaf]:
    kind = node.text(TAG) or ""
    if kind not in KINDS:
        message = f"unknown node !{kind}" if kind else "a node needs a tag that says what it is"
        node.log.error(node.path, message, did_you_mean(kind, KINDS) or f"known: !{', !'.join(KINDS)}")
    elif node.flag("enabled") is False or kind == "Nothing":
        return
    elif kind == "Parallel":
        yield from _side_by_side(node, problem, bypassed)
    elif kind in _BRANCHES:
        for child in node.sections("nodes"):
            yield from _walk(child, problem, bypassed, parallel=parallel)
        node.unused({"name": "label", "enabled": "read above"}, f"a node !{kind}")
    else:
        yield _leaf(node, kind, bypassed, parallel)


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
