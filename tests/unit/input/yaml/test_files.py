"""YAML to data with places, merging, overrides and writing."""

from __future__ import annotations

import math

import pytest
from ruamel.yaml import YAML

from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml import nodes as yamlnodes
from tests.helpers.calls import calls_of


def places(error: SpecError) -> list[tuple[str, int | None, int | None]]:
    return [(d.span.file, d.span.line, d.span.col) for d in error.diagnostics if d.span]


def test_yaml_1_2_scalars():
    text = "{a: 1e-12, N: no, b: 017, c: 12:30:45, d: '1', e: 0x1F, f: ~, g: true, h: +.5, i: 1_000, 1: 2, !x j: !!str 3}"
    data, _ = yamlio.load_text(text)
    assert data == {
        "a": 1e-12, "N": "no", "b": 17, "c": "12:30:45", "d": "1", "e": 31, "f": None, "g": True, "h": 0.5, "i": "1_000",
        "1": 2, "j": "3",
    }  # fmt: skip


def test_same_data_as_ruamel():
    text = "a: &x {b: [1, 2.5, \"s\\n\", 't'''], c: |\n    text\n    more\n  }\nd: *x\ne: >\n  folded\n  text\nf: [[], {}]\n"
    text = text.replace(", c: |\n    text\n    more\n  }", "}")
    assert yamlio.load_text(text)[0] == YAML(typ="safe", pure=True).load(text)


def test_spans_of_keys_and_values():
    _, source = yamlio.load_text("a:\n  - b: 12\n    'c': \"x y\"\n  - {d: [e, f]}\n", name="f.yaml")

    def at(*path, **more):
        span = source.span(Diagnostic(path=path, message="", **more))
        return span and (span.line, span.col, span.length)

    assert at("a", 0, "b") == (2, 8, 2)
    assert at("a", 0, "b", key=True) == (2, 5, 1)
    assert at("a", 0, "c", offset=2) == (3, 13, 1)
    assert at("a", 1, "d", 1) == (4, 13, 1)
    assert at("a", 1, "tag", "d", "missing") == (4, 9, 1)
    assert at("nowhere") is None


def test_merge_keys_and_local_tags():
    data, _ = yamlio.load_text("base: &b {x: 1, y: 2}\nc: !Component {<<: *b, y: 3}\nd: {y: 4, <<: [*b]}\n")
    assert data["c"] == {"!": "Component", "x": 1, "y": 3}
    assert data["d"] == {"y": 4, "x": 1}


@pytest.mark.parametrize(
    ("text", "part", "line", "col"),
    [
        ("a: 1\na: 2\n", "'a' is defined twice (first in <text>:1)", 2, 1),
        ("a: {b: 1, b: 2}\n", "defined twice", 1, 11),
        ("a: {b: 1, m:300}\n", "'m:300' has no value: write a space after the colon", 1, 11),
        ("a: [1, 2\nb: 3", "YAML", 2, 2),
        ("a: 'x", "YAML", 1, 6),
        ("\ta: 1", "YAML", 1, 1),
        ("a: \x07", "YAML", 1, 4),
        ("", "file is empty", None, None),
        ("# nothing\n", "file is empty", None, None),
        ("- a\n", "top level must be a mapping", None, None),
        ("a: &x [*x]", "contains itself", 1, 8),
        ("a: *x", "unknown alias", 1, 4),
        ("a: !!python/object/apply:os.system [x]", "not allowed", 1, 4),
        ("a: [1, .inf]", "finite", 1, 8),
        ("a: .NaN", "finite", 1, 4),
        ("a: " + "[" * 500 + "]" * 500, "nested deeper", 1, 103),
        ("? [a]\n: 1", "key must be", 1, 3),
    ],
)
def test_mistakes(text, part, line, col):
    with pytest.raises(SpecError) as caught:
        yamlio.load_text(text)
    (found,) = caught.value.diagnostics
    assert part in found.message
    assert found.span
    assert (found.span.line, found.span.col) == (line, col)


def test_several_mistakes_of_one_file_at_once():
    with pytest.raises(SpecError) as caught:
        yamlio.load_text("a: .inf\nb: 1\nb: 2\n")
    assert places(caught.value) == [("<text>", 1, 4), ("<text>", 3, 1)]


def test_alias_bomb():
    text = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
    text += "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))

    def load() -> None:
        with pytest.raises(SpecError, match="aliases expanded"):
            yamlio.load_text(text)

    assert calls_of(load) < 20_000  # expanded it holds 10 ** 10 values


def test_files(tmp_path):
    first, second, third = (tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml"))
    first.write_text("workload: 1\n")
    second.write_text("---\nmapping: 2\n---\nsparse: 3\n")
    third.write_text("\nmapping: 4\n")
    data, source = yamlio.load_files([second, first])
    assert data == {"workload": 1, "mapping": 2, "sparse": 3}
    assert source.directory(("workload",)) == tmp_path
    with pytest.raises(SpecError) as caught:
        yamlio.load_files([first, second, third, tmp_path / "none.yaml"])
    messages = [d.message for d in caught.value.diagnostics]
    assert any("No such file" in m for m in messages)
    assert f"'mapping' is defined twice (first in {second}:2:1)" in messages
    assert (str(third), 2, 1) in places(caught.value)


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00\x01\x02", b"a: \x80\x81", b"a\x00b: 1"])
def test_binary_files(tmp_path, raw):
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(SpecError):
        yamlio.load_files([tmp_path / "x"])


def test_huge_file(tmp_path, monkeypatch):
    (tmp_path / "x.yaml").write_text("a: 123456789")
    monkeypatch.setattr(yamlnodes, "MAX_BYTES", 4)
    with pytest.raises(SpecError, match="larger than"):
        yamlio.load_files([tmp_path / "x.yaml"])


def test_component_libraries_are_joined(tmp_path):
    for i in (1, 2):
        (tmp_path / f"{i}.yaml").write_text(f"compound_components: {{version: 0.3, classes: [{{name: c{i}}}]}}\n")
    data, _ = yamlio.load_files([tmp_path / "1.yaml", tmp_path / "2.yaml"])
    assert [c["name"] for c in data["compound_components"]["classes"]] == ["c1", "c2"]


def test_overrides():
    text = "a: &s {l: [{name: G, c: 1}, {H: 3}]}\nb: *s\n"
    changes = ["a.l.G.c=64 KiB", "a.l[1].H={q: 1}", "a.z.y=[1]", "n=3", "a.l[0].name="]
    data, source = yamlio.load_text(text, changes)
    assert data["a"] == {"l": [{"name": None, "c": "64 KiB"}, {"H": {"q": 1}}], "z": {"y": [1]}}
    assert data["b"] == {"l": [{"name": "G", "c": 1}, {"H": 3}]}
    assert data["n"] == 3
    assert str(source.span(Diagnostic(path=("a", "l", 0, "c"), message=""))) == "--set #1"


@pytest.mark.parametrize("change", ["a.b=3", "x", "=3", "l[7]=4", "l.name=1", "c=[1", "a..b=1"])
def test_wrong_overrides(change):
    with pytest.raises(SpecError) as caught:
        yamlio.load_text("a: 1\nl: [1]\n", ["c=1", change])
    (found,) = caught.value.diagnostics
    assert found.span
    assert found.span.file == "--set #2"


def test_writing_keeps_comments():
    text = "# head\na: 1  # one\nmapping:\n  - DRAM: for m=3\nb: {c: 2}  # two\n"
    changed = yamlio.rewritten(text, {"mapping": [{"DRAM": "for m=4"}, {"G": "x m=2, y n=3"}]})
    assert changed == "# head\na: 1  # one\nmapping:\n  - DRAM: for m=4\n  - G: x m=2, y n=3\nb: {c: 2}  # two\n"


def test_dump_there_and_back():
    data = {"a": {"b": [1, 2.5, "no", "1e-3", None, True], "c": {"d": "x: y"}}, "e": math.pi}
    assert yamlio.load_text(yamlio.to_yaml(data))[0] == data
