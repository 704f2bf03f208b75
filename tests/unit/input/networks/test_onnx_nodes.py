"""Every node that becomes a layer, evaluated by NumPy through its einsum, gives what onnxruntime gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra 'networks' is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'networks' is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from sparseloop.input.networks.onnx_file import load_onnx  # noqa: E402
from sparseloop.input.networks.onnx_graph import LoweredNode, OnnxOptions  # noqa: E402
from sparseloop.input.networks.onnx_network import lowered_nodes  # noqa: E402
from tests.helpers.canonical import model_of, output_of, random_inputs  # noqa: E402


def agrees(lowered: LoweredNode, opsets: dict[str, int], rng: np.random.Generator) -> None:
    """Compares one node; floats to single precision over sums of many terms, requantized integers to one step."""
    node = lowered.node
    values = random_inputs(node, lowered.inputs, rng)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model_of(node, values, opsets).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {name: value for name, value in zip(node.input, values, strict=False) if value is not None and name}
    (theirs,) = session.run(None, feeds)
    ours = output_of(node, lowered.layers, values)
    assert ours.shape == theirs.shape
    if theirs.dtype.kind in "iu":
        step = 1 if "QLinear" in node.op_type else 0  # a half is rounded either way after float32 scales
        assert np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).max() <= step
    else:
        scale = max(1e-6, float(np.abs(theirs).max()))
        assert np.abs(ours - theirs).max() <= 1e-4 * scale  # single precision, sums of up to 25 088 terms


class Case(NamedTuple):
    """One node: its attributes, shapes (or arrays) of its inputs, of which those after the first are stored."""

    kind: str
    attributes: dict[str, Any]
    inputs: tuple[Any, ...]
    stored: bool = True


FLOAT = np.float32


def ints(*shape: int, kind: Any = np.int8, seed: int = 3) -> Any:
    limits = np.iinfo(kind)
    return np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape).astype(kind)


def f(value: float) -> Any:
    return np.array(value, FLOAT)


CASES = {
    "conv": Case("Conv", {"pads": [1, 1, 1, 1]}, ((2, 3, 9, 8), (4, 3, 3, 3), (4,))),
    "strided": Case("Conv", {"pads": [0, 1, 2, 1], "strides": [2, 3]}, ((1, 3, 11, 12), (5, 3, 3, 2))),
    "dilated": Case("Conv", {"pads": [2, 2, 2, 2], "dilations": [2, 2]}, ((1, 2, 9, 9), (3, 2, 3, 3))),
    "grouped": Case("Conv", {"group": 3}, ((1, 6, 7, 7), (9, 2, 3, 3))),
    "depthwise": Case("Conv", {"group": 4, "pads": [1, 1, 1, 1]}, ((2, 4, 6, 6), (4, 1, 3, 3), (4,))),
    "multiplied": Case("Conv", {"group": 2}, ((1, 2, 6, 6), (6, 1, 3, 3))),
    "same_upper": Case("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, ((1, 2, 8, 7), (3, 2, 4, 4))),
    "same_lower": Case("Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, ((1, 2, 8, 7), (3, 2, 4, 4))),
    "one_axis": Case("Conv", {"strides": [2], "pads": [1, 0]}, ((2, 3, 10), (4, 3, 3), (4,))),
    "three_axes": Case("Conv", {"pads": [1] * 6, "strides": [1, 2, 1]}, ((1, 2, 5, 6, 7), (3, 2, 3, 3, 3))),
    "up": Case("ConvTranspose", {"strides": [2, 2]}, ((1, 3, 4, 5), (3, 2, 2, 2), (2,))),
    "up_padded": Case(
        "ConvTranspose", {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}, ((1, 4, 4, 5), (4, 2, 3, 3))
    ),
    "up_grouped": Case("ConvTranspose", {"strides": [3], "group": 2, "dilations": [2]}, ((2, 4, 5), (4, 3, 3))),
    "gemm": Case("Gemm", {"transB": 1, "alpha": 0.5}, ((3, 5), (4, 5), (4,))),
    "gemm_turned": Case("Gemm", {"transA": 1}, ((5, 3), (5, 4))),
    "matmul": Case("MatMul", {}, ((2, 3, 5), (5, 4))),
    "matmul_batched": Case("MatMul", {}, ((2, 3, 4, 5), (2, 3, 5, 6)), False),
    "matmul_broadcast": Case("MatMul", {}, ((2, 1, 4, 5), (3, 5, 6)), False),
    "matmul_vector": Case("MatMul", {}, ((7,), (7, 5))),
    "matmul_column": Case("MatMul", {}, ((2, 4, 7), (7,))),
    "matmul_ones": Case("MatMul", {}, ((1, 4, 1), (1, 6))),
    "einsum": Case("Einsum", {"equation": "bqhd,bkhd->bhqk"}, ((2, 3, 4, 5), (2, 6, 4, 5)), False),
    "einsum_stored": Case("Einsum", {"equation": "btd,dhe->bthe"}, ((2, 3, 4), (4, 5, 6))),
    "lstm": Case("LSTM", {"hidden_size": 5}, ((4, 2, 3), (1, 20, 3), (1, 20, 5), (1, 40))),
    "lstm_both_ways": Case("LSTM", {"hidden_size": 5, "direction": "bidirectional"},
                           ((4, 2, 3), (2, 20, 3), (2, 20, 5), (2, 40))),
    "gru": Case("GRU", {"hidden_size": 4, "linear_before_reset": 1}, ((3, 2, 3), (1, 12, 3), (1, 12, 4), (1, 24))),
    "rnn": Case("RNN", {"hidden_size": 4, "direction": "reverse"}, ((3, 2, 3), (1, 4, 3), (1, 4, 4))),
    "conv_integer": Case(
        "ConvInteger", {"pads": [1, 1, 1, 1]},
        (ints(1, 3, 6, 6, kind=np.uint8), ints(4, 3, 3, 3, kind=np.uint8), np.array(120, np.uint8), np.array(131, np.uint8)),
    ),
    "matmul_integer": Case(
        "MatMulInteger", {}, (ints(3, 5, kind=np.uint8), ints(5, 4), np.array(120, np.uint8), np.array(3, np.int8))
    ),
    "qlinear_conv": Case(
        "QLinearConv", {"pads": [1, 1, 1, 1]},
        (ints(1, 3, 6, 6, kind=np.uint8), f(0.02), np.array(120, np.uint8),
         ints(4, 3, 3, 3), f(0.01), np.array(0, np.int8), f(0.4),
         np.array(128, np.uint8), np.arange(4, dtype=np.int32)),
    ),
    "qlinear_matmul": Case(
        "QLinearMatMul", {},
        (ints(3, 5, kind=np.uint8), f(0.02), np.array(120, np.uint8),
         ints(5, 4, kind=np.uint8), f(0.01), np.array(7, np.uint8), f(0.4),
         np.array(128, np.uint8)),
    ),
}  # fmt: skip


def model_file(case: Case, folder: Path) -> Path:
    """A model of one node; the first input is computed, the others are stored if the case says so."""
    rng = np.random.default_rng(1)
    names = [f"in{i}" for i in range(len(case.inputs))]
    arrays = [np.asarray(rng.standard_normal(one), FLOAT) if isinstance(one, tuple) else one for one in case.inputs]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, arrays, strict=True)
    ]
    kept = 1 if case.stored else len(arrays)
    stored = [numpy_helper.from_array(a, n) for a, n in zip(arrays[kept:], names[kept:], strict=True)]
    node = helper.make_node(case.kind, names, ["out"], name="node", **case.attributes)
    graph = helper.make_graph(
        [node], "graph", infos[:kept], [helper.make_tensor_value_info("out", TensorProto.UNDEFINED, None)], stored
    )
    file = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    return file


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_product(name: str, tmp_path: Path) -> None:
    file = model_file(CASES[name], tmp_path)
    (lowered,) = lowered_nodes(file)
    agrees(lowered, {"": 17}, np.random.default_rng(2))


class Trained(NamedTuple):
    package: str
    file: str
    dims: dict[str, int] = {}  # noqa: RUF012
    values: dict[str, float] = {}  # noqa: RUF012
    nodes: int = 0


LIGHT = "backend/test/data/light/light_{}.onnx"
MODELS = {
    "zfnet512": Trained("onnx", LIGHT.format("zfnet512"), nodes=8),
    "squeezenet": Trained("onnx", LIGHT.format("squeezenet"), nodes=26),
    "resnet50": Trained("onnx", LIGHT.format("resnet50"), nodes=54),
    "shufflenet": Trained("onnx", LIGHT.format("shufflenet"), nodes=50),
    "alexnet": Trained("onnx", LIGHT.format("bvlc_alexnet"), nodes=8),
    "inception_v1": Trained("onnx", LIGHT.format("inception_v1"), nodes=58),
    "inception_v2": Trained("onnx", LIGHT.format("inception_v2"), nodes=70),
    "densenet121": Trained("onnx", LIGHT.format("densenet121"), nodes=121),
    "vgg19": Trained("onnx", LIGHT.format("vgg19"), nodes=19),
    "ppocr_cls": Trained("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
                         {"x.0": 1, "x.2": 48, "x.3": 192}, nodes=54),
    "ppocr_rec": Trained("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx",
                         {"p2o.DynamicDimension.0": 1, "x.2": 48, "p2o.DynamicDimension.1": 320}, nodes=51),
    "ppocr_det": Trained("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx",
                         {"p2o.DynamicDimension.0": 1, "p2o.DynamicDimension.1": 320, "p2o.DynamicDimension.2": 320}, nodes=64),
    "ddddocr": Trained("ddddocr", "common.onnx", {"image_width": 100}, nodes=23),
    "ddddocr_det": Trained("ddddocr", "common_det.onnx", nodes=83),
    "ddddocr_int8": Trained("ddddocr", "common_old.onnx", {"image_width": 100}, nodes=23),
    "silero": Trained("silero_vad", "data/silero_vad.onnx", {"input.0": 1, "input.1": 576, "state.1": 1}, {"sr": 16000}, 7),
    "silero_ifless": Trained("silero_vad", "data/silero_vad_op18_ifless.onnx", {"batch": 1, "sequence": 576}, {"sr": 16000}, 8),
    "basic_pitch": Trained("basic_pitch", "saved_models/icassp_2022/nmp.onnx", {"unk__749": 1}, nodes=32),
}  # fmt: skip
NOT_ALONE = ("DynamicQuantizeLSTM",)
"""onnxruntime's own operator: its two products are those of the LSTM, which is compared."""


LONG = ("vgg19", "zfnet512", "densenet121", "alexnet", "inception_v1")
"""10 to 40 seconds each; left out unless slow tests are asked for."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in MODELS])
def test_all_nodes_of_a_model(name: str) -> None:
    model = MODELS[name]
    spec = importlib.util.find_spec(model.package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {model.package}, whose network this is, is not installed")
    file = Path(spec.submodule_search_locations[0]) / model.file
    nodes = lowered_nodes(file, OnnxOptions(dims=model.dims, values=model.values))
    assert len(nodes) == model.nodes
    rng = np.random.default_rng(4)
    seen = set[str]()
    for lowered in nodes:
        key = str((lowered.node.op_type, [layer.einsum for layer in lowered.layers], [layer.shape for layer in lowered.layers],
                   sorted(str(a) for a in lowered.node.attribute)))  # fmt: skip
        if lowered.node.op_type not in NOT_ALONE and key not in seen:
            agrees(lowered, dict(load_onnx(file).opsets), rng)
        seen.add(key)
