"""Reading one tensor of a .safetensors file: the file holds numbers and names only, no code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from sparseloop.model.density.base import Pattern

# The package safetensors is not used: its NumPy side reads neither bfloat16 nor 8-bit floats, in which weights are stored,
# and what it gives as bytes is the whole file.
_BITS = {
    "F64": ("<u8", 0x7FF0000000000000), "F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80),
    "F8_E4M3": ("<u1", 0x7F), "F8_E5M2": ("<u1", 0x7C),
}  # fmt: skip
"""Types of floats: unsigned integers of the same size, the bits of their exponent (of E4M3, which has no infinities, of NaN)."""
_WHOLE = {"BOOL": "<u1"} | {f"{sign}{8 * size}": f"<u{size}" for sign in "UI" for size in (1, 2, 4, 8)}
HEADER_LIMIT = 100_000_000
"""Bytes of a header at most, as the format says."""


class _Place(NamedTuple):
    """Where the numbers of a tensor stand, and of what kind they are."""

    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(file: Path, array: str | None, limit: int) -> Pattern:
    """True where a number of the tensor named `array` (None: the only one) is not zero; ValueError above `limit` elements."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_LIMIT):
            raise ValueError(f"{file}: is not a complete safetensors file")
        header = _header(file, stream.read(length))
        place = _place(file, header, chosen_array(file, sorted(header), array))
        if math.prod(place.shape) > limit:
            raise ValueError(f"{file}: has {math.prod(place.shape)} elements, more than {limit}")
        if not 0 <= place.begin <= place.end <= size - 8 - length:
            raise ValueError(f"{file}: is cut: the numbers of the tensor are not all there")
        stream.seek(8 + length + place.begin)
        return _pattern(file, place, stream.read(place.end - place.begin))


def chosen_array(file: Path, names: list[str], wanted: str | None) -> str:
    """The array that is wanted, or the only one; ValueError with the names that there are."""
    if wanted is None and len(names) == 1:
        return names[0]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    if wanted is None:
        raise ValueError(f"{file}: holds {len(names)} arrays; say which with array: NAME; there are: {shown}")
    if wanted not in names:
        raise ValueError(f"{file}: has no array '{wanted}'; there are: {shown}")
    return wanted


def _header(file: Path, text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError(f"{file}: is not a complete safetensors file") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: is not a complete safetensors file")
    return {name: entry for name, entry in cast("dict[str, Any]", found).items() if name != "__metadata__"}


def _place(file: Path, header: dict[str, Any], name: str) -> _Place:
    try:
        entry = header[name]
        (begin, end), shape, kind = entry["data_offsets"], entry["shape"], entry["dtype"]
        numbers = [begin, end, *shape]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{file}: the header does not say where '{name}' is") from None
    if not all(type(number) is int and number >= 0 for number in numbers) or not isinstance(kind, str):
        raise ValueError(f"{file}: the header does not say where '{name}' is")
    return _Place(kind, tuple(shape), begin, end)


def _pattern(file: Path, place: _Place, content: bytes) -> Pattern:
    floats = _BITS.get(place.kind)
    kind = floats[0] if floats else _WHOLE.get(place.kind)
    if kind is None:
        raise ValueError(f"{file}: elements are of type {place.kind}, needed are {', '.join((*_BITS, *_WHOLE))}")
    if len(content) != math.prod(place.shape) * np.dtype(kind).itemsize:
        raise ValueError(f"{file}: {len(content)} bytes for {math.prod(place.shape)} elements of type {place.kind}")
    bits = np.frombuffer(content, dtype=kind).reshape(place.shape)
    if not floats:
        return bits != 0
    sign = np.array(1 << (8 * bits.itemsize - 1), dtype=kind)
    size = bits & ~sign
    nan = size == floats[1] if place.kind == "F8_E4M3" else size > floats[1]
    if nan.any():
        raise ValueError(
            f"{file}: element {tuple(int(i) for i in np.argwhere(nan)[0])} is NaN, needed are numbers (0 or non-zero)"
        )
    return size != 0
