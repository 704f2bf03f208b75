"""What a validation target says: figures of others beside ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """One published figure and ours; `low` and `high` are our P10 and P90 where a statistic decides.

    `limit` is the largest relative error at which the target counts as reproduced (None: shown only); it is stated by the
    source or by the claim under test, never by what we reach. `why` names the reason of a deviation that stands.
    """

    case: str
    figure: str
    published: float
    ours: float
    unit: str = ""
    limit: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def error(self) -> float:
        """(ours - published) / published; the difference itself where zero is published."""
        return (self.ours - self.published) / (abs(self.published) or 1.0)

    @property
    def within(self) -> bool:
        """Not outside its limit."""
        return self.limit is None or abs(self.error) <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsTable:
    """Findings that are no pairs of figures: columns, and a row per subject (None: not known)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All figures of a target; `skipped` says why some or all could not be compared, `notes` what to know about them."""

    rows: tuple[PublishedFigure, ...] = ()
    tables: tuple[FindingsTable, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalData:
    """Data that is not shipped: a folder of `masks` (one text file of 0 and 1 per tensor), one of `matrices` (Matrix Market)."""

    masks: Path | None = None
    matrices: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One validation: what is compared, where the figures come from, and how ours are computed."""

    name: str
    title: str
    citation: str
    run: Callable[[ExternalData], Findings]
    long: str = ""
    """Why it runs only if it is named; empty: it is one of those that run by default."""
