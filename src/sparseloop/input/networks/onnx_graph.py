"""Walks an ONNX graph in order: what is known of every value, the layers of every product, and what is no product.

An `If` is entered where its condition is known, a `Loop` where its count is. Free axes are asked for, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

from sparseloop.input.diagnostics import did_you_mean
from sparseloop.input.networks.layers import NetworkLayer, OtherOperation, sizes_hint
from sparseloop.input.networks.onnx_file import OnnxModel, onnx_package
from sparseloop.input.networks.onnx_products import PRODUCTS, ProductNode, Refused, attributes_of
from sparseloop.input.networks.onnx_values import Known, NodeKnowledge, known_data

Scope = dict[str, Known]

_MOVES = frozenset(
    [
        "Constant",
        "Identity",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Shape",
        "Size",
        "Cast",
        "Dropout",
        "If",
        "Loop",
        "Scan",
        "Transpose",
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
    ]
)
"""Operators that only move values, or say what they are."""
_SAME_SHAPE = frozenset(
    [
        "BiasGelu",
        "FastGelu",
        "Gelu",
        "QuickGelu",
        "QLinearLeakyRelu",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "SkipLayerNormalization",
        "LayerNormalization",
        "SimplifiedLayerNormalization",
        "SkipSimplifiedLayerNormalization",
        "RotaryEmbedding",
    ]
)
_BROADCAST = {"QLinearAdd": (0, 3), "QLinearMul": (0, 3)}
_ALIKE = {"FusedConv": "Conv", "FusedGemm": "Gemm", "DynamicQuantizeMatMul": "MatMul", "MatMulIntegerToFloat": "MatMul"}
"""Operators of other makers whose results have the shape of one that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOptions:
    """What a model leaves open."""

    dims: Mapping[str, int] = field(default_factory=dict[str, int])
    """Sizes of free axes; one without a name is called INPUT.POSITION."""
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    """Numbers of inputs that decide on branches."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Shapes seen in a run, where inference refuses."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LoweredNode:
    """A node that is a product, with its layers and all that is known of its values."""

    node: Any
    inputs: Sequence[Known | None]
    layers: tuple[NetworkLayer, ...]


@final
class GraphReader:
    """One walk through a model."""

    def __init__(self, model: OnnxModel, options: OnnxOptions) -> None:
        self.model, self.options = model, options
        self.knowledge = NodeKnowledge(model)
        self.lowered: list[LoweredNode] = []
        self.others: dict[tuple[str, str], OtherOperation] = {}
        self.other_parameters = 0
        self._counted = set[str]()

    def read(self) -> None:
        """Walks the outermost graph; raises `SpecError`."""
        scope = self._stored(self.model.graph, {})
        scope |= self._inputs({tensor.name for tensor in self.model.graph.initializer})
        self._walk(self.model.graph, scope, 1)

    # --- what goes in ---------------------------------------------------------------------------------------

    def _stored(self, graph: Any, scope: Scope) -> Scope:
        """The scope with the stored tensors of a graph; those in files that are missing are mistakes where they are used."""
        stored = {tensor.name: known_data(self.model.values(tensor), tensor.data_type) for tensor in graph.initializer}
        for sparse in graph.sparse_initializer:
            dims = tuple(sparse.dims)
            dense = np.zeros(int(np.prod(dims)), self.model.values(sparse.values).dtype)
            places = self.model.values(sparse.indices)
            dense[np.ravel_multi_index(tuple(places.T), dims) if places.ndim == 2 else places] = self.model.values(sparse.values)
            stored[sparse.values.name] = known_data(dense.reshape(dims), sparse.values.data_type)
        return scope | stored

    def _inputs(self, stored: set[str]) -> Scope:
        """The inputs with their shapes; of old models stored tensors stand among them."""
        scope, free, named = Scope(), list[str](), set[str]()
        for value in self.model.graph.input:
            if value.name in stored or not value.type.HasField("tensor_type"):
                continue
            kind, shape = value.type.tensor_type, list[int]()
            for i, dim in enumerate(kind.shape.dim):
                name = dim.dim_param if dim.dim_param.isprintable() and dim.dim_param not in ("", "?") else f"{value.name}.{i}"
                if dim.dim_value > 0:
                    shape.append(dim.dim_value)
                    continue
                named.add(name)
                shape.append(self.options.dims.get(name, 0))
                free += [name] if name not in self.options.dims else []
            scope[value.name] = Known(shape=tuple(shape), type=kind.elem_type)
        self._check_dims(free, named)
        return scope | self._set(scope)

    def _check_dims(self, free: Sequence[str], named: set[str]) -> None:
        if unknown := [name for name in self.options.dims if name not in named]:
            known = ", ".join(sorted(named)) or "there is none"
            message = f"the model has no free axis '{unknown[0]}'"
            raise self.model.mistake(message, did_you_mean(unknown[0], named) or f"free axes: {known}")
        if free:
            listed = list(dict.fromkeys(free))
            message = f"free axes without a size: {', '.join(listed)}"
            raise self.model.mistake(message, sizes_hint(listed))

    def _set(self, scope: Scope) -> Scope:
        """Inputs whose numbers the user gives."""
        found = Scope()
        for name, number in self.options.values.items():
            if name not in scope:
                raise self.model.mistake(f"the model has no input '{name}'", did_you_mean(name, scope))
            one = scope[name]
            kind = onnx_package("onnx.helper").tensor_dtype_to_np_dtype(one.type)
            found[name] = replace(one, data=np.full(one.shape or (), number, kind))
        return found

    # --- nodes ----------------------------------------------------------------------------------------------

    def _walk(self, graph: Any, scope: Scope, times: int) -> None:
        """All nodes of a graph, which are in order; `scope` gets their outputs."""
        for node in graph.node:
            if node.op_type == "If":
                results = self._branch(node, scope, times)
            elif node.op_type in ("Loop", "Scan"):
                results = self._loop(node, scope, times)
            else:
                results = self._node(node, scope, times)
            for name, value in zip([name for name in node.output if name], results, strict=False):
                if value.shape is None and name in self.options.shapes:
                    value = replace(value, shape=self.options.shapes[name])
                scope[name] = value

    def _node(self, node: Any, scope: Scope, times: int) -> list[Known]:
        inputs = [scope.get(name, Known()) if name else None for name in node.input]
        if node.op_type == "Constant":
            return [self._constant(node)]
        outputs = self._outputs(node, inputs)
        seen = self.options.shapes
        names = [name for name in node.output if name]
        outputs = [
            replace(one, shape=seen[name]) if one.shape is None and name in seen else one
            for name, one in zip(names, outputs, strict=False)
        ]
        if node.op_type in PRODUCTS:
            self._product(node, inputs, outputs, times)
        elif node.op_type not in _MOVES and not all(one.data is not None for one in outputs):
            self._other(node, outputs, "no product: not counted")
            self._count_parameters(node, inputs)
        return outputs

    def _constant(self, node: Any) -> Known:
        values = attributes_of(node)
        if "value" in values:
            return known_data(self.model.values(values["value"]), values["value"].data_type)
        number = next(iter(values.values()), 0)
        kind = np.float32 if "value_float" in values or "value_floats" in values else np.int64
        if any(name.startswith("value_string") or name == "sparse_value" for name in values):
            return Known()
        return known_data(np.array(number, kind))

    def _outputs(self, node: Any, inputs: Sequence[Known | None]) -> list[Known]:
        """By the package onnx, or for operators of other makers by the rule that is known of them."""
        first = inputs[0] if inputs else None
        if node.op_type in _SAME_SHAPE and node.domain and first is not None:
            return [Known(shape=first.shape, type=first.type)] + [Known()] * (len(node.output) - 1)
        if node.op_type in _BROADCAST and node.domain:
            shapes = [one.shape for place in _BROADCAST[node.op_type] if (one := inputs[place]) and one.shape is not None]
            return [Known(shape=np.broadcast_shapes(*shapes) if len(shapes) == 2 else None, type=first.type if first else 1)]
        if node.op_type == "DynamicQuantizeLSTM" and first is not None and first.shape is not None:
            directions = inputs[1].shape[0] if inputs[1] is not None and inputs[1].shape else 1
            hidden = attributes_of(node)["hidden_size"]
            state = (directions, first.shape[1], hidden)
            return [Known(shape=(first.shape[0], *state)), Known(shape=state), Known(shape=state)]
        alike = _ALIKE.get(node.op_type) if node.domain else None
        if alike is None:
            return self.knowledge.outputs(node, inputs)
        copy = onnx_package("onnx.helper").make_node(
            alike, list(node.input)[: 3 if alike != "MatMul" else 2], list(node.output)[:1]
        )
        copy.attribute.extend(a for a in node.attribute if a.name not in ("activation", "activation_params", "activation_alpha"))
        told = [replace(one, type=1, data=None) if one is not None else None for one in inputs]
        return self.knowledge.outputs(copy, told[: len(copy.input)])

    def _product(self, node: Any, inputs: Sequence[Known | None], outputs: Sequence[Known], times: int) -> None:
        name = node.name or next(iter(node.output), node.op_type)
        try:
            product = ProductNode(name=name, type=node.op_type, attributes=attributes_of(node), inputs=inputs, outputs=outputs)
            layers = [replace(layer, times=layer.times * times) for layer in PRODUCTS[node.op_type](product)]
        except Refused as why:
            self._other(node, outputs, f"left out: {why}")
            return
        except (ValueError, KeyError, IndexError, TypeError) as error:
            message = f"node '{name}' ({node.op_type}): its attributes and shapes do not fit together ({error})"
            raise self.model.mistake(message) from None
        self.lowered.append(LoweredNode(node=node, inputs=inputs, layers=tuple(layers)))
        self._counted.update(node.input[1:])

    def _other(self, node: Any, outputs: Sequence[Known], done: str) -> None:
        name, key = node.name or next(iter(node.output), node.op_type), (node.op_type, done)
        before = self.others.get(key) or OtherOperation(type=node.op_type, names=(), done=done)
        words = before.words + sum(one.words for one in outputs)
        self.others[key] = replace(before, names=(*before.names, name), words=words)

    def _count_parameters(self, node: Any, inputs: Sequence[Known | None]) -> None:
        """Stored numbers of what is no product, each tensor once; moments of a normalization are no parameters."""
        last = 3 if node.op_type == "BatchNormalization" else len(inputs)
        for name, value in zip(list(node.input)[:last], inputs, strict=False):
            if value is None or value.data is None or name in self._counted or value.words <= 1 or value.data.dtype.kind != "f":
                continue
            self._counted.add(name)
            self.other_parameters += value.words

    # --- branches and loops ---------------------------------------------------------------------------------

    def _branch(self, node: Any, scope: Scope, times: int) -> list[Known]:
        condition = scope.get(node.input[0], Known()).data
        name = node.name or next(iter(node.output), "If")
        if condition is None:
            inputs = ", ".join(value.name for value in self.model.graph.input if not value.type.tensor_type.shape.dim)
            hint = f"e.g. --set input.{inputs.split(', ')[0]}=1" if inputs else "its condition depends on the data"
            raise self.model.mistake(f"If '{name}': which branch is taken is not known", hint)
        graph = attributes_of(node)["then_branch" if bool(np.all(condition)) else "else_branch"]
        inside = self._stored(graph, dict(scope))
        self._walk(graph, inside, times)
        return [inside.get(value.name, Known()) for value in graph.output]

    def _loop(self, node: Any, scope: Scope, times: int) -> list[Known]:
        """The body of a loop is run as often as is known; what it carries keeps its shape."""
        values, name = attributes_of(node), node.name or next(iter(node.output), node.op_type)
        graph = values["body"]
        given = [scope.get(one, Known()) if one else None for one in node.input]
        inside = self._stored(graph, dict(scope))
        count, carried = self._entered(node, graph, given, inside, values)
        if count is None:
            message = f"{node.op_type} '{name}': how often it is run is not known"
            raise self.model.mistake(message, "unroll it when the model is exported")
        self._walk(graph, inside, times * count)
        skipped = 1 if node.op_type == "Loop" else 0
        results = [inside.get(value.name, Known()) for value in graph.output]
        going_on = results[0].data if skipped else np.array(True)
        if going_on is None or not bool(np.all(going_on)):
            raise self.model.mistake(f"Loop '{name}': it ends when the data say so", "unroll it when the model is exported")
        kept = [replace(one, data=None) for one in results[skipped : skipped + carried]]
        stacked = [
            Known(shape=None if one.shape is None else (count, *one.shape), type=one.type) for one in results[skipped + carried :]
        ]
        return kept + stacked

    def _entered(
        self, node: Any, graph: Any, given: Sequence[Known | None], inside: Scope, values: Mapping[str, Any]
    ) -> tuple[int | None, int]:  # fmt: skip
        """Puts what goes into a body into its scope; how often it is run, and how many values it carries."""
        names = [value.name for value in graph.input]
        if node.op_type == "Loop":
            limit = given[0].data if given[0] is not None else None
            begins = np.array(True) if len(given) < 2 or given[1] is None else given[1].data
            known = limit is not None and begins is not None and bool(np.all(begins))
            entered = [Known(shape=(), type=7), known_data(np.array(True)), *given[2:]]
            count = int(np.max(limit)) if known and limit is not None else None
            carried = len(given) - 2
        else:
            carried = len(given) - int(values["num_scan_inputs"])
            scanned = given[carried:]
            shapes = [one.shape for one in scanned if one is not None and one.shape]
            count = shapes[0][0] if shapes and not any(values.get("scan_input_axes", [])) else None
            rows = [Known(shape=one.shape[1:], type=one.type) if one is not None and one.shape else Known() for one in scanned]
            entered = [*given[:carried], *rows]
        for name, value in zip(names, entered, strict=False):
            keeps = node.op_type == "Loop" and name == names[1]
            inside[name] = Known() if value is None else value if keeps else replace(value, data=None)
        return count, carried
