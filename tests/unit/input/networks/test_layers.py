"""The einsum of a layer, its sizes and what meets padding, by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import sparseloop as sl
from sparseloop.evaluation.evaluate import design_of
from sparseloop.input.networks.layers import (
    POINT,
    ConvolutionSize,
    MatrixSize,
    NetworkLayer,
    Window,
    convolution,
    convolved,
    matrix_product,
)


def test_a_convolution_with_stride_and_padding() -> None:
    window = convolved(224, 7, stride=2, padding=3)
    layer = convolution("conv1", ConvolutionSize(inputs=3, outputs=64), (window, window))
    assert layer.einsum == "O[n,g,m,p,q] = I[n,g,c,2*p+r-3,2*q+s-3] * W[g,m,c,r,s]"
    assert layer.to_data()["extent"] == {"I": {"p": 224, "q": 224}}
    assert layer.shape == {"n": 1, "g": 1, "m": 64, "c": 3, "p": 112, "q": 112, "r": 7, "s": 7}
    assert (layer.words("I"), layer.words("W"), layer.words("O")) == (3 * 224**2, 64 * 3 * 49, 64 * 112**2)
    assert layer.multiplications == 64 * 3 * 49 * 112**2


def test_places_of_the_kernel_that_meet_padding() -> None:
    # 4 words, kernel 3, one word of padding on each side: the first and the last place see 2 words, the others 3
    window = convolved(4, 3, padding=1)
    assert (window.outputs, window.meets_data, window.padded) == (4, 2 + 3 + 3 + 2, True)
    layer = convolution("conv", ConvolutionSize(inputs=1, outputs=1), (window, window))
    assert layer.padding_share == pytest.approx(1 - (10 / 12) ** 2)
    assert not convolved(4, 3).padded


def test_a_stride_that_leaves_the_padding_behind_unused() -> None:
    window = Window(inputs=4, outputs=2, kernel=2, stride=2, before=0)
    assert (window.meets_data, window.padded) == (4, False)


def test_padding_behind_the_data_alone_needs_no_constant() -> None:
    window = Window(inputs=4, outputs=2, kernel=3, stride=2)
    layer = convolution("conv", ConvolutionSize(inputs=1, outputs=1), (window, POINT))
    assert layer.einsum == "O[n,g,m,p,q] = I[n,g,c,2*p+r,q+s] * W[g,m,c,r,s]"
    assert layer.extent == {"I": {"p": 4}}


def test_a_network_counts_the_true_words_of_its_inputs() -> None:
    window = convolved(8, 3, padding=1)
    levels = [{"name": "DRAM", "class": "dram"}, {"name": "MAC", "class": "mac"}]
    data = convolution("conv", ConvolutionSize(inputs=2, outputs=2), (window, window)).to_data()
    spec = sl.loads(json.dumps({"workload": data, "architecture": {"levels": levels}}))
    einsum = design_of(spec).einsum
    assert einsum.true_shape(einsum.tensors[0]) == (1, 1, 2, 8, 8)


def test_groups_one_axis_and_dilation() -> None:
    window = convolved(20, 3, dilation=2)
    layer = convolution("conv", ConvolutionSize(inputs=8, outputs=16, groups=4), [window], bias=True)
    assert layer.einsum == "O[n,g,m,p,q] = I[n,g,c,p+2*r,q+s] * W[g,m,c,r,s]"
    assert layer.shape == {"n": 1, "g": 4, "m": 4, "c": 2, "p": 16, "q": 1, "r": 3, "s": 1}
    assert layer.parameters == 16 * 2 * 3 + 16


def test_three_axes_get_ranks_of_their_own() -> None:
    deep = Window(inputs=5, outputs=3, kernel=3)
    layer = convolution("conv", ConvolutionSize(inputs=2, outputs=2), (deep, deep, deep))
    assert layer.einsum == "O[n,g,m,o,p,q] = I[n,g,c,o+t,p+r,q+s] * W[g,m,c,t,r,s]"
    assert layer.multiplications == 4 * 27 * 27


def test_strides_of_a_transposed_convolution_stand_in_the_result() -> None:
    window = Window(inputs=9, outputs=4, kernel=3, stride=2)
    layer = NetworkLayer(
        name="up", type="conv", windows=(window, window), transposed=True,
        shape={"n": 1, "g": 1, "m": 2, "c": 3, "p": 4, "q": 4, "r": 3, "s": 3},
    )  # fmt: skip
    assert layer.einsum == "O[n,g,m,2*p+r,2*q+s] = I[n,g,c,p,q] * W[g,m,c,r,s]"
    assert (layer.words("I"), layer.words("O")) == (3 * 16, 2 * 81)
    assert layer.extent == {}
    cut = Window(inputs=8, outputs=4, kernel=3, stride=2, before=1)
    layer = replace(layer, windows=(cut, cut))
    assert layer.einsum == "O[n,g,m,2*p+r-1,2*q+s-1] = I[n,g,c,p,q] * W[g,m,c,r,s]"
    assert layer.extent == {"O": {"p": 8, "q": 8}}
    assert layer.words("O") == 2 * 64


def test_a_batch_of_products() -> None:
    layer = matrix_product("scores", MatrixSize(rows=5, inner=3, columns=7, batch=2), stored=False)
    assert layer.shape == {"n": 1, "g": 2, "m": 7, "c": 3, "p": 5, "q": 1, "r": 1, "s": 1}
    assert (layer.words("I"), layer.words("W"), layer.words("O"), layer.parameters) == (30, 42, 70, 0)
    assert matrix_product("fc", MatrixSize(rows=1, inner=3, columns=7), bias=True).parameters == 28
