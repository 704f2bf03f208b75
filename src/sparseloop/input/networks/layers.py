"""The one einsum of every layer, and the records of a network: layers, operations that are no einsum, totals.

A convolution with stride S, dilation D and P words of padding is

    O[n,g,m,p,q] = I[n,g,c,S*p+D*r-P,S*q+D*s-P] * W[g,m,c,r,s]

with n samples, g groups, m output and c input channels of a group, p and q places of the output, r and s places of the kernel.
A product of matrices has its rows in p and q = r = s = 1; a batch of products has the batch in g. Ranks of size 1 stay: they make
no loops, and constraints that name them hold for every layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RANKS = ("n", "g", "m", "c", "p", "q", "r", "s")
"""The ranks of a layer."""
DEEP_RANKS = ("o", "t")
"""Place of the output and of the kernel along the outermost axis of a convolution in three dimensions."""
_PLACES = (("o", "t"), ("p", "r"), ("q", "s"))


def sizes_hint(axes: Sequence[str]) -> str:
    """How the sizes of free axes are given: import and network have an option, other commands and Python an override."""
    sizes = [f"{name}={2048 if name == 'seq' else 1}" for name in axes]
    options, settings = (" ".join(f"{option}{size}" for size in sizes) for option in ("--dim ", "--set dim."))
    return f"e.g. {options}; with other commands {settings}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One spatial axis of a convolution: `outputs` places of a kernel of `kernel` words over `inputs` words of data."""

    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    """Words of padding in front of the data."""

    @property
    def padded(self) -> bool:
        """True if the kernel meets places that are no data."""
        last = self.stride * (self.outputs - 1) + self.dilation * (self.kernel - 1) - self.before
        return self.before > 0 or last >= self.inputs

    @property
    def meets_data(self) -> int:
        """How many of outputs * kernel places are data, not padding."""
        places = (self.stride * p + self.dilation * r - self.before for p in range(self.outputs) for r in range(self.kernel))
        return sum(0 <= place < self.inputs for place in places)


POINT = Window(inputs=1, outputs=1)
"""An axis that a layer does not have."""


def convolved(inputs: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Window:
    """The axis of a convolution with the same padding on both sides."""
    outputs = (inputs + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return Window(inputs=inputs, outputs=outputs, kernel=kernel, stride=stride, dilation=dilation, before=padding)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLayer:
    """One product of a network in the ranks of all layers."""

    name: str
    type: str
    """What it is in the source: Conv, Gemm, MatMul, LSTM, query ..."""
    shape: Mapping[str, int]
    windows: tuple[Window, ...] = (POINT, POINT)
    """Along p and q (along o, p and q in three dimensions)."""
    transposed: bool = False
    """A transposed convolution: strides stand in the output."""
    density: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Per tensor (I, W, O) as the native format writes it."""
    word_bits: Mapping[str, int] = field(default_factory=dict[str, int])
    times: int = 1
    """How often it is run."""
    parameters: int = 0
    """Numbers stored for all runs: weights, biases, scales; 0 if both operands are computed."""
    routed: int = 0
    """Of the groups g, how many every row p needs (experts of a token); 0: all."""
    shares_inputs: bool = False
    """All groups read the same input: I has no rank g."""
    joins_groups: bool = False
    """The results of all groups are added up: O has no rank g."""
    remark: str = ""
    weights: Any = field(default=None, compare=False, repr=False)
    """What is stored as an array [g, m, c, r, s], zero where it counts as zero; None: not known, or computed."""

    @property
    def einsum(self) -> str:
        """The einsum as the native format writes it; constants say how many words of padding lie in front of the data."""
        places = _PLACES[-len(self.windows) :]
        if self.transposed:
            inside = [outer for outer, _ in places]
            across = [_index(window, *pair) for window, pair in zip(self.windows, places, strict=True)]
        else:
            inside = [_index(window, *pair) for window, pair in zip(self.windows, places, strict=True)]
            across = [outer for outer, _ in places]
        kernel = [inner for _, inner in places]
        outputs, inputs = ("n,m" if self.joins_groups else "n,g,m"), ("n,c" if self.shares_inputs else "n,g,c")
        routes = " * R[p,g]" if self.routed else ""
        return f"O[{outputs},{','.join(across)}] = I[{inputs},{','.join(inside)}] * W[g,m,c,{','.join(kernel)}]{routes}"

    @property
    def extent(self) -> dict[str, dict[str, int]]:
        """True sizes along the axes with padding, as the native format writes them: per tensor, by rank."""
        places = _PLACES[-len(self.windows) :]
        sizes = {outer: window.inputs for window, (outer, _) in zip(self.windows, places, strict=True) if window.padded}
        return {"O" if self.transposed else "I": sizes} if sizes else {}

    @property
    def multiplications(self) -> int:
        """Of all runs, with those that meet padding; of a routed layer those of the groups that a row needs."""
        share = self.routed / self.shape["g"] if self.routed else 1
        return round(math.prod(self.shape.values()) * self.times * share)

    @property
    def padding_share(self) -> float:
        """Share of the multiplications that meet padding."""
        return 1.0 - math.prod(window.meets_data / (window.outputs * window.kernel) for window in self.windows)

    def words(self, tensor: str) -> int:
        """True size of I, W or O of one run, without padding."""
        across = [(window.outputs, window.inputs) for window in self.windows]
        if self.transposed:
            across = [(inputs, outputs) for outputs, inputs in across]
        shape = self.shape
        if tensor == "W":
            return math.prod(shape[rank] for rank in "gmc") * math.prod(window.kernel for window in self.windows)
        places = math.prod(size[tensor == "I"] for size in across)
        groups = 1 if (self.shares_inputs if tensor == "I" else self.joins_groups) else shape["g"]
        return shape["n"] * groups * shape["c" if tensor == "I" else "m"] * places

    def to_data(self) -> dict[str, Any]:
        """An entry of `layers:` in the native format."""
        data: dict[str, Any] = {"name": self.name, "einsum": self.einsum, "shape": dict(self.shape)}
        routes = {"R": {"model": "structured", "n": self.routed, "m": self.shape["g"], "rank": "g"}} if self.routed else {}
        parts = ("extent", self.extent), ("density", {**routes, **self.density}), ("word_bits", self.word_bits)
        for key, value in parts:
            if value:
                data[key] = dict(value)
        return data | ({"times": self.times} if self.times > 1 else {})


def _index(window: Window, outer: str, inner: str) -> str:
    """'2*p+r-1' of one axis."""
    factors = (window.stride, outer), (window.dilation, inner)
    index = "+".join(rank if factor == 1 else f"{factor}*{rank}" for factor, rank in factors)
    return f"{index}{-window.before:+d}" if window.padded and window.before else index


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionSize:
    """Channels and groups of a convolution, over all groups."""

    inputs: int
    outputs: int
    groups: int = 1
    samples: int = 1


def convolution(
    name: str, size: ConvolutionSize, windows: Sequence[Window], *, type: str = "conv", bias: bool = False
) -> NetworkLayer:
    """A convolution, grouped or not, of one, two or three axes; p and q are the innermost two, of one axis p alone."""
    axes = (*windows, POINT) if len(windows) == 1 else tuple(windows)
    m, c = size.outputs // size.groups, size.inputs // size.groups
    shape = {"n": size.samples, "g": size.groups, "m": m, "c": c} | window_shape(axes)
    weights = size.groups * m * c * math.prod(window.kernel for window in axes)
    return NetworkLayer(name=name, type=type, shape=shape, windows=axes, parameters=weights + (size.outputs if bias else 0))


def window_shape(windows: Sequence[Window]) -> dict[str, int]:
    """Sizes of the ranks of spatial axes: p, q, r, s (and o, t)."""
    places = _PLACES[-len(windows) :]
    outer = {pair[0]: window.outputs for window, pair in zip(windows, places, strict=True)}
    return outer | {pair[1]: window.kernel for window, pair in zip(windows, places, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSize:
    """A product of `rows` x `inner` and `inner` x `columns`, `batch` of them."""

    rows: int
    inner: int
    columns: int
    batch: int = 1


def matrix_product(name: str, size: MatrixSize, *, type: str = "matmul", stored: bool = True, bias: bool = False) -> NetworkLayer:
    """O[p,m] = I[p,c] * W[m,c] for every g; `stored`: W is a parameter, not computed."""
    shape = {"n": 1, "g": size.batch, "m": size.columns, "c": size.inner, "p": size.rows, "q": 1, "r": 1, "s": 1}
    parameters = size.batch * size.columns * (size.inner + bias) if stored else 0
    rows = Window(inputs=size.rows, outputs=size.rows)
    return NetworkLayer(name=name, type=type, shape=shape, windows=(rows, POINT), parameters=parameters)


# --- the whole ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherOperation:
    """Operations of one kind that are no einsum: what was done with them, and how many words they make."""

    type: str
    names: tuple[str, ...]
    words: int = 0
    done: str = "not counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralNetwork:
    """A network as layers in the same ranks, with everything of its source that is no layer."""

    name: str
    layers: tuple[NetworkLayer, ...]
    others: tuple[OtherOperation, ...] = ()
    other_parameters: int = 0
    """Numbers stored outside the layers: embeddings, normalizations."""
    source: str = ""
    """Citation, or the file it is from."""
    notes: tuple[str, ...] = ()

    @property
    def multiplications(self) -> int:
        """Of all layers."""
        return sum(layer.multiplications for layer in self.layers)

    @property
    def parameters(self) -> int:
        """All numbers that are stored."""
        return self.other_parameters + sum(layer.parameters for layer in self.layers)

    @property
    def patterns(self) -> dict[str, dict[str, Any]]:
        """By layer and tensor, the arrays whose zeros a density model describes."""
        stored = [layer for layer in self.layers if layer.weights is not None and "W" in layer.density]
        return {layer.name: {"W": layer.weights} for layer in stored}

    def to_data(self) -> dict[str, Any]:
        """The network in the native format; without a machine."""
        return {"layers": [layer.to_data() for layer in self.layers]}


def repeated_names(layers: Iterable[NetworkLayer]) -> tuple[str, ...]:
    """Names that more than one layer has."""
    seen, twice = set[str](), dict[str, None]()
    for layer in layers:
        if layer.name in seen:
            twice[layer.name] = None
        seen.add(layer.name)
    return tuple(twice)
