"""Timeloop's `problem`: shape, instance and densities become our workload."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.timeloop.sections import ImportLog, Plain, Section, as_names, unknown_name

CNN_LAYER: Mapping[str, Plain] = {
    "name": "cnn-layer",
    "dimensions": ["R", "S", "P", "Q", "C", "K", "N"],
    "coefficients": [{"name": n, "default": 1} for n in ("Wstride", "Hstride", "Wdilation", "Hdilation")],
    "data_spaces": [
        {"name": "Weights", "projection": ["C", "K", "R", "S"]},
        {
            "name": "Inputs",
            "projection": [
                [["N"]],
                [["C"]],
                [["R", "Wdilation"], ["P", "Wstride"]],
                [["S", "Hdilation"], ["Q", "Hstride"]],
            ],
        },
        {"name": "Outputs", "projection": ["N", "K", "Q", "P"], "read_write": True},
    ],
}
"""The shape that Timeloop assumes if the problem has none."""
GEMM: Mapping[str, Plain] = {
    "name": "gemm-ABZ",
    "dimensions": ["M", "N", "K"],
    "data_spaces": [
        {"name": "A", "projection": ["M", "K"]},
        {"name": "B", "projection": ["N", "K"]},
        {"name": "Z", "projection": ["M", "N"], "read_write": True},
    ],
}
SHAPES: Mapping[str, Mapping[str, Plain]] = {"cnn-layer": CNN_LAYER, "gemm-abz": GEMM}
"""Shapes that come with Timeloop, by name (lower case, hyphens)."""

DISTRIBUTIONS = {
    "fixed": "even",
    "fixed_structured": "even",
    "hypergeometric": "uniform",
    "banded": "banded",
    "diagonal": "banded",
    "real_data": "actual",
}
_DENSITY_IGNORED = {
    "workload_tensor_size": "overwritten by Timeloop with the size of the tensor",
    "band_width": "read for banded distributions only",
}
_IGNORED = {"version": "format", "name": "label"}
_INTEGER = re.compile(r"-?\d{1,9}")
_PADDING = {"Hpad": "not read by Timeloop", "Wpad": "not read by Timeloop"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The workload as Timeloop states it: dimensions, tensors, and loop variables made by flattening."""

    bounds: Mapping[str, int]
    """Size of every dimension of the operation space."""
    tensors: Mapping[str, tuple[str, ...]]
    """Tensor to the dimensions that index it."""
    output: str = ""
    flattened: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Loop variable to the dimensions it runs over, the fastest first."""
    workload: Mapping[str, Plain] = field(default_factory=dict[str, Plain])
    """`WorkloadSpec` as plain data."""

    @property
    def loops(self) -> Mapping[str, int]:
        """Names that mappings speak of, with their bounds: flattened ones first, then the other dimensions."""
        inside = {d for dims in self.flattened.values() for d in dims}
        merged = {name: math.prod(self.bounds[d] for d in dims) for name, dims in self.flattened.items()}
        return merged | {d: n for d, n in self.bounds.items() if d not in inside}

    def dimensions(self, name: str) -> tuple[str, ...]:
        """The dimensions behind a loop name."""
        return self.flattened.get(name, (name,))


def read_problem(problem: Section, named: Section | None = None) -> Problem:
    """Reads `problem`: shape (inline, `named` from a file of shapes, or the default), instance and densities."""
    log = problem.log
    shape = _shape(problem, named)
    instance = problem.section("instance") or problem
    names = shape.names("dimensions") or _without_dimensions(shape)
    bounds = dict[str, int]()
    for name in names:
        told = len(log.diagnostics)
        bound = instance.integer(name)
        if (bound is None or bound < 1) and len(log.diagnostics) == told:
            log.error(instance.key_path(name), f"dimension '{name}' needs a size of at least 1")
        bounds[name] = max(1, bound or 1)
    spaces = shape.sections("data_spaces")
    projections, outputs = _projections(spaces, bounds, _coefficients(shape, instance), log)
    flattened = _flatten(shape, bounds)
    shape.unused(_IGNORED, "the shape")
    if len(outputs) != 1 and projections:
        log.error(shape.key_path("data_spaces"), f"exactly one data space must be read-write, here {len(outputs)} are")
    output = outputs[0] if outputs else ""
    tensors = {name: tuple(dict.fromkeys(d for axis in axes for d, _ in axis)) for name, axes in projections.items()}
    workload: dict[str, Plain] = {
        "name": shape.text("name") or "einsum",
        "einsum": _einsum(projections, output),
        "shape": bounds,
        "density": _densities(instance, tensors),
    }
    if instance is not problem:
        instance.unused(_PADDING, "the instance")
    problem.unused(_IGNORED, "the problem")
    return Problem(bounds=bounds, tensors=tensors, output=output, flattened=flattened, workload=workload)


def _without_dimensions(shape: Section) -> tuple[str, ...]:
    """Raises that a shape names no dimensions, or what the key was taken for: everything else would only follow from it."""
    shape.take("data_spaces", "name", "coefficients")
    shape.unused(_IGNORED, "the shape")
    if not shape.log.diagnostics:
        shape.log.error(shape.path, "the shape has no dimensions", "e.g. dimensions: [M, N, K]", key=True)
    shape.log.raise_errors()
    return ()


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _shape(problem: Section, named: Section | None) -> Section:
    """The shape: inline, by name, or the default one."""
    value = problem.take("shape")
    if isinstance(value, dict):
        return problem.section("shape") or problem
    name = "cnn-layer" if value is None else _plain(str(value))
    if named is not None and value is not None and _plain(str(named.data.get("name") or name)) == name:
        return named
    found = SHAPES.get(name)
    if found is None:
        message = f"the shape is named '{value}', but its definition is not in the files"
        hint = did_you_mean(name, SHAPES) or f"known: {', '.join(SHAPES)}"
        problem.log.error(problem.key_path("shape"), message, f"{hint}; or give the shape's file, or write it inline")
    if named is not None:
        problem.log.note(named.path, f"the file's shape '{named.data.get('name')}' is not the problem's ('{name}')")
    return Section(found or CNN_LAYER, problem.key_path("shape"), problem.log)


def _coefficients(shape: Section, instance: Section) -> dict[str, int]:
    result = dict[str, int]()
    for item in shape.sections("coefficients"):
        name = item.required("name", "a coefficient")
        default = item.integer("default")
        value = instance.integer(name)
        if value is None and default is None:
            item.log.error(item.path, f"coefficient '{name}' has neither a default nor a value in the instance")
        result[name] = value if value is not None else 1 if default is None else default
        item.unused(what="a coefficient")
    return result


Axes = list[tuple[tuple[str, int], ...]]
"""One sum of (dimension, coefficient) per rank of a tensor."""


def _projections(
    spaces: list[Section], bounds: Mapping[str, int], coefficients: Mapping[str, int], log: ImportLog
) -> tuple[dict[str, Axes], list[str]]:
    """Tensor to its axes, and the names of the read-write tensors."""
    result, outputs = dict[str, Axes](), list[str]()
    for space in spaces:
        name, path = space.required("name", "a data space"), space.key_path("projection")
        result[name] = [tuple(_axis(rank, bounds, coefficients, path, log)) for rank in space.items("projection")]
        if space.flag("read_write"):
            outputs.append(name)
        space.unused(what=f"data space {name}")
    return result, outputs


def _axis(
    rank: Plain, bounds: Mapping[str, int], coefficients: Mapping[str, int], path: Path, log: ImportLog
) -> Iterator[tuple[str, int]]:
    """The terms of one rank: a dimension, or a list of [dimension] and [dimension, coefficient]."""
    terms = cast("list[Plain]", rank) if isinstance(rank, list) else [rank]
    sums = dict[str, int]()
    for term in terms:
        name, *factor = as_names(term, path, log) or [""]
        if name not in bounds:
            unknown_name(log, path, "dimension", name, bounds)
        elif len(factor) > 1 or (factor and factor[0] not in coefficients and not _INTEGER.fullmatch(factor[0])):
            unknown_name(log, path, "coefficient", " ".join(factor), coefficients)
        else:
            value = coefficients.get(factor[0]) if factor else 1
            sums[name] = sums.get(name, 0) + (int(factor[0]) if value is None else value)
    yield from ((d, c) for d, c in sums.items() if c != 0)


def _einsum(projections: Mapping[str, Axes], output: str) -> str:
    """The einsum as text: result first, affine indices."""

    def access(name: str) -> str:
        axes = [" + ".join({1: d, -1: f"-{d}"}.get(c, f"{c}*{d}") for d, c in axis) or "0" for axis in projections[name]]
        return f"{name}[{', '.join(axes).replace('+ -', '- ')}]"

    if output not in projections:
        return ""
    return f"{access(output)} = {' * '.join(access(name) for name in projections if name != output)}"


def _flatten(shape: Section, bounds: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    result = dict[str, tuple[str, ...]]()
    for item in shape.sections("flatten"):
        name, dimensions = item.required("name", "flatten"), item.names("dimensions") or ()
        for d in dimensions:
            if d not in bounds:
                unknown_name(item.log, item.key_path("dimensions"), "dimension", d, bounds)
        result[name] = tuple(d for d in dimensions if d in bounds)
        item.unused(what="flatten")
    return result


def _densities(instance: Section, tensors: Mapping[str, tuple[str, ...]]) -> dict[str, Plain]:
    """Density of every tensor that has one; `commonDensity` wins over `densities`."""
    result = dict[str, Plain]()
    if instance.has("commonDensity"):
        common = _density(instance, "commonDensity")
        instance.take("densities")
        return dict.fromkeys(tensors, common)
    section = instance.section("densities")
    for name in tensors if section else ():
        if section is not None and section.has(name):
            result[name] = _density(section, name)
    if section is not None:
        section.unused(what="densities (no such data space)")
    return result


def _density(section: Section, key: str) -> dict[str, Plain]:
    """A bare number means `fixed-structured`, our `even`; else a map with `distribution`."""
    value = section.take(key)
    if not isinstance(value, dict):
        return {"model": "even", "density": section.number(key)}
    item = section.section(key)
    assert item is not None
    name = item.required("distribution", f"the density of {key}").replace("-", "_")
    if name and name not in DISTRIBUTIONS:
        hint = did_you_mean(name, [word.replace("_", "-") for word in DISTRIBUTIONS])
        hint = "'uniform' of the paper is written hypergeometric" if name == "uniform" else hint
        item.log.error(item.key_path("distribution"), f"unknown density distribution '{name}'", hint)
    model = DISTRIBUTIONS.get(name, "uniform")
    result: dict[str, Plain] = {"model": model}
    if model == "banded":
        item.take("density")
        width = item.integer("band_width")
        if width is None:
            item.required("band_width", f"the density of {key}")
        result["half_width"] = width or 0
    elif model == "actual":
        result |= {"file": item.required("data_file_path", f"the density of {key}"), "layout": "first_fastest"}
    else:
        density = item.number("density")
        if density is None:
            item.log.error(item.path, f"distribution '{name}' needs a density")
        result["density"] = density
    item.unused(_DENSITY_IGNORED, "a density")
    return result
