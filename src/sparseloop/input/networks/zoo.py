"""Networks of the literature by name, each with its source; `sparseloop example --workloads` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from sparseloop.input.diagnostics import Diagnostic, SpecError, did_you_mean
from sparseloop.input.networks import convolutional as conv
from sparseloop.input.networks.huggingface import ModelRun, network_of_config
from sparseloop.input.networks.layers import MatrixSize, NetworkLayer, NeuralNetwork, OtherOperation, matrix_product


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooEntry:
    """A network of the literature: what it is, who published it, and how it is built."""

    title: str
    source: str
    build: Callable[[ModelRun], NeuralNetwork]


def zoo_network(name: str, options: ModelRun | None = None) -> NeuralNetwork:
    """The network of that name; `SpecError` with a hint if there is none. Transformers take `seq`, `batch`, `phase`."""
    plain = name.lower().replace("-", "_").replace(".", "_")
    if plain not in ZOO:
        raise SpecError([Diagnostic(message=f"there is no shipped network '{name}'", hint=did_you_mean(plain, ZOO))])
    entry = ZOO[plain]
    return replace(entry.build(options or ModelRun()), name=plain, source=entry.source)


def _pictures(chain: Callable[[], conv.Chain]) -> Callable[[ModelRun], NeuralNetwork]:
    def build(options: ModelRun) -> NeuralNetwork:
        return _of_samples(conv.network_of("", chain(), ""), options.batch)

    return build


def _of_samples(network: NeuralNetwork, samples: int) -> NeuralNetwork:
    """The network for several samples: n of convolutions, rows of products."""
    if samples == 1:
        return network
    return replace(network, layers=tuple(_layer_of_samples(layer, samples) for layer in network.layers))


def _layer_of_samples(layer: NetworkLayer, samples: int) -> NetworkLayer:
    rank = "p" if layer.type == "linear" else "n"
    windows = layer.windows
    if rank == "p":
        rows = layer.shape["p"] * samples
        windows = (replace(windows[0], inputs=rows, outputs=rows), *windows[1:])
    return replace(layer, shape={**layer.shape, rank: layer.shape[rank] * samples}, windows=windows)


def _configured(config: Mapping[str, Any], seq: int = 1) -> Callable[[ModelRun], NeuralNetwork]:
    """A transformer from its configuration, for `seq` positions unless told otherwise."""

    def build(options: ModelRun) -> NeuralNetwork:
        return network_of_config(config, replace(options, seq=options.seq or seq))

    return build


def dlrm(options: ModelRun) -> NeuralNetwork:
    """The MLPs and the interaction of MLPerf's recommendation model; embeddings of 26 features are looked up."""
    layers, rows, features = list[NetworkLayer](), options.batch, 27
    for part, widths in (("bottom", (13, 512, 256, 128)), ("top", (479, 1024, 1024, 512, 256, 1))):
        for i, (inner, columns) in enumerate(pairwise(widths)):
            size = MatrixSize(rows=rows, inner=inner, columns=columns)
            layers.append(matrix_product(f"{part}.{i}", size, type="linear", bias=True))
        if part == "bottom":
            size = MatrixSize(rows=features, inner=128, columns=features, batch=rows)
            remark = "all pairs; the 351 different ones of two features are used"
            layers.append(replace(matrix_product("interaction", size, type="attention", stored=False), remark=remark))
    looked_up = OtherOperation(type="Embedding", names=("26 tables",), words=26 * 128 * rows, done="looked up: not counted")
    return NeuralNetwork(
        name="dlrm", layers=tuple(layers), others=(looked_up,), notes=("parameters without the embeddings' tables",)
    )


def gcn(options: ModelRun) -> NeuralNetwork:
    """Two layers on Cora: 2708 papers, 10 556 links and as many loops as papers, 1433 words of which 1.27 % occur in a paper."""
    nodes, links, words, hidden, classes = 2708, 10_556 + 2708, 1433, 16, 7
    graph, text = links / nodes**2, 49_216 / (nodes * words)
    layers = list[NetworkLayer]()
    for number, (inner, columns) in enumerate(((words, hidden), (hidden, classes)), 1):
        size = MatrixSize(rows=nodes, inner=inner, columns=columns)
        combine = matrix_product(f"combine{number}", size, type="linear", bias=True)
        layers.append(replace(combine, density={"I": text} if number == 1 else {}))
        spread = matrix_product(
            f"aggregate{number}", MatrixSize(rows=nodes, inner=nodes, columns=columns), type="graph", stored=False
        )
        layers.append(replace(spread, density={"I": graph}))
    return NeuralNetwork(name="gcn", layers=tuple(layers), notes=("the graph is I of aggregate1 and aggregate2",))


def _sizes(kind: str, hidden: int, layers: int, heads: int, more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_type": kind, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, **more
    }  # fmt: skip


_BERT = {"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2}
_TV = "; sizes as in torchvision"
ZOO: Mapping[str, ZooEntry] = {
    "alexnet": ZooEntry(title="AlexNet, one column, 224 pixels", build=_pictures(conv.alexnet),
                        source="Krizhevsky, arXiv 1404.5997 (2014)" + _TV),
    "vgg16": ZooEntry(title="VGG-16", build=_pictures(conv.vgg16), source="Simonyan, Zisserman, ICLR 2015" + _TV),
    "vgg19": ZooEntry(title="VGG-19", build=_pictures(conv.vgg19), source="Simonyan, Zisserman, ICLR 2015" + _TV),
    "googlenet": ZooEntry(title="GoogLeNet without auxiliary classifiers", build=_pictures(conv.googlenet),
                          source="Szegedy et al., CVPR 2015" + _TV),
    "squeezenet1_1": ZooEntry(title="SqueezeNet 1.1", build=_pictures(conv.squeezenet),
                              source="Iandola et al., arXiv 1602.07360 (2016)" + _TV),
    "resnet18": ZooEntry(title="ResNet-18", build=_pictures(conv.resnet18), source="He et al., CVPR 2016" + _TV),
    "resnet50": ZooEntry(title="ResNet-50, version 1.5", build=_pictures(conv.resnet50), source="He et al., CVPR 2016" + _TV),
    "resnet101": ZooEntry(title="ResNet-101, version 1.5", build=_pictures(conv.resnet101), source="He et al., CVPR 2016" + _TV),
    "resnext50": ZooEntry(title="ResNeXt-50, 32x4d", build=_pictures(conv.resnext50), source="Xie et al., CVPR 2017" + _TV),
    "densenet121": ZooEntry(title="DenseNet-121", build=_pictures(conv.densenet121), source="Huang et al., CVPR 2017" + _TV),
    "mobilenet_v1": ZooEntry(title="MobileNet, width 1", build=_pictures(conv.mobilenet_v1),
                             source="Howard et al., arXiv 1704.04861 (2017)"),
    "mobilenet_v2": ZooEntry(title="MobileNet V2, width 1", build=_pictures(conv.mobilenet_v2),
                             source="Sandler et al., CVPR 2018" + _TV),
    "mobilenet_v3_large": ZooEntry(title="MobileNet V3 large", build=_pictures(conv.mobilenet_v3_large),
                                   source="Howard et al., ICCV 2019" + _TV),
    "efficientnet_b0": ZooEntry(title="EfficientNet-B0", build=_pictures(conv.efficientnet_b0),
                                source="Tan, Le, ICML 2019" + _TV),
    "vit_b_16": ZooEntry(
        title="Vision transformer, base, patches of 16", source="Dosovitskiy et al., ICLR 2021",
        build=_configured(_sizes("vit", 768, 12, 12, {"intermediate_size": 3072, "image_size": 224, "patch_size": 16})),
    ),
    "bert_base": ZooEntry(title="BERT base, 384 positions", source="Devlin et al., NAACL 2019",
                          build=_configured(_sizes("bert", 768, 12, 12, {"intermediate_size": 3072, **_BERT}), 384)),
    "bert_large": ZooEntry(title="BERT large, 384 positions", source="Devlin et al., NAACL 2019",
                           build=_configured(_sizes("bert", 1024, 24, 16, {"intermediate_size": 4096, **_BERT}), 384)),
    "gpt2": ZooEntry(
        title="GPT-2 small, 1024 positions", source="Radford et al., OpenAI 2019",
        build=_configured({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257,
                           "n_positions": 1024}, 1024),
    ),
    "gpt2_xl": ZooEntry(
        title="GPT-2 XL, 1024 positions", source="Radford et al., OpenAI 2019",
        build=_configured({"model_type": "gpt2", "n_embd": 1600, "n_layer": 48, "n_head": 25, "vocab_size": 50257,
                           "n_positions": 1024}, 1024),
    ),
    "llama_2_7b": ZooEntry(
        title="Llama 2 7B, 2048 positions", source="Touvron et al., arXiv 2307.09288 (2023)",
        build=_configured(_sizes("llama", 4096, 32, 32, {"intermediate_size": 11008, "vocab_size": 32000}), 2048),
    ),
    "llama_3_8b": ZooEntry(
        title="Llama 3 8B, 2048 positions", source="Grattafiori et al., arXiv 2407.21783 (2024)",
        build=_configured(_sizes("llama", 4096, 32, 32, {"num_key_value_heads": 8, "intermediate_size": 14336,
                                                         "vocab_size": 128256}), 2048),
    ),
    "mixtral_8x7b": ZooEntry(
        title="Mixtral 8x7B, 2 of 8 experts, 2048 positions", source="Jiang et al., arXiv 2401.04088 (2024)",
        build=_configured(_sizes("mixtral", 4096, 32, 32, {
            "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 32000, "num_local_experts": 8,
            "num_experts_per_tok": 2}), 2048),
    ),
    "dlrm": ZooEntry(title="DLRM, sizes of MLPerf", source="Naumov et al., arXiv 1906.00091 (2019)", build=dlrm),
    "gcn": ZooEntry(title="GCN on Cora", source="Kipf, Welling, ICLR 2017", build=gcn),
}  # fmt: skip
"""By name."""
