"""Nodes of ONNX evaluated by NumPy through the einsum of their layers: operands brought into its ranks, its result brought back.

Written from the definition of each operator; it shares nothing with the import but the einsum and the shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from sparseloop.input.networks.layers import NetworkLayer
from sparseloop.input.notation import Access, parse_einsum

Array = np.ndarray[Any, Any]


def evaluate(layer: NetworkLayer, inputs: Array, weights: Array, before: Sequence[int] = ()) -> Array:
    """The einsum of a layer by NumPy; operands may be larger than it touches.

    `before`: words of padding that the inputs have in front, per axis (none: no padding).
    """
    text = parse_einsum(layer.einsum)
    result, *operands = text.tensors
    letters = {rank: chr(ord("a") + i) for i, rank in enumerate(layer.shape)}
    fronts = before or [0] * inputs.ndim, [0] * weights.ndim
    expanded = [
        _expanded(access, array, layer.shape, front)
        for access, array, front in zip(operands, (inputs, weights), fronts, strict=True)
    ]
    names = ["".join(letters[rank] for form in access.axes for rank, _ in form.terms) for access in operands]
    out = [rank for form in result.axes for rank, _ in form.terms]
    product = np.einsum(f"{','.join(names)}->{''.join(letters[rank] for rank in out)}", *expanded, optimize=True)
    return _gathered(result, product, layer.shape)


def _expanded(access: Access, array: Array, shape: Any, before: Sequence[int]) -> Array:
    """One axis per rank: an index S*p+D*r becomes the axes p and r."""
    axis = 0
    for form, front in zip(access.axes, before, strict=True):
        sizes = [shape[rank] for rank, _ in form.terms]
        places = np.zeros((1,) * len(sizes), int)
        for i, (rank, factor) in enumerate(form.terms):
            places = places + (factor * np.arange(shape[rank])).reshape([-1 if i == j else 1 for j in range(len(sizes))])
        array = np.take(array, places + form.offset + front, axis=axis)
        axis += len(sizes)
    return array


def _gathered(access: Access, product: Array, shape: Any) -> Array:
    """Sums the places of a result that several points of the einsum meet."""
    sizes, index, axis = list[int](), list[Array](), 0
    for form in access.axes:
        places = np.zeros((1,) * product.ndim, int)
        for rank, factor in form.terms:
            places = places + (factor * np.arange(shape[rank])).reshape([-1 if axis == j else 1 for j in range(product.ndim)])
            axis += 1
        sizes.append(int(places.max()) + 1)
        index.append(places)
    if all(len(form.terms) == 1 for form in access.axes):
        return product
    whole = np.zeros(sizes, product.dtype)
    np.add.at(whole, tuple(np.broadcast_arrays(*index)), product)
    return whole


def output_of(node: Any, layers: Sequence[NetworkLayer], values: Sequence[Array | None]) -> Array:
    """The first output of a product, from the values of its inputs."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kind = node.op_type
    if kind in ("Conv", "ConvInteger", "QLinearConv"):
        return _convolution(kind, attributes, layers[0], values)
    if kind == "ConvTranspose":
        return _transposed(attributes, layers[0], values)
    if kind in ("LSTM", "GRU", "RNN"):
        return _recurrent(kind, attributes, layers, values)
    return _matrices(kind, attributes, layers[0], values)


def _of(values: Sequence[Array | None], place: int) -> Array | None:
    return values[place] if place < len(values) else None


def _minus(array: Array, zero: Array | None, axis: int | None = None) -> Array:
    """Integers with their zero taken off."""
    if zero is None:
        return array.astype(np.int64) if array.dtype.kind in "iu" else array
    shape = [-1 if i == axis else 1 for i in range(array.ndim)] if zero.size > 1 and axis is not None else zero.shape
    return array.astype(np.int64) - zero.astype(np.int64).reshape(shape if zero.size > 1 else ())


def _requantized(whole: Array, scales: Sequence[Array | None], zero: Array, axis: int) -> Array:
    first, second, out = (np.asarray(scale, float) for scale in scales)
    if second.size > 1:
        second = second.reshape([-1 if i == axis else 1 for i in range(whole.ndim)])
    limits = np.iinfo(zero.dtype)
    return np.clip(np.rint(whole * first * second / out) + float(zero.reshape(())), limits.min, limits.max).astype(zero.dtype)


def _convolution(kind: str, attributes: dict[str, Any], layer: NetworkLayer, values: Sequence[Array | None]) -> Array:
    linear = kind == "QLinearConv"
    x, w = values[0], values[3 if linear else 1]
    assert x is not None
    assert w is not None
    zeros = (_of(values, 2), _of(values, 5 if linear else 3)) if kind != "Conv" else (None, None)
    x, w = _minus(x, zeros[0]), _minus(w, zeros[1], 0)
    axes, shape = x.ndim - 2, layer.shape
    outer, inner = "opq"[3 - max(axes, 2) :], "trs"[3 - max(axes, 2) :]
    strides = list(attributes.get("strides", [1] * axes))
    dilations = list(attributes.get("dilations", [1] * axes))
    pads = [(0, 0), (0, 0)]
    for i in range(axes):
        last = strides[i] * (shape[outer[i]] - 1) + dilations[i] * (shape[inner[i]] - 1) + 1
        before = _padding_before(attributes, i, axes, (x.shape[i + 2], last))
        pads.append((before, max(0, last - before - x.shape[i + 2])))
    x = np.pad(x, pads)
    groups = attributes.get("group", 1)
    x = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    w = w.reshape(groups, -1, *w.shape[1:])
    if axes == 1:
        x, w = x[..., None], w[..., None]
    out = evaluate(layer, x, w, [0, *(front for front, _ in pads), *([0] if axes == 1 else [])])
    out = out.reshape(out.shape[0], -1, *out.shape[3:])
    out = out[..., 0] if axes == 1 else out
    bias = _of(values, 8 if linear else 2) if kind != "ConvInteger" else None
    if bias is not None:
        out = out + bias.reshape(-1, *[1] * axes)
    if linear:
        return _requantized(out, (values[1], values[4], values[6]), np.asarray(values[7]), 1)
    return out


def _padding_before(attributes: dict[str, Any], axis: int, axes: int, sizes: tuple[int, int]) -> int:
    automatic = attributes.get("auto_pad", b"NOTSET").decode()
    whole = max(0, sizes[1] - sizes[0])
    if automatic == "NOTSET":
        return list(attributes.get("pads", [0] * 2 * axes))[axis]
    return {"VALID": 0, "SAME_UPPER": whole // 2, "SAME_LOWER": whole - whole // 2}[automatic]


def _transposed(attributes: dict[str, Any], layer: NetworkLayer, values: Sequence[Array | None]) -> Array:
    x, w, bias = values[0], values[1], _of(values, 2)
    assert x is not None
    assert w is not None
    axes, groups = x.ndim - 2, attributes.get("group", 1)
    x = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    w = np.swapaxes(w.reshape(groups, -1, *w.shape[1:]), 1, 2)
    if axes == 1:
        x, w = x[..., None], w[..., None]
    out = evaluate(layer, x, w)
    pads = list(attributes.get("pads", [0] * 2 * axes))
    extra = list(attributes.get("output_padding", [0] * axes))
    for i in range(axes):
        place = 3 + i
        size = out.shape[place] + extra[i]
        out = np.pad(out, [(0, extra[i]) if j == place else (0, 0) for j in range(out.ndim)])
        out = np.take(out, np.arange(pads[i], size - pads[axes + i]), axis=place)
    out = out.reshape(out.shape[0], -1, *out.shape[3:])
    out = out[..., 0] if axes == 1 else out
    return out if bias is None else out + bias.reshape(-1, *[1] * axes)


def _matrices(kind: str, attributes: dict[str, Any], layer: NetworkLayer, values: Sequence[Array | None]) -> Array:
    places = {"QLinearMatMul": (0, 3, 2, 5), "MatMulInteger": (0, 1, 2, 3)}.get(kind, (0, 1, 99, 99))
    a, b = values[places[0]], values[places[1]]
    assert a is not None
    assert b is not None
    a, b = _minus(a, _of(values, places[2])), _minus(b, _of(values, places[3]), b.ndim - 1)
    a = a.T if attributes.get("transA") else a
    b = b.T if attributes.get("transB") else b
    if kind == "Einsum":
        equation = attributes["equation"].decode().replace(" ", "")
    else:
        batch = "abcdef"[: max(a.ndim, b.ndim, 2) - 2]
        one = batch[len(batch) - max(0, a.ndim - 2) :] + ("x" if a.ndim == 1 else "yx")
        two = batch[len(batch) - max(0, b.ndim - 2) :] + ("x" if b.ndim == 1 else "xz")
        equation = f"{one},{two}->{batch}{'y' * (a.ndim > 1)}{'z' * (b.ndim > 1)}"
    out = _contraction(equation, layer, a, b)
    if kind == "Gemm":
        bias = _of(values, 2)
        out = attributes.get("alpha", 1.0) * out + (0 if bias is None else attributes.get("beta", 1.0) * bias)
    if kind == "QLinearMatMul":
        return _requantized(out, (values[1], values[4], values[6]), np.asarray(values[7]), out.ndim - 1)
    return out


def _contraction(equation: str, layer: NetworkLayer, a: Array, b: Array) -> Array:
    """A product of two tensors as layers have it, tried with either operand as W: the shape says which it is."""
    names, _, result = equation.partition("->")
    one, two = names.split(",")
    for first, x, second, w in ((one, a, two, b), (two, b, one, a)):
        sizes = [{k: n for k, n in zip(text, array.shape, strict=True) if n > 1} for text, array in ((first, x), (second, w))]
        groups = [k for k in result if all(k in size for size in sizes)]
        rows, columns = (
            [k for k in result if k in sizes[0] and k not in groups],
            [k for k in result if k in sizes[1] and k not in groups],
        )
        summed = [k for k in first if k not in result and k in sizes[0]]
        every = {**sizes[0], **sizes[1]}
        g, p, m, c = (int(np.prod([every[k] for k in part], dtype=int)) for part in (groups, rows, columns, summed))
        if (g, p, m, c) != tuple(layer.shape[rank] for rank in "gpmc"):
            continue
        x = _arranged(x, first, [*groups, *rows, *summed]).reshape(1, g, p, c, 1).transpose(0, 1, 3, 2, 4)
        w = _arranged(w, second, [*groups, *columns, *summed]).reshape(g, m, c, 1, 1)
        out = evaluate(layer, x, w)[0, ..., 0]
        order = [*groups, *columns, *rows]
        out = out.reshape([every[k] for k in order]).transpose([order.index(k) for k in result if k in order])
        return out.reshape([every.get(k, 1) for k in result])
    raise AssertionError(f"{equation} is not {layer.shape}")


def _arranged(array: Array, letters: str, order: Sequence[str]) -> Array:
    kept = [k for k, size in zip(letters, array.shape, strict=True) if size > 1]
    return array.reshape([n for n in array.shape if n > 1]).transpose([kept.index(k) for k in order])


def _recurrent(kind: str, attributes: dict[str, Any], layers: Sequence[NetworkLayer], values: Sequence[Array | None]) -> Array:
    """Forward and backward steps with ONNX's default activations."""
    x, w, r, b = (_of(values, i) for i in range(4))
    assert x is not None
    assert w is not None
    assert r is not None
    directions, rows, hidden = w.shape[0], w.shape[1], attributes["hidden_size"]
    bias = np.zeros((directions, 2 * rows), x.dtype) if b is None else b
    steps, batch = x.shape[:2]
    flat = x.reshape(1, 1, steps * batch, -1, 1).transpose(0, 1, 3, 2, 4)
    gates = evaluate(layers[0], flat, w.reshape(1, directions * rows, -1, 1, 1))[0, 0, :, :, 0]
    gates = gates.reshape(directions, rows, steps, batch)
    ways = {"forward": [1], "reverse": [-1], "bidirectional": [1, -1]}[attributes.get("direction", b"forward").decode()]
    states = [np.zeros((directions, batch, hidden), x.dtype) if (s := _of(values, i)) is None else s for i in (5, 6)]
    out = np.zeros((steps, directions, batch, hidden), x.dtype)
    h, c = states
    for step in range(steps):
        state = h.transpose(0, 2, 1)[None, ..., None]
        recurrent = evaluate(layers[1], state, r[..., None, None])[0, ..., 0]
        news = [
            _step(kind, gates[d, :, step if way > 0 else steps - 1 - step], recurrent[d], bias[d], (h[d].T, c[d].T), attributes)
            for d, way in enumerate(ways)
        ]
        h, c = np.stack([new[0].T for new in news]), np.stack([new[1].T for new in news])
        for d, way in enumerate(ways):
            out[step if way > 0 else steps - 1 - step, d] = h[d]
    return out


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _step(
    kind: str, x: Array, r: Array, bias: Array, state: tuple[Array, Array], attributes: dict[str, Any]
) -> tuple[Array, Array]:
    h, c = state
    rows = x.shape[0]
    over, back = bias[:rows, None], bias[rows:, None]
    if kind == "RNN":
        return np.tanh(x + r + over + back), c
    if kind == "LSTM":
        i, o, f, g = np.split(x + r + over + back, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c
    assert attributes.get("linear_before_reset"), "the other kind of GRU needs a product of its own in each step"
    xs, rs = np.split(x + over, 3), np.split(r + back, 3)
    z, reset = _sigmoid(xs[0] + rs[0]), _sigmoid(xs[1] + rs[1])
    return (1 - z) * np.tanh(xs[2] + reset * rs[2]) + z * h, c


def random_inputs(node: Any, known: Sequence[Any], rng: np.random.Generator) -> list[Array | None]:
    """Values of the inputs of a node: random ones for data and weights, the stored ones for zeros, scales and indices."""
    values = list[Array | None]()
    for place, one in enumerate(known):
        if one is None:
            values.append(None)
            continue
        kind = helper.tensor_dtype_to_np_dtype(one.type)
        if one.data is not None and (
            np.size(one.data) == 1 or kind == np.int32 or "quant" in node.op_type.lower() or "QLinear" in node.op_type
        ):
            values.append(np.asarray(one.data))
        elif kind in (np.int8, np.uint8):
            limits = np.iinfo(kind)
            values.append(rng.integers(limits.min, limits.max + 1, one.shape).astype(kind))
        else:
            values.append((rng.standard_normal(one.shape) / (4.0 if place else 1.0)).astype(kind))
    return values


def model_of(node: Any, values: Sequence[Array | None], opsets: dict[str, int]) -> Any:
    """A model of one node, all inputs given at the run."""
    given = {name: value for name, value in zip(node.input, values, strict=False) if value is not None}
    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for name, v in given.items()]
    first = next(name for name in node.output if name)
    outputs = [onnx.ValueInfoProto(name=first)]
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    graph = helper.make_graph([alone], "node", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()], ir_version=8)
