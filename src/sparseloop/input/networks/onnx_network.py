"""An ONNX file as a `NeuralNetwork`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sparseloop.input.networks.densities import Pruning, density_note, fitted_density, pruned
from sparseloop.input.networks.layers import NetworkLayer, NeuralNetwork
from sparseloop.input.networks.onnx_file import OnnxModel, load_onnx
from sparseloop.input.networks.onnx_graph import GraphReader, LoweredNode, OnnxOptions


def read_onnx(
    file: str | Path, options: OnnxOptions | None = None, *, prune: Pruning | None = None, inputs: str = ""
) -> NeuralNetwork:  # fmt: skip
    """The products of a model as layers, in its order, and all that is no product; raises `SpecError`.

    The zeros of stored weights are measured, after they are pruned if that is asked for; those of activations only with `inputs`
    (an .npz file), on which the model, as it is stored, is run once per sample.
    """
    reader = GraphReader(load_onnx(file), options or OnnxOptions())
    reader.read()
    named = distinct_names([layer for lowered in reader.lowered for layer in lowered.layers])
    notes = list[str]()
    layers = tuple(_with_density(layer, reader.model, prune, notes) for layer in named)
    if inputs:
        layers = _with_activations(layers, reader, inputs, notes)
    if not layers:
        raise reader.model.mistake("the model has no product whose shapes are known")
    return NeuralNetwork(
        name=Path(file).stem,
        layers=layers,
        others=tuple(reader.others.values()),
        other_parameters=reader.other_parameters,
        source=str(file),
        notes=tuple(notes),
    )


def _with_activations(
    layers: Sequence[NetworkLayer], reader: GraphReader, inputs: str, notes: list[str]
) -> tuple[NetworkLayer, ...]:  # fmt: skip
    """The layers with the measured density of what goes into them."""
    from sparseloop.input.networks.onnx_run import activation_densities, densities_of_layers  # nothing is run without inputs

    found = activation_densities(reader.model, reader.lowered, inputs, reader.options)
    changed = list[NetworkLayer]()
    for layer, one in zip(layers, densities_of_layers(reader.lowered, found), strict=True):
        if one is None or one.mean == 1.0:
            changed.append(layer)
            continue
        notes.append(
            f"{layer.name}: inputs {one.mean:.3g} non-zero (P10 {one.low:.3g}, P90 {one.high:.3g}, {one.samples} samples)"
        )
        changed.append(replace(layer, density={**layer.density, "I": {"density": round(one.mean, 6)}}))
    return tuple(changed)


def _with_density(layer: NetworkLayer, model: OnnxModel, prune: Pruning | None, notes: list[str]) -> NetworkLayer:
    """The layer with the density of its weights, if they are stored; what is to be said about them is noted."""
    weights = layer.weights
    if weights is None:
        return layer
    if weights.dtype.kind == "f" and not np.isfinite(weights).all():
        raise model.mistake(f"node '{layer.name}' ({layer.type}): its weights are not all finite numbers")
    if prune is not None:
        less = pruned(weights, prune)
        if less is None:
            notes.append(f"{layer.name}: not pruned, its {layer.shape['c']} input channels do not divide evenly")
        weights = weights if less is None else less
    density = fitted_density(weights)
    if density is None:
        return replace(layer, weights=weights)
    notes.append(density_note(layer.name, weights, density))
    return replace(layer, weights=weights, density={**layer.density, "W": density})


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
