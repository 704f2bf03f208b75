"""A specification as native YAML: to print what was found, and to go through the reading of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import numpy as np

from sparseloop.model.design.einsum import Axis
from sparseloop.model.design.sparse import RankFormat, TensorFormat
from tests.property.fuzz.densities import Density, Layer, share
from tests.property.fuzz.specification import METADATA_BITS, WORD_BITS, Operand, Specification

FILE = "{}.txt"
"""Name of the file with the given pattern of a tensor."""


def native(spec: Specification) -> str:
    """The native text; files that it names are written by `patterns`."""
    parts = [_workload(spec), _architecture(spec), _mapping(spec), _sparse(spec)]
    if spec.sparse.timeloop_reading:
        parts.append("reading: timeloop")
    return "\n".join(part for part in parts if part) + "\n"


def expressible(spec: Specification) -> str:
    """Empty if the text says everything, else what it cannot say."""
    if len(spec.tensors) < 2:
        return "an einsum needs an operand"
    if spec.sparse.implied_skips == spec.sparse.timeloop_reading:
        return "implied skips go with the reading"
    return ""


def patterns(spec: Specification) -> Iterator[tuple[str, str]]:
    """Names and texts of the files with given patterns, last axis fastest."""
    for tensor in spec.tensors:
        shape = spec.data_shape(tensor)
        if tensor.density.kind == "given" and shape:
            yield FILE.format(tensor.name), "".join(str(int(bit)) for bit in tensor.density.given(shape).reshape(-1))


def written(spec: Specification, folder: Path) -> Path:
    """The specification as files in a folder."""
    for name, text in patterns(spec):
        (folder / name).write_text(text)
    path = folder / "specification.yaml"
    path.write_text(native(spec))
    return path


def printed(spec: Specification) -> str:
    """All files in one text."""
    files = [f"# {name}:\n" + "".join(f"#   {row}\n" for row in text.splitlines()) for name, text in patterns(spec)]
    notes = [f"# not in the text: {why}\n" for why in [expressible(spec)] if why]
    return native(spec) + "".join(files) + "".join(notes)


# --- workload -----------------------------------------------------------------------------------------------


def einsum(spec: Specification) -> str:
    """Z[m,n] = A[m,k] * B[k,n]"""
    return f"{_access(spec.output)} = {' * '.join(_access(t) for t in spec.tensors[:-1])}".rstrip()


def _access(tensor: Operand) -> str:
    return tensor.name + (f"[{','.join(_index(axis) for axis in tensor.axes)}]" if tensor.axes else "")


def _index(axis: Axis) -> str:
    terms = [f"{'' if t.coefficient == 1 else '-' if t.coefficient == -1 else f'{t.coefficient}*'}{t.rank}" for t in axis.terms]
    if axis.offset:
        terms.append(str(axis.offset))
    return "+".join(terms).replace("+-", "-") or "0"


def _workload(spec: Specification) -> str:
    density = {t.name: text for t in spec.tensors if (text := _density(t, spec.data_shape(t)))}
    if spec.output.density.dense:
        density[spec.output.name] = "dense"
    lines = ["workload:", f'  einsum: "{einsum(spec)}"', f"  shape: {_flow(spec.shape)}"]
    lines += [f"  {key}: {_flow(value)}" for key, value in (("extent", _extent(spec)), ("density", density)) if value]
    return "\n".join(lines)


def _extent(spec: Specification) -> dict[str, str]:
    """True extents, by rank."""
    sizes = {t.name: {axis.terms[0].rank: axis.size for axis in t.axes if axis.size is not None} for t in spec.tensors}
    return {name: _flow(of_rank) for name, of_rank in sizes.items() if of_rank}


def _density(tensor: Operand, shape: tuple[int, ...]) -> str:
    """Empty for a dense tensor."""
    density: Density = tensor.density
    match density.kind:
        case "uniform":
            return "" if density.dense else f"{{model: uniform, density: {density.fraction}}}"
        case "produced":
            return "produced"
        case "same":
            return f"same as {density.of}"
        case "even":
            return f"{{model: even, density: {density.fraction}}}"
        case "structured":
            rank = tensor.axes[density.axis].terms[0].rank
            return f"{{model: structured, n: {density.n}, m: {density.m}, rank: {rank}}}"
        case "hierarchical":
            return f"{' over '.join(f'{n}:{m}' for n, m in density.ratios)} {tensor.axes[density.axis].terms[0].rank}"
        case "block":
            volume = prod(density.block)
            filled = density.fraction * share(density.inner, volume) / volume
            return f"{{model: block, block: {list(density.block)}, density: {filled!r}, inner: {density.inner}}}"
        case "rows":
            rank = tensor.axes[density.axis].terms[0].rank
            return f"{{model: rows, rank: {rank}, histogram: {_flow({n: repr(p) for n, p in density.histogram})}}}"
        case "clustered":
            beta = f"density: {density.fraction}, correlation: {density.correlation}"
            return f"{{model: clustered, block: {list(density.block)}, {beta}}}"
        case "layered":
            ranks = [axis.terms[0].rank if axis.terms else "" for axis in tensor.axes]
            return f"{{model: layered, layers: [{', '.join(_layer(layer, ranks) for layer in density.layers)}]}}"
        case "banded":
            return f"{{model: banded, half_width: {density.half_width}}}"
        case "given":
            if shape:
                return f"{{model: actual, file: {FILE.format(tensor.name)}}}"
            return "" if bool(np.all(density.given(shape))) else "0.0"


def _layer(layer: Layer, ranks: Sequence[str]) -> str:
    if not layer.block:
        return f"{{ratio: {layer.n}:{layer.m}, rank: {ranks[layer.axis]}}}"
    occupied = "" if layer.occupied is None else f", occupied: {layer.occupied}"
    return f"{{block: {list(layer.block)}{occupied}{'' if layer.fraction is None else f', density: {layer.fraction}'}}}"


# --- architecture and mapping -------------------------------------------------------------------------------


def _architecture(spec: Specification) -> str:
    lines = ["architecture:", "  levels:"]
    for level, place in enumerate(spec.places):
        fields: dict[str, object] = {"name": f"L{level}", "class": "buffer", "word_bits": WORD_BITS}
        if place.block != 1:
            fields["block_size"] = place.block
        if place.capacity is not None:
            fields["capacity"] = f"{place.capacity} words"
        if place.rule != "worst":
            fields["capacity_rule"] = place.rule
        rates = {"read": place.read_bandwidth, "write": place.write_bandwidth, "shared": place.shared_bandwidth}
        if any(rate is not None for rate in rates.values()):
            fields["bandwidth"] = _flow({k: v for k, v in rates.items() if v is not None})
        if spec.sparse.timeloop_reading:
            fields["network"] = "{forwarding: false}"
        fields["metadata"] = _flow({"word_bits": METADATA_BITS, "access_bits": METADATA_BITS})
        lines.append(f"    - {_flow(fields)}")
        lanes = spec.lanes(level)
        if _has_fanout(spec, level):
            fanout: dict[str, object] = {"name": f"F{level}", "fanout": _flow({"x": lanes[0], "y": lanes[1]})}
            fanout |= {"packing": "waves" if place.waves else "balanced"}
            lines.append(f"    - {_flow(fanout)}")
    return "\n".join([*lines, "    - {name: MAC, class: mac}"])


def _mapping(spec: Specification) -> str:
    lines = ["mapping:"]
    for level, place in enumerate(spec.places):
        names = [t.name for t in spec.tensors]
        kept = [n for n in names if n in place.keep]
        fields: dict[str, object] = {"target": f"L{level}", "loops": _loop_list(spec, level, spatial=False)}
        fields |= {"keep": f"[{', '.join(kept)}]"} if len(kept) < len(names) else {}
        for option in ("no_temporal_reuse", "no_multicast"):
            named = sorted(t for at, t in getattr(spec, option) if at == level)
            fields |= {option: f"[{', '.join(named)}]"} if named else {}
        lines.append(f"  - {_flow(fields)}")
        spread = _loop_list(spec, level, spatial=True)
        if spread != "[]" and _has_fanout(spec, level):
            lines.append(f"  - {_flow({'target': f'F{level}', 'loops': spread})}")
    return "\n".join(lines)


def _has_fanout(spec: Specification, level: int) -> bool:
    spread = any(s.level == level and s.axis is not None and s.bound > 1 for s in spec.slots)
    return spread or prod(spec.lanes(level)) > 1 or spec.places[level].waves


def _loop_list(spec: Specification, level: int, spatial: bool) -> str:
    loops = list[str]()
    for slot in spec.slots:
        if slot.level == level and (slot.axis is not None) == spatial:
            fields: dict[str, object] = {"rank": slot.rank, "bound": slot.bound}
            fields |= {"residual": slot.last} if slot.last != slot.bound else {}
            fields |= {"axis": slot.axis} if slot.axis else {}
            loops.append(_flow(fields))
    return f"[{', '.join(loops)}]"


# --- sparse features ----------------------------------------------------------------------------------------


def _sparse(spec: Specification) -> str:
    lines = list[str]()
    for level in range(len(spec.places)):
        fields = dict[str, object]()
        formats = {t: _format(f) for (at, t), f in spec.sparse.formats.items() if at == level}
        if formats:
            fields["formats"] = _flow(formats)
        for kind in ("skip", "gate", "spatial_skip"):
            safs = [s for s in spec.sparse.safs if s.level == level and s.kind == kind]
            texts = [
                f"{{follower: {s.follower}, leaders: [{', '.join(s.leaders)}], intersection: {s.intersection}}}" for s in safs
            ]
            if texts:
                fields[kind] = f"[{', '.join(texts)}]"
        if level in spec.sparse.partials:
            fields["partials"] = spec.sparse.partials[level]
        if fields:
            lines.append(f"  L{level}: {_flow(fields)}")
    compute = {name: "true" for name, on in (("skip", spec.sparse.compute_skip), ("gate", spec.sparse.compute_gate)) if on}
    if compute:
        lines.append(f"  MAC: {_flow(compute)}")
    return "\n".join(["sparse:", *lines]) if lines else ""


def _format(form: TensorFormat) -> str:
    ranks = ", ".join(_rank(rank) for rank in form.ranks)
    order = ", order: inner_to_outer" if form.order == "inner_to_outer" else ""
    return f"{{ranks: [{ranks}]{order}, automatic: {'true' if form.automatic else 'false'}}}"


def _rank(rank: RankFormat) -> str:
    fields: dict[str, object] = {"kind": rank.kind}
    if rank.groups:
        fields["ranks"] = "[" + ", ".join(f"[{', '.join(group)}]" for group in rank.groups) + "]"
    fields |= {name: value for name in ("metadata_bits", "payload_bits") if (value := getattr(rank, name)) is not None}
    return _flow(fields)


def _flow(fields: dict[str, object] | dict[str, int] | dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in fields.items()) + "}"
