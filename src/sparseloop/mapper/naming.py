"""Names of layers."""

from __future__ import annotations

from collections.abc import Sequence


def unique_names(names: Sequence[str]) -> list[str]:
    """The names of layers; of equal ones the second is 'conv-2'."""
    found: list[str] = []
    for name in names:
        number, mine = 1, name
        while mine in found or (number > 1 and mine in names):
            number += 1
            mine = f"{name}-{number}"
        found.append(mine)
    return found
