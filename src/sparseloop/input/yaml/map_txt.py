"""Reads the loop nest that Timeloop prints (`*.map.txt`) as mapping directives with their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sparseloop.input.diagnostics import Diagnostic, Span, SpecError
from sparseloop.input.yaml.nodes import Node, Plain

MAP_SUFFIX = ".map.txt"
_HEADER = re.compile(r"(?P<name>[^\s\[\]]+)\s*\[(?P<kept>[^\[\]]*)\]\s*$")
_KEPT = re.compile(r"([^\s:()]+):\s*[^\s()]+(?:\s*\([^()]*\))?")
_LOOP = re.compile(r"for\s+(\w+)\s+in\s+\[0:(\d+)(?:,(\d+))?\)\s*(?:\(Spatial-([XY])\))?\s*$")
_EMPTY = re.compile(r"-*|<<\s*Compute\s*>>", re.IGNORECASE)


@dataclass(kw_only=True)
class _Level:
    """One printed level: its line, what it keeps, its loops from the outside in (dimension, factor, axis)."""

    name: str
    line: int
    kept: list[str]
    loops: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])


def read_nest(text: str, file: str) -> Node:
    """The `mapping:` of a printed loop nest; raises `SpecError` for lines that are no part of one."""
    levels, problems = list[_Level](), list[Diagnostic]()
    for number, line in enumerate(text.splitlines()):
        words = line.replace("|", " ").strip()
        if _EMPTY.fullmatch(words):
            continue
        header, loop = _HEADER.match(words), _LOOP.match(words)
        if header and not loop:
            levels.append(_Level(name=header["name"], line=number, kept=_KEPT.findall(header["kept"])))
        elif loop and levels:
            name, bound, residual, axis = loop.groups()
            levels[-1].loops.append((name, f"{name}={bound}" + (f",{residual}" if residual else ""), axis or ""))
        else:
            message = "neither a level 'Name [ Tensor:size ... ]' nor a loop 'for M in [0:4)'"
            problems.append(Diagnostic(message=message, span=Span(file, number + 1, 1, len(line), line)))
    if problems or not levels:
        raise SpecError(problems or [Diagnostic(message="no loop nest in the file", span=Span(file, None, None))])
    directives = [_node(directive, file, level.line) for level in levels for directive in _directives(level, file)]
    mapping = Node([directive.data for directive in directives], file, 0, kids=directives)
    key = Node("mapping", file, levels[0].line)
    return Node({"mapping": mapping.data}, file, 0, kids={"mapping": (key, mapping)})


def _directives(level: _Level, file: str) -> Iterator[Mapping[str, Plain]]:
    """The directives of a level: what it keeps, its temporal loops, its spatial loops (those along y are printed outside
    those along x).
    """
    yield {"target": level.name, "type": "dataspace", "keep_only": level.kept}
    temporal = [loop for loop in level.loops if not loop[2]]
    spatial = [loop for loop in level.loops if loop[2]]
    axes = "".join(axis for *_, axis in spatial)
    if level.loops != [*temporal, *spatial] or "XY" in axes:
        message = f"the loops of '{level.name}' are not in Timeloop's order: temporal, Spatial-Y, Spatial-X"
        raise SpecError([Diagnostic(message=message, span=Span(file, level.line + 1, 1))])
    for kind, loops in (("temporal", temporal), ("spatial", spatial)):
        if loops:
            inner_first = loops[::-1]
            factors, order = [factor for _, factor, _ in inner_first], [name for name, *_ in inner_first]
            split = {"split": axes.count("X")} if kind == "spatial" else {}
            yield {"target": level.name, "type": kind, "factors": factors, "permutation": order, **split}


def _node(data: Mapping[str, Plain], file: str, line: int) -> Node:
    """Plain data as a node whose parts all have the same line."""
    kids = {key: (Node(key, file, line), Node(value, file, line)) for key, value in data.items()}
    return Node(dict(data), file, line, kids=kids)
