"""ONNX graphs: folding and inference in turns, branches, loops, files beside the model, quantized tensors, and mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra 'networks' is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from sparseloop.input.diagnostics import SpecError  # noqa: E402
from sparseloop.input.networks.layers import NeuralNetwork  # noqa: E402
from sparseloop.input.networks.onnx_graph import OnnxOptions  # noqa: E402
from sparseloop.input.networks.onnx_network import read_onnx  # noqa: E402
from sparseloop.input.networks.pruning import parse_pruning  # noqa: E402
from sparseloop.input.networks.sources import SourceOptions, read_network  # noqa: E402

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name: str, shape: Any, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def stored(name: str, array: Any) -> Any:
    return numpy_helper.from_array(np.asarray(array), name)


def weights(name: str, *shape: int) -> Any:
    return stored(name, np.ones(shape, np.float32))


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    names = [name if name != "-" else "" for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), name=outputs.split()[0], **attributes)


class Saved:
    """Writes models into a folder and reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, nodes: list[Any], inputs: list[Any], tensors: list[Any], *, version: int = 8, opset: int = 17) -> Path:
        graph = helper.make_graph(nodes, "graph", inputs, [value("y", None)], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version)
        file = self.folder / "model.onnx"
        onnx.save(model, file)
        return file

    def read(self, nodes: list[Any], inputs: list[Any], tensors: list[Any], **options: Any) -> NeuralNetwork:
        return read_onnx(self.save(nodes, inputs, tensors), OnnxOptions(**options))


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path)


def test_sizes_that_are_computed_reach_a_reshape(saved: Saved) -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape first", "batch"),
        node("Concat", "batch rest", "wanted", axis=0),
        node("Reshape", "x wanted", "flat"),
        node("MatMul", "flat w", "y"),
    ]
    tensors = [stored("first", np.array([0], np.int64)), stored("rest", np.array([-1], np.int64)), weights("w", 12, 7)]
    (layer,) = saved.read(nodes, [value("x", ["batch", 3, 4])], tensors, dims={"batch": 5}).layers
    assert (layer.shape["p"], layer.shape["c"], layer.shape["m"]) == (5, 12, 7)


def test_free_axes_are_asked_for(saved: Saved) -> None:
    nodes, tensors = [node("MatMul", "x w", "y")], [weights("w", 4, 7)]
    inputs = [value("x", ["batch", None, 4])]
    with pytest.raises(SpecError, match=r"free axes without a size: batch, x\.1\n +e\.g\. --dim batch=1 --dim x\.1=1"):
        saved.read(nodes, inputs, tensors)
    with pytest.raises(SpecError, match=r"no free axis 'bach'\n +did you mean 'batch'"):
        saved.read(nodes, inputs, tensors, dims={"bach": 1})
    assert saved.read(nodes, inputs, tensors, dims={"batch": 2, "x.1": 3}).layers[0].shape["p"] == 6


def test_old_models_list_stored_tensors_among_their_inputs(saved: Saved) -> None:
    file = saved.save([node("MatMul", "x w", "y")], [value("x", [2, 4]), value("w", [4, 7])], [weights("w", 4, 7)], version=3)
    assert read_onnx(file).layers[0].parameters == 28


@pytest.mark.parametrize("kind", ["Constant", "ConstantOfShape", "Reshape", "Mul"])
def test_weights_come_from_nodes(saved: Saved, kind: str) -> None:
    ones = numpy_helper.from_array(np.ones((4, 7), np.float32), "value")
    made = {
        "Constant": [node("Constant", "", "w", value=ones)],
        "ConstantOfShape": [node("ConstantOfShape", "sizes", "w", value=stored("value", np.array([2.0], np.float32)))],
        "Reshape": [node("Reshape", "flat sizes", "w")],
        "Mul": [node("Mul", "dense mask", "w")],
    }[kind]
    mask = np.zeros((4, 7), np.float32)
    mask[::2] = 1
    tensors = [stored("sizes", np.array([4, 7], np.int64)), weights("flat", 28), weights("dense", 4, 7), stored("mask", mask)]
    (layer,) = saved.read([*made, node("MatMul", "x w", "y")], [value("x", [2, 4])], tensors).layers
    assert layer.parameters == 28
    assert layer.weights.shape == (1, 7, 4, 1, 1)
    assert np.count_nonzero(layer.weights) == (14 if kind == "Mul" else 28)


# --- branches and loops -------------------------------------------------------------------------------------


def branches(*, scalar: str) -> list[Any]:
    """A wide and a narrow network behind a condition."""

    def graph(name: str, width: int) -> Any:
        product = node("MatMul", f"x {name}_w", f"{name}_y")
        return helper.make_graph([product], name, [], [value(f"{name}_y", None)], [weights(f"{name}_w", 4, width)])

    test = node("Equal", f"{scalar} sixteen", "wide")
    return [test, node("If", "wide", "y", then_branch=graph("one", 70), else_branch=graph("two", 30))]


@pytest.mark.parametrize(("rate", "columns"), [(16000, 70), (8000, 30)])
def test_the_branch_of_a_condition_that_is_set(saved: Saved, rate: int, columns: int) -> None:
    inputs, tensors = [value("x", [2, 4]), value("sr", [], INT)], [stored("sixteen", np.array(16000, np.int64))]
    network = saved.read(branches(scalar="sr"), inputs, tensors, values={"sr": rate})
    assert [layer.shape["m"] for layer in network.layers] == [columns]
    with pytest.raises(SpecError, match=r"If 'y': which branch is taken is not known\n +e\.g\. --set input\.sr=1"):
        saved.read(branches(scalar="sr"), inputs, tensors)
    with pytest.raises(SpecError, match="the model has no input 'rs'"):
        saved.read(branches(scalar="sr"), inputs, tensors, values={"rs": 1})


def loop(count: Any, *, ends: bool = False) -> tuple[list[Any], list[Any]]:
    body = [node("Identity", "go" if not ends else "data_says", "go_on"), node("MatMul", "h loop_w", "h_next")]
    inside = [value("i", [], INT), value("go", [], BOOL), value("h", [2, 4])]
    graph = helper.make_graph(
        body, "body", inside, [value("go_on", [], BOOL), value("h_next", [2, 4])], [weights("loop_w", 4, 4)]
    )
    tensors = [] if count is None else [stored("count", np.array(count, np.int64))]
    return [node("Loop", "count - x", "y", body=graph)], tensors


def test_a_loop_is_run_as_often_as_it_says(saved: Saved) -> None:
    nodes, tensors = loop(5)
    (layer,) = saved.read(nodes, [value("x", [2, 4])], tensors).layers
    assert (layer.times, layer.multiplications, layer.parameters) == (5, 5 * 32, 16)
    nodes, tensors = loop(None)
    with pytest.raises(SpecError, match="Loop 'y': how often it is run is not known"):
        saved.read(nodes, [value("x", [2, 4]), value("count", [], INT)], tensors)
    nodes, tensors = loop(5, ends=True)
    with pytest.raises(SpecError, match="Loop 'y': it ends when the data say so"):
        saved.read(nodes, [value("x", [2, 4]), value("data_says", [], BOOL)], tensors)


def test_a_scan_is_run_once_per_row(saved: Saved) -> None:
    body = [node("MatMul", "h scan_w", "product"), node("Add", "product row", "h_next"), node("Identity", "h_next", "out")]
    graph = helper.make_graph(
        body,
        "body",
        [value("h", [1, 4]), value("row", [1, 4])],
        [value("h_next", [1, 4]), value("out", [1, 4])],
        [weights("scan_w", 4, 4)],
    )
    nodes = [node("Scan", "start rows", "last y", body=graph, num_scan_inputs=1)]
    (layer,) = saved.read(nodes, [value("start", [1, 4]), value("rows", [6, 1, 4])], []).layers
    assert (layer.times, layer.shape["p"]) == (6, 1)


# --- quantized tensors --------------------------------------------------------------------------------------


def test_zero_is_the_zero_point(saved: Saved) -> None:
    kernel = np.array([[0, 7, 7], [1, 2, 7]], np.uint8)
    tensors = [stored("w", kernel), stored("zero", np.array(7, np.uint8)), stored("x_zero", np.array(3, np.uint8))]
    (layer,) = saved.read(
        [node("MatMulInteger", "x w x_zero zero", "y")], [value("x", [4, 2], TensorProto.UINT8)], tensors
    ).layers
    assert np.count_nonzero(layer.weights) == 3
    assert layer.word_bits == {"I": 8, "W": 8, "O": 32}


def test_quantized_values_of_a_convolution_of_floats(saved: Saved) -> None:
    kernel = np.array([[[[5]], [[9]]]], np.int8)
    nodes = [
        node("QuantizeLinear", "x scale x_zero", "small"),
        node("DequantizeLinear", "small scale x_zero", "data"),
        node("DequantizeLinear", "w scale zero", "kernel"),
        node("Conv", "data kernel", "y"),
    ]
    tensors = [stored("w", kernel), stored("zero", np.array(5, np.int8)), stored("x_zero", np.array(5, np.uint8)),
               stored("scale", np.array(0.5, np.float32))]  # fmt: skip
    (layer,) = saved.read(nodes, [value("x", [1, 2, 3, 3])], tensors).layers
    assert layer.word_bits == {"I": 8, "W": 8}
    assert layer.weights.ravel().tolist() == [0, 2]


# --- files beside the model, mistakes -----------------------------------------------------------------------


def outside(saved: Saved, location: str, *, offset: int = 0) -> Path:
    file = saved.save([node("MatMul", "x w", "y")], [value("x", [2, 4])], [weights("w", 4, 7)])
    model = onnx.load(file)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", str(offset))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    onnx.save(model, file)
    return file


def test_weights_in_a_file_beside_the_model(saved: Saved) -> None:
    np.arange(29, dtype=np.float32).tofile(saved.folder / "weights.bin")
    (layer,) = read_onnx(outside(saved, "weights.bin", offset=4)).layers
    assert layer.weights.reshape(7, 4)[0].tolist() == [1, 8, 15, 22]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("missing.bin", r"tensor 'w' is in the file missing\.bin, which is missing"),
        ("../weights.bin", r"tensor 'w' is in '\.\./weights\.bin', outside the folder"),
        ("/etc/passwd", "outside the folder of the model"),
        ("link.bin", "outside the folder of the model"),
        ("short.bin", r"tensor 'w' goes beyond the end of short\.bin \(8 bytes\)"),
    ],
)
def test_files_that_are_not_read(saved: Saved, tmp_path_factory: pytest.TempPathFactory, location: str, message: str) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "weights.bin"
    np.zeros(28, np.float32).tofile(elsewhere)
    (saved.folder / "link.bin").symlink_to(elsewhere)
    np.zeros(2, np.float32).tofile(saved.folder / "short.bin")
    with pytest.raises(SpecError, match=message):
        read_onnx(outside(saved, location))


def test_operators_of_the_future(saved: Saved) -> None:
    file = saved.save([node("MatMul", "x w", "y")], [value("x", [2, 4])], [weights("w", 4, 7)], opset=999)
    with pytest.raises(SpecError, match="operators of version 999"):
        read_onnx(file)


def test_what_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"\x00\x01nonsense" * 20)
    with pytest.raises(SpecError, match=r"model\.onnx: error: this is no ONNX model"):
        read_onnx(file)
    with pytest.raises(SpecError, match="cannot read the file: No such file"):
        read_onnx(tmp_path / "other.onnx")


def test_what_is_left_out_is_listed(saved: Saved) -> None:
    nodes = [
        node("MatMul", "x w", "h"),
        node("Relu", "h", "r"),
        helper.make_node("Magic", ["r"], ["m"], name="magic", domain="elsewhere"),
        node("MatMul", "m w", "y"),
    ]
    network = saved.read(nodes, [value("x", [2, 4])], [weights("w", 4, 7)])
    assert [layer.name for layer in network.layers] == ["h"]
    listed = {(other.type, other.names, other.done) for other in network.others}
    assert ("Relu", ("r",), "no product: not counted") in listed
    assert ("Magic", ("magic",), "no product: not counted") in listed
    assert ("MatMul", ("y",), "left out: the shape of input 0 is not known") in listed


def test_attributes_that_do_not_fit(saved: Saved) -> None:
    with pytest.raises(SpecError, match=r"node 'y' \(Conv\): its attributes and shapes do not fit|no product whose shapes"):
        saved.read([node("Conv", "x w", "y", group=3)], [value("x", [1, 4, 5, 5])], [weights("w", 4, 2, 3, 3)])


def test_layers_of_one_name_are_told_apart(saved: Saved) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="n"), helper.make_node("MatMul", ["a", "w"], ["y"], name="n")]
    assert [layer.name for layer in saved.read(nodes, [value("x", [2, 4])], [weights("w", 4, 4)]).layers] == ["n", "n-2"]


def test_zeros_of_weights_are_measured_and_pruned(saved: Saved) -> None:
    array = np.random.default_rng(3).standard_normal((8, 6)).astype(np.float32)
    array[::2] = 0
    file = saved.save([node("MatMul", "x w", "y")], [value("x", [2, 8])], [stored("w", array)])
    half = read_onnx(file)
    assert half.layers[0].density == {"W": {"model": "structured", "n": 1, "m": 2, "rank": "c"}}
    assert "weights 0.5 non-zero" in half.notes[0]
    quarter = read_onnx(file, prune=parse_pruning("1:4"))
    assert quarter.layers[0].density == {"W": {"model": "structured", "n": 1, "m": 4, "rank": "c"}}
    kept = read_onnx(file, prune=parse_pruning("1:3"))
    assert "not pruned" in kept.notes[0]


def test_layers_are_pruned_by_name_and_all_by_one_threshold(saved: Saved) -> None:
    small, large = (np.random.default_rng(3).standard_normal((8, 8)).astype(np.float32) * size for size in (1, 100))
    nodes = [helper.make_node("MatMul", ["x", "v"], ["y"], "a_small"), helper.make_node("MatMul", ["y", "w"], ["z"], "b_large")]
    file = saved.save(nodes, [value("x", [2, 8])], [stored("v", small), stored("w", large)])

    def kept(*options: str) -> list[float]:
        layers = read_network(file, SourceOptions().with_values([f"network.{one}" for one in options])).layers
        return [round(float((layer.weights != 0).mean()), 3) for layer in layers]

    assert kept("prune=0.5") == [0.5, 0.5]
    assert kept("prune=0.5", "prune_layers=b*") == [1.0, 0.5]
    assert kept("prune=0.5", "prune_global=true")[1] > 0.95
    for options, message in (
        (("prune=0.5", "prune_layers=c*"), r"no layer with stored weights is called 'c\*'"),
        (("prune=2:4", "prune_global=true"), "2:4 keeps 2 of every 4 weights in all layers alike"),
        (("prune_layers=b*",), "says how --prune prunes, which is not given"),
    ):
        with pytest.raises(SpecError, match=message):
            kept(*options)


def test_weights_that_are_no_numbers(saved: Saved) -> None:
    array = np.full((4, 7), np.nan, np.float32)
    file = saved.save([node("MatMul", "x w", "y")], [value("x", [2, 4])], [stored("w", array)])
    with pytest.raises(SpecError, match=r"node 'y' \(MatMul\): its weights are not all finite"):
        read_onnx(file)


def test_zeros_of_activations_from_a_run(saved: Saved) -> None:
    pytest.importorskip("onnxruntime", reason="the extra 'networks' is not installed")
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r w", "y")]
    file = saved.save(nodes, [value("x", [1, 4])], [stored("w", np.eye(4, dtype=np.float32))])
    samples = np.array([[[1, -1, -1, -1]], [[1, 1, 1, -1]], [[2, 0, 3, 0]]], np.float32)
    np.savez(saved.folder / "batch.npz", x=samples)
    first, second = read_onnx(file, inputs=str(saved.folder / "batch.npz")).layers
    assert first.density["I"] == {"density": pytest.approx((1 + 1 + 0.5) / 3, abs=1e-6)}
    assert second.density["I"] == {"density": pytest.approx((0.25 + 0.75 + 0.5) / 3)}
    assert "I" not in read_onnx(file).layers[1].density
    np.savez(saved.folder / "other.npz", z=samples)
    with pytest.raises(SpecError, match="lacks the input 'x'"):
        read_onnx(file, inputs=str(saved.folder / "other.npz"))
    with pytest.raises(SpecError, match="cannot read the inputs"):
        read_onnx(file, inputs=str(saved.folder / "nothing.npz"))
    np.savez(saved.folder / "wide.npz", x=np.zeros((2, 1, 9), np.float32))
    with pytest.raises(SpecError, match=r"the model cannot be run on .* Got: 9 Expected: \d+ "):
        read_onnx(file, inputs=str(saved.folder / "wide.npz"))
