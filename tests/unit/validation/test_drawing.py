"""Figures of validation targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparseloop.cli.app import main
from sparseloop.validation.drawing import draw_comparisons
from sparseloop.validation.records import PublishedFigure


def row(case: str, figure: str, published: float, ours: float, spread: tuple[float, float] | None = None) -> PublishedFigure:
    low, high = spread or (None, None)
    return PublishedFigure(case=case, figure=figure, published=published, ours=ours, low=low, high=high)


def test_a_panel_per_figure() -> None:
    rows = [row("a", "cycles", 1, 2), row("b", "cycles", 100, 90), row("a", "energy", 5, 4, (3, 6)), row("b", "energy", 6, 6)]
    axes = draw_comparisons(rows, "title").axes
    assert [one.get_title(loc="left") for one in axes] == ["cycles", "energy"]
    assert [one.get_xscale() for one in axes] == ["log", "linear"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["a", "b"]
    assert "P10 to P90" in axes[1].get_legend_handles_labels()[1]


def test_counts_that_agree_are_left_out() -> None:
    rows = [row("a", "cycles", 1, 2), row("a", "same", 15, 15), row("b", "same", 15, 15)]
    assert [one.get_title(loc="left") for one in draw_comparisons(rows, "title").axes] == ["cycles"]


def test_the_command_draws(tmp_path: Path) -> None:
    assert main(["validate", "dstc", "--plot", str(tmp_path / "plots")]) == 0
    assert "A 0.3, B 0.4" in (tmp_path / "plots" / "dstc.svg").read_text(encoding="utf-8")


def test_no_folder_to_draw_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["validate", "dstc", "--plot", str(tmp_path / "file" / "plots")]) == 2
    assert "--plot: cannot make" in capsys.readouterr().err


def test_panels_begin_at_zero_and_headings_fit() -> None:
    rows = [row("a", "speed", 0.85, 0.93), row("a", "cycles", 15e3, 21e3)]
    made = draw_comparisons(rows, "words " * 30)
    made.draw_without_rendering()
    assert [one.get_xlim()[0] for one in made.axes] == [0.0, 0.0]
    assert all(one.get_xlim()[1] > high for one, high in zip(made.axes, (0.93, 21e3), strict=True))
    assert made.axes[1].get_xticklabels()[1].get_text() == "5 k"
    assert made._suptitle.get_window_extent().width < made.bbox.width
