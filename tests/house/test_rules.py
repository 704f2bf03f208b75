"""The measurable house rules of CONTRIBUTING.md, over the whole tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "bench", "docs")
FILE_LINES, FUNCTION_LINES, ARGUMENTS, METHODS = 450, 45, 6, 15

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


def test_every_room_is_in_the_architecture() -> None:
    package, described = ROOT / "src" / "sparseloop", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")} - {"."}
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
