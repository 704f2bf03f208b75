"""What the documentation shows is what comes out: its pages are run in order, and the site is built."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sparseloop as sl
from tests.helpers.doc_pages import DOCS, EXEMPT, ROOT, Session, agrees, blocks, commands, pages, run

EXEMPTIONS = {
    "explore.md": 3,  # a cluster; a sketch of all keys, whose files are the reader's
    "features_study.md": 1,  # minutes
    "security.md": 1,  # PyTorch
    "timeloop.md": 1,  # forms of files; migrating.md runs an example
    "validation.md": 3,  # masks and graphs that are not shipped; twenty seconds
    "timeloop_faults.md": 1,  # the whole corpus, 40 s; tests/golden compares its tables
}
"""How many blocks of a page are not run. More need a reason here."""

NAMES = [str(page.relative_to(DOCS)) for page in pages()]
ELSEWHERE = {"validation.md"}
"""Run by tests/paper/test_validation.py, which evaluates every target once."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for what, shown, printed in run(DOCS / name):
        assert not shown or agrees(shown, printed), "\n".join([what, *printed])


def test_only_named_blocks_are_not_run() -> None:
    found = {name: sum(block.exempt for block in blocks((DOCS / name).read_text(encoding="utf-8"))) for name in NAMES}
    assert {name: count for name, count in found.items() if count} == EXEMPTIONS


@pytest.mark.parametrize("name", NAMES)
def test_commands_stand_where_they_are_run(name: str) -> None:
    """No command of ours in an indented block, or in a language that is not run."""
    text = (DOCS / name).read_text(encoding="utf-8")
    assert re.findall(r"^ {4}(?:\$ )?sparseloop .*", text, re.MULTILINE) == []
    for block in blocks(text):
        if block.language not in ("console", "python"):
            assert not re.search(r"^(\$ )?sparseloop ", block.body, re.MULTILINE), f"{name}:{block.line}"


def test_every_design_has_a_page_and_every_name_on_it_exists() -> None:
    designs = {path.parent.name for path in (ROOT / "src/sparseloop/designs").glob("*/README.md")}
    assert {path.stem for path in (DOCS / "designs").glob("*.md")} == designs
    named = re.findall(r"auto(?:class|function|exception):: (\w+)", (DOCS / "api.md").read_text(encoding="utf-8"))
    assert set(named) <= set(sl.__all__)
    assert len(named) == len(set(named))


@pytest.mark.parametrize("page", sorted((ROOT / "src/sparseloop/designs").glob("*/README.md")), ids=lambda page: page.parent.name)
def test_commands_of_a_design(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are run in a copy of its folder."""
    shutil.copytree(page.parent, tmp_path / "design")
    monkeypatch.chdir(tmp_path / "design")
    found = re.findall(r"^ {4}(sparseloop .*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    session = Session()
    for command in found:
        session.command(command)
    assert session.seen, f"{found[-1]}: status {session.status}"


def test_every_key_is_described() -> None:
    from sparseloop.explore.schema import StudySpec

    for schema in (sl.schema(), StudySpec.model_json_schema()):
        for name, record in {**schema["$defs"], "": schema}.items():
            missing = [key for key, field in record["properties"].items() if "description" not in field and "$ref" not in field]
            assert missing == [], name


@pytest.mark.skipif(not importlib.util.find_spec("sphinx"), reason="needs the extra docs")
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", str(DOCS), str(tmp_path / "html")]
    built = subprocess.run([*command, "-d", str(tmp_path / "trees")], capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    reference = (tmp_path / "html" / "reference.html").read_text(encoding="utf-8")
    assert "multiple_buffering" in reference
    assert "half_width" in reference
    api = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    assert [name for name in sl.__all__ if name != "__version__" and f'id="sparseloop.{name}"' not in api] == []
    formulas = (tmp_path / "html" / "concepts" / "density.html").read_text(encoding="utf-8")
    assert "<math" in formulas
    assert "\\binom" not in formulas  # drawn, not shown as it is written


# --- the machinery itself -----------------------------------------------------------------------------------

PAGE = """
```{code-block} yaml
:caption: small.yaml
a: 1
```

```console
$ sparseloop check small.yaml
...
$ echo $?
2
```

```python
print("one")
```

```text
one
```

```{code-block} console
:caption: not run: needs a cluster
$ sparseloop sweep a.yaml
```
"""


def test_blocks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(blocks(PAGE))
    assert [block.language for block in found] == ["yaml", "console", "python", "text", "console"]
    assert [block.file for block in found] == ["small.yaml", None, None, None, None]
    assert found[-1].caption == f"{EXEMPT}needs a cluster"
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    results = run(tmp_path / "page.md")
    assert [agrees(shown, printed) for _, shown, printed in results] == [True, True, True]
    assert results[-1][2] == ["one"]


def test_a_wrong_number_is_found() -> None:
    assert commands("$ a\nb\nc\n$ d\n")[0].shown == ["b", "c"]
    assert agrees(["x 1", "...", "z"], ["x 1", "y", "y", "z"])
    assert agrees(["took ... s"], ["took 1.25 s"])
    assert not agrees(["x 1", "...", "z"], ["x 2", "y", "z"])
    assert not agrees(["x 1"], ["x 1", "more"])


def test_a_failing_command_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```console\n$ sparseloop check missing.yaml\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="status 2"):
        run(page)
