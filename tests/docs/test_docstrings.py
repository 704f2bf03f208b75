"""The examples in docstrings give what they show, on the design of the README."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import sparseloop as sl

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("name", ["load", "evaluate", "search", "map_network"])
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = re.search(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert spec
    (tmp_path / "matmul.yaml").write_text(spec[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {one: getattr(sl, one) for one in sl.__all__}
    tests = doctest.DocTestFinder(recurse=False).find(getattr(sl, name), name, globs=names)
    results = [doctest.DocTestRunner().run(test) for test in tests]
    assert sum(result.attempted for result in results) > 1
    assert not sum(result.failed for result in results)
