"""Jinja2 templates: includes, search folders, places of mistakes, and nothing executed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml import nodes, template_limits

pytest.importorskip("jinja2")


def files(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "top.yaml.jinja2"


def mistake(path: Path, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        yamlio.load_files([path], overrides)
    return str(caught.value)


def test_variables_and_includes(tmp_path: Path):
    top = files(
        tmp_path,
        top_dot_yaml_dot_jinja2="a: {{ n * 2 }}\nb: {{ include('sub/b.yaml', 'b.c') }}\nd:\n  {{ include_text('d.txt') }}\n",
        sub__b_dot_yaml="b: {c: [!Tag {x: 1}, 2]}\n",
        d_dot_txt="e: 5",
    )
    data, source = yamlio.load_files([top], ["jinja.n=21"])
    assert data == {"a": 42, "b": [{"!": "Tag", "x": 1}, 2], "d": {"e": 5}}
    _, node, _ = source.walk(("b", 0, "x"))
    assert node.file.endswith("b.yaml"), "an included file knows its own lines"
    assert source.walk(("a",))[1].file == f"{top} (rendered)"


def test_include_all_joins_lists(tmp_path: Path):
    top = files(
        tmp_path,
        top_dot_yaml_dot_jinja2="{{ add_to_path('sub') }}\nall: {{ include_all('*.yaml', 'k') }}\nis: {{ path_exists('no') }}\n",
        sub__1_dot_yaml="k: [1, 2]",
        sub__2_dot_yaml="k: [3]",
    )
    assert yamlio.load_files([top])[0] == {"all": [1, 2, 3], "is": False}


def test_included_files_are_templates_too(tmp_path: Path):
    top = files(
        tmp_path,
        top_dot_yaml_dot_jinja2="x: {{ include(cwd() ~ '/in.yaml') }}",
        in_dot_yaml="{% if deep %}y: {{ include('in2.yaml') }}{% endif %}",
        in2_dot_yaml="{z: 1}",
    )
    assert yamlio.load_files([top], ["jinja.deep=true"])[0] == {"x": {"y": {"z": 1}}}


def test_merge_keys_of_included_files(tmp_path: Path):
    top = files(tmp_path, top_dot_yaml_dot_jinja2="x:\n  <<: {{ include('in.yaml') }}\n  b: 1\n", in_dot_yaml="{a: 1, b: 2}")
    assert yamlio.load_files([top])[0] == {"x": {"a": 1, "b": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {{ missing }}\n", "top.yaml.jinja2:2:1: error: template: 'missing' is undefined"),
        ("a: {% if %}", "top.yaml.jinja2:1:1: error: template: Expected an expression"),
        ("a: {{ include('top.yaml.jinja2') }}", "the file includes itself: top.yaml.jinja2 -> top.yaml.jinja2"),
        ("a: {{ include('nowhere.yaml') }}", "cannot find 'nowhere.yaml'"),
        ("a: {{ include('in.yaml', 'k.q') }}", "there is no 'k.q' in the file"),
        ("{% for i in range(3) %}\na{{ i }}: 1\n{% endfor %}\na2: [", "top.yaml.jinja2 (rendered):"),
        ("a: {{ ''.__class__.__mro__ }}", "template: access to attribute '__class__'"),
        ("a: {{ cwd.__globals__ }}", "template: access to attribute '__globals__'"),
        ("a: {{ include.__self__.reader }}", "template: access to attribute '__self__'"),
        ("a: {{ setenv('A', 1) }}", "template: 'setenv' is undefined"),
        ("a: {{ 'x' * 8000000 }}{{ 'x' * 8000000 }}", "the rendered text is larger than 8 MiB"),
        ("{% include 'top.yaml.jinja2' %}", "templates include each other"),
        ("{% include 'no.yaml' %}", "template: 'no.yaml' not found"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str):
    top = files(tmp_path, top_dot_yaml_dot_jinja2=text, in_dot_yaml="k: 1")
    assert message in mistake(top)


def test_without_jinja2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "pip install 'sparseloop[jinja]'" in mistake(files(tmp_path, top_dot_yaml_dot_jinja2="a: 1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {{ 9 ** (9 ** 9) }}", "the result of '**' is too large"),
        ("a: {{ 'x' * 10 ** 9 }}", "the result of '*' is too large"),
        ("a: {{ '%999999999d' % 1 }}", "the result of '%' is too large"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "it takes longer than"),
    ],
)
def test_templates_are_bounded(tmp_path, monkeypatch, text, message):
    monkeypatch.setattr(template_limits, "SECONDS", 0.2)
    (tmp_path / "t.yaml.jinja2").write_text(text)
    with pytest.raises(sl.SpecError, match=re.escape(message)):
        sl.load(tmp_path / "t.yaml.jinja2")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded on Linux")
def test_the_memory_of_templates_is_bounded(tmp_path):
    (tmp_path / "t.yaml.jinja2").write_text("a: {{ 'x' | center(3 * 1000 ** 3) }}")
    with pytest.raises(sl.SpecError, match="it needs too much memory"):
        sl.load(tmp_path / "t.yaml.jinja2")
    assert len(bytearray(2**28)) == 2**28  # the limit is gone


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_that_nobody_writes_to_is_no_specification(tmp_path, monkeypatch):
    monkeypatch.setattr(nodes, "PIPE_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(sl.SpecError, match="nothing is written to this pipe"):
        sl.load(tmp_path / "pipe.yaml")
