"""Densities of a specification become density models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np

from sparseloop.input.densities.records import DensitySpec, LayerSpec
from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.resolve.padding import in_padding, is_no_model_of_padding
from sparseloop.input.yaml.nodes import missing_file_hint
from sparseloop.model.axes import axis_groups, axis_of
from sparseloop.model.density import (
    Actual,
    Banded,
    Block,
    CellGrid,
    Clustered,
    Coordinates,
    DensityModel,
    Even,
    Hierarchical,
    Layered,
    Rows,
    Structured,
    Uniform,
    load_data,
)
from sparseloop.model.density.base import count_of
from sparseloop.model.density.nested import LARGEST_CELL, beta_binomial
from sparseloop.model.design.einsum import Axis, Tensor

_LARGEST_AXIS = 2**24
"""Largest extent of an axis of a band."""
LARGEST_TENSOR = 2**62
"""Largest number of words of a tensor."""


def true_words(axes: Sequence[Axis], extents: Mapping[str, int]) -> int:
    """Number of words of a tensor: along axes whose extent is given all, else those that the einsum touches.

    Strides leave holes, diagonals most of the box.
    """
    words = 1
    for group in axis_groups(axes, dict(extents)):
        size = axes[group.axes[0]].size
        words *= group.distinct(dict(extents)) if size is None else size
    return words


def density_of(name: str, axes: tuple[Axis, ...], extents: Mapping[str, int], log: ResolveLog) -> DensityModel:
    """The density model of a tensor; after a mistake, which is logged, the tensor is taken as dense."""
    shape = tuple(axis.extent(dict(extents)) if axis.size is None else axis.size for axis in axes)
    size = true_words(axes, extents)
    spec = log.spec.workload.density.get(name)
    path = (*log.spec.workload_path, "density", name)
    dense = Uniform(shape, 1.0, size=size)
    if spec is None:
        return dense
    model = spec.model or ("actual" if spec.file else "uniform" if log.native else "even")
    if _lacks(spec, model, path, log) or is_no_model_of_padding(name, model, spec, axes, log):
        return dense
    try:
        found = _model(model, spec, axes, shape, size) or in_padding(
            _given(spec, axes, shape, log.file((*path, "file"), spec.file or "")), axes, extents
        )
        if isinstance(found, Block):
            _warn_of_whole_words(name, found, spec, log)
        elif isinstance(found, Layered):
            _warn_of_whole_cells(name, found, spec, log)
        return found
    except MemoryError:
        log.error((*path, "file"), f"density of {name}: the data does not fit into memory")
    except OSError as error:
        log.error(
            (*path, "file"),
            f"density of {name}: {error.strerror} ({error.filename})",
            missing_file_hint(str(error.filename), error),
        )
    except ValueError as error:
        log.error((*path, "file" if model == "actual" else "model"), f"density of {name}: {error}")
    except KeyError as error:
        rank, known = str(error.args[0]), {term.rank for axis in axes for term in axis.terms}
        at = "axes" if rank in spec.axes else "rank"
        log.error((*path, at), f"{name} has no rank '{rank}'", did_you_mean(rank, known), word=rank)
    return dense


def _warn_of_whole_words(name: str, block: Block, spec: DensitySpec, log: ResolveLog) -> None:
    """Blocks hold whole non-zeros, and a tensor whole blocks: says what is taken where that is not what is written."""
    inside = block.filling / block.volume
    if abs(inside - spec.inner) > 1e-9:
        log.warn(
            f"density of {name}: an occupied block of {block.volume} words holds {block.filling} non-zeros, "
            f"{inside:g} of it, not {spec.inner:g}"
        )
    if abs(block.density - (spec.density or 0.0)) > 0.01 * (spec.density or 0.0):
        log.warn(
            f"density of {name}: {block.occupied} of {block.count} blocks are occupied, which is a density of {block.density:g}, "
            f"not {spec.density:g}"
        )


_NEEDED = {
    "uniform": ("density",),
    "even": ("density",),
    "structured": ("n", "m", "rank"),
    "hierarchical": ("ratios", "rank"),
    "block": ("density", "block"),
    "rows": ("rank",),
    "clustered": ("density", "block", "correlation"),
    "layered": ("layers",),
    "same": ("same_as",),
    "banded": ("half_width",),
    "actual": ("file",),
    "produced": (),
}


def _lacks(spec: DensitySpec, model: str, path: Path, log: ResolveLog) -> bool:
    missing = [name for name in _NEEDED[model] if getattr(spec, name) in (None, ())]
    if model == "rows" and not spec.histogram and (spec.density is None or (spec.variation is None) == (spec.exponent is None)):
        missing.append("a histogram, or a density with a variation or an exponent")
    if missing:
        log.error(path, f"a density of model '{model}' needs {' and '.join(missing)}", "e.g. 0.5 or '2:4 c'", key=True)
    return bool(missing)


def _model(
    model: str, spec: DensitySpec, axes: tuple[Axis, ...], shape: tuple[int, ...], size: int
) -> DensityModel | None:  # fmt: skip
    """The model of a tensor; None if its data is in a file."""
    density, n, m = spec.density or 0.0, spec.n or 1, spec.m or 1
    if model in ("produced", "same"):
        return Uniform(shape, 1.0, size=size)
    if model == "even":
        return Even(shape, density)
    if model == "structured":
        return Structured(shape, n, m, _axis(axes, spec.rank or ""), size=size)
    if model == "hierarchical":
        return Hierarchical(shape, tuple(map(_ratio, spec.ratios)), _axis(axes, spec.rank or ""), size=size)
    if model == "rows":
        return _rows(spec, (_axis(axes, spec.rank or ""),), shape)
    if model == "clustered":
        return Clustered(shape, _block_shape(spec.block, axes), density, spec.correlation or 0.0)
    if model == "layered":
        return _layered(spec.layers, axes, shape)
    if model == "block":
        if density > spec.inner:
            raise ValueError(f"is {density:g}, more than the density {spec.inner:g} inside blocks")
        block = _block_shape(spec.block, axes)
        if math.prod(block) > LARGEST_TENSOR:
            raise ValueError(f"block {block} is larger than 2**62 words")
        return Block.of_density(shape, block, density, inner=spec.inner)
    if model == "banded":
        if max(shape, default=0) > _LARGEST_AXIS:
            raise ValueError("a band is counted row by row, over at most 2**24 rows and columns")
        return Banded(shape, spec.half_width or 0)
    return None if model == "actual" else Uniform(shape, density, size=size)


def _ratio(text: str) -> tuple[int, int]:
    """'2:4' -> 2, 4."""
    n, _, m = text.partition(":")
    return int(n), int(m)


def _axis(axes: tuple[Axis, ...], rank: str) -> int:
    """Position of the axis that a rank variable indexes; KeyError if there is none."""
    if (at := axis_of(axes, rank)) is None:
        raise KeyError(rank)
    return at


def _block_shape(block: dict[str, int] | tuple[int, ...], axes: tuple[Axis, ...]) -> tuple[int, ...]:
    if not isinstance(block, dict):
        return block
    sizes = [1] * len(axes)
    for rank, size in block.items():
        sizes[_axis(axes, rank)] = size
    return tuple(sizes)


def _rows(spec: DensitySpec, axes: tuple[int, ...], shape: tuple[int, ...]) -> Rows:
    if spec.histogram:
        total = math.fsum(spec.histogram.values())
        if abs(total - 1.0) > 1e-3:
            raise ValueError(f"the shares of the histogram add up to {total:g}, not to 1")
        return Rows(shape, axes, tuple((count, share / total) for count, share in sorted(spec.histogram.items())))
    return Rows.of_density(shape, axes, spec.density or 0.0, variation=spec.variation or 0.0, exponent=spec.exponent or 0.0)


def _layered(layers: Sequence[LayerSpec], axes: tuple[Axis, ...], shape: tuple[int, ...]) -> Layered:
    """Cell by cell from the words outwards."""
    sides, levels = (1,) * len(shape), list[CellGrid]()
    for at, layer in reversed(list(enumerate(layers))):
        last, first = at == len(layers) - 1, at == 0
        if (layer.ratio is None) == (not layer.block):
            raise ValueError(f"layer {at}: needs either a ratio or a block")
        if layer.density is not None and not (last and layer.block):
            raise ValueError(f"layer {at}: only the last block has a density of its words")
        if layer.occupied is not None and not (first and layer.block):
            raise ValueError(f"layer {at}: only a block that is the first layer is occupied or not")
        if layer.correlation is not None and layer.density is None:
            raise ValueError(f"layer {at}: a correlation goes with the density of words")
        if layer.ratio is not None:
            if layer.rank is None:
                raise ValueError(f"layer {at}: {layer.ratio} needs a rank")
            along = _axis(axes, layer.rank)
            n, m = _ratio(layer.ratio)
            grid = tuple(m if axis == along else 1 for axis in range(len(shape)))
            levels.insert(0, CellGrid(grid, ((n, 1.0),)))
        else:
            block = _block_shape(layer.block, axes)
            if len(block) != len(shape) or any(b % side for b, side in zip(block, sides, strict=True)):
                raise ValueError(f"block {block}: needs {len(shape)} numbers, multiples of what is inside: {sides}")
            grid = tuple(b // side for b, side in zip(block, sides, strict=True))
            levels.insert(0, CellGrid(grid, _inside(layer, math.prod(grid))))
        sides = tuple(g * side for g, side in zip(levels[0].grid, sides, strict=True))
        if layer.occupied is not None:
            grid = tuple(-(-extent // side) for extent, side in zip(shape, sides, strict=True))
            levels.insert(0, CellGrid(grid, ((count_of(layer.occupied, math.prod(grid)), 1.0),)))
    return Layered(shape, tuple(levels), " over ".join(map(_layer_text, layers)))


def _layer_text(layer: LayerSpec) -> str:
    """2:4 k, 4x4 0.1, 8x8 over 0.5."""
    if layer.ratio is not None:
        return f"{layer.ratio} {layer.rank}"
    block = layer.block
    sides = "x".join(f"{rank}{size}" for rank, size in block.items()) if isinstance(block, dict) else "x".join(map(str, block))
    occupied = "" if layer.occupied is None else f" {layer.occupied:g}"
    return sides + occupied + ("" if layer.density is None else f" over {layer.density:g}")


def _inside(layer: LayerSpec, words: int) -> tuple[tuple[int, float], ...]:
    """How many cells of a block hold something: all, unless it says of how many words."""
    if layer.correlation is not None and layer.density is not None:
        if words > LARGEST_CELL:
            raise ValueError(f"a block of {words} words: clusters have at most {LARGEST_CELL}")
        return beta_binomial(words, layer.density, layer.correlation)
    return ((words if layer.density is None else count_of(layer.density, words), 1.0),)


def _warn_of_whole_cells(name: str, found: Layered, spec: DensitySpec, log: ResolveLog) -> None:
    """Cells hold whole numbers of smaller ones: says what is taken where that is not what is written."""
    asked = 1.0
    for layer in spec.layers:
        n, m = _ratio(layer.ratio or "1:1")
        asked *= n / m * (1.0 if layer.occupied is None else layer.occupied) * (1.0 if layer.density is None else layer.density)
    if abs(found.density - asked) > 0.01 * asked:
        log.warn(
            f"density of {name}: cells hold whole numbers of smaller ones, which is a density of {found.density:g}, not {asked:g}"
        )


def _given(spec: DensitySpec, axes: tuple[Axis, ...], shape: tuple[int, ...], file: FilePath) -> DensityModel:
    """The pattern stored in a file, with its axes in the order of the tensor."""
    if file.exists() and not file.is_file():
        raise ValueError(f"{file}: is not a regular file")
    if not spec.axes:
        return Actual(load_data(file, shape=shape, order=spec.layout, array=spec.array))
    places = [_axis(axes, rank) for rank in spec.axes]
    if sorted(places) != list(range(len(axes))):
        raise ValueError(f"axes {', '.join(spec.axes)}: needed is one rank variable for each of the {len(axes)} axes")
    order = [places.index(at) for at in range(len(axes))]
    data = load_data(file, shape=tuple(shape[at] for at in places), order=spec.layout, array=spec.array)
    return Actual(data.transposed(order) if isinstance(data, Coordinates) else np.ascontiguousarray(data.transpose(order)))


def with_twins(tensors: Sequence[Tensor], log: ResolveLog) -> list[Tensor]:
    """Operands that are `same as` another one get its zeros; the result, which is the first, has none of its own."""
    named, path = {t.name: t for t in tensors}, (*log.spec.workload_path, "density")
    asked = {name: spec.same_as for name, spec in log.spec.workload.density.items() if spec.same_as and name in named}
    found = dict(named)
    for name, other in asked.items():
        tensor, at = named[name], (*path, name, "same_as")
        if other not in named:
            log.unknown(at, "tensor", other, list(named))
        elif other in asked or other == name:
            log.error(at, f"{other} has no zeros of its own: name the operand that has")
        elif tensor.output or named[other].output:
            log.error(at, "the zeros of a result follow from its operands: only operands are the same as each other")
        elif tensor.density.shape != named[other].density.shape:
            shapes = " and ".join("x".join(map(str, t.density.shape)) for t in (tensor, named[other]))
            log.error(at, f"{name} and {other} have different shapes: {shapes}")
        else:
            alike = tensor.axes == named[other].axes
            model = named[other].density
            if not alike and not model.deterministic and model.density < 1:
                log.warn(
                    f"zeros of {name} are counted as independent of those of {other}: the two have different indices, "
                    "and more of the result is there where these are equal"
                )
            twin = other if alike and not model.deterministic else None
            found[name] = replace(tensor, density=model, same_as=twin)
    return [found[t.name] for t in tensors]
