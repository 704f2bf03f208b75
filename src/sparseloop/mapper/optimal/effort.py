"""The work of a proof: counted, so that budget, memory and the heuristics beside it are looked at everywhere and in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sparseloop.mapper.optimal.quantities import Flags


class BudgetSpent(Exception):
    """The budget ended; what is proven by then stands."""


@dataclass
class TooManyChains(Exception):
    """The transitions into one level need more memory than there is room for."""

    level: int
    reached: Flags
    """Tiles of the level that some transition reaches."""


class Effort:
    """Counts the columns that bounds were computed for; raises `BudgetSpent` once `spent` says so.

    `beside` hears of the columns so far: whatever else is done beside the proof is paced by them, never by a clock, so that
    the same search always takes the same way.
    """

    def __init__(self, spent: Callable[[], bool], beside: Callable[[int], None], room: int) -> None:
        self.spent, self.beside = spent, beside
        self.room = room
        """Transitions that may be kept at a time."""
        self.columns = 0

    def add(self, columns: int) -> None:
        """So many more columns are about to be computed."""
        self.columns += columns
        if self.spent():
            raise BudgetSpent
        self.beside(self.columns)


def unlimited() -> Effort:
    """Of a search without any budget, alone, with all the memory it wants."""
    return Effort(lambda: False, lambda _: None, 1 << 62)
