"""An ONNX file as a `NeuralNetwork`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sparseloop.input.networks.layers import NetworkLayer, NeuralNetwork
from sparseloop.input.networks.onnx_file import load_onnx
from sparseloop.input.networks.onnx_graph import GraphReader, LoweredNode, OnnxOptions


def read_onnx(file: str | Path, options: OnnxOptions | None = None) -> NeuralNetwork:
    """The products of a model as layers, in its order, and all that is no product; raises `SpecError`."""
    reader = GraphReader(load_onnx(file), options or OnnxOptions())
    reader.read()
    layers = distinct_names([layer for lowered in reader.lowered for layer in lowered.layers])
    if not layers:
        raise reader.model.mistake("the model has no product whose shapes are known")
    return NeuralNetwork(
        name=Path(file).stem,
        layers=layers,
        others=tuple(reader.others.values()),
        other_parameters=reader.other_parameters,
        source=str(file),
    )


def lowered_nodes(file: str | Path, options: OnnxOptions | None = None) -> list[LoweredNode]:
    """The nodes of a model that are products, each with its layers."""
    reader = GraphReader(load_onnx(file), options or OnnxOptions())
    reader.read()
    return reader.lowered


def distinct_names(layers: Sequence[NetworkLayer]) -> tuple[NetworkLayer, ...]:
    """The layers with names of their own: the second 'conv' becomes 'conv-2'."""
    taken, result = set[str](), list[NetworkLayer]()
    for layer in layers:
        name, number = layer.name, 1
        while name in taken:
            number += 1
            name = f"{layer.name}-{number}"
        taken.add(name)
        result.append(replace(layer, name=name))
    return tuple(result)
