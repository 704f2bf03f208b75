"""From files to a `Spec`: recognises Timeloop's files by content, and gives every mistake its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from sparseloop.input.accelforge import is_accelforge, refuse_looptree
from sparseloop.input.diagnostics import Diagnostic, SpecError, check_arguments
from sparseloop.input.networks.sources import SourceOptions, is_network, network_text, read_network, source_overrides
from sparseloop.input.notation_writer import in_short_notation
from sparseloop.input.spec import Spec
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml.files import SourceMap

_TIMELOOP_KEYS = frozenset(
    {"problem", "sparse_optimizations", "sparse-optimizations", "ERT", "ART", "mapper", "arch", "architecture_constraints"}
)
_TIMELOOP_TREE = frozenset({"subtree", "nodes", "version", "arithmetic", "storage", "local"})


def load(*paths: str | PathLike[str], overrides: str | Sequence[str] = ()) -> Spec:
    """The specification in one or several files, native, Timeloop's or AccelForge's, in any order.

    `paths` are files; a network (an ONNX model, a `config.json`, or the name of a shipped one) stands for its `layers:`.
    `overrides` are texts 'path=value' as with `--set`, values with units as in files ('architecture.levels.GLB.capacity=32 KiB');
    for networks 'dim.seq=2048' and 'network.phase=decode' say what they leave open. Raises `SpecError` with every mistake, each
    with its file, line and column.

    >>> spec = load("matmul.yaml", overrides=["workload.density.A=0.2"])
    >>> spec.workload.shape
    {'m': 256, 'n': 256, 'k': 256}
    """
    check_arguments(load, locals())
    reading, rest = source_overrides(_listed(overrides))
    options = SourceOptions().with_values(reading)
    texts = {str(path): network_text(read_network(path, options)) for path in map(Path, paths) if is_network(path)}
    if reading and not texts:
        hint = "they say how a network is read"
        raise SpecError([Diagnostic(path=(reading[0],), message="there is no network among the files", hint=hint)])
    others = [Path(path) for path in paths if str(Path(path)) not in texts]
    return spec_of_data(*yamlio.load_files(others, rest, texts=texts))


def load_architecture(*paths: str | PathLike[str], overrides: Sequence[str] = ()) -> Spec:
    """As `load`; a native architecture without a workload is enough, and gets one of a single multiplication."""
    data, source = yamlio.load_files([Path(path) for path in paths], _listed(overrides))
    architecture = data.get("architecture")
    if is_accelforge(data) and "workload" not in data:
        data = {**data, "workload": {"rank_sizes": {"I": 1}, "einsums": ["Z[i] = A[i] * B[i]"]}}
    if isinstance(architecture, dict) and "levels" in architecture and not {"workload", "layers"} & set(data):
        kept = {key: value for key, value in data.items() if key in ("architecture", "energy", "variables", "ERT", "ART")}
        data = {**kept, "workload": {"einsum": "Z[i] = A[i] * B[i]", "shape": {"i": 1}}}
    return spec_of_data(data, source)


def loads(text: str, *, overrides: str | Sequence[str] = (), name: str = "<text>") -> Spec:
    """As `load`, for a text."""
    check_arguments(loads, locals())
    return spec_of_data(*yamlio.load_text(text, _listed(overrides), name=name))


def _listed(overrides: str | Sequence[str]) -> Sequence[str]:
    """One override may be given without a list."""
    return [overrides] if isinstance(overrides, str) else overrides


def spec_of_data(data: dict[str, Any], source: SourceMap) -> Spec:
    """The specification that data read from files says, in the native form or in Timeloop's."""
    try:
        refuse_looptree(data)
        refuse_others(data)
        if is_accelforge(data):
            from sparseloop.input.accelforge import importer  # only where it is needed

            return Spec.model_validate(importer.native_data(data, source)).with_source(source)
        data = _with_named_tables(data, source)
        if is_timeloop(data):
            from sparseloop.input import accelergy  # only where they are needed
            from sparseloop.input.timeloop import importer

            data, notes = accelergy.with_tables(data, source, accelergy.built_in())
            spec = importer.to_spec(data, source)
            return spec.model_copy(update={"notes": (*notes, *spec.notes)}).with_source(importer.native_places(source))
        return Spec.model_validate(data).with_source(source)
    except SpecError as error:
        raise error.located(source) from None


def refuse_others(data: Mapping[str, Any]) -> None:
    """A study is told by its specification and its parameters, a result by its schema; this says which it is."""
    if (kind := str(data.get("schema", ""))).startswith("sparseloop."):
        hint = "plot and report read results of eval; the other commands read the specification again"
        raise SpecError(
            [Diagnostic(path=("schema",), message=f"this is a result ({kind}), not a specification", hint=hint, key=True)]
        )
    if {"spec", "parameters"} <= set(data) and not {"architecture", "workload", "layers"} & set(data):
        hint = "run it with sparseloop sweep or codesign; its specification is what stands under spec:"
        raise SpecError([Diagnostic(path=("spec",), message="this is a study, not a specification", hint=hint, key=True)])


def _with_named_tables(data: dict[str, Any], source: SourceMap) -> dict[str, Any]:
    """If ERT or ART files are given beside a native specification, the data with these files named under `energy`."""
    architecture = data.get("architecture")
    native = "workload" in data or "layers" in data or (isinstance(architecture, dict) and "levels" in architecture)
    tables = [key for key in ("ERT", "ART") if key in data]
    if not native or not tables:
        return data
    energy: Any = data.get("energy", {})
    if not isinstance(energy, dict):
        return data
    wrong = [
        Diagnostic(path=(key,), message=f"energy.{key.lower()} names a table already") for key in tables if key.lower() in energy
    ]
    files = {key.lower(): source.directory((key,)) / Path(source.walk((key,))[1].file).name for key in tables}
    wrong += [
        Diagnostic(path=(key,), message="a table beside a native specification must be a file of its own")
        for key in tables
        if not files[key.lower()].is_file()
    ]
    if wrong:
        raise SpecError(wrong)
    return {
        **{k: v for k, v in data.items() if k not in tables},
        "energy": {**energy, **{name: str(file.absolute()) for name, file in files.items()}},
    }


def is_timeloop(data: Mapping[str, Any]) -> bool:
    """True if the top-level keys are those of Timeloop's files."""
    if any(key in _TIMELOOP_KEYS or key.startswith("mapspace") for key in data):
        return True
    architecture, mapping = data.get("architecture"), data.get("mapping")
    if isinstance(architecture, dict) and _TIMELOOP_TREE & set(architecture) and "levels" not in architecture:  # pyright: ignore
        return True
    entries = mapping if isinstance(mapping, list) else []  # pyright: ignore
    return any(isinstance(entry, dict) and {"target", "type"} <= set(entry) for entry in entries)  # pyright: ignore


def to_data(spec: Spec) -> dict[str, Any]:
    """The specification as plain data in the native format; what has its default value is left out."""
    data = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if spec.layers:
        del data["workload"]
    return in_short_notation(data)


def dumps(spec: Spec) -> str:
    """The specification as YAML text in the native format: `loads(dumps(spec)) == spec`."""
    check_arguments(dumps, locals())
    return yamlio.to_yaml(to_data(spec))


def schema() -> dict[str, Any]:
    """JSON schema of the native format (for editors)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "sparseloop", **Spec.model_json_schema()}
