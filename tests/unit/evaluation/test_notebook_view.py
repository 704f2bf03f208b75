"""What notebooks show is well-formed and escaped; tables have named columns."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import sparseloop as sl
from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.frames import pandas_frame, polars_frame
from sparseloop.evaluation.long_form import COLUMNS
from sparseloop.input.markup import small_table, stacked_bars
from tests.helpers.samples import ALL, INVALID, MATMUL

VOID = {"br", "rect"}


class Checked(HTMLParser):
    """Fails where a tag is closed that is not open; keeps the texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("name", ALL)
def test_a_result_shows_its_totals_a_figure_and_its_loop_nest(name):
    result = sl.evaluate(sl.loads(ALL[name]))
    shown = Checked(result._repr_html_())
    assert {"table", "svg", "pre"} <= shown.seen
    assert wording.energy_text(result.energy_pj) in " ".join(shown.texts)
    assert all(level.name in shown.texts for level in result.plan.arch.levels)
    assert any(" in 0.." in text for text in shown.texts)


def test_a_result_that_does_not_fit_says_why():
    result = sl.evaluate(sl.loads(MATMUL, overrides=INVALID))
    assert result.reasons[0] in " ".join(Checked(result._repr_html_()).texts)


def test_hostile_names_are_text():
    name = "<script>alert(1)</script>"
    result = sl.evaluate(sl.loads(MATMUL, overrides=[f"workload.name={name}"]))
    shown = Checked(result._repr_html_())
    assert "script" not in shown.seen
    assert name in " ".join(shown.texts)
    for other in (result.design.mapping, sl.loads(MATMUL)):
        assert "script" not in Checked(other._repr_html_()).seen


def test_a_specification_shows_what_was_given():
    spec = sl.loads(MATMUL)
    (text,) = Checked(spec._repr_html_()).texts
    assert "einsum: Z[m,n] = A[m,k] * B[k,n]" in text
    assert sl.loads(text) == spec
    assert "vdd" not in repr(spec)  # a default


def test_a_mapping_shows_its_loops():
    mapping = sl.evaluate(sl.loads(MATMUL)).design.mapping
    lines = str(mapping).splitlines()
    assert lines[:2] == ["level 0: keeps A, B, Z", "  for m in 0..3"]
    assert sum(" in 0.." in line for line in lines) == sum(bound > 1 for bound in mapping.bounds)
    assert Checked(mapping._repr_html_()).texts == [str(mapping)]


def test_a_search_says_what_is_proven():
    spec = sl.loads(ALL["dense"])
    proven = sl.search(spec, method="optimal")
    assert f"({proven.value:.6g} pJ*cycles), proven optimal; optimal" in repr(proven)
    assert len(repr(proven)) < 120
    assert "not bounded" in repr(sl.search(spec, method="random", budget=200))
    assert {"table", "svg", "pre"} <= Checked(proven._repr_html_()).seen


def test_searches_as_tables():
    from sparseloop.mapper.objectives import objectives

    goal = sl.Goal(objective=objectives("edp")[0], top=3, pareto=objectives("energy,cycles"))
    best = sl.search(sl.loads(ALL["dense"]), minimize=goal, method="random", budget=2000)
    table = best.to_pandas()
    assert list(table.columns)[:5] == ["kind", "rank", "energy_pj", "cycles", "edp"]
    assert (table["kind"] == "top").sum() == 3
    assert table["edp"][0] == best.value
    assert list(best.to_polars().columns) == list(table.columns)
    assert Checked(best._repr_html_()).seen >= {"table"}


def test_networks_as_tables():
    layers = "layers: [{name: first}, {name: second, shape: {m: 32}}]\n"
    network = sl.map_network(sl.loads(ALL["dense"].partition("mapping:")[0] + layers), sl.SearchOptions(budget=300))
    table = network.to_pandas()
    assert list(table["layer"]) == list(network.to_polars()["layer"]) == ["first", "second"]
    assert table["energy_pj"].sum() == pytest.approx(network.totals.energy_pj)
    assert "first" in Checked(network._repr_html_()).texts
    assert repr(network).startswith("<NetworkResult 2 of 2 layers")


def test_results_as_tables():
    result = sl.evaluate(sl.loads(MATMUL))
    table = result.to_pandas()
    assert tuple(table.columns) == tuple(result.to_polars().columns) == COLUMNS
    total = table[(table["level"] == "") & (table["quantity"] == "energy_pj")]["value"]
    assert list(total) == [result.energy_pj]
    assert len(table) == len(result.to_rows())


def test_tables_without_rows_have_their_columns():
    assert list(pandas_frame([], ["a", "b"]).columns) == list(polars_frame([], ["a", "b"]).columns) == ["a", "b"]


def test_bars_are_in_proportion():
    shown = stacked_bars({"GLB": {"A": 3.0, "B": 1.0}, "RF": {"A": 2.0}})
    widths = [float(part.partition("'")[0]) for part in shown.split("width='")[1:] if "height='16'" in part[:30]]
    assert widths == [247.5, 82.5, 165.0]
    assert Checked(shown).seen == {"svg", "rect", "text", "title"}


def test_cells_are_escaped():
    assert "&lt;a&gt;" in small_table(("<a>",), [("<a>",)])
