"""The glossary speaks of what there is: its terms are words of the code, and paths named in documents exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.doc_pages import DOCS, ROOT

GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
MADE = {"README.md": ["docs/_build/html"]}
"""Paths that commands make."""
PATH = re.compile(r"`((?:src|tests|docs|bench|validation|\.ci)/[\w./-]+)`")
MODULE = re.compile(r"`(sparseloop(?:\.\w+)+)[`.(]")


def words(path: Path) -> Iterator[str]:
    """Names and words in strings of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name | ast.Attribute | ast.arg | ast.ClassDef | ast.FunctionDef):
            yield from re.findall(r"[a-zA-Z]+|\w+", str(getattr(node, "id", getattr(node, "attr", getattr(node, "arg", "")))))
            yield str(getattr(node, "id", getattr(node, "attr", getattr(node, "arg", getattr(node, "name", "")))))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\w+", node.value)


def test_every_term_is_a_word_of_the_code() -> None:
    known = {word for path in (ROOT / "src").rglob("*.py") for word in words(path)}
    terms = [term for line in re.findall(r"^\| (.*?) \|", GLOSSARY, re.MULTILINE) for term in re.findall(r"`(\w+)`", line)]
    assert len(terms) > 60
    assert [term for term in terms if term not in known] == []
    assert len(terms) == len(set(terms)), "a term stands twice"


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_paths_and_modules_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    roots = (ROOT, ROOT / "src" / "sparseloop")
    named = [path for path in PATH.findall(text) if path not in MADE.get(page.name, [])]
    assert not [path for path in named if not any((root / path.split(":")[0]).exists() for root in roots)]
    for name in MODULE.findall(text):
        module, _, attribute = name.rpartition(".")
        places = [ROOT / "src" / one.replace(".", "/") for one in (name, module)]
        found = [path for place in places for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists()]
        assert found, name
        assert any(
            attribute in (path.stem, path.parent.name) or re.search(rf"\b{attribute}\b", path.read_text()) for path in found
        ), name
