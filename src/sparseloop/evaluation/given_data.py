"""One mapping evaluated again with given data in the place of density models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sparseloop.evaluation.evaluate import evaluate_mapping
from sparseloop.evaluation.result import Result
from sparseloop.model.density import Actual

Pattern = np.ndarray[Any, Any]


def with_patterns(result: Result, mapping: Any, patterns: Mapping[str, Pattern]) -> Result:
    """The result of the mapping with the zeros of arrays, by tensor: what is not zero in them is stored.

    The axes are those of the tensor in the einsum. Raises ValueError for another shape.
    """
    tensors = list(result.design.einsum.tensors)
    for at, tensor in enumerate(tensors):
        if tensor.name in patterns:
            pattern = patterns[tensor.name] != 0
            if pattern.shape != tensor.density.shape:
                raise ValueError(f"{tensor.name}: expected the shape {tensor.density.shape}, got {pattern.shape}")
            tensors[at] = replace(tensor, density=Actual(pattern))
    einsum = replace(result.design.einsum, tensors=tuple(tensors))
    return evaluate_mapping(replace(result.design, einsum=einsum), mapping)
