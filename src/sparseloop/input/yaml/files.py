"""YAML files read into one tree of data with places: merging of files, overrides, and writing."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from sparseloop.input.diagnostics import Diagnostic, Path, Span, SpecError, did_you_mean, dotted
from sparseloop.input.yaml import jinja as templates
from sparseloop.input.yaml import map_txt as printed
from sparseloop.input.yaml.nodes import NOWHERE, Node, Plain, SourceMap, documents, file_text, same_data, scalar, wrong_file

__all__ = [
    "NOWHERE",
    "Node",
    "Plain",
    "SourceMap",
    "load_files",
    "load_text",
    "parse_path",
    "rewritten",
    "source_map_of",
    "to_yaml",
    "with_values",
]

_CONCATENATED = ("compound_components", "primitive_components")
_MAY_BE_EMPTY = ("mapping",)
"""Timeloop's front end writes `mapping: []` even where the mapping is in a file of its own."""


# --- reading ------------------------------------------------------------------------------------------------


def load_files(
    paths: Iterable[str | FilePath], overrides: Sequence[str] = (), *, texts: Mapping[str, str] | None = None
) -> tuple[dict[str, Plain], SourceMap]:
    """The data of all files (in any order) with overrides 'path=value' applied, and its source map.

    Overrides 'jinja.NAME=value' are variables of templates (`*.jinja2`). `texts`: YAML made from files of other formats, by name.
    """
    values = dict(_template_value(override) for override in overrides if override.startswith(_TEMPLATE))
    reader = templates.TemplateReader(values)
    files = dict.fromkeys(str(path) for path in paths)
    rest = [override for override in overrides if not override.startswith(_TEMPLATE)]
    made = texts or {}
    reader.texts.update(made)
    read = {path: partial(_documents, path, reader) for path in files} | {n: partial(documents, made[n], n) for n in made}
    return _merged(read, rest, reader.texts)


def load_text(text: str, overrides: Sequence[str] = (), *, name: str = "<text>") -> tuple[dict[str, Plain], SourceMap]:
    """As `load_files`, for a text."""
    return _merged({name: lambda: documents(text, name)}, overrides, {name: text})


def source_map_of(documents: Iterable[Node], paths: Iterable[str | FilePath], texts: Mapping[str, Sequence[str]]) -> SourceMap:
    """The source map of documents that were read before (`texts`: the lines of their files), merged with further files."""
    reader = templates.TemplateReader({})
    found: dict[str, Callable[[], Iterable[Node]]] = {str(path): partial(_documents, str(path), reader) for path in paths}
    given = list(documents)
    if given:
        found = {given[0].file: lambda: given} | found
    source = _merged(found, (), reader.texts)[1]
    return replace(source, lines={**texts, **source.lines})


_TEMPLATE = "jinja."


def _template_value(override: str) -> tuple[str, Plain]:
    name, _, text = override.removeprefix(_TEMPLATE).partition("=")
    return name.strip(), scalar(text.strip())


def _documents(path: str, reader: templates.TemplateReader) -> Iterable[Node]:
    """The YAML documents of a file, of a template, or of a printed loop nest."""
    if path.endswith(templates.TEMPLATE_SUFFIXES):
        return reader.read(path)
    text = reader.texts[path] = file_text(path)
    if path.endswith(printed.MAP_SUFFIX):
        return [printed.read_nest(text, path)]
    try:
        return list(documents(text, path))
    except SpecError:
        if templates.looks_like_template(text):  # AccelForge's plain .yaml
            return reader.read(path)
        if path.endswith((".stats.txt", ".xml")) or text.lstrip().startswith("<?xml"):
            hint = "beside the files of its design: sparseloop compare FILE... STATS"
            raise wrong_file(path, "this is no input but an output, as Timeloop's statistics are", hint) from None
        raise


def _merged(
    files: Mapping[str, Callable[[], Iterable[Node]]], overrides: Sequence[str], texts: Mapping[str, str]
) -> tuple[dict[str, Plain], SourceMap]:
    root = Node({}, next(iter(files), ""), kids={})
    lines, problems = dict[str, Sequence[str]](), list[Diagnostic]()
    source = SourceMap(root, lines)
    for read in files.values():
        try:
            for document in read():
                _merge(source, document, problems)
        except SpecError as error:
            problems += error.diagnostics
    lines |= {name: text.splitlines() for name, text in texts.items()}
    problems = [d if d.span is None else replace(d, span=_with_text(d.span, lines)) for d in problems]
    for number, override in enumerate(overrides, 1):
        try:
            _override(root, override, f"--set #{number}")
        except SpecError as error:
            problems += error.diagnostics
    if problems:
        raise SpecError(problems)
    return cast("dict[str, Plain]", root.data), source


def _with_text(span: Span, lines: Mapping[str, Sequence[str]]) -> Span:
    texts = lines.get(span.file, ()) if not span.text else ()
    return replace(span, text=texts[span.line - 1]) if span.line and span.line <= len(texts) else span


def _merge(source: SourceMap, document: Node, problems: list[Diagnostic]) -> None:
    """Adds the top-level keys of one document; a key that exists already with another value is an error naming both places."""
    root, kids = source.root, cast("dict[str, tuple[Node, Node]]", source.root.kids)
    if not isinstance(document.kids, dict):
        what = "file is empty" if document.data is None else "the top level must be a mapping (key: value)"
        problems.append(Diagnostic(message=what, span=Span(document.file, None, None)))
        return
    for name, (key, value) in document.kids.items():
        if name in kids and name in _CONCATENATED:
            value = templates.join_nodes(kids[name][1], value)
        elif name in _MAY_BE_EMPTY and name in kids and not (kids[name][1].data and value.data):
            if not value.data:
                continue
        elif name in kids and same_data(kids[name][1].data, value.data):
            continue
        elif name in kids:
            first = source.place(kids[name][0])
            message = f"'{name}' is defined twice (first in {first})"
            problems.append(Diagnostic(path=(name,), message=message, span=source.place(key)))
            continue
        kids[name] = (key, value)
        root.data[name] = value.data


# --- overrides ----------------------------------------------------------------------------------------------

_PART = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


def parse_path(text: str) -> Path:
    """'architecture.levels[1].capacity' as a tuple."""
    parts = tuple(int(m[1]) if m[1] else m[2] for m in _PART.finditer(text))
    return parts if dotted(parts) == text else ()


def _override(root: Node, override: str, file: str) -> None:
    """Sets one value, e.g. 'architecture.levels.GLB.capacity=64 KiB'; list elements go by position or name."""
    target, equals, text = override.partition("=")
    path = parse_path(target.strip())
    if not equals or not path:
        raise wrong_file(file, f"cannot read '{override}'", "write path=value, e.g. architecture.levels[1].capacity=64 KiB")
    value = next(documents(text, file)) if text.strip() else Node(None, file)
    _place(root, path, _moved(value, file), path)


def with_values(root: Node, changes: Iterable[tuple[Path, Node]]) -> Node:
    """A copy of the tree with values written at paths, as overrides are; the value None removes what is there."""
    root = replace(root, data=root.data.copy(), kids=cast("Any", root.kids).copy())
    for path, value in changes:
        _place(root, path, value, path)
    return root


def _moved(node: Node, file: str) -> Node:
    """The node and all below it, without line and column."""
    kids = node.kids
    if isinstance(kids, dict):
        kids = {k: (_moved(a, file), _moved(b, file)) for k, (a, b) in kids.items()}
    elif kids is not None:
        kids = [_moved(kid, file) for kid in kids]
    return replace(node, file=file, line=None, kids=kids)


def _place(node: Node, path: Path, value: Node, whole: Path) -> None:
    """Writes `value` at `path` below `node`. Nodes on the way are copied, because aliases share them."""
    part, rest = path[0], path[1:]
    kids = node.kids
    if isinstance(kids, list):
        name, part = part, _position(node, part, whole, value.file)
        if node.data[part] != name and name in _names(node.data[part])[2:]:
            rest = (name, *rest)  # {GLB: for m=4} is found by its only key, and keeps it
    step = node.child(part)
    key = (step[0] if step else None) or Node(str(part), value.file, value.line, value.col, value.end)
    child = value
    if rest:
        if step and step[1].kids is None and step[1].data is not None:
            raise wrong_file(value.file, f"{dotted(whole)}: '{part}' is {step[1].data!r}, nothing can stand below it")
        child = replace(step[1]) if step and step[1].kids is not None else Node({}, value.file, kids={})
        child.data, child.kids = child.data.copy(), cast("Any", child.kids).copy()
        _place(child, rest, value, whole)
    if isinstance(kids, dict):
        kids[str(part)] = (key, child)
    elif kids is not None:
        kids[cast("int", part)] = child
    node.data[part] = child.data


def _position(node: Node, part: str | int, whole: Path, file: str) -> int:
    """Position of a list element given by number, by its `name` or `target`, or by its only key."""
    for i, item in enumerate(cast("list[Plain]", node.data)):
        if i == part or part in _names(item):
            return i
    known = [name for item in cast("list[Plain]", node.data) for name in _names(item)]
    raise wrong_file(file, f"{dotted(whole)}: there is no element '{part}'", did_you_mean(str(part), map(str, known)))


def _names(item: Plain) -> list[Plain]:
    if not isinstance(item, dict):
        return [item]
    fields = cast("dict[str, Plain]", item)
    return [fields.get("name"), fields.get("target"), *(fields if len(fields) == 1 else ())]


# --- writing ------------------------------------------------------------------------------------------------


def to_yaml(data: Mapping[str, Plain]) -> str:
    """Plain data as YAML text; mappings and lists of plain values stand on one line."""
    return _written(_laid_out(data, 0))


def rewritten(text: str, changes: Mapping[str, Plain]) -> str:
    """A YAML text with some top-level keys replaced or added; comments and layout of the rest stay."""
    yaml = YAML()
    document: Any = yaml.load(text) or {}  # pyright: ignore
    for name, value in changes.items():
        document[name] = _laid_out(value, 1)
    return _written(document)


def _laid_out(data: Plain, depth: int) -> Plain:
    """The data as ruamel's containers: leaves in flow style, the first two levels in block style."""
    if isinstance(data, dict):
        fields = cast("dict[str, Plain]", data)
        container: Any = CommentedMap({key: _laid_out(value, depth + 1) for key, value in fields.items()})
        inside = list(fields.values())
    elif isinstance(data, list | tuple):
        inside = list(cast("list[Plain]", data))
        container = CommentedSeq([_laid_out(item, depth + 1) for item in inside])
    else:
        return data
    line = isinstance(data, dict) and len(inside) == 1 and " " in str(inside[0])
    if depth >= 2 and not line and len(inside) <= 12 and not any(isinstance(item, dict | list | tuple) for item in inside):
        container.fa.set_flow_style()
    return container


def _written(data: Any) -> str:
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(data, stream)  # pyright: ignore
    return stream.getvalue()
