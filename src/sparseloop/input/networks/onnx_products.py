"""Which nodes of ONNX are products, and what each is in the ranks of all layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparseloop.input.networks.layers import POINT, NetworkLayer, Window, window_shape
from sparseloop.input.networks.onnx_file import Array, onnx_package
from sparseloop.input.networks.onnx_values import Known, element_bits


class Refused(Exception):
    """A product that has no form in these ranks; the text says why."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProductNode:
    """A node with what is known of its values, all shapes included."""

    name: str
    type: str
    attributes: Mapping[str, Any]
    inputs: Sequence[Known | None]
    outputs: Sequence[Known]

    def value(self, position: int) -> Known:
        """An input that must be there."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            raise Refused(f"input {position} is left out")
        return value

    def shape(self, position: int) -> tuple[int, ...]:
        """The shape of an input."""
        shape = self.value(position).shape
        if shape is None:
            raise Refused(f"the shape of input {position} is not known")
        return shape

    def optional(self, position: int) -> Known | None:
        """An input that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def result(self) -> tuple[int, ...]:
        """The shape of the first output."""
        shape = self.outputs[0].shape
        if shape is None:
            raise Refused("the shape of its result is not known")
        return shape


def attributes_of(node: Any) -> dict[str, Any]:
    """The attributes of a node as plain values."""
    helper = onnx_package("onnx.helper")
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


# --- stored weights -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Operand:
    """An operand of a product, with the number that stands for zero."""

    value: Known
    zero: Known | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; () if it is not known."""
        return self.value.shape or ()

    @property
    def data(self) -> Array | None:
        """The stored numbers, zero where they stand for zero; None if they are computed."""
        data = self.value.data
        if data is None or self.zero is None:
            return data
        return None if self.zero.data is None else data.astype(np.int32) - self._aligned(self.zero.data.astype(np.int32))

    def _aligned(self, zero: Array) -> Array:
        """One zero per channel stands along the first axis of a kernel, along the last of a matrix."""
        rank = len(self.shape)
        if zero.size == 1:
            return zero.reshape(())
        if zero.ndim != 1:
            return zero[:, None, :] if (zero.ndim, rank) == (2, 3) else zero
        return zero.reshape((-1,) + (1,) * (rank - 1)) if rank > 2 else zero

    @property
    def bits(self) -> int | None:
        """The width of what is stored, if it is quantized."""
        width = element_bits(self.value.type)
        narrow = self.value.type != onnx_package().TensorProto.FLOAT and width is not None and width <= 8
        return self.value.bits or (width if narrow else None)


def _widths(inputs: Operand, weights: Operand, node: ProductNode) -> dict[str, int]:
    """word_bits of a product of quantized tensors."""
    found = {"I": inputs.bits, "W": weights.bits}
    if not any(found.values()):
        return {}
    result = element_bits(node.outputs[0].type) if node.outputs[0].type else None
    quantized = "Integer" in node.type or "QLinear" in node.type or node.type == "QGemm"
    if quantized and result:
        found["O"] = result
    return {tensor: bits for tensor, bits in found.items() if bits}


def _bias(node: ProductNode, position: int) -> int:
    """Words of a stored bias."""
    bias = node.optional(position)
    return bias.words if bias is not None and bias.data is not None else 0


# --- convolutions -------------------------------------------------------------------------------------------


def _convolution(node: ProductNode, inputs: Operand, weights: Operand, bias: int) -> NetworkLayer:
    data, kernel, result = inputs.shape, weights.shape, node.result()
    axes, groups = len(kernel) - 2, int(node.attributes.get("group", 1))
    if not 1 <= axes <= 3:
        raise Refused(f"a convolution of {axes} axes")
    windows = [
        Window(inputs=data[i + 2], outputs=result[i + 2], kernel=kernel[i + 2], stride=s, dilation=d, before=b)
        for i, (s, d, b) in enumerate(zip(*_strides(node, axes), _before(node, data, kernel), strict=True))
    ]
    windows += [POINT] if axes == 1 else []
    m, c = kernel[0] // groups, kernel[1]
    stored = weights.data
    full = (groups, m, c, *(window.kernel for window in windows))
    return NetworkLayer(
        name=node.name,
        type="depthwise" if groups > 1 and c == m == 1 else node.type,
        shape={"n": data[0], "g": groups, "m": m, "c": c} | window_shape(windows),
        windows=tuple(windows),
        word_bits=_widths(inputs, weights, node),
        parameters=math.prod(kernel) + bias if stored is not None else 0,
        weights=None if stored is None else stored.reshape(full),
    )


def _strides(node: ProductNode, axes: int) -> tuple[Sequence[int], Sequence[int]]:
    ones = [1] * axes
    return node.attributes.get("strides", ones), node.attributes.get("dilations", ones)


def _before(node: ProductNode, data: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """Words of padding in front, per axis."""
    axes, automatic = len(kernel) - 2, node.attributes.get("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        return list(node.attributes.get("pads", [0] * (2 * axes)))[:axes]
    if automatic == "VALID":
        return [0] * axes
    strides, dilations = _strides(node, axes)
    before = list[int]()
    for i in range(axes):
        size, stride = data[i + 2], strides[i]
        whole = max(0, (-(-size // stride) - 1) * stride + dilations[i] * (kernel[i + 2] - 1) + 1 - size)
        before.append(whole // 2 if automatic == "SAME_UPPER" else whole - whole // 2)
    return before


def _transposed(node: ProductNode) -> NetworkLayer:
    inputs, weights = Operand(value=node.value(0)), Operand(value=node.value(1))
    data, kernel, result = node.shape(0), node.shape(1), node.result()
    axes, groups = len(kernel) - 2, int(node.attributes.get("group", 1))
    if not 1 <= axes <= 3:
        raise Refused(f"a transposed convolution of {axes} axes")
    strides, dilations = _strides(node, axes)
    before = transposed_padding(node.attributes, data, kernel, result)
    windows = [
        Window(inputs=result[i + 2], outputs=data[i + 2], kernel=kernel[i + 2], stride=strides[i], dilation=dilations[i],
               before=before[i])
        for i in range(axes)
    ]  # fmt: skip
    windows += [POINT] if axes == 1 else []
    c, m = kernel[0] // groups, kernel[1]
    stored = weights.data
    sizes = tuple(window.kernel for window in windows)
    return NetworkLayer(
        name=node.name,
        type=node.type,
        shape={"n": data[0], "g": groups, "m": m, "c": c} | window_shape(windows),
        windows=tuple(windows),
        transposed=True,
        word_bits=_widths(inputs, weights, node),
        parameters=math.prod(kernel) + _bias(node, 2) if stored is not None else 0,
        weights=None if stored is None else np.swapaxes(stored.reshape((groups, c, m, *sizes)), 1, 2),
    )


def transposed_padding(
    attributes: Mapping[str, Any], data: Sequence[int], kernel: Sequence[int], result: Sequence[int]
) -> list[int]:
    """Words cut off in front of the result of a transposed convolution, per axis."""
    axes, automatic = len(kernel) - 2, attributes.get("auto_pad", "NOTSET")
    if automatic in ("NOTSET", "VALID") and "output_shape" not in attributes:
        return list(attributes.get("pads", [0] * (2 * axes)))[:axes]
    ones = [1] * axes
    strides, dilations = attributes.get("strides", ones), attributes.get("dilations", ones)
    extra = attributes.get("output_padding", [0] * axes)
    cut = [
        max(0, strides[i] * (data[i + 2] - 1) + extra[i] + (kernel[i + 2] - 1) * dilations[i] + 1 - result[i + 2])
        for i in range(axes)
    ]
    return [whole // 2 if automatic == "SAME_UPPER" else whole - whole // 2 for whole in cut]


# --- products of matrices -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Contraction:
    """A product of two tensors: a letter per axis, the letters of the result."""

    first: str
    second: str
    result: str


def contracted(node: ProductNode, first: Operand, second: Operand, letters: Contraction, bias: int = 0) -> NetworkLayer:
    """A product of two tensors: letters of both and the result are g, of the sum c, of one operand p or m.

    What is stored is W; otherwise the second operand is.
    """
    if first.value.data is not None and second.value.data is None:
        first, second = second, first
        letters = Contraction(first=letters.second, second=letters.first, result=letters.result)
    one, two = _sizes(first, letters.first), _sizes(second, letters.second)
    groups = [a for a in letters.result if a in one and a in two]
    summed = [a for a in letters.first if a in one and a in two and a not in letters.result]
    rows, columns = (
        [a for a in letters.result if a in one and a not in two],
        [a for a in letters.result if a in two and a not in one],
    )
    if set(one) | set(two) != {*groups, *summed, *rows, *columns}:
        raise Refused("an axis of one operand is summed by itself")
    size = {a: max(one.get(a, 1), two.get(a, 1)) for a in {*one, *two}}
    g, p, m, c = (math.prod(size[a] for a in part) for part in (groups, rows, columns, summed))
    data, kept = second.data, [a for a in letters.second if a in two]
    stored = None
    if data is not None:
        places = [kept.index(a) for a in (*groups, *columns, *summed)]
        stored = data.reshape([two[a] for a in kept]).transpose(places).reshape((g, m, c, 1, 1))
    return NetworkLayer(
        name=node.name,
        type=node.type,
        shape={"n": 1, "g": g, "m": m, "c": c, "p": p, "q": 1, "r": 1, "s": 1},
        windows=(Window(inputs=p, outputs=p), POINT),
        word_bits=_widths(first, second, node),
        parameters=second.value.words + bias if data is not None else 0,
        weights=stored,
    )


def _sizes(operand: Operand, letters: str) -> dict[str, int]:
    """Letter to size; axes of size 1 are left out, because they may be broadcast."""
    shape = operand.shape
    if len(shape) != len(letters) or len(set(letters)) < len(letters):
        raise Refused("an axis that appears twice")
    return {letter: size for letter, size in zip(letters, shape, strict=True) if size > 1}


def _matrices(
    node: ProductNode, first: Operand, second: Operand, *, turned: tuple[bool, bool] = (False, False), bias: int = 0
) -> NetworkLayer:
    """As NumPy's matmul: batches in front are broadcast; `turned` operands have their last two axes swapped."""
    one, two = first.shape, second.shape
    batch = "abcdefghij"[: max(len(one), len(two), 2) - 2]
    a = batch[len(batch) - max(0, len(one) - 2) :] + ("x" if len(one) == 1 else "xy" if turned[0] else "yx")
    b = batch[len(batch) - max(0, len(two) - 2) :] + ("x" if len(two) == 1 else "zx" if turned[1] else "xz")
    return contracted(node, first, second, Contraction(first=a, second=b, result=batch + "yz"), bias)


def _equation(node: ProductNode) -> NetworkLayer:
    """ONNX's Einsum of two operands."""
    text = str(node.attributes["equation"]).replace(" ", "")
    operands, arrow, result = text.partition("->")
    names = operands.split(",")
    if len(names) != 2 or "." in text:
        raise Refused(f"the einsum {text}")
    if not arrow:
        joined = "".join(names)
        result = "".join(sorted(letter for letter in set(joined) if joined.count(letter) == 1))
    letters = Contraction(first=names[0], second=names[1], result=result)
    return contracted(node, Operand(value=node.value(0)), Operand(value=node.value(1)), letters)


# --- recurrent networks -------------------------------------------------------------------------------------

_GATES = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}


def _recurrent(node: ProductNode) -> list[NetworkLayer]:
    """Gates of all steps from the input at once, and of every step from the state before."""
    data, kernel = node.shape(0), node.shape(1)
    steps, batch = (data[1], data[0]) if node.attributes.get("layout", 0) else data[:2]
    quantized = node.type == "DynamicQuantizeLSTM"  # its matrices are turned: inputs x gates
    directions, inner, hidden = kernel[0], data[2], int(node.attributes["hidden_size"])
    rows = _GATES[node.type] * hidden
    bias = _bias(node, 3)
    zeros = (node.optional(9), node.optional(11)) if quantized else (None, None)

    def matrices(position: int) -> Array | None:
        stored = Operand(value=node.value(position), zero=zeros[position - 1]).data
        return stored if stored is None or not quantized else np.swapaxes(stored, 1, 2)

    widths = {"W": 8} if quantized else {}
    over, back = matrices(1), matrices(2)
    whole = {"n": 1, "g": 1, "m": directions * rows, "c": inner, "p": steps * batch, "q": 1, "r": 1, "s": 1}
    step = {"n": 1, "g": directions, "m": rows, "c": hidden, "p": batch, "q": 1, "r": 1, "s": 1}
    first = NetworkLayer(
        name=f"{node.name}.input", type=node.type, shape=whole,
        windows=(Window(inputs=steps * batch, outputs=steps * batch), POINT),
        word_bits=widths, parameters=directions * rows * inner + bias if over is not None else 0,
        weights=None if over is None else over.reshape((1, directions * rows, inner, 1, 1)),
    )  # fmt: skip
    second = NetworkLayer(
        name=f"{node.name}.state", type=node.type, shape=step, windows=(Window(inputs=batch, outputs=batch), POINT),
        word_bits=widths, times=steps, parameters=directions * rows * hidden if back is not None else 0,
        weights=None if back is None else back.reshape((directions, rows, hidden, 1, 1)),
    )  # fmt: skip
    return [first, second]


# --- by operator --------------------------------------------------------------------------------------------


def _operands(node: ProductNode, places: Sequence[int | None]) -> tuple[Operand, Operand]:
    """The two operands with their zeros, from the places of first, its zero, second, its zero."""
    first, first_zero, second, second_zero = places
    node.shape(first or 0)
    node.shape(second or 0)
    return (
        Operand(value=node.value(first or 0), zero=None if first_zero is None else node.optional(first_zero)),
        Operand(value=node.value(second or 0), zero=None if second_zero is None else node.optional(second_zero)),
    )


_PLAIN, _INTEGER, _LINEAR = (0, None, 1, None), (0, 2, 1, 3), (0, 2, 3, 5)
_OF_CONVOLUTIONS = {"Conv": (_PLAIN, 2), "FusedConv": (_PLAIN, 2), "ConvInteger": (_INTEGER, 99), "QLinearConv": (_LINEAR, 8)}
_OF_MATRICES = {
    "MatMul": (_PLAIN, 99),
    "FusedMatMul": (_PLAIN, 99),
    "Gemm": (_PLAIN, 2),
    "FusedGemm": (_PLAIN, 2),
    "MatMulInteger": (_INTEGER, 99),
    "MatMulIntegerToFloat": ((0, 4, 1, 5), 6),
    "DynamicQuantizeMatMul": ((0, None, 1, 3), 4),
    "QLinearMatMul": (_LINEAR, 99),
    "QGemm": (_LINEAR, 6),
}


def _by_convolution(node: ProductNode) -> list[NetworkLayer]:
    places, bias = _OF_CONVOLUTIONS[node.type]
    return [_convolution(node, *_operands(node, places), _bias(node, bias))]


def _by_matrices(node: ProductNode) -> list[NetworkLayer]:
    places, bias = _OF_MATRICES[node.type]
    turned = (bool(node.attributes.get("transA", 0)), bool(node.attributes.get("transB", 0)))
    return [_matrices(node, *_operands(node, places), turned=turned, bias=_bias(node, bias))]


def _attention(node: ProductNode) -> list[NetworkLayer]:
    """ONNX's Attention: queries times keys, and the weights that come of it times values."""
    query, key, value = node.shape(0), node.shape(1), node.shape(2)
    if len(query) == 3:
        heads, shared = int(node.attributes["q_num_heads"]), int(node.attributes["kv_num_heads"])
        batch, rows, context, inner, columns = query[0], query[1], key[1], query[2] // heads, value[2] // shared
    else:
        batch, heads, rows, inner = query
        shared, context, columns = key[1], key[2], value[3]
    if node.optional(4) is not None:
        context += (node.shape(4))[2]
    p = heads // shared * rows
    base = {"n": 1, "g": batch * shared, "p": p, "q": 1, "r": 1, "s": 1}
    windows = (Window(inputs=p, outputs=p), POINT)
    layer = NetworkLayer(name=f"{node.name}.scores", type=node.type, shape={**base, "m": context, "c": inner}, windows=windows)
    return [layer, replace(layer, name=f"{node.name}.weighted_values", shape={**base, "m": columns, "c": context})]


PRODUCTS: Mapping[str, Callable[[ProductNode], list[NetworkLayer]]] = {
    **dict.fromkeys(_OF_CONVOLUTIONS, _by_convolution),
    **dict.fromkeys(_OF_MATRICES, _by_matrices),
    **dict.fromkeys(_GATES, _recurrent),
    "ConvTranspose": lambda node: [_transposed(node)],
    "Einsum": lambda node: [_equation(node)],
    "Attention": _attention,
}
"""By operator: the layers of a node; `Refused` if it has no such form."""
