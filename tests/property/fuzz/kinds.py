"""Which disagreements are known: open faults, by name, and approximations that are stated and measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from tests.property.fuzz.judging import Difference
from tests.property.fuzz.specification import Specification

Applies = Callable[[Specification], bool]


@dataclass(frozen=True)
class Kind:
    """Specifications of one kind, and the counts of theirs that may differ."""

    name: str
    applies: Applies
    counts: str = ".*"
    """Pattern that the names of those counts match from the beginning."""
    error: float | None = None
    """Approximations: the largest error that is accepted, as `error_of` measures it; None: an open fault."""

    totals: bool = False
    """May there be more or fewer events, too?"""

    def covers(self, name: str) -> bool:
        """May the count of this name differ? Unless `totals`, not how many events there are, only what becomes of them."""
        return re.match(self.counts, name) is not None and (self.totals or not name.endswith(" total"))


@dataclass(frozen=True)
class Sorted:
    """The differences of one specification, by what they are excused with."""

    open: tuple[str, ...]
    """Names of the open kinds that cover some of them."""
    approximate: tuple[tuple[str, float], ...]
    """Approximations that apply, with their error in this specification (also 0)."""
    left: tuple[Difference, ...]
    """Those that nothing excuses."""


def sort_differences(
    spec: Specification, differences: Iterable[Difference], walked: dict[str, float], kinds: Collection[Kind]
) -> Sorted:
    """Excuses differences by the kinds that apply; approximations only up to their error."""
    left, used = list(differences), list[str]()
    measured = list[tuple[str, float]]()
    for kind in [k for k in kinds if k.applies(spec)]:
        mine = [d for d in left if kind.covers(d.name)]
        if kind.error is None:
            if mine:
                used.append(kind.name)
        else:
            error = error_of(mine, walked)
            measured.append((kind.name, error))
            if error > kind.error:
                continue
        left = [d for d in left if d not in mine]
    return Sorted(tuple(used), tuple(measured), tuple(left))


def error_of(differences: Iterable[Difference], walked: dict[str, float]) -> float:
    """Sum of |model - walker| of the counts that differ, over the walker's sum of all counts of those kinds of events.

    A kind of event is a count's name without level and tensor, so that a rare event is not measured by itself; nor is a class of
    which hardly any events are (what is gated wrongly is measured by what happens).
    """
    found = [d for d in differences if not d.crash]
    events = {event_of(d.name) for d in found}
    happening = {re.sub(r" (gated|skipped|absent)$", " actual", event) for event in events}
    whole = max(sum(abs(v) for name, v in walked.items() if event_of(name) in kinds) for kinds in (events, happening))
    return sum(abs(d.model - d.walker) for d in found) / max(whole, 1.0)


def causes(differences: Iterable[Difference]) -> list[Difference]:
    """Crashes if there are any, else counts of events if there are any, else what is derived from counts."""
    found = list(differences)
    crashes = [d for d in found if d.crash]
    events = [d for d in found if re.search(r" (total|actual|gated|skipped|absent)$|steps", d.name)]
    return crashes or events or found


def signature(differences: Iterable[Difference]) -> str:
    """What differs, in the few words that disagreements are grouped by."""
    found = causes(differences)
    if any(d.crash for d in found):
        return re.sub(r"\d+", "_", min(d.name for d in found))
    families = {re.sub(r" (entries|payloads|total|actual|gated|skipped|absent)\b", "", event_of(d.name)) for d in found}
    return ", ".join(sorted(families))


def event_of(name: str) -> str:
    """The name of a count without its level, tensor and rank: what kind of event it is."""
    return re.sub(r"^L\d+ (?:\w )?| r\d+(?= )", "", name)
