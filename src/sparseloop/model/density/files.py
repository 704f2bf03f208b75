"""Reading non-zero patterns from NumPy, SciPy (sparse .npz), Matrix Market and text files."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from sparseloop.model.density.base import Pattern
from sparseloop.model.density.index import Coordinates
from sparseloop.model.density.tensor_files import chosen_array, read_safetensors

Order = Literal["first_fastest", "last_fastest"]

PACKED = (".gz", ".bz2", ".xz", ".zip", ".tar", ".tgz", ".zst")
"""Endings of archives and compressed files, as matrices are published."""
PICKLED = (".pt", ".pth", ".pkl", ".pickle")
"""Endings of files that are programs for Python's unpickler."""
DENSE_LIMIT = 2**32
"""Largest number of elements of a pattern (one byte each)."""
DENSE_SPARSE = 2**22
"""Largest number of elements at which sparse files are read into a dense pattern."""
FIELD_COLUMNS = {"pattern": 0, "integer": 1, "real": 1, "double": 1, "complex": 2}
SYMMETRIES = ("general", "symmetric", "skew-symmetric", "hermitian")


def load_pattern(path: str | Path, *, shape: tuple[int, ...] | None = None, order: Order = "first_fastest") -> Pattern:
    """As `load_data`, always as a dense pattern; ValueError above 2^32 elements."""
    data = load_data(path, shape=shape, order=order)
    if not isinstance(data, Coordinates):
        return data
    _check_dense(Path(path), data.shape)
    return data.pattern()


def load_data(
    path: str | Path, *, shape: tuple[int, ...] | None = None, order: Order = "first_fastest", array: str | None = None
) -> Pattern | Coordinates:
    """The non-zeros in a .npy, .npz (one array, or SciPy's CSR/CSC/COO), .mtx, .safetensors, or text file.

    `array` names the one that is meant in a .npz or .safetensors file with several.

    Large sparse files give coordinates, all others a pattern. Text in one line needs the shape, and `order` says which axis
    varies fastest in it; lines of text are the rows of a matrix. A given shape is checked for the other kinds.
    """
    file = Path(path)
    ending = file.suffix.lower()
    readers = {
        ".npy": _read_npy,
        ".npz": partial(_read_npz, array=array),
        ".mtx": _read_matrix_market,
        ".safetensors": partial(read_safetensors, array=array, limit=DENSE_LIMIT),
    }
    if array is not None and ending not in (".npz", ".safetensors"):
        raise ValueError(f"{file}: holds no named arrays, as .npz and .safetensors do")
    if ending in PICKLED:
        raise ValueError(_not_run(file, ending))
    reader = readers.get(ending)
    if reader is None:
        file.stat()  # a file that is not there has no kind
        if ending in PACKED:
            raise ValueError(f"{file}: is compressed and not read as it is; unpack it first")
        return _read_characters(file, shape, order)
    data = reader(file)
    if shape is not None and data.shape != tuple(shape):
        raise ValueError(f"{file}: has shape {data.shape}, but the tensor has shape {tuple(shape)}")
    return data


def _not_run(file: Path, ending: str) -> str:
    """Why a pickled file is refused, and the lines that turn it into one that is read."""
    torch = ending in (".pt", ".pth")
    load = "torch.load(FILE, weights_only=True)" if torch else "pickle.load(open(FILE, 'rb'))"
    numbers = "tensors[NAME].float().numpy()" if torch else "tensors[NAME]"
    return (
        f"{file}: loading it could run code, so it is not read; if you trust it, convert it once in Python: "
        f"tensors = {load}; numpy.save('w.npy', {numbers})"
    )


def as_pattern(name: str, values: npt.NDArray[Any]) -> Pattern:
    """True where a number is not zero; ValueError for anything but numbers, and for NaN."""
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name}: elements are of type {array.dtype}, needed are numbers or booleans")
    if array.dtype.kind in "fc":
        bad = np.isnan(array)
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"{name}: element {place} is NaN, needed are numbers (0 or non-zero)")
    return array != 0


def _read_npy(file: Path) -> Pattern:
    return as_pattern(str(file), _load(file))


def _read_npz(file: Path, array: str | None = None) -> Pattern | Coordinates:
    archive = _load(file)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError(f"{file}: is a single array, not an archive; name it .npy")
    try:
        with archive:
            _check_headers(file)
            arrays: dict[str, npt.NDArray[Any]] = {name: archive[name] for name in archive.files}
    except _DAMAGED as error:
        raise ValueError(f"{file}: an array in it is damaged or not numeric ({_first_line(error)})") from error
    if array is None and "format" in arrays and "shape" in arrays:
        return _sparse_pattern(file, arrays)
    return as_pattern(str(file), arrays[chosen_array(file, sorted(arrays), array)])


def _load(file: Path) -> Any:
    """np.load without pickle, failures as a one-line ValueError."""
    try:
        with warnings.catch_warnings(action="ignore"), file.open("rb") as stream:
            if stream.read(len(_NPY)) == _NPY:
                stream.seek(0)
                _check_header(file, stream)
        with warnings.catch_warnings(action="ignore"):
            return np.load(file, allow_pickle=False)
    except _DAMAGED as error:
        raise ValueError(f"{file}: is not a complete NumPy file of numbers ({_first_line(error)})") from error


_NPY = b"\x93NUMPY"
_DAMAGED = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, KeyError, OverflowError)
"""What NumPy and zipfile raise for archives that are cut, encrypted or packed in ways they do not know."""


def _check_headers(file: Path) -> None:
    """Raises ValueError if an array of an archive is too large, before any memory is taken for it."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as stream:
                _check_header(file, stream)


def _check_header(file: Path, stream: Any) -> None:
    """The same for one array, by what its beginning says of its shape."""
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    shape = read(stream)[0] if read else ()
    if math.prod(shape) > DENSE_LIMIT:
        raise ValueError(f"{file}: has {math.prod(shape)} elements, more than {DENSE_LIMIT}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _sparse_pattern(file: Path, arrays: dict[str, npt.NDArray[Any]]) -> Pattern | Coordinates:
    """A sparse matrix as stored by SciPy's save_npz: formats csr, csc, coo."""
    kind = arrays["format"].item()
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    axes = {"csr": ("indices", "indptr"), "csc": ("indices", "indptr"), "coo": ("row", "col")}
    if kind not in axes:
        raise ValueError(f"{file}: sparse format {kind!r} is not known; save it as csr, csc or coo")
    wanted = ("coords",) if kind == "coo" and "coords" in arrays else axes[kind]
    missing = [name for name in ("data", *wanted) if name not in arrays]
    if missing:
        raise ValueError(f"{file}: {kind} layout without {missing[0]!r}; it needs data, {', '.join(wanted)} and shape")
    shape = tuple(int(s) for s in arrays["shape"].reshape(-1))
    if len(shape) != 2 and wanted != ("coords",):
        raise ValueError(f"{file}: the shape of a {kind} matrix has two sizes, here {len(shape)}")
    nonzero = as_pattern(f"{file}: data", arrays["data"]).reshape(-1)
    if wanted == ("coords",):
        coordinates = list(arrays["coords"])
    elif kind == "coo":
        coordinates = [arrays["row"], arrays["col"]]
    else:
        lines = _expanded(file, arrays["indptr"], len(nonzero), shape[kind == "csc"])
        coordinates = [lines, arrays["indices"]] if kind == "csr" else [arrays["indices"], lines]
    return _scattered(file, shape, coordinates, nonzero)


def _expanded(file: Path, pointers: npt.NDArray[Any], entries: int, lines: int) -> npt.NDArray[np.int64]:
    """The line (row of csr, column of csc) of each entry."""
    if pointers.dtype.kind not in "iu" or pointers.shape != (lines + 1,):
        raise ValueError(f"{file}: indptr has shape {pointers.shape}, needed are {lines + 1} integers")
    lengths = np.diff(pointers.astype(np.int64))
    if pointers[0] != 0 or pointers[-1] != entries or (lengths < 0).any():
        raise ValueError(
            f"{file}: indptr must rise from 0 to the {entries} entries, it goes from {pointers[0]} to {pointers[-1]}"
        )
    return np.repeat(np.arange(lines), lengths)


def _scattered(
    file: Path, shape: tuple[int, ...], coordinates: list[npt.NDArray[Any]], nonzero: Pattern
) -> Pattern | Coordinates:
    """The pattern of coordinate lists; entries that are zero are dropped, repeated ones count once."""
    _check_extents(file, shape)
    if len(coordinates) != len(shape):
        raise ValueError(f"{file}: {len(coordinates)} coordinate lists for shape {shape}, needed is one per axis")
    for axis, (index, extent) in enumerate(zip(coordinates, shape, strict=True)):
        if index.dtype.kind not in "iu" or index.shape != nonzero.shape:
            raise ValueError(f"{file}: coordinates of axis {axis} have shape {index.shape}, needed are {len(nonzero)} integers")
        bad = np.flatnonzero((index < 0) | (index >= extent))
        if bad.size:
            raise ValueError(
                f"{file}: entry {bad[0]} has coordinate {index[bad[0]]} on axis {axis}, allowed are 0 to {extent - 1}"
            )
    places = Coordinates.of(shape, coordinates if nonzero.all() else [index[nonzero] for index in coordinates])
    return places.pattern() if places.total <= DENSE_SPARSE else places


def _check_extents(file: Path, shape: tuple[int, ...]) -> None:
    if any(extent < 1 for extent in shape):
        raise ValueError(f"{file}: shape {shape}, every extent must be at least 1")


def _check_dense(file: Path, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > DENSE_LIMIT:
        raise ValueError(f"{file}: shape {shape} has {math.prod(shape)} elements, at most {DENSE_LIMIT} can be held as a pattern")


def _read_characters(file: Path, shape: tuple[int, ...] | None, order: Order) -> Pattern:
    """One character 0 or 1 per element in one line, which needs the shape; or the rows of a matrix, line by line."""
    text = file.read_bytes().strip()
    if len(text.split(None, 1)) > 1 or b"," in text:
        return _read_rows(file, text, shape)
    if shape is None:
        raise ValueError(f"{file}: one line of 0/1 characters needs the shape of the tensor (several lines are its rows)")
    content = np.frombuffer(text, dtype=np.uint8)
    bad = np.flatnonzero((content != ord("0")) & (content != ord("1")))
    if bad.size:
        wrong = f"character {chr(content[bad[0]])!r} at position {bad[0]}"
        raise ValueError(f"{file}: {wrong}, allowed are only 0 and 1 (other kinds: .npy, .npz, .mtx)")
    if content.size != math.prod(shape):
        raise ValueError(f"{file}: has {content.size} characters, shape {tuple(shape)} needs {math.prod(shape)}")
    if order not in ("first_fastest", "last_fastest"):
        raise ValueError(f"order {order!r}: must be 'first_fastest' or 'last_fastest'")
    return (content == ord("1")).reshape(shape, order="F" if order == "first_fastest" else "C")


def _read_rows(file: Path, text: bytes, shape: tuple[int, ...] | None) -> Pattern:
    """A matrix as numpy.savetxt writes it: numbers separated by white space or commas, or 0/1 characters without separators."""
    lines = text.splitlines()
    if not set(text) - set(b"01\r\n"):
        text = b"\n".join(b" ".join(line[i : i + 1] for i in range(len(line))) for line in lines)
    try:
        rows = np.loadtxt(io.BytesIO(text), delimiter="," if b"," in text else None, ndmin=2)
    except ValueError as error:
        told = _first_line(error).partition(";")[0]
        raise ValueError(f"{file}: lines of text are the rows of a matrix, but {told}") from error
    pattern = as_pattern(str(file), rows)
    if shape is not None and len(shape) == 1 and 1 in pattern.shape:
        pattern = pattern.ravel()
    if shape is not None and pattern.shape != tuple(shape):
        raise ValueError(f"{file}: its lines are rows of shape {pattern.shape}, but the tensor has shape {tuple(shape)}")
    return pattern


@final
@dataclass(frozen=True, slots=True)
class _Header:
    """Banner and size line of a Matrix Market file."""

    coordinate: bool
    columns: int
    symmetry: str
    shape: tuple[int, int]
    entries: int
    lines: int
    """Lines up to and including the size line."""


def _read_matrix_market(file: Path) -> Pattern | Coordinates:
    """Matrix Market exchange format (Boisvert, Pozo, Remington 1996): coordinate or array, 1-based."""
    with file.open(encoding="ascii", errors="replace") as text:
        header = _read_header(file, text.readline().split(), text)
        width = header.columns + 2 * header.coordinate
        table = _table(text, width, header)
        if table is None:
            text.seek(0)
            rows = [line.split() for line in text][header.lines :]
            table = _numbers(file, [row for row in rows if row], width, header)
    nonzero = (table[:, 2 * header.coordinate :] != 0).any(axis=1) if header.columns else np.ones(len(table), dtype=np.bool_)
    if header.coordinate:
        index = table[:, :2]
        if (index != np.floor(index)).any():
            raise ValueError(
                f"{file}: entry {_first_true((index != np.floor(index)).any(axis=1)) + 1} has a coordinate that is not an integer"
            )
        i, j = (index.astype(np.int64) - 1).T
        _check_one_based(file, index, header.shape)
    else:
        i, j = _array_places(header)
    if header.symmetry != "general":
        i, j, nonzero = np.concatenate([i, j]), np.concatenate([j, i]), np.concatenate([nonzero, nonzero])
    return _scattered(file, header.shape, [i, j], nonzero)


def _table(text: Any, width: int, header: _Header) -> npt.NDArray[np.float64] | None:
    """The entries of a sound file, read at once; None if anything is wrong with it."""
    if not header.entries:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # of a file without entries, which is refused just below
            table = np.loadtxt(text, ndmin=2, comments=None)
    except ValueError:
        return None
    return table if table.shape == (header.entries, width) and not np.isnan(table).any() else None


def _first_true(bad: Any) -> int:
    return int(np.argmax(bad))


def _check_one_based(file: Path, index: npt.NDArray[np.float64], shape: tuple[int, int]) -> None:
    bad = ((index < 1) | (index > np.array(shape))).any(axis=1)
    if bad.any():
        place = _first_true(bad)
        row, column = index[place].astype(np.int64).tolist()
        raise ValueError(f"{file}: entry {place + 1} is at ({row}, {column}), allowed are (1, 1) to {shape}")


def _array_places(header: _Header) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Coordinates of the entries of an array file: column by column, of a symmetric matrix the lower triangle only."""
    rows, columns = header.shape
    j, i = np.divmod(np.arange(rows * columns), rows)
    first = {"general": -rows - columns, "skew-symmetric": 1}.get(header.symmetry, 0)
    stored = i - j >= first
    return i[stored], j[stored]


def _read_header(file: Path, banner: list[str], text: Any) -> _Header:
    """Checks the banner, skips comments, reads the size line."""
    words = [word.lower() for word in banner]
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"] or words[2] not in ("coordinate", "array"):
        raise ValueError(
            f"{file}: line 1 is {' '.join(banner)[:60]!r}, needed is '%%MatrixMarket matrix coordinate|array FIELD SYMMETRY'"
        )
    coordinate, (kind, symmetry) = words[2] == "coordinate", words[3:]
    if kind not in FIELD_COLUMNS or (kind == "pattern" and not coordinate):
        raise ValueError(f"{file}: line 1 has field {kind!r}, allowed are real, integer, complex, and pattern with coordinate")
    if symmetry not in SYMMETRIES:
        raise ValueError(f"{file}: line 1 has symmetry {symmetry!r}, allowed are {', '.join(SYMMETRIES)}")
    number, line = 1, ""
    for line in text:
        number += 1
        if line.strip() and not line.startswith("%"):
            break
    sizes = line.split()
    if len(sizes) != 2 + coordinate or not all(s.isdecimal() for s in sizes):
        raise ValueError(f"{file}: line {number} is {line.strip()[:60]!r}, needed are {2 + coordinate} integers: the size")
    rows, columns = int(sizes[0]), int(sizes[1])
    if symmetry != "general" and rows != columns:
        raise ValueError(f"{file}: is {symmetry} but of size {rows} x {columns}, must be square")
    _check_extents(file, (rows, columns))
    if not coordinate:
        _check_dense(file, (rows, columns))
    triangle = {"general": rows * columns, "skew-symmetric": rows * (rows - 1) // 2}.get(symmetry, rows * (rows + 1) // 2)
    entries = int(sizes[2]) if coordinate else triangle
    return _Header(coordinate, FIELD_COLUMNS[kind], symmetry, (rows, columns), entries, number)


def _numbers(file: Path, rows: list[list[str]], width: int, header: _Header) -> npt.NDArray[np.float64]:
    """The entries as numbers; ValueError for a line of another width, a word that is no number, NaN, a wrong count."""
    for place, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"{file}: entry {place + 1} is {' '.join(row)[:60]!r}, needed are {width} numbers")
    if len(rows) != header.entries:
        raise ValueError(f"{file}: has {len(rows)} entries, line {header.lines} promises {header.entries}")
    try:
        table = np.array(rows, dtype=np.float64).reshape(len(rows), width)
    except ValueError as error:
        raise ValueError(f"{file}: an entry is not a number ({_first_line(error)})") from error
    bad = np.isnan(table).any(axis=1)
    if bad.any():
        raise ValueError(f"{file}: entry {_first_true(bad) + 1} is {' '.join(rows[_first_true(bad)])!r}, NaN is not allowed")
    return table
