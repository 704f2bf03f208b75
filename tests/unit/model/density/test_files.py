"""Pattern files: round trips of every kind, and one clear line for every kind of damage."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sparseloop.model.density import load_pattern

pytestmark = pytest.mark.filterwarnings("error")

PATTERN = np.array([[1, 0, 0, 1], [0, 0, 1, 0], [1, 1, 0, 0]], dtype=bool)
VALUES = np.where(PATTERN, -1.5, 0.0)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32, np.complex128])
def test_numpy_round_trip(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "a.npy", PATTERN.astype(dtype))
    np.savez_compressed(tmp_path / "a.npz", weights=PATTERN.astype(dtype))
    for name in ("a.npy", "a.npz"):
        pattern = load_pattern(tmp_path / name, shape=(3, 4))
        assert pattern.dtype == bool
        assert (pattern == PATTERN).all()


def sparse_arrays(kind: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of SciPy's save_npz."""
    row, column = np.nonzero(values) if kind != "csc" else np.nonzero(values.T)[::-1]
    common = {"format": np.array(kind.encode()), "shape": np.array(values.shape), "data": values[row, column]}
    if kind == "coo":
        return common | {"row": row.astype(np.int32), "col": column.astype(np.int32)}
    lines, inner = (row, column) if kind == "csr" else (column, row)
    pointers = np.searchsorted(lines, np.arange(values.shape[kind == "csc"] + 1))
    return common | {"indices": inner.astype(np.int32), "indptr": pointers.astype(np.int32)}


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_sparse_round_trip(tmp_path: Path, kind: str) -> None:
    arrays = sparse_arrays(kind, VALUES)
    np.savez(tmp_path / "a.npz", **arrays)
    assert (load_pattern(tmp_path / "a.npz") == PATTERN).all()
    arrays["data"][0] = 0  # an explicit zero
    np.savez(tmp_path / "b.npz", **arrays)
    expected = PATTERN.copy()
    expected[0, 0] = False
    assert (load_pattern(tmp_path / "b.npz") == expected).all()


def test_sparse_with_more_axes(tmp_path: Path) -> None:
    pattern = np.random.default_rng(0).random((2, 3, 4)) < 0.4
    coords = np.array(np.nonzero(pattern))
    np.savez(tmp_path / "a.npz", format=b"coo", shape=pattern.shape, data=np.ones(len(coords[0])), coords=coords)
    assert (load_pattern(tmp_path / "a.npz") == pattern).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("coordinate real general\n% c\n\n2 3 3\n1 1 2.5\n2 3 -1e-3\n1 2 0.0\n", [[1, 0, 0], [0, 0, 1]]),
        ("coordinate pattern symmetric\n3 3 2\n2 1\n3 3\n", [[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
        ("coordinate integer skew-symmetric\n2 2 1\n2 1 7\n", [[0, 1], [1, 0]]),
        ("coordinate complex hermitian\n2 2 2\n2 1 0 1\n1 1 0 0\n", [[0, 1], [1, 0]]),
        ("coordinate real general\n2 2 0\n", [[0, 0], [0, 0]]),
        ("array real general\n2 3\n1\n0\n0\n2\n3\n0\n", [[1, 0, 1], [0, 1, 0]]),
        ("array integer symmetric\n2 2\n1\n5\n0\n", [[1, 1], [1, 0]]),
        ("array real skew-symmetric\n3 3\n1\n0\n2\n", [[0, 1, 0], [1, 0, 1], [0, 1, 0]]),
    ],
)
def test_matrix_market(tmp_path: Path, text: str, expected: list[list[int]]) -> None:
    (tmp_path / "a.mtx").write_text("%%MatrixMarket matrix " + text)
    assert load_pattern(tmp_path / "a.mtx").astype(int).tolist() == expected


def test_characters_in_both_orders(tmp_path: Path) -> None:
    file = tmp_path / "mask.txt"
    file.write_text("".join("01"[int(v)] for v in PATTERN.T.reshape(-1)) + "\n")
    assert (load_pattern(file, shape=(3, 4)) == PATTERN).all()
    file.write_text("".join("01"[int(v)] for v in PATTERN.reshape(-1)))
    assert (load_pattern(file, shape=(3, 4), order="last_fastest") == PATTERN).all()
    assert not (load_pattern(file, shape=(3, 4)) == PATTERN).all()


@pytest.mark.parametrize(("form", "separator"), [("%d", " "), ("%d", ","), ("%d", ""), ("%.3f", "\t"), ("%g", ", ")])
def test_lines_of_text_are_rows(tmp_path: Path, form: str, separator: str) -> None:
    np.savetxt(tmp_path / "a.txt", PATTERN * 1, fmt=form, delimiter=separator)
    assert (load_pattern(tmp_path / "a.txt") == PATTERN).all()
    assert (load_pattern(tmp_path / "a.txt", shape=(3, 4)) == PATTERN).all()


MARKET = "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "0110", "has 4 characters, shape .3, 4. needs 12"),
        ("a.txt", "0110\n1001\n", r"its lines are rows of shape .2, 4., but the tensor has shape .3, 4."),
        (
            "a.txt",
            "0 1 1\n1 0\n",
            "lines of text are the rows of a matrix, but the number of columns changed",
        ),
        ("a.txt", "0 1 x 1\n", "could not convert string .x. to float64 at row 0, column 3"),
        ("a.csv", "0,nan\n", "is NaN"),
        ("a.txt", "01102", "character '2' at position 4, allowed are only 0 and 1"),
        ("a.npy", "nonsense", "not a complete NumPy file"),
        ("a.npz", "", "not a complete NumPy file"),
        ("a.mtx", "1 2 3\n", "line 1 is '1 2 3', needed is"),
        ("a.mtx", MARKET, "has 1 entries, line 2 promises 2"),
        ("a.mtx", MARKET + "2 2 nan\n", "entry 2 is '2 2 nan', NaN is not allowed"),
        ("a.mtx", MARKET + "2 3 1\n", r"entry 2 is at .2, 3., allowed are .1, 1. to .2, 2."),
        ("a.mtx", MARKET + "0 1 1\n", r"entry 2 is at .0, 1."),
        ("a.mtx", MARKET + "1.5 1 1\n", "entry 2 has a coordinate that is not an integer"),
        ("a.mtx", MARKET + "2 2\n", "entry 2 is '2 2', needed are 3 numbers"),
        ("a.mtx", MARKET + "2 2 x\n", "an entry is not a number"),
        ("a.mtx", "%%MatrixMarket matrix coordinate real odd\n2 2 0\n", "symmetry 'odd'"),
        ("a.mtx", "%%MatrixMarket matrix array pattern general\n2 2\n", "field 'pattern'"),
        ("a.mtx", "%%MatrixMarket matrix array real symmetric\n2 3\n", "must be square"),
        ("a.mtx", "%%MatrixMarket matrix array real general\n2 x\n", "line 2 is '2 x', needed are 2 integers"),
        ("a.mtx", "%%MatrixMarket matrix array real general\n999999 999999\n", "elements, at most"),
    ],
)
def test_malformed_text(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_pattern(tmp_path / name, shape=(3, 4))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": np.array([0, 3, 2, 0, 4])}, r"entry 4 has coordinate 4 on axis 1, allowed are 0 to 3"),
        ({"indices": np.array([0, 3])}, "coordinates of axis 1"),
        ({"indptr": np.array([0, 2, 3])}, "needed are 4 integers"),
        ({"indptr": np.array([0, 3, 2, 5])}, "must rise from 0 to the 5 entries"),
        ({"data": np.array([1, 1, np.nan, 1, 1])}, r"data: element \(2,\) is NaN"),
        ({"format": np.array(b"dia")}, "format 'dia' is not known"),
        ({"format": np.array(b"coo")}, "coo layout without 'row'"),
    ],
)
def test_malformed_sparse(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **(sparse_arrays("csr", VALUES) | change))
    with pytest.raises(ValueError, match=message):
        load_pattern(tmp_path / "a.npz")


def test_malformed_numpy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:-5])
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.array([1.0, np.nan]))
    np.savez(tmp_path / "two.npz", a=VALUES, b=VALUES)
    for name, message in {
        "short.npy": "not a complete NumPy file",
        "object.npy": "not a complete NumPy file",
        "nan.npy": r"element \(1,\) is NaN",
        "two.npz": "holds 2 arrays; say which with array: NAME; there are: a, b",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_pattern(tmp_path / name)
    with pytest.raises(ValueError, match=r"has shape \(3, 4\), but the tensor has shape \(4, 3\)"):
        load_pattern(tmp_path / "a.npy", shape=(4, 3))
    (tmp_path / "a.bits").write_text("101", encoding="utf-8")
    with pytest.raises(ValueError, match="needs the shape"):
        load_pattern(tmp_path / "a.bits")


# --- strangers' archives ------------------------------------------------------------------------------------


def header(shape: tuple[int, ...]) -> bytes:
    """The beginning of an array of that shape, without its elements."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|b1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def changed(file: Path, local: int, central: int, value: int) -> None:
    """Writes a field of both headers of a zip file."""
    raw = bytearray(file.read_bytes())
    for mark, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = raw.find(mark) + offset
        raw[at : at + 2] = struct.pack("<H", value)
    file.write_bytes(raw)


def test_archives_that_zip_cannot_open_are_one_line(tmp_path: Path) -> None:
    for name, local, central, value in (("encrypted", 6, 8, 1), ("packed", 8, 10, 99)):
        file = tmp_path / f"{name}.npz"
        np.savez(file, a=PATTERN)
        changed(file, local, central, value)
        with pytest.raises(ValueError, match=rf"{name}\.npz: an array in it is damaged or not numeric \(.*\)$"):
            load_pattern(file)


def test_a_matrix_without_a_shape(tmp_path: Path) -> None:
    file = tmp_path / "csr.npz"
    np.savez(
        file, format=np.array("csr"), shape=np.array([], int), data=np.ones(1), indices=np.zeros(1, int), indptr=np.arange(2)
    )
    with pytest.raises(ValueError, match="the shape of a csr matrix has two sizes, here 0"):
        load_pattern(file)


def test_large_arrays_are_refused_by_their_shape(tmp_path: Path) -> None:
    large = header((2**20, 2**15))
    (tmp_path / "large.npy").write_bytes(large)
    with zipfile.ZipFile(tmp_path / "large.npz", "w") as archive:
        archive.writestr("a.npy", large)
    for name in ("large.npy", "large.npz"):
        with pytest.raises(ValueError, match=f"has {2**35} elements, more than {2**32}"):
            load_pattern(tmp_path / name)
