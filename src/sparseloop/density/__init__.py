"""Density models: how the non-zeros of a tensor are distributed."""

from __future__ import annotations

from .base import Array, DensityModel, Occupancy, Pattern, Tile
from .deterministic import Actual, Banded
from .files import load_data, load_pattern
from .hypergeometric import Uniform
from .index import Coordinates
from .regular import Block, Even, Structured

__all__ = [
    "Actual",
    "Array",
    "Banded",
    "Block",
    "Coordinates",
    "DensityModel",
    "Even",
    "Occupancy",
    "Pattern",
    "Structured",
    "Tile",
    "Uniform",
    "load_data",
    "load_pattern",
]
