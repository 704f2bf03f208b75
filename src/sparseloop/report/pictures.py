"""Draws a specification as text: workload, architecture, mapping, sparse features, mapspace."""

from __future__ import annotations

from collections.abc import Sequence

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.evaluate import design_of, evaluate_mapping
from sparseloop.evaluation.facts import mapping_picture
from sparseloop.input import load as loading
from sparseloop.input import terminal
from sparseloop.input.spec import Spec
from sparseloop.input.yaml import files as yamlio
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Level
from sparseloop.model.design.einsum import Tensor
from sparseloop.report.datatable import broken_lines

LEAST = 30
"""Characters of a line at least, however deep it is indented."""
PARTS = ("workload", "arch", "mapping", "sparse", "mapspace")


def show_parts(spec: Spec, parts: Sequence[str] = (), *, width: int | None = None) -> str:
    """The parts named, or all that the specification has; lines longer than `width` characters are broken."""
    design = design_of(spec)
    result = evaluate_mapping(design, design.mapping) if design.mapping else None
    drawn = {
        "workload": lambda: workload_picture(design),
        "arch": lambda: architecture_picture(design),
        "mapping": lambda: mapping_picture(result),
        "sparse": lambda: sparse_picture(design),
        "mapspace": lambda: mapspace_picture(spec),
    }
    chosen = parts or [p for p in PARTS if p != "mapspace" or spec.constraints]
    text = terminal.lines("\n\n".join(drawn[part]() for part in chosen))
    return text if width is None else fitted(text, width)


def fitted(text: str, width: int) -> str:
    """A picture whose long lines are broken, the rest indented below their beginning."""
    return "\n".join(broken for line in text.split("\n") for broken in _broken(line, width))


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    start = len(line) - len(line.lstrip(" └─"))
    head, rest = line[:start], line[start:]
    return broken_lines(rest, max(width, start + LEAST), first=head, rest=" " * (start + 4))


def _columns(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Rows with their cells below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [indent + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


# --- workload -----------------------------------------------------------------------------------------------


def workload_picture(design: Design) -> str:
    """Einsum, ranks, tensors."""
    einsum = design.einsum
    ranks = "  ".join(f"{rank}={size}" for rank, size in zip(einsum.ranks, einsum.shape, strict=True))
    rows = [("tensor", "shape", "words", "bits", "non-zeros")]
    for tensor in einsum.tensors:
        shape = einsum.true_shape(tensor)
        words = wording.count_text(tensor.density.total)
        label = tensor.name + " (result)" * tensor.output
        rows.append((label, " x ".join(map(str, shape)), words, str(tensor.word_bits or "-"), wording.density_text(tensor)))
    lines = ["Workload" + f" {einsum.name}" * (einsum.name != "einsum"), f"  {wording.equation_text(einsum)}", f"  {ranks}", ""]
    return "\n".join([*lines, *_columns(rows), "", f"  {wording.count_text(einsum.computes)} computes"])


# --- architecture -------------------------------------------------------------------------------------------


def architecture_picture(design: Design) -> str:
    """The levels as a tree, with what one instance has."""
    arch = design.arch
    lines = [f"Architecture at {arch.clock_hz / 1e9:.4g} GHz"]
    margin = "  "
    for index, level in enumerate(arch.levels):
        branch = "" if index == 0 else "└─ "
        if index and (fan := _fanout(design, index - 1)):
            lines.append(f"{margin}└─ {fan}")
            margin += "   "
        copies = f" x{level.instances}" if level.instances > 1 else ""
        lines.append(f"{margin}{branch}{level.name}{copies} ({level.class_name or level.kind})  {_level(level)}")
        margin += " " * len(branch)
    return "\n".join(lines)


def _fanout(design: Design, level: int) -> str:
    x, y = design.arch.fanout(level)
    return f"{x} x {y} of" if x * y > 1 else ""


def _level(level: Level) -> str:
    area = f"{wording.area_text(level.area_um2)} each" if level.area_um2 else ""
    if level.kind == "compute":
        return " · ".join(part for part in (f"{wording.exact_text(level.word_bits)} bits", area) if part)
    metadata = level.metadata_capacity_bits
    parts = [
        wording.capacity_text(level),
        wording.bandwidth_text(level),
        f"metadata {wording.bits_text(metadata)}" if metadata is not None else "",
        f"{level.block_size} words per access" if level.block_size > 1 else "",
        area,
    ]
    return " · ".join(part for part in parts if part)


# --- sparse features ----------------------------------------------------------------------------------------


def sparse_picture(design: Design) -> str:
    """Formats, gating and skipping in words."""
    lines = ["Sparse features"]
    for index, level in enumerate(design.arch.storage):
        for tensor in design.einsum.tensors:
            if form := design.sparse.format(index, tensor.name):
                what = "compressed" if form.compressed else "with metadata" if form.has_metadata else "plain"
                lines.append(f"  {level.name}: {tensor.name} is stored {what} as {wording.format_text(form, tensor)}")
        if (mode := design.sparse.partials.get(index, "whole")) != "whole":
            lines.append(f"  {level.name}: partial sums: {wording.PARTIALS[mode]}")
        for saf in design.sparse.safs:
            if saf.level == index:
                unit = "" if saf.kind == "gate" else f", {saf.intersection.replace('_', '-')} intersection"
                choice = ", if that is the better option" if saf.choice is not None else ""
                lines.append(f"  {level.name}: {wording.feature_arrow(saf)}: {wording.feature_sentence(saf)}{unit}{choice}")
    compute = design.arch.compute.name
    if design.sparse.compute_skip:
        known = " or ".join(_with_metadata(design))
        lines.append(f"  {compute}: skip: no cycle is spent where an operand with metadata ({known or 'none'}) is zero")
    if design.sparse.compute_gate:
        lines.append(f"  {compute}: gate: idles where an operand is zero")
    if len(lines) == 1:
        lines.append("  none: everything is stored and computed as if dense")
    return "\n".join(lines)


def _with_metadata(design: Design) -> list[str]:
    """Operands that some level stores with metadata."""

    def known(tensor: Tensor) -> bool:
        return any(t == tensor.name and form.has_metadata for (_, t), form in design.sparse.formats.items())

    return [t.name for t in design.einsum.tensors if not t.output and known(t)]


# --- mapspace -----------------------------------------------------------------------------------------------


def mapspace_picture(spec: Spec) -> str:
    """The constraints of the mapper as written."""
    data = loading.to_data(spec).get("constraints")
    if not data:
        return "Mapspace\n  no constraints: every mapping that fits"
    return "Mapspace, constrained by\n" + "\n".join(f"  {line}" for line in yamlio.to_yaml(data).rstrip().splitlines())
