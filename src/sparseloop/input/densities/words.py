"""Words that are short for densities: '2:4 c', 'rows m 0.1 variation 2', '4x4 0.25 over 2:4 k'."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sparseloop.input.expressions import wrong
from sparseloop.input.notation import NAME, whole_number
from sparseloop.input.yaml.nodes import Plain

_STRUCTURED = re.compile(rf"\s*(\d+\s*:\s*\d+(?:\s+over\s+\d+\s*:\s*\d+)*)(?:\s+(?:along\s+)?({NAME}))?\s*$")
_FILE = re.compile(r".*\.([A-Za-z]\w*)$")
_DATA_FILES = ("npy", "npz", "mtx", "safetensors", "pt", "pth", "pkl", "pickle", "txt", "csv", "tsv")
"""Endings of files that are taken for given data; those that are pickled are refused when they are read."""


def parse_density(value: Plain) -> Plain:
    """0.6, '60%', 'dense', 'produced', '2:4 c' (along rank c), '4:8 over 2:4 c' or 'weights.npz' (given data)."""
    if not isinstance(value, str):
        return {"density": value} if isinstance(value, int | float) else value
    if value.strip() in ("dense", "produced"):
        return {"density": 1.0} if value.strip() == "dense" else {"model": "produced"}
    if match := _STRUCTURED.match(value):
        ratios, rank = ratios_of(match[1]), match[2]
        if len(ratios) > 1:
            return {"model": "hierarchical", "ratios": ratios, "rank": rank}
        n, _, m = ratios[0].partition(":")
        return {"model": "structured", "n": whole_number(n), "m": whole_number(m), "rank": rank}
    if plain := _words_of_density(value):
        return plain
    if (file := _FILE.match(value)) is None:
        return {"density": value}
    if file[1].lower() not in _DATA_FILES:
        from sparseloop.model.density.files import PACKED  # numpy, which commands without data do without

        known = "known: .npy, .npz, .mtx, .safetensors, text of 0 and 1 as .txt"
        if f".{file[1].lower()}" in PACKED:
            known += "; unpack the file first"
        raise wrong(f"files ending in .{file[1]} are not read as data of a tensor", known, offset=0, length=len(value))
    return {"model": "actual", "file": value}


_SIDES = r"\d+(?:\s*x\s*\d+)*"
_SHARE = r"[\d.][^\s:x]*"
_SAME = re.compile(rf"\s*same\s+as\s+({NAME})\s*$")
_ROWS = re.compile(rf"\s*rows\s+({NAME})\s+({_SHARE})\s+(variation|exponent)\s+({_SHARE})\s*$")
_CLUSTERED = re.compile(rf"\s*clustered\s+({_SIDES})\s+({_SHARE})\s+correlation\s+({_SHARE})\s*$")
_LAYER = re.compile(rf"\s*(?:(\d+\s*:\s*\d+)\s+(?:along\s+)?({NAME})|(\d+(?:\s*x\s*\d+)+)(?:\s+({_SHARE}))?|({_SHARE}))\s*$")


def _words_of_density(text: str) -> Plain:
    """'rows m 0.1 variation 2', 'clustered 4x4 0.6 correlation 0.3', '4x4 0.1', '4x4 0.1 over 2:4 k', 'same as A'; else None."""
    if match := _SAME.match(text):
        return {"model": "same", "same_as": match[1]}
    if match := _ROWS.match(text):
        return {"model": "rows", "rank": match[1], "density": match[2], match[3]: match[4]}
    if match := _CLUSTERED.match(text):
        return {"model": "clustered", "block": _sides(match[1]), "density": match[2], "correlation": match[3]}
    parts = [_LAYER.match(part) for part in re.split(r"\bover\b", text)]
    if any(part is None for part in parts):
        return None
    found = [part for part in parts if part is not None]
    if len(found) == 1:
        sides, share = found[0][3], found[0][4]
        return {"model": "block", "block": _sides(sides), "density": share} if sides and share else None
    ranks = {part[2] for part in found}
    if all(part[1] for part in found) and len(ranks) == 1:
        return {"model": "hierarchical", "ratios": [re.sub(r"\s", "", part[1]) for part in found], "rank": ranks.pop()}
    return {"model": "layered", "layers": _layers(found)}


def _layers(parts: Sequence[re.Match[str]]) -> list[Plain]:
    """What stands between 'over': a share behind the first block is that of occupied blocks, any other that of words."""
    layers = list[dict[str, Plain]]()
    for part in parts:
        if part[1]:
            layers.append({"ratio": re.sub(r"\s", "", part[1]), "rank": part[2]})
        elif part[3]:
            share: dict[str, Plain] = {} if part[4] is None else {"density" if layers else "occupied": part[4]}
            layers.append({"block": _sides(part[3]), **share})
        elif layers and "block" in layers[-1]:
            layers[-1]["density"] = part[5]
        else:
            raise wrong(f"{part[5]} stands in no block", "e.g. '4x4 0.1 over 0.5' or '2:4 k over 4x4'")
    return list(layers)


def _sides(text: str) -> list[Plain]:
    return [whole_number(side.strip()) for side in text.split("x")]


def ratios_of(text: str) -> list[str]:
    """'4:8 over 2:4' -> 4:8, 2:4."""
    return [re.sub(r"\s", "", one) for one in re.split(r"\bover\b", text)]
