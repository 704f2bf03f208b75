"""Density models: how the non-zeros of a tensor are distributed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

Array = Any
"""A number or an array whose last axes are the batch."""


class DensityModel(ABC):
    """Distribution of the non-zeros of one tensor of known shape; all methods accept arrays (batch axis last)."""

    shape: tuple[int, ...]
    """Bounding shape of the tensor, one number per axis."""

    @property
    @abstractmethod
    def density(self) -> float:
        """Expected non-zeros divided by the size of the tensor."""

    @abstractmethod
    def empty(self, size: Array, extents: tuple[Array, ...]) -> Array:
        """P(a tile of `size` distinct elements, with per-axis extents `extents`, holds no non-zero)."""

    @abstractmethod
    def variance(self, size: Array, extents: tuple[Array, ...]) -> Array:
        """Variance of the number of non-zeros of such a tile."""

    @abstractmethod
    def maximum(self, size: Array, extents: tuple[Array, ...]) -> Array:
        """Largest possible number of non-zeros of such a tile."""

    @abstractmethod
    def quantile(self, size: Array, extents: tuple[Array, ...], confidence: float) -> Array:
        """Smallest k with P(non-zeros of such a tile <= k) >= confidence."""

    @abstractmethod
    def blocks(self, size: Array, extents: tuple[Array, ...], block: int) -> Array:
        """E[ceil(k / block)], k the number of non-zeros of such a tile packed into words of `block`."""

    def mean(self, size: Array) -> Array:
        """Expected number of non-zeros of a tile: size * density (linearity)."""
        return size * self.density

    def mask(self) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
        """The non-zero pattern if it is deterministic (banded, given data), else None."""
        return None
