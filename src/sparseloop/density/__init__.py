"""Density models: how the non-zeros of a tensor are distributed."""

from __future__ import annotations

from .base import Array, DensityModel, Occupancy, Pattern, Tile
from .deterministic import Actual, Banded
from .files import load_pattern
from .hypergeometric import Uniform
from .regular import Block, Even, Structured

__all__ = [
    "Actual",
    "Array",
    "Banded",
    "Block",
    "DensityModel",
    "Even",
    "Occupancy",
    "Pattern",
    "Structured",
    "Tile",
    "Uniform",
    "load_pattern",
]
