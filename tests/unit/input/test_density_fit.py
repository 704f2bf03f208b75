"""Models fitted to given data: synthetic tensors have the model that they were drawn from; what is written is the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.cli.app import main
from sparseloop.input.densities.fit import fit_density, tile_shapes
from sparseloop.model.density import (
    Actual,
    Block,
    CellGrid,
    CellModel,
    Clustered,
    Coordinates,
    Hierarchical,
    Layered,
    Rows,
    Uniform,
    load_data,
)

DICE = np.random.default_rng(7)
DATA = Path(__file__).parents[4] / "shared" / "data"


def drawn(model: CellModel | Uniform) -> np.ndarray:
    pattern = model.drawn(np.random.default_rng(7))
    assert pattern is not None
    return pattern


@pytest.mark.parametrize(
    ("model", "begins"),
    [
        (Uniform((64, 64), 0.2), "0.2"),
        (Hierarchical((32, 64), ((2, 4),), 1), "2:4 k"),
        (Hierarchical((64, 32), ((1, 4),), 0), "1:4 m"),
        (Hierarchical((32, 128), ((4, 8), (2, 4)), 1), "4:8 over 2:4 k"),
        (Layered((64, 64), (CellGrid((16, 16), ((64, 1.0),)), CellGrid((4, 4), ((16, 1.0),)))), "4x4 0.25"),
        (Layered((64, 64), (CellGrid((16, 16), ((64, 1.0),)), CellGrid((4, 4), ((8, 1.0),)))), "{model: block, block: [4, 4]"),
        (Rows((256, 64), (0,), ((2, 0.5), (40, 0.5))), "{model: rows, rank: m, histogram: {2:"),
        (Rows.of_density((512, 64), (0,), 0.3, variation=0.7), ""),
        (Clustered((128, 128), (8, 8), 0.4, 0.4), "clustered 8x8 0.4"),
    ],
)
def test_a_drawn_tensor_has_its_model(model: CellModel | Uniform, begins: str) -> None:
    fit = fit_density(drawn(model))
    assert fit.best.text.startswith(begins)
    assert fit.best.mean_error < 0.03  # one draw of a random tensor is not its mean
    if isinstance(model, Rows):
        assert isinstance(fit.best.model, Rows)


def test_what_is_written_is_the_model() -> None:
    """The line, pasted into a specification, is the model that was judged."""
    text = """
workload: {{einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {{m: 64, n: 2, k: 48}}, density: {{A: {density}}}}}
architecture: {{levels: [{{name: L0, class: buffer}}, {{name: MAC, class: mac}}]}}
mapping: [{{L0: for m=64 n=2 k=48}}]
"""
    fit = fit_density(drawn(Clustered((64, 48), (4, 4), 0.2, 0.5)))
    assert {type(one.model) for one in fit.models} == {Uniform, Block, Rows, Clustered}
    for one in fit.models:
        read = sl.design_of(sl.loads(text.format(density=one.text))).einsum.tensor("A").density
        for extents in ((1, 1), (4, 4), (8, 3), (64, 1), (1, 48)):
            size = extents[0] * extents[1]
            assert read.empty(size, extents) == pytest.approx(float(one.model.empty(size, extents)), abs=1e-9), one.text


def test_errors_are_those_of_the_tiles() -> None:
    pattern = drawn(Rows((32, 16), (0,), ((0, 0.5), (8, 0.5))))
    fit = fit_density(Coordinates.of_pattern(pattern), ranks=("a", "b"))
    tiles, given = tile_shapes((32, 16)), Actual(pattern)
    assert fit.tiles == len(tiles)
    assert (1, 1) not in tiles
    assert (4, 16) in tiles
    for one in fit.models:
        errors = [abs(float(one.model.empty(a * b, (a, b))) - float(given.empty(a * b, (a, b)))) for a, b in tiles]
        assert one.mean_error == pytest.approx(np.mean(errors))
        assert one.worst_error == pytest.approx(max(errors))
    assert any(one.text.startswith("{model: rows, rank: a") for one in fit.models)
    assert [one.mean_error for one in fit.models[1:]] == sorted(one.mean_error for one in fit.models[1:])


@pytest.mark.parametrize("pattern", [np.zeros((4, 4)), np.ones((4, 4)), np.ones(1), np.array([0, 1, 1])])
def test_small_and_plain_tensors(pattern: np.ndarray) -> None:
    assert fit_density(pattern).models


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    np.savez(tmp_path / "w.npz", first=np.ones((4, 4)), second=drawn(Hierarchical((8, 64), ((2, 4),), 1)))
    assert main(["density", str(tmp_path / "w.npz"), "--array", "second", "--ranks", "c,r"]) == 0
    shown = capsys.readouterr().out
    assert "w.npz: 8x64, 256 non-zeros, density 0.5" in shown
    assert shown.endswith("density: {A: 2:4 r}\n")
    assert main(["density", str(tmp_path / "w.npz"), "--array", "second", "-f", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"] == found["models"][0]["density"] == "2:4 k"
    assert main(["density", str(tmp_path / "w.npz"), "--array", "second", "-f", "csv"]) == 0
    assert capsys.readouterr().out.startswith("density,mean_error,worst_error,worst_tile,measured,predicted\n2:4 k,0.0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ranks", "a,b,c"), "one for each of the 2 axes"),
        (("--shape", "4xq"), "--shape 4xq"),
        (("--array", "x"), "no named arrays"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "w.npy", np.eye(4))
    assert main(["density", str(tmp_path / "w.npy"), *arguments]) == 2
    assert message in capsys.readouterr().err


# --- the advice on real tensors, which are not part of the project ------------------------------------------


def real(name: str, read: Callable[[Path], np.ndarray | Coordinates]) -> np.ndarray | Coordinates:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there: real tensors are not part of the project")
    return read(DATA / name)


@pytest.mark.parametrize(
    ("name", "shape", "better"),
    [
        ("L07_iacts", (1024, 64), 4.0),
        ("L19_iacts", (64, 256), 3.0),
        ("L20_iacts", (64, 256), 1.5),
        ("L23_iacts", (64, 256), 4.0),
        ("L27_weights", (512, 512), 3.0),
    ],
)
def test_advice_on_masks_of_networks(name: str, shape: tuple[int, int], better: float) -> None:
    """The model that is advised predicts the share of empty tiles so many times better than uniform zeros."""
    fit = fit_density(real(f"masks/{name}.txt", lambda file: load_data(file, shape=shape, order="last_fastest")))
    uniform = next(one for one in fit.models if isinstance(one.model, Uniform))
    assert fit.best.mean_error * better < uniform.mean_error


def test_two_axes_of_one_rank_are_refused() -> None:
    with pytest.raises(ValueError, match="ranks m, m: every axis needs a rank of its own"):
        fit_density(np.eye(4), ranks=("m", "m"))


@pytest.mark.parametrize(("shape", "density"), [((130, 130), 0.02), ((64, 32, 3, 3), 0.2)])
def test_tiles_that_the_end_of_an_axis_cuts_are_no_pattern(shape: tuple[int, ...], density: float) -> None:
    """Of uniform data the measured share of empty tiles has small tiles in it, and so has the predicted one."""
    fit = fit_density(np.random.default_rng(0).random(shape) < density)
    assert isinstance(fit.best.model, Uniform)
    assert fit.best.mean_error < 0.02
