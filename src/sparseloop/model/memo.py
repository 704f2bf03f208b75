"""Answers of pure functions, remembered between calls: every memory is bounded, and all are emptied by `forget`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_emptied_by_forget: list[Callable[[], None]] = []


def memo(entries: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Remember the latest answers of a function of hashable arguments, as many as `entries`."""

    def remembering(function: Callable[P, T]) -> Callable[P, T]:
        remembered = lru_cache(maxsize=entries)(function)
        _emptied_by_forget.append(remembered.cache_clear)
        return wraps(function)(remembered)  # pyright: ignore[reportReturnType]

    return remembering


def forget() -> None:
    """Empty every memory of the model's functions; answers are then computed anew."""
    for empty in _emptied_by_forget:
        empty()
