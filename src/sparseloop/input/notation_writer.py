"""Writes structures in the short notations of the native format: the inverse of `notation`, on plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from sparseloop.input.yaml.nodes import Plain

Fields = dict[str, Plain]


def in_short_notation(data: Mapping[str, Plain]) -> Fields:
    """A specification as plain data, in which every structure that has a short notation is written in it."""
    result = data = cast("Fields", _tidy(data))
    if "mapping" in data:
        result["mapping"] = [mapping_entry(entry) for entry in data["mapping"]]
    if "architecture" in data:
        levels = [_level(level) for level in data["architecture"]["levels"]]
        result["architecture"] = {**data["architecture"], "levels": levels}
    if "workload" in data:
        result["workload"] = _workload(data["workload"])
    if "layers" in data:
        result["layers"] = [_workload(layer) for layer in data["layers"]]
    if "sparse" in data:
        result["sparse"] = {name: _features(level) for name, level in data["sparse"].items()}
    return result


def _tidy(value: Plain) -> Plain:
    """The same data with whole numbers written as such: 45 instead of 45.0."""
    if isinstance(value, dict):
        return {key: _tidy(item) for key, item in cast("Fields", value).items()}
    if isinstance(value, list):
        return [_tidy(item) for item in cast("list[Plain]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def mapping_entry(entry: Fields) -> Fields:
    """{DRAM: 'for m=3 n=4 | keep I O'}."""
    words, axis = "", None
    for loop in entry.get("loops", ()):
        if not words or loop.get("axis") != axis:
            words += f"{', ' if words else ''}{loop.get('axis') or 'for'}"
            axis = loop.get("axis")
        residual = loop.get("residual")
        words += f" {loop['rank']}={loop['bound']}" + (f"~{residual}" if residual is not None else "")
    lists = {key: value for key, value in entry.items() if key not in ("target", "loops") and value is not None}
    parts = [words, *(f"| {' '.join([key, *names])}" for key, names in lists.items())]
    return {entry["target"]: " ".join(parts).strip()}


def _level(level: Fields) -> Fields:
    result = dict(level)
    for key, only in (("bandwidth", "shared"), ("metadata", "capacity"), ("fanout", "x")):
        if isinstance(value := level.get(key), dict) and list(cast("Fields", value)) == [only]:
            result[key] = value[only]
    return result


def _workload(workload: Fields) -> Fields:
    result = dict(workload)
    if densities := {name: _density(density) for name, density in workload.get("density", {}).items()}:
        result["density"] = densities
    if "mapping" in workload:
        result["mapping"] = [mapping_entry(entry) for entry in workload["mapping"]]
    if "sparse" in workload:
        result["sparse"] = {name: _features(level) for name, level in workload["sparse"].items()}
    return result


def _density(density: Fields) -> Plain:
    if set(density) == {"density"}:
        return density["density"]
    if set(density) == {"model", "n", "m", "rank"}:
        return f"{density['n']}:{density['m']} {density['rank']}"
    if set(density) == {"model", "ratios", "rank"}:
        return f"{' over '.join(density['ratios'])} {density['rank']}"
    if set(density) == {"model", "same_as"}:
        return f"same as {density['same_as']}"
    for law in ("variation", "exponent"):
        if set(density) == {"model", "rank", "density", law}:
            return f"rows {density['rank']} {density['density']} {law} {density[law]}"
    if set(density) == {"model", "block", "density", "correlation"} and not isinstance(density["block"], dict):
        return f"clustered {_sides(density['block'])} {density['density']} correlation {density['correlation']}"
    return density


def _sides(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))


def _features(level: Fields) -> Fields:
    result = dict(level)
    if "formats" in level:
        result["formats"] = {tensor: _format(form) for tensor, form in level["formats"].items()}
    for key in ("skip", "gate", "spatial_skip"):
        if isinstance(level.get(key), list):
            result[key] = [_saf(saf) for saf in level[key]]
    return result


def _format(form: Fields) -> Plain:
    ranks = [_rank(rank) for rank in form["ranks"]]
    if set(form) == {"ranks"} and all(isinstance(rank, str) for rank in ranks):
        return " ".join(ranks)
    return form


def _rank(rank: Fields) -> Plain:
    """'RLE(p,q;5)', or the rank itself where the notation cannot say it."""
    groups: list[list[str]] = rank.get("ranks", [])
    metadata, payload = rank.get("metadata_bits"), rank.get("payload_bits")
    offsets = rank["kind"] == "UOP" and metadata is None
    if len(groups) > 1 or (metadata is None and payload is not None and not offsets):
        return rank
    widths = [_number(width) for width in (metadata, payload) if width is not None]
    if rank["kind"] == "UOP" and metadata is not None and payload is None:
        return rank
    inside = ";".join(part for part in (",".join(groups[0]) if groups else "", ",".join(widths)) if part)
    return rank["kind"] + (f"({inside})" if inside else "")


def _number(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(int(value)) if value == int(value) else repr(value)


def _saf(saf: Fields) -> Plain:
    return f"{saf['follower']} <- {' & '.join(saf['leaders'])}" if set(saf) == {"follower", "leaders"} else saf
