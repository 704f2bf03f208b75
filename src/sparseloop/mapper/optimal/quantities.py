"""Names for the arrays of the search, and the pair that every bound is.

An array over states, transitions or chains has one entry each; the comment of a record says which. Arrays of factors and extents
have the ranks on their first axis: shape (ranks, columns).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Energy = Annotated[Floats, "pJ"]
Cycles = Annotated[Floats, "cycles"]
Words = Annotated[Floats, "words, summed over all instances"]
Share = Annotated[Floats, "0 to 1"]
Ways = Annotated[Floats, "number of chains of tiles"]
TileNumbers = Annotated[Ints, "numbers of tiles in the TileTable"]
Lanes = Annotated[Ints, "product of spatial factors"]
Bits = Annotated[Ints, "sets of ranks or of crossings, one bit each"]
Factors = Annotated[Ints, "shape (ranks, columns)"]


class CostBound(NamedTuple):
    """Energy and cycles that are never undercut; arrays of equal shape, each bounded on its own."""

    energy: Energy
    cycles: Cycles
