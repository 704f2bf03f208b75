"""Random small specifications with a mapspace: machine, prices, capacities, bandwidths, constraints, sparse features."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import sparseloop as sl
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.notation import parse_einsum
from sparseloop.mapper.space.mapspace import Mapspace, mapspace

EINSUMS: dict[str, tuple[str, ...]] = {
    "Z[m,n] = A[m,k] * B[k,n]": ("A", "B", "Z"),
    "Z[b,m] = A[b,m,k] * B[k]": ("A", "B", "Z"),
    "Z[i,j] = A[i,k,l] * B[k,j] * C[l,j]": ("A", "B", "C", "Z"),
    "O[m,p] = I[c,p+r] * W[m,c,r]": ("I", "W", "O"),
    "O[m,p] = I[2*p+r] * W[m,r]": ("I", "W", "O"),
    "O[p,q] = I[p+r,q+s] * W[r,s]": ("I", "W", "O"),
    "O[m,p] = I[p+r+s] * W[m,r,s]": ("I", "W", "O"),
    "O[m,p] = I[c,p+r-1] * W[m,c,r]": ("I", "W", "O"),
    "O[p,q] = I[p+r-1,q+s] * W[r,s]": ("I", "W", "O"),
    "O[m,p] = I[c,2*p+r-2] * W[m,c,r]": ("I", "W", "O"),
    "O[m,p+r-1] = I[m,p] * W[r]": ("I", "W", "O"),
    "Z[m,n] = A[m-1,k] * B[k,n]": ("A", "B", "Z"),
}
STYLES = (["CP"], ["B"], ["UOP", "CP"], ["UOP"], ["UB", "B"], ["RLE"], ["CP", "CP"], ["B", "RLE"], ["B", "B"])
"""Lists of rank formats."""
SIZES = (1, 2, 2, 3, 4, 4, 6, 8)
LARGEST = 12_000
ACTIONS = ("read", "fill", "update", "gated_read", "gated_fill", "gated_update", "leak", "decompress", "compress", "reduction")
MORE = ("address_generation", "metadata_read", "metadata_fill", "metadata_update", "intersect")


def random_space(seed: int, *, sparse: bool | None = None) -> Mapspace | None:
    """A mapspace of at most LARGEST mappings; None where the dice made nonsense."""
    dice = random.Random(seed)
    try:
        space = mapspace(sl.loads(json.dumps(random_spec(dice, dice.random() < 0.85 if sparse is None else sparse))))
    except SpecError:
        return None
    return space if 0 < space.size <= LARGEST else None


def random_spec(dice: random.Random, sparse: bool) -> dict[str, Any]:
    einsum = dice.choice(list(EINSUMS))
    names = EINSUMS[einsum]
    ranks = sorted({c for c in einsum if c.islower()})
    shape, left = {}, dice.choice((16, 48, 96))
    for rank in dice.sample(ranks, len(ranks)):
        shape[rank] = dice.choice([s for s in SIZES if s <= left] or [1])
        left //= shape[rank]
    levels = dice.choice((1, 2, 2, 3))
    spec: dict[str, Any] = {
        "workload": {"einsum": einsum, "shape": shape, "density": {}, "extent": extents(dice, einsum, shape)},
        "architecture": {"node": "45nm", "levels": _levels(dice, levels)},
        "constraints": _constraints(dice, levels, ranks, names),
    }
    if sparse:
        spec["workload"]["density"] = {name: d for name in names if (d := _density(dice, name, einsum, shape)) is not None}
        spec["sparse"] = _sparse(dice, levels, names)
    return spec


def extents(dice: random.Random, einsum: str, shape: dict[str, int]) -> dict[str, list[int]]:
    """True sizes of the tensors whose index has a constant: up to one word more than is met on the far side."""
    found: dict[str, list[int]] = {}
    for access in parse_einsum(einsum).tensors:
        if any(axis.offset for axis in access.axes):
            met = [1 + sum(abs(c) * (shape[rank] - 1) for rank, c in axis.terms) for axis in access.axes]
            found[access.name] = [
                dice.randint(1, max(1, axis.offset + size + 1)) if axis.offset else size
                for axis, size in zip(access.axes, met, strict=True)
            ]
    return found


def _levels(dice: random.Random, levels: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for i in range(levels):
        level: dict[str, Any] = {"name": f"L{i}", "class": "sram" if i else "dram", "word_bits": dice.choice((8, 16, 16))}
        if i:
            level["capacity"] = f"{dice.choice((1, 2, 6, 12, 40, 1000))} words"
            level["capacity_rule"] = dice.choice(("worst", "worst", "expected", 0.9))
            level["min_utilization"] = dice.choice((0, 0, 0, 0.3))
        if i and dice.random() < 0.3:
            level["overlap"] = {role: dice.choice(("none", "double")) for role in ("inputs", "weights", "outputs")}
        level["block_size"] = dice.choice((1, 1, 2, 4))
        if dice.random() < 0.4:
            level["bandwidth"] = dice.choice((1, 4, {"read": 2}, {"read": 1, "write": 0.5}))
        level["metadata"] = {"access_bits": dice.choice((0, 8)), "word_bits": 4}
        level["energy"] = _prices(dice, i)
        level["reduction"] = dice.random() < 0.7
        if dice.random() < 0.3:
            level["network"] = {
                "energy_per_hop": dice.choice((0, 0.5)),
                "router": dice.choice((0, 0.2)),
                "adder": dice.choice((0, 0.3)),
                "ingress": dice.choice((0, 0.1)),
                "fill_latency": dice.choice((0, 3)),
                "forwarding": dice.random() < 0.5,
                "fill": dice.choice((0, "systolic")),
            }
        found.append(level)
        if dice.random() < 0.4:
            found.append({"name": f"F{i}", "fanout": {"x": dice.choice((2, 3, 4)), "y": dice.choice((1, 1, 2))}})
            if dice.random() < 0.2 and not any("sync" in one for one in found):
                found[-1] |= {"sync": dice.choice(("step", "pass")), "balance": dice.choice(("none", "greedy"))}
    mac = {"compute": dice.choice((0, 1, 5)), "gated_compute": dice.choice((0, 0.5)), "leak": dice.choice((0, 0.01))}
    return [*found, {"name": "MAC", "class": "mac", "energy": mac}]


def _prices(dice: random.Random, level: int) -> dict[str, float]:
    scale = (50, 5, 1, 0.3)[level]
    prices = {a: round(scale * dice.uniform(0.2, 2), 2) for a in ("read", "fill", "update")}
    if dice.random() < 0.5:
        prices |= {a: round(scale * dice.uniform(0, 0.3), 3) for a in ACTIONS[3:]}
        prices |= {a: round(scale * dice.uniform(0, 0.3), 3) for a in MORE}
        prices["leak"] = dice.choice((0, 0.01, 1))
    return prices


def _constraints(dice: random.Random, levels: int, ranks: list[str], names: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for i in range(levels):
        mine: dict[str, Any] = {}
        if dice.random() < 0.3:
            mine["order"] = " ".join([*dice.sample(ranks, min(2, len(ranks))), "..."])
        if dice.random() < 0.2:
            mine["max"] = {dice.choice(ranks): dice.choice((1, 2))}
        if i and dice.random() < 0.6:
            chosen = dice.sample(names, dice.randint(0, len(names)))
            mine["keep"] = chosen
            mine["bypass"] = [n for n in names if n not in chosen][: dice.randint(0, 3)]
        for switch in ("no_multicast", "no_temporal_reuse", "no_forwarding"):
            if dice.random() < 0.08:
                mine[switch] = [dice.choice(names)]
        if mine:
            found[f"L{i}"] = mine
    return found


def _density(dice: random.Random, name: str, einsum: str, shape: dict[str, int]) -> Any:
    kind = dice.choice(("dense", "uniform", "uniform", "uniform", "even", "block", "banded", "structured", "nested", "nested"))
    if kind in ("uniform", "even"):
        return {"model": kind, "density": dice.choice((0.1, 0.25, 0.5, 0.9))}
    if kind == "block":
        inside = einsum[einsum.index(f"{name}[") + 2 :].split("]")[0]
        return {"model": "block", "density": 0.5, "block": [1] * len(inside.split(","))}
    if kind == "banded":
        width = dice.choice((0, 1, None, None))
        return given(dice, name, einsum, shape) if width is None else {"model": "banded", "half_width": width}
    if kind == "structured":
        rank = dice.choice([r for r, n in shape.items() if n % 2 == 0] or list(shape))
        return {"model": "structured", "n": 1, "m": 2, "rank": rank}
    if kind == "nested":
        inside = einsum[einsum.index(f"{name}[") + 2 :].split("]")[0]
        rank, twos = dice.choice(list(shape)), "x".join("2" for _ in inside.split(","))
        layers = (f"1:2 over 1:2 {rank}", f"1:2 {rank} over 1:2 {dice.choice(list(shape))}")
        return dice.choice((*layers, f"rows {rank} 0.3 variation 1", f"clustered {twos} 0.4 correlation 0.5"))
    return None


def given(dice: random.Random, name: str, einsum: str, shape: dict[str, int]) -> str:
    """A file with a pattern: most non-zeros in few places, so that it is nothing like a random one."""
    access = next(one for one in parse_einsum(einsum).tensors if one.name == name)
    sizes = [1 + sum(abs(c) * (shape[rank] - 1) for rank, c in axis.terms) for axis in access.axes]
    drawn = np.random.default_rng(dice.randrange(1 << 30))
    pattern = drawn.random(sizes) < 0.1
    pattern[tuple(slice(None, drawn.integers(1, n + 1)) for n in sizes)] |= True
    content = pattern.tobytes() + repr(sizes).encode()
    file = Path(tempfile.gettempdir()) / f"sparseloop-pattern-{hashlib.sha256(content).hexdigest()[:16]}.npy"
    np.save(file, pattern)
    return str(file)


def _sparse(dice: random.Random, levels: int, names: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {f"L{i}": {} for i in range(levels)}
    for name in names:
        if dice.random() < 0.5:
            style = dice.choice(STYLES)
            flat = dice.random() < 0.3
            ranks = [{"kind": k, **({"ranks": [["*"]]} if flat else {})} for k in style]
            for i in range(dice.randint(1, levels)):
                found[f"L{i}"].setdefault("formats", {})[name] = {"ranks": ranks}
    for _ in range(dice.choice((0, 1, 1, 2, 3))):
        follower, leaders = dice.choice(names), dice.sample(names[:-1], dice.randint(1, 2))
        saf: dict[str, Any] = {"follower": follower, "leaders": leaders}
        if dice.random() < 0.2:
            saf["choice"] = 1
        kind = dice.choice(("skip", "skip", "gate", "gate", "spatial_skip"))
        found[f"L{dice.randrange(levels)}"].setdefault(kind, []).append(saf)
    for level in range(levels) if dice.random() < 0.4 else ():
        found[f"L{level}"]["partials"] = dice.choice(("whole", "changed", "add"))
    found["MAC"] = {"skip": dice.random() < 0.2, "gate": dice.random() < 0.2}
    return {level: features for level, features in found.items() if features}
