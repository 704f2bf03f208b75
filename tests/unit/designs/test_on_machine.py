"""Networks on machines: every shipped dataflow maps any convolution or product, and what depends on a layer is settled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.designs import FOLDER, machine_files
from sparseloop.designs.on_machine import network_on, position_bits
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.spec import Spec
from tests.unit.input.networks.test_huggingface import EXPERTS, SMALL

EINSUM = "O[n,g,m,p,q] = I[n,g,c,{0}p+r,{0}q+s] * W[g,m,c,r,s]"
SHAPES = {
    "conv": (1, "{n: 1, g: 1, m: 8, c: 8, p: 6, q: 6, r: 3, s: 3}"),
    "strided": (2, "{n: 1, g: 1, m: 8, c: 4, p: 4, q: 4, r: 3, s: 3}"),
    "depthwise": (1, "{n: 1, g: 8, m: 1, c: 1, p: 6, q: 6, r: 3, s: 3}"),
    "product": (1, "{n: 1, g: 1, m: 16, c: 16, p: 8, q: 1, r: 1, s: 1}"),
    "vector": (1, "{n: 1, g: 1, m: 16, c: 16, p: 1, q: 1, r: 1, s: 1}"),
    "batched": (1, "{n: 1, g: 4, m: 8, c: 8, p: 8, q: 1, r: 1, s: 1}"),
}
MACHINES = sorted(path.parent.name for path in FOLDER.glob("*/dataflow.yaml"))


def layer(kind: str, density: str = "{}", name: str = "") -> str:
    stride, shape = SHAPES[kind]
    einsum = EINSUM.format(f"{stride}*" if stride > 1 else "")
    return f'  - {{name: {name or kind}, einsum: "{einsum}", shape: {shape}, density: {density}}}\n'


def on(folder: Path, machine: str, *layers: str) -> list[Spec]:
    file = folder / "net.yaml"
    file.write_text("layers:\n" + "".join(layers), encoding="utf-8")
    return list(network_on(file, machine_files(machine)).per_layer())


def test_every_design_has_a_dataflow() -> None:
    assert sorted(path.parent.name for path in FOLDER.glob("*/architecture.yaml")) == MACHINES


@pytest.mark.parametrize("machine", MACHINES)
def test_every_design_maps_any_layer(tmp_path: Path, machine: str) -> None:
    density = "{W: '2:4 c', I: 0.5, O: 0.5}"
    for spec in on(tmp_path, machine, *(layer(kind, density if kind not in ("depthwise",) else "{I: 0.5}") for kind in SHAPES)):
        best = sl.search(spec, method="genetic", budget=300, seed=1)
        assert best.mapping is not None, f"{spec.workload.name} on {machine}"
        assert best.result is not None
        assert best.result.valid


def test_two_of_four_weights_are_twice_as_fast_on_the_sparse_tensor_core(tmp_path: Path) -> None:
    """64 x 128 x 16 products on 1024 lanes take 128 cycles; of 2:4 weights half, because absent ones take no lane."""
    product = layer("product").replace(SHAPES["product"][1], "{n: 1, g: 1, m: 64, c: 128, p: 16, q: 1, r: 1, s: 1}")
    dense, half = on(tmp_path, "nvidia_stc", product, product.replace("density: {}", "density: {W: '2:4 c'}"))
    cycles = list[float]()
    for spec, lanes in ((dense, 16), (half, 32)):
        mapping = (
            f"mapping:\n  - SMEM: '| keep W I'\n  - subpartitions: m=4\n  - RF: for c={128 // lanes} | keep O\n"
            f"  - cores: x m=16, y c={lanes}\n  - LRF: for p=16 | keep W\n"
        )
        result = sl.evaluate(sl.loads(sl.dumps(spec) + mapping))
        assert result.valid
        assert result.design.mapping in sl.mapspace(spec)
        cycles.append(float(result.cost.levels[-1].cycles))
    assert cycles == pytest.approx([128, 64])


def test_positions_take_the_bits_of_the_group(tmp_path: Path) -> None:
    assert [
        position_bits(one) for one in ("2:4 c", {"model": "structured", "n": 2, "m": 8}, "1:6", "4:8 over 2:4 c", 0.5, None)
    ] == [
        2,
        3,
        3,
        5,
        None,
        None,
    ]
    four, eight, free, dense = on(
        tmp_path, "nvidia_stc", layer("conv", "{W: '2:4 c'}", "a"), layer("conv", "{W: '2:8 c'}", "b"),
        layer("conv", "{W: 0.5}", "c"), layer("conv", "{}", "d"),
    )  # fmt: skip
    assert [one.sparse["LRF"].formats["W"].ranks[0].metadata_bits for one in (four, eight)] == [2, 3]
    for one in (free, dense):
        assert not any(level.formats or level.spatial_skip for level in one.sparse.values())


def test_a_machine_may_take_one_n_m_only_and_says_widths_by_role(tmp_path: Path) -> None:
    densities = ("2:4 c", "1:4 c", "3:4 c", "2:8 c", "4:8 over 2:4 c")
    specs = on(tmp_path, "a100", *(layer("conv", f"{{W: '{one}'}}", f"n{i}") for i, one in enumerate(densities)))
    assert [bool(spec.sparse["registers"].spatial_skip) for spec in specs] == [True, True, False, False, False]
    assert specs[0].workload.word_bits == {"I": 16, "W": 16, "O": 32}


def test_formats_of_dense_tensors_are_left_out(tmp_path: Path) -> None:
    dense, sparse = on(tmp_path, "eyeriss_v1", layer("conv", "{I: 1}", "a"), layer("conv", "{I: 0.5}", "b"))
    assert dense.sparse["DRAM"].formats == {}
    assert set(sparse.sparse["DRAM"].formats) == {"I"}
    assert sparse.sparse["filter_spad"].gate


def test_a_layer_that_has_features_of_its_own_keeps_them(tmp_path: Path) -> None:
    own = layer("conv", "{I: 0.5}").replace("density:", "sparse: {filter_spad: {}}, density:")
    (spec,) = on(tmp_path, "eyeriss_v1", own)
    assert not spec.sparse["filter_spad"].gate
    assert set(spec.sparse["DRAM"].formats) == {"I", "O"}


def test_experts_without_a_token_are_not_fetched(tmp_path: Path) -> None:
    """E (1 - (1 - k/E)^T) of E experts are needed by T tokens that choose k each by themselves."""
    file, machine = tmp_path / "config.json", tmp_path / "machine.yaml"
    file.write_text(json.dumps({**SMALL, **EXPERTS}), encoding="utf-8")
    machine.write_text(
        "architecture: {levels: [{name: DRAM, class: dram}, {name: GLB, class: sram, capacity: 1 MiB}, {name: MAC, class: mac}]}",
        encoding="utf-8",
    )
    layers = network_on(file, [machine], ["dim.seq=4"]).per_layer()
    up = next(one for one in layers if one.workload.name == "expert_up")
    mapped = sl.loads(sl.dumps(up) + "mapping:\n  - DRAM: for g=8\n  - GLB: for m=96 c=64 p=4\n")
    reads = sl.evaluate(mapped).to_dict()["levels"][0]["tensors"]["W"]["reads"]["actual"]
    assert reads == pytest.approx(8 * (1 - (1 - 2 / 8) ** 4) * 64 * 96)


def test_machines_by_name_file_and_folder(tmp_path: Path) -> None:
    assert [path.name for path in machine_files("eyeriss_v1")] == ["architecture.yaml", "dataflow.yaml"]
    assert [path.name for path in machine_files("nvdla/architecture+nvdla/dense")] == ["architecture.yaml", "dense.yaml"]
    (tmp_path / "a.yaml").touch()
    assert machine_files(str(tmp_path)) == (tmp_path / "a.yaml",)
    copied = tmp_path / "copied"
    shutil.copytree(FOLDER / "nvdla", copied)
    assert [path.name for path in machine_files(str(copied))] == ["architecture.yaml", "dataflow.yaml"]
    with pytest.raises(SpecError, match=r"no file, folder or shipped design 'eyeris_v1'\n +did you mean 'eyeriss_v1'"):
        machine_files("eyeris_v1")


def test_a_network_has_layers(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text("workload: {einsum: 'Z[m] = A[m]', shape: {m: 4}}", encoding="utf-8")
    with pytest.raises(SpecError, match="has no layers"):
        network_on(file, machine_files("nvdla"))
    file.write_text("architecture: {levels: []}", encoding="utf-8")
    with pytest.raises(SpecError, match=r"net\.yaml:1:1: error: this is a machine, not a network"):
        network_on(file, machine_files("nvdla"))
    file.write_text("spec: a.yaml\nparameters: {}", encoding="utf-8")
    for network, machine in ((file, machine_files("nvdla")), ("alexnet", (file,))):
        with pytest.raises(SpecError, match=r"net\.yaml:1:1: error: this is a study"):
            network_on(network, machine)
