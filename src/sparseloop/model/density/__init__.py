"""Density models: how the non-zeros of a tensor are distributed."""

from __future__ import annotations

from sparseloop.model.density.base import DensityModel, Occupancy, Passes, Pattern, Tile
from sparseloop.model.density.blocks import Block
from sparseloop.model.density.cells import CellGrid
from sparseloop.model.density.files import load_data, load_pattern
from sparseloop.model.density.given_result import Contributor, GivenResult
from sparseloop.model.density.given_result import Step as IndexStep
from sparseloop.model.density.index import Coordinates
from sparseloop.model.density.known import Actual, Banded, DeterministicModel, at_least_together
from sparseloop.model.density.lattice import Extents, Lattice, LatticeLoop, side_numbers, sides_of
from sparseloop.model.density.nested import CellModel, Clustered, Hierarchical, Layered, Rows
from sparseloop.model.density.produced import OwnAxis, PositionAxis, Produced, ProducingOperand
from sparseloop.model.density.structured import Even, Structured
from sparseloop.model.density.uniform import Uniform

__all__ = [
    "Actual",
    "Banded",
    "Block",
    "CellGrid",
    "CellModel",
    "Clustered",
    "Contributor",
    "Coordinates",
    "DensityModel",
    "DeterministicModel",
    "Even",
    "Extents",
    "GivenResult",
    "Hierarchical",
    "IndexStep",
    "Lattice",
    "LatticeLoop",
    "Layered",
    "Occupancy",
    "OwnAxis",
    "Passes",
    "Pattern",
    "PositionAxis",
    "Produced",
    "ProducingOperand",
    "Rows",
    "Structured",
    "Tile",
    "Uniform",
    "at_least_together",
    "load_data",
    "load_pattern",
    "side_numbers",
    "sides_of",
]
