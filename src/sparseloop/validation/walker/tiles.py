"""Words that are moved and held together: accesses of blocks, what does not fit, what a level holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparseloop.validation.walker.points import BoolArray, IntArray


def block_accesses(delivery: IntArray, happens: BoolArray, words: int) -> float:
    """Accesses of blocks of `words` words: events of one delivery share blocks, every delivery starts a new one."""
    return float(np.ceil(np.bincount(delivery, weights=happens) / words).sum())


def excess(tile: IntArray, happens: BoolArray, room: float) -> float:
    """Words of all tiles beyond the room that each of them finds."""
    return float(np.maximum(np.bincount(tile, weights=happens) - room, 0.0).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """The working sets of a level: one entry per word of each instance's tile in each step."""

    visit: IntArray
    """The instance and step, numbered."""
    point: IntArray
    """A point that uses the word."""

    def held(self, stored: BoolArray) -> tuple[float, float]:
        """Mean and largest number of stored words; `stored` is per point."""
        words = np.bincount(self.visit, weights=stored[self.point])
        return float(words.mean()), float(words.max())


def tiles_of(instance: IntArray, step: IntArray, word: IntArray) -> Tiles:
    """The working sets from the instance, step and word of every point."""
    visit = np.unique(np.stack([instance, step]), axis=1, return_inverse=True)[1].reshape(-1)
    point = np.unique(np.stack([visit, word]), axis=1, return_index=True)[1]
    return Tiles(visit[point], point)
