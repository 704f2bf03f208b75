"""Runs an ONNX model on given inputs, once per sample, and counts the zeros of what goes into its products.

This is the only place that executes a model, and it does so only where the user gives inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparseloop.input.networks.onnx_file import Array, OnnxModel, onnx_package
from sparseloop.input.networks.onnx_graph import LoweredNode, OnnxOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationDensity:
    """Share of non-zeros over samples."""

    mean: float
    low: float
    """P10 over the samples."""
    high: float
    """P90 over the samples."""
    samples: int


def activation_densities(
    model: OnnxModel, lowered: Sequence[LoweredNode], inputs: str | Path, options: OnnxOptions
) -> dict[str, ActivationDensity]:  # fmt: skip
    """By name of a value that goes into a product: its share of non-zeros; values inside branches are not seen."""
    samples = _samples(model, inputs, options)
    made = {name for node in model.graph.node for name in node.output}
    wanted = {name: zero for node in lowered for name, zero in [activation_of(node)] if name in made or name in samples[0]}
    fetched = [name for name in wanted if name in made]
    session = _session(model, fetched)
    shares: dict[str, list[float]] = {name: [] for name in wanted}
    for sample in samples:
        try:
            results = dict(zip(fetched, session.run(fetched, sample), strict=True)) if fetched else {}
        except Exception as error:  # onnxruntime has its own kinds of errors
            raise model.mistake(f"the model cannot be run on {inputs}: {' '.join(str(error).split())}") from None
        for name, zero in wanted.items():
            values = results.get(name, sample.get(name))
            if values is not None and np.size(values):
                shares[name].append(float((np.asarray(values) != zero).mean()))
    return {
        name: ActivationDensity(
            mean=float(np.mean(found)),
            low=float(np.quantile(found, 0.1)),
            high=float(np.quantile(found, 0.9)),
            samples=len(found),
        )
        for name, found in shares.items()
        if found
    }


def activation_of(lowered: LoweredNode) -> tuple[str, Any]:
    """The name of the value that goes into a product (its I), and the number that stands for zero."""
    node, inputs = lowered.node, lowered.inputs
    place = 1 if inputs[0] is not None and inputs[0].data is not None and len(node.input) > 1 else 0
    zeros = {"ConvInteger": 2, "MatMulInteger": 2, "QLinearConv": 2, "QLinearMatMul": 2}
    at = zeros.get(node.op_type)
    zero = inputs[at] if at is not None and at < len(inputs) and place == 0 else None
    return node.input[place], 0 if zero is None or zero.data is None or zero.data.size != 1 else zero.data.reshape(())


def _samples(model: OnnxModel, file: str | Path, options: OnnxOptions) -> list[dict[str, Array]]:
    """The inputs of every run: arrays of the input's shape, or with the samples along an axis in front."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise model.mistake(f"cannot read the inputs {file}: {why}", "an .npz file with an array per input") from None
    kept = {tensor.name for tensor in model.graph.initializer}
    runs: list[dict[str, Array]] = []
    for value in model.graph.input:
        if value.name in kept:
            continue
        kind = onnx_package("onnx.helper").tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        rank = len(value.type.tensor_type.shape.dim)
        if value.name in options.values and value.name not in arrays:
            found = [np.full((1,) * rank, options.values[value.name], kind)]
        elif value.name not in arrays:
            raise model.mistake(f"{file} lacks the input '{value.name}'", f"it has {', '.join(arrays) or 'nothing'}")
        else:
            array = arrays[value.name].astype(kind)
            found = list(array) if array.ndim == rank + 1 else [array]
        runs = _joined(runs, value.name, found)
    return runs


def _joined(runs: list[dict[str, Array]], name: str, found: Sequence[Array]) -> list[dict[str, Array]]:
    """The runs with a further input; one array goes into all of them."""
    count = max(len(runs), len(found), 1)
    base = runs * count if len(runs) == 1 else runs or [{} for _ in range(count)]
    values = list(found) * count if len(found) == 1 else found
    return [{**run, name: value} for run, value in zip(base, values, strict=False)]


def _session(model: OnnxModel, names: Sequence[str]) -> Any:
    """A session that also gives the values named."""
    onnx, runtime = onnx_package(), onnx_package("onnxruntime")
    proto = onnx.load(model.file)
    if model.proto.functions or len(proto.functions):
        proto = onnx_package("onnx.inliner").inline_local_functions(proto)
    known = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has its own kinds of errors
        raise model.mistake(f"onnxruntime does not take the model: {str(error).splitlines()[0]}") from None


def densities_of_layers(lowered: Sequence[LoweredNode], found: Mapping[str, ActivationDensity]) -> list[ActivationDensity | None]:
    """Per layer what is known of its input; the state of a recurrent network has none."""
    per_layer: list[ActivationDensity | None] = []
    for node in lowered:
        one = found.get(activation_of(node)[0])
        per_layer += [None if layer.name.endswith(".state") else one for layer in node.layers]
    return per_layer
