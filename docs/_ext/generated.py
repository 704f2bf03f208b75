"""Pages made of the code: every key of the format out of the JSON schema of what users write; names and pages not yet placed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sparseloop
from sparseloop.explore.schema import StudySpec
from sparseloop.input.spec import Spec

if TYPE_CHECKING:
    from sphinx.application import Sphinx

Schema = dict[str, Any]
DOCS = Path(__file__).parents[1]
PAGES = re.compile(r"<!-- pages (.*) -->")
OTHERS = "<!-- other public names -->"
ROOTS = {"<!-- keys of a specification -->": Spec, "<!-- keys of a study -->": StudySpec}
SIMPLE = {"string": "text", "boolean": "true, false", "number": "number", "integer": "whole number", "object": "mapping"}


@dataclass(frozen=True)
class Reference:
    """The records of one schema, by the places where they may stand."""

    root: Schema

    def places(self) -> dict[str, list[str]]:
        """Record (a name in $defs; '' is the root) to its paths, in the order of reading."""
        found: dict[str, list[str]] = {"": [""]}
        waiting = [("", self.root)]
        while waiting:
            path, schema = waiting.pop(0)
            for key, field in schema.get("properties", {}).items():
                for name, tail in _records(field):
                    place = f"{path}.{key}{tail}".lstrip(".")
                    if name not in found:
                        waiting.append((place, self.root["$defs"][name]))
                    found.setdefault(name, []).append(place)
        return found

    def markdown(self) -> str:
        """All sections, depth first."""
        places = self.places()
        order = sorted(
            places, key=lambda name: list(self.root.get("properties", {})).index(_head(places[name][0])) if name else -1
        )
        return "\n".join(line for name in order for line in self._section(name, places))

    def _section(self, name: str, places: dict[str, list[str]]) -> Iterator[str]:
        record = self.root["$defs"][name] if name else self.root
        first, *others = places[name]
        yield f"### {f'`{first}`' if name else 'top level'}\n"
        yield _text(record["description"]) + (f" Also at {', '.join(f'`{path}`' for path in others)}." if others else "") + "\n"
        yield "| key | value | default | meaning |\n|---|---|---|---|"
        for key, field in record["properties"].items():
            default = "required" if key in record.get("required", ()) else _default(field)
            links = dict.fromkeys(target for target, _ in _records(field))
            value = ", ".join(dict.fromkeys(_types(field)))
            for target in links:
                value = value.replace(f"<{target}>", f"[{places[target][0]}](#{_anchor(places[target][0])})")
            yield f"| `{key}` | {value} | {default} | {_text(_meaning(field, self.root))} |"
        yield ""


def _head(path: str) -> str:
    return path.split(".")[0].split("[")[0]


def _anchor(path: str) -> str:
    """The anchor that MyST gives the heading, after GitHub's rule."""
    return "".join(c for c in path.lower() if c.isalnum() or c in "_-")


def _records(field: Schema, tail: str = "") -> Iterator[tuple[str, str]]:
    """Records that a value of the field may hold, with what stands between the key and them."""
    if "$ref" in field:
        yield field["$ref"].rsplit("/", 1)[-1], tail
    for part in [*field.get("anyOf", ()), *field.get("oneOf", ())]:
        yield from _records(part, tail)
    if isinstance(field.get("items"), dict):
        yield from _records(field["items"], tail + "[]")
    if isinstance(field.get("additionalProperties"), dict):
        yield from _records(field["additionalProperties"], tail + ".NAME")


def _types(field: Schema) -> Iterator[str]:
    """What may be written, in words; '<Record>' stands for a link."""
    parts = [*field.get("anyOf", ()), *field.get("oneOf", ())]
    if "$ref" in field:
        yield f"<{field['$ref'].rsplit('/', 1)[-1]}>"
    elif "enum" in field or "const" in field:
        yield from (f"`{value}`" for value in field.get("enum", [field.get("const")]))
    elif said := [part["description"] for part in parts if "description" in part and part.get("type") in SIMPLE]:
        yield from said
    elif parts:
        for part in parts:
            yield from _types(part)
    elif field.get("type") == "array":
        yield from _lists(field)
    elif isinstance(field.get("additionalProperties"), dict):
        yield f"mapping of {' or '.join(_types(field['additionalProperties']))}"
    elif field.get("type") in SIMPLE:
        yield SIMPLE[field["type"]]
    elif field.get("type") != "null":
        yield "anything"


def _lists(field: Schema) -> Iterator[str]:
    items = field.get("prefixItems") or [field.get("items", {})]
    yield f"list of {' and '.join(dict.fromkeys(' or '.join(_types(item)) for item in items))}"


def _default(field: Schema) -> str:
    value = field.get("default")
    if value is None or value in ([], {}, ""):
        return ""
    return "" if isinstance(value, dict) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _meaning(field: Schema, root: Schema) -> str:
    described = field.get("description", "")
    return root["$defs"][field["$ref"].rsplit("/", 1)[-1]]["description"] if "$ref" in field and not described else described


def _text(words: str) -> str:
    """A description as Markdown: one line, nothing in it taken for markup."""
    for mark in ("|", "*", "<", "[", "{"):
        words = words.replace(mark, f"\\{mark}") if mark != "<" else words.replace("<", "&lt;")
    return " ".join(words.split())


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Puts the keys where a page asks for them."""
    for mark, record in ROOTS.items():
        if mark in source[0]:
            source[0] = source[0].replace(mark, Reference(record.model_json_schema()).markdown())
    if OTHERS in source[0]:
        source[0] = source[0].replace(OTHERS, _others(source[0]))
    if docname == "index":
        source[0] = PAGES.sub(lambda found: "\n".join(_unplaced(found[1].split(), source[0])), source[0])


def _unplaced(patterns: list[str], index: str) -> list[str]:
    """Pages of a pattern that the index does not name itself, so that a new page has a place at once."""
    named = {*re.findall(r"^[\w/]+$", index, re.MULTILINE), "index"}
    special = [pattern for found in PAGES.findall(index) for pattern in found.split() if pattern != "*"]
    kept = [] if patterns != ["*"] else [path for pattern in special for path in DOCS.glob(f"{pattern}.md")]
    found = {path for pattern in patterns for path in DOCS.glob(f"{pattern}.md")} - set(kept)
    return sorted({path.stem for path in found} - named)


def _others(page: str) -> str:
    """Public names that the page does not place itself, so that none is missing."""
    placed = re.findall(r"^\.\. auto\w+:: (\w+)", page, re.MULTILINE)
    names = [name for name in sparseloop.__all__ if name not in placed and name != "__version__"]
    lines = [
        f".. autoclass:: {name}\n   :members:" if isinstance(getattr(sparseloop, name), type) else f".. autofunction:: {name}"
        for name in names
    ]
    return "\n".join(["## Further", "", "```{eval-rst}", *lines, "```"]) if names else ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
