"""Files written: any input as one native YAML file, and an input with another mapping."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path as FilePath
from typing import cast

from sparseloop.input.diagnostics import Path
from sparseloop.input.load import dumps, load, loads, to_data
from sparseloop.input.resolve import mapping_lines
from sparseloop.input.spec import Spec
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml.nodes import Plain, wrong_file
from sparseloop.input.yaml.whole_files import write_text_whole
from sparseloop.model.design.mapping import Mapping


def import_files(files: Sequence[str | PathLike[str]], output: str = "", overrides: Sequence[str] = ()) -> tuple[str, Spec]:
    """The specification in the files and its text in the native format, which is also written to `output` if that is given."""
    spec = load(*files, overrides=overrides)
    text = native_text(spec, FilePath(output).parent)
    if output:
        try:
            write_text_whole(FilePath(output), text)
        except OSError as error:
            raise wrong_file(output, f"cannot write the file: {error.strerror}") from None
    return text, spec


def native_text(spec: Spec, folder: FilePath) -> str:
    """The specification as native YAML for a file in `folder`: files that it names are found from there."""
    return yamlio.to_yaml(_data_in(spec, folder))


def _data_in(spec: Spec, folder: FilePath) -> dict[str, Plain]:
    """The specification as plain data; files that it names are written as found from a folder."""
    data = to_data(spec)
    for holder, key, path in _named_files(data):
        there = spec.source.directory(path) / str(holder[key])
        holder[key] = FilePath(os.path.relpath(there, folder)).as_posix()
    return data


def text_with_mapping(spec: Spec, mapping: Mapping, folder: FilePath, files: Sequence[str] = ()) -> str:
    """The specification with a mapping, as native YAML for a file in `folder`; read from one native file, it keeps the
    comments of that file.
    """
    written = {**_data_in(spec, folder), "mapping": mapping_lines(mapping, spec)}
    if len(files) == 1 and spec.reading == "native" and not spec.layers:
        text = yamlio.rewritten(FilePath(files[0]).read_text(encoding="utf-8"), {"mapping": written["mapping"]})
        if loads(text) == Spec.model_validate(written):
            return text
    return dumps(Spec.model_validate(written))


def _named_files(data: dict[str, Plain]) -> Iterator[tuple[dict[str, Plain], str, Path]]:
    """Every place that names a file: the mapping and key, and the path that resolution takes for it."""
    layers = cast("list[dict[str, Plain]]", data.get("layers", []))
    workloads: list[tuple[Path, dict[str, Plain]]] = [(("layers", i), layer) for i, layer in enumerate(layers)]
    workloads.append((("workload",), data.get("workload", {})))
    for path, workload in workloads:
        densities = cast("dict[str, Plain]", workload.get("density", {}))
        for tensor, density in densities.items():
            if isinstance(density, dict) and "file" in density:
                yield cast("dict[str, Plain]", density), "file", (*path, "density", tensor, "file")
    for key in ("ert", "art"):
        if isinstance(data.get("energy", {}).get(key), str):
            yield data["energy"], key, ("energy", key)
