"""SCNN's speed on a network: vectors of four, planes over the PEs, groups of output channels, and the slowest PE of a group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from sparseloop.model.barriers import largest_normal
from sparseloop.model.density import Occupancy, Uniform
from sparseloop.validation.shipped import table

SIDE = 8
"""PEs along a side of the array."""
VECTOR = 4
"""Activations, and weights, taken at once."""
SUMS = 1024
"""Words of accumulators of a PE: as many output channels are a group as have room with their halo."""


class ConvLayer(NamedTuple):
    """A convolution with stride 1: side of its plane, input and output channels, side of its filter."""

    side: int
    inputs: int
    outputs: int
    filter: int


class Part(NamedTuple):
    """A PE's part of the plane, and the number of PEs with such a part."""

    words: int
    pes: int


@cache
def inception_layers() -> tuple[ConvLayer, ...]:
    """The 54 convolutions of GoogLeNet's inception modules (Szegedy et al., CVPR 2015, table 1)."""
    return tuple(layer for module in table("scnn_googlenet") for layer in _module(module))


def _module(module: dict[str, str]) -> Iterator[ConvLayer]:
    side, channels = int(module["side"]), int(module["channels"])
    width = {name: int(module[name]) for name in ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool")}
    for name in ("1x1", "3x3_reduce", "5x5_reduce", "pool"):
        yield ConvLayer(side, channels, width[name], 1)
    yield ConvLayer(side, width["3x3_reduce"], width["3x3"], 3)
    yield ConvLayer(side, width["5x5_reduce"], width["5x5"], 5)


def largest_part(layer: ConvLayer) -> Part:
    """The plane is dealt out as evenly as rows and columns allow; of 7 x 7 every PE has one word, or none."""
    rows, more = divmod(layer.side, SIDE)
    return Part((rows + 1) ** 2, more**2) if more else Part(rows**2, SIDE**2)


def sparse_cycles(layer: ConvLayer, density: float) -> float:
    """Sum over groups of E[slowest PE: sum over channels of ceil(kI / 4)] E[ceil(kW / 4)].

    kI, kW: non-zeros of a PE's activations of a channel, and of a group's weights for it, from the density model; PEs wait for
    each other at the end of a group, when they exchange halos. Many channels add up to a nearly normal number.
    """
    part = largest_part(layer)
    plane = Uniform((layer.inputs, layer.side, layer.side), density).occupancy(part.words, (1, part.words, 1))
    mean, variance = _vectors(plane)
    lag = largest_normal(part.pes) if part.pes > 1 else 0.0
    slowest = layer.inputs * mean + lag * math.sqrt(layer.inputs * variance)
    size = min(layer.outputs, SUMS // (math.isqrt(part.words) + layer.filter - 1) ** 2)
    weights = Uniform((layer.outputs * layer.inputs, layer.filter**2), density)
    groups = ((size, layer.outputs // size), (layer.outputs % size, 1))
    vectors = sum(
        times * _vectors(weights.occupancy(channels * layer.filter**2, (channels, layer.filter**2)))[0]
        for channels, times in groups
        if channels
    )
    return slowest * vectors


def _vectors(nonzeros: Occupancy) -> tuple[float, float]:
    """Mean and variance of the number of vectors that so many non-zeros fill."""
    vectors = np.ceil(nonzeros.values / VECTOR)
    mean = float(vectors @ nonzeros.weights)
    return mean, max(0.0, float(vectors**2 @ nonzeros.weights) - mean**2)


def dense_cycles(layer: ConvLayer) -> float:
    """Dot products on as many multipliers, planes dealt out alike: all multipliers of the PE with the largest part are in use."""
    return largest_part(layer).words * layer.inputs * layer.outputs * layer.filter**2 / VECTOR**2


def network_speed(density: float) -> float:
    """Cycles of the dense machine over those of the sparse one, all layers together, both operands of one density."""
    layers = inception_layers()
    return sum(map(dense_cycles, layers)) / sum(sparse_cycles(layer, density) for layer in layers)
