"""Convolutional networks of the literature, layer by layer, for one picture of the size they were published with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final

from sparseloop.input.networks.layers import (
    ConvolutionSize,
    MatrixSize,
    NetworkLayer,
    NeuralNetwork,
    convolution,
    convolved,
    matrix_product,
)


@final
class Chain:
    """A network under construction: the layers so far, and channels and side of what the last one gives."""

    def __init__(self, side: int, channels: int = 3) -> None:
        self.side, self.channels = side, channels
        self.layers: list[NetworkLayer] = []
        self.normalizations = 0
        """Parameters of the normalizations: scale and shift per channel."""

    def conv(self, name: str, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> Chain:
        """A convolution with padding kernel // 2, normalized, without a bias."""
        return self._conv(name, ConvolutionSize(inputs=self.channels, outputs=outputs, groups=groups), (kernel, kernel), stride)

    def biased(self, name: str, outputs: int, kernel: int, stride: int = 1, padding: int | None = None) -> Chain:
        """A convolution with a bias, not normalized."""
        window = convolved(self.side, kernel, stride=stride, padding=kernel // 2 if padding is None else padding)
        size = ConvolutionSize(inputs=self.channels, outputs=outputs)
        self.layers.append(convolution(name, size, (window, window), bias=True))
        self.side, self.channels = window.outputs, outputs
        return self

    def depthwise(self, name: str, kernel: int, stride: int = 1) -> Chain:
        """A convolution of every channel by itself, normalized."""
        return self.conv(name, self.channels, kernel, stride, groups=self.channels)

    def pool(self, kernel: int, stride: int, padding: int = 0, *, up: bool = False) -> Chain:
        """The size after a pooling; `up`: a last incomplete window counts."""
        self.side = (self.side + 2 * padding - kernel + (stride - 1 if up else 0)) // stride + 1
        return self

    def linear(self, name: str, outputs: int, *, places: int = 1) -> Chain:
        """A fully connected layer over all channels (of `places` places)."""
        size = MatrixSize(rows=1, inner=self.channels * places, columns=outputs)
        self.layers.append(matrix_product(name, size, type="linear", bias=True))
        self.channels, self.side = outputs, 1
        return self

    def squeeze(self, name: str, between: int) -> Chain:
        """Squeeze and excitation: two biased products over the means of the channels."""
        inside = Chain(1, self.channels).biased(f"{name}.reduce", between, 1).biased(f"{name}.expand", self.channels, 1)
        return self.with_layers(inside)

    def branch(self) -> Chain:
        """A chain that starts where this one is."""
        return Chain(self.side, self.channels)

    def with_layers(self, *branches: Chain) -> Chain:
        """The layers of branches in this network; its own size stays."""
        for branch in branches:
            self.layers += branch.layers
            self.normalizations += branch.normalizations
        return self

    def concatenated(self, *branches: Chain) -> Chain:
        """Goes on with the channels of all branches side by side."""
        self.with_layers(*branches)
        self.side, self.channels = branches[0].side, sum(branch.channels for branch in branches)
        return self

    def _conv(self, name: str, size: ConvolutionSize, kernel: tuple[int, int], stride: int) -> Chain:
        windows = [convolved(self.side, k, stride=stride, padding=k // 2) for k in kernel]
        kind = "depthwise" if size.groups == size.inputs > 1 else "conv"
        self.layers.append(convolution(name, size, windows, type=kind))
        self.side, self.channels = windows[0].outputs, size.outputs
        self.normalizations += 2 * size.outputs
        return self


def alexnet() -> Chain:
    """One column, as torchvision has it; the network of 2012 has two groups and 227 x 227 pixels."""
    net = Chain(224).biased("conv1", 64, 11, 4, 2).pool(3, 2).biased("conv2", 192, 5).pool(3, 2)
    net.biased("conv3", 384, 3).biased("conv4", 256, 3).biased("conv5", 256, 3).pool(3, 2)
    return net.linear("fc6", 4096, places=36).linear("fc7", 4096).linear("fc8", 1000)


def _vgg(widths: Mapping[int, int]) -> Chain:
    net, number = Chain(224), 0
    for stage, (repeats, width) in enumerate(zip(widths.values(), (64, 128, 256, 512, 512), strict=True), 1):
        for i in range(1, repeats + 1):
            number += 1
            net.biased(f"conv{stage}_{i}", width, 3)
        net.pool(2, 2)
    return net.linear("fc6", 4096, places=49).linear("fc7", 4096).linear("fc8", 1000)


def vgg16() -> Chain:
    """13 convolutions and 3 fully connected layers."""
    return _vgg({1: 2, 2: 2, 3: 3, 4: 3, 5: 3})


def vgg19() -> Chain:
    """16 convolutions and 3 fully connected layers."""
    return _vgg({1: 2, 2: 2, 3: 4, 4: 4, 5: 4})


def _residual(depths: tuple[int, ...], block: Callable[[Chain, str, int, int], None], *, expansion: int = 4) -> Chain:
    """ResNet: four stages of blocks, each with a convolution beside the first block where the size changes."""
    net = Chain(224).conv("conv1", 64, 7, 2).pool(3, 2, 1)
    for stage, depth in enumerate(depths):
        width = 64 << stage
        for i in range(depth):
            stride = 2 if stage and i == 0 else 1
            name = f"layer{stage + 1}.{i}"
            beside = net.branch()
            block(net, name, width, stride)
            if i == 0 and (stride > 1 or beside.channels != width * expansion):
                net.with_layers(beside.conv(f"{name}.downsample", width * expansion, 1, stride))
    return net.linear("fc", 1000)


def _basic(net: Chain, name: str, width: int, stride: int) -> None:
    net.conv(f"{name}.conv1", width, 3, stride).conv(f"{name}.conv2", width, 3)


def _bottleneck(net: Chain, name: str, width: int, stride: int) -> None:
    net.conv(f"{name}.conv1", width, 1).conv(f"{name}.conv2", width, 3, stride).conv(f"{name}.conv3", 4 * width, 1)


def _grouped(net: Chain, name: str, width: int, stride: int) -> None:
    net.conv(f"{name}.conv1", 2 * width, 1).conv(f"{name}.conv2", 2 * width, 3, stride, groups=32)
    net.conv(f"{name}.conv3", 4 * width, 1)


def resnet18() -> Chain:
    """Blocks of two 3x3 convolutions."""
    return _residual((2, 2, 2, 2), _basic, expansion=1)


def resnet50() -> Chain:
    """Blocks of 1x1, 3x3 and 1x1; the stride is in the 3x3 (version 1.5)."""
    return _residual((3, 4, 6, 3), _bottleneck)


def resnet101() -> Chain:
    """As ResNet-50 with 23 blocks in the third stage."""
    return _residual((3, 4, 23, 3), _bottleneck)


def resnext50() -> Chain:
    """32 groups of 4 channels (32x4d)."""
    return _residual((3, 4, 6, 3), _grouped)


def squeezenet() -> Chain:
    """Version 1.1."""
    net = Chain(224).biased("conv1", 64, 3, 2, 0).pool(3, 2, up=True)
    for number, (between, width) in enumerate(
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)], 2
    ):
        net.biased(f"fire{number}.squeeze", between, 1)
        branches = [net.branch().biased(f"fire{number}.expand{k}x{k}", width, k) for k in (1, 3)]
        net.concatenated(*branches)
        if number in (3, 5):
            net.pool(3, 2, up=True)
    return net.biased("conv10", 1000, 1)


def googlenet() -> Chain:
    """Without the auxiliary classifiers, with 3x3 where the paper has 5x5 (torchvision's)."""
    net = Chain(224).conv("conv1", 64, 7, 2).pool(3, 2, up=True).conv("conv2", 64, 1).conv("conv3", 192, 3).pool(3, 2, up=True)
    for name, sizes in _INCEPTIONS.items():
        one, three_in, three, five_in, five, pooled = sizes
        branches = (
            net.branch().conv(f"{name}.1x1", one, 1),
            net.branch().conv(f"{name}.3x3_reduce", three_in, 1).conv(f"{name}.3x3", three, 3),
            net.branch().conv(f"{name}.5x5_reduce", five_in, 1).conv(f"{name}.5x5", five, 3),
            net.branch().conv(f"{name}.pool", pooled, 1),
        )
        net.concatenated(*branches)
        if name == "inception3b":
            net.pool(3, 2, up=True)
        if name == "inception4e":
            net.pool(2, 2, up=True)
    return net.linear("fc", 1000)


_INCEPTIONS = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


def densenet121() -> Chain:
    """Growth 32; every layer reads all before it in its block."""
    net = Chain(224).conv("conv0", 64, 7, 2).pool(3, 2, 1)
    for stage, depth in enumerate((6, 12, 24, 16), 1):
        for i in range(1, depth + 1):
            name = f"block{stage}.{i}"
            inside = net.branch().conv(f"{name}.conv1", 128, 1).conv(f"{name}.conv2", 32, 3)
            net.with_layers(inside)
            net.normalizations += 2 * net.channels - 2 * 32  # normalized before the products, not after
            net.channels += 32
        if stage < 4:
            net.conv(f"transition{stage}", net.channels // 2, 1).pool(2, 2)
            net.normalizations += 2 * net.channels  # of twice the channels, in front
    net.normalizations += 2 * net.channels
    return net.linear("fc", 1000)


def mobilenet_v1() -> Chain:
    """Width 1, 224 pixels."""
    net = Chain(224).conv("conv1", 32, 3, 2)
    sizes = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for i, (width, stride) in enumerate(sizes, 1):
        net.depthwise(f"conv{i}.depthwise", 3, stride).conv(f"conv{i}.pointwise", width, 1)
    return net.linear("fc", 1000)


def _inverted(net: Chain, name: str, size: tuple[int, int, int, int], squeeze: int = 0) -> None:
    """Expansion, depthwise convolution (with squeeze and excitation), projection; size: inside, outputs, kernel, stride."""
    inside, outputs, kernel, stride = size
    if inside != net.channels:
        net.conv(f"{name}.expand", inside, 1)
    net.depthwise(f"{name}.depthwise", kernel, stride)
    if squeeze:
        net.squeeze(f"{name}.squeeze", squeeze)
    net.conv(f"{name}.project", outputs, 1)


def mobilenet_v2() -> Chain:
    """Width 1, 224 pixels."""
    net, number = Chain(224).conv("conv0", 32, 3, 2), 0
    for factor, outputs, repeats, stride in _MOBILENET_V2:
        for i in range(repeats):
            number += 1
            _inverted(net, f"block{number}", (net.channels * factor, outputs, 3, stride if i == 0 else 1))
    return net.conv("conv18", 1280, 1).linear("fc", 1000)


_MOBILENET_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v3_large() -> Chain:
    """Width 1, 224 pixels."""
    net = Chain(224).conv("conv0", 16, 3, 2)
    for number, (inside, outputs, kernel, stride, squeezed) in enumerate(_MOBILENET_V3, 1):
        _inverted(net, f"block{number}", (inside, outputs, kernel, stride), _eighths(inside // 4) if squeezed else 0)
    return net.conv("conv16", 960, 1).linear("fc1", 1280).linear("fc2", 1000)


def _eighths(width: int) -> int:
    """The multiple of 8 next to a width, at least nine tenths of it."""
    near = max(8, (width + 4) // 8 * 8)
    return near + 8 if near < 0.9 * width else near


_MOBILENET_V3 = (
    (16, 16, 3, 1, False), (64, 24, 3, 2, False), (72, 24, 3, 1, False), (72, 40, 5, 2, True), (120, 40, 5, 1, True),
    (120, 40, 5, 1, True), (240, 80, 3, 2, False), (200, 80, 3, 1, False), (184, 80, 3, 1, False), (184, 80, 3, 1, False),
    (480, 112, 3, 1, True), (672, 112, 3, 1, True), (672, 160, 5, 2, True), (960, 160, 5, 1, True), (960, 160, 5, 1, True),
)  # fmt: skip


def efficientnet_b0() -> Chain:
    """224 pixels."""
    net, number = Chain(224).conv("conv0", 32, 3, 2), 0
    for factor, outputs, repeats, kernel, stride in _EFFICIENTNET:
        for i in range(repeats):
            number += 1
            squeeze, inside = net.channels // 4, net.channels * factor
            _inverted(net, f"block{number}", (inside, outputs, kernel, stride if i == 0 else 1), squeeze)
    return net.conv("conv17", 1280, 1).linear("fc", 1000)


_EFFICIENTNET = ((1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1), (6, 192, 4, 5, 2),
                 (6, 320, 1, 3, 1))  # fmt: skip


def network_of(name: str, chain: Chain, source: str) -> NeuralNetwork:
    """The finished chain."""
    return NeuralNetwork(name=name, layers=tuple(chain.layers), other_parameters=chain.normalizations, source=source)
