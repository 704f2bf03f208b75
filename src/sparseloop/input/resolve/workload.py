"""Einsum, shape and densities of a specification become an `Einsum`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np

from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.notation import Access, parse_einsum
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.resolve.padding import check_padding, in_padding, is_no_model_of_padding, true_extents
from sparseloop.input.spec import DensitySpec, WorkloadSpec
from sparseloop.model.axes import axis_groups, axis_of
from sparseloop.model.density import (
    Actual,
    Banded,
    Block,
    Coordinates,
    DensityModel,
    Even,
    Hierarchical,
    Structured,
    Uniform,
    load_data,
)
from sparseloop.model.design.einsum import Axis, Einsum, Tensor, Term
from sparseloop.model.design.result_density import produced_density

_LARGEST_AXIS = 2**24
"""Largest extent of an affine axis whose holes are counted, and of an axis of a band."""
_LARGEST_TENSOR = 2**62
"""Largest number of words of a tensor."""


def resolve_workload(log: ResolveLog) -> Einsum:
    """The einsum with all tensors, the result last; mistakes are logged, and a harmless value stands in for what is wrong."""
    spec, path = log.spec.workload, log.spec.workload_path
    text = parse_einsum(spec.einsum)
    if not spec.name.strip() or not spec.name.isprintable():
        log.error((*path, "name"), f"{spec.name!r} is no name: it is empty or cannot be printed")
    extents = _extents(spec, text.ranks, log)
    names = [access.name for access in text.tensors]
    for key, given in (("density", spec.density), ("extent", spec.extent)):
        for name in given:
            if name not in names:
                log.unknown((*path, key, name), "tensor", name, names, key=True)
    if isinstance(spec.word_bits, dict):
        for name in spec.word_bits:
            if name not in names:
                log.unknown((*path, "word_bits", name), "tensor", name, names, key=True)
    for role, name in spec.roles.items():
        if name not in names:
            log.unknown((*path, "roles", role), "tensor", name, names)
    tensors = [_tensor(access, extents, log, output=i == 0) for i, access in enumerate(text.tensors)]
    check_padding(tensors, extents, log)
    result = replace(tensors[0], density=_of_result(tensors[0], tensors[1:], extents, log))
    return Einsum(
        name=spec.name,
        ranks=tuple(extents),
        shape=tuple(extents.values()),
        tensors=(*tensors[1:], result),
    )


def _of_result(result: Tensor, operands: Sequence[Tensor], extents: Mapping[str, int], log: ResolveLog) -> DensityModel:
    """The density that is given; else, in a native specification, what the operands make of it."""
    spec = log.spec.workload.density.get(result.name)
    asked = spec is not None and spec.model == "produced"
    if not asked and (spec is not None or not log.native):
        return result.density
    made = produced_density(result, operands, extents)
    if made is None and any(t.density.density < 1 for t in operands) and _is_told(result.name, log):
        log.warn(
            f"{result.name} is taken as dense, which counts too much: the density of a result with an index that is not one rank "
            "(a sum, or a rank that occurs twice) is known only for given data of at most 2^21 points"
        )
    return made or result.density


def _is_told(name: str, log: ResolveLog) -> bool:
    """True if it matters where a tensor's zeros are: it has a format, or leads."""
    levels = log.spec.sparse.values()
    listed = [safs for level in levels for safs in (level.skip, level.gate, level.spatial_skip) if not isinstance(safs, bool)]
    leads = any(name in saf.leaders for safs in listed for saf in safs)
    return leads or any(name in level.formats for level in levels)


def _extents(spec: WorkloadSpec, ranks: Sequence[str], log: ResolveLog) -> dict[str, int]:
    """Rank variable to size, in order of appearance; missing ones are mistakes."""
    path = (*log.spec.workload_path, "shape")
    if missing := [rank for rank in ranks if rank not in spec.shape]:
        listed = ", ".join(f"'{rank}'" for rank in missing)
        log.error(path, f"shape lacks {listed} of the einsum", key=True)
    for rank in spec.shape:
        if rank not in ranks and log.native:
            log.unknown((*path, rank), "rank", rank, ranks, key=True)
    return {rank: spec.shape.get(rank, 1) for rank in dict.fromkeys((*ranks, *spec.shape))}


def _tensor(access: Access, extents: Mapping[str, int], log: ResolveLog, *, output: bool) -> Tensor:
    spec = log.spec.workload
    axes = tuple(
        Axis(terms=tuple(Term(rank=rank, coefficient=c) for rank, c in form.terms), offset=form.offset) for form in access.axes
    )
    axes = true_extents(access.name, axes, extents, log)
    words = math.prod(axis.extent(dict(extents)) for axis in axes)
    if words > _LARGEST_TENSOR:
        log.error((*log.spec.workload_path, "shape"), f"{access.name} has more than 2**62 words", key=True)
        axes = ()
    bits = spec.word_bits.get(access.name) if isinstance(spec.word_bits, dict) else spec.word_bits
    density = _density(access.name, axes, extents, log)
    return Tensor(name=access.name, axes=axes, output=output, density=density, word_bits=bits)


def true_words(axes: Sequence[Axis], extents: Mapping[str, int]) -> int:
    """Number of words of a tensor: along axes whose extent is given all, else those that the einsum touches.

    Strides leave holes, diagonals most of the box.
    """
    words = 1
    for group in axis_groups(axes, dict(extents)):
        size = axes[group.axes[0]].size
        words *= group.distinct(dict(extents)) if size is None else size
    return words


# --- densities ----------------------------------------------------------------------------------------------


def _density(name: str, axes: tuple[Axis, ...], extents: Mapping[str, int], log: ResolveLog) -> DensityModel:
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
        return found
    except MemoryError:
        log.error((*path, "file"), f"density of {name}: the data does not fit into memory")
    except OSError as error:
        log.error((*path, "file"), f"density of {name}: {error.strerror} ({error.filename})")
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
    "banded": ("half_width",),
    "actual": ("file",),
    "produced": (),
}


def _lacks(spec: DensitySpec, model: str, path: Path, log: ResolveLog) -> bool:
    missing = [name for name in _NEEDED[model] if getattr(spec, name) in (None, ())]
    if missing:
        log.error(path, f"a density of model '{model}' needs {' and '.join(missing)}", "e.g. 0.5 or '2:4 c'", key=True)
    return bool(missing)


def _model(
    model: str, spec: DensitySpec, axes: tuple[Axis, ...], shape: tuple[int, ...], size: int
) -> DensityModel | None:  # fmt: skip
    """The model of a tensor; None if its data is in a file."""
    density, n, m = spec.density or 0.0, spec.n or 1, spec.m or 1
    if model == "produced":
        return Uniform(shape, 1.0, size=size)
    if model == "even":
        return Even(shape, density)
    if model == "structured":
        return Structured(shape, n, m, _axis(axes, spec.rank or ""), size=size)
    if model == "hierarchical":
        return Hierarchical(shape, tuple(map(_ratio, spec.ratios)), _axis(axes, spec.rank or ""), size=size)
    if model == "block":
        if density > spec.inner:
            raise ValueError(f"is {density:g}, more than the density {spec.inner:g} inside blocks")
        block = _block_shape(spec, axes)
        if math.prod(block) > _LARGEST_TENSOR:
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


def _block_shape(spec: DensitySpec, axes: tuple[Axis, ...]) -> tuple[int, ...]:
    if not isinstance(spec.block, dict):
        return spec.block
    sizes = [1] * len(axes)
    for rank, size in spec.block.items():
        sizes[_axis(axes, rank)] = size
    return tuple(sizes)


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
