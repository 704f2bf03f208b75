"""The heuristics beside a proof: genetic search, annealing and climbing in turns, paced by the work of the proof.

A proof is quick where the best known mapping is good, and a search that ends before its proof is worth what its best mapping is
worth. So the heuristics get as much work as the proof, first of all and until they stop finding anything better; from then on
a small share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from sparseloop.mapper.optimal.quantities import Floats
from sparseloop.mapper.searchers import Annealing, Genetic, Searcher
from sparseloop.mapper.task import Batch, SearchTally, Task

COLUMNS = 100
"""Columns of the proof that take as long as the evaluation of one mapping."""
HEAD_START = 1 << 20
"""Columns before the heuristics begin: proofs that end sooner need none."""
PATIENCE, STALLED = 3.0, 0.1
"""Without anything better for PATIENCE times the mappings it took to find the best one, the share falls to STALLED."""
CLOSE = 1.3
"""Where the best known value is within this multiple of the lower bound, the share is STALLED from the beginning."""
ROUND = 4096
"""Mappings of a turn."""
ANNEALED = 4
"""Every so many turns is one of annealing."""


@final
class Heuristics:
    """Searches for better mappings; `evaluate` takes what they ask into the tally and returns its cost."""

    def __init__(self, task: Task, tally: SearchTally, evaluate: Callable[[Batch], Floats]) -> None:
        self.task, self.tally, self.evaluate = task, tally, evaluate
        self.searchers: list[Searcher] = []
        self.turns = self.evaluated = self.found_at = 0
        self.climbed: tuple[float, ...] | None = None
        """Values of the mapping whose neighbours are known."""

    @property
    def stalled(self) -> bool:
        """True if nothing better was found for long, or little can be."""
        bound, best = self.tally.lower_bound, self._best
        if bound is not None and best is not None and best[0] <= CLOSE * bound:
            return True
        return self.evaluated > PATIENCE * self.found_at + 4 * ROUND

    def keep_up(self, columns: int) -> None:
        """Takes turns until as much was done here as in the proof."""
        share = STALLED if self.stalled else 1.0
        if columns > HEAD_START and self.evaluated * COLUMNS < share * columns:
            self.turn()

    def turn(self, size: int = ROUND) -> None:
        """One round of one of the searchers; a better mapping is climbed from."""
        if not self.searchers:
            self.searchers = [Genetic(self.task.space, self.task.seed), Annealing(self.task.space, self.task.seed)]
        searcher = self.searchers[self.turns % ANNEALED == ANNEALED - 1]
        self.turns += 1
        before, batch = self._best, searcher.ask(size)
        if batch is not None:
            self.evaluated += len(batch)
            searcher.tell(batch, self.evaluate(batch))
        if self._best != before:
            self.climb()
            self.found_at = self.evaluated

    @property
    def _best(self) -> tuple[float, ...] | None:
        return self.tally.top[0].values if self.tally.top else None

    def climb(self) -> None:
        """To a better neighbour as long as there is one."""
        while self.tally.top and self._best != self.climbed:
            self.climbed = self._best
            neighbours = self.task.space.neighbours(self.tally.top[0].mapping)
            if len(neighbours):
                self.evaluated += len(neighbours)
                self.evaluate(neighbours)
