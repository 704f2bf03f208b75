"""Densities of weights: exact models recognised, empty tiles, pruning by magnitude; by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparseloop.input.networks.densities import empty_tiles, fitted_density
from sparseloop.input.networks.pruning import Pruning, parse_pruning, pruned, pruned_layers


def weights(*shape: int) -> Any:
    return np.random.default_rng(7).standard_normal(shape)


def test_dense_weights_have_no_density() -> None:
    assert fitted_density(weights(1, 8, 8, 3, 3)) is None


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (2, 8)])
def test_n_of_m_along_input_channels(n: int, m: int) -> None:
    less = pruned(weights(1, 6, 16, 3, 3), Pruning(n=n, m=m))
    assert less is not None
    assert fitted_density(less) == {"model": "structured", "n": n, "m": m, "rank": "c"}


def test_the_largest_of_each_group_stay() -> None:
    given = np.array([0.1, -3.0, 2.0, 0.5, 4.0, 0.0, 0.0, -1.0]).reshape(1, 1, 8, 1, 1)
    less = pruned(given, Pruning(n=2, m=4))
    assert less is not None
    assert less.ravel().tolist() == [0, -3, 2, 0, 4, 0, 0, -1]
    assert pruned(given[:, :, :6], Pruning(n=2, m=4)) is None


def test_blocks() -> None:
    less = pruned(weights(1, 16, 16, 1, 1), parse_pruning("4x4:0.25"))
    assert less is not None
    assert fitted_density(less) == {"model": "block", "density": 0.25, "block": {"m": 4, "c": 4}}
    assert pruned(weights(1, 6, 16, 1, 1), parse_pruning("4x4:0.25")) is None


def test_a_share_of_the_weights() -> None:
    less = pruned(weights(2, 10, 10, 3, 3), parse_pruning("0.3"))
    assert less is not None
    assert fitted_density(less) == {"density": pytest.approx(0.3)}
    assert np.abs(less[less != 0]).min() >= np.abs(weights(2, 10, 10, 3, 3)[less == 0]).max()


@pytest.mark.parametrize("how", ["0.3", "2x2:0.3"])
def test_a_share_of_all_layers_together(how: str) -> None:
    """One threshold for all: of two layers, one ten times as large, the large one keeps what is kept."""
    small, large, odd = weights(1, 10, 10, 1, 1), 10 * weights(1, 10, 10, 1, 1), weights(1, 5, 5, 1, 1)
    apart = pruned_layers([small, large], parse_pruning(how))
    assert [round(float((one != 0).mean()), 1) for one in apart if one is not None] == [0.3, 0.3]
    kept = pruned_layers([small, large], parse_pruning(how, across=True))
    shares = [float((one != 0).mean()) for one in kept if one is not None]
    assert sum(shares) == pytest.approx(0.6)
    assert shares[0] < 0.1 < 0.5 < shares[1]
    assert (pruned_layers([small, odd], parse_pruning(how, across=True))[1] is None) is (how != "0.3")


@pytest.mark.parametrize(("rank", "axis"), [("m", 1), ("c", 2)])
def test_channels_with_densities_of_their_own(rank: str, axis: int) -> None:
    """A quarter of the channels has ten times as many non-zeros as the others: their tiles are empty less often."""
    dice = np.random.default_rng(3)
    shares = np.expand_dims(np.where(np.arange(64) % 4 == 0, 0.6, 0.06), [at for at in range(5) if at != axis])
    less = np.where(dice.random((1, 64, 64, 3, 3)) < shares, 1.0, 0.0)
    found = fitted_density(less)
    assert (found["model"], found["rank"]) == ("rows", rank)
    assert found["density"] == pytest.approx(0.195, abs=0.01)
    assert found["variation"] == pytest.approx(1.2, abs=0.1)  # 0.234 / 0.195
    assert fitted_density(np.concatenate([less, less])) == {"density": pytest.approx(found["density"])}  # groups: one for all


def test_empty_tiles_along_each_rank() -> None:
    full = np.zeros((1, 8, 16, 1, 1))
    full[:, 0] = 1  # one output channel of eight: no tile along m is empty, seven of eight along c are
    along = {one.rank: one for one in empty_tiles(full)}
    assert (along["m"].measured, along["c"].measured) == (0.0, 7 / 8)
    # 112 zeros of 128 words: 112/128 * 111/127 * ... * 105/121
    assert along["c"].uniform == pytest.approx(np.prod([(112 - i) / (128 - i) for i in range(8)]))


@pytest.mark.parametrize("text", ["4:2", "0:4", "often", "0x4:0.5", "1.5", "4x4"])
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_pruning(text)
