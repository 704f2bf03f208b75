"""True extents of tensors: what an index meets outside of them is padding. What cannot be modelled is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from sparseloop.input.densities.records import DensitySpec
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.model.axes import axis_of, lowest
from sparseloop.model.density import Actual, DensityModel
from sparseloop.model.density.index import Coordinates
from sparseloop.model.design.einsum import Axis, Tensor, true_share_along

_LONGEST = 2**20
"""Most coordinates of an axis with padding."""


def true_extents(name: str, axes: tuple[Axis, ...], extents: Mapping[str, int], log: ResolveLog) -> tuple[Axis, ...]:
    """The axes with their true extents; mistakes are logged."""
    spec = log.spec.workload
    given, path = spec.extent.get(name), (*log.spec.workload_path, "extent", name)
    if given is None:
        _ask(name, axes, extents, log)
        return axes
    if not isinstance(given, dict):
        if len(given) != len(axes):
            log.error(path, f"{name} has {len(axes)} axes, extent has {len(given)} numbers", key=True)
            return axes
        return tuple(_sized(axis, size, extents) for axis, size in zip(axes, given, strict=True))
    at_axis: dict[int, int] = {}
    for rank, size in given.items():
        at = axis_of(axes, rank)
        if at is None:
            known = dict.fromkeys(term.rank for axis in axes for term in axis.terms)
            log.unknown((*path, rank), "rank", rank, list(known), key=True)
        else:
            at_axis[at] = size
    return tuple(_sized(axis, at_axis[at], extents) if at in at_axis else axis for at, axis in enumerate(axes))


def _ask(name: str, axes: tuple[Axis, ...], extents: Mapping[str, int], log: ResolveLog) -> None:
    """A constant makes padding of some coordinates, the extent says which; Timeloop's files have none."""
    if not any(axis.offset for axis in axes):
        return
    if not log.native:
        log.warn(f"{name}: the constant of its index changes no number: all coordinates that are met count as data")
        return
    sizes = ", ".join("?" if axis.offset else str(axis.extent(dict(extents))) for axis in axes)
    log.error(
        (*log.spec.workload_path, "einsum"),
        f"the index of {name} has a constant: which of its coordinates are padding?",
        f"extent: {{{name}: [{sizes}]}} with its true sizes makes all else padding",
        word=name,
    )


def _sized(axis: Axis, size: int, extents: Mapping[str, int]) -> Axis:
    """The axis with its extent; without it where that says nothing: every coordinate is met, and nothing else."""
    whole = axis.extent(dict(extents)) == size and not axis.offset and all(term.coefficient == 1 for term in axis.terms)
    return axis if whole else replace(axis, size=size)


def check_padding(tensors: Sequence[Tensor], extents: Mapping[str, int], log: ResolveLog) -> None:
    """Logs extents that leave nothing, and padding that is not modelled."""
    path, padded = (*log.spec.workload_path, "extent"), dict[str, frozenset[str]]()
    for tensor in tensors:
        every = [term.rank for axis in tensor.axes for term in axis.terms]
        for at, axis in enumerate(tensor.axes):
            if axis.size is None:
                if axis.offset and tensor.name in log.spec.workload.extent:
                    log.error((*path, tensor.name), f"axis {at} of {tensor.name} has a constant and no extent", key=True)
                continue
            first = axis.offset + lowest(extents, axis)
            outside = first >= axis.size or first + axis.extent(dict(extents)) <= 0
            if outside or not true_share_along(axis, extents):
                log.error((*path, tensor.name), f"the index of axis {at} of {tensor.name} meets padding alone", key=True)
            if not axis.padded(dict(extents)):
                continue
            if axis.extent(dict(extents)) > _LONGEST:
                log.error(
                    (*path, tensor.name), f"axis {at} of {tensor.name}: padding is counted along at most 2**20 words", key=True
                )
            padded[tensor.name] = padded.get(tensor.name, frozenset()) | {term.rank for term in axis.terms}
            if any(every.count(term.rank) > 1 for term in axis.terms):
                message = f"padding of {tensor.name} is not modelled: a rank of axis {at} indexes two of its axes"
                log.error((*path, tensor.name), message, key=True)
    for (one, ranks), (other, others) in combinations(padded.items(), 2):
        if shared := sorted(ranks & others):
            message = f"padding of both {one} and {other} along {shared[0]} is not modelled"
            log.error((*path, other), message, "pad one of them", key=True)


def is_no_model_of_padding(name: str, model: str, spec: DensitySpec, axes: Sequence[Axis], log: ResolveLog) -> bool:
    """Logs a density that is not modelled where tensors have padding."""
    sized = [axis for axis in axes if axis.size is not None]
    along = axis_of(axes, spec.rank or "")
    if not sized or model in ("uniform", "even", "actual", "produced"):
        return False
    if model in ("structured", "hierarchical") and (along is None or axes[along].size is None):
        return False
    path = (*log.spec.workload_path, "density", name)
    log.error((*path, "model"), f"density of {name}: '{model}' is not modelled along an axis whose extent is given", key=True)
    return True


def in_padding(given: DensityModel, axes: Sequence[Axis], extents: Mapping[str, int]) -> DensityModel:
    """A given pattern as the index meets it: zeros where it is padding, without what is not met."""
    if all(axis.size is None for axis in axes):
        return given
    places = given.coordinates().axes()
    shape = tuple(axis.extent(dict(extents)) for axis in axes)
    firsts = [0 if axis.size is None else axis.offset + lowest(extents, axis) for axis in axes]
    met = [index - first for index, first in zip(places, firsts, strict=True)]
    chosen = np.all([(index >= 0) & (index < size) for index, size in zip(met, shape, strict=True)], axis=0)
    return Actual(Coordinates.of(shape, [index[chosen] for index in met]))
