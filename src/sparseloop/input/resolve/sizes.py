"""Converts sizes and bandwidths as written into words of a level."""

from __future__ import annotations

from sparseloop.input.expressions import Quantity


def size_in_words(size: Quantity | None, word_bits: float) -> float | None:
    """A size in whole words."""
    if size is None or size.unit == "words":
        return None if size is None else size.value
    return float(size.value // word_bits)


def size_in_bits(size: Quantity | None, word_bits: float) -> float | None:
    """A size in bits."""
    if size is None:
        return None
    return size.value * word_bits if size.unit == "words" else size.value


def words_per_cycle(bandwidth: Quantity | None, word_bits: float, clock: float) -> float | None:
    """A bandwidth in words per cycle."""
    if bandwidth is None:
        return None
    value = bandwidth.value / clock if bandwidth.unit.endswith("/s") else bandwidth.value
    return value / word_bits if bandwidth.unit.startswith("bits") else value
