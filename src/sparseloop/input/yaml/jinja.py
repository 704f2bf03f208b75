"""Jinja2 templates of YAML, as Timeloop's v0.4 front end reads them, in a sandbox.

`{{include(path, key)}}` leaves a mark in the rendered text, and the included file's nodes, which know their own
lines, take its place after parsing. Lines of a template itself are those of its rendered text.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, cast

from sparseloop.input.diagnostics import Diagnostic, Span, SpecError
from sparseloop.input.yaml import template_limits as limits
from sparseloop.input.yaml.nodes import MAX_BYTES, Node, Plain, documents, file_text, wrong_file

TEMPLATE_SUFFIXES = (".jinja2", ".j2", ".jinja")
_MARK = "included-file-{}"
_FUNCTIONS = "include include_all include_text find_path find_paths path_exists add_to_path cwd"


def looks_like_template(text: str) -> bool:
    """True if a text has marks of Jinja2, whatever its file is called."""
    return any(mark in text for mark in ("{%", "{{", "{#"))


@dataclass
class TemplateReader:
    """Renders templates. `values` are the variables of templates; the text of every file read is added to `texts`."""

    values: Mapping[str, Plain]
    texts: dict[str, str] = field(default_factory=dict[str, str])
    open: tuple[str, ...] = ()
    """Files that are being read; each is included by the one before."""
    folders: tuple[str, ...] = ()
    """Folders to search besides that of the file itself."""

    def read(self, path: str) -> list[Node]:
        """The documents of a template (or of a file that one includes)."""
        real = os.path.realpath(path)
        if real in self.open:
            chain = " -> ".join(FilePath(file).name for file in (*self.open[self.open.index(real) :], real))
            raise wrong_file(path, f"the file includes itself: {chain}")
        page = _Page(self, real, list(self.folders))
        source = file_text(path)
        text = page.rendered(source, path)
        name = path if text == source else f"{path} (rendered)"
        self.texts[name] = text
        with limits.unwatched():
            return [_spliced(node, page.included) for node in documents(text, name)]


@dataclass
class _Page:
    """One template while it is rendered: the functions it may call."""

    reader: TemplateReader
    path: str
    folders: list[str]
    included: dict[str, Node] = field(default_factory=dict[str, Node])

    def rendered(self, source: str, name: str) -> str:
        """The text of the template; a mistake in it is a diagnostic with the template's own line."""
        try:
            environment = limits.environment([str(FilePath(self.path).parent), *self.folders])
        except ImportError:
            raise wrong_file(name, "templates need Jinja2", "pip install 'sparseloop[jinja]'") from None
        environment.globals |= {function: getattr(self, function) for function in _FUNCTIONS.split()}
        try:
            with limits.bounded():
                return _limited(environment.from_string(source).generate(dict(self.reader.values)), name)
        except SpecError:
            raise
        except (limits.TooLong, MemoryError) as error:
            raise wrong_file(name, f"template: {str(error) or 'it needs too much memory'}") from None
        except Exception as error:
            raise _mistake(error, source, name) from None

    # --- what a template may call ---------------------------------------------------------------------------

    def cwd(self) -> str:
        """Folder of the template."""
        return str(FilePath(self.path).parent)

    def find_paths(self, pattern: str) -> list[str]:
        """The files a name or pattern stands for, relative to the template's folder, then to the added ones."""
        places = [""] if os.path.isabs(pattern) else [self.cwd(), *self.folders]
        found = [file for place in places for file in sorted(glob.glob(os.path.join(place, pattern)))]
        if not found:
            raise wrong_file(_shown(self.path), f"cannot find '{pattern}'", f"looked in {', '.join(map(_shown, places))}")
        return list(dict.fromkeys(map(os.path.realpath, found)))

    def find_path(self, name: str) -> str:
        """The first file a name stands for."""
        return self.find_paths(glob.escape(name))[0]

    def path_exists(self, name: str) -> bool:
        """True if `include` would find the file."""
        places = [""] if os.path.isabs(name) else [self.cwd(), *self.folders]
        return any(os.path.exists(os.path.join(place, name)) for place in places)

    def add_to_path(self, folder: str) -> str:
        """Adds a folder to look in."""
        self.folders += self.find_paths(folder)
        return ""

    def include(self, name: str, key: str = "") -> str:
        """Includes a file, or the part of it under a key such as 'architecture.nodes'."""
        return self._mark([self.find_path(name)], key)

    def include_all(self, pattern: str, key: str = "") -> str:
        """Includes several files, joined: lists one after the other, mappings key by key."""
        return self._mark(self.find_paths(pattern), key)

    def include_text(self, name: str) -> str:
        """The text of a file."""
        return file_text(self.find_path(name))

    def _mark(self, paths: list[str], key: str) -> str:
        inner = replace(self.reader, open=(*self.reader.open, self.path), folders=tuple(self.folders))
        nodes = [_at(node, key) for path in paths for node in inner.read(_shown(path))]
        mark = _MARK.format(f"{len(self.included) + 1}-{abs(hash(self.path)) % 10**8}")
        node = nodes[0]
        for other in nodes[1:]:
            node = join_nodes(node, other)
        self.included[mark] = node
        return mark


def _limited(pieces: Iterator[str], name: str) -> str:
    parts, size = list[str](), 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_BYTES:
            raise wrong_file(name, f"the rendered text is larger than {MAX_BYTES // 2**20} MiB")
        parts.append(piece)
    return "".join(parts)


def _mistake(error: Exception, source: str, name: str) -> SpecError:
    """The diagnostic of any error in a template, with its line."""
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None and not isinstance(error, RecursionError):
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    lines = source.splitlines()
    text = lines[line - 1] if line and line <= len(lines) else ""
    unknown = re.fullmatch(r"'(\w+)' is undefined", str(error)) if type(error).__name__ == "UndefinedError" else None
    hint = f"set it: --set jinja.{unknown[1]}=VALUE" if unknown else None
    message = "templates include each other" if isinstance(error, RecursionError) else f"template: {error}"
    return SpecError([Diagnostic(message=message, hint=hint, span=Span(name, line, 1 if line else None, len(text), text))])


def _shown(path: str) -> str:
    """A path as short as possible."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


# --- nodes --------------------------------------------------------------------------------------------------


def _at(node: Node, key: str) -> Node:
    for part in key.split(".") if key else ():
        step = node.child(part)
        if step is None:
            raise wrong_file(node.file, f"there is no '{key}' in the file")
        node = step[1]
    return node


def join_nodes(first: Node, second: Node) -> Node:
    """Two lists one after the other; of two mappings all keys, with equal keys joined."""
    if isinstance(first.kids, list) and isinstance(second.kids, list):
        return replace(first, data=[*first.data, *second.data], kids=[*first.kids, *second.kids])
    if not (isinstance(first.kids, dict) and isinstance(second.kids, dict)):
        return first
    kids = dict(first.kids)
    for name, (key, value) in second.kids.items():
        kids[name] = (key, join_nodes(kids[name][1], value)) if name in kids else (key, value)
    return replace(first, kids=kids, data={name: value.data for name, (_, value) in kids.items()})


def _spliced(node: Node, included: Mapping[str, Node]) -> Node:
    """The node with every mark replaced by what it stands for."""
    if isinstance(node.kids, dict):
        for name, (key, value) in list(node.kids.items()):
            new = _spliced(value, included)
            if name == "<<" and isinstance(new.kids, dict):
                del node.kids[name], node.data[name]
                for other, pair in new.kids.items():
                    node.kids.setdefault(other, pair)
                    node.data.setdefault(other, pair[1].data)
            elif new is not value:
                node.kids[name], node.data[name] = (key, new), new.data
    elif node.kids is not None:
        for i, value in enumerate(node.kids):
            node.kids[i] = _spliced(value, included)
            cast("list[Any]", node.data)[i] = node.kids[i].data
    elif isinstance(node.data, str) and included:
        return included.get(node.data, node)
    return node
