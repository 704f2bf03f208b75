"""Padding: constants of indices and true extents, as far as they are accepted."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

from sparseloop.model.design.einsum import Axis, true_share_along
from tests.property.fuzz.densities import Density
from tests.property.fuzz.specification import Operand, Specification


def draw_padding(dice: random.Random, spec: Specification) -> Specification:
    """The specification, some of its tensors with a true extent that is not what their index meets; densities are none yet."""
    tensors = list(spec.tensors)
    for i in dice.sample(range(len(tensors)), dice.choice((1, 1, 1, 2)) if len(tensors) > 1 else 1):
        axes = tuple(padded_axis(dice, axis, spec.shape) if dice.random() < 0.7 else axis for axis in tensors[i].axes)
        changed = replace(spec, tensors=(*tensors[:i], replace(tensors[i], axes=axes), *tensors[i + 1 :]))
        tensors = list((changed if accepted(changed) else replace(spec, tensors=tuple(tensors))).tensors)
    return replace(spec, tensors=tuple(tensors))


def padded_axis(dice: random.Random, axis: Axis, shape: dict[str, int]) -> Axis:
    """The axis with a constant and an extent that ends before, at or after what is met; as it is if nothing true would be met."""
    offset = dice.choice((-2, -1, -1, 0, 1))
    first = offset + _lowest(axis, shape)
    end = first + axis.extent(shape)
    if end <= 0:
        return axis
    least = max(1, first + 1)
    return replace(axis, offset=offset, size=dice.randint(least, max(least, end + 1)))


def _lowest(axis: Axis, shape: dict[str, int]) -> int:
    return sum(min(0, term.coefficient) * (shape[term.rank] - 1) for term in axis.terms)


def accepted(spec: Specification) -> bool:
    """Would a file with this padding be read?"""
    shape, padded = spec.shape, list[frozenset[str]]()
    for tensor in spec.tensors:
        mine = frozenset[str]()
        for axis in tensor.axes:
            if not true_share_along(axis, shape):
                return False
            if axis.size is not None:
                mine |= {term.rank for term in axis.terms}
        if any(tensor.ranks.count(rank) > 1 for rank in mine) or not _modelled(tensor):
            return False
        padded.append(mine)
    return not any(one & other for one, other in combinations(padded, 2)) and not (spec.imperfect and any(padded))


def _modelled(tensor: Operand) -> bool:
    """Is its density one that is modelled along its axes with an extent?"""
    sized = [axis.size is not None for axis in tensor.axes]
    if tensor.density.kind in ("structured", "hierarchical"):
        return not sized[tensor.density.axis]
    return tensor.density.kind in ("uniform", "even", "given", "produced") or not any(sized)


def as_modelled(tensor: Operand) -> Operand:
    """The tensor, uniform where its density is not modelled."""
    return tensor if _modelled(tensor) else replace(tensor, density=Density("uniform", 0.5))
