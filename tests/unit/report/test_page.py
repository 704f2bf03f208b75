"""The report pages: complete, escaped, and alive in a browser without a network."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from datetime import datetime
from html import escape
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.cli import app as cli
from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.facts import totals
from sparseloop.report.tables import result_tables
from tests.helpers import studies
from tests.helpers.samples import MATMUL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""The browser that draws the pages; the tests that need it are skipped where there is none (`.ci/run` installs it)."""
HEADLESS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--log-level=0"),
    *("--virtual-time-budget=10000", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"),
)
"""No window, no network: every host name is unknown. `--no-sandbox`: CI runs as root."""
EVIL = "</script><b>x"


def page(tmp_path: Path, *given: str) -> str:
    target = tmp_path / "page.html"
    assert cli.main(["report", *given, "-o", str(target)]) == cli.OK
    return target.read_text(encoding="utf-8")


@pytest.fixture
def result_page(tmp_path: Path) -> str:
    spec = tmp_path / "spec.yaml"
    spec.write_text(MATMUL.replace("GLB", '"<b>GLB</b>"'))
    return page(tmp_path, str(spec))


@pytest.fixture
def study_page(tmp_path: Path) -> str:
    studies.run(studies.written(tmp_path), tmp_path / "out")
    return page(tmp_path, str(tmp_path / "out"))


def without_library(text: str) -> str:
    """The page without plotly itself."""
    head, _, rest = text.partition("</style><script>")
    return head + rest[rest.index("</script>", rest.index("plotly.js")) :]


def test_a_result_with_all_its_actions(result_page):
    text = without_library(result_page)
    record = sl.evaluate(sl.loads(MATMUL)).to_dict()  # that its GLB bears another name changes no number
    rows = re.search(r"<table class='sortable' id='actions'>.*?</table>", text, re.DOTALL)
    assert rows is not None
    assert rows[0].count("<tr>") == 1 + sum(len(level["actions"]) for level in record["levels"])
    assert wording.energy_text(record["totals"]["energy_pj"]) in text
    for title in ("Totals", "Energy", "Cycles", "Roofline", "Tables", "Actions", "Provenance"):
        assert f"<h2>{title}</h2>" in text


def test_small_screens_show_pages_in_their_own_width(result_page, study_page):
    for text in (result_page, study_page):
        assert "<meta name='viewport' content='width=device-width" in text.partition("<title>")[0]


def test_a_result_has_all_tables_of_the_terminal(result_page):
    result = sl.evaluate(sl.loads(MATMUL))
    for table in result_tables(result):
        assert f"<h3>{table.title}" in result_page
    for fact in totals(result):
        assert f"<dt>{fact.label}</dt><dd>{escape(fact.text)}</dd>" in result_page
    assert "for m in 0..3" in result_page


def test_a_page_says_where_it_comes_from(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(MATMUL)
    text = page(tmp_path, str(spec), "--set", "workload.density.A=0.3")
    assert f"<h1>{escape('Z[m, n] = A[m, k] * B[k, n] on DRAM > GLB > RF > MAC')}</h1>" in text
    assert hashlib.sha256(spec.read_bytes()).hexdigest() in text
    assert f"<dd>{sl.__version__}</dd>" in text
    command = f"sparseloop report {spec} --set workload.density.A=0.3 -o {tmp_path / 'page.html'}"
    assert f"<dt>command</dt><dd>{command}</dd>" in text
    assert f"<dt>date</dt><dd>{datetime.now():%Y-%m-}" in text
    for warning in sl.evaluate(sl.load(spec)).warnings:
        assert f"<li>{escape(warning)}</li>" in text


def test_files_that_are_each_a_specification_are_set_side_by_side(tmp_path):
    for name, density in (("best-one", 0.25), ("best-two", 0.5)):
        (tmp_path / f"{name}.yaml").write_text(MATMUL.replace("A: 0.25", f"A: {density}"))
    text = page(tmp_path, str(tmp_path / "best-one.yaml"), str(tmp_path / "best-two.yaml"))
    assert "<h1>2 results</h1>" in text
    assert "<h3>best-one</h3>" in text
    assert "<h2>Tables: best-two</h2>" in text


def test_layers_keep_their_names_in_result_files(tmp_path):
    records = [sl.evaluate(sl.loads(MATMUL, overrides=[f"workload.name={name}"])).to_dict() for name in ("first", "second")]
    (tmp_path / "m.json").write_text(json.dumps(records))
    text = page(tmp_path, str(tmp_path / "m.json"))
    assert "<h3>first</h3>" in text
    assert "<h3>second</h3>" in text


def test_a_study_with_its_best_points(study_page, tmp_path):
    text = without_library(study_page)
    best = min((row for row in studies.points(tmp_path / "out") if row["valid"]), key=lambda row: row["edp"])
    rows = re.search(r"<table class='sortable' id='best'>.*?<tbody><tr>(.*?)</tr>", text, re.DOTALL)
    assert rows is not None
    joule_seconds = best["edp"] * 1e-12 * best["latency_s"] / best["cycles"]
    assert f"data-v='{joule_seconds * 1e15!r}" in rows[1] or f"data-v='{joule_seconds / 1e-15!r}" in rows[1]
    assert "(fJ\N{DOT OPERATOR}s)" in text
    for title in ("Best points", "Front", "Parallel coordinates", "What matters", "Provenance"):
        assert f"<h2>{title}</h2>" in text


def test_nothing_is_fetched(result_page, study_page):
    for text in (result_page, study_page):
        assert not re.search(r"<(script|link|img)[^>]*\b(src|href)=", without_library(text))


def test_names_are_escaped(tmp_path):
    record = json.loads(json.dumps(sl.evaluate(sl.loads(MATMUL)).to_dict()).replace("GLB", EVIL.replace("/", "\\/")))
    (tmp_path / "result.json").write_text(json.dumps(record))
    text = without_library(page(tmp_path, str(tmp_path / "result.json")))
    assert EVIL not in text
    assert "&lt;/script&gt;&lt;b&gt;x" in text


def test_a_mapping_that_does_not_fit_says_why(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(MATMUL.replace("capacity: 64 words", "capacity: 4 words"))
    text = without_library(page(tmp_path, str(spec)))
    assert "not valid" in text
    assert "<li>RF must hold" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the pages with")
@pytest.mark.parametrize("kind", ["result_page", "study_page"])
def test_a_browser_draws_it_without_a_network(kind, request, tmp_path):
    request.getfixturevalue(kind)
    line = (str(CHROMIUM), *HEADLESS, f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'page.html'}")
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
    drawn = without_library(done.stdout)
    if kind == "result_page":  # plotly reads tags in names
        assert re.search(r'class="ytick"><text[^>]*>&lt;b&gt;GLB&lt;/b&gt;</text>', drawn)
    assert drawn.count('class="main-svg"') >= 2
    wanted = "parcoords" if kind == "study_page" else "barlayer"
    assert wanted in drawn
    assert not [
        message for message in done.stderr.splitlines() if "CONSOLE" in message and ("Error" in message or "error" in message)
    ]
