"""The work of the slowest instance by drawing: the density models' patterns, counted exactly, as often as is cheap.

The largest of a few dependent counts of few steps is far from normal; of many steps it is nearly so: `imbalance` needs no draws.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sparseloop.model.density import Actual, CellModel, DensityModel, Uniform
from sparseloop.model.plan import Plan
from sparseloop.model.sparsity.known_patterns import nonempty_counts
from sparseloop.model.sparsity.large_patterns import TileInData
from sparseloop.model.units import Floats

DRAWS = 300
"""Standard error of a quantile: about a twelfth of the standard deviation of the largest."""
WORDS = 6000
"""Elements of the leaders, and points of the loops that tell their tiles apart, up to which patterns are drawn."""
SEED = 1
"""The same answer at every call."""


def drawn_largest(plan: Plan, bounds: tuple[int, ...], asked: tuple[TileInData, ...], apart: tuple[int, ...]) -> Floats | None:
    """Largest number of non-empty steps of any instance, for each draw; None if a model cannot be drawn or it takes long.

    `apart`: the loops over instances; steps along loops that no leader notices count once.
    """
    tensors = {one.tensor: plan.einsum.tensors[one.tensor] for one in asked}
    told = {slot for one in asked for slot in plan.relevant[one.tensor]}
    size = max(sum(math.prod(plan.einsum.tensor_shape(t)) for t in tensors.values()), math.prod(bounds[i] for i in told))
    if size > WORDS:
        return None
    dice, found = np.random.default_rng(SEED), np.empty(DRAWS)
    for number in range(DRAWS):
        patterns = {at: _pattern(tensor.density, dice) for at, tensor in tensors.items()}
        patterns = {at: patterns.get(plan.twins[at], pattern) for at, pattern in patterns.items()}
        models = {at: Actual(pattern) for at, pattern in patterns.items() if pattern is not None}
        if len(models) < len(tensors):
            return None
        drawn = tuple(replace(t, density=models.get(at, t.density)) for at, t in enumerate(plan.einsum.tensors))
        known = replace(plan, einsum=replace(plan.einsum, tensors=drawn))
        found[number] = np.max(nonempty_counts(known, bounds, asked, apart))
    return found


def _pattern(model: DensityModel, dice: np.random.Generator) -> npt.NDArray[np.bool_] | None:
    """A pattern as likely as the model says: a known one, or one of a model that draws."""
    return model.drawn(dice) if isinstance(model, Uniform | CellModel) else model.mask()
