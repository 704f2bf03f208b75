"""Figures show the numbers of the results and studies that they are drawn of."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.cli import app as cli
from sparseloop.input.diagnostics import SpecError
from sparseloop.report import figures
from sparseloop.report.figures import breakdown, loopnest, parallel, roofline, sensitivity, style
from sparseloop.report.figures import crossover as crossings
from sparseloop.report.figures import pareto as fronts
from sparseloop.report.figures.tables import StudyPoints
from tests.helpers import studies
from tests.helpers.samples import CONVOLUTION, MATMUL

_POWERS = ["$10^{5}$", "$10^{6}$", "$10^{7}$", "$10^{8}$", "$10^{9}$"]
STUDY = """\
name: features
spec: spec.yaml
parameters:
  A: {path: workload.density.A, values: [0.05, 0.2, 0.5, 0.8, 1.0]}
  bw: {path: architecture.levels.DRAM.bandwidth, values: [1, 4]}
  store:
    choices:
      plain: {sparse.DRAM: null, sparse.GLB: null}
      compressed: {}
mapping: fixed
pareto: [energy, cycles]
"""


@pytest.fixture(scope="module")
def result() -> sl.Result:
    return sl.evaluate(sl.loads(MATMUL))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> StudyPoints:
    folder = tmp_path_factory.mktemp("study")
    studies.run(studies.written(folder, STUDY), folder / "out")
    return StudyPoints(sl.Store.opened(folder / "out"))


# --- results ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["level", "tensor", "action"])
def test_bars_add_up_to_the_energy(result, by):
    other = sl.evaluate(sl.loads(CONVOLUTION))
    data = breakdown.bars({"a": result.to_dict(), "b": other.to_dict()}, by)
    assert data.totals == pytest.approx((result.energy_pj, other.energy_pj), rel=1e-12)
    axes = breakdown.draw(data).axes[0]
    scale, unit = breakdown.unit_of(max(data.totals))
    tops = [max(bar.get_y() + bar.get_height() for bars in axes.containers for bar in [bars[i]]) for i in range(2)]
    assert [top * scale for top in tops] == pytest.approx(data.totals)
    assert breakdown.SYMBOLS.get(unit, unit) in axes.get_ylabel()


def test_levels_of_the_breakdown_are_those_of_the_result(result):
    data = breakdown.bars({"a": result.to_dict()})
    energies = {level["name"]: level["energy_pj"] for level in result.to_dict()["levels"]}
    for part, value in zip(data.parts, data.values[0], strict=True):
        if part in energies:
            assert value == pytest.approx(energies[part], rel=1e-12)
    assert set(data.parts) <= {*energies, breakdown.NETWORKS, breakdown.REST}


def test_relative_bars_begin_with_one(result):
    record = result.to_dict()
    axes = breakdown.draw(breakdown.bars({"first": record, "second": record}), relative=True).axes[0]
    assert max(bars[0].get_y() + bars[0].get_height() for bars in axes.containers) == pytest.approx(1)
    assert "first" in axes.get_ylabel()


def test_a_point_lies_on_the_roof_of_the_level_that_limits(result):
    data = roofline.roofline("x", result)
    assert data.peak == 64
    slowest = max(data.roofs, key=lambda roof: roof.words / roof.bandwidth)
    assert data.dense * data.cycles == pytest.approx(64**3)
    for roof in data.roofs:
        admitted = roof.bandwidth * data.actual * data.cycles / roof.words
        assert data.actual <= admitted * (1 + 1e-9)
        if roof is slowest and roof.words / roof.bandwidth == pytest.approx(result.cycles):
            assert data.actual == pytest.approx(admitted)
    widths = {roof.level: roof.bandwidth for roof in data.roofs}
    assert widths == {"DRAM": 16, "GLB": 16, "RF": 2 * 64}


def test_without_bandwidths_there_is_no_roof(result):
    free = sl.evaluate(
        sl.loads(
            MATMUL.replace(", bandwidth: 16", "").replace(", bandwidth: {read: 16, write: 16}", "").replace(", bandwidth: 2", "")
        )
    )
    with pytest.raises(SpecError, match="no level has a bandwidth"):
        figures.plot(free, "roofline")


def test_the_loop_nest_has_every_loop_and_tile(result):
    data = loopnest.bands(result)
    loops = [(band.level.split(" ")[0], *loop) for band in data for loop in band.loops]
    assert loops == [
        ("DRAM", "m", 4, None),
        ("GLB", "n", 8, None),
        ("GLB", "k", 8, None),
        ("GLB", "n", 8, "x"),
        ("GLB", "m", 8, "y"),
        ("RF", "m", 2, None),
        ("RF", "k", 8, None),
    ]
    assert [band.depth for band in data] == [0, 1, 5, 7]
    assert data[1].holds[0].startswith("A 16\N{MULTIPLICATION SIGN}64 (1024 words, 25 % stored)")
    texts = [text.get_text() for text in loopnest.draw(result).axes[0].texts]
    assert "parallel y: m = 0..7" in texts


@pytest.mark.parametrize("width", [3.5, 7.0])
@pytest.mark.parametrize("text", [MATMUL, CONVOLUTION, MATMUL.replace("RF", "a_register_file")], ids=["short", "deep", "long"])
def test_nothing_of_a_loop_nest_overlaps_or_is_cut(text: str, width: float):
    with style.styled():
        figure = loopnest.draw(sl.evaluate(sl.loads(text)), width)
        figure.draw_without_rendering()
    boxes = [shown.get_window_extent() for shown in figure.axes[0].texts]
    lines = {round(box.y0 + box.y1) for box in boxes}
    assert len(lines) > 3
    assert all(box.x0 >= 0 and box.x1 <= width * figure.dpi for box in boxes)
    for line in lines:
        row = sorted((box.x0, box.x1) for box in boxes if abs(box.y0 + box.y1 - line) <= 4)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(row))


@pytest.mark.parametrize(
    ("values", "log", "labels"),
    [
        ([0.05, 0.1, 0.3, 0.9], False, ["0.05", "", "0.3", "0.9"]),
        ([0.05, 0.1, 0.3, 0.9], True, ["0.05", "0.1", "0.3", "0.9"]),
        ([16, 32, 64], False, ["16", "32", "64"]),
    ],
)
def test_labels_of_an_axis_do_not_run_into_each_other(values: list[float], log: bool, labels: list[str]):
    assert crossings.tick_labels(values, log=log) == labels


# --- studies ------------------------------------------------------------------------------------------------


def test_no_point_beats_one_of_the_front(table):
    data = fronts.front(table)
    assert data.columns == ("energy_pj", "cycles")
    assert data.values.shape == (2, len(table.valid))
    beaten = [
        any(
            (data.values[:, j] <= data.values[:, i]).all() and (data.values[:, j] < data.values[:, i]).any()
            for j in range(data.values.shape[1])
        )
        for i in range(data.values.shape[1])
    ]
    assert {i for i, lost in enumerate(beaten) if not lost} == set(data.front)
    assert set(data.kinds) == {"plain", "compressed"}


def test_lines_cross_where_they_are_equal():
    values = np.array([[1.0, 3.0, 5.0, 7.0], [4.0, 4.0, 4.0, 4.0], [9.0, 9.0, 9.0, 3.0]])
    found = crossings.crossovers([0, 2, 4, 6], ["rising", "flat", "late"], values)
    assert [(one.before, one.after) for one in found] == [("rising", "flat"), ("flat", "late")]
    assert found[0].x == pytest.approx(3.0)
    assert found[0].y == pytest.approx(4.0)
    assert found[1].x == pytest.approx(4 + 2 * 5 / 6)
    logarithmic = crossings.crossovers([1, 100], ["a", "b"], np.array([[1.0, 3.0], [2.0, 2.0]]), log=True)
    assert logarithmic[0].x == pytest.approx(10)


def test_two_changes_between_neighbouring_points_and_holes():
    values = np.array([[0.0, 10.0], [1.0, 1.0], [6.0, -6.0]])
    found = crossings.crossovers([0.0, 1.0], ["a", "b", "c"], values)
    assert [(one.before, one.after, round(one.x, 6)) for one in found] == [("a", "b", 0.1), ("b", "c", round(5 / 12, 6))]
    assert crossings.crossovers([0.0, 1.0], ["a", "b"], np.array([[1.0, np.nan], [np.nan, 1.0]])) == ()


def test_lines_take_the_best_of_all_other_parameters(table):
    data = crossings.lines(table, "cycles", "A", "store")
    assert data.x == (0.05, 0.2, 0.5, 0.8, 1.0)
    for i, kind in enumerate(data.kinds):
        for j, x in enumerate(data.x):
            mine = [row["cycles"] for row in table.valid if row["store"] == kind and row["A"] == x]
            assert data.values[i, j] == min(mine)
    assert any(
        {one.before, one.after} == {"plain", "compressed"} for one in crossings.lines(table, "energy_pj", "A", "store").crossovers
    )


def test_a_sweep_marks_its_values_and_says_what_it_leaves_out(table):
    axes = crossings.draw(table, "cycles", "A", "store").axes[0]
    assert [float(tick.get_text()) for tick in axes.get_xticklabels()] == [0.05, 0.2, 0.5, 0.8, 1.0]
    first, *notes = axes.get_xlabel().splitlines()
    assert first == "A"
    assert "best over bw" in notes[0]
    assert f"{len(table.rows) - len(table.valid)} invalid points left out" in notes[0] or len(table.rows) == len(table.valid)


def test_units_of_studies(table):
    row = table.valid[0]
    scale = table.scale("edp")
    joule_seconds = row["edp"] * 1e-12 * row["latency_s"] / row["cycles"]
    assert table.shown(row, "edp") * scale.divisor == pytest.approx(joule_seconds)
    assert scale.label.startswith("energy-delay product (")
    assert scale.label.endswith("J\N{DOT OPERATOR}s)")
    assert table.shown(row, "energy_pj") * table.scale("energy_pj").divisor == pytest.approx(row["energy_pj"])


def test_shares_of_an_additive_metric_add_up():
    class Fixed:
        parameters = ("a", "b", "idle")
        valid = tuple({"a": a, "b": b, "idle": i, "y": np.exp(3 * a + b)} for a in (0, 1) for b in (0, 1) for i in (0, 1))

        def column(self, name: str) -> str:
            return name

        def some(self, count: int) -> None:
            assert count

    found = {one.parameter: one for one in sensitivity.shares(Fixed(), "y")}  # pyright: ignore
    assert list(found) == ["a", "b", "idle"]
    assert found["a"].share == pytest.approx(0.9)
    assert found["b"].share == pytest.approx(0.1)
    assert found["idle"].share == pytest.approx(0)
    assert found["a"].factor == pytest.approx(np.exp(3))


def test_parallel_coordinates_have_every_point(table):
    data = parallel.parallel(table)
    assert [axis.name for axis in data.axes] == ["A", "bw", "store", "energy (nJ)", "cycles"]
    for axis in data.axes:
        assert axis.places.shape == (len(table.valid),)
        assert axis.places.min() == 0
        assert axis.places.max() == 1
    energies = [row["energy_pj"] for row in table.valid]
    assert data.axes[3].places[int(np.argmax(energies))] == 1
    assert set(data.best) == set(fronts.front(table).front)


def test_some_points_only(table):
    some = StudyPoints(table.store, "store = 'plain' and A > 0.3")
    assert {row["point"] for row in some.rows} == {
        row["point"] for row in table.rows if row["store"] == "plain" and row["A"] > 0.3
    }
    with pytest.raises(SpecError, match="SQL: "):
        figures.plot(table.store, "pareto", where="nonsense = 1")


def test_the_points_and_their_front_are_drawn(table):
    data = fronts.front(table)
    axes = figures.plot(table.store, "pareto").axes[0]
    drawn = [tuple(point) for dots in axes.collections[:-1] for point in dots.get_offsets()]
    assert sorted(drawn) == sorted(zip(*data.values.tolist(), strict=True))
    chosen = data.values[:, list(data.front)]
    assert axes.collections[-1].get_offsets().T.tolist() == chosen.tolist()
    assert [list(values) for values in axes.lines[0].get_data()] == chosen.tolist()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("energy (nJ)", "cycles")


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [(1.1, 60.0, ["2", "5", "10", "20", "50"]), (0.5, 5e3, ["1", "10", "100", "1000"]), (1e4, 1e9, ["$10^{4}$", *_POWERS])],
)
def test_a_logarithmic_axis_has_few_labels(low: float, high: float, texts: list[str]) -> None:
    with style.styled():
        made, axes = style.figure()
        axes.set_ylim(low, high)
        style.log_axis(axes, "y")
        made.draw_without_rendering()
    shown = [label.get_text() for at, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True) if low <= at <= high]
    assert shown == texts
    assert not any(label.get_text() for label in axes.get_yticklabels(minor=True))


@pytest.mark.parametrize("kind", ["pareto", "parallel", "sensitivity", "sweep"])
def test_the_remark_about_proofs_has_its_own_place(table, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StudyPoints, "unproven", "10 of 20 points: mapping not proven optimal")
    made = figures.plot(table.store, kind)
    with style.styled():
        made.draw_without_rendering()
    remark = made._supxlabel.get_window_extent()
    others = [axes.get_tightbbox() for axes in made.axes]
    assert not any(remark.overlaps(box) for box in others)


def test_a_front_names_what_colours_say(table):
    assert figures.plot(table.store, "pareto").axes[0].get_legend().get_title().get_text() == "store"


def test_a_line_for_every_point_is_drawn(table):
    data = parallel.parallel(table)
    axes = figures.plot(table.store, "parallel").axes[0]
    places = np.stack([axis.places for axis in data.axes])
    lines = axes.lines[: places.shape[1]]
    assert np.array([line.get_ydata() for line in lines]).T.tolist() == places.tolist()
    best = axes.lines[places.shape[1] :][: len(data.best)]
    assert [list(line.get_ydata()) for line in reversed(best)] == places[:, list(data.best)].T.tolist()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "bw", "store", "energy\n(nJ)", "cycles"]


def test_the_shares_are_drawn_with_their_names(table):
    data = sensitivity.shares(table, "energy_pj")
    axes = figures.plot(table.store, "sensitivity", y="energy_pj").axes[0]
    shares = [one.share for one in data]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([*shares, 1 - sum(shares)])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [*(one.parameter for one in data), sensitivity.JOINT]


def test_the_lines_and_where_they_cross_are_drawn(table):
    data = crossings.lines(table, "energy_pj", "A", "store")
    axes = figures.plot(table.store, "sweep", x="A", y="energy_pj", by="store").axes[0]
    lines, dots = axes.lines[: len(data.kinds)], axes.lines[len(data.kinds) :]
    assert [line.get_label() for line in lines] == list(data.kinds)
    assert [list(line.get_ydata()) for line in lines] == data.values.tolist()
    assert all(tuple(line.get_xdata()) == data.x for line in lines)
    assert [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots] == [(one.x, one.y) for one in data.crossovers]
    assert data.crossovers


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", style.FIGURE_SUFFIXES)
def test_the_same_figure_gives_the_same_file(result, tmp_path: Path, suffix):
    for name in ("a", "b"):
        figures.save_figure(figures.plot(result, "breakdown"), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_commands_write_figures_and_say_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, held, figure = tmp_path / "spec.yaml", tmp_path / "result.json", tmp_path / "out.svg"
    spec.write_text(MATMUL)
    held.write_text(json.dumps(sl.evaluate(sl.load(spec)).to_dict()))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text("[1]")
    (tmp_path / "network.json").write_text('{"schema": "sparseloop.network/1"}')
    assert cli.main(["plot", str(spec), str(held), "-o", str(figure)]) == cli.OK
    assert "<svg" in figure.read_text()
    for arguments, message in (
        ([str(spec), "--kind", "breakdwon"], "did you mean 'breakdown'?"),
        ([str(spec), "--kind", "pareto"], "pareto cannot be drawn of results"),
        ([str(held), "--kind", "loopnest"], "a result file does not hold what a loopnest needs"),
        ([str(spec), "--by", "rank"], "energy cannot be split by 'rank'"),
        ([str(spec), "-o", "x.gif"], "-o/--output 'x.gif': the ending says no known format"),
        ([str(tmp_path / "broken.json"), str(tmp_path / "other.json")], "broken.json is no JSON"),
        ([str(tmp_path / "broken.json"), str(tmp_path / "other.json")], "other.json holds no result of this version"),
        ([str(tmp_path / "network.json")], "no result of this version (it has sparseloop.network/1)"),
        ([str(tmp_path)], "there is no study in the folder"),
        ([str(tmp_path / "missing.json")], "cannot read"),
    ):
        assert cli.main(["plot", *arguments, *(() if "-o" in arguments else ("-o", str(figure)))]) == cli.WRONG_INPUT
        assert message in capsys.readouterr().err


def test_a_figure_draws_itself_in_a_notebook(result: sl.Result) -> None:
    """Without pyplot, which alone would teach the notebook how."""
    drawn = sl.plot(result, "breakdown")._repr_png_()
    assert drawn[:4] == b"\x89PNG"
    assert int.from_bytes(drawn[16:20], "big") == style.COLUMN * style.NOTEBOOK_DPI
