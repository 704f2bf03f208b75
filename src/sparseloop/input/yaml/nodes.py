"""YAML text as nodes that know their place in the files.

Events of ruamel's YAML 1.2 parser become nodes; scalars follow the YAML 1.2 core schema; keys are text.
"""

from __future__ import annotations

import io
import os
import re
import select
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sparseloop.input.diagnostics import Diagnostic, Path, Span, SpecError, closest
from sparseloop.input.terminal import visible

Plain = Any
"""dict (text keys), list, str, int, float, bool or None."""

MAX_BYTES = 8 * 2**20
MAX_NODES = 200_000
"""At most this many values, aliases expanded; a large energy table has a few thousand."""
MAX_DEPTH = 100
PIPE_SECONDS = 10.0
"""How long a pipe is waited for."""
DEEP_MERGE, NO_MERGE = "<<<", "nomerge"
"""Accelergy's key that adds the pairs of other mappings at every depth, and its tag for values that it leaves alone."""
TAG = "!"
"""Key under which the local tag of a mapping is kept: `!Component {name: x}` is {"!": "Component", "name": "x"}."""


@dataclass(slots=True)
class Node:
    """A value of a YAML file with its place (line and column from 0).

    `kids` of a mapping have the node of the key and that of the value.
    """

    data: Plain
    file: str
    line: int | None = None
    col: int = 0
    end: int | None = None
    """End column of a scalar on one line, else None."""
    quoted: int = 0
    """1 if the text starts one column later, behind a quote; -1 if a column inside the text has no known column in the file."""
    kids: dict[str, tuple[Node, Node]] | list[Node] | None = None
    size: int = 1
    whole: bool = False
    """Tagged !nomerge: '<<<' adds nothing to it."""

    def child(self, part: str | int) -> tuple[Node | None, Node] | None:
        """(key node, value node) below a mapping key or list position; None if there is none."""
        if isinstance(self.kids, dict):
            return self.kids.get(str(part))
        if isinstance(self.kids, list) and isinstance(part, int) and 0 <= part < len(self.kids):
            return None, self.kids[part]
        return None


@dataclass(frozen=True)
class SourceMap:
    """Finds the place in the files of a path such as ("architecture", "levels", 1)."""

    root: Node = field(compare=False, repr=False)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]], repr=False, compare=False)

    def walk(self, path: Path) -> tuple[Node | None, Node, Path]:
        """(key node, value node, path found): parts of the path that are not in the files are skipped."""
        key, node, found = None, self.root, list[str | int]()
        for part in path:
            if step := node.child(part):
                key, node = step[0] or (key if not found else None), step[1]
                found.append(part)
        return key, node, tuple(found)

    def span(self, diagnostic: Diagnostic) -> Span | None:
        """The place of a diagnostic: the value at its path, the key of it, or a column inside its text."""
        key, node, _ = self.walk(diagnostic.path)
        if key is not None and (diagnostic.key or (node.line is None and node.file == key.file) or node.data is None):
            return self.place(key)
        if key is not None and isinstance(node.kids, dict) and diagnostic.offset is None:
            return self.place(key)
        if diagnostic.offset is not None and isinstance(node.data, str) and node.quoted >= 0 and node.end is not None:
            start = node.col + node.quoted + diagnostic.offset
            return self.place(replace(node, col=start, end=start + diagnostic.length))
        return self.place(node) if node is not self.root else None

    def place(self, node: Node) -> Span:
        """Where a node stands, with the source line."""
        if node.line is None:
            return Span(node.file, None, None)
        lines = self.lines.get(node.file, ())
        text = lines[node.line] if node.line < len(lines) else ""
        return Span(node.file, node.line + 1, node.col + 1, max(1, node.end - node.col) if node.end else 1, text)

    def directory(self, path: Path) -> FilePath:
        """Folder of the file that holds `path`; relative file names in a specification start there."""
        _, node, _ = self.walk(path)
        return FilePath(node.file).parent


NOWHERE = SourceMap(Node({}, "", kids={}))
"""The source map of specifications built in Python."""


def wrong_file(file: str, message: str, hint: str | None = None) -> SpecError:
    """One mistake about a file as a whole."""
    return SpecError([Diagnostic(message=message, hint=hint, span=Span(file, None, None))])


def missing_file_hint(path: str, error: OSError) -> str | None:
    """What else may be meant by a file that is not there: one of a similar name, or something shipped."""
    file = FilePath(path)
    if isinstance(error, FileNotFoundError) and any(letter in path for letter in "*?["):
        return "a pattern is not expanded here, and the shell found no file for it: name the files"
    if isinstance(error, FileNotFoundError) and file.parent.is_dir():
        if found := closest(file.name, sorted(entry.name for entry in file.parent.iterdir())):
            return f"did you mean '{visible(str(file.with_name(found)))}'?"
        if not file.suffix and file.name == path:
            return "shipped designs: sparseloop example; shipped networks: sparseloop example --workloads"
    if isinstance(error, IsADirectoryError):
        return "name the files in it, e.g. all of them: " + visible(str(file / "*.yaml"))
    return None


def file_text(path: str) -> str:
    """The text of a file (UTF-8 or UTF-16); `SpecError` if there is none."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISFIFO(mode):
            raw = _from_pipe(path)
        else:
            with FilePath(path).open("rb") as file:  # never more than that: /dev/zero has no size
                raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError):  # a name with a zero byte
            raise wrong_file(path, f"cannot read the file: {error}") from None
        raise wrong_file(path, f"cannot read the file: {error.strerror}", missing_file_hint(path, error)) from None
    if len(raw) > MAX_BYTES:
        raise wrong_file(path, f"file is larger than {MAX_BYTES // 2**20} MiB")
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise wrong_file(path, "not a text file (UTF-8)") from None
    if "\0" in text:
        raise wrong_file(path, "not a text file (it contains zero bytes)")
    return text


def _from_pipe(path: str) -> bytes:
    """What is written to a pipe; `SpecError` if nobody writes for some seconds."""
    pipe, parts = os.open(path, os.O_RDONLY | os.O_NONBLOCK), list[bytes]()
    try:
        while sum(map(len, parts)) <= MAX_BYTES:
            if not select.select([pipe], [], [], PIPE_SECONDS)[0]:
                raise wrong_file(path, f"nothing is written to this pipe for {PIPE_SECONDS:g} s")
            parts.append(os.read(pipe, 1 << 20))
            if not parts[-1]:
                break
    finally:
        os.close(pipe)
    return b"".join(parts)


# --- events to nodes ----------------------------------------------------------------------------------------

_INT = re.compile(r"[-+]?\d+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?")
_GLUED = re.compile(r"[^\s:]+:[^\s:/].*")
"""In '{m:300}' YAML sees the key 'm:300' without a value: probably the space after the colon was forgotten."""
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Mapping[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def scalar(text: str) -> Plain:
    """The value of a plain scalar by the YAML 1.2 core schema ('no' and '12:30' are text, 1e-12 is a number)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INT.fullmatch(text) and len(text) < 400:
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def documents(text: str, file: str) -> Iterator[Node]:
    builder = _Builder(file)
    try:
        for event in YAML(typ="safe", pure=True).parse(io.StringIO(text)):  # pyright: ignore
            builder.take(event)
    except MarkedYAMLError as marked:
        error: Any = marked
        mark = error.problem_mark or error.context_mark
        place = Span(file, mark.line + 1, mark.column + 1) if mark else Span(file, None, None)
        context = f"{error.context}, " if error.context and error.context_mark is None else ""
        raise SpecError([Diagnostic(message=f"YAML: {context}{error.problem}", span=place)]) from None
    except YAMLError as unmarked:
        error = cast("Any", unmarked)
        position = getattr(error, "position", None)
        if position is None:
            raise wrong_file(file, f"YAML: {' '.join(str(error).split())}") from None
        before = text[:position]
        place = Span(file, before.count("\n") + 1, position - before.rfind("\n"))
        message = f"YAML: the character {chr(error.character)!r} is not allowed"
        raise SpecError([Diagnostic(message=message, span=place)]) from None
    if builder.problems:
        raise SpecError(builder.problems)
    if not builder.roots:
        raise wrong_file(file, "file is empty")
    yield from builder.roots


class _Builder:
    """Builds nodes from the parser's events. `open` has the collections that are not closed: [node, key node without a value]."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.roots = list[Node]()
        self.open = list[list[Any]]()
        self.anchors = dict[str, Node]()
        self.problems = list[Diagnostic]()

    def take(self, event: Any) -> None:
        """Handles one event; only those with content matter."""
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self.add(self.scalar(event))
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self.start(event, mapping=kind[0] == "M")
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self.close()
        elif kind == "AliasEvent":
            self.add(self.alias(event))

    def error(self, message: str, mark: Any, length: int = 1) -> SpecError:
        """One mistake at a place of this file."""
        return SpecError([Diagnostic(message=message, span=Span(self.file, mark.line + 1, mark.column + 1, length))])

    def tag(self, event: Any) -> str:
        """The local tag without '!'; '' if there is none. Tags that ask for Python objects are refused."""
        tag = str(getattr(event.tag, "value", event.tag) or "") if event.tag is not None else ""
        if "python" in tag:
            raise self.error(f"tag {tag} is not allowed", event.start_mark)
        return tag[1:] if tag.startswith("!") and len(tag) > 1 and not tag.startswith("!!") else ""

    def scalar(self, event: Any) -> Node:
        start, end = event.start_mark, event.end_mark
        plain = event.style in (None, "")
        text: str = event.value
        explicit = event.tag is not None and bool(self.tag(event) or "str" in str(event.tag))
        if plain and _NOT_FINITE.fullmatch(text):
            self.problems += self.error(f"expected a finite number, got {text}", start, len(text)).diagnostics
        data = scalar(text) if plain and not explicit else text
        one_line = end.line == start.line
        inside = 0 if plain else 1 if event.style in "'\"" and "\\" not in text and "'" not in text else -1
        node = Node(data, self.file, start.line, start.column, end.column if one_line else None, inside)
        if event.anchor:
            self.anchors[event.anchor] = node
        node.kids = None
        if self.open and isinstance(self.open[-1][0].kids, dict) and self.open[-1][1] is None:
            node.data = text
        return node

    def start(self, event: Any, *, mapping: bool) -> None:
        mark = event.start_mark
        node = Node({} if mapping else [], self.file, mark.line, mark.column, kids={} if mapping else [], size=0)
        tag = self.tag(event)
        node.whole = tag == NO_MERGE
        if mapping and tag and not node.whole:
            node.data[TAG] = tag
            label = Node(tag, self.file, mark.line, mark.column)
            cast("dict[str, tuple[Node, Node]]", node.kids)[TAG] = (label, label)
        if event.anchor:
            self.anchors[event.anchor] = node
        if len(self.open) >= MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels", mark)
        self.open.append([node, None])

    def alias(self, event: Any) -> Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            raise self.error(f"unknown alias *{event.anchor}", event.start_mark, len(event.anchor) + 1)
        if any(node is entry[0] for entry in self.open):
            raise self.error(f"alias *{event.anchor} contains itself", event.start_mark, len(event.anchor) + 1)
        return node

    def add(self, node: Node) -> None:
        """Adds a complete node to its parent."""
        if not self.open:
            self.roots.append(node)
            return
        entry = self.open[-1]
        parent: Node = entry[0]
        parent.size += node.size + 1
        if parent.size > MAX_NODES:
            raise self.error(f"more than {MAX_NODES} values (aliases expanded)", _Mark(node.line or 0, node.col))
        if isinstance(parent.kids, list):
            parent.kids.append(node)
            parent.data.append(node.data)
        elif entry[1] is None:
            if node.kids is not None:
                raise self.error("a key must be a word or a number", _Mark(node.line or 0, node.col))
            entry[1] = node
        else:
            entry[1], key = None, entry[1]
            self.pair(parent, key, node)

    def pair(self, parent: Node, key: Node, value: Node) -> None:
        """Adds `key: value` to a mapping; '<<' adds the pairs of other mappings whose keys it lacks."""
        kids = cast("dict[str, tuple[Node, Node]]", parent.kids)
        name = str(key.data)
        if name in ("<<", DEEP_MERGE) and value.kids is not None:
            others = value.kids if isinstance(value.kids, list) else [value]
            if not all(isinstance(other.kids, dict) for other in others):
                raise self.error(f"'{name}' takes a mapping or a list of mappings", _Mark(key.line or 0, key.col), len(name))
            if name == DEEP_MERGE:  # when the mapping is complete
                kids[name], parent.data[name] = (key, value), value.data
                return
            for other in others:
                for k, pair in cast("dict[str, tuple[Node, Node]]", other.kids).items():
                    kids.setdefault(k, (replace(pair[0], end=None, quoted=-1), pair[1]))
                    parent.data.setdefault(k, pair[1].data)
            return
        if value.data is None and value.kids is None and key.quoted == 0 and _GLUED.fullmatch(name):
            message = f"'{name}' has no value: write a space after the colon"
            self.problems += self.error(message, _Mark(key.line or 0, key.col), len(name)).diagnostics
        if name in kids and kids[name][0].quoted != -1:
            if same_data(kids[name][1].data, value.data):
                return
            first = f"{self.file}:{(kids[name][0].line or 0) + 1}"
            message = f"'{name}' is defined twice (first in {first})"
            self.problems += self.error(message, _Mark(key.line or 0, key.col), len(name)).diagnostics
        kids[name] = (key, value)
        parent.data[name] = value.data

    def close(self) -> None:
        """Completes the innermost open collection."""
        node: Node = self.open.pop()[0]
        complete = self.merged(node)
        if complete is not node:
            self.anchors |= {name: complete for name, anchored in self.anchors.items() if anchored is node}
        self.add(complete)

    def merged(self, node: Node) -> Node:
        """The mapping with what '<<<' adds: at every depth the pairs that it lacks, and the items of lists behind its own."""
        if not isinstance(node.kids, dict) or DEEP_MERGE not in node.kids:
            return node
        value = node.kids.pop(DEEP_MERGE)[1]
        del node.data[DEEP_MERGE]
        for other in value.kids if isinstance(value.kids, list) else [value]:
            node = completed(node, other)
            if node.size > MAX_NODES:
                raise self.error(f"more than {MAX_NODES} values (aliases expanded)", _Mark(node.line or 0, node.col))
        return node


def completed(node: Node, other: Node) -> Node:
    """A mapping with the pairs of another that it lacks, at every depth; of two lists all items."""
    if node.whole:
        return node
    size = node.size + other.size
    if isinstance(node.kids, list) and isinstance(other.kids, list):
        further = [kid for kid in other.kids if not any(same_data(kid.data, own.data) for own in node.kids)]
        return replace(node, kids=[*node.kids, *further], data=[*node.data, *(kid.data for kid in further)], size=size)
    if not (isinstance(node.kids, dict) and isinstance(other.kids, dict)):
        return node
    kids = dict(node.kids)
    for name, (key, value) in other.kids.items():
        kids[name] = (kids[name][0], completed(kids[name][1], value)) if name in kids else (key, value)
    return replace(node, kids=kids, data={name: value.data for name, (_, value) in kids.items()}, size=size)


def same_data(first: Plain, second: Plain) -> bool:
    """True if two values say the same; 1 and true do not."""
    if isinstance(first, dict) and isinstance(second, dict):
        a, b = cast("dict[str, Plain]", first), cast("dict[str, Plain]", second)
        return a.keys() == b.keys() and all(same_data(a[key], b[key]) for key in a)
    if isinstance(first, list) and isinstance(second, list):
        c, d = cast("list[Plain]", first), cast("list[Plain]", second)
        return len(c) == len(d) and all(map(same_data, c, d))
    return first == second and isinstance(first, bool) == isinstance(second, bool)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place (0-based), as ruamel's marks."""

    line: int
    column: int
