"""The report pages: complete, escaped, and alive in a browser without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.cli import app as cli
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
    rows = re.search(r"<table id='actions'>.*?</table>", text, re.DOTALL)
    assert rows is not None
    assert rows[0].count("<tr>") == 1 + sum(len(level["actions"]) for level in record["levels"])
    assert f"data-v='{record['totals']['energy_pj']!r}'" in text
    for title in ("Totals", "Energy", "Cycles", "Roofline", "Loop nest", "Actions"):
        assert f"<h2>{title}</h2>" in text


def test_a_study_with_its_best_points(study_page, tmp_path):
    text = without_library(study_page)
    best = min((row for row in studies.points(tmp_path / "out") if row["valid"]), key=lambda row: row["edp"])
    rows = re.search(r"<table id='best'>.*?<tbody><tr>(.*?)</tr>", text, re.DOTALL)
    assert rows is not None
    assert f"data-v='{best['edp']!r}'" in rows[1]
    for title in ("Best points", "Front", "Parallel coordinates", "What matters"):
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
