"""What the numbers of the model count or measure.

Every number is an `Array`: a Python number (one mapping), a NumPy array whose axes are the batch (many mappings), or a traced
value. The other names are the same type; they tell the reader what is counted. Tuples and lists of them hold one number per loop,
level or axis, as said where they stand.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

Array = Any
Count = Annotated[Array, "how many: events, loop iterations, instances, entries"]
Words = Annotated[Array, "words of a tensor or of a level, or distinct elements of a tensor"]
Bits = Annotated[Array, "bits of metadata"]
Share = Annotated[Array, "part of a whole, or a probability: 0 to 1"]
Flag = Annotated[Array, "truth value"]
Coordinate = Annotated[Array, "place or distance along an axis of a tensor, in elements"]
Pj = Annotated[Array, "picojoule"]
Cycles = Annotated[Array, "clock cycles"]
LoopBounds = Annotated[Any, "one count per loop, outermost first: shape (loops, *batch)"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
