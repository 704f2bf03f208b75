"""Names that mean something to a terminal, a browser, matplotlib, SQL or CSV come out as they were written."""

from __future__ import annotations

import csv
import io
import json
from html import unescape
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.cli import app as cli
from sparseloop.evaluation.evaluate import design_of
from sparseloop.explore.sql import identifier, literal
from sparseloop.input import terminal
from sparseloop.input.diagnostics import Diagnostic, Span
from sparseloop.input.terminal import visible
from sparseloop.report import borders, prices
from sparseloop.report.figures import plot
from sparseloop.report.pictures import show_parts
from sparseloop.report.tables import result_text
from tests.helpers.samples import MATMUL

HOSTILE = {
    "markup": "[red]A[/red]",
    "tags": "<script>alert(1)</script>",
    "formula": "$x_1$",
    "statement": "'; drop table points; --",
    "quotes": "\"both\" and 'one'",
    "hidden": "_first",
    "newline": "one\ntwo",
    "escape": "\x1b[31mred\x1b[0m",
    "bidi": "abc\N{RIGHT-TO-LEFT OVERRIDE}def",
    "emoji": ":smile:",
}
PRINTABLE = {kind: name for kind, name in HOSTILE.items() if name.isprintable()}
"""Only these may be names of levels."""


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_terminal_shows_what_was_written_on_one_line(name: str) -> None:
    shown = visible(name)
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == name
    stream = io.StringIO()
    terminal.console(stream, width=80).print(shown)
    assert stream.getvalue() == shown + "\n"


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_html_shows_it(name: str) -> None:
    text = borders.html(name)
    assert not set(text) & set("<>\"'\n\x1b")
    assert unescape(text) == visible(name)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_matplotlib_draws_it(name: str) -> None:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    made = Figure()
    axes = made.add_subplot()
    axes.plot([0], [0], label=borders.figure(name))
    text = axes.legend().get_texts()[0].get_text()
    drawn, formula = Text()._preprocess_math(text)
    assert not formula
    assert drawn.strip() == visible(name, keep="\n")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_sql_takes_it_as_a_name_and_as_a_value(name: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.execute(f"create table t ({identifier(name)} varchar)")
    connection.execute(f"insert into t values ({literal(name)})")
    answer = connection.sql(f"select {identifier(name)} from t where {identifier(name)} = {literal(name)}")
    assert (answer.columns, answer.fetchall()) == ([name], [(name,)])


def test_csv_reads_back() -> None:
    stream = io.StringIO()
    borders.write_csv(stream, ("kind", "name"), HOSTILE.items())
    stream.seek(0)
    assert dict(list(csv.reader(stream))[1:]) == HOSTILE


# --- the same through the commands --------------------------------------------------------------------------


@pytest.fixture(params=PRINTABLE.values(), ids=PRINTABLE)
def named(request: pytest.FixtureRequest) -> tuple[str, sl.Spec]:
    """A specification with a level, a workload and a network of that name."""
    name: str = request.param
    text = MATMUL.replace("GLB", json.dumps(name)).replace("workload:\n", f"workload:\n  name: {json.dumps(name)}\n", 1)
    return name, sl.loads(text)


def test_tables_pictures_and_prices_show_the_name(named: tuple[str, sl.Spec]) -> None:
    name, spec = named
    result = sl.evaluate(spec)
    assert f"{name}: Z[m, n]" in result_text(result)
    assert sum(line.startswith(name) for line in result_text(result, width=200).splitlines()) >= 4  # the head and three tables
    for text in (show_parts(spec), sl.why(spec, f"{name}.energy"), prices.price_text(design_of(spec).arch)):
        assert name in text


def test_figures_show_the_name(named: tuple[str, sl.Spec]) -> None:
    name, spec = named
    result = sl.evaluate(spec)
    for kind in ("breakdown", "loopnest", "roofline"):
        made = plot({name: result}, kind)
        made.canvas.draw()
        texts = [text.get_text() for text in made.findobj(lambda one: hasattr(one, "get_text"))]
        assert any(borders.figure(name).strip() in text for text in texts), kind


def test_a_name_that_steers_the_terminal_is_refused_and_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = MATMUL.replace("workload:\n", f"workload:\n  name: {json.dumps(HOSTILE['escape'] + HOSTILE['bidi'])}\n", 1)
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
    for command in ("eval", "show", "energy", "check"):
        assert cli.main([command, str(tmp_path / "spec.yaml")]) == cli.WRONG_INPUT
    printed = "".join(capsys.readouterr())
    assert "\x1b" not in printed
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in printed
    assert r"\x1b[31mred\x1b[0mabc\u202edef" in printed


def test_a_diagnostic_shows_what_it_is_about_and_where() -> None:
    line = "a\x1b: \N{RIGHT-TO-LEFT OVERRIDE}b"
    shown = Diagnostic(message="no \x1b[2J", hint="x\ny", span=Span("f\x07", 1, 6, 1, line)).render().splitlines()
    assert shown == [r"f\x07:1:6: error: no \x1b[2J", r"   1 | a\x1b: \u202eb", "     | " + " " * 13 + "^  x", "y"]
