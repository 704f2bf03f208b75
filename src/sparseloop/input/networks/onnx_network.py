"""An ONNX file as a `NeuralNetwork`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sparseloop.input.networks.densities import density_note, fitted_density
from sparseloop.input.networks.layers import NetworkLayer, NeuralNetwork
from sparseloop.input.networks.onnx_file import OnnxModel, load_onnx
from sparseloop.input.networks.onnx_graph import GraphReader, LoweredNode, OnnxOptions
from sparseloop.input.networks.pruning import Pruning, pruned_layers


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
    for layer in named:
        _check_finite(layer, reader.model)
    less = _less_weights(named, reader.model, prune, notes) if prune is not None else named
    layers = tuple(_with_density(layer, notes) for layer in less)
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


def _check_finite(layer: NetworkLayer, model: OnnxModel) -> None:
    weights = layer.weights
    if weights is not None and weights.dtype.kind == "f" and not np.isfinite(weights).all():
        raise model.mistake(f"node '{layer.name}' ({layer.type}): its weights are not all finite numbers")


def _less_weights(
    layers: Sequence[NetworkLayer], model: OnnxModel, how: Pruning, notes: list[str]
) -> tuple[NetworkLayer, ...]:  # fmt: skip
    """The layers with pruned weights; those whose channels do not divide are noted."""
    stored = [layer for layer in layers if layer.weights is not None]
    chosen = [layer for layer in stored if how.selects(layer.name)]
    if not chosen:
        names = ", ".join(layer.name for layer in stored[:3])
        raise model.mistake(f"no layer with stored weights is called '{how.layers}'", f"layers: {names} ...")
    less = dict(zip((layer.name for layer in chosen), pruned_layers([layer.weights for layer in chosen], how), strict=True))
    notes += [f"{name}: not pruned, which needs {how.needs}" for name, weights in less.items() if weights is None]
    return tuple(layer if less.get(layer.name) is None else replace(layer, weights=less[layer.name]) for layer in layers)


def _with_density(layer: NetworkLayer, notes: list[str]) -> NetworkLayer:
    """The layer with the density of its weights, if they are stored; what is to be said about them is noted."""
    weights = layer.weights
    density = None if weights is None else fitted_density(weights)
    if weights is None or density is None:
        return layer
    notes.append(density_note(layer.name, weights, density))
    return replace(layer, density={**layer.density, "W": density})


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
