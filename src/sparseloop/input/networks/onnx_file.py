"""Reads an ONNX file: the model without running anything of it, and the numbers it stores, also those in files beside it.

Files that a model names must lie in its own folder. What cannot be read is a `SpecError` with the tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparseloop.input.diagnostics import Diagnostic, Span, SpecError
from sparseloop.input.extras import import_extra
from sparseloop.input.yaml.nodes import missing_file_hint

Array = np.ndarray[Any, Any]
_EXTRA = "networks"


def onnx_package(module: str = "onnx") -> Any:
    """The package onnx, or a module of it; without it `SpecError` says how to install it."""
    return import_extra(module, _EXTRA)


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A model and the folder that files beside it lie in."""

    file: str
    proto: Any
    opsets: Mapping[str, int]

    @property
    def graph(self) -> Any:
        """The outermost graph."""
        return self.proto.graph

    def mistake(self, message: str, hint: str | None = None) -> SpecError:
        """A mistake of this file."""
        return SpecError([Diagnostic(message=message, hint=hint, span=Span(self.file, None, None))])

    def values(self, tensor: Any) -> Array:
        """The numbers of a stored tensor; those of a file beside the model are mapped, not read."""
        onnx = onnx_package()
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            try:
                return onnx_package("onnx.numpy_helper").to_array(tensor)
            except (ValueError, TypeError) as error:
                raise self.mistake(f"tensor '{tensor.name}': {error}") from None
        entries = {entry.key: entry.value for entry in tensor.external_data}
        place = self._beside(tensor.name, entries.get("location", ""))
        kind = onnx_package("onnx.helper").tensor_dtype_to_np_dtype(tensor.data_type)
        size, offset = math.prod(tensor.dims), int(entries.get("offset", 0))
        there = place.stat().st_size
        if offset + size * np.dtype(kind).itemsize > there:
            raise self.mistake(f"tensor '{tensor.name}' goes beyond the end of {place.name} ({there} bytes)")
        if size == 0:
            return np.zeros(tuple(tensor.dims), kind)
        return np.memmap(place, kind, "r", offset, tuple(tensor.dims))

    def _beside(self, name: str, location: str) -> Path:
        folder = Path(self.file).resolve().parent
        place = (folder / location).resolve()
        if not location or folder not in place.parents:
            hint = "files of weights must lie in the folder of the model"
            raise self.mistake(f"tensor '{name}' is in '{location}', outside the folder of the model", hint)
        if not place.is_file():
            raise self.mistake(f"tensor '{name}' is in the file {location}, which is missing", f"put it beside {self.file}")
        return place


def load_onnx(file: str | Path) -> OnnxModel:
    """The model in a file, its own functions put in the place of their calls; raises `SpecError`."""
    onnx = onnx_package()
    path = str(file)
    failed = OnnxModel(path, None, {})
    try:
        proto = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise failed.mistake(f"cannot read the file: {error.strerror}", missing_file_hint(path, error)) from None
    except Exception as error:  # protobuf has its own kinds of errors, one per implementation
        raise failed.mistake(f"this is no ONNX model ({str(error).partition('(')[0].strip()})") from None
    if not proto.graph.node:
        raise failed.mistake("this is no ONNX model: it has no nodes")
    opsets = {entry.domain.replace("ai.onnx", "") if entry.domain == "ai.onnx" else entry.domain: entry.version
              for entry in proto.opset_import}  # fmt: skip
    newest = onnx.defs.onnx_opset_version()
    if opsets.get("", 1) > newest:
        message = f"the model uses operators of version {opsets['']}; the installed package onnx knows them up to {newest}"
        raise failed.mistake(message, "pip install --upgrade onnx")
    if proto.functions:
        proto = onnx_package("onnx.inliner").inline_local_functions(proto)
    return OnnxModel(path, proto, opsets)
