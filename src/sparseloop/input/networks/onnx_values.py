"""What is known of the values of an ONNX graph: shape, type, and the numbers where they follow from stored ones.

Nodes are looked at in order. One whose inputs are all known is folded, by the reference implementation of its operator in NumPy;
the shapes of the others are inferred by the package onnx, with the few numbers that are known by then (sizes for a Reshape, ends
of a Slice). So folding and inference take turns at every node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from sparseloop.input.networks.onnx_file import Array, OnnxModel, onnx_package

FOLDED = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "BitShift",
        "Cast",
        "CastLike",
        "Ceil",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "CumSum",
        "DequantizeLinear",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "GatherND",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "IsNaN",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "NonZero",
        "Not",
        "OneHot",
        "Or",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "Range",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Reshape",
        "Round",
        "ScatterElements",
        "ScatterND",
        "Shape",
        "Sign",
        "Size",
        "Slice",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tile",
        "TopK",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        "Xor",
    ]
)
"""Operators that are computed if all their inputs are known."""
_LARGEST_FOLDED = 2**28
"""Most words of a folded result; larger ones keep their shape only."""
_LARGEST_PASSED = 1024
"""Most words of known numbers that inference is told."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Known:
    """What is known of one value."""

    shape: tuple[int, ...] | None = None
    """None: not known."""
    type: int = 1
    """Type of an element, by ONNX's number."""
    data: Array | None = None
    """The numbers, if they follow from what is stored."""
    bits: int | None = None
    """Of a value that was quantized: the width of what is stored."""
    zero: int = 0
    """The number that stands for zero."""

    @property
    def words(self) -> int:
        """Number of elements; 0 if it is not known."""
        return math.prod(self.shape) if self.shape is not None else 0


def known_data(data: Array, type: int | None = None) -> Known:
    """A value whose numbers are known."""
    number = type or onnx_package("onnx.helper").np_dtype_to_tensor_dtype(data.dtype)
    return Known(shape=tuple(int(size) for size in data.shape), type=number, data=data)


@final
class NodeKnowledge:
    """Folds and infers single nodes of one model."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        helper = onnx_package("onnx.helper")
        self._opsets = [helper.make_opsetid(domain, version) for domain, version in model.opsets.items()]

    def outputs(self, node: Any, inputs: Sequence[Known | None]) -> list[Known]:
        """What is known of the outputs of a node, from what is known of its inputs (None: left out)."""
        if node.op_type == "Shape" and inputs[0] is not None and inputs[0].shape is not None:
            return [known_data(np.array(inputs[0].shape, np.int64)[_span(node)])]
        if node.op_type == "Size" and inputs[0] is not None and inputs[0].shape is not None:
            return [known_data(np.array(inputs[0].words, np.int64))]
        known = [value for value in inputs if value is not None]
        inferred = self._inferred(node, inputs)
        small = all(one.shape is None or one.words <= _LARGEST_FOLDED for one in inferred)
        if node.op_type in FOLDED and node.domain in ("", "ai.onnx") and small and all(one.data is not None for one in known):
            folded = self._folded(node, inputs)
            if folded is not None:
                return folded
        return [_still_quantized(node, known, one) for one in inferred]

    def _folded(self, node: Any, inputs: Sequence[Known | None]) -> list[Known] | None:
        if node.op_type == "DequantizeLinear":
            return [_dequantized(node, [value.data if value else None for value in inputs], inputs[0])]
        feeds = {name: value.data for name, value in zip(node.input, inputs, strict=False) if value is not None}
        try:
            reference = onnx_package("onnx.reference").ReferenceEvaluator(self._graph(node, inputs, with_data=False))
            results = reference.run(None, feeds)
        except Exception:  # whatever the reference cannot do: the shape may follow all the same
            return None
        folded = [known_data(np.asarray(result)) for result in results]
        source = inputs[0] if inputs else None
        if (
            source is not None
            and source.bits
            and node.op_type in ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Flatten")
        ):
            return [Known(shape=one.shape, type=one.type, data=one.data, bits=source.bits) for one in folded]
        return folded

    def _inferred(self, node: Any, inputs: Sequence[Known | None]) -> list[Known]:
        """Shapes and types by the package onnx; unknown where it refuses."""
        onnx = onnx_package()
        names = [name for name in node.output if name]
        try:
            graph = self._graph(node, inputs, with_data=True)
            inferred = onnx_package("onnx.shape_inference").infer_shapes(graph, data_prop=True)
        except Exception:  # operators of other makers, and shapes that contradict the operator
            return [Known() for _ in names]
        found = {value.name: value.type.tensor_type for value in inferred.graph.output}
        results = list[Known]()
        for name in names:
            kind = found.get(name)
            whole = kind is not None and kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim)
            shape = tuple(dim.dim_value for dim in kind.shape.dim) if kind is not None and whole else None
            results.append(Known(shape=shape, type=kind.elem_type if kind is not None else onnx.TensorProto.UNDEFINED))
        return results

    def _graph(self, node: Any, inputs: Sequence[Known | None], *, with_data: bool) -> Any:
        """A model of this node alone."""
        onnx, helper = onnx_package(), onnx_package("onnx.helper")
        given, stored = dict[str, Any](), list[Any]()
        for name, value in zip(node.input, inputs, strict=False):
            if value is None or name in given:
                continue
            given[name] = helper.make_tensor_value_info(name, value.type or 1, value.shape)
            data = value.data
            if with_data and data is not None and data.dtype.kind in "iubf" and data.size <= _LARGEST_PASSED:
                stored.append(onnx_package("onnx.numpy_helper").from_array(np.array(data, order="C"), name))
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], "node", list(given.values()), outputs, initializer=stored)
        return helper.make_model(graph, opset_imports=self._opsets, ir_version=8)


def _dequantized(node: Any, inputs: Sequence[Array | None], stored: Known | None) -> Known:
    """(value - zero) * scale: of the whole, along an axis, or of blocks along it; the reference lacks older versions."""
    given = {attribute.name: attribute.i for attribute in node.attribute}
    value, scale = np.asarray(inputs[0]), np.asarray(inputs[1])
    zero = inputs[2] if len(inputs) > 2 else None
    axis, block = given.get("axis", 1), given.get("block_size", 0)

    def aligned(array: Array) -> Array:
        if block:
            return np.repeat(array, block, axis)[tuple(slice(size) for size in value.shape)]
        return (
            array.reshape([-1 if i == axis % max(1, value.ndim) else 1 for i in range(value.ndim)]) if array.size > 1 else array
        )

    whole = value.astype(np.float32) - (0 if zero is None else aligned(np.asarray(zero)).astype(np.float32))
    data = (whole * aligned(scale).astype(np.float32)).astype(scale.dtype)
    return replace(known_data(data.reshape(value.shape)), bits=element_bits(stored.type) if stored else None)


def _span(node: Any) -> slice:
    """The axes that a Shape is asked for."""
    given = {attribute.name: attribute.i for attribute in node.attribute}
    return slice(given.get("start", 0), given.get("end"))


_KEEP_BITS = frozenset(
    [
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Flatten",
        "MaxPool",
        "Concat",
        "Slice",
        "Pad",
        "Gather",
        "Expand",
        "Dropout",
    ]
)


def _still_quantized(node: Any, inputs: Sequence[Known], result: Known) -> Known:
    """The width of quantized values stays with what only moves them."""
    if node.op_type == "DequantizeLinear" and inputs:
        return Known(shape=result.shape, type=result.type, bits=element_bits(inputs[0].type))
    if node.op_type in _KEEP_BITS and inputs and inputs[0].bits:
        return Known(shape=result.shape, type=result.type, bits=inputs[0].bits)
    return result


def element_bits(type: int) -> int | None:
    """Width of an element type; None if it has no fixed one."""
    name = onnx_package().TensorProto.DataType.Name(type)
    digits = {"FLOAT": 32, "DOUBLE": 64, "BOOL": 1}
    if name in digits:
        return digits[name]
    found = [bits for text, bits in (("64", 64), ("32", 32), ("16", 16), ("8", 8), ("4", 4)) if text in name]
    return 8 if name.startswith("FLOAT8") else found[0] if found else None
