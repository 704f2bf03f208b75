"""The measurable house rules of CONTRIBUTING.md, over the whole tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sparseloop"
FOLDERS = ("src", "tests", "bench", "docs")
FILE_LINES, FUNCTION_LINES, ARGUMENTS, METHODS = 450, 45, 6, 15
MODULES, TOP, SHARED_NAMES = 15, 12, 0.03
"""Modules of a folder, entries at the top, share of the public names that two modules may both define."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Found = Iterator[tuple[int, str]]


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def methods(tree: ast.Module) -> dict[Function, ast.ClassDef]:
    """Functions that belong to a class."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node: owner for owner in classes for node in owner.body if isinstance(node, Function)}


# --- rules --------------------------------------------------------------------------------------------------


def long_file(tree: ast.Module, path: Path) -> Found:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > FILE_LINES:
        yield 1, f"file of {lines} lines"


def long_function(tree: ast.Module, path: Path) -> Found:
    for node in functions(tree):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES:
            yield node.lineno, f"{node.name}: {lines} lines"


def many_arguments(tree: ast.Module, path: Path) -> Found:
    owned = methods(tree)
    for node in functions(tree):
        count = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
        static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
        count -= node in owned and not static
        if count > ARGUMENTS:
            yield node.lineno, f"{node.name}: {count} arguments"


def many_methods(tree: ast.Module, path: Path) -> Found:
    """Properties are attributes, not methods."""
    for owner in dict.fromkeys(methods(tree).values()):
        public = [node for node in owner.body if isinstance(node, Function) and not node.name.startswith("_")]
        count = sum(not any(isinstance(d, ast.Name) and "property" in d.id for d in node.decorator_list) for node in public)
        if count > METHODS:
            yield owner.lineno, f"{owner.name}: {count} public methods"


def getters_and_setters(tree: ast.Module, path: Path) -> Found:
    for node in functions(tree):
        if node.name.startswith(("get_", "set_")):
            yield node.lineno, node.name


def keyword_bags(tree: ast.Module, path: Path) -> Found:
    for node in functions(tree):
        protocol = node.name.startswith("__")  # the signature is Python's or NumPy's
        if node.args.kwarg is not None and not protocol:
            yield node.lineno, f"{node.name}(**{node.args.kwarg.arg})"


def star_imports(tree: ast.Module, path: Path) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names):
            yield node.lineno, "import *"


def environment(tree: ast.Module, path: Path) -> Found:
    for node in ast.walk(tree):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            names = [name.name for name in node.names]
        if {"environ", "environb", "getenv", "getenvb"} & set(names):
            yield node.lineno, "environment variable"


def utils(tree: ast.Module, path: Path) -> Found:
    if path.stem in {"util", "utils", "helper", "helpers", "misc"}:
        yield 1, path.name


EVERYWHERE = (long_file, long_function, many_arguments, many_methods, star_imports, utils)
PACKAGE = (getters_and_setters, keyword_bags, environment)
Rule = Callable[[ast.Module, Path], Found]


def offenders(rule: Rule, *folders: str) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{line}: {text}" for path in sources(*folders) for line, text in rule(tree_of(path), path)]


@pytest.mark.parametrize("rule", EVERYWHERE)
def test_rules_for_all_code(rule: Rule) -> None:
    assert offenders(rule, *FOLDERS) == []


@pytest.mark.parametrize("rule", PACKAGE)
def test_rules_for_the_package(rule: Rule) -> None:
    assert offenders(rule, "src") == []


# --- the shape of the package -------------------------------------------------------------------------------


def modules(folder: Path) -> list[Path]:
    """The modules of a folder and of those below it; `__init__` and `__main__` are its doors, not modules."""
    return [path for path in sorted(folder.rglob("*.py")) if not path.stem.startswith("__")]


def defining_modules(paths: list[Path], under: Path) -> dict[str, list[str]]:
    """Public functions and classes of modules whose name stands in another module, too: name to places."""
    places: dict[str, list[str]] = {}
    for path in paths:
        public = [n for n in tree_of(path).body if isinstance(n, Function | ast.ClassDef) and not n.name.startswith("_")]
        for name in dict.fromkeys(node.name for node in public):  # overloads stand in one module
            places.setdefault(name, []).append(path.relative_to(under).as_posix())
    return places


def test_one_word_means_one_thing() -> None:
    """At most 3 % of the public names are defined in more than one module."""
    places = defining_modules(modules(SOURCE), SOURCE)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    listed = "\n".join(f"{name}: {', '.join(found)}" for name, found in sorted(twice.items()))
    assert len(twice) <= SHARED_NAMES * len(places), f"{len(twice)} of {len(places)} names are defined twice:\n{listed}"


def test_rooms_are_small_and_two_levels_deep() -> None:
    for folder in [SOURCE, *(path.parent for path in SOURCE.rglob("__init__.py"))]:
        inside = [path.name for path in folder.glob("*.py") if not path.stem.startswith("__")]
        assert len(inside) <= MODULES, f"{folder.relative_to(ROOT)} has {len(inside)} modules: {', '.join(sorted(inside))}"
    deep = [str(path.relative_to(ROOT)) for path in modules(SOURCE) if len(path.relative_to(SOURCE).parts) > 3]
    assert deep == []
    top = {path.relative_to(SOURCE).parts[0] for path in modules(SOURCE)}
    assert len(top) <= TOP, f"{len(top)} entries at the top: {', '.join(sorted(top))}"


def test_every_room_is_in_the_architecture() -> None:
    described = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = {path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("__init__.py")} - {"."}
    assert sorted(room for room in rooms if f"`{room}/`" not in described) == []


BAD = """\
import os
from os import *
class Wide:
{methods}
def get_long(a, b, c, d, e, f, g, **rest):
{body}
value = os.environ
"""


def test_the_rules_find_something() -> None:
    """A file that breaks everything that can be seen in it."""
    many = "\n".join(f"    def m{i}(self): ..." for i in range(METHODS + 1))
    tree = ast.parse(BAD.format(methods=many, body="\n".join(["    pass"] * FUNCTION_LINES)))
    path = Path("utils.py")
    for rule in (*EVERYWHERE[1:], *PACKAGE):
        assert len(list(rule(tree, path))) == 1, rule.__name__


def test_a_name_in_two_modules_is_found(tmp_path: Path) -> None:
    texts = {"a": "def once(): ...\ndef twice(): ...\n", "b": "class twice: ...\ndef _own(): ...\n", "c": "def _own(): ...\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert defining_modules(modules(tmp_path), tmp_path) == {"once": ["a.py"], "twice": ["a.py", "b.py"]}
