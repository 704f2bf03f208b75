"""Named arrays: the right one is read, and every kind of damage has one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.model.density import Coordinates, load_data

PATTERN = np.array([[1, 0, 0, 1], [0, 0, 1, 0], [1, 1, 0, 0]], dtype=bool)


def written(file: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> Path:
    """A .safetensors file: length of the header, header, numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (kind, shape, content) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + len(content)]}
        at += len(content)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(content for *_, content in tensors.values()))
    return file


def bits(values: list[int], size: int) -> bytes:
    return b"".join(value.to_bytes(size, "little") for value in values)


@pytest.mark.parametrize(
    ("kind", "size", "numbers", "nan"),
    [
        ("F32", 4, [0x3F800000, 0x80000000, 0x7F800000, 0], 0x7FC00000),  # 1, -0, infinite, 0
        ("F16", 2, [0x0001, 0x8000, 0x7C00, 0], 0xFE00),
        ("BF16", 2, [0x3F80, 0x8000, 0xFF80, 0], 0x7FC0),
        ("F8_E4M3", 1, [0x38, 0x80, 0x7E, 0], 0xFF),
        ("F8_E5M2", 1, [0x3C, 0x80, 0x7C, 0], 0x7D),
        ("F64", 8, [1 << 51, 1 << 63, 0x7FF0000000000000, 0], 0x7FF8000000000000),
    ],
)
def test_floats(tmp_path: Path, kind: str, size: int, numbers: list[int], nan: int) -> None:
    file = written(tmp_path / "w.safetensors", {"w": (kind, (2, 2), bits(numbers, size))})
    assert np.array_equal(load_data(file, shape=(2, 2)), [[True, False], [True, False]])
    file = written(tmp_path / "w.safetensors", {"w": (kind, (2, 2), bits([0, nan, 0, 0], size))})
    with pytest.raises(ValueError, match=r"element \(0, 1\) is NaN"):
        load_data(file)


def test_one_of_several(tmp_path: Path) -> None:
    one, two = (("I8", (3, 4), (wanted == PATTERN).astype(np.int8).tobytes()) for wanted in (True, False))
    tensors = written(tmp_path / "w.safetensors", {"one": one, "two": two})
    np.savez(tmp_path / "w.npz", one=PATTERN, two=~PATTERN)
    for file in (tensors, tmp_path / "w.npz"):
        assert np.array_equal(load_data(file, array="one"), PATTERN)
        assert np.array_equal(load_data(file, array="two"), ~PATTERN)
        with pytest.raises(ValueError, match="say which with array: NAME; there are: one, two"):
            load_data(file)
        with pytest.raises(ValueError, match="has no array 'three'; there are: one, two"):
            load_data(file, array="three")
    np.save(tmp_path / "w.npy", PATTERN)
    with pytest.raises(ValueError, match="holds no named arrays"):
        load_data(tmp_path / "w.npy", array="one")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not a complete"),
        (bits([1 << 62], 8), "is not a complete"),
        (bits([2], 8) + b"{]", "is not a complete"),
        (bits([2], 8) + b"[]", "is not a complete"),
        (bits([8], 8) + b'{"w": 1}', "does not say where 'w' is"),
    ],
)
def test_damage(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=told):
        load_data(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (("I8", (3, 4), b"123"), "3 bytes for 12 elements"),
        (("C64", (1,), bits([0], 8)), "elements are of type C64"),
        (("I8", (2**20, 2**20), b""), "more than"),
        (("I8", (-1,), b""), "does not say where"),
    ],
)
def test_wrong_tensors(tmp_path: Path, tensor: tuple[str, tuple[int, ...], bytes], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_data(written(tmp_path / "w.safetensors", {"w": tensor}))


def test_a_cut_file(tmp_path: Path) -> None:
    file = written(tmp_path / "w.safetensors", {"w": ("I8", (3, 4), bytes(12))})
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is cut"):
        load_data(file)


@pytest.mark.parametrize(("name", "load"), [("w.pt", r"torch\.load\(FILE, weights_only=True\)"), ("w.pkl", r"pickle\.load")])
def test_pickles_are_refused_with_the_way_to_convert_them(tmp_path: Path, name: str, load: str) -> None:
    (tmp_path / name).write_bytes(b"0")
    with pytest.raises(ValueError, match=rf"could run code, so it is not read; .*{load}.*numpy\.save"):
        load_data(tmp_path / name, shape=(1,))


def test_coordinates_are_transposed_like_arrays() -> None:
    data = np.random.default_rng(0).random((3, 4, 5)) < 0.3
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        assert np.array_equal(Coordinates.of_pattern(data).transposed(order).pattern(), data.transpose(order))


SPEC = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 3, k: 4, n: 2}
  density: {A: {file: FILE, array: w, axes: AXES}}
architecture: {levels: [{name: DRAM, class: dram}, {name: MAC, class: mac}]}
mapping: [DRAM: for m=3 n=2 k=4]
sparse: {DRAM: {formats: {A: B(*)}, skip: [B <- A]}}
"""


def test_axes_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", w=PATTERN.T, other=PATTERN)
    np.savez(tmp_path / "right.npz", w=PATTERN, other=PATTERN)
    swapped = sl.evaluate(sl.loads(SPEC.replace("FILE", str(tmp_path / "w.npz")).replace("AXES", "[k, m]")))
    straight = sl.evaluate(sl.loads(SPEC.replace("FILE", str(tmp_path / "right.npz")).replace("AXES", "[m, k]")))
    assert swapped.to_dict() == straight.to_dict()
    assert swapped.to_dict()["levels"][0]["tensors"]["B"]["reads"]["actual"] == 2 * PATTERN.sum()  # once for each n


@pytest.mark.parametrize(
    ("axes", "told"),
    [("[k, q]", "A has no rank 'q'"), ("[k]", "one rank variable for each of the 2 axes"), ("[m, k]", "has shape")],
)
def test_wrong_axes(tmp_path: Path, axes: str, told: str) -> None:
    np.savez(tmp_path / "w.npz", w=PATTERN.T)
    with pytest.raises(sl.SpecError, match=told):
        sl.evaluate(sl.loads(SPEC.replace("FILE", str(tmp_path / "w.npz")).replace("AXES", axes)))
